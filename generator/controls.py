"""What a director may ask of a performance, for every frame: emotion, gaze, distance, strengths,
another's pose.

A control is a number that holds for a whole clip, or a track: values at some seconds, with straight
lines between them. `ControlTracks` is either, laid out by frames, as the models take it.
"""

import csv
import dataclasses
import io
import json
import math
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt
import yaml

from obverse.errors import ConfigError, InputError
from obverse.generator.emotions import EMOTIONS
from obverse.generator.eyes import COMPENSATION, LOOK_ASIDE, LOOK_DOWN, LOOK_UP
from obverse.generator.motion import EXPRESSIONS, FPS, Motion, expression_index
from obverse.media.container import require_file

__all__ = [
    "CAMERA_DISTANCE",
    "NATURAL_BLINK_HZ",
    "RANGES",
    "TRACK_NAMES",
    "ControlTracks",
    "Track",
    "Tracks",
    "apply_edits",
    "eye_turn",
    "interpolated",
    "looped",
    "read_tracks",
    "require_tracks",
    "unit_of",
    "with_eye_turn",
]

Floats = npt.NDArray[np.float32]
Coefficients = TypeVar("Coefficients", npt.NDArray[np.float32], npt.NDArray[np.float64])
Track = tuple[tuple[float, float], ...]  # (seconds, value), seconds rising
Tracks = tuple[tuple[str, Track], ...]  # by name, in the order of TRACK_NAMES

CAMERA_DISTANCE = 14.0  # interocular distances: where the renderer's camera stands
# What is asked for when nobody asks: 24 a minute. People in conversation have 26 (Bentivoglio et
# al., Movement Disorders 12, 1997).
NATURAL_BLINK_HZ = 0.4
_SECONDS = "seconds"
_STRENGTH = (0.0, 2.0)
# What each control may be. Beyond these eyes leave their lids' openings and heads their frame.
RANGES: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(EMOTIONS[1:], (0.0, 1.0)),  # what they leave is neutral
    "gaze_yaw": (-22.0, 22.0),  # degrees, to the picture's right
    "gaze_pitch": (-14.0, 16.0),  # degrees, down
    "distance": (0.8, 1.3),  # 1 as in the portrait
    "mouth_strength": _STRENGTH,
    "head_strength": _STRENGTH,
    "gaze_strength": _STRENGTH,
    "expression_strength": _STRENGTH,
    "blink_rate_hz": (0.0, 1.0),
}
TRACK_NAMES: tuple[str, ...] = tuple(RANGES)
_UNITS = {"gaze_yaw": " degrees", "gaze_pitch": " degrees", "blink_rate_hz": " Hz"}
_MOST_POINTS = 20_000  # a track is part of the clip's record
_LONGEST_SECONDS = 86_400.0
_MOST_BYTES = 4_000_000  # of a file of tracks: far more than its most points need
_MOST_CELLS = 2_000_000  # aliases of YAML make many cells out of a small file

