"""Lids and gaze: blinks at human rates, fixations and saccades, eyes that stay on the camera when
the head turns."""

import numpy as np
import numpy.typing as npt

from obverse.generator.motion import EXPRESSIONS, FPS, expression_index
from obverse.generator.prosody import Prosody

__all__ = [
    "COMPENSATION",
    "LOOK_ASIDE",
    "LOOK_DOWN",
    "LOOK_UP",
    "blink_times",
    "blink_track",
    "eye_expression",
    "gaze_track",
]

Track = npt.NDArray[np.float64]

_CLOSE_SECONDS = 0.10  # lids fall faster than they rise (Guitton et al., 1991)
_SHUT_SECONDS = 0.03
_OPEN_SECONDS = 0.20
_FIRST_BLINK_SECONDS = 0.8  # the first frames are a thumbnail: eyes open
_SHORTEST_GAP_SECONDS = 0.7
_GAP_SPREAD = 0.55  # of the logarithm of the time between blinks
_PHRASE_PULL_SECONDS = 0.7  # a blink this near to the end of a phrase tends to wait for it

# How far an eye of the head model turns at a coefficient of 1 (`HeadModel.gaze_angles`), radians.
LOOK_ASIDE, LOOK_DOWN, LOOK_UP = (float(angle) for angle in np.deg2rad((22.75, 17.08, 14.75)))
# share of the head's turn that the eyes take back (vestibulo-ocular reflex, at a distance)
COMPENSATION = 0.85


def blink_times(prosody: Prosody, rng: np.random.Generator, rate_hz: float, shifts: Track) -> Track:
    """Draw the seconds at which lids are shut: a renewal process drawn to phrase ends and to large
    shifts of gaze."""
    if rate_hz <= 0.0:
        return np.zeros(0)
    frames = len(prosody.voice)
    seconds = frames / FPS
    anchors = np.sort(np.concatenate([prosody.phrase_ends, shifts]))
    mean_gap = 1.0 / rate_hz
    # Clipping the short gaps and the occasional double blink move the mean by little; the scale is
    # the lognormal's.
    scale = np.log(mean_gap) - _GAP_SPREAD**2 / 2.0
    times: list[float] = []
    at = _FIRST_BLINK_SECONDS + float(rng.uniform(0.0, 1.0)) * mean_gap
    while at < seconds - _OPEN_SECONDS:
        time = at
        if len(anchors) and rng.random() < 0.6:
            nearest = float(anchors[np.abs(anchors - at).argmin()])
            if abs(nearest - at) < _PHRASE_PULL_SECONDS:
                time = nearest + float(rng.uniform(0.0, 0.12))
        earliest = times[-1] + _SHORTEST_GAP_SECONDS if times else _FIRST_BLINK_SECONDS
        # On a frame's time, so that a picture shows the lids shut.
        time = round(max(time, earliest) * FPS) / FPS
        if time < seconds - _OPEN_SECONDS:
            times.append(time)
        at = max(at, time - 0.3) + max(
            _SHORTEST_GAP_SECONDS, float(rng.lognormal(scale, _GAP_SPREAD))
        )
    return np.array(times)


def blink_track(times: Track, frames: int, rng: np.random.Generator) -> Track:
    """Return how far the lids are shut `[frames]`, 1 at each blink but for the one in ten that is
    incomplete."""
    time = np.arange(frames) / FPS
    track = np.zeros(frames)
    for at in times:
        depth = rng.uniform(0.6, 0.85) if rng.random() < 0.1 else rng.uniform(0.93, 1.0)
        slow = rng.uniform(0.9, 1.2)
        first, last = (int(np.clip(round((at + edge) * FPS), 0, frames)) for edge in (-0.2, 0.4))
        offset = time[first:last] - at
        falling = 1.0 + (offset + _SHUT_SECONDS / 2) / (_CLOSE_SECONDS * slow)
        rising = 1.0 - (offset - _SHUT_SECONDS / 2) / (_OPEN_SECONDS * slow)
        shut = np.clip(np.minimum(falling, rising), 0.0, 1.0)
        shut = shut * shut * (3.0 - 2.0 * shut)
        track[first:last] = np.maximum(track[first:last], depth * shut)
    return track


def gaze_track(prosody: Prosody, rng: np.random.Generator) -> tuple[Track, Track]:
    """Draw where the eyes look: angles `[T, 2]` (pitch, yaw; radians, signs as in `Motion`) and
    times of large shifts.

    Mostly at the camera, wandering over a face's width; now and then away, more often as a phrase
    begins.
    """
    frames = len(prosody.voice)
    angles = np.zeros((frames, 2))
    shifts: list[float] = []
    here = np.zeros(2)
    at, away = 0.0, False
    starts = prosody.phrase_starts
    seconds = frames / FPS
    while at < seconds:
        if away or at == 0.0:
            away = False
            there = rng.normal(0.0, np.deg2rad((0.5, 0.8)))
            stay = float(rng.lognormal(np.log(1.3), 0.5))
        else:
            begins = bool(len(starts)) and float(np.abs(starts - at).min()) < 0.5
            away = rng.random() < (0.3 if begins else 0.12)
            if away:
                side = rng.choice((-1.0, 1.0))
                there = np.deg2rad((rng.normal(1.0, 3.0), side * rng.uniform(4.0, 10.0)))
                stay = float(rng.uniform(0.35, 1.1))
            else:
                there = rng.normal(0.0, np.deg2rad((0.6, 1.1)))
                stay = float(rng.lognormal(np.log(0.9), 0.5))
        if np.abs(there - here).max() > np.deg2rad(5.0):
            shifts.append(at)
        first = min(round(at * FPS), frames)
        until = min(round((at + stay) * FPS) + 1, frames)
        angles[first:until] = there
        if 0 < first < frames and np.abs(there - here).max() > np.deg2rad(1.5):
            angles[first] = 0.5 * (
                here + there
            )  # a saccade of 20 to 50 ms is caught half-way by one frame
        here, at = there, at + stay
    return angles, np.array(shifts)


def eye_expression(
    gaze: Track,
    head: Track,
    blinks: Track,
    rng: np.random.Generator,
    compensation: float = COMPENSATION,
) -> npt.NDArray[np.float32]:
    """Return coefficients `[T, 52]` with the eyes' columns filled.

    Args:
        gaze: `[T, 2]` pitch and yaw of the line of sight, radians, relative to the camera.
        head: `[T, 2]` pitch and yaw of the head.
        blinks: `[T]` in [0, 1].
        rng: draws the little difference between the two lids.
        compensation: share of the head's turn that the eyes take back.
    """
    pitch, yaw = (gaze - compensation * head).T
    aside = yaw / LOOK_ASIDE
    expression = np.zeros((len(blinks), len(EXPRESSIONS)))

    def put(name: str, track: Track) -> None:
        expression[:, expression_index(name)] = np.clip(track, 0.0, 1.0)

    # Towards the picture's right is outwards for the sitter's left eye.
    put("eyeLookOutLeft", aside)
    put("eyeLookInRight", aside)
    put("eyeLookInLeft", -aside)
    put("eyeLookOutRight", -aside)
    for side in ("Left", "Right"):
        put(f"eyeLookDown{side}", pitch / LOOK_DOWN)
        put(f"eyeLookUp{side}", -pitch / LOOK_UP)
        put(f"eyeBlink{side}", blinks * rng.uniform(0.97, 1.0))
    return expression.astype(np.float32)
