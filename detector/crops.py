"""Cuts the faces out of a clip by a recipe, so that a detector sees the same part of every face.

Frames come one moment at a time: what is held is one burst of frames, whatever the film's length.
In a burst faces are searched for in some frames; between them their position glides, and their size
is the burst's median: crops are aligned without the landmarks' own jitter, which would be a motion
that nobody made.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from obverse.datasets.footage import Footage, Pictures, Source, footage_at
from obverse.detector.recipe import SOUND_HZ, CropRecipe
from obverse.detector.tracks import Linker
from obverse.errors import InputError
from obverse.faces.landmarks import Face, FaceReader
from obverse.media.audio import read_speech
from obverse.media.video import VideoInfo, probe, read_moments

__all__ = [
    "MESH",
    "Alter",
    "Cutter",
    "FaceCutter",
    "FaceTrack",
    "FilmFaces",
    "Moment",
    "cut_faces",
    "cut_square",
    "read_film",
    "read_with",
    "schedule_of",
]

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Moment = list[tuple[float, Image]]  # the frames of a burst with their seconds
Alter = Callable[[Image, float], Image]

MESH = 468  # landmarks without the irises
OUTER_EYES = (33, 263)
LIPS = (61, 291, 0, 17)  # corners, top, bottom
LARGE_PX = 48  # of the searched picture; from here on as many are found as at any size
MOUTH_SHARE = 0.5  # side of the mouth's region in sides of the face


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class FaceTrack:
    """One person's face through a clip, in the frames that were looked at and show it."""

    times: Floats  # [N] seconds
    boxes: Floats  # [N, 4] x0, y0, x1, y1 px of the clip
    moments: npt.NDArray[np.int32]  # [N] of the recipe's schedule; a burst shares one
    crops: Image  # [N, S, S, 3] RGB
    landmarks: Floats  # [N, 468, 2] px of the crop
    squares: Floats  # [N, 2, 3] affine maps from px of the crop to px of the clip

    def __len__(self) -> int:
        """Return the number of crops."""
        return len(self.times)

    def bursts(self, length: int) -> list[npt.NDArray[np.intp]]:
        """Return the indices of each moment's crops, of those that have `length` of them."""
        found = [np.flatnonzero(self.moments == moment) for moment in np.unique(self.moments)]
        return [indices for indices in found if len(indices) == length]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class FilmFaces:
    """What was cut out of a film."""

    tracks: tuple[FaceTrack, ...]  # that with most crops first
    sound: npt.NDArray[np.int16]  # [moments, samples] at 16 kHz; [0, 0] where there is none
    seconds: float
    size: tuple[int, int]  # width, height


