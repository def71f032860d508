"""The camera that a corpus's clip is taken with: a lens, and grain that is another in every frame.

Rendered performances and moved stills get one after all that is drawn, each clip another. A still's
own grain would stand still with it, and with one camera for all a tenth of the bits, or of the
sharpness, would tell the classes apart.
"""

import functools
from collections.abc import Iterable, Iterator

import cv2
import numba
import numpy as np
import numpy.typing as npt

__all__ = ["GRAIN_LEVELS", "LENS_PX", "exposed"]

Frame = npt.NDArray[np.uint8]

# Each clip's is drawn evenly between these, whatever its label.
GRAIN_LEVELS = (0.5, 3.2)  # standard deviation of the grain, grey levels of 255
LENS_PX = (0.0, 0.7)  # standard deviation of the lens's blur, px
_SHARP_PX = 0.2  # blur below it is none
_TILE = 512  # px; grain repeats, shifted at random from frame to frame


@functools.cache
def _grain() -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(6)
    return rng.normal(0, 1, (_TILE, _TILE)).astype(np.float32)


@numba.njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def _add(frame: Frame, grain: npt.NDArray[np.float32], row0: int, column0: int, out: Frame) -> None:
    height, width = frame.shape[:2]
    for row in range(height):
        specks = grain[(row + row0) & (_TILE - 1)]
        for column in range(width):
            speck = specks[(column + column0) & (_TILE - 1)] + np.float32(0.5)
            for channel in range(3):
                value = np.float32(frame[row, column, channel]) + speck
                out[row, column, channel] = np.uint8(
                    min(max(value, np.float32(0)), np.float32(255))
                )


def exposed(frames: Iterable[Frame], seed: int) -> Iterator[Frame]:
    """Yield frames `[H, W, 3] uint8 RGB` as the camera of a seed takes them, each an array of its
    own.
    """
    rng = np.random.default_rng([seed, 0x6A])
    grain = _grain() * np.float32(rng.uniform(*GRAIN_LEVELS))
    blur_px = float(rng.uniform(*LENS_PX))
    for frame in frames:
        row0, column0 = (int(value) for value in rng.integers(0, _TILE, 2))
        seen = frame if blur_px < _SHARP_PX else cv2.GaussianBlur(frame, (0, 0), blur_px)
        out = np.empty_like(frame)
        _add(np.asarray(seen, np.uint8), grain, row0, column0, out)
        yield out
