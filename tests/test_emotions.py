"""Emotions: their faces by action units, their blend, and what speech leaves of them."""

import numpy as np
import pytest

from obverse.errors import ConfigError
from obverse.generator.emotions import (
    EMOTIONS,
    SPEECH_KEEPS,
    emotion_offset,
    emotion_offsets,
    emotion_vector,
    temper_of,
    temper_tracks,
)
from obverse.generator.motion import EXPRESSIONS, expression_index


def _face(name: str) -> dict[str, float]:
    offset = emotion_offset(emotion_vector([(name, 1.0)]))
    return dict(zip(EXPRESSIONS, offset.tolist(), strict=True))


def test_each_emotion_shows_the_units_that_emfacs_names() -> None:
    wanted = {
        "happy": ("cheekSquintLeft", "mouthSmileLeft"),
        "sad": ("browInnerUp", "mouthFrownRight", "mouthShrugLower"),
        "angry": ("browDownLeft", "eyeSquintLeft", "mouthPressLeft"),
        "surprised": ("browInnerUp", "browOuterUpLeft", "eyeWideLeft", "jawOpen"),
        "afraid": ("browInnerUp", "eyeWideRight", "mouthStretchLeft"),
        "disgusted": ("noseSneerLeft", "mouthUpperUpRight"),
        "nervous": ("mouthDimpleLeft", "mouthRollLower"),
    }
    for name, shapes in wanted.items():
        face = _face(name)
        assert all(face[shape] >= 0.2 for shape in shapes), name
    assert not any(_face("neutral").values())
    assert _face("happy")["mouthFrownLeft"] == 0.0
    assert _face("sad")["mouthSmileLeft"] == 0.0


def test_faces_are_even_and_within_range() -> None:
    offsets = emotion_offsets()
    assert offsets.shape == (len(EMOTIONS), 52)
    assert offsets.min() >= 0.0
    assert offsets.max() <= 1.0
    for name in EXPRESSIONS:
        if name.endswith("Left") and not name.startswith("eyeLook"):
            other = name.removesuffix("Left") + "Right"
            left, right = (offsets[:, expression_index(side)] for side in (name, other))
            np.testing.assert_array_equal(left, right)


def test_no_two_emotions_look_alike() -> None:
    rows = emotion_offsets()[1:]
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    likeness = unit @ unit.T - np.eye(len(rows))
    assert likeness.max() < 0.85


def test_vector_leaves_the_rest_to_neutral() -> None:
    vector = emotion_vector([("happy", 0.7), ("surprised", 0.2)])
    assert vector.sum() == pytest.approx(1.0)
    assert vector[EMOTIONS.index("neutral")] == pytest.approx(0.1)
    np.testing.assert_array_equal(emotion_vector([]), np.eye(8, dtype=np.float32)[0])


@pytest.mark.parametrize(
    "pairs",
    [
        [("joyful", 0.5)],
        [("happy", 1.2)],
        [("happy", -0.1)],
        [("happy", float("nan"))],
        [("happy", 0.6), ("sad", 0.6)],
        [("happy", 0.2), ("happy", 0.2)],
    ],
)
def test_vector_refuses_what_is_no_emotion(pairs: list[tuple[str, float]]) -> None:
    with pytest.raises(ConfigError):
        emotion_vector(pairs)


def test_half_an_emotion_is_half_its_face() -> None:
    half = emotion_offset(emotion_vector([("angry", 0.5)]))
    whole = emotion_offset(emotion_vector([("angry", 1.0)]))
    np.testing.assert_allclose(half, 0.5 * whole, atol=1e-6)


def test_speech_takes_the_lips_and_leaves_the_corners() -> None:
    vector = np.stack([emotion_vector([("happy", 1.0)]), emotion_vector([("angry", 1.0)])])
    silent, speaking = emotion_offset(vector, np.zeros(2)), emotion_offset(vector, np.ones(2))
    smile, press = expression_index("mouthSmileLeft"), expression_index("mouthPressLeft")
    assert speaking[0, smile] > 0.7 * silent[0, smile]
    assert speaking[1, press] < 0.25 * silent[1, press]
    brow = expression_index("browDownLeft")
    assert speaking[1, brow] == silent[1, brow]
    assert SPEECH_KEEPS.shape == (52,)


def test_tempers_blend() -> None:
    assert temper_of(emotion_vector([])).head == pytest.approx(1.0)
    sad = temper_of(emotion_vector([("sad", 1.0)]))
    assert sad.pitch_deg > 2.0  # a hanging head
    assert sad.pace < 1.0
    half = temper_of(emotion_vector([("sad", 0.5)]))
    assert half.pitch_deg == pytest.approx(0.5 * sad.pitch_deg, rel=1e-5)
    tracks = temper_tracks(np.stack([emotion_vector([]), emotion_vector([("nervous", 1.0)])]))
    assert tracks["blink"].shape == (2,)
    assert tracks["blink"][1] > 1.5 * tracks["blink"][0]


def test_neutral_counts_in_the_sum() -> None:
    assert emotion_vector([("neutral", 0.2), ("happy", 0.5)])[0] == pytest.approx(0.5)
    with pytest.raises(ConfigError, match="sum to"):
        emotion_vector([("neutral", 0.8), ("happy", 0.5)])
