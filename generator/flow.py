"""The learned motion model at run time: hop by hop, from noise to motion, in ONNX Runtime alone.

A hop is five frames. Its noise is drawn from the seed and the hop's number; a few Euler steps of
the probability flow (Lipman et al., Flow matching for generative modeling, 2023) turn it into
motion, guided by what is heard, by emotion, main gaze and distance, and by the frames performed
before, whose keys and values are kept. However cues come in, the same frames leave.
"""

import dataclasses
import functools
import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError, ObverseError, StreamError, WeightsError
from obverse.generator.controls import ControlTracks, apply_edits
from obverse.generator.cues import CUES, read_cues
from obverse.generator.flow_play import Blinks, Neck, enliven, meet, strengthen
from obverse.generator.motion import EXPRESSIONS, Motion
from obverse.generator.motion_space import (
    CONTROL_COLUMNS,
    CUE_FRAMES,
    GAZE,
    HEAD,
    HOP_FRAMES,
    LAGS,
    LIDS,
    MEMORY,
    MOUTH,
    STYLES,
    ControlFollower,
    Memory,
    MotionSpace,
    from_features,
    pack_controls,
)
from obverse.generator.speech import Speech
from obverse.weights import onnx_session, weight_path

__all__ = ["HOP_FRAMES", "FlowMotionModel", "FlowPerformer", "Guidance"]

Array = npt.NDArray[np.float32]

_PART, _WEIGHTS = "obverse.generator", "motion.onnx"
_GUIDED = ("cues", "emotion", "gaze", "distance", "prefix")
_STRONGEST = 5.0
_STYLE_STRENGTH = 0.9
_CLOSURE, _VOICE, _SINCE_END = (CUES.index(name) for name in ("closure", "voice", "since_end"))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Guidance:
    """How far each condition is followed beyond what the model has learned (classifier-free
    guidance: Ho and Salimans, 2022), and in how many steps a hop is drawn.

    The flow is v + sum over conditions of weight * (v - v without the condition). Each weight that
    is not 0 costs as much again as the plain flow.
    """

    cues: float = 0.0  # what is heard
    emotion: float = 0.0
    gaze: float = 0.0
    distance: float = 0.0
    prefix: float = 0.0  # the motion before
    steps: int = 6

    def __post_init__(self) -> None:
        """Refuse what is no guidance."""
        for name in _GUIDED:
            value = getattr(self, name)
            if not (math.isfinite(value) and -1.0 <= value <= _STRONGEST):
                raise ConfigError(
                    f"the guidance of {name} is {value}; it must lie in [-1, {_STRONGEST:g}]."
                )
        if not 1 <= self.steps <= 64:
            raise ConfigError(f"the steps of a hop are {self.steps}; they must lie in [1, 64].")

    @property
    def guided(self) -> tuple[str, ...]:
        """Conditions whose weight is not 0."""
        return tuple(name for name in _GUIDED if getattr(self, name))

    def times(self) -> npt.NDArray[np.float64]:
        """Return the noise levels `[steps + 1]`, 0 to 1, closer to each other at the beginning."""
        even = np.linspace(0.0, 1.0, self.steps + 1)
        return np.asarray(even / (even + _SHIFT * (1.0 - even)))


# What the noise is scaled by, against the timidity of few steps; 20 steps would need hardly any.
# Lips that speak are drawn closer to what is expected, since what is heard leaves them little
# choice; where nobody speaks nothing tells them what to do.
_HEAT = {
    "mouth": 0.6, "silent mouth": 1.5, "face": 1.25, "lids": 1.0, "gaze": 1.1, "head": 1.28,
}  # fmt: skip
_SHIFT = 1.4  # the first noise levels lie this much closer together than the last


def _heat(space: MotionSpace) -> Array:
    """Return the spread of the noise `[2, D]` that a hop begins with: in silence, in speech."""
    parts = np.abs(space.decode)
    heat = np.full((2, space.components), _HEAT["face"])
    heat[:, parts[:, MOUTH].sum(1) > 0.0] = [[_HEAT["silent mouth"]], [_HEAT["mouth"]]]
    heat[:, parts[:, LIDS].sum(1) > 0.0] = _HEAT["lids"]
    heat[:, parts[:, GAZE].sum(1) > 0.0] = _HEAT["gaze"]
    heat[:, parts[:, HEAD].sum(1) > 0.0] = _HEAT["head"]
    return heat.astype(np.float32)


