"""What scores are worth as evidence: reliability, likelihood ratios, and verdicts that abstain."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from obverse.detector.evidence import conformal_p_values, elub_bounds, log_odds
from obverse.eval.counted import BINS
from obverse.eval.evaluation import EvalConfig, Figure, log_ratios, scored, slice_columns
from obverse.eval.metrics import wilson_interval
from obverse.eval.score_table import ScoreTable

__all__ = [
    "ALPHA",
    "Evidence",
    "Promise",
    "ReliabilityBin",
    "reliability",
    "risk_coverage",
    "tippett",
    "weigh",
]

ALPHA = 0.1  # share of clips of each label that a verdict may misjudge
_FOLDS = 5
_FEWEST = 20  # clips of each label that verdicts are calibrated on

Floats = npt.NDArray[np.float64]
Truth = npt.NDArray[np.bool_]


class ReliabilityBin(NamedTuple):
    """Clips whose scores are alike."""

    low: float  # scores from here
    high: float
    score: float  # mean
    synthetic: Figure  # share that is
    clips: int


@dataclasses.dataclass(frozen=True, slots=True)
class Promise:
    """How a verdict kept its promise on the clips of one label, of all or of a slice."""

    slice: str  # such as method=talk, or all
    label: Literal["pristine", "synthetic"]
    clips: int
    misjudged: Figure  # share with the verdict of the other label
    abstained: float  # share without a verdict
    broken: bool  # the whole interval lies above what was promised


@dataclasses.dataclass(frozen=True, slots=True)
class Evidence:
    """A detector's scores as evidence."""

    ratio_from: str
    bounds: tuple[float, float]  # ELUB, likelihood ratios
    beyond: int  # clips whose ratio claims more than the bounds
    misleading: dict[str, Figure]  # share of each label whose ratio speaks for the other
    reliability: tuple[ReliabilityBin, ...]
    verdicts_from: str
    alpha: float
    promises: tuple[Promise, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "lr_from": self.ratio_from,
            "elub": list(self.bounds),
            "beyond_elub": self.beyond,
            "misleading": {k: dataclasses.asdict(v) for k, v in self.misleading.items()},
            "reliability": [
                each._asdict() | {"synthetic": dataclasses.asdict(each.synthetic)}
                for each in self.reliability
            ],
            "verdicts_from": self.verdicts_from,
            "alpha": self.alpha,
            "verdicts": [dataclasses.asdict(each) for each in self.promises],
        }


def reliability(
    truth: Truth, scores: Floats, *, bins: int = BINS, level: float = 0.95
) -> tuple[ReliabilityBin, ...]:
    """Return the share of synthetic clips among those with like scores; bins that hold none are
    left out.
    """
    place = np.minimum((scores * bins).astype(np.intp), bins - 1)
    found = []
    for number in range(bins):
        inside = place == number
        if inside.any():
            share = wilson_interval(int(truth[inside].sum()), int(inside.sum()), level=level)
            found.append(
                ReliabilityBin(
                    number / bins,
                    (number + 1) / bins,
                    float(scores[inside].mean()),
                    Figure.of(share),
                    int(inside.sum()),
                )
            )
    return tuple(found)


def tippett(truth: Truth, ratios: Floats) -> tuple[Floats, Floats, Floats]:
    """Return log10 ratios, rising, and the shares of synthetic and of pristine clips at or above.

    Where the curve of synthetic clips falls before 0, evidence misleads for them; where that of
    pristine ones is still up beyond 0, for those.
    """
    tens = np.asarray(ratios / np.log(10), np.float64)
    at = np.unique(tens)
    synthetic, pristine = np.sort(tens[truth]), np.sort(tens[~truth])
    above = [
        1 - np.searchsorted(values, at, side="left") / len(values)
        for values in (synthetic, pristine)
    ]
    return at, above[0], above[1]


def risk_coverage(truth: Truth, scores: Floats, threshold: float) -> tuple[Floats, Floats]:
    """Return coverages and the error rates among the surest clips that make up each; clips that
    are equally sure are judged together.
    """
    wrong = (scores >= threshold) != truth
    sure = np.abs(scores - threshold)
    order = np.argsort(-sure, kind="stable")
    last = np.flatnonzero(np.append(np.diff(sure[order]) != 0, True))
    judged = last + 1
    return judged / len(truth), np.cumsum(wrong[order])[last] / judged


