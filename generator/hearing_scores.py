"""How well is heard: lip closures, sounds and articulators against known phones, and what moves the
mouth without a voice.

A `Listener` is anything that turns samples into `Impression`s, so that the old ear and the new one
are measured by the same ruler.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from obverse.generator.articulation import articulate, decimate
from obverse.generator.cues import CUES, read_cues
from obverse.generator.motion import FPS
from obverse.generator.phones import ARTICULATORS, CLASSES, articulate_phones, class_track
from obverse.generator.speech import (
    RATE_HZ,
    STEPS_PER_FRAME,
    per_frame,
    read_speech_features,
)
from obverse.generator.training_sound import NOISES, noise_like
from obverse.generator.training_speech import Spoken

__all__ = [
    "Impression",
    "Listener",
    "by_articulation",
    "by_cues",
    "closure_scores",
    "score",
    "stillness",
]

_BEFORE_SECONDS, _AFTER_SECONDS = 0.04, 0.06  # a closure seen this near to a sound belongs to it
_MOVED = 0.05  # an articulator beyond this moves the mouth visibly

Array = npt.NDArray[np.floating[Any]]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Impression:
    """What was heard in `T` frames of video."""

    shut: npt.NDArray[np.bool_]  # [T] the lips meet
    articulators: Array  # [T, 8]
    sounds: Array  # [T, 16] probabilities


Listener = Callable[[npt.NDArray[np.float32]], Impression]


def by_cues(samples: npt.NDArray[np.float32]) -> Impression:
    """Listen as the motion model does."""
    cues = read_cues(samples)
    split = len(ARTICULATORS) * STEPS_PER_FRAME
    steps = cues[:, :split].reshape(len(cues), len(ARTICULATORS), STEPS_PER_FRAME)
    return Impression(
        shut=cues[:, CUES.index("closure")] > 0.5,
        articulators=steps.mean(2),
        sounds=cues[:, split : split + len(CLASSES)],
    )


def by_articulation(samples: npt.NDArray[np.float32]) -> Impression:
    """Listen as the articulatory model does: to the whole recording, forwards and backwards."""
    speech = read_speech_features(samples)
    heard = articulate(speech)
    tracks = decimate(heard.tracks, speech.frames)
    sounds = per_frame(heard.sounds * heard.voice[:, None], speech.frames)
    sounds[:, CLASSES.index("silence")] += 1.0 - per_frame(heard.voice, speech.frames)
    return Impression(tracks[:, ARTICULATORS.index("close")] > 0.5, tracks, sounds)


def closure_scores(
    shut: npt.NDArray[np.bool_], bilabials: Sequence[tuple[float, float]]
) -> tuple[int, int, int]:
    """Return (sounds met by a closure, closures that meet a sound, closures).

    Args:
        shut: `[T]` frames in which the lips meet; a run of them is one closure.
        bilabials: start and end of every p, b and m, in seconds.
    """
    edges = np.diff(np.concatenate([[0], shut.astype(np.int8), [0]]))
    runs = [
        (first / FPS, last / FPS)
        for first, last in zip(np.flatnonzero(edges > 0), np.flatnonzero(edges < 0), strict=True)
    ]

    def meet(run: tuple[float, float], sound: tuple[float, float]) -> bool:
        return run[0] < sound[1] + _AFTER_SECONDS and sound[0] - _BEFORE_SECONDS < run[1]

    met = sum(any(meet(run, sound) for run in runs) for sound in bilabials)
    right = sum(any(meet(run, sound) for sound in bilabials) for run in runs)
    return met, right, len(runs)


def score(spoken: Sequence[Spoken], listen: Listener = by_cues) -> dict[str, dict[str, float]]:
    """Return, for each voice, closure recall and precision, accuracy of classes and correlation of
    each articulator with the teacher, at 25 frames a second."""
    counts: dict[str, list[tuple[int, int, int, int]]] = {}
    rows: dict[str, list[tuple[Array, ...]]] = {}
    for item in spoken:
        heard = listen(item.samples)
        frames = len(heard.shut)
        steps = frames * STEPS_PER_FRAME
        bilabials = [(p.start, p.end) for p in item.phones if p.sound == "bilabial"]
        counts.setdefault(item.voice, []).append(
            (len(bilabials), *closure_scores(heard.shut, bilabials))
        )
        classes = np.eye(len(CLASSES))[class_track(item.phones, steps)]
        told = per_frame(articulate_phones(item.phones, steps), frames)
        right = heard.sounds.argmax(1) == per_frame(classes, frames).argmax(1)
        rows.setdefault(item.voice, []).append((right, heard.articulators, told))
    report = {}
    for voice, parts in rows.items():
        said, met, believed, closures = np.sum(counts[voice], 0)
        right, heard_all, told_all = (np.concatenate(part) for part in zip(*parts, strict=True))
        report[voice] = {
            "closure_recall": float(met / max(said, 1)),
            "closure_precision": float(believed / max(closures, 1)),
            "class_accuracy": float(right.mean()),
        }
        for index, name in enumerate(ARTICULATORS):
            pair = np.corrcoef(heard_all[:, index], told_all[:, index])
            report[voice][name] = float(pair[0, 1])
    return report


def stillness(
    listen: Listener = by_cues, seconds: float = 8.0, seed: int = 7
) -> Mapping[str, float]:
    """Return the share of frames in which a mouth would move, for sounds that are no voice."""
    count = round(seconds * RATE_HZ)
    rng = np.random.default_rng(seed)
    sounds: dict[str, list[Array]] = {
        "silence": [np.zeros(count)],
        "white noise": [0.05 * rng.standard_normal(count)],
        "brown noise": [0.002 * np.cumsum(rng.standard_normal(count))],
    }
    for kind in NOISES:
        sounds[kind] = [0.08 * noise_like(rng, count, kind) for _ in range(6)]
    return {
        name: float(
            np.mean(
                [
                    (listen(one.astype(np.float32)).articulators.max(1) > _MOVED).mean()
                    for one in examples
                ]
            )
        )
        for name, examples in sounds.items()
    }
