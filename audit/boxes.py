"""The boxes of an mp4 or mov: order, edit lists, times and handlers (ISO/IEC 14496-12).

Only what a file says of itself, read with bounds on depth and number, so that a file of a million
boxes costs no more than one of a hundred.
"""

import dataclasses
import datetime
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["Boxes", "Edit", "Track", "read_boxes"]

_CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"edts", b"udta", b"minf", b"moof", b"traf"})
_OUTERMOST = frozenset(
    {
        b"ftyp", b"styp", b"moov", b"mdat", b"moof", b"mfra", b"sidx", b"uuid", b"meta", b"free",
        b"skip", b"wide", b"pnot", b"emsg", b"prft", b"pdin", b"udta", b"PICT", b"jumb",
    }
)  # fmt: skip
_MOST_BOXES = 2000
_MOST_DEPTH = 6
_MOST_BYTES = 1 << 16  # of a box whose content is read
_MOST_EDITS = 50
_EPOCH = datetime.datetime(1904, 1, 1, tzinfo=datetime.UTC)  # of times in such files


@dataclasses.dataclass(frozen=True, slots=True)
class Edit:
    """One entry of an edit list."""

    seconds: float  # of the film, that it lasts
    media_seconds: float | None  # where in the track it begins; None is a gap
    rate: float


@dataclasses.dataclass(slots=True)
class Track:
    """What a track's boxes say."""

    created: str | None = None  # ISO 8601; None where it is not stated
    modified: str | None = None
    handler: str | None = None  # vide, soun, ...
    handler_name: str | None = None
    timescale: int = 0
    edits: list[Edit] = dataclasses.field(default_factory=list)
    raw_edits: list[tuple[int, int, float]] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(slots=True)
class Boxes:
    """What the boxes of a file say."""

    order: list[str] = dataclasses.field(default_factory=list)  # of the outermost ones
    created: str | None = None
    modified: str | None = None
    timescale: int = 0
    tracks: list[Track] = dataclasses.field(default_factory=list)
    free_bytes: int = 0  # in `free` and `skip` boxes, which hashes of C2PA leave out
    trailing_bytes: int = 0  # after the last box
    complete: bool = True  # False: there were more boxes than are looked at


@dataclasses.dataclass(frozen=True, slots=True)
class _Box:
    kind: bytes
    begin: int  # of its content
    end: int
    depth: int


def read_boxes(path: Path) -> Boxes | None:
    """Return what the boxes of an mp4 or mov say; None for a file that has none."""
    found = Boxes()
    with path.open("rb") as data:
        size = os.fstat(data.fileno()).st_size
        head = data.read(12)
        if head[4:8] not in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp"):
            return None
        for count, box in enumerate(_walk(data, 0, size, 0), 1):
            if count > _MOST_BOXES:
                found.complete = False
                break
            _take(found, box, data, size)
    for track in found.tracks:
        track.edits = [
            Edit(
                duration / found.timescale if found.timescale else 0.0,
                start / track.timescale if start >= 0 and track.timescale else None,
                rate,
            )
            for duration, start, rate in track.raw_edits
        ]
    return found


def _walk(data: BinaryIO, begin: int, end: int, depth: int) -> Iterator[_Box]:
    position = begin
    while position + 8 <= end:
        data.seek(position)
        header = data.read(16)
        if len(header) < 8:
            return
        length, kind, head = int.from_bytes(header[:4], "big"), header[4:8], 8
        if length == 1 and len(header) == 16:
            length, head = int.from_bytes(header[8:16], "big"), 16
        if length == 0:
            length = end - position
        known = depth > 0 or kind in _OUTERMOST
        if length < head or not known or not _is_name(kind):
            yield _Box(b"", position, end, depth)  # what follows is no box
            return
        box = _Box(kind, position + head, min(position + length, end), depth)
        yield box
        if kind in _CONTAINERS and depth < _MOST_DEPTH:
            yield from _walk(data, box.begin, box.end, depth + 1)
        position += length


def _is_name(kind: bytes) -> bool:
    return all(32 <= letter < 127 or letter == 0xA9 for letter in kind)


def _take(found: Boxes, box: _Box, data: BinaryIO, size: int) -> None:
    if box.depth == 0:
        if not box.kind:
            found.trailing_bytes = size - box.begin
            return
        found.order.append(box.kind.decode("latin-1"))
    if box.kind in (b"free", b"skip"):
        found.free_bytes += box.end - box.begin
    if box.kind == b"trak":
        found.tracks.append(Track())
    readers = {b"mvhd": _movie, b"tkhd": _track, b"mdhd": _media, b"hdlr": _handler, b"elst": _list}
    reader = readers.get(box.kind)
    if reader is not None and box.end - box.begin <= _MOST_BYTES:
        data.seek(box.begin)
        try:
            reader(found, data.read(box.end - box.begin))
        except (struct.error, IndexError):
            return  # too short to say anything


def _time(seconds: int) -> str | None:
    if seconds == 0:
        return None
    try:
        return (_EPOCH + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    except OverflowError:
        return f"{seconds} s after 1904, which is no date"


def _times(content: bytes) -> tuple[str | None, str | None, int]:
    """Return creation, modification, and where the next field begins."""
    if content[0] == 1:
        created, modified = struct.unpack_from(">QQ", content, 4)
        return _time(created), _time(modified), 20
    created, modified = struct.unpack_from(">II", content, 4)
    return _time(created), _time(modified), 12


def _movie(found: Boxes, content: bytes) -> None:
    found.created, found.modified, after = _times(content)
    found.timescale = struct.unpack_from(">I", content, after)[0]


def _track(found: Boxes, content: bytes) -> None:
    if found.tracks:
        found.tracks[-1].created, found.tracks[-1].modified, _ = _times(content)


def _media(found: Boxes, content: bytes) -> None:
    if found.tracks:
        _, _, after = _times(content)
        found.tracks[-1].timescale = struct.unpack_from(">I", content, after)[0]


def _handler(found: Boxes, content: bytes) -> None:
    # QuickTime has a second handler, for data, after that of the media.
    if found.tracks and found.tracks[-1].handler is None:
        found.tracks[-1].handler = content[8:12].decode("latin-1")
        name = content[24:].split(b"\0")[0].decode("utf-8", "replace")
        found.tracks[-1].handler_name = name.strip() or None


def _list(found: Boxes, content: bytes) -> None:
    if not found.tracks:
        return
    version, count = content[0], struct.unpack_from(">I", content, 4)[0]
    layout = ">QqhH" if version == 1 else ">IihH"
    step = struct.calcsize(layout)
    for index in range(min(count, _MOST_EDITS)):
        duration, start, whole, part = struct.unpack_from(layout, content, 8 + index * step)
        found.tracks[-1].raw_edits.append((duration, start, whole + part / 65536))
