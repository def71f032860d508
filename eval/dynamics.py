"""How a face moves: measures of landmark tracks and of the sound beside them.

Pure functions. Landmarks are `[T, 478, 2 or 3]` px at `FPS` frames a second, NaN where no face was
read. Measures of nothing are NaN, never 0.

`lip_dynamics`, `head_motion`, `brow_dynamics`, `silent_lip` and `lip_sync` follow the definitions
of THEval (Quignon, Chopin, Wang and Dantcheva, "THEval. Evaluation framework for talking head video
generation", CVPR 2026, arXiv 2511.04520), so that its published figures of real video may stand
beside them; `delta_pose` is VASA-1's pose variation intensity (Xu et al., 2024, arXiv 2404.10667).
docs/realism.md says where our readings differ from theirs.
"""

import functools
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, find_peaks, peak_widths, sosfiltfilt

from obverse.errors import ConfigError
from obverse.faces.pose import canonical_face

__all__ = [
    "Blink",
    "blinks",
    "brow_dynamics",
    "closure_rate",
    "delta_pose",
    "eye_opening",
    "head_motion",
    "head_smoothness",
    "jitter",
    "lip_dynamics",
    "lip_lag",
    "lip_sync",
    "mouth_gap",
    "silent_lip",
    "speech_frames",
]

Floats = npt.NDArray[np.floating[Any]]
Flags = npt.NDArray[np.bool_]

FPS = 25  # of every track, as obverse.generator.motion has it
LIP_FRAME_PX = 256  # side of the frame in which lip_dynamics counts
HEAD_FRAME_PX = 512  # side of the frame in which head_motion counts the head's place
LAG_SECONDS = 0.4  # between sound and lips, either way
LEVEL_HZ = 100  # of the sound's level in lip_lag
CORRELATION_MIN = 0.2  # of lips and sound, for a lag to mean anything
SILENCE_SECONDS = 0.3  # shorter pauses are not silence
SPEECH_SHARE = 0.1  # with less of a clip spoken, nothing is said of the lips' agreement
BLINK_DEPTH = 0.35  # of what the eyes were open around it
BLINK_SECONDS_MAX = 0.5
JITTER_HZ = 6.0  # faces do not move faster than this; what does is the picture's fault

# Landmarks of the mesh, each side as seen in the picture (left first).
LIPS: tuple[int, ...] = (
    0, 13, 14, 17, 37, 39, 40, 61, 78, 80, 81, 82, 84, 87, 88, 91, 95, 146, 178, 181, 185, 191, 267,
    269, 270, 291, 308, 310, 311, 312, 314, 317, 318, 321, 324, 375, 402, 405, 409, 415,
)  # fmt: skip
UPPER_LIP: tuple[int, ...] = (191, 80, 81, 82, 13, 312, 311, 310)  # its inner edge
LOWER_LIP: tuple[int, ...] = (95, 88, 178, 87, 14, 317, 402, 318)  # each below its partner above
MID_LIP = slice(3, 6)  # of the two, the middle three: where lips meet for /p b m/
BROWS: tuple[tuple[int, ...], ...] = (
    (46, 53, 52, 65, 55, 70, 63, 105, 66, 107),
    (276, 283, 282, 295, 285, 300, 293, 334, 296, 336),
)
EYES: tuple[tuple[int, ...], ...] = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173),
    (263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398),
)
EYE_CORNERS: tuple[tuple[int, int], ...] = ((33, 133), (362, 263))
OUTER_EYES = (33, 263)
# Upper and lower lid above one another, three pairs an eye.
LIDS: tuple[tuple[tuple[int, int], ...], ...] = (
    ((160, 144), (159, 145), (158, 153)),
    ((387, 373), (386, 374), (385, 380)),
)


class Blink(NamedTuple):
    """One closing and opening of both eyes."""

    seconds: float  # when it is deepest
    duration_seconds: float  # at half its depth


def _points(landmarks: Floats) -> npt.NDArray[np.float64]:
    points = np.asarray(landmarks, np.float64)
    if points.ndim != 3 or points.shape[1] < 468 or points.shape[2] < 2:
        raise ConfigError(
            f"landmarks have shape {list(points.shape)}; a track needs [T, 478, 2 or 3]."
        )
    return points[..., :2]


def _distance(points: Floats, first: int, second: int) -> npt.NDArray[np.float64]:
    return np.asarray(np.linalg.norm(points[:, first] - points[:, second], axis=-1))


