"""Speech: sound and what can be heard in it, independent of speaker and language.

Everything is measured a hundred times a second (`STEP_HZ`), because a lip closure lasts no longer
than two frames of video; `per_frame` brings a track to the 25 frames a second of `Motion`. The
analysis runs in blocks of ten seconds, so that an hour of speech needs no more working memory than
a minute.
"""

import dataclasses
import functools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter1d, median_filter, uniform_filter1d

from obverse.errors import InputError
from obverse.generator.motion import FPS
from obverse.generator.phones import STEP_HZ
from obverse.media.audio import read_speech

__all__ = [
    "MELS",
    "RATE_HZ",
    "STEP",
    "STEPS_PER_FRAME",
    "Speech",
    "mel_bank",
    "per_frame",
    "read_speech_features",
]

RATE_HZ = 16_000
MELS = 40
STEP = RATE_HZ // STEP_HZ  # samples
STEPS_PER_FRAME = STEP_HZ // FPS
_WINDOW = RATE_HZ // 40  # 25 ms
_FFT = 512
_PITCH_WINDOW = RATE_HZ // 25  # 40 ms: two periods of 50 Hz
_PITCH_FFT = 2048
_PITCH_HZ = (60.0, 1000.0)  # from a low voice to a high song
_BLOCK_STEPS = 10 * STEP_HZ
_FLOOR = 1e-10  # power; -100 dB of full scale
_SILENT_DB = -78.0  # quieter than this, relative to full scale, is silence in any recording
_GATE_DB = 38.0  # this far below the loud parts speech cannot be told from the room


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Speech:
    """Sound, and its features at `STEP_HZ`: `S = ceil(seconds * 100)` steps."""

    samples: npt.NDArray[np.float32]  # [N] mono at RATE_HZ, in [-1, 1]
    mel: npt.NDArray[np.float32]  # [S, MELS] power in bands, dB relative to the clip's loud parts
    loudness: npt.NDArray[np.float32]  # [S] dB relative to the clip's loud parts, about -60 to +6
    pitch_hz: npt.NDArray[np.float32]  # [S], 0 where there is none
    voicing: npt.NDArray[np.float32]  # [S] in [0, 1], how periodic
    sibilance: npt.NDArray[np.float32]  # [S] in [0, 1], share of power above 4 kHz
    nasality: npt.NDArray[np.float32]  # [S] in [0, 1], share of power below 500 Hz
    flux: npt.NDArray[np.float32]  # [S] dB, how much the spectrum rises from step to step
    activity: npt.NDArray[
        np.float32
    ]  # [S] in [0, 1], a voice (or anything that changes like one) is heard

    def __post_init__(self) -> None:
        """Refuse tracks of different lengths."""
        steps = {
            len(getattr(self, field.name))
            for field in dataclasses.fields(self)
            if field.name != "samples"
        }
        if steps != {math.ceil(len(self.samples) / STEP)}:
            raise InputError(
                f"a Speech of {len(self.samples)} samples has tracks of {sorted(steps)} steps."
            )

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self.samples) / RATE_HZ

    @property
    def frames(self) -> int:
        """Frames of video that it fills at 25 a second; the last one may be filled in part."""
        return math.ceil(len(self.samples) * FPS / RATE_HZ)


def per_frame(track: npt.NDArray[Any], frames: int) -> npt.NDArray[Any]:
    """Average a track of steps `[S, ...]` over each frame of video: `[frames, ...]`."""
    missing = frames * STEPS_PER_FRAME - len(track)
    padded = np.pad(track, [(0, max(0, missing))] + [(0, 0)] * (track.ndim - 1), mode="edge")
    shape = (frames, STEPS_PER_FRAME, *track.shape[1:])
    return np.asarray(padded[: frames * STEPS_PER_FRAME].reshape(shape).mean(1), track.dtype)


