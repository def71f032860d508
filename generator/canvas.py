"""Where a frame is drawn: triangles become fragments, and the nearest fragments become pixels.

A fragment is one whole number of 64 bits: its depth, its opacity, and where in an atlas its colour
lies. Nearer ones are smaller, so the depth test is a minimum, and inside a triangle the next
fragment is the last one plus a constant. Colours are fetched row by row in three passes over short
buffers; the first and the last become wide instructions, which one pass would not. All kernels
release the GIL, so that rendering, marking and encoding share the machine's cores.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Self, TypeVar, cast

import cv2
import numba
import numpy as np
import numpy.typing as npt

__all__ = ["Atlas", "Canvas", "drawing_order"]

FloatArray = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]
Kernel = TypeVar("Kernel", bound=Callable[..., Any])

_PAD = 4  # px around an atlas; its last corner is transparent, and whatever is nowhere lies there
_OUTLINE_PX = 3  # of an outline's own line, and kept around it
_NONE = np.uint64(0xFFFFFFFFFFFFFFFF)  # no fragment: behind all others

# Bits of a fragment from the lowest: where it lies down and across the atlas, opacity, depth.
_PLACE_BITS, _OPACITY_BITS, _DEPTH_BITS = 21, 7, 15
_ACROSS_AT, _OPACITY_AT = np.uint64(_PLACE_BITS), np.uint64(2 * _PLACE_BITS)
_PLACE_MASK = np.uint64((1 << _PLACE_BITS) - 1)
_OPAQUE = (1 << _OPACITY_BITS) - 1
_OPACITY_MASK = np.uint64(_OPAQUE)
_OPAQUE_FRAGMENT = np.int64(_OPAQUE << (2 * _PLACE_BITS))
_DEPTH_UNIT = np.int64(1 << (2 * _PLACE_BITS + _OPACITY_BITS))
_ACROSS_UNIT = np.int64(1 << _PLACE_BITS)
# Depth of the nearest and the farthest corner; there is room beyond both for rounding.
_NEAREST, _FARTHEST = np.float32(64.0), np.float32((1 << _DEPTH_BITS) - 768)
_RUN = 16  # fragments drawn by adding before rounding errors are dropped
# px^2 (twice the area); thinner triangles hold no pixel worth their rounding errors.
_SLIVER = np.float32(0.01)
_SLACK = np.float32(1e-3)  # px by which rows are longer than their triangle: closes hairline cracks
# Atlas px and depths per pixel; a triangle seen more from its edge is drawn with care.
_STEEP_PLACE, _STEEP_DEPTH = np.float32(64.0), np.float32(4096.0)

# Two of a pixel's four bytes, each in 16 bits.
_PAIR = np.uint32(0x00FF00FF)
_HALVES = np.uint32(0x00800080)
_BYTE, _WORD, _WHOLE = np.uint32(8), np.uint32(16), np.uint32(256)
_THREE_BYTES = np.uint32(24)
_LOW_BYTE, _LOW_WORD, _COLOUR = np.uint32(0xFF), np.uint32(0xFFFF), np.uint32(0xFFFFFF)
# Opacity of a fragment times that of the atlas, in 256ths: 127 * 255 becomes 256.
_SHARE, _SHARE_HALF = np.uint32(518), np.uint32(32768)


def _compiled(function: Kernel) -> Kernel:
    options = {"cache": True, "nogil": True, "fastmath": True, "error_model": "numpy"}
    return cast(Kernel, numba.njit(**options)(function))


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Atlas:
    """A picture that triangles take their colours from."""

    texels: npt.NDArray[np.uint32]  # [stride * rows] RGBA, `_PAD` px wider on every side
    stride: int  # texels a row, padding included
    rows: int
    fraction_bits: int  # of a place in it, at least 8

    @classmethod
    def of(cls, picture: Image) -> Self:
        """Return the atlas of a picture `[H, W, 4]` RGBA, not premultiplied, up to 4096 px.

        Outside the picture its border goes on.
        """
        padded = cv2.copyMakeBorder(picture, _PAD, _PAD, _PAD, _PAD, cv2.BORDER_REPLICATE)
        padded[-2:, -2:] = 0
        rows, stride = padded.shape[:2]
        bits = _PLACE_BITS - int(max(rows, stride)).bit_length()
        texels = np.ascontiguousarray(padded).view(np.uint32).ravel()
        return cls(texels, stride, rows, bits)


class Canvas:
    """A picture that is drawn on, and the buffers which that takes. Not shared between threads."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.pixels = np.zeros((height, width), np.uint32)
        # [H, W, 4] RGB and a byte without meaning; a view of `pixels`.
        self.image: Image = self.pixels.view(np.uint8).reshape(height, width, 4)
        self._fragments = np.full((height, width), _NONE)  # `_NONE` between two drawings
        self._reach = np.tile(np.array([width, -1], np.int32), (height, 1))
        self._buffers = np.zeros((6, width), np.uint32)
        self._everywhere = np.zeros((0, 0), np.uint8)

    def rgb(self) -> Image:
        """Return a copy of the picture, `[H, W, 3] uint8 RGB`."""
        out = np.empty((self.height, self.width, 3), np.uint8)
        if self.pixels.size % 4:
            np.copyto(out, self.image[..., :3])
        else:
            _pack(self.pixels.reshape(-1), out.reshape(-1).view(np.uint32))
        return out

    def draw(
        self,
        points: FloatArray,
        triangles: npt.NDArray[np.int32],
        attributes: FloatArray,
        atlas: Atlas,
        outline: FloatArray | None = None,
    ) -> None:
        """Draw triangles, the nearest seen, over what is there.

        Args:
            points: `[V, 3]` pixel x, pixel y (centres at whole numbers) and depth, smaller is
                nearer.
            triangles: `[F, 3]` indices into `points`, drawn from both sides.
            attributes: `[V, 3]` what is interpolated: atlas x, atlas y, opacity in [0, 1].
            atlas: where colours are fetched, bilinearly; its opacity counts as well.
            outline: `[n, 2]` px; nothing is drawn outside this polygon.
        """
        window, mask = (0, 0, self.width, self.height), self._everywhere
        if outline is not None:
            window = self.window(outline)
            if window[0] >= window[2] or window[1] >= window[3]:
                return
            mask = _mask(window, outline)
        _rasterise(
            points,
            triangles,
            attributes,
            self._fragments,
            self._reach,
            window,
            atlas.stride - 2 * _PAD,
            atlas.rows - 2 * _PAD,
            atlas.fraction_bits,
        )
        _shade(
            self.pixels,
            self._fragments,
            self._reach,
            window,
            mask,
            atlas.texels,
            atlas.stride,
            atlas.rows,
            atlas.fraction_bits,
            self._buffers,
        )

    def window(self, points: FloatArray) -> tuple[int, int, int, int]:
        """Return the box (x0, y0, x1, y1) around points, a little wider, within the picture."""
        x0, y0, x1, y1 = _box(points)
        return (
            max(x0 - _OUTLINE_PX, 0),
            max(y0 - _OUTLINE_PX, 0),
            min(x1 + _OUTLINE_PX + 1, self.width),
            min(y1 + _OUTLINE_PX + 1, self.height),
        )


