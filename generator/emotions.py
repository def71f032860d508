"""Eight emotions: what each adds to the face, and how it changes the way a person moves and speaks.

The face of an emotion is a set of action units. Which units belong to which emotion follows EMFACS
(Ekman and Friesen, 1983; prototypes and major variants as listed in Ekman, Friesen and Hager,
Facial Action Coding System: Investigator's Guide, 2002); `_UNITS` says which ARKit coefficients
stand for each unit. Nervousness is no basic emotion: its face is a partial fear with lips that are
pressed, bitten and dimpled, with many blinks and averted eyes (Harrigan and O'Connell, How do you
look when feeling anxious?, Personality and Individual Differences 21, 1996).
"""

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError
from obverse.generator.motion import EXPRESSIONS, expression_index

__all__ = [
    "EMOTIONS",
    "SPEECH_KEEPS",
    "Temper",
    "emotion_offset",
    "emotion_offsets",
    "emotion_vector",
    "temper_of",
    "temper_tracks",
]

EMOTIONS: tuple[str, ...] = (
    "neutral", "happy", "sad", "angry", "surprised", "afraid", "disgusted", "nervous",
)  # fmt: skip

# Action units of the FACS and the ARKit coefficients that show them, with the share of each. A name
# without a side stands for both sides.
_UNITS: Mapping[str, Mapping[str, float]] = {
    "1 inner brow raiser": {"browInnerUp": 1.0},
    "2 outer brow raiser": {"browOuterUp": 1.0},
    "4 brow lowerer": {"browDown": 1.0},
    "5 upper lid raiser": {"eyeWide": 1.0},
    "6 cheek raiser": {"cheekSquint": 1.0, "eyeSquint": 0.35},
    "7 lid tightener": {"eyeSquint": 1.0},
    "9 nose wrinkler": {"noseSneer": 1.0, "mouthUpperUp": 0.15},
    "10 upper lip raiser": {"mouthUpperUp": 1.0, "noseSneer": 0.25},
    "12 lip corner puller": {"mouthSmile": 1.0, "mouthDimple": 0.10},
    "14 dimpler": {"mouthDimple": 1.0},
    "15 lip corner depressor": {"mouthFrown": 1.0},
    "16 lower lip depressor": {"mouthLowerDown": 1.0},
    "17 chin raiser": {"mouthShrugLower": 1.0, "mouthShrugUpper": 0.25},
    "20 lip stretcher": {"mouthStretch": 1.0},
    "23 lip tightener": {"mouthPress": 0.5, "mouthRollLower": 0.3, "mouthRollUpper": 0.3},
    "24 lip pressor": {"mouthPress": 1.0},
    "25 lips part": {"mouthLowerDown": 0.7, "mouthUpperUp": 0.5},
    "26 jaw drop": {"jawOpen": 1.0},
    "28 lip suck": {"mouthRollLower": 1.0, "mouthRollUpper": 0.4},
    "43 eye closure": {"eyeBlink": 1.0},
    "64 eyes down": {"eyeLookDown": 1.0},
}

# The units of each emotion and the size of each at full intensity.
_FACES: Mapping[str, Mapping[str, float]] = {
    "neutral": {},
    "happy": {"6 cheek raiser": 0.85, "12 lip corner puller": 1.0, "25 lips part": 0.30},
    "sad": {
        "1 inner brow raiser": 1.0, "4 brow lowerer": 0.20, "15 lip corner depressor": 1.0,
        "17 chin raiser": 0.45, "43 eye closure": 0.22, "64 eyes down": 0.15,
    },
    "angry": {
        "4 brow lowerer": 1.0, "5 upper lid raiser": 0.40, "7 lid tightener": 0.45,
        "9 nose wrinkler": 0.40, "23 lip tightener": 0.55, "24 lip pressor": 0.25,
        "15 lip corner depressor": 0.30,
    },
    "surprised": {
        "1 inner brow raiser": 1.0, "2 outer brow raiser": 1.0, "5 upper lid raiser": 0.90,
        "26 jaw drop": 0.38,
    },
    "afraid": {
        "1 inner brow raiser": 1.0, "2 outer brow raiser": 0.40, "4 brow lowerer": 0.40,
        "5 upper lid raiser": 1.0, "20 lip stretcher": 0.90, "25 lips part": 0.30,
        "26 jaw drop": 0.12,
    },
    "disgusted": {
        "9 nose wrinkler": 1.0, "10 upper lip raiser": 0.50, "4 brow lowerer": 0.55,
        "6 cheek raiser": 0.35, "7 lid tightener": 0.40, "15 lip corner depressor": 0.45,
        "17 chin raiser": 0.30,
    },
    "nervous": {
        "1 inner brow raiser": 0.65, "4 brow lowerer": 0.45, "5 upper lid raiser": 0.30,
        "14 dimpler": 0.50, "20 lip stretcher": 0.45, "24 lip pressor": 0.40,
        "28 lip suck": 0.25,
    },
}  # fmt: skip

