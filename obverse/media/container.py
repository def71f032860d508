"""Opening files that come from anywhere: FFmpeg's errors in one sentence, and nothing fetched."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import av
import av.error

from obverse.errors import InputError

__all__ = ["damaged", "open_input", "packets", "require_file"]

# A text file is a film to FFmpeg's `tty` reader; a playlist or a script makes it open other files.
_NOT_MEDIA = frozenset(
    {"tty", "concat", "hls", "dash", "ffmetadata", "lrc", "srt", "webvtt", "ass"}
)

# fmt: off
_MP4_BOXES = frozenset({
    b"ftyp", b"styp", b"moov", b"mdat", b"moof", b"mfra", b"sidx", b"uuid", b"meta", b"free",
    b"skip", b"wide", b"pnot", b"emsg", b"prft",
})
# fmt: on
_EBML_HEADER, _EBML_SEGMENT = bytes.fromhex("1a45dfa3"), bytes.fromhex("18538067")
_TS_SYNC, _TS_PACKET_BYTES = b"\x47", 188
_RIFF_SLACK_BYTES = 512  # old wav writers are off by a chunk header


def require_file(path: Path) -> None:
    """Raise `InputError` unless `path` is a file with something in it."""
    if path.is_dir():
        raise InputError(f"{path} is a directory, not a file; name the file inside it.")
    try:
        size = path.stat().st_size
    except OSError as error:
        reason = error.strerror or "unreadable"
        raise InputError(f"{path} cannot be opened ({reason}); check the name.") from error
    if not path.is_file():  # a pipe would be waited for without end, and a device has none
        raise InputError(f"{path} is a pipe or a device, not a file; give a file with its content.")
    if size == 0:
        raise InputError(f"{path} is empty (0 bytes); give a whole file.")


def _mp4_end(data: BinaryIO, size: int) -> int:
    """Return where the last box of an mp4 or mov says that it ends (ISO/IEC 14496-12, 4.2)."""
    position = 0
    while position + 8 <= size:
        data.seek(position)
        header = data.read(16)
        length, kind = int.from_bytes(header[:4], "big"), header[4:8]
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if length < 8 or kind not in _MP4_BOXES:  # 0 reaches to the end; others are padding or new
            break
        position += length
    return position


def _matroska_end(data: BinaryIO) -> int:
    """Return where the segment of a Matroska or WebM file says that it ends (RFC 8794, 8.1.1)."""
    position = 0
    while True:
        data.seek(position)
        header = data.read(12)
        width = 4 if header[:4] in (_EBML_HEADER, _EBML_SEGMENT) else 0
        if not width or len(header) <= width or not header[width]:
            return 0
        digits = 9 - header[width].bit_length()
        value = int.from_bytes(header[width : width + digits], "big")
        length = value - (1 << 7 * digits)
        if length == (1 << 7 * digits) - 1:  # all ones: a live recording of unknown length
            return 0
        position += width + digits + length
        if header[:4] == _EBML_SEGMENT:
            return position


def _is_transport_stream(data: BinaryIO, size: int) -> bool:
    """Tell whether the first packets are those of an MPEG transport stream (ISO/IEC 13818-1)."""
    starts = range(0, 4 * _TS_PACKET_BYTES, _TS_PACKET_BYTES)
    if size <= starts[-1]:
        return False
    syncs = []
    for start in starts:
        data.seek(start)
        syncs.append(data.read(1))
    return set(syncs) == {_TS_SYNC}


def _require_whole(path: Path) -> None:
    """Raise `InputError` where a file has fewer bytes than its structure calls for.

    FFmpeg reads such a file to its last whole packet and says nothing.
    """
    with path.open("rb") as data:
        size = os.fstat(data.fileno()).st_size
        start = data.read(12)
        stated = 0
        if start[4:8] in _MP4_BOXES:
            stated = _mp4_end(data, size)
        elif start[:4] == _EBML_HEADER:
            stated = _matroska_end(data)
        elif start[:4] == b"RIFF":
            length = int.from_bytes(start[4:8], "little")
            # All ones: a recorder that never came back to write the length.
            stated = 0 if length >= 0xFFFFFF00 else length + 8 - _RIFF_SLACK_BYTES
        elif _is_transport_stream(data, size):
            # Cut inside a packet: round up to the packet that was being written.
            stated = -(-size // _TS_PACKET_BYTES) * _TS_PACKET_BYTES
    if stated > size:
        raise InputError(
            f"{path} is cut short: its structure calls for {stated} bytes and it has {size}; "
            "get a whole copy of the file."
        )


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).rstrip(".")


def damaged(path: Path, error: BaseException, seconds: float | None = None) -> InputError:
    """Return the error for a file that breaks off or cannot be decoded, `seconds` into it."""
    where = "" if seconds is None else f" after {seconds:.2f} s"
    return InputError(f"{path} is damaged{where} ({_reason(error)}); get a whole copy of the file.")


@contextlib.contextmanager
def open_input(path: Path) -> Iterator[Any]:
    """Open a film or sound file for reading; yields an `av` input container and closes it.

    Raises:
        InputError: the file is absent, empty, a directory, or not video or sound.
    """
    require_file(path)
    try:
        if path.is_file():
            _require_whole(path)
        container = av.open(
            str(path.absolute()),  # an absolute path is never taken for a URL
            mode="r",
            options={"protocol_whitelist": "file"},  # what a playlist names is never fetched
            metadata_errors="replace",  # a badly encoded title is no reason to refuse a film
        )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as video or sound ({_reason(error)}); "
            "give a whole file of a kind that FFmpeg reads."
        ) from error
    try:
        if _NOT_MEDIA & set(container.format.name.split(",")):
            raise InputError(
                f"{path} is text or a playlist, not video or sound; give the media file itself."
            )
        yield container
    finally:
        container.close()


def packets(container: Any, stream: Any, path: Path) -> Iterator[Any]:
    """Yield a stream's packets in file order, the empty one that flushes the decoder last.

    Raises:
        InputError: the file breaks off, or a packet is cut short.
    """
    seconds: float | None = None
    try:
        for packet in container.demux(stream):
            if packet.is_corrupt:
                raise InputError(
                    f"{path} is cut short{'' if seconds is None else f' after {seconds:.2f} s'}; "
                    "get a whole copy of the file."
                )
            if packet.pts is not None:
                seconds = float(packet.pts * packet.time_base)
            yield packet
    except av.error.FFmpegError as error:
        raise damaged(path, error, seconds) from error
