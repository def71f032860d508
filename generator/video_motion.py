"""Motion from video: what a face did, read by the landmarker and put into this package's terms.

The person's own rest is the zero of the coefficients and the head's usual pose is the zero of the
pose, so that a performance can be given to anybody.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter1d
from scipy.signal import butter, savgol_filter, sosfiltfilt

from obverse.errors import FaceError
from obverse.faces.landmarks import Face, FaceReader
from obverse.faces.pose import head_pose
from obverse.generator.controls import CAMERA_DISTANCE, eye_turn, with_eye_turn
from obverse.generator.expression_reading import (
    OUTPUTS,
    away_from,
    face_features,
    raw_reading,
    turned_from,
)
from obverse.generator.motion import EXPRESSIONS, FPS, Motion, expression_index, rotation_matrix
from obverse.media.video import probe, read_frames

__all__ = [
    "MotionQuality",
    "Reading",
    "Rest",
    "VideoMotion",
    "motion_of",
    "motion_of_frames",
    "motion_reading",
    "read_motion",
    "rest_of",
]

Floats = npt.NDArray[np.float64]
Progress = Callable[[int, int], None]  # frames done, frames in all

_COLUMNS = OUTPUTS + 7  # of a reading: coefficients, pose, scale, centre, presence
_READ_SIDE_PX = 960  # frames are scaled down to this longer side: the landmarker sees 256 px
# From the neck's pivot to the middle of the head (`HeadPose.centre`), head frame, interocular
# distances: `HeadModel.neck_pivot` and the canonical face, measured on sitters.
_PIVOT_TO_CENTRE = np.array([0.0, -1.04, -1.03])
_REST_PERCENTILE = 15.0
_LONGEST_BRIDGE_SECONDS = 0.4  # gaps up to here are bridged by straight lines and count as seen
_SHUT = 0.45  # lids further down than this hide too much of the iris
_NOISE = 0.04  # a coefficient that strays further than this from its smoothed self moves
_HEAD_HZ = 6.0  # heads do nothing faster
_DEPTH_HZ = 3.0  # and distance is read less well
# What a reading must have to pass without a word.
_SEEN_ENOUGH, _FACE_ENOUGH_PX, _TURNED_MOST_DEG = 0.9, 24.0, 35.0
_JUMP = 1.0  # interocular distances between two frames: another shot, or another face


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MotionQuality:
    """How well a performance could be read."""

    seen: float  # [0, 1] share of frames with a face
    jitter_deg: float  # root mean square of the head's rotation above 6 Hz, before smoothing
    face_px: float  # median interocular distance
    turned_deg: float  # median angle between the face and the camera
    presence: float  # [0, 1] median belief of the landmarker that it is a face
    jumps: int  # cuts or changes of person: places where the head leaps

    def doubts(self) -> tuple[str, ...]:
        """Return what makes the reading doubtful, in words; nothing for a good one."""
        wrong = []
        if self.seen < _SEEN_ENOUGH:
            wrong.append(f"a face is seen in only {self.seen:.0%} of the frames")
        if self.face_px < _FACE_ENOUGH_PX:
            wrong.append(f"the face is small, {self.face_px:.0f} px between the eyes")
        if self.turned_deg > _TURNED_MOST_DEG:
            wrong.append(f"the head is turned away by {self.turned_deg:.0f} degrees")
        if self.jumps:
            wrong.append(f"the head leaps {self.jumps} times, as if the film were cut")
        return tuple(wrong)


class Rest(NamedTuple):
    """What reads as zero: a person at rest, and where and how the head is then."""

    raw: Floats  # [OUTPUTS] as `Reading.raw`
    rotation: Floats  # [3] pitch, yaw, roll in radians, relative to the camera
    scale: float  # px, interocular distance
    centre: Floats  # [2] px


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """A face's state in `T` frames as it was read, no rest taken away; NaN where there was none."""

    raw: Floats  # [T, OUTPUTS] of `expression_reading.raw_reading`
    rotation: Floats  # [T, 3] pitch, yaw, roll in radians, relative to the camera
    scale: Floats  # [T] px, interocular distance
    centre: Floats  # [T, 2] px, the middle of the head
    presence: Floats  # [T] in [0, 1]

    @property
    def seen(self) -> npt.NDArray[np.bool_]:
        """Whether a face was there `[T]`."""
        return ~np.isnan(self.scale)

    def relative_to(self, rest: Rest) -> Motion:
        """Return the motion away from a rest, frame by frame, nothing smoothed or bridged."""
        turned = turned_from(self.rotation, rest.rotation)
        expression, rotation = away_from(self.raw, rest.raw, turned)
        translation = _moved(self, rest, rotation)
        # A glance has two signs, so it is read before the coefficients are cut at 0.
        expression = with_eye_turn(np.clip(expression, 0.0, 1.0), eye_turn(expression))
        return Motion(
            expression.astype(np.float32),
            rotation.astype(np.float32),
            translation.astype(np.float32),
        )


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class VideoMotion:
    """A performance read from a video, and how far to trust it."""

    motion: Motion  # T frames at 25 a second
    seen: npt.NDArray[np.bool_]  # [T] False where the motion is guessed over a long gap
    rest: Rest  # what was taken for zero
    quality: MotionQuality