@functools.cache
def mel_bank() -> npt.NDArray[np.float32]:
    """Return triangular filters `[MELS, _FFT // 2 + 1]`, 60 Hz to 7600 Hz, each of unit sum (HTK's
    mel scale)."""

    def to_mel(hz: npt.ArrayLike) -> npt.NDArray[np.float64]:
        return 2595.0 * np.log10(1.0 + np.asarray(hz) / 700.0)

    edges = 700.0 * (10.0 ** (np.linspace(to_mel(60.0), to_mel(7600.0), MELS + 2) / 2595.0) - 1.0)
    hz = np.arange(_FFT // 2 + 1) * RATE_HZ / _FFT
    low, mid, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bank = np.maximum(0.0, np.minimum((hz - low) / (mid - low), (high - hz) / (high - mid)))
    # The lowest bands are narrower than a line of the transform: let each hold its nearest line.
    for row, centre in zip(bank, edges[1:-1], strict=True):
        row[round(centre * _FFT / RATE_HZ)] += 0.1
    return np.asarray(bank / bank.sum(1, keepdims=True), np.float32)


def _decibel(power: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    return np.asarray(10.0 * np.log10(power + _FLOOR), np.float32)


def _frames_of(
    samples: npt.NDArray[np.float32], first: int, count: int, width: int
) -> npt.NDArray[np.float32]:
    """Return `[count, width]` windows centred on the middle of each step, with silence beyond the
    ends."""
    start = first * STEP + STEP // 2 - width // 2
    stop = start + (count - 1) * STEP + width
    piece = np.pad(
        samples[max(0, start) : max(0, stop)], (max(0, -start), max(0, stop - len(samples)))
    )
    return np.lib.stride_tricks.sliding_window_view(piece, width)[::STEP]


def _pitch(
    windows: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return (pitch in Hz, periodicity in [0, 1]) of windows, by autocorrelation over the window's
    own (Boersma 1993)."""
    shape = np.hanning(_PITCH_WINDOW).astype(np.float32)
    centred = (windows - windows.mean(1, keepdims=True)) * shape
    power = np.abs(np.fft.rfft(centred, _PITCH_FFT)) ** 2
    auto = np.fft.irfft(power, _PITCH_FFT)[:, : _PITCH_WINDOW // 2 + 60]
    own = np.fft.irfft(np.abs(np.fft.rfft(shape, _PITCH_FFT)) ** 2, _PITCH_FFT)[: auto.shape[1]]
    near, far = int(RATE_HZ / _PITCH_HZ[1]), int(RATE_HZ / _PITCH_HZ[0])
    ratio = auto[:, near : far + 1] / (auto[:, :1] + 1e-9) / (own[near : far + 1] / own[0])
    lags = np.arange(near, far + 1)
    # Twice a period is a period as well: prefer the shorter by a small cost per octave.
    peaks = np.where(
        (ratio >= np.pad(ratio, ((0, 0), (1, 0)))[:, :-1])
        & (ratio >= np.pad(ratio, ((0, 0), (0, 1)))[:, 1:]),
        ratio - 0.03 * np.log2(lags / near),
        -1.0,
    )
    best = peaks.argmax(1)
    strength = np.clip(ratio[np.arange(len(ratio)), best], 0.0, 1.0)
    return (RATE_HZ / lags[best]).astype(np.float32), strength.astype(np.float32)


def _blocks(
    samples: npt.NDArray[np.float32], steps: int
) -> Iterator[tuple[slice, dict[str, npt.NDArray[np.float32]]]]:
    """Measure ten seconds at a time."""
    hann = np.hanning(_WINDOW).astype(np.float32)
    scale = 1.0 / float((hann**2).sum())
    hz = np.arange(_FFT // 2 + 1) * RATE_HZ / _FFT
    for first in range(0, steps, _BLOCK_STEPS):
        count = min(_BLOCK_STEPS, steps - first)
        windows = _frames_of(samples, first, count, _WINDOW) * hann
        power = (np.abs(np.fft.rfft(windows, _FFT)) ** 2).astype(np.float32) * np.float32(
            2.0 * scale
        )
        audible = power[:, hz >= 60.0]
        total = audible.sum(1) + _FLOOR
        pitch, voicing = _pitch(_frames_of(samples, first, count, _PITCH_WINDOW))
        yield (
            slice(first, first + count),
            {
                "mel": _decibel(power @ mel_bank().T),
                "loudness": _decibel(total / len(hz)),
                "pitch_hz": pitch,
                "voicing": voicing,
                "sibilance": (power[:, hz >= 4000.0].sum(1) / total).astype(np.float32),
                "nasality": (power[:, (hz >= 60.0) & (hz < 500.0)].sum(1) / total).astype(
                    np.float32
                ),
            },
        )


def _activity(
    loudness: npt.NDArray[np.float32],
    voicing: npt.NDArray[np.float32],
    mel: npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]:
    """Return in [0, 1] whether a voice is heard; `loudness` is relative to the loud parts.

    Loud enough, and near something that speech is and steady noise is not: periodic and not as even
    as a hum, or changing in level by several decibels within half a second (whispering has no pitch
    but moves).
    """
    half = STEP_HZ // 2 + 1
    smooth = uniform_filter1d(loudness, 5)
    floor = -maximum_filter1d(
        -smooth, 6 * STEP_HZ + 1
    )  # the quietest within three seconds either side
    # A recording that never pauses has no floor to be seen: it is then taken to be 25 dB down.
    floor = np.minimum(floor, -25.0)
    gate = np.maximum(-_GATE_DB, floor + 8.0)
    loud = np.clip((smooth - gate) / 6.0 + 0.5, 0.0, 1.0)
    # The mean over the bands: rumble throws the loudness about, but not every band at once.
    level = uniform_filter1d(mel.mean(1).astype(np.float64), 5)
    mean = uniform_filter1d(level, half)
    spread = np.sqrt(np.maximum(uniform_filter1d(level**2, half) - mean**2, 0.0))
    # Even a held note of a singer wavers by more than a third of a decibel; a transformer does not.
    wavering = np.clip((maximum_filter1d(spread, 2 * half) - 0.2) / 0.3, 0.0, 1.0)
    periodic = maximum_filter1d(median_filter(voicing, 5), half) * wavering
    speechlike = np.maximum(
        np.clip((periodic - 0.45) / 0.15, 0.0, 1.0), np.clip((spread - 2.0) / 2.0, 0.0, 1.0)
    )
    return np.asarray(loud * speechlike, np.float32)


def read_speech_features(source: Path | npt.NDArray[np.floating[Any]]) -> Speech:
    """Read speech and measure it.

    Args:
        source: an audio or video file of any kind, or mono samples `[N]` at `RATE_HZ` in [-1, 1].

    Raises:
        InputError: the file cannot be read or has no sound, or the samples are none or not finite.
    """
    samples = read_speech(source, RATE_HZ) if isinstance(source, Path) else source
    samples = np.ascontiguousarray(samples, np.float32)
    name = str(source) if isinstance(source, Path) else "the speech"
    if samples.ndim != 1 or not len(samples) or not np.isfinite(samples).all():
        raise InputError(
            f"{name} holds samples of shape {samples.shape}; give finite mono samples [N], N > 0."
        )
    steps = math.ceil(len(samples) / STEP)
    tracks: dict[str, npt.NDArray[np.float32]] = {
        name: np.zeros((steps, MELS) if name == "mel" else steps, np.float32)
        for name in ("mel", "loudness", "pitch_hz", "voicing", "sibilance", "nasality")
    }
    for where, block in _blocks(samples, steps):
        for name, values in block.items():
            tracks[name][where] = values
    loudness = tracks["loudness"]
    level = float(np.percentile(loudness, 95.0))
    silent = loudness < _SILENT_DB
    relative = loudness - max(level, _SILENT_DB)
    activity = _activity(relative, tracks["voicing"], tracks["mel"])
    activity[silent] = 0.0
    if (activity > 0.5).any():  # the loud parts of the voice, not of the whole clip with its pauses
        level = float(np.percentile(loudness[activity > 0.5], 90.0))
    mel = tracks["mel"] - np.float32(level)
    rise = np.maximum(np.diff(np.maximum(mel, -60.0), axis=0, prepend=mel[:1].clip(-60.0)), 0.0)
    voiced = (tracks["voicing"] > 0.5) & (activity > 0.3)
    pitch = np.where(voiced, median_filter(tracks["pitch_hz"], 7), 0.0)
    return Speech(
        samples=samples,
        mel=mel,
        loudness=loudness - np.float32(level),
        pitch_hz=pitch.astype(np.float32),
        voicing=tracks["voicing"],
        sibilance=tracks["sibilance"],
        nasality=tracks["nasality"],
        flux=rise.mean(1).astype(np.float32),
        activity=activity,
    )
