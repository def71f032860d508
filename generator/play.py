"""What a face does beside speaking: brows, moods, the resting mouth, its unevenness."""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d
from scipy.signal import lfilter

from obverse.generator.direction import Style
from obverse.generator.emotions import EMOTIONS, emotion_offset
from obverse.generator.head_motion import band_noise, smooth_step
from obverse.generator.motion import EXPRESSIONS, FPS, expression_index
from obverse.generator.prosody import Prosody

__all__ = ["add", "brows", "mood", "resting_jaw", "scale", "settled", "swallows", "uneven"]

Track = npt.NDArray[np.float64]

_MOOD_SECONDS = 0.16  # time constant, twice, in which a face takes on a mood at pace 1
_SWALLOW_SECONDS = 25.0  # mean time between swallows of somebody silent


def _sides(name: str) -> tuple[str, ...]:
    return (name,) if name in EXPRESSIONS else (f"{name}Left", f"{name}Right")


def add(table: Track, track: Track, **amounts: float) -> None:
    """Add a track to coefficients `[T, 52]`; a name without a side stands for both."""
    for name, amount in amounts.items():
        for side in _sides(name):
            table[:, expression_index(side)] += amount * track


def scale(table: Track, factor: Track | float, *names: str) -> None:
    """Multiply coefficients `[T, 52]` by name; a name without a side stands for both."""
    for name in names:
        for side in _sides(name):
            table[:, expression_index(side)] *= factor


def resting_jaw(prosody: Prosody, style: Style, rng: np.random.Generator) -> Track:
    """Return how far the jaw hangs, lips apart, when nothing is said: `[T]`.

    Lips part for the breath before a phrase, close some tenths of a second after it, and in short
    pauses need not meet at all.
    """
    frames = len(prosody.voice)
    time = np.arange(frames) / FPS
    slow = band_noise(rng, frames, (0.04, 0.6), 1)[:, 0]
    jaw = style.parted * np.clip(1.0 + 1.1 * slow, 0.0, 2.8)
    for start in prosody.phrase_starts:
        if rng.random() < 0.85:
            peak = start - float(rng.uniform(0.05, 0.2))
            width = np.where(time < peak, rng.uniform(0.12, 0.35), 0.15)
            jaw = np.maximum(
                jaw, rng.uniform(0.10, 0.34) * np.exp(-0.5 * ((time - peak) / width) ** 2)
            )
    for end in prosody.phrase_ends:
        later = prosody.phrase_starts[prosody.phrase_starts > end]
        gap = float(later[0]) - end if len(later) else 9.0
        size = float(rng.uniform(0.10, 0.34))
        fade = float(rng.uniform(0.15, 0.45)) * (2.5 if gap < 0.7 else 1.0)
        after = np.where(time >= end, np.exp(-np.maximum(time - end, 0.0) / fade), 0.0)
        jaw = np.maximum(jaw, size * after)
    return np.asarray(gaussian_filter1d(jaw, 1.2))


