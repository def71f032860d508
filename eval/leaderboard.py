"""A board of detectors and sets, made of score files that each say where they come from.

Beside every table of scores lies a card of the same name, `NAME.yaml`, that names the detector and
the set. Rows of two tables belong together by their clips' ids, never by a file's name; tables that
contradict one another are refused. Places are told with what the clips can show: two detectors
share a place until a paired test, corrected for all pairs of the board, parts them.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import yaml

from obverse.clip import Judged
from obverse.errors import ConfigError, InputError
from obverse.eval import counted
from obverse.eval.bootstrap import Draws, bootstrap, percentile_bounds
from obverse.eval.comparison import Difference, compare_tables, holm
from obverse.eval.evaluation import (
    EvalConfig,
    Evaluation,
    Figure,
    Shift,
    evaluate_table,
    identities_of,
    scored,
    threshold_shifts,
)
from obverse.eval.metrics import auc
from obverse.eval.score_table import ScoreTable, read_score_table

__all__ = ["ALPHA", "Board", "Card", "Entry", "Gap", "Rank", "make_board", "read_board"]

ALPHA = 0.05  # below which a corrected p-value is called a difference
_SCORES = (".csv", ".parquet")
_CARD = ".yaml"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a table of scores does not say of itself."""

    detector: str
    set: str
    date: str  # when the clips were scored
    commit: str  # of the code that scored them, or its version
    source: str  # the command, or where the scores were published
    judges: Judged | None = None  # where the table does not say
    labels: str | None = None  # a table of clips, beside the card
    split: str | None = None  # only its clips
    column: str | None = None  # the detector's name in the table, where that holds several
    note: str = ""  # such as what it was trained on

    def __post_init__(self) -> None:
        """Refuse a card that says too little."""
        for name in ("detector", "set", "date", "commit", "source"):
            if not getattr(self, name):
                raise ConfigError(f"a card lacks {name}; say it.")
        if self.judges not in (None, *get_args(Judged)):
            raise ConfigError(
                f"a card has judges {self.judges!r}; it must be picture or picture and sound."
            )


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A detector's scores on a set, measured."""

    card: Card
    files: tuple[Path, ...]  # the scores, the card, and the labels where there are some
    table: ScoreTable
    evaluation: Evaluation
    ranked: bool  # enough clips have a score


class Rank(NamedTuple):
    """Between which places a detector lies, as far as its set's clips show."""

    best: int
    worst: int
    of: int

    def __str__(self) -> str:
        """Return the places as they are printed, such as 1-2 of 3."""
        places = str(self.best) if self.best == self.worst else f"{self.best}-{self.worst}"
        return f"{places} of {self.of}"


class Gap(NamedTuple):
    """By how much one detector's AUC is above another's on a set."""

    set: str
    difference: Difference  # corrected for all pairs of the board
    clips: int  # that all of the set's ranked detectors have
    shown: bool  # the test and, where people are known, the interval over them say so


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Board:
    """Detectors on sets."""

    sets: tuple[str, ...]
    detectors: tuple[str, ...]  # best mean AUC first; those that lack a set come last
    entries: Mapping[tuple[str, str], Entry]  # (detector, set)
    means: Mapping[str, Figure]  # AUC, the mean over the sets, of detectors that were tried on all
    ranks: Mapping[tuple[str, str], Rank]  # of entries with enough scores, where there are several
    gaps: tuple[Gap, ...]
    shifts: Mapping[str, tuple[Shift, ...]]  # a detector's threshold of one set on the others
    min_coverage: float
    config: EvalConfig

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "sets": list(self.sets),
            "detectors": list(self.detectors),
            "entries": [
                {
                    **dataclasses.asdict(entry.card),
                    "judges": entry.table.judges,
                    "ranked": entry.ranked,
                    "rank": None if (rank := self.ranks.get(key)) is None else rank._asdict(),
                    "measured": entry.evaluation.to_json(),
                }
                for key, entry in self.entries.items()
            ],
            "means": {name: dataclasses.asdict(each) for name, each in self.means.items()},
            "differences": [
                {
                    "set": gap.set,
                    "clips": gap.clips,
                    "shown": gap.shown,
                    **dataclasses.asdict(gap.difference),
                }
                for gap in self.gaps
            ],
            "threshold_shift": {
                name: [dataclasses.asdict(each) for each in found]
                for name, found in self.shifts.items()
            },
            "min_coverage": self.min_coverage,
            "config": dataclasses.asdict(self.config),
        }


