"""Speech to the shape of the mouth: articulators heard by a small acoustic model, then the 52
coefficients.

The model hears what kind of sound is made and where each articulator is, for any speaker and
language and without a transcript. Rules take over where a viewer is strict: lips that are heard to
close do close, however short the closure; a mouth in silence is still, whatever the noise.
"""

import dataclasses
import functools
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d, label, maximum, maximum_filter1d, minimum_filter1d
from scipy.signal import find_peaks

from obverse.errors import ConfigError
from obverse.generator.motion import EXPRESSIONS, expression_index
from obverse.generator.phones import ARTICULATORS, CLASSES, STEP_HZ
from obverse.generator.speech import STEPS_PER_FRAME, Speech, per_frame
from obverse.weights import onnx_session, weight_path

__all__ = ["Articulation", "articulate", "colourless", "decimate", "mouth_expression"]

_PART = "obverse.generator"
_WEIGHTS = "articulation.onnx"
_BLOCK_STEPS = 20 * STEP_HZ  # the model hears this much at a time
_CONTEXT_STEPS = 64  # its reach to either side, and more

_LOUD_DB = -25.0  # relative to the loud parts
_COLOUR_STEPS = STEP_HZ  # a second of loud speech is half of what there is to know of its colour

_JAW, _LIPS, _SPREAD, _ROUND, _PROTRUDE, _CLOSE, _BITE, _TONGUE = range(len(ARTICULATORS))
_SILENCE, _BILABIAL, _LABIAL = (CLASSES.index(name) for name in ("silence", "bilabial", "labial"))

_CLOSURE_HEIGHT = 0.40  # probability from which a bilabial is believed
# Around it lips are shut for at least the 0.04 s between two frames, so that one shows it.
_SHUT_SECONDS = 0.02
_PART_SECONDS = 0.06  # and are as open as they would be anyhow this far from its middle
_CLOSURE_GAP_SECONDS = 0.08  # two closures closer than this are one
# What brings the spread of the model's articulators to the teacher's, in the order of ARTICULATORS.
_FLOOR = np.array([0.03, 0.03, 0.03, 0.05, 0.04, 0.0, 0.02, 0.03])
_GAIN = np.array([1.10, 1.10, 1.20, 1.25, 1.10, 1.0, 1.35, 1.20])
_LIVELY = 0.35  # of the difference to the mean around
_LIVELY_SECONDS = 0.15
_CLEAR = 0.7
_SYLLABLE_SECONDS = 0.08
_LEAD_SECONDS = 0.10  # lips part before the voice is heard
_TAIL_SECONDS = 0.16  # and meet after it


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Articulation:
    """Where the articulators are, and which sounds are heard, `S` steps at `STEP_HZ`."""

    tracks: npt.NDArray[np.float32]  # [S, 8] in [0, 1], in the order of ARTICULATORS
    sounds: npt.NDArray[np.float32]  # [S, 16] probabilities, in the order of CLASSES
    voice: npt.NDArray[np.float32]  # [S] in [0, 1]; 0 is silence and the mouth at rest

    def __post_init__(self) -> None:
        """Refuse arrays whose shapes disagree."""
        shapes = (self.tracks.shape, self.sounds.shape, self.voice.shape)
        steps = len(self.tracks)
        if shapes != ((steps, len(ARTICULATORS)), (steps, len(CLASSES)), (steps,)):
            raise ConfigError(
                f"an Articulation needs shapes [S, 8], [S, 16] and [S], not {shapes}."
            )