# The share of an emotion's coefficient that stays while its owner speaks: corners keep their pull,
# but pressed or parted lips and the jaw belong to the sounds.
_KEPT: Mapping[str, float] = {
    "mouthSmile": 0.78, "mouthFrown": 0.72, "mouthDimple": 0.6, "mouthStretch": 0.55,
    "mouthUpperUp": 0.6, "mouthLowerDown": 0.4, "mouthPress": 0.15, "mouthRollLower": 0.12,
    "mouthRollUpper": 0.12, "mouthShrugLower": 0.3, "mouthShrugUpper": 0.3, "jawOpen": 0.25,
}  # fmt: skip


def _sides(name: str) -> tuple[str, ...]:
    return (name,) if name in EXPRESSIONS else (f"{name}Left", f"{name}Right")


def _kept() -> npt.NDArray[np.float32]:
    kept = np.ones(len(EXPRESSIONS), np.float32)
    for name, share in _KEPT.items():
        for side in _sides(name):
            kept[expression_index(side)] = share
    kept.setflags(write=False)
    return kept


SPEECH_KEEPS: npt.NDArray[np.float32] = _kept()  # [52] in [0, 1]


def _offsets() -> npt.NDArray[np.float32]:
    table = np.zeros((len(EMOTIONS), len(EXPRESSIONS)))
    for row, emotion in enumerate(EMOTIONS):
        for unit, size in _FACES[emotion].items():
            for name, share in _UNITS[unit].items():
                for side in _sides(name):
                    table[row, expression_index(side)] += size * share
    offsets = np.clip(table, 0.0, 1.0).astype(np.float32)
    offsets.setflags(write=False)
    return offsets


_OFFSETS = _offsets()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Temper:
    """How a mood changes the way somebody moves: factors about 1, and a posture."""

    brow: float = 1.0  # how much brows play with stress
    head: float = 1.0  # size of the head's movements
    pace: float = 1.0  # and their speed
    pitch_deg: float = 0.0  # posture: positive hangs the head
    roll_deg: float = 0.0  # a tilt to either side
    lean: float = 0.0  # away from the camera, in interocular distances
    blink: float = 1.0  # rate of blinks
    aversion: float = 1.0  # how often the eyes leave the main direction
    mouth: float = 1.0  # how widely the mouth opens while speaking


