"""Geometries are points of a finite lattice, and a picture lies where they say."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from obverse.watermark.geometry import CLASSES, SIZES, Geometry, hypotheses, laid, size_for

_SCALES = st.integers(-700, 700)
_TURNS = st.integers(-260, 260)
_SKEWS = st.integers(-100, 100)
_LEANS = st.integers(-150, 150)


def test_hypotheses_are_all_that_the_search_can_visit() -> None:
    offsets = 1024**2
    plain = 2 * len(SIZES) * offsets
    for size in SIZES:
        assert hypotheses(Geometry(size, size)) == plain
        assert hypotheses(Geometry(size, size, mirrored=True)) == plain
    even = 2801**2 * 521 * 2 * offsets
    assert hypotheses(Geometry(SIZES[0], SIZES[1])) == even
    assert hypotheses(Geometry(1, 0, 0)) == hypotheses(Geometry(0, 0, 9, True)) == even
    leaning = even * 201 * 301**2
    for geometry in (Geometry(skew=1), Geometry(lean_right=-1), Geometry(5, 5, 5, lean_down=1)):
        assert hypotheses(geometry) == leaning
    assert len({plain, even, leaning}) == CLASSES
    # The union bound holds for the sizes as well.
    assert len(set(SIZES)) == len(SIZES)


@pytest.mark.parametrize(
    ("shape", "size"),
    [((256, 256), 1), ((640, 360), 1), ((512, 910), 1), ((600, 600), 0), ((720, 1280), 0)],
)
def test_small_pictures_get_large_marks(shape: tuple[int, int], size: int) -> None:
    assert size_for(*shape) == SIZES[size]


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        (Geometry(1400, -1400), Geometry(1401)),
        (Geometry(log_height=1400), Geometry(log_height=-1401)),
        (Geometry(turn=-260, mirrored=True), Geometry(turn=261, mirrored=True)),
        (Geometry(skew=100), Geometry(skew=-101)),
        (Geometry(lean_right=150), Geometry(lean_right=-151)),
        (Geometry(lean_down=-150), Geometry(lean_down=151)),
    ],
)
def test_the_lattice_ends(inside: Geometry, outside: Geometry) -> None:
    assert inside.allowed
    assert not outside.allowed


@given(_SCALES, _SCALES, _TURNS, st.booleans(), _SKEWS, _LEANS, _LEANS)
@settings(max_examples=200, deadline=None)
def test_a_homography_names_its_point(
    width: int, height: int, turn: int, mirrored: bool, skew: int, right: int, down: int
) -> None:
    geometry = Geometry(width, height, turn, mirrored, skew, right, down)
    matrix = geometry.matrix()
    assert Geometry.nearest(3 * matrix, mirrored=mirrored) == geometry
    # Wherever the torus is shifted to: its offset is found blind.
    shifted = np.array([[1, 0, 12.5], [0, 1, -40.0], [0, 0, 1]]) @ matrix
    assert Geometry.nearest(shifted, mirrored=mirrored) == geometry


def test_what_is_turned_inside_out_is_not_allowed() -> None:
    assert not Geometry.nearest(np.diag([1.0, -1.0, 1.0]), mirrored=False).allowed


def test_a_straight_picture_is_not_resampled() -> None:
    image = np.random.default_rng(1).normal(size=(256, 301)).astype(np.float32)
    canvas, to_plane = laid(image, Geometry(), 256)
    assert canvas.shape == (256, 512)
    left, top = to_plane[:2, 2].astype(int)
    assert np.array_equal(canvas[top : top + 256, left : left + 301], image)


@pytest.mark.parametrize(
    "geometry", [Geometry(-80, 40, 30), Geometry(20, 0, -15, False, 30, 60, -40)]
)
def test_a_picture_lies_where_the_homography_says(geometry: Geometry) -> None:
    image = np.zeros((256, 320), np.float32)
    cv2.circle(image, (70, 190), 6, 1.0, -1)
    canvas, to_plane = laid(image, geometry, 256)
    rows, columns = np.mgrid[: canvas.shape[0], : canvas.shape[1]]
    found = np.array([(canvas * columns).sum(), (canvas * rows).sum()]) / canvas.sum()
    wanted = to_plane @ [70.0, 190.0, 1.0]
    assert found == pytest.approx(wanted[:2] / wanted[2], abs=0.3)
    # All of the picture is there.
    corners = to_plane @ np.array([[0, 320, 320, 0], [0, 0, 256, 256], [1, 1, 1, 1]])
    corners = corners[:2] / corners[2]
    assert corners.min() > -1
    assert (corners.max(axis=1) < np.array(canvas.shape[::-1]) + 1).all()
