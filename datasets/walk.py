"""Lists what lies below a folder, sorted, without opening anything."""

import os
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

__all__ = ["FILMS", "PICTURES", "films_below", "folders_in", "picture_folders", "pictures_in"]

FILMS = frozenset({".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts"})
PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
_Folders = frozenset[tuple[int, int]]  # device and inode of each


def _sorted_entries(folder: Path) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            shown = [entry for entry in entries if not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(shown, key=lambda entry: entry.name)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    # A link to itself raises in `is_dir`, and is no folder.
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()


def _within(folder: Path, above: _Folders) -> _Folders | None:
    """Return the folders that one is within, itself too; None where a link led back to one."""
    try:
        state = folder.stat()
    except OSError:
        return above  # it will have no entries
    known = (state.st_dev, state.st_ino)
    return None if known in above else above | {known}


def films_below(root: Path, inside: str = "", endings: Collection[str] = FILMS) -> Iterator[str]:
    """Yield the films, or files of other endings, in the folder `inside` of `root` and below it,
    as paths from `root`.
    """
    return _files_below(root, inside, endings, frozenset())


def _files_below(
    root: Path, inside: str, endings: Collection[str], above: _Folders
) -> Iterator[str]:
    within = _within(root / inside, above)
    if within is None:
        return
    for entry in _sorted_entries(root / inside):
        path = f"{inside}/{entry.name}" if inside else entry.name
        if _is_folder(entry):
            yield from _files_below(root, path, endings, within)
        elif PurePosixPath(entry.name).suffix.lower() in endings:
            yield path


def folders_in(root: Path, inside: str = "") -> list[str]:
    """Return the names of the folders right in the folder `inside` of `root`."""
    return [entry.name for entry in _sorted_entries(root / inside) if _is_folder(entry)]


def pictures_in(root: Path, inside: str = "") -> list[str]:
    """Return the pictures right in the folder `inside` of `root`, as paths from `root`."""
    return [
        f"{inside}/{entry.name}" if inside else entry.name
        for entry in _sorted_entries(root / inside)
        if PurePosixPath(entry.name).suffix.lower() in PICTURES
    ]


def picture_folders(root: Path, inside: str = "") -> Iterator[str]:
    """Yield the folders, `inside` of `root` or below, that hold pictures, as paths from `root`."""
    return _picture_folders(root, inside, frozenset())


def _picture_folders(root: Path, inside: str, above: _Folders) -> Iterator[str]:
    within = _within(root / inside, above)
    if within is None:
        return
    entries = _sorted_entries(root / inside)
    if any(PurePosixPath(entry.name).suffix.lower() in PICTURES for entry in entries):
        yield inside
    for entry in entries:
        if _is_folder(entry):
            path = f"{inside}/{entry.name}" if inside else entry.name
            yield from _picture_folders(root, path, within)