def _mean(values: npt.ArrayLike) -> float:
    """Return the mean of what is finite; NaN where nothing is."""
    array = np.asarray(values, np.float64)
    array = array[np.isfinite(array)]
    return float(array.mean()) if array.size else float("nan")


def lip_dynamics(landmarks: Floats, side_px: float) -> float:
    """Return how much the lips change shape, px in a frame of 256.

    The standard deviation over time of the distance between two points of the lips, averaged over
    all 780 pairs of 40 points (THEval 4; real video 1.717).

    Args:
        landmarks: the track.
        side_px: side of the square frame in which `landmarks` are pixels.
    """
    points = _points(landmarks)[:, list(LIPS)]
    points = points[np.isfinite(points).all(axis=(1, 2))]
    if len(points) < 2:
        return float("nan")
    points = points * (LIP_FRAME_PX / side_px)
    spreads = [
        np.linalg.norm(points[:, i + 1 :] - points[:, i : i + 1], axis=-1).std(axis=0)
        for i in range(len(LIPS) - 1)
    ]
    return float(np.concatenate(spreads).mean())


def head_motion(degrees: Floats, centre_px: Floats, side_px: float) -> float:
    """Return how much the head moves (THEval 5; real video 18.47).

    sqrt(s v + p): `s` the standard deviation of the angles, `v` the variance of their change from
    frame to frame (both averaged over the three angles), `p` the variance of the head's place in
    pixels of a frame of 512 (averaged over x and y). The place counts most.

    Args:
        degrees: `[T, 3]` pitch, yaw and roll.
        centre_px: `[T, 2]` the middle of the face's box.
        side_px: side of the square frame in which `centre_px` are pixels.
    """
    angles, places = np.asarray(degrees, np.float64), np.asarray(centre_px, np.float64)
    seen = np.isfinite(angles).all(axis=1) & np.isfinite(places).all(axis=1)
    changes = _changes(angles)
    if seen.sum() < 2 or len(changes) < 2:
        return float("nan")
    spread = angles[seen].std(axis=0).mean()
    place = (places[seen] * (HEAD_FRAME_PX / side_px)).var(axis=0).mean()
    return float(np.sqrt(spread * changes.var(axis=0).mean() + place))


def head_smoothness(degrees: Floats) -> float:
    """Return the variance of an angle's change from frame to frame, degrees², mean of three."""
    changes = _changes(np.asarray(degrees, np.float64))
    return float(changes.var(axis=0).mean()) if len(changes) > 1 else float("nan")


def delta_pose(degrees: Floats) -> float:
    """Return ΔP, the mean change of an angle of the head from frame to frame, degrees (VASA-1)."""
    return _mean(np.abs(_changes(np.asarray(degrees, np.float64))))


