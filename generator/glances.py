"""What the eyes and lids of a lively speaker do: glances with the speed of real saccades around a
main direction, and blinks of every kind.

Blinks close in less than a tenth of a second and open more slowly (Guitton, Simard and Codère,
1991); times between them are log-normal; they gather at the ends of phrases and go with large
shifts of gaze (Evinger et al., Not looking while leaping, 1994). Saccades last 21 ms and 2.2 ms a
degree (Carpenter, Movements of the eyes, 1988).
"""

import dataclasses

import numpy as np
import numpy.typing as npt

from obverse.generator.motion import FPS
from obverse.generator.prosody import Prosody

__all__ = ["Glances", "blink_lids", "draw_blinks", "look_around"]

Track = npt.NDArray[np.float64]

_OVERSAMPLING = 10  # a saccade or a lid takes a frame or two: drawn finely, then averaged
_SACCADE_SECONDS, _SACCADE_SECONDS_PER_DEGREE = 0.021, 0.0022
_LARGE_DEG = 4.0  # a shift that lids like to go with
_FIRST_BLINK_SECONDS = 0.4
_SHORTEST_GAP_SECONDS = 0.6
_GAP_SPREAD = 0.65  # of the logarithm of the time between blinks
_SHUTTER = 0.6  # share of a frame's time over which a camera sees


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Glances:
    """Where somebody looks relative to a main direction."""

    angles: Track  # [T, 2] pitch and yaw, radians; signs as in Motion
    shifts: Track  # seconds of large shifts


def _seen(fine: Track) -> Track:
    """Average a track drawn `_OVERSAMPLING` times as finely over the time the shutter is open."""
    frames = fine.reshape(-1, _OVERSAMPLING, *fine.shape[1:])
    edge = round(_OVERSAMPLING * (1.0 - _SHUTTER) / 2.0)
    return np.asarray(frames[:, edge : _OVERSAMPLING - edge].mean(1))


def look_around(
    prosody: Prosody, aversion: Track, size: float, rng: np.random.Generator
) -> Glances:
    """Draw fixations and saccades.

    Mostly at somebody's eyes and mouth, a degree or two apart; away while a thought is found, as a
    phrase begins, more often where `aversion` `[T]` (1 is natural) is high; `size` is a factor on
    every angle.
    """
    frames = len(prosody.voice)
    seconds = frames / FPS
    fine = np.zeros((frames * _OVERSAMPLING, 2))
    time = (np.arange(len(fine)) + 0.5) / (FPS * _OVERSAMPLING)
    starts = prosody.phrase_starts
    shifts: list[float] = []
    here, at, away = np.zeros(2), 0.0, False
    while at < seconds:
        dislike = float(aversion[min(int(at * FPS), frames - 1)])
        if away and rng.random() < 0.8:
            away = False
        else:
            begins = bool(len(starts)) and float(np.abs(starts - at).min()) < 0.6
            silent = prosody.voice[min(int(at * FPS), frames - 1)] < 0.2
            chance = (0.26 if begins else 0.16 if silent else 0.09) * dislike
            away = at > 0.0 and rng.random() < min(0.75, chance)
        if away:
            side = float(rng.choice((-1.0, 1.0)))
            pitch = float(rng.choice((rng.normal(3.5, 2.5), rng.normal(-3.5, 2.0)), p=(0.6, 0.4)))
            there = np.array([pitch, side * rng.gamma(4.0, 1.9)])
            stay = float(rng.lognormal(np.log(0.65), 0.45))
        else:
            there = rng.normal((0.2, 0.0), (0.75, 1.15))
            stay = float(rng.lognormal(np.log(0.75), 0.6))
        there = np.deg2rad(there * size)
        turn_deg = float(np.rad2deg(np.hypot(*(there - here))))
        lasts = _SACCADE_SECONDS + _SACCADE_SECONDS_PER_DEGREE * turn_deg
        phase = np.clip((time[int(at * FPS * _OVERSAMPLING) :] - at) / lasts, 0.0, 1.0)
        fine[len(fine) - len(phase) :] = here + (phase * phase * (3.0 - 2.0 * phase))[:, None] * (
            there - here
        )
        if turn_deg > _LARGE_DEG:
            shifts.append(at)
        here, at = there, at + max(0.16, stay)
    drift = np.cumsum(rng.standard_normal((frames, 2)), 0) / np.sqrt(FPS)
    drift = np.deg2rad(0.08) * np.clip(drift - _trailing_mean(drift, FPS), -2.0, 2.0)
    return Glances(_seen(fine) + drift, np.array(shifts))


def _trailing_mean(track: Track, width: int) -> Track:
    total = np.cumsum(np.concatenate([np.repeat(track[:1], width, 0), track]), 0)
    return np.asarray((total[width:] - total[:-width]) / width)


def draw_blinks(prosody: Prosody, rate_hz: Track, shifts: Track, rng: np.random.Generator) -> Track:
    """Draw the seconds at which lids begin to fall; `rate_hz` `[T]` may vary."""
    frames = len(rate_hz)
    seconds = frames / FPS
    load = np.concatenate([[0.0], np.cumsum(rate_hz) / FPS])  # blinks due until each frame
    edges = np.arange(frames + 1) / FPS
    anchors = np.sort(np.concatenate([prosody.phrase_ends, shifts]))
    mean = -(_GAP_SPREAD**2) / 2.0
    times: list[float] = []
    # The first lies anywhere within a gap: the performance began before the first frame.
    due = float(rng.uniform(0.0, 1.0)) * float(rng.lognormal(mean, _GAP_SPREAD))
    while due < load[-1]:
        at = float(np.interp(due, load, edges))
        if len(anchors) and rng.random() < 0.65:
            nearest = float(anchors[np.abs(anchors - at).argmin()])
            if abs(nearest - at) < 0.8:
                at = nearest + float(rng.uniform(-0.03, 0.10))
        earliest = times[-1] + _SHORTEST_GAP_SECONDS if times else _FIRST_BLINK_SECONDS
        if earliest <= at < seconds - 0.35:
            times.append(at)
            if rng.random() < 0.06 and at + 0.8 < seconds:  # a double blink
                times.append(at + float(rng.uniform(0.30, 0.42)))
        due += float(rng.lognormal(mean, _GAP_SPREAD))
    return np.array(times)


def blink_lids(times: Track, frames: int, rng: np.random.Generator) -> Track:
    """Return how far the lids are shut `[frames]` in [0, 1]."""
    fine = np.zeros(frames * _OVERSAMPLING)
    rate = FPS * _OVERSAMPLING
    for at in times:
        kind = rng.random()
        depth = float(rng.uniform(0.45, 0.8) if kind < 0.10 else rng.uniform(0.95, 1.0))
        falls = float(rng.uniform(0.070, 0.105))
        shut = float(rng.uniform(0.10, 0.22) if kind > 0.96 else rng.uniform(0.040, 0.085))
        rises = float(rng.uniform(0.19, 0.33))
        first = int(at * rate)
        last = min(len(fine), int((at + falls + shut + 1.6 * rises) * rate) + 1)
        time = (np.arange(first, last) + 0.5) / rate - at
        down = np.clip(time / falls, 0.0, 1.0)
        # Lids open fast at first and settle slowly.
        up = np.clip((time - falls - shut) / rises, 0.0, 1.6)
        lid = np.where(up > 0.0, np.exp(-2.2 * up) * (1.0 - up / 1.6), down * down * (3 - 2 * down))
        fine[first:last] = np.maximum(fine[first:last], depth * lid)
    return _seen(fine)
