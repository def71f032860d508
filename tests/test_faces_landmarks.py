"""Faces are found and read wherever they are, and nowhere else."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from obverse.errors import InputError
from obverse.faces.detection import Detection, merge
from obverse.faces.landmarks import BLENDSHAPE_POINTS, EXPRESSIONS, LANDMARKS, Face, FaceReader
from obverse.generator import motion
from obverse.media.still import read_still

SHARED = Path(__file__).resolve().parents[2] / "shared"
PORTRAITS = SHARED / "portraits" / "synthetic"
FRONTAL = "02d8145fc1.jpg"

Image = npt.NDArray[np.uint8]
portraits = pytest.mark.skipif(not PORTRAITS.is_dir(), reason="needs the shared portraits")


@pytest.fixture(scope="module")
def reader() -> FaceReader:
    return FaceReader()


@pytest.fixture(scope="module")
def portrait() -> Image:
    return read_still(PORTRAITS / FRONTAL)


@pytest.fixture(scope="module")
def face(reader: FaceReader, portrait: Image) -> Face:
    faces = reader.read(portrait)
    assert len(faces) == 1
    return faces[0]


def error(reader: FaceReader, image: Image, expected: npt.NDArray[np.floating]) -> float:
    """Return the mean distance of the nearest face's landmarks to those expected, in face sides."""
    faces = reader.read(image)
    assert faces, "no face was found"
    side = float(np.ptp(expected, axis=0).mean())
    return min(float(np.abs(found.landmarks[:, :2] - expected).mean()) for found in faces) / side


def noise(height: int, width: int) -> Image:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)


def test_the_blendshape_points_are_146_landmarks_in_order() -> None:
    assert len(BLENDSHAPE_POINTS) == 146
    assert list(BLENDSHAPE_POINTS) == sorted(set(BLENDSHAPE_POINTS))
    assert BLENDSHAPE_POINTS[-1] == LANDMARKS - 1
    assert len(motion.EXPRESSIONS) == EXPRESSIONS


@pytest.mark.parametrize("shape", [(300, 400), (128, 128), (1, 1), (2, 900)])
def test_noise_holds_no_face(reader: FaceReader, shape: tuple[int, int]) -> None:
    assert reader.read(noise(*shape)) == []


def test_a_picture_of_another_kind_is_refused(reader: FaceReader) -> None:
    with pytest.raises(InputError, match="uint8 RGB"):
        reader.read(np.zeros((64, 64), np.uint8))


def test_boxes_that_overlap_become_one_weighted_mean() -> None:
    def found(x: float, score: float, side: float = 10) -> Detection:
        box = np.array([x, 0, x + side, side], np.float32)
        return Detection(box, np.full((6, 2), x, np.float32), score, side)

    merged = merge([found(0, 0.9), found(2, 0.6), found(50, 0.7)])
    assert [round(d.score, 3) for d in merged] == [0.9, 0.7]
    assert merged[0].box[0] == pytest.approx(2 * 0.6 / 1.5)
    inside = merge([found(0, 0.9, side=40), found(5, 0.6)])
    assert len(inside) == 1
    assert inside[0].box[2] == 40


@portraits
def test_a_portrait_is_read(face: Face, portrait: Image) -> None:
    assert face.landmarks.shape == (478, 3)
    assert face.expression.shape == (52,)
    assert ((face.expression >= 0) & (face.expression <= 1)).all()
    assert face.presence > 0.9
    height, width = portrait.shape[:2]
    assert (face.box >= 0).all()
    assert (face.box < [width, height, width, height]).all()
    left_iris, right_iris = face.landmarks[468], face.landmarks[473]
    assert left_iris[0] < right_iris[0]  # the picture's left comes first
    nose, chin, cheek = (face.landmarks[i] for i in (1, 152, 234))
    assert chin[1] > nose[1] > left_iris[1]
    assert nose[2] < cheek[2]  # nearer


@portraits
def test_a_mirrored_picture_gives_mirrored_landmarks(
    reader: FaceReader, face: Face, portrait: Image
) -> None:
    mirrored = reader.read(np.ascontiguousarray(portrait[:, ::-1]))[0]
    last = portrait.shape[1] - 1
    for left, right in ((33, 263), (61, 291), (468, 473), (234, 454), (1, 1), (152, 152)):
        expected = (last - face.landmarks[right, 0], face.landmarks[right, 1])
        assert np.allclose(mirrored.landmarks[left, :2], expected, atol=0.03 * face.side)
    swapped = [
        motion.expression_index(
            name.replace("Left", "#").replace("Right", "Left").replace("#", "Right")
        )
        for name in motion.EXPRESSIONS
    ]
    assert np.allclose(mirrored.expression, face.expression[swapped], atol=0.2)


@portraits
@pytest.mark.parametrize("degrees", [-90, -45, 30, 90, 180])
def test_a_turned_face_is_found(
    reader: FaceReader, face: Face, portrait: Image, degrees: float
) -> None:
    height, width = portrait.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    turned = np.asarray(cv2.warpAffine(portrait, matrix, (width, height)), np.uint8)
    expected = face.landmarks[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    assert error(reader, turned, expected) < 0.03


@portraits
def test_a_small_face_in_a_large_picture_is_found(
    reader: FaceReader, face: Face, portrait: Image
) -> None:
    scale = 90 / face.side
    small = cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    large = np.asarray(cv2.GaussianBlur(noise(2000, 3000), (0, 0), 3), np.uint8)
    x, y = 1777, 940
    large[y : y + small.shape[0], x : x + small.shape[1]] = small
    expected = (face.landmarks[:, :2] + 0.5) * scale - 0.5 + (x, y)
    assert error(reader, large, expected) < 0.03


@portraits
def test_a_face_that_fills_the_picture_is_found(
    reader: FaceReader, face: Face, portrait: Image
) -> None:
    x0, y0, x1, y1 = face.box.astype(int)
    tight = np.ascontiguousarray(portrait[y0:y1, x0:x1])
    assert error(reader, tight, face.landmarks[:, :2] - (x0, y0)) < 0.03


@portraits
def test_several_faces_come_largest_first(reader: FaceReader, portrait: Image) -> None:
    half = cv2.resize(portrait, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    pair = np.zeros((portrait.shape[0], portrait.shape[1] + half.shape[1], 3), np.uint8)
    pair[: half.shape[0], : half.shape[1]] = half
    pair[:, half.shape[1] :] = portrait
    faces = reader.read(pair)
    assert len(faces) == 2
    assert faces[0].side > 1.7 * faces[1].side


@portraits
def test_a_track_follows_a_face_and_finds_it_again(reader: FaceReader, portrait: Image) -> None:
    moved = [np.roll(portrait, shift, axis=1) for shift in (0, 6, 12)]
    nothing = np.zeros_like(portrait)
    track = list(reader.track([*moved, nothing, nothing, *moved]))
    assert [face is not None for face in track] == [True] * 3 + [False] * 2 + [True] * 3
    first, third, again = track[0], track[2], track[5]
    assert first is not None
    assert third is not None
    assert again is not None
    step = (third.landmarks - first.landmarks)[:, 0]
    assert np.median(step) == pytest.approx(12, abs=0.02 * first.side)
    assert np.allclose(again.landmarks, first.landmarks, atol=0.02 * first.side)
