"""Scores as evidence: likelihood ratios, how far they may be trusted, and a verdict that abstains.

Pure functions of numpy arrays. Log likelihood ratios are natural logarithms unless a name says
otherwise.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from obverse.clip import Verdict
from obverse.errors import ConfigError

__all__ = [
    "LinearMap",
    "conformal_labels",
    "conformal_p_values",
    "elub_bounds",
    "fit_linear",
    "log_odds",
    "pool_adjacent_violators",
]

Floats = npt.NDArray[np.float64]

EDGE = 1e-6  # from 0 and 1, within which a raw score is held
_STEP = 0.01  # accuracy of the bounds, in powers of ten


class LinearMap(NamedTuple):
    """Log likelihood ratio = slope x log odds of the raw score + offset."""

    slope: float
    offset: float


def log_odds(scores: npt.ArrayLike) -> Floats:
    """Return the log odds of raw scores in [0, 1], held `EDGE` away from its ends."""
    held = np.clip(np.asarray(scores, np.float64), EDGE, 1 - EDGE)
    return np.asarray(np.log(held / (1 - held)))


def _weights(labels: npt.NDArray[np.bool_]) -> Floats:
    """Return weights by which both classes count alike: even prior odds."""
    synthetic = int(labels.sum())
    pristine = len(labels) - synthetic
    if not synthetic or not pristine:
        raise ConfigError("a calibration needs clips of both labels; here all are of one.")
    return np.where(labels, 0.5 / synthetic, 0.5 / pristine)


def fit_linear(odds: Floats, labels: npt.NDArray[np.bool_], *, temperature: bool) -> LinearMap:
    """Fit log odds of raw scores to log likelihood ratios, both classes counting alike.

    Platt's logistic regression (1999) with his targets short of 0 and 1, by which a perfect parting
    does not run away; with `temperature`, a slope alone (Guo et al. 2017). A slope is never
    negative: a detector that is wrong is not turned around.
    """
    labels = np.asarray(labels, bool)
    weights = _weights(labels)
    synthetic, pristine = int(labels.sum()), int((~labels).sum())
    target = np.where(labels, (synthetic + 1) / (synthetic + 2), 1 / (pristine + 2))

    def loss(values: Floats) -> tuple[float, Floats]:
        slope, offset = np.exp(values[0]), 0.0 if temperature else values[1]
        logits = slope * odds + offset
        each = np.logaddexp(0, logits) - target * logits
        error = weights * (1 / (1 + np.exp(-np.clip(logits, -500, 500))) - target)
        gradient = np.array([(error * odds).sum() * slope, 0.0 if temperature else error.sum()])
        return float((weights * each).sum()), gradient

    bounds = [(np.log(1e-3), np.log(1e3)), (-50.0, 50.0)]
    found = minimize(loss, np.zeros(2), jac=True, bounds=bounds, method="L-BFGS-B")
    return LinearMap(float(np.exp(found.x[0])), 0.0 if temperature else float(found.x[1]))


def pool_adjacent_violators(odds: Floats, labels: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return knots (raw log odds, log likelihood ratio) of the isotonic calibration.

    Pool adjacent violators (Ayer et al. 1955; Zadrozny and Elkan 2002), both classes counting
    alike, after one synthetic clip was added below all scores and one pristine above all, so that
    no ratio is without bounds (Brummer and du Preez, "The PAV algorithm optimizes binary proper
    scoring rules", 2013, with Laplace's rule).
    """
    labels = np.asarray(labels, bool)
    _weights(labels)
    order = np.argsort(odds, kind="stable")
    low, high = float(odds.min()) - 1, float(odds.max()) + 1
    at = np.concatenate([[low], odds[order], [high]])
    truth = np.concatenate([[True], labels[order], [False]])
    synthetic, pristine = int(truth.sum()), int((~truth).sum())
    weight = np.where(truth, 0.5 / synthetic, 0.5 / pristine)
    # Equal scores cannot be parted: they are one block from the start.
    starts = np.flatnonzero(np.append(True, np.diff(at) > 0))
    total = np.add.reduceat(weight, starts)
    positive = np.add.reduceat(weight * truth, starts)
    blocks: list[list[float]] = []  # first index, weight, positive weight
    for start, whole, part in zip(starts, total, positive, strict=True):
        blocks.append([float(start), float(whole), float(part)])
        while len(blocks) > 1 and blocks[-2][2] / blocks[-2][1] >= blocks[-1][2] / blocks[-1][1]:
            _, whole_, part_ = blocks.pop()
            blocks[-1][1] += whole_
            blocks[-1][2] += part_
    knots, ratios = [], []
    ends = [int(block[0]) for block in blocks[1:]] + [len(at)]
    for block, end in zip(blocks, ends, strict=True):
        share = min(max(block[2] / block[1], EDGE), 1 - EDGE)
        for index in {int(block[0]), end - 1}:
            knots.append(float(at[index]))
            ratios.append(float(np.log(share / (1 - share))))
    place = np.argsort(knots, kind="stable")
    return np.array(knots)[place], np.sort(np.array(ratios))