def read_board(folder: Path) -> list[tuple[Card, tuple[Path, ...], ScoreTable]]:
    """Read every table of scores of a folder with its card.

    Raises:
        InputError: there is none, or one cannot be read.
        ConfigError: a table lacks its card, a card its table, or a card says too little.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give one with tables of scores and their cards.")
    files = sorted(path for path in folder.iterdir() if path.is_file())
    cards = [path for path in files if path.suffix == _CARD]
    if not cards:
        raise InputError(
            f"{folder} holds no card; beside each table of scores put a NAME.yaml with detector, "
            "set, date, commit and source."
        )
    read = [(path, _card(path)) for path in cards]
    labels = {folder / card.labels for _, card in read if card.labels is not None}
    scores = [path for path in files if path.suffix in _SCORES and path not in labels]
    found = []
    for path, card in read:
        named = [each for each in scores if each.stem == path.stem]
        if len(named) != 1:
            raise ConfigError(
                f"{path} stands beside {len(named)} tables of scores of its name; it needs one, "
                f"{path.stem}.csv or {path.stem}.parquet."
            )
        table = read_score_table(
            named[0],
            None if card.labels is None else folder / card.labels,
            detector=card.column,
            split=card.split,
            judged=card.judges,
        )
        beside = () if card.labels is None else (folder / card.labels,)
        judges = _judges(card, named[0], table)
        table = dataclasses.replace(table, detector=card.detector, judges=judges)
        found.append((card, (named[0], path, *beside), table))
    if alone := [path for path in scores if path.stem not in {card.stem for card in cards}]:
        raise ConfigError(
            f"{alone[0]} has no card {alone[0].stem}{_CARD}; whose scores they are, and of what, "
            "is not told by a file's name."
        )
    return found


def _judges(card: Card, path: Path, table: ScoreTable) -> Judged:
    found = table.judges or card.judges
    if found is None:
        raise ConfigError(
            f"neither {path} nor its card says what the detector judges; add judges: picture, or "
            "picture and sound."
        )
    if card.judges not in (None, found):
        raise ConfigError(f"the scores of {path} are about {found}, and its card says otherwise.")
    return found


def _card(path: Path) -> Card:
    try:
        # As text: a commit such as 0123456 is no number.
        said = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(said, dict):
        raise ConfigError(f"{path} is no card; it must name detector, set, date, commit, source.")
    fields = {field.name: field for field in dataclasses.fields(Card)}
    if unknown := sorted(map(str, said.keys() - fields.keys())):
        raise ConfigError(f"{path} has {unknown[0]!r}; a card may have {', '.join(fields)}.")
    needed = [name for name, each in fields.items() if each.default is dataclasses.MISSING]
    if lacking := [name for name in needed if not said.get(name)]:
        raise ConfigError(f"{path} lacks {lacking[0]}; a card says {', '.join(needed)}.")
    if wrong := [name for name, value in said.items() if not isinstance(value, str)]:
        raise ConfigError(f"{path} has {wrong[0]} with several values; a card has one of each.")
    try:
        return Card(**{name: value or None for name, value in said.items()})  # type: ignore[arg-type]
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def make_board(
    read: Sequence[tuple[Card, tuple[Path, ...], ScoreTable]],
    config: EvalConfig | None = None,
    *,
    min_coverage: float = 0.9,
) -> Board:
    """Measure and compare.

    Args:
        read: what `read_board` gives.
        config: how scores are measured.
        min_coverage: the share of a set's clips that must have a score for a detector to be ranked.

    Raises:
        InputError: two tables of a set share no clip, or disagree about a clip's label.
        ConfigError: a detector was measured twice on a set.
    """
    config = dataclasses.replace(config or EvalConfig(), by=())
    seen: dict[tuple[str, str], Path] = {}
    for card, files, _ in read:
        key = (card.detector, card.set)
        if key in seen:
            raise ConfigError(
                f"{seen[key]} and {files[0]} are both scores of {card.detector} on {card.set}; "
                "keep one, or give one of them another name."
            )
        seen[key] = files[0]
    sets = tuple(sorted({card.set for card, _, _ in read}))
    entries: dict[tuple[str, str], Entry] = {}
    for name in sets:
        own = [each for each in read if each[0].set == name]
        _require_one_set(name, own)
        clips = set[str]().union(*(table.clip for _, _, table in own))
        for card, files, given in own:
            absent = max(given.absent, len(clips - set(given.clip)))
            table = dataclasses.replace(given, absent=absent)
            measured = evaluate_table(table, config)
            ranked = measured.coverage >= min_coverage
            entries[card.detector, name] = Entry(card, files, table, measured, ranked)
    gaps = _gaps(entries.values(), sets, config)
    means = _means(entries, sets, config)
    order = sorted(
        {detector for detector, _ in entries},
        key=lambda name: (name not in means, -_mean_of(name, entries), name),
    )
    return Board(
        sets=sets,
        detectors=tuple(order),
        entries={(d, s): entries[d, s] for d in order for s in sets if (d, s) in entries},
        means=means,
        ranks=_ranks(entries, sets, gaps),
        gaps=gaps,
        shifts=_shifts(entries, order, config),
        min_coverage=min_coverage,
        config=config,
    )


def _require_one_set(name: str, own: Sequence[tuple[Card, tuple[Path, ...], ScoreTable]]) -> None:
    """Refuse tables that cannot be of the same clips."""
    for (_, first_files, first), (_, second_files, second) in itertools.combinations(own, 2):
        labels = dict(zip(first.clip, first.truth, strict=True))
        common = [
            (clip, truth)
            for clip, truth in zip(second.clip, second.truth, strict=True)
            if clip in labels
        ]
        paths = f"{first_files[0]} and {second_files[0]}"
        if not common:
            raise InputError(
                f"{paths} are both scores on {name} and share no clip; rows are joined by the "
                "clips' ids alone: mend the ids, or give the two sets names of their own."
            )
        differ = next((clip for clip, truth in common if labels[clip] != truth), None)
        if differ is not None:
            raise InputError(
                f"{paths} disagree about the label of clip {differ} of {name} "
                f"({first.judges}; {second.judges}); give the two sets names of their own."
            )


def _gaps(entries: Iterable[Entry], sets: Sequence[str], config: EvalConfig) -> tuple[Gap, ...]:
    every = list(entries)
    found = []
    for name in sets:
        ranked = [each.table for each in every if each.card.set == name and each.ranked]
        if len(ranked) < 2:
            continue
        comparison = compare_tables(ranked, config, ["auc"])
        found += [(name, each, comparison.clips) for each in comparison.differences]
    # One page, one family of tests.
    corrected = holm([each.p for _, each, _ in found])
    gaps = []
    for (name, each, clips), p in zip(found, corrected, strict=True):
        people = each.by_identity
        apart = people is None or people[0] > 0 or people[1] < 0
        gap = dataclasses.replace(each, p_holm=p)
        gaps.append(Gap(name, gap, clips, p < ALPHA and apart))
    return tuple(gaps)


def _ranks(
    entries: Mapping[tuple[str, str], Entry], sets: Sequence[str], gaps: Sequence[Gap]
) -> dict[tuple[str, str], Rank]:
    found = {}
    for name in sets:
        ranked = [d for (d, s), entry in entries.items() if s == name and entry.ranked]
        if len(ranked) < 2:
            continue
        above = dict.fromkeys(ranked, 0)
        below = dict.fromkeys(ranked, 0)
        for gap in gaps:
            if gap.set != name or not gap.shown:
                continue
            each = gap.difference
            better, worse = (
                (each.first, each.second) if each.value > 0 else (each.second, each.first)
            )
            above[worse] += 1
            below[better] += 1
        for detector in ranked:
            best, worst = 1 + above[detector], len(ranked) - below[detector]
            found[detector, name] = Rank(best, worst, len(ranked))
    return found


def _mean_of(detector: str, entries: Mapping[tuple[str, str], Entry]) -> float:
    values = [e.evaluation.figures["auc"].value for (d, _), e in entries.items() if d == detector]
    return float(np.mean([value for value in values if value is not None]))


def _means(
    entries: Mapping[tuple[str, str], Entry], sets: Sequence[str], config: EvalConfig
) -> dict[str, Figure]:
    """Return each detector's mean AUC over all sets, clips and people drawn anew in each set."""
    found = {}
    for detector in sorted({name for name, _ in entries}):
        own = [entries[detector, name] for name in sets if (detector, name) in entries]
        if len(own) < len(sets):
            continue
        tables = [scored(entry.table, config.policy) for entry in own]
        people = [identities_of(table) for table in tables]
        low, high = _mean_bounds(tables, [None] * len(tables), config)
        known = any(each is not None for each in people)
        found[detector] = Figure(
            float(np.mean([auc(table.truth, table.score) for table in tables])),
            low,
            high,
            f"bootstrap over clips, {config.samples} samples",
            by_identity=_mean_bounds(tables, people, config) if known else None,
        )
    return found


