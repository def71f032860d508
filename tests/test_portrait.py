import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from obverse.errors import ConfigError, FaceError, InputError
from obverse.faces.landmarks import FaceReader
from obverse.generator.portrait import Portrait, PortraitConfig, make_portrait, read_portrait


def test_arrays_agree_in_shape_and_range(sitter_portrait: Portrait) -> None:
    height, width = sitter_portrait.picture.shape[:2]
    assert (height, width) == (512, 512)
    assert sitter_portrait.landmarks.shape == (478, 3)
    assert sitter_portrait.matte.shape == (height, width)
    assert 0 <= sitter_portrait.matte.min() <= sitter_portrait.matte.max() <= 1
    assert sitter_portrait.background.shape == sitter_portrait.picture.shape
    inside = sitter_portrait.landmarks[:, :2]
    assert (inside > 0).all()
    assert (inside < width).all()


def test_the_background_loses_the_face(sitter_portrait: Portrait, face_reader: FaceReader) -> None:
    assert face_reader.read(sitter_portrait.picture)
    assert not face_reader.read(sitter_portrait.background)


def test_laying_the_person_back_gives_the_picture(sitter_portrait: Portrait) -> None:
    alpha = sitter_portrait.matte[..., None]
    composite = alpha * sitter_portrait.foreground + (1 - alpha) * sitter_portrait.background
    error = composite - sitter_portrait.picture
    assert 10 * np.log10(255**2 / (error**2).mean()) > 30


def test_landmarks_survive_enlargement(face_reader: FaceReader, sitter_portrait: Portrait) -> None:
    small = cv2.resize(sitter_portrait.picture, (256, 256), interpolation=cv2.INTER_AREA)
    enlarged = make_portrait(small, "0" * 64, reader=face_reader)
    assert enlarged.picture.shape == (512, 512, 3)
    again = face_reader.read(enlarged.picture)[0].landmarks[:, :2]
    assert np.abs(again - enlarged.landmarks[:, :2]).mean() < 2.0


def test_saved_and_loaded(sitter_portrait: Portrait, tmp_path: Path) -> None:
    path = tmp_path / "portrait.npz"
    sitter_portrait.save(path)
    loaded = Portrait.load(path)
    for field in dataclasses.fields(Portrait):
        before, after = getattr(sitter_portrait, field.name), getattr(loaded, field.name)
        same = np.array_equal(before, after) if isinstance(before, np.ndarray) else before == after
        assert same, field.name


def test_a_damaged_save_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "portrait.npz"
    path.write_bytes(b"not a portrait")
    with pytest.raises(InputError, match="not a saved portrait"):
        Portrait.load(path)


def test_no_face(face_reader: FaceReader) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3)).astype(np.uint8)
    with pytest.raises(FaceError, match="no face"):
        make_portrait(noise, "0" * 64, reader=face_reader)


def test_too_small(face_reader: FaceReader, sitter_portrait: Portrait) -> None:
    tiny = cv2.resize(sitter_portrait.picture, (100, 100), interpolation=cv2.INTER_AREA)
    with pytest.raises(FaceError, match="128 px"):
        make_portrait(tiny, "0" * 64, reader=face_reader)


def test_a_face_that_is_not_there(face_reader: FaceReader, sitter_portrait: Portrait) -> None:
    with pytest.raises(FaceError, match="face 2 does not exist"):
        make_portrait(sitter_portrait.picture, "0" * 64, face=2, reader=face_reader)


def test_the_frame_never_leaves_the_picture(
    face_reader: FaceReader, sitter_portrait: Portrait
) -> None:
    points = sitter_portrait.landmarks[:, :2]
    x0, y0 = np.maximum(points.min(0) - 25, 0).astype(int)
    x1, y1 = (points.max(0) + 25).astype(int)
    tight = make_portrait(sitter_portrait.picture[y0:y1, x0:x1], "0" * 64, reader=face_reader)
    assert tight.picture.shape[0] == tight.picture.shape[1]
    assert tight.interocular_px > 1.3 * sitter_portrait.interocular_px


def test_whole_picture_keeps_its_shape(face_reader: FaceReader, sitter_portrait: Portrait) -> None:
    wide = np.hstack([sitter_portrait.picture, sitter_portrait.background])
    portrait = make_portrait(
        wide, "0" * 64, config=PortraitConfig(framing="picture"), reader=face_reader
    )
    assert portrait.picture.shape == (512, 1024, 3)


@pytest.mark.parametrize(
    "settings", [{"framing": "body"}, {"head_share": 0.9}, {"min_side_px": 4, "max_side_px": 2}]
)
def test_bad_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        PortraitConfig(**settings)  # type: ignore[arg-type]


def test_paintings(shared: Path, face_reader: FaceReader) -> None:
    portrait = read_portrait(shared / "portraits/paintings/mona_lisa.jpg", reader=face_reader)
    assert not portrait.warnings
    assert portrait.matte.mean() < 0.8


def test_a_small_person_is_told_from_a_plain_ground(
    face_reader: FaceReader, sitter_portrait: Portrait
) -> None:
    """A head in the corner of a poster keeps its hair: the matte is looked at from near by."""
    canvas = np.full((1600, 1600, 3), 235, np.uint8)
    canvas[:400, :400] = cv2.resize(sitter_portrait.picture, (400, 400))
    config = PortraitConfig(framing="picture")
    small = make_portrait(canvas, "0" * 64, config=config, reader=face_reader)
    shown = cv2.resize(small.matte[:256, :256], sitter_portrait.matte.shape[::-1])
    agreed = (shown > 0.5) == (sitter_portrait.matte > 0.5)
    assert agreed.mean() > 0.95
    assert not [warning for warning in small.warnings if "background" in warning]
