"""`obverse data`: public sets and folders as tables of clips."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from obverse.cli.progress import progress_bar
from obverse.errors import ConfigError, OutputExistsError
from obverse.files import write_whole

if TYPE_CHECKING:
    from obverse.clip import Clip
    from obverse.datasets.check import Fingerprinting
    from obverse.datasets.index import IndexReport

__all__ = ["data"]

_FPS = 8  # frames a second of pictures that have no rate of their own


@click.group()
def data() -> None:
    """Read public sets and folders as tables of clips, and check them.

    \b
    Example:
      obverse data index ffpp FaceForensics++ -o clips.parquet
      obverse data check clips.parquet
    """


@data.command("sets")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def sets(as_json: bool) -> None:
    """List the sets that can be indexed, and what their folders hold.

    \b
    Example:
      obverse data sets
    """
    from obverse.datasets.catalogue import ADAPTERS

    if as_json:
        listed = {
            name: {
                "title": adapter.about.title,
                "layout": adapter.about.layout,
                "official": list(adapter.about.official),
                "splits": adapter.about.splits,
                "terms": adapter.about.terms,
                "reference": adapter.about.reference,
                "notes": list(adapter.about.notes),
            }
            for name, adapter in ADAPTERS.items()
        }
        click.echo(json.dumps(listed, indent=2))
        return
    for name, adapter in ADAPTERS.items():
        click.echo(f"{name:16s} {adapter.about.title}: {adapter.about.layout}")


@data.command("index")
@click.argument("name", metavar="SET")
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="The table, a parquet."
)
@click.option(
    "--pristine",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Pristine clips, for the set folders; for deeperforensics the folder of FaceForensics++.",
)
@click.option(
    "--synthetic",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Synthetic clips, for the set folders.",
)
@click.option(
    "--people",
    is_flag=True,
    help="Each folder right below --pristine and --synthetic is a person.",
)
@click.option(
    "--splits",
    type=click.Choice(["official", "disjoint", "none"]),
    default="official",
    show_default=True,
    help="The publisher's, completed where it gives none; drawn over people instead; or the "
    "publisher's alone.",
)
@click.option(
    "--keep",
    multiple=True,
    metavar="NAME=VALUES",
    help="Only clips whose field or attribute has one of the values, such as compression=c23 or "
    "method=Deepfakes,FaceSwap; may be repeated.",
)
@click.option("--hash", "sha256", is_flag=True, help="Hash every file.")
@click.option("--probe", is_flag=True, help="Open every file for its rate, length and size.")
@click.option("--workers", default=1, show_default=True, help="Threads that read files.")
@click.option("--seed", default=0, show_default=True, help="Of the splits that are drawn.")
@click.option("--force", is_flag=True, help="Replace a table that is there.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def index(
    name: str,
    folder: Path | None,
    output: Path,
    pristine: Path | None,
    synthetic: Path | None,
    people: bool,
    splits: Any,
    keep: Sequence[str],
    sha256: bool,
    probe: bool,
    workers: int,
    seed: int,
    force: bool,
    as_json: bool,
) -> None:
    """Write a table of the clips of SET, which lies in DIR as its publisher laid it out.

    Nothing is moved, and no film is opened unless --hash or --probe asks for it; a run of these
    that was stopped goes on where it was. `obverse data sets` lists the names. Exit code 1: the
    table is written, and a film cannot be read.

    \b
    Example:
      obverse data index celeb-df-v2 Celeb-DF-v2 -o celeb.parquet --hash --workers 2
      obverse data index folders --pristine real --synthetic fake -o clips.parquet
      obverse data index csv list.csv -o clips.parquet
    """
    from obverse.datasets.adapter import UNREADABLE, Place
    from obverse.datasets.catalogue import adapter_named
    from obverse.datasets.index import IndexConfig, index_set

    adapter_named(name)  # before anything else is asked for
    root = folder or (pristine or synthetic if name == "folders" else None)
    if root is None:
        raise ConfigError(
            f"nothing says where {name} lies; name its folder"
            + (" with --pristine and --synthetic." if name == "folders" else " after the set.")
        )
    config = IndexConfig(
        splits=splits,
        seed=seed,
        keep=_keep(keep),
        sha256=sha256,
        details=probe,
        workers=workers,
    )
    place = Place(root=root, pristine=pristine, synthetic=synthetic, people=people)
    with progress_bar("index", "clip") as tell:
        report = index_set(
            name, place, output, config, force=force, progress=lambda done: tell(done, None)
        )
    for sentence in report.findings.sentences():
        click.echo(f"obverse: {sentence}", err=True)
    empty = [split for split in ("train", "val", "test") if not report.splits.get(split)]
    if 0 < len(empty) < 3:
        click.echo(
            f"obverse: no clip is in {' or in '.join(empty)}; with few people another --seed draws "
            "other splits.",
            err=True,
        )
    _show_index(name, report, as_json)
    if report.findings.counts[UNREADABLE]:
        sys.exit(1)


def _keep(pairs: Sequence[str]) -> dict[str, tuple[str, ...]]:
    keep: dict[str, tuple[str, ...]] = {}
    for pair in pairs:
        key, equals, values = pair.partition("=")
        if not key or not equals or not values:
            raise ConfigError(
                f"--keep got {pair!r}; give a name and values, such as compression=c23,c40."
            )
        keep[key] = keep.get(key, ()) + tuple(value.strip() for value in values.split(","))
    return keep


def _show_index(name: str, report: "IndexReport", as_json: bool) -> None:
    splits = {key: report.splits.get(key, 0) for key in ("train", "val", "test", "none")}
    if as_json:
        answer = {
            "table": str(report.table),
            "set": name,
            "clips": report.clips,
            "pristine": report.labels.get("pristine", 0),
            "synthetic": report.labels.get("synthetic", 0),
            "splits": splits,
            "people_drawn_alone": report.cut,
            "findings": dict(report.findings.counts),
        }
        click.echo(json.dumps(answer, indent=2))
        return
    shown = ", ".join(f"{key} {count}" for key, count in splits.items() if key != "none" or count)
    click.echo(
        f"{report.table}: {report.clips} clips ({report.labels.get('pristine', 0)} pristine, "
        f"{report.labels.get('synthetic', 0)} synthetic; {shown})"
    )


@data.command("check")
@click.argument(
    "tables", metavar="TABLE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option(
    "--files",
    type=click.Choice(["none", "present", "open"]),
    default="present",
    show_default=True,
    help="Whether files are looked for, or opened as well.",
)
@click.option("--content", is_flag=True, help="Compare what clips of different splits show; slow.")
@click.option(
    "--partial", is_flag=True, help="A part of a set is meant: fewer clips are no problem."
)
@click.option("--workers", default=1, show_default=True, help="Threads that open files.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(
    tables: tuple[Path, ...], files: Any, content: bool, partial: bool, workers: int, as_json: bool
) -> None:
    """Check tables: counts against the published ones, files, and leaks across splits.

    Identities, voices, sources and, where files were hashed, files may not be in two splits; with
    --content neither may clips that look alike. Several tables are checked together. Exit code 1:
    something is wrong.

    \b
    Example:
      obverse data check clips.parquet --files open --content --workers 2
    """
    from obverse.datasets.check import CheckConfig, check_tables

    config = CheckConfig(
        files=files, content=_content() if content else None, partial=partial, workers=workers
    )
    with progress_bar("check", "clip") as tell:
        report = check_tables(
            tables, config, progress=lambda what, done, total: tell(done, total, what)
        )
    if as_json:
        answer = {
            "tables": [str(table) for table in report.tables],
            "clips": report.clips,
            "passed": list(report.passed),
            "problems": [
                {"kind": problem.kind, "clips": problem.clips, "text": problem.text}
                for problem in report.problems
            ],
        }
        click.echo(json.dumps(answer, indent=2))
    else:
        for sentence in report.passed:
            click.echo(f"right  {sentence}")
        for problem in report.problems:
            click.echo(f"wrong  {problem.text}")
    sys.exit(1 if report.problems else 0)


def _content() -> "Fingerprinting":
    from obverse.datasets.check import Fingerprinting
    from obverse.datasets.footage import Footage
    from obverse.watermark.fingerprint import (
        SAME_AT_MOST,
        Fingerprint,
        compare,
        fingerprint,
        fingerprint_frames,
    )

    def of(clip: "Clip", folder: Path) -> tuple[int, ...]:
        footage = Footage.of(clip, folder)
        if footage.form == "film":
            with footage.film() as path:
                return fingerprint(path).seconds
        return fingerprint_frames(footage.frames(), _FPS).seconds

    def distance(one: Sequence[int], other: Sequence[int]) -> float:
        return compare(Fingerprint(tuple(one)), Fingerprint(tuple(other)))

    return Fingerprinting(of=of, distance=distance, at_most=SAME_AT_MOST)


@data.command("merge")
@click.argument(
    "tables", metavar="TABLE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="The table, a parquet."
)
@click.option("--force", is_flag=True, help="Replace a table that is there.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def merge(tables: tuple[Path, ...], output: Path, force: bool, as_json: bool) -> None:
    """Write the clips of several tables as one; a clip that is in several is taken once.

    Splits stay as they are; check the outcome, for two sets may show the same people.

    \b
    Example:
      obverse data merge ffpp.parquet celeb.parquet -o both.parquet
    """
    from obverse.datasets.adapter import Findings
    from obverse.datasets.merge import merge_tables

    findings = Findings()
    count = merge_tables(tables, output, findings, force=force)
    for sentence in findings.sentences():
        click.echo(f"obverse: {sentence}", err=True)
    if as_json:
        answer = {"table": str(output), "clips": count, "findings": dict(findings.counts)}
        click.echo(json.dumps(answer, indent=2))
    else:
        click.echo(f"{output}: {count} clips of {len(tables)} tables")


@data.command("card")
@click.argument("table", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="A file, such as card.md.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option("--json", "as_json", is_flag=True, help="Print the card in a JSON object.")
def card(table: Path, output: Path | None, force: bool, as_json: bool) -> None:
    """Say what is in TABLE, whose it is, how it is split, and what is not known, in Markdown.

    \b
    Example:
      obverse data card clips.parquet -o card.md
    """
    from obverse.datasets.set_card import set_card

    if output is not None:
        _require_free(output, force)
    text = set_card(table)
    if output is not None:
        write_whole(output, text)
    if as_json:
        click.echo(json.dumps({"table": str(table), "card": text}))
    elif output is None:
        click.echo(text, nl=False)
    else:
        click.echo(str(output))


@data.command("shards")
@click.argument("table", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="A folder of tars."
)
@click.option(
    "--size", default="1GB", show_default=True, help="Largest size of a shard, such as 500MB."
)
@click.option("--force", is_flag=True, help="Replace other shards in the folder.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def shards(table: Path, output: Path, size: str, force: bool, as_json: bool) -> None:
    """Pack the clips of TABLE into tars that WebDataset reads, split by split.

    The same table gives the same bytes. A run that was stopped goes on with the shards that it
    still owes. Exit code 1: a clip could not be read and is in no shard.

    \b
    Example:
      obverse data shards clips.parquet -o shards --size 500MB
    """
    from obverse.datasets.tars import write_shards

    with progress_bar("shards", "clip") as tell:
        report = write_shards(table, output, shard_bytes=_bytes(size), force=force, progress=tell)
    for sentence in report.skipped:
        click.echo(f"obverse: {sentence}", err=True)
    if as_json:
        answer = {
            "folder": str(report.folder),
            "shards": list(report.shards),
            "clips": report.clips,
            "skipped": list(report.skipped),
        }
        click.echo(json.dumps(answer, indent=2))
    else:
        click.echo(
            f"{report.folder}: {len(report.shards)} shards, {report.clips} clips, "
            f"{len(report.skipped)} skipped"
        )
    sys.exit(1 if report.skipped else 0)


def _bytes(text: str) -> int:
    units = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
    number = text.strip().upper()
    factor = units.get(number[-2:], 1)
    try:
        return int(float(number.removesuffix(number[-2:]) if factor > 1 else number) * factor)
    except (ValueError, OverflowError):
        raise ConfigError(f"{text!r} is no size; write such as 500MB or 1GB.") from None


@data.command("table")
@click.argument("table", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="A .csv or .parquet; stdout without."
)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of rows.")
def table(table: Path, output: Path | None, force: bool, as_json: bool) -> None:
    """Flatten TABLE: a column an attribute and a parent, with both labels and the length.

    \b
    Example:
      obverse data table clips.parquet -o flat.csv
    """
    from obverse.datasets.table import flat_table, iter_clips

    if output is not None:
        if output.suffix.lower() not in (".csv", ".parquet"):
            raise ConfigError(f"{output} must end in .csv or .parquet; name it so.")
        _require_free(output, force)
    flat = flat_table(iter_clips(table))
    for name in ("fake_segments", "sound_segments"):
        if name in flat:
            flat[name] = flat[name].map(json.dumps)
    if output is None:
        text = flat.to_json(orient="records") + "\n" if as_json else flat.to_csv(index=False)
        click.echo(text, nl=False)
        return
    if output.suffix.lower() == ".csv":
        flat.to_csv(output, index=False)
    else:
        flat.to_parquet(output, index=False)
    click.echo(json.dumps({"file": str(output), "rows": len(flat)}) if as_json else str(output))


def _require_free(path: Path, force: bool) -> None:
    if path.exists() and not force:
        raise OutputExistsError(f"{path} exists already; use --force to overwrite it.")
