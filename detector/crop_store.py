"""Crops on disk: one file a film and recipe, named by both, read as it is needed.

A film is known by the sha256 of its bytes, pictures in a folder or tar by that of their hashes, so
that what was moved, packed or indexed anew is not cut again, and what was made anew is.
"""

import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from obverse.datasets.footage import Source, footage_at
from obverse.detector.crops import FaceTrack, FilmFaces, read_film
from obverse.detector.recipe import CropRecipe
from obverse.errors import InputError
from obverse.faces.landmarks import FaceReader
from obverse.files import write_whole
from obverse.workers import spread

__all__ = [
    "CutJob",
    "cut_many",
    "cut_once",
    "kept_path",
    "load_faces",
    "open_reader",
    "save_faces",
]

_FIELDS = ("times", "boxes", "moments", "crops", "landmarks", "squares")
_DTYPES: dict[str, Any] = {"U8": np.uint8, "I16": np.int16, "I32": np.int32, "F32": np.float32}
_OPEN = 512  # films whose maps are held


def kept_path(film: Source, recipe: CropRecipe, store: Path) -> Path:
    """Return where a film's crops are kept.

    Raises:
        InputError: the film is absent.
    """
    footage = footage_at(film)
    digest = footage.sha256()
    # Pictures have no clock: another rate is another film.
    rate = f"-{footage.fps:g}fps" if footage.form == "pictures" else ""
    return store / digest[:2] / f"{digest[:32]}-{recipe.digest}{rate}.safetensors"


def cut_once(film: Source, recipe: CropRecipe, store: Path, reader: FaceReader) -> Path:
    """Cut a film's faces unless they are kept already; returns the kept file.

    Raises:
        InputError: the film cannot be read.
    """
    path = kept_path(film, recipe, store)
    if not path.is_file():
        save_faces(path, read_film(film, recipe, reader))
    return path


class CutJob(NamedTuple):
    """One film to be cut."""

    name: str
    film: Source
    recipe: CropRecipe
    store: Path


@functools.cache
def open_reader() -> FaceReader:
    """Return this process's reader of faces, on one thread."""
    return FaceReader()


def _cut(job: CutJob) -> Path:
    return cut_once(job.film, job.recipe, job.store, open_reader())


def cut_many(
    jobs: Sequence[CutJob],
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[dict[str, Path], dict[str, str]]:
    """Cut many films, each unless it is kept already.

    Args:
        jobs: the films, each with a name of its own.
        workers: processes.
        progress: told how many are done, of how many.

    Returns:
        The kept file by name, and why others cannot be read by name.
    """
    kept: dict[str, Path] = {}
    errors: dict[str, str] = {}
    if progress is not None:
        progress(0, len(jobs))
    for job, result in spread(_cut, jobs, workers):
        if isinstance(result, Path):
            kept[job.name] = result
        elif isinstance(result, InputError | MemoryError):
            errors[job.name] = str(result)
        else:
            raise result
        if progress is not None:
            progress(len(kept) + len(errors), len(jobs))
    return kept, errors


def save_faces(path: Path, faces: FilmFaces) -> None:
    """Keep what was cut out of a film, whole or not at all."""
    arrays = {
        f"{number}.{name}": np.ascontiguousarray(getattr(track, name))
        for number, track in enumerate(faces.tracks)
        for name in _FIELDS
    }
    if faces.sound.size:
        arrays["sound"] = faces.sound
    arrays["size"] = np.array(faces.size, np.int32)
    about = {"tracks": str(len(faces.tracks)), "seconds": repr(faces.seconds)}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, save(arrays, metadata=about))


@functools.lru_cache(maxsize=_OPEN)
def load_faces(path: Path) -> FilmFaces:
    """Open what `save_faces` wrote: pixels stay on disk until they are looked at.

    Raises:
        InputError: the file is damaged.
    """
    try:
        whole = np.memmap(path, np.uint8, mode="r")
        length = int.from_bytes(whole[:8].tobytes(), "little")
        header = json.loads(whole[8 : 8 + length].tobytes())
        about = header.pop("__metadata__")
        body = whole[8 + length :]

        def array(name: str) -> npt.NDArray[Any]:
            entry = header[name]
            begin, end = entry["data_offsets"]
            values = body[begin:end].view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])
            return values if name.endswith("crops") else np.array(values)

        tracks = tuple(
            FaceTrack(**{name: array(f"{number}.{name}") for name in _FIELDS})
            for number in range(int(about["tracks"]))
        )
        sound = array("sound") if "sound" in header else np.zeros((0, 0), np.int16)
        width, height = (int(value) for value in array("size"))
        return FilmFaces(tracks, sound, float(about["seconds"]), (width, height))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"the kept crops {path} are damaged; remove the file.") from error
