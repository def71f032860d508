"""Cues: what the motion model hears, one row a frame of video, as a stream.

Row `i` needs the sound up to `LOOK_AHEAD_FRAMES` frames beyond its own and what came before, never
more: a row that has been given does not change. There is one code path: `read_cues` is a
`CueStream` fed once, and however the sound is cut into pieces, the rows are the same to the bit.
"""

import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from obverse.errors import InputError
from obverse.generator.hearing import FRAME, LAG_STEPS, Ear, Heard
from obverse.generator.phones import ARTICULATORS, CLASSES, STEP_HZ
from obverse.generator.speech import STEPS_PER_FRAME, Speech
from obverse.weights import onnx_session, weight_path

__all__ = ["CUES", "LOOK_AHEAD_FRAMES", "CueStream", "mono_samples", "read_cues"]

LOOK_AHEAD_FRAMES = 4  # 160 ms

# Names of the columns. Where no voice is heard all but `sound.silence` and `since_end` are 0.
CUES: tuple[str, ...] = (
    # Where each articulator is (0 at rest, 1 fully there), at the frame's four steps of 10 ms.
    *(f"{name}.{step}" for name in ARTICULATORS for step in range(STEPS_PER_FRAME)),
    # Probabilities of classes of sounds, the mean over the frame; they sum to 1.
    *(f"sound.{name}" for name in CLASSES),
    "closure",  # [0, 1] the lips must be seen to meet in this frame: p, b or m is believed
    "voice",  # [0, 1] the mouth may move: from .1 s before a voice to .16 s after it
    "loudness",  # 1 is the running level of the loud parts, 0 is 40 dB below
    "effort",  # louder (1: by 12 dB) than the last seconds of this voice, over a fifth of a second
    "pitch",  # octaves above the last seconds of this voice; 0 where unvoiced
    "voiced",  # [0, 1] how periodic
    "flux",  # how fast the spectrum rises: onsets of syllables and bursts; 1 is 6 dB a step
    "stress",  # prominence of the syllable in level and pitch; 1 is strongly stressed
    "sibilance",  # [0, 1] share of power above 4 kHz
    "since_start",  # [0, 1) how long the voice has been there: 1 - exp(-seconds)
    "since_end",  # [0, 1] how long it has been gone: 1 - exp(-seconds); 1 before the first
)

Array = npt.NDArray[np.float32]

_LOUDEST = 4.0  # decoders overshoot 1 a little; what is louder is in another unit
_SILENCE = CLASSES.index("silence")
# Places in the model's output; the classes come first.
_FIRST_ARTICULATOR = len(CLASSES)
_VOICE = len(CLASSES) + len(ARTICULATORS)
_CLOSURE = _VOICE + 1

# A least-squares guess hovers a little above rest and falls short of the extremes.
_REST = (0.03, 0.03, 0.03, 0.05, 0.04, 0.02, 0.02, 0.03)
_REACH = (1.08, 1.08, 1.12, 1.15, 1.08, 1.05, 1.12, 1.12)
_VOICE_RANGE = (0.20, 0.45)  # probabilities at which the mouth may not and may fully move
_OPEN_PER_STEP, _SHUT_PER_STEP = 0.25, 0.08  # how fast that permission comes and goes
_CLOSURE_RANGE = (0.40, 0.70)

_KEPT_STEPS = 32  # of signal tracks; the frame's own are in the middle
_FIRST_KEPT = _KEPT_STEPS - STEPS_PER_FRAME * LOOK_AHEAD_FRAMES + LAG_STEPS - STEPS_PER_FRAME
_PITCHED = 0.5  # periodicity
_LOUD_DB = -25.0
_MEMORY_FRAMES = 100.0  # of voice, in which running means fade
_PITCH_HZ, _PITCH_FRAMES = 150.0, 10.0  # what is believed of a pitch before any is heard
_LEAP_OCTAVES = 1.0
_LOUDNESS_DB, _LOUDNESS_FRAMES = -7.0, 10.0


@functools.cache
def _session() -> Any:
    return onnx_session(weight_path("obverse.generator", "hearing.onnx"))


def _bell(width: float, reach: int) -> Array:
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    return np.asarray(bell / bell.sum(), np.float32)


def _within(value: float) -> float:
    return min(max(value, 0.0), 1.0)


_REACH_STEPS = 10  # a tenth of a second to either side
_MIDDLE = _FIRST_KEPT + STEPS_PER_FRAME // 2
_SYLLABLE = _bell(4.0, _REACH_STEPS)
_FIFTH = np.full(2 * _REACH_STEPS + 1, 1.0 / (2 * _REACH_STEPS + 1), np.float32)


