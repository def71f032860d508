"""A copy's faces are cut where its film's are, without looking for them."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from test_crops import Script, face, film, picture

from obverse.datasets.footage import Footage
from obverse.detector.crops import FilmFaces, cut_faces, cut_square, read_film, schedule_of
from obverse.detector.follow import FaceFollower, follow_film
from obverse.detector.recipe import CropRecipe
from obverse.errors import InputError
from obverse.faces.landmarks import Face
from obverse.media.still import write_still
from obverse.media.video import VideoWriter, read_frames


def written(path: Path, frames: int, size: tuple[int, int] = (400, 300)) -> Path:
    """A film in which a smooth picture moves to the left, 4 px a frame."""
    with VideoWriter(path, *size, 25) as writer:
        for number in range(frames):
            moved = np.roll(picture(), -4 * number, axis=1)
            writer.write(np.asarray(cv2.resize(moved, size, interpolation=cv2.INTER_AREA)))
    return path


def moving(frames: int) -> list[list[Face]]:
    return [[face(200 - 4 * number, 150)] for number in range(frames)]


def seen(path: Path, recipe: CropRecipe) -> tuple[FilmFaces, list[list[float]]]:
    return read_film(path, recipe, Script(moving(12))), schedule_of(Footage(path), recipe)


@pytest.mark.parametrize("burst", [1, 4])
def test_a_film_followed_by_itself_gives_the_same_crops(burst: int, tmp_path: Path) -> None:
    path = written(tmp_path / "a.mp4", 12)
    recipe = CropRecipe(size_px=64, moments=12, burst=burst, every=1)
    plain, schedule = seen(path, recipe)
    again = follow_film(path, recipe, plain, schedule)
    (mine,), (track,) = plain.tracks, again.tracks
    for name in ("times", "boxes", "moments", "crops", "landmarks", "squares"):
        assert np.array_equal(getattr(mine, name), getattr(track, name)), name
    assert (again.size, again.seconds) == (plain.size, plain.seconds)
    inverted = follow_film(path, recipe, plain, schedule, lambda image, _: 255 - image)
    assert np.abs(inverted.tracks[0].crops.astype(int) + mine.crops - 255).max() <= 1


def test_a_smaller_copy_is_cut_at_the_same_place_of_the_face(tmp_path: Path) -> None:
    path, half = written(tmp_path / "a.mp4", 4), written(tmp_path / "b.mp4", 4, (200, 150))
    recipe = CropRecipe(size_px=64, moments=4)
    plain, schedule = seen(path, recipe)
    (mine,), (track,) = plain.tracks, follow_film(half, recipe, plain, schedule).tracks
    assert np.abs(track.crops.astype(int) - mine.crops).mean() < 3
    shifted = follow_film(half, recipe, plain, schedule[:1] * 4).tracks[0]  # of another moment
    assert np.abs(shifted.crops[-1].astype(int) - mine.crops[-1])[..., 0].mean() > 5  # red
    assert track.boxes + 0.5 == pytest.approx((mine.boxes + 0.5) / 2, abs=1e-3)
    corner = np.array([-0.5, -0.5, 1])
    assert track.squares[0] @ corner + 0.5 == pytest.approx(
        (mine.squares[0] @ corner + 0.5) / 2, abs=1e-3
    )
    frame = next(iter(read_frames(half)))
    assert np.array_equal(track.crops[0], cut_square(frame, track.squares[0], 64))


def test_a_still_and_a_film_without_faces_are_followed_too(tmp_path: Path) -> None:
    write_still(tmp_path / "a.png", picture())
    recipe = CropRecipe(size_px=64)
    plain, schedule = seen(tmp_path / "a.png", recipe)
    (track,) = follow_film(tmp_path / "a.png", recipe, plain, schedule).tracks
    assert np.array_equal(track.crops, plain.tracks[0].crops)
    path = film(tmp_path / "b.mp4", 8)
    recipe = CropRecipe(moments=4)
    nothing = read_film(path, recipe, Script([[]] * 4))
    assert follow_film(path, recipe, nothing, [[0.0]] * 4).tracks == ()


def test_a_copy_that_shows_fewer_frames_at_a_moment_is_refused() -> None:
    recipe = CropRecipe(size_px=64, burst=2, every=1)
    frames = [(0.0, picture()), (0.04, picture())]
    found = FilmFaces(
        cut_faces([frames], recipe, Script(moving(2))), np.zeros((0, 0), np.int16), 1, (400, 300)
    )
    with pytest.raises(InputError, match="1 frames where its film shows 2"):
        FaceFollower(recipe, found).add(frames[:1])
