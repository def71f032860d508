"""Metrics agree with closed forms and with scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from obverse.errors import ConfigError
from obverse.eval.metrics import Interval, auc, auc_interval, bootstrap_interval, eer

tables = st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=2, max_size=60).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


@given(tables)
def test_auc_with_ties_is_scikit_learns(rows: list[tuple[bool, int]]) -> None:
    labels, scores = zip(*rows, strict=True)
    assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))


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
    drawn = bootstrap_interval(auc, labels, scores, rng=np.random.default_rng(2), samples=1000)
    known = auc_interval(labels, scores)
    assert drawn.value == known.value
    assert drawn.low == pytest.approx(known.low, abs=0.02)
    assert drawn.high == pytest.approx(known.high, abs=0.02)


def test_the_bootstrap_is_the_same_for_the_same_rng() -> None:
    labels, scores = gaussians(np.random.default_rng(3), 20, 1.0)
    a, b = (
        bootstrap_interval(eer, labels, scores, rng=np.random.default_rng(7), samples=50)
        for _ in range(2)
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
        interval = bootstrap_interval(
            auc, labels, scores, rng=np.random.default_rng(5), groups=groups, samples=300
        )
        return interval.high - interval.low

    assert width(people) > 1.8 * width(None)


def test_groups_must_name_every_clip_and_hold_both_classes() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ConfigError, match="groups"):
        bootstrap_interval(auc, [0, 1], [0, 1], rng=rng, groups=["a"])
    with pytest.raises(ConfigError, match="level"):
        bootstrap_interval(auc, [0, 1], [0, 1], rng=rng, level=95)


def test_an_interval_prints_as_in_a_table() -> None:
    assert str(Interval(0.95, 0.9214, 0.9738, 0.95, "x")) == "0.950 [0.921, 0.974]"
