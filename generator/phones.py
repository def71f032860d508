"""What each speech sound does to the mouth, and how neighbouring sounds blend.

The table lists articulator targets for classes of sounds that look alike; ARPABET and IPA names
lead to the classes. Blending follows Cohen and Massaro (Modeling coarticulation in synthetic visual
speech, 1993): every sound pulls each articulator towards its target with a strength that fades with
distance in time; a sound that does not care (the lips in /k/) pulls weakly and takes its
neighbours' shape.
"""

import dataclasses
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError

__all__ = [
    "ARTICULATORS",
    "CLASSES",
    "STEP_HZ",
    "Alphabet",
    "Phone",
    "articulate_phones",
    "class_track",
    "closure_track",
    "phones_from",
]

Alphabet = Literal["arpabet", "ipa"]

STEP_HZ = (
    100  # acoustic analysis and articulators run at this rate; a closure of /b/ lasts 5 to 8 steps
)

# In [0, 1]; 0 is the mouth at rest, closed without pressure.
ARTICULATORS = (
    "jaw",  # open; 1 is the widest vowel of lively speech
    "lips",  # upper lip raised and lower lip lowered beyond what the jaw does
    "spread",  # corners drawn apart
    "round",  # lips rounded and narrowed
    "protrude",  # lips pushed out, still apart
    "close",  # lips pressed together
    "bite",  # lower lip against the upper teeth
    "tongue",  # tip of the tongue forward and seen
)


@dataclasses.dataclass(frozen=True, slots=True)
class _Gesture:
    """Targets and strengths of the articulators for one class of sounds, in the order of
    `ARTICULATORS`."""

    targets: tuple[float, ...]
    strengths: tuple[float, ...]


#                 jaw  lips sprd rnd  prot clos bite tong
_TARGETS: dict[str, tuple[float, ...]] = {
    "silence":   (0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00),
    "bilabial":  (0.12, 0.00, 0.00, 0.00, 0.00, 1.00, 0.00, 0.00),  # p b m
    "labial":    (0.12, 0.25, 0.05, 0.00, 0.00, 0.00, 1.00, 0.00),  # f v
    "dental":    (0.16, 0.35, 0.05, 0.00, 0.00, 0.00, 0.00, 1.00),  # th dh
    "alveolar":  (0.16, 0.35, 0.12, 0.00, 0.00, 0.00, 0.00, 0.30),  # t d n
    "lateral":   (0.28, 0.38, 0.05, 0.00, 0.00, 0.00, 0.00, 0.60),  # l
    # s z ts: teeth together, lips apart
    "sibilant":  (0.05, 0.40, 0.28, 0.00, 0.00, 0.00, 0.00, 0.00),
    "postalveolar": (0.07, 0.40, 0.00, 0.25, 0.75, 0.00, 0.00, 0.00),  # sh zh ch jh
    # k g ng h and what is farther back
    "velar":     (0.25, 0.30, 0.05, 0.00, 0.00, 0.00, 0.00, 0.00),
    "rhotic":    (0.20, 0.25, 0.00, 0.35, 0.40, 0.00, 0.00, 0.05),  # r, er
    "rounded":   (0.15, 0.10, 0.00, 0.95, 0.30, 0.00, 0.00, 0.00),  # w u y
    "open":      (0.95, 0.50, 0.05, 0.00, 0.00, 0.00, 0.00, 0.00),  # a
    "front":     (0.62, 0.55, 0.32, 0.00, 0.00, 0.00, 0.00, 0.05),  # e ae
    "close":     (0.22, 0.42, 0.60, 0.00, 0.00, 0.00, 0.00, 0.10),  # i j
    "back":      (0.55, 0.25, 0.00, 0.60, 0.40, 0.00, 0.00, 0.00),  # o ao, front rounded mid vowels
    "central":   (0.40, 0.38, 0.08, 0.05, 0.00, 0.00, 0.00, 0.05),  # schwa, uh
}  # fmt: skip
_STRENGTHS: dict[str, tuple[float, ...]] = {
    "silence":   (0.60, 0.60, 0.50, 0.50, 0.50, 0.60, 0.60, 0.60),
    "bilabial":  (0.70, 1.00, 0.25, 0.20, 0.20, 3.00, 1.00, 0.50),
    "labial":    (0.80, 0.80, 0.30, 0.20, 0.20, 1.00, 3.00, 0.50),
    "dental":    (0.60, 0.60, 0.30, 0.20, 0.20, 1.00, 1.00, 3.00),
    "alveolar":  (0.60, 0.40, 0.30, 0.20, 0.20, 1.00, 1.00, 1.50),
    "lateral":   (0.50, 0.40, 0.30, 0.20, 0.20, 1.00, 1.00, 2.00),
    "sibilant":  (1.60, 0.70, 0.60, 0.35, 0.20, 1.00, 1.00, 1.00),
    "postalveolar": (1.40, 0.70, 0.60, 0.60, 1.80, 1.00, 1.00, 1.00),
    "velar":     (0.35, 0.25, 0.20, 0.15, 0.15, 1.00, 1.00, 0.60),
    "rhotic":    (0.50, 0.50, 0.50, 0.80, 0.80, 1.00, 1.00, 0.80),
    "rounded":   (0.80, 1.00, 1.20, 2.20, 1.20, 1.00, 1.00, 0.80),
    "open":      (1.20, 0.90, 0.80, 0.80, 0.60, 1.00, 1.00, 0.80),
    "front":     (1.00, 0.90, 0.90, 0.80, 0.60, 1.00, 1.00, 0.80),
    "close":     (0.90, 0.90, 1.20, 1.00, 0.60, 1.00, 1.00, 0.80),
    "back":      (1.00, 0.90, 1.00, 1.60, 1.00, 1.00, 1.00, 0.80),
    "central":   (0.60, 0.50, 0.40, 0.40, 0.30, 1.00, 1.00, 0.60),
}  # fmt: skip

