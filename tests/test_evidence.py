"""Log likelihood ratios, their bounds and verdicts have closed forms in small cases."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from obverse.detector.evidence import (
    conformal_labels,
    elub_bounds,
    fit_linear,
    log_odds,
    pool_adjacent_violators,
)
from obverse.errors import ConfigError


def gaussians(
    count: int, distance: float, seed: int = 0
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    rng = np.random.default_rng(seed)
    odds = np.concatenate([rng.normal(distance, 1, count), rng.normal(-distance, 1, count)])
    return odds, np.arange(2 * count) < count


def test_log_odds_of_known_scores() -> None:
    assert log_odds([0.5, 0.75]) == pytest.approx([0, np.log(3)])
    assert np.isfinite(log_odds([0, 1])).all()


def test_a_line_finds_the_ratio_of_two_gaussians() -> None:
    # Means +-d and spread 1: the log ratio is 2 d x.
    odds, labels = gaussians(20_000, 0.8)
    line = fit_linear(odds, labels, temperature=False)
    assert line.slope == pytest.approx(1.6, rel=0.05)
    assert line.offset == pytest.approx(0, abs=0.05)
    shifted = fit_linear(odds + 3, labels, temperature=False)
    assert shifted.offset == pytest.approx(-3 * 1.6, rel=0.05)
    assert fit_linear(odds, labels, temperature=True).offset == 0


def test_the_share_of_a_label_does_not_move_the_line() -> None:
    odds, labels = gaussians(20_000, 0.8)
    few = np.concatenate([np.arange(2000), np.arange(20_000, 40_000)])
    line = fit_linear(odds[few], labels[few], temperature=False)
    assert line.slope == pytest.approx(1.6, rel=0.1)
    assert line.offset == pytest.approx(0, abs=0.1)


def test_a_perfect_parting_does_not_run_away_and_a_wrong_detector_is_not_turned() -> None:
    odds, labels = np.array([2.0, 3, -2, -3]), np.array([True, True, False, False])
    assert fit_linear(odds, labels, temperature=False).slope < 10
    assert 0 < fit_linear(-odds, labels, temperature=False).slope < 0.01


def test_pooling_agrees_with_scikit_learn_where_labels_are_even() -> None:
    rng = np.random.default_rng(3)
    odds = rng.normal(0, 2, 60)
    labels = rng.permutation(60) < 30
    at, ratios = pool_adjacent_violators(odds, labels)
    padded = np.concatenate([[odds.min() - 1], odds, [odds.max() + 1]])
    truth = np.concatenate([[1.0], labels, [0.0]])
    fitted = IsotonicRegression().fit(padded, truth)
    share = np.clip(fitted.predict(odds), 1e-6, 1 - 1e-6)
    found = 1 / (1 + np.exp(-np.interp(odds, at, ratios)))
    assert found == pytest.approx(share, abs=1e-9)


def test_a_perfect_parting_gives_ratios_that_so_few_clips_can_show() -> None:
    at, ratios = pool_adjacent_violators(
        np.array([2.0, 3, -2, -3]), np.array([True, True, False, False])
    )
    # One synthetic clip below all: 2 of 3 pristine against 1 of 3 synthetic.
    assert np.interp(-3, at, ratios) == pytest.approx(np.log(0.5 * (1 / 3) / (0.5 * (2 / 3))))
    assert np.interp(3, at, ratios) == pytest.approx(np.log(2))


def test_bounds_of_known_sets() -> None:
    # A system that parts 9 and 9 clips perfectly: with one misleading clip of each label the shares
    # are 1/10, and a ratio t is worth acting on while 1/10 + t/10 <= 1, that is up to 9.
    labels = np.arange(18) < 9
    low, high = elub_bounds(np.where(labels, 20.0, -20.0), labels)
    assert np.exp(high) == pytest.approx(9, rel=0.03)
    assert np.exp(low) == pytest.approx(1 / 9, rel=0.03)
    # One that knows nothing may claim nothing.
    nothing = elub_bounds(np.zeros(18), labels)
    assert nothing == pytest.approx((0, 0), abs=0.05)
    # `lir` 1.3: elub(llrs / ln 10, y) on numpy's default_rng(0), see the module.
    rng = np.random.default_rng(0)
    n, k = rng.integers(3, 300, 2)
    d = rng.uniform(0, 5)
    llrs = np.concatenate([rng.normal(d, 1.5, n), rng.normal(-d, 1.5, k)])
    assert np.array(elub_bounds(llrs, np.arange(n + k) < n)) / np.log(10) == pytest.approx(
        [-1.28, 1.38]
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(-2, 4))
def test_bounds_are_on_either_side_of_no_evidence(seed: int, distance: float) -> None:
    odds, labels = gaussians(12, distance, seed)
    low, high = elub_bounds(odds, labels)
    assert -np.log(14) < low <= 0 <= high < np.log(14)


def test_verdicts_err_as_often_as_they_may() -> None:
    odds, labels = gaussians(300, 0.7, 1)
    synthetic, pristine = odds[labels], odds[~labels]
    fresh, truth = gaussians(2000, 0.7, 2)
    said = [conformal_labels(float(x), synthetic, pristine, 0.1)[2] for x in fresh]
    wrong = sum(v == "synthetic" for v, t in zip(said, truth, strict=True) if not t) / 2000
    missed = sum(v == "pristine" for v, t in zip(said, truth, strict=True) if t) / 2000
    assert 0.05 < wrong < 0.13
    assert 0.05 < missed < 0.13
    assert said.count("cannot tell") > 100


def test_few_clips_rule_nothing_out_and_odd_scores_are_nobodys() -> None:
    few = np.array([1.0] * 8)
    assert conformal_labels(5.0, few, -few, 0.1)[2] == "cannot tell"
    far_apart = np.full(50, 10.0) + np.linspace(0, 1, 50)
    # Between two tight heaps: lower than all synthetic, higher than all pristine.
    assert conformal_labels(0.0, far_apart, -far_apart, 0.1)[2] == "cannot tell"
    assert conformal_labels(10.5, far_apart, -far_apart, 0.1)[2] == "synthetic"


def test_one_label_alone_is_refused() -> None:
    with pytest.raises(ConfigError, match="both labels"):
        fit_linear(np.zeros(3), np.ones(3, bool), temperature=False)
