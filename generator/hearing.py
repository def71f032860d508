"""Hearing as a stream: what a block of sound adds to what has been heard, and nothing of what is
to come.

`Ear` takes one frame of video at a time (40 ms), measures it at `STEP_HZ` and takes level and
colour out of it by running estimates with a few seconds' memory: a whisper far from the microphone
and a shout into it look alike to what follows. Every block is computed by the same calls on arrays
of the same shape, so that cutting the sound into other pieces cannot change a bit.
"""

import dataclasses
import functools
import math
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import scipy.fft

from obverse.generator.motion import FPS
from obverse.generator.speech import MELS, RATE_HZ, STEP, STEPS_PER_FRAME, mel_bank

__all__ = ["FEATURES", "FRAME", "LAG_STEPS", "Ear", "Heard"]

FRAME = RATE_HZ // FPS  # samples of one frame of video
# Steps of a block end this many before the newest sample, so that the widest window is filled.
LAG_STEPS = 2
# Bands, then loudness and periodicity: what the acoustic model hears.
FEATURES = MELS + 2

_WINDOW = RATE_HZ // 40  # 25 ms
_FFT = 512
_PITCH_WINDOW = RATE_HZ // 25  # 40 ms: two periods of 50 Hz
_PITCH_FFT = 1024  # long enough for the longest lag without wrapping around
_PITCH_HZ = (60.0, 1000.0)
_NEAR, _FAR = int(RATE_HZ / _PITCH_HZ[1]), int(RATE_HZ / _PITCH_HZ[0])  # lags
_POWER_FLOOR = 1e-10
_KEPT = (LAG_STEPS + STEPS_PER_FRAME) * STEP + (_PITCH_WINDOW - STEP) // 2  # samples looked at

_SILENT_DB = -78.0  # quieter than this, relative to full scale, is silence in any recording
_LEVEL_DB = -16.0  # of the loud parts of speech before any is heard
_QUANTILE = 0.9  # the loud parts are the loudest tenth of the active ones
_LEVEL_DB_PER_STEP = 0.3
_FIRST_STEPS = 40.0  # of activity in which the level is found in a hurry
_HURRY = 8.0
_ABOVE_FLOOR_DB = 10.0
_FLOOR_RISE_DB = 0.04  # a step: 4 dB a second
# A sound that never pauses has no floor to be seen: it is then taken to be this far down.
_UNSEEN_FLOOR_DB = 25.0
_SMOOTH_STEPS = 5
_MOMENT_STEPS = 60  # over which a sound that has become much quieter shows itself
_LOUD_DB = -25.0  # relative to the level: loud enough to know a colour or a pitch by
_COLOUR_STEPS = 100.0  # a second of loud speech is half of what there is to know of its colour
_MEMORY_STEPS = 500.0  # of loud speech, in which what was known fades

Array = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """The `S` steps that a block adds: four for every `FRAME` samples."""

    features: Array  # [S, FEATURES], about -1.75 to 2.75: the acoustic model's input
    loudness: Array  # [S] dB relative to the running level
    pitch_hz: Array  # [S] the best guess, voiced or not
    voicing: Array  # [S] in [0, 1]
    sibilance: Array  # [S] in [0, 1], share of power above 4 kHz
    flux: Array  # [S] dB, mean rise of the bands


