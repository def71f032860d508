"""A fix of the picture's middle grows to one of all of it."""

import cv2
import numpy as np
import pytest
import scipy.fft

from obverse.watermark.carriers import DEFAULT_KEY, carriers, code_spectrum, pulse_spectrum
from obverse.watermark.geometry import Geometry, laid
from obverse.watermark.leaning import fitted, middle_of, share_of_middle
from obverse.watermark.pool import POOL_PX, Image


def _picture(geometry: Geometry) -> Image:
    """Draw the torus as a geometry undoes it, with twice as much noise as mark."""
    spectrum = code_spectrum(0x1234, DEFAULT_KEY, POOL_PX)
    torus = scipy.fft.irfft2(spectrum, s=(POOL_PX, POOL_PX))
    torus = np.tile(torus / torus.std(), (2, 2)).astype(np.float32)
    middle = np.array([[1, 0, POOL_PX], [0, 1, POOL_PX], [0, 0, 1.0]])
    back = np.array([[1, 0, -POOL_PX / 2], [0, 1, -POOL_PX / 2], [0, 0, 1.0]])
    matrix = middle @ geometry.matrix() @ back
    size = (POOL_PX, POOL_PX)
    picture = cv2.warpPerspective(torus, matrix, size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
    noise = np.random.default_rng(2).normal(0, 2, picture.shape)
    return np.asarray(picture + noise, np.float32)


def _grown(geometry: Geometry, start: Geometry, *, leaning: bool) -> Geometry:
    picture = _picture(geometry)
    plane, to_plane = laid(picture, start, POOL_PX)
    tiles = (plane.shape[0] // POOL_PX, plane.shape[1] // POOL_PX)
    shaped = scipy.fft.rfft2(plane) * pulse_spectrum(POOL_PX, tiles)
    plane = np.asarray(scipy.fft.irfft2(shaped, s=plane.shape), np.float32)
    # The torus' origin lies in the middle of the picture, and that in the middle of the plane.
    offset = (plane.shape[0] / 2 % POOL_PX + 0.6, plane.shape[1] / 2 % POOL_PX - 0.4)
    return fitted(
        plane, to_plane, picture.shape, start, offset, carriers(DEFAULT_KEY), leaning=leaning
    )


def _gap(one: Geometry, other: Geometry) -> float:
    """Return how far two geometries lay a corner apart, at most, in pooled pixels."""
    half = POOL_PX / 2
    corners = np.array([[-half, half, half, -half], [-half, -half, half, half], [1, 1, 1, 1]])
    a, b = one.matrix() @ corners, other.matrix() @ corners
    return float(np.abs(a[:2] / a[2] - b[:2] / b[2]).max())


@pytest.mark.parametrize(
    "geometry",
    [Geometry(62, 50, -33, False, 20, 10, 35), Geometry(30, 48, 12, False, -12, -30, 25)],
)
def test_a_lean_is_found_from_the_middle(geometry: Geometry) -> None:
    start = Geometry(60, 40, -20) if geometry.turn < 0 else Geometry(40, 40, 20)
    found = _grown(geometry, start, leaning=True)
    assert found.allowed
    assert _gap(found, geometry) < 0.7 < 3 < _gap(start, geometry)


def test_a_straight_picture_is_kept_straight() -> None:
    wanted = Geometry(-37, -31, 24)
    found = _grown(wanted, Geometry(-36, -36, 18), leaning=False)
    assert not found.leaning
    assert _gap(found, wanted) < 0.4


def test_the_middle_fades_out() -> None:
    middle = middle_of(np.ones((256, 384), np.float32), 1.0)
    assert middle[128, 192] == 1
    assert middle[0].max() == middle[:, 0].max() == 0
    assert 0.25 < middle.mean() < 0.36
    # The smaller a share of the torus a picture spans, the more of it is the torus' middle.
    assert 0.44 < middle_of(np.ones((256, 384), np.float32), 0.75).mean() < 0.6
    assert share_of_middle(0.3) == 1.0
