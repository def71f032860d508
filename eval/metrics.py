"""What a table of scores is worth, one number at a time, and intervals in closed form.

Pure functions of labels (1 or True = synthetic) and scores (higher = synthetic). Where a score
must be a probability it lies in [0, 1]; likelihood ratios are natural logarithms.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from obverse.errors import ConfigError
from obverse.eval import counted
from obverse.eval.bootstrap import SAMPLES, Draws, bootstrap, percentile_bounds, require_level
from obverse.eval.counted import once

__all__ = [
    "Interval",
    "accuracy",
    "area_interval",
    "auc",
    "auc_interval",
    "aurc",
    "average_precision",
    "bootstrap_auc",
    "brier",
    "cllr",
    "cllr_min",
    "ece",
    "eer",
    "nll",
    "require_enough",
    "tpr_at_fpr",
    "wilson_interval",
]

Truth = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


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


def _checked(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[Truth, Floats]:
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


def _probabilities(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[Truth, Floats]:
    truth, values = _checked(labels, scores)
    if values.min() < 0 or values.max() > 1:
        raise ConfigError(
            f"scores run from {values.min():g} to {values.max():g}; a probability lies in [0, 1]."
        )
    return truth, values


def auc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Return the area under the ROC curve; ties count half."""
    truth, values = _checked(labels, scores)
    return once(counted.auc(truth, values), len(truth))


def average_precision(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Return the average precision."""
    truth, values = _checked(labels, scores)
    return once(counted.average_precision(truth, values), len(truth))


def eer(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Return the equal error rate, where the ROC curve (drawn straight) has FPR = 1 - TPR."""
    truth, values = _checked(labels, scores)
    return once(counted.eer(truth, values), len(truth))


def require_enough(pristine: int, fpr: float) -> None:
    """Refuse a rate of false alarms that so few pristine clips cannot show.

    Raises:
        ConfigError: at this rate less than one of them would be a false alarm.
    """
    if not 0 < fpr < 1:
        raise ConfigError(
            f"the rate of false alarms is {fpr}; it must lie between 0 and 1, such as 0.01."
        )
    needed = int(np.ceil(1 / fpr - 1e-9))
    if pristine < needed:
        raise ConfigError(
            f"TPR at FPR {fpr:g} cannot be measured with {pristine} pristine clips: at this rate "
            f"less than one of them would be a false alarm; it takes at least {needed}."
        )


def tpr_at_fpr(labels: npt.ArrayLike, scores: npt.ArrayLike, fpr: float) -> float:
    """Return the highest TPR of a threshold whose FPR is at most `fpr`.

    Raises:
        ConfigError: there are too few pristine clips to show such a rate.
    """
    truth, values = _checked(labels, scores)
    require_enough(int((~truth).sum()), fpr)
    return once(counted.tpr_at_fpr(truth, values, fpr), len(truth))


def accuracy(labels: npt.ArrayLike, scores: npt.ArrayLike, threshold: float) -> float:
    """Return the share of clips on the right side of a threshold; at it means synthetic."""
    truth, values = _checked(labels, scores)
    return once(counted.accuracy(truth, values, threshold), len(truth))


def brier(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Return the mean square of score less label."""
    truth, values = _probabilities(labels, scores)
    return once(counted.brier(truth, values), len(truth))


def nll(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Return the mean negative log likelihood, nats."""
    truth, values = _probabilities(labels, scores)
    return once(counted.nll(truth, values), len(truth))


def ece(labels: npt.ArrayLike, scores: npt.ArrayLike, bins: int = counted.BINS) -> float:
    """Return the expected calibration error over bins of equal width."""
    truth, values = _probabilities(labels, scores)
    return once(counted.ece(truth, values, bins), len(truth))


def cllr(labels: npt.ArrayLike, ratios: npt.ArrayLike) -> float:
    """Return the cost of log likelihood ratios, bits."""
    truth, values = _checked(labels, ratios)
    return once(counted.cllr(truth, values), len(truth))


def cllr_min(labels: npt.ArrayLike, ratios: npt.ArrayLike) -> float:
    """Return the cost of log likelihood ratios after the best calibration of their order, bits."""
    truth, values = _checked(labels, ratios)
    return once(counted.cllr_min(truth, values), len(truth))


def aurc(labels: npt.ArrayLike, scores: npt.ArrayLike, threshold: float = 0.5) -> float:
    """Return the area under the risk-coverage curve."""
    truth, values = _checked(labels, scores)
    return once(counted.aurc(truth, values, threshold), len(truth))


def auc_interval(labels: npt.ArrayLike, scores: npt.ArrayLike, *, level: float = 0.95) -> Interval:
    """Return the AUC with an interval that stays honest for few clips and for an AUC of 1.

    Newcombe's method 5 (Statistics in Medicine 25, 2006): the bounds are those areas whose
    Hanley-McNeil standard error just reaches the estimate. A bootstrap of clips that are parted
    perfectly has no width at all.
    """
    truth, values = _checked(labels, scores)
    synthetic = int(truth.sum())
    return area_interval(auc(truth, values), synthetic, len(truth) - synthetic, level=level)


def area_interval(value: float, synthetic: int, pristine: int, *, level: float = 0.95) -> Interval:
    """Return the interval of `auc_interval` for an AUC that is known already.

    Args:
        value: the AUC.
        synthetic: clips that it is of.
        pristine: likewise.
        level: confidence.
    """
    require_level(level)
    m, n = synthetic, pristine
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


def wilson_interval(hits: int, clips: int, *, level: float = 0.95) -> Interval:
    """Return a share of clips with the score interval of Wilson (1927), honest at 0 and 1 too.

    Raises:
        ConfigError: there are no clips.
    """
    require_level(level)
    if not 0 <= hits <= clips or clips == 0:
        raise ConfigError(f"{hits} of {clips} clips are no share; give at least one clip.")
    share, z = hits / clips, float(norm.ppf(0.5 + level / 2))
    middle = (share + z * z / (2 * clips)) / (1 + z * z / clips)
    half = z / (1 + z * z / clips)
    half *= float(np.sqrt(share * (1 - share) / clips + z * z / (4 * clips * clips)))
    low = 0.0 if hits == 0 else middle - half
    high = 1.0 if hits == clips else middle + half
    return Interval(share, low, high, level, "Wilson 1927")


def bootstrap_auc(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    *,
    rng: np.random.Generator,
    groups: Sequence[object] | None = None,
    samples: int = SAMPLES,
    level: float = 0.95,
) -> Interval:
    """Return the AUC with its percentile bootstrap interval.

    Args:
        labels: 1 = synthetic.
        scores: higher = synthetic.
        rng: what draws.
        groups: without it clips are drawn, within each class; with it, one name a clip, whole
            groups (such as identities, whose clips resemble one another).
        samples: how many draws.
        level: confidence.
    """
    truth, values = _checked(labels, scores)
    require_level(level)
    metric = counted.auc(truth, values)
    found = bootstrap({"auc": metric}, Draws.of(truth, groups), rng=rng, samples=samples)["auc"]
    low, high = percentile_bounds(found, level)
    method = f"bootstrap over {'clips' if groups is None else 'groups'}, {samples} samples"
    return Interval(once(metric, len(truth)), low, high, level, method)
