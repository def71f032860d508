"""The folder of a live performance: what may go there, and what an earlier one left."""

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from obverse.errors import ConfigError, OutputExistsError

__all__ = ["INDEX", "PLAYLIST", "listed_segments", "made", "require_folder"]

INDEX, PLAYLIST = "index.json", "playlist.m3u8"
_SEGMENT = re.compile(r"segment-[0-9]{5}\.mp4")


def require_folder(folder: Path, inputs: Mapping[str, Path], *, force: bool) -> None:
    """Refuse a folder that cannot take a performance; nothing is made or removed.

    Args:
        folder: where segments, `PLAYLIST` and `INDEX` would go.
        inputs: files that are read, by role.
        force: a performance that is there may be replaced.

    Raises:
        ConfigError: the folder is a file, cannot be read, or holds an input that would be
            overwritten.
        OutputExistsError: it holds a performance, or a part of one, and `force` is not set.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; name a folder with -o.")
    try:
        names = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    except OSError as error:
        raise ConfigError(f"{folder} cannot be read: {error.strerror}.") from error
    place = folder.resolve()
    for role, path in inputs.items():
        for real in (path.resolve(), path.parent.resolve() / path.name):
            if real.parent == place and _is_ours(real.name):
                raise ConfigError(
                    f"{path}, the {role}, would be overwritten by the performance; name another "
                    "folder with -o."
                )
    there = [name for name in names if _is_ours(name)]
    if there and not force:
        raise OutputExistsError(
            f"{folder} holds a performance already ({there[0]}); pass --force to replace it."
        )


def _is_ours(name: str) -> bool:
    return name in (INDEX, PLAYLIST) or _SEGMENT.fullmatch(name) is not None


@contextlib.contextmanager
def made(folder: Path) -> Iterator[None]:
    """Make a folder; what was made and stays empty is removed again.

    Raises:
        ConfigError: it cannot be made.
    """
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written to: {error.strerror}.") from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            for path in new:
                path.rmdir()


def listed_segments(folder: Path) -> set[str]:
    """Return the segments that the folder's index lists: what a performance left there."""
    try:
        entries = json.loads((folder / INDEX).read_text(encoding="utf-8"))["segments"]
        names = {str(entry["file"]) for entry in entries}
    except (OSError, ValueError, LookupError, TypeError):
        return set()
    return {name for name in names if _SEGMENT.fullmatch(name)}
