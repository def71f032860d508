"""KoDF: Korean actors, and five ways to make films of them."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from obverse.clip import Clip
from obverse.datasets.adapter import UNNAMED, About, Count, Findings, Place, clip_id, require_found
from obverse.datasets.walk import films_below

__all__ = ["KoDF"]

_SET = "kodf"
# The publisher's rule for names, whatever folders the films lie in.
_ACTOR = r"[0-9a-f]{20}|\d{6}"
_REAL = re.compile(rf"(?P<actor>{_ACTOR})_(?P<take>\d+)")
_FAKE = re.compile(rf"(?P<target>{_ACTOR})_(?P<source>{_ACTOR})_(?P<code>[1-5])_(?P<take>\d+)")
_METHODS = {"1": "dfl", "2": "dffs", "3": "fsgan", "4": "fo", "5": "audio-driven"}


_ABOUT = About(
    title="KoDF",
    layout="films called ACTOR_TAKE.mp4 and TARGET_SOURCE_CODE_TAKE.mp4, in any folders",
    official=(),
    splits="the publisher has none",
    published=(
        Count(clips=62_166, where={"label": "pristine"}),
        Count(clips=175_776, where={"label": "synthetic"}),
    ),
    terms="KoDF terms, through the publisher's form or AI-Hub",
    reference="https://github.com/deepbrainai-research/kodf",
    notes=(
        "Codes: 1 DeepFaceLab, 2 FaceSwap, 3 FSGAN, 4 first-order motion, 5 audio-driven "
        "(ATFHP and Wav2Lip).",
        "The folder names of the download differ from place to place; the names of the films "
        "decide.",
    ),
)


@dataclasses.dataclass(frozen=True, slots=True)
class KoDF:
    """Reads KoDF by the names of its films."""

    about: About = _ABOUT

    def read(self, place: Place, findings: Findings) -> Iterator[Clip]:
        """Yield the films by their names, in the order of their folders."""
        return require_found(_clips(place.root, findings), place, self.about)


def _clips(root: Path, findings: Findings) -> Iterator[Clip]:
    for path in films_below(root):
        stem = PurePosixPath(path).stem
        # Names are unique in the set, so an id does not depend on the folders.
        identifier = clip_id(_SET, stem)
        if match := _FAKE.fullmatch(stem):
            yield Clip(
                id=identifier,
                path=path,
                dataset=_SET,
                label="synthetic",
                kind="generated",
                method=_METHODS[match["code"]],
                identity=f"{_SET}:{match['target']}",
                donor=f"{_SET}:{match['source']}",
            )
        elif match := _REAL.fullmatch(stem):
            yield Clip(
                id=identifier,
                path=path,
                dataset=_SET,
                label="pristine",
                kind="camera",
                identity=f"{_SET}:{match['actor']}",
            )
        else:
            findings.note(UNNAMED, path)
