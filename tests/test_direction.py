"""Who performs and what is told: intensities that sum to 1, directions and distances in range."""

import numpy as np
import pytest

from obverse.errors import ConfigError
from obverse.generator.direction import Conditions, Style, draw_conditions, draw_style


def test_drawn_conditions_are_intensities_that_change() -> None:
    rng = np.random.default_rng(1)
    changing = 0
    for _ in range(40):
        told = draw_conditions(500, rng)
        np.testing.assert_allclose(told.emotion.sum(1), 1.0, atol=1e-5)
        assert told.emotion.min() >= -1e-6
        assert np.abs(told.gaze).max() <= np.deg2rad(18.1)
        assert told.distance.min() >= 0.75
        assert told.distance.max() <= 1.6
        changing += bool(np.ptp(told.emotion, axis=0).max() > 0.1)
    assert 4 < changing < 36


def test_short_performances_are_told_something_too() -> None:
    rng = np.random.default_rng(2)
    for frames in (1, 2, 26, 60):
        for _ in range(10):
            assert np.isfinite(draw_conditions(frames, rng).emotion).all()


def test_performers_differ() -> None:
    rng = np.random.default_rng(3)
    styles = [draw_style(rng) for _ in range(50)]
    assert len(set(styles)) == 50
    rates = np.array([style.blink_rate_hz for style in styles]) * 60.0
    assert rates.min() >= 10.0
    assert 20.0 < np.median(rates) < 32.0


def test_impossible_performers_and_conditions_are_refused() -> None:
    for wrong in (float("nan"), -1.0):
        with pytest.raises(ConfigError):
            Style(mouth=wrong)
    zeros = np.zeros((3, 2), np.float32)
    with pytest.raises(ConfigError):
        Conditions(np.zeros((3, 7), np.float32), zeros, np.ones(3, np.float32))
