"""The space in which the learned motion model works: small, decorrelated, and predictable.

A frame of `Motion` has 58 columns, many of them each other's mirror image, some opposite halves of
one movement (`eyeLookInLeft`, `eyeLookOutLeft`), and all smooth in time. Four invertible steps take
that out, so that what is left for the network is what a face decides:

1. opposite halves become one signed number, and eyes are measured relative to the camera, not to
   the head that carries them;
2. the part that follows from the controls (emotion, main gaze, distance), an affine function fitted
   to the corpus, is subtracted: the anchor; and so is what a small frame-by-frame regression
   expects of the mouth, given the cues, the emotion and the performer's style;
3. related columns (mouth, upper face, lids, gaze) are rotated to their principal components, and
   those that never move are dropped;
4. what a linear predictor says of the next `HOP_FRAMES` frames from the last `LAGS` is subtracted,
   and the rest is whitened over the frames of the hop. White noise then becomes motion that is as
   smooth and as large as real motion before any network has touched it.
"""

import base64
import dataclasses
import json
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from obverse.errors import WeightsError
from obverse.generator.motion import EXPRESSIONS, FPS, expression_index

__all__ = [
    "ANCHORS",
    "CONTROL_COLUMNS",
    "CUE_FRAMES",
    "FEATURES",
    "GAZE",
    "HEAD",
    "HOP_FRAMES",
    "LAGS",
    "LIDS",
    "MEMORY",
    "MOTION_COLUMNS",
    "MOUTH",
    "STYLES",
    "ControlFollower",
    "Memory",
    "MotionSpace",
    "from_features",
    "to_features",
]

Array = npt.NDArray[np.float32]

HOP_FRAMES = 5  # new frames a window: 0.2 s
LAGS = 4  # frames the linear predictor looks back
CUE_FRAMES = 5  # the frame and those before, from which the mouth is expected
MOTION_COLUMNS = len(EXPRESSIONS) + 6

EYE_RANGE = np.deg2rad(30.0)  # the turn of an eye at a coefficient of 1
COMPENSATION = 0.95  # share of the head's turn that eyes take back to stay on what they look at

# (feature, column that counts up, column that counts down)
_SIGNED = (
    ("jawSide", "jawRight", "jawLeft"),
    ("mouthSide", "mouthRight", "mouthLeft"),
    ("gazeYawLeft", "eyeLookOutLeft", "eyeLookInLeft"),  # to the picture's right
    ("gazeYawRight", "eyeLookInRight", "eyeLookOutRight"),
    ("gazePitchLeft", "eyeLookDownLeft", "eyeLookUpLeft"),
    ("gazePitchRight", "eyeLookDownRight", "eyeLookUpRight"),
)
_IN_PAIRS = {name for _, *pair in _SIGNED for name in pair}
_PLAIN = tuple(name for name in EXPRESSIONS if name not in _IN_PAIRS)
_HEAD = ("pitch", "yaw", "roll", "x", "y", "z")
FEATURES: tuple[str, ...] = (*_PLAIN, *(name for name, *_ in _SIGNED), *_HEAD)
_AT = {name: index for index, name in enumerate(FEATURES)}
HEAD = slice(_AT["pitch"], _AT["pitch"] + 6)
GAZE = slice(_AT["gazeYawLeft"], _AT["gazeYawLeft"] + 4)
MOUTH = [i for i, name in enumerate(FEATURES) if name.startswith(("jaw", "mouth", "tongue"))]
LIDS = [_AT["eyeBlinkLeft"], _AT["eyeBlinkRight"]]
_PLAIN_COLUMNS = np.array([expression_index(name) for name in _PLAIN])
_UP = np.array([expression_index(up) for _, up, _ in _SIGNED])
_DOWN = np.array([expression_index(down) for _, _, down in _SIGNED])
_SIDES = slice(len(_PLAIN), len(_PLAIN) + len(_SIGNED))

