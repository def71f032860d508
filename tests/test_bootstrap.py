"""Samples are drawn within classes, groups are drawn whole, and counts mean what they say."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from obverse.errors import ConfigError
from obverse.eval import counted
from obverse.eval.bootstrap import Draws, bootstrap, percentile_bounds
from obverse.eval.counted import Counted

Truth = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

METRICS: dict[str, Callable[[Truth, Floats], Counted]] = {
    "auc": lambda t, s: counted.auc(t, s),
    "ap": lambda t, s: counted.average_precision(t, s),
    "eer": lambda t, s: counted.eer(t, s),
    "tpr": lambda t, s: counted.tpr_at_fpr(t, s, 0.2),
    "accuracy": lambda t, s: counted.accuracy(t, s, 0.5),
    "balanced": lambda t, s: counted.balanced_accuracy(t, s, 0.5),
    "brier": counted.brier,
    "nll": counted.nll,
    "ece": counted.ece,
    "cllr": lambda t, s: counted.cllr(t, 9 * s - 4),
    "cllr_min": lambda t, s: counted.cllr_min(t, 9 * s - 4),
    "aurc": lambda t, s: counted.aurc(t, s, 0.5),
}


@pytest.mark.parametrize("name", METRICS)
def test_a_clip_that_counts_twice_is_two_clips(name: str) -> None:
    """Counts say the same as a longer table, whatever the metric."""
    rng = np.random.default_rng(0)
    truth = np.array([True, False] * 15)
    scores = rng.integers(0, 13, 30) / 12  # with ties
    counts = rng.integers(0, 4, (20, 30)).astype(np.float64)
    counts[:, :2] = 1  # both classes
    found = METRICS[name](truth, scores)(counts)
    for row, value in zip(counts.astype(int), found, strict=True):
        longer = np.repeat(np.arange(30), row)
        metric = METRICS[name](truth[longer], scores[longer])
        assert value == pytest.approx(counted.once(metric, len(longer)), abs=1e-12)


def test_classes_keep_their_sizes() -> None:
    truth = np.array([True] * 3 + [False] * 7)
    counts = np.concatenate(list(Draws.of(truth).counts(np.random.default_rng(0), 500)))
    assert counts.shape == (500, 10)
    assert (counts[:, :3].sum(axis=1) == 3).all()
    assert (counts[:, 3:].sum(axis=1) == 7).all()
    assert counts.mean(axis=0) == pytest.approx(1, abs=0.15)


def test_groups_are_drawn_whole_and_no_sample_lacks_a_class() -> None:
    truth = np.array([True, False, True, False, False])
    groups = ["twins", "twins", "fake", "real", "real"]
    draws = Draws.of(truth, groups)
    assert draws.groups == 3
    counts = np.concatenate(list(draws.counts(np.random.default_rng(0), 100)))
    assert (counts[:, 0] == counts[:, 1]).all()
    assert (counts[:, 3] == counts[:, 4]).all()
    assert ((counts @ truth > 0) & (counts @ ~truth > 0)).all()


def test_long_tables_are_drawn_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = np.arange(50) % 2 == 0
    monkeypatch.setattr("obverse.eval.bootstrap._CELLS", 120)
    pieces = list(Draws.of(truth).counts(np.random.default_rng(0), 7))
    assert [len(piece) for piece in pieces] == [2, 2, 2, 1]
    metric = counted.auc(truth, np.linspace(0, 1, 50))
    found = bootstrap({"auc": metric}, Draws.of(truth), rng=np.random.default_rng(0), samples=7)
    assert found["auc"].shape == (7,)


def test_what_cannot_be_drawn_is_refused() -> None:
    truth = np.array([True, False])
    with pytest.raises(ConfigError, match="1 groups for 2"):
        Draws.of(truth, ["a"])
    with pytest.raises(ConfigError, match="0 samples"):
        bootstrap({}, Draws.of(truth), rng=np.random.default_rng(0), samples=0)
    with pytest.raises(ConfigError, match="95"):
        percentile_bounds(np.zeros(3), 95)
