"""`obverse eval leaderboard`: a board of detectors, made of committed score files."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from obverse.cli import eval_options
from obverse.cli.eval_options import given_command

if TYPE_CHECKING:
    from obverse.eval.evaluation import Policy

__all__ = ["leaderboard"]


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@eval_options.report
@click.option("--title", default="Leaderboard", show_default=True, help="Of the page.")
@eval_options.policy
@eval_options.min_coverage(
    "Share of a set's clips that must have a score for a detector to be ranked."
)
@eval_options.samples
@eval_options.level
@eval_options.seed()
@eval_options.force
@eval_options.json_answer
def leaderboard(
    folder: Path,
    output: Path | None,
    title: str,
    policy: "Policy",
    min_coverage: float,
    samples: int,
    level: float,
    seed: int,
    force: bool,
    as_json: bool,
) -> None:
    """Make a board of the score files in FOLDER, each with a card NAME.yaml beside it.

    A card names detector, set, date, commit and source; docs/evaluation.md lists all that it may
    say. AUC with intervals over clips and over people, EER, coverage, thresholds carried from set
    to set, and places: detectors share one until a paired test, corrected for all pairs, parts
    them. Clips are joined by their ids alone. Exit code 1 when an entry has too few scores to be
    ranked.

    Examples:

        obverse eval leaderboard scores -o board

        obverse eval leaderboard scores --policy wrong --json
    """
    from obverse.eval.evaluation import EvalConfig
    from obverse.eval.leaderboard import make_board, read_board
    from obverse.eval.leaderboard_report import board_report, board_text
    from obverse.eval.report import origin_of, require_place, write_report

    if output is not None:
        require_place(output, force=force)
    config = EvalConfig(policy=policy, samples=samples, seed=seed, level=level)
    read = read_board(folder)
    board = make_board(read, config, min_coverage=min_coverage)
    if output is not None:
        files = dict.fromkeys(path for _, paths, _ in read for path in paths)
        report = board_report(board, origin_of(list(files), given_command()), title)
        write_report(output, report)
    click.echo(json.dumps(board.to_json()) if as_json else board_text(board))
    low = [entry for entry in board.entries.values() if not entry.ranked]
    for entry in low:
        click.echo(
            f"obverse: {entry.evaluation.coverage:.1%} of the clips of {entry.card.set} have a "
            f"score of {entry.card.detector}, below the {min_coverage:.1%} of --min-coverage: it "
            "is shown and not ranked.",
            err=True,
        )
    if low:
        sys.exit(1)
