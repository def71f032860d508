"""DeepFakeDetection (Google and Jigsaw): actors in scenes, and their faces swapped."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from obverse.clip import Clip
from obverse.datasets.adapter import UNNAMED, About, Count, Findings, Place, clip_id, require_found
from obverse.datasets.adapters.ffpp import quality_of
from obverse.datasets.walk import films_below, folders_in

__all__ = ["DeepFakeDetection"]

_SET = "dfd"
_ACTORS = "original_sequences/actors"
_SWAPPED = "manipulated_sequences/DeepFakeDetection"
# 01__kitchen_pan and 01_02__kitchen_pan__8DTEGQ54: target, source, scene, experiment.
_NAME = re.compile(
    r"(?P<target>\d+)(?:_(?P<source>\d+))?__(?P<scene>.+?)(?:__(?P<run>[A-Z0-9]{8}))?"
)


_ABOUT = About(
    title="DeepFakeDetection",
    layout="original_sequences/actors/c23/videos and "
    "manipulated_sequences/DeepFakeDetection/c23/videos",
    official=(),
    splits="the publisher has none",
    published=(
        Count(clips=363, where={"label": "pristine"}, each="compression"),
        Count(clips=3068, where={"label": "synthetic"}, each="compression"),
    ),
    terms="FaceForensics terms of use: research, non-commercial",
    reference="https://github.com/ondyari/FaceForensics",
    notes=("28 actors in 16 scenes; every actor is swapped with several others.",),
)


@dataclasses.dataclass(frozen=True, slots=True)
class DeepFakeDetection:
    """Reads DeepFakeDetection, which FaceForensics++'s download script brings."""

    about: About = _ABOUT

    def read(self, place: Place, findings: Findings) -> Iterator[Clip]:
        """Yield the actors' films, then the swapped ones, quality by quality."""
        return require_found(_clips(place.root, findings), place, self.about)


def _clips(root: Path, findings: Findings) -> Iterator[Clip]:
    masks = set(films_below(root, f"{_SWAPPED}/masks/videos"))
    for base in (_ACTORS, _SWAPPED):
        for folder in folders_in(root, base):
            if (quality := quality_of(folder)) is None:
                continue
            for path in films_below(root, f"{base}/{folder}/videos"):
                match = _NAME.fullmatch(PurePosixPath(path).stem)
                if match is None or (match["source"] is None) != (base == _ACTORS):
                    findings.note(UNNAMED, path)
                    continue
                clip = Clip(
                    id=clip_id(_SET, path),
                    path=path,
                    dataset=_SET,
                    label="pristine",
                    kind="camera",
                    identity=f"{_SET}:{match['target']}",
                    encoder={"compression": quality},
                    attributes={"compression": quality, "scene": match["scene"]},
                )
                if base == _SWAPPED:
                    mask = f"{_SWAPPED}/masks/videos/{PurePosixPath(path).name}"
                    twin = f"{_ACTORS}/{folder}/videos/{match['target']}__{match['scene']}.mp4"
                    clip = clip.replace(
                        label="synthetic",
                        kind="generated",
                        method="DeepFakeDetection",
                        donor=f"{_SET}:{match['source']}",
                        parents={"twin": clip_id(_SET, twin)},
                        mask_path=mask if mask in masks else None,
                    )
                yield clip
