"""Distortions are the same for twins and bounded for all."""

import dataclasses

import numpy as np
import pytest

from obverse.detector.augment import AugmentConfig, Distortion
from obverse.errors import ConfigError

NOTHING = Distortion(
    mirrored=False,
    zoom=1,
    shift=(0, 0),
    gain=(1, 1, 1),
    shrink=None,
    blur_px=None,
    jpeg_quality=None,
)


def crop() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)


def test_nothing_changes_nothing_and_a_mirror_mirrors() -> None:
    assert (NOTHING.apply(crop()) == crop()).all()
    mirrored = dataclasses.replace(NOTHING, mirrored=True).apply(crop())
    assert (mirrored == crop()[:, ::-1]).all()


def test_jpeg_keeps_the_order_of_colours() -> None:
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 200
    squeezed = dataclasses.replace(NOTHING, jpeg_quality=90).apply(red)
    assert squeezed.mean(axis=(0, 1)) == pytest.approx([200, 0, 0], abs=4)


def test_one_draw_does_the_same_to_both_twins() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        distortion = Distortion.draw(AugmentConfig(), rng)
        assert (distortion.apply(crop()) == distortion.apply(crop())).all()
        assert distortion.apply(crop()).shape == (64, 64, 3)


def test_draws_repeat_with_the_seed_and_settings_are_checked() -> None:
    draws = [Distortion.draw(AugmentConfig(), np.random.default_rng(5)) for _ in range(2)]
    assert draws[0] == draws[1]
    never = AugmentConfig(often=0)
    assert Distortion.draw(never, np.random.default_rng(0)).jpeg_quality is None
    with pytest.raises(ConfigError, match="jpeg_quality"):
        AugmentConfig(jpeg_quality=(90, 40))
    with pytest.raises(ConfigError, match="often"):
        AugmentConfig(often=2)
