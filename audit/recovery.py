"""From a clip whose manifest was stripped back to the manifest, and whether it is this clip's.

The mark leads to what was registered with it; where no mark can be read, what the clip shows and
says does. Anybody can copy a mark onto another clip, so a manifest that was found is compared with
the content: by the sketch that was registered, which also tells crops, else by the fingerprint that
is signed in the manifest.
"""

import base64
import dataclasses
import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from obverse.errors import ConfigError, InputError, ProvenanceError
from obverse.isolation import Bounds, ask
from obverse.media.still import read_still
from obverse.media.video import probe
from obverse.provenance.isolation import verify_store_isolated
from obverse.provenance.manifest import FINGERPRINT_ALGORITHM, MARK_ALGORITHM
from obverse.provenance.mediatype import media_type
from obverse.provenance.registry import ManifestRecord, Registry
from obverse.provenance.verify import ManifestReport
from obverse.watermark.carriers import DEFAULT_KEY
from obverse.watermark.extract import MarkReading, extract, extract_frames
from obverse.watermark.fingerprint import SAME_AT_MOST, Fingerprint, compare
from obverse.watermark.sketch import Placement, Sketch, locate, sketch, sketch_frames
from obverse.watermark.sound_fingerprint import (
    LEAST_SOUND_SECONDS,
    SAME_SOUND_AT_MOST,
    SoundFingerprint,
    compare_sound,
    fingerprint_sound,
)

if TYPE_CHECKING:
    from obverse.provenance.remote import RemoteResolver

__all__ = [
    "SOUND_ALGORITHM",
    "Evidence",
    "FoundBy",
    "Recovery",
    "gather",
    "gather_isolated",
    "gather_with_mark",
    "read_evidence",
    "recover",
    "recover_remotely",
]

SOUND_ALGORITHM = "org.obverse.sound.1"  # a soft binding to ask for; no manifest holds one


FoundBy = Literal["mark", "picture", "sound"]
Content = Literal["matches", "does not match", "not comparable"]

_READ = "obverse.audit.recovery:read_evidence"
_MEMORY_BYTES = 6 << 30  # decoders and the mark's search of a large film
_SECONDS = 300.0
_MOST = 10  # candidates that are compared with the content
_STILL_FPS = 25.0
_PAYLOAD_BYTES = 8


@dataclasses.dataclass(frozen=True, slots=True)
class Evidence:
    """What of a clip can be looked up."""

    payload: int | None  # the mark's
    drawn: Sketch | None  # None for sound alone
    heard: SoundFingerprint | None  # None for what is silent or too short

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "payload": self.payload,
            "drawn": None
            if self.drawn is None
            else base64.b64encode(self.drawn.to_bytes()).decode(),
            "heard": None if self.heard is None else self.heard.to_hex(),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read what `to_dict` made."""
        drawn, heard = values["drawn"], values["heard"]
        return cls(
            values["payload"],
            None if drawn is None else Sketch.from_bytes(base64.b64decode(drawn)),
            None if heard is None else SoundFingerprint.from_hex(heard),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Recovery:
    """A manifest that a clip led to."""

    record: ManifestRecord
    found_by: FoundBy
    manifest: ManifestReport  # what the stored manifest is worth
    content: Content  # whether it is this clip's
    placement: Placement | None  # where the clip lies in what was released
    picture_distance: float | None
    sound_distance: float | None
    enclosed: bool = False  # the placement is that of what was released in a larger picture

    @property
    def well(self) -> bool:
        """Whether the manifest is trusted and this clip's."""
        return self.manifest.state == "trusted" and self.content == "matches"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        placed = self.placement
        return {
            "found_by": self.found_by,
            "content": self.content,
            "manifest": {
                "id": self.record.id,
                "state": self.manifest.state,
                "signer": self.manifest.signer,
                "created": self.manifest.created,
                "failures": list(self.manifest.failures),
            },
            "clip": self.record.clip_id,
            "payload": f"{self.record.payload:016x}",
            "label": dict(self.manifest.label),
            "picture_distance": self.picture_distance,
            "sound_distance": self.sound_distance,
            "placement": None if placed is None else dataclasses.asdict(placed),
            "enclosed": self.enclosed,
        }


