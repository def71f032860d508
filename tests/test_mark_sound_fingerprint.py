"""Sound's fingerprints: near for copies, far for other recordings, found again in a cut."""

from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from obverse.errors import ConfigError, InputError
from obverse.media.audio import write_wav
from obverse.watermark.sound_fingerprint import (
    HOP_SECONDS,
    RATE_HZ,
    SAME_SOUND_AT_MOST,
    Samples,
    SoundFingerprint,
    compare_sound,
    fingerprint_samples,
    fingerprint_sound,
)


def _voice(seed: int, seconds: float = 4.0) -> Samples:
    """Something like speech: harmonics of a wandering pitch, syllables, breath."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    knots = np.linspace(0, seconds, int(8 * seconds))
    pitch = np.interp(time, knots, rng.uniform(90, 260, len(knots)))
    loud = np.interp(time, knots, rng.uniform(0, 1, len(knots)) ** 2)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE_HZ
    tilt = [np.interp(time, knots, rng.uniform(0, 1, len(knots))) for _ in range(12)]
    tone = sum(tilt[n] * np.sin((n + 1) * phase) / (n + 1) for n in range(12))
    return np.asarray(0.2 * loud * (tone + 0.05 * rng.normal(size=len(time))), np.float32)


def _print(samples: Samples) -> SoundFingerprint:
    found = fingerprint_samples(samples)
    assert found is not None
    return found


def test_a_copy_is_near_and_another_voice_far() -> None:
    voices = [_voice(seed) for seed in range(5)]
    prints = [_print(voice) for voice in voices]
    rng = np.random.default_rng(9)
    level = float(np.sqrt(np.mean(voices[0] ** 2)))
    copies = {
        "quieter": 0.2 * voices[0],
        "noisy": voices[0] + rng.normal(0, level / 10, len(voices[0])).astype(np.float32),
        "clipped": np.clip(voices[0], -0.15, 0.15),
        "cut": voices[0][RATE_HZ:],
    }
    for name, copy in copies.items():
        assert compare_sound(prints[0], _print(copy)) < SAME_SOUND_AT_MOST, name
    far = [compare_sound(prints[i], prints[j]) for i in range(5) for j in range(i)]
    assert min(far) > SAME_SOUND_AT_MOST


def test_compression_changes_little(tmp_path: Path) -> None:
    voice = _voice(1)
    write_wav(tmp_path / "a.wav", voice, RATE_HZ)
    with av.open(str(tmp_path / "a.m4a"), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono", bit_rate=48000)
        frame = av.AudioFrame.from_ndarray(voice[None], format="fltp", layout="mono")
        frame.sample_rate = RATE_HZ
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=44100)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    original, copy = (fingerprint_sound(tmp_path / name) for name in ("a.wav", "a.m4a"))
    assert original is not None
    assert copy is not None
    assert original.seconds == pytest.approx(4.0, abs=0.5)
    assert compare_sound(original, copy) < 0.2


def test_silence_and_snippets_tell_nothing(tmp_path: Path) -> None:
    assert fingerprint_samples(np.zeros(5 * RATE_HZ, np.float32)) is None
    assert fingerprint_samples(_voice(1)[:1000]) is None
    assert fingerprint_samples(np.zeros(0, np.float32)) is None
    write_wav(tmp_path / "silent.wav", np.zeros(RATE_HZ, np.float32), RATE_HZ)
    assert fingerprint_sound(tmp_path / "silent.wav") is None
    (tmp_path / "text.wav").write_text("hello")
    assert fingerprint_sound(tmp_path / "text.wav") is None
    with pytest.raises(InputError):
        fingerprint_sound(tmp_path / "absent.wav")


def test_only_the_first_minute_counts() -> None:
    voice = _voice(2, seconds=3)
    long = np.tile(voice, 25)
    assert _print(long).seconds == pytest.approx(60, abs=0.6)
    assert len(_print(long).words) == (60 * RATE_HZ - 2048) // round(HOP_SECONDS * RATE_HZ)


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=5))
def test_text_and_bytes_go_both_ways(words: list[int]) -> None:
    one = SoundFingerprint(tuple(words))
    assert SoundFingerprint.from_hex(one.to_hex()) == one
    assert SoundFingerprint.from_bytes(one.to_bytes()) == one


@pytest.mark.parametrize("bad", ["", "1234", "x" * 8, "12345678 "])
def test_what_is_no_fingerprint_is_refused(bad: str) -> None:
    with pytest.raises(ConfigError):
        SoundFingerprint.from_hex(bad)