def read_motion(
    path: Path,
    *,
    reader: FaceReader | None = None,
    rest: Rest | None = None,
    max_seconds: float | None = None,
    progress: Progress | None = None,
) -> VideoMotion:
    """Read the performance of the largest face in a video, resampled to 25 frames a second.

    Args:
        path: any file that FFmpeg reads.
        reader: to read with; None opens one.
        rest: what is zero, such as the `rest_of` a still of the same person; None takes it from
            the video.
        max_seconds: leave out what comes later.
        progress: told after each frame.

    Raises:
        InputError: the file cannot be read.
        FaceError: it shows no face.
    """
    info = probe(path)
    shrink = max(1.0, max(info.width, info.height) / _READ_SIDE_PX)
    size = (max(1, round(info.width / shrink)), max(1, round(info.height / shrink)))
    total = max(1, round(min(info.seconds, max_seconds or info.seconds) * FPS))
    frames = read_frames(path, fps=FPS, size=size, end_seconds=max_seconds)
    reading = motion_reading(
        (reader or FaceReader()).track(frames),
        None if progress is None else lambda done: progress(min(done, total), total),
    )
    if not reading.seen.any():
        raise FaceError(f"{path} shows no face; give a video of one person's face.")
    return motion_of(reading, rest=rest)


def motion_of_frames(
    frames: Iterable[npt.NDArray[np.uint8]],
    *,
    reader: FaceReader | None = None,
    rest: Rest | None = None,
) -> VideoMotion:
    """Read the performance in frames `[H, W, 3] uint8 RGB` at 25 a second.

    Raises:
        FaceError: no frame shows a face.
    """
    reading = motion_reading((reader or FaceReader()).track(frames))
    if not reading.seen.any():
        raise FaceError("no frame shows a face; give frames of one person's face.")
    return motion_of(reading, rest=rest)


def motion_reading(
    faces: Iterable[Face | None], tell: Callable[[int], None] | None = None
) -> Reading:
    """Measure faces of frames in a row, as `FaceReader.track` yields them."""
    rows: list[Floats] = []
    for face in faces:
        rows.append(_row(face))
        if tell is not None:
            tell(len(rows))
    table = np.array(rows).reshape(len(rows), -1) if rows else np.zeros((0, _COLUMNS))
    return Reading(
        raw=table[:, :OUTPUTS],
        rotation=table[:, -7:-4],
        scale=table[:, -4],
        centre=table[:, -3:-1],
        presence=table[:, -1],
    )


def _row(face: Face | None) -> Floats:
    if face is None:
        return np.full(_COLUMNS, np.nan)
    pose = head_pose(face.landmarks)
    raw = raw_reading(face_features(face, pose))
    return np.concatenate([raw, pose.rotation, [pose.scale], pose.centre, [face.presence]])


def rest_of(reading: Reading) -> Rest:
    """Return what a reading's person is like at rest: the usual pose, and coefficients that are
    low for this face; a mood that lasts for the whole video is taken for the face.
    """
    seen = reading.seen
    if not seen.any():
        raise FaceError("no frame shows a face; give a video of one person's face.")
    raw = reading.raw[seen]
    rest = np.median(raw, 0)
    split = len(EXPRESSIONS)
    # The rest of a glance is its middle, that of anything else its low end.
    low = np.percentile(raw[:, :split], _REST_PERCENTILE, axis=0)
    rest[:split] = with_eye_turn(low, eye_turn(rest[:split]), clip=False)
    return Rest(
        rest,
        np.median(reading.rotation[seen], 0),
        float(np.median(reading.scale[seen])),
        np.median(reading.centre[seen], 0),
    )