# Emotion without neutral, gaze (yaw, pitch), distance, and a constant.
CONTROL_COLUMNS = 11  # emotion 8, gaze 2, log of the distance
ANCHORS = 7 + 2 + 1 + 1
_CAMERA_DISTANCE = 14.0  # interocular distances; a face d times as far lies 14 (d - 1) behind
# How a changed wish is followed: face by 0.35 s, neck, the whole body by 0.6 s, eyes by a saccade.
_FOLLOW_SECONDS = np.array([0.17] * 7 + [0.2] * 2 + [0.3, 1.0] + [0.012] * 2)

# What cannot be seen: motion smaller than this is not modelled.
_FLOOR = np.full(len(FEATURES), 0.006)
_FLOOR[GAZE] = np.deg2rad(0.2)
_FLOOR[_AT["pitch"] : _AT["roll"] + 1] = np.deg2rad(0.05)
_FLOOR[_AT["x"] :] = 0.0012
_PRIOR_FRAMES = 200.0  # weight of what is known of gaze and distance before the corpus is seen
_LAG_NOISE = 0.04  # of a component's spread; keeps the predictor from trusting differences

# Long memory of a performance: leaky means of the head, and time since blinks and shifts of gaze.
_MEMORY_SECONDS = (2.0, 8.0)
_SINCE_SECONDS = (1.0, 4.0)
_BLINK_LEVEL, _SHIFT = 0.5, np.deg2rad(3.0)
MEMORY = 6 * len(_MEMORY_SECONDS) + 2 * len(_SINCE_SECONDS)
_MEMORY_SCALE = np.array([0.04, 0.05, 0.03, 0.04, 0.03, 0.05])
_KEEP = np.exp(-1.0 / (FPS * np.array(_MEMORY_SECONDS)))[:, None]
_FADE = np.exp(-1.0 / (FPS * np.array(_SINCE_SECONDS)))

# What tells performers apart, measured over a clip.
STYLES = ("head_size", "head_speed", "jaw", "mouth", "smile", "brow", "gaze", "squint")


def to_features(motion: Array) -> Array:
    """Return signed features `[T, 52]` of motion `[T, 58]` (expression, rotation, translation)."""
    features = np.empty((len(motion), len(FEATURES)), np.float32)
    features[:, : len(_PLAIN)] = motion[:, _PLAIN_COLUMNS]
    features[:, _SIDES] = motion[:, _UP] - motion[:, _DOWN]
    features[:, HEAD] = motion[:, len(EXPRESSIONS) :]
    features[:, GAZE] *= EYE_RANGE
    features[:, GAZE] += COMPENSATION * features[:, [_AT["yaw"]] * 2 + [_AT["pitch"]] * 2]
    return features


def from_features(features: Array) -> Array:
    """Return motion `[T, 58]` of features `[T, 52]`; coefficients are clipped to [0, 1]."""
    motion = np.empty((len(features), MOTION_COLUMNS), np.float32)
    eyes = features[:, GAZE] - COMPENSATION * features[:, [_AT["yaw"]] * 2 + [_AT["pitch"]] * 2]
    sides = features[:, _SIDES].copy()
    sides[:, 2:] = eyes / EYE_RANGE
    motion[:, _PLAIN_COLUMNS] = np.clip(features[:, : len(_PLAIN)], 0.0, 1.0)
    motion[:, _UP] = np.clip(sides, 0.0, 1.0)
    motion[:, _DOWN] = np.clip(-sides, 0.0, 1.0)
    motion[:, len(EXPRESSIONS) :] = features[:, HEAD]
    return motion


def pack_controls(emotion: Array, gaze: Array, distance: Array) -> Array:
    """Return control columns `[T, 11]` of emotion `[T, 8]`, gaze `[T, 2]` and distance `[T]`."""
    return np.concatenate(
        [emotion, gaze, np.log(np.maximum(distance, 1e-3))[:, None]], 1, dtype=np.float32
    )


