"""What a clip shows, in 64 bits a second: tells a mark that was pasted on another clip.

Each second of film becomes the mean of eight frames, 32 x 32 grey, and the signs of its 63 lowest
DCT coefficients about their median (the `pHash` construction: Zauner 2010), 64 bits with the empty
one. Re-encoding, scaling, brightness and contrast leave most signs alone; another scene agrees on
half of them. Crops and mirror images change the signs: undo them first with the geometry that
`obverse.watermark.extract` reports.
"""

import dataclasses
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError, InputError
from obverse.media.video import read_frames

__all__ = [
    "SAME_AT_MOST",
    "Fingerprint",
    "compare",
    "fingerprint",
    "fingerprint_frames",
    "hash_picture",
]

_FPS = 8  # frames a second that are averaged
_PICTURE_PX = 32
_BAND = 8  # lowest DCT coefficients on each axis
_BITS = _BAND * _BAND
_SECONDS_MAX = 60  # of a long clip
_HEX = re.compile("(?:[0-9a-fA-F]{16})+")
_OVERLAP = 0.5  # of the shorter clip, at least, when one is slid along the other

SAME_AT_MOST = (
    0.18  # distance: copies of one clip lie below, other clips above (measured in tests and docs)
)


@dataclasses.dataclass(frozen=True, slots=True)
class Fingerprint:
    """The hashes of a clip's seconds, in order."""

    seconds: tuple[int, ...]  # 64 bits each

    def __post_init__(self) -> None:
        """Refuse an empty fingerprint and hashes that are not 64 bits."""
        if not self.seconds or not all(0 <= value < 1 << _BITS for value in self.seconds):
            raise ConfigError(
                "a fingerprint needs one hash of 64 bits for each second, and one at least."
            )

    def to_bytes(self) -> bytes:
        """Return 8 bytes a second."""
        return bytes.fromhex(self.to_hex())

    def to_hex(self) -> str:
        """Return 16 hexadecimal digits a second."""
        return "".join(f"{value:016x}" for value in self.seconds)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote.

        Raises:
            ConfigError: the bytes are not a fingerprint.
        """
        return cls.from_hex(data.hex())

    @classmethod
    def from_hex(cls, text: str) -> Self:
        """Read what `to_hex` wrote.

        Raises:
            ConfigError: the text is not a fingerprint.
        """
        if not _HEX.fullmatch(text):
            raise ConfigError(
                f"{text[:20]!r} is not a fingerprint; it has 16 hexadecimal digits a second."
            )
        return cls(tuple(int(text[start : start + 16], 16) for start in range(0, len(text), 16)))


def hash_picture(picture: npt.NDArray[np.generic]) -> int:
    """Return which of a picture's [32, 32] lowest DCT coefficients lie above their median."""
    low = cv2.dct(picture.astype(np.float32))[:_BAND, :_BAND].ravel()
    low[0] = np.median(low[1:])
    bits = low > low[0]
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def fingerprint_frames(frames: Iterable[npt.NDArray[np.uint8]], fps: float) -> Fingerprint:
    """Return the fingerprint of frames `[H, W, 3] uint8 RGB` at a constant rate.

    Raises:
        InputError: there are no frames.
        ConfigError: the rate is not positive.
    """
    if fps <= 0:
        raise ConfigError(f"fps is {fps}; it must be positive.")
    hashes: list[int] = []
    total = np.zeros((_PICTURE_PX, _PICTURE_PX), np.float32)
    added = 0
    second = 0
    for index, frame in enumerate(frames):
        if int(index / fps) > second:
            hashes.append(hash_picture(total / added))
            total[:], added, second = 0, 0, int(index / fps)
        luma = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        total += cv2.resize(luma, (_PICTURE_PX, _PICTURE_PX), interpolation=cv2.INTER_AREA)
        added += 1
    # A last piece under half a second says little; it counts only where there is nothing else.
    if added and (not hashes or added >= fps / 2):
        hashes.append(hash_picture(total / added))
    if not hashes:
        raise InputError("there are no frames to take a fingerprint of.")
    return Fingerprint(tuple(hashes))


def fingerprint(path: Path) -> Fingerprint:
    """Return the fingerprint of a file's first minute.

    Raises:
        InputError: the file cannot be read as video.
    """
    return fingerprint_frames(read_frames(path, fps=_FPS, max_frames=_SECONDS_MAX * _FPS), _FPS)


def compare(one: Fingerprint, other: Fingerprint) -> float:
    """Return the distance of two clips, 0 (same) to about 0.5 (unrelated): the mean share of bits
    that differ.

    The shorter clip is slid along the longer, so that a cut finds its place; half of it must
    overlap.
    """
    short, long = sorted((one.seconds, other.seconds), key=len)
    least = max(1, round(_OVERLAP * len(short)))
    best = 1.0
    for start in range(least - len(short), len(long) - least + 1):
        pairs = [
            (short[index], long[start + index])
            for index in range(len(short))
            if 0 <= start + index < len(long)
        ]
        differing = sum((left ^ right).bit_count() for left, right in pairs)
        best = min(best, differing / (_BITS * len(pairs)))
    return best
