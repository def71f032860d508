"""A clip's frames and bytes: a film, a still, a folder of pictures, or one of these in a tar."""

import contextlib
import dataclasses
import functools
import hashlib
import math
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Literal, Self

import numpy as np
import numpy.typing as npt

from obverse.clip import Clip
from obverse.datasets.table import clip_path
from obverse.datasets.walk import FILMS, PICTURES, pictures_in
from obverse.errors import InputError
from obverse.media.container import require_file
from obverse.media.still import decode_still
from obverse.media.video import read_frames
from obverse.weights import sha256_file

__all__ = ["Footage", "Form", "Pictures", "Source", "footage_at", "read_footage"]

Form = Literal["film", "still", "pictures"]
Image = npt.NDArray[np.uint8]

_DIGITS = re.compile(r"(\d+)")
_NUMBERED = re.compile(r"\d+\.[A-Za-z]+")  # what follows the key of a shard's picture
_TARS = 2  # whose lists of members are held
_PIECE_BYTES = 1 << 20


class Pictures:
    """A clip's pictures in their order, each read when it is asked for."""

    def __init__(
        self, names: Sequence[str], load: Callable[[int], bytes], place: Path, fps: float
    ) -> None:
        """Hold the pictures' names and how the content of one is read.

        Args:
            names: without folders.
            load: returns the bytes of the picture with an index.
            place: the folder or tar, for errors.
            fps: at which they are shown.
        """
        self.names, self.fps = tuple(names), fps
        self._load, self._place = load, place

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.names)

    def __str__(self) -> str:
        """Return where they lie, for messages."""
        return str(self._place)

    @property
    def seconds(self) -> float:
        """How long they are shown; a single one has no duration."""
        return len(self) / self.fps if len(self) > 1 else 0.0

    def content(self, index: int) -> bytes:
        """Return a picture's file.

        Raises:
            InputError: it cannot be read.
        """
        try:
            return self._load(index)
        except OSError as error:
            raise InputError(
                f"{self._place}/{self.names[index]} cannot be read: {error.strerror or error}."
            ) from error

    def read(self, index: int) -> Image:
        """Return a picture `[H, W, 3] uint8 RGB`.

        Raises:
            InputError: it cannot be read.
        """
        return decode_still(self.content(index), f"{self._place}/{self.names[index]}")

    def moments(self, times: Sequence[float]) -> Iterator[tuple[float, Image]]:
        """Yield for each second the picture nearest in time, with the second it is shown at.

        As `obverse.media.video.read_moments` does for a film: the earlier of two that are as near,
        the last for what comes after the end. Only these are read.
        """
        held: tuple[int, Image] | None = None
        for time in times:
            index = math.ceil(time * self.fps - 0.5 - 1e-6)
            index = min(max(index, 0), len(self) - 1)
            if held is None or held[0] != index:
                held = index, self.read(index)
            yield index / self.fps, held[1].copy()