CLASSES: tuple[str, ...] = tuple(_TARGETS)
_GESTURES = {name: _Gesture(_TARGETS[name], _STRENGTHS[name]) for name in CLASSES}

# How fast a sound's pull fades outside its own time, in seconds, in the order of ARTICULATORS.
# Rounding is prepared long ahead, a closure is sudden.
_FADE_SECONDS = (0.050, 0.045, 0.080, 0.090, 0.080, 0.022, 0.028, 0.032)
# Limbs have mass: a second-order low pass at these corner frequencies, in hertz, forwards and
# backwards.
_CORNER_HZ = (7.0, 7.5, 6.0, 6.0, 6.0, 16.0, 13.0, 11.0)

# The shortest closure lasts a little longer than a frame of video, and parts this fast.
_SHUT_SECONDS = 0.05
_PART_SECONDS = 0.055

_ARPABET = {
    "bilabial": "p b m em", "labial": "f v", "dental": "th dh", "alveolar": "t d n en dx",
    "lateral": "l el", "sibilant": "s z", "postalveolar": "sh zh ch jh", "velar": "k g ng hh",
    "rhotic": "r er axr", "rounded": "w uw", "open": "aa", "front": "eh ae", "close": "iy ih y",
    "back": "ao", "central": "ah ax uh ix", "silence": "pau sil h# sp brth",
}  # fmt: skip
_ARPABET_CLASS = {phone: name for name, phones in _ARPABET.items() for phone in phones.split()}
_DIPHTHONGS = {  # first class, second class, share of the first
    "ay": ("open", "close", 0.6), "aw": ("open", "rounded", 0.6), "ey": ("front", "close", 0.55),
    "ow": ("back", "rounded", 0.6), "oy": ("back", "close", 0.55),
}  # fmt: skip

_IPA = {
    "bilabial": "pbmɓɸβ", "labial": "fvɱʋ", "dental": "θð", "alveolar": "tdnɾrʈɖɳɗ",
    "lateral": "lɫɭʎɬɮ", "sibilant": "sz", "postalveolar": "ʃʒɕʑʂʐ",
    "velar": "kɡgŋxɣqɢχʁħʕhɦɴcɟɲç", "rhotic": "ɹɻɚɝɜ", "rounded": "wuyʉɥʊ", "open": "aɑɐɒ",
    "front": "eɛæɪ", "close": "ijɨ", "back": "oɔøœɤ", "central": "əʌɵɘɯ",
}  # fmt: skip
_IPA_CLASS = {letter: name for name, letters in _IPA.items() for letter in letters}


@dataclasses.dataclass(frozen=True, slots=True)
class Phone:
    """One sound: its class and when it lasts, in seconds."""

    sound: str  # one of CLASSES
    start: float
    end: float

    def __post_init__(self) -> None:
        """Refuse a class that is not known and a sound that ends before it starts."""
        if self.sound not in _GESTURES:
            raise ConfigError(
                f"{self.sound!r} is no class of sounds; it must be one of {', '.join(CLASSES)}."
            )
        if not 0.0 <= self.start <= self.end:
            raise ConfigError(
                f"a sound lasts from {self.start} to {self.end} s; it needs 0 <= start <= end."
            )


