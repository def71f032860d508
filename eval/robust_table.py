"""What a sweep of distortions says: a line a condition, with intervals and with everything counted.

A change is that of the AUC against the same clips undistorted; its interval comes from drawing
identities (or clips, where a clip's identity is unknown) and taking both AUCs of each draw.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from obverse.clip import Clip, Judged
from obverse.errors import ConfigError
from obverse.eval import counted
from obverse.eval.bootstrap import SAMPLES, Draws, bootstrap, percentile_bounds
from obverse.eval.conditions import NONE, Grid
from obverse.eval.metrics import Interval, auc, auc_interval, bootstrap_auc, eer
from obverse.eval.robust import Faces, Row

__all__ = [
    "CHANGE_MOST",
    "Line",
    "MarkFinding",
    "Overall",
    "RobustTable",
    "SwapFinding",
    "broken",
    "tabulate",
]

Floats = npt.NDArray[np.float64]
Bound = Literal["yes", "no", "cannot tell"]
Flags = npt.NDArray[np.bool_]

_LEVEL = 0.95
_MARKS = {"marked", "unmarked"}
_GUESSING = 0.5
_IDENTITIES_FEWEST = 5  # with a label; of fewer a bootstrap knows too little, and clips are drawn
_COVERAGE_LEAST = 0.5
CHANGE_MOST = 0.02  # of the AUC, by which a mark may change a detector


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One condition, or one of each class, of all synthetic clips or those of one method."""

    condition: str
    family: str
    level: float | None
    pristine_under: str  # the conditions of the two classes
    synthetic_under: str
    reference: str
    method: str | None  # None: all methods
    synthetic: int  # clips with a score
    pristine: int
    missing: int  # clips without a face
    errors: int
    identities: int | None  # among the clips with a score; None where one is unknown
    auc: Interval | None  # None unless both classes have scores
    change: Interval | None  # of the AUC against the reference, over the clips scored in both
    eer: float | None
    cannot_tell: float | None  # share of the scored clips; None for a detector without verdicts
    marked: float | None  # share of the copies in which the extractor finds a mark

    @property
    def coverage(self) -> float:
        """Share of the clips that have a score."""
        every = self.synthetic + self.pristine + self.missing + self.errors
        return (self.synthetic + self.pristine) / every if every else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {**dataclasses.asdict(self), "coverage": self.coverage}


@dataclasses.dataclass(frozen=True, slots=True)
class MarkFinding:
    """Whether marks change what a detector says."""

    removed: int  # unmarked copies in which the extractor finds nothing
    of: int
    z_median: float | None  # of those copies
    largest_change: Interval | None  # of the AUC, over the ways to set marks
    below: Bound | None  # whether all changes stay within .02, by their intervals


@dataclasses.dataclass(frozen=True, slots=True)
class SwapFinding:
    """Whether something that is no forgery changes a detector when one class alone has it."""

    about: str  # such as codec or silence
    condition: str  # that changes the AUC most
    largest_change: Interval  # of the AUC, over the ways to put it on one class
    below: Bound  # whether all changes stay within .02, by their intervals


@dataclasses.dataclass(frozen=True, slots=True)
class Overall:
    """What a sweep comes to, over the families that have levels.

    The corruption error is 1 - AUC, the mean over a family's levels and then over families: the
    mean corruption error of Hendrycks and Dietterich (ICLR 2019) without the division by a baseline
    detector's. The relative one takes 1 - AUC of the undistorted clips away first.
    """

    families: tuple[str, ...]
    clips: int  # with a score under every condition of them and undistorted
    corruption_error: Interval | None
    relative_error: Interval | None
    broken_by: dict[str, str | None]  # family -> its mildest condition that breaks the detector
    first: str | None  # of these, that which comes earliest on its family's ladder; none, where
    # undistorted clips are not told apart either


@dataclasses.dataclass(frozen=True, slots=True)
class RobustTable:
    """All lines of a sweep."""

    grid: str
    detector: str
    lines: tuple[Line, ...]
    marks: MarkFinding | None
    overall: Overall | None = None  # None where no family has levels
    swaps: tuple[SwapFinding, ...] = ()  # of what the grid's crossed pairs are about
    judges: Judged = "picture"  # what the detector's scores are about
    faces: Faces | None = None  # where the copies' were searched for; None where nobody says
    searched: tuple[str, ...] = ()  # the conditions whose copies were searched

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "grid": self.grid,
            "detector": self.detector,
            "judges": self.judges,
            "faces": self.faces,
            "searched": list(self.searched),
            "lines": [line.to_json() for line in self.lines],
            "marks": None if self.marks is None else dataclasses.asdict(self.marks),
            "overall": None if self.overall is None else dataclasses.asdict(self.overall),
            "swaps": [dataclasses.asdict(each) for each in self.swaps],
        }


