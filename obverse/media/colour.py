"""Colour: luma and chroma to RGB and back, at a stated matrix and range.

swscale's fast path from 4:2:0 to RGB is biased by more than a grey level (it truncates), which a
watermark at 44 dB would feel. Here swscale changes only the layout and depth of samples; the matrix
is applied with rounding and chroma is interpolated.
"""

import functools
from typing import Any

import cv2
import numba
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

__all__ = ["LUMA_UNIT", "FrameConverter", "FrameSplitter", "planes_of", "rgb_to_yuv420"]

_LIMITED, _FULL = 1, 2  # AVCOL_RANGE_MPEG, AVCOL_RANGE_JPEG
_ACCURATE = 0x2 | 0x2000 | 0x40000  # SWS_BILINEAR | SWS_FULL_CHR_H_INT | SWS_ACCURATE_RND

# AVColorSpace -> (Kr, Kb), the luma weights of red and blue in ITU-R BT.709, FCC, BT.601 (625 and
# 525 lines), SMPTE 240M and BT.2020
_LUMA_WEIGHTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}
_BT709, _BT601 = 1, 5
_HD_HEIGHT_PX = (
    720  # untagged pictures of this height and above are BT.709, below BT.601, as players assume
)

# Chroma log2 subsampling (horizontal, vertical) -> the 8-bit planar format of that layout
_PLANAR = {
    (1, 1): "yuv420p",
    (1, 0): "yuv422p",
    (0, 0): "yuv444p",
    (2, 0): "yuv411p",
    (2, 2): "yuv410p",
}

Image = npt.NDArray[np.uint8]


@functools.cache
def _matrices(space: int, limited: bool) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the affine maps `[3, 4]` RGB -> YUV and YUV -> RGB on 8-bit values."""
    kr, kb = _LUMA_WEIGHTS[space]
    luma = np.array([kr, 1.0 - kr - kb, kb])
    blue = (np.array([0.0, 0.0, 1.0]) - luma) / (2.0 * (1.0 - kb))
    red = (np.array([1.0, 0.0, 0.0]) - luma) / (2.0 * (1.0 - kr))
    scale = np.array([219.0, 224.0, 224.0]) / 255.0 if limited else np.ones(3)
    linear = scale[:, None] * np.stack([luma, blue, red])
    offset = np.array([16.0 if limited else 0.0, 128.0, 128.0])
    inverse = np.linalg.inv(linear)
    forward = np.hstack([linear, offset[:, None]]).astype(np.float32)
    backward = np.hstack([inverse, -(inverse @ offset)[:, None]]).astype(np.float32)
    return forward, backward


LUMA_UNIT = 256  # of luma as `FrameSplitter` gives it: 256ths of an 8-bit level
_LUMA_BITS, _CHROMA_BITS = 14, 16


def _fixed(row: int, bits: int, columns: slice = slice(3)) -> list[int]:
    """Return BT.709's weights of one plane as whole numbers, red, green, blue."""
    weights = np.rint(_matrices(_BT709, True)[0][row, columns].astype(np.float64) * (1 << bits))
    return [int(weight) for weight in weights]


_Y = _fixed(0, _LUMA_BITS)
_U, _V = _fixed(1, _CHROMA_BITS - 2), _fixed(2, _CHROMA_BITS - 2)  # of the sum of four pixels
_Y_RED, _Y_GREEN, _Y_BLUE = _Y
_U_RED, _U_GREEN, _U_BLUE = _U
_V_RED, _V_GREEN, _V_BLUE = _V
_BLACK = (16 << _LUMA_BITS) + (1 << (_LUMA_BITS - 9))
_DOWN = _LUMA_BITS - 8
_GREY = (128 << _CHROMA_BITS) + (1 << (_CHROMA_BITS - 1))


