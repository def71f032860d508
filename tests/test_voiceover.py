"""Another sound is laid over a film: as long, as loud, and from its start."""

import numpy as np
import numpy.typing as npt
import pytest

from obverse.errors import ConfigError, InputError
from obverse.generator.methods import METHODS, NEEDS, SOUND_METHODS, sound_method_named
from obverse.generator.voiceover import voiceover

Samples = npt.NDArray[np.float32]


def _tone(samples: int, level: float) -> Samples:
    return (level * np.sin(np.arange(samples) / 7)).astype(np.float32)


def _level(samples: Samples) -> float:
    return float(np.sqrt(np.mean(np.square(samples))))


@pytest.mark.parametrize("samples", [300, 1000, 2500])
def test_it_is_as_long_and_as_loud_as_the_films_own(samples: int) -> None:
    own, other = _tone(1000, 0.2), _tone(samples, 0.1)
    laid = voiceover(own, other)
    assert len(laid) == len(own)
    assert laid.dtype == np.float32
    assert _level(laid) == pytest.approx(_level(own), rel=1e-3)
    start = min(samples, 1000)
    assert np.corrcoef(laid[:start], other[:start])[0, 1] > 0.999


def test_neither_silence_nor_peaks_are_blown_up() -> None:
    quiet = voiceover(_tone(1000, 0.5), _tone(1000, 0.001))
    assert _level(quiet) == pytest.approx(4 * _level(_tone(1000, 0.001)), rel=1e-3)
    assert _level(voiceover(_tone(1000, 0.0), _tone(1000, 0.4))) > 0.05  # heard in a silent film
    assert not voiceover(_tone(1000, 0.5), _tone(1000, 0.0)).any()
    click = np.zeros(1000, np.float32)
    click[5] = 0.6
    assert np.abs(voiceover(_tone(1000, 0.5), click)).max() <= 1.0
    with pytest.raises(InputError, match="no other sound"):
        voiceover(_tone(1000, 0.5), np.zeros(0, np.float32))


def test_every_method_is_of_one_kind() -> None:
    assert not set(METHODS) & set(SOUND_METHODS)
    assert set(METHODS) | set(SOUND_METHODS) == set(NEEDS)
    assert {name for name, needs in NEEDS.items() if needs.other_sound} == set(SOUND_METHODS)
    with pytest.raises(ConfigError, match="for sound; choose from voiceover"):
        sound_method_named("dub")
