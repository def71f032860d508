"""What reads a set: the `Adapter` protocol, what it knows of its set, and what it found on the way.

An adapter yields `Clip` records from a folder as its publisher lays it out. Its paths start at that
folder; `datasets.index` settles them, completes the splits and writes the table. Names of people
carry the set that named them (`vox2:id00017`), so that sets that show the same people can be told.
"""

import collections
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from obverse.clip import Clip, Split, lineage_id
from obverse.errors import InputError

__all__ = ["About", "Adapter", "Count", "Findings", "Place", "clip_id", "require_found"]

_EXAMPLES = 5  # files named of each kind that was found


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a set lies. Most are one folder."""

    root: Path  # the publisher's folder, or the file that lists the clips
    pristine: Path | None = None  # pristine clips that lie elsewhere
    synthetic: Path | None = None  # synthetic clips, for a set made of two folders
    people: bool = False  # whether each folder right below `pristine` and `synthetic` is a person


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many clips a publisher says there are of a kind."""

    clips: int
    where: Mapping[str, str] = dataclasses.field(default_factory=dict)
    # field, or attribute, and its value; a clip counts if all of them hold
    each: str | None = None  # an attribute: the number holds for every value that is there

    @property
    def name(self) -> str:
        """The kind in words, such as "method Deepfakes"."""
        return ", ".join(f"{field} {value}" for field, value in self.where.items()) or "all kinds"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What is published about a set."""

    title: str
    layout: str  # what the folder holds, for a user who named another one
    official: tuple[Split, ...]  # the splits that the publisher gives
    splits: str  # where they come from, one sentence
    published: tuple[Count, ...] = ()
    terms: str  # under which it may be used, in short
    reference: str  # where it is described
    notes: tuple[str, ...] = ()  # what to know before using it


@dataclasses.dataclass(slots=True)
class Findings:
    """What did not go into the table, counted, with a few examples."""

    counts: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    examples: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    def note(self, kind: str, name: str) -> None:
        """Count a file of a kind, such as `listed but not here`; one that cannot be read by why."""
        self.counts[kind] += 1
        named = self.examples.setdefault(kind, [])
        if len(named) < _EXAMPLES:
            named.append(name)

    def sentences(self) -> list[str]:
        """Say what was found, a sentence a kind."""
        return [self._sentence(kind, count) for kind, count in sorted(self.counts.items())]

    def _sentence(self, kind: str, count: int) -> str:
        if kind == UNREADABLE:
            more = count - 1
            rest = f"; {more} more clip{'s' * (more > 1)} cannot be read either" if more else ""
            return self.examples[kind][0].removesuffix(".") + rest
        return (
            f"{count} clip{'s' * (count > 1)} {kind}, such as {', '.join(self.examples[kind][:2])}"
        )


UNREADABLE = "that cannot be read"  # noted with sentences that say why
ABSENT = "listed but not here"
UNLISTED = "here but in no label file"
REPEATED = "listed again"
UNNAMED = "not named as the set names its clips"


class Adapter(Protocol):
    """Reads one set."""

    @property
    def about(self) -> About:
        """What is published about the set."""
        ...

    def read(self, place: Place, findings: Findings) -> Iterator[Clip]:
        """Yield the set's clips, always in the same order.

        Paths and mask paths are relative to `place.root` or absolute; `split` is the publisher's,
        or None. Files are listed and not opened.

        Raises:
            InputError: the folder is not laid out so, or a label file is absent or damaged.
        """
        ...


def clip_id(dataset: str, path: str) -> str:
    """Return the id of a set's clip by its path in it, the same on every machine."""
    return lineage_id({"dataset": dataset, "path": path})


def require_found(clips: Iterator[Clip], place: Place, about: About) -> Iterator[Clip]:
    """Yield the clips, and refuse a folder that has none.

    Raises:
        InputError: there are none.
    """
    found = False
    for clip in clips:
        found = True
        yield clip
    if not found:
        raise InputError(
            f"{place.root} holds no clip of {about.title}; name the folder that holds "
            f"{about.layout}."
        )
