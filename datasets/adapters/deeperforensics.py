"""DeeperForensics-1.0: faces of paid actors on FaceForensics++'s films, also distorted.

The folder's `source_videos` show the actors whose faces were taken. They are not the pristine
class: that is FaceForensics++ at c23, which is another download (`--pristine`).
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from obverse.clip import Clip, Split
from obverse.datasets.adapter import UNNAMED, About, Count, Findings, Place, clip_id, require_found
from obverse.datasets.adapters.ffpp import original_clip
from obverse.datasets.label_files import find_label_file, read_list
from obverse.datasets.walk import films_below, folders_in
from obverse.errors import InputError

__all__ = ["DeeperForensics"]

_SET = "deeperforensics"
_MANIPULATED, _LISTS = "manipulated_videos", "lists"
_TARGETS = "original_sequences/youtube/c23/videos"
_SPLITS: tuple[Split, ...] = ("train", "val", "test")
_NAME = re.compile(r"(?P<target>\d{3})_(?P<actor>(?P<sex>[MW])\d{3})")
_SEX = {"M": "male", "W": "female"}  # faces were swapped within a sex, so it is the target's too


_ABOUT = About(
    title="DeeperForensics-1.0",
    layout="manipulated_videos/VARIANT/TARGET_ACTOR.mp4 and lists/splits",
    official=_SPLITS,
    splits="the publisher's lists/splits (703, 96 and 201 of a variant)",
    published=(
        Count(clips=703, where={"label": "synthetic", "split": "train"}, each="variant"),
        Count(clips=96, where={"label": "synthetic", "split": "val"}, each="variant"),
        Count(clips=201, where={"label": "synthetic", "split": "test"}, each="variant"),
    ),
    terms="DeeperForensics terms of use: research, non-commercial",
    reference="https://github.com/EndlessSora/DeeperForensics-1.0",
    notes=(
        "source_videos are not read: they are what the faces were taken from, not the pristine "
        "class. That is FaceForensics++ at c23: name its folder with --pristine.",
        "The pristine clips are not distorted, while ten of eleven variants of the synthetic "
        "ones are: compare like with like.",
    ),
)


@dataclasses.dataclass(frozen=True, slots=True)
class DeeperForensics:
    """Reads DeeperForensics-1.0."""

    about: About = _ABOUT

    def read(self, place: Place, findings: Findings) -> Iterator[Clip]:
        """Yield each variant's clips, then the pristine ones if their folder is named."""
        splits = _official(place.root, self.about.title)
        return require_found(_clips(place, splits, findings), place, self.about)


def _official(root: Path, title: str) -> dict[str, Split]:
    """Return the split by the name that a clip has in every variant."""
    splits: dict[str, Split] = {}
    for split in _SPLITS:
        names = [f"{folder}{split}.txt" for folder in (f"{_LISTS}/splits/", "splits/", "")]
        path = find_label_file(root, names, title)
        for line in read_list(path):
            name = PurePosixPath(line.split()[0]).stem
            if splits.setdefault(name, split) != split:
                raise InputError(f"{path} lists {name}, which is in {splits[name]} too.")
    return splits


def _distortions(root: Path, variant: str) -> dict[str, list[str]]:
    """Return what was done to each clip of a variant, in order, such as ["CS:3", "JPEG:1"]."""
    path = root / _LISTS / "manipulated_videos_distortions_meta"
    path = path / f"manipulated_videos_{variant}_meta.txt"
    if not path.is_file():
        return {}
    lines = (line.split() for line in read_list(path))
    return {PurePosixPath(words[0]).stem: words[1:] for words in lines}


def _clips(place: Place, splits: Mapping[str, Split], findings: Findings) -> Iterator[Clip]:
    root = place.root
    for variant in folders_in(root, _MANIPULATED):
        distortions = _distortions(root, variant)
        for path in films_below(root, f"{_MANIPULATED}/{variant}"):
            name = PurePosixPath(path).stem
            match = _NAME.fullmatch(name)
            if match is None:
                findings.note(UNNAMED, path)
                continue
            done = distortions.get(name)
            yield Clip(
                id=clip_id(_SET, path),
                path=path,
                dataset=_SET,
                label="synthetic",
                kind="generated",
                method="reenact_postprocess" if variant.startswith("reenact") else "DF-VAE",
                identity=f"ffpp:{match['target']}",
                donor=f"{_SET}:{match['actor']}",
                split=splits.get(name),
                parents={"twin": clip_id("ffpp", f"{_TARGETS}/{match['target']}.mp4")},
                controls={} if done is None else {"distortions": done},
                attributes={"variant": variant, "gender": _SEX[match["sex"]]},
            )
    if place.pristine is not None:
        yield from _targets(place.pristine, splits)


def _targets(folder: Path, splits: Mapping[str, Split]) -> Iterator[Clip]:
    """Yield FaceForensics++'s films, each in the split of the clip that was made of it."""
    by_target = {name[:3]: (split, name[4:5]) for name, split in splits.items()}
    found = False
    for path in films_below(folder, _TARGETS):
        split, sex = by_target.get(PurePosixPath(path).stem, (None, ""))
        clip = original_clip(path, "c23", split)
        gender = {"gender": _SEX[sex]} if sex in _SEX else {}
        yield clip.replace(
            path=str(folder.absolute() / path), attributes={**clip.attributes, **gender}
        )
        found = True
    if not found:
        raise InputError(
            f"{folder} lacks {_TARGETS}, the pristine clips of DeeperForensics-1.0; name the "
            "folder of FaceForensics++ with --pristine."
        )