# What speech does to the mouth stays the speech's when the play of a face comes from elsewhere; a
# smile or a frown is taken where it is the stronger.
_SAID = tuple(
    index for index, name in enumerate(EXPRESSIONS) if name.startswith(("jaw", "mouth", "tongue"))
)
_MOOD = tuple(
    expression_index(f"mouth{name}{side}")
    for name in ("Smile", "Frown", "Dimple")
    for side in ("Left", "Right")
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ControlTracks:
    """Controls of `T` frames in a row."""

    emotion: Floats  # [T, 8] in [0, 1], in the order of EMOTIONS; each row sums to 1
    gaze: (
        Floats  # [T, 2] yaw (> 0 picture right), pitch (> 0 down), radians, relative to the camera
    )
    distance: Floats  # [T], 1 as in the portrait, 1.3 = 1.3 times as far
    mouth_strength: Floats  # [T] in [0, 2], 1 is natural
    head_strength: Floats  # [T]
    gaze_strength: Floats  # [T]
    expression_strength: Floats  # [T]
    blink_rate_hz: Floats  # [T] in [0, 1]
    pose: Motion | None = None  # whose rotation and translation are followed, T frames
    expression: Motion | None = None  # whose face is followed, but for what speech needs, T frames

    def __post_init__(self) -> None:
        """Refuse shapes that disagree and values out of range."""
        frames = len(self.distance)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Motion) or value is None:
                if value is not None and len(value) != frames:
                    raise ConfigError(
                        f"the controls' {field.name} has {len(value)} frames; it must have "
                        f"{frames}, as the other tracks."
                    )
                continue
            tail = {"emotion": (len(EMOTIONS),), "gaze": (2,)}.get(field.name, ())
            if value.shape != (frames, *tail):
                raise ConfigError(
                    f"the control track {field.name} has shape {list(value.shape)}; it must be "
                    f"{[frames, *tail]}."
                )
            # A NaN fails both comparisons.
            low, high = self._range(field.name)
            inside = (value >= low - 1e-4) & (value <= high + 1e-4)
            if not inside.all():
                raise ConfigError(
                    f"the control track {field.name} holds a value outside "
                    f"[{np.min(low):.3g}, {np.max(high):.3g}]."
                )
        if frames and np.abs(self.emotion.sum(1) - 1.0).max() > 1e-3:
            raise ConfigError("the emotions of a frame do not sum to 1; neutral is what is left.")

    @staticmethod
    def _range(name: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        if name == "emotion":
            return np.zeros(1), np.ones(1)
        if name == "gaze":
            pair = np.deg2rad([RANGES["gaze_yaw"], RANGES["gaze_pitch"]])
            return pair[:, 0], pair[:, 1]
        low, high = RANGES[name]
        return np.array([low]), np.array([high])

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.distance)

    def slice(self, first: int, last: int) -> Self:
        """Return the controls of the frames `first` to `last` (not included)."""
        cut: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            cut[field.name] = None if value is None else value[first:last]
        return type(self)(**cut)

    @classmethod
    def natural(cls, frames: int) -> Self:
        """Return `frames` frames without any wish: neutral, towards the camera, natural
        strengths.
        """
        emotion = np.zeros((frames, len(EMOTIONS)), np.float32)
        emotion[:, 0] = 1.0
        one = np.ones(frames, np.float32)
        return cls(
            emotion=emotion,
            gaze=np.zeros((frames, 2), np.float32),
            distance=one,
            mouth_strength=one,
            head_strength=one,
            gaze_strength=one,
            expression_strength=one,
            blink_rate_hz=np.full(frames, NATURAL_BLINK_HZ, np.float32),
        )


def unit_of(name: str) -> str:
    """Return a control's unit for a sentence, with a space before it, or nothing."""
    return _UNITS.get(name, "")


def require_tracks(tracks: Tracks) -> None:
    """Refuse tracks that are unknown, empty, out of order or out of range.

    Raises:
        ConfigError: so it is.
    """
    names = [name for name, _ in tracks]
    if names != sorted(set(names), key=lambda name: (name not in RANGES, names.index(name))):
        raise ConfigError(f"a control track is given twice among {', '.join(names)}.")
    if sum(len(track) for _, track in tracks) > _MOST_POINTS:
        raise ConfigError(
            f"the control tracks hold more than {_MOST_POINTS} values; give fewer, they are joined "
            "by straight lines."
        )
    for name, track in tracks:
        if name not in RANGES:
            raise ConfigError(
                f"there is no control track {name!r}; choose from {', '.join(TRACK_NAMES)}."
            )
        if not track:
            raise ConfigError(f"the control track {name} holds no value; give one or leave it out.")
        low, high = RANGES[name]
        before = -math.inf
        for seconds, value in track:
            if not 0.0 <= seconds <= _LONGEST_SECONDS or seconds <= before:
                raise ConfigError(
                    f"the control track {name} has a value at {seconds} s; seconds must rise from "
                    "0 or later."
                )
            before = seconds
            if not low <= value <= high:
                raise ConfigError(
                    f"the control track {name} is {value:g} at {seconds:g} s; it must lie in "
                    f"[{low:g}, {high:g}]{unit_of(name)}."
                )


def interpolated(track: Track, frames: int, first: int = 0) -> Floats:
    """Return a track's values `[frames]` from frame `first` on; before its first point and after
    its last they are held.
    """
    seconds, values = np.array(track, np.float64).T
    times = (first + np.arange(frames)) / FPS
    return np.asarray(np.interp(times, seconds, values), np.float32)


def looped(motion: Motion, frames: int, first: int = 0) -> Motion:
    """Return frames `first` and on of a motion that is played forwards and backwards for ever, so
    that nothing jumps.

    Raises:
        ConfigError: the motion has no frames.
    """
    length = len(motion)
    if not length:
        raise ConfigError("the motion to follow has no frames; give one with at least one.")
    period = max(2 * length - 2, 1)
    at = (first + np.arange(frames)) % period
    index = np.minimum(at, period - at) if length > 1 else np.zeros(frames, np.intp)
    return Motion(motion.expression[index], motion.rotation[index], motion.translation[index])


