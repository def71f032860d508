"""What the registry knows of a clip: by its mark, and by what it shows and says.

A mark leads to a registered clip. Whether the content is that clip's is then compared: a mark can
be cut out of one clip and laid over another. Where no mark is read, content alone may lead to a
clip that looks alike.
"""

import base64
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from obverse.audit.decision import Content
from obverse.errors import ConfigError, InputError
from obverse.provenance.isolation import verify_store_isolated
from obverse.provenance.registry import ManifestRecord, Neighbour, Registry
from obverse.provenance.verify import ManifestReport
from obverse.watermark.fingerprint import SAME_AT_MOST, Fingerprint, compare
from obverse.watermark.sketch import SAME_CONTENT_AT_MOST, Sketch, locate
from obverse.watermark.sound_fingerprint import SAME_SOUND_AT_MOST

__all__ = [
    "NOT_ASKED",
    "OTHER_CONTENT_FROM",
    "Compared",
    "Registered",
    "by_content",
    "decoded_sketch",
    "look_up",
    "made_by_software",
    "plain_neighbours",
]

_MOST_NEIGHBOURS = 5
# Of two sketches: half-way from the farthest copy that is allowed to the mean of other pictures'
# best windows (.324, docs/provenance.md); in between nothing is said.
OTHER_CONTENT_FROM = 0.25

Means = Literal["sketch", "fingerprint", "nothing"]


@dataclasses.dataclass(frozen=True, slots=True)
class Compared:
    """How a clip's content compares with a registered clip's."""

    means: Means  # by what it was compared
    distance: float | None = None
    at_most: float | None = None  # distance that is still the same
    placed: str | None = None  # where in the registered clip it lies

    @property
    def same(self) -> bool | None:
        """Whether it is the same content; None where that cannot be told."""
        if self.distance is None or self.at_most is None:
            return None
        if self.distance <= self.at_most:
            return True
        # A crop has another fingerprint: only a sketch can say that the content differs.
        return False if self.means == "sketch" and self.distance >= OTHER_CONTENT_FROM else None


@dataclasses.dataclass(frozen=True, slots=True)
class Registered:
    """What a registry knows."""

    content: Content
    record: ManifestRecord | None = None  # of the mark's clip, else of the nearest one
    compared: Compared | None = None
    manifest: ManifestReport | None = None  # the recovered one
    neighbours: tuple[Neighbour, ...] = ()  # by the picture
    heard: tuple[Neighbour, ...] = ()  # by the sound
    why_not: str | None = None  # why the registry was not asked


NOT_ASKED = Registered("not asked")


def look_up(
    registry: Registry,
    payload: int | None,
    drawn: Sketch | None,
    sound: bytes | None,
    anchors: bytes | None = None,
) -> Registered:
    """Return what a registry knows of a clip.

    Args:
        registry: to ask.
        payload: of the clip's mark; None where none was read.
        drawn: what the clip shows.
        sound: its fingerprint, 4 bytes a word.
        anchors: PEM roots whose signers are trusted; None is this installation's own.

    Raises:
        ProvenanceError: the registry cannot be read.
    """
    neighbours: Sequence[Neighbour] = ()
    heard: Sequence[Neighbour] = ()
    if drawn is not None:
        shown = drawn.fingerprint.to_bytes()
        neighbours = registry.nearest(
            shown, "picture", at_most=SAME_AT_MOST, limit=_MOST_NEIGHBOURS
        )
    if sound:
        heard = registry.nearest(sound, "sound", at_most=SAME_SOUND_AT_MOST, limit=_MOST_NEIGHBOURS)
    known = registry.by_payload(payload) if payload is not None else []
    record: ManifestRecord | None = None
    compared: Compared | None = None
    if known:
        # A clip that was released again has several manifests; the newest stands for it.
        record = known[0]
        compared = _compared(record, drawn)
        content = _content(record, compared.same)
    else:
        record, compared, content = by_content(neighbours, drawn)
    return Registered(
        content=content,
        record=record,
        compared=compared,
        manifest=None if record is None else _recovered(record, anchors),
        neighbours=tuple(neighbours),
        heard=tuple(heard),
    )


def by_content(
    neighbours: Sequence[Neighbour], drawn: Sketch | None
) -> tuple[ManifestRecord | None, Compared | None, Content]:
    """Return the nearest clip whose content is the same, how it compares, and what follows."""
    for near in neighbours:
        compared = _compared(near.record, drawn)
        if compared.same is not False:
            if compared.distance is None:
                compared = Compared("fingerprint", near.distance, SAME_AT_MOST)
            return near.record, compared, _content(near.record, True)
    return None, None, "unknown"


def made_by_software(label: Mapping[str, Any]) -> bool:
    """Whether a clip's row says that AI or software made it; rendered sitters are such, too."""
    return label.get("label") == "synthetic" or label.get("kind") in ("rendered", "generated")


def _content(record: ManifestRecord, same: bool | None) -> Content:
    software = made_by_software(record.label)
    if same is False:
        return "other"
    if same is None:
        return "unchecked, AI" if software else "unchecked, human"
    return "same, AI" if software else "same, human"


def _compared(record: ManifestRecord, drawn: Sketch | None) -> Compared:
    if drawn is None:
        return Compared("nothing")
    try:
        if record.sketch:
            place = locate(Sketch.from_bytes(record.sketch), drawn)
            where = (
                f"{place.width:.0%} x {place.height:.0%} of its picture, from second {place.second}"
                + (", mirrored" if place.mirrored else "")
            )
            return Compared("sketch", place.distance, SAME_CONTENT_AT_MOST, where)
        if record.fingerprint:
            kept = Fingerprint.from_bytes(record.fingerprint)
            return Compared("fingerprint", compare(kept, drawn.fingerprint), SAME_AT_MOST)
    except (ConfigError, InputError):  # an entry of the registry is damaged
        return Compared("nothing")
    return Compared("nothing")


def _recovered(record: ManifestRecord, anchors: bytes | None) -> ManifestReport | None:
    if not record.manifest:
        return None
    return verify_store_isolated(record.manifest, anchors)


def decoded_sketch(text: str | None) -> Sketch | None:
    """Return the sketch that a child process drew, from base64."""
    return None if text is None else Sketch.from_bytes(base64.b64decode(text))


def plain_neighbours(found: Sequence[Neighbour]) -> list[dict[str, Any]]:
    """Return neighbours as plain values."""
    return [
        {
            "manifest": near.record.id,
            "clip": near.record.clip_id,
            "label": str(near.record.label.get("label")),
            "kind": str(near.record.label.get("kind")),
            "distance": round(near.distance, 4),
        }
        for near in found
    ]
