"""Speech to motion: a whole performance, deterministic by seed and different by seed.

`MotionModel` is the slot for other ways to do it: a model is an entry of `MOTION_MODELS`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

from obverse.errors import ConfigError
from obverse.generator.articulation import Articulation, articulate, mouth_expression
from obverse.generator.controls import (
    CAMERA_DISTANCE,
    NATURAL_BLINK_HZ,
    RANGES,
    ControlTracks,
    Tracks,
    apply_edits,
    interpolated,
    looped,
    require_tracks,
    unit_of,
)
from obverse.generator.emotions import EMOTIONS, emotion_offset, emotion_vector
from obverse.generator.eyes import blink_times, blink_track, eye_expression, gaze_track
from obverse.generator.flow import FlowMotionModel
from obverse.generator.head_motion import breath_track, head_motion
from obverse.generator.motion import EXPRESSIONS, FPS, Motion, expression_index
from obverse.generator.prosody import Prosody, read_prosody
from obverse.generator.speech import Speech

__all__ = ["MOTION_MODELS", "ArticulatoryModel", "MotionModel", "PerformanceConfig", "perform"]

_SETTLE_SECONDS = 0.12  # how slowly a mood gives the mouth to speech and takes it back


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PerformanceConfig:
    """How a performer performs; strengths are factors in [0, 2], 1 is natural and 0 still."""

    mouth_strength: float = 1.0  # jaw, lips and tongue
    head_strength: float = 1.0  # rotation and translation of the head
    gaze_strength: float = 1.0  # how far the eyes wander; they follow the head's turns in any case
    expression_strength: float = 1.0  # brows, cheeks and the play around mouth and eyes
    blink_rate_hz: float = NATURAL_BLINK_HZ  # [0, 1]
    emotion: tuple[tuple[str, float], ...] = ()  # (name, [0, 1]); what they leave is neutral
    gaze: tuple[float, float] = (0.0, 0.0)  # degrees (yaw, pitch) of the eyes' main direction,
    # relative to the camera: yaw > 0 to the picture's right, pitch > 0 down
    distance: float = 1.0  # of the head: 1 as in the portrait, 1.3 = 1.3 times as far
    timeline: Tracks = ()  # any of these over time, in place of the constant; see `read_tracks`
    model: str = "flow"  # a name of `MOTION_MODELS`

    def __post_init__(self) -> None:
        """Refuse what no face does."""
        constants = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name in RANGES
        }
        if len(self.gaze) != 2:
            raise ConfigError(f"gaze is {self.gaze}; it must be two angles, yaw and pitch.")
        constants |= dict(zip(("gaze_yaw", "gaze_pitch"), self.gaze, strict=True))
        for name, value in constants.items():
            low, high = RANGES[name]
            if not low <= value <= high:
                raise ConfigError(
                    f"{name} is {value}; it must lie in [{low:g}, {high:g}]{unit_of(name)}."
                )
        if self.model not in MOTION_MODELS:
            raise ConfigError(
                f"{self.model!r} is no motion model; it must be one of {', '.join(MOTION_MODELS)}."
            )
        emotion_vector(self.emotion)
        require_tracks(self.timeline)
        self._require_one_face()

    def _require_one_face(self) -> None:
        """Refuse tracks of emotions that sum to more than 1 somewhere."""
        felt = {name: track for name, track in self.timeline if name in EMOTIONS}
        constant = sum(amount for name, amount in self.emotion if name not in felt)
        times = np.array(sorted({seconds for track in felt.values() for seconds, _ in track}))
        totals = np.full(len(times), float(constant))
        for track in felt.values():
            totals += np.interp(times, *np.array(track, np.float64).T)
        over = np.flatnonzero(totals > 1.0 + 1e-6)
        if len(over):
            raise ConfigError(
                f"the emotions sum to {totals[over[0]]:g} at {times[over[0]]:g} s; they may sum to "
                "1, a blend."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a clip's record; `from_dict` reads them back.

        Pairs of numbers are written as mappings: readers of manifests take short lists of small
        numbers for bytes.
        """
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return values | {
            "emotion": dict(self.emotion),
            "gaze": {"yaw": self.gaze[0], "pitch": self.gaze[1]},
            "timeline": {
                name: {repr(float(seconds)): value for seconds, value in track}
                for name, track in self.timeline
            },
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a config from plain values, as they stand in YAML and in a clip's record.

        Emotions may be a mapping of names to amounts, tracks a mapping of names to lists of pairs.

        Raises:
            ConfigError: a name is unknown, or a value is not allowed.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(set(map(str, values)) - set(known))
        if unknown:
            raise ConfigError(
                f"there is no control {', '.join(unknown)}; choose from {', '.join(known)}."
            )
        changed: dict[str, Any] = {}
        for name, value in values.items():
            what = f"the control {name}"
            if name == "emotion":
                changed[name] = tuple(
                    (str(emotion), _real(what, amount)) for emotion, amount in _pairs(what, value)
                )
            elif name == "gaze":
                if isinstance(value, Mapping) and set(value) == {"yaw", "pitch"}:
                    value = (value["yaw"], value["pitch"])
                if not isinstance(value, list | tuple) or len(value) != 2:
                    raise ConfigError(f"{what} is {value!r}; give two angles, yaw and pitch.")
                changed[name] = (_real(what, value[0]), _real(what, value[1]))
            elif name == "timeline":
                changed[name] = tuple(
                    (
                        str(track),
                        tuple(
                            (_seconds(what, at), _real(what, to)) for at, to in _pairs(what, points)
                        ),
                    )
                    for track, points in _pairs(what, value)
                )
            elif name == "model":
                changed[name] = str(value)
            else:
                changed[name] = _real(what, value)
        return cls(**changed)

    def tracks(
        self,
        frames: int,
        first: int = 0,
        *,
        pose: Motion | None = None,
        expression: Motion | None = None,
    ) -> ControlTracks:
        """Lay the controls out over `frames` frames from frame `first` of the clip on.

        Args:
            frames: how many, from 0.
            first: number of the first one; time runs from frame 0.
            pose: whose head to follow, from its frame 0 at the clip's frame 0, forwards and
                backwards as long as it takes.
            expression: whose face to follow, in the same way.
        """
        timeline = dict(self.timeline)

        def laid(name: str, constant: float) -> npt.NDArray[np.float32]:
            if name in timeline:
                return interpolated(timeline[name], frames, first)
            return np.full(frames, constant, np.float32)

        felt = dict(self.emotion)
        emotion = np.stack([laid(name, felt.get(name, 0.0)) for name in EMOTIONS], 1)
        emotion[:, 0] = np.maximum(1.0 - emotion[:, 1:].sum(1), 0.0)
        gaze = np.deg2rad(
            np.stack([laid("gaze_yaw", self.gaze[0]), laid("gaze_pitch", self.gaze[1])], 1)
        )
        return ControlTracks(
            emotion=emotion,
            gaze=gaze,
            distance=laid("distance", self.distance),
            mouth_strength=laid("mouth_strength", self.mouth_strength),
            head_strength=laid("head_strength", self.head_strength),
            gaze_strength=laid("gaze_strength", self.gaze_strength),
            expression_strength=laid("expression_strength", self.expression_strength),
            blink_rate_hz=laid("blink_rate_hz", self.blink_rate_hz),
            pose=None if pose is None else looped(pose, frames, first),
            expression=None if expression is None else looped(expression, frames, first),
        )


def _pairs(what: str, value: Any) -> list[tuple[Any, Any]]:
    pairs = list(value.items()) if isinstance(value, Mapping) else value
    if not isinstance(pairs, list | tuple) or not all(
        isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs
    ):
        raise ConfigError(f"{what} is {value!r}; give a mapping, or a list of pairs.")
    return [(first, second) for first, second in pairs]


def _seconds(what: str, value: Any) -> float:
    """Read a time, which as the key of a mapping may be text."""
    try:
        return float(value) if isinstance(value, str) else _real(what, value)
    except ValueError:
        raise ConfigError(f"{what} has {value!r} for a time; it must be seconds.") from None


def _real(what: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{what} is {value!r}; it must be a number.")
    try:
        return float(value)
    except OverflowError:
        raise ConfigError(f"{what} is too large for any use; give a smaller number.") from None


class MotionModel(Protocol):
    """Anything that turns speech into motion."""

    def perform(self, speech: Speech, seed: int, controls: ControlTracks) -> Motion:
        """Return `speech.frames` frames, the controls' edits applied; the same arguments give the
        same motion.
        """
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

    def perform(self, speech: Speech, seed: int, controls: ControlTracks) -> Motion:
        """Return the performance of `speech` by the performer `seed`."""
        return apply_edits(self.act(speech, articulate(speech), seed, controls), controls)

    def act(
        self, speech: Speech, articulation: Articulation, seed: int, controls: ControlTracks
    ) -> Motion:
        """Perform speech that has been heard already: many performers of one recording."""
        mouth_rng, head_rng, eye_rng, play_rng, thin_rng = (
            np.random.default_rng([seed, part]) for part in range(5)
        )
        prosody = read_prosody(speech, articulation.voice)
        habit = mouth_rng.uniform(0.9, 1.1)  # some open their mouths wider than others
        mouth = mouth_expression(articulation, speech.frames, prosody.effort * habit)
        mouth = mouth * controls.mouth_strength[:, None]
        rotation, translation = head_motion(prosody, head_rng)
        rotation = rotation * controls.head_strength[:, None]
        translation = translation * controls.head_strength[:, None]
        translation[:, 2] += CAMERA_DISTANCE * (controls.distance - 1.0)
        wander, shifts = gaze_track(prosody, eye_rng)
        gaze = wander * controls.gaze_strength[:, None] + controls.gaze[:, ::-1]
        times = _blinks(prosody, eye_rng, thin_rng, controls.blink_rate_hz, shifts)
        blinks = blink_track(times, speech.frames, eye_rng)
        eyes = eye_expression(gaze, rotation[:, :2], blinks, eye_rng)
        play = _play(prosody, play_rng) * controls.expression_strength[:, None]
        # Lips of an angry or a sad face still have to say what is said.
        speaking = gaussian_filter1d(np.asarray(prosody.voice, np.float64), _SETTLE_SECONDS * FPS)
        mood = emotion_offset(controls.emotion, np.clip(speaking, 0.0, 1.0))
        total = mouth + eyes + play + mood * controls.expression_strength[:, None]
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


def _blinks(
    prosody: Prosody,
    rng: np.random.Generator,
    thin_rng: np.random.Generator,
    rate_hz: npt.NDArray[np.float32],
    shifts: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Draw blinks at the greatest rate there is, and leave out as many as the rate at their time
    asks for.
    """
    most = float(rate_hz.max(initial=0.0))
    times = blink_times(prosody, rng, most, shifts)
    if not len(times):
        return times
    frame = np.minimum((times * FPS).astype(int), len(rate_hz) - 1)
    return np.asarray(times[thin_rng.random(len(times)) * most <= rate_hz[frame]])


MOTION_MODELS: Mapping[str, MotionModel] = {
    "flow": FlowMotionModel(),
    "articulatory": ArticulatoryModel(),
}


def perform(
    speech: Speech,
    seed: int,
    config: PerformanceConfig | None = None,
    *,
    pose: Motion | None = None,
    expression: Motion | None = None,
) -> Motion:
    """Perform `speech` at 25 frames a second; `ceil(seconds * 25)` frames.

    Args:
        speech: from `read_speech_features`.
        seed: the performer; the same seed gives the same motion.
        config: how; None is a natural performance.
        pose: whose head the performer's follows, in place of its own motion.
        expression: whose face it follows, but for what the speech does to the mouth.
    """
    config = config or PerformanceConfig()
    controls = config.tracks(speech.frames, pose=pose, expression=expression)
    return MOTION_MODELS[config.model].perform(speech, seed, controls)
