import dataclasses
import hashlib

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from obverse.errors import ConfigError
from obverse.faces.landmarks import FaceReader
from obverse.faces.pose import head_pose
from obverse.generator.fit import eased
from obverse.generator.motion import EXPRESSIONS, Motion, expression_index
from obverse.generator.portrait import Portrait, make_portrait
from obverse.generator.render import RenderConfig, Renderer
from obverse.generator.sitters.sitter import Sitter

ZERO = np.zeros(3, np.float32)
Frame = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def renderer(sitter_portrait: Portrait) -> Renderer:
    return Renderer(sitter_portrait)


def _face(**coefficients: float) -> npt.NDArray[np.float32]:
    expression = np.zeros(len(EXPRESSIONS), np.float32)
    for name, value in coefficients.items():
        expression[expression_index(name)] = value
    return expression


def _gap(landmarks: npt.NDArray[np.float32], upper: int, lower: int) -> float:
    eyes = np.linalg.norm(landmarks[[33, 133], :2].mean(0) - landmarks[[263, 362], :2].mean(0))
    return float(np.linalg.norm(landmarks[upper, :2] - landmarks[lower, :2]) / eyes)


def _read(reader: FaceReader, frame: Frame) -> npt.NDArray[np.float32]:
    faces = reader.read(frame)
    assert len(faces) == 1
    return faces[0].landmarks


def _psnr(a: Frame, b: Frame) -> float:
    error = (a.astype(np.float64) - b) ** 2
    return float(10 * np.log10(255**2 / max(error.mean(), 1e-9)))


def test_at_rest_the_picture_comes_back(renderer: Renderer, sitter_portrait: Portrait) -> None:
    frame = renderer.frame(_face(), ZERO, ZERO)
    assert frame.shape == (512, 512, 3)
    assert frame.dtype == np.uint8
    assert _psnr(frame, sitter_portrait.picture) > 30


def test_jaw_and_lids_do_what_they_are_told(renderer: Renderer, face_reader: FaceReader) -> None:
    rest = _read(face_reader, renderer.frame(_face(), ZERO, ZERO))
    opened = _read(face_reader, renderer.frame(_face(jawOpen=0.5), ZERO, ZERO))
    closed = _read(face_reader, renderer.frame(_face(eyeBlinkLeft=1, eyeBlinkRight=1), ZERO, ZERO))
    assert _gap(rest, 13, 14) < 0.04
    assert _gap(opened, 13, 14) > 0.15
    assert _gap(closed, 159, 145) < 0.8 * _gap(rest, 159, 145)
    assert _gap(closed, 386, 374) < 0.8 * _gap(rest, 386, 374)


def test_left_is_the_sitters_left(renderer: Renderer, sitter_portrait: Portrait) -> None:
    rest = renderer.frame(_face(), ZERO, ZERO).astype(np.float64)
    winked = renderer.frame(_face(eyeBlinkLeft=1), ZERO, ZERO)
    changed = np.abs(winked - rest).mean(2)

    def around(iris: int) -> float:
        x, y = sitter_portrait.landmarks[iris, :2].round().astype(int)
        return float(changed[y - 6 : y + 7, x - 6 : x + 7].mean())

    left, right = around(473), around(468)
    assert left > 10
    assert right < 1


@pytest.mark.parametrize(
    ("axis", "degrees"), [(0, 10), (0, -10), (1, 15), (1, -15), (2, 10), (2, -10)]
)
def test_head_turns_as_far_as_it_is_told(
    renderer: Renderer, face_reader: FaceReader, axis: int, degrees: float
) -> None:
    rest = head_pose(_read(face_reader, renderer.frame(_face(), ZERO, ZERO)))[0]
    rotation = np.zeros(3, np.float32)
    rotation[axis] = np.deg2rad(degrees)
    turned = head_pose(_read(face_reader, renderer.frame(_face(), rotation, ZERO)))[0]
    moved = np.rad2deg(np.asarray(turned) - np.asarray(rest))
    assert abs(moved[axis] - degrees) < 0.35 * abs(degrees)
    assert np.abs(np.delete(moved, axis)).max() < 4


def test_gaze_moves_the_irises(renderer: Renderer, face_reader: FaceReader) -> None:
    def look(frame: Frame) -> float:
        points = _read(face_reader, frame)
        right = (points[468, 0] - points[33, 0]) / (points[133, 0] - points[33, 0])
        left = (points[473, 0] - points[362, 0]) / (points[263, 0] - points[362, 0])
        return float(right + left) / 2

    rest = look(renderer.frame(_face(), ZERO, ZERO))
    aside = look(renderer.frame(_face(eyeLookOutLeft=0.6, eyeLookInRight=0.6), ZERO, ZERO))
    assert aside > rest + 0.03