def _changes(track: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the differences `[n, K]` of a track `[T, K]` between frames that were both read."""
    differences = np.diff(track, axis=0)
    return differences[np.isfinite(differences).all(axis=1)]


def brow_dynamics(landmarks: Floats) -> float:
    """Return the mean change a frame of the brows' height over the eyes, as a share of the distance
    between the eyes' middles (THEval 6; real video .00678). Blinks move the eyes' middles, and
    count.
    """
    points = _points(landmarks)
    eyes = [points[:, list(contour)].mean(axis=1) for contour in EYES]
    apart = np.linalg.norm(eyes[0] - eyes[1], axis=-1)
    heights = [
        np.linalg.norm(points[:, list(brow)].mean(axis=1) - eye, axis=-1) / apart
        for brow, eye in zip(BROWS, eyes, strict=True)
    ]
    return _mean(np.abs(np.diff(np.stack(heights, axis=1), axis=0)))


def mouth_gap(landmarks: Floats) -> npt.NDArray[np.float64]:
    """Return the gap between the lips' inner edges `[T]`, mean of 8 places, as a share of the
    distance between the outer corners of the eyes.
    """
    return _gap(_points(landmarks), slice(None))


def _gap(points: npt.NDArray[np.float64], where: slice) -> npt.NDArray[np.float64]:
    upper, lower = points[:, list(UPPER_LIP[where]), 1], points[:, list(LOWER_LIP[where]), 1]
    return np.asarray(np.abs(lower - upper).mean(axis=1) / _distance(points, *OUTER_EYES))


def speech_frames(activity: Floats, frames: int, rate_hz: int = LEVEL_HZ) -> Flags:
    """Return in which of `frames` frames somebody speaks, from voice activity `[S]` in [0, 1].

    As Silero's detector is used by THEval: above a half; pauses below .1 s are spoken through,
    speech below .25 s is none, and .03 s are added at either end.
    """
    spoken = np.asarray(activity, np.float64) > 0.5
    spoken = ~_without_short(~spoken, round(0.1 * rate_hz))
    spoken = _without_short(spoken, round(0.25 * rate_hz))
    pad = round(0.03 * rate_hz)
    flags = np.zeros(frames, bool)
    for first, last in _runs(spoken):
        begin, end = (first - pad) / rate_hz, (last + pad) / rate_hz
        flags[max(0, int(begin * FPS)) : int(end * FPS) + 1] = True
    return flags


def _runs(flags: Flags) -> list[tuple[int, int]]:
    """Return the runs of True as (first, one past the last)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _without_short(flags: Flags, shortest: int) -> Flags:
    kept = np.zeros_like(flags)
    for first, last in _runs(flags):
        kept[first:last] = last - first >= shortest
    return kept


def silent_lip(landmarks: Floats, spoken: Flags) -> float:
    """Return how much the mouth moves in silence (THEval 7; real video .0263).

    The median distance of the lips' gap from its mean, over pauses of .3 s or more. A mouth that
    never stirs has 0: real ones breathe and part.

    Args:
        landmarks: the track.
        spoken: `[T]` where somebody speaks.
    """
    gap = mouth_gap(landmarks)
    quiet = _without_short(~np.asarray(spoken, bool), int(np.ceil(SILENCE_SECONDS * FPS)))
    gap = gap[quiet[: len(gap)] & np.isfinite(gap)]
    return float(np.median(np.abs(gap - gap.mean()))) if len(gap) > 1 else float("nan")


def lip_sync(landmarks: Floats, loudness: Floats, spoken: Flags) -> float:
    """Return how far the lips' opening and the sound's level differ (THEval 8; real video .2528).

    Both are brought to [0, 1] over the frames in which somebody speaks; the mean absolute
    difference. 0 would be a mouth that opens by the volume, which real mouths do not.

    Args:
        landmarks: the track.
        loudness: `[T]` RMS of the sound at each frame, in windows of 50 ms.
        spoken: `[T]` where somebody speaks.
    """
    points = _points(landmarks)
    upper = points[:, list(UPPER_LIP), 1].mean(axis=1)
    lower = points[:, list(LOWER_LIP), 1].mean(axis=1)
    eyes = [points[:, list(corners), 0].mean(axis=1) for corners in EYE_CORNERS]
    apart = np.abs(eyes[1] - eyes[0])
    with np.errstate(invalid="ignore", divide="ignore"):
        opening = np.abs(lower - upper) / apart
    used = np.asarray(spoken, bool)[: len(opening)] & np.isfinite(opening)
    if np.mean(spoken) < SPEECH_SHARE or used.sum() < 2:
        return float("nan")
    return float(np.abs(_unit(opening[used]) - _unit(np.asarray(loudness)[used])).mean())


def _unit(values: Floats) -> npt.NDArray[np.float64]:
    low, high = float(values.min()), float(values.max())
    return np.asarray((values - low) / (high - low + 1e-8), np.float64)


def lip_lag(landmarks: Floats, level_db: Floats) -> tuple[float, float]:
    """Return (seconds by which the lips follow the sound, correlation at that lag).

    The lags searched are those within .4 s, in hundredths refined by a parabola; negative, the
    lips lead. Below a correlation of .2 the lag says nothing and is NaN; both are when either track
    is flat or too little of the clip was read.

    Args:
        landmarks: the track.
        level_db: `[S]` the sound's level, a hundred a second.
    """
    gap = mouth_gap(landmarks)
    seen = np.isfinite(gap)
    reach = round(LAG_SECONDS * LEVEL_HZ)
    steps = min(len(level_db), len(gap) * LEVEL_HZ // FPS)
    if seen.mean() < 0.5 or steps < 4 * reach:
        return float("nan"), float("nan")
    frames = np.arange(len(gap))
    track = np.interp(np.arange(steps) * FPS / LEVEL_HZ, frames[seen], gap[seen])
    level = np.asarray(level_db, np.float64)[:steps]
    lags = np.arange(-reach, reach + 1)
    found = np.array([_correlation(level, track, int(lag)) for lag in lags])
    if not np.isfinite(found).all():
        return float("nan"), float("nan")
    best = int(found.argmax())
    shift = 0.0
    if 0 < best < len(lags) - 1:
        before, at, after = found[best - 1 : best + 2]
        bend = before - 2 * at + after
        shift = 0.5 * (before - after) / bend if bend < 0 else 0.0
    if found[best] < CORRELATION_MIN:
        return float("nan"), float(found[best])
    return float((lags[best] + shift) / LEVEL_HZ), float(found[best])


def _correlation(sound: Floats, lips: Floats, lag: int) -> float:
    """Return the correlation of `sound[t]` with `lips[t + lag]`."""
    a = sound[max(0, -lag) : len(sound) - max(0, lag)]
    b = lips[max(0, lag) : len(lips) - max(0, -lag)]
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 1e-12 else float("nan")


def closure_rate(
    landmarks: Floats, closures_seconds: Iterable[tuple[float, float]], closed_gap: float
) -> tuple[int, int]:
    """Return (how many closures were seen, how many there should be).

    Args:
        landmarks: the track.
        closures_seconds: start and end of each /p/, /b/ and /m/.
        closed_gap: the widest gap between the middles of closed lips, as `mouth_gap` has it.
    """
    gap = _gap(_points(landmarks), MID_LIP)
    closed = total = 0
    for start, end in closures_seconds:
        # A frame either way: sound and picture are cut at different places.
        first, last = int(np.floor(start * FPS)) - 1, int(np.ceil(end * FPS)) + 1
        seen = gap[max(0, first) : last + 1]
        seen = seen[np.isfinite(seen)]
        if len(seen):
            total += 1
            closed += bool(seen.min() <= closed_gap)
    return closed, total


def eye_opening(landmarks: Floats) -> npt.NDArray[np.float64]:
    """Return how far the eyes are open `[T]`: height over width, mean of both."""
    points = _points(landmarks)
    sides = [
        np.mean([_distance(points, upper, lower) for upper, lower in pairs], axis=0)
        / _distance(points, *corners)
        for pairs, corners in zip(LIDS, EYE_CORNERS, strict=True)
    ]
    return np.asarray(np.mean(sides, axis=0), np.float64)


def blinks(opening: Floats) -> list[Blink]:
    """Return the blinks in a track of `eye_opening`.

    A blink takes at least 35 % off what the eyes were open around it, and lasts at most half a
    second at half its depth; eyes that look down or stay shut are none.
    """
    track = np.asarray(opening, np.float64)
    seen = np.isfinite(track)
    if seen.sum() < FPS // 2:
        return []
    filled = np.interp(np.arange(len(track)), np.flatnonzero(seen), track[seen])
    reach = round(0.8 * FPS)
    padded = np.pad(filled, reach, mode="reflect" if len(filled) > reach else "edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    around = np.quantile(windows, 0.75, axis=1)
    # Both sides of a blink are deep: a rise alone, of eyes that open again, is none.
    peaks, found = find_peaks(-filled, prominence=1e-6)
    deep = found["prominences"] >= BLINK_DEPTH * np.maximum(around[peaks], 1e-9)
    peaks = peaks[deep & seen[peaks]]
    widths = peak_widths(-filled, peaks, rel_height=0.5)[0] / FPS
    return [
        Blink(float(peak / FPS), float(width))
        for peak, width in zip(peaks, widths, strict=True)
        if width <= BLINK_SECONDS_MAX
    ]


@functools.cache
def _rigid() -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    weights = canonical_face().rigidity
    chosen = np.flatnonzero(weights > 0)
    return chosen, weights[chosen] / weights[chosen].sum()


def jitter(landmarks: Floats) -> float:
    """Return the RMS of what moves faster than 6 Hz, in thousandths of the eyes' distance.

    Of the points that expressions hardly move, x and y together; a Butterworth filter of the fourth
    order, run forwards and backwards over each second or more in which a face was read.
    """
    points = _points(landmarks)
    eyes = [points[:, list(corners)].mean(axis=1) for corners in EYE_CORNERS]
    apart = _median(np.linalg.norm(eyes[0] - eyes[1], axis=-1))
    chosen, weights = _rigid()
    rigid = points[:, chosen]
    sos = butter(4, JITTER_HZ, "highpass", fs=FPS, output="sos")
    total = frames = 0.0
    for first, last in _runs(np.asarray(np.isfinite(rigid).all(axis=(1, 2)))):
        if last - first < FPS:
            continue
        fast = sosfiltfilt(sos, rigid[first:last], axis=0)
        total += float(((fast**2).sum(axis=2) * weights).sum())
        frames += last - first
    return 1000 * float(np.sqrt(total / frames)) / apart if frames else float("nan")


def _median(values: Floats) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else float("nan")
