"""Scores as evidence: known tables, promises kept and broken."""

import numpy as np
import numpy.typing as npt
import pytest

from obverse.eval.evaluation import EvalConfig
from obverse.eval.score_table import ScoreTable
from obverse.eval.weighing import reliability, risk_coverage, tippett, weigh

CONFIG = EvalConfig(samples=1)


def table(
    truth: npt.NDArray[np.bool_], score: npt.NDArray[np.float64],
    ratio: npt.NDArray[np.float64] | None = None,
    verdict: list[str] | None = None, **groups: list[str],
) -> ScoreTable:  # fmt: skip
    return ScoreTable(
        detector="d",
        unit="clip",
        clip=np.array([f"c{i}" for i in range(len(truth))], object),
        truth=truth.astype(bool),
        status=np.array(["ok"] * len(truth), object),
        score=score.astype(np.float64),
        ratio=ratio,
        verdict=None if verdict is None else np.array(verdict, object),
        groups={name: np.array(values, object) for name, values in groups.items()},
    )


def test_reliability_counts_every_clip_once() -> None:
    truth = np.array([True] * 3 + [False] * 7 + [True] * 5)
    scores = np.array([0.31] * 10 + [1.0] * 5)
    low, high = reliability(truth, scores, bins=10)
    assert (low.low, low.high, low.clips) == (0.3, 0.4, 10)
    assert low.score == pytest.approx(0.31)
    assert low.synthetic.value == 0.3
    assert (high.clips, high.synthetic.value, high.synthetic.high) == (5, 1.0, 1.0)


def test_tippett_curves_are_shares_at_or_above() -> None:
    truth = np.array([True, True, False, False])
    at, synthetic, pristine = tippett(truth, np.log([100, 0.1, 0.1, 0.01]))
    assert at == pytest.approx([-2, -1, 2])
    assert list(synthetic) == [1, 1, 0.5]
    assert list(pristine) == [1, 0.5, 0]


def test_risk_over_coverage_judges_ties_together() -> None:
    truth = np.array([True, True, False, False])
    coverage, risk = risk_coverage(truth, np.array([0.9, 0.1, 0.9, 0.3]), 0.5)
    assert list(coverage) == [0.75, 1.0]
    assert list(risk) == [pytest.approx(2 / 3), 0.5]


def test_ratios_that_claim_too_much_are_counted() -> None:
    truth = np.arange(40) % 2 == 0
    ratio = np.where(truth, np.log(1e6), -np.log(1e6))
    ratio[:2] = [-1.0, 1.0]  # one misleading clip of each label
    found = weigh(table(truth, np.full(40, 0.5), ratio), CONFIG)
    assert found.ratio_from == "the column lr"
    assert 1 < found.bounds[1] < 21  # so few clips never show more than their number
    assert found.beyond >= 38
    assert found.misleading["synthetic"].value == found.misleading["pristine"].value == 0.05
    assert found.to_json()["elub"] == list(found.bounds)


def test_a_promise_is_broken_where_its_whole_interval_is_above() -> None:
    truth = np.arange(200) % 2 == 0
    verdict = ["synthetic" if each else "pristine" for each in truth]
    where = ["in"] * 100 + ["out"] * 100
    for place in range(100, 160):  # outside, most are misjudged
        verdict[place] = "pristine" if truth[place] else "synthetic"
    found = weigh(table(truth, np.full(200, 0.5), verdict=verdict, dataset=where), CONFIG)
    assert found.verdicts_from == "the detector"
    kept = {(each.slice, each.label): each.broken for each in found.promises}
    assert kept == {
        ("all", "pristine"): True, ("all", "synthetic"): True,
        ("dataset=in", "pristine"): False, ("dataset=in", "synthetic"): False,
        ("dataset=out", "pristine"): True, ("dataset=out", "synthetic"): True,
    }  # fmt: skip


def test_conformal_verdicts_keep_their_promise_on_exchangeable_clips() -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(1000) % 2 == 0
    score = 1 / (1 + np.exp(-rng.normal(np.where(truth, 1, -1), 1)))
    found = weigh(table(truth, score, identity=[f"p{i // 5}" for i in range(1000)]), CONFIG)
    assert "5 folds" in found.verdicts_from
    for each in found.promises:
        assert each.misjudged.value is not None
        assert each.misjudged.value < 0.13
        assert 0.05 < each.abstained < 0.5
        assert not each.broken
    few = weigh(table(truth[:20], score[:20]), CONFIG)
    assert few.promises == ()
    assert "20 clips of each label" in few.verdicts_from
