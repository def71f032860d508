"""Faces are linked over time: one person, one track."""

import numpy as np
import numpy.typing as npt
import pytest

from obverse.detector.recipe import CropRecipe
from obverse.detector.tracks import Linker, overlap
from obverse.faces.landmarks import Face

Image = npt.NDArray[np.uint8]


def face(x: float, y: float, side: float = 60) -> Face:
    box = np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2], np.float32)
    return Face(box, 0.9, np.zeros((478, 3), np.float32), 0.99, np.zeros(52, np.float32))


def scene(seed: int = 0) -> Image:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (8, 8, 3))
    return coarse.repeat(30, 0).repeat(40, 1).astype(np.uint8)


def test_overlap_of_known_boxes() -> None:
    one = np.array([0, 0, 2, 2], np.float32)
    assert overlap(one, one) == pytest.approx(1)
    assert overlap(one, np.array([1, 0, 3, 2], np.float32)) == pytest.approx(1 / 3)
    assert overlap(one, np.array([5, 5, 6, 6], np.float32)) == 0


def test_two_people_who_come_near_keep_their_tracks() -> None:
    linker = Linker(CropRecipe())
    for moment in range(8):
        left, right = face(60 + 10 * moment, 100), face(260 - 10 * moment, 100)
        faces = [right, left] if moment % 2 else [left, right]
        numbers = linker.link(moment, scene(), faces)
        assert numbers == ([1, 0] if moment % 2 else [0, 1])


def test_a_face_may_be_out_of_sight_for_a_while() -> None:
    linker = Linker(CropRecipe(gap=2))
    still = face(250, 200)
    assert linker.link(0, scene(), [face(60, 60), still]) == [0, 1]
    for moment in (1, 2):
        assert linker.link(moment, scene(), [still]) == [1]
    assert linker.link(3, scene(), [face(62, 60), still]) == [0, 1]
    for moment in (4, 5, 6):
        linker.link(moment, scene(), [still])
    assert linker.link(7, scene(), [face(62, 60), still]) == [2, 1]


def test_one_face_that_jumps_in_one_shot_is_the_same() -> None:
    linker = Linker(CropRecipe())
    assert linker.link(0, scene(), [face(60, 60)]) == [0]
    assert linker.link(1, scene(), [face(280, 160)]) == [0]
    assert linker.link(2, scene(), [face(280, 160, 200)]) == [1]  # much nearer


def test_a_cut_ends_every_track() -> None:
    linker = Linker(CropRecipe())
    assert linker.link(0, scene(0), [face(100, 100)]) == [0]
    assert linker.link(1, scene(1), [face(100, 100)]) == [1]
    assert linker.link(2, scene(1), [face(102, 100)]) == [1]
    brighter = np.clip(scene(1).astype(int) * 1.3 + 10, 0, 255).astype(np.uint8)
    assert linker.link(3, brighter, [face(104, 100)]) == [1]  # a light is switched on
