"""Metrics agree with closed forms and with scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    log_loss,
    roc_auc_score,
    roc_curve,
)

from obverse.errors import ConfigError
from obverse.eval.metrics import (
    Interval,
    accuracy,
    auc,
    auc_interval,
    aurc,
    average_precision,
    bootstrap_auc,
    brier,
    cllr,
    cllr_min,
    ece,
    eer,
    nll,
    tpr_at_fpr,
    wilson_interval,
)

tables = st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=2, max_size=60).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


@given(tables)
def test_auc_with_ties_is_scikit_learns(rows: list[tuple[bool, int]]) -> None:
    labels, scores = zip(*rows, strict=True)
    assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), rel=1e-14)


LAST_DIGIT = 4e-15  # relative: sums in another order differ by a rounding


@given(tables)
def test_metrics_with_ties_are_scikit_learns(rows: list[tuple[bool, int]]) -> None:
    labels, eighths = zip(*rows, strict=True)
    scores = np.array(eighths) / 8
    known = {
        average_precision: average_precision_score(labels, scores),
        brier: brier_score_loss(labels, scores),
        nll: log_loss(labels, scores),
    }
    for metric, value in known.items():
        assert metric(labels, scores) == pytest.approx(value, rel=LAST_DIGIT, abs=1e-15)
    assert accuracy(labels, scores, 0.5) == accuracy_score(labels, scores >= 0.5)


@given(tables, st.sampled_from([0.1, 0.25, 0.5]))
def test_tpr_at_fpr_is_the_best_point_of_the_curve(
    rows: list[tuple[bool, int]], rate: float
) -> None:
    labels, scores = zip(*(rows * 10), strict=True)  # enough pristine clips for any rate
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    assert tpr_at_fpr(labels, scores, rate) == tpr[fpr <= rate + 1e-12].max()


@given(tables)
@settings(deadline=None)  # the first call compiles
def test_the_least_cost_is_that_of_isotonic_regression(rows: list[tuple[bool, int]]) -> None:
    labels, places = (np.array(column) for column in zip(*rows, strict=True))
    weight = np.where(labels, 0.5 / labels.sum(), 0.5 / (~labels).sum())
    share = IsotonicRegression().fit(places, labels, weight).predict(places)
    with np.errstate(divide="ignore"):
        cost = weight * -np.log2(np.where(labels, share, 1 - share))
    ratios = places - 4.0
    assert cllr_min(labels, ratios) == pytest.approx(cost.sum(), abs=1e-9)
    assert cllr_min(labels, ratios) <= cllr(labels, ratios) + 1e-12


def test_costs_in_closed_form() -> None:
    labels = [0, 0, 1, 1]
    assert cllr(labels, [0, 0, 0, 0]) == pytest.approx(1)  # says nothing
    assert cllr(labels, np.log([1 / 3, 1 / 3, 3, 3])) == pytest.approx(np.log2(4 / 3))
    assert cllr(labels, [-800, -800, 800, 800]) == 0
    assert cllr(labels, [800, -800, 800, 800]) == pytest.approx(800 / np.log(2) / 4)
    assert cllr_min(labels, [1, 2, 3, 4]) == 0
    assert cllr_min(labels, [4, 3, 2, 1]) == pytest.approx(1)


def test_calibration_error_in_closed_form() -> None:
    # 10 clips say .3 and 3 of them are synthetic; 10 say .8 and 6 are.
    labels = [1] * 3 + [0] * 7 + [1] * 6 + [0] * 4
    scores = [0.3] * 10 + [0.8] * 10
    assert ece(labels, scores) == pytest.approx(0.1)
    assert ece(labels, scores, bins=1) == pytest.approx(0.1)  # .45 of .55
    assert ece([0, 1], [0, 1]) == 0
    assert ece([0, 1], [1, 0]) == 1


def test_risk_over_coverage_in_closed_form() -> None:
    # From the surest on: right, wrong, right, wrong. Risks 0, 1/2, 1/3, 1/2.
    labels, scores = [1, 1, 0, 0], [0.99, 0.1, 0.2, 0.7]
    assert aurc(labels, scores) == pytest.approx((1 / 2 + 1 / 3 + 1 / 2) / 4)
    # One block of equally sure clips has its error rate at every coverage, in the mean.
    assert aurc([1, 0, 1, 0], [0.9, 0.9, 0.9, 0.1]) == pytest.approx(1 / 4)
    assert aurc([0, 1], [0.2, 0.7]) == 0


@given(tables)
@settings(deadline=None)
def test_risk_with_ties_is_the_mean_over_orders(rows: list[tuple[bool, int]]) -> None:
    labels, eighths = (np.array(column) for column in zip(*rows[:40], strict=True))
    if labels.all() or not labels.any():
        return
    scores = eighths / 8
    wrong = (scores >= 0.5) != labels
    sure = np.abs(scores - 0.5)
    rng = np.random.default_rng(0)
    found = []
    for _ in range(400):
        order = np.lexsort((rng.random(len(sure)), -sure))
        found.append(np.mean(np.cumsum(wrong[order]) / np.arange(1, len(order) + 1)))
    error = np.std(found) / np.sqrt(len(found))
    assert aurc(labels, scores) == pytest.approx(np.mean(found), abs=5 * error + 1e-9)


def test_too_few_pristine_clips_for_a_rate_are_refused() -> None:
    labels, scores = [0] * 99 + [1] * 50, np.linspace(0, 1, 149)
    assert tpr_at_fpr(labels, scores, 0.1) == 1
    with pytest.raises(ConfigError, match=r"99 pristine clips.*at least 100"):
        tpr_at_fpr(labels, scores, 0.01)
    assert tpr_at_fpr([0] * 100 + [1], [*scores[:100], 0.5], 0.01) == 0
    assert tpr_at_fpr([0] * 100 + [1], [*scores[:100] * 0.7, 0.6899], 0.03) == 1


def test_probabilities_lie_between_0_and_1() -> None:
    for metric in (brier, nll, ece):
        with pytest.raises(ConfigError, match=r"from -1 to 2.*\[0, 1\]"):
            metric([0, 1], [-1, 2])


def test_wilsons_interval_is_as_published() -> None:
    # Newcombe, Statistics in Medicine 17, 1998, table I, method 3: 81 of 263, 15 of 148, 0 of 20.
    for hits, clips, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605)):
        found = wilson_interval(hits, clips)
        assert (round(found.low, 4), round(found.high, 4)) == (low, high)
    nothing = wilson_interval(0, 20)
    assert (nothing.low, round(nothing.high, 4)) == (0, 0.1611)
    with pytest.raises(ConfigError, match="0 of 0"):
        wilson_interval(0, 0)


@given(tables)
def test_eer_lies_on_the_roc_curve(rows: list[tuple[bool, int]]) -> None:
    labels, scores = zip(*rows, strict=True)
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    value = eer(labels, scores)
    assert 0 <= value <= 1
    # The straight line through the curve's points has TPR = 1 - EER at FPR = EER; where the curve
    # rises steeply the whole step is on it.
    below = np.interp(value - 1e-9, fpr, tpr)
    above = np.interp(value + 1e-9, fpr, tpr)
    assert below - 1e-6 <= 1 - value <= above + 1e-6


def test_known_tables() -> None:
    labels = [0, 0, 1, 1]
    assert auc(labels, [0.1, 0.4, 0.35, 0.8]) == 0.75
    assert auc(labels, [1, 1, 1, 1]) == 0.5
    assert auc(labels, [4, 3, 2, 1]) == 0
    assert eer(labels, [1, 2, 3, 4]) == 0
    assert eer(labels, [4, 3, 2, 1]) == 1
    assert eer(labels, [1, 1, 1, 1]) == 0.5
    assert eer(labels, [0.1, 0.4, 0.35, 0.8]) == 0.5
    assert eer([0, 0, 0, 1, 1, 1], [1, 2, 5, 3, 6, 7]) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("labels", "scores", "said"),
    [
        ([1, 1], [0.1, 0.2], "both"),
        ([0, 1], [0.1, float("nan")], "finite"),
        ([0, 2], [0.1, 0.2], "0 \\(pristine\\)"),
        ([0, 1], [0.1], "shape"),
    ],
)
def test_tables_without_an_answer_are_refused(
    labels: list[int], scores: list[float], said: str
) -> None:
    for metric in (auc, eer):
        with pytest.raises(ConfigError, match=said):
            metric(labels, scores)


def gaussians(rng: np.random.Generator, clips: int, shift: float) -> tuple[list[int], list[float]]:
    labels = [0] * clips + [1] * clips
    scores = np.concatenate([rng.normal(0, 1, clips), rng.normal(shift, 1, clips)])
    return labels, scores.tolist()


def test_the_closed_form_covers_the_truth() -> None:
    rng = np.random.default_rng(0)
    truth = 0.8556  # of a shift of 1.5 standard deviations: Phi(1.5 / sqrt 2)
    hits = 0
    for _ in range(300):
        interval = auc_interval(*gaussians(rng, 25, 1.5))
        assert interval.low <= interval.value <= interval.high
        hits += interval.low <= truth <= interval.high
    assert 0.91 < hits / 300 < 0.99


def test_few_clips_that_are_parted_perfectly_prove_little() -> None:
    interval = auc_interval([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])
    assert interval.value == interval.high == 1
    assert 0.2 < interval.low < 0.6
    many = auc_interval([0] * 200 + [1] * 200, [0.1] * 200 + [0.9] * 200)
    assert many.low > 0.97
    reversed_ = auc_interval([1, 1, 0, 0], [0.1, 0.2, 0.8, 0.9])
    assert reversed_.value == reversed_.low == 0
    assert reversed_.high == pytest.approx(1 - interval.low, abs=1e-6)


def test_the_bootstrap_agrees_with_the_closed_form_on_many_clips() -> None:
    labels, scores = gaussians(np.random.default_rng(1), 150, 1.0)
    drawn = bootstrap_auc(labels, scores, rng=np.random.default_rng(2), samples=1000)
    known = auc_interval(labels, scores)
    assert drawn.value == known.value
    assert drawn.low == pytest.approx(known.low, abs=0.02)
    assert drawn.high == pytest.approx(known.high, abs=0.02)


def test_the_bootstrap_is_the_same_for_the_same_rng() -> None:
    labels, scores = gaussians(np.random.default_rng(3), 20, 1.0)
    a, b = (
        bootstrap_auc(labels, scores, rng=np.random.default_rng(7), samples=50) for _ in range(2)
    )
    assert a == b


def test_drawing_identities_widens_the_interval_when_their_clips_are_alike() -> None:
    rng = np.random.default_rng(4)
    labels, scores, people = [], [], []
    for person in range(12):
        for label in (0, 1):
            centre = rng.normal(label, 1)
            for _ in range(10):
                labels.append(label)
                scores.append(centre + rng.normal(0, 0.05))
                people.append(person)

    def width(groups: list[int] | None) -> float:
        interval = bootstrap_auc(
            labels, scores, rng=np.random.default_rng(5), groups=groups, samples=300
        )
        return interval.high - interval.low

    assert width(people) > 1.8 * width(None)


def test_groups_must_name_every_clip_and_hold_both_classes() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ConfigError, match="groups"):
        bootstrap_auc([0, 1], [0, 1], rng=rng, groups=["a"])
    with pytest.raises(ConfigError, match="level"):
        bootstrap_auc([0, 1], [0, 1], rng=rng, level=95)


def test_an_interval_prints_as_in_a_table() -> None:
    assert str(Interval(0.95, 0.9214, 0.9738, 0.95, "x")) == "0.950 [0.921, 0.974]"
