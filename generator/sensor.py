"""The camera that a corpus's clips are taken with: grain that is another in every frame.

Rendered performances and moved stills get the same, after all that is drawn. A still's own grain
would stand still with it, and tell the classes apart by how many bits an encoder spends.
"""

import functools
from collections.abc import Iterable, Iterator

import numba
import numpy as np
import numpy.typing as npt

__all__ = ["GRAIN_LEVELS", "exposed"]

Frame = npt.NDArray[np.uint8]

GRAIN_LEVELS = 1.5  # standard deviation, grey levels of 255
_TILE = 512  # px; grain repeats, shifted at random from frame to frame


@functools.cache
def _grain() -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(6)
    return rng.normal(0, GRAIN_LEVELS, (_TILE, _TILE)).astype(np.float32)


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
    """Yield frames `[H, W, 3] uint8 RGB` with grain, the same for a seed, each an array of its
    own.
    """
    rng = np.random.default_rng([seed, 0x6A])
    for frame in frames:
        row0, column0 = (int(value) for value in rng.integers(0, _TILE, 2))
        out = np.empty_like(frame)
        _add(frame, _grain(), row0, column0, out)
        yield out
