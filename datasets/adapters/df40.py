"""DF40: forty methods on FaceForensics++'s and Celeb-DF's people, as frames or as films."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from obverse.clip import Clip, Split
from obverse.datasets.adapter import About, Findings, Place, clip_id, require_found
from obverse.datasets.adapters.celeb_df import celebrity_clip
from obverse.datasets.walk import films_below, folders_in, picture_folders, pictures_in

__all__ = ["DF40"]

_SET = "df40"
# The pristine frames that the publisher hands out beside the methods, in their sets' own layout.
_REALS = {
    "FaceForensics++": "original_sequences/youtube/c23/frames",
    "Celeb-DF-v1": "",
    "Celeb-DF-v2": "",
}
# The publisher spells some methods differently in its packages and in its paper.
# fmt: off
_METHODS = frozenset({
    "fsgan", "faceswap", "simswap", "inswap", "inswapper", "blendface", "uniface", "mobileswap",
    "e4s", "facedancer", "deepfacelab", "fomm", "facevid2vid", "fsvid2vid", "wav2lip", "mraa",
    "oneshot", "oneshotfree", "pirender", "tpsm", "tpsmm", "lia", "dagan", "sadtalker", "mcnet",
    "hyperreenact", "heygen", "vqgan", "stylegan2", "stylegan3", "styleganxl", "sd21", "ddpm",
    "ddim", "rddm", "pixart", "dit", "ditxl2", "sit", "sitxl2", "midjourney", "whichisreal",
    "whichfaceisreal", "stargan", "starganv2", "styleclip", "e4e", "collabdiff",
})
# fmt: on
_NO_METHOD = "in a folder that is called after no method of the set"
_NO_FRAMES = frozenset({"landmarks", "masks", "mask"})
_GROUPING = frozenset({"frames", "ff", "cdf", "fake", "real", "videos"})
_PAIR = re.compile(r"(\d{3})(?:_(\d{3}))?")
_STEM_PARTS = re.compile(r"(id\d+)(?:_(id\d+))?(?:_(\d+).*)?")


_ABOUT = About(
    title="DF40",
    layout="METHOD folders with ff, cdf, frames, or real and fake in them, or the packages "
    "DF40_train and DF40 that hold these",
    official=("train", "test"),
    splits="the publisher's packages: DF40_train is train, everything else is test; a pristine "
    "clip goes with its person; val is drawn from train",
    terms="CC BY-NC 4.0, and the terms of FaceForensics++ and Celeb-DF",
    reference="https://github.com/YZY-stack/DF40",
    notes=(
        "Its frames are faces cut out already. Where a method made single pictures, each is a "
        "clip of one frame.",
        "The pristine frames of 31 methods are FaceForensics++'s and Celeb-DF's, handed out "
        "apart: they are read where FaceForensics++, Celeb-DF-v1 or Celeb-DF-v2 lie beside the "
        "methods. The other nine bring their own in `real`.",
    ),
)


@dataclasses.dataclass(frozen=True, slots=True)
class DF40:
    """Reads DF40's packages, one or several of them."""

    about: About = _ABOUT

    def read(self, place: Place, findings: Findings) -> Iterator[Clip]:
        """Yield every method's clips, package by package, then the pristine frames."""
        return require_found(_clips(place.root, findings), place, self.about)


def _clips(root: Path, findings: Findings) -> Iterator[Clip]:
    learned: set[str | None] = set()  # people of the package that is for training
    packages = [name for name in folders_in(root) if name.upper().startswith("DF40")]
    for package in packages or [""]:
        split: Split = "train" if "train" in (package or root.name).lower() else "test"
        for method in folders_in(root, package):
            if method in _REALS or method in packages:
                continue
            inside = f"{package}/{method}" if package else method
            if "".join(filter(str.isalnum, method)).lower() not in _METHODS:
                findings.note(_NO_METHOD, inside)
                continue
            for path, frames in _found(root, inside):
                clip = _clip(root, path, inside, method, split, frames)
                if split == "train":
                    learned |= {clip.identity, clip.donor}
                yield clip
    for name, below in _REALS.items():
        for clip in _reals(root, name, below, findings):
            yield clip.replace(split="train" if clip.identity in learned else "test")


