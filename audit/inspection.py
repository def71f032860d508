"""What one file says of itself: its manifest, its mark, and whether the two belong together."""

import dataclasses
import os
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from obverse.errors import InputError
from obverse.media.audio import read_speech
from obverse.media.container import require_file
from obverse.media.still import read_still
from obverse.media.video import probe
from obverse.provenance.isolation import verify_isolated
from obverse.provenance.verify import ManifestReport
from obverse.watermark.extract import MarkReading, extract, extract_frames

__all__ = ["Inspection", "look", "payload_hex"]


@dataclasses.dataclass(frozen=True, slots=True)
class Inspection:
    """What was found in one file."""

    path: Path
    manifest: ManifestReport
    mark: MarkReading | None  # None: the file holds no picture to look into
    decoded: bool = True  # False: it is a still with a manifest, and its pixels are damaged

    @property
    def match(self) -> bool | None:
        """Whether the manifest names the mark that was found; None where one of them is missing."""
        found = self.mark.payload if self.mark is not None and self.mark.present else None
        if found is None or self.manifest.payload is None:
            return None
        return found == self.manifest.payload

    @property
    def well(self) -> bool:
        """Whether nothing is absent and nothing is wrong."""
        if self.manifest.state != "trusted" or not self.decoded:
            return False
        # Sound alone holds no mark that could be looked for, unless its manifest promises one.
        return self.match is True if self.mark is not None else self.manifest.payload is None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        mark = self.mark
        return {
            "manifest": {
                "state": self.manifest.state,
                "id": self.manifest.id,
                "signer": self.manifest.signer,
                "failures": list(self.manifest.failures),
                "warnings": list(self.manifest.warnings),
                "created": self.manifest.created,
                "time_stamp": self.manifest.time_stamp,
                "time_stamp_trusted": self.manifest.time_stamp_trusted,
                "revocation": self.manifest.revocation,
                "digital_source_type": self.manifest.digital_source_type,
                "generator": self.manifest.generator,
                "payload": payload_hex(self.manifest.payload),
                "ingredients": [dataclasses.asdict(item) for item in self.manifest.ingredients],
            },
            "mark": {
                "present": mark is not None and mark.present,
                "payload": None if mark is None else payload_hex(mark.payload),
                "z": None if mark is None else round(float(mark.z), 3),
                "p_value": None if mark is None else float(mark.p_value),
            },
            "match": self.match,
            "label": dict(self.manifest.label),
        }


def look(
    path: Path,
    anchors: bytes | None = None,
    *,
    time_stamp_anchors: bytes | None = None,
    online: bool = False,
) -> Inspection:
    """Read a file's manifest and mark.

    Args:
        path: a film, a still or a sound file.
        anchors: PEM roots whose signers are trusted; None is this installation's own.
        time_stamp_anchors: PEM roots whose time stamps are trusted; None is those chosen here.
        online: ask the signer's authority whether the certificate was revoked.

    Raises:
        InputError: the file cannot be read as any of these.
    """
    require_file(path)
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} may not be read by you; change its permissions.")
    try:
        manifest = verify_isolated(
            path, anchors, time_stamp_anchors=time_stamp_anchors, online=online
        )
    except InputError as error:
        _read_mark(path)  # has the better sentence for what is no media file at all
        raise InputError(
            f"{path} is damaged so that no manifest can be looked for; get a whole copy of it."
        ) from error
    try:
        return Inspection(path, manifest, _read_mark(path))
    except _DamagedStillError:
        if manifest.id is None:
            raise
        return Inspection(path, manifest, None, decoded=False)


class _DamagedStillError(InputError):
    """A picture of a known kind whose pixels cannot be decoded."""


def _read_mark(path: Path) -> MarkReading | None:
    """Look for a mark in a film, else in a still; None for sound, which has no picture."""
    try:
        probe(path)
    except InputError:
        try:
            still = read_still(path)
        except InputError as error:
            _require_sound(path, error)
            return None
        return extract_frames([still])
    return extract(path)


def _require_sound(path: Path, not_a_still: InputError) -> None:
    cause = not_a_still.__cause__
    if cause is None or isinstance(cause, Image.DecompressionBombError):
        raise not_a_still  # a picture, but too large: it says so itself
    try:
        read_speech(path)
    except InputError:
        unknown = isinstance(cause, UnidentifiedImageError)
        raise (InputError if unknown else _DamagedStillError)(
            f"{path} cannot be read as a video, a still or a sound file; it is damaged, empty or "
            "of another kind, give a whole copy."
        ) from None


def payload_hex(payload: int | None) -> str | None:
    """Return a mark's payload as 16 hexadecimal digits; None for none."""
    return None if payload is None else f"{payload:016x}"