def swallows(prosody: Prosody, nervous: Track, rng: np.random.Generator) -> Track:
    """Return coefficients `[T, 52]` of swallows, and of lips pressed or wetted, in silence."""
    frames = len(prosody.voice)
    time = np.arange(frames) / FPS
    table = np.zeros((frames, len(EXPRESSIONS)))
    at = float(rng.exponential(_SWALLOW_SECONDS * 0.5))
    while at < frames / FPS:
        here = min(int(at * FPS), frames - 1)
        span = slice(max(0, here - FPS // 2), here + FPS)
        if prosody.voice[span].max() < 0.05:
            bell = np.exp(-0.5 * ((time - at - 0.35) / rng.uniform(0.14, 0.24)) ** 2)
            if rng.random() < 0.55:
                add(table, bell, mouthPress=0.35, mouthShrugLower=0.22, mouthRollLower=0.12)
            else:
                size = float(rng.uniform(0.25, 0.55))
                add(table, size * bell, mouthRollLower=1.0, mouthRollUpper=0.7, mouthPress=0.3)
        at += float(rng.exponential(_SWALLOW_SECONDS / (1.0 + 4.0 * nervous[here]))) + 1.0
    return table


def brows(prosody: Prosody, size: Track, rng: np.random.Generator) -> Track:
    """Return coefficients `[T, 52]` of brows that move with stress and with whole phrases."""
    frames = len(prosody.voice)
    time = np.arange(frames) / FPS
    raised, lowered = np.zeros(frames), np.zeros(frames)
    sides = np.zeros((frames, 2))

    def lift(at: float, rises: float, holds: float, falls: float) -> Track:
        return smooth_step((time - at) / rises) - smooth_step((time - at - rises - holds) / falls)

    free = 0.0  # brows rest a while before they move again
    for at, strength in zip(prosody.accent_seconds, prosody.accent_strengths, strict=True):
        if at < free or rng.random() > 0.35 + 0.65 * strength:
            continue
        rises, holds = float(rng.uniform(0.08, 0.18)), float(rng.gamma(1.5, 0.09))
        falls = float(rng.uniform(0.12, 0.32))
        free = at + rises + holds + float(rng.exponential(0.35))
        amount = (0.25 + 0.75 * strength) * float(rng.uniform(0.4, 1.25))
        pulse = amount * lift(at - 0.7 * rises, rises, holds, falls)
        kind = rng.random()
        if kind < 0.72:
            raised += pulse
        elif kind < 0.82:
            sides[:, int(rng.integers(2))] += pulse
        else:
            lowered += pulse
    for start, end in zip(prosody.phrase_starts, prosody.phrase_ends, strict=False):
        if rng.random() < 0.25:
            amount = float(rng.uniform(0.15, 0.5))
            track = amount * lift(start - 0.2, 0.35, max(0.2, end - start - 0.2), 0.5)
            if rng.random() < 0.7:
                raised += track
            else:
                lowered += 0.7 * track
    tremble = band_noise(rng, frames, (0.3, 3.5), 2) * 0.10
    table = np.zeros((frames, len(EXPRESSIONS)))
    high, low = np.minimum(raised, 1.3) * size, np.minimum(lowered, 1.0) * size
    add(table, high, browInnerUp=0.62, browOuterUp=0.55, eyeWide=0.14)
    add(table, low, browDown=0.45, eyeSquint=0.15)
    add(table, np.maximum(tremble[:, 0], 0.0) * size, browInnerUp=1.0, browOuterUp=0.8)
    add(table, np.maximum(-tremble[:, 0], 0.0) * size, browDown=0.8)
    for side, name in enumerate(("Left", "Right")):
        table[:, expression_index(f"browOuterUp{name}")] += 0.45 * sides[:, side] * size
        table[:, expression_index("browInnerUp")] += 0.12 * sides[:, side] * size
    return table


def settled(track: Track, seconds: Track | float) -> Track:
    """Follow `track` `[T, n]` as a face follows a mood: without jumps and without knowing what
    comes."""
    decay = float(np.exp(-1.0 / (FPS * float(np.mean(seconds)))))
    state = track[:1] * decay
    for _ in range(2):
        track, _ = lfilter([1.0 - decay], [1.0, -decay], track, axis=0, zi=state)
    return np.asarray(track)


def mood(
    emotion: Track, speaking: Track, pace: Track, style: Style, rng: np.random.Generator
) -> Track:
    """Return coefficients `[T, 52]` of moods, which waver, and of the performer's own warmth."""
    frames = len(emotion)
    felt = settled(emotion, _MOOD_SECONDS / pace)
    waver = 1.0 + 0.10 * band_noise(rng, frames, (0.05, 0.5), len(EMOTIONS))
    felt = np.clip(felt * waver, 0.0, 1.1)
    table = emotion_offset(felt, speaking).astype(np.float64)
    dark = np.clip(1.0 - 1.6 * felt[:, 2:].sum(1), 0.0, 1.0)
    slow = band_noise(rng, frames, (0.03, 0.35), 3)
    smile = np.clip(style.warmth * (0.8 + 0.9 * slow[:, 0]), 0.0, 1.2) * dark
    add(table, smile, mouthSmile=0.36, cheekSquint=0.24, mouthDimple=0.04)
    add(table, np.clip(0.25 + 0.25 * slow[:, 1], 0.0, 1.0), eyeSquint=0.12)
    add(table, np.clip(0.15 + 0.2 * slow[:, 2], 0.0, 1.0), browInnerUp=0.14)
    return table


def uneven(table: Track, style: Style, rng: np.random.Generator) -> None:
    """Give each side of the face its own strength: no face is even."""
    drift = band_noise(rng, len(table), (0.03, 0.2), 1)[:, 0]
    for name, most in (
        ("mouthSmile", 0.16), ("browOuterUp", 0.14), ("browDown", 0.10), ("mouthFrown", 0.12),
        ("mouthStretch", 0.12), ("mouthUpperUp", 0.12), ("mouthLowerDown", 0.08),
        ("cheekSquint", 0.12), ("noseSneer", 0.12), ("mouthDimple", 0.20), ("eyeSquint", 0.08),
    ):  # fmt: skip
        lean = most * np.clip(style.lean + 0.35 * rng.standard_normal() + 0.2 * drift, -1.3, 1.3)
        table[:, expression_index(f"{name}Left")] *= 1.0 + lean
        table[:, expression_index(f"{name}Right")] *= 1.0 - lean
