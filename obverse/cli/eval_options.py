"""What several verbs of `obverse eval` ask for, each said once."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from obverse.clip import Clip, Judged

Option = Callable[[Callable[..., Any]], Callable[..., Any]]

__all__ = [
    "clips_of",
    "data",
    "every_split",
    "force",
    "given_command",
    "jobs",
    "json_answer",
    "judged_of",
    "key_file",
    "level",
    "min_coverage",
    "no_cache",
    "policy",
    "report",
    "report_needed",
    "samples",
    "seed",
    "sound",
    "split",
    "sweep_force",
    "threads",
    "threshold",
    "workers",
]

# Of verbs that read tables of scores.
split = click.option(
    "--split", type=click.Choice(["train", "val", "test"]), help="Only this split."
)
sound = click.option(
    "--sound", is_flag=True, help="Sound is judged as well: with --labels, its forgeries count."
)
threshold = click.option(
    "--threshold",
    type=float,
    default=0.5,
    show_default=True,
    help="At and above it a clip is called synthetic.",
)
policy = click.option(
    "--policy",
    type=click.Choice(["exclude", "wrong", "synthetic", "pristine"]),
    default="exclude",
    show_default=True,
    help="For clips without a score: left out, misjudged, or called one or the other.",
)
samples = click.option("--samples", default=2000, show_default=True, help="Of the bootstrap.")
level = click.option(
    "--level", default=0.95, show_default=True, help="Confidence of the intervals."
)

# Of verbs that read films.
no_cache = click.option(
    "--no-cache", is_flag=True, help="Read every clip anew, and keep nothing of what is read."
)
jobs = click.option("--jobs", default=1, show_default=True, help="Clips at a time.")

# Of verbs that score films anew.
data = click.option(
    "--data", type=click.Path(path_type=Path), required=True, help="A table of clips with labels."
)
every_split = click.option(
    "--split",
    type=click.Choice(["train", "val", "test", "all"]),
    default="test",
    show_default=True,
    help="Which clips of the table.",
)
workers = click.option(
    "--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes."
)
threads = click.option(
    "--threads", type=click.IntRange(min=1), default=1, show_default=True, help="CPU threads."
)
key_file = click.option(
    "--key",
    "key_file",
    type=click.Path(path_type=Path),
    help="A file with the secret key of the clips' marks; without it, the public one.",
)
report_needed = click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The report, a folder."
)
sweep_force = click.option(
    "--force", is_flag=True, help="Throw away the scores that are in the folder."
)

# Of nearly all.
report = click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="A folder for page, tables and plots."
)
force = click.option("--force", is_flag=True, help="Replace a report.")
json_answer = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def seed(of: str = "Of the bootstrap.") -> Option:
    """Return the option of a seed, with what it is of."""
    return click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help=of)


def min_coverage(of: str) -> Option:
    """Return the option of a least coverage, with what it is of."""
    return click.option(
        "--min-coverage", type=click.FloatRange(0, 1), default=0.9, show_default=True, help=of
    )


def given_command() -> str:
    """Return the command line that is being carried out."""
    context = click.get_current_context()
    given = context.find_root().obj
    return context.command_path if given is None else shlex.join(["obverse", *given])


def judged_of(sound: bool) -> "Judged | None":
    """Return what makes a clip synthetic, by whether the user says that sound is judged as well;
    None leaves it to the table of scores.
    """
    return "picture and sound" if sound else None


def clips_of(table: Path, split: str) -> "list[Clip]":
    """Return the clips of a table and split, or of all splits.

    Raises:
        InputError: the table cannot be read, or there are none.
    """
    from obverse.datasets.table import read_clips
    from obverse.errors import InputError

    clips = [clip for clip in read_clips(table) if split in ("all", clip.split)]
    if not clips:
        raise InputError(
            f"{table} has no clips of the split {split}; name another with --split, or all."
        )
    return clips
