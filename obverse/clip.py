"""The records that travel through the toolkit: one `Clip` a video, one `Score` a clip and detector.

A `Clip` is the row of `clips.parquet`, the source of the manifest and the join key of every score.
Nothing about a clip is ever read out of its path.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal, Self

from obverse.errors import ConfigError

__all__ = ["Clip", "Judged", "Kind", "Label", "Score", "Split", "Status", "Verdict", "lineage_id"]

Label = Literal["pristine", "synthetic"]
Judged = Literal["picture", "picture and sound"]  # what a detector's score is about
Kind = Literal["camera", "rendered", "generated"]
Split = Literal["train", "val", "test"]
Status = Literal["ok", "missing", "error"]
Verdict = Literal["synthetic", "pristine", "cannot tell"]

_LABELS = ("pristine", "synthetic")
_KINDS = ("camera", "rendered", "generated")
_SPLITS = ("train", "val", "test", None)
_STATUSES = ("ok", "missing", "error")
_VERDICTS = ("synthetic", "pristine", "cannot tell", None)
_JUDGED = ("picture", "picture and sound", None)
_ID_HEX_DIGITS = 32

# Fields that are JSON text in a row.
_MAPPINGS = ("parents", "encoder", "controls", "attributes")
_SEGMENTS = ("fake_segments", "sound_segments")
_NESTED = (*_MAPPINGS, *_SEGMENTS, "warnings")


def lineage_id(lineage: Mapping[str, Any]) -> str:
    """Return a clip's id: 32 hexadecimal digits, the sha256 of what it was made from.

    The same inputs, method, controls, seed and tool version give the same id on any machine.
    """
    text = json.dumps(lineage, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_ID_HEX_DIGITS]


def _require(what: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        names = ", ".join(str(name) for name in allowed if name is not None)
        raise ConfigError(f"a clip's {what} is {value!r}; it must be one of {names}.")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One video and everything that is known about it."""

    id: str  # 32 hexadecimal digits, see `lineage_id`
    path: str  # a film, or a folder or archive of frames; relative to the folder of clips.parquet,
    # or absolute
    member: str | None = None  # where `path` is an archive: the folder in it that holds the frames,
    # a film or picture in it, or the key that a shard's numbered pictures share
    sha256: str | None = None  # of the file's bytes; None until it is released
    dataset: str | None = None  # the set that it comes from, a name of `datasets.catalogue`
    label: Label  # of the picture
    sound: Label | None = None  # of the sound; None where there is none, or nobody says
    kind: Kind
    method: str | None = None  # what made picture or sound synthetic, None where neither is
    parents: Mapping[str, str] = dataclasses.field(default_factory=dict)
    # role (portrait, audio, driving, twin) -> clip id, or sha256 of a file
    identity: str | None = None  # who is on screen
    donor: str | None = None  # whose face, motion or voice was put onto `identity`
    speaker: str | None = None
    split: Split | None = None
    fps: float = 25.0
    frames: int = 0  # 0 where nobody looked
    width: int = 0
    height: int = 0
    encoder: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seed: int | None = None
    controls: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    mark: str | None = None  # the watermark's payload, 16 hexadecimal digits
    manifest: str | None = None  # the C2PA manifest's label (urn:c2pa:...)
    fake_segments: tuple[tuple[float, float], ...] = ()  # of the picture, seconds, [start, end)
    sound_segments: tuple[tuple[float, float], ...] = ()  # of the sound, likewise
    mask_path: str | None = None
    attributes: Mapping[str, str] = dataclasses.field(default_factory=dict)  # for fairness slices
    rights: str | None = None  # synthetic, public-domain, consented, or a licence
    warnings: tuple[str, ...] = ()  # where the generator says that it could not do well
    tool: str = ""  # name and version of what made the clip

    def __post_init__(self) -> None:
        """Refuse a record that contradicts itself."""
        _require("label", self.label, _LABELS)
        _require("kind", self.kind, _KINDS)
        _require("split", self.split, _SPLITS)
        _require("sound", self.sound, (*_LABELS, None))
        if self.label == "pristine" and self.fake_segments:
            raise ConfigError(f"clip {self.id} is pristine yet has fake segments; give it none.")
        if self.sound != "synthetic" and self.sound_segments:
            raise ConfigError(
                f"clip {self.id} has fake segments of a sound that is not called synthetic; "
                "give it none."
            )
        for segments in (self.fake_segments, self.sound_segments):
            if any(not 0 <= start < end for start, end in segments):
                raise ConfigError(
                    f"clip {self.id} has fake segments {segments}; each is 0 <= start < end "
                    "seconds."
                )
        if self.member is not None and ".." in self.member.split("/"):
            raise ConfigError(
                f"clip {self.id} has the member {self.member!r}, which leaves its archive; name a "
                "folder in it."
            )

    @property
    def binary(self) -> int:
        """1 where the picture is synthetic, else 0."""
        return int(self.label == "synthetic")

    @property
    def binary_av(self) -> int:
        """1 where the picture or the sound is synthetic, else 0."""
        return int("synthetic" in (self.label, self.sound))

    def synthetic_in(self, judged: Judged) -> bool:
        """Whether what a detector judges of the clip is synthetic."""
        return bool(self.binary if judged == "picture" else self.binary_av)

    @property
    def seconds(self) -> float:
        """Duration in seconds; 0 where nobody looked."""
        return self.frames / self.fps

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def to_row(self) -> dict[str, Any]:
        """Return a flat row for a table: nested fields as JSON text."""
        row: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        for name in _NESTED:  # most are empty, and a table may have millions of rows
            value = row[name]
            empty = "{}" if isinstance(value, Mapping) else "[]"
            row[name] = json.dumps(value, sort_keys=True) if value else empty
        return row

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Build a clip from a row of `to_row`; NaN and empty cells mean None."""
        values: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            if field.name not in row:
                continue
            value = row[field.name]
            if value is None or value != value:  # NaN
                if field.default is None:
                    values[field.name] = None
                continue
            if field.name in _MAPPINGS:
                value = json.loads(value)
            elif field.name in _SEGMENTS:
                value = tuple((float(start), float(end)) for start, end in json.loads(value))
            elif field.name == "warnings":
                value = tuple(json.loads(value))
            elif field.name in ("frames", "width", "height", "seed"):
                value = int(value)
            values[field.name] = value
        return cls(**values)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What one detector says of one clip. A clip without a face is `missing`, an unreadable one
    `error`.
    """

    clip: str  # Clip.id
    detector: str
    status: Status
    score: float | None = None  # [0, 1], higher = synthetic; None unless status is ok
    lr: float | None = None  # likelihood ratio p(score | synthetic) / p(score | pristine)
    verdict: Verdict | None = None  # None unless status is ok and the detector gives verdicts
    frame_scores: tuple[float, ...] = ()
    times: tuple[float, ...] = ()  # seconds, one a frame score
    reason: str | None = None  # why it is missing or in error, or why the verdict abstains
    tracks_json: str = "[]"  # a JSON list, an object a face track: see obverse.detector.score
    judges: Judged | None = None  # what the score is about; None where nobody says

    def __post_init__(self) -> None:
        """Refuse a score that is not a number in [0, 1] and a number where there is none."""
        _require("status", self.status, _STATUSES)
        _require("verdict", self.verdict, _VERDICTS)
        if self.judges not in _JUDGED:
            raise ConfigError(
                f"a score is about {self.judges!r}; it must be about picture or picture and sound."
            )
        if (self.status == "ok") != (self.score is not None):
            raise ConfigError(f"clip {self.clip} has status {self.status} and score {self.score}.")
        if self.score is not None and not 0.0 <= self.score <= 1.0:
            raise ConfigError(f"clip {self.clip} has score {self.score}; it must lie in [0, 1].")
        if self.status != "ok" and self.verdict is not None:
            raise ConfigError(
                f"clip {self.clip} has status {self.status} and verdict {self.verdict}."
            )
        if len(self.frame_scores) != len(self.times):
            raise ConfigError(f"clip {self.clip} has frame scores and times of different lengths.")
