"""DFDC preview: actors, and their faces swapped by two methods, listed in dataset.json."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
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
from obverse.datasets.label_files import find_label_file, read_json
from obverse.datasets.walk import films_below
from obverse.errors import InputError

__all__ = ["DFDCPreview"]

_SET = "dfdc-preview"
_LABELS: dict[str, Label] = {"real": "pristine", "fake": "synthetic"}
_SPLITS: dict[str, Split] = {"train": "train", "test": "test"}
# ACTOR_TAKE_CLIP, and SWAPPED_TARGET_TAKE_CLIP whose face SWAPPED's is put onto TARGET.
_REAL = re.compile(r"(?P<target>\d+)_(?P<clip>[A-Za-z]+_\d+)")
_FAKE = re.compile(r"(?P<swapped>\d+)_(?P<target>\d+)_(?P<clip>[A-Za-z]+_\d+)")


_ABOUT = About(
    title="DFDC preview",
    layout="dataset.json, original_videos, method_A and method_B",
    official=("train", "test"),
    splits="dataset.json says train or test; val is drawn from train",
    published=(
        Count(clips=1131, where={"label": "pristine"}),
        Count(clips=4119, where={"label": "synthetic"}),
    ),
    terms="DFDC preview terms: research, non-commercial",
    reference="https://arxiv.org/abs/1910.08854",
    notes=("Actors are swapped within pairs of similar looks.",),
)


@dataclasses.dataclass(frozen=True, slots=True)
class DFDCPreview:
    """Reads the preview of DFDC."""

    about: About = _ABOUT

    def read(self, place: Place, findings: Findings) -> Iterator[Clip]:
        """Yield the listed clips that are there."""
        path = find_label_file(place.root, ["dataset.json"], self.about.title)
        return require_found(_clips(place.root, path, findings), place, self.about)


def _clips(root: Path, listed: Path, findings: Findings) -> Iterator[Clip]:
    rows = read_json(listed, dict)
    there = set(films_below(root))
    for path in sorted(there - rows.keys()):
        findings.note(UNLISTED, path)
    for path, row in sorted(rows.items()):
        if path not in there:
            findings.note(ABSENT, path)
            continue
        yield _clip(path, row if isinstance(row, dict) else {}, listed)


def _clip(path: str, row: dict[str, Any], listed: Path) -> Clip:
    label = _LABELS.get(str(row.get("label")).lower())
    split = _SPLITS.get(str(row.get("set")).lower())
    if label is None or split is None:
        raise InputError(
            f"{listed} gives {path} the label {row.get('label')!r} and the set {row.get('set')!r}; "
            "they are real or fake, and train or test."
        )
    stem = PurePosixPath(path).stem
    match = (_REAL if label == "pristine" else _FAKE).fullmatch(stem)
    target = row.get("target_id") or (match and match["target"])
    clip = Clip(
        id=clip_id(_SET, path),
        path=path,
        dataset=_SET,
        label=label,
        kind="camera",
        split=split,
        identity=None if target is None else f"{_SET}:{target}",
    )
    if label == "pristine":
        return clip
    swapped = row.get("swapped_id") or (match and match["swapped"])
    original = None
    if match is not None:
        original = f"original_videos/{match['target']}/{match['target']}_{match['clip']}.mp4"
    return clip.replace(
        kind="generated",
        method=PurePosixPath(path).parts[0],
        donor=None if swapped is None else f"{_SET}:{swapped}",
        parents={} if original is None else {"twin": clip_id(_SET, original)},
    )
