"""A calibrated score is a probability, its ratio is bounded, its verdict abstains."""

import json
from pathlib import Path

import numpy as np
import pytest

from obverse.detector.calibration import Calibration, Domain, uncalibrated
from obverse.detector.evidence import log_odds
from obverse.errors import ConfigError, InputError


def scores(count: int, distance: float = 1.0, seed: int = 0) -> tuple[list[float], list[bool]]:
    rng = np.random.default_rng(seed)
    odds = np.concatenate([rng.normal(distance, 1, count), rng.normal(-distance, 1, count)])
    raw = 1 / (1 + np.exp(-(odds - 2) / 4))  # squeezed and shifted, as networks' scores are
    return raw.tolist(), [i < count for i in range(2 * count)]


@pytest.mark.parametrize("method", ["platt", "temperature", "isotonic"])
def test_scores_become_probabilities(method: str) -> None:
    raw, labels = scores(1000)
    made = Calibration.fit(raw, labels, method=method)  # type: ignore[arg-type]
    fresh, truth = scores(4000, seed=1)
    found = np.array([made.judge(value).score for value in fresh])
    order = np.argsort(found)
    if method != "temperature":  # a slope alone cannot shift
        for part in np.array_split(order, 10):
            assert abs(float(found[part].mean() - np.array(truth)[part].mean())) < 0.08
    assert (np.diff(found[np.argsort(fresh)]) >= -1e-12).all()


def test_ratios_are_bounded_by_what_the_clips_can_show() -> None:
    raw, labels = scores(40, distance=6)
    made = Calibration.fit(raw, labels)
    best, worst = made.judge(0.999), made.judge(0.001)
    assert best.lr is not None
    assert worst.lr is not None
    assert 5 < best.lr < 42
    assert 1 / 42 < worst.lr < 0.2
    assert made.log_ratio(0.999) == pytest.approx(np.log(best.lr))
    assert (best.verdict, worst.verdict) == ("synthetic", "pristine")


def test_the_verdict_abstains_between_and_outside() -> None:
    raw, labels = scores(100)
    pictures = [Domain(100 + i, 20, 120) for i in range(200)]
    made = Calibration.fit(raw, labels, domain=pictures)
    middle = 1 / (1 + np.exp(0.5))  # log odds -0.5: the raw score of no evidence
    said = made.judge(middle)
    assert said.verdict == "cannot tell"
    assert said.reason is not None
    assert made.judge(0.9, Domain(150, 20, 120)).verdict == "synthetic"
    tiny = made.judge(0.9, Domain(20, 20, 120))
    assert tiny.verdict == "cannot tell"
    assert tiny.reason == "face px is 20; it was calibrated on 100 to 299"
    assert tiny.score == made.judge(0.9).score


def test_it_survives_a_file(tmp_path: Path) -> None:
    raw, labels = scores(30)
    for method in ("platt", "isotonic"):
        made = Calibration.fit(raw, labels, method=method, domain=[Domain(1, 2, 3)] * 60)
        made.save(tmp_path / "c.json")
        back = Calibration.load(tmp_path / "c.json")
        assert back.judge(0.7, Domain(1, 2, 3)) == made.judge(0.7, Domain(1, 2, 3))
    (tmp_path / "c.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        Calibration.load(tmp_path / "c.json")
    (tmp_path / "c.json").write_text(json.dumps({"method": "platt"}))
    with pytest.raises(InputError, match="damaged"):
        Calibration.load(tmp_path / "c.json")


def test_too_few_clips_are_no_calibration() -> None:
    with pytest.raises(ConfigError, match="at least 20 clips of each label"):
        Calibration.fit(*scores(19))
    assert uncalibrated(0.4) == (0.4, None, "cannot tell", "this detector is not calibrated")
    assert log_odds([0.4])[0] < 0
