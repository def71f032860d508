"""The bundled voices: what they say of themselves agrees with what they are."""

import numpy as np
import pytest

from obverse.errors import ConfigError
from obverse.generator.voices import list_voices, read_voice, voice_path


def test_enough_voices_of_both_presentations_to_split_by_voice() -> None:
    voices = list_voices()
    assert len(voices) >= 9
    assert len({voice.id for voice in voices}) == len(voices)
    assert {voice.presentation for voice in voices} == {"female", "male"}
    assert all(voice.licence and voice.engine for voice in voices)


def test_no_two_voices_share_a_sentence() -> None:
    texts = [sentence.text for voice in list_voices() for sentence in voice.sentences]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("voice", [voice.id for voice in list_voices()])
def test_sound_is_as_long_as_stated_and_neither_clipped_nor_empty(voice: str) -> None:
    sentences = next(known for known in list_voices() if known.id == voice).sentences
    assert len(sentences) >= 4
    samples = read_voice(voice, 0)
    assert len(samples) / 16_000 == pytest.approx(sentences[0].seconds, abs=0.02)
    assert 0.3 < np.abs(samples).max() < 0.99
    assert np.abs(samples[:1600]).max() < 0.1  # it begins with silence


@pytest.mark.parametrize("voice", [v.id for v in list_voices() if v.id.startswith("flite-")])
def test_phone_times_fill_the_recording_and_its_silence_is_silent(voice: str) -> None:
    sentences = next(known for known in list_voices() if known.id == voice).sentences
    bilabials = 0
    for number, sentence in enumerate(sentences):
        assert sentence.phones is not None
        ends = [end for _, _, end in sentence.phones]
        assert ends == sorted(ends)
        assert ends[-1] <= sentence.seconds + 0.001
        bilabials += sum(sound.sound == "bilabial" for sound in sentence.sounds())
        name, _, end = sentence.phones[0]
        assert name == "pau"
        assert np.abs(read_voice(voice, number)[: int(end * 14_000)]).max() < 0.1
    assert bilabials >= 15


def test_voices_are_small() -> None:
    size = sum(
        voice_path(voice.id, number).stat().st_size
        for voice in list_voices()
        for number in range(len(voice.sentences))
    )
    assert size < 8_000_000


def test_an_unknown_voice_or_sentence_is_named() -> None:
    with pytest.raises(ConfigError, match="flite-slt"):
        read_voice("nobody", 0)
    with pytest.raises(ConfigError, match="no sentence 99"):
        read_voice("flite-slt", 99)