@dataclasses.dataclass(frozen=True, slots=True)
class _Drawn:
    """How intervals are drawn."""

    seed: int
    samples: int
    identities: tuple[str | None, ...] | None  # of the clips; None draws clips

    def groups(self, labels: Flags, held: Sequence[int]) -> list[str | None] | None:
        """Return what is drawn whole, of some clips; None where a label has too few people."""
        if self.identities is None:
            return None
        names = [self.identities[index] for index in held]
        of_each = ({n for n, t in zip(names, labels, strict=True) if t == kind} for kind in (0, 1))
        return names if min(map(len, of_each)) >= _IDENTITIES_FEWEST else None


def _over(groups: Sequence[object] | None) -> str:
    return "clips" if groups is None else "identities"


def _change(
    labels: Flags, changed: Floats, before: Floats, held: Sequence[int], drawn: _Drawn
) -> Interval:
    """Return the change of the AUC, with its paired bootstrap interval."""
    if np.array_equal(changed, before):
        return Interval(0.0, 0.0, 0.0, _LEVEL, "the same scores")
    groups = drawn.groups(labels, held)
    found = bootstrap(
        {"changed": counted.auc(labels, changed), "before": counted.auc(labels, before)},
        Draws.of(labels, groups),
        rng=np.random.default_rng(drawn.seed),
        samples=drawn.samples,
    )
    low, high = percentile_bounds(found["changed"] - found["before"], _LEVEL)
    if low == high:
        return _without_width(labels, changed, before)
    method = f"paired bootstrap over {_over(groups)}, {drawn.samples} samples"
    return Interval(auc(labels, changed) - auc(labels, before), low, high, _LEVEL, method)


def _without_width(labels: Flags, changed: Floats, before: Floats) -> Interval:
    """Bound a change of which all samples agree, as where the classes are parted perfectly both
    times: so few clips show no more than the closed forms of both AUCs do, added in squares
    (Newcombe 1998), as if other clips had been measured.
    """
    after, first = (auc_interval(labels, each, level=_LEVEL) for each in (changed, before))
    value = after.value - first.value
    down = np.hypot(after.value - after.low, first.high - first.value)
    up = np.hypot(after.high - after.value, first.value - first.low)
    return Interval(
        value, value - float(down), value + float(up), _LEVEL, "Newcombe 1998, square and add"
    )


def _auc_of(labels: Flags, values: Floats, held: Sequence[int], drawn: _Drawn) -> Interval:
    """Return the AUC; identities are drawn where they are known, else Newcombe's closed form."""
    closed = auc_interval(labels, values, level=_LEVEL)
    groups = drawn.groups(labels, held)
    if groups is None or closed.value in (0.0, 1.0):
        return closed  # classes that are parted perfectly give a bootstrap no width
    rng = np.random.default_rng(drawn.seed)
    found = bootstrap_auc(
        labels, values, rng=rng, groups=groups, samples=drawn.samples, level=_LEVEL
    )
    return dataclasses.replace(found, method=found.method.replace("groups", "identities"))


def tabulate(
    grid: Grid,
    clips: Sequence[Clip],
    rows: Sequence[Row],
    detector: str,
    *,
    judged: Judged = "picture",
    seed: int = 0,
    samples: int = SAMPLES,
) -> RobustTable:
    """Return a sweep's table: a line a condition, then a line a condition and method.

    Args:
        grid: what was tried.
        clips: the clips, with their labels.
        rows: of one detector.
        detector: its id.
        judged: what it judges, and so which label of a clip is its truth.
        seed: of the bootstrap.
        samples: of the bootstrap.

    Raises:
        ConfigError: there is nothing to tabulate.
    """
    if not clips or not rows:
        raise ConfigError("there are no scored clips to tabulate; give a table with some.")
    held = {(row.condition, row.clip): row for row in rows}
    known = all(clip.identity is not None for clip in clips)
    identities = tuple(clip.identity for clip in clips) if known else None
    drawn = _Drawn(seed, samples, identities)
    truth = np.array([clip.synthetic_in(judged) for clip in clips], bool)
    wanted = [
        (each.name, each.family, each.level, each.name, each.name, NONE.name)
        for each in grid.conditions
    ] + [
        (each.name, "crossed", None, each.pristine, each.synthetic, each.reference)
        for each in grid.crossed
    ]
    methods = sorted({c.method for c, fake in zip(clips, truth, strict=True) if fake and c.method})
    chosen: list[str | None] = [None, *(methods if len(methods) > 1 else [])]
    lines = tuple(
        _line(each, method, clips, truth, held, drawn) for method in chosen for each in wanted
    )
    return RobustTable(
        grid.name,
        detector,
        lines,
        _marks_of(grid, lines, rows),
        _overall(grid, lines, clips, truth, held, drawn),
        _swaps_of(grid, lines),
        judged,
        *_faces_of(grid, rows),
    )


