"""All frames of a clip as one picture in which the mark has added up and the content has not.

Each frame's luma is high-passed and divided by a power of its local energy, so that no hair or edge
outvotes a cheek: the best weight of a place is the mark's strength there over the noise's variance,
and the powers below come nearest to it over codecs from CRF 28 to 40. The mark is the same in every
frame and adds up; moving content does not. The mean is evened out again, more mildly, which takes
care of content that stood still.

A `Reader` may do that last step in another way, as the network of `obverse.watermark.learned` does.
It is given the means of more than the weighed luma, see `PLANES`. Whatever it does, it must not
know the key: the p-values of `obverse.watermark.extract` hold for any picture made without it.
"""

from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from obverse.errors import InputError

__all__ = ["PLANES", "POOL_PX", "Pool", "Reader"]

POOL_PX = (
    256  # short side of the pooled picture: two mark pixels each, which holds the mark's whole band
)
# What is averaged over the frames for a `Reader`: the weighed detail, the detail itself (luma less
# its blur, in grey levels), its square, and luma.
PLANES = ("weighed", "detail", "square", "luma")
_BLUR_PX = 1.2  # standard deviation of what the high-pass takes away
_FRAME_WINDOW_PX = 5  # local energy of a frame
_FRAME_FLOOR = 0.5  # grey levels: energy below this is noise
_MEAN_WINDOW_PX = 11  # local energy of the mean
_MEAN_FLOOR = 0.1  # of the mean's own energy
_CLIP = 9.0  # standard deviations of the pooled picture
_SIDE_MIN_PX = 32
_ASPECT_MAX = 4.0

Image = npt.NDArray[np.float32]


class Reader(Protocol):
    """Makes the pooled picture of the means of all frames."""

    def __call__(self, means: Image) -> Image:
        """Return a picture `[h, w]`, variance about 1, of means `[4, h, w]`, see `PLANES`."""
        ...


def _energy(detail: Image, window: int) -> Image:
    power = cv2.blur(cv2.multiply(detail, detail), (window, window))
    # The blur's running sums end a little below zero where the picture is perfectly flat.
    return np.asarray(cv2.sqrt(cv2.max(power, 0.0)), np.float32)


def _weighed(small: Image) -> tuple[Image, Image]:
    """Return a frame's luma, high-passed, over the local energy to the power of 3/2; and without
    that.
    """
    detail = cv2.subtract(small, cv2.GaussianBlur(small, (0, 0), _BLUR_PX))
    energy = cv2.add(_energy(detail, _FRAME_WINDOW_PX), _FRAME_FLOOR)
    weighed = cv2.divide(detail, cv2.multiply(energy, cv2.sqrt(energy)))
    return np.asarray(weighed, np.float32), np.asarray(detail, np.float32)


def _evened(mean: Image) -> Image:
    """Return the mean of weighed frames over the root of its local energy, variance 1."""
    energy = _energy(mean, _MEAN_WINDOW_PX)
    whole = float(cv2.norm(mean)) / max(1.0, mean.size**0.5)
    even = cv2.divide(mean, cv2.sqrt(cv2.add(energy, _MEAN_FLOOR * whole + 1e-12)))
    deviation = float(cv2.norm(even)) / max(1.0, even.size**0.5)
    return np.asarray(np.clip(even / max(deviation, 1e-12), -_CLIP, _CLIP), np.float32)


class Pool:
    """Adds frames up; `image` is their pooled picture."""

    def __init__(self, reader: Reader | None = None) -> None:
        self.frames = 0
        self._reader = reader
        self._sum: Image | None = None  # [1, h, w] of the weighed luma, or [4, h, w] of PLANES
        self._shape: tuple[int, int] | None = None

    def add(self, frame: npt.NDArray[np.uint8]) -> None:
        """Add a frame `[H, W, 3] uint8 RGB`; all frames of a clip have one size.

        Raises:
            InputError: the frame is too small or too narrow to hold a mark, or not of the first
            frame's size.
        """
        # Floats: a mark that went through a coarse quantiser is fainter than one grey level.
        self.add_luma(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32))

    def add_luma(self, luma: Image) -> None:
        """Add a frame's luma `[H, W]` in grey levels of 255, as `add` does.

        Raises:
            InputError: as of `add`.
        """
        height, width = luma.shape
        if self._sum is None:
            short, long = min(height, width), max(height, width)
            if short < _SIDE_MIN_PX or long > _ASPECT_MAX * short:
                raise InputError(
                    f"a frame of {width}x{height} pixels cannot be read for a mark; "
                    f"its short side must be {_SIDE_MIN_PX} or more and its long side at most "
                    f"{_ASPECT_MAX:g} times that."
                )
            scale = POOL_PX / short
            planes = 1 if self._reader is None else len(PLANES)
            size = (planes, round(height * scale), round(width * scale))
            self._sum = np.zeros(size, np.float32)
            self._shape = (height, width)
        elif self._shape != (height, width):
            raise InputError(f"a frame of {width}x{height} pixels follows frames of another size.")
        shrinks = min(height, width) > POOL_PX
        small = np.asarray(
            cv2.resize(
                luma,
                self._sum.shape[:0:-1],
                interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC,
            ),
            np.float32,
        )
        weighed, detail = _weighed(small)
        cv2.add(self._sum[0], weighed, dst=self._sum[0])
        if self._reader is not None:
            cv2.add(self._sum[1], detail, dst=self._sum[1])
            cv2.accumulateSquare(detail, self._sum[2])
            cv2.add(self._sum[3], small, dst=self._sum[3])
        self.frames += 1

    @property
    def means(self) -> Image:
        """The means of all frames, `[1, h, w]` or, for a reader, `[4, h, w]`, short side 256.

        Raises:
            InputError: no frame was added.
        """
        if self._sum is None:
            raise InputError("there are no frames to look for a mark in.")
        return np.asarray(self._sum / np.float32(self.frames), np.float32)

    @property
    def image(self) -> Image:
        """The pooled picture, short side 256, mean about 0 and variance 1.

        Raises:
            InputError: no frame was added.
        """
        return _evened(self.means[0]) if self._reader is None else self._reader(self.means)