def cut_square(image: Image, square: Floats, size_px: int) -> Image:
    """Return the crop `[S, S, 3]` that an affine map `[2, 3]` from its pixels to the image names.

    Outside the picture its border is repeated.
    """
    # Shrink with averaging: sample at a whole multiple of the crop's size first.
    scale = float(np.hypot(square[0, 0], square[1, 0]))
    factor = max(1, round(scale))
    size = size_px * factor
    matrix = np.array(square, np.float64)
    matrix[:, :2] /= factor
    matrix[:, 2] -= matrix[:, :2] @ np.full(2, (factor - 1) / 2)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    crop = cv2.warpAffine(image, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    if factor > 1:
        crop = cv2.resize(crop, (size_px, size_px), interpolation=cv2.INTER_AREA)
    return np.asarray(crop, np.uint8)


def _square_about(points: Floats, recipe: CropRecipe, side: float | None = None) -> Floats:
    """Return the map of the crop about landmarks `[468, 2]`, level with the eyes.

    Args:
        points: the landmarks, px.
        recipe: how to cut.
        side: of the face, px; that of the landmarks' bounds where it is not given.
    """
    landmarks = points.astype(np.float64)
    dx, dy = landmarks[OUTER_EYES[1]] - landmarks[OUTER_EYES[0]]
    angle = float(np.arctan2(dy, dx))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    level = landmarks @ turn
    low, high = level.min(axis=0), level.max(axis=0)
    middle = (low + high) / 2 if recipe.region == "face" else level[list(LIPS)].mean(axis=0)
    whole = float((high - low).max()) if side is None else side
    share = 1.0 if recipe.region == "face" else MOUTH_SHARE
    scale = max(whole * share * recipe.margin, 1.0) / recipe.size_px
    matrix = np.empty((2, 3))
    matrix[:, :2] = turn * scale
    matrix[:, 2] = turn @ middle - matrix[:, :2] @ np.full(2, (recipe.size_px - 1) / 2)
    return matrix.astype(np.float32)


def _side(points: Floats) -> float:
    """Return the longer side of landmarks' bounds, level with the eyes."""
    dx, dy = points[OUTER_EYES[1]] - points[OUTER_EYES[0]]
    angle = float(np.arctan2(dy, dx))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    level = points @ turn
    return float((level.max(axis=0) - level.min(axis=0)).max())


def _glide(known: npt.NDArray[np.intp], values: Floats, count: int) -> Floats:
    """Return values `[count, ...]` that are given at some indices, straight between them."""
    at = np.arange(count)
    before = np.clip(np.searchsorted(known, at, side="right") - 1, 0, len(known) - 1)
    after = np.minimum(before + 1, len(known) - 1)
    share = np.clip((at - known[before]) / np.maximum(known[after] - known[before], 1), 0, 1)
    weight = share.reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray(values[before] * (1 - weight) + values[after] * weight, np.float32)


class _Growing:
    """A track while it grows."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, Floats, int, Image, Floats, Floats]] = []
        self.moments = 0

    def add(self, moment: int, frames: Moment, seen: dict[int, Floats], recipe: CropRecipe) -> None:
        """Cut a burst's frames; `seen` holds landmarks `[468, 2]` by frame, at least one."""
        self.moments += 1
        known = sorted(seen)
        stack = np.stack([seen[index] for index in known])
        gliding = _glide(np.array(known), stack, len(frames))
        side = float(np.median([_side(points) for points in stack]))
        for (seconds, image), points in zip(frames, gliding, strict=True):
            square = _square_about(points, recipe, side)
            inside = (points - square[:, 2]) @ np.linalg.inv(square[:, :2]).T
            box = np.concatenate([points.min(axis=0), points.max(axis=0)])
            crop = cut_square(image, square, recipe.size_px)
            self.rows.append((seconds, box, moment, crop, inside.astype(np.float32), square))

    def finish(self) -> FaceTrack:
        """Return the track."""
        times, boxes, moments, crops, landmarks, squares = zip(*self.rows, strict=True)
        return FaceTrack(
            np.array(times, np.float32),
            np.stack(boxes).astype(np.float32),
            np.array(moments, np.int32),
            np.stack(crops),
            np.stack(landmarks),
            np.stack(squares),
        )


class _Search:
    """Looks for faces in pictures in turn: at half the size where all faces were large.

    Every few pictures one is searched in full, so that a small face that appears is seen soon, and
    where fewer faces are seen than in the picture before.
    """

    def __init__(self, recipe: CropRecipe) -> None:
        self._full, self._every = recipe.search_px, recipe.search_every
        self._half = max(64, recipe.search_px // 2)
        self._since_full = recipe.search_every
        self._large = False
        self._count = 0

    def faces(self, image: Image, reader: FaceReader) -> list[Face]:
        """Return the faces of the next picture, largest first."""
        self._since_full += 1
        found: list[Face] = []
        halved = self._large and self._since_full < self._every
        if halved:
            found = reader.survey(image, self._half)
        if not halved or len(found) < self._count:
            found = reader.survey(image, self._full)
            self._since_full = 0
        scale = min(1.0, self._half / max(image.shape[:2]))
        self._large = bool(found) and min(face.side for face in found) * scale >= LARGE_PX
        self._count = len(found)
        return found


class Cutter(Protocol):
    """Cuts faces out of a film's moments as they come."""

    def add(self, frames: Moment) -> None:
        """Take the next moment's frames."""
        ...

    def finish(self) -> tuple[FaceTrack, ...]:
        """Return the faces, with places in pixels of the frames that were given."""
        ...


class FaceCutter:
    """Links and cuts the faces in a film's moments as they come; holds crops, not frames."""

    def __init__(self, recipe: CropRecipe, reader: FaceReader) -> None:
        """Begin a film."""
        self._recipe, self._reader = recipe, reader
        self._growing: dict[int, _Growing] = {}
        self._linker = Linker(recipe)
        self._search = _Search(recipe)
        self._count = 0

    def add(self, frames: Moment) -> None:
        """Take the next moment's frames."""
        recipe, moment = self._recipe, self._count
        self._count += 1
        seen: dict[int, dict[int, Floats]] = {}
        for index in sorted({*range(0, len(frames), recipe.every), len(frames) - 1}):
            image = frames[index][1]
            found = self._search.faces(image, self._reader)
            faces = [face for face in found if face.side >= recipe.min_px]
            for number, face in zip(self._linker.link(moment, image, faces), faces, strict=True):
                seen.setdefault(number, {})[index] = face.landmarks[:MESH, :2].astype(np.float32)
        for number, marks in seen.items():
            self._growing.setdefault(number, _Growing()).add(moment, frames, marks, recipe)

    def finish(self) -> tuple[FaceTrack, ...]:
        """Return the faces, that with most crops first."""
        least = self._recipe.track_share * self._count
        tracks = [track.finish() for track in self._growing.values() if track.moments >= least]
        return tuple(
            sorted(
                tracks,
                key=lambda track: (
                    -len(track),
                    -float(np.prod(track.boxes[:, 2:] - track.boxes[:, :2], axis=1).mean()),
                ),
            )
        )


def _cut(moments: Iterable[Moment], cutter: Cutter) -> tuple[FaceTrack, ...]:
    for frames in moments:
        cutter.add(frames)
    return cutter.finish()


def cut_faces(
    moments: Iterable[Moment], recipe: CropRecipe, reader: FaceReader
) -> tuple[FaceTrack, ...]:
    """Link and cut the faces in a film's moments; that with most crops first."""
    return _cut(moments, FaceCutter(recipe, reader))


def read_film(
    source: Source, recipe: CropRecipe, reader: FaceReader, alter: Alter | None = None
) -> FilmFaces:
    """Return what a recipe cuts out of a film, a still, or pictures in a folder or tar.

    Without tracks when it shows no face.

    Args:
        source: the film, by its path or as footage.
        recipe: how to cut.
        reader: of faces.
        alter: is given every frame that is looked at, with its second, before faces are searched
            for, and returns what is seen in its place; of the same size.

    Raises:
        InputError: the film cannot be read.
    """
    footage = footage_at(source)
    if footage.form == "film":
        return read_with(footage, recipe, FaceCutter(recipe, reader), alter)
    with footage.pictures() as pictures:
        schedule = _schedule_of_pictures(pictures, recipe)
        if len(pictures) > 1:
            return _of_pictures(pictures, recipe, FaceCutter(recipe, reader), alter, schedule)
        # One picture is worth a patient search: tiles, turned copies.
        held: list[Image] = []

        def once(image: Image, seconds: float) -> Image:
            if not held:
                held.append(image if alter is None else alter(image, seconds))
            return held[0]

        found = _of_pictures(pictures, recipe, FaceCutter(recipe, reader), once, schedule)
        if found.tracks:
            return found
        patient = FaceCutter(recipe, _Patient(reader))
        return _of_pictures(pictures, recipe, patient, once, schedule)


def read_with(
    source: Source,
    recipe: CropRecipe,
    cutter: Cutter,
    alter: Alter | None = None,
    schedule: Sequence[list[float]] | None = None,
) -> FilmFaces:
    """Return what a cutter cuts out of a film, a still, or pictures in a folder or tar.

    Args:
        source: the film, by its path or as footage.
        recipe: which frames are looked at.
        cutter: of faces.
        alter: as of `read_film`.
        schedule: the seconds of the frames to look at, a list a moment; the recipe's own for this
            film where it is not given.

    Raises:
        InputError: the film cannot be read.
    """
    footage = footage_at(source)
    if footage.form == "film":
        with footage.film() as path:
            return _of_film(path, recipe, cutter, alter, schedule)
    with footage.pictures() as pictures:
        if schedule is None:
            schedule = _schedule_of_pictures(pictures, recipe)
        return _of_pictures(pictures, recipe, cutter, alter, schedule)


def schedule_of(footage: Footage, recipe: CropRecipe) -> list[list[float]]:
    """Return the seconds of the frames that a recipe looks at: a list a moment.

    Raises:
        InputError: the film cannot be read.
    """
    if footage.form == "film":
        with footage.film() as path:
            return _schedule_of_film(path, probe(path), recipe)
    with footage.pictures() as pictures:
        return _schedule_of_pictures(pictures, recipe)


def _schedule_of_film(path: Path, info: VideoInfo, recipe: CropRecipe) -> list[list[float]]:
    if info.seconds <= 0:
        raise InputError(f"{path} lasts {info.seconds} s; a film needs at least one frame.")
    return recipe.schedule(info.seconds, info.fps, info.frames)


def _schedule_of_pictures(pictures: Pictures, recipe: CropRecipe) -> list[list[float]]:
    if len(pictures) == 1:
        return [[0.0]]
    return recipe.schedule(pictures.seconds, pictures.fps, len(pictures))


def _of_film(
    path: Path,
    recipe: CropRecipe,
    cutter: Cutter,
    alter: Alter | None,
    schedule: Sequence[list[float]] | None,
) -> FilmFaces:
    info = probe(path)
    if schedule is None:
        schedule = _schedule_of_film(path, info, recipe)
    stretch = max(1.0, max(info.width, info.height) / recipe.longest_px)
    frames = read_moments(path, _times(schedule), longest_px=recipe.longest_px)
    bursts = _bursts(frames, schedule, alter, str(path))
    tracks = _stretched(_cut(bursts, cutter), stretch)
    sound = np.zeros((0, 0), np.int16)
    if recipe.sound and info.has_audio:
        sound = _sound_of(path, schedule, recipe)
    return FilmFaces(tracks, sound, info.seconds, (info.width, info.height))


def _of_pictures(
    pictures: Pictures,
    recipe: CropRecipe,
    cutter: Cutter,
    alter: Alter | None,
    schedule: Sequence[list[float]],
) -> FilmFaces:
    """Cut pictures as the frames of a silent film; those that are looked at alone are read."""
    times = _times(schedule)
    height, width = next(pictures.moments(times[:1]))[1].shape[:2]
    stretch = max(1.0, max(width, height) / recipe.longest_px)
    frames = ((seconds, _smaller(image, stretch)) for seconds, image in pictures.moments(times))
    tracks = _cut(_bursts(frames, schedule, alter, str(pictures)), cutter)
    sound = np.zeros((0, 0), np.int16)
    return FilmFaces(_stretched(tracks, stretch), sound, pictures.seconds, (width, height))


def _smaller(image: Image, stretch: float) -> Image:
    if stretch == 1:
        return image
    size = (max(1, round(image.shape[1] / stretch)), max(1, round(image.shape[0] / stretch)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _stretched(tracks: tuple[FaceTrack, ...], factor: float) -> tuple[FaceTrack, ...]:
    """Return tracks whose boxes and squares are in pixels of a film that was looked at smaller."""
    if factor == 1:
        return tracks
    found = []
    for track in tracks:
        squares = track.squares * np.float32(factor)
        squares[:, :, 2] += np.float32(factor / 2 - 0.5)  # centres of pixels are integers
        boxes = (track.boxes + np.float32(0.5)) * np.float32(factor) - np.float32(0.5)
        found.append(dataclasses.replace(track, boxes=boxes, squares=squares))
    return tuple(found)


class _Patient(FaceReader):
    """Looks for faces in tiles and in turned copies too, where a survey found none."""

    def __init__(self, reader: FaceReader) -> None:
        self._reader = reader

    def survey(self, image: Image, search_px: int = 0) -> list[Face]:
        """Return what a patient search finds."""
        del search_px
        return self._reader.read(image)


def _times(schedule: Sequence[list[float]]) -> list[float]:
    """Return the seconds of all frames, rising: two bursts of a short film may overlap."""
    times = [time for moment in schedule for time in moment]
    return list(np.maximum.accumulate(times).tolist())


def _bursts(
    frames: Iterator[tuple[float, Image]],
    schedule: Sequence[list[float]],
    alter: Alter | None,
    name: str,
) -> Iterator[Moment]:
    """Yield each moment's frames; a frame that is the nearest to two of its times comes once."""
    for moment in schedule:
        burst: Moment = []
        for _ in moment:
            try:
                seconds, image = next(frames)
            except StopIteration as error:
                raise InputError(f"{name} ends before its headers say; copy it again.") from error
            # A film slower than the burst's rate shows a frame twice: a burst keeps its length.
            burst.append((seconds, image if alter is None else alter(image, seconds)))
        yield burst


def _sound_of(
    path: Path, schedule: Sequence[list[float]], recipe: CropRecipe
) -> npt.NDArray[np.int16]:
    """Return the samples around each burst `[moments, samples]`, silence where there are none."""
    samples = read_speech(path, SOUND_HZ)
    count = recipe.sound_samples
    found = np.zeros((len(schedule), count), np.int16)
    for row, moment in zip(found, schedule, strict=True):
        first = round((moment[0] - recipe.sound_pad_seconds) * SOUND_HZ)
        begin, end = max(first, 0), min(first + count, len(samples))
        if begin < end:
            piece = np.rint(samples[begin:end] * 32767)
            row[begin - first : end - first] = piece.astype(np.int16)
    return found
