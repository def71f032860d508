from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from obverse.errors import ConfigError, InputError
from obverse.generator.motion import EXPRESSIONS, FPS, Motion, expression_index, rotation_matrix

ANGLES = st.floats(-1.5, 1.5)


def test_the_names_are_arkits() -> None:
    assert len(EXPRESSIONS) == len(set(EXPRESSIONS)) == 52
    assert list(EXPRESSIONS) == sorted(EXPRESSIONS)
    assert EXPRESSIONS[expression_index("jawOpen")] == "jawOpen"


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="jawWide"):
        expression_index("jawWide")


@given(ANGLES, ANGLES, ANGLES)
def test_rotation_agrees_with_scipy(pitch: float, yaw: float, roll: float) -> None:
    expected = Rotation.from_euler("ZYX", [roll, -yaw, pitch]).as_matrix()
    assert np.allclose(rotation_matrix([pitch, yaw, roll]), expected, atol=1e-9)


def test_signs() -> None:
    forward = np.array([0.0, 0.0, -1.0])
    assert (rotation_matrix([0.3, 0, 0]) @ forward)[1] > 0.2  # nods down
    assert (rotation_matrix([0, 0.3, 0]) @ forward)[0] > 0.2  # turns to the picture's right
    assert (rotation_matrix([0, 0, 0.3]) @ np.array([0.0, -1.0, 0.0]))[0] > 0.2  # tilts clockwise


def test_many_rotations_at_once() -> None:
    angles = np.random.default_rng(0).normal(size=(2, 5, 3))
    many = rotation_matrix(angles)
    assert many.shape == (2, 5, 3, 3)
    assert np.allclose(many[1, 3], rotation_matrix(angles[1, 3]))


def test_saved_and_loaded(tmp_path: Path) -> None:
    motion = Motion.still(7).with_expression(jawOpen=np.linspace(0, 1, 7))
    path = tmp_path / "motion.npz"
    motion.save(path)
    loaded = Motion.load(path)
    assert np.array_equal(loaded.expression, motion.expression)
    assert loaded.seconds == 7 / FPS
    assert len(loaded[2:5]) == 3


def test_bad_motions_are_refused(tmp_path: Path) -> None:
    still = Motion.still(3)
    with pytest.raises(ConfigError, match="shapes"):
        Motion(still.expression, still.rotation[:2], still.translation)
    with pytest.raises(ConfigError, match="not finite"):
        still.with_expression(jawOpen=np.nan)
    path = tmp_path / "motion.npz"
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a motion file"):
        Motion.load(path)


@pytest.mark.parametrize(
    ("part", "value", "said"),
    [
        ("expression", 1.2, "expression from"),
        ("rotation", 2.0, "rotation from"),
        ("translation", 40.0, "translation x from"),
        ("rotation", np.nan, "not finite"),
        ("rotation", 1, "floating-point"),
        ("rotation", "a", "floating-point"),
        ("rotation", 1j, "floating-point"),
    ],
)
def test_files_of_what_no_head_does_are_refused(
    tmp_path: Path, part: str, value: float | str, said: str
) -> None:
    shapes = {"expression": (3, 52), "rotation": (3, 3), "translation": (3, 3)}
    arrays = {name: np.zeros(shape) for name, shape in shapes.items()}
    arrays[part] = np.full(shapes[part], value)
    path = tmp_path / "motion.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=said) as caught:
        Motion.load(path)
    assert "motion.npz" in str(caught.value)


def test_files_of_doubles_and_far_heads_are_read_and_bare_arrays_are_not(tmp_path: Path) -> None:
    path = tmp_path / "motion.npz"
    far = np.tile([0.0, 0.0, 4.2], (3, 1))
    np.savez(path, expression=np.full((3, 52), 1.005), rotation=np.zeros((3, 3)), translation=far)
    motion = Motion.load(path)
    assert motion.expression.dtype == np.float32
    assert motion.expression.max() == 1.0
    with path.open("wb") as stream:
        np.save(stream, np.zeros(4))
    with pytest.raises(InputError, match="not a motion file"):
        Motion.load(path)
