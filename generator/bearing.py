"""How a lively speaker carries the head: postures that change with phrases, beats of many kinds,
sway, the torso's lean, and a head that follows the eyes.

Amplitudes follow recordings of people who talk to a camera: a few degrees of turning, most of it
below 2 Hz and tied to the voice (Hadar et al., Kinematics of head movements accompanying speech
during conversation, 1983; Munhall et al., Visual prosody and speech intelligibility, 2004).
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, sosfiltfilt

from obverse.generator.head_motion import band_noise, breath_track, smooth_step
from obverse.generator.motion import FPS
from obverse.generator.prosody import Prosody

__all__ = ["bear"]

Track = npt.NDArray[np.float64]

# Columns: pitch, yaw, roll in degrees; x, y, z in interocular distances.
_POSTURE = np.array([3.6, 5.8, 3.3, 0.235, 0.145, 0.230])
_DRIFT = np.array([1.3, 2.1, 1.2, 0.058, 0.050, 0.064])
_DRIFT_HZ = (0.04, 0.25)
_SWAY = np.array([1.35, 2.0, 1.15, 0.026, 0.022, 0.022])
_SWAY_HZ = (0.3, 1.6)
_HOLD_SECONDS = 1.7  # median time that a posture is held; a listener holds it twice as long
# What of a posture goes together: leaning aside tilts and turns the head, stooping lowers it.
_TOGETHER = np.array([
    # pitch  yaw  roll    x     y     z
    [ 1.0,  0.0,  0.0,  0.0,  0.0,  0.0],
    [ 0.0,  1.0,  0.0,  0.0,  0.0,  0.0],
    [ 0.0, -0.3,  0.95, 0.0,  0.0,  0.0],
    [ 0.0,  0.35, 0.45, 0.82, 0.0,  0.0],
    [ 0.45, 0.0,  0.0,  0.0,  0.89, 0.0],
    [-0.25, 0.0,  0.0,  0.0,  0.0,  0.97],
])  # fmt: skip
# Kinds of beats: how often, and size in degrees of pitch, yaw and roll at full stress.
_BEATS = (
    ("nod", 0.46, (4.2, 0.5, 0.4)),
    ("double nod", 0.10, (3.2, 0.3, 0.3)),
    ("rise", 0.16, (-3.0, 0.5, 0.5)),
    ("tilt", 0.13, (0.8, 1.0, 3.2)),
    ("turn", 0.11, (0.6, 4.2, 0.8)),
    ("shake", 0.04, (0.3, 3.4, 0.4)),
)
_BEAT_SECONDS = 0.17  # standard deviation of a beat's bell
_PHRASE_DROP_DEG = 1.8
_FOLLOW = np.array([0.18, 0.28])  # share of a glance aside that the head joins: pitch, yaw
_FOLLOW_SECONDS = 0.30
# Pitch and yaw turn about the neck: what that moves the face between the eyes, beyond the turn.
_NECK_X, _NECK_Y = 0.28, 0.17
_SMOOTH_HZ = 5.0  # a head weighs five kilogrammes
_BACKCHANNEL_SECONDS = 4.0  # mean time between a listener's nods


def _in_own_time(track: Track, pace: Track) -> Track:
    """Play `track` `[>= sum(pace), n]` at a speed that varies."""
    position = np.minimum(np.cumsum(pace), len(track) - 1.0)
    steps = np.arange(len(track))
    return np.stack([np.interp(position, steps, column) for column in track.T], 1)


def _wander(rng: np.random.Generator, pace: Track, band_hz: tuple[float, float]) -> Track:
    length = int(np.ceil(pace.sum())) + 2
    return np.asarray(_in_own_time(band_noise(rng, length, band_hz, 6), pace) @ _TOGETHER.T)


def _postures(prosody: Prosody, pace: Track, rng: np.random.Generator) -> Track:
    """Return `[T, 6]` of unit size: poses held for a while, entered as phrases begin and end."""
    frames = len(prosody.voice)
    time = np.arange(frames) / FPS
    boundaries = np.sort(np.concatenate([prosody.phrase_starts, prosody.phrase_ends]))
    beats = np.sort(np.concatenate([boundaries, prosody.accent_seconds]))
    pose = _TOGETHER @ rng.standard_normal(6) * 0.8
    track = np.tile(pose, (frames, 1))
    at = float(rng.uniform(0.3, 2.5))
    while at < frames / FPS:
        here = min(int(at * FPS), frames - 1)
        near = beats[(beats > at - 0.4) & (beats < at + 0.9)]
        start = float(rng.choice(near)) - 0.2 if len(near) else at
        # Pulled to the middle each time, so that nothing accumulates; now and then a small shift.
        size = 1.0 if rng.random() < 0.65 else 0.4
        target = 0.35 * pose + size * (_TOGETHER @ rng.standard_normal(6))
        lasts = float(rng.uniform(0.45, 1.15)) / pace[here]
        track += smooth_step((time - start) / lasts)[:, None] * (target - pose)
        pose = target
        idle = 1.0 if prosody.voice[here] > 0.3 else 2.0
        at += max(0.5, idle * float(rng.lognormal(np.log(_HOLD_SECONDS), 0.6))) / pace[here]
    return track


def _pulse(time: Track, kind: str) -> Track:
    """Shape of a beat over time in units of its length, lowest at 0."""
    bell = np.exp(-0.5 * time**2)
    if kind == "double nod":
        return np.asarray(bell - 0.55 * np.exp(-0.5 * ((time - 1.6) / 0.8) ** 2)
                          + 0.7 * np.exp(-0.5 * ((time - 3.2) / 0.9) ** 2))  # fmt: skip
    if kind == "shake":
        return np.asarray(np.sin(1.9 * time) * np.exp(-0.5 * (time / 2.6) ** 2) * 1.2)
    if kind in ("tilt", "turn"):  # slower, and held a little
        return np.asarray(1.0 / (1.0 + (time / 2.2) ** 4))
    # Up a little before, down on the beat, back more slowly.
    slow = np.where(time > 0.0, np.exp(-0.5 * (time / 1.5) ** 2), bell)
    return np.asarray(slow - 0.3 * np.exp(-0.5 * ((time + 2.5) / 1.1) ** 2))


def _beats(prosody: Prosody, pace: Track, nodding: float, rng: np.random.Generator) -> Track:
    """Return `[T, 3]` degrees: a movement on many stressed syllables, and a listener's nods."""
    frames = len(prosody.voice)
    time = np.arange(frames) / FPS
    track = np.zeros((frames, 3))
    kinds, chances = [kind for kind, _, _ in _BEATS], np.array([share for _, share, _ in _BEATS])
    sizes = {kind: np.array(size) for kind, _, size in _BEATS}

    def add(at: float, kind: str, size: float, length: float) -> None:
        first, last = (int(np.clip((at + edge) * FPS, 0, frames)) for edge in (-1.2, 2.2))
        shape = _pulse((time[first:last] - at) / length, kind)
        direction = sizes[kind] * np.array([1.0, rng.choice((-1.0, 1.0)), rng.choice((-1.0, 1.0))])
        direction = direction * rng.uniform(0.6, 1.2, 3)
        track[first:last] += size * shape[:, None] * direction

    for at, strength in zip(prosody.accent_seconds, prosody.accent_strengths, strict=True):
        if rng.random() > (0.40 + 0.6 * strength) * nodding:
            continue
        kind = str(rng.choice(kinds, p=chances / chances.sum()))
        length = _BEAT_SECONDS * float(rng.uniform(0.75, 1.45))
        length /= pace[min(int(at * FPS), frames - 1)]
        late = float(rng.normal(0.02, 0.05))
        add(at + late, kind, (0.3 + 0.7 * strength) * float(rng.lognormal(-0.15, 0.4)), length)
    # Heads sink as a phrase ends and rise as the next begins.
    sunk = np.zeros(frames)
    for end in prosody.phrase_ends:
        later = prosody.phrase_starts[prosody.phrase_starts > end]
        until = float(later[0]) if len(later) else frames / FPS + 1.0
        drop = float(rng.normal(0.8, 0.6))
        down = smooth_step((time - end + 0.45) / 0.6) - smooth_step((time - until + 0.3) / 0.7)
        sunk += drop * down
    track[:, 0] += _PHRASE_DROP_DEG * np.clip(sunk, -1.0, 2.5)
    at = float(rng.exponential(_BACKCHANNEL_SECONDS))
    while at < frames / FPS:  # silence of the other's turn: small nods that say "go on"
        near = slice(max(0, int((at - 0.8) * FPS)), int((at + 0.8) * FPS) + 1)
        if prosody.voice[near].max() < 0.1 and rng.random() < 0.5 * nodding:
            kind = "double nod" if rng.random() < 0.6 else "nod"
            add(at, kind, float(rng.uniform(0.3, 0.8)), float(rng.uniform(0.13, 0.2)))
        at += 1.5 + float(rng.exponential(_BACKCHANNEL_SECONDS))
    return track