@functools.cache
def _tables() -> dict[str, npt.NDArray[Any]]:
    """Return windows, filters and what a pitch costs."""
    hann = np.hanning(_WINDOW)
    hz = np.arange(_FFT // 2 + 1) * RATE_HZ / _FFT
    shares = np.stack([hz >= 60.0, hz >= 4000.0]).astype(np.float32)
    shares[0] /= len(hz)  # loudness is the mean over all lines, as the bands are means
    shape = np.hanning(_PITCH_WINDOW)
    own = np.fft.irfft(np.abs(np.fft.rfft(shape, 2 * _PITCH_FFT)) ** 2)[_NEAR - 1 : _FAR + 2]
    return {
        "hann": (hann * math.sqrt(2.0 / float((hann**2).sum()))).astype(np.float32),
        "bands": np.ascontiguousarray(np.concatenate([mel_bank(), shares]).T),
        "shape": shape.astype(np.float32),
        "own": (own / np.sum(shape**2)).astype(np.float32),
        # Twice a period is a period as well: prefer the shorter by a small cost per octave.
        "cost": (0.03 * np.log2(np.arange(_NEAR, _FAR + 1) / _NEAR)).astype(np.float32),
    }


@functools.lru_cache(maxsize=4)
def _places(count: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return where in the samples the windows of `count` steps lie."""
    steps = np.arange(count)[:, None] * STEP
    inset = (_PITCH_WINDOW - _WINDOW) // 2
    return steps + inset + np.arange(_WINDOW), steps + np.arange(_PITCH_WINDOW)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _periods(auto: Array, own: Array, cost: Array, pitch_hz: Array, voicing: Array) -> None:
    """Pick the period of each autocorrelation `[S, lags]`."""
    for row in range(auto.shape[0]):
        scale = np.float32(1.0) / (auto[row, 0] + np.float32(1e-9))
        best, score, strength = 0, np.float32(-2.0), np.float32(0.0)
        before = auto[row, _NEAR - 1] * scale / own[0]
        here = auto[row, _NEAR] * scale / own[1]
        for lag in range(len(cost)):
            after = auto[row, _NEAR + lag + 1] * scale / own[lag + 2]
            if here >= before and here >= after and here - cost[lag] > score:
                best, score, strength = lag, here - cost[lag], here
            before, here = here, after
        pitch_hz[row] = RATE_HZ / (best + _NEAR)
        voicing[row] = min(max(strength, np.float32(0.0)), np.float32(1.0))


# Places in the array of running numbers.
_FLOOR, _LEVEL, _ACTIVE, _LOUD, _AT = range(5)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _follow(
    loudness: float,
    numbers: npt.NDArray[np.float64],
    recent: npt.NDArray[np.float64],
    moment: npt.NDArray[np.float64],
) -> float:
    """Return the level of the loud parts, now that one more step was heard.

    A running quantile over what stands out from the room (Robbins and Monro 1951), fast at first
    and where it is far off.
    """
    at = int(numbers[_AT])
    numbers[_AT] = (at + 1) % (_SMOOTH_STEPS * _MOMENT_STEPS)
    recent[at % _SMOOTH_STEPS] = loudness
    smooth = recent.mean()
    numbers[_FLOOR] = max(_SILENT_DB, min(smooth, numbers[_FLOOR] + _FLOOR_RISE_DB))
    level = numbers[_LEVEL]
    floor = min(numbers[_FLOOR], level - _UNSEEN_FLOOR_DB)
    active = smooth > max(_SILENT_DB, floor + _ABOVE_FLOOR_DB)
    moment[at % _MOMENT_STEPS] = smooth if active else -100.0
    if active:
        hurry = 1.0 + _HURRY * max(0.0, 1.0 - numbers[_ACTIVE] / _FIRST_STEPS)
        numbers[_ACTIVE] = min(numbers[_ACTIVE] + 1.0, _FIRST_STEPS)
        if smooth > level:
            level += _LEVEL_DB_PER_STEP * _QUANTILE * hurry + 0.05 * (smooth - level)
        else:
            # Only what stays quieter for a while says that the voice has become quiet.
            away = max(0.0, level - moment.max() - 3.0)
            level -= (_LEVEL_DB_PER_STEP * (1.0 - _QUANTILE) + 0.005 * away) * hurry
        numbers[_LEVEL] = max(level, _SILENT_DB + 15.0)
    return float(numbers[_LEVEL])


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _settle(
    bands: Array,
    voicing: Array,
    numbers: npt.NDArray[np.float64],
    recent: npt.NDArray[np.float64],
    moment: npt.NDArray[np.float64],
    colour: npt.NDArray[np.float64],
    before: Array,
    features: Array,
    relative: Array,
    flux: Array,
    sibilance: Array,
) -> None:
    """Take level and colour out of the powers `[S, MELS + 2]` and fill the last four arrays."""
    mel = np.empty(MELS)
    for step in range(bands.shape[0]):
        loudness = 10.0 * math.log10(bands[step, MELS] + _POWER_FLOOR)
        level = _follow(loudness, numbers, recent, moment)
        relative[step] = loudness - level
        sibilance[step] = bands[step, MELS + 1] / (
            bands[step, MELS] * (_FFT // 2 + 1) + _POWER_FLOOR
        )
        loud = loudness - level > _LOUD_DB and loudness > _SILENT_DB
        keep = 1.0 - 1.0 / _MEMORY_STEPS
        rise = 0.0
        for band in range(MELS):
            mel[band] = 10.0 * math.log10(bands[step, band] + _POWER_FLOOR) - level
            clear = max(mel[band], -60.0)
            rise += max(0.0, clear - before[band])
            before[band] = clear
            if loud:
                colour[band] = colour[band] * keep + clear
        if loud:
            numbers[_LOUD] = numbers[_LOUD] * keep + 1.0
        flux[step] = rise / MELS
        known = 1.0 / (numbers[_LOUD] + _COLOUR_STEPS)
        mean = colour.mean()
        for band in range(MELS):
            plain = mel[band] - (colour[band] - mean) * known
            features[step, band] = (min(max(plain, -70.0), 20.0) + 35.0) / 20.0
        features[step, MELS] = (min(max(loudness - level, -70.0), 20.0) + 35.0) / 20.0
        features[step, MELS + 1] = 2.0 * voicing[step] - 1.0


class Ear:
    """Listens block by block. Before the first there was silence.

    After the block that ends with sample `640 k` its newest step is number `4 k - LAG_STEPS - 1`
    (step `s` is centred on sample `160 s + 80`).
    """

    def __init__(self) -> None:
        self._samples = np.zeros(_KEPT - FRAME, np.float32)  # of before, that are still needed
        self._bands = np.full(MELS, -60.0, np.float32)  # of the step before
        self._recent = np.full(_SMOOTH_STEPS, -100.0)  # loudness
        self._moment = np.full(_MOMENT_STEPS, -100.0)
        self._colour = np.zeros(MELS)  # sum over loud steps
        self._numbers = np.array([_SILENT_DB, _LEVEL_DB, 0.0, 0.0, 0.0])

    @property
    def level_db(self) -> float:
        """How loud the loud parts are now, relative to full scale."""
        return float(self._numbers[_LEVEL])

    def hear(self, sound: Array) -> Heard:
        """Take the next `[n * FRAME]` samples; a stream takes a frame at a time."""
        tables = _tables()
        samples = np.concatenate([self._samples, sound])
        self._samples = samples[-_KEPT + FRAME :].copy()
        count = len(sound) // STEP
        places = _places(count)
        spectra = scipy.fft.rfft(samples[places[0]] * tables["hann"], _FFT)
        bands = (spectra.real**2 + spectra.imag**2) @ tables["bands"]
        spectra = scipy.fft.rfft(samples[places[1]] * tables["shape"], _PITCH_FFT)
        power = spectra.real**2 + spectra.imag**2
        power[:, :2] = 0.0  # an offset is no voice
        auto = scipy.fft.irfft(power, _PITCH_FFT)
        features = np.empty((count, FEATURES), np.float32)
        tracks = np.empty((5, count), np.float32)
        relative, pitch_hz, voicing, sibilance, flux = tracks
        _periods(auto, tables["own"], tables["cost"], pitch_hz, voicing)
        _settle(
            bands, voicing, self._numbers, self._recent, self._moment, self._colour, self._bands,
            features, relative, flux, sibilance,
        )  # fmt: skip
        return Heard(features, relative, pitch_hz, voicing, sibilance, flux)
