"""A clip's frames and bytes, whether it is a film, a folder of pictures, or a folder in a tar."""

import contextlib
import hashlib
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import numpy.typing as npt

from obverse.clip import Clip
from obverse.datasets.table import clip_path
from obverse.datasets.walk import PICTURES, pictures_in
from obverse.errors import InputError
from obverse.media.container import require_file
from obverse.media.still import decode_still, read_still
from obverse.media.video import read_frames
from obverse.weights import sha256_file

__all__ = [
    "Form",
    "footage_bytes",
    "footage_form",
    "footage_sha256",
    "footage_size",
    "read_footage",
]

Form = Literal["film", "still", "folder", "archive"]
Image = npt.NDArray[np.uint8]

_DIGITS = re.compile(r"(\d+)")


def footage_form(clip: Clip, folder: Path) -> Form:
    """Return what a clip's file is.

    Raises:
        InputError: there is nothing.
    """
    path = clip_path(clip, folder)
    if clip.member is not None:
        require_file(path)
        return "archive"
    if path.is_dir():
        return "folder"
    require_file(path)
    return "still" if path.suffix.lower() in PICTURES else "film"


def read_footage(clip: Clip, folder: Path, *, max_frames: int | None = None) -> Iterator[Image]:
    """Yield a clip's frames in their order, `[H, W, 3] uint8 RGB`.

    Pictures are in the order of the numbers in their names: 9.png comes before 10.png.

    Args:
        clip: the clip.
        folder: where its relative path starts.
        max_frames: stop after so many.

    Raises:
        InputError: the clip cannot be read.
    """
    path = clip_path(clip, folder)
    form = footage_form(clip, folder)
    if form == "film":
        yield from read_frames(path, max_frames=max_frames)
    elif form == "still":
        yield read_still(path)
    else:
        for count, (name, content) in enumerate(footage_bytes(clip, folder)):
            if max_frames is not None and count >= max_frames:
                return
            yield decode_still(content, f"{path}/{name}")


def footage_bytes(clip: Clip, folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each file of a clip: one for a film, one a frame for pictures.

    Raises:
        InputError: the clip cannot be read, or has no pictures.
    """
    path = clip_path(clip, folder)
    form = footage_form(clip, folder)
    try:
        if form == "archive":
            yield from _in_archive(path, str(clip.member))
        elif form == "folder":
            names = [PurePosixPath(name).name for name in pictures_in(path)]
            if not names:
                raise InputError(f"{path} holds no pictures; name the folder that does.")
            for name in sorted(names, key=_natural):
                yield name, (path / name).read_bytes()
        else:
            yield path.name, path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error


def footage_size(clip: Clip, folder: Path) -> int:
    """Return the bytes of a clip's files.

    Raises:
        InputError: there is nothing.
    """
    path = clip_path(clip, folder)
    form = footage_form(clip, folder)
    if form == "folder":
        return sum((path / PurePosixPath(name).name).stat().st_size for name in pictures_in(path))
    if form == "archive":
        with _archive(path, str(clip.member)) as (_, items):
            return sum(item.size for item in items)
    return path.stat().st_size


def footage_sha256(clip: Clip, folder: Path) -> str:
    """Return the sha256 of a film's or picture's bytes, or of the hashes of a clip's pictures.

    Raises:
        InputError: the clip cannot be read.
    """
    form = footage_form(clip, folder)
    if form in ("film", "still"):
        try:
            return sha256_file(clip_path(clip, folder))
        except OSError as error:
            path = clip_path(clip, folder)
            raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    digest = hashlib.sha256()
    for _, content in footage_bytes(clip, folder):
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def _in_archive(path: Path, member: str) -> Iterator[tuple[str, bytes]]:
    with _archive(path, member) as (archive, items):
        for item in items:
            stream = archive.extractfile(item)
            assert stream is not None  # it is a file
            yield PurePosixPath(item.name).name, stream.read()


@contextlib.contextmanager
def _archive(path: Path, member: str) -> Iterator[tuple[tarfile.TarFile, list[tarfile.TarInfo]]]:
    """Open a tar and list the pictures of one of its folders, in their order."""
    try:
        with tarfile.open(path) as archive:
            items = [
                item
                for item in archive
                if item.isfile()
                and PurePosixPath(item.name).parent.as_posix() == member
                and PurePosixPath(item.name).suffix.lower() in PICTURES
            ]
            if not items:
                raise InputError(f"{path} holds no pictures in {member}; index it anew.")
            items.sort(key=lambda item: _natural(PurePosixPath(item.name).name))
            yield archive, items
    except (EOFError, zlib.error, tarfile.TarError) as error:
        raise InputError(f"{path} cannot be read as a tar ({error}); copy it anew.") from error


def _natural(name: str) -> list[tuple[int, str]]:
    """Order by the numbers in a name, so that 9 comes before 10."""
    return [
        (int(part), "") if part.isdigit() else (-1, part) for part in _DIGITS.split(name) if part
    ]