class ControlFollower:
    """Rounds off changes of the controls, as a body does that follows a wish: two leaky means in
    a row, slow ones for face and head and quick ones for eyes. Frame by frame, in any chunks.
    """

    def __init__(self) -> None:
        self._state: npt.NDArray[np.float64] | None = None  # [2, ANCHORS + 2]

    def follow(self, controls: Array) -> Array:
        """Return what anchors are read from, `[T, ANCHORS + 2]`, of control columns `[T, 11]`.

        Columns: seven emotions, slow gaze, displacement along z, 1, quick gaze.
        """
        wishes = np.empty((len(controls), ANCHORS + 2))
        wishes[:, :7] = controls[:, 1:8]
        wishes[:, 7:9] = controls[:, 8:10]
        wishes[:, 9] = _CAMERA_DISTANCE * np.expm1(controls[:, 10])
        wishes[:, 10] = 1.0
        wishes[:, 11:] = controls[:, 8:10]
        gain = 1.0 - np.exp(-1.0 / (FPS * _FOLLOW_SECONDS))
        if self._state is None and len(wishes):
            self._state = np.stack([wishes[0], wishes[0]])
        followed = np.empty_like(wishes)
        for index, wish in enumerate(wishes):
            assert self._state is not None
            self._state[0] += gain * (wish - self._state[0])
            self._state[1] += gain * (self._state[0] - self._state[1])
            followed[index] = self._state[1]
        return followed.astype(np.float32)


class Memory:
    """What a performance remembers beyond its last frames; `[MEMORY]` in about [-2, 2]."""

    def __init__(self) -> None:
        self._means = np.zeros((len(_MEMORY_SECONDS), 6))
        self._since = np.tile(_FADE**FPS, (2, 1))  # a second ago, as far as anyone knows
        self._shut = False
        self._gaze: npt.NDArray[np.float64] | None = None

    def read(self) -> Array:
        """Return the memory as the network takes it."""
        means = self._means / _MEMORY_SCALE
        return np.concatenate([means.ravel(), self._since.ravel()]).astype(np.float32)

    def note(self, wander: Array, features: Array) -> None:
        """Take note of one frame: features less their anchor `[52]`, and features `[52]`."""
        self._means = _KEEP * self._means + (1.0 - _KEEP) * wander[HEAD]
        self._since = self._since * _FADE
        shut = bool(features[LIDS].mean() > _BLINK_LEVEL)
        if shut and not self._shut:
            self._since[0] = 1.0
        self._shut = shut
        gaze = wander[GAZE].astype(np.float64)
        if self._gaze is not None and np.abs(gaze - self._gaze).max() > _SHIFT:
            self._since[1] = 1.0
        self._gaze = gaze