class _Weights:
    """An opened motion model."""

    def __init__(self, path: Path) -> None:
        self.session = onnx_session(path)
        about = dict(self.session.get_modelmeta().custom_metadata_map)
        self.space = MotionSpace.unpack(about)
        if tuple(json.loads(about.get("cues", "[]"))) != CUES:
            raise WeightsError(
                f"the motion model {path.name} hears other cues than this version gives; train it "
                "again."
            )
        self.heat = _heat(self.space)
        size = json.loads(about["size"])
        self.layers, self.reach, self.width = (
            int(size[name]) for name in ("layers", "reach", "width")
        )


_BELL, _LAST = 0.25, 0.42  # weight of either neighbour; of the only one of a hop's last frame


def _rounded_off(mouth: Array, before: Array | None) -> tuple[Array, Array]:
    """Average a hop's mouth `[HOP_FRAMES, M]` over neighbouring frames; also returns its last frame
    as it was, for the next hop.
    """
    row = mouth[:1] if before is None else before[None]
    left = np.concatenate([row, mouth[:-1]])
    soft = mouth + _LAST * (left - mouth)
    soft[:-1] = mouth[:-1] + _BELL * (left[:-1] + mouth[1:] - 2.0 * mouth[:-1])
    return soft, mouth[-1].copy()


@functools.lru_cache(maxsize=4)
def _opened(path: Path) -> _Weights:
    if not path.is_file():
        raise WeightsError(f"there is no motion model {path}; give the motion.onnx of a run.")
    try:
        return _Weights(path)
    except ObverseError:
        raise
    except Exception as error:  # ONNX Runtime's errors have no common base
        raise WeightsError(
            f"{path} is no motion model, or is damaged; give the motion.onnx of a run."
        ) from error


