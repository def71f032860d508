"""Metrics of clips that each count so many times, many samples at once.

A bootstrap sample says how often each clip was drawn. Here a metric is prepared once for a table
and then measured on whole matrices of such counts, `[B, N]`: a row of ones gives the table's own
value, so that a figure and its interval come from one piece of code.
"""

import functools
from collections.abc import Callable

import numba
import numpy as np
import numpy.typing as npt

__all__ = [
    "BINS",
    "Counted",
    "accuracy",
    "auc",
    "aurc",
    "average_precision",
    "balanced_accuracy",
    "brier",
    "cllr",
    "cllr_min",
    "ece",
    "eer",
    "nll",
    "once",
    "tpr_at_fpr",
]

Floats = npt.NDArray[np.float64]
Truth = npt.NDArray[np.bool_]
Counted = Callable[[Floats], Floats]  # counts [B, N] of the clips, in the table's order -> [B]

BINS = 15  # of equal width, for the calibration error (Guo et al. 2017)


def once(metric: Counted, clips: int) -> float:
    """Return a metric of a table in which every clip counts once."""
    return float(metric(np.ones((1, clips)))[0])


class _Blocks:
    """Clips in the order of a key, with the borders between clips whose keys differ.

    No threshold parts equal scores, so all that follows is counted in blocks of equal scores.
    """

    def __init__(self, truth: Truth, key: Floats) -> None:
        self._order = np.argsort(key, kind="stable")  # of rising keys
        ordered = key[self._order]
        starts = np.flatnonzero(np.append(True, np.diff(ordered) > 0))
        self._borders = np.append(starts, len(key))  # of the blocks, in that order
        self._truth = truth[self._order]
        self._last: tuple[Floats, tuple[Floats, Floats]] | None = None

    def sums(self, counts: Floats) -> tuple[Floats, Floats]:
        """Return how many synthetic and how many pristine clips each block holds, `[B, K]`.

        Several metrics ask about the same counts in turn, which are not to be changed.
        """
        last = self._last
        if last is None or last[0] is not counts:
            last = counts, _block_sums(counts, self._order, self._borders, self._truth)
            self._last = last
        return last[1]


def _blocks(truth: Truth, key: Floats) -> _Blocks:
    """Return the blocks of a table, the same for every metric that goes by the same key."""
    return _blocks_of(truth.tobytes(), np.asarray(key, np.float64).tobytes())


@functools.lru_cache(maxsize=3)  # by scores, by ratios, and by how sure they are
def _blocks_of(truth: bytes, key: bytes) -> _Blocks:
    return _Blocks(np.frombuffer(truth, bool), np.frombuffer(key, np.float64))


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _block_sums(
    counts: Floats,
    order: npt.NDArray[np.intp],
    borders: npt.NDArray[np.intp],
    truth: Truth,
) -> tuple[Floats, Floats]:
    """Return how many synthetic and how many pristine clips lie between borders, `[B, K]`."""
    rows, blocks = counts.shape[0], len(borders) - 1
    synthetic, pristine = np.zeros((rows, blocks)), np.zeros((rows, blocks))
    for row in range(rows):
        for block in range(blocks):
            for place in range(borders[block], borders[block + 1]):
                if truth[place]:
                    synthetic[row, block] += counts[row, order[place]]
                else:
                    pristine[row, block] += counts[row, order[place]]
    return synthetic, pristine


def _from_above(sums: Floats) -> Floats:
    """Return how many clips lie at or above each block, highest block first, `[B, K]`."""
    return np.cumsum(sums[:, ::-1], axis=1)


def auc(truth: Truth, scores: Floats) -> Counted:
    """Area under the ROC curve: the chance that a synthetic clip scores higher than a pristine
    one, ties counting half (Mann and Whitney 1947).
    """
    blocks = _blocks(truth, scores)

    def measure(counts: Floats) -> Floats:
        synthetic, pristine = blocks.sums(counts)
        below = np.cumsum(pristine, axis=1) - pristine
        won = (synthetic * (below + pristine / 2)).sum(axis=1)
        return np.asarray(won / (synthetic.sum(axis=1) * pristine.sum(axis=1)))

    return measure


