"""Makes a table of clips of a set that lies on disk as its publisher laid it out.

The set is walked once, or twice where splits have to be drawn: first for the names of its people,
then for its clips. Neither pass holds the clips.
"""

import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import obverse
from obverse.clip import Clip, Split
from obverse.datasets.adapter import Adapter, Findings, Place
from obverse.datasets.catalogue import adapter_named
from obverse.datasets.readings import with_readings
from obverse.datasets.split import DEFAULT_SHARES, Partition
from obverse.datasets.table import write_clips
from obverse.errors import ConfigError, InputError, OutputExistsError

__all__ = ["IndexConfig", "IndexReport", "Splitting", "field_of", "index_set", "settle_paths"]

Splitting = Literal["official", "disjoint", "none"]
SPLITTINGS: tuple[Splitting, ...] = ("official", "disjoint", "none")
Progress = Callable[[int], None]  # clips written

_LEFT_OUT = "of people in two splits, so in none"
# What is drawn where the publisher gives only some of the splits.
_REST: Mapping[Split, float] = {"train": 0.8, "val": 0.2}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class IndexConfig:
    """How a set is indexed."""

    splits: Splitting = "official"  # the publisher's, completed; our own; the publisher's alone
    seed: int = 0  # of the splits that are drawn
    keep: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    # field or attribute -> values: other clips are left out
    sha256: bool = False  # hash every file
    details: bool = False  # open every file for rate, length and size
    workers: int = 1  # threads that read files

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        if self.splits not in SPLITTINGS:
            raise ConfigError(f"splits is {self.splits!r}; it is one of {', '.join(SPLITTINGS)}.")
        if self.workers < 1:
            raise ConfigError(f"workers is {self.workers}; at least 1 is needed.")


@dataclasses.dataclass(frozen=True, slots=True)
class IndexReport:
    """What went into a table, and what did not."""

    table: Path
    clips: int
    labels: Mapping[str, int]
    splits: Mapping[str, int]  # "none" for clips in no split
    cut: bool  # whether people were drawn one by one, see `Partition`
    findings: Findings


def index_set(
    name: str,
    place: Place,
    table: Path,
    config: IndexConfig | None = None,
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> IndexReport:
    """Write the table of a set.

    Args:
        name: of the set, one of `catalogue.ADAPTERS`.
        place: where it lies.
        table: the parquet file; paths in it are relative to its folder where the set lies below
            that, absolute elsewhere.
        config: how.
        force: replace a table that is there.
        progress: told how many clips are written.

    Raises:
        ConfigError: there is no such set, or nothing is left to keep.
        InputError: the folder is not laid out so, or a label file is absent or damaged.
        OutputExistsError: the table is there and `force` is not set.
    """
    adapter = adapter_named(name)
    config = config or IndexConfig()
    if table.exists() and not force:
        raise OutputExistsError(f"{table} exists already; use --force to overwrite it.")
    if not place.root.exists():
        raise InputError(f"{place.root} does not exist; name the folder of the set.")
    findings = Findings()
    labels: Counter[str] = Counter()
    splits: Counter[str] = Counter()
    partition, redraw = _partition(adapter, place, config)
    # One file for each choice of what is read.
    wanted = "-sha256" * config.sha256 + "-details" * config.details
    kept = table.parent / f".{table.name}.readings{wanted}.jsonl"

    def rows() -> Iterator[Clip]:
        clips: Iterator[Clip] = _kept(adapter.read(place, findings), config.keep)
        divided = _divided(clips, partition, redraw, findings)
        root = place.root if place.root.is_dir() else place.root.parent
        clips = settle_paths(divided, root, table)
        if config.sha256 or config.details:
            clips = with_readings(
                clips,
                table.parent,
                findings,
                sha256=config.sha256,
                details=config.details,
                kept=kept,
                workers=config.workers,
            )
        for done, clip in enumerate(clips, start=1):
            labels[clip.label] += 1
            splits[clip.split or "none"] += 1
            yield clip
            if progress is not None:
                progress(done)
        if not labels:
            wanted = "; ".join(f"{key} {', '.join(values)}" for key, values in config.keep.items())
            raise ConfigError(f"no clip of {name} has {wanted}; check the values of --keep.")

    cut = partition is not None and partition.cut

    def notes() -> dict[str, Any]:
        return {
            "set": name,
            "splits": config.splits,
            "seed": config.seed,
            "keep": {key: list(values) for key, values in config.keep.items()},
            "cut": cut,
            "findings": findings.sentences(),
            "tool": f"obverse {obverse.__version__}",
        }

    written = write_clips(table, rows(), force=force, notes=notes)
    kept.unlink(missing_ok=True)
    return IndexReport(table, written, dict(labels), dict(splits), cut, findings)


def field_of(clip: Clip, name: str) -> str | None:
    """Return a clip's field, or its attribute of that name, as text; None where it has neither."""
    if name in clip.attributes:
        return clip.attributes[name]
    value: Any = getattr(clip, name, None)
    return None if value is None else str(value)


def _kept(clips: Iterator[Clip], keep: Mapping[str, Sequence[str]]) -> Iterator[Clip]:
    for clip in clips:
        if all(field_of(clip, name) in values for name, values in keep.items()):
            yield clip


def _partition(
    adapter: Adapter, place: Place, config: IndexConfig
) -> tuple[Partition | None, Callable[[Clip], bool]]:
    """Return what draws splits, told of all people, and for which clips it is asked."""

    def never(_: Clip) -> bool:
        return False

    official = adapter.about.official
    if config.splits == "none":
        return None, never
    redraw: Callable[[Clip], bool]
    if config.splits == "disjoint":
        shares, redraw = DEFAULT_SHARES, lambda _: True
    elif not official:
        shares, redraw = DEFAULT_SHARES, lambda clip: clip.split is None
    elif "val" in official:
        return None, never
    elif "train" in official:
        shares, redraw = _REST, lambda clip: clip.split == "train"
    else:
        shares, redraw = _REST, lambda clip: clip.split is None
    partition = Partition(shares, seed=config.seed)
    stated = False
    for clip in _kept(adapter.read(place, Findings()), config.keep):
        stated = stated or (not official and clip.split is not None)
        if redraw(clip):
            partition.add(clip)
    if stated and config.splits == "official":
        return None, never  # a list that states splits means those that it states
    partition.close()
    return partition, redraw


def _divided(
    clips: Iterator[Clip],
    partition: Partition | None,
    redraw: Callable[[Clip], bool],
    findings: Findings,
) -> Iterator[Clip]:
    for clip in clips:
        if partition is not None and redraw(clip):
            split = partition.split_of(clip)
            if split is None:
                findings.note(_LEFT_OUT, clip.path)
            yield clip.replace(split=split)
        else:
            yield clip


def settle_paths(clips: Iterator[Clip], root: Path, table: Path) -> Iterator[Clip]:
    """Yield clips whose paths start at `root` with paths that start at the table's folder where
    they lie below it, and that are absolute elsewhere.
    """
    base = os.path.abspath(root)
    home = os.path.join(os.path.abspath(table.parent), "")

    def settle(path: str) -> str:
        whole = os.path.abspath(os.path.join(base, path))
        return whole[len(home) :].replace(os.sep, "/") if whole.startswith(home) else whole

    for clip in clips:
        mask = None if clip.mask_path is None else settle(clip.mask_path)
        yield clip.replace(path=settle(clip.path), mask_path=mask)