def _found(root: Path, inside: str) -> Iterator[tuple[str, int]]:
    """Yield a method's films, folders of frames, and single pictures, with their frames (0 where
    nobody counted).
    """
    for path in films_below(root, inside):
        yield path, 0
    for folder in picture_folders(root, inside):
        parts = PurePosixPath(folder).relative_to(inside).parts
        if _NO_FRAMES & set(parts):
            continue
        if not parts or parts[-1] in _GROUPING:
            # Pictures right in a folder that only groups are each a whole clip.
            for path in pictures_in(root, folder):
                yield path, 1
        else:
            yield folder, 0


def _clip(root: Path, path: str, inside: str, method: str, split: Split, frames: int) -> Clip:
    parts = PurePosixPath(path).relative_to(inside).parts
    real = "real" in parts
    is_file = frames or (root / path).is_file()
    name = PurePosixPath(path).stem if is_file else parts[-1]
    people, twin = _people(name, "cdf" in parts, parts)
    identity, donor = people
    return Clip(
        id=clip_id(_SET, path),
        path=path,
        dataset=_SET,
        label="pristine" if real else "synthetic",
        kind="camera" if real else "generated",
        method=None if real else method,
        identity=identity,
        donor=None if real else donor,
        split=split,
        frames=frames,
        parents={"twin": twin} if twin and not real else {},
        attributes={"domain": next((part for part in parts if part in ("ff", "cdf")), "own")}
        if {"ff", "cdf", "real", "fake"} & set(parts)
        else {"domain": "ff"},  # DF40_train is made of FaceForensics++ and does not say so
    )


def _people(
    name: str, celebrities: bool, parts: tuple[str, ...]
) -> tuple[tuple[str | None, str | None], str | None]:
    """Return identity and donor, and the id of the pristine clip, as far as a name tells."""
    if {"real", "fake"} & set(parts):
        return (None, None), None  # of nine methods, whose people nobody names
    if not celebrities:
        match = _PAIR.fullmatch(name)
        if match is None:
            return (None, None), None
        donor = None if match[2] is None else f"ffpp:{match[2]}"
        twin = clip_id(_SET, f"FaceForensics++/{_REALS['FaceForensics++']}/{match[1]}")
        return (f"ffpp:{match[1]}", donor), twin
    if "YouTube-real" in parts:
        stranger = f"celebdf:youtube-{name}"
        return (stranger, None), clip_id(_SET, f"Celeb-DF-v2/YouTube-real/{name}")
    match = _STEM_PARTS.fullmatch(name)
    if match is None:
        return (None, None), None
    donor = None if match[2] is None else f"celebdf:{match[2]}"
    people = f"celebdf:{match[1]}", donor
    if match[3] is None:
        return people, None
    return people, clip_id(_SET, f"Celeb-DF-v2/Celeb-real/{match[1]}_{match[3]}")


def _reals(root: Path, name: str, below: str, findings: Findings) -> Iterator[Clip]:
    """Yield the pristine frames of one of the sets beside the methods."""
    inside = f"{name}/{below}" if below else name
    for folder in picture_folders(root, inside):
        parts = PurePosixPath(folder).relative_to(name).parts
        if _NO_FRAMES & set(parts) or "Celeb-synthesis" in parts:
            continue
        stem = parts[-1]
        if name == "FaceForensics++":
            clip = Clip(
                id=clip_id(_SET, folder),
                path=folder,
                dataset=_SET,
                label="pristine",
                kind="camera",
                identity=f"ffpp:{stem}",
                attributes={"domain": "ff"},
            )
        else:
            people = "celebdf1" if name.endswith("v1") else "celebdf"
            found = celebrity_clip(_SET, f"{parts[0]}/{stem}", people, f"{name}/")
            if found is None:
                findings.note("not named as the set names its clips", folder)
                continue
            clip = found.replace(path=folder, attributes={"domain": "cdf"})
        yield clip
