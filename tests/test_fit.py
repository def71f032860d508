import dataclasses

import numpy as np
import pytest

from obverse.generator.fit import FittedHead, fit_head
from obverse.generator.head import HeadModel
from obverse.generator.motion import rotation_matrix
from obverse.generator.portrait import Portrait


@pytest.fixture(scope="module")
def fitted(sitter_portrait: Portrait) -> FittedHead:
    return fit_head(sitter_portrait, HeadModel.load())


def _turned(fitted: FittedHead, degrees: float) -> FittedHead:
    rotation = rotation_matrix(np.deg2rad([0.0, degrees, 0.0])).astype(np.float32)
    return dataclasses.replace(fitted, rotation=rotation)


def test_the_model_lies_on_the_landmarks(fitted: FittedHead, sitter_portrait: Portrait) -> None:
    assert fitted.error < 0.06
    assert fitted.scale_px == pytest.approx(sitter_portrait.interocular_px, rel=0.15)


def test_yaw_is_read_from_the_rotation(fitted: FittedHead) -> None:
    for degrees in (-50.0, -10.0, 0.0, 35.0):
        assert np.rad2deg(_turned(fitted, degrees).yaw) == pytest.approx(degrees, abs=1e-3)


def test_a_frontal_head_turns_as_told(fitted: FittedHead) -> None:
    turn = np.deg2rad([7.0, -17.0, 4.0])
    assert np.allclose(_turned(fitted, 5).within_reach(turn), turn)


def test_a_head_near_profile_turns_less(fitted: FittedHead) -> None:
    profile = _turned(fitted, 45)
    asked = np.deg2rad(np.arange(0.0, 31.0))
    shown = np.array([profile.within_reach([0.1, yaw, 0.2]) for yaw in asked])
    assert np.allclose(shown[:, [0, 2]], [0.1, 0.2])  # nods and tilts are kept
    assert np.allclose(shown[:7, 1], asked[:7])
    assert (np.diff(shown[:, 1]) > 0).all()
    assert shown[-1, 1] < np.deg2rad(12.01)
    back = profile.within_reach([0.0, -asked[-1], 0.0])
    assert back[1] == pytest.approx(-shown[-1, 1])
