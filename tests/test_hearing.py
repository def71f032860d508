"""The ear: level, colour, pitch and silence, as they are heard while they come."""

import numpy as np
import numpy.typing as npt
import pytest

from obverse.generator.hearing import FEATURES, FRAME, LAG_STEPS, Ear, Heard
from obverse.generator.speech import MELS, RATE_HZ, read_speech_features
from obverse.generator.voices import read_voice, voice_path

Array = npt.NDArray[np.float32]


def _hear(samples: npt.ArrayLike) -> tuple[list[Heard], Ear]:
    ear = Ear()
    sound = np.asarray(samples, np.float32)
    blocks = sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME)
    return [ear.hear(block) for block in blocks], ear


def _track(heard: list[Heard], name: str) -> Array:
    return np.concatenate([getattr(one, name) for one in heard])


def _buzz(hz: float, seconds: float) -> npt.NDArray[np.float64]:
    time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    harmonics = range(1, int(4000 / hz) + 1)
    return 0.1 * sum((np.sin(2 * np.pi * hz * k * time) / k for k in harmonics), 0.0 * time)


@pytest.mark.parametrize("hz", [70.0, 110.0, 220.0, 440.0, 800.0])
def test_pitch_of_a_buzz_is_its_pitch(hz: float) -> None:
    heard, _ = _hear(_buzz(hz, 1.0))
    assert np.median(_track(heard, "pitch_hz")[20:80]) == pytest.approx(hz, rel=0.03)
    assert _track(heard, "voicing")[20:80].min() > 0.85


def test_it_hears_what_the_offline_analysis_hears() -> None:
    """Up to level and colour, which run: differences of bands within a step are the same."""
    samples = read_voice("flite-slt", 0)
    offline = read_speech_features(voice_path("flite-slt", 0))
    heard, _ = _hear(samples)
    steps = 4 * len(heard) - LAG_STEPS
    voicing = _track(heard, "voicing")[LAG_STEPS:]
    loud = offline.loudness[:steps] > -20.0
    assert np.abs(voicing - offline.voicing[:steps])[loud].mean() < 0.05
    flux = _track(heard, "flux")[LAG_STEPS:]
    assert np.corrcoef(flux[loud], offline.flux[:steps][loud])[0, 1] > 0.95


@pytest.mark.parametrize("gain_db", [-30.0, 0.0, 6.0])
def test_a_quiet_voice_soon_sounds_as_a_loud_one(gain_db: float) -> None:
    voice = read_voice("flite-awb", 0).astype(np.float32)
    samples = np.concatenate([voice, voice])
    usual, _ = _hear(samples)
    other, _ = _hear(samples * np.float32(10.0 ** (gain_db / 20.0)))
    late = slice(4 * len(voice) // FRAME, None)
    first, second = (_track(one, "loudness")[late] for one in (usual, other))
    loud = first > -20.0
    assert np.abs(first - second)[loud].mean() < 2.0


def test_a_voice_that_becomes_quiet_is_followed() -> None:
    voice = read_voice("flite-awb", 1).astype(np.float32)
    heard, ear = _hear(np.concatenate([voice, voice * 0.05, voice * 0.05]))
    _, alone = _hear(voice * 0.05)
    assert abs(ear.level_db - alone.level_db) < 4.0
    _, loud = _hear(np.concatenate([voice * 0.05, voice]))
    assert loud.level_db - alone.level_db > 20.0
    assert len(heard) > 50


def test_a_pause_does_not_change_the_level() -> None:
    voice = read_voice("flite-awb", 1).astype(np.float32)
    rng = np.random.default_rng(0)
    pause = rng.standard_normal(20 * RATE_HZ) * 1e-4
    _, before = _hear(voice)
    _, after = _hear(np.concatenate([voice, pause]))
    assert abs(after.level_db - before.level_db) < 3.0


def test_a_microphones_colour_is_taken_out() -> None:
    voice = np.concatenate([read_voice("flite-slt", n) for n in range(2)]).astype(np.float32)
    bright = np.convolve(voice, [1.0, -0.7])[: len(voice)]
    middle = len(voice) // FRAME * 2
    plain, tilted = (_track(_hear(x)[0], "features")[middle:, :MELS] for x in (voice, bright))
    loud = plain.mean(1) > np.median(plain.mean(1))
    difference = (plain - tilted)[loud].mean(0)
    assert np.ptp(difference) < 0.2  # 4 dB; the filter itself tilts by 15


def test_features_stay_in_range_whatever_comes() -> None:
    rng = np.random.default_rng(0)
    for samples in (np.zeros(RATE_HZ), np.ones(RATE_HZ), 100.0 * rng.standard_normal(RATE_HZ)):
        heard, _ = _hear(samples)
        features = _track(heard, "features")
        assert features.shape[1] == FEATURES
        assert np.isfinite(features).all()
        assert features.min() >= -1.76
        assert features.max() <= 2.76