def _faces_of(grid: Grid, rows: Sequence[Row]) -> tuple[Faces | None, tuple[str, ...]]:
    """Return where copies' faces were searched for, and which conditions' copies were."""
    searched = {row.condition for row in rows if row.faces == "each"}
    kinds = {row.faces for row in rows}
    faces: Faces | None = "clean" if "clean" in kinds else "each" if searched else None
    return faces, tuple(each.name for each in grid.conditions if each.name in searched)


def broken(line: Line) -> bool:
    """Whether a condition breaks a detector.

    That is where its AUC cannot be told from guessing (the lower bound of its interval is at most
    .5), or where it has a score for less than half of the clips.
    """
    return line.coverage < _COVERAGE_LEAST or (line.auc is not None and line.auc.low <= _GUESSING)


def _overall(
    grid: Grid,
    lines: Sequence[Line],
    clips: Sequence[Clip],
    truth: Flags,
    held: Mapping[tuple[str, str], Row],
    drawn: _Drawn,
) -> Overall | None:
    families: dict[str, list[str]] = {}
    for each in grid.conditions:
        if each.level is not None and each.name != NONE.name:
            families.setdefault(each.family, []).append(each.name)
    if not families:
        return None
    by = {line.condition: line for line in lines if line.method is None}
    broken_by = {
        family: next((name for name in names if broken(by[name])), None)
        for family, names in families.items()
    }
    # Ladders are of different lengths: how far up one is a share of its length.
    reached = [
        ((families[family].index(name) + 1) / len(families[family]), name)
        for family, name in broken_by.items()
        if name is not None
    ]
    wanted = [NONE.name, *(name for names in families.values() for name in names)]
    kept = [i for i, c in enumerate(clips) if all(_has(held, name, c.id) for name in wanted)]
    labels = truth[kept]
    found = _errors(families, wanted, [clips[i].id for i in kept], labels, held, drawn, kept)
    return Overall(
        tuple(families),
        len(kept),
        found[0],
        found[1],
        broken_by,
        NONE.name if broken(by[NONE.name]) else (min(reached)[1] if reached else None),
    )


def _has(held: Mapping[tuple[str, str], Row], condition: str, clip: str) -> bool:
    row = held.get((condition, clip))
    return row is not None and row.score is not None


def _errors(
    families: Mapping[str, Sequence[str]],
    wanted: Sequence[str],
    clips: Sequence[str],
    labels: Flags,
    held: Mapping[tuple[str, str], Row],
    drawn: _Drawn,
    places: Sequence[int],
) -> tuple[Interval | None, Interval | None]:
    """Return the corruption error and the relative one."""
    if not labels.any() or labels.all():
        return None, None
    areas = {
        name: counted.auc(labels, np.array([held[name, clip].score for clip in clips], np.float64))
        for name in wanted
    }

    def error(values: Mapping[str, Floats]) -> Floats:
        means = [
            np.mean([1 - values[name] for name in names], axis=0) for names in families.values()
        ]
        return np.asarray(np.mean(means, axis=0), np.float64)

    ones = np.ones((1, len(labels)))
    whole = {name: metric(ones) for name, metric in areas.items()}
    rng = np.random.default_rng(drawn.seed)
    groups = drawn.groups(labels, places)
    draws = Draws.of(labels, groups)
    sampled = bootstrap(areas, draws, rng=rng, samples=drawn.samples)
    method = f"bootstrap over {_over(groups)}, {drawn.samples} samples"
    found = []
    for clean in (0.0, 1.0):
        values = error(sampled) - clean * (1 - sampled[NONE.name])
        low, high = percentile_bounds(values, _LEVEL)
        value = float((error(whole) - clean * (1 - whole[NONE.name]))[0])
        found.append(Interval(value, low, high, _LEVEL, method))
    return found[0], found[1]