def average_precision(truth: Truth, scores: Floats) -> Counted:
    """Precision at each threshold, weighted by the recall that it adds; never interpolated."""
    blocks = _blocks(truth, scores)

    def measure(counts: Floats) -> Floats:
        synthetic, pristine = blocks.sums(counts)
        hits, alarms = _from_above(synthetic), _from_above(pristine)
        precision = hits / np.maximum(hits + alarms, 1)
        return np.asarray((synthetic[:, ::-1] * precision).sum(axis=1) / hits[:, -1])

    return measure


def eer(truth: Truth, scores: Floats) -> Counted:
    """Equal error rate: where the ROC curve, drawn straight, has FPR = 1 - TPR."""
    blocks = _blocks(truth, scores)

    def measure(counts: Floats) -> Floats:
        synthetic, pristine = blocks.sums(counts)
        start = np.zeros((len(counts), 1))
        hits = np.hstack([start, _from_above(synthetic)])
        alarms = np.hstack([start, _from_above(pristine)])
        total_hits, total_alarms = hits[:, -1:], alarms[:, -1:]
        # FPR - (1 - TPR), times both totals: whole numbers, so that 0 is 0.
        gap = alarms * total_hits - (total_hits - hits) * total_alarms
        after = np.argmax(gap >= 0, axis=1)
        rows = np.arange(len(counts))
        high, low = gap[rows, after], gap[rows, after - 1]
        share = low / (low - high)
        before = alarms[rows, after - 1]
        rate = before + share * (alarms[rows, after] - before)
        return np.asarray(rate / total_alarms[:, 0])

    return measure


def tpr_at_fpr(truth: Truth, scores: Floats, fpr: float) -> Counted:
    """Highest share of synthetic clips found by a threshold that alarms at most `fpr` of the
    pristine ones.
    """
    blocks = _blocks(truth, scores)

    def measure(counts: Floats) -> Floats:
        synthetic, pristine = blocks.sums(counts)
        hits, alarms = _from_above(synthetic), _from_above(pristine)
        # The product of a rate such as .1 and a whole number misses whole numbers by a rounding.
        allowed = alarms <= fpr * alarms[:, -1:] + 1e-9
        return np.asarray(np.where(allowed, hits, 0).max(axis=1) / hits[:, -1])

    return measure


def _mean(values: Floats) -> Counted:
    return lambda counts: np.asarray(counts @ values / counts.sum(axis=1))


def _mean_of_classes(truth: Truth, values: Floats) -> Counted:
    synthetic, pristine = truth.astype(np.float64), (~truth).astype(np.float64)

    def measure(counts: Floats) -> Floats:
        of_synthetic = counts @ (values * synthetic) / (counts @ synthetic)
        of_pristine = counts @ (values * pristine) / (counts @ pristine)
        return np.asarray((of_synthetic + of_pristine) / 2)

    return measure


def accuracy(truth: Truth, scores: Floats, threshold: float) -> Counted:
    """Share of clips on the right side of a threshold; at it means synthetic."""
    return _mean(((scores >= threshold) == truth).astype(np.float64))


def balanced_accuracy(truth: Truth, scores: Floats, threshold: float) -> Counted:
    """Mean of the accuracies of both classes."""
    return _mean_of_classes(truth, ((scores >= threshold) == truth).astype(np.float64))


def brier(truth: Truth, scores: Floats) -> Counted:
    """Mean square of score less label (Brier 1950)."""
    return _mean((scores - truth) ** 2)


