"""Checks tables of clips: against what is published, against their files, and for leaks."""

import collections
import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from obverse.clip import Clip
from obverse.datasets.adapter import Count
from obverse.datasets.catalogue import ADAPTERS
from obverse.datasets.duplicates import Print, find_alike
from obverse.datasets.index import field_of
from obverse.datasets.merge import sets_of
from obverse.datasets.readings import probe_footage, read_each
from obverse.datasets.split import SPLITS, find_leaks
from obverse.datasets.table import clip_path, iter_clips, read_notes
from obverse.errors import ConfigError

__all__ = ["CheckConfig", "CheckReport", "Fingerprinting", "Problem", "check_tables"]

Files = Literal["none", "present", "open"]
FILES: tuple[Files, ...] = ("none", "present", "open")
Kind = Literal["count", "file", "leak", "copy", "alike"]
Progress = Callable[[str, int, int], None]  # what is looked at, clips done, of how many

_EXAMPLES = 3


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprinting:
    """How to tell that two clips look alike."""

    of: Callable[[Clip, Path], tuple[int, ...]]  # 64 bits a second; raises InputError
    distance: Callable[[Sequence[int], Sequence[int]], float]
    at_most: float  # the distance of copies


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CheckConfig:
    """What is checked."""

    files: Files = "present"  # nothing, that each is there, or that each opens
    content: Fingerprinting | None = None  # look for clips that look alike across splits
    partial: bool = False  # a part of a set is meant: fewer clips than published are no problem
    workers: int = 1  # threads that open files

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        if self.files not in FILES:
            raise ConfigError(f"files is {self.files!r}; it is one of {', '.join(FILES)}.")
        if self.workers < 1:
            raise ConfigError(f"workers is {self.workers}; at least 1 is needed.")


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong with a table."""

    kind: Kind
    text: str  # one sentence
    clips: int  # how many it concerns


@dataclasses.dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check found."""

    tables: tuple[Path, ...]
    clips: int
    problems: tuple[Problem, ...]
    passed: tuple[str, ...]  # what was looked at and is right, a sentence each


def check_tables(
    tables: Sequence[Path], config: CheckConfig | None = None, *, progress: Progress | None = None
) -> CheckReport:
    """Check tables of clips, together: one set's person may not be in another set's test.

    Raises:
        InputError: one is absent, is no such table, or has a row that contradicts itself.
    """
    config = config or CheckConfig()
    notes = [read_notes(table) for table in tables]
    # A table of one set may hold clips of another, which are not meant to be all of it.
    sets = {name for each in notes for name in sets_of(each)} if all(map(sets_of, notes)) else None
    inner = [each for merged in notes for each in (merged, *merged.get("merged", ()))]
    drawn = any(each.get("splits") == "disjoint" for each in inner)
    tally = _Tally(published_splits=not drawn, sets=sets)
    leaks = find_leaks(tally.watched(clip for _, clip in _clips(tables)))
    problems: list[Problem] = []
    passed: list[str] = []

    def settle(found: list[Problem], right: str) -> None:
        problems.extend(found)
        if not found and right:
            passed.append(right)

    settle(*tally.counts(config.partial))
    settle(_leaked(leaks), "no identity, voice or source is in two splits")
    settle(tally.copies(), "no file is there twice" if tally.hashed else "")
    if config.files != "none":
        found = _files(tables, config, tally.clips, progress)
        opened = "opens" if config.files == "open" else "is there"
        settle(found, f"every file {opened}")
    if config.content is not None:
        found = _alike(tables, config, config.content, tally.clips, progress)
        settle(found, "no two clips of different splits look alike")
    return CheckReport(tuple(tables), tally.clips, tuple(problems), tuple(passed))


def _clips(tables: Sequence[Path]) -> Iterator[tuple[Path, Clip]]:
    """Yield each clip with the folder at which its paths start."""
    for table in tables:
        for clip in iter_clips(table):
            yield table.parent, clip


