"""What a table of scores is worth: AUC and equal error rate with intervals.

Pure functions of labels (1 or True = synthetic) and scores (higher = synthetic); what draws takes
its `rng`.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, rankdata

from obverse.errors import ConfigError

__all__ = ["Interval", "auc", "auc_interval", "bootstrap_interval", "eer"]

Metric = Callable[[npt.NDArray[np.bool_], npt.NDArray[np.float64]], float]

MAX_REDRAWS = 1000  # of a bootstrap sample that lacks a class


@dataclasses.dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and the bounds between which the truth lies with a stated confidence."""

    value: float
    low: float
    high: float
    level: float  # confidence, such as 0.95
    method: str

    def __str__(self) -> str:
        """Return it as it is printed in tables, such as 0.950 [0.921, 0.974]."""
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def _checked(
    labels: npt.ArrayLike, scores: npt.ArrayLike
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    truth, values = np.asarray(labels), np.asarray(scores, np.float64)
    if truth.ndim != 1 or truth.shape != values.shape:
        raise ConfigError(
            f"labels have shape {truth.shape} and scores {values.shape}; give one of each a clip."
        )
    if not np.isin(truth, (0, 1)).all():
        raise ConfigError("labels must be 0 (pristine) or 1 (synthetic).")
    if not np.isfinite(values).all():
        raise ConfigError(
            "scores must be finite; leave out clips that are missing or in error and count them."
        )
    truth = truth.astype(bool)
    if truth.all() or not truth.any():
        raise ConfigError("a metric of two classes needs clips of both; here all are of one.")
    return truth, values


def auc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Return the area under the ROC curve; ties count half."""
    truth, values = _checked(labels, scores)
    return _auc(truth, values)


def _auc(truth: npt.NDArray[np.bool_], values: npt.NDArray[np.float64]) -> float:
    synthetic = int(truth.sum())
    pristine = len(truth) - synthetic
    ranks = rankdata(values)[truth].sum() - synthetic * (synthetic + 1) / 2  # Mann and Whitney 1947
    return float(ranks / (synthetic * pristine))


def eer(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Return the equal error rate, where the ROC curve (drawn straight) has FPR = 1 - TPR."""
    truth, values = _checked(labels, scores)
    return _eer(truth, values)


def _eer(truth: npt.NDArray[np.bool_], values: npt.NDArray[np.float64]) -> float:
    order = np.argsort(-values, kind="stable")
    truth, values = truth[order], values[order]
    last = np.flatnonzero(
        np.append(np.diff(values) != 0, True)
    )  # a threshold cannot part equal scores
    tpr = np.append(0, np.cumsum(truth)[last] / truth.sum())
    fpr = np.append(0, np.cumsum(~truth)[last] / (~truth).sum())
    gap = fpr - (1 - tpr)  # rises from -1 to 1
    after = int(np.argmax(gap >= 0))
    if gap[after] == 0:
        return float(fpr[after])
    share = gap[after - 1] / (gap[after - 1] - gap[after])
    return float(fpr[after - 1] + share * (fpr[after] - fpr[after - 1]))


def auc_interval(labels: npt.ArrayLike, scores: npt.ArrayLike, *, level: float = 0.95) -> Interval:
    """Return the AUC with an interval that stays honest for few clips and for an AUC of 1.

    Newcombe's method 5 (Statistics in Medicine 25, 2006): the bounds are those areas whose
    Hanley-McNeil standard error just reaches the estimate. A bootstrap of clips that are parted
    perfectly has no width at all.
    """
    truth, values = _checked(labels, scores)
    _require_level(level)
    value = _auc(truth, values)
    m = int(truth.sum())
    n = len(truth) - m
    rest = (m + n) / 2 - 1
    z = float(norm.ppf(0.5 + level / 2))

    def reaches(area: float) -> bool:
        spread = 1 + rest * ((1 - area) / (2 - area) + area / (1 + area))
        return (value - area) ** 2 <= z * z * area * (1 - area) * spread / (m * n)

    def bound(inside: float, outside: float) -> float:
        if reaches(outside):
            return outside
        for _ in range(60):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if reaches(middle) else (inside, middle)
        return inside

    # At 0 and 1 the standard error vanishes: start just inside, where the bound of a perfect area
    # begins.
    tiny = 1e-9
    start = min(max(value, tiny), 1 - tiny)
    low = 0.0 if value == 0 else bound(start, tiny)
    high = 1.0 if value == 1 else bound(start, 1 - tiny)
    return Interval(value, low, high, level, "Newcombe 2006, method 5")


def _require_level(level: float) -> None:
    if not 0 < level < 1:
        raise ConfigError(
            f"the confidence level is {level}; it must lie between 0 and 1, such as 0.95."
        )


def bootstrap_interval(
    metric: Metric,
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    *,
    rng: np.random.Generator,
    groups: Sequence[object] | None = None,
    samples: int = 2000,
    level: float = 0.95,
) -> Interval:
    """Return a metric with its percentile bootstrap interval.

    Args:
        metric: a function of labels and scores, such as `auc`.
        labels: 1 = synthetic.
        scores: higher = synthetic.
        rng: what draws.
        groups: without it clips are drawn, within each class; with it, one name a clip, whole
        groups are drawn (such
            as identities, whose clips resemble one another). A draw that lacks a class is repeated.
        samples: how many draws.
        level: confidence.
    """
    truth, values = _checked(labels, scores)
    _require_level(level)
    if samples < 1:
        raise ConfigError(f"a bootstrap of {samples} samples is not possible; draw at least 1.")
    draw = _clip_draw(truth, rng) if groups is None else _group_draw(truth, groups, rng)
    found = np.empty(samples)
    for i in range(samples):
        chosen = draw()
        found[i] = metric(truth[chosen], values[chosen])
    low, high = np.quantile(found, [0.5 - level / 2, 0.5 + level / 2])
    method = f"bootstrap over {'clips' if groups is None else 'groups'}, {samples} samples"
    return Interval(metric(truth, values), float(low), float(high), level, method)


Draw = Callable[[], npt.NDArray[np.intp]]


def _clip_draw(truth: npt.NDArray[np.bool_], rng: np.random.Generator) -> Draw:
    classes = (np.flatnonzero(truth), np.flatnonzero(~truth))
    return lambda: np.concatenate([rng.choice(members, len(members)) for members in classes])


def _group_draw(
    truth: npt.NDArray[np.bool_], groups: Sequence[object], rng: np.random.Generator
) -> Draw:
    if len(groups) != len(truth):
        raise ConfigError(
            f"there are {len(groups)} groups for {len(truth)} clips; give one a clip."
        )
    gathered: dict[object, list[int]] = {}
    for index, group in enumerate(groups):
        gathered.setdefault(group, []).append(index)
    members = [np.array(indices, np.intp) for indices in gathered.values()]

    def draw() -> npt.NDArray[np.intp]:
        for _ in range(MAX_REDRAWS):
            chosen = np.concatenate(
                [members[i] for i in rng.integers(0, len(members), len(members))]
            )
            if truth[chosen].any() and not truth[chosen].all():
                return chosen
        raise ConfigError("drawing groups hardly ever gives both classes; draw clips instead.")

    return draw