@functools.cache
def _silence() -> tuple[Array, Array]:
    """Return the model's state after two seconds of silence."""
    ear = Ear()
    shapes = {entry.name: entry.shape for entry in _session().get_inputs()}
    recent, memory = (np.zeros(shapes[name], np.float32) for name in ("recent", "memory"))
    for _ in range(50):
        heard = ear.hear(np.zeros(FRAME, np.float32))
        _, recent, memory = _session().run(
            None, {"features": heard.features[None], "recent": recent, "memory": memory}
        )
    return recent, memory


def mono_samples(samples: npt.ArrayLike) -> Array:
    """Return samples as `[n] float32`; what cannot be mono sound in [-1, 1] is refused.

    Raises:
        InputError: they are not floating-point numbers in one row, not finite, or far too loud.
    """
    wanted = "give mono float samples [n] in [-1, 1] at 16 kHz"
    try:
        added = np.asarray(samples)
    except (TypeError, ValueError):  # rows of unequal length, for one
        raise InputError(f"samples of unequal length are no sound; {wanted}.") from None
    if added.dtype.kind != "f":
        raise InputError(f"samples of type {added.dtype} are no sound; {wanted}.")
    if added.ndim != 1:
        raise InputError(f"samples of shape {added.shape} are no sound; {wanted}.")
    if len(added) and not (peak := float(np.abs(added).max())) <= _LOUDEST:
        raise InputError(f"samples that reach {peak:g} are no sound; {wanted}.")
    return added.astype(np.float32, copy=False)