def nll(truth: Truth, scores: Floats) -> Counted:
    """Mean negative log likelihood in nats; scores are held one rounding away from 0 and 1."""
    tiny = np.finfo(np.float64).eps
    held = np.clip(scores, tiny, 1 - tiny)
    return _mean(-np.log(np.where(truth, held, 1 - held)))


def ece(truth: Truth, scores: Floats, bins: int = BINS) -> Counted:
    """Calibration error: distance of the share of synthetic clips from the mean score in bins of
    equal width, weighted by the bins' clips (Naeini et al. 2015).
    """
    place = np.minimum((scores * bins).astype(np.intp), bins - 1)
    gap = np.zeros((len(scores), bins))
    gap[np.arange(len(scores)), place] = truth - scores
    return lambda counts: np.asarray(np.abs(counts @ gap).sum(axis=1) / counts.sum(axis=1))


def cllr(truth: Truth, ratios: Floats) -> Counted:
    """Cost of log likelihood ratios (natural logarithms) in bits: 0 says all, 1 says nothing
    (Brummer and du Preez 2006).
    """
    cost = np.logaddexp(0, np.where(truth, -ratios, ratios)) / np.log(2)
    return _mean_of_classes(truth, cost)


def cllr_min(truth: Truth, ratios: Floats) -> Counted:
    """Cllr after the best calibration that keeps the order: what telling apart alone costs."""
    blocks = _blocks(truth, ratios)

    def measure(counts: Floats) -> Floats:
        synthetic, pristine = blocks.sums(counts)
        return np.asarray(
            _least_cost(
                synthetic / synthetic.sum(axis=1, keepdims=True),
                pristine / pristine.sum(axis=1, keepdims=True),
            )
        )

    return measure


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _least_cost(synthetic: Floats, pristine: Floats) -> Floats:
    """Pool adjacent violators in every row and return the cost of what results."""
    rows, columns = synthetic.shape
    found = np.zeros(rows)
    high = np.zeros(columns)  # shares of the classes in the blocks so far
    low = np.zeros(columns)
    for row in range(rows):
        top = 0
        for column in range(columns):
            if synthetic[row, column] + pristine[row, column] == 0:
                continue  # not drawn
            high[top], low[top] = synthetic[row, column], pristine[row, column]
            top += 1
            # The share of synthetic clips must rise from block to block.
            while top > 1 and high[top - 2] * low[top - 1] >= high[top - 1] * low[top - 2]:
                high[top - 2] += high[top - 1]
                low[top - 2] += low[top - 1]
                top -= 1
        cost = 0.0
        for block in range(top):
            whole = high[block] + low[block]
            if high[block] > 0:
                cost -= high[block] * np.log2(high[block] / whole)
            if low[block] > 0:
                cost -= low[block] * np.log2(low[block] / whole)
        found[row] = cost / 2
    return found


def aurc(truth: Truth, scores: Floats, threshold: float) -> Counted:
    """Area under the risk-coverage curve (Geifman and El-Yaniv 2017): the error rate of the surest
    clips, averaged over how many of them are judged; surer is farther from the threshold.

    Equally sure clips come in any order: the mean over their orders is taken.
    """
    wrong = (scores >= threshold) != truth
    blocks = _blocks(wrong, -np.abs(scores - threshold))

    def measure(counts: Floats) -> Floats:
        errors, fine = blocks.sums(counts)
        size = errors + fine
        end = np.cumsum(size, axis=1)
        start = end - size
        missed = np.cumsum(errors, axis=1) - errors
        rate = errors / np.maximum(size, 1)
        # The sum of (missed + rate (k - start)) / k over the k clips of a block.
        harmonic = np.append(0, np.cumsum(1 / np.arange(1, int(end[:, -1].max()) + 1)))
        spans = np.diff(harmonic[end.astype(np.intp)], prepend=0.0, axis=1)
        area = (errors + (missed - rate * start) * spans).sum(axis=1)
        return np.asarray(area / end[:, -1])

    return measure
