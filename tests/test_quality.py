import dataclasses

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from obverse.faces.landmarks import Face, FaceReader
from obverse.generator.motion import expression_index
from obverse.generator.portrait import Portrait, make_portrait
from obverse.generator.quality import judge_still

SURE = np.zeros(478, np.float32)
AHEAD = np.zeros(3, np.float32)
Image = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def still(sitter_portrait: Portrait) -> Image:
    return sitter_portrait.picture


@pytest.fixture(scope="module")
def face(still: Image, face_reader: FaceReader) -> Face:
    return face_reader.read(still)[0]


def _judged(image: Image, face: Face, *, doubt: npt.NDArray[np.float32] = SURE) -> str:
    return " / ".join(judge_still(image, face, AHEAD, doubt))


def test_a_plain_still_gets_no_warning(still: Image, face: Face, face_reader: FaceReader) -> None:
    assert _judged(still, face, doubt=face_reader.doubt(still, face)) == ""


@pytest.mark.parametrize(
    ("rotation", "said"), [((0, 0.6, 0), "turned 34"), ((-0.6, 0, 0), "tilted 34"), ((0, 0, 1), "")]
)
def test_a_turned_head(still: Image, face: Face, rotation: tuple[float, ...], said: str) -> None:
    warnings = judge_still(still, face, np.array(rotation), SURE)
    assert [said in warning for warning in warnings] == ([True] if said else [])


def test_a_small_and_a_blurred_face(still: Image, face: Face) -> None:
    small = cv2.resize(still, (160, 160), interpolation=cv2.INTER_AREA)
    shrunk = dataclasses.replace(face, landmarks=face.landmarks * np.float32(160 / 512))
    assert "small face" in _judged(np.asarray(small, np.uint8), shrunk)
    blurred = np.asarray(cv2.GaussianBlur(still, (0, 0), 5), np.uint8)
    assert "blurred" in _judged(blurred, face)


def test_an_open_mouth_and_unsure_features(still: Image, face: Face) -> None:
    expression = face.expression.copy()
    expression[expression_index("jawOpen")] = 0.6
    assert "mouth wide open" in _judged(still, dataclasses.replace(face, expression=expression))
    doubt = SURE.copy()
    doubt[[13, 14, 78, 308, 0, 17, 61, 291]] = 0.5
    assert "mouth hard to read" in _judged(still, face, doubt=doubt)
    doubt = SURE.copy()
    doubt[[159, 145, 386, 374, 33, 263]] = 0.5
    assert "eyes hard to read" in _judged(still, face, doubt=doubt)
    assert "little certainty" in _judged(still, dataclasses.replace(face, presence=0.6))


def test_dark_glasses(still: Image, face: Face) -> None:
    dark = still.copy()
    for iris in (468, 473):
        x, y = face.landmarks[iris, :2].round().astype(int)
        cv2.ellipse(dark, (int(x), int(y)), (42, 34), 0, 0, 360, (12, 12, 14), -1)
    assert "dark glasses" in _judged(dark, face)


def test_a_face_at_the_border(still: Image, face: Face) -> None:
    top = int(face.landmarks[10, 1]) + 2
    moved = dataclasses.replace(face, landmarks=face.landmarks - np.array([0, top, 0], np.float32))
    assert "cut by the picture's border" in _judged(np.ascontiguousarray(still[top:]), moved)


def test_a_covered_mouth_scatters_the_readings(
    still: Image, face: Face, face_reader: FaceReader
) -> None:
    covered = still.copy()
    x, y = face.landmarks[13, :2].round().astype(int)
    covered[y - 34 : y + 60, x - 90 : x + 40] = (90, 120, 60)
    mouth = [13, 14, 78, 308, 0, 17, 61, 291]
    read = face_reader.read(covered)
    before = face_reader.doubt(still, face)[mouth].mean()
    assert not read or face_reader.doubt(covered, read[0])[mouth].mean() > 1.5 * before


def test_warnings_travel_with_the_portrait(still: Image, face_reader: FaceReader) -> None:
    blurred = np.asarray(cv2.GaussianBlur(still, (0, 0), 5), np.uint8)
    portrait = make_portrait(blurred, "0" * 64, reader=face_reader)
    assert any("blurred" in warning for warning in portrait.warnings)


def test_an_engraving_is_read_through_its_strokes(still: Image, face_reader: FaceReader) -> None:
    rows = 0.5 + 0.45 * np.sin(np.arange(512)[:, None] * 1.6)
    grey = cv2.cvtColor(still, cv2.COLOR_RGB2GRAY).astype(np.float64)
    low, high = np.percentile(grey, (2, 98))
    grey = (grey - low) / (high - low)
    engraved = np.repeat(((grey > rows) * 255).astype(np.uint8)[..., None], 3, 2)
    if face_reader.read(engraved):
        pytest.skip("the plain look finds it already")
    found = face_reader.read(engraved, drawn=True)
    assert found
    expected = face_reader.read(still)[0].landmarks[:468, :2]
    assert np.abs(found[0].landmarks[:468, :2] - expected).mean() < 8
