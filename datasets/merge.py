"""Several tables of clips in one, so that a detector trains on several sets at once."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import obverse
from obverse.clip import Clip
from obverse.datasets.adapter import Findings
from obverse.datasets.index import settle_paths
from obverse.datasets.table import iter_clips, read_notes, write_clips
from obverse.errors import ConfigError, InputError

__all__ = ["merge_tables", "sets_of"]

_AGAIN = "in two of the tables, taken once"


def merge_tables(
    tables: Sequence[Path], output: Path, findings: Findings, *, force: bool = False
) -> int:
    """Write the clips of all tables as one; a clip that is in several is taken from the first.

    Splits stay as they are: people that two sets share may then be in two, which `check` tells.

    Args:
        tables: at least one.
        output: the table to write.
        findings: told of clips that are in several tables.
        force: replace a table that is there.

    Returns:
        The number of clips.

    Raises:
        InputError: a table cannot be read, or two contradict one another.
        ConfigError: the output is one of the tables.
        OutputExistsError: the output is there and `force` is not set.
    """
    for table in tables:
        if output.exists() and table.exists() and output.samefile(table):
            raise ConfigError(f"{output} is one of the tables to be merged; name another file.")
    notes = [read_notes(table) for table in tables]

    def described() -> dict[str, Any]:
        return {
            "sets": sorted({name for each in notes for name in sets_of(each)}),
            "merged": notes,
            "tool": f"obverse {obverse.__version__}",
        }

    return write_clips(output, _merged(tables, output, findings), force=force, notes=described)


def sets_of(notes: dict[str, Any]) -> list[str]:
    """Return the sets that a table was made of, by its notes; none where they do not say."""
    if "sets" in notes:
        return [str(name) for name in notes["sets"]]
    return [str(notes["set"])] if "set" in notes else []


def _merged(tables: Sequence[Path], output: Path, findings: Findings) -> Iterator[Clip]:
    seen: dict[str, str] = {}
    for table in tables:
        for clip in settle_paths(iter_clips(table), table.parent, output):
            said = f"{clip.label} {clip.sound} {clip.split}"
            if clip.id not in seen:
                seen[clip.id] = said
                yield clip
            elif seen[clip.id] == said:
                findings.note(_AGAIN, clip.path)
            else:
                raise InputError(
                    f"{clip.path} is {seen[clip.id]} in one table and {said} in {table} (picture, "
                    "sound, split); index both with the same --splits."
                )
