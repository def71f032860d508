"""VoxCeleb2: a million utterances of six thousand people, all of them pristine."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from obverse.clip import Clip, Split
from obverse.datasets.adapter import UNNAMED, About, Count, Findings, Place, clip_id, require_found
from obverse.datasets.label_files import read_csv
from obverse.datasets.walk import films_below

__all__ = ["VoxCeleb2"]

_SET = "voxceleb2"
_META = "vox2_meta.csv"
_FOLDERS: tuple[tuple[str, Split | None], ...] = (
    ("mp4", None),
    ("dev/mp4", "train"),
    ("test/mp4", "test"),
)
_SETS: dict[str, Split] = {"dev": "train", "test": "test"}
_GENDERS = {"m": "male", "f": "female"}
_PERSON = re.compile(r"id\d{5}")


_ABOUT = About(
    title="VoxCeleb2",
    layout="dev/mp4 and test/mp4, or mp4, with PERSON/FILM/NNNNN.mp4 in them, and vox2_meta.csv",
    official=("train", "test"),
    splits="vox2_meta.csv, or the folders dev and test; val is drawn from dev, by person",
    published=(
        Count(clips=1_092_009, where={"set": "dev"}),
        Count(clips=36_237, where={"set": "test"}),
    ),
    terms="CC BY 4.0 for the lists; the films are their owners'",
    reference="https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox2.html",
    notes=("FakeAVCeleb, LAV-DF and AV-Deepfake1M are made of it.",),
)


@dataclasses.dataclass(frozen=True, slots=True)
class VoxCeleb2:
    """Reads VoxCeleb2's films."""

    about: About = _ABOUT

    def read(self, place: Place, findings: Findings) -> Iterator[Clip]:
        """Yield the utterances, person by person."""
        return require_found(_clips(place.root, findings), place, self.about)


def _meta(root: Path) -> dict[str, tuple[str, Split | None]]:
    """Return gender and split by person, if the table is there; its header has blanks in it."""
    if not (root / _META).is_file():
        return {}
    rows = read_csv(root / _META, ("VoxCeleb2 ID", "Gender", "Set"))
    return {
        row["VoxCeleb2 ID"]: (_GENDERS.get(row["Gender"], row["Gender"]), _SETS.get(row["Set"]))
        for row in rows
    }


def _clips(root: Path, findings: Findings) -> Iterator[Clip]:
    meta = _meta(root)
    for folder, by_folder in _FOLDERS:
        for path in films_below(root, folder):
            parts = PurePosixPath(path[len(folder) + 1 :]).parts
            if len(parts) != 3 or not _PERSON.fullmatch(parts[0]):
                findings.note(UNNAMED, path)
                continue
            person, film, _ = parts
            gender, by_table = meta.get(person, (None, None))
            split = by_table or by_folder
            attributes = {} if gender is None else {"gender": gender}
            if split is not None:
                attributes["set"] = "dev" if split == "train" else "test"
            yield Clip(
                id=clip_id(_SET, "/".join(parts)),
                path=path,
                dataset=_SET,
                label="pristine",
                sound="pristine",
                kind="camera",
                identity=f"vox2:{person}",
                speaker=f"vox2:{person}",
                split=split,
                parents={"film": clip_id(_SET, f"film {film}")},
                attributes=attributes,
            )
