"""Speech features against signals whose features are known."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from obverse.errors import InputError
from obverse.generator.speech import MELS, RATE_HZ, per_frame, read_speech_features
from obverse.generator.voices import read_voice, voice_path

Samples = npt.NDArray[np.float64]


def _buzz(hz: float, seconds: float) -> Samples:
    """Return a voice-like sum of harmonics that wavers a little, as no machine does."""
    time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    harmonics = range(1, int(4000 / hz) + 1)
    steady = sum((np.sin(2 * np.pi * hz * k * time) / k for k in harmonics), np.zeros(len(time)))
    return np.asarray(steady * 0.1 * (1.0 + 0.12 * np.sin(2 * np.pi * 5.0 * time)))


@pytest.mark.parametrize("hz", [90.0, 130.0, 220.0, 440.0, 700.0])
def test_pitch_of_a_buzz_is_its_pitch(hz: float) -> None:
    speech = read_speech_features(_buzz(hz, 1.0))
    middle = slice(20, 80)
    assert np.median(speech.pitch_hz[middle]) == pytest.approx(hz, rel=0.03)
    assert speech.voicing[middle].min() > 0.9


def test_noise_is_neither_voiced_nor_active_and_a_hiss_is_sibilant() -> None:
    rng = np.random.default_rng(0)
    speech = read_speech_features(rng.standard_normal(3 * RATE_HZ) * 0.05)
    assert np.median(speech.voicing) < 0.4
    assert speech.activity.mean() < 0.02
    hiss = np.diff(rng.standard_normal(RATE_HZ + 1), n=1) * 0.1
    assert read_speech_features(hiss).sibilance.mean() > 0.5
    assert read_speech_features(_buzz(120.0, 1.0)).sibilance.mean() < 0.1


def test_frames_cover_every_sample() -> None:
    for count, frames in ((1, 1), (640, 1), (641, 2), (RATE_HZ, 25), (RATE_HZ + 1, 26)):
        speech = read_speech_features(np.zeros(count))
        assert speech.frames == frames
        assert speech.mel.shape == (-(-count // 160), MELS)
        assert per_frame(speech.mel, frames).shape == (frames, MELS)


def test_level_does_not_matter() -> None:
    samples = read_voice("flite-slt", 0)
    loud, soft = read_speech_features(samples), read_speech_features(samples * 0.05)
    heard = loud.mel > -30.0
    assert np.abs(loud.mel - soft.mel)[heard].max() < 1.0
    assert np.abs(loud.activity - soft.activity).mean() < 0.05


def test_blocks_leave_no_trace() -> None:
    rng = np.random.default_rng(1)
    voice = np.concatenate([read_voice("flite-awb", number) for number in range(4)])
    assert len(voice) > 11 * RATE_HZ
    voice = voice + rng.standard_normal(len(voice)) * 1e-4
    whole = read_speech_features(voice)
    # The same sound half a second later falls differently into blocks of ten seconds.
    later = read_speech_features(np.concatenate([np.zeros(RATE_HZ // 2), voice]))
    difference = (later.mel[50:] - whole.mel)[10:-10]
    assert np.ptp(difference) < 0.01


def test_activity_follows_the_phones_of_a_bundled_voice() -> None:
    speech = read_speech_features(voice_path("flite-rms", 1))
    assert speech.activity[:12].max() < 0.5
    assert speech.activity[-12:].max() < 0.5
    assert speech.activity[40:-40].mean() > 0.75


def test_whisper_is_active() -> None:
    rng = np.random.default_rng(2)
    syllables = np.abs(np.sin(2 * np.pi * 2.2 * np.arange(3 * RATE_HZ) / RATE_HZ)) ** 3
    speech = read_speech_features(rng.standard_normal(3 * RATE_HZ) * syllables * 0.05)
    assert speech.activity.mean() > 0.4


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros((2, 100)), np.full(100, np.nan)])
def test_what_is_no_speech_is_refused(samples: Samples) -> None:
    with pytest.raises(InputError):
        read_speech_features(samples)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        read_speech_features(tmp_path / "none.wav")
