"""Two folders, one of pristine and one of synthetic clips, of which nothing else is known."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from obverse.clip import Clip, Label
from obverse.datasets.adapter import About, Findings, Place, clip_id, require_found
from obverse.datasets.walk import films_below, picture_folders
from obverse.errors import ConfigError, InputError

__all__ = ["Folders"]

_SET = "folders"


_ABOUT = About(
    title="your folders",
    layout="films, or folders of frames, in the folders named by --pristine and --synthetic",
    official=(),
    splits="drawn by hash",
    terms="yours to know",
    reference="",
    notes=(
        "Nothing is read out of names. With --people each folder right below --pristine and "
        "--synthetic is a person, and one person's clips stay in one split; without it nothing "
        "keeps a person's clips together.",
    ),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Folders:
    """Reads a user's own folders; a label comes from the folder that was named for it."""

    about: About = _ABOUT

    def read(self, place: Place, findings: Findings) -> Iterator[Clip]:
        """Yield the pristine clips, then the synthetic ones."""
        del findings
        named: list[tuple[Label, Path | None]] = [
            ("pristine", place.pristine),
            ("synthetic", place.synthetic),
        ]
        folders = [(label, folder) for label, folder in named if folder is not None]
        if not folders:
            raise ConfigError(
                "the set folders needs --pristine DIR, --synthetic DIR, or both; a folder has to "
                "say what is in it."
            )
        for _, folder in folders:
            if not folder.is_dir():
                raise InputError(f"{folder} is no folder; name a folder of films.")
        if len(folders) == 2:
            one, other = (folder.resolve() for _, folder in folders)
            if one == other or one in other.parents or other in one.parents:
                raise ConfigError(
                    f"{folders[0][1]} and {folders[1][1]} lie in one another, so that a clip would "
                    "be pristine and synthetic; name two folders."
                )
        clips = (clip for label, folder in folders for clip in _clips(label, folder, place.people))
        return require_found(clips, place, self.about)


def _clips(label: Label, folder: Path, people: bool) -> Iterator[Clip]:
    for paths in (films_below(folder), picture_folders(folder)):
        for path in paths:
            person = path.partition("/")[0] if people and "/" in path else None
            yield Clip(
                # One name in both folders is two clips.
                id=clip_id(_SET, f"{label}/{path}"),
                path=str(folder.absolute() / path),
                dataset=_SET,
                label=label,
                kind="generated" if label == "synthetic" else "camera",
                identity=None if person is None else f"{_SET}:{person}",
            )
