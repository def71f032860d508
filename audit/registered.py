"""What the registry knows of a clip, as the decision table asks it.

A mark leads to a registered clip. Whether the content is that clip's is then compared: a mark can
be cut out of one clip and laid over another. Where no mark is read, content alone may lead to a
clip that looks alike. The looking up and comparing is `obverse.audit.recovery`'s.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Self

from obverse.audit.decision import Content
from obverse.audit.recovery import Evidence, Recovery, recover
from obverse.provenance.registry import Kind, Neighbour, Registry
from obverse.watermark.fingerprint import SAME_AT_MOST
from obverse.watermark.geometry import laid_share
from obverse.watermark.sound_fingerprint import SAME_SOUND_AT_MOST

__all__ = [
    "NOT_ASKED",
    "OTHER_CONTENT_FROM",
    "Pose",
    "Registered",
    "content_finding",
    "look_up",
    "made_by_software",
    "plain_neighbours",
]

_MOST_NEIGHBOURS = 5
# Of two sketches. Other pictures lie at .325 with a deviation of .021 (docs/provenance.md): this is
# 3.6 deviations nearer. Between it and `SAME_CONTENT_AT_MOST` nothing is said.
OTHER_CONTENT_FROM = 0.25
# A sketch of a clip that was turned by more does not match its own clip's.
MOST_DEGREES = 2.0
_UNSCALED = 0.02  # share by which a scale may differ from that of a mark as it was laid
_WHOLE = 0.85  # share of a side from which a window is the whole picture


@dataclasses.dataclass(frozen=True, slots=True)
class Pose:
    """How a clip lies since it was marked, as the mark's own reading has it."""

    # Shares of the mark's square, see `obverse.watermark.geometry.Geometry.scale`.
    scale: tuple[float, float] = (1.0, 1.0)
    degrees: float = 0.0
    mirrored: bool = False
    size: tuple[int, int] | None = None  # width, height of the clip, px

    @classmethod
    def of(cls, mark: Mapping[str, Any] | None, size: Sequence[int] | None) -> Self | None:
        """Return a reading's pose; None where no mark was read."""
        geometry = (mark or {}).get("geometry")
        if geometry is None:
            return None
        across, down = geometry["scale"]
        return cls(
            (float(across), float(down)),
            float(geometry["degrees"]),
            bool(geometry["mirrored"]),
            None if size is None else (int(size[0]), int(size[1])),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Registered:
    """What a registry knows."""

    content: Content
    found: Recovery | None = None  # the clip that the mark, or else the content, leads to
    neighbours: tuple[Neighbour, ...] = ()  # by the picture
    heard: tuple[Neighbour, ...] = ()  # by the sound
    why_not: str | None = None  # why the registry was not asked


NOT_ASKED = Registered("not asked")


def look_up(
    registry: Registry,
    evidence: Evidence,
    anchors: bytes | None = None,
    pose: Pose | None = None,
) -> Registered:
    """Return what a registry knows of a clip.

    Args:
        registry: to ask.
        evidence: of the clip.
        anchors: PEM roots whose signers are trusted; None is this installation's own.
        pose: how the clip lies since it was marked.

    Raises:
        ProvenanceError: the registry cannot be read.
    """
    found = recover(evidence, registry, anchors)
    content, best = content_finding(found, pose)
    drawn, heard = evidence.drawn, evidence.heard
    return Registered(
        content=content,
        found=best,
        neighbours=_near(
            registry, None if drawn is None else drawn.fingerprint.to_bytes(), "picture"
        ),
        heard=_near(registry, None if heard is None else heard.to_bytes(), "sound"),
    )


def _near(registry: Registry, words: bytes | None, kind: Kind) -> tuple[Neighbour, ...]:
    if not words:
        return ()
    at_most = SAME_AT_MOST if kind == "picture" else SAME_SOUND_AT_MOST
    return tuple(registry.nearest(words, kind, at_most=at_most, limit=_MOST_NEIGHBOURS))


def content_finding(
    found: Sequence[Recovery], pose: Pose | None = None
) -> tuple[Content, Recovery | None]:
    """Return what follows from the clips that a clip led to, and the one it follows from.

    Args:
        found: as `recover` orders them, those that match first.
        pose: how the clip lies since it was marked.
    """
    marked = next((each for each in found if each.found_by == "mark"), None)
    if marked is not None:
        software = made_by_software(marked.record.label)
        if marked.content == "matches":
            return ("same, AI" if software else "same, human"), marked
        if marked.content == "does not match" and _other(marked, pose):
            return "other", marked
        return ("unchecked, AI" if software else "unchecked, human"), marked
    # That the sound is the same says nothing of the picture.
    alike = next(
        (each for each in found if each.found_by == "picture" and each.content == "matches"), None
    )
    if alike is None:
        return "unknown", None
    software = made_by_software(alike.record.label)
    return ("same, AI" if software else "same, human"), alike


def _other(found: Recovery, pose: Pose | None) -> bool:
    """Whether content that does not match is another's, and not only hard to compare.

    Where it is in between, the mark helps: if content fits best in a place where by the mark's own
    geometry it cannot lie, it fits by accident.
    """
    if pose is not None and abs(pose.degrees) > MOST_DEGREES:
        return False
    if (found.picture_distance or 0.0) >= OTHER_CONTENT_FROM:
        return True
    place = found.placement
    if pose is None or place is None:
        return False
    if place.mirrored != pose.mirrored:
        return True
    label = found.record.label
    width, height = label.get("width"), label.get("height")
    if pose.size is None or pose.size != (width, height):
        return False
    marked = laid_share(*pose.size)
    unscaled = all(abs(factor / marked - 1) <= _UNSCALED for factor in pose.scale)
    return unscaled and min(place.width, place.height) < _WHOLE


def made_by_software(label: Mapping[str, Any]) -> bool:
    """Whether a clip's row says that AI or software made it, or what is heard; rendered sitters
    are such, too.
    """
    said = (label.get("label"), label.get("sound"))
    return "synthetic" in said or label.get("kind") in ("rendered", "generated")


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