def _groups() -> list[list[int]]:
    """Return the features whose correlation is taken out together."""
    gaze = list(range(GAZE.start, GAZE.stop))
    face = [i for i in range(HEAD.start) if i not in {*MOUTH, *gaze, *LIDS}]
    return [MOUTH, face, list(LIDS), gaze, *([i] for i in range(HEAD.start, HEAD.stop))]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class MotionSpace:
    """The steps' numbers, fitted to a corpus and kept inside the weights; `D` components."""

    anchor: Array  # [ANCHORS, 52]
    speech_in: Array  # [CUE_FRAMES * C + 8 + 8 + 1, hidden]: cues, emotion, style and 1
    speech_mid: Array  # [hidden + 1, hidden]
    speech_out: Array  # [hidden + 1, 52]
    encode: Array  # [52, D]
    decode: Array  # [D, 52]
    predict: Array  # [HOP_FRAMES, LAGS, D]
    spread: Array  # [HOP_FRAMES, HOP_FRAMES, D] lower triangles: white noise to a hop's residual
    first_spread: Array  # the same where nothing is known of the past
    style_spread: Array  # [8, 8] white noise to a performer's style
    style_scale: Array  # [2, 8] mean and spread of what `measure_style` measures
    floors: Array  # [D] the share of each component's spread that cannot be seen
    rest: Array  # [D] the components' mean where nothing is known

    @property
    def components(self) -> int:
        """Return `D`."""
        return int(self.encode.shape[1])

    def anchors(self, followed: Array) -> Array:
        """Return what the controls alone say, `[T, 52]`, of `ControlFollower.follow`."""
        return anchors_of(self.anchor, followed)

    def spoken(self, heard: Array, emotion: Array, style: Array) -> Array:
        """Return what is expected of the mouth, `[T, 52]`.

        Args:
            heard: `[CUE_FRAMES - 1 + T, C]`, cues with those of the frames before.
            emotion: `[T, 8]`.
            style: `[8]` or `[T, 8]`.
        """
        windows = speech_inputs(heard, emotion, style)
        hidden = np.maximum(windows @ self.speech_in, 0.0)
        hidden = np.maximum(hidden @ self.speech_mid[:-1] + self.speech_mid[-1], 0.0)
        return np.asarray(hidden @ self.speech_out[:-1] + self.speech_out[-1], np.float32)

    def base(self, past: Array | None) -> Array:
        """Return what is expected of a hop's components `[HOP_FRAMES, D]`.

        Args:
            past: the last `LAGS` frames' components `[LAGS, D]`, or None at the start.
        """
        if past is None:
            return np.broadcast_to(self.rest, (HOP_FRAMES, self.components)).astype(np.float32)
        return np.asarray(np.einsum("kld,ld->kd", self.predict, past), np.float32)

    def place(self, white: Array, past: Array | None) -> Array:
        """Return components `[HOP_FRAMES, D]` of whitened ones."""
        spread = self.first_spread if past is None else self.spread
        placed = self.base(past) + np.einsum("kjd,jd->kd", spread, white)
        return np.asarray(placed, np.float32)

    def pack(self) -> dict[str, str]:
        """Return the arrays as text, for a model file's metadata."""
        packed = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            data = base64.b64encode(np.ascontiguousarray(value, "<f4").tobytes()).decode()
            packed[field.name] = json.dumps({"shape": list(value.shape), "data": data})
        return packed

    @classmethod
    def unpack(cls, packed: dict[str, str]) -> Self:
        """Read what `pack` wrote.

        Raises:
            WeightsError: something is missing.
        """
        arrays: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            if field.name not in packed:
                raise WeightsError(f"the motion model's file does not hold its {field.name}.")
            row = json.loads(packed[field.name])
            data = np.frombuffer(base64.b64decode(row["data"]), "<f4")
            arrays[field.name] = data.reshape(row["shape"]).astype(np.float32)
        return cls(**arrays)


def anchors_of(anchor: Array, followed: Array) -> Array:
    """Return `[T, 52]` of what controls do (`[ANCHORS, 52]`) and what is followed of them."""
    features = followed[:, :ANCHORS] @ anchor
    quick = followed[:, :ANCHORS].copy()
    quick[:, 7:9] = followed[:, ANCHORS:]
    features[:, GAZE] = quick @ anchor[:, GAZE]
    return np.asarray(features, np.float32)


def speech_inputs(heard: Array, emotion: Array, style: Array) -> Array:
    """Return what the mouth is expected from, `[T, CUE_FRAMES * C + 8 + 8 + 1]`; arguments as in
    `MotionSpace.spoken`.
    """
    frames = len(emotion)
    lags = [heard[lag : lag + frames] for lag in range(CUE_FRAMES)]
    style = np.broadcast_to(style, (frames, len(STYLES)))
    return np.concatenate([*lags, emotion, style, np.ones((frames, 1))], 1, dtype=np.float32)


def fit_anchor(features: Array, followed: Array) -> Array:
    """Fit how features `[T, 52]` follow the controls; returns `[ANCHORS, 52]`.

    What the corpus does not vary stays at what is known: eyes look where they are told, and a face
    that is farther off lies farther off.
    """
    prior = np.zeros((ANCHORS, len(FEATURES)))
    prior[7, GAZE.start : GAZE.start + 2] = 1.0
    prior[8, GAZE.start + 2 : GAZE.stop] = 1.0
    prior[9, _AT["z"]] = 1.0
    weight = np.array([0.2] * 7 + [0.1, 0.1, 1.0, 1e-6]) ** 2 * _PRIOR_FRAMES
    anchor = np.empty_like(prior)
    for columns, gaze in ((slice(0, len(FEATURES)), slice(7, 9)), (GAZE, slice(11, 13))):
        wishes = followed[:, :ANCHORS].astype(np.float64)
        wishes[:, 7:9] = followed[:, gaze]
        left = wishes.T @ wishes + np.diag(weight)
        right = wishes.T @ features[:, columns].astype(np.float64)
        anchor[:, columns] = np.linalg.solve(left, right + weight[:, None] * prior[:, columns])
    return anchor.astype(np.float32)


