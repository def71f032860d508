"""Head motion tied to prosody: posture that shifts with phrases, nods on stressed syllables, sway,
breath."""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, sosfilt

from obverse.generator.motion import FPS
from obverse.generator.prosody import Prosody

__all__ = ["band_noise", "breath_track", "head_motion", "smooth_step"]

Track = npt.NDArray[np.float64]

# Root-mean-square degrees of pitch, yaw and roll of people who talk to a camera are 2 to 4 in all.
_POSTURE_DEG = np.array([1.3, 2.1, 1.2])
_DRIFT_DEG = np.array([0.7, 1.1, 0.6])
_DRIFT_HZ = (0.03, 0.25)
_SWAY_DEG = np.array([0.5, 0.8, 0.5])
_SWAY_HZ = (0.3, 1.4)
_NOD_DEG = 3.4  # at full stress
_NOD_SECONDS = 0.42
_LEAN = np.array([0.030, 0.016, 0.040])  # x, y, z in interocular distances, rms
_LEAN_HZ = (0.03, 0.3)
_NECK = (
    1.1  # interocular distances between the pivot of a nod and the eyes that show in translation
)
_BREATH_HZ = 0.25


def band_noise(
    rng: np.random.Generator, frames: int, band_hz: tuple[float, float], columns: int
) -> Track:
    """Return band-limited noise of unit variance `[frames, columns]`; stationary from its first
    frame, without drift."""
    warm = round(2.0 * FPS / band_hz[0])
    sections = butter(2, band_hz, "bandpass", fs=FPS, output="sos")
    drawn = sosfilt(sections, rng.standard_normal((warm + frames, columns)), axis=0)[warm:]
    # The variance that this filter lets through, not this draw's own: a short clip may well be a
    # quiet one.
    response = sosfilt(sections, np.eye(1, 40 * warm)[0])
    return np.asarray(drawn / np.sqrt((response**2).sum()))


def smooth_step(time: Track) -> Track:
    """Minimum-jerk step from 0 to 1 over [0, 1]."""
    t = np.clip(time, 0.0, 1.0)
    return np.asarray(t**3 * (10.0 - 15.0 * t + 6.0 * t * t))


def _posture(prosody: Prosody, rng: np.random.Generator) -> Track:
    """Return `[T, 3]` of poses held for some seconds; the head moves between them as a phrase
    begins or ends."""
    frames = len(prosody.voice)
    time = np.arange(frames) / FPS
    beats = np.sort(
        np.concatenate([prosody.phrase_starts, prosody.phrase_ends, prosody.accent_seconds])
    )
    pose = rng.standard_normal(3) * 0.6
    track = np.tile(pose, (frames, 1))
    at = float(rng.uniform(0.8, 2.5))
    while at < frames / FPS:
        near = beats[(beats > at - 0.4) & (beats < at + 0.8)]
        start = float(rng.choice(near)) - 0.15 if len(near) else at
        # A fresh pose each time, pulled to the middle, so that nothing accumulates in ten minutes.
        target = 0.25 * pose + rng.standard_normal(3) * 0.97
        step = smooth_step((time - start) / float(rng.uniform(0.5, 1.1)))
        track += step[:, None] * (target - pose)
        pose = target
        at += float(rng.uniform(1.2, 3.8))
    return np.asarray(track * _POSTURE_DEG)


def _nods(prosody: Prosody, rng: np.random.Generator) -> Track:
    """Return `[T, 3]` of short nods (with a little turn and tilt) that are lowest at the stressed
    vowel."""
    frames = len(prosody.voice)
    time = np.arange(frames) / FPS
    track = np.zeros((frames, 3))
    for at, strength in zip(prosody.accent_seconds, prosody.accent_strengths, strict=True):
        if rng.random() > 0.35 + 0.6 * strength:
            continue
        length = _NOD_SECONDS * rng.uniform(0.8, 1.3)
        first, last = (int(np.clip(round((at + edge) * FPS), 0, frames)) for edge in (-1.0, 1.6))
        phase = (time[first:last] - at) / length
        # Up a little before, down on the beat, back more slowly.
        shape = np.exp(-0.5 * (phase / 0.42) ** 2) - 0.35 * np.exp(
            -0.5 * ((phase + 1.1) / 0.5) ** 2
        )
        size = _NOD_DEG * (0.25 + 0.75 * strength) * rng.uniform(0.5, 1.2)
        direction = np.array(
            [rng.choice((1.0, 1.0, 1.0, -0.5)), rng.normal(0.0, 0.35), rng.normal(0.0, 0.25)]
        )
        track[first:last] += size * shape[:, None] * direction
    return track


def breath_track(frames: int, rng: np.random.Generator) -> Track:
    """Return breathing `[frames]` in about [-1, 1], of slightly varying depth and rate."""
    drift = band_noise(rng, frames, (0.02, 0.1), 2)
    phase = 2.0 * np.pi * (np.cumsum(_BREATH_HZ * (1.0 + 0.12 * drift[:, 0])) / FPS + rng.random())
    return np.asarray(np.sin(phase) * (1.0 + 0.2 * np.clip(drift[:, 1], -2.0, 2.0)))


def head_motion(prosody: Prosody, rng: np.random.Generator) -> tuple[Track, Track]:
    """Draw rotation `[T, 3]` (radians) and translation `[T, 3]` (interocular distances)."""
    frames = len(prosody.voice)
    # A listener moves less than a speaker; the change is gradual.
    lively = 0.45 + 0.55 * gaussian_filter1d(prosody.voice, 0.4 * FPS)
    posture = _posture(prosody, rng)
    degrees = posture + band_noise(rng, frames, _DRIFT_HZ, 3) * _DRIFT_DEG
    degrees = degrees * (0.6 + 0.4 * lively)[:, None]
    degrees += band_noise(rng, frames, _SWAY_HZ, 3) * _SWAY_DEG * lively[:, None]
    degrees += _nods(prosody, rng)
    rotation = np.deg2rad(degrees)
    translation = band_noise(rng, frames, _LEAN_HZ, 3) * _LEAN
    translation[:, 0] += 0.25 * _NECK * np.sin(rotation[:, 1])
    translation[:, 1] += 0.15 * _NECK * np.sin(rotation[:, 0]) + 0.006 * breath_track(frames, rng)
    return rotation, translation