def motion_of(reading: Reading, *, rest: Rest | None = None) -> VideoMotion:
    """Turn a reading at 25 frames a second into a performance.

    Raises:
        FaceError: no frame shows a face.
    """
    zero = rest_of(reading) if rest is None else rest
    bridged, trusted = _bridged(reading)
    raw = bridged.relative_to(zero)
    expression = _seeing(raw.expression.astype(np.float64))
    rotation, translation = raw.rotation.astype(np.float64), raw.translation.astype(np.float64)
    jitter = _above(rotation, _HEAD_HZ)
    steps = np.linalg.norm(np.diff(bridged.centre, axis=0), axis=1) / bridged.scale[1:]
    quality = MotionQuality(
        seen=float(reading.seen.mean()),
        jitter_deg=float(np.rad2deg(np.sqrt((jitter**2).mean()))),
        face_px=float(np.median(bridged.scale)),
        turned_deg=float(np.rad2deg(_turn_angle(np.median(bridged.rotation, 0)))),
        presence=float(np.nanmedian(reading.presence)),
        jumps=int((steps > _JUMP).sum()),
    )
    translation -= _above(translation, (_HEAD_HZ, _HEAD_HZ, _DEPTH_HZ))
    return VideoMotion(
        motion=Motion(
            _steadied(expression).astype(np.float32),
            (rotation - jitter).astype(np.float32),
            translation.astype(np.float32),
        ),
        seen=trusted,
        rest=zero,
        quality=quality,
    )


def _bridged(reading: Reading) -> tuple[Reading, npt.NDArray[np.bool_]]:
    """Fill what was not seen by straight lines; say where the filling can be trusted."""
    seen = reading.seen
    frames = np.arange(len(seen))
    there = frames[seen]

    def filled(values: Floats) -> Floats:
        columns = values.reshape(len(values), -1).T
        lines = [np.interp(frames, there, column[seen]) for column in columns]
        return np.stack(lines, 1).reshape(values.shape)

    trusted = seen.copy()
    for before, after in itertools.pairwise(there):
        if after - before - 1 <= _LONGEST_BRIDGE_SECONDS * FPS:
            trusted[before:after] = True
    values = {
        field.name: filled(getattr(reading, field.name)) for field in dataclasses.fields(reading)
    }
    return Reading(**values), trusted


def _moved(reading: Reading, rest: Rest, rotation: Floats) -> Floats:
    """Return the translation of the neck's pivot `[T, 3]` from the rest, given the rotation."""
    moved = np.empty((len(rotation), 3))
    moved[:, :2] = (reading.centre - rest.centre) / reading.scale[:, None]
    moved[:, 2] = CAMERA_DISTANCE * (rest.scale / reading.scale - 1.0)
    base = rotation_matrix(rest.rotation)
    return np.asarray(moved - (base @ rotation_matrix(rotation) - base) @ _PIVOT_TO_CENTRE)


def _turn_angle(rotation: Floats) -> float:
    """Return the angle between where a head faces and the camera, radians."""
    return float(np.arccos(np.clip(rotation_matrix(rotation)[2, 2], -1.0, 1.0)))


def _seeing(expression: Floats) -> Floats:
    """Keep the eyes' direction while lids are shut over them: there is nothing to be read."""
    lids = expression[:, [expression_index("eyeBlinkLeft"), expression_index("eyeBlinkRight")]]
    shut = maximum_filter1d(lids.mean(1) > _SHUT, 3)
    if not shut.any() or shut.all():
        return expression
    frames, open_ = np.arange(len(shut)), np.flatnonzero(~shut)
    looks = eye_turn(expression)
    held = np.stack([np.interp(frames, open_, column[open_]) for column in looks.T], 1)
    return with_eye_turn(expression, held)


def _steadied(expression: Floats) -> Floats:
    """Smooth coefficients where they only tremble; blinks and closures stay as they were read."""
    if len(expression) < 5:
        return np.clip(expression, 0.0, 1.0)
    smooth = savgol_filter(expression, 5, 2, axis=0, mode="nearest")
    astray = (expression - smooth) / _NOISE
    kept = (expression - smooth) * astray**2 / (1.0 + astray**2)
    return np.asarray(np.clip(smooth + kept, 0.0, 1.0))


def _above(track: Floats, hz: float | tuple[float, ...]) -> Floats:
    """Return what a track `[T, C]` holds above a frequency (one for all columns, or one each), by
    a filter that delays nothing.
    """
    limits = np.broadcast_to(hz, track.shape[1])
    fast = np.zeros_like(track)
    if len(track) < 16:
        return fast
    for column, limit in enumerate(limits):
        sections = butter(2, limit, "lowpass", fs=FPS, output="sos")
        padding = min(3 * FPS, len(track) - 1)
        fast[:, column] = track[:, column] - sosfiltfilt(sections, track[:, column], padlen=padding)
    return fast
