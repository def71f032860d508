"""Grain is another in every frame, the same for a seed, and as strong as it says."""

import numpy as np
import pytest

from obverse.generator.sensor import GRAIN_LEVELS, exposed


def test_grain_is_fresh_and_of_its_strength() -> None:
    grey = np.full((96, 128, 3), 120, np.uint8)
    first, second = exposed([grey, grey], 4)
    assert not np.array_equal(first, second)
    assert first.shape == grey.shape
    for frame in (first, second):
        assert (frame == frame[..., :1]).all()  # grain of light, not of colour
        # Rounding to whole levels adds a twelfth of a level's square.
        assert float(frame[..., 0].std()) == pytest.approx(
            (GRAIN_LEVELS**2 + 1 / 12) ** 0.5, rel=0.05
        )
        assert float(frame.mean()) == pytest.approx(120, abs=0.1)
    assert np.array_equal(next(exposed([grey], 4)), first)
    assert not np.array_equal(next(exposed([grey], 5)), first)
    assert (grey == 120).all()


def test_black_and_white_stay_in_range() -> None:
    ends = np.zeros((16, 16, 3), np.uint8)
    ends[8:] = 255
    (seen,) = exposed([ends], 1)
    assert seen[:8].max() < 20
    assert seen[8:].min() > 235
