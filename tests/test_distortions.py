"""Distortions do what their formulas say, and nothing at the level that is none."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from obverse.errors import ConfigError
from obverse.eval.distortions import (
    FRAME_STEPS,
    Band,
    Blocks,
    Blur,
    Contrast,
    Filmed,
    Gain,
    Gamma,
    Grain,
    Hiss,
    Jpeg,
    Lowres,
    Noise,
    Pixelate,
    Resize,
    Saturation,
    Shift,
    Silence,
)

Image = npt.NDArray[np.uint8]


def picture(height: int = 64, width: int = 96, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    "step",
    [
        Saturation(1),
        Contrast(1),
        Blocks(0),
        Noise(0),
        Blur(1),
        Pixelate(1),
        Resize(1),
        Gamma(1),
        Lowres(64),
        Grain(0),
        Filmed(0),
    ],
)
def test_no_strength_leaves_the_picture(step: Saturation) -> None:
    image = picture()
    before = image.copy()
    out = step.apply(image, rng())
    assert np.array_equal(out, before)
    assert out is not image
    assert np.array_equal(image, before)


def test_saturation_keeps_luma_and_scales_chroma() -> None:
    image = picture() // 2 + 64  # away from the ends, where nothing is clipped
    ycc = cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2YCrCb)
    for factor in (0.4, 0.1, 0.0):
        expected = ycc.copy()
        expected[..., 1:] = 0.5 + (ycc[..., 1:] - 0.5) * factor
        reference = np.clip(cv2.cvtColor(expected, cv2.COLOR_YCrCb2RGB), 0, 255)
        out = Saturation(factor).apply(image, rng()).astype(np.float32)
        assert np.abs(out - np.floor(reference)).max() <= 1
    grey = Saturation(0).apply(image, rng())
    assert (grey.max(axis=-1) == grey.min(axis=-1)).all()


def test_contrast_scales_values() -> None:
    image = picture()
    out = Contrast(0.35).apply(image, rng())
    assert np.array_equal(out, np.floor(image.astype(np.float32) * np.float32(0.35)))


def test_blocks_are_grey_and_as_many_as_the_size_asks_for() -> None:
    black = np.zeros((520, 700, 3), np.uint8)
    out = Blocks(16).apply(black, rng())
    covered = (out == 128).all(axis=-1)
    assert set(np.unique(out)) == {0, 128}
    assert 0.9 * 2 * 16 * 64 < covered.sum() <= 2 * 16 * 64  # two units of 256 px; some overlap
    again = Blocks(16).apply(black, rng())
    assert np.array_equal(out, again)
    assert not np.array_equal(out, Blocks(16).apply(black, rng(1)))
    assert not Blocks(80).apply(np.zeros((200, 300, 3), np.uint8), rng()).any()


def test_noise_has_the_stated_variance() -> None:
    flat = np.full((256, 256, 3), 128, np.uint8)
    out = Noise(0.001).apply(flat, rng()).astype(np.float64)
    luma = out @ [0.299, 0.587, 0.114]
    # DeeperForensics adds it to luma squeezed into 16 to 235.
    assert luma.std() == pytest.approx(np.sqrt(0.001) * 255 * 255 / 219, rel=0.03)
    assert luma.mean() == pytest.approx(127.5, abs=0.5)


def test_blur_is_a_gaussian_of_a_sixth_of_its_kernel() -> None:
    dot = np.zeros((41, 41, 3), np.uint8)
    dot[20, 20] = 255
    out = Blur(9).apply(dot, rng())[..., 0].astype(np.float64)
    x = np.arange(-4, 5)
    line = np.exp(-(x**2) / (2 * 1.5**2))
    expected = 255 * np.outer(line, line) / line.sum() ** 2
    assert np.abs(out[16:25, 16:25] - expected).max() < 1
    assert out.sum() == out[16:25, 16:25].sum()


def test_pixelate_takes_what_is_fine() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    assert Pixelate(2).apply(stripes, rng()).std() < 2
    flat = np.full((64, 64, 3), 77, np.uint8)
    assert np.array_equal(Pixelate(6).apply(flat, rng()), flat)


def test_jpeg_gets_worse_with_its_quality_and_resize_halves() -> None:
    image = np.asarray(cv2.GaussianBlur(picture(), (0, 0), 2), np.uint8)
    errors = [
        float(np.abs(Jpeg(quality).apply(image, rng()).astype(int) - image).mean())
        for quality in (95, 50, 10)
    ]
    assert errors[0] < errors[1] < errors[2]
    half = Resize(0.5).apply(image, rng())
    assert half.shape == (32, 48, 3)
    mean = image.reshape(32, 2, 48, 2, 3).mean(axis=(1, 3))
    assert np.abs(half - mean).max() <= 1


def test_grain_lowres_and_a_stated_sigma() -> None:
    flat = np.full((128, 128, 3), 128, np.uint8)
    out = Grain(0.05).apply(flat, rng()).astype(float)
    assert out.std() == pytest.approx(0.05 * 255, rel=0.03)
    channels = np.corrcoef(out.reshape(-1, 3).T)
    assert np.abs(channels[np.triu_indices(3, 1)]).max() < 0.03
    stripes = np.zeros((64, 96, 3), np.uint8)
    stripes[:, ::2] = 200
    low = Lowres(16, "area").apply(stripes, rng())
    assert low.shape == stripes.shape
    assert np.abs(low.astype(int) - 100).max() <= 1
    dot = np.zeros((41, 41, 3), np.uint8)
    dot[20, 20] = 255
    peaks = [int(Blur(19, sigma).apply(dot, rng()).max()) for sigma in (1.0, 2.0)]
    expected = [255 / (2 * np.pi * s**2) for s in (1.0, 2.0)]
    assert np.allclose(peaks, expected, atol=1)  # bytes


def test_a_filmed_picture_is_still_that_picture() -> None:
    y, x = np.mgrid[:128, :160]
    image = np.stack([x, y, 255 - x], axis=-1).astype(np.uint8)
    image[40:80, 50:90] = 20
    errors = []
    for strength in (0.25, 0.5, 1.0):
        out = Filmed(strength).apply(image, rng())
        assert out.shape == image.shape
        assert np.corrcoef(out.ravel(), image.ravel())[0, 1] > 0.9
        errors.append(float(np.abs(out.astype(int) - image).mean()))
    assert errors == sorted(errors)


def test_every_frame_step_refuses_what_it_cannot_do() -> None:
    refused: dict[str, dict[str, Any]] = {
        "saturation": {"factor": -1},
        "blur": {"kernel": 4},
        "noise": {"variance": 2},
        "blocks": {"count": -1},
        "jpeg": {"quality": 0},
        "pixelate": {"factor": 0},
        "resize": {"factor": 0},
        "contrast": {"factor": 9},
        "gamma": {"power": 0},
        "lowres": {"short_px": 8, "how": "best"},
        "grain": {"sigma": -1},
        "filmed": {"strength": 2},
    }
    for name, value in refused.items():
        with pytest.raises(ConfigError, match=f"of {name} is .* must be"):
            FRAME_STEPS[name](**value)


def test_sound_steps() -> None:
    rate = 16_000
    seconds = np.arange(2 * rate) / rate
    low, high = np.sin(2 * np.pi * 1000 * seconds), np.sin(2 * np.pi * 6000 * seconds)
    tones = (0.3 * (low + high)).astype(np.float32)
    kept = Band(300, 3400).apply(tones, rate, rng())
    assert np.abs(kept[2000:-2000] - 0.3 * low[2000:-2000]).max() < 0.01
    noisy = Hiss(20).apply(tones, rate, rng())
    level = np.sqrt(np.mean((noisy - tones) ** 2) / np.mean(tones**2))
    assert 20 * np.log10(level) == pytest.approx(-20, abs=0.2)
    assert np.allclose(Gain(-20).apply(tones, rate, rng()), tones / 10)
    late = Shift(0.5).apply(tones, rate, rng())
    assert not late[:8000].any()
    assert np.array_equal(late[8000:], tones[:-8000])
    assert np.array_equal(Shift(-0.5).apply(late, rate, rng())[:-8000], tones[:-8000])
    assert np.array_equal(Shift(0).apply(tones, rate, rng()), tones)
    assert not Silence(0).apply(tones, rate, rng()).any()
    assert not Silence(1).apply(tones, rate, rng())[:rate].any()
    with pytest.raises(ConfigError, match="low_hz of band is 500; it must be"):
        Band(500, 400)
