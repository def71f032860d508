"""Lists what lies below a folder, sorted, without opening anything."""

import os
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

__all__ = ["FILMS", "PICTURES", "films_below", "folders_in", "picture_folders", "pictures_in"]

FILMS = frozenset({".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts"})
PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})


def _sorted_entries(folder: Path) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            shown = [entry for entry in entries if not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(shown, key=lambda entry: entry.name)


def films_below(root: Path, inside: str = "", endings: Collection[str] = FILMS) -> Iterator[str]:
    """Yield the films, or files of other endings, in the folder `inside` of `root` and below it,
    as paths from `root`.
    """
    for entry in _sorted_entries(root / inside):
        path = f"{inside}/{entry.name}" if inside else entry.name
        if entry.is_dir():
            yield from films_below(root, path, endings)
        elif PurePosixPath(entry.name).suffix.lower() in endings:
            yield path


def folders_in(root: Path, inside: str = "") -> list[str]:
    """Return the names of the folders right in the folder `inside` of `root`."""
    return [entry.name for entry in _sorted_entries(root / inside) if entry.is_dir()]


def pictures_in(root: Path, inside: str = "") -> list[str]:
    """Return the pictures right in the folder `inside` of `root`, as paths from `root`."""
    return [
        f"{inside}/{entry.name}" if inside else entry.name
        for entry in _sorted_entries(root / inside)
        if PurePosixPath(entry.name).suffix.lower() in PICTURES
    ]


def picture_folders(root: Path, inside: str = "") -> Iterator[str]:
    """Yield the folders, `inside` of `root` or below, that hold pictures, as paths from `root`."""
    entries = _sorted_entries(root / inside)
    if any(PurePosixPath(entry.name).suffix.lower() in PICTURES for entry in entries):
        yield inside
    for entry in entries:
        if entry.is_dir():
            yield from picture_folders(root, f"{inside}/{entry.name}" if inside else entry.name)
