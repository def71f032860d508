"""HDTF: talking heads in high definition, cut out of YouTube films, all of them pristine."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from obverse.clip import Clip
from obverse.datasets.adapter import (
    UNLISTED,
    UNNAMED,
    About,
    Findings,
    Place,
    clip_id,
    require_found,
)
from obverse.datasets.label_files import find_label_file, read_list
from obverse.datasets.walk import films_below

__all__ = ["HDTF"]

_SET = "hdtf"
_GROUPS = ("RD", "WDA", "WRA")
_LISTS = tuple(f"{group}_annotion_time.txt" for group in _GROUPS)  # so spelt by the publisher
_CLIP = re.compile(rf"(?:(?P<group>{'|'.join(_GROUPS)})_)?(?P<film>.+)_(?P<part>\d+)")
_NUMBERED = re.compile(r"(?P<person>\D+)\d*")


_ABOUT = About(
    title="HDTF",
    layout="RD_, WDA_ and WRA_annotion_time.txt (or HDTF_dataset with them), and the cut films "
    "FILM_N.mp4 in any folder",
    official=(),
    splits="the publisher has none",
    terms="CC BY 4.0 for the lists; the films are their owners'",
    reference="https://github.com/MRzzm/HDTF",
    notes=(
        "Films of WDA and WRA are called after who speaks; in RD nobody says who does, so each "
        "film is taken for a person of its own.",
    ),
)


@dataclasses.dataclass(frozen=True, slots=True)
class HDTF:
    """Reads HDTF's cut films by its lists."""

    about: About = _ABOUT

    def read(self, place: Place, findings: Findings) -> Iterator[Clip]:
        """Yield the cut films that the lists name."""
        films = _films(place.root, self.about.title)
        return require_found(_clips(place.root, films, findings), place, self.about)


def _films(root: Path, title: str) -> dict[str, str]:
    """Return each listed film's group."""
    names = [f"{folder}{name}" for folder in ("", "HDTF_dataset/") for name in _LISTS]
    find_label_file(root, names, title)
    films = {}
    for name in names:
        if (root / name).is_file():
            group = PurePosixPath(name).name.partition("_")[0]
            for line in read_list(root / name):
                films[PurePosixPath(line.split()[0]).stem] = group
    return films


def _clips(root: Path, films: dict[str, str], findings: Findings) -> Iterator[Clip]:
    for path in films_below(root):
        match = _CLIP.fullmatch(PurePosixPath(path).stem)
        if match is None:
            findings.note(UNNAMED, path)
            continue
        film = match["film"]
        if film not in films:
            findings.note(UNLISTED, path)
            continue
        numbered = _NUMBERED.fullmatch(film)
        named = films[film] != "RD" and numbered is not None
        person = numbered["person"] if named and numbered is not None else film
        yield Clip(
            id=clip_id(_SET, f"{film}_{int(match['part'])}"),
            path=path,
            dataset=_SET,
            label="pristine",
            sound="pristine",
            kind="camera",
            identity=f"{_SET}:{person}",
            speaker=f"{_SET}:{person}",
            parents={"film": clip_id(_SET, f"film {film}")},
            attributes={"group": films[film]},
        )
