"""`obverse eval metrics` and `compare`: what tables of scores are worth."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from obverse.cli import eval_options
from obverse.cli.eval_options import given_command, judged_of
from obverse.errors import ConfigError, InputError
from obverse.files import write_whole

if TYPE_CHECKING:
    from obverse.eval.evaluation import Policy
    from obverse.eval.score_table import Unit

__all__ = ["compare", "metrics"]


@click.command()
@click.argument("scores", type=click.Path(path_type=Path))
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    help="A table of clips, for labels, identities, methods and attributes.",
)
@click.option("--detector", help="Which one, where SCORES holds several.")
@eval_options.split
@eval_options.sound
@click.option(
    "--unit",
    type=click.Choice(["clip", "track", "frame"]),
    default="clip",
    show_default=True,
    help="What is measured: clips, faces of clips, or frames.",
)
@eval_options.threshold
@eval_options.policy
@eval_options.min_coverage("Share of clips that must have a score; below it the exit code is 1.")
@click.option(
    "--by", multiple=True, help="A column to slice by, in place of method, dataset, attributes."
)
@eval_options.samples
@eval_options.level
@eval_options.seed()
@eval_options.report
@eval_options.force
@eval_options.json_answer
def metrics(
    scores: Path,
    labels: Path | None,
    detector: str | None,
    split: str | None,
    sound: bool,
    unit: "Unit",
    threshold: float,
    policy: "Policy",
    min_coverage: float,
    by: tuple[str, ...],
    samples: int,
    level: float,
    seed: int,
    output: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Measure a detector's SCORES: a parquet or CSV with clip, label, score and status.

    AUC, average precision, EER, TPR at low FPR, accuracy, calibration and the cost of likelihood
    ratios, each with an interval over clips and over identities; slices, the worst generator, a
    threshold carried from set to set. Clips without a score are counted and shown. Exit code 1
    when too few clips have a score.

    Examples:

        obverse eval metrics scores.parquet --labels corpus/clips.parquet --split test

        obverse eval metrics scores.csv --by method --policy wrong -o report --json
    """
    from obverse.eval.evaluation import EvalConfig, evaluate_table
    from obverse.eval.report import origin_of, require_place, write_report
    from obverse.eval.score_report import caveats, evaluation_report, evaluation_text
    from obverse.eval.score_table import read_score_table
    from obverse.eval.weighing import weigh

    if output is not None:
        require_place(output, force=force)
        if scores.resolve().parent == output.resolve():
            raise ConfigError(
                f"{scores} lies in the folder of the report, which writes a table of its own "
                "there; give another folder."
            )
    config = EvalConfig(
        threshold=threshold,
        policy=policy,
        samples=samples,
        seed=seed,
        level=level,
        by=by or None,
    )
    table = read_score_table(
        scores, labels, detector=detector, unit=unit, split=split, judged=judged_of(sound)
    )
    evaluation = evaluate_table(table, config)
    evidence = weigh(table, config)
    if output is not None:
        files = [scores] if labels is None else [scores, labels]
        report = evaluation_report(table, evaluation, evidence, origin_of(files, given_command()))
        output.mkdir(parents=True, exist_ok=True)
        # What `obverse eval compare` reads.
        write_whole(output / "scores.csv", table.to_frame().to_csv(index=False))
        write_report(output, report)
    if as_json:
        click.echo(json.dumps(evaluation.to_json() | {"evidence": evidence.to_json()}))
    else:
        click.echo(evaluation_text(evaluation))
    for sentence in caveats(evaluation):
        click.echo(f"obverse: {sentence}", err=True)
    if evaluation.coverage < min_coverage:
        hint = ""
        if table.absent:
            hint = f"; {table.absent} clips of {labels} have no row (--split leaves out others)"
        click.echo(
            f"obverse: {evaluation.coverage:.1%} of the clips have a score, below the "
            f"{min_coverage:.1%} of --min-coverage: the figures are of what is left{hint}.",
            err=True,
        )
        sys.exit(1)


@click.command()
@click.argument("scores", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--labels", type=click.Path(path_type=Path), help="A table of clips, for labels and identities."
)
@eval_options.split
@eval_options.sound
@eval_options.threshold
@eval_options.policy
@click.option(
    "--metric",
    "chosen",
    multiple=True,
    help="Compare this alone; may be repeated. The fewer, the less correction.",
)
@eval_options.samples
@eval_options.level
@eval_options.seed()
@eval_options.report
@eval_options.force
@eval_options.json_answer
def compare(
    scores: tuple[Path, ...],
    labels: Path | None,
    split: str | None,
    sound: bool,
    threshold: float,
    policy: "Policy",
    chosen: tuple[str, ...],
    samples: int,
    level: float,
    seed: int,
    output: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Compare detectors on the clips that all of them were given.

    SCORES are tables, one a detector or one of several, or folders that `obverse eval metrics -o`
    wrote. Differences have intervals by a paired bootstrap over clips and over identities, DeLong's
    test for AUC, and Holm's correction for all that is compared.

    Examples:

        obverse eval compare report-a report-b

        obverse eval compare a.parquet b.csv --labels clips.parquet --metric auc -o report
    """
    from obverse.eval.comparison import compare_tables
    from obverse.eval.comparison_report import comparison_report, comparison_text
    from obverse.eval.evaluation import EvalConfig
    from obverse.eval.report import origin_of, require_place, write_report
    from obverse.eval.score_table import detectors_in, read_score_table

    if output is not None:
        require_place(output, force=force)
    config = EvalConfig(threshold=threshold, policy=policy, samples=samples, seed=seed, level=level)
    files = [_scores_of(path) for path in scores]
    read = [
        (
            str(given),
            read_score_table(path, labels, detector=name, split=split, judged=judged_of(sound)),
        )
        for given, path in zip(scores, files, strict=True)
        for name in detectors_in(path)
    ]
    names = [table.detector for _, table in read]
    # One detector twice, as on clips before and after an attack: told apart by where it is.
    tables = [
        dataclasses.replace(table, detector=f"{table.detector} in {where}")
        if names.count(table.detector) > 1
        else table
        for where, table in read
    ]
    comparison = compare_tables(tables, config, chosen)
    if output is not None:
        origin = origin_of([*files, *([] if labels is None else [labels])], given_command())
        write_report(output, comparison_report(tables, comparison, origin))
    if as_json:
        click.echo(json.dumps(comparison.to_json()))
    else:
        click.echo(comparison_text(comparison))


def _scores_of(path: Path) -> Path:
    """Return the table of a folder that `obverse eval metrics -o` wrote, or the file itself."""
    if not path.is_dir():
        return path
    if not (path / "scores.csv").is_file():
        raise InputError(
            f"{path} holds no scores.csv; give a table of scores, or a folder that obverse eval "
            "metrics -o wrote."
        )
    return path / "scores.csv"
