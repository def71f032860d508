import numpy as np
import pytest

from obverse.errors import ConfigError
from obverse.generator import head as parts
from obverse.generator.head import HeadModel
from obverse.generator.motion import EXPRESSIONS, expression_index


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return HeadModel.load()


def coefficients(**values: float) -> np.ndarray:
    expression = np.zeros(len(EXPRESSIONS), np.float32)
    for name, value in values.items():
        expression[expression_index(name)] = value
    return expression


def test_the_frame_is_the_one_that_is_promised(model: HeadModel) -> None:
    left, right = model.eye_centres
    assert np.linalg.norm(left - right) == pytest.approx(1.0, abs=2e-3)
    assert np.abs(left + right).max() < 2e-3
    assert left[0] > 0  # the sitter's left is the picture's right
    marks = model.landmarks(model.vertices)
    assert marks[1, 2] < marks[234, 2]  # the nose is nearer to the camera than the ears
    assert marks[10, 1] < 0 < marks[152, 1]  # forehead above the eyes, chin below


def test_shapes_of_the_arrays(model: HeadModel) -> None:
    count = len(model.vertices)
    assert model.expressions.shape == (len(EXPRESSIONS), count, 3)
    assert model.shapes.shape[1:] == (count, 3)
    assert model.triangles.max() < count
    assert model.uv.shape == (*model.triangles.shape, 2)
    assert set(np.unique(model.parts)) == set(range(len(parts.PARTS)))
    assert model.landmark_barycentric.shape == (parts.LANDMARKS, 3)
    assert np.allclose(model.landmark_barycentric.sum(1), 1, atol=1e-4)
    assert not model.vertices.flags.writeable


def test_skin_faces_outward(model: HeadModel) -> None:
    faces = model.triangles[model.skin_triangles()]
    corners = model.vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    nose = np.argmin(np.abs(corners.mean(1) - model.landmarks(model.vertices)[1]).sum(1))
    assert normals[nose, 2] < 0


@pytest.mark.parametrize(
    ("expression", "sign"),
    [("eyeBlinkLeft", 1), ("eyeBlinkRight", -1), ("mouthSmileLeft", 1), ("jawLeft", 0)],
)
def test_left_is_the_sitters_left(model: HeadModel, expression: str, sign: int) -> None:
    moved = model.expressions[expression_index(expression)]
    size = np.linalg.norm(moved, axis=1)
    assert np.sign(np.round((size * model.vertices[:, 0]).sum() / size.sum(), 1)) == sign
    if sign == 0:  # the jaw itself goes to the picture's right
        assert moved[size > size.max() / 2, 0].mean() > 0


def test_jaw_open_parts_the_lips_and_takes_lower_teeth_and_tongue(model: HeadModel) -> None:
    opened = model.expressed(model.vertices, coefficients(jawOpen=0.8))
    marks, resting = model.landmarks(opened), model.landmarks(model.vertices)
    assert resting[14, 1] - resting[13, 1] < 0.06
    assert marks[14, 1] - marks[13, 1] > 0.3
    shift = (opened - model.vertices)[:, 1]
    lower, upper, tongue = (
        shift[model.vertex_parts == part].mean()
        for part in (parts.TEETH_LOWER, parts.TEETH_UPPER, parts.TONGUE)
    )
    assert lower > 0.15
    assert tongue > 0.1
    assert abs(upper) < 0.01


def test_mouth_close_closes_an_open_jaw_and_nothing_else(model: HeadModel) -> None:
    closed = model.landmarks(
        model.expressed(model.vertices, coefficients(jawOpen=0.5, mouthClose=0.5))
    )
    assert closed[14, 1] - closed[13, 1] < 0.08
    alone = model.expressed(model.vertices, coefficients(mouthClose=1.0))
    assert np.allclose(alone, model.vertices, atol=1e-5)


def test_blink_closes_the_lids(model: HeadModel) -> None:
    marks = model.landmarks(model.expressed(model.vertices, coefficients(eyeBlinkLeft=1.0)))
    resting = model.landmarks(model.vertices)
    left, right = (386, 374), (159, 145)  # upper, lower lid
    assert marks[left[1], 1] - marks[left[0], 1] < 0.35 * (
        resting[left[1], 1] - resting[left[0], 1]
    )
    assert marks[right[1], 1] - marks[right[0], 1] == pytest.approx(
        resting[right[1], 1] - resting[right[0], 1], abs=0.01
    )


@pytest.mark.parametrize(
    ("name", "axis", "sign"),
    [
        ("eyeLookOutLeft", 0, 1),
        ("eyeLookInLeft", 0, -1),
        ("eyeLookUpLeft", 1, -1),
        ("eyeLookDownLeft", 1, 1),
    ],
)
def test_eyes_turn_where_they_look(model: HeadModel, name: str, axis: int, sign: int) -> None:
    pupil = parts.PUPILS["left"]
    resting = model.landmarks(model.vertices)[pupil]
    moved = model.landmarks(model.expressed(model.vertices, coefficients(**{name: 1.0})))[pupil]
    assert sign * (moved - resting)[axis] > 0.04
    ball = model.vertex_parts == parts.EYE_LEFT
    turned = model.expressed(model.vertices, coefficients(**{name: 1.0}))[ball]
    radius = np.linalg.norm(turned - model.eye_centres[0], axis=1)
    assert np.ptp(radius) < 0.02  # a rigid turn


def test_the_head_turns_and_the_shoulders_stay(model: HeadModel) -> None:
    turned = model.turned(model.vertices, (0.0, 0.4, 0.0), (0.0, 0.0, 0.0))
    assert model.landmarks(turned)[1, 0] > 0.3  # positive yaw: to the picture's right
    still = model.head_weight < 1e-3
    assert still.sum() > 100
    assert np.allclose(turned[still], model.vertices[still], atol=2e-3)


def test_landmarks_are_symmetric(model: HeadModel) -> None:
    marks = model.landmarks(model.vertices)
    for right, left in ((33, 263), (61, 291), (105, 334), (234, 454), (468, 473)):
        assert np.abs(marks[right] * (-1, 1, 1) - marks[left]).max() < 0.04


def test_shaped_adds_components_and_refuses_too_many(model: HeadModel) -> None:
    weights = np.array([1.5, -0.5], np.float32)
    expected = model.vertices + 1.5 * model.shapes[0] - 0.5 * model.shapes[1]
    assert np.allclose(model.shaped(weights), expected, atol=1e-5)
    with pytest.raises(ConfigError, match="shape weights"):
        model.shaped(np.zeros(len(model.shapes) + 1))
    assert (np.diff(model.shape_deviations) <= 1e-3).mean() > 0.7  # large components first
