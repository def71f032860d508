"""Faces are cut alike from every clip, and linked over time."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from obverse.detector.crops import (
    CropRecipe,
    cut_face,
    cut_tracks,
    load_tracks,
    save_tracks,
    track_faces,
)
from obverse.errors import ConfigError, InputError
from obverse.faces.landmarks import Face, FaceReader
from obverse.faces.pose import canonical_face
from obverse.generator.motion import rotation_matrix
from obverse.media.video import VideoWriter

Image = npt.NDArray[np.uint8]


def face(x: float, y: float, size: float = 40, roll: float = 0.0) -> Face:
    """A face whose landmarks are those of the canonical one."""
    mesh = size * canonical_face().vertices @ rotation_matrix((0, 0, roll)).T + (x, y, 0)
    landmarks = np.concatenate([mesh, np.tile(mesh[:1], (10, 1))]).astype(np.float32)
    box = np.concatenate([mesh[:, :2].min(axis=0), mesh[:, :2].max(axis=0)]).astype(np.float32)
    return Face(box, 0.9, landmarks, 0.99, np.zeros(52, np.float32))


class Script(FaceReader):
    """Reads what it was told."""

    def __init__(self, faces: list[list[Face]]) -> None:
        self.faces = iter(faces)

    def read(self, image: Image, *, drawn: bool = False) -> list[Face]:
        del drawn
        return next(self.faces)


def picture() -> Image:
    """A smooth picture, red to the right and green downwards."""
    y, x = np.mgrid[:300, :400]
    return np.stack([x * 0.6, y * 0.8, np.full_like(x, 90)], -1).astype(np.uint8)


def test_a_crop_is_centred_and_scaled_by_its_face() -> None:
    recipe = CropRecipe(size_px=64)
    for size in (15, 40, 70):
        one = face(200, 150, size)
        middle = (one.box[:2] + one.box[2:]) / 2
        crop = cut_face(picture(), one, recipe)
        assert crop.shape == (64, 64, 3)
        assert crop[31:33, 31:33, 0].mean() == pytest.approx(middle[0] * 0.6, abs=1.5)
        assert crop[31:33, 31:33, 1].mean() == pytest.approx(middle[1] * 0.8, abs=1.5)
        side = recipe.margin * max(one.box[2:] - one.box[:2])
        slope = (float(crop[32, 48, 0]) - float(crop[32, 16, 0])) / 32 / 0.6 * 64
        assert slope == pytest.approx(side, rel=0.1)


def test_a_tilted_face_is_cut_level() -> None:
    centre = (200.0, 150.0)
    upright = cut_face(picture(), face(*centre), CropRecipe())
    matrix = cv2.getRotationMatrix2D(centre, -30, 1)
    tilted = np.asarray(cv2.warpAffine(picture(), matrix, (400, 300)), np.uint8)
    again = cut_face(tilted, face(*centre, roll=np.radians(30)), CropRecipe())
    inner = (slice(20, 108), slice(20, 108))
    assert np.abs(upright[inner].astype(float) - again[inner]).mean() < 3


def test_people_are_linked_each_to_a_track() -> None:
    left = [face(80 + 4 * i, 120, 30) for i in range(6)]
    right = [face(300 - 4 * i, 130, 40) for i in range(6)]
    seen = [[right[i], left[i]] if i % 2 else [left[i], right[i]] for i in range(6)]
    seen[3] = [left[3]]  # one looks away
    seen[5].append(face(200, 40, 8))  # a passer-by
    frames = [(i * 0.5, picture()) for i in range(6)]
    tracks = track_faces(frames, CropRecipe(frames=6, track_share=0.4), Script(seen))
    assert [len(track) for track in tracks] == [6, 5]
    assert tracks[0].times.tolist() == [0, 0.5, 1, 1.5, 2, 2.5]
    assert tracks[0].boxes[:, 0].tolist() == [one.box[0] for one in left]
    assert tracks[1].times.tolist() == [0, 0.5, 1, 2, 2.5]
    assert tracks[1].crops.shape == (5, 128, 128, 3)


def film(path: Path, frames: int) -> Path:
    with VideoWriter(path, 64, 64, 25) as writer:
        for i in range(frames):
            writer.write(np.full((64, 64, 3), 2 * i, np.uint8))
    return path


def test_frames_are_spread_evenly(tmp_path: Path) -> None:
    whole = film(tmp_path / "a.mp4", 100)
    recipe = CropRecipe(frames=4)
    (track,) = cut_tracks(whole, recipe, Script([[face(32, 32, 10)]] * 4))
    assert track.times == pytest.approx([0.5, 1.5, 2.5, 3.5])
    assert track.crops.mean(axis=(1, 2, 3)) == pytest.approx([25, 75, 125, 175], abs=4)


def test_a_short_film_gives_every_frame(tmp_path: Path) -> None:
    short = film(tmp_path / "a.mp4", 3)
    (track,) = cut_tracks(short, CropRecipe(), Script([[face(32, 32, 10)]] * 3))
    assert track.times == pytest.approx([0, 0.04, 0.08])


def test_a_film_without_a_face_has_no_track(tmp_path: Path) -> None:
    assert cut_tracks(film(tmp_path / "a.mp4", 8), CropRecipe(frames=4), FaceReader()) == []


def test_a_damaged_film_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"not a film at all" * 50)
    with pytest.raises(InputError):
        cut_tracks(path, CropRecipe(), Script([]))


def test_tracks_are_kept(tmp_path: Path) -> None:
    tracks = track_faces(
        [(0.0, picture())], CropRecipe(), Script([[face(80, 100), face(300, 100)]])
    )
    save_tracks(tmp_path / "kept" / "a.npz", tracks)
    back = load_tracks(tmp_path / "kept" / "a.npz")
    assert [track.boxes.tolist() for track in back] == [track.boxes.tolist() for track in tracks]
    assert all((a.crops == b.crops).all() for a, b in zip(back, tracks, strict=True))
    save_tracks(tmp_path / "kept" / "b.npz", [])
    assert load_tracks(tmp_path / "kept" / "b.npz") == []


def test_recipes_differ_by_digest_and_refuse_nonsense() -> None:
    assert CropRecipe().digest == CropRecipe().digest
    assert CropRecipe().digest != CropRecipe(margin=1.5).digest
    with pytest.raises(ConfigError, match="size_px is 8"):
        CropRecipe(size_px=8)
