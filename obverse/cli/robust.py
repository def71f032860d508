"""`obverse eval robust`: a detector's scores on clips that were changed."""

import json
import sys
from pathlib import Path

import click

from obverse.cli import eval_options
from obverse.cli.eval_options import clips_of, given_command
from obverse.cli.progress import progress_bar

__all__ = ["robust"]


@click.command()
@click.option(
    "--detector",
    "run",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="What obverse train detector or obverse export wrote; without it, what ships.",
)
@eval_options.data
@eval_options.every_split
@click.option(
    "--grid",
    "grid_name",
    default="basic",
    show_default=True,
    metavar="NAME|FILE.yaml",
    help="What is done to the clips: a built-in grid or a file; see docs/robustness.md.",
)
@click.option(
    "--faces",
    type=click.Choice(["each", "clean"]),
    default="each",
    show_default=True,
    help="Search for faces in each copy, or in the undistorted clip alone, which is faster.",
)
@eval_options.report_needed
@eval_options.workers
@eval_options.threads
@click.option(
    "--keep",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Keep every distorted film there; without it none is kept.",
)
@eval_options.key_file
@eval_options.seed("Of the intervals' bootstrap.")
@eval_options.sweep_force
@eval_options.json_answer
def robust(
    run: Path | None,
    data: Path,
    split: str,
    grid_name: str,
    faces: str,
    output: Path,
    workers: int,
    threads: int,
    keep: Path | None,
    key_file: Path | None,
    seed: int,
    force: bool,
    as_json: bool,
) -> None:
    """Score distorted clips, and say how much each distortion costs.

    Built-in grids: basic (H.264, half size, marks), marks, swaps, deeperforensics, gend, codecs,
    sizes, platforms, screen, sound. What was broken off goes on where it was. The folder gets
    scores.parquet, table.csv, and one offline page with tables and figures. Exit code 1 when a clip
    could not be scored under some condition.

    With --faces each a clip whose face is no longer found is missing, as it would be for whoever
    is sent the copy. With --faces clean faces are cut where the undistorted clip has them, so that
    the detector alone is measured, as studies of aligned faces do; copies whose picture moves are
    searched all the same.

    Examples:

        obverse eval robust --detector run --data corpus/clips.parquet --grid basic -o report

        obverse eval robust --data ff.parquet --grid deeperforensics --faces clean -o report
    """
    from obverse.detector.runs import shipped_detector
    from obverse.detector.score import open_detector
    from obverse.eval.conditions import GRIDS, load_grid
    from obverse.eval.report import origin_of, require_place
    from obverse.eval.robust import ROWS, Store, sweep
    from obverse.eval.robust_report import format_table, write_report
    from obverse.eval.robust_table import tabulate
    from obverse.watermark.carriers import DEFAULT_KEY, read_key

    grid = load_grid(grid_name)
    clips = clips_of(data, split)
    run = shipped_detector() if run is None else run
    opened = open_detector(run, threads)
    detector = opened.id
    key = DEFAULT_KEY if key_file is None else read_key(key_file)
    # A sweep goes on in its own folder, and writes over nobody else's.
    require_place(output, force=True, holds=ROWS)
    output.mkdir(parents=True, exist_ok=True)
    with (
        Store(output / ROWS, detector, force=force) as store,
        progress_bar("robust", "score") as tell,
    ):
        rows = sweep(
            run,
            clips,
            data.parent,
            grid,
            store,
            workers=workers,
            threads=threads,
            faces=faces,  # type: ignore[arg-type]
            keep=keep,
            key=key,
            progress=tell,
        )
    table = tabulate(grid, clips, rows, detector, judged=opened.judges, seed=seed)
    files = [data] if grid_name in GRIDS else [data, Path(grid_name)]
    write_report(output, grid, rows, table, origin_of(files, given_command()))
    click.echo(json.dumps(table.to_json()) if as_json else format_table(table))
    for row in rows:
        if row.status == "error":
            click.echo(f"obverse: {row.condition}: {row.reason}", err=True)
    if any(row.status != "ok" for row in rows):
        sys.exit(1)
