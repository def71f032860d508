"""Augmentation keeps the phones in step with the sound."""

import numpy as np
import numpy.typing as npt
import pytest

from obverse.generator.phones import Phone
from obverse.generator.speech import RATE_HZ
from obverse.generator.training_sound import NOISES, augment, noise_like, sung, whispered

Phones = tuple[Phone, ...]


def _beeps() -> tuple[npt.NDArray[np.float64], Phones]:
    """Return two loud vowels with a silent closure between them."""
    time = np.arange(RATE_HZ) / RATE_HZ
    voice = 0.1 * np.sum([np.sin(2 * np.pi * 150 * k * time) / k for k in range(1, 12)], 0)
    phones = (Phone("open", 0.1, 0.4), Phone("bilabial", 0.4, 0.55), Phone("close", 0.55, 0.9))
    heard = np.zeros(RATE_HZ)
    for phone in (phones[0], phones[2]):
        where = slice(int(phone.start * RATE_HZ), int(phone.end * RATE_HZ))
        heard[where] = voice[where]
    return heard, phones


def _level(samples: npt.NDArray[np.float64], phone: Phone) -> float:
    inset = 0.25 * (phone.end - phone.start)
    first, last = (int(s * RATE_HZ) for s in (phone.start + inset, phone.end - inset))
    return float(np.sqrt(np.mean(samples[first:last] ** 2)))


def test_a_song_holds_its_vowels_and_closes_its_lips_where_it_says() -> None:
    samples, phones = _beeps()
    for seed in range(5):
        song, notes = sung(samples, phones, np.random.default_rng(seed))
        assert [note.sound for note in notes] == [phone.sound for phone in phones]
        assert len(song) / RATE_HZ > 1.2
        levels = [_level(song, note) for note in notes]
        assert levels[1] < 0.2 * min(levels[0], levels[2])


def test_augmented_phones_lie_within_the_sound_in_order() -> None:
    samples, phones = _beeps()
    rng = np.random.default_rng(0)
    kept = 0
    for _ in range(30):
        changed, moved = augment(samples, phones, rng)
        assert changed.dtype == np.float32
        assert np.isfinite(changed).all()
        assert np.abs(changed).max() <= 1.0
        assert [p.sound for p in moved] in ([], [p.sound for p in phones])
        ends = [p.end for p in moved]
        assert ends == sorted(ends)
        assert not ends or ends[-1] <= len(changed) / RATE_HZ
        kept += bool(ends)
    assert kept > 20


def test_a_whisper_has_the_voices_loudness_and_no_pitch() -> None:
    samples, phones = _beeps()
    whisper = whispered(samples, np.random.default_rng(0))
    assert np.mean(whisper**2) == pytest.approx(np.mean(samples**2), rel=0.1)
    piece = whisper[int(0.2 * RATE_HZ) : int(0.3 * RATE_HZ)]
    period = RATE_HZ // 150
    voice = samples[int(0.2 * RATE_HZ) : int(0.3 * RATE_HZ)]
    assert np.corrcoef(piece[period:], piece[:-period])[0, 1] < 0.5
    assert np.corrcoef(voice[period:], voice[:-period])[0, 1] > 0.9
    assert _level(whisper, phones[1]) < 0.2 * _level(whisper, phones[0])


@pytest.mark.parametrize("kind", NOISES)
def test_noises_have_unit_power(kind: str) -> None:
    noise = noise_like(np.random.default_rng(3), RATE_HZ, kind)
    assert np.mean(noise**2) == pytest.approx(1.0, rel=1e-3)
    assert np.isfinite(noise).all()