class FlowPerformer:
    """A performance in the making: cues and controls in, motion out.

    Args:
        seed: the performer; another seed is another person on another day.
        guidance: how strictly conditions are followed; None is what the model was tuned for.
        weights: a motion model of one's own; None is the one that ships.

    Raises:
        WeightsError: the weights are not there, or are no motion model.
        ConfigError: the seed is no whole number in [0, 2**64).
    """

    def __init__(
        self, seed: int, guidance: Guidance | None = None, *, weights: Path | None = None
    ) -> None:
        whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
        if not (whole and 0 <= seed < 2**64):
            raise ConfigError(f"the seed is {seed!r}; it must be a whole number in [0, 2**64).")
        self._model = _opened(weights or weight_path(_PART, _WEIGHTS))
        self._guidance = guidance or Guidance()
        self._key = int(seed)
        model, space = self._model, self._model.space
        rng = np.random.Generator(np.random.Philox(key=self._key, counter=[0, 0, 0, 1]))
        drawn = space.style_spread @ rng.standard_normal(len(STYLES)) * _STYLE_STRENGTH
        self._style = np.append(np.clip(drawn, -2.0, 2.0), 1.0).astype(np.float32)
        self._variants = 1 + len(self._guidance.guided)
        self._kept = np.zeros(
            (model.layers, 2, self._variants, model.reach - 1, model.width), np.float32
        )
        self._hops = 0
        self._followed, self._memory = ControlFollower(), Memory()
        self._blinks = Blinks(self._key)
        clean = HOP_FRAMES * (space.components + len(CUES) + CONTROL_COLUMNS + 4) + MEMORY
        self._clean = np.zeros((self._variants, clean), np.float32)
        self._past: Array | None = None  # [LAGS, D]
        self._heard: Array | None = None  # the last CUE_FRAMES - 1 cues
        self._neck = Neck()
        self._lips: Array | None = None  # the mouth of the last frame
        self._waiting: list[tuple[Array, ControlTracks]] = []
        self._waits = 0
        self._finished = False

    def push(self, cues: npt.ArrayLike, controls: ControlTracks) -> Motion:
        """Take the next frames' cues `[t, C]` and controls; returns what can be performed now.

        Raises:
            ConfigError: the lengths or the columns do not fit.
            StreamError: the performance is finished.
        """
        if self._finished:
            raise StreamError("the performance is finished; make another performer for more.")
        heard = np.asarray(cues, np.float32)
        if heard.ndim != 2 or heard.shape[1] != len(CUES) or len(heard) != len(controls):
            raise ConfigError(
                f"cues of shape {heard.shape} and controls of {len(controls)} frames do not fit; "
                f"give [t, {len(CUES)}] and t frames."
            )
        self._waiting.append((heard, controls))
        self._waits += len(heard)
        return self._perform(self._waits // HOP_FRAMES * HOP_FRAMES)

    def finish(self) -> Motion:
        """Return the frames that are left, fewer than a hop; nothing can be pushed after them."""
        self._finished = True
        return self._perform(self._waits)

    def _perform(self, count: int) -> Motion:
        """Perform the first `count` frames that wait; the last hop may be short."""
        if not count:
            return Motion.still(0)
        heard, tracks = self._take(count)
        parts = []
        for first in range(0, count, HOP_FRAMES):
            last = min(first + HOP_FRAMES, count)
            parts.append(self._hop(heard[first:last], tracks.slice(first, last)))
        motion = np.concatenate(parts)
        split = len(EXPRESSIONS)
        performed = Motion(motion[:, :split], motion[:, split : split + 3], motion[:, split + 3 :])
        return apply_edits(performed, tracks)

    def _take(self, count: int) -> tuple[Array, ControlTracks]:
        """Take `count` frames off what waits."""
        heard = np.concatenate([cues for cues, _ in self._waiting])
        tracks = _joined([controls for _, controls in self._waiting])
        rest = self._waits - count
        self._waiting = [(heard[count:], tracks.slice(count, self._waits))] if rest else []
        self._waits = rest
        return heard[:count], tracks.slice(0, count)

    def _hop(self, heard: Array, tracks: ControlTracks) -> Array:
        """Perform one hop: motion `[t, 58]`, t as many frames as are given."""
        frames = len(heard)
        space = self._model.space
        columns = pack_controls(tracks.emotion, tracks.gaze, tracks.distance)
        short = ((0, HOP_FRAMES - frames), (0, 0))
        heard, columns = np.pad(heard, short, "edge"), np.pad(columns, short, "edge")
        usual = space.anchors(self._followed.follow(columns))
        if self._heard is None:
            self._heard = np.repeat(heard[:1], CUE_FRAMES - 1, 0)
        led_in = np.concatenate([self._heard, heard])
        self._heard = led_in[-CUE_FRAMES + 1 :]
        anchor = usual + space.spoken(led_in, columns[:, :8], self._style[:-1])
        memory = self._memory.read()
        conditions = self._conditions(heard, columns)
        white, made = self._drawn(conditions, memory)
        parts = space.place(white, self._past)
        # What a face cannot show is not remembered either.
        features = _shown(parts @ space.decode + anchor)
        wander = features - anchor
        parts = np.asarray(wander @ space.encode, np.float32)
        self._note(parts, wander, features, conditions, memory, made)
        # From here on it is what is seen; the model's own memory stays as it is.
        features = _shown(enliven(features, usual, heard[:, _SINCE_END]))
        features[:, MOUTH], self._lips = _rounded_off(features[:, MOUTH], self._lips)
        features = meet(features, heard[:, _CLOSURE])[:frames]
        anchor = usual[:frames]
        features[:, HEAD] = self._neck.carry(features[:, HEAD])
        features = strengthen(features, anchor, tracks)
        features = self._blinks.pace(features, tracks.blink_rate_hz)
        return from_features(features)

    def _note(
        self,
        parts: Array,
        wander: Array,
        features: Array,
        conditions: Array,
        memory: Array,
        made: Array,
    ) -> None:
        """Keep what the next hop has to know of this one."""
        for index in range(HOP_FRAMES):
            self._memory.note(wander[index], features[index])
        if self._hops:
            self._kept = np.concatenate([self._kept[:, :, :, 1:], made], 3)
        performed = np.broadcast_to(parts, (self._variants, *parts.shape))
        told = np.concatenate([performed, conditions], 2).reshape(self._variants, -1)
        self._clean = np.concatenate([told, np.tile(memory, (self._variants, 1))], 1)
        self._past = parts[-LAGS:]
        self._hops += 1

    def _conditions(self, heard: Array, columns: Array) -> Array:
        """Return `[V, HOP_FRAMES, conditions]`: all that is told, then without each one guided."""
        told = np.ones((self._variants, 1, 4), np.float32)
        for row, name in enumerate(self._guidance.guided, 1):
            if name != "prefix":
                told[row, 0, _GUIDED.index(name)] = 0.0
        flags = np.broadcast_to(told, (self._variants, HOP_FRAMES, 4))
        pieces = (heard, columns[:, :8], columns[:, 8:10], columns[:, 10:])
        parts = [piece[None] * told[..., i : i + 1] for i, piece in enumerate(pieces)]
        return np.concatenate([*parts, flags], 2).astype(np.float32)

    def _drawn(self, conditions: Array, memory: Array) -> tuple[Array, Array]:
        """Draw a hop: whitened components `[HOP_FRAMES, D]`, and the keys and values of the hop
        before."""
        model, guidance = self._model, self._guidance
        variants, count = self._variants, model.space.components
        counter = [0, 0, self._hops, 0]
        rng = np.random.Generator(np.random.Philox(key=self._key, counter=counter))
        white = rng.standard_normal((HOP_FRAMES, count), np.float32)
        voice = conditions[0, :, _VOICE, None]
        white *= model.heat[0] + voice * (model.heat[1] - model.heat[0])
        absent = np.zeros((variants, model.reach + HOP_FRAMES), np.float32)
        absent[:, : max(0, model.reach - self._hops)] = 1.0
        if "prefix" in guidance.guided:
            absent[1 + guidance.guided.index("prefix"), : model.reach] = 1.0
        weights = np.array([getattr(guidance, name) for name in guidance.guided], np.float32)
        shares = np.concatenate([[1.0 + weights.sum()], -weights]).astype(np.float32)
        columns = 2 * count + conditions.shape[2] + MEMORY + 1
        told = np.empty((variants, HOP_FRAMES, columns), np.float32)
        told[:, :, count : 2 * count] = model.space.base(self._past)
        told[:, :, 2 * count : -MEMORY - 1] = conditions
        told[:, :, -MEMORY - 1 : -1] = memory
        told[:, :, -1] = float(self._past is None)
        inputs = {
            "noisy": told,
            "clean": self._clean,
            "style": self._style[None],
            "absent": absent,
            "kept": self._kept,
        }
        times = guidance.times()
        made: Any = None
        for now, then in itertools.pairwise(times):
            told[:, :, :count] = white
            inputs["time"] = np.full(1, now, np.float32)
            guesses, made = model.session.run(None, inputs)
            guess = np.tensordot(shares, guesses, 1)
            white = white + np.float32((then - now) / (1.0 - now)) * (guess - white)
        return white, made


def _shown(features: Array) -> Array:
    """Return features as a face can show them: coefficients in [0, 1]."""
    shown = features.copy()
    plain = _PLAIN_COUNT
    shown[:, :plain] = np.clip(shown[:, :plain], 0.0, 1.0)
    return shown


_PLAIN_COUNT = len(EXPRESSIONS) - 12  # features that are one coefficient each come first


def _joined(parts: list[ControlTracks]) -> ControlTracks:
    """Join controls in time."""
    if len(parts) == 1:
        return parts[0]
    joined: dict[str, Any] = {}
    for field in dataclasses.fields(ControlTracks):
        values = [getattr(part, field.name) for part in parts]
        if field.name not in ("pose", "expression"):
            joined[field.name] = np.concatenate(values)
            continue
        if any(value is None for value in values) and any(v is not None for v in values):
            raise ConfigError(f"the controls' {field.name} comes and goes; give it throughout.")
        joined[field.name] = None if values[0] is None else _joined_motion(values)
    return ControlTracks(**joined)


def _joined_motion(parts: list[Motion]) -> Motion:
    return Motion(
        *(
            np.concatenate([getattr(part, field.name) for part in parts])
            for field in dataclasses.fields(Motion)
        )
    )


class FlowMotionModel:
    """The learned model as an entry of `MOTION_MODELS`: a `FlowPerformer` that is fed once."""

    def __init__(self, guidance: Guidance | None = None, *, weights: Path | None = None) -> None:
        self._guidance, self._weights = guidance, weights

    def perform(self, speech: Speech, seed: int, controls: ControlTracks) -> Motion:
        """Return the performance of `speech` by the performer `seed`.

        Raises:
            ConfigError: the controls are not as long as the speech.
        """
        performer = FlowPerformer(seed, self._guidance, weights=self._weights)
        first = performer.push(read_cues(speech), controls)
        return _joined_motion([first, performer.finish()])