@numba.njit(cache=True, nogil=True, boundscheck=False)  # type: ignore[untyped-decorator]
def _split(
    red: Image,
    green: Image,
    blue: Image,
    luma: npt.NDArray[np.uint16],
    u: Image,
    v: Image,
) -> None:
    height, width = red.shape
    for y in range(height):
        for x in range(width):
            luma[y, x] = np.uint16(
                (
                    np.int32(red[y, x]) * np.int32(_Y_RED)
                    + np.int32(green[y, x]) * np.int32(_Y_GREEN)
                    + np.int32(blue[y, x]) * np.int32(_Y_BLUE)
                    + np.int32(_BLACK)
                )
                >> np.int32(_DOWN)
            )
    for y in range(height // 2):
        r0, r1, g0, g1 = red[2 * y], red[2 * y + 1], green[2 * y], green[2 * y + 1]
        b0, b1 = blue[2 * y], blue[2 * y + 1]
        for x in range(width // 2):
            i, j = 2 * x, 2 * x + 1
            r = np.int32(r0[i]) + np.int32(r0[j]) + np.int32(r1[i]) + np.int32(r1[j])
            g = np.int32(g0[i]) + np.int32(g0[j]) + np.int32(g1[i]) + np.int32(g1[j])
            b = np.int32(b0[i]) + np.int32(b0[j]) + np.int32(b1[i]) + np.int32(b1[j])
            u[y, x] = np.uint8(
                (
                    np.int32(_U_RED) * r
                    + np.int32(_U_GREEN) * g
                    + np.int32(_U_BLUE) * b
                    + np.int32(_GREY)
                )
                >> np.int32(_CHROMA_BITS)
            )
            v[y, x] = np.uint8(
                (
                    np.int32(_V_RED) * r
                    + np.int32(_V_GREEN) * g
                    + np.int32(_V_BLUE) * b
                    + np.int32(_GREY)
                )
                >> np.int32(_CHROMA_BITS)
            )


def planes_of(picture: Image) -> tuple[Image, Image, Image]:
    """Return views of the Y, U and V in an I420 picture `[H * 3 / 2, W]`."""
    width = picture.shape[1]
    height = picture.shape[0] * 2 // 3
    chroma = picture[height:].reshape(2, height // 2, width // 2)
    return picture[:height], chroma[0], chroma[1]


class FrameSplitter:
    """Converts RGB frames of one size to BT.709 limited-range I420, in buffers that it keeps:
    fresh ones for every frame would cost more than the work.
    """

    def __init__(self, width: int, height: int) -> None:
        self.luma = np.empty((height, width), np.uint16)  # of the last frame, in 256ths of a level
        self._channels = [np.empty((height, width), np.uint8) for _ in range(3)]

    def split(self, image: Image, picture: Image) -> None:
        """Convert RGB `[H, W, 3]`, H and W even: chroma, each the mean of four pixels, goes into
        the I420 `picture`; luma stays in `luma`, not rounded yet.
        """
        _, u, v = planes_of(picture)
        red, green, blue = cv2.split(image, self._channels)
        _split(red, green, blue, self.luma, u, v)

    def convert(self, image: Image, out: Image | None = None) -> Image:
        """Return RGB `[H, W, 3]` as I420, `[H * 3 / 2, W]`."""
        height, width = self.luma.shape
        picture = np.empty((height * 3 // 2, width), np.uint8) if out is None else out
        self.split(image, picture)
        _rounded(self.luma, picture[:height])
        return picture


def rgb_to_yuv420(image: Image) -> Image:
    """Convert RGB `[H, W, 3]`, H and W even, to BT.709 limited-range I420, `[H * 3 / 2, W]`."""
    height, width = image.shape[:2]
    return FrameSplitter(width, height).convert(image)


@numba.njit(cache=True, nogil=True, boundscheck=False)  # type: ignore[untyped-decorator]
def _rounded(luma: npt.NDArray[np.uint16], out: Image) -> None:
    for y in range(luma.shape[0]):
        for x in range(luma.shape[1]):
            out[y, x] = np.uint8((np.int32(luma[y, x]) + np.int32(LUMA_UNIT // 2)) // LUMA_UNIT)


def _resized(plane: Image, width: int, height: int, enlarge: int) -> Image:
    if plane.shape[:2] == (height, width):
        return plane
    shrinks = width <= plane.shape[1] and height <= plane.shape[0]
    resized = cv2.resize(
        plane, (width, height), interpolation=cv2.INTER_AREA if shrinks else enlarge
    )
    return np.asarray(resized, np.uint8)


def _plane(frame: Any, index: int) -> Image:
    plane = frame.planes[index]
    samples = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return samples[: plane.height, : plane.width]


class FrameConverter:
    """Turns decoded frames of any pixel format into RGB of a wanted size."""

    def __init__(self) -> None:
        self._reformatter: Any = VideoReformatter()

    def _converted(self, frame: Any, name: str, flags: int) -> Any:
        """Change layout and depth alone: the same matrix and range on both sides."""
        if frame.format.name == name:
            return frame
        colour_range = ColorRange.JPEG if frame.color_range == _FULL else ColorRange.MPEG
        rgb = name.startswith("rgb")
        return self._reformatter.reformat(
            frame,
            format=name,
            src_colorspace=Colorspace.ITU709 if not rgb else _swscale_space(frame),
            dst_colorspace=Colorspace.ITU709 if not rgb else None,
            src_color_range=colour_range,
            dst_color_range=ColorRange.JPEG if rgb else colour_range,
            interpolation=flags,
            threads=1,
        )

    def to_rgb(self, frame: Any, width: int, height: int) -> Image:
        """Return a frame as RGB `[height, width, 3]`, transparency laid over white."""
        layout = frame.format
        components = layout.components
        if layout.name == "pal8" or any(component.is_alpha for component in components):
            rgba = self._converted(frame, "rgba", _ACCURATE)
            return _resized(_over_white(_packed(rgba, 4)), width, height, cv2.INTER_CUBIC)
        if layout.is_rgb or layout.name == "xyz12le" or layout.name.startswith("bayer"):
            return _resized(
                _packed(self._converted(frame, "rgb24", _ACCURATE), 3),
                width,
                height,
                cv2.INTER_CUBIC,
            )
        if len(components) < 3:
            grey = _resized(self._grey(frame), width, height, cv2.INTER_CUBIC)
            return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)
        return self._planar_to_rgb(frame, width, height)

    def _grey(self, frame: Any) -> Image:
        # swscale takes every grey picture for full range; a tag that says limited is believed here.
        limited = frame.color_range == _LIMITED
        grey = _plane(self._converted(frame, "gray", _ACCURATE), 0)
        if limited:
            return np.asarray(
                cv2.convertScaleAbs(cv2.subtract(grey, np.full(1, 16.0)), alpha=255 / 219), np.uint8
            )
        return grey

    def _planar_to_rgb(self, frame: Any, width: int, height: int) -> Image:
        space = _space(frame)  # before any conversion, which would put its own tag
        full = frame.color_range == _FULL or frame.format.name.startswith("yuvj")
        name = _PLANAR.get(_subsampling(frame), "yuv444p")
        if frame.format.name not in (name, name.replace("yuv", "yuvj")):
            frame = self._converted(frame, name, _ACCURATE)
        y = _resized(_plane(frame, 0), width, height, cv2.INTER_CUBIC)
        u = _resized(_plane(frame, 1), width, height, cv2.INTER_LINEAR)
        v = _resized(_plane(frame, 2), width, height, cv2.INTER_LINEAR)
        rgb = cv2.transform(cv2.merge((y, u, v)), _matrices(space, not full)[1])
        return np.asarray(rgb, np.uint8)


def _subsampling(frame: Any) -> tuple[int, int]:
    """Return the log2 of how many luma samples share a chroma sample, across and down."""
    chroma = frame.format.components[1]
    across = round(np.log2(frame.width / chroma.width)) if chroma.width else 0
    down = round(np.log2(frame.height / chroma.height)) if chroma.height else 0
    return int(across), int(down)


def _space(frame: Any) -> int:
    space = int(frame.colorspace)
    if space in _LUMA_WEIGHTS:
        return space
    return _BT709 if frame.height >= _HD_HEIGHT_PX else _BT601


def _swscale_space(frame: Any) -> Colorspace:
    names = {
        1: Colorspace.ITU709,
        7: Colorspace.SMPTE240M,
        9: Colorspace.BT2020,
        10: Colorspace.BT2020,
    }
    return names.get(_space(frame), Colorspace.ITU601)


def _packed(frame: Any, channels: int) -> Image:
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height]
    return np.ascontiguousarray(rows[:, : frame.width * channels]).reshape(
        frame.height, frame.width, channels
    )


def _over_white(rgba: Image) -> Image:
    alpha = rgba[..., 3:].astype(np.uint16)
    # 255 + a (c - 255) / 255, rounded
    mixed = 255 - ((255 - rgba[..., :3].astype(np.uint16)) * alpha + 127) // 255
    return mixed.astype(np.uint8)
