"""Who performs and what the performer is told: style, mood, main direction of gaze, distance."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError
from obverse.generator.controls import NATURAL_BLINK_HZ
from obverse.generator.emotions import EMOTIONS, emotion_vector
from obverse.generator.head_motion import smooth_step
from obverse.generator.motion import FPS

__all__ = ["Conditions", "Style", "draw_conditions", "draw_style"]

Track = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """A performer: factors about 1 unless said otherwise."""

    mouth: float = 1.0  # how widely the mouth moves
    lips: float = 1.0  # how far the lips part beyond the jaw
    rounding: float = 1.0  # how much they are rounded and pushed out
    spread: float = 1.0  # how much corners move
    head: float = 1.0  # size of the head's movements
    nodding: float = 1.0  # how often the head moves with stress
    brow: float = 1.0  # how much brows play
    gaze: float = 1.0  # how far the eyes wander
    blink_rate_hz: float = NATURAL_BLINK_HZ
    warmth: float = 0.3  # resting smile, in [0, 1]
    parted: float = 0.0  # how far the jaw hangs at rest, a coefficient
    lean: float = 0.0  # left against right of the face, in [-1, 1]

    def __post_init__(self) -> None:
        """Refuse what is not finite."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not math.isfinite(value) or (field.name != "lean" and value < 0.0):
                raise ConfigError(f"the style's {field.name} is {value}; it must be 0 or more.")


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Conditions:
    """What a performance of `T` frames is told to be."""

    emotion: npt.NDArray[np.float32]  # [T, 8] intensities in the order of EMOTIONS, summing to 1
    gaze: npt.NDArray[np.float32]  # [T, 2] yaw and pitch in radians: yaw > 0 right, pitch > 0 down
    distance: npt.NDArray[np.float32]  # [T] 1 as in the portrait

    def __post_init__(self) -> None:
        """Refuse arrays whose shapes disagree."""
        frames = len(self.distance)
        shapes = (self.emotion.shape, self.gaze.shape, self.distance.shape)
        if shapes != ((frames, len(EMOTIONS)), (frames, 2), (frames,)):
            raise ConfigError(f"Conditions need shapes [T, 8], [T, 2] and [T], not {shapes}.")


def draw_style(rng: np.random.Generator) -> Style:
    """Draw a performer."""
    return Style(
        mouth=float(np.clip(rng.lognormal(0.58, 0.14), 1.2, 2.3)),
        lips=float(rng.uniform(1.1, 1.7)),
        rounding=float(rng.uniform(1.0, 1.45)),
        spread=float(rng.uniform(1.1, 1.8)),
        head=float(np.clip(rng.lognormal(0.0, 0.25), 0.55, 1.7)),
        nodding=float(rng.uniform(0.6, 1.2)),
        brow=float(np.clip(rng.lognormal(0.0, 0.35), 0.4, 2.0)),
        gaze=float(rng.uniform(0.7, 1.25)),
        blink_rate_hz=float(np.clip(rng.lognormal(np.log(0.44), 0.3), 0.22, 0.8)),
        warmth=float(rng.beta(1.6, 3.0)),
        parted=float(rng.uniform(0.07, 0.20) if rng.random() < 0.75 else rng.uniform(0.0, 0.04)),
        lean=float(np.clip(rng.normal(0.0, 0.5), -1.0, 1.0)),
    )


def _pieces(rng: np.random.Generator, frames: int) -> list[int]:
    """Return the first frames of one to four pieces of at least three seconds."""
    count = min(int(rng.integers(2, 5)), max(1, frames // (3 * FPS)))
    return [0, *sorted(int(c) for c in rng.integers(FPS, max(FPS + 1, frames), count - 1))]


def _passing(
    rng: np.random.Generator, frames: int, values: Sequence[Track], ramp_seconds: float
) -> Track:
    """Return `[T, n]`: each value from its own frame on, reached at once or in up to
    `ramp_seconds`."""
    starts = _pieces(rng, frames)
    time = np.arange(frames) / FPS
    track = np.tile(values[0], (frames, 1))
    for index, start in enumerate(starts[1:], 1):
        lasts = (
            1e-3 if rng.random() < 0.4 else max(1e-3, float(rng.uniform(0.2, 1.0)) * ramp_seconds)
        )
        step = smooth_step((time - start / FPS) / lasts)[:, None]
        # From wherever the last change has got to: intensities stay within their simplex.
        track = track + step * (values[index % len(values)] - track)
    return track


def draw_conditions(frames: int, rng: np.random.Generator) -> Conditions:
    """Draw what a performance is told: a mood, a main direction and a distance, which may change
    on the way."""

    def mood() -> Track:
        names = rng.permutation(EMOTIONS[1:])
        kind = rng.random()
        if kind < 0.2:
            return emotion_vector([]).astype(np.float64)
        if kind < 0.85:
            return emotion_vector([(str(names[0]), float(rng.uniform(0.3, 1.0)))]).astype(float)
        first = float(rng.uniform(0.2, 0.7))
        pair = [(str(names[0]), first), (str(names[1]), float(rng.uniform(0.1, 0.95 - first)))]
        return emotion_vector(pair).astype(np.float64)

    def direction() -> Track:
        yaw, pitch = rng.normal(0.0, 9.0), rng.normal(0.0, 5.5)
        return np.deg2rad([np.clip(yaw, -18.0, 18.0), np.clip(pitch, -11.0, 11.0)])

    def away() -> Track:
        return np.array([np.clip(rng.lognormal(0.02, 0.16), 0.75, 1.6)])

    kind = rng.random()
    if kind < 0.25:
        emotion = np.tile(emotion_vector([]).astype(np.float64), (frames, 1))
    elif kind < 0.65:
        emotion = np.tile(mood(), (frames, 1))
    else:
        emotion = _passing(rng, frames, [mood() for _ in range(4)], 3.0)
    kind = rng.random()
    if kind < 0.5:
        gaze = np.zeros((frames, 2))
    elif kind < 0.75:
        gaze = np.tile(direction(), (frames, 1))
    else:
        gaze = _passing(rng, frames, [direction() for _ in range(4)], 0.0)
    kind = rng.random()
    if kind < 0.5:
        distance = np.ones((frames, 1))
    elif kind < 0.8:
        distance = np.tile(away(), (frames, 1))
    else:
        distance = _passing(rng, frames, [away() for _ in range(4)], 5.0)
    return Conditions(
        emotion.astype(np.float32), gaze.astype(np.float32), distance[:, 0].astype(np.float32)
    )
