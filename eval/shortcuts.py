"""Which trivial cues tell the labels of a set apart: an AUC with an interval for each.

A detector that is trained on a set learns the easiest thing that parts its classes. Where a file's
size, its encoder's tag or a mark does, that is what it learns.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from obverse.clip import Clip, Judged, Label
from obverse.errors import InputError
from obverse.eval.cues import CUES, ClipCues, Cue
from obverse.eval.evaluation import Figure
from obverse.eval.metrics import area_interval, auc_interval, bootstrap_auc

__all__ = [
    "BAND",
    "Finding",
    "ShortcutAudit",
    "Verdict",
    "audit_cues",
    "chosen_clips",
    "cross_fitted_auc",
    "deciles",
]

BAND = (0.45, 0.55)  # of an AUC; a cue whose whole interval lies outside is a shortcut
BESIDE, ALL = "all but the picture", "all cues"
FEWEST = 2  # clips of each label with a cue, without which it is not measured
FOLDS = 5
REPEATS = 20  # of the division into folds
SAMPLES = 500  # of the bootstrap over people
TREES = 100  # of the forest that takes cues together
BINS = 10  # of a number, whose shape is then free

Verdict = Literal["shortcut", "none", "open", "not measured"]
Truth = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """How well one cue tells the labels apart."""

    cue: Cue
    clips: int  # that have it
    auc: Figure  # of a number: that it is higher in synthetic clips; of a text: cross-fitted
    any_shape: Figure | None  # of a number whose deciles are taken as texts
    pristine: str  # its median, or its commonest value
    synthetic: str
    flagged: bool

    @property
    def direction(self) -> str:
        """Which way the cue points, where it does."""
        value = self.auc.value
        if not self.cue.number or value is None or value == 0.5:
            return ""
        return "higher in synthetic" if value > 0.5 else "lower in synthetic"

    @property
    def verdict(self) -> Verdict:
        """What the interval says: a shortcut, none, or that so few clips leave it open."""
        if self.flagged:
            return "shortcut"
        figure = self.auc
        if figure.low is None or figure.high is None:
            return "not measured"
        # Twins are compared with one another: the interval over people knows it, that over clips
        # does not and is too wide.
        low, high = figure.by_identity or (figure.low, figure.high)
        return "none" if low >= BAND[0] and high <= BAND[1] else "open"


@dataclasses.dataclass(frozen=True, slots=True)
class ShortcutAudit:
    """What an audit found."""

    findings: tuple[Finding, ...]
    together: Mapping[str, Figure]  # what several cues tell at once
    counts: Mapping[str, int]  # pristine, synthetic, error
    errors: Mapping[str, int]  # label -> clips that could not be read
    level: float
    judged: Judged = "picture"  # what makes a clip synthetic

    @property
    def flagged(self) -> tuple[str, ...]:
        """Names of the cues that tell the labels apart."""
        return tuple(each.cue.name for each in self.findings if each.flagged)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "cues": {
                each.cue.name: {
                    "auc": _plain(each.auc),
                    "any_shape": None if each.any_shape is None else _plain(each.any_shape),
                    "direction": each.direction,
                    "flagged": each.flagged,
                    "verdict": each.verdict,
                    "pristine": each.pristine,
                    "synthetic": each.synthetic,
                    "clips": each.clips,
                    "room": each.cue.room,
                    "says": each.cue.says,
                }
                for each in self.findings
            },
            "flagged": list(self.flagged),
            "together": {name: _plain(figure) for name, figure in self.together.items()},
            "band": list(BAND),
            "level": self.level,
            "counts": dict(self.counts),
            "errors": dict(self.errors),
            "judges": self.judged,
        }


def _plain(figure: Figure) -> dict[str, Any]:
    return {
        "value": figure.value,
        "low": figure.low,
        "high": figure.high,
        "by_identity": None if figure.by_identity is None else list(figure.by_identity),
        "method": figure.method,
        "refused": figure.refused,
    }


def chosen_clips(
    clips: Sequence[Clip],
    *,
    split: str | None = None,
    limit: int | None = None,
    judged: Judged = "picture",
    seed: int = 0,
) -> list[Clip]:
    """Return the clips of a split, or so many of each label as `limit` allows, drawn at random.

    Args:
        clips: all of them.
        split: which one; None takes all.
        limit: clips at most; None takes all.
        judged: what makes a clip synthetic.
        seed: of what is drawn.

    Raises:
        InputError: there are none, or they are of one label.
    """
    inside = [clip for clip in clips if split is None or clip.split == split]
    of = "" if split is None else f" of the split {split}"
    labels = [_label(clip, judged) for clip in inside]
    if len(set(labels)) < 2:
        what = f"all {len(inside)} clips{of} are {labels[0]}" if labels else f"no clip is{of}"
        hint = ""
        if judged == "picture" and any(clip.binary_av != clip.binary for clip in inside):
            hint = " in their picture; --sound counts forged sound"
        raise InputError(f"{what}{hint}; an audit needs clips of both labels.")
    if limit is None or limit >= len(inside):
        return inside
    rng = np.random.default_rng(seed)
    kept: set[int] = set()
    for label in ("pristine", "synthetic"):
        own = [place for place, said in enumerate(labels) if said == label]
        size = min(len(own), max(FEWEST, limit * len(own) // len(inside)))
        kept |= {own[place] for place in rng.permutation(len(own))[:size]}
    return [clip for place, clip in enumerate(inside) if place in kept]


def _label(clip: Clip, judged: Judged) -> Label:
    return "synthetic" if clip.synthetic_in(judged) else "pristine"


def audit_cues(
    clips: Sequence[Clip],
    cues: Sequence[ClipCues],
    *,
    judged: Judged = "picture",
    seed: int = 0,
    level: float = 0.95,
) -> ShortcutAudit:
    """Say how well each cue tells the labels of clips apart.

    Args:
        clips: with their labels.
        cues: what was read of each, in the same order.
        judged: what makes a clip synthetic: its picture, or picture or sound.
        seed: of the division into folds.
        level: confidence of the intervals.

    Raises:
        InputError: the clips that could be read are of one label.
    """
    pairs = list(zip(clips, cues, strict=True))
    read = [(clip, each) for clip, each in pairs if each.status == "ok"]
    truth = np.array([clip.synthetic_in(judged) for clip, _ in read], bool)
    if not len(truth) or truth.all() or not truth.any():
        label = "synthetic" if truth.any() else "pristine"
        what = (
            f"all {len(truth)} that can be read are {label}" if len(truth) else "none can be read"
        )
        raise InputError(f"of {len(pairs)} clips {what}; an audit needs clips of both labels.")
    people = [clip.identity if clip.identity is not None else clip.id for clip, _ in read]
    findings = []
    for cue in CUES:
        told = [(each.numbers if cue.number else each.texts).get(cue.name) for _, each in read]
        has = np.array([value is not None for value in told], bool)
        if not has.any():
            continue
        own = [value for value in told if value is not None]
        groups = [person for person, there in zip(people, has, strict=True) if there]
        findings.append(_finding(cue, truth[has], own, groups, seed, level))
    failed = Counter(_label(clip, judged) for clip, each in pairs if each.status != "ok")
    return ShortcutAudit(
        findings=tuple(findings),
        together=_together(truth, [each for _, each in read], people, seed, level),
        counts={
            "pristine": int((~truth).sum()),
            "synthetic": int(truth.sum()),
            "error": sum(failed.values()),
        },
        errors={"pristine": failed["pristine"], "synthetic": failed["synthetic"]},
        level=level,
        judged=judged,
    )


def _sizes(truth: Truth, groups: Sequence[str]) -> tuple[int, int]:
    """Return how many synthetic and pristine things an interval may count: clips where somebody is
    in clips of both labels, otherwise people, for then a person alone parts the labels.
    """
    named = np.asarray(groups, str)
    synthetic, pristine = set(named[truth].tolist()), set(named[~truth].tolist())
    if synthetic & pristine:
        return int(truth.sum()), int((~truth).sum())
    return len(synthetic), len(pristine)


def _together(
    truth: Truth, cues: Sequence[ClipCues], groups: Sequence[str], seed: int, level: float
) -> dict[str, Figure]:
    """Return what a random forest makes of all cues, and of those that are not of the picture."""
    sizes = _sizes(truth, groups)
    if min(*sizes, len(set(groups))) < FOLDS:
        why = f"it takes {FOLDS} clips of each label, of {FOLDS} people"
        return {name: Figure(None, refused=why) for name in (BESIDE, ALL)}
    found = {}
    for name, chosen in (
        (BESIDE, [cue for cue in CUES if cue.room != "picture"]),
        (ALL, list(CUES)),
    ):
        area = _forest_auc(truth, _columns(cues, chosen), groups, seed)
        interval = area_interval(area, *sizes, level=level)
        found[name] = Figure(
            interval.value, interval.low, interval.high, f"cross-fitted, {interval.method}"
        )
    return found


def _columns(cues: Sequence[ClipCues], chosen: Sequence[Cue]) -> Floats:
    """Return cues as numbers `[N, C]`, texts by their order; -1e9 where a clip has none."""
    columns = []
    for cue in chosen:
        if cue.number:
            columns.append([each.numbers.get(cue.name, -1e9) for each in cues])
        else:
            texts = [each.texts.get(cue.name, "") for each in cues]
            columns.append(np.unique(texts, return_inverse=True)[1].astype(np.float64).tolist())
    return np.array(columns).T


def _forest_auc(truth: Truth, columns: Floats, groups: Sequence[str], seed: int) -> float:
    """Return the AUC of a forest that judges clips of people that it has not met; pairs of one
    fold are compared.
    """
    from sklearn.ensemble import RandomForestClassifier

    names = np.unique(np.asarray(groups, str), return_inverse=True)[1]
    place = (np.random.default_rng(seed).permutation(int(names.max()) + 1) % FOLDS)[names]
    won = pairs = 0.0
    for fold in range(FOLDS):
        mine, others = place == fold, place != fold
        if len(set(truth[others])) < 2:
            continue
        forest = RandomForestClassifier(
            TREES, min_samples_leaf=2, class_weight="balanced", random_state=seed
        )
        forest.fit(columns[others], truth[others])
        worth = forest.predict_proba(columns[mine])[:, 1] if mine.any() else np.zeros(0)
        part, count = _pairs_won(worth[truth[mine]], worth[~truth[mine]])
        won, pairs = won + part, pairs + count
    return won / pairs if pairs else 0.5


def _pairs_won(synthetic: Floats, pristine: Floats) -> tuple[float, int]:
    """Return how many pairs the synthetic clip wins, ties counting half, and how many there are."""
    ordered = np.sort(pristine)
    below = np.searchsorted(ordered, synthetic, side="left")
    upto = np.searchsorted(ordered, synthetic, side="right")
    return float((below + upto).sum()) / 2, len(synthetic) * len(pristine)


def _finding(
    cue: Cue, truth: Truth, told: Sequence[float | str], groups: Sequence[str], seed: int,
    level: float,
) -> Finding:  # fmt: skip
    counts = int(truth.sum()), int((~truth).sum())
    shape: Figure | None = None
    if min(counts) < FEWEST:
        area = Figure(
            None,
            refused=f"{counts[0]} synthetic and {counts[1]} pristine clips have it; it takes "
            f"{FEWEST} of each",
        )
    elif len(set(told)) == 1:
        area = Figure(0.5, 0.5, 0.5, "all clips are alike")
    elif cue.number:
        values = np.array(told, np.float64)
        area = _of_number(truth, values, groups, seed, level)
        shape = _cross_fitted(truth, deciles(values), groups, seed, level)
    else:
        area = _cross_fitted(truth, [str(value) for value in told], groups, seed, level)
    flagged = _outside(area, above_only=not cue.number)
    flagged = flagged or (shape is not None and _outside(shape, above_only=True))
    return Finding(
        cue=cue,
        clips=len(truth),
        auc=area,
        any_shape=shape,
        pristine=_typical(cue, told, ~truth),
        synthetic=_typical(cue, told, truth),
        flagged=flagged,
    )


def _outside(figure: Figure, *, above_only: bool) -> bool:
    """Say whether the whole interval lies outside the band; what was learned from other clips
    cannot point the wrong way but by chance.

    Both intervals must agree, over clips and over people: where all fakes are of two people, what
    parts the labels may be those two.
    """
    if figure.low is None or figure.high is None:
        return False
    bounds = [(figure.low, figure.high)]
    if figure.by_identity is not None:
        bounds.append(figure.by_identity)
    above = all(low > BAND[1] for low, _ in bounds)
    return above or (not above_only and all(high < BAND[0] for _, high in bounds))


def _of_number(
    truth: Truth, values: Floats, groups: Sequence[str], seed: int, level: float
) -> Figure:
    found = Figure.of(auc_interval(truth, values, level=level))
    if len(set(groups)) == len(groups):
        return found  # nobody is there twice
    drawn = bootstrap_auc(
        truth, values, rng=np.random.default_rng(seed), groups=groups, samples=SAMPLES, level=level
    )
    return dataclasses.replace(found, by_identity=(drawn.low, drawn.high))


def _typical(cue: Cue, told: Sequence[float | str], chosen: Truth) -> str:
    own = [value for value, there in zip(told, chosen, strict=True) if there]
    if not own:
        return ""
    if cue.number:
        return f"{float(np.median(np.array(own, np.float64))):.6g}"
    (value, count) = Counter(map(str, own)).most_common(1)[0]
    return f"{value or '(empty)'} ({count / len(own):.0%})"


def deciles(values: Floats) -> list[str]:
    """Return in which tenth of all values each lies; equal values are in one."""
    edges = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1]))
    return [str(place) for place in np.searchsorted(edges, values, side="right")]


def cross_fitted_auc(
    truth: Truth, values: Sequence[str], groups: Sequence[str], *, seed: int = 0
) -> float:
    """Return how well texts tell the labels of clips from whose groups nothing was learned.

    A text is worth the share of synthetic clips that have it, among the clips of other folds; one
    that they do not have is worth what all of them are. A synthetic and a pristine clip of one
    fold are compared, so that both were judged alike; a text as rare as a name then says nothing,
    where its share among all clips would say everything. Mean over several divisions into folds.

    Args:
        truth: synthetic.
        values: a text a clip.
        groups: clips that stay together, such as those of one person.
        seed: of the divisions.
    """
    codes = np.unique(np.asarray(values, str), return_inverse=True)[1]
    names = np.unique(np.asarray(groups, str), return_inverse=True)[1]
    count = int(names.max()) + 1
    folds = min(FOLDS, count)
    if folds < 2:
        return 0.5
    rng = np.random.default_rng(seed)
    won = pairs = 0.0
    for _ in range(REPEATS):
        place = (rng.permutation(count) % folds)[names]
        for fold in range(folds):
            mine, others = place == fold, place != fold
            synthetic = np.bincount(codes[others & truth], minlength=int(codes.max()) + 1)
            pristine = np.bincount(codes[others & ~truth], minlength=int(codes.max()) + 1)
            all_synthetic, all_pristine = synthetic.sum(), pristine.sum()
            if not all_synthetic or not all_pristine:
                continue
            # Shares of each label, so that the commoner label weighs no more; half a clip of each
            # keeps a text that was seen once from outweighing one that was seen often.
            high = (synthetic + 0.5) / (all_synthetic + 1)
            low = (pristine + 0.5) / (all_pristine + 1)
            worth = np.where(synthetic + pristine == 0, 0.5, high / (high + low))[codes]
            part, count_ = _pairs_won(worth[mine & truth], worth[mine & ~truth])
            won, pairs = won + part, pairs + count_
    return won / pairs if pairs else 0.5


def _cross_fitted(
    truth: Truth, values: Sequence[str], groups: Sequence[str], seed: int, level: float
) -> Figure:
    area = cross_fitted_auc(truth, values, groups, seed=seed)
    found = area_interval(area, *_sizes(truth, groups), level=level)
    return Figure(found.value, found.low, found.high, f"cross-fitted, {found.method}")
