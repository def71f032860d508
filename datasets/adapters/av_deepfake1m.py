"""AV-Deepfake1M and its successor ++: words replaced in a million films' lips, sound or both."""

import dataclasses
import itertools
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from obverse.clip import Clip, Split
from obverse.datasets.adapter import ABSENT, About, Count, Findings, Place, clip_id, require_found
from obverse.datasets.label_files import (
    find_label_file,
    read_list,
    read_segments,
    stream_json_rows,
)
from obverse.errors import InputError

__all__ = ["AVDeepfake1M"]

_SET = "av-deepfake1m"
_FPS = 25.0  # of every film, by its paper
_LISTED: tuple[Split, ...] = ("train", "val")
_UNLABELLED = "without a published label"
# What was modified: picture, sound. Hyphens and underscores are both found.
_TYPES = {
    "real": (False, False),
    "visual_modified": (True, False),
    "audio_modified": (False, True),
    "both_modified": (True, True),
}
_VOX2 = re.compile(r"id\d{4,5}")
_SUBJECT = re.compile(r"(subject_\d+)_.*")


_ABOUT = About(
    title="AV-Deepfake1M",
    layout="train_metadata.json or val_metadata.json beside train and val",
    official=("train", "val", "test"),
    splits="train_metadata.json and val_metadata.json; the test labels are not published",
    published=(
        Count(clips=746_180, where={"split": "train"}),
        Count(clips=57_340, where={"split": "val"}),
    ),
    terms="CC BY-NC 4.0 and a signed EULA",
    reference="https://github.com/ControlNet/AV-Deepfake1M",
    notes=(
        "Its people are VoxCeleb2's, under their numbers there.",
        "Test films are left out: their labels are not published.",
        "AV-Deepfake1M++ is read as well; its counts are others.",
        "Real sound starts with silence that cloned sound lacks (arXiv 2412.00175).",
    ),
)


@dataclasses.dataclass(frozen=True, slots=True)
class AVDeepfake1M:
    """Reads AV-Deepfake1M by its metadata files."""

    about: About = _ABOUT

    def read(self, place: Place, findings: Findings) -> Iterator[Clip]:
        """Yield the listed clips that are there, row by row."""
        lists = [
            (split, place.root / f"{split}_metadata.json")
            for split in _LISTED
            if (place.root / f"{split}_metadata.json").is_file()
        ]
        if not lists:
            find_label_file(place.root, ["train_metadata.json"], self.about.title)
        if (place.root / "test_files.txt").is_file():
            for name in read_list(place.root / "test_files.txt"):
                findings.note(_UNLABELLED, name)
        return require_found(_clips(place.root, lists, findings), place, self.about)


def _clips(root: Path, lists: list[tuple[Split, Path]], findings: Findings) -> Iterator[Clip]:
    for split, listed in lists:
        folder = f"{split}/" if (root / split).is_dir() else ""
        for row in stream_json_rows(listed):
            file = row.get("file")
            if not isinstance(file, str):
                raise InputError(f"{listed} has a row without 'file': {row!r:.80}.")
            path = file if file.startswith(f"{split}/") else folder + file
            if not (root / path).is_file():
                findings.note(ABSENT, path)
                continue
            yield _clip(path, file, row, split, listed)


def _person(file: str) -> str | None:
    """Return who is on screen; films of ++ also come from LRS3 and from silent recordings."""
    parts = PurePosixPath(file).parts
    number = next((part for part in parts if _VOX2.fullmatch(part)), None)
    if number is not None:
        return f"vox2:{number}"
    for corpus, name in itertools.pairwise(parts):
        if corpus == "lrs3":
            return f"lrs3:{name}"
        if corpus == "silent_videos":
            match = _SUBJECT.fullmatch(name)
            return f"{_SET}:{match[1] if match else name}"
    return None


def _clip(path: str, file: str, row: dict[str, Any], split: Split, listed: Path) -> Clip:
    modified = str(row.get("modify_type")).replace("-", "_")
    if modified not in _TYPES:
        raise InputError(
            f"{listed} gives {file} the modify_type {row.get('modify_type')!r}; it is one of "
            f"{', '.join(_TYPES)}."
        )
    picture, sound = _TYPES[modified]
    both, of_picture, of_sound = (
        read_segments(row.get(name), listed, file)
        for name in ("fake_segments", "visual_fake_segments", "audio_fake_segments")
    )
    models = [row.get(name) for name in ("video_model", "audio_model")]
    named = "+".join(str(model) for model in models if model)
    original = row.get("original")
    return Clip(
        id=clip_id(_SET, f"{split}/{file.removeprefix(f'{split}/')}"),
        path=path,
        dataset=_SET,
        label="synthetic" if picture else "pristine",
        sound="synthetic" if sound else "pristine",
        kind="generated" if picture else "camera",
        method=(named or "AV-Deepfake1M") if picture or sound else None,
        identity=_person(file),
        split=split,
        fps=_FPS,
        frames=row["video_frames"] if isinstance(row.get("video_frames"), int) else 0,
        fake_segments=(of_picture or both) if picture else (),
        sound_segments=(of_sound or both) if sound else (),
        parents={"twin": clip_id(_SET, f"{split}/{str(original).removeprefix(f'{split}/')}")}
        if original and (picture or sound)
        else {},
        attributes={"changed": modified},
    )
