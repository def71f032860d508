"""The matte covers the person and follows edges."""

from pathlib import Path

import numpy as np
import pytest

from obverse.errors import InputError
from obverse.faces.landmarks import FaceReader
from obverse.faces.matte import guided_filter, person_matte
from obverse.media.still import read_still

PORTRAITS = Path(__file__).resolve().parents[2] / "shared" / "portraits" / "synthetic"
portraits = pytest.mark.skipif(not PORTRAITS.is_dir(), reason="needs the shared portraits")


def test_a_linear_function_of_the_colours_passes_the_guided_filter() -> None:
    guide = np.random.default_rng(0).random((60, 80, 3), np.float32)
    values = (guide @ np.array([0.2, -0.3, 0.5], np.float32)) + np.float32(0.1)
    assert np.allclose(guided_filter(guide, values, 5, 1e-6), values, atol=1e-3)


def test_the_guided_filter_moves_a_blurred_step_onto_the_guides_edge() -> None:
    guide = np.zeros((64, 64, 3), np.float32)
    guide[:, 32:] = (0.9, 0.4, 0.1)
    values = np.zeros((64, 64), np.float32)
    values[:] = np.clip((np.arange(64) - 26) / 12, 0, 1)
    fitted = guided_filter(guide, values, 8, 1e-4)
    assert fitted[32, 33] - fitted[32, 30] > 0.5
    assert values[32, 33] - values[32, 30] < 0.3


def test_a_flat_picture_has_no_person() -> None:
    matte = person_matte(np.full((90, 140, 3), 128, np.uint8))
    assert matte.shape == (90, 140)
    assert matte.dtype == np.float32
    assert matte.mean() < 0.05


def test_a_picture_of_another_kind_is_refused() -> None:
    with pytest.raises(InputError, match="uint8 RGB"):
        person_matte(np.zeros((64, 64, 4), np.uint8))


@portraits
def test_the_person_is_in_and_the_corners_are_out() -> None:
    image = read_still(PORTRAITS / "02d8145fc1.jpg")
    matte = person_matte(image)
    assert matte.shape == image.shape[:2]
    assert matte.min() >= 0
    assert matte.max() <= 1
    face = FaceReader().read(image)[0]
    x, y = face.landmarks[:468, :2].astype(int).T
    assert matte[y, x].mean() > 0.98
    assert matte[:20, :20].mean() < 0.1
    assert matte[:20, -20:].mean() < 0.1


@portraits
def test_a_mirrored_picture_gives_a_mirrored_matte() -> None:
    image = read_still(PORTRAITS / "02d8145fc1.jpg")
    mirrored = person_matte(np.ascontiguousarray(image[:, ::-1]))[:, ::-1]
    assert np.abs(mirrored - person_matte(image)).mean() < 0.02
