"""A whole performance: determinism, human rates, stillness, controls, ten minutes."""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from obverse.errors import ConfigError
from obverse.generator.articulation import Articulation, articulate
from obverse.generator.controls import eye_turn
from obverse.generator.motion import EXPRESSIONS, FPS, Motion, expression_index
from obverse.generator.performance import (
    MOTION_MODELS,
    ArticulatoryModel,
    PerformanceConfig,
    perform,
)
from obverse.generator.prosody import read_prosody
from obverse.generator.speech import RATE_HZ, Speech, read_speech_features
from obverse.generator.voices import list_voices, read_voice

RULES = PerformanceConfig(model="articulatory")
MOUTH = [name for name in EXPRESSIONS if name.startswith(("jaw", "mouth", "tongue"))]


@pytest.fixture(scope="module")
def minute() -> Speech:
    """Return about a minute of several voices with pauses between."""
    parts = [read_voice(voice.id, number) for voice in list_voices() for number in (0, 1)]
    pause = np.zeros(RATE_HZ // 2, np.float32)
    samples = np.concatenate([piece for part in parts for piece in (part, pause)])[: 60 * RATE_HZ]
    return read_speech_features(samples)


@pytest.fixture(scope="module")
def motion(minute: Speech) -> Motion:
    return perform(minute, 7, RULES)


@pytest.fixture(scope="module")
def heard(minute: Speech) -> Articulation:
    return articulate(minute)


def _act(speech: Speech, heard: Articulation, seed: int) -> Motion:
    return ArticulatoryModel().act(speech, heard, seed, PerformanceConfig().tracks(speech.frames))


def _column(motion: Motion, name: str) -> npt.NDArray[np.float32]:
    return motion.expression[:, expression_index(name)]


def _blinks(motion: Motion) -> npt.NDArray[np.int64]:
    lid = _column(motion, "eyeBlinkLeft") > 0.5
    return np.flatnonzero(lid[1:] & ~lid[:-1])


def test_same_seed_same_motion_other_seed_other_motion(minute: Speech, motion: Motion) -> None:
    again, other = perform(minute, 7, RULES), perform(minute, 8, RULES)
    assert np.array_equal(motion.expression, again.expression)
    assert np.array_equal(motion.rotation, again.rotation)
    assert np.array_equal(motion.translation, again.translation)
    assert np.abs(motion.rotation - other.rotation).mean() > np.deg2rad(0.5)
    assert not np.array_equal(_blinks(motion), _blinks(other))
    # What is said stays what is said.
    assert np.corrcoef(_column(motion, "jawOpen"), _column(other, "jawOpen"))[0, 1] > 0.98


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (640, 1), (641, 2), (RATE_HZ, 25)])
def test_length_is_seconds_times_25_rounded_up(samples: int, frames: int) -> None:
    assert len(perform(read_speech_features(np.zeros(samples)), 0, RULES)) == frames


def test_blinks_come_at_human_rates_and_shapes(minute: Speech, heard: Articulation) -> None:
    counts, openings, closings = [], [], []
    for seed in range(12):
        motion = _act(minute, heard, seed)
        counts.append(len(_blinks(motion)) / (minute.seconds / 60.0))
        lid = _column(motion, "eyeBlinkLeft")
        assert lid[:15].max() < 0.05
        for at in _blinks(motion):
            peak = at + int(lid[at : at + 5].argmax())
            if lid[peak] < 0.9 or peak > len(lid) - 9:
                continue
            closings.append(int((lid[peak - 6 : peak] > 0.05).sum()))
            openings.append(int((lid[peak + 1 : peak + 9] > 0.05).sum()))
    assert 18 <= np.mean(counts) <= 30
    assert np.mean(openings) > 1.4 * np.mean(closings)  # lids rise more slowly than they fall
    assert 2.0 <= np.mean(openings) <= 6.5


def test_blinks_prefer_the_ends_of_phrases(minute: Speech, heard: Articulation) -> None:
    ends = read_prosody(minute, heard.voice).phrase_ends
    assert len(ends) >= 8
    times = np.concatenate([_blinks(_act(minute, heard, seed)) / FPS for seed in range(12)])
    near = np.abs(times[:, None] - ends).min(1) < 0.25
    chance = len(ends) * 0.5 / minute.seconds
    assert near.mean() > 1.5 * chance


def test_head_moves_as_heads_do(minute: Speech, heard: Articulation) -> None:
    degrees = np.stack([np.rad2deg(_act(minute, heard, seed).rotation) for seed in range(8)])
    rms = np.sqrt((degrees**2).sum(2).mean(1))
    assert 1.5 < rms.mean() < 5.0
    assert np.abs(degrees).max() < 20.0
    # Nothing above the nodding of a head: less than 2 % of the power lies above 6 Hz.
    spectrum = np.abs(np.fft.rfft(degrees - degrees.mean(1, keepdims=True), axis=1)) ** 2
    hz = np.fft.rfftfreq(degrees.shape[1], 1.0 / FPS)
    assert spectrum[:, hz > 6.0].sum() < 0.02 * spectrum.sum()
    # It goes nowhere.
    assert np.abs(degrees.mean((0, 1))).max() < 2.0


def test_head_moves_more_while_speaking_than_in_silence(
    minute: Speech, heard: Articulation
) -> None:
    silence = read_speech_features(np.zeros(len(minute.samples)))
    speed = []
    for speech, articulation in ((minute, heard), (silence, articulate(silence))):
        turns = [np.diff(_act(speech, articulation, seed).rotation, axis=0) for seed in range(6)]
        speed.append(float(np.abs(turns).mean()))
    assert speed[0] > 1.3 * speed[1]


