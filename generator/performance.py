"""Speech to motion: a whole performance, deterministic by seed and different by seed.

`MotionModel` is the slot for other ways to do it: a model is an entry of `MOTION_MODELS`.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError
from obverse.generator.articulation import Articulation, articulate, mouth_expression
from obverse.generator.eyes import blink_times, blink_track, eye_expression, gaze_track
from obverse.generator.head_motion import breath_track, head_motion
from obverse.generator.motion import EXPRESSIONS, FPS, Motion, expression_index
from obverse.generator.prosody import Prosody, read_prosody
from obverse.generator.speech import Speech

__all__ = ["MOTION_MODELS", "ArticulatoryModel", "MotionModel", "PerformanceConfig", "perform"]

_STRONGEST = 2.0
_FASTEST_BLINK_HZ = 1.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PerformanceConfig:
    """How a performer performs; strengths are factors in [0, 2], 1 is natural and 0 still."""

    mouth_strength: float = 1.0  # jaw, lips and tongue
    head_strength: float = 1.0  # rotation and translation of the head
    gaze_strength: float = 1.0  # how far the eyes wander; they follow the head's turns in any case
    expression_strength: float = 1.0  # brows, cheeks and the play around mouth and eyes
    blink_rate_hz: float = 0.28  # 17 a minute; [0, 1]

    def __post_init__(self) -> None:
        """Refuse what no face does."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            most = _FASTEST_BLINK_HZ if field.name == "blink_rate_hz" else _STRONGEST
            if not (math.isfinite(value) and 0.0 <= value <= most):
                raise ConfigError(f"{field.name} is {value}; it must lie in [0, {most:g}].")


class MotionModel(Protocol):
    """Anything that turns speech into motion."""

    def perform(self, speech: Speech, seed: int, controls: PerformanceConfig) -> Motion:
        """Return `speech.frames` frames; the same arguments give the same motion."""
        ...


def _play(prosody: Prosody, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return coefficients `[T, 52]` of brows raised with stress, and of a slow play of mood around
    eyes and mouth."""
    frames = len(prosody.voice)
    time = np.arange(frames) / FPS
    play = np.zeros((frames, len(EXPRESSIONS)))

    def add(track: npt.NDArray[np.float64], **amounts: float) -> None:
        for name, amount in amounts.items():
            sides = (name,) if name in EXPRESSIONS else (f"{name}Left", f"{name}Right")
            for side in sides:
                play[:, expression_index(side)] += amount * track

    raised, lowered = np.zeros(frames), np.zeros(frames)
    free = 0.0  # brows rest a while before they move again
    for at, strength in zip(prosody.accent_seconds, prosody.accent_strengths, strict=True):
        if at < free or rng.random() > 0.10 + 0.5 * strength:
            continue
        length = float(rng.uniform(0.11, 0.24))
        free = at + 4.0 * length + float(rng.uniform(0.2, 1.5))
        first, last = (int(np.clip((at + edge) * FPS, 0, frames)) for edge in (-1.0, 1.2))
        pulse = np.exp(-0.5 * ((time[first:last] - at - 0.04) / length) ** 2)
        brow = raised if rng.random() < 0.8 else lowered
        brow[first:last] += pulse * (0.3 + 0.7 * strength) * rng.uniform(0.4, 1.0)
    add(np.minimum(raised, 1.2), browInnerUp=0.30, browOuterUp=0.22, eyeWide=0.08)
    add(np.minimum(lowered, 1.0), browDown=0.22, eyeSquint=0.10)
    # Mood: a temper of the performer, drawn once, and its slow changes.
    slow = np.stack([breath_track(frames, rng) * 0.15 for _ in range(2)], 1)
    wander = np.cumsum(rng.standard_normal((frames + 1, 3)) * 0.02, 0)
    decay = np.exp(-np.arange(frames + 1) / (6.0 * FPS))
    wander = np.stack(
        [np.convolve(np.diff(column, prepend=0.0), decay)[:frames] for column in wander.T], 1
    )
    warmth = np.clip(rng.uniform(0.15, 0.6) + 0.8 * wander[:, 0] + slow[:, 0] * 0.2, 0.0, 1.0)
    add(warmth, mouthSmile=0.10, cheekSquint=0.08)
    add(np.clip(0.25 + wander[:, 1], 0.0, 1.0), eyeSquint=0.06)
    add(np.clip(0.2 + wander[:, 2] + 0.1 * slow[:, 1], 0.0, 1.0), browInnerUp=0.08)
    return play


class ArticulatoryModel:
    """The first model: heard articulators, rules of physiology and chance."""

    def perform(self, speech: Speech, seed: int, controls: PerformanceConfig) -> Motion:
        """Return the performance of `speech` by the performer `seed`."""
        return self.act(speech, articulate(speech), seed, controls)

    def act(
        self, speech: Speech, articulation: Articulation, seed: int, controls: PerformanceConfig
    ) -> Motion:
        """Perform speech that has been heard already: many performers of one recording."""
        mouth_rng, head_rng, eye_rng, play_rng = (
            np.random.default_rng([seed, part]) for part in range(4)
        )
        prosody = read_prosody(speech, articulation.voice)
        habit = mouth_rng.uniform(0.9, 1.1)  # some open their mouths wider than others
        mouth = mouth_expression(articulation, speech.frames, prosody.effort * habit)
        mouth = mouth * controls.mouth_strength
        rotation, translation = head_motion(prosody, head_rng)
        rotation, translation = (
            rotation * controls.head_strength,
            translation * controls.head_strength,
        )
        gaze, shifts = gaze_track(prosody, eye_rng)
        blinks = blink_track(
            blink_times(prosody, eye_rng, controls.blink_rate_hz, shifts), speech.frames, eye_rng
        )
        eyes = eye_expression(gaze * controls.gaze_strength, rotation[:, :2], blinks, eye_rng)
        play = _play(prosody, play_rng) * controls.expression_strength
        total = mouth + eyes + play
        # No face is even: each side of brows and lips has its own strength.
        for name in (
            "browOuterUp",
            "browDown",
            "mouthSmile",
            "mouthLowerDown",
            "mouthUpperUp",
            "mouthStretch",
        ):
            lean = mouth_rng.uniform(-0.08, 0.08)
            total[:, expression_index(f"{name}Left")] *= 1.0 + lean
            total[:, expression_index(f"{name}Right")] *= 1.0 - lean
        return Motion(
            np.clip(total, 0.0, 1.0).astype(np.float32),
            rotation.astype(np.float32),
            translation.astype(np.float32),
        )


MOTION_MODELS: Mapping[str, MotionModel] = {"articulatory": ArticulatoryModel()}


def perform(
    speech: Speech, seed: int, config: PerformanceConfig | None = None, model: str = "articulatory"
) -> Motion:
    """Perform `speech` at 25 frames a second; `ceil(seconds * 25)` frames.

    Args:
        speech: from `read_speech_features`.
        seed: the performer; the same seed gives the same motion.
        config: how strongly; None is a natural performance.
        model: a name of `MOTION_MODELS`.

    Raises:
        ConfigError: there is no such model.
    """
    if model not in MOTION_MODELS:
        raise ConfigError(
            f"{model!r} is no motion model; it must be one of {', '.join(MOTION_MODELS)}."
        )
    return MOTION_MODELS[model].perform(speech, seed, config or PerformanceConfig())
