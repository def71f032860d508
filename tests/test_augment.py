"""Distortions are the same for twins and bounded for all."""

import dataclasses
import json

import numpy as np
import pytest

from obverse.detector.augment import AugmentConfig, Distortion, through_h264
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


def test_a_pass_through_an_encoder_costs_detail_and_keeps_the_picture() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:65, :65]
    smooth = np.stack([x * 2, y * 2, 120 + 0 * x], -1) + 20
    frames = np.clip(smooth + rng.normal(0, 12, (3, 65, 65, 3)), 0, 255).astype(np.uint8)
    fine, coarse = through_h264(frames, 18), through_h264(frames, 40)
    assert fine.shape == coarse.shape == frames.shape
    errors = [float(np.abs(f.astype(int) - frames).mean()) for f in (fine, coarse)]
    assert errors[0] < errors[1] < 12
    assert np.abs(coarse.astype(int) - smooth).mean() < 8


def test_a_burst_is_distorted_as_one() -> None:
    config = AugmentConfig(often=1.0, film=0.0)
    crops = np.random.default_rng(1).integers(0, 255, (3, 48, 48, 3)).astype(np.uint8)
    distortion = Distortion.draw(config, np.random.default_rng(2))
    together = distortion.apply_all(crops)
    assert np.array_equal(together, np.stack([distortion.apply(crop) for crop in crops]))
    assert AugmentConfig.from_json(json.loads(json.dumps(dataclasses.asdict(config)))) == config