def drawing_order(points: FloatArray, triangles: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Return triangles [F, 3] in the order in which they are drawn fastest: from top to bottom.

    The picture does not depend on it.
    """
    height = points[:, 1]
    corners = np.take_along_axis(triangles, np.argsort(height[triangles], axis=1), 1)
    return np.ascontiguousarray(corners[np.argsort(height[corners[:, 0]], kind="stable")])


def _mask(window: tuple[int, int, int, int], outline: FloatArray) -> Image:
    """Return 1 inside an outline and on its line, 0 elsewhere, for the pixels of a window."""
    x0, y0, x1, y1 = window
    inside = np.zeros((y1 - y0, x1 - x0), np.uint8)
    shape = np.round((outline - np.array([x0, y0], np.float32)) * 16).astype(np.int32)
    cv2.fillPoly(inside, [shape], 1, shift=4)
    cv2.polylines(inside, [shape], True, 1, thickness=_OUTLINE_PX, shift=4)
    return inside


@_compiled
def _box(points: FloatArray) -> tuple[int, int, int, int]:
    x0 = x1 = points[0, 0]
    y0 = y1 = points[0, 1]
    for index in range(1, points.shape[0]):
        x0, x1 = min(x0, points[index, 0]), max(x1, points[index, 0])
        y0, y1 = min(y0, points[index, 1]), max(y1, points[index, 1])
    return int(np.floor(x0)), int(np.floor(y0)), int(np.ceil(x1)), int(np.ceil(y1))


@_compiled
def _rasterise(
    points: FloatArray,
    triangles: npt.NDArray[np.int32],
    attributes: FloatArray,
    fragments: npt.NDArray[np.uint64],
    reach: npt.NDArray[np.int32],
    window: tuple[int, int, int, int],
    atlas_width: int,
    atlas_height: int,
    fraction_bits: int,
) -> None:
    """Leave the nearest fragment of each pixel in `fragments` [H, W], and in `reach` [H, 2] between
    which columns of each row they lie.
    """
    box_x0, box_y0, box_x1, box_y1 = window
    z_low, z_high = np.float32(1e30), np.float32(-1e30)
    for vertex in range(points.shape[0]):
        z_low, z_high = min(z_low, points[vertex, 2]), max(z_high, points[vertex, 2])
    z_scale = (_FARTHEST - _NEAREST) / max(z_high - z_low, np.float32(1e-3))
    unit = np.float32(1 << fraction_bits)
    pad, before, half = np.float32(_PAD), np.float32(-1.0), np.float32(0.5)
    right, bottom = np.float32(atlas_width), np.float32(atlas_height)
    u_most, v_most = (right + pad) * unit, (bottom + pad) * unit
    opaque = np.float32(_OPAQUE)
    for face in range(triangles.shape[0]):
        i, j, k = triangles[face, 0], triangles[face, 1], triangles[face, 2]
        yi, yj, yk = points[i, 1], points[j, 1], points[k, 1]
        y0 = max(box_y0, int(np.ceil(min(yi, yj, yk))))
        y1 = min(box_y1 - 1, int(np.floor(max(yi, yj, yk))))
        if y0 > y1:
            continue
        xi, xj, xk = points[i, 0], points[j, 0], points[k, 0]
        if max(xi, xj, xk) < np.float32(box_x0) or min(xi, xj, xk) > np.float32(box_x1):
            continue
        # From the uppermost corner to the lowest.
        if yj < yi:
            i, j, xi, xj, yi, yj = j, i, xj, xi, yj, yi
        if yk < yi:
            i, k, xi, xk, yi, yk = k, i, xk, xi, yk, yi
        if yk < yj:
            j, k, xj, xk, yj, yk = k, j, xk, xj, yk, yj
        area = (xj - xi) * (yk - yi) - (xk - xi) * (yj - yi)
        if abs(area) < _SLIVER:
            continue
        inverse = np.float32(1.0) / area
        # Barycentric weights of j and k, linear in x and y.
        bj_x, bj_y = (yk - yi) * inverse, -(xk - xi) * inverse
        bk_x, bk_y = -(yj - yi) * inverse, (xj - xi) * inverse
        zi = (points[i, 2] - z_low) * z_scale + _NEAREST
        zj, zk = (points[j, 2] - points[i, 2]) * z_scale, (points[k, 2] - points[i, 2]) * z_scale
        ui = (min(max(attributes[i, 0], before), right) + pad) * unit
        uj = (min(max(attributes[j, 0], before), right) + pad) * unit - ui
        uk = (min(max(attributes[k, 0], before), right) + pad) * unit - ui
        vi = (min(max(attributes[i, 1], before), bottom) + pad) * unit
        vj = (min(max(attributes[j, 1], before), bottom) + pad) * unit - vi
        vk = (min(max(attributes[k, 1], before), bottom) + pad) * unit - vi
        ai = attributes[i, 2] * opaque
        aj, ak = attributes[j, 2] * opaque - ai, attributes[k, 2] * opaque - ai
        z_x, z_y = bj_x * zj + bk_x * zk, bj_y * zj + bk_y * zk
        u_x, u_y = bj_x * uj + bk_x * uk, bj_y * uj + bk_y * uk
        v_x, v_y = bj_x * vj + bk_x * vk, bj_y * vj + bk_y * vk
        a_x, a_y = bj_x * aj + bk_x * ak, bj_y * aj + bk_y * ak
        plain = (
            min(ai, ai + aj, ai + ak) > opaque - half
            and abs(z_x) < _STEEP_DEPTH
            and abs(u_x) < _STEEP_PLACE * unit
            and abs(v_x) < _STEEP_PLACE * unit
        )
        step = np.uint64(
            np.int64(np.rint(z_x)) * _DEPTH_UNIT
            + np.int64(np.rint(u_x)) * _ACROSS_UNIT
            + np.int64(np.rint(v_x))
        )
        # How far the three sides go to the right a row: the long one, the upper, the lower.
        along = (xk - xi) / (yk - yi)
        upper = (xj - xi) / (yj - yi) if yj > yi else np.float32(0.0)
        lower = (xk - xj) / (yk - yj) if yk > yj else np.float32(0.0)
        for y in range(y0, y1 + 1):
            down = np.float32(y) - yi
            one = xi + down * along
            other = xi + down * upper if np.float32(y) < yj else xj + (np.float32(y) - yj) * lower
            first = max(box_x0, int(np.ceil(min(one, other) - _SLACK)))
            end = min(box_x1, int(np.floor(max(one, other) + _SLACK)) + 1)
            if first >= end:
                continue
            line = np.uint64(y)  # without a sign, an index needs no look at it
            reach[line, 0] = min(reach[line, 0], first)
            reach[line, 1] = max(reach[line, 1], end - 1)
            row = fragments[line]
            across = np.float32(first) - xi
            z, u, v = zi + down * z_y, ui + down * u_y + half, vi + down * v_y + half
            if plain:
                while first < end:
                    stop = min(end, first + _RUN)
                    here = np.uint64(
                        np.int64(z + across * z_x) * _DEPTH_UNIT
                        + _OPAQUE_FRAGMENT
                        + np.int64(u + across * u_x) * _ACROSS_UNIT
                        + np.int64(v + across * v_x)
                    )
                    for x in range(np.uint64(first), np.uint64(stop)):
                        row[x] = min(row[x], here)
                        here += step
                    across += np.float32(_RUN)
                    first = stop
            else:
                a = ai + down * a_y + half
                for x in range(first, end):
                    deep = min(max(z + across * z_x, np.float32(0.0)), np.float32(32767.0))
                    share = min(max(a + across * a_x, np.float32(0.0)), opaque)
                    here = np.uint64(
                        np.int64(deep) * _DEPTH_UNIT
                        + (np.int64(share) << np.int64(2 * _PLACE_BITS))
                        + np.int64(min(max(u + across * u_x, half), u_most)) * _ACROSS_UNIT
                        + np.int64(min(max(v + across * v_x, half), v_most))
                    )
                    row[x] = min(row[x], here)
                    across += np.float32(1.0)


@_compiled
def _shade(
    pixels: npt.NDArray[np.uint32],
    fragments: npt.NDArray[np.uint64],
    reach: npt.NDArray[np.int32],
    window: tuple[int, int, int, int],
    mask: Image,
    texels: npt.NDArray[np.uint32],
    stride: int,
    rows: int,
    fraction_bits: int,
    buffers: npt.NDArray[np.uint32],
) -> None:
    """Lay the fragments' colours over `pixels` [H, W], and leave no fragments."""
    u_most, v_most = (stride - 2) << fraction_bits, (rows - 2) << fraction_bits
    for y in range(window[1], window[3]):
        first, end = reach[y, 0], reach[y, 1] + 1
        if first >= end:
            continue
        reach[y, 0], reach[y, 1] = pixels.shape[1], -1
        count = end - first
        index, weights = buffers[0, :count], buffers[1, :count]
        corners = buffers[2, :count], buffers[3, :count], buffers[4, :count], buffers[5, :count]
        _locate(fragments[y, first:end], index, weights, stride, u_most, v_most, fraction_bits)
        if mask.shape[0]:
            _hide(weights, mask[y - window[1], first - window[0] : end - window[0]])
        _fetch(index, texels, stride, corners[0], corners[1], corners[2], corners[3])
        _lay(pixels[y, first:end], weights, corners[0], corners[1], corners[2], corners[3])


@_compiled
def _locate(
    fragments: npt.NDArray[np.uint64],
    index: npt.NDArray[np.uint32],
    weights: npt.NDArray[np.uint32],
    stride: int,
    u_most: int,
    v_most: int,
    fraction_bits: int,
) -> None:
    """Write which texel each fragment lies on, and how far beyond it (two bytes) and how opaque it
    is (the third).
    """
    whole, eighths = np.uint64(fraction_bits), np.uint64(fraction_bits - 8)
    across, byte, word = np.uint64(stride), np.uint64(255), np.uint64(8)
    u_limit, v_limit = np.uint64(u_most), np.uint64(v_most)
    for x in range(fragments.shape[0]):
        fragment = fragments[x]
        fragments[x] = _NONE
        u = min((fragment >> _ACROSS_AT) & _PLACE_MASK, u_limit)
        v = min(fragment & _PLACE_MASK, v_limit)
        index[x] = np.uint32((v >> whole) * across + (u >> whole))
        weights[x] = np.uint32(
            ((u >> eighths) & byte)
            | (((v >> eighths) & byte) << word)
            | (((fragment >> _OPACITY_AT) & _OPACITY_MASK) << (word + word))
        )


@_compiled
def _hide(weights: npt.NDArray[np.uint32], mask: Image) -> None:
    for x in range(weights.shape[0]):
        weights[x] *= mask[x]


@_compiled
def _fetch(
    index: npt.NDArray[np.uint32],
    texels: npt.NDArray[np.uint32],
    stride: int,
    upper_left: npt.NDArray[np.uint32],
    upper_right: npt.NDArray[np.uint32],
    lower_left: npt.NDArray[np.uint32],
    lower_right: npt.NDArray[np.uint32],
) -> None:
    below, beside = np.uint64(stride), np.uint64(1)
    for x in range(index.shape[0]):
        at = np.uint64(index[x])
        upper_left[x] = texels[at]
        upper_right[x] = texels[at + beside]
        lower_left[x] = texels[at + below]
        lower_right[x] = texels[at + below + beside]


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def _between(one: np.uint32, other: np.uint32, share: np.uint32) -> np.uint32:
    """Return two bytes between those of `one` and of `other`, by a share in 256ths."""
    # Every step says how wide it is: numba would make it 64 bits.
    mixed = np.uint32(np.uint32(one * np.uint32(_WHOLE - share)) + np.uint32(other * share))
    return np.uint32(np.uint32(np.uint32(mixed + _HALVES) >> _BYTE) & _PAIR)


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def _upper(pixel: np.uint32) -> np.uint32:
    return np.uint32(np.uint32(pixel >> _BYTE) & _PAIR)


@_compiled
def _lay(
    pixels: npt.NDArray[np.uint32],
    weights: npt.NDArray[np.uint32],
    upper_left: npt.NDArray[np.uint32],
    upper_right: npt.NDArray[np.uint32],
    lower_left: npt.NDArray[np.uint32],
    lower_right: npt.NDArray[np.uint32],
) -> None:
    """Lay the four texels of each fragment, mixed, over a row of pixels."""
    for x in range(pixels.shape[0]):
        across = np.uint32(weights[x] & _LOW_BYTE)
        down = np.uint32(np.uint32(weights[x] >> _BYTE) & _LOW_BYTE)
        a, b, c, d = upper_left[x], upper_right[x], lower_left[x], lower_right[x]
        # Red and blue, then green and opacity.
        red_blue = _between(
            _between(np.uint32(a & _PAIR), np.uint32(b & _PAIR), across),
            _between(np.uint32(c & _PAIR), np.uint32(d & _PAIR), across),
            down,
        )
        green = _between(
            _between(_upper(a), _upper(b), across), _between(_upper(c), _upper(d), across), down
        )
        opacity = np.uint32(np.uint32(green >> _WORD) * np.uint32(weights[x] >> _WORD))
        share = np.uint32(np.uint32(np.uint32(opacity * _SHARE) + _SHARE_HALF) >> _WORD)
        under = pixels[x]
        red_blue = _between(np.uint32(under & _PAIR), red_blue, share)
        green = _between(_upper(under), green, share)
        pixels[x] = np.uint32(red_blue | np.uint32(green << _BYTE))


@_compiled
def _pack(pixels: npt.NDArray[np.uint32], out: npt.NDArray[np.uint32]) -> None:
    """Write four pixels of four bytes as three words: all but every fourth byte."""
    for index in range(pixels.shape[0] // 4):
        a, b = pixels[4 * index], pixels[4 * index + 1]
        c, d = pixels[4 * index + 2], pixels[4 * index + 3]
        out[3 * index] = np.uint32(np.uint32(a & _COLOUR) | np.uint32(b << _THREE_BYTES))
        out[3 * index + 1] = np.uint32(
            np.uint32(np.uint32(b >> _BYTE) & _LOW_WORD) | np.uint32(c << _WORD)
        )
        out[3 * index + 2] = np.uint32(
            np.uint32(np.uint32(c >> _WORD) & _LOW_BYTE) | np.uint32(d << _BYTE)
        )