# Speech of sadness is slack and slow, of anger and joy wide (Scherer, Vocal communication of
# emotion, 2003); blinks quicken with stress and slow with attention (Stern et al., 1984).
_TEMPERS: Mapping[str, Temper] = {
    "neutral": Temper(),
    "happy": Temper(
        brow=1.25, head=1.20, pace=1.10, pitch_deg=-1.0, roll_deg=1.5, aversion=0.8, mouth=1.10,
    ),
    "sad": Temper(
        brow=0.6, head=0.60, pace=0.65, pitch_deg=5.0, roll_deg=2.0, lean=0.05, blink=0.8,
        aversion=1.8, mouth=0.78,
    ),
    "angry": Temper(
        brow=1.0, head=1.15, pace=1.30, pitch_deg=2.5, lean=-0.12, blink=0.65, aversion=0.35,
        mouth=1.15,
    ),
    "surprised": Temper(
        brow=1.3, head=1.0, pace=1.15, pitch_deg=-2.0, lean=0.08, blink=0.7, aversion=0.5,
        mouth=1.08,
    ),
    "afraid": Temper(
        brow=0.8, head=0.80, pace=1.25, pitch_deg=-1.0, lean=0.14, blink=1.3, aversion=1.5,
        mouth=0.92,
    ),
    "disgusted": Temper(
        brow=0.8, head=0.95, pace=0.9, pitch_deg=-2.0, roll_deg=1.0, lean=0.10, blink=1.0,
        aversion=1.2, mouth=0.95,
    ),
    "nervous": Temper(
        brow=1.1, head=1.0, pace=1.45, pitch_deg=1.5, roll_deg=0.5, lean=0.04, blink=1.9,
        aversion=2.2, mouth=0.9,
    ),
}  # fmt: skip


def emotion_vector(pairs: Iterable[tuple[str, float]]) -> npt.NDArray[np.float32]:
    """Return intensities `[8]` in the order of `EMOTIONS`; neutral is what the others leave of 1.

    Args:
        pairs: such as `[("happy", 0.7), ("surprised", 0.2)]`; none is a neutral face, and
            neutral itself counts in the sum like any other.

    Raises:
        ConfigError: an unknown emotion, one that is named twice, an intensity outside [0, 1], or
            intensities that exceed 1 together.
    """
    vector = np.zeros(len(EMOTIONS))
    named: set[str] = set()
    for name, intensity in pairs:
        if name not in EMOTIONS:
            raise ConfigError(f"{name!r} is no emotion; it must be one of {', '.join(EMOTIONS)}.")
        if name in named:
            raise ConfigError(f"the emotion {name} is given twice; give each one once.")
        if not 0.0 <= intensity <= 1.0:
            raise ConfigError(f"the intensity of {name} is {intensity}; it must lie in [0, 1].")
        named.add(name)
        vector[EMOTIONS.index(name)] = intensity
    total = float(vector.sum())
    if total > 1.0 + 1e-6:
        raise ConfigError(
            f"the emotions' intensities sum to {total:.3g}; together they may be 1 at most."
        )
    vector[0] = max(0.0, 1.0 - float(vector[1:].sum()))
    return vector.astype(np.float32)


def emotion_offsets() -> npt.NDArray[np.float32]:
    """Return what each emotion adds to the 52 coefficients at full intensity: `[8, 52]`."""
    return _OFFSETS


def emotion_offset(vector: npt.ArrayLike, speaking: npt.ArrayLike = 0.0) -> npt.NDArray[np.float32]:
    """Return what emotions `[..., 8]` add to the coefficients: `[..., 52]` in [0, 1].

    Args:
        vector: intensities in the order of `EMOTIONS`.
        speaking: `[...]` in [0, 1]; at 1 the mouth keeps `SPEECH_KEEPS` of the emotion.
    """
    full = np.asarray(vector, np.float32) @ _OFFSETS
    voice = np.asarray(speaking, np.float32)[..., None]
    return np.asarray(np.clip(full * (1.0 - voice * (1.0 - SPEECH_KEEPS)), 0.0, 1.0), np.float32)


def temper_of(vector: npt.ArrayLike) -> Temper:
    """Blend the tempers of emotions `[8]` by their intensities."""
    blended = temper_tracks(np.asarray(vector, np.float64)[None])
    return Temper(**{name: float(track[0]) for name, track in blended.items()})


def temper_tracks(emotion: npt.ArrayLike) -> dict[str, npt.NDArray[np.float64]]:
    """Return each field of `Temper` over time, `[T]`, for intensities `[T, 8]`."""
    weights = np.asarray(emotion, np.float64)
    return {
        field.name: weights @ np.array([getattr(_TEMPERS[name], field.name) for name in EMOTIONS])
        for field in dataclasses.fields(Temper)
    }
