"""What a file shows and says: its mark, and the evidence by which it is told from other clips."""

from pathlib import Path
from typing import Any

from obverse.audit.recovery import Evidence, gather_with_mark
from obverse.errors import InputError
from obverse.media.audio import read_speech
from obverse.media.still import read_still
from obverse.media.video import probe
from obverse.watermark.carriers import DEFAULT_KEY

__all__ = ["NO_PICTURE", "read_content"]

NO_PICTURE = "there is no picture"


def read_content(path: Path, key: str | None = None) -> dict[str, Any]:
    """Return plain values: `mark` and why there is none, the picture's `size`, and the `evidence`
    for the registry.

    Args:
        path: a film, a still or a sound file.
        key: of the mark, hexadecimal; None is the public one.

    Raises:
        InputError: the file cannot be read as any of these.
    """
    try:
        mark, evidence = gather_with_mark(path, DEFAULT_KEY if key is None else bytes.fromhex(key))
    except InputError:
        read_speech(path)  # sound that is too short, or silent, to tell anything
        mark, evidence = None, Evidence(None, None, None)
    return {
        "mark": None if mark is None else mark.to_dict(),
        "why_no_mark": None if mark is not None else NO_PICTURE,
        "size": None if mark is None else _size(path),
        "evidence": evidence.to_dict(),
    }


def _size(path: Path) -> list[int]:
    """Return width and height, px."""
    try:
        info = probe(path)
    except InputError:
        height, width = read_still(path).shape[:2]
        return [width, height]
    return [info.width, info.height]