def apply_edits(motion: Motion, controls: ControlTracks) -> Motion:
    """Return a motion with what its controls take from other performances.

    The pose is replaced, and the eyes stay on what they looked at. Of the expression all is
    replaced but the mouth, which belongs to the speech and only takes the stronger smile or frown.
    """
    expression, rotation = motion.expression, motion.rotation
    translation = motion.translation
    if controls.expression is not None:
        followed = controls.expression.expression * controls.expression_strength[:, None]
        mixed = np.clip(followed, 0.0, 1.0)
        mixed[:, _SAID] = expression[:, _SAID]
        mixed[:, _MOOD] = np.clip(np.maximum(expression[:, _MOOD], followed[:, _MOOD]), 0.0, 1.0)
        expression = mixed
    if controls.pose is not None:
        strength = controls.head_strength[:, None]
        turned = controls.pose.rotation * strength
        translation = controls.pose.translation * strength
        translation[:, 2] += CAMERA_DISTANCE * (controls.distance - 1.0)
        if controls.expression is None:
            # Where the head turns less than it would have, the eyes turn as much more.
            more = (rotation - turned)[:, 1::-1] * COMPENSATION
            expression = with_eye_turn(expression, eye_turn(expression) + more)
        rotation = turned
    return Motion(
        expression.astype(np.float32), rotation.astype(np.float32), translation.astype(np.float32)
    )


