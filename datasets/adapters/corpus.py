"""Our own corpora, and any folder that has a table of clips already."""

import dataclasses
from collections.abc import Iterator

from obverse.clip import Clip
from obverse.datasets.adapter import ABSENT, About, Findings, Place, require_found
from obverse.datasets.table import clip_path, iter_clips
from obverse.errors import InputError

__all__ = ["Corpus"]

_TABLE = "clips.parquet"


_ABOUT = About(
    title="a corpus of obverse",
    layout="clips.parquet, clips and masks",
    official=("train", "val", "test"),
    splits="the corpus's own: no identity, voice or source is in two",
    terms="stated clip by clip in the column rights",
    reference="docs/corpus.md",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Corpus:
    """Reads what `obverse corpus` made."""

    about: About = _ABOUT

    def read(self, place: Place, findings: Findings) -> Iterator[Clip]:
        """Yield the table's clips that are there."""
        table = place.root / _TABLE
        if not table.is_file():
            raise InputError(
                f"{place.root} lacks {_TABLE}, the table of a corpus; name a folder that "
                "`obverse corpus` made."
            )
        clips = self._clips(place, findings)
        return require_found(clips, place, self.about)

    def _clips(self, place: Place, findings: Findings) -> Iterator[Clip]:
        for clip in iter_clips(place.root / _TABLE):
            if clip_path(clip, place.root).exists():
                yield clip if clip.dataset else clip.replace(dataset="corpus")
            else:
                findings.note(ABSENT, clip.path)