def _line(
    wanted: tuple[str, str, float | None, str, str, str],
    method: str | None,
    clips: Sequence[Clip],
    truth: Flags,
    held: Mapping[tuple[str, str], Row],
    drawn: _Drawn,
) -> Line:
    name, family, level, pristine, synthetic, reference = wanted
    here: list[tuple[int, Row]] = []
    for index, clip in enumerate(clips):
        if truth[index] and method is not None and clip.method != method:
            continue
        row = held.get((synthetic if truth[index] else pristine, clip.id))
        if row is not None:
            here.append((index, row))
    ok = [(index, row) for index, row in here if row.score is not None]
    labels = truth[[index for index, _ in ok]]
    values = np.array([row.score for _, row in ok], np.float64)
    places = [index for index, _ in ok]
    both = bool(labels.any() and not labels.all())
    identities = {clips[index].identity for index, _ in ok}
    marked = [row.mark_present for _, row in here if row.mark_present is not None]
    return Line(
        condition=name,
        family=family,
        level=level,
        pristine_under=pristine,
        synthetic_under=synthetic,
        reference=reference,
        method=method,
        synthetic=int(labels.sum()),
        pristine=int((~labels).sum()),
        missing=sum(row.status == "missing" for _, row in here),
        errors=sum(row.status == "error" for _, row in here),
        identities=None if None in identities else len(identities),
        auc=_auc_of(labels, values, places, drawn) if both else None,
        change=_against(truth, ok, reference, held, drawn),
        eer=eer(labels, values) if both else None,
        cannot_tell=_unsure([row for _, row in ok]),
        marked=float(np.mean(marked)) if marked else None,
    )


def _against(
    truth: Flags,
    ok: Sequence[tuple[int, Row]],
    reference: str,
    held: Mapping[tuple[str, str], Row],
    drawn: _Drawn,
) -> Interval | None:
    pairs = []
    for index, row in ok:
        before = held.get((reference, row.clip))
        if before is not None and before.score is not None:
            pairs.append((index, row.score, before.score))
    labels = truth[[index for index, _, _ in pairs]]
    if not labels.any() or labels.all():
        return None
    changed = np.array([score for _, score, _ in pairs], np.float64)
    before_them = np.array([score for _, _, score in pairs], np.float64)
    places = [index for index, _, _ in pairs]
    return _change(labels, changed, before_them, places, drawn)


def _unsure(rows: Sequence[Row]) -> float | None:
    if not any(row.lr is not None for row in rows):
        return None  # not calibrated: it never says anything else
    return float(np.mean([row.verdict == "cannot tell" for row in rows]))


def _bound(change: Interval) -> Bound:
    if _reach(change) < CHANGE_MOST:
        return "yes"
    apart = min(abs(change.low), abs(change.high)) if change.low * change.high > 0 else 0.0
    return "no" if apart >= CHANGE_MOST else "cannot tell"


def _reach(change: Interval) -> float:
    return max(abs(change.low), abs(change.high))


def _worst_bound(changes: Sequence[Interval]) -> Bound | None:
    bounds = {_bound(change) for change in changes}
    every: tuple[Bound, ...] = ("no", "cannot tell", "yes")
    return next((each for each in every if each in bounds), None)


def _swaps_of(grid: Grid, lines: Sequence[Line]) -> tuple[SwapFinding, ...]:
    """Return what the crossed pairs say, by what they are about."""
    found = []
    for about in dict.fromkeys(each.about for each in grid.crossed if each.about):
        ways = {each.name for each in grid.crossed if each.about == about}
        changes = {
            line.condition: line.change
            for line in lines
            if line.condition in ways and line.method is None and line.change is not None
        }
        below = _worst_bound(list(changes.values()))
        if below is not None:
            worst = max(changes, key=lambda name: abs(changes[name].value))
            found.append(SwapFinding(about, worst, changes[worst], below))
    return tuple(found)


def _marks_of(grid: Grid, lines: Sequence[Line], rows: Sequence[Row]) -> MarkFinding | None:
    """Return what the crossed marks say, where the grid has them."""
    ways = {each.name for each in grid.crossed if {each.pristine, each.synthetic} <= _MARKS}
    if not ways:
        return None
    bare = [row for row in rows if row.condition == "unmarked" and row.mark_present is not None]
    changes = [line.change for line in lines if line.condition in ways and line.method is None]
    found = [change for change in changes if change is not None]
    worst = max(found, key=lambda change: abs(change.value), default=None)
    zs = [row.mark_z for row in bare if row.mark_z is not None]
    return MarkFinding(
        removed=sum(not row.mark_present for row in bare),
        of=len(bare),
        z_median=float(np.median(zs)) if zs else None,
        largest_change=worst,
        below=_worst_bound(found),
    )
