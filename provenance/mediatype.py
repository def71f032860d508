"""What kind of file it is: by its first bytes, and by its name only where those say nothing."""

import mimetypes
from pathlib import Path

__all__ = ["UNKNOWN", "media_type"]

UNKNOWN = "application/octet-stream"

_HEAD_BYTES = 16
_BY_START = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"II*\x00": "image/tiff",
    b"MM\x00*": "image/tiff",
    b"fLaC": "audio/flac",
    b"ID3": "audio/mpeg",
    b"OggS": "application/ogg",
    b"BM": "image/bmp",
    b"\x1a\x45\xdf\xa3": "video/x-matroska",
}
_BY_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/avi"}
# ISO base media files tell by their brand; those not listed are films.
_BY_BRAND = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
    b"M4A ": "audio/mp4",
    b"qt  ": "video/quicktime",
}
_BY_SUFFIX = {".flac": "audio/flac", ".m4a": "audio/mp4", ".mp3": "audio/mpeg", ".wav": "audio/wav"}


def media_type(path: Path) -> str:
    """Return a file's media type; `UNKNOWN` where neither its bytes nor its name tell.

    Many a webp is named jpg; the manifest library refuses a file that is not what it is called.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    if head[:4] == b"RIFF":
        return _BY_RIFF.get(head[8:12], UNKNOWN)
    if head[4:8] == b"ftyp":
        return _BY_BRAND.get(head[8:12], "video/mp4")
    for start, kind in _BY_START.items():
        if head.startswith(start):
            return kind
    suffix = path.suffix.lower()
    return _BY_SUFFIX.get(suffix) or mimetypes.guess_type(path.name)[0] or UNKNOWN
