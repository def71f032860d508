"""Hard edges made soft: small pieces of a picture are blurred, all over or along lines.

OpenCV does this too, but wakes a second thread for every piece, which costs more than the work.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

__all__ = ["blurred", "mix", "stroke"]

Image = npt.NDArray[np.uint8]
Kernel = TypeVar("Kernel", bound=Callable[..., Any])

_REACH = 4.0  # standard deviations of a blur that count
_ONE = 256  # the sum of a blur's weights


def _compiled(function: Kernel) -> Kernel:
    return cast(Kernel, numba.njit(cache=True, nogil=True, fastmath=True)(function))


def blurred(image: Image, deviation_px: float) -> Image:
    """Return an image [H, W, C] blurred by a Gaussian; beyond its border it is mirrored."""
    reach = max(1, int(_REACH * deviation_px))
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation_px) ** 2)
    weights = np.round(_ONE * bell / bell.sum()).astype(np.int64)
    weights[reach] += _ONE - weights.sum()
    out = np.empty(image.shape, np.uint8)
    _blur(image, weights.astype(np.uint16), out)
    return out


@_compiled
def _blur(image: Image, weights: npt.NDArray[np.uint16], out: Image) -> None:
    height, width, channels = image.shape
    reach = weights.shape[0] // 2
    line = np.empty((width + 2 * reach) * channels, np.uint16)
    across = np.zeros((height + 2 * reach, width * channels), np.uint16)
    for y in range(-reach, height + reach):
        row = _mirrored(y, height)
        for x in range(-reach, width + reach):
            column = _mirrored(x, width)
            for channel in range(channels):
                line[(x + reach) * channels + channel] = image[row, column, channel]
        total = across[y + reach]
        for tap in range(weights.shape[0]):
            weight, shifted = weights[tap], line[tap * channels : tap * channels + total.shape[0]]
            for at in range(total.shape[0]):
                total[at] += np.uint16(weight * shifted[at])
    down = np.empty(width * channels, np.uint32)
    for y in range(height):
        down[:] = np.uint32(_ONE * _ONE // 2)
        for tap in range(weights.shape[0]):
            weight_below, above = np.uint32(weights[tap]), across[y + tap]
            for at in range(down.shape[0]):
                down[at] += np.uint32(weight_below * np.uint32(above[at]))
        result = out[y].reshape(-1)
        for at in range(down.shape[0]):
            result[at] = np.uint8(down[at] >> np.uint32(16))


@_compiled
def _mirrored(at: int, length: int) -> int:
    if length == 1:
        return 0
    while at < 0 or at >= length:
        at = -at if at < 0 else 2 * (length - 1) - at
    return at


@_compiled
def stroke(
    band: npt.NDArray[np.uint8],
    points: npt.NDArray[np.float32],
    line: npt.NDArray[np.int32],
    corner: tuple[int, int],
    width: float,
) -> None:
    """Draw a smooth line through vertices over `band` [H, W], 255 on the line, in place.

    Args:
        band: the pixels below and to the right of `corner`.
        points: `[V, 3]` px.
        line: `[n]` the vertices.
        corner: (x, y) px.
        width: px.
    """
    reach = np.float32(0.5 * width + 0.5)
    for index in range(line.shape[0] - 1):
        ax = points[line[index], 0] - np.float32(corner[0])
        ay = points[line[index], 1] - np.float32(corner[1])
        dx = points[line[index + 1], 0] - np.float32(corner[0]) - ax
        dy = points[line[index + 1], 1] - np.float32(corner[1]) - ay
        square = max(dx * dx + dy * dy, np.float32(1e-6))
        x0, x1 = max(int(np.ceil(min(ax, ax + dx) - reach)), 0), max(ax, ax + dx) + reach
        y0, y1 = max(int(np.ceil(min(ay, ay + dy) - reach)), 0), max(ay, ay + dy) + reach
        for y in range(y0, min(int(np.floor(y1)) + 1, band.shape[0])):
            for x in range(x0, min(int(np.floor(x1)) + 1, band.shape[1])):
                px, py = np.float32(x) - ax, np.float32(y) - ay
                along = min(max((px * dx + py * dy) / square, np.float32(0.0)), np.float32(1.0))
                px, py = px - along * dx, py - along * dy
                share = min(
                    max(reach - np.sqrt(px * px + py * py), np.float32(0.0)), np.float32(1.0)
                )
                band[y, x] = max(band[y, x], np.uint8(share * np.float32(255.0) + np.float32(0.5)))


@_compiled
def mix(
    image: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8], share: npt.NDArray[np.uint8]
) -> None:
    """Lay `other` [H, W, 3] over `image` in place, `share` [H, W] of 255 of it."""
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            part = np.int32(share[y, x])
            if part > 0:
                for channel in range(3):
                    below = np.int32(image[y, x, channel])
                    step = part * (np.int32(other[y, x, channel]) - below)
                    image[y, x, channel] = np.uint8((below * 255 + step + 127) // 255)