def gather(path: Path, key: bytes = DEFAULT_KEY) -> Evidence:
    """Read a clip's mark and what it shows and says, in this process.

    Raises:
        InputError: the file is no film, still or sound that can be read.
    """
    return gather_with_mark(path, key)[1]


def gather_with_mark(path: Path, key: bytes = DEFAULT_KEY) -> tuple[MarkReading | None, Evidence]:
    """Do what `gather` does, and return all that was read of the mark; None for sound alone.

    Raises:
        InputError: the file is no film, still or sound that can be read.
    """
    heard = fingerprint_sound(path)
    if heard is not None and heard.seconds < LEAST_SOUND_SECONDS:
        heard = None
    try:
        probe(path)
    except InputError:
        try:
            still = read_still(path)
        except InputError as error:
            if heard is None and media_type(path).startswith("image/"):
                raise
            if heard is None:
                raise InputError(
                    f"{path} cannot be read as a film, a still or a sound long enough to tell; it "
                    "is damaged, silent or of another kind, give a whole copy."
                ) from error
            return None, Evidence(None, None, heard)
        found = extract_frames([still], key)
        return found, Evidence(found.payload, sketch_frames([still], _STILL_FPS), None)
    found = extract(path, key)
    return found, Evidence(found.payload, sketch(path), heard)


def gather_isolated(
    path: Path, key: bytes = DEFAULT_KEY, *, timeout_seconds: float = _SECONDS
) -> Evidence:
    """Do what `gather` does, in a child process with limits on time and memory.

    Raises:
        InputError: the file cannot be read, or brings the child down.
        ProvenanceError: the child could not be started.
    """
    try:
        answer = ask(_READ, path, Bounds(timeout_seconds, _MEMORY_BYTES), key=key.hex())
    except OSError as error:
        raise ProvenanceError(
            f"no process could be started to read {path}: {error.strerror}."
        ) from error
    if answer.refused is not None:
        raise InputError(answer.refused)
    if answer.values is None:
        raise InputError(
            f"reading {path} was given up: {answer.brought_down}; "
            "give a shorter clip, or one that is not damaged."
        )
    return Evidence.from_dict(dict(answer.values))


def read_evidence(path: Path, key: str) -> dict[str, Any]:
    """Do what `gather` does, with plain values and the key in hexadecimal digits.

    Raises:
        InputError: the file is no film, still or sound that can be read.
    """
    return gather(path, bytes.fromhex(key)).to_dict()


def recover(
    evidence: Evidence, registry: Registry, anchors: bytes | None = None, *, most: int = _MOST
) -> list[Recovery]:
    """Return the manifests that a clip leads to: those of its content first, then the newest.

    Args:
        evidence: of the clip.
        registry: where manifests are looked for.
        anchors: PEM roots whose signers are trusted; None is this installation's own.
        most: manifests to return.

    Raises:
        ProvenanceError: the registry cannot be read.
    """
    return _ordered(
        [
            _compared(record, by, evidence, verify_store_isolated(record.manifest, anchors))
            for record, by in _candidates(evidence, registry, most)
        ]
    )


def recover_remotely(
    evidence: Evidence,
    resolver: "RemoteResolver",
    anchors: bytes | None = None,
    *,
    most: int = _MOST,
) -> list[Recovery]:
    """Do what `recover` does, with a server of the Soft Binding Resolution API for a registry.

    The server learns the mark, or the fingerprints where it knows no manifest of the mark. Its
    manifests are compared with the content by the fingerprint that is signed in them, for sketches
    stay with the registry: whether a crop is the clip's cannot be told.

    Raises:
        ProvenanceError: the server cannot be asked, or its answers cannot be understood.
    """
    known = resolver.supported()
    for by, algorithm, value in _bindings(evidence):
        if known is not None and algorithm not in known:
            continue
        found = []
        for manifest_id, endpoint in resolver.by_binding(algorithm, value, most):
            store = resolver.manifest(manifest_id, endpoint)
            report = None if store is None else verify_store_isolated(store, anchors)
            # Whatever a server says, a manifest that does not name the mark is not the mark's.
            if store is None or report is None or report.payload is None:
                continue
            if by == "mark" and report.payload != evidence.payload:
                continue
            record = _unregistered(manifest_id, report, report.payload, store)
            found.append(_compared(record, by, evidence, report))
        if found:
            return _ordered(found)
    return []