def fit_components(wander: Array) -> tuple[Array, Array, Array]:
    """Fit the principal components of features less their anchor `[T, 52]`.

    Returns:
        `encode` [52, D], `decode` [D, 52], and each component's floor [D] in its own units.
    """
    columns, rows, floors = [], [], []
    for group in _groups():
        scaled = wander[:, group].astype(np.float64) / _FLOOR[group]
        values, vectors = np.linalg.eigh(scaled.T @ scaled / len(scaled))
        for value, vector in sorted(zip(values, vectors.T, strict=True), key=lambda p: -p[0]):
            if value < 0.25:
                continue
            size = np.sqrt(value + 1.0)
            column, row = np.zeros(len(FEATURES)), np.zeros(len(FEATURES))
            column[group] = vector / _FLOOR[group] / size
            row[group] = vector * _FLOOR[group] * size
            columns.append(column)
            rows.append(row)
            floors.append(1.0 / size)
    return (
        np.stack(columns, 1).astype(np.float32),
        np.stack(rows).astype(np.float32),
        np.array(floors, np.float32),
    )


def fit_predictor(windows: Array, floors: Array) -> tuple[Array, Array, Array]:
    """Fit the linear predictor and what it leaves, from windows `[N, LAGS + HOP_FRAMES, D]`.

    Returns:
        `predict`, `spread` and `first_spread` of `MotionSpace`.
    """
    count, _, components = windows.shape
    predict = np.empty((HOP_FRAMES, LAGS, components))
    spread = np.empty((HOP_FRAMES, HOP_FRAMES, components))
    first = np.empty_like(spread)
    for index in range(components):
        past = windows[:, :LAGS, index].astype(np.float64)
        new = windows[:, LAGS:, index].astype(np.float64)
        noise = count * max(_LAG_NOISE, float(floors[index])) ** 2 * np.eye(LAGS)
        weights = np.linalg.solve(past.T @ past + noise, past.T @ new)  # [LAGS, HOP]
        predict[:, :, index] = weights.T
        left = new - past @ weights
        floor = (float(floors[index]) ** 2 + 1e-6) * np.eye(HOP_FRAMES)
        # The past that it will be given is not exact either.
        inexact = _LAG_NOISE**2 / 4.0 * weights.T @ weights
        spread[:, :, index] = np.linalg.cholesky(left.T @ left / count + floor + inexact)
        first[:, :, index] = np.linalg.cholesky(new.T @ new / count + floor)
    return predict.astype(np.float32), spread.astype(np.float32), first.astype(np.float32)


def measure_style(wander: Array, features: Array, voice: Array) -> npt.NDArray[np.float64]:
    """Return what tells a performer apart `[8]`, unscaled, in the order of `STYLES`.

    Args:
        wander: features less their anchor [T, 52].
        features: [T, 52].
        voice: [T] in [0, 1], where somebody speaks.
    """
    head = wander[:, _AT["pitch"] : _AT["roll"] + 1]
    said = voice > 0.5 if (voice > 0.5).sum() > FPS else np.ones(len(voice), bool)
    jaw = features[said, _AT["jawOpen"]]
    brows = wander[:, [_AT["browInnerUp"], _AT["browDownLeft"]]]
    smile = wander[:, [_AT["mouthSmileLeft"], _AT["mouthSmileRight"]]]
    squint = wander[:, [_AT["eyeSquintLeft"], _AT["eyeSquintRight"]]]
    opening = wander[said][:, [_AT["mouthPucker"], _AT["mouthFunnel"], _AT["mouthStretchLeft"]]]
    return np.array(
        [
            np.log(head.std(0).mean() + 1e-3),
            np.log(np.diff(head, axis=0).std(0).mean() + 1e-4),
            jaw.mean(),
            opening.std(0).mean(),
            smile.mean(),
            brows.std(0).mean(),
            np.log(wander[:, GAZE].std(0).mean() + 1e-3),
            squint.mean(),
        ]
    )
