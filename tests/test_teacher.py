"""The teacher: lips close for every bilabial, faces follow what they are told, heads are human."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy.signal import butter, sosfiltfilt

from obverse.errors import ConfigError
from obverse.generator.direction import (
    Conditions,
    Style,
)
from obverse.generator.emotions import emotion_offset, emotion_vector
from obverse.generator.motion import FPS, expression_index
from obverse.generator.phones import Phone
from obverse.generator.speech import RATE_HZ, read_speech_features
from obverse.generator.teacher import CAMERA_DISTANCE, Lesson, as_motion, teach
from obverse.generator.voices import list_voices, read_voice


def _speech(sentences: int = 4) -> tuple[npt.NDArray[np.float32], tuple[Phone, ...]]:
    voice = next(voice for voice in list_voices() if voice.id == "flite-slt")
    pieces, phones = [np.zeros(RATE_HZ, np.float32)], []
    for number in range(sentences):
        at = sum(map(len, pieces)) / RATE_HZ
        phones += [
            Phone(p.sound, p.start + at, p.end + at) for p in voice.sentences[number].sounds()
        ]
        pieces += [read_voice(voice.id, number), np.zeros(RATE_HZ // 2, np.float32)]
    return np.concatenate(pieces), tuple(phones)


SAMPLES, PHONES = _speech()
SPEECH = read_speech_features(SAMPLES)


def _told(
    emotion: list[tuple[str, float]] | None = None,
    gaze: tuple[float, float] = (0.0, 0.0),
    distance: float = 1.0,
    frames: int = SPEECH.frames,
) -> Conditions:
    return Conditions(
        np.tile(emotion_vector(emotion or []), (frames, 1)),
        np.tile(np.array(gaze, np.float32), (frames, 1)),
        np.full(frames, distance, np.float32),
    )


def _column(lesson: Lesson, name: str) -> npt.NDArray[np.float32]:
    return lesson.motion[:, expression_index(name)]


def test_the_same_arguments_give_the_same_lesson() -> None:
    first, again, other = (teach(PHONES, SPEECH, seed) for seed in (3, 3, 4))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert np.abs(first.motion - other.motion).max() > 0.1
    assert first.motion.shape == (SPEECH.frames, 58)
    assert np.isfinite(first.motion).all()
    motion = as_motion(first.motion)
    assert motion.expression.min() >= 0.0
    assert motion.expression.max() <= 1.0
    np.testing.assert_array_equal(teach(PHONES, SAMPLES, 3).motion, first.motion)


@pytest.mark.parametrize("emotion", [[], [("happy", 1.0)], [("surprised", 1.0)]])
def test_lips_close_for_every_bilabial(emotion: list[tuple[str, float]]) -> None:
    lesson = teach(PHONES, SPEECH, 5, conditions=_told(emotion))
    ajar = _column(lesson, "jawOpen") - _column(lesson, "mouthClose")
    apart = ajar + 0.5 * _column(lesson, "mouthLowerDownLeft")
    bilabials = [phone for phone in PHONES if phone.sound == "bilabial"]
    assert len(bilabials) > 10
    for phone in bilabials:
        first, last = int(phone.start * FPS), int(np.ceil(phone.end * FPS)) + 1
        assert apart[first:last].min() < 0.03, phone


def test_the_mouth_moves_with_speech_and_not_with_noise() -> None:
    lesson = teach(PHONES, SPEECH, 6, Style(parted=0.0), _told())
    opening = _column(lesson, "jawOpen")
    assert opening.std() > 0.05
    noise = np.random.default_rng(0).standard_normal(10 * RATE_HZ).astype(np.float32) * 0.1
    still = teach((), noise, 6, Style(parted=0.0), _told(frames=250))
    assert _column(still, "jawOpen").max() < 0.03
    assert still.motion[:, 52:55].std() > 0.002  # but somebody lives


def test_an_emotion_shows_and_a_neutral_face_does_not_show_it() -> None:
    calm = teach(PHONES, SPEECH, 7, conditions=_told())
    for name in ("happy", "sad", "angry", "surprised"):
        felt = teach(PHONES, SPEECH, 7, conditions=_told([(name, 0.8)]))
        face = emotion_offset(emotion_vector([(name, 1.0)]), 1.0)
        shown = (felt.motion[:, :52] - calm.motion[:, :52]).mean(0) @ face / (face @ face)
        assert 0.6 < shown < 1.0, name


def test_a_mood_that_changes_is_taken_on_within_a_second() -> None:
    frames = SPEECH.frames
    emotion = np.tile(emotion_vector([]), (frames, 1))
    emotion[frames // 2 :] = emotion_vector([("angry", 1.0)])
    told = Conditions(emotion, np.zeros((frames, 2), np.float32), np.ones(frames, np.float32))
    lesson = teach(PHONES, SPEECH, 8, Style(brow=0.0, lean=0.0), told)
    brow = _column(lesson, "browDownLeft")
    assert brow[: frames // 2].max() < 0.15
    assert brow[frames // 2 + FPS :].mean() > 0.7
    assert np.abs(np.diff(brow)).max() < 0.3


def test_eyes_and_distance_go_where_they_are_told() -> None:
    gaze = (np.deg2rad(10.0), np.deg2rad(5.0))
    lesson = teach(PHONES, SPEECH, 9, conditions=_told(gaze=gaze, distance=1.2))
    plain = teach(PHONES, SPEECH, 9, conditions=_told())
    aside = (_column(lesson, "eyeLookOutLeft") - _column(lesson, "eyeLookInLeft")).mean()
    before = (_column(plain, "eyeLookOutLeft") - _column(plain, "eyeLookInLeft")).mean()
    assert 0.25 < aside - before < 0.55
    down = (_column(lesson, "eyeLookDownLeft") - _column(lesson, "eyeLookUpLeft")).mean()
    assert down - (_column(plain, "eyeLookDownLeft") - _column(plain, "eyeLookUpLeft")).mean() > 0.1
    away = lesson.motion[:, 57].mean() - plain.motion[:, 57].mean()
    assert away == pytest.approx(CAMERA_DISTANCE * 0.2, abs=0.05)


def test_heads_and_lids_move_as_people_do() -> None:
    """Degrees, speeds and rates of real talking heads, over several performers."""
    turned, speed, blinks, seconds, fast = [], [], 0, 0.0, []
    for seed in range(10):
        lesson = teach(PHONES, SPEECH, seed, conditions=_told())
        angles = np.rad2deg(lesson.motion[:, 52:55].astype(np.float64))
        turned.append(angles.std(0))
        speed.append(np.abs(np.diff(angles, axis=0)).mean())
        above = sosfiltfilt(butter(4, 6.0, "highpass", fs=FPS, output="sos"), angles, axis=0)
        fast.append(above.std() / angles.std())
        shut = _column(lesson, "eyeBlinkLeft") > 0.6
        blinks += int((shut[1:] & ~shut[:-1]).sum())
        seconds += len(shut) / FPS
    pitch, yaw, roll = np.mean(turned, 0)
    assert 2.0 < pitch < 6.0
    assert 3.0 < yaw < 7.0
    assert 1.5 < roll < 5.0
    assert 0.2 < np.mean(speed) < 0.55  # degrees a frame
    assert np.mean(fast) < 0.02
    assert 8.0 < 60.0 * blinks / seconds < 32.0


def test_lids_close_fast_and_open_slowly() -> None:
    closing, opening, deepest = [], [], []
    for seed in range(8):
        lids = _column(teach(PHONES, SPEECH, seed, conditions=_told()), "eyeBlinkLeft")
        for peak in np.flatnonzero((lids[1:-1] > 0.8) & (lids[1:-1] >= lids[:-2]) & (
            lids[1:-1] > lids[2:]
        )) + 1:  # fmt: skip
            if 8 < peak < len(lids) - 12:
                closing.append(int((lids[peak - 8 : peak] > 0.1).sum()))
                opening.append(int((lids[peak + 1 : peak + 12] > 0.1).sum()))
                deepest.append(float(lids[peak]))
    assert len(deepest) > 10
    assert np.mean(opening) > 1.4 * np.mean(closing)
    assert np.mean(deepest) > 0.92


def test_conditions_must_fit_the_sound() -> None:
    with pytest.raises(ConfigError, match="frames"):
        teach(PHONES, SPEECH, 1, conditions=_told(frames=10))