def weigh(table: ScoreTable, config: EvalConfig, *, alpha: float = ALPHA) -> Evidence:
    """Weigh the rows of a table that have a score, of which both labels are present."""
    given = scored(table, "exclude")
    ratios, source = log_ratios(given)
    low, high = elub_bounds(ratios, given.truth)
    level = config.level
    misleading = {
        "synthetic": _share(ratios[given.truth] < 0, level),
        "pristine": _share(ratios[~given.truth] > 0, level),
    }
    verdicts, origin = _verdicts(given, config, alpha)
    promises: tuple[Promise, ...] = ()
    if verdicts is not None:
        promises = tuple(_promises(given, verdicts, config, alpha))
    return Evidence(
        ratio_from=source,
        bounds=(float(np.exp(low)), float(np.exp(high))),
        beyond=int(((ratios < low) | (ratios > high)).sum()),
        misleading=misleading,
        reliability=reliability(given.truth, given.score, level=level),
        verdicts_from=origin,
        alpha=alpha,
        promises=promises,
    )


def _share(hits: npt.NDArray[np.bool_], level: float) -> Figure:
    return Figure.of(wilson_interval(int(hits.sum()), len(hits), level=level))


def _verdicts(
    table: ScoreTable, config: EvalConfig, alpha: float
) -> tuple[npt.NDArray[np.object_] | None, str]:
    """Return the detector's own verdicts, or those that conformal prediction gives each fifth of
    the clips, calibrated on the other four.
    """
    if table.verdict is not None:
        return table.verdict, "the detector"
    groups = table.groups.get("identity", table.clip)
    names = [clip if name is None else name for name, clip in zip(groups, table.clip, strict=True)]
    people = sorted(set(names))
    order = np.random.default_rng(config.seed).permutation(len(people))
    fold_of = {people[person]: place % _FOLDS for place, person in enumerate(order)}
    folds = np.array([fold_of[name] for name in names])
    odds = log_odds(table.score)
    verdicts = np.full(len(table), "cannot tell", object)
    for fold in range(_FOLDS):
        mine, others = folds == fold, folds != fold
        synthetic, pristine = odds[others & table.truth], odds[others & ~table.truth]
        if min(len(synthetic), len(pristine)) < _FEWEST:
            return None, f"nothing: verdicts need {_FEWEST} clips of each label to calibrate on"
        as_synthetic, as_pristine = conformal_p_values(odds[mine], synthetic, pristine)
        said = np.full(int(mine.sum()), "cannot tell", object)
        said[(as_synthetic > alpha) & (as_pristine <= alpha)] = "synthetic"
        said[(as_synthetic <= alpha) & (as_pristine > alpha)] = "pristine"
        verdicts[mine] = said
    return verdicts, f"conformal prediction, {_FOLDS} folds that share no identity or clip"


def _promises(
    table: ScoreTable, verdicts: npt.NDArray[np.object_], config: EvalConfig, alpha: float
) -> Iterator[Promise]:
    for name, inside in _parts(table, slice_columns(table, config.by)):
        labels: tuple[tuple[Literal["pristine", "synthetic"], Truth], ...] = (
            ("pristine", ~table.truth),
            ("synthetic", table.truth),
        )
        for label, of_label in labels:
            said = verdicts[inside & of_label]
            if not len(said):
                continue
            other = "pristine" if label == "synthetic" else "synthetic"
            misjudged = _share(np.asarray(said == other), config.level)
            yield Promise(
                slice=name,
                label=label,
                clips=len(said),
                misjudged=misjudged,
                abstained=float((said == "cannot tell").mean()),
                broken=bool(misjudged.low is not None and misjudged.low > alpha),
            )


def _parts(table: ScoreTable, by: Sequence[str]) -> Iterator[tuple[str, Truth]]:
    yield "all", np.ones(len(table), bool)
    for column in by:
        values = table.groups[column]
        for value in sorted({value for value in values if value is not None}):
            yield f"{column}={value}", np.asarray(values == value)