class _Tally:
    """Counts clips as they pass."""

    def __init__(self, published_splits: bool, sets: set[str] | None) -> None:
        self.clips = 0
        self.hashed = 0
        self._published_splits = published_splits
        self._named = ADAPTERS.keys() if sets is None else sets & ADAPTERS.keys()
        self._sets: Counter[str] = Counter()
        self._found: Counter[tuple[str, int, str]] = Counter()  # set, count, value of `each`
        self._values: dict[tuple[str, str], set[str]] = collections.defaultdict(set)
        self._hashes: dict[str, tuple[int, int, str, str]] = {}
        self._copies: dict[str, list[str]] = collections.defaultdict(list)

    def watched(self, clips: Iterable[Clip]) -> Iterator[Clip]:
        """Yield the clips, counting them."""
        for clip in clips:
            self.clips += 1
            self._count(clip)
            self._remember(clip)
            yield clip

    def _counts_of(self, name: str) -> list[Count]:
        about = ADAPTERS[name].about
        return [
            count
            for count in about.published
            if self._published_splits or "split" not in count.where
        ]

    def _count(self, clip: Clip) -> None:
        name = clip.dataset
        if name is None or name not in self._named:
            return
        self._sets[name] += 1
        carved = "val" not in ADAPTERS[name].about.official
        for number, count in enumerate(self._counts_of(name)):
            value = "" if count.each is None else field_of(clip, count.each)
            if value is None:
                continue
            if count.each is not None:
                self._values[name, count.each].add(value)
            if all(_matches(clip, key, wanted, carved) for key, wanted in count.where.items()):
                self._found[name, number, value] += 1

    def counts(self, partial: bool) -> tuple[list[Problem], str]:
        """Compare with what is published."""
        problems = []
        compared = 0
        for name in self._sets:
            title = ADAPTERS[name].about.title
            none: list[str] = []  # kinds of which there is nothing at all
            owed = 0
            for number, count in enumerate(self._counts_of(name)):
                values = [""] if count.each is None else sorted(self._values[name, count.each])
                for value in values:
                    there = self._found[name, number, value]
                    compared += 1
                    if there == count.clips or (partial and there < count.clips):
                        continue
                    of = f" of {count.each} {value}" if value else ""
                    kind = f"{count.name}{of}"
                    if not there:
                        none.append(kind)
                        owed += count.clips
                        continue
                    text = f"{title} has {count.clips} clips of {kind}; here are {there}"
                    problems.append(Problem("count", text, abs(there - count.clips)))
            if none:
                text = f"{title} has {owed} clips of {'; '.join(none)}; here are none"
                problems.append(Problem("count", text, owed))
        right = "no count is above the published one" if partial else "every published count is met"
        return problems, right if compared else ""

    def _remember(self, clip: Clip) -> None:
        if clip.sha256 is None:
            return
        self.hashed += 1
        split = 0 if clip.split is None else 1 << SPLITS.index(clip.split)
        label = 1 + clip.binary
        splits, labels, first, path = self._hashes.get(clip.sha256, (0, 0, clip.id, clip.path))
        if first != clip.id:
            self._copies[clip.sha256].append(clip.path)
        self._hashes[clip.sha256] = (splits | split, labels | label, first, path)

    def copies(self) -> list[Problem]:
        """Return what is wrong with files that are there several times."""
        grouped: dict[str, list[str]] = collections.defaultdict(list)
        for sha256, others in self._copies.items():
            splits, labels, _, path = self._hashes[sha256]
            pair = f"{path} and {others[0]}"
            grouped["that are there twice"].append(pair)
            if splits & (splits - 1):
                grouped["that are in two splits"].append(pair)
            if labels == 3:
                grouped["that are called pristine and synthetic"].append(pair)
        return [
            Problem("copy", f"{len(pairs)} files {what}, such as {pairs[0]}", len(pairs))
            for what, pairs in grouped.items()
        ]


def _matches(clip: Clip, key: str, wanted: str, carved: bool) -> bool:
    value = field_of(clip, key)
    # Where a publisher has no val, ours was drawn from its train.
    return (value == "val" and wanted == "train" and key == "split" and carved) or value == wanted


def _leaked(leaks: Sequence[str]) -> list[Problem]:
    """Return one problem a tie, from the sentences of `find_leaks`."""
    by_tie: dict[str, list[str]] = collections.defaultdict(list)
    for sentence in leaks:
        by_tie[sentence.partition(" ")[0]].append(sentence)
    return [
        Problem("leak", _example(tie, found), len(found)) for tie, found in sorted(by_tie.items())
    ]


def _example(tie: str, found: Sequence[str]) -> str:
    plural = {"identity": "identities", "voice": "voices", "source": "sources"}[tie]
    shown = "; ".join(found[:_EXAMPLES])
    named = tie if len(found) == 1 else plural
    return f"{len(found)} {named} in more than one split: {shown}" + (
        ", ..." if len(found) > _EXAMPLES else ""
    )


def _files(
    tables: Sequence[Path], config: CheckConfig, total: int, progress: Progress | None
) -> list[Problem]:
    absent, broken = [], []
    done = 0

    def tell() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress("files", done, total)

    for table in tables:
        folder, clips = table.parent, iter_clips(table)
        if config.files == "present":
            for clip in clips:
                if not clip_path(clip, folder).exists():
                    absent.append(clip.path)
                tell()
        else:
            for _, reading in read_each(clips, folder, probe_footage, workers=config.workers):
                if "error" in reading:
                    broken.append(str(reading["error"]))
                tell()
    problems = []
    if absent:
        text = f"{len(absent)} files are not there, such as {absent[0]}"
        problems.append(Problem("file", text, len(absent)))
    if broken:
        text = f"{len(broken)} files cannot be read: {broken[0]}"
        problems.append(Problem("file", text, len(broken)))
    return problems


def _alike(
    tables: Sequence[Path],
    config: CheckConfig,
    content: Fingerprinting,
    total: int,
    progress: Progress | None,
) -> list[Problem]:
    """Compare what clips show; a run that was stopped goes on where it was."""

    def read(clip: Clip, folder: Path) -> dict[str, list[str]]:
        return {"seconds": [f"{second:016x}" for second in content.of(clip, folder)]}

    prints: list[Print] = []
    unread = done = 0
    paths: dict[str, str] = {}
    kept = [table.parent / f".{table.name}.fingerprints.jsonl" for table in tables]
    for table, notes in zip(tables, kept, strict=True):
        clips = iter_clips(table)
        for clip, reading in read_each(
            clips, table.parent, read, kept=notes, workers=config.workers
        ):
            done += 1
            if "error" in reading:
                unread += 1
            else:
                seconds = tuple(int(second, 16) for second in reading["seconds"])
                prints.append(Print(clip.id, clip.split, seconds))
                paths[clip.id] = clip.path
            if progress is not None:
                progress("content", done, total)
    alike = find_alike(prints, content.distance, content.at_most)
    for notes in kept:
        notes.unlink(missing_ok=True)
    problems = []
    if alike:
        first = alike[0]
        text = (
            f"{len(alike)} pairs of clips in different splits look alike, such as "
            f"{paths[first.one]} and {paths[first.other]} (distance {first.distance:.3f})"
        )
        problems.append(Problem("alike", text, len(alike)))
    if unread and config.files != "open":
        problems.append(Problem("file", f"{unread} files cannot be read", unread))
    return problems
