"""What methods share that edit a film: a portrait is drawn beside it, as it moves, and pasted in.

Frames are taken one at a time and held for a few, so that how the drawing lies on the film can be
smoothed over those around; a film may be of any length.
"""

import collections
import functools
import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError, FaceError
from obverse.faces.landmarks import Face, FaceReader
from obverse.faces.pose import euler_angles, head_pose
from obverse.generator.motion import Motion, rotation_matrix
from obverse.generator.paste import (
    Fit,
    Region,
    Tone,
    drawn_middle,
    fit_faces,
    paste_face,
    smoothed_fit,
)
from obverse.generator.render import Renderer

__all__ = ["Footage", "redrawn", "require_film"]

Frame = npt.NDArray[np.uint8]
Footage = Callable[[], Iterator[Frame]]  # a film's frames, taken anew at each call

_AROUND = 4  # frames to either side over which a fit is smoothed
_DEVIATION = 1.5  # frames
_PACE = 0.25  # at which colours follow
_LANDMARKS = 468
_SEEN_LEAST = 0.7  # of the frames that must show a face


class _Moment(NamedTuple):
    frame: Frame
    drawing: Frame
    drawn: npt.NDArray[np.float32]  # [468, 2] px
    seen: npt.NDArray[np.float32] | None  # [468, 2] px
    fit: Fit | None


def require_film(
    name: str, driving: Motion | None, footage: Footage | None
) -> tuple[Motion, Footage]:
    """Return what a method needs that edits a film.

    Raises:
        ConfigError: there is no film, or no motion of its face.
    """
    if driving is None or footage is None:
        raise ConfigError(
            f"the method {name!r} edits a film and there is none; make it with 'obverse corpus', "
            "or choose the method 'talk'."
        )
    return driving, footage


@functools.cache
def _reader() -> FaceReader:
    return FaceReader()


def redrawn(
    renderer: Renderer, motion: Motion, footage: Footage, region: Region
) -> Iterator[Frame]:
    """Yield the film's frames with a region of its face drawn anew.

    Args:
        renderer: of whom is drawn.
        motion: what they do, a frame each; its head moves as the film's does.
        footage: the film; frames in which no face is found for long stay as they are.
        region: what is pasted.

    Raises:
        FaceError: the film shows a face in too few of its frames.
    """
    frames = footage()
    faces = _read(frames)
    start = list(itertools.islice(faces, _AROUND + 1))
    motion = _facing(renderer, motion, [face for _, face in start])
    held: collections.deque[_Moment] = collections.deque(maxlen=2 * _AROUND + 1)
    last: Fit | None = None
    tone: Tone | None = None
    count = missing = ahead = 0

    def finished(at: int) -> Frame:
        nonlocal last, tone
        moment = held[at]
        fit = _fit_at(held, at, last)
        if fit is None:
            return moment.frame
        last = fit
        # Where the film's face was not found, the drawing's own place is the best guess.
        # Such a frame may show something else, so its colours are not followed.
        found = moment.seen is not None
        seen = moment.seen if moment.seen is not None else fit.placed(moment.drawn)
        frame, tone = paste_face(
            moment.frame,
            moment.drawing,
            moment.drawn,
            seen,
            fit,
            region,
            tone,
            _PACE if found else 0.0,
        )
        return frame

    for frame, face in itertools.chain(start, faces):
        held.append(_moment(renderer, motion, count, frame, face, region))
        count += 1
        missing += face is None
        ahead += 1
        if ahead > _AROUND:
            ahead -= 1
            yield finished(len(held) - 1 - ahead)
    for behind in range(ahead, 0, -1):
        yield finished(len(held) - behind)
    if count - missing < _SEEN_LEAST * count:
        raise FaceError(
            f"the film shows a face in {count - missing} of {count} frames; give one that shows a "
            "face throughout."
        )


def _read(frames: Iterator[Frame]) -> Iterator[tuple[Frame, Face | None]]:
    waiting: collections.deque[Frame] = collections.deque()

    def passed() -> Iterator[Frame]:
        for frame in frames:
            waiting.append(frame)
            yield frame

    for face in _reader().track(passed()):
        yield waiting.popleft(), face


def _moment(
    renderer: Renderer,
    motion: Motion,
    number: int,
    frame: Frame,
    face: Face | None,
    region: Region,
) -> _Moment:
    index = min(number, len(motion) - 1)
    pose = (motion.expression[index], motion.rotation[index], motion.translation[index])
    drawn = renderer.points(*pose)[:_LANDMARKS, :2]
    seen = None if face is None else face.landmarks[:_LANDMARKS, :2]
    fit = None if seen is None else fit_faces(drawn, seen, region)
    return _Moment(frame, renderer.frame(*pose), drawn, seen, fit)


def _fit_at(held: "collections.deque[_Moment]", at: int, last: Fit | None) -> Fit | None:
    """Return the fit of a moment, smoothed over those around it; None where there is none."""
    middle = drawn_middle(held[at].drawn)
    around = [
        (moment.fit, float(np.exp(-0.5 * ((index - at) / _DEVIATION) ** 2)))
        for index, moment in enumerate(held)
        if moment.fit is not None and abs(index - at) <= _AROUND
    ]
    if not around:
        return None if last is None else last._replace(middle=middle)
    fits, weights = zip(*around, strict=True)
    return smoothed_fit(fits, weights, middle)


def _facing(renderer: Renderer, motion: Motion, faces: list[Face | None]) -> Motion:
    """Return the motion turned so that the drawn head faces where the film's does: the still's rest
    need not be the film's.
    """
    rest = rotation_matrix(renderer.portrait.rotation)
    turns = []
    for own, face in zip(motion.rotation, faces, strict=False):
        if face is not None:
            wanted = rest.T @ rotation_matrix(head_pose(face.landmarks).rotation)
            turns.append(euler_angles(wanted @ rotation_matrix(own).T))
    if not turns:
        return motion
    offset = rotation_matrix(np.median(turns, axis=0))
    turned = [euler_angles(offset @ rotation_matrix(own)) for own in motion.rotation]
    return Motion(motion.expression, np.array(turned, np.float32), motion.translation)
