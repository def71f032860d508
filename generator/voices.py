"""The bundled voices: short sentences by free speech engines, which speak for the sitters and test
the mouth.

`voices.json` says of each voice who made it, under which licence, and what it says; for flite's
voices also when each phone ends. See `utterances/CARD.md`.
"""

import dataclasses
import functools
import importlib.resources
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError
from obverse.generator.phones import Phone, phones_from
from obverse.generator.speech import RATE_HZ
from obverse.media.audio import read_speech

__all__ = ["Sentence", "Voice", "list_voices", "read_voice", "voice_path"]


@dataclasses.dataclass(frozen=True, slots=True)
class Sentence:
    """One recording of a voice."""

    text: str
    file: str  # name within the folder of voices
    seconds: float
    phones: (
        tuple[tuple[str, float, float], ...] | None
    )  # ARPABET name, start and end in seconds; None if unknown

    def sounds(self) -> tuple[Phone, ...]:
        """Return its phones by class, as `articulate_phones` takes them; none if they are
        unknown."""
        return tuple(phones_from(self.phones or ()))


@dataclasses.dataclass(frozen=True, slots=True)
class Voice:
    """A synthetic speaker; nobody's own voice."""

    id: str  # such as flite-slt
    engine: str
    licence: str
    presentation: str  # female or male, as it sounds
    accent: str
    sentences: tuple[Sentence, ...]


def _folder() -> Path:
    # A part is a namespace package, whose folder has no single path of its own: join first.
    return Path(str(importlib.resources.files("obverse.generator") / "utterances"))


@functools.cache
def list_voices() -> tuple[Voice, ...]:
    """Return every bundled voice, in a fixed order. No two share a sentence."""
    voices = []
    for row in json.loads((_folder() / "voices.json").read_text(encoding="utf-8"))["voices"]:
        sentences = []
        for sentence in row["sentences"]:
            phones = None
            if sentence["phones"] is not None:
                starts = [0.0, *(end for _, end in sentence["phones"])]
                phones = tuple(
                    (name, start, end)
                    for (name, end), start in zip(sentence["phones"], starts, strict=False)
                )
            sentences.append(
                Sentence(sentence["text"], sentence["file"], sentence["seconds"], phones)
            )
        about = {name: row[name] for name in ("id", "engine", "licence", "presentation", "accent")}
        voices.append(Voice(**about, sentences=tuple(sentences)))
    return tuple(voices)


def _sentence(voice: str, sentence: int) -> Sentence:
    known = {known.id: known for known in list_voices()}
    if voice not in known:
        raise ConfigError(f"{voice!r} is no bundled voice; it must be one of {', '.join(known)}.")
    sentences = known[voice].sentences
    if not 0 <= sentence < len(sentences):
        raise ConfigError(
            f"voice {voice} has no sentence {sentence}; it has 0 to {len(sentences) - 1}."
        )
    return sentences[sentence]


def voice_path(voice: str, sentence: int) -> Path:
    """Return the file of a voice's sentence.

    Raises:
        ConfigError: there is no such voice or sentence.
    """
    return _folder() / _sentence(voice, sentence).file


def read_voice(voice: str, sentence: int, rate_hz: int = RATE_HZ) -> npt.NDArray[np.float32]:
    """Return a voice's sentence as mono samples `[N]` in [-1, 1] at `rate_hz`.

    Raises:
        ConfigError: there is no such voice or sentence.
    """
    return read_speech(voice_path(voice, sentence), rate_hz)