def bear(
    prosody: Prosody,
    temper: Mapping[str, Track],
    glance: Track,
    *,
    size: float,
    nodding: float,
    rng: np.random.Generator,
) -> tuple[Track, Track]:
    """Draw rotation `[T, 3]` (radians) and translation `[T, 3]` (interocular distances).

    Args:
        prosody: the beats of the voice.
        temper: `emotions.temper_tracks`: its `head`, `pace`, `pitch_deg`, `roll_deg`, `lean`.
        glance: `[T, 2]` pitch and yaw in radians by which the eyes leave their main direction; the
            head joins in.
        size: factor on every movement.
        nodding: factor on how often the head moves with a stressed syllable.
        rng: draws the performance.
    """
    frames = len(prosody.voice)
    # A listener moves less than a speaker; the change is gradual.
    speaks = gaussian_filter1d(prosody.voice, 0.5 * FPS)
    lively = 0.5 + 0.5 * speaks
    pace = temper["pace"] * (0.75 + 0.25 * speaks)
    six = _postures(prosody, pace, rng) * _POSTURE * (0.7 + 0.3 * lively)[:, None]
    six += _wander(rng, pace, _DRIFT_HZ) * _DRIFT
    six += _wander(rng, pace, _SWAY_HZ) * _SWAY * (lively * prosody.effort)[:, None]
    six[:, :3] += _beats(prosody, pace, nodding, rng)
    six *= (temper["head"] * size)[:, None]
    joined = gaussian_filter1d(glance, _FOLLOW_SECONDS * FPS / 2.0, axis=0)
    # The head starts after the eyes: shift what a symmetric filter gives by half its width.
    lag = round(_FOLLOW_SECONDS * FPS / 2.0)
    joined = np.concatenate([np.repeat(joined[:1], lag, 0), joined])[:frames]
    six[:, :2] += np.rad2deg(joined * _FOLLOW)
    sections = butter(2, _SMOOTH_HZ, fs=FPS, output="sos")
    if frames > 3 * FPS:
        six = sosfiltfilt(sections, six, axis=0)
    side = 1.0 if rng.random() < 0.5 else -1.0
    six[:, 0] += temper["pitch_deg"]
    six[:, 2] += side * temper["roll_deg"]
    six[:, 5] += temper["lean"]
    rotation, translation = np.deg2rad(six[:, :3]), six[:, 3:].copy()
    translation[:, 0] += _NECK_X * np.sin(rotation[:, 1])
    translation[:, 1] += _NECK_Y * np.sin(rotation[:, 0])
    translation[:, 1] += 0.007 * breath_track(frames, rng)
    return rotation, translation
