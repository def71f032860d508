"""Small faces are found, and read where they are."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from obverse.errors import ConfigError
from obverse.faces.detection import Detector
from obverse.faces.landmarks import FaceReader
from obverse.faces.small_faces import SmallFaceDetector
from obverse.generator.portrait import Portrait
from obverse.weights import card


@pytest.fixture(scope="module")
def still(sitter_portrait: Portrait) -> npt.NDArray[np.uint8]:
    return sitter_portrait.picture


def test_faces_of_a_group_are_found_where_they_are(
    face_reader: FaceReader, still: npt.NDArray[np.uint8]
) -> None:
    (one,) = face_reader.read(still)
    scale = 40 / one.side
    small = cv2.resize(still, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    height, width = small.shape[:2]
    group = np.full((480, 640, 3), 120, np.uint8)
    corners = [(40, 60), (300, 80), (520, 300)]
    for x, y in corners:
        group[y : y + height, x : x + width] = small
    found = SmallFaceDetector().detect(group)
    assert len(found) == 3
    faces = face_reader.survey(group)
    expected = [one.landmarks[:468, :2] * scale + corner for corner in corners]
    for face in faces:
        assert min(np.abs(face.landmarks[:468, :2] - e).mean() for e in expected) < 1.5
    assert len(faces) == 3
    assert len(Detector().glance(group)) < 3  # what the near-range detector sees at a glance


def test_a_larger_picture_gives_boxes_in_its_own_pixels(
    face_reader: FaceReader, still: npt.NDArray[np.uint8]
) -> None:
    (one,) = face_reader.read(still)
    for search_px in (160, 640):
        (found,) = SmallFaceDetector(search_px).detect(still)
        assert found.box == pytest.approx(one.box, abs=0.12 * one.side)
        assert 0.6 < found.score <= 1


def test_nothing_is_found_where_nothing_is(face_reader: FaceReader) -> None:
    assert face_reader.survey(np.full((64, 64, 3), 90, np.uint8)) == []
    with pytest.raises(ConfigError, match="search_px is 8"):
        SmallFaceDetector(8)


def test_the_card_names_the_licence() -> None:
    assert "MIT" in card("obverse.faces", "yunet.onnx")["licence"]
    notice = Path(__file__).resolve().parents[1] / "NOTICE"
    assert "YuNet" in notice.read_text(encoding="utf-8")