def _split(name: str, alphabet: Alphabet) -> list[tuple[str, float]]:
    """Return the classes of one name and their shares of its time."""
    if alphabet == "arpabet":
        phone = name.lower().rstrip("012")
        if phone in _DIPHTHONGS:
            first, second, share = _DIPHTHONGS[phone]
            return [(first, share), (second, 1.0 - share)]
        if phone not in _ARPABET_CLASS:
            raise ConfigError(
                f"{name!r} is no ARPABET phone; allowed are {' '.join(_ARPABET_CLASS)}."
            )
        return [(_ARPABET_CLASS[phone], 1.0)]
    # Perhaps several letters; accents, length marks, tones and brackets carry no class.
    letters = [letter for letter in unicodedata.normalize("NFD", name) if letter in _IPA_CLASS]
    if not letters:
        return [("silence", 1.0)]
    return [(_IPA_CLASS[letter], 1.0 / len(letters)) for letter in letters]


def phones_from(
    names: Iterable[tuple[str, float, float]], alphabet: Alphabet = "arpabet"
) -> Iterator[Phone]:
    """Turn (name, start, end) triples into phones; a diphthong becomes two.

    Raises:
        ConfigError: a name that ARPABET does not have. In IPA, what is no letter of it counts as
            silence.
    """
    for name, start, end in names:
        at = start
        for sound, share in _split(name, alphabet):
            until = min(at + share * (end - start), end)
            yield Phone(sound, at, until)
            at = until


def class_track(phones: Sequence[Phone], steps: int) -> npt.NDArray[np.int64]:
    """Return `[steps]` indices into `CLASSES` at `STEP_HZ`; time that no phone covers is
    silence."""
    track = np.zeros(steps, np.int64)
    for phone in phones:
        first, last = round(phone.start * STEP_HZ), round(phone.end * STEP_HZ)
        track[first:last] = CLASSES.index(phone.sound)
    return track


def closure_track(
    phones: Sequence[Phone], steps: int, sound: str = "bilabial"
) -> npt.NDArray[np.float32]:
    """Return `[steps]` in [0, 1] at `STEP_HZ`: 1 while each such sound's closure holds, however
    short the sound is, so that a frame of video shows it; eased to 0 over `_PART_SECONDS`.
    """
    time = (np.arange(steps) + 0.5) / STEP_HZ
    track = np.zeros(steps)
    for phone in phones:
        if phone.sound != sound:
            continue
        # A stop is released at its end, where the lips already part.
        middle = phone.start + 0.45 * (phone.end - phone.start)
        half = max(_SHUT_SECONDS / 2.0, 0.35 * (phone.end - phone.start))
        reach = half + _PART_SECONDS
        near = slice(*np.searchsorted(time, (middle - reach, middle + reach)))
        away = np.clip((np.abs(time[near] - middle) - half) / _PART_SECONDS, 0.0, 1.0)
        track[near] = np.maximum(track[near], 1.0 - away * away * (3.0 - 2.0 * away))
    return track.astype(np.float32)


def _smooth(track: npt.NDArray[np.float64], corner_hz: float) -> npt.NDArray[np.float64]:
    """Low-pass without delay by a symmetric, twice exponential kernel."""
    decay = np.exp(-2.0 * np.pi * corner_hz / STEP_HZ)
    reach = max(1, int(np.ceil(np.log(1e-3) / np.log(decay))))
    kernel = decay ** np.abs(np.arange(-reach, reach + 1))
    padded = np.pad(track, reach, mode="edge")
    return np.asarray(np.convolve(padded, kernel / kernel.sum(), mode="valid"))


def articulate_phones(phones: Sequence[Phone], steps: int) -> npt.NDArray[np.float32]:
    """Return articulator tracks `[steps, 8]` at `STEP_HZ` in the order of `ARTICULATORS`.

    This is the teacher of the acoustic model, and the way to move a mouth from a transcript with
    times.
    """
    time = (np.arange(steps) + 0.5) / STEP_HZ
    count = len(ARTICULATORS)
    pull = np.full((count, steps), 1e-6)
    total = np.zeros((count, steps))
    fade = np.array(_FADE_SECONDS)
    reach = 8.0 * fade.max()
    for phone in phones:
        near = slice(*np.searchsorted(time, (phone.start - reach, phone.end + reach)))
        outside = np.maximum(0.0, np.maximum(phone.start - time[near], time[near] - phone.end))
        gesture = _GESTURES[phone.sound]
        # A short sound pulls less: a hurried vowel does not open the jaw as a long one does.
        weight = min(1.0, 0.4 + (phone.end - phone.start) / 0.12)
        strength = np.array(gesture.strengths)[:, None] * np.exp(-outside / fade[:, None]) * weight
        pull[:, near] += strength
        total[:, near] += strength * np.array(gesture.targets)[:, None]
    tracks = total / pull
    smooth = np.stack(
        [_smooth(track, corner) for track, corner in zip(tracks, _CORNER_HZ, strict=True)]
    )
    return np.clip(smooth.T, 0.0, 1.0).astype(np.float32)
