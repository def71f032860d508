"""A folder of pristine films or pictures as clips, for the detectors that need no fakes."""

from collections.abc import Mapping
from pathlib import Path

from obverse.clip import Clip, Split
from obverse.datasets.split import assign_splits
from obverse.datasets.walk import FILMS, PICTURES, films_below
from obverse.errors import ConfigError, InputError
from obverse.weights import sha256_file

__all__ = ["clips_of_folder", "films_in"]

_SHARES: Mapping[Split, float] = {"train": 0.8, "val": 0.2}
_SEEDS = 50  # of splits that are tried, where a small folder leaves one empty


def films_in(folder: Path) -> list[Path]:
    """Return the films and pictures anywhere below a folder, sorted.

    Raises:
        InputError: there are none.
    """
    found = [folder / path for path in films_below(folder, endings=FILMS | PICTURES)]
    if not found:
        raise InputError(f"{folder} holds no films and no pictures; give a folder that does.")
    return sorted(found)


def clips_of_folder(folder: Path) -> list[Clip]:
    """Return every film and picture of a folder as a pristine clip, in train or val.

    Files of the same content are one clip. Who is in them is not known: people in several files may
    be in both splits.

    Raises:
        InputError: the folder holds no films and no pictures, or too few.
    """
    clips: dict[str, Clip] = {}
    for path in films_in(folder):
        digest = sha256_file(path)
        clips[digest] = Clip(
            id=digest[:32],
            path=str(path.relative_to(folder)),
            sha256=digest,
            label="pristine",
            kind="camera",
        )
    for seed in range(_SEEDS):
        try:
            return assign_splits(list(clips.values()), _SHARES, seed=seed)
        except ConfigError:
            continue
    raise InputError(
        f"{folder} holds {len(clips)} different clips; at least 2 are needed, one to choose the "
        "epoch by."
    )
