"""CelebV-HQ: thirty-five thousand clips of celebrities with attributes, all of them pristine."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from obverse.clip import Clip
from obverse.datasets.adapter import ABSENT, About, Count, Findings, Place, clip_id, require_found
from obverse.datasets.label_files import find_label_file, read_json
from obverse.datasets.walk import films_below
from obverse.errors import InputError

__all__ = ["CelebVHQ"]

_SET = "celebv-hq"
_INFO = "celebvhq_info.json"


_ABOUT = About(
    title="CelebV-HQ",
    layout="celebvhq_info.json, and the cut films KEY.mp4 in any folder",
    official=(),
    splits="the publisher has none",
    published=(Count(clips=35_666),),
    terms="CelebV-HQ agreement: research, non-commercial",
    reference="https://github.com/CelebV-HQ/CelebV-HQ",
    notes=(
        "Identities are not published: clips of one YouTube film stay together, and one person "
        "may be in several films.",
        "The films as they were downloaded (raw) are not read, only those that were cut.",
    ),
)


@dataclasses.dataclass(frozen=True, slots=True)
class CelebVHQ:
    """Reads CelebV-HQ as its download script leaves it."""

    about: About = _ABOUT

    def read(self, place: Place, findings: Findings) -> Iterator[Clip]:
        """Yield the listed clips that are there."""
        path = find_label_file(place.root, [_INFO], self.about.title)
        return require_found(_clips(place.root, path, findings), place, self.about)


def _clips(root: Path, listed: Path, findings: Findings) -> Iterator[Clip]:
    info = read_json(listed, dict)
    meta, clips = info.get("meta_info"), info.get("clips")
    names = meta.get("appearance_mapping", []) if isinstance(meta, dict) else []
    if not isinstance(clips, dict) or not isinstance(names, list):
        raise InputError(f"{listed} has no 'clips'; copy it anew from the publisher's repository.")
    there = {PurePosixPath(path).stem: path for path in films_below(root)}
    for key, row in sorted(clips.items()):
        if not isinstance(row, dict) or "ytb_id" not in row:
            raise InputError(f"{listed} does not say what film {key} is of; copy it anew.")
        if key not in there:
            findings.note(ABSENT, f"{key}.mp4")
            continue
        yield Clip(
            id=clip_id(_SET, key),
            path=there[key],
            dataset=_SET,
            label="pristine",
            sound="pristine",
            kind="camera",
            parents={"film": clip_id(_SET, f"film {row['ytb_id']}")},
            attributes=_attributes(row.get("attributes", {}), names),
        )


def _attributes(said: dict[str, Any], names: list[str]) -> dict[str, str]:
    appearance = dict(zip(names, said.get("appearance", []), strict=False))
    found = {
        name.strip().lower().replace(" ", "_"): "yes" if value else "no"
        for name, value in appearance.items()
    }
    if "male" in found:
        found["gender"] = "male" if found.pop("male") == "yes" else "female"
    emotion = said.get("emotion", {})
    if isinstance(emotion, dict) and isinstance(emotion.get("labels"), str):
        found["emotion"] = emotion["labels"]
    return found
