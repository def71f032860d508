"""Copies of a film with this project's watermark and without it, encoded alike.

The mark is a pattern that is known to whoever has the key, so a mark can be taken off: the same
pattern is taken away again, as strong as an encoder has left it. Whether that succeeded is asked of
the extractor, never assumed.
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from obverse.errors import InputError
from obverse.media.encode import EncodeConfig
from obverse.watermark.carriers import DEFAULT_KEY, TORUS_PX
from obverse.watermark.embed import Embedder, MarkConfig
from obverse.watermark.extract import extract
from obverse.watermark.geometry import laid_share

__all__ = ["RELEASED", "MarkCheck", "Marking", "check_mark", "own_payload", "with_mark", "without"]

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

RELEASED = EncodeConfig()  # what this project's films are encoded with
_PROBED = 32  # frames, spread over the film, from which a mark's strength is told
_BAND_PX = (1.2, 3.0)  # deviations of the Gaussians between which the mark lies, mark pixels
_LEAST, _MOST = 0.25, 1.75  # strengths of what is taken away


@dataclasses.dataclass(frozen=True, slots=True)
class Marking:
    """Encode the film as this project does, with its mark or without: what a grid calls `mark`."""

    present: bool

    def __post_init__(self) -> None:
        """Nothing can be wrong: YAML knows true and false."""


@dataclasses.dataclass(frozen=True, slots=True)
class MarkCheck:
    """What the extractor says of a copy."""

    present: bool
    z: float


def own_payload(name: str) -> int:
    """Return a payload of 64 bits for a clip that has none, the same each time."""
    return int.from_bytes(hashlib.sha256(f"mark {name}".encode()).digest()[:8], "big")


def check_mark(path: Path, key: bytes = DEFAULT_KEY) -> MarkCheck:
    """Ask the extractor."""
    reading = extract(path, key)
    return MarkCheck(reading.present, reading.z)


def with_mark(frames: Iterable[Image], payload: int, key: bytes = DEFAULT_KEY) -> Iterator[Image]:
    """Yield frames with a mark."""
    return Embedder(payload, key).embed(frames)


def _at(strength: float) -> MarkConfig:
    """Return the usual mark, so many times as strong: a smaller psnr_db raises it in proportion."""
    usual = MarkConfig()
    return dataclasses.replace(usual, psnr_db=usual.psnr_db - 20 * float(np.log10(strength)))


def _taken(frames: Iterable[Image], payload: int, key: bytes, strength: float) -> Iterator[Image]:
    marker = Embedder(payload, key, _at(strength))
    for frame in frames:
        marked = marker.embed_frame(frame).astype(np.int16)
        yield np.clip(2 * frame.astype(np.int16) - marked, 0, 255).astype(np.uint8)


def without(
    frames: Iterable[Image], probed: Iterable[Image], payload: int, key: bytes = DEFAULT_KEY
) -> Iterator[Image]:
    """Yield frames without the mark that they carry.

    Args:
        frames: all of them, in order.
        probed: some, spread over the film, from which the mark's strength is told.
        payload: of the mark.
        key: of the mark.

    Raises:
        InputError: there are no frames to tell it from.
    """
    return _taken(frames, payload, key, strength_of(probed, payload, key))


def strength_of(probed: Iterable[Image], payload: int, key: bytes = DEFAULT_KEY) -> float:
    """Return how strong the pattern must be taken away for nothing of it to be left.

    The mean of the frames is projected onto the mean of what embedding adds to them, both in the
    mark's band; what is left after taking it away at a strength is nearly linear in it.
    """
    kept = list(itertools.islice(probed, _PROBED))
    if not kept:
        raise InputError("there are no frames to tell a mark's strength from; give a film.")
    pattern = _band(_mean(with_mark(kept, payload, key)) - _mean(kept))
    scale = float(np.vdot(pattern, pattern))
    low, high = 0.5, 1.25

    def left(strength: float) -> float:
        rest = _band(_mean(_taken(kept, payload, key, strength)))
        return float(np.vdot(rest, pattern)) / scale

    at_low, at_high = left(low), left(high)
    if at_low - at_high < 1e-3:
        return 1.0
    found = low + (high - low) * at_low / (at_low - at_high)
    return float(np.clip(found, _LEAST, _MOST))


def _mean(frames: Iterable[Image]) -> Floats:
    """Return the mean luma of frames `[H, W]`."""
    total: Floats | None = None
    count = 0
    for frame in frames:
        luma = cv2.cvtColor(frame.astype(np.float32), cv2.COLOR_RGB2GRAY)
        total = luma if total is None else total + luma
        count += 1
    assert total is not None
    return np.asarray(total / count, np.float32)


def _band(luma: Floats) -> Floats:
    """Return what lies in the mark's band, each place by its own spread: edges count little."""
    height, width = luma.shape
    unit = min(height, width) / TORUS_PX / laid_share(width, height)
    fine, coarse = (cv2.GaussianBlur(luma, (0, 0), max(0.4, s * unit)) for s in _BAND_PX)
    band = np.asarray(fine - coarse, np.float32)
    spread = cv2.GaussianBlur(np.abs(band), (0, 0), 6 * unit)
    return np.asarray(band / (spread + 0.5), np.float32)
