"""What a file shows: its mark, and the sketch and sound by which it is told from other clips."""

import base64
from pathlib import Path
from typing import Any

from obverse.errors import InputError
from obverse.media.audio import read_speech
from obverse.media.still import read_still
from obverse.media.video import probe
from obverse.watermark.carriers import DEFAULT_KEY
from obverse.watermark.extract import MarkReading, extract, extract_frames
from obverse.watermark.sketch import Sketch, sketch, sketch_frames
from obverse.watermark.sound_fingerprint import LEAST_SOUND_SECONDS, fingerprint_sound

__all__ = ["read_content"]


def read_content(path: Path, key: str | None = None) -> dict[str, Any]:
    """Return plain values: `mark`, `sketch`, `sound`, each None where there is nothing to read.

    Args:
        path: a film, a still or a sound file.
        key: of the mark, hexadecimal; None is the public one.

    Raises:
        InputError: the file cannot be read as any of these.
    """
    secret = DEFAULT_KEY if key is None else bytes.fromhex(key)
    mark: MarkReading | None = None
    drawn: Sketch | None = None
    why: str | None = None
    try:
        mark, drawn = _seen(path, secret)
    except InputError as error:
        try:
            read_speech(path)
        except InputError:
            raise error from None
        why = "there is no picture"
    return {
        "mark": None if mark is None else mark.to_dict(),
        "why_no_mark": why,
        "sketch": None if drawn is None else base64.b64encode(drawn.to_bytes()).decode(),
        "sound": _heard(path),
    }


def _seen(path: Path, key: bytes) -> tuple[MarkReading, Sketch]:
    try:
        probe(path)
    except InputError as not_a_film:
        try:
            still = read_still(path)
        except InputError:
            raise not_a_film from None
        return extract_frames([still], key), sketch_frames([still], 1.0)
    return extract(path, key), sketch(path)


def _heard(path: Path) -> str | None:
    """Return the fingerprint of the sound, hexadecimal; None for silence and for short sound."""
    heard = fingerprint_sound(path)
    return None if heard is None or heard.seconds < LEAST_SOUND_SECONDS else heard.to_hex()
