"""Phones to articulators: names, co-articulation, closures."""

import itertools

import numpy as np
import pytest

from obverse.errors import ConfigError
from obverse.generator.phones import (
    ARTICULATORS,
    Phone,
    articulate_phones,
    class_track,
    phones_from,
)

JAW, ROUND, CLOSE = (ARTICULATORS.index(name) for name in ("jaw", "round", "close"))


def test_names_of_both_alphabets_lead_to_classes() -> None:
    sounds = [p.sound for p in phones_from([("b", 0.0, 0.1), ("ay", 0.1, 0.3), ("pau", 0.3, 0.4)])]
    assert sounds == ["bilabial", "open", "close", "silence"]
    ipa = [
        p.sound for p in phones_from([("ɔ̃", 0.0, 0.1), ("y", 0.1, 0.2), ("tʃ", 0.2, 0.3)], "ipa")
    ]
    assert ipa == ["back", "rounded", "alveolar", "postalveolar"]
    with pytest.raises(ConfigError, match="xx"):
        list(phones_from([("xx", 0.0, 0.1)]))


def test_class_track_counts_steps() -> None:
    track = class_track([Phone("open", 0.10, 0.20)], 30)
    assert (track > 0).sum() == 10


@pytest.mark.parametrize("seconds", [0.04, 0.06, 0.1])
def test_lips_close_for_a_bilabial_however_short(seconds: float) -> None:
    phones = [
        Phone("open", 0.1, 0.4),
        Phone("bilabial", 0.4, 0.4 + seconds),
        Phone("open", 0.4 + seconds, 0.8),
    ]
    tracks = articulate_phones(phones, 100)
    assert tracks[40 : 40 + round(100 * seconds), CLOSE].max() > 0.65
    assert tracks[20:30, CLOSE].max() < 0.05
    assert tracks[25, JAW] > 0.6


def test_rounding_begins_before_the_vowel() -> None:
    """Lips round in the consonants of `stoop` long before its vowel; they do not in `steep`."""
    before = [Phone("sibilant", 0.2, 0.3), Phone("alveolar", 0.3, 0.38)]
    rounded = articulate_phones([*before, Phone("rounded", 0.38, 0.6)], 80)
    spread = articulate_phones([*before, Phone("close", 0.38, 0.6)], 80)
    assert rounded[32, ROUND] > 0.25
    assert spread[32, ROUND] < 0.05


def test_silence_is_rest_and_targets_stay_in_range() -> None:
    assert np.abs(articulate_phones([], 50)).max() == 0.0
    rng = np.random.default_rng(0)
    from obverse.generator.phones import CLASSES

    times = np.concatenate([[0.0], np.cumsum(rng.uniform(0.03, 0.2, 40))])
    phones = [
        Phone(str(rng.choice(CLASSES)), start, end) for start, end in itertools.pairwise(times)
    ]
    tracks = articulate_phones(phones, 500)
    assert tracks.min() >= 0.0
    assert tracks.max() <= 1.0


def test_a_sound_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ConfigError):
        Phone("open", 0.2, 0.1)
    with pytest.raises(ConfigError, match="vowel"):
        Phone("vowel", 0.0, 0.1)
