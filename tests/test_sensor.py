"""Grain is another in every frame, the same for a seed; cameras differ from clip to clip."""

import numpy as np

from obverse.generator.sensor import GRAIN_LEVELS, exposed


def test_grain_is_fresh_and_of_its_strength() -> None:
    grey = np.full((96, 128, 3), 120, np.uint8)
    first, second = exposed([grey, grey], 4)
    assert not np.array_equal(first, second)
    assert first.shape == grey.shape
    least, most = ((level**2 + 1 / 12) ** 0.5 for level in GRAIN_LEVELS)  # rounding: a twelfth
    for frame in (first, second):
        assert (frame == frame[..., :1]).all()  # grain of light, not of colour
        assert 0.95 * least < float(frame[..., 0].std()) < 1.05 * most
        assert abs(float(frame.mean()) - 120) < 0.15
    assert np.array_equal(next(exposed([grey], 4)), first)
    assert not np.array_equal(next(exposed([grey], 5)), first)
    assert (grey == 120).all()


def test_black_and_white_stay_in_range() -> None:
    ends = np.zeros((32, 32, 3), np.uint8)
    ends[16:] = 255
    (seen,) = exposed([ends], 1)
    assert seen[:12].max() < 20
    assert seen[20:].min() > 235


def test_cameras_differ_in_grain_and_sharpness() -> None:
    grey = np.full((128, 128, 3), 120, np.uint8)
    specks = [float(next(exposed([grey], seed)).std()) for seed in range(12)]
    assert max(specks) > 2 * min(specks)
    edge = np.zeros((32, 32, 3), np.uint8)
    edge[:, 16:] = 200
    slopes = []
    for seed in range(12):
        row = next(exposed([edge], seed)).astype(float).mean(axis=(0, 2))
        slopes.append(row[16] - row[15])
    assert max(slopes) > 190  # as sharp as it was drawn
    assert 90 < min(slopes) < 120
