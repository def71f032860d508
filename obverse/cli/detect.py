"""`obverse detect`: score clips with a detector."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from obverse.cli.progress import progress_bar
from obverse.clip import Clip, Score
from obverse.datasets.table import read_clips, write_scores
from obverse.errors import InputError, OutputExistsError
from obverse.eval.summary import Summary, summarise
from obverse.media.container import require_file

__all__ = ["detect"]


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    required=True,
    help="What obverse train detector wrote.",
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
@click.option("--threads", type=int, default=1, show_default=True, help="CPU threads.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the intervals' bootstrap.")
@click.option("--force", is_flag=True, help="Overwrite the table of scores.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def detect(
    files: tuple[Path, ...],
    run: Path,
    output: Path | None,
    split: str | None,
    threads: int,
    seed: int,
    force: bool,
    as_json: bool,
) -> None:
    """Score films, or the clips of a table (clips.parquet), from 0 to 1: higher = synthetic.

    A film without a face is `missing`, one that cannot be read is `error`; neither has a number.
    For a table, AUC and equal error rate are given with intervals. Exit code 1 when a film could
    not be scored.

    Examples:

        obverse detect clip.mp4 --run run --json

        obverse detect corpus/clips.parquet --run run --split test -o scores.parquet
    """
    from obverse.detector.score import score, score_films

    if output is not None and output.exists() and not force:
        raise OutputExistsError(f"{output} exists already; use --force to overwrite it.")
    table = _table(files)
    if table is None and split is not None:
        raise InputError("films have no split; leave out --split, or give a table of clips.")
    clips = [] if table is None else _clips(table, split)
    with progress_bar("detect", "clip") as tell:
        if table is None:
            scores = score_films(run, files, threads=threads, progress=tell)
        else:
            scores = score(run, clips, table.parent, threads=threads, progress=tell)
    if output is not None:
        write_scores(output, scores, force=force)
    summary = summarise(clips, scores, seed=seed) if clips else None
    paths = [clip.path for clip in clips] or [str(path) for path in files]
    if as_json:
        rows = [
            {"path": path, **dataclasses.asdict(item)}
            for path, item in zip(paths, scores, strict=True)
        ]
        click.echo(json.dumps({"scores": rows, "summary": summary.to_json() if summary else None}))
    else:
        _print(paths, scores, summary)
    if any(item.status != "ok" for item in scores):
        sys.exit(1)


def _print(paths: Sequence[str], scores: Sequence[Score], summary: Summary | None) -> None:
    for path, item in zip(paths, scores, strict=True):
        said = f"{item.score:.3f}" if item.score is not None else f"{item.status}: {item.reason}"
        click.echo(f"{path}  {said}")
    if summary is not None:
        click.echo(
            f"{summary.synthetic} synthetic and {summary.pristine} pristine clips of "
            f"{summary.identities} identities; {summary.missing} missing, {summary.errors} in error"
        )
        if summary.auc is not None:
            click.echo(f"AUC {summary.auc} (95 % interval), EER {summary.eer:.3f}")


def _table(files: Sequence[Path]) -> Path | None:
    """Return the table of clips among the arguments; None when they are films."""
    for path in files:
        require_file(path)
    tables = [path for path in files if path.suffix == ".parquet"]
    if tables and len(files) > 1:
        raise InputError(f"{tables[0]} is a table of clips; score it alone.")
    return tables[0] if tables else None


def _clips(table: Path, split: str | None) -> list[Clip]:
    clips = [clip for clip in read_clips(table) if split is None or clip.split == split]
    if not clips:
        raise InputError(f"{table} has no clip{'' if split is None else f' of the {split} split'}.")
    return clips
