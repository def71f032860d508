"""Celeb-DF v1, v2 and ++: celebrities' interviews, and their faces put onto each other."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from obverse.clip import Clip
from obverse.datasets.adapter import (
    ABSENT,
    UNNAMED,
    About,
    Count,
    Findings,
    Place,
    clip_id,
    require_found,
)
from obverse.datasets.label_files import find_label_file, read_list
from obverse.datasets.walk import films_below, folders_in
from obverse.errors import InputError

__all__ = ["CELEB_DF_PP", "CELEB_DF_V1", "CELEB_DF_V2", "CelebDF", "celebrity_clip"]

_LIST = "List_of_testing_videos.txt"
_REAL, _YOUTUBE, _SYNTHESIS = "Celeb-real", "YouTube-real", "Celeb-synthesis"
_SCENARIOS = ("FaceSwap", "FaceReenact", "TalkingFace")
_CELEBRITY = re.compile(r"(id\d+)_(\d+)")
_STRANGER = re.compile(r"\d+")
_SWAP = re.compile(r"(id\d+)_(id\d+)_(\d+).*")  # target, source, recording of the target
_TALKING = re.compile(r"(id\d+)_(\d+)_.+")  # target, its recording, and what it was made to say


def celebrity_clip(dataset: str, path: str, people: str, root_path: str = "") -> Clip | None:
    """Return the clip that a Celeb-DF path names; None where it names none.

    Args:
        dataset: the set that the clip is of.
        path: below the set's folder; its first folder says what it is.
        people: before the names of its people, such as `celebdf`.
        root_path: before `path` in the clip's own path.
    """
    parts = PurePosixPath(path).parts
    stem = PurePosixPath(path).stem
    clip = Clip(
        id=clip_id(dataset, root_path + path),
        path=root_path + path,
        dataset=dataset,
        label="pristine",
        kind="camera",
    )
    if parts[0] == _REAL and (match := _CELEBRITY.fullmatch(stem)):
        return clip.replace(identity=f"{people}:{match[1]}")
    if parts[0] == _YOUTUBE and _STRANGER.fullmatch(stem):
        return clip.replace(identity=f"{people}:youtube-{stem}")
    if parts[0] != _SYNTHESIS:
        return None
    scenario = parts[1] if len(parts) > 3 and parts[1] in _SCENARIOS else None
    clip = clip.replace(
        label="synthetic",
        kind="generated",
        method=_SYNTHESIS if scenario is None else parts[2],
        attributes={} if scenario is None else {"scenario": scenario},
    )
    if match := _SWAP.fullmatch(stem):
        twin = f"{_REAL}/{match[1]}_{match[3]}.mp4"
        donor = f"{people}:{match[2]}"
    elif match := _TALKING.fullmatch(stem):
        twin, donor = f"{_REAL}/{match[1]}_{match[2]}.mp4", None
    else:
        return None
    return clip.replace(
        identity=f"{people}:{match[1]}",
        donor=donor,
        parents={"twin": clip_id(dataset, root_path + twin)},
    )


def _testing(root: Path, title: str) -> set[str]:
    """Return the test clips' paths; the list's 1 is real and its 0 is fake.

    Raises:
        InputError: the list is absent, or contradicts the folders.
    """
    path = find_label_file(root, [_LIST], title)
    listed = set()
    for line in read_list(path):
        flag, _, name = line.partition(" ")
        name = name.strip()
        real = not name.startswith(f"{_SYNTHESIS}/")
        if flag not in ("0", "1") or not name:
            raise InputError(f"{path} has the line {line!r}; each is '1 PATH' (real) or '0 PATH'.")
        if (flag == "1") != real:
            raise InputError(
                f"{path} calls {name} {flag}, where 1 is real and 0 is fake; copy it anew from the "
                "publisher's download."
            )
        listed.add(name)
    return listed


@dataclasses.dataclass(frozen=True, slots=True)
class CelebDF:
    """Reads a release of Celeb-DF."""

    name: str
    people: str
    about: About

    def read(self, place: Place, findings: Findings) -> Iterator[Clip]:
        """Yield celebrities, other people, then what was made of the celebrities."""
        testing = _testing(place.root, self.about.title)
        return require_found(self._clips(place.root, testing, findings), place, self.about)

    def _clips(self, root: Path, testing: set[str], findings: Findings) -> Iterator[Clip]:
        # Some copies of the download write Youtube-real, and the list follows its own copy.
        folders = folders_in(root)
        owed = set(testing)
        for folder in (_REAL, _YOUTUBE, _SYNTHESIS):
            there = next((name for name in folders if name.lower() == folder.lower()), folder)
            for path in films_below(root, there):
                clip = celebrity_clip(self.name, folder + path[len(there) :], self.people)
                if clip is None:
                    findings.note(UNNAMED, path)
                    continue
                tested = path in testing or clip.path in testing
                owed -= {path, clip.path}
                yield clip.replace(path=path, split="test" if tested else None)
        for name in sorted(owed):
            findings.note(ABSENT, name)


_TERMS = "Celeb-DF terms of use: research, non-commercial"
_TEST_ONLY = (
    "List_of_testing_videos.txt names the test clips; the publisher does not divide the rest"
)
_SHARED = (
    "The publisher's test list shares celebrities with the rest: use --splits disjoint for splits "
    "that share nobody."
)

CELEB_DF_V1 = CelebDF(
    name="celeb-df-v1",
    people="celebdf1",
    about=About(
        title="Celeb-DF v1",
        layout="Celeb-real, YouTube-real, Celeb-synthesis and List_of_testing_videos.txt",
        official=("test",),
        splits=_TEST_ONLY,
        published=(
            Count(clips=408, where={"label": "pristine"}),
            Count(clips=795, where={"label": "synthetic"}),
        ),
        terms=_TERMS,
        reference="https://github.com/yuezunli/celeb-deepfakeforensics",
        notes=(_SHARED,),
    ),
)
CELEB_DF_V2 = CelebDF(
    name="celeb-df-v2",
    people="celebdf",
    about=About(
        title="Celeb-DF v2",
        layout="Celeb-real, YouTube-real, Celeb-synthesis and List_of_testing_videos.txt",
        official=("test",),
        splits=_TEST_ONLY,
        published=(
            Count(clips=890, where={"label": "pristine"}),
            Count(clips=5639, where={"label": "synthetic"}),
            Count(clips=178, where={"label": "pristine", "split": "test"}),
            Count(clips=340, where={"label": "synthetic", "split": "test"}),
        ),
        terms=_TERMS,
        reference="https://github.com/yuezunli/celeb-deepfakeforensics",
        notes=(_SHARED,),
    ),
)
CELEB_DF_PP = CelebDF(
    name="celeb-df-pp",
    people="celebdf",
    about=About(
        title="Celeb-DF++",
        layout="Celeb-real, YouTube-real, Celeb-synthesis/SCENARIO/METHOD and "
        "List_of_testing_videos.txt",
        official=("test",),
        splits=_TEST_ONLY,
        published=(
            Count(clips=890, where={"label": "pristine"}),
            Count(clips=178, where={"label": "pristine", "split": "test"}),
            Count(clips=1600, where={"scenario": "FaceSwap", "split": "test"}),
            Count(clips=1400, where={"scenario": "FaceReenact", "split": "test"}),
            Count(clips=2100, where={"scenario": "TalkingFace", "split": "test"}),
        ),
        terms=_TERMS,
        reference="https://github.com/OUC-VAS/Celeb-DF-PP",
        notes=(
            _SHARED,
            "22 methods in three scenarios. Its pristine clips and the method Celeb-DF are those "
            "of v2: do not train on one and test on the other.",
        ),
    ),
)
