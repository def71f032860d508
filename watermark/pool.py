"""All frames of a clip as one picture in which the mark has added up and the content has not.

Each frame's luma is high-passed and divided by a power of its local energy, so that no hair or edge
outvotes a cheek: the best weight of a place is the mark's strength there over the noise's variance,
and the powers below come nearest to it over codecs from CRF 28 to 40. The mark is the same in every
frame and adds up; moving content does not. The mean is evened out again, more mildly, which takes
care of content that stood still.
"""

import cv2
import numpy as np
import numpy.typing as npt

from obverse.errors import InputError

__all__ = ["POOL_PX", "Pool"]

POOL_PX = (
    256  # short side of the pooled picture: two mark pixels each, which holds the mark's whole band
)
_BLUR_PX = 1.2  # standard deviation of what the high-pass takes away
_FRAME_WINDOW_PX = 5  # local energy of a frame
_FRAME_FLOOR = 0.5  # grey levels: energy below this is noise
_MEAN_WINDOW_PX = 11  # local energy of the mean
_MEAN_FLOOR = 0.1  # of the mean's own energy
_CLIP = 9.0  # standard deviations of the pooled picture
_SIDE_MIN_PX = 32
_ASPECT_MAX = 4.0

Image = npt.NDArray[np.float32]


def _energy(detail: Image, window: int) -> Image:
    power = cv2.blur(cv2.multiply(detail, detail), (window, window))
    # The blur's running sums end a little below zero where the picture is perfectly flat.
    return np.asarray(cv2.sqrt(cv2.max(power, 0.0)), np.float32)


def _weighed(small: Image) -> Image:
    """Return a frame's luma, high-passed, over the local energy to the power of 3/2."""
    detail = cv2.subtract(small, cv2.GaussianBlur(small, (0, 0), _BLUR_PX))
    energy = cv2.add(_energy(detail, _FRAME_WINDOW_PX), _FRAME_FLOOR)
    return np.asarray(cv2.divide(detail, cv2.multiply(energy, cv2.sqrt(energy))), np.float32)


def _evened(mean: Image) -> Image:
    """Return the mean of weighed frames over the root of its local energy, variance 1."""
    energy = _energy(mean, _MEAN_WINDOW_PX)
    whole = float(cv2.norm(mean)) / max(1.0, mean.size**0.5)
    even = cv2.divide(mean, cv2.sqrt(cv2.add(energy, _MEAN_FLOOR * whole + 1e-12)))
    deviation = float(cv2.norm(even)) / max(1.0, even.size**0.5)
    return np.asarray(np.clip(even / max(deviation, 1e-12), -_CLIP, _CLIP), np.float32)


class Pool:
    """Adds frames up; `image` is their pooled picture."""

    def __init__(self) -> None:
        self.frames = 0
        self._sum: Image | None = None
        self._shape: tuple[int, int] | None = None

    def add(self, frame: npt.NDArray[np.uint8]) -> None:
        """Add a frame `[H, W, 3] uint8 RGB`; all frames of a clip have one size.

        Raises:
            InputError: the frame is too small or too narrow to hold a mark, or not of the first
            frame's size.
        """
        height, width = frame.shape[:2]
        if self._sum is None:
            short, long = min(height, width), max(height, width)
            if short < _SIDE_MIN_PX or long > _ASPECT_MAX * short:
                raise InputError(
                    f"a frame of {width}x{height} pixels cannot be read for a mark; "
                    f"its short side must be {_SIDE_MIN_PX} or more and its long side at most "
                    f"{_ASPECT_MAX:g} times that."
                )
            scale = POOL_PX / short
            self._sum = np.zeros((round(height * scale), round(width * scale)), np.float32)
            self._shape = (height, width)
        elif self._shape != (height, width):
            raise InputError(f"a frame of {width}x{height} pixels follows frames of another size.")
        luma = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        shrinks = min(height, width) > POOL_PX
        # Floats: a mark that went through a coarse quantiser is fainter than one grey level.
        small = cv2.resize(
            luma.astype(np.float32),
            self._sum.shape[::-1],
            interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC,
        )
        cv2.add(self._sum, _weighed(small), dst=self._sum)
        self.frames += 1

    @property
    def image(self) -> Image:
        """The pooled picture, short side 256, mean about 0 and variance 1.

        Raises:
            InputError: no frame was added.
        """
        if self._sum is None:
            raise InputError("there are no frames to look for a mark in.")
        return _evened(self._sum / np.float32(self.frames))