def colourless(mel: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Take a voice's and a microphone's own colour out of a spectrum `[S, MELS]` in dB.

    It is the mean over what is loud, and the less believed the shorter that is: a single vowel has
    a colour of its own. The model hears the rest.
    """
    loud = mel[10.0 * np.log10(np.mean(10.0 ** (mel / 10.0), 1) + 1e-12) > _LOUD_DB]
    if not len(loud):
        return mel
    colour = np.maximum(loud, -60.0).mean(0)
    belief = len(loud) / (len(loud) + _COLOUR_STEPS)
    return np.asarray(mel - belief * (colour - colour.mean()), np.float32)


@functools.cache
def _session() -> Any:
    return onnx_session(weight_path(_PART, _WEIGHTS))


def _hear(mel: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Run the model in blocks that overlap by its reach; returns (probabilities, articulators)."""
    probabilities, articulators = [], []
    for first in range(0, len(mel), _BLOCK_STEPS):
        start = max(0, first - _CONTEXT_STEPS)
        stop = min(len(mel), first + _BLOCK_STEPS + _CONTEXT_STEPS)
        heard = np.pad(mel[start:stop], ((0, (stop - start) % 2), (0, 0)), mode="edge")
        logits, tracks = _session().run(None, {"mel": heard[None]})  # it takes pairs of steps
        where = slice(first - start, min(first + _BLOCK_STEPS, len(mel)) - start)
        exponents = np.exp(logits[0, where] - logits[0, where].max(1, keepdims=True))
        probabilities.append(exponents / exponents.sum(1, keepdims=True))
        articulators.append(tracks[0, where])
    return np.concatenate(probabilities), np.concatenate(articulators)


def _voice(speech: Speech, sounds: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return where the mouth may move: where a voice is, a little before, a little after."""
    heard = gaussian_filter1d(
        (1.0 - sounds[:, _SILENCE]) * np.minimum(1.0, 1.5 * speech.activity), 3.0
    )
    # A gap shorter than a stop's closure is no silence.
    joined = minimum_filter1d(maximum_filter1d((heard > 0.35).astype(np.float32), 15), 15)
    # What is never clearly a voice is none; a click or a knock is over before a syllable would be.
    runs, count = label(joined)
    if count:
        numbers = np.arange(1, count + 1)
        clear = np.asarray(maximum(heard, runs, numbers)) > _CLEAR
        long = np.bincount(runs)[1:] >= _SYLLABLE_SECONDS * STEP_HZ
        joined = np.concatenate([[0.0], (clear & long).astype(np.float32)])[runs]
    lead, tail = round(_LEAD_SECONDS * STEP_HZ), round(_TAIL_SECONDS * STEP_HZ)
    near = np.lib.stride_tricks.sliding_window_view(np.pad(joined, (tail, lead)), tail + lead + 1)
    wide = near.max(1)  # a voice between `tail` before a step and `lead` after it
    return np.asarray(np.minimum(1.0, gaussian_filter1d(wide, 4.0)), np.float32)


def _closures(
    sounds: npt.NDArray[np.float32], track: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Return the closing of the lips `[S]`: 1 at every bilabial that is believed."""
    believed = np.maximum(gaussian_filter1d(sounds[:, _BILABIAL], 1.0), 0.9 * track)
    gap = round(_CLOSURE_GAP_SECONDS * STEP_HZ)
    peaks, _ = find_peaks(np.pad(believed, 1), height=_CLOSURE_HEIGHT, distance=gap)
    closing = np.zeros(len(track), np.float32)
    flat, reach = (round(seconds * STEP_HZ) for seconds in (_SHUT_SECONDS, _PART_SECONDS))
    offsets = np.arange(-reach, reach + 1)
    shape = np.clip((reach - np.abs(offsets)) / (reach - flat), 0.0, 1.0)
    shape = shape * shape * (3.0 - 2.0 * shape)
    for peak in peaks - 1:
        first = max(0, peak + offsets[0])
        last = min(len(closing), peak + offsets[-1] + 1)
        piece = shape[first - peak - offsets[0] : last - peak - offsets[0]]
        closing[first:last] = np.maximum(closing[first:last], piece)
    # A long closure, as in a hummed m, lasts as long as it is heard.
    held = np.clip((gaussian_filter1d(sounds[:, _BILABIAL], 2.0) - 0.4) / 0.2, 0.0, 1.0)
    return np.asarray(np.maximum(closing, held), np.float32)


def articulate(speech: Speech) -> Articulation:
    """Hear where the articulators are."""
    sounds, tracks = _hear(colourless(speech.mel))
    voice = _voice(speech, sounds)
    # A least-squares guess stays near the mean: too open in closures, too timid at the extremes.
    slow = gaussian_filter1d(tracks, _LIVELY_SECONDS * STEP_HZ, axis=0)
    lively = tracks + _LIVELY * (tracks - slow)
    tracks = np.clip((lively - _FLOOR) * _GAIN, 0.0, 1.0) * voice[:, None]
    tracks[:, _CLOSE] = _closures(sounds * voice[:, None], tracks[:, _CLOSE])
    return Articulation(tracks.astype(np.float32), sounds.astype(np.float32), voice)


# Coefficients at a fully reached articulator, as lively natural speech shows them to a landmarker.
_JAW_OPEN = 0.46
_SHAPES: tuple[tuple[int, str, float], ...] = (
    (_LIPS, "mouthLowerDownLeft", 0.34), (_LIPS, "mouthLowerDownRight", 0.34),
    (_LIPS, "mouthUpperUpLeft", 0.22), (_LIPS, "mouthUpperUpRight", 0.22),
    (_SPREAD, "mouthStretchLeft", 0.26), (_SPREAD, "mouthStretchRight", 0.26),
    (_SPREAD, "mouthSmileLeft", 0.16), (_SPREAD, "mouthSmileRight", 0.16),
    (_SPREAD, "mouthDimpleLeft", 0.10), (_SPREAD, "mouthDimpleRight", 0.10),
    (_ROUND, "mouthPucker", 0.72), (_ROUND, "mouthFunnel", 0.16),
    (_PROTRUDE, "mouthFunnel", 0.58), (_PROTRUDE, "mouthPucker", 0.15),
    (_PROTRUDE, "mouthShrugUpper", 0.10),
    (_CLOSE, "mouthPressLeft", 0.28), (_CLOSE, "mouthPressRight", 0.28),
    (_CLOSE, "mouthRollLower", 0.16), (_CLOSE, "mouthRollUpper", 0.14),
    (_CLOSE, "mouthShrugLower", 0.10),
    (_BITE, "mouthRollLower", 0.42), (_BITE, "mouthShrugLower", 0.18),
    (_BITE, "mouthUpperUpLeft", 0.16), (_BITE, "mouthUpperUpRight", 0.16),
)  # fmt: skip


def decimate(tracks: npt.NDArray[np.float32], frames: int) -> npt.NDArray[np.float32]:
    """Bring articulators `[S, 8]` to video frames: averages, but a closure or a bite is sampled.

    Averaging would leave the lips ajar in a closure of 60 ms.
    """
    soft = per_frame(tracks, frames)
    missing = frames * STEPS_PER_FRAME - len(tracks)
    padded = np.pad(tracks, ((0, max(0, missing)), (0, 0)), mode="edge")
    steps = padded[: frames * STEPS_PER_FRAME].reshape(frames, STEPS_PER_FRAME, -1)
    middle = steps[:, STEPS_PER_FRAME // 2 - 1 : STEPS_PER_FRAME // 2 + 1].mean(1)
    soft[:, [_CLOSE, _BITE]] = middle[:, [_CLOSE, _BITE]]
    return np.asarray(soft, np.float32)


def mouth_expression(
    articulation: Articulation, frames: int, effort: npt.NDArray[np.floating[Any]] | None = None
) -> npt.NDArray[np.float32]:
    """Return coefficients `[frames, 52]` with the mouth's columns filled, the others 0.

    Args:
        articulation: what the articulators do.
        frames: frames of video at 25 a second.
        effort: `[frames]`, how strongly it is spoken, about .7 to 1.3; scales jaw, lips and spread,
            never a closure.
    """
    tracks = decimate(articulation.tracks, frames).astype(np.float64)
    gain = np.ones(frames) if effort is None else np.asarray(effort, np.float64)
    close, bite = tracks[:, _CLOSE], tracks[:, _BITE]
    shut = np.clip(close + 0.75 * bite, 0.0, 1.0)
    expression = np.zeros((frames, len(EXPRESSIONS)))
    # Lips cannot be apart, spread or rounded much while pressed together.
    tracks[:, _LIPS] *= (1.0 - shut) * gain
    tracks[:, _SPREAD] *= (1.0 - 0.6 * close) * gain
    tracks[:, _ROUND] *= 1.0 - 0.5 * close
    tracks[:, _PROTRUDE] *= 1.0 - 0.7 * close
    for articulator, name, full in _SHAPES:
        expression[:, expression_index(name)] += full * tracks[:, articulator]
    jaw = _JAW_OPEN * tracks[:, _JAW] * gain
    jaw *= 1.0 - 0.65 * close - 0.45 * bite * (1.0 - close)
    expression[:, expression_index("jawOpen")] = jaw
    # mouthClose brings the lips together over an open jaw: as much of it as of jawOpen shuts them.
    expression[:, expression_index("mouthClose")] = jaw * np.clip(close + 0.4 * bite, 0.0, 1.0)
    tongue = np.clip(tracks[:, _TONGUE] - 0.55, 0.0, 1.0) * (1.0 - shut)
    expression[:, expression_index("tongueOut")] = 0.25 * tongue
    return np.clip(expression, 0.0, 1.0).astype(np.float32)
