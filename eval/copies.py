"""What a detector sees of a clip's changed copies, without a file for each: crops, not frames."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from obverse.datasets.footage import Source
from obverse.detector.crops import (
    Alter,
    Cutter,
    FaceCutter,
    FaceTrack,
    FilmFaces,
    Moment,
    read_film,
    read_with,
)
from obverse.detector.follow import FaceFollower
from obverse.detector.recipe import CropRecipe
from obverse.eval.distortions import FrameStep
from obverse.faces.landmarks import FaceReader

__all__ = ["alter_of", "follow_altered", "read_altered", "with_crops"]

Image = npt.NDArray[np.uint8]


def alter_of(steps: Sequence[FrameStep], seed: int) -> Alter:
    """Return what changes the frames of a film, one after the other; draws begin with `seed`."""
    rng = np.random.default_rng(seed)

    def alter(image: Image, seconds: float) -> Image:
        del seconds
        for step in steps:
            image = step.apply(image, rng)
        return image

    return alter


def read_altered(
    source: Source,
    recipe: CropRecipe,
    reader: FaceReader,
    alters: Mapping[str, Callable[[], Alter]],
) -> tuple[FilmFaces, dict[str, FilmFaces]]:
    """Return what a recipe cuts out of a film, and out of the film changed in several ways.

    Faces are searched for in each copy. The film is decoded once; held are the crops, not the
    frames.

    Args:
        source: the film, by its path or as footage.
        recipe: how to cut.
        reader: of faces.
        alters: by name, what makes a function that changes each frame that is looked at.

    Raises:
        InputError: the film cannot be read.
    """
    begun = {name: (make(), FaceCutter(recipe, reader)) for name, make in alters.items()}
    sizes: dict[str, tuple[int, int]] = {}
    burst: Moment = []
    seen = 0

    def flush() -> None:
        for name, (alter, cutter) in begun.items():
            changed = [(seconds, alter(image, seconds)) for seconds, image in burst]
            sizes[name] = (changed[0][1].shape[1], changed[0][1].shape[0])
            cutter.add(changed)
        burst.clear()

    def look(image: Image, seconds: float) -> Image:
        nonlocal seen
        seen += 1
        burst.append((seconds, image))
        if len(burst) == recipe.burst:
            flush()
        return image

    plain = read_film(source, recipe, reader, look)
    if seen == 1:  # one picture is searched more patiently
        return plain, {
            name: read_film(source, recipe, reader, make()) for name, make in alters.items()
        }
    if burst:  # a film shorter than a burst
        flush()
    return plain, {
        name: dataclasses.replace(plain, tracks=cutter.finish(), size=sizes[name])
        for name, (_, cutter) in begun.items()
    }


class _Copies:
    """Gives each moment, changed in several ways, to a cutter each; a `Cutter` itself."""

    def __init__(self, copies: Mapping[str, tuple[Alter, Cutter]]) -> None:
        self._copies = copies
        self.sizes: dict[str, tuple[int, int]] = {}  # of the pictures, by name: width, height

    def add(self, frames: Moment) -> None:
        for name, (alter, cutter) in self._copies.items():
            changed = [(seconds, alter(image, seconds)) for seconds, image in frames]
            self.sizes[name] = (changed[0][1].shape[1], changed[0][1].shape[0])
            cutter.add(changed)

    def finish(self) -> tuple[FaceTrack, ...]:
        return ()


def follow_altered(
    source: Source,
    recipe: CropRecipe,
    plain: FilmFaces,
    schedule: Sequence[list[float]],
    alters: Mapping[str, Callable[[], Alter]],
) -> dict[str, FilmFaces]:
    """Return what is seen in a film changed in several ways where its own faces are.

    The film is decoded once, and not at all where it shows no face.

    Args:
        source: the film, by its path or as footage.
        recipe: how to cut.
        plain: the film's faces, by `read_film`.
        schedule: the seconds of the frames in which they were found, by `schedule_of`.
        alters: by name, what makes a function that changes each frame that is looked at; each point
            stays where it is, up to the picture's size.

    Raises:
        InputError: the film cannot be read.
    """
    if not plain.tracks or not alters:
        return dict.fromkeys(alters, plain)
    begun = {name: (make(), FaceFollower(recipe, plain)) for name, make in alters.items()}
    copies = _Copies(begun)
    read_with(source, recipe, copies, schedule=schedule)
    return {
        name: dataclasses.replace(plain, tracks=cutter.finish(), size=copies.sizes[name])
        for name, (_, cutter) in begun.items()
    }


def with_crops(faces: FilmFaces, alter: Alter) -> FilmFaces:
    """Return what was cut out of a film, with its crops changed."""
    tracks = [
        dataclasses.replace(
            track,
            crops=np.stack(
                [
                    alter(np.array(crop), float(seconds))
                    for crop, seconds in zip(track.crops, track.times, strict=True)
                ]
            ),
        )
        for track in faces.tracks
    ]
    return dataclasses.replace(faces, tracks=tuple(tracks))
