import cv2
import numpy as np
import pytest

from obverse.generator.softening import blurred, mix, stroke


@pytest.mark.parametrize("deviation", [0.6, 0.8, 2.0])
@pytest.mark.parametrize("shape", [(40, 100, 4), (9, 3, 3), (1, 20, 4), (2, 2, 4)])
def test_blurred_is_opencvs(deviation: float, shape: tuple[int, int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    size = 2 * int(4 * deviation) + 1
    expected = cv2.GaussianBlur(image.astype(np.float32), (size, size), deviation)
    assert np.abs(blurred(image, deviation) - expected).max() < 2.5


def test_blurring_leaves_one_colour_alone_and_a_piece_of_a_picture_too() -> None:
    picture = np.zeros((20, 30, 4), np.uint8)
    picture[5:15, 5:20] = [0, 255, 7, 100]
    assert np.array_equal(blurred(picture[5:15, 5:20], 0.8), picture[5:15, 5:20])


def test_a_stroke_is_as_wide_as_it_says_and_smooth() -> None:
    band = np.zeros((12, 20), np.uint8)
    points = np.array([[13, 25, 0], [26, 25, 0], [10.25, 20, 0], [10.25, 31, 0]], np.float32)
    stroke(band, points, np.array([0, 1], np.int32), (10, 20), 2.0)
    assert band[:, 10].tolist() == [0, 0, 0, 0, 128, 255, 128, 0, 0, 0, 0, 0]
    assert (band[5, 3:17] == 255).all()
    assert (band[:, 19] == 0).all()
    upright = np.zeros((12, 20), np.uint8)
    stroke(upright, points, np.array([2, 3], np.int32), (10, 20), 2.0)
    assert upright[6, :3].tolist() == [255, 191, 0]


def test_mix_lays_one_picture_over_another_in_shares() -> None:
    image, other = np.full((1, 3, 3), 10, np.uint8), np.full((1, 3, 3), 210, np.uint8)
    mix(image, other, np.array([[0, 51, 255]], np.uint8))
    assert image[0, :, 0].tolist() == [10, 50, 210]
