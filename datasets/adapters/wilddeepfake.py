"""WildDeepfake: faces cut out of films from the internet, as pictures in tars."""

import dataclasses
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from obverse.clip import Clip, Label, Split
from obverse.datasets.adapter import About, Count, Findings, Place, clip_id, require_found
from obverse.datasets.walk import PICTURES, folders_in, picture_folders
from obverse.errors import InputError

__all__ = ["WildDeepfake"]

_SET = "wilddeepfake"
_FOLDERS: dict[str, tuple[Label, Split]] = {
    "real_train": ("pristine", "train"),
    "real_test": ("pristine", "test"),
    "fake_train": ("synthetic", "train"),
    "fake_test": ("synthetic", "test"),
}
_OUTER = ("", "deepfake_in_the_wild")
_ARCHIVE = re.compile(r"(?P<film>\d+)\.tar(?:\.gz)?")


_ABOUT = About(
    title="WildDeepfake",
    layout="real_train, real_test, fake_train and fake_test with N.tar.gz in them",
    official=("train", "test"),
    splits="the publisher's folders; val is drawn from train, film by film",
    published=(
        Count(clips=3409, where={"label": "pristine", "split": "train"}),
        Count(clips=3099, where={"label": "synthetic", "split": "train"}),
        Count(clips=396, where={"label": "pristine", "split": "test"}),
        Count(clips=410, where={"label": "synthetic", "split": "test"}),
    ),
    terms="WildDeepfake terms: research, on request",
    reference="https://github.com/OpenTAI/wild-deepfake",
    notes=(
        "A clip is a sequence of 224-px pictures of a face. Nobody's identity is published; "
        "sequences out of one tar are of one film and stay together.",
    ),
)


@dataclasses.dataclass(frozen=True, slots=True)
class WildDeepfake:
    """Reads WildDeepfake, packed as it comes or unpacked beside its tars."""

    about: About = _ABOUT

    def read(self, place: Place, findings: Findings) -> Iterator[Clip]:
        """Yield the sequences, tar by tar; only the tars' tables of contents are read."""
        del findings
        return require_found(_clips(place.root), place, self.about)


def _clips(root: Path) -> Iterator[Clip]:
    for outer in _OUTER:
        for name, (label, split) in _FOLDERS.items():
            folder = f"{outer}/{name}" if outer else name
            if not (root / folder).is_dir():
                continue
            unpacked = set(folders_in(root, folder))
            for path, member, frames in _sequences(root, folder, unpacked):
                inner = member or path[len(folder) + 1 :]
                film = inner.partition("/")[0]
                yield Clip(
                    id=clip_id(_SET, f"{name}/{inner}"),
                    path=path,
                    member=member,
                    dataset=_SET,
                    label=label,
                    kind="generated" if label == "synthetic" else "camera",
                    method="in-the-wild" if label == "synthetic" else None,
                    split=split,
                    frames=frames,
                    width=224,
                    height=224,
                    parents={"film": clip_id(_SET, f"{name}/{film}")},
                )


def _sequences(
    root: Path, folder: str, unpacked: set[str]
) -> Iterator[tuple[str, str | None, int]]:
    """Yield path, member and frames (0: not counted) of each sequence of a folder."""
    archives = {
        match["film"]: path.name
        for path in (root / folder).iterdir()
        if path.is_file() and (match := _ARCHIVE.fullmatch(path.name))
    }
    for film in sorted(unpacked | archives.keys(), key=lambda name: (len(name), name)):
        if film in unpacked:
            for path in picture_folders(root, f"{folder}/{film}"):
                yield path, None, 0
        else:
            path = f"{folder}/{archives[film]}"
            for member, frames in _members(root / path):
                yield path, member, frames


def _members(path: Path) -> list[tuple[str, int]]:
    """Return the folders of pictures in a tar, which is seldom compressed despite its name."""
    frames: dict[str, int] = {}
    try:
        with tarfile.open(path) as archive:
            for item in archive:
                name = PurePosixPath(item.name)
                if item.isfile() and name.suffix.lower() in PICTURES and ".." not in name.parts:
                    inside = name.parent.as_posix()
                    frames[inside] = frames.get(inside, 0) + 1
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise InputError(f"{path} cannot be read as a tar ({error}); copy it anew.") from error
    return sorted(frames.items())