class CueStream:
    """Turns sound into cues as it comes. Memory and the cost of a frame do not grow."""

    def __init__(self) -> None:
        self._ear = Ear()
        self._recent, self._memory = _silence()
        self._waiting = np.zeros(0, np.float32)  # samples that do not fill a block yet
        self._samples = 0
        self._blocks = 0
        self._finished = False
        # loudness, pitch (semitones above 100 Hz, nan where there is none), voicing, flux,
        # sibilance
        self._tracks = np.zeros((5, _KEPT_STEPS), np.float32)
        self._tracks[0], self._tracks[1] = -70.0, np.nan
        self._gate = 0.0
        self._since_start, self._since_end = 0.0, math.inf  # seconds
        self._pitch_sum = 12.0 * math.log2(_PITCH_HZ / 100.0) * _PITCH_FRAMES
        self._pitch_weight = _PITCH_FRAMES
        self._loudness_sum, self._loudness_weight = (
            _LOUDNESS_DB * _LOUDNESS_FRAMES,
            _LOUDNESS_FRAMES,
        )

    def push(self, samples: npt.ArrayLike) -> Array:
        """Take more samples `[n]` (mono at 16 kHz, in [-1, 1]); return the rows `[t, len(CUES)]`
        that are now known.

        Raises:
            InputError: these are no such samples, or the stream is finished.
        """
        if self._finished:
            raise InputError("this stream of cues is finished; start another.")
        added = mono_samples(samples)
        self._samples += len(added)
        waiting = np.concatenate([self._waiting, added])
        whole = len(waiting) // FRAME * FRAME
        self._waiting = waiting[whole:].copy()
        return self._take(waiting[:whole])

    def finish(self) -> Array:
        """Return the rows that are still due: silence follows the last sample."""
        if self._finished:
            return np.zeros((0, len(CUES)), np.float32)
        self._finished = True
        frames = math.ceil(self._samples / FRAME)
        if not frames:
            return np.zeros((0, len(CUES)), np.float32)
        missing = (frames + LOOK_AHEAD_FRAMES - self._blocks) * FRAME - len(self._waiting)
        return self._take(np.pad(self._waiting, (0, missing)))

    def _take(self, samples: Array) -> Array:
        rows = []
        for block in samples.reshape(-1, FRAME):
            heard = self._ear.hear(block)
            inputs = {
                "features": heard.features[None],
                "recent": self._recent,
                "memory": self._memory,
            }
            outputs, self._recent, self._memory = _session().run(None, inputs)
            self._keep(heard)
            self._blocks += 1
            if self._blocks > LOOK_AHEAD_FRAMES:
                rows.append(self._row(outputs[0]))
        return np.stack(rows) if rows else np.zeros((0, len(CUES)), np.float32)

    def _keep(self, heard: Heard) -> None:
        count = STEPS_PER_FRAME
        self._tracks[:, :-count] = self._tracks[:, count:]
        new = self._tracks[:, -count:]
        new[0] = np.minimum(np.maximum(heard.loudness, -45.0), 12.0)
        pitched = (heard.voicing > _PITCHED) & (heard.loudness > _LOUD_DB)
        new[1] = np.where(pitched, 12.0 * np.log2(heard.pitch_hz / 100.0), np.nan)
        new[2], new[3], new[4] = heard.voicing, heard.flux, heard.sibilance

    def _row(self, outputs: Array) -> Array:
        """Return a frame's cues from the model's `[4, outputs]` and the signal around."""
        # Plain numbers: so few are reckoned faster without arrays.
        steps = outputs.tolist()
        gates = [self._permit(step[_VOICE]) for step in steps]
        voice = sum(gates) / len(gates)
        low, high = _CLOSURE_RANGE
        closing = max(
            _within((step[_CLOSURE] - low) / (high - low)) * gate
            for step, gate in zip(steps, gates, strict=True)
        )
        articulators = [
            _within((step[_FIRST_ARTICULATOR + index] - rest) * reach) * gate
            for index, (rest, reach) in enumerate(zip(_REST, _REACH, strict=True))
            for step, gate in zip(steps, gates, strict=True)
        ]
        sounds = [
            sum(step[index] * gate for step, gate in zip(steps, gates, strict=True)) / len(gates)
            for index in range(len(CLASSES))
        ]
        sounds[_SILENCE] += 1.0 - voice
        row = (*articulators, *sounds, closing, voice, *self._prosody(voice), *self._clocks(voice))
        return np.array(row, np.float32)

    def _permit(self, chance: float) -> float:
        """Return how far the mouth may move at the next step."""
        low, high = _VOICE_RANGE
        wanted = _within((chance - low) / (high - low))
        self._gate = min(max(wanted, self._gate - _SHUT_PER_STEP), self._gate + _OPEN_PER_STEP)
        return self._gate

    def _prosody(self, voice: float) -> tuple[float, ...]:
        """Return loudness, effort, pitch, voiced, flux, stress and sibilance."""
        first, last = _FIRST_KEPT, _FIRST_KEPT + STEPS_PER_FRAME
        _, _, voicing, flux, sibilance = self._tracks[:, first:last].tolist()
        around = self._tracks[0, _MIDDLE - _REACH_STEPS : _MIDDLE + _REACH_STEPS + 1]
        level = float(self._tracks[0, first:last].mean())
        near = sorted(p for p in self._tracks[1, first - 2 : last + 2].tolist() if p == p)
        mean_pitch = self._pitch_sum / self._pitch_weight
        mean_level = self._loudness_sum / self._loudness_weight
        octaves, sure = 0.0, min(1.0, len(near) / 4.0)
        if near:
            middle_pitch = near[len(near) // 2]
            octaves = (middle_pitch - mean_pitch) / 12.0
            if abs(octaves) > _LEAP_OCTAVES:  # half or a multiple of a period, or another voice
                octaves, sure = 0.0, 0.0
        wide, syllable = float(around @ _FIFTH), float(around @ _SYLLABLE)
        effort = min(max((wide - mean_level) / 12.0, -1.0), 1.5)
        stress = (syllable - mean_level) / 6.0 + min(max(octaves * 4.0, -1.5), 1.5) * sure
        keep = 1.0 - 1.0 / _MEMORY_FRAMES
        if voice > 0.5 and level > _LOUD_DB:
            self._loudness_sum = self._loudness_sum * keep + level
            self._loudness_weight = self._loudness_weight * keep + 1.0
            if len(near) >= 4:
                self._pitch_sum = self._pitch_sum * keep + middle_pitch
                self._pitch_weight = self._pitch_weight * keep + 1.0
        return (
            voice * max(0.0, level + 40.0) / 40.0,
            voice * effort,
            voice * octaves * sure,
            voice * sum(voicing) / STEPS_PER_FRAME,
            voice * min(max(flux) / 6.0, 1.5),
            voice * min(max(stress / 2.0, -1.0), 1.5),
            voice * sum(sibilance) / STEPS_PER_FRAME,
        )

    def _clocks(self, voice: float) -> tuple[float, float]:
        seconds = STEPS_PER_FRAME / STEP_HZ
        if voice > 0.5:
            self._since_start, self._since_end = self._since_start + seconds, 0.0
        else:
            self._since_start, self._since_end = 0.0, self._since_end + seconds
        return (1.0 - math.exp(-self._since_start), 1.0 - math.exp(-self._since_end))


def read_cues(source: Speech | npt.ArrayLike) -> Array:
    """Return the cues `[ceil(N / 640), len(CUES)]` of a whole recording.

    Args:
        source: speech, or mono samples `[N]` at 16 kHz in [-1, 1].

    Raises:
        InputError: these are no such samples.
    """
    stream = CueStream()
    first = stream.push(source.samples if isinstance(source, Speech) else source)
    return np.concatenate([first, stream.finish()])