def elub_bounds(ratios: Floats, labels: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Return the empirical lower and upper bound of log likelihood ratios, natural logarithms.

    Beyond them a ratio claims more than so many clips can show: a decision by it would cost more
    than one that ignores the system, once one misleading clip of each label is added. Vergeer, van
    Es, de Jongh, Alberink and Stoel, "Numerical likelihood ratios outputted by LR systems are often
    based on extrapolation: when to stop extrapolating?", Science and Justice 56 (2016). Gives the
    numbers of the package `lir` 1.3.
    """
    labels = np.asarray(labels, bool)
    _weights(labels)
    tens = np.clip(np.asarray(ratios, np.float64) / np.log(10), -9, 9)
    low = max(float(tens.min()), -float(np.log10(labels.sum() + 1)))
    high = min(float(tens.max()), float(np.log10((~labels).sum() + 1)))
    first = min(0, int(np.floor_divide(low, _STEP)))
    last = max(0, int(np.floor_divide(high, _STEP)) + 1)
    thresholds = np.arange(first, last + 1) * _STEP
    synthetic, pristine = np.sort(tens[labels]), np.sort(tens[~labels])
    # Shares that are misjudged at each threshold, with one misleading clip of each label.
    missed = (np.searchsorted(synthetic, thresholds, side="right") + 1) / (len(synthetic) + 1)
    over = len(pristine) - np.searchsorted(pristine, thresholds, side="right")
    alarmed = (over + 1) / (len(pristine) + 1)
    odds = 10.0**thresholds
    worse = np.minimum(1.0, odds) < missed + odds * alarmed - 1e-12
    left, right = thresholds[worse & (thresholds <= 0)], thresholds[worse & (thresholds >= 0)]
    lower = min(0.0, float(np.max(left + _STEP, initial=float(thresholds[0]))))
    upper = max(0.0, float(np.min(right - _STEP, initial=float(thresholds[-1]))))
    return lower * float(np.log(10)), upper * float(np.log(10))


def conformal_p_values(odds: Floats, synthetic: Floats, pristine: Floats) -> tuple[Floats, Floats]:
    """Return the p-values of scores for being synthetic and for being pristine.

    Args:
        odds: log odds of the raw scores.
        synthetic: those of the synthetic clips of the calibration.
        pristine: those of the pristine ones.
    """
    lower = np.searchsorted(np.sort(synthetic), odds, side="right")
    higher = len(pristine) - np.searchsorted(np.sort(pristine), odds, side="left")
    return (1 + lower) / (len(synthetic) + 1), (1 + higher) / (len(pristine) + 1)


def conformal_labels(
    odds: float, synthetic: Floats, pristine: Floats, alpha: float
) -> tuple[float, float, Verdict]:
    """Return the p-values of both labels for a score, and the verdict they allow.

    Split conformal prediction within each class (Vovk, Gammerman and Shafer 2005; Vovk 2012): of
    pristine clips like those it was calibrated on, at most `alpha` are called synthetic, and the
    other way round. A verdict is given where exactly one label cannot be ruled out.

    Args:
        odds: log odds of the raw score.
        synthetic: those of the synthetic clips of the calibration.
        pristine: those of the pristine ones.
        alpha: share of errors that is allowed in each class.
    """
    p_values = conformal_p_values(np.array([odds]), synthetic, pristine)
    as_synthetic, as_pristine = float(p_values[0][0]), float(p_values[1][0])
    may_be = (as_synthetic > alpha, as_pristine > alpha)
    if may_be == (True, False):
        return as_synthetic, as_pristine, "synthetic"
    if may_be == (False, True):
        return as_synthetic, as_pristine, "pristine"
    return as_synthetic, as_pristine, "cannot tell"