def _mean_bounds(
    tables: Sequence[ScoreTable], groups: Sequence[Sequence[str] | None], config: EvalConfig
) -> tuple[float, float]:
    """Return the bounds of the mean AUC; where a set's groups are not known its clips are drawn."""
    rng = np.random.default_rng(config.seed)
    drawn = [
        bootstrap(
            {"auc": counted.auc(table.truth, table.score)},
            Draws.of(table.truth, group),
            rng=rng,
            samples=config.samples,
        )["auc"]
        for table, group in zip(tables, groups, strict=True)
    ]
    return percentile_bounds(np.mean(drawn, axis=0), config.level)


def _shifts(
    entries: Mapping[tuple[str, str], Entry], order: Sequence[str], config: EvalConfig
) -> dict[str, tuple[Shift, ...]]:
    found = {}
    for detector in order:
        tables = [
            (name, scored(entry.table, config.policy))
            for (who, name), entry in entries.items()
            if who == detector
        ]
        if len(tables) < 2:
            continue
        joint = dataclasses.replace(
            tables[0][1],
            clip=np.concatenate([table.clip for _, table in tables]),
            truth=np.concatenate([table.truth for _, table in tables]),
            status=np.concatenate([table.status for _, table in tables]),
            score=np.concatenate([table.score for _, table in tables]),
            ratio=None,
            verdict=None,
            groups={
                "dataset": np.array(
                    [name for name, table in tables for _ in range(len(table))], object
                )
            },
        )
        found[detector] = threshold_shifts(joint, config)
    return found
