"""`obverse detect`: scores and verdicts of clips."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from obverse.cli.progress import progress_bar
from obverse.clip import Clip, Score
from obverse.datasets.footage import Footage, Source, footage_at
from obverse.datasets.table import read_clips, write_scores
from obverse.datasets.walk import PICTURES
from obverse.errors import InputError, ObverseError, OutputExistsError
from obverse.eval.summary import Summary, summarise
from obverse.media.container import require_file

if TYPE_CHECKING:
    from obverse.detector.fusion import Fusion
    from obverse.detector.runs import Detector

__all__ = ["detect"]


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    help="What obverse train detector or obverse export wrote; without it, what ships.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="A table of scores to write, a row a clip.",
)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    help="Only this split of a table of clips.",
)
@click.option(
    "--explain",
    type=click.Path(path_type=Path),
    help="A folder to write pictures to that show why: timeline, heat, worst frames.",
)
@click.option(
    "--crops", type=click.Path(path_type=Path), help="Where crops are kept and taken from."
)
@click.option("--workers", type=int, default=1, show_default=True, help="Processes.")
@click.option("--threads", type=int, default=1, show_default=True, help="CPU threads of each.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the intervals' bootstrap.")
@click.option("--force", is_flag=True, help="Overwrite the table and the explanations.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def detect(
    files: tuple[Path, ...],
    run: Path | None,
    output: Path | None,
    split: str | None,
    explain: Path | None,
    crops: Path | None,
    workers: int,
    threads: int,
    seed: int,
    force: bool,
    as_json: bool,
) -> None:
    """Score films, a folder of them, or the clips of a table, from 0 to 1: higher = synthetic.

    A film without a face is `missing`, one that cannot be read is `error`; neither has a number.
    A calibrated detector also gives a likelihood ratio and a verdict: synthetic, pristine, or
    cannot tell. For a table, AUC and equal error rate are given with intervals. Exit code 1 when a
    film could not be scored.

    Examples:

        obverse detect clip.mp4 --run run --json

        obverse detect corpus/clips.parquet --run run --split test -o scores.parquet
    """
    from obverse.detector.runs import shipped_detector
    from obverse.detector.score import as_json as to_json
    from obverse.detector.score import open_detector, score, score_films

    for place in (output, explain):
        if place is not None and place.exists() and not force:
            raise OutputExistsError(f"{place} exists already; use --force to overwrite it.")
    films, table = _given(files)
    if table is None and split is not None:
        raise InputError("films have no split; leave out --split, or give a table of clips.")
    clips = [] if table is None else _clips(table, split)
    run = shipped_detector() if run is None else run
    detector = open_detector(run, threads)
    with progress_bar("detect", "clip") as tell:
        if table is None:
            scores = score_films(
                run, films, threads=threads, workers=workers, crops=crops, progress=tell
            )
        else:
            scores = score(
                run,
                clips,
                table.parent,
                threads=threads,
                workers=workers,
                crops=crops,
                progress=tell,
            )
    if output is not None:
        write_scores(output, _once(scores), force=force)
    folder = Path() if table is None else table.parent
    places = [Footage.of(clip, folder) for clip in clips] or [footage_at(path) for path in films]
    if explain is not None:
        masks = [folder / c.mask_path if c.mask_path else None for c in clips] or [None] * len(
            films
        )
        _explain(explain, detector, places, masks, scores, crops)
    summary = summarise(clips, scores, judged=detector.judges, seed=seed) if clips else None
    paths = [str(Footage(Path(clip.path), clip.member)) for clip in clips]
    paths = paths or [str(path) for path in films]
    rows = [to_json(path, item, detector) for path, item in zip(paths, scores, strict=True)]
    if as_json and table is None and len(files) == 1 and not files[0].is_dir():
        click.echo(json.dumps(rows[0]))
    elif as_json:
        answer = {"scores": rows, "summary": summary.to_json() if summary else None}
        click.echo(json.dumps(answer))
    else:
        _print(paths, places, scores, summary, rows)
    if any(item.status != "ok" for item in scores):
        sys.exit(1)


def _print(
    paths: Sequence[str],
    places: Sequence[Footage],
    scores: Sequence[Score],
    summary: Summary | None,
    rows: Sequence[dict[str, Any]],
) -> None:
    for path, place, item, row in zip(paths, places, scores, rows, strict=True):
        if item.score is None:
            click.echo(f"{path}  {item.status}: {place.without_place(item.reason or '')}")
            continue
        said = f"{path}  {item.score:.3f}"
        if item.verdict is not None:
            said += f"  {item.verdict}"
            said += f", LR {item.lr:.3g}" if item.lr is not None else ""
            faces = len(row["tracks"])
            said += f", {faces} faces" if faces > 1 else ""
            said += f" ({item.reason})" if item.reason else ""
        click.echo(said)
    click.echo(rows[0]["meaning"], err=True)
    if summary is not None:
        by = "" if summary.judged == "picture" else " (picture or sound)"
        click.echo(
            f"{summary.synthetic} synthetic{by} and {summary.pristine} pristine clips of "
            f"{summary.identities} identities; {summary.missing} missing, {summary.errors} in error"
        )
        if summary.auc is not None:
            people = summary.auc_by_identity
            over = "" if people is None else f"; over people [{people.low:.3f}, {people.high:.3f}]"
            click.echo(f"AUC {summary.auc} (95 % interval{over}), EER {summary.eer:.3f}")
        if summary.caution is not None:
            click.echo(f"obverse: {summary.caution}", err=True)


def _once(scores: Sequence[Score]) -> list[Score]:
    """Return scores without those of copies of one film, which share an id."""
    return list({item.clip: item for item in scores}.values())


def _explain(
    folder: Path,
    detector: "Detector | Fusion",
    paths: Sequence[Source],
    masks: Sequence[Path | None],
    scores: Sequence[Score],
    crops: Path | None,
) -> None:
    """Write a folder a film; one that has no score has nothing to explain."""
    from obverse.detector.crop_store import open_reader
    from obverse.detector.explain import explain_film
    from obverse.media.still import read_still

    shown = [n for n, item in enumerate(scores) if item.status == "ok"]
    with progress_bar("explain", "clip") as tell:
        tell(0, len(shown))
        for done, number in enumerate(shown, start=1):
            mask_path = masks[number]
            mask = None
            # Some sets' masks are films, frame by frame; these are not compared with.
            pictured = mask_path is not None and mask_path.suffix.lower() in PICTURES
            if mask_path is not None and pictured and mask_path.is_file():
                mask = read_still(mask_path)[..., 0]
            place = folder / scores[number].clip[:16] if len(paths) > 1 else folder
            try:
                explain_film(paths[number], place, detector, open_reader(), mask=mask, crops=crops)
            except ObverseError as error:
                click.echo(f"obverse: {error}", err=True)
            tell(done, len(shown))


def _given(files: Sequence[Path]) -> tuple[list[Path], Path | None]:
    """Return the films among the arguments, those of folders too, or the table of clips."""
    from obverse.detector.pristine import films_in

    films: list[Path] = []
    tables: list[Path] = []
    for path in files:
        if path.is_dir():
            films += films_in(path)
            continue
        require_file(path)
        (tables if path.suffix == ".parquet" else films).append(path)
    if tables and len(files) > 1:
        raise InputError(f"{tables[0]} is a table of clips; score it alone.")
    return films, tables[0] if tables else None


def _clips(table: Path, split: str | None) -> list[Clip]:
    clips = [clip for clip in read_clips(table) if split is None or clip.split == split]
    if not clips:
        raise InputError(f"{table} has no clip{'' if split is None else f' of the {split} split'}.")
    return clips
