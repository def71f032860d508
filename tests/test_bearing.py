"""The head: still if asked, hanging in sadness, following the eyes, without jitter."""

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, sosfiltfilt

from obverse.generator.bearing import bear
from obverse.generator.emotions import emotion_vector, temper_tracks
from obverse.generator.motion import FPS
from obverse.generator.prosody import Prosody

FRAMES = 40 * FPS


def _prosody(accents: bool = True) -> Prosody:
    beats = np.arange(0.7, FRAMES / FPS, 0.9) if accents else np.zeros(0)
    return Prosody(
        voice=np.full(FRAMES, float(accents)),
        effort=np.ones(FRAMES),
        accent_seconds=beats,
        accent_strengths=np.full(len(beats), 0.8),
        phrase_starts=np.arange(0.0, 40.0, 5.0) if accents else np.zeros(0),
        phrase_ends=np.arange(4.5, 40.0, 5.0) if accents else np.zeros(0),
    )


def _bear(
    seed: int,
    *,
    emotion: tuple[tuple[str, float], ...] = (),
    size: float = 1.0,
    nodding: float = 1.0,
    accents: bool = True,
    glance: npt.NDArray[np.float64] | None = None,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    temper = temper_tracks(np.tile(emotion_vector(emotion), (FRAMES, 1)))
    rng = np.random.default_rng(seed)
    eyes = np.zeros((FRAMES, 2)) if glance is None else glance
    return bear(_prosody(accents), temper, eyes, size=size, nodding=nodding, rng=rng)


def test_size_zero_leaves_breath_alone() -> None:
    rotation, translation = _bear(1, size=0.0)
    assert np.abs(rotation).max() < 1e-9
    assert 0.0 < np.abs(translation).max() < 0.02


def test_accents_move_the_head_more_than_silence_does() -> None:
    speed = {
        accents: np.mean(
            [np.abs(np.diff(_bear(seed, accents=accents)[0], axis=0)).mean() for seed in range(5)]
        )
        for accents in (True, False)
    }
    assert speed[True] > 1.5 * speed[False]


def test_sadness_hangs_the_head_and_slows_it() -> None:
    sad = [_bear(seed, emotion=(("sad", 1.0),))[0] for seed in range(8)]
    calm = [_bear(seed)[0] for seed in range(8)]
    assert np.mean([s[:, 0].mean() - c[:, 0].mean() for s, c in zip(sad, calm, strict=True)]) > 0.05
    assert np.mean([np.abs(np.diff(s, axis=0)).mean() for s in sad]) < 0.7 * np.mean(
        [np.abs(np.diff(c, axis=0)).mean() for c in calm]
    )


def test_the_head_follows_a_glance_after_it() -> None:
    glance = np.zeros((FRAMES, 2))
    glance[500:, 1] = 0.3
    moved = _bear(2, glance=glance)[0] - _bear(2)[0]
    assert np.abs(moved[:490]).max() < 0.005
    assert 0.04 < moved[530:, 1].mean() < 0.15


def test_no_jitter() -> None:
    sections = butter(4, 6.0, "highpass", fs=FPS, output="sos")
    rotation, translation = _bear(3)
    assert sosfiltfilt(sections, np.rad2deg(rotation), axis=0).std() < 0.05  # degrees
    assert sosfiltfilt(sections, translation, axis=0).std() < 0.002
