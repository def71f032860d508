"""DFDC, the Deepfake Detection Challenge: numbered parts to train on, and labelled test films."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from obverse.clip import Clip, Label, Split
from obverse.datasets.adapter import (
    ABSENT,
    UNLISTED,
    About,
    Count,
    Findings,
    Place,
    clip_id,
    require_found,
)
from obverse.datasets.label_files import read_csv, read_json
from obverse.datasets.walk import films_below, folders_in
from obverse.errors import InputError

__all__ = ["DFDC"]

_SET = "dfdc"
_METADATA, _LABELS = "metadata.json", "labels.csv"
_DEPTH = 3  # folders below the one that is named in which a part may lie
_WORDS: dict[str, Label] = {"REAL": "pristine", "FAKE": "synthetic"}
_NUMBERS: dict[str, Label] = {"0": "pristine", "1": "synthetic"}  # of labels.csv and `is_fake`
_FOLDERS: dict[str, Split] = {
    "train": "train",
    "train_sample_videos": "train",
    "validation": "val",
    "test": "test",
    "test_videos": "test",
}


_ABOUT = About(
    title="DFDC",
    layout="dfdc_train_part_N folders with metadata.json, and validation and test with labels.csv",
    official=("train", "val", "test"),
    splits="the publisher's folders train, validation and test",
    published=(
        Count(clips=119_154, where={"split": "train"}),
        Count(clips=4000, where={"split": "val"}),
        Count(clips=5000, where={"split": "test"}),
    ),
    terms="DFDC terms: research, non-commercial",
    reference="https://ai.meta.com/datasets/dfdc/",
    notes=(
        "FAKE says that picture or sound was changed, not which: the label of the sound is "
        "left open.",
        "Nobody's identity is published. A fake is tied to its original alone.",
    ),
)


@dataclasses.dataclass(frozen=True, slots=True)
class DFDC:
    """Reads DFDC's parts, or any of them."""

    about: About = _ABOUT

    def read(self, place: Place, findings: Findings) -> Iterator[Clip]:
        """Yield the clips of each part that is there."""
        parts = list(_parts(place.root, "", _DEPTH))
        if not parts:
            raise InputError(
                f"{place.root} lacks {_METADATA} and {_LABELS}, the label files of DFDC; copy them "
                "from the publisher's download into the folders of the films that they list."
            )
        return require_found(_clips(place.root, parts, findings), place, self.about)


def _parts(root: Path, folder: str, depth: int) -> Iterator[str]:
    """Yield the folders that hold a label file, as paths from `root`."""
    if any((root / folder / name).is_file() for name in (_METADATA, _LABELS)):
        yield folder
    elif depth:
        for name in folders_in(root, folder):
            yield from _parts(root, f"{folder}/{name}" if folder else name, depth - 1)


def _rows(root: Path, folder: str) -> dict[str, Mapping[str, Any]]:
    """Return what is said of each film of a part: `label`, `split`, `original`."""
    rows: dict[str, Mapping[str, Any]] = {}
    path = root / folder / _LABELS
    if path.is_file():
        for row in read_csv(path, ("filename", "label")):
            if row["label"] not in _NUMBERS:
                raise InputError(
                    f"{path} gives {row['filename']} the label {row['label']!r}; 0 is real and 1 "
                    "is fake."
                )
            rows[row["filename"]] = {"label": _NUMBERS[row["label"]]}
        return rows
    path = root / folder / _METADATA
    for name, about in read_json(path, dict).items():
        said = about if isinstance(about, dict) else {}
        label = _WORDS.get(str(said.get("label"))) or _NUMBERS.get(str(said.get("is_fake")))
        if label is None:
            raise InputError(f"{path} says neither REAL nor FAKE of {name}; copy it anew.")
        rows[name] = {
            "label": label,
            "split": said.get("split"),
            "original": said.get("original") or None,
        }
    return rows


def _split(root: Path, folder: str, stated: object) -> Split:
    """Return the split by the folder's name, or by what its label file states."""
    for part in reversed([root.name, *folder.split("/")]):
        if part.lower() in _FOLDERS:
            return _FOLDERS[part.lower()]
        if part.startswith("dfdc_train_part"):
            return "train"
    if stated in ("train", "test"):
        return "train" if stated == "train" else "test"
    raise InputError(
        f"nothing says which split {root / folder} is; call the folder train, validation or test, "
        "as the publisher does."
    )


def _clips(root: Path, parts: list[str], findings: Findings) -> Iterator[Clip]:
    for folder in parts:
        rows = _rows(root, folder)
        before = f"{folder}/" if folder else ""
        there = {path[len(before) :].rpartition("/")[2]: path for path in films_below(root, folder)}
        for name in sorted(there.keys() - rows.keys()):
            findings.note(UNLISTED, there[name])
        for name, row in sorted(rows.items()):
            if name not in there:
                findings.note(ABSENT, before + name)
                continue
            split = _split(root, folder, row.get("split"))
            synthetic = row["label"] == "synthetic"
            original = row.get("original")
            yield Clip(
                id=clip_id(_SET, name),  # names are drawn, and are one set's in all its parts
                path=there[name],
                dataset=_SET,
                label=row["label"],
                kind="generated" if synthetic else "camera",
                method="DFDC" if synthetic else None,
                split=split,
                parents={"twin": clip_id(_SET, original)} if original else {},
            )
