"""LAV-DF: VoxCeleb2's people with a few words replaced, in lips, sound or both."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from obverse.clip import Clip, Split
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
from obverse.datasets.label_files import find_label_file, read_segments, stream_json_rows
from obverse.datasets.walk import films_below
from obverse.errors import InputError

__all__ = ["LavDF"]

_SET = "lav-df"
_FPS = 25.0  # of every film, by its paper
_SPLITS: dict[str, Split] = {"train": "train", "dev": "val", "test": "test"}


_ABOUT = About(
    title="LAV-DF",
    layout="metadata.json, train, dev and test",
    official=("train", "val", "test"),
    splits="metadata.json says train, dev (val here) or test",
    published=(
        Count(clips=36_431, where={"changed": "nothing"}),
        Count(clips=33_543, where={"changed": "picture"}),
        Count(clips=33_170, where={"changed": "sound"}),
        Count(clips=33_160, where={"changed": "both"}),
        Count(clips=78_703, where={"split": "train"}),
        Count(clips=31_501, where={"split": "val"}),
        Count(clips=26_100, where={"split": "test"}),
    ),
    terms="CC BY-NC 4.0, and VoxCeleb2's own",
    reference="https://github.com/ControlNet/LAV-DF",
    notes=("Nobody's identity is published, though the people are VoxCeleb2's.",),
)


@dataclasses.dataclass(frozen=True, slots=True)
class LavDF:
    """Reads LAV-DF."""

    about: About = _ABOUT

    def read(self, place: Place, findings: Findings) -> Iterator[Clip]:
        """Yield the listed clips that are there."""
        names = ["metadata.json", "metadata.min.json"]
        path = find_label_file(place.root, names, self.about.title)
        return require_found(_clips(place.root, path, findings), place, self.about)


def _clips(root: Path, listed: Path, findings: Findings) -> Iterator[Clip]:
    there = {path for folder in _SPLITS for path in films_below(root, folder)}
    for row in stream_json_rows(listed):
        path = row.get("file")
        if not isinstance(path, str):
            raise InputError(f"{listed} has a row without 'file': {row!r:.80}.")
        if path in there:
            there.remove(path)
            yield _clip(path, row, listed)
        else:
            findings.note(ABSENT, path)
    for path in sorted(there):
        findings.note(UNLISTED, path)


def _clip(path: str, row: dict[str, Any], listed: Path) -> Clip:
    picture, sound = row.get("modify_video"), row.get("modify_audio")
    split = _SPLITS.get(str(row.get("split")))
    if not isinstance(picture, bool) or not isinstance(sound, bool) or split is None:
        raise InputError(
            f"{listed} does not say of {path} whether picture and sound were modified, and its "
            "split; copy it anew."
        )
    both, of_picture, of_sound = (
        read_segments(row.get(name), listed, path)
        for name in ("fake_periods", "visual_fake_segments", "audio_fake_segments")
    )
    original = row.get("original")
    changed = {(True, True): "both", (True, False): "picture", (False, True): "sound"}
    return Clip(
        id=_id(path),
        path=path,
        dataset=_SET,
        label="synthetic" if picture else "pristine",
        sound="synthetic" if sound else "pristine",
        kind="generated" if picture else "camera",
        method="LAV-DF" if picture or sound else None,
        split=split,
        fps=_FPS,
        frames=row["video_frames"] if isinstance(row.get("video_frames"), int) else 0,
        fake_segments=(of_picture or both) if picture else (),
        sound_segments=(of_sound or both) if sound else (),
        parents={"twin": _id(str(original))} if original else {},
        attributes={"changed": changed.get((picture, sound), "nothing")},
    )


def _id(path: str) -> str:
    # Numbers are one set's in all its folders, and an original is named with its folder or without.
    return clip_id(_SET, PurePosixPath(path).stem)
