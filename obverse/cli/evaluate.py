"""`obverse eval`: measurements, each a table with intervals."""

import contextlib
import json
import sys
from pathlib import Path

import click

from obverse.cli import eval_options
from obverse.cli.eval_attack import attack
from obverse.cli.eval_leaderboard import leaderboard
from obverse.cli.eval_matrix import matrix
from obverse.cli.eval_scores import compare, metrics
from obverse.cli.eval_shortcuts import shortcuts
from obverse.cli.progress import progress_bar
from obverse.cli.robust import robust

__all__ = ["evaluate"]


@click.group("eval")
def evaluate() -> None:
    """Measure clips, each measurement a table with intervals.

    Example:

        obverse eval metrics scores.parquet --labels clips.parquet
    """


evaluate.add_command(metrics)
evaluate.add_command(compare)
evaluate.add_command(leaderboard)
evaluate.add_command(shortcuts)
evaluate.add_command(robust)
evaluate.add_command(attack)
evaluate.add_command(matrix)


@evaluate.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--real",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Real clips to stand beside them, in place of published figures.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="A folder for table, rows and plots."
)
@eval_options.jobs
@eval_options.no_cache
@click.option("--tracks", default=3, show_default=True, help="Films drawn over time in the report.")
@eval_options.seed("Of the intervals' bootstrap.")
@eval_options.force
@eval_options.json_answer
def realism(
    folder: Path,
    real: Path | None,
    output: Path | None,
    jobs: int,
    no_cache: bool,
    tracks: int,
    seed: int,
    force: bool,
    as_json: bool,
) -> None:
    """Say how near the talking heads in DIR come to real video.

    Lips, brows, head, blinks, likeness, background and how the lips go with the sound, each with a
    95 % interval over clips and beside what real video has. What is read of a film is kept, so a
    run that was broken off goes on where it was. Exit code 1 when a film could not be measured.

    Example:

        obverse eval realism clips --real real_clips -o report --jobs 2
    """
    from obverse.eval.realism import UNSTEADY, find_clips, measure_clips
    from obverse.eval.realism_report import (
        format_table,
        score_absent,
        write_report,
    )
    from obverse.eval.realism_table import summarise_realism
    from obverse.eval.realism_tracks import read_tracks
    from obverse.eval.report import require_place

    if output is not None:
        require_place(output, force=force, holds="realism.json")
    paths = find_clips(folder)
    beside = None if real is None else find_clips(real)
    with progress_bar("realism", "clip") as tell:
        everything = measure_clips(
            [*paths, *(beside or ())], jobs=jobs, cache=not no_cache, progress=tell
        )
    clips = everything[: len(paths)]
    others = None if beside is None else everything[len(paths) :]
    table = summarise_realism(clips, others, seed=seed)
    if output is not None:
        shown = [clip.path for clip in clips if clip.status == "ok"][: max(0, tracks)]
        drawn = [(path.name, read_tracks(path, cache=not no_cache)) for path in shown]
        write_report(output, table, clips, others, drawn)
    if as_json:
        click.echo(json.dumps(table.to_json()))
        if table.score is None:
            click.echo(f"obverse: the score is {score_absent(table)}.", err=True)
    else:
        click.echo(format_table(table))
        if others is not None:
            unread = sum(clip.status != "ok" for clip in others)
            click.echo(f"{len(others)} real clips, {unread} of them not measured")
    for clip in everything:
        if clip.reason is not None:
            click.echo(f"obverse: {clip.status}: {clip.reason}", err=True)
        if clip.status == "ok" and clip.values["jitter"] > UNSTEADY:
            click.echo(
                f"obverse: {clip.path} has a jitter of {clip.values['jitter']:.1f} ‰ (real films: "
                "2 to 7): its face is read unsteadily, do not trust its other values.",
                err=True,
            )
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    if any(clip.status != "ok" for clip in everything):
        sys.exit(1)
