"""`obverse eval matrix`: trained on one generator, tried on all."""

import json
from pathlib import Path

import click

from obverse.cli import eval_options
from obverse.cli.eval_options import judged_of
from obverse.errors import ConfigError, OutputExistsError
from obverse.files import write_whole

__all__ = ["matrix"]


@click.command()
@click.option(
    "--trained-on",
    "trained",
    multiple=True,
    metavar="NAME=SCORES",
    help="What a detector was trained on, and its scores; may be repeated.",
)
@click.option(
    "--left-out",
    "left_out",
    multiple=True,
    metavar="METHOD=SCORES",
    help="A method that a detector was trained without, and its scores; may be repeated.",
)
@click.option(
    "--whole",
    type=click.Path(path_type=Path),
    metavar="SCORES",
    help="The scores of a detector that was trained on every method.",
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    help="A table of clips, for labels, identities, methods and sets.",
)
@eval_options.split
@eval_options.sound
@click.option(
    "--by",
    type=click.Choice(["method", "dataset"]),
    default="method",
    show_default=True,
    help="What the columns are.",
)
@eval_options.seed()
@click.option("-o", "--output", type=click.Path(path_type=Path), help="A CSV file, a line a cell.")
@click.option("--force", is_flag=True, help="Replace the file.")
@eval_options.json_answer
def matrix(
    trained: tuple[str, ...],
    left_out: tuple[str, ...],
    whole: Path | None,
    labels: Path | None,
    split: str | None,
    sound: bool,
    by: str,
    seed: int,
    output: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Say how detectors trained on one method do on others, and what leaving one out costs.

    Scores are tables that obverse detect wrote with -o, or CSV files. Each cell is an AUC with a
    95 % interval; a cost is the AUC of the detector that saw a method less that of the one that
    did not, on the same clips.

    Examples:

        obverse eval matrix --trained-on talk=a.csv --trained-on swap=b.csv --labels t.parquet

        obverse eval matrix --whole all.csv --left-out talk=c.csv --labels t.parquet
    """
    from obverse.eval.matrix import format_matrix, matrix_csv, matrix_of
    from obverse.eval.score_table import read_score_table

    if output is not None and output.exists() and not force:
        raise OutputExistsError(f"{output} exists already; use --force to replace it.")
    tables = {
        option: {
            name: read_score_table(path, labels, split=split, judged=judged_of(sound))
            for name, path in _named(option, given).items()
        }
        for option, given in (("--trained-on", trained), ("--left-out", left_out))
    }
    every = (
        None
        if whole is None
        else read_score_table(whole, labels, split=split, judged=judged_of(sound))
    )
    found = matrix_of(tables["--trained-on"], tables["--left-out"], every, by=by, seed=seed)  # type: ignore[arg-type]
    if output is not None:
        write_whole(output, matrix_csv(found))
    click.echo(json.dumps(found.to_json()) if as_json else format_matrix(found))


def _named(option: str, given: tuple[str, ...]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for each in given:
        name, sign, path = each.partition("=")
        if not (name and sign and path):
            raise ConfigError(f"{option} is {each!r}; give NAME=FILE, such as talk=scores.parquet.")
        if name in found:
            raise ConfigError(f"{option} names {name!r} twice; give each table its own name.")
        found[name] = Path(path)
    return found