def test_mouth_is_quiet_in_silence_but_the_face_lives() -> None:
    motion = perform(read_speech_features(np.zeros(20 * RATE_HZ)), 3, RULES)
    for name in MOUTH:
        assert np.abs(np.diff(_column(motion, name))).max() < 0.01, name
    assert _column(motion, "jawOpen").max() == 0.0
    assert len(_blinks(motion)) >= 2
    assert np.ptp(motion.rotation[:, 1]) > np.deg2rad(0.5)


def test_values_stay_in_range_and_move_without_jumps(motion: Motion) -> None:
    assert motion.expression.min() >= 0.0
    assert motion.expression.max() <= 1.0
    assert np.rad2deg(np.abs(np.diff(motion.rotation, axis=0))).max() < 3.5
    jaw = _column(motion, "jawOpen")
    assert 0.05 < jaw.mean() < 0.25
    assert np.percentile(jaw, 99) < 0.55


def test_eyes_stay_with_the_camera_while_the_head_turns(motion: Motion) -> None:
    outwards = _column(motion, "eyeLookOutLeft") - _column(motion, "eyeLookInLeft")
    other = _column(motion, "eyeLookInRight") - _column(motion, "eyeLookOutRight")
    assert np.allclose(outwards, other, atol=1e-6)  # both eyes look the same way
    assert np.corrcoef(outwards, motion.rotation[:, 1])[0, 1] < -0.3


def test_strengths_scale_and_zero_is_still(minute: Speech, motion: Motion) -> None:
    still = perform(
        minute,
        7,
        PerformanceConfig(
            mouth_strength=0.0,
            head_strength=0.0,
            gaze_strength=0.0,
            expression_strength=0.0,
            blink_rate_hz=0.0,
            model="articulatory",
        ),
    )
    assert np.abs(still.expression).max() == 0.0
    assert np.abs(still.rotation).max() == 0.0
    half = perform(minute, 7, dataclasses.replace(RULES, head_strength=0.5))
    assert np.allclose(half.rotation, 0.5 * motion.rotation, atol=1e-6)
    assert np.array_equal(_column(half, "jawOpen"), _column(motion, "jawOpen"))


@pytest.mark.slow
def test_ten_minutes_neither_drift_nor_grow(minute: Speech) -> None:
    samples = np.tile(minute.samples, 10)
    motion = perform(read_speech_features(samples), 5, RULES)
    assert len(motion) == 15_000
    minutes = np.rad2deg(motion.rotation).reshape(10, 1500, 3)
    assert np.abs(minutes.mean(1)).max() < 2.5
    spread = minutes.std(1).mean(1)
    assert spread[5:].mean() == pytest.approx(spread[:5].mean(), rel=0.5)
    jaw = _column(motion, "jawOpen").reshape(10, 1500)
    assert np.abs(jaw[9] - jaw[1]).mean() < 0.01  # the same minute is spoken the same way


@pytest.mark.parametrize(
    "wrong",
    [
        {"head_strength": -0.1},
        {"mouth_strength": 2.5},
        {"blink_rate_hz": 1.5},
        {"gaze_strength": np.nan},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        PerformanceConfig(**wrong)


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(ConfigError, match="articulatory"):
        PerformanceConfig(model="telepathy")
    assert set(MOTION_MODELS) == {"flow", "articulatory"}


def test_the_rules_heed_emotion_gaze_and_distance(minute: Speech, motion: Motion) -> None:
    asked = dataclasses.replace(
        RULES, emotion=(("happy", 0.8),), gaze=(12.0, 6.0), distance=1.2, blink_rate_hz=0.6
    )
    told = perform(minute, 7, asked)
    change = (told.expression - motion.expression).mean(0)
    assert change[expression_index("mouthSmileLeft")] > 0.35
    assert abs(change[expression_index("browDownLeft")]) < 0.05
    looks = np.median(eye_turn(told.expression) - eye_turn(motion.expression), 0)
    assert np.rad2deg(looks) == pytest.approx([12.0, 6.0], abs=1.0)
    assert np.allclose(told.translation[:, 2] - motion.translation[:, 2], 2.8, atol=1e-4)
    assert len(_blinks(told)) > 1.25 * len(_blinks(motion))


def test_blinks_follow_their_rate_over_time(minute: Speech) -> None:
    track = ((0.0, 0.0), (29.9, 0.0), (30.0, 0.7))
    told = perform(minute, 7, dataclasses.replace(RULES, timeline=(("blink_rate_hz", track),)))
    begun = _blinks(told)
    assert (begun < 30 * FPS).sum() == 0
    assert (begun >= 30 * FPS).sum() >= 10


def test_a_record_keeps_every_digit() -> None:
    timeline = (("happy", ((0.0, 0.0), (1234.56789, 0.25), (1234.56791, 0.5))), ("sad", ((1, 0),)))
    config = PerformanceConfig(emotion=(("angry", 0.2),), gaze=(1.5, -2.0), timeline=timeline)
    assert PerformanceConfig.from_dict(config.to_dict()) == config


def test_long_tracks_of_emotions_are_summed_in_one_go() -> None:
    long = tuple((n / 10.0, 0.5) for n in range(9_000))
    late = ((0.0, 0.5), (899.8, 0.5), (899.9, 0.75))
    PerformanceConfig(timeline=(("happy", long), ("sad", ((0.0, 0.5),))))
    with pytest.raises(ConfigError, match=r"sum to 1.25 at 899.9 s"):
        PerformanceConfig(timeline=(("happy", long), ("sad", late)))
