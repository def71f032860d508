"""Detectors compared: tests agree with their definitions, and only common clips count."""

import dataclasses
import itertools

import numpy as np
import pytest

from obverse.errors import ConfigError, InputError
from obverse.eval.comparison import compare_tables, delong, holm, paired
from obverse.eval.comparison_report import comparison_report, comparison_text
from obverse.eval.evaluation import EvalConfig
from obverse.eval.metrics import auc
from obverse.eval.report import Origin
from obverse.eval.score_table import ScoreTable

CONFIG = EvalConfig(samples=300)


def tables(clips: int, noise: tuple[float, ...], seed: int = 0) -> list[ScoreTable]:
    rng = np.random.default_rng(seed)
    truth = np.arange(clips) % 2 == 1
    common = rng.normal(np.where(truth, 1.0, -1.0), 1)
    return [
        ScoreTable(
            detector=f"d{place}",
            unit="clip",
            clip=np.array([f"c{i}" for i in range(clips)], object),
            truth=truth,
            status=np.array(["ok"] * clips, object),
            score=1 / (1 + np.exp(-(common + rng.normal(0, each, clips)))),
            ratio=None,
            verdict=None,
            groups={"identity": np.array([f"p{i // 4}" for i in range(clips)], object)},
        )
        for place, each in enumerate(noise)
    ]


def slow_delong(truth: list[bool], first: list[float], second: list[float]) -> float:
    """DeLong's statistic as it is defined: over all pairs."""

    def psi(x: float, y: float) -> float:
        return 1.0 if x > y else 0.5 if x == y else 0.0

    def parts(scores: list[float]) -> tuple[list[float], list[float]]:
        high = [s for s, t in zip(scores, truth, strict=True) if t]
        low = [s for s, t in zip(scores, truth, strict=True) if not t]
        return (
            [float(np.mean([psi(x, y) for y in low])) for x in high],
            [float(np.mean([psi(x, y) for x in high])) for y in low],
        )

    (a10, a01), (b10, b01) = parts(first), parts(second)
    s10, s01 = np.cov(a10, b10), np.cov(a01, b01)
    whole = s10 / len(a10) + s01 / len(a01)
    variance = whole[0, 0] + whole[1, 1] - 2 * whole[0, 1]
    return float((np.mean(a10) - np.mean(b10)) / np.sqrt(variance))


def test_delong_is_its_definition() -> None:
    from scipy.stats import norm

    rng = np.random.default_rng(0)
    for _ in range(5):
        truth = rng.permutation(np.arange(30) % 3 == 0)
        one = np.round(rng.normal(truth, 1), 1)  # with ties
        two = np.round(one + rng.normal(0, 1, 30), 1)
        z = slow_delong(truth.tolist(), one.tolist(), two.tolist())
        assert delong(truth, one, two) == pytest.approx(2 * norm.sf(abs(z)), rel=1e-9)
    assert delong(truth, one, one) == 1


def test_delong_is_calibrated() -> None:
    hits = sum(
        delong(first.truth, first.score, second.score) < 0.1
        for first, second in (tables(80, (1.0, 1.0), seed) for seed in range(300))
    )
    assert 0.06 < hits / 300 < 0.15


def test_holm_in_closed_form() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_better_detector_is_told_from_a_worse_one() -> None:
    found = compare_tables(tables(400, (0.2, 3.0)), CONFIG)
    area = next(each for each in found.differences if each.metric == "auc")
    assert (area.first, area.second, area.test) == ("d0", "d1", "DeLong")
    assert area.value == pytest.approx(found.values["d0"]["auc"] - found.values["d1"]["auc"])
    assert 0 < area.low < area.value < area.high
    assert area.p < 1e-6
    assert area.p < area.p_holm < 1e-4
    assert area.by_identity is not None
    assert area.by_identity[0] > 0
    eer = next(each for each in found.differences if each.metric == "eer")
    assert (eer.test, eer.value < 0, eer.p_holm < 0.05) == ("paired bootstrap", True, True)


def test_pairing_narrows_the_interval() -> None:
    """Two detectors that stumble over the same clips are compared more sharply than alone."""
    one, two = tables(200, (0.3, 0.3))
    found = compare_tables([one, two], CONFIG, ["auc"])
    difference = found.differences[0]
    shuffled = np.random.default_rng(1).permutation(100)
    order = np.arange(200)
    order[one.truth] = order[one.truth][shuffled]
    order[~one.truth] = order[~one.truth][shuffled]
    apart = dataclasses.replace(two, score=two.score[order])
    assert auc(two.truth, apart.score) == auc(two.truth, two.score)
    loose = compare_tables([one, apart], CONFIG, ["auc"]).differences[0]
    assert loose.high - loose.low > 1.5 * (difference.high - difference.low)


def test_only_clips_that_all_have_are_compared() -> None:
    one, two = tables(100, (0.2, 0.2))
    two = two.rows(np.arange(10, 100))
    missing = np.arange(100) < 20
    one = dataclasses.replace(
        one,
        status=np.where(missing, "missing", one.status),
        score=np.where(missing, np.nan, one.score),
    )
    found = compare_tables([one, two], CONFIG, ["auc"])
    assert (found.clips, found.synthetic, found.pristine) == (80, 40, 40)
    assert found.left_out == {"d0": 20, "d1": 10}
    order = np.random.default_rng(0).permutation(90)
    again = compare_tables([one, two.rows(order)], CONFIG, ["auc"])
    assert again.values == found.values
    wrong = compare_tables([one, two], dataclasses.replace(CONFIG, policy="wrong"), ["auc"])
    assert wrong.clips == 90
    assert wrong.values["d0"]["auc"] < found.values["d0"]["auc"]


def test_three_detectors_have_three_pairs() -> None:
    made = tables(120, (0.2, 1.0, 3.0))
    found = compare_tables(made, CONFIG, ["auc", "eer"])
    pairs = {(each.first, each.second) for each in found.differences}
    assert pairs == set(itertools.combinations(("d0", "d1", "d2"), 2))
    assert len(found.differences) == 6
    text = comparison_text(found)
    assert "120 clips that all have" in text
    assert "d0 - d2" in text
    report = comparison_report(made, found, Origin("d", "c", {}, "x"))
    assert [chart.name for chart in report.sections[0].charts] == ["differences", "roc"]
    assert report.row["d0 auc"] == found.values["d0"]["auc"]


def test_what_cannot_be_compared_is_refused() -> None:
    one, two = tables(20, (0.2, 0.2))
    with pytest.raises(ConfigError, match="at least two"):
        paired([one], CONFIG)
    with pytest.raises(ConfigError, match="called d0"):
        paired([one, one], CONFIG)
    with pytest.raises(ConfigError, match="by clip"):
        paired([one, dataclasses.replace(two, unit="frame")], CONFIG)
    with pytest.raises(InputError, match="no clips in common"):
        paired([one, dataclasses.replace(two, clip=two.clip + "x")], CONFIG)
    with pytest.raises(InputError, match="another label in d1 than in d0"):
        paired([one, dataclasses.replace(two, truth=~two.truth)], CONFIG)
    with pytest.raises(ConfigError, match=r"tpr@fpr=0\.01 is not known or not measured"):
        compare_tables([one, two], CONFIG, ["tpr@fpr=0.01"])
