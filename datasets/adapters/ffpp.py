"""FaceForensics++: five ways to manipulate a thousand YouTube films, at up to three qualities."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from obverse.clip import Clip, Label, Split
from obverse.datasets.adapter import UNNAMED, About, Count, Findings, Place, clip_id, require_found
from obverse.datasets.label_files import find_label_file, read_json
from obverse.datasets.walk import films_below, folders_in
from obverse.errors import InputError

__all__ = ["FaceForensics", "official_pairs", "original_clip", "quality_of"]

_SET = "ffpp"
_ORIGINALS = "original_sequences/youtube"
_MANIPULATED = "manipulated_sequences"
_METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter")
# Where the publisher's three split files may be: beside the films, or as in its repository.
_SPLIT_FOLDERS = ("splits/", "", "dataset/splits/")
_SPLITS: tuple[Split, ...] = ("train", "val", "test")
_QUALITIES = {"raw": "c0", "c0": "c0", "c23": "c23", "c40": "c40"}


def quality_of(folder: str) -> str | None:
    """Return c0, c23 or c40 for a folder of one quality; the download calls c0 `raw`."""
    return _QUALITIES.get(folder)


def official_pairs(root: Path, title: str) -> dict[str, Split]:
    """Return each film's split by its number, from the publisher's three lists of pairs.

    Raises:
        InputError: a list is absent or damaged, or a film is in two.
    """
    splits: dict[str, Split] = {}
    for split in _SPLITS:
        names = [f"{folder}{split}.json" for folder in _SPLIT_FOLDERS]
        path = find_label_file(root, names, title)
        for pair in read_json(path, list):
            if not isinstance(pair, list) or not all(isinstance(name, str) for name in pair):
                raise InputError(f"{path} lists {pair!r} where a pair of films belongs.")
            for name in pair:
                if splits.setdefault(name, split) != split:
                    raise InputError(f"{path} lists film {name}, which is in {splits[name]} too.")
    return splits


def original_clip(path: str, quality: str, split: Split | None) -> Clip:
    """Return the pristine clip at `path` below the publisher's folder."""
    name = PurePosixPath(path).stem
    return Clip(
        id=clip_id(_SET, path),
        path=path,
        dataset=_SET,
        label="pristine",
        kind="camera",
        identity=f"{_SET}:{name}",
        split=split,
        encoder={"compression": quality},
        attributes={"compression": quality},
    )


_ABOUT = About(
    title="FaceForensics++",
    layout="original_sequences/youtube/c23/videos and manipulated_sequences/METHOD/c23/videos",
    official=_SPLITS,
    splits="the publisher's train.json, val.json and test.json (360, 70 and 70 pairs)",
    published=(
        Count(clips=1000, where={"label": "pristine"}, each="compression"),
        *(Count(clips=1000, where={"method": name}, each="compression") for name in _METHODS),
    ),
    terms="FaceForensics terms of use: research, non-commercial",
    reference="https://github.com/ondyari/FaceForensics",
    notes=(
        "An identity is a film's number: nobody published which films show one person.",
        "The films have no sound.",
        "DeepFakeDetection lies in the same folders and is the set `dfd`.",
    ),
)


@dataclasses.dataclass(frozen=True, slots=True)
class FaceForensics:
    """Reads FaceForensics++ as its download script lays it out."""

    about: About = _ABOUT

    def read(self, place: Place, findings: Findings) -> Iterator[Clip]:
        """Yield the originals, then each method's films, quality by quality."""
        splits = official_pairs(place.root, self.about.title)
        return require_found(_clips(place.root, splits, findings), place, self.about)


def _clips(root: Path, splits: dict[str, Split], findings: Findings) -> Iterator[Clip]:
    for folder in folders_in(root, _ORIGINALS):
        if (quality := quality_of(folder)) is None:
            continue
        for path in films_below(root, f"{_ORIGINALS}/{folder}/videos"):
            yield original_clip(path, quality, splits.get(PurePosixPath(path).stem))
    for method in _METHODS:
        masks = set(films_below(root, f"{_MANIPULATED}/{method}/masks/videos"))
        for folder in folders_in(root, f"{_MANIPULATED}/{method}"):
            if (quality := quality_of(folder)) is None:
                continue
            for path in films_below(root, f"{_MANIPULATED}/{method}/{folder}/videos"):
                target, _, source = PurePosixPath(path).stem.partition("_")
                if not target or not source:
                    findings.note(UNNAMED, path)
                    continue
                mask = f"{_MANIPULATED}/{method}/masks/videos/{PurePosixPath(path).name}"
                original = f"{_ORIGINALS}/{folder}/videos"
                yield _manipulated(
                    path,
                    method=method,
                    identity=f"{_SET}:{target}",
                    donor=f"{_SET}:{source}",
                    # A pair is in one list, so that both of its films are on one side.
                    split=splits.get(target) if splits.get(target) == splits.get(source) else None,
                    parents={
                        "twin": clip_id(_SET, f"{original}/{target}.mp4"),
                        "source": clip_id(_SET, f"{original}/{source}.mp4"),
                    },
                    encoder={"compression": quality},
                    attributes={"compression": quality},
                    mask_path=mask if mask in masks else None,
                )


def _manipulated(path: str, **fields: Any) -> Clip:
    label: Label = "synthetic"
    return Clip(
        id=clip_id(_SET, path), path=path, dataset=_SET, label=label, kind="generated", **fields
    )
