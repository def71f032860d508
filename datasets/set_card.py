"""The card of any table of clips: what is in it, how it is split, what is not known."""

import collections
from collections import Counter
from pathlib import Path
from typing import Any

from obverse.clip import Clip
from obverse.datasets.adapter import About
from obverse.datasets.catalogue import ADAPTERS
from obverse.datasets.split import SPLITS, find_leaks
from obverse.datasets.table import iter_clips, read_notes

__all__ = ["set_card"]

_MOST_VALUES = 24  # of an attribute; one with more is counted, not listed
_SHOWN_LEAKS = 5
_SPLITTING = {
    "official": "The publisher's splits, completed where it gives none.",
    "disjoint": "Drawn by hash over people, in place of the publisher's.",
    "none": "The publisher's alone; what it leaves open is in no split.",
}


def set_card(table: Path) -> str:
    """Return a card in Markdown for a table of clips.

    Raises:
        InputError: the table is absent, or is none.
    """
    notes = read_notes(table)
    counted = _Counted()
    leaks = find_leaks(counted.watch(clip) for clip in iter_clips(table))
    names = sorted(counted.sets)
    titles = [ADAPTERS[name].about.title if name in ADAPTERS else name for name in names]
    parts = [
        f"# Card of {', '.join(titles) or table.name}",
        _summary(counted, notes),
        *(_about(ADAPTERS[name].about) for name in names if name in ADAPTERS),
        "## Clips",
        counted.table("split", counted.by_split, [*SPLITS, "none"]),
        counted.table("method", counted.by_method, sorted(counted.by_method)),
        "## Splits",
        _splits(counted, notes, leaks),
        *_attributes(counted),
        "## What is not known",
        _unknown(counted),
    ]
    if notes.get("findings"):
        listed = "\n".join(f"- {sentence}" for sentence in notes["findings"])
        parts += ["## What was found and left out, or is in no split", listed]
    return "\n\n".join(part for part in parts if part) + "\n"


class _Row:
    """One row of a table of counts."""

    def __init__(self) -> None:
        self.clips: Counter[str] = Counter()
        self.people: set[str] = set()
        self.seconds = 0.0

    def add(self, clip: Clip) -> None:
        self.clips[clip.label] += 1
        self.clips["sound"] += clip.sound == "synthetic"
        self.people |= {name for name in (clip.identity, clip.donor) if name is not None}
        self.seconds += clip.seconds


class _Counted:
    """What a table holds, counted as it passes."""

    def __init__(self) -> None:
        self.clips = 0
        self.all = _Row()
        self.sets: Counter[str] = Counter()
        self.by_split: dict[str, _Row] = collections.defaultdict(_Row)
        self.by_method: dict[str, _Row] = collections.defaultdict(_Row)
        # attribute -> value -> split -> clips
        self.attributes: dict[str, dict[str, Counter[str]]] = collections.defaultdict(dict)
        self.unknown: Counter[str] = Counter()

    def watch(self, clip: Clip) -> Clip:
        """Count a clip and give it back."""
        self.clips += 1
        if clip.dataset is not None:
            self.sets[clip.dataset] += 1
        for row in (
            self.all,
            self.by_split[clip.split or "none"],
            self.by_method[clip.method or "none (pristine)"],
        ):
            row.add(clip)
        for name, value in clip.attributes.items():
            values = self.attributes[name]
            if value in values or len(values) <= _MOST_VALUES:
                values.setdefault(value, Counter())[clip.split or "none"] += 1
        self.unknown["who is on screen"] += clip.identity is None
        self.unknown["whether the sound is real"] += clip.sound is None
        self.unknown["length and size (index with --probe)"] += not clip.width
        self.unknown["the file's hash (index with --hash)"] += clip.sha256 is None
        return clip

    def table(self, name: str, rows: dict[str, _Row], order: list[str]) -> str:
        """Return rows of counts in Markdown."""
        lines = [
            f"| {name} | pristine | synthetic | synthetic sound | people | hours |",
            "|---|---|---|---|---|---|",
        ]
        for key in order:
            if key in rows:
                row = rows[key]
                hours = f"{row.seconds / 3600:.2f}" if row.seconds else "not known"
                lines.append(
                    f"| {key} | {row.clips['pristine']} | {row.clips['synthetic']} | "
                    f"{row.clips['sound']} | {len(row.people) or 'not known'} | {hours} |"
                )
        return "\n".join(lines)


def _summary(counted: _Counted, notes: dict[str, Any]) -> str:
    clips = counted.all.clips
    tool = f", by {notes['tool']}" if notes.get("tool") else ""
    only = "; ".join(f"{key} {', '.join(values)}" for key, values in notes.get("keep", {}).items())
    kept = f" Only clips with {only} are in it." if only else ""
    return (
        f"{clips['pristine'] + clips['synthetic']} clips: {clips['pristine']} with a pristine and "
        f"{clips['synthetic']} with a synthetic picture, {clips['sound']} with synthetic "
        f"sound{tool}.{kept}"
    )


def _about(about: About) -> str:
    lines = [
        f"**{about.title}.** Terms: {about.terms}. Described at "
        f"{about.reference or 'no place that is known'}.",
        *(f"- {note}" for note in about.notes),
    ]
    return "\n".join(lines)


def _splits(counted: _Counted, notes: dict[str, Any], leaks: list[str]) -> str:
    said = []
    for name in sorted(counted.sets):
        if name in ADAPTERS:
            about = ADAPTERS[name].about
            said.append(f"{about.title}: {about.splits}.")
    said.append(_SPLITTING.get(str(notes.get("splits")), ""))
    if notes.get("cut"):
        said.append(
            "Face swaps tie most people together, so each person was drawn alone, and clips of "
            "people in two splits are in none."
        )
    if leaks:
        shown = "; ".join(leaks[:_SHOWN_LEAKS]) + (", ..." if len(leaks) > _SHOWN_LEAKS else "")
        said.append(f"**{len(leaks)} leaks: {shown}.**")
    else:
        said.append("No identity, voice or source is in more than one split.")
    return " ".join(part for part in said if part)


def _attributes(counted: _Counted) -> list[str]:
    if not counted.attributes:
        return []
    splits = [split for split in (*SPLITS, "none") if split in counted.by_split]
    lines = [
        f"| attribute | value | {' | '.join(splits)} |",
        "|".join(["", *["---"] * (len(splits) + 2), ""]),
    ]
    for name, values in sorted(counted.attributes.items()):
        if len(values) > _MOST_VALUES:
            lines.append(f"| {name} | more than {_MOST_VALUES} values |" + " |" * len(splits))
            continue
        for value, clips in sorted(values.items()):
            numbers = " | ".join(str(clips[split]) for split in splits)
            lines.append(f"| {name} | {value} | {numbers} |")
    return ["## Attributes", "Clips of each split.", "\n".join(lines)]


def _unknown(counted: _Counted) -> str:
    total = counted.clips
    lines = [
        f"- {what}: of {count} of {total} clips" for what, count in counted.unknown.items() if count
    ]
    return "\n".join(lines) or "Nothing of what a record can hold."