@dataclasses.dataclass(frozen=True, slots=True)
class Footage:
    """Where a clip's frames lie."""

    path: Path  # a film, a picture, a folder of pictures, or a tar
    member: str | None = None  # of a tar: the folder of pictures, the film or picture, or a shard's
    # key that numbered pictures share
    fps: float = 25.0  # at which pictures are shown; a film has a clock of its own

    @classmethod
    def of(cls, clip: Clip, folder: Path) -> Self:
        """Return a clip's footage; a relative path starts at `folder`, that of its table."""
        return cls(clip_path(clip, folder), clip.member, clip.fps)

    def __str__(self) -> str:
        """Return its place, for messages."""
        return str(self.path) if self.member is None else f"{self.path}/{self.member}"

    def without_place(self, sentence: str) -> str:
        """Return what is said of it without its place, for a line that begins with that."""
        for start in (f"{self} ", f"{self}: ", f"{self}/", f"{self.path}/"):
            if sentence.startswith(start):
                return sentence[len(start) :]
        return sentence

    @property
    def form(self) -> Form:
        """What it is.

        Raises:
            InputError: there is nothing.
        """
        if self.member is None:
            if self.path.is_dir():
                return "pictures"
            require_file(self.path)
            return "still" if self.path.suffix.lower() in PICTURES else "film"
        suffix = PurePosixPath(self.member).suffix.lower()
        single = suffix in FILMS | PICTURES and len(found := self._members()) == 1
        if not single or _name(found[0]) != self.member:
            return "pictures"
        return "still" if suffix in PICTURES else "film"

    @contextlib.contextmanager
    def film(self) -> Iterator[Path]:
        """Give a film as a file; one in a tar is copied out of it for the time being.

        Raises:
            InputError: it cannot be read.
        """
        if self.member is None:
            require_file(self.path)
            yield self.path
            return
        (item,) = self._members()
        with tempfile.TemporaryDirectory(prefix="obverse-") as place:
            copy = Path(place) / PurePosixPath(item.name).name
            try:
                with self._stream(item) as stream, copy.open("wb") as written:
                    shutil.copyfileobj(stream, written, _PIECE_BYTES)
            except OSError as error:
                raise InputError(
                    f"{self} cannot be unpacked into {place}: {error.strerror or error}."
                ) from error
            try:
                yield copy
            except InputError as error:
                raise InputError(str(error).replace(str(copy), str(self))) from error

    @contextlib.contextmanager
    def pictures(self) -> Iterator[Pictures]:
        """Give the pictures of footage that is no film, in the order of the numbers in their names.

        9.png comes before 10.png.

        Raises:
            InputError: it cannot be read, or has no pictures.
        """
        if not self.fps > 0:
            raise InputError(
                f"{self} is said to show {self.fps} pictures a second; more than 0 are needed."
            )
        if self.member is None:
            whole = self.path.is_dir()
            names = (
                sorted((PurePosixPath(name).name for name in pictures_in(self.path)), key=_natural)
                if whole
                else [self.path.name]
            )
            if not names:
                raise InputError(f"{self.path} holds no pictures; name the folder that does.")
            folder = self.path if whole else self.path.parent
            if not whole:
                require_file(self.path)
            yield Pictures(names, lambda i: (folder / names[i]).read_bytes(), folder, self.fps)
            return
        items = self._members()
        with _archive(self.path) as archive:

            def load(index: int) -> bytes:
                stream = archive.extractfile(items[index])
                assert stream is not None  # it is a file
                return stream.read()

            names = [PurePosixPath(item.name).name for item in items]
            yield Pictures(names, load, self.path, self.fps)

    def frames(self, max_frames: int | None = None) -> Iterator[Image]:
        """Yield the frames in their order, `[H, W, 3] uint8 RGB`, one at a time.

        Args:
            max_frames: stop after so many.

        Raises:
            InputError: they cannot be read.
        """
        if self.form == "film":
            with self.film() as path:
                yield from read_frames(path, max_frames=max_frames)
            return
        with self.pictures() as pictures:
            count = len(pictures) if max_frames is None else min(max_frames, len(pictures))
            for index in range(count):
                yield pictures.read(index)

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield name and content of each file: one for a film, one a frame for pictures.

        Raises:
            InputError: they cannot be read, or there are no pictures.
        """
        if self.form == "film":
            with self.film() as path:
                try:
                    yield path.name, path.read_bytes()
                except OSError as error:
                    raise InputError(f"{self} cannot be read: {error.strerror}.") from error
            return
        with self.pictures() as pictures:
            for index, name in enumerate(pictures.names):
                yield name, pictures.content(index)

    def size_bytes(self) -> int:
        """Return the bytes of all files.

        Raises:
            InputError: there is nothing.
        """
        if self.member is not None:
            return sum(item.size for item in self._members())
        if self.form != "pictures":
            return self.path.stat().st_size
        names = [PurePosixPath(name).name for name in pictures_in(self.path)]
        return sum((self.path / name).stat().st_size for name in names)

    def sha256(self) -> str:
        """Return the sha256 of a film's or still's bytes, or of the hashes of the pictures.

        Pictures in a folder and the same in a tar have one hash, whatever their names.

        Raises:
            InputError: it cannot be read.
        """
        if self.form == "pictures":
            whole = hashlib.sha256()
            with self.pictures() as pictures:
                for index in range(len(pictures)):
                    whole.update(hashlib.sha256(pictures.content(index)).digest())
            return whole.hexdigest()
        try:
            if self.member is None:
                return sha256_file(self.path)
            (item,) = self._members()
            digest = hashlib.sha256()
            with self._stream(item) as stream:
                while piece := stream.read(_PIECE_BYTES):
                    digest.update(piece)
            return digest.hexdigest()
        except OSError as error:
            raise InputError(f"{self} cannot be read: {error.strerror or error}.") from error

    def _members(self) -> tuple[tarfile.TarInfo, ...]:
        """Return the files that the member means, in their order.

        Raises:
            InputError: there are none.
        """
        require_file(self.path)
        state = self.path.stat()
        member = str(self.member)
        items = _listed(self.path, state.st_mtime_ns, state.st_size)
        found = [item for item in items if _means(member, _name(item))]
        if exact := [item for item in found if _name(item) == member]:
            found = exact[:1]
        if not found:
            raise InputError(f"{self.path} holds no pictures in {member}; index it anew.")
        return tuple(sorted(found, key=lambda item: _natural(PurePosixPath(item.name).name)))

    @contextlib.contextmanager
    def _stream(self, item: tarfile.TarInfo) -> Iterator[IO[bytes]]:
        with _archive(self.path) as archive:
            stream = archive.extractfile(item)
            assert stream is not None  # it is a file
            yield stream


Source = Path | Footage  # a film, picture or folder that is in no table goes by its path


def footage_at(source: Source) -> Footage:
    """Return the footage of a path, or what is footage already."""
    return source if isinstance(source, Footage) else Footage(source)


def read_footage(clip: Clip, folder: Path, *, max_frames: int | None = None) -> Iterator[Image]:
    """Yield a clip's frames in their order, `[H, W, 3] uint8 RGB`, as `Footage.frames` does.

    Args:
        clip: the clip.
        folder: where its relative path starts.
        max_frames: stop after so many.

    Raises:
        InputError: the clip cannot be read.
    """
    return Footage.of(clip, folder).frames(max_frames)


def _name(item: tarfile.TarInfo) -> str:
    return PurePosixPath(item.name).as_posix()


def _means(member: str, name: str) -> bool:
    """Whether a member of a clip means a file of the tar."""
    if name == member:
        return True
    if PurePosixPath(name).suffix.lower() not in PICTURES:
        return False
    if PurePosixPath(name).parent.as_posix() == member:
        return True
    return name.startswith(f"{member}.") and bool(_NUMBERED.fullmatch(name[len(member) + 1 :]))


@functools.lru_cache(maxsize=_TARS)
def _listed(path: Path, stamp: int, size: int) -> tuple[tarfile.TarInfo, ...]:
    """Return the films and pictures of a tar; a tar holds many clips, and is listed once."""
    del stamp, size
    with _archive(path) as archive:
        return tuple(
            item
            for item in archive
            if item.isfile() and PurePosixPath(item.name).suffix.lower() in FILMS | PICTURES
        )


@contextlib.contextmanager
def _archive(path: Path) -> Iterator[tarfile.TarFile]:
    """Open a tar.

    Raises:
        InputError: it is damaged, also where that shows later.
    """
    try:
        with tarfile.open(path) as archive:
            yield archive
    except (EOFError, zlib.error, tarfile.TarError) as error:
        raise InputError(f"{path} cannot be read as a tar ({error}); copy it anew.") from error


def _natural(name: str) -> list[tuple[int, str]]:
    """Order by the numbers in a name, so that 9 comes before 10."""
    return [
        (int(part), "") if part.isdigit() else (-1, part) for part in _DIGITS.split(name) if part
    ]