def test_the_background_stands_still(renderer: Renderer, sitter_portrait: Portrait) -> None:
    reach = np.ones((61, 61), np.uint8)
    away = cv2.dilate((sitter_portrait.matte > 0.01).astype(np.uint8), reach) == 0
    assert away.mean() > 0.02
    first = renderer.frame(_face(), ZERO, ZERO)
    other = renderer.frame(_face(jawOpen=0.4), np.array([0.1, -0.1, 0.05]), ZERO)
    assert np.array_equal(first[away], other[away])


def test_the_same_motion_gives_the_same_frames(
    sitter_portrait: Portrait, renderer: Renderer
) -> None:
    rng = np.random.default_rng(0)
    motion = Motion(
        rng.uniform(0, 0.3, (4, 52)).astype(np.float32),
        rng.normal(0, 0.05, (4, 3)).astype(np.float32),
        rng.normal(0, 0.02, (4, 3)).astype(np.float32),
    )

    def digest(source: Renderer) -> str:
        return hashlib.sha256(
            b"".join(frame.tobytes() for frame in source.frames(motion))
        ).hexdigest()

    assert digest(renderer) == digest(Renderer(sitter_portrait))


@pytest.mark.parametrize("size", [256, 1024])
def test_other_sizes_show_the_same_picture(
    sitter_portrait: Portrait, renderer: Renderer, size: int
) -> None:
    frame = Renderer(sitter_portrait, RenderConfig(size=size)).frame(_face(jawOpen=0.3), ZERO, ZERO)
    assert frame.shape == (size, size, 3)
    same = cv2.resize(frame, (512, 512), interpolation=cv2.INTER_AREA)
    assert _psnr(same, renderer.frame(_face(jawOpen=0.3), ZERO, ZERO)) > 28


@pytest.mark.parametrize("settings", [{"size": 511}, {"size": 64}, {"head_gain": -1.0}])
def test_bad_settings_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        RenderConfig(**settings)  # type: ignore[arg-type]


def test_no_pose_lifts_a_face_out_of_the_frame(renderer: Renderer, face_reader: FaceReader) -> None:
    for away in ((-4.0, 0.0, 0.0), (4.0, 0.0, 0.0), (0.0, -4.0, 0.0), (0.0, 4.0, 0.0)):
        seen = _read(face_reader, renderer.frame(_face(), ZERO, np.array(away, np.float32)))
        assert seen[:, :2].min() > -3.0
        assert seen[:, :2].max() < 515.0


def test_small_moves_are_not_touched() -> None:
    assert eased(0.5, 1.0) == 0.5
    assert eased(-0.6, 1.0) == -0.6
    assert 0.9 < eased(1.0, 1.0) < 1.0
    assert eased(-50.0, 1.0) == pytest.approx(-1.0)


def test_a_body_comes_along_when_the_head_goes_far(renderer: Renderer) -> None:
    rest, lean, away = (
        renderer.frame(_face(), ZERO, np.array([0.0, 0.0, z], np.float32))[480:].astype(int)
        for z in (0.0, 0.5, 4.2)
    )
    assert np.abs(lean - rest).max() < 12
    assert np.abs(away - rest).max() > 25


def test_no_far_cheek_shows_through_an_open_mouth() -> None:
    aside = np.deg2rad([[0.0, 40.0, 0.0]]).astype(np.float32)
    turned = dataclasses.replace(Motion.still(1), rotation=aside)
    still = next(iter(Sitter.from_seed(3).perform(turned, 512))).image
    renderer = Renderer(make_portrait(still, "0" * 64), RenderConfig(refine=False))
    further = np.deg2rad([0.0, 12.0, 0.0])
    shut, opened = (
        renderer.frame(_face(jawOpen=jaw), further, ZERO).astype(float).mean(2)
        for jaw in (0.0, 0.6)
    )
    # The inside of a mouth is dark: 809 pixels; with the cheek in it 262 were.
    assert (opened < 0.5 * shut).sum() > 500


def test_a_smiling_still_is_not_made_to_smile_twice(renderer: Renderer) -> None:
    smile = {"mouthSmileLeft": 0.9, "mouthSmileRight": 0.9}
    still = renderer.frame(_face(**smile), ZERO, ZERO)
    smiling = Renderer(make_portrait(still, "0" * 64))
    own = float(smiling.fitted.expression[expression_index("mouthSmileLeft")])
    assert own > 0.4
    once, thrice = (
        smiling.frame(_face(mouthSmileLeft=amount, mouthSmileRight=amount), ZERO, ZERO)
        for amount in (1.0, 3.0)
    )
    assert np.array_equal(once, thrice)
    # A jaw is no such thing: a still's own was closed before.
    less, more = (smiling.frame(_face(jawOpen=amount), ZERO, ZERO) for amount in (0.5, 0.9))
    assert not np.array_equal(less, more)