def _bindings(evidence: Evidence) -> list[tuple[FoundBy, str, bytes]]:
    """Return what of a clip can be asked for, the surest first."""
    found: list[tuple[FoundBy, str, bytes]] = []
    if evidence.payload is not None:
        found.append(("mark", MARK_ALGORITHM, evidence.payload.to_bytes(_PAYLOAD_BYTES, "big")))
    if evidence.drawn is not None:
        shown = evidence.drawn.fingerprint.to_bytes()
        found.append(("picture", FINGERPRINT_ALGORITHM, shown))
    if evidence.heard is not None:
        found.append(("sound", SOUND_ALGORITHM, evidence.heard.to_bytes()))
    return found


def _unregistered(
    manifest_id: str, report: ManifestReport, payload: int, store: bytes
) -> ManifestRecord:
    """Return as a record what a manifest says of itself; the rest is empty."""
    return ManifestRecord(
        id=report.id or manifest_id,
        clip_id=str(report.label.get("id", "")),
        payload=payload,
        sha256="",
        created=datetime.datetime.fromtimestamp(0, datetime.UTC),
        manifest=store,
        label=report.label,
        fingerprint=None,
    )


def _ordered(found: list[Recovery]) -> list[Recovery]:
    order = {"matches": 0, "not comparable": 1, "does not match": 2}
    return sorted(found, key=lambda each: order[each.content])


def _candidates(
    evidence: Evidence, registry: Registry, most: int
) -> list[tuple[ManifestRecord, FoundBy]]:
    found: dict[str, tuple[ManifestRecord, FoundBy]] = {}
    if evidence.payload is not None:
        for record in registry.by_payload(evidence.payload, limit=most):
            found[record.id] = (record, "mark")
    if not found and evidence.drawn is not None:
        shown = evidence.drawn.fingerprint.to_bytes()
        for near in registry.nearest(shown, "picture", at_most=SAME_AT_MOST, limit=most):
            found.setdefault(near.record.id, (near.record, "picture"))
    if not found and evidence.heard is not None:
        said = evidence.heard.to_bytes()
        for near in registry.nearest(said, "sound", at_most=SAME_SOUND_AT_MOST, limit=most):
            found.setdefault(near.record.id, (near.record, "sound"))
    return list(found.values())


def _compared(
    record: ManifestRecord, by: FoundBy, evidence: Evidence, report: ManifestReport
) -> Recovery:
    placement = picture = sound = None
    same: bool | None = None
    enclosed = False
    try:
        if evidence.drawn is not None and record.sketch is not None:
            placement, enclosed = _placed(Sketch.from_bytes(record.sketch), evidence.drawn)
            picture, same = placement.distance, placement.same
        elif evidence.drawn is not None and (report.fingerprint or record.fingerprint):
            signed = Fingerprint.from_bytes(report.fingerprint or record.fingerprint or b"")
            picture = compare(signed, evidence.drawn.fingerprint)
            # Far may be a crop, of which this fingerprint can say nothing.
            same = True if picture <= SAME_AT_MOST else None
        if evidence.heard is not None and record.sound is not None:
            sound = compare_sound(SoundFingerprint.from_bytes(record.sound), evidence.heard)
            if evidence.drawn is None:
                same = sound <= SAME_SOUND_AT_MOST
    except ConfigError as error:
        raise ProvenanceError(f"what was registered for {record.id} is damaged: {error}") from error
    content: Content = "not comparable" if same is None else "matches" if same else "does not match"
    return Recovery(record, by, report, content, placement, picture, sound, enclosed)


def _placed(kept: Sketch, seen: Sketch) -> tuple[Placement, bool]:
    """Return where a clip lies in what was released, or that in the clip, and whether it is so.

    A player's window that was filmed or recorded holds the whole of what was released and more.
    """
    placement = locate(kept, seen)
    if placement.same:
        return placement, False
    around = locate(seen, kept)
    return (around, True) if around.same else (placement, False)
