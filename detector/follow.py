"""Cuts faces out of a copy of a film where they were found in the film: nothing is searched for.

A copy shows each point at the same place, up to the picture's size, at the same second: a film that
was blurred, made smaller or encoded anew. What a detector then says of the copy is about the copy's
pixels alone, and not about whether its faces would still be found.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from obverse.datasets.footage import Source
from obverse.detector.crops import (
    Alter,
    FaceTrack,
    FilmFaces,
    Moment,
    cut_square,
    read_with,
)
from obverse.detector.recipe import CropRecipe
from obverse.errors import InputError

__all__ = ["FaceFollower", "follow_film"]

Floats = npt.NDArray[np.float32]


class FaceFollower:
    """Cuts a film's moments as they come, where another film's faces are; a `Cutter`."""

    def __init__(self, recipe: CropRecipe, found: FilmFaces) -> None:
        """Begin a copy.

        Args:
            recipe: by which the faces were cut.
            found: the faces, by `read_film` of what this is a copy of.
        """
        self._size_px = recipe.size_px
        self._found = found
        self._count = 0
        self._shown: list[list[float]] = [[] for _ in found.tracks]
        self._crops: list[list[npt.NDArray[np.uint8]]] = [[] for _ in found.tracks]
        self._size = found.size

    def add(self, frames: Moment) -> None:
        """Take the next moment's frames.

        Raises:
            InputError: the copy shows fewer frames at this moment than the film.
        """
        moment = self._count
        self._count += 1
        height, width = frames[0][1].shape[:2]
        self._size = (width, height)
        for number, track in enumerate(self._found.tracks):
            rows = np.flatnonzero(track.moments == moment)
            if len(rows) and len(rows) != len(frames):
                raise InputError(
                    f"a copy shows {len(frames)} frames where its film shows {len(rows)}; look for "
                    "faces in each copy."
                )
            squares = _scaled(track.squares[rows], self._found.size, self._size)
            for square, (seconds, image) in zip(squares, frames, strict=False):
                self._shown[number].append(seconds)
                self._crops[number].append(cut_square(image, square, self._size_px))

    def finish(self) -> tuple[FaceTrack, ...]:
        """Return the faces, in the film's order, with places in pixels of the copy's frames."""
        return tuple(self._tracks())

    def _tracks(self) -> Iterator[FaceTrack]:
        for track, shown, crops in zip(self._found.tracks, self._shown, self._crops, strict=True):
            corners = track.boxes.reshape(-1, 2, 2).transpose(0, 2, 1)  # [N, x and y, corner]
            boxes = _scaled(corners, self._found.size, self._size, points=True)
            yield FaceTrack(
                np.array(shown, np.float32),
                np.ascontiguousarray(boxes.transpose(0, 2, 1)).reshape(-1, 4),
                track.moments,
                np.stack(crops),
                track.landmarks,
                _scaled(track.squares, self._found.size, self._size),
            )


def _scaled(
    places: Floats, before: tuple[int, int], now: tuple[int, int], *, points: bool = False
) -> Floats:
    """Return places in a picture of another size.

    Args:
        places: affine maps `[N, 2, 3]` to pixels of the picture, or points `[N, 2, M]` of it, whose
            centres are integers.
        before: width and height of the picture.
        now: of the copy.
        points: they are points.
    """
    if before == now:
        return places
    stretch = np.array([now[0] / before[0], now[1] / before[1]], np.float32)[:, None]
    found = places * stretch
    shift = (stretch - 1) / 2
    if points:
        return np.asarray(found + shift, np.float32)
    found[:, :, 2:] += shift
    return np.asarray(found, np.float32)


def follow_film(
    copy: Source,
    recipe: CropRecipe,
    found: FilmFaces,
    schedule: Sequence[list[float]],
    alter: Alter | None = None,
) -> FilmFaces:
    """Return what is seen in a copy of a film where the film's faces are, at the same moments.

    Args:
        copy: the copy; the film itself where `alter` makes it one.
        recipe: by which the faces were cut.
        found: the film's faces, by `read_film`.
        schedule: the seconds of the frames in which they were found, by `schedule_of`.
        alter: is given every frame that is looked at, with its second, and returns what is seen in
            its place.

    Raises:
        InputError: the copy cannot be read.
    """
    return read_with(copy, recipe, FaceFollower(recipe, found), alter, schedule)
