"""What the voice stresses and where it pauses: the beats that head, brows and lids move to."""

import dataclasses

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d, uniform_filter1d
from scipy.signal import find_peaks

from obverse.generator.motion import FPS
from obverse.generator.phones import STEP_HZ
from obverse.generator.speech import Speech, per_frame

__all__ = ["Prosody", "read_prosody"]

_SYLLABLE_SECONDS = 0.12  # two nuclei are at least this far apart
_PHRASE_GAP_SECONDS = 0.18  # a pause this long ends a phrase
_LOCAL_SECONDS = 4.0  # stress is relative to what is said around it
_EFFORT_PER_DB = 0.022
_EFFORT_RANGE = (0.72, 1.28)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Prosody:
    """The beats of `T` frames of speech."""

    voice: npt.NDArray[np.float64]  # [T] in [0, 1], where somebody speaks
    effort: npt.NDArray[np.float64]  # [T] about 1, how strongly
    accent_seconds: npt.NDArray[np.float64]  # [A] times of stressed syllables
    accent_strengths: npt.NDArray[np.float64]  # [A] in [0, 1]
    phrase_starts: npt.NDArray[np.float64]  # [P] seconds
    phrase_ends: npt.NDArray[np.float64]  # [P] seconds


def _around(
    track: npt.NDArray[np.float64], weight: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the weighted mean of a track over the seconds around each step."""
    width = round(_LOCAL_SECONDS * STEP_HZ) | 1
    mass = uniform_filter1d(weight, width) + 1e-6
    return np.asarray(uniform_filter1d(track * weight, width) / mass)


def read_prosody(speech: Speech, voice: npt.NDArray[np.float32]) -> Prosody:
    """Find stress and phrases; `voice` `[S]` says where the mouth may move
    (`Articulation.voice`)."""
    weight = voice.astype(np.float64) * (speech.loudness > -35.0)
    loudness = gaussian_filter1d(np.maximum(speech.loudness, -45.0).astype(np.float64), 3.0)
    louder = (loudness - _around(loudness, weight)) / 6.0
    pitched = speech.pitch_hz > 0.0
    semitones = 12.0 * np.log2(np.where(pitched, speech.pitch_hz, 100.0) / 100.0)
    higher = (semitones - _around(semitones, weight * pitched)) * pitched / 3.0
    prominence = gaussian_filter1d((louder + np.clip(higher, -1.5, 1.5)) * weight, 4.0)
    peaks, _ = find_peaks(
        np.pad(louder * weight, 1), height=0.0, distance=round(_SYLLABLE_SECONDS * STEP_HZ)
    )
    peaks = peaks - 1
    strengths = np.clip(prominence[peaks] / 2.0, 0.0, 1.0)
    # A stressed syllable outdoes its neighbours within a third of a second.
    order = [
        index
        for index, peak in enumerate(peaks)
        if strengths[index] > 0.12
        and strengths[index] >= strengths[np.abs(peaks - peak) < 0.33 * STEP_HZ].max()
    ]
    speaks = np.concatenate([[False], voice > 0.5, [False]])
    starts = np.flatnonzero(speaks[1:] & ~speaks[:-1])
    ends = np.flatnonzero(~speaks[1:] & speaks[:-1])
    if len(starts):
        apart = starts[1:] - ends[:-1] >= _PHRASE_GAP_SECONDS * STEP_HZ
        starts = starts[np.concatenate([[True], apart])]
        ends = ends[np.concatenate([apart, [True]])]
    effort = 1.0 + _EFFORT_PER_DB * (
        gaussian_filter1d(loudness, 0.2 * STEP_HZ) - np.clip(_around(loudness, weight), -20.0, 0.0)
    )
    frames = speech.frames
    return Prosody(
        voice=per_frame(voice.astype(np.float64), frames),
        effort=np.clip(per_frame(effort, frames), *_EFFORT_RANGE),
        accent_seconds=peaks[order] / STEP_HZ,
        accent_strengths=strengths[order],
        phrase_starts=starts / STEP_HZ,
        phrase_ends=np.minimum(ends / STEP_HZ, frames / FPS),
    )
