"""FakeAVCeleb: VoxCeleb2's people with picture, sound or both replaced."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from obverse.clip import Clip, Label
from obverse.datasets.adapter import (
    ABSENT,
    REPEATED,
    UNLISTED,
    About,
    Count,
    Findings,
    Place,
    clip_id,
    require_found,
)
from obverse.datasets.label_files import find_label_file, read_csv
from obverse.datasets.walk import films_below
from obverse.errors import InputError

__all__ = ["FakeAVCeleb"]

_SET = "fakeavceleb"
# The header names nine columns of ten: `path` stands over the file's name, and its folder has none.
_HEADER = ("source", "target1", "target2", "method", "category", "type", "race", "gender")
_FIELDS = (*_HEADER, "filename", "folder")
_TYPES: dict[str, tuple[Label, Label]] = {  # picture, sound
    "RealVideo-RealAudio": ("pristine", "pristine"),
    "RealVideo-FakeAudio": ("pristine", "synthetic"),
    "FakeVideo-RealAudio": ("synthetic", "pristine"),
    "FakeVideo-FakeAudio": ("synthetic", "synthetic"),
}
_GENDERS = {"men": "male", "women": "female"}


_ABOUT = About(
    title="FakeAVCeleb",
    layout="meta_data.csv and RealVideo-RealAudio, RealVideo-FakeAudio, FakeVideo-RealAudio "
    "and FakeVideo-FakeAudio",
    official=(),
    splits="the publisher has none",
    published=(
        Count(clips=500, where={"type": "RealVideo-RealAudio"}),
        Count(clips=500, where={"type": "RealVideo-FakeAudio"}),
        Count(clips=9709, where={"type": "FakeVideo-RealAudio"}),
        Count(clips=10_835, where={"type": "FakeVideo-FakeAudio"}),
    ),
    terms="FakeAVCeleb request form: research",
    reference="https://github.com/DASH-Lab/FakeAVCeleb",
    notes=(
        "Its people are VoxCeleb2's, under their numbers there.",
        "Real sound starts with silence that cloned sound lacks (arXiv 2412.00175): cut it, or "
        "a detector learns the silence.",
    ),
)


@dataclasses.dataclass(frozen=True, slots=True)
class FakeAVCeleb:
    """Reads FakeAVCeleb v1.2."""

    about: About = _ABOUT

    def read(self, place: Place, findings: Findings) -> Iterator[Clip]:
        """Yield the listed clips that are there."""
        path = find_label_file(place.root, ["meta_data.csv"], self.about.title)
        return require_found(_clips(place.root, path, findings), place, self.about)


def _clips(root: Path, listed: Path, findings: Findings) -> Iterator[Clip]:
    there = {path for folder in _TYPES for path in films_below(root, folder)}
    met: set[str] = set()
    for row in read_csv(listed, _HEADER, fields=_FIELDS):
        if row["type"] not in _TYPES:
            raise InputError(
                f"{listed} gives {row.get('filename')} the type {row['type']!r}; it is one of "
                f"{', '.join(_TYPES)}."
            )
        path = _path(row)
        if path not in there:
            findings.note(ABSENT, path)
        elif path in met:
            findings.note(REPEATED, path)
        else:
            met.add(path)
            yield _clip(path, row)
    for path in sorted(there - met):
        findings.note(UNLISTED, path)


def _path(row: dict[str, str]) -> str:
    """Return where a row's film is; its folder is written as seen from above the set's own."""
    folder = row.get("folder", "")
    parts = PurePosixPath(folder).parts
    if row["type"] in parts:
        return "/".join((*parts[parts.index(row["type"]) :], row["filename"]))
    return "/".join((row["type"], row["race"], row["gender"], row["source"], row["filename"]))


def _clip(path: str, row: dict[str, str]) -> Clip:
    label, sound = _TYPES[row["type"]]
    changed = "synthetic" in (label, sound)
    donor = row["target1"] if row["target1"].startswith("id") else None
    parents = {}
    if changed:
        # NNNNN_... was made of NNNNN.mp4 of the same person.
        parts = PurePosixPath(path).parts
        original = PurePosixPath(path).stem.split("_")[0] + ".mp4"
        twin = "/".join(("RealVideo-RealAudio", *parts[1:-1], original))
        parents = {"twin": clip_id(_SET, twin)}
    return Clip(
        id=clip_id(_SET, path),
        path=path,
        dataset=_SET,
        label=label,
        sound=sound,
        kind="generated" if label == "synthetic" else "camera",
        method=row["method"] if changed else None,
        identity=f"vox2:{row['source']}",
        donor=None if donor is None else f"vox2:{donor}",
        parents=parents,
        attributes={
            "type": row["type"],
            "race": row["race"],
            "gender": _GENDERS.get(row["gender"], row["gender"]),
        },
    )