def eye_turn(expression: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return how both eyes are turned in the head, (yaw, pitch) radians `[..., 2]`, of
    coefficients `[..., 52]`; signs as in `ControlTracks.gaze`.
    """
    value = {
        f"{way}{side}": expression[..., expression_index(f"eyeLook{way}{side}")].astype(np.float64)
        for way in ("In", "Out", "Down", "Up")
        for side in ("Left", "Right")
    }
    aside = value["OutLeft"] - value["InLeft"] + value["InRight"] - value["OutRight"]
    down = (value["DownLeft"] + value["DownRight"]) * LOOK_DOWN
    up = (value["UpLeft"] + value["UpRight"]) * LOOK_UP
    return np.stack([0.5 * aside * LOOK_ASIDE, 0.5 * (down - up)], -1)


def with_eye_turn(
    expression: Coefficients, turn: npt.NDArray[np.floating], *, clip: bool = True
) -> Coefficients:
    """Return coefficients `[..., 52]` with both eyes turned by (yaw, pitch) radians `[..., 2]`.

    Without `clip` one coefficient of each pair stands for both directions, below 0 for the other.
    """
    changed = expression.copy()
    yaw, pitch = turn[..., 0] / LOOK_ASIDE, turn[..., 1]
    down, up = (pitch / LOOK_DOWN, -pitch / LOOK_UP) if clip else (pitch / LOOK_DOWN, 0.0 * pitch)
    for side, outwards in (("Left", yaw), ("Right", -yaw)):
        inwards = -outwards if clip else 0.0 * outwards
        ways = {"Down": down, "Up": up, "Out": outwards, "In": inwards}
        for way, track in ways.items():
            value = np.clip(track, 0.0, 1.0) if clip else track
            changed[..., expression_index(f"eyeLook{way}{side}")] = value
    return changed


def read_tracks(path: Path) -> Tracks:
    """Read control tracks from a CSV, YAML or JSON file.

    A CSV has a column `seconds` and columns named in `TRACK_NAMES`; an empty cell is no point of
    its column. YAML and JSON hold the same as a mapping of columns to lists, or as a list of rows.

    Raises:
        InputError: the file cannot be read or is no table of numbers.
        ConfigError: a column is unknown, or a value is out of range.
    """
    if path.is_file() and not path.stat().st_size:
        raise InputError(f"{path} is empty and holds no control track; give columns of numbers.")
    require_file(path)
    if path.stat().st_size > _MOST_BYTES:
        raise InputError(
            f"the control tracks {path} hold {path.stat().st_size} bytes; they may hold "
            f"{_MOST_BYTES}: give fewer values, they are joined by straight lines."
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the control tracks {path} cannot be read: {error}.") from error
    kind = path.suffix.lower()
    if kind == ".csv":
        rows = _csv_rows(path, text)
    elif kind in (".yaml", ".yml", ".json"):
        rows = _rows(path, text)
    else:
        raise InputError(f"the control tracks {path} are no .csv, .yaml or .json file.")
    points: dict[str, list[tuple[float, float]]] = {}
    for number, row in enumerate(rows, 1):
        named = {str(name).strip(): value for name, value in row.items() if name is not None}
        if _SECONDS not in named or None in row:
            raise InputError(
                f"row {number} of {path} has no column {_SECONDS!r}, or more cells than columns."
            )
        if len(named) < len(row):
            raise InputError(f"row {number} of {path} names a column twice; give each one once.")
        at = _number(path, _SECONDS, number, named.pop(_SECONDS))
        for name, value in named.items():
            if value is None or (isinstance(value, str) and not value.strip()):
                continue
            points.setdefault(name, []).append((at, _number(path, name, number, value)))
    if not points:
        raise InputError(f"{path} holds no control track; give a column beside {_SECONDS!r}.")
    order = {name: index for index, name in enumerate(TRACK_NAMES)}
    tracks = tuple(
        (name, tuple(points[name])) for name in sorted(points, key=lambda name: order.get(name, -1))
    )
    require_tracks(tracks)
    return tracks


def _csv_rows(path: Path, text: str) -> list[Mapping[Any, Any]]:
    """Read rows from CSV text."""
    try:
        reader = csv.DictReader(io.StringIO(text), skipinitialspace=True)
        names = [name.strip() for name in reader.fieldnames or () if name.strip()]
        rows: list[Mapping[Any, Any]] = list(reader)
    except csv.Error as error:
        raise InputError(f"{path} is no CSV: {_brief(error)}; mend it.") from error
    if len(names) != len(set(names)):
        raise InputError(f"{path} names a column twice; give each one once.")
    return rows


class _Loader(yaml.SafeLoader):
    """YAML without repeated names and without merge keys, which can grow beyond any memory."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Refuse both in a mapping."""
        _once([str(key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode)])
        if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
            raise ValueError("merge keys (<<) are not understood; write the values out")


def _once(names: list[str]) -> None:
    if len(names) != len(set(names)):
        raise ValueError("a column is given twice; give each one once")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _once([name for name, _ in pairs])
    return dict(pairs)


def _rows(path: Path, text: str) -> list[Mapping[Any, Any]]:
    """Read rows from YAML or JSON text."""
    try:
        if path.suffix.lower() == ".json":
            content = json.loads(text, object_pairs_hook=_unique)
        else:
            content = yaml.load(text, _Loader)
    except RecursionError as error:
        raise InputError(
            f"{path} is nested too deeply; give columns of numbers or rows of them."
        ) from error
    except (ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path} is no {path.suffix[1:].upper()}: {_brief(error)}.") from error
    if isinstance(content, list | dict):
        groups = content if isinstance(content, list) else content.values()
        if sum(len(group) for group in groups if isinstance(group, list | dict)) > _MOST_CELLS:
            raise InputError(f"{path} holds more than {_MOST_CELLS} cells; give fewer.")
    if isinstance(content, list) and all(isinstance(row, Mapping) for row in content):
        return content
    if isinstance(content, Mapping) and all(isinstance(cell, list) for cell in content.values()):
        if len({len(column) for column in content.values()}) > 1:
            raise InputError(f"the columns of {path} differ in length; use null for no value.")
        return [
            dict(zip(content, cells, strict=True)) for cells in zip(*content.values(), strict=True)
        ]
    raise InputError(f"{path} is neither a mapping of columns to lists nor a list of rows.")


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:120]


def _number(path: Path, name: str, row: int, value: Any) -> float:
    try:
        if isinstance(value, bool):
            raise ValueError
        number = float(value)
    except OverflowError as error:
        raise InputError(
            f"{path} has too large a number for {name} in row {row}; give a smaller one."
        ) from error
    except (TypeError, ValueError) as error:
        # What YAML nests by aliases has no end when it is written out.
        plain = isinstance(value, str | bool)
        said = reprlib.repr(value) if plain else f"a {type(value).__name__}"
        raise InputError(
            f"{path} has {said} for {name} in row {row}; it must be a number."
        ) from error
    if not math.isfinite(number):
        raise InputError(
            f"{path} has {reprlib.repr(value)} for {name} in row {row}; it must be finite."
        )
    return number
