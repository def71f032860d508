"""`obverse eval attack`: how little must change for a synthetic clip to pass."""

import json
import sys
from pathlib import Path

import click

from obverse.cli import eval_options
from obverse.cli.eval_options import clips_of, given_command
from obverse.cli.progress import progress_bar

__all__ = ["attack"]


@click.command()
@click.option(
    "--detector",
    "run",
    type=click.Path(path_type=Path),
    required=True,
    metavar="RUN",
    help="What obverse train detector wrote; for square and transfer also an exported .onnx file.",
)
@eval_options.data
@eval_options.every_split
@click.option(
    "--method",
    type=click.Choice(["pgd", "transfer", "square"]),
    default="pgd",
    show_default=True,
    help="By the detector's gradient, another run's, or its scores alone.",
)
@click.option(
    "--budget",
    "budgets",
    type=click.IntRange(1, 64),
    multiple=True,
    default=(1, 2, 4, 8),
    show_default=True,
    help="Grey levels of 255 that a value may change by; may be repeated.",
)
@click.option("--steps", default=20, show_default=True, help="Of pgd and transfer.")
@click.option("--queries", default=200, show_default=True, help="Of square, a crop.")
@click.option(
    "--surrogate", type=click.Path(path_type=Path), help="The run whose gradient transfer follows."
)
@click.option(
    "--film",
    is_flag=True,
    help="Put the change into the film, encode it, score that, and read its mark.",
)
@eval_options.key_file
@eval_options.report_needed
@eval_options.workers
@eval_options.threads
@eval_options.seed("Of the intervals' bootstrap.")
@eval_options.sweep_force
@eval_options.json_answer
def attack(
    run: Path,
    data: Path,
    split: str,
    method: str,
    budgets: tuple[int, ...],
    steps: int,
    queries: int,
    surrogate: Path | None,
    film: bool,
    key_file: Path | None,
    output: Path,
    workers: int,
    threads: int,
    seed: int,
    force: bool,
    as_json: bool,
) -> None:
    """Change synthetic clips a little, so that a detector takes them for pristine.

    Pristine clips are left alone. The report is that of obverse eval robust, with the budget as the
    level; what was broken off goes on where it was. Exit code 1 when a clip could not be scored.

    Examples:

        obverse eval attack --detector run --data corpus/clips.parquet -o attacked

        obverse eval attack --detector f.onnx --data corpus/clips.parquet --method square -o asked
    """
    from obverse.detector.score import open_detector
    from obverse.eval.attacks import AttackConfig, attack_clips, attack_grid, require_attack
    from obverse.eval.report import origin_of, require_place
    from obverse.eval.robust import ROWS, Store
    from obverse.eval.robust_report import format_table, write_report
    from obverse.eval.robust_table import tabulate
    from obverse.watermark.carriers import DEFAULT_KEY, read_key

    config = AttackConfig(
        method=method,  # type: ignore[arg-type]
        budgets=tuple(sorted(set(budgets))),
        steps=steps,
        queries=queries,
        film=film,
    )
    clips = clips_of(data, split)
    detector = open_detector(run, threads)
    key = DEFAULT_KEY if key_file is None else read_key(key_file)
    # A sweep goes on in its own folder, and writes over nobody else's.
    require_place(output, force=True, holds=ROWS)
    require_attack(run, config, surrogate, threads=threads)
    output.mkdir(parents=True, exist_ok=True)
    with (
        Store(output / ROWS, detector.id, force=force) as store,
        progress_bar("attack", "score") as tell,
    ):
        rows = attack_clips(
            run,
            clips,
            data.parent,
            config,
            store,
            surrogate=surrogate,
            judged=detector.judges,
            workers=workers,
            threads=threads,
            key=key,
            progress=tell,
        )
    grid = attack_grid(config)
    table = tabulate(grid, clips, rows, detector.id, judged=detector.judges, seed=seed)
    write_report(output, grid, rows, table, origin_of([data], given_command()))
    click.echo(json.dumps(table.to_json()) if as_json else format_table(table))
    for line in table.lines:
        if line.method is None and line.marked is not None and not as_json:
            click.echo(f"{line.condition}: the mark is read in {line.marked:.0%} of the films")
    for row in rows:
        if row.status == "error":
            click.echo(f"obverse: {row.condition}: {row.reason}", err=True)
    if any(row.status != "ok" for row in rows):
        sys.exit(1)
