"""A physiological teacher of motion: from known phones and their sound to a whole performance.

It knows what a learned model has to find out: which sound is made when, so that lips close for
every /b/ and are rounded in time; and it draws the rest from what is known of people who talk:
blinks, saccades, postures, beats of head and brows, breath and swallows in silence, moods that come
and go. Every performance is told under which conditions it was given (emotion, main direction of
gaze, distance), so that a model can learn to follow them.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

from obverse.errors import ConfigError
from obverse.generator.articulation import Articulation, mouth_expression
from obverse.generator.bearing import bear
from obverse.generator.direction import Conditions, Style, draw_conditions, draw_style
from obverse.generator.emotions import EMOTIONS, temper_tracks
from obverse.generator.eyes import eye_expression
from obverse.generator.glances import blink_lids, draw_blinks, look_around
from obverse.generator.motion import FPS, Motion, expression_index
from obverse.generator.phones import (
    ARTICULATORS,
    CLASSES,
    STEP_HZ,
    Phone,
    articulate_phones,
    class_track,
    closure_track,
)
from obverse.generator.play import (
    add,
    brows,
    mood,
    resting_jaw,
    scale,
    settled,
    swallows,
    uneven,
)
from obverse.generator.prosody import read_prosody
from obverse.generator.speech import Speech, per_frame, read_speech_features

__all__ = [
    "CAMERA_DISTANCE",
    "Lesson",
    "as_motion",
    "teach",
]

Track = npt.NDArray[np.float64]

CAMERA_DISTANCE = 14.0  # interocular distances from the camera to the head at distance 1
_COMPENSATION = 0.96  # eyes that look at somebody stay there while the head turns
_SILENCE = CLASSES.index("silence")
_LEAD_SECONDS, _TAIL_SECONDS = 0.06, 0.10  # the mouth moves before and after the voice is heard
_JAW_KNEE = 0.46  # from here on the jaw opens ever less
_LEAN_SECONDS = 0.30  # and in which a body moves to another distance
_CLOSING = ("jawOpen", "mouthLowerDown", "mouthUpperUp", "mouthFunnel")


class Lesson(NamedTuple):
    """A performance and the conditions it was given under."""

    motion: npt.NDArray[np.float32]  # [T, 58]: expression 52, rotation 3, translation 3
    emotion: npt.NDArray[np.float32]  # [T, 8]
    gaze: npt.NDArray[np.float32]  # [T, 2]
    distance: npt.NDArray[np.float32]  # [T]


def as_motion(table: npt.NDArray[np.float32]) -> Motion:
    """Return a `Motion` of a table `[T, 58]`."""
    return Motion(table[:, :52], table[:, 52:55], table[:, 55:58])


def _filled(phones: Sequence[Phone], seconds: float) -> Iterator[Phone]:
    """Yield phones with silence wherever none is: silence too has a shape of the mouth."""
    at = 0.0
    for phone in sorted(phones, key=lambda phone: phone.start):
        if phone.start > at + 1e-6:
            yield Phone("silence", at, phone.start)
        yield phone
        at = max(at, phone.end)
    if at < seconds:
        yield Phone("silence", at, seconds)


def _speaking_mouth(articulation: Articulation, frames: int, effort: Track, style: Style) -> Track:
    """Return coefficients `[T, 52]` of the mouth's speech in the performer's own way."""
    mouth = mouth_expression(articulation, frames, effort).astype(np.float64)
    jaw = mouth[:, expression_index("jawOpen")]
    wide = np.maximum(jaw - _JAW_KNEE, 0.0)
    eased = jaw - wide + _JAW_KNEE * np.tanh(wide / _JAW_KNEE)  # no jaw opens without limit
    for name in ("jawOpen", "mouthClose"):
        mouth[:, expression_index(name)] *= eased / np.maximum(jaw, 1e-6)
    scale(mouth, style.lips, "mouthLowerDown", "mouthUpperUp")
    scale(mouth, style.rounding, "mouthPucker", "mouthFunnel")
    scale(mouth, style.spread, "mouthStretch", "mouthSmile", "mouthDimple")
    return mouth


def teach(
    phones: Sequence[Phone],
    sound: npt.NDArray[np.float32] | Speech,
    seed: int,
    style: Style | None = None,
    conditions: Conditions | None = None,
) -> Lesson:
    """Perform speech whose phones are known: `ceil(seconds * 25)` frames, the same for the same
    arguments.

    Args:
        phones: what is said when; none is somebody who listens.
        sound: the voice alone, whose stress moves head and brows: `[N]` mono at 16 kHz, or its
            features.
        seed: draws the performance, and style and conditions where they are not given.
        style: the performer.
        conditions: of as many frames as the sound has.

    Raises:
        ConfigError: the conditions are of another length than the sound.
        InputError: the samples are none or not finite.
    """
    speech = sound if isinstance(sound, Speech) else read_speech_features(sound)
    frames, steps = speech.frames, len(speech.loudness)
    streams = [np.random.default_rng([seed, part]) for part in range(7)]
    style = style or draw_style(streams[0])
    conditions = conditions or draw_conditions(frames, streams[1])
    if len(conditions.distance) != frames:
        raise ConfigError(
            f"the conditions last {len(conditions.distance)} frames and the sound {frames}."
        )
    mouth_rng, head_rng, eye_rng, brow_rng, mood_rng = streams[2:]
    told = tuple(_filled(phones, speech.seconds))
    voice = _voice(told, steps)
    prosody = read_prosody(speech, voice)
    emotion = conditions.emotion.astype(np.float64)
    temper = temper_tracks(settled(emotion, 0.5))
    speaking = np.clip(gaussian_filter1d(prosody.voice, 0.10 * FPS), 0.0, 1.0)

    articulation = _articulation(told, voice, steps)
    effort = np.clip(style.mouth * temper["mouth"] * prosody.effort**1.5, 0.4, 2.6)
    mouth = _speaking_mouth(articulation, frames, effort, style)
    shut = _shut(articulation, frames)
    moods = mood(emotion, speaking, temper["pace"], style, mood_rng)
    rest = resting_jaw(prosody, style, mouth_rng) * (1.0 - shut)
    swallow = swallows(prosody, emotion[:, EMOTIONS.index("nervous")], mouth_rng)
    # Lips that press or are pressed by a mood are not apart.
    rest = rest * np.clip(1.0 - 2.0 * swallow[:, expression_index("mouthPressLeft")], 0.0, 1.0)
    rest = np.maximum(rest - 0.25 * moods[:, expression_index("mouthPressLeft")], 0.0)
    jaw = mouth[:, expression_index("jawOpen")]
    hang = np.maximum(rest - jaw, 0.0)
    scale(moods, 1.0 - shut, *_CLOSING)
    # Rounded lips give up the corners.
    rounded = mouth[:, expression_index("mouthPucker")] / 0.9
    scale(moods, 1.0 - 0.45 * np.clip(rounded, 0.0, 1.0), "mouthSmile", "mouthStretch")
    table = mouth + moods + swallow
    add(table, hang, jawOpen=1.0, mouthLowerDown=0.5, mouthUpperUp=0.15)
    table += brows(prosody, temper["brow"] * style.brow, brow_rng)

    glances = look_around(prosody, temper["aversion"], style.gaze, eye_rng)
    rate = style.blink_rate_hz * temper["blink"]
    main = conditions.gaze[:, ::-1].astype(np.float64)
    turns = np.flatnonzero(np.abs(np.diff(main, axis=0)).max(1) > np.deg2rad(4.0)) / FPS
    lids = blink_lids(
        draw_blinks(prosody, rate, np.sort(np.concatenate([glances.shifts, turns])), eye_rng),
        frames,
        eye_rng,
    )
    rotation, translation = bear(
        prosody,
        temper,
        glances.angles + 0.35 * main,
        size=style.head,
        nodding=style.nodding,
        rng=head_rng,
    )
    translation[:, 2] += CAMERA_DISTANCE * (
        settled(conditions.distance.astype(np.float64)[:, None], _LEAN_SECONDS)[:, 0] - 1.0
    )
    uneven(table, style, mood_rng)
    scale(table, 1.0 - lids, "eyeWide")
    scale(table, 1.0 - 0.6 * lids, "eyeSquint")
    droop = table[:, [expression_index(f"eyeBlink{side}") for side in ("Left", "Right")]]
    table += eye_expression(
        main + glances.angles, rotation[:, :2], np.zeros(frames), eye_rng, _COMPENSATION
    )
    for side, name in enumerate(("Left", "Right")):
        slack = float(eye_rng.uniform(0.97, 1.0))
        column = expression_index(f"eyeBlink{name}")
        table[:, column] = droop[:, side] + (slack - droop[:, side]) * lids
    add(table, lids, cheekSquint=0.05, browDown=0.04)
    motion = np.concatenate([np.clip(table, 0.0, 1.0), rotation, translation], 1)
    return Lesson(
        motion.astype(np.float32), conditions.emotion, conditions.gaze, conditions.distance
    )


def _voice(phones: Sequence[Phone], steps: int) -> npt.NDArray[np.float32]:
    """Return where the mouth may move `[S]` in [0, 1]."""
    said = (class_track(phones, steps) != _SILENCE).astype(np.float64)
    lead, tail = round(_LEAD_SECONDS * STEP_HZ), round(_TAIL_SECONDS * STEP_HZ)
    padded = np.pad(said, (tail, lead))
    wide = np.lib.stride_tricks.sliding_window_view(padded, tail + lead + 1).max(1)
    return np.asarray(np.minimum(1.0, gaussian_filter1d(wide, 3.0)), np.float32)


def _articulation(
    phones: Sequence[Phone], voice: npt.NDArray[np.float32], steps: int
) -> Articulation:
    """Return what the articulators do; lips shut for every bilabial, however short."""
    tracks = articulate_phones(phones, steps)
    close, bite = ARTICULATORS.index("close"), ARTICULATORS.index("bite")
    tracks[:, close] = np.maximum(tracks[:, close], closure_track(phones, steps))
    tracks[:, bite] = np.maximum(tracks[:, bite], 0.9 * closure_track(phones, steps, "labial"))
    sounds = np.eye(len(CLASSES), dtype=np.float32)[class_track(phones, steps)]
    return Articulation(tracks, sounds, voice)


def _shut(articulation: Articulation, frames: int) -> Track:
    """Return `[T]` in [0, 1] how firmly the lips are shut by a sound."""
    tracks = articulation.tracks
    close, bite = ARTICULATORS.index("close"), ARTICULATORS.index("bite")
    firm = np.maximum(tracks[:, close], 0.7 * tracks[:, bite]).astype(np.float64)
    middle = np.pad(firm, (0, 4), mode="edge")[1::4][:frames]
    return np.asarray(
        np.maximum(per_frame(firm, frames), np.pad(middle, (0, frames - len(middle))))
    )
