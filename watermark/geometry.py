"""How a picture may have been stretched, turned, leant and mirrored since it was marked.

Geometries are points of a fixed lattice, and offsets are quarters of a sample. The number of
hypotheses that the search could ever look at is therefore finite and known, `hypotheses`: the
p-values of `obverse.watermark.extract` rest on it and not on the number that happened to be tried.
"""

import dataclasses
import math
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from obverse.watermark.pool import POOL_PX, Image

__all__ = [
    "CLASSES",
    "LARGE_PX",
    "SIZES",
    "TURN_UNITS",
    "UNIT",
    "Geometry",
    "hypotheses",
    "laid",
    "laid_share",
    "plane_of",
    "size_for",
    "softening",
]

UNIT = 1e-3  # of the lattice: natural logarithm of a scale, radians, shares
# Logarithms of the share of the torus that the short side of a picture spans when it is marked: 1
# and .7. A small picture gets a larger mark: what outlives a coarse quantiser is counted in pixels
# and not in shares of the picture. A still smaller share would leave a crop too few chips.
SIZES = (0, -357)
LARGE_PX = 600  # short side from which on a picture spans the whole torus
_SCALE_UNITS = 1400  # scales from a quarter to four
TURN_UNITS = 260  # up to 15 degrees either way
_SKEW_UNITS = 100
_LEAN_UNITS = 150
_SHRINKS = 0.8  # by less no harm is done
_REACH_PX = POOL_PX / 2  # half the short side of a pooled picture

_OFFSETS = (4 * POOL_PX) ** 2
_PLAIN = 2 * len(SIZES) * _OFFSETS  # the picture as it is, and mirrored
_EVEN = (2 * _SCALE_UNITS + 1) ** 2 * (2 * TURN_UNITS + 1) * 2 * _OFFSETS
_LEANING = _EVEN * (2 * _SKEW_UNITS + 1) * (2 * _LEAN_UNITS + 1) ** 2
CLASSES = 3  # plain, even and leaning ones

Matrix = npt.NDArray[np.float64]


def size_for(width: int, height: int) -> int:
    """Return which of `SIZES` suits a picture of so many pixels."""
    return SIZES[0] if min(width, height) >= LARGE_PX else SIZES[1]


def laid_share(width: int, height: int) -> float:
    """Return the share of the torus that the short side of a picture spans when it is marked."""
    return math.exp(size_for(width, height) * UNIT)


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Geometry:
    """How the picture is laid on the torus, in units of the lattice."""

    log_width: int = 0  # 1000 times the logarithm of the factor by which its width is stretched
    log_height: int = 0
    turn: int = 0  # thousandths of a radian, clockwise as seen
    mirrored: bool = False  # left to right, before anything else
    skew: int = 0  # thousandths of its height by which a picture's foot stands right of its head
    # Thousandths by which the picture is drawn smaller half a short side right of its middle, and
    # below it: it was seen from aside, or from above.
    lean_right: int = 0
    lean_down: int = 0

    @property
    def scale(self) -> tuple[float, float]:
        """Shares of the torus' side that the short side of the picture spans (horizontal,
        vertical); smaller than when it was marked where the clip was cropped.
        """
        return math.exp(self.log_width * UNIT), math.exp(self.log_height * UNIT)

    @property
    def degrees(self) -> float:
        """Clockwise turn in degrees."""
        return math.degrees(self.turn * UNIT)

    @property
    def leaning(self) -> bool:
        """Whether right angles are right no more."""
        return bool(self.skew or self.lean_right or self.lean_down)

    @property
    def plain(self) -> bool:
        """Whether the picture lies as it was marked, or mirrored and no more."""
        square = self.log_width == self.log_height and self.log_width in SIZES
        return square and not self.turn and not self.leaning

    @property
    def allowed(self) -> bool:
        """Whether the point belongs to the lattice."""
        return (
            max(abs(self.log_width), abs(self.log_height)) <= _SCALE_UNITS
            and abs(self.turn) <= TURN_UNITS
            and abs(self.skew) <= _SKEW_UNITS
            and max(abs(self.lean_right), abs(self.lean_down)) <= _LEAN_UNITS
        )

    def matrix(self) -> Matrix:
        """Return the homography [3, 3] that takes the picture's (x, y), from its middle and in
        pooled pixels, to the torus.
        """
        cosine, sine = math.cos(self.turn * UNIT), math.sin(self.turn * UNIT)
        skewed = np.array([[1.0, self.skew * UNIT], [0.0, 1.0]]) @ np.diag(self.scale)
        matrix = np.eye(3)
        matrix[:2, :2] = np.array([[cosine, -sine], [sine, cosine]]) @ skewed
        matrix[2, :2] = np.array([self.lean_right, self.lean_down]) * (UNIT / _REACH_PX)
        return matrix

    @classmethod
    def nearest(cls, matrix: Matrix, *, mirrored: bool) -> Self:
        """Return the point of the lattice nearest to a homography as of `matrix`, any shift of the
        torus left out; it may lie outside what is `allowed`.
        """
        matrix = matrix / matrix[2, 2]
        lean = matrix[2, :2]
        linear = matrix[:2, :2] - np.outer(matrix[:2, 2], lean)
        turn = math.atan2(linear[1, 0], linear[0, 0])
        cosine, sine = math.cos(turn), math.sin(turn)
        upper = np.array([[cosine, sine], [-sine, cosine]]) @ linear
        if not (upper[0, 0] > 0 and upper[1, 1] > 0):
            return cls(_SCALE_UNITS + 1, mirrored=mirrored)  # turned inside out: not allowed
        return cls(
            round(math.log(upper[0, 0]) / UNIT),
            round(math.log(upper[1, 1]) / UNIT),
            round(turn / UNIT),
            mirrored,
            round(upper[0, 1] / upper[1, 1] / UNIT),
            round(lean[0] * _REACH_PX / UNIT),
            round(lean[1] * _REACH_PX / UNIT),
        )


def hypotheses(geometry: Geometry) -> int:
    """Return how many alignments a geometry competes with: those of its own class.

    A picture as it is thus needs a smaller z than one found by a long search. The three classes
    share the chance of a false accept evenly.
    """
    if geometry.leaning:
        return _LEANING
    return _PLAIN if geometry.plain else _EVEN


def plane_of(
    shape: tuple[int, ...], geometry: Geometry, side: int
) -> tuple[tuple[int, int], Matrix]:
    """Return the size (columns, rows), whole tori of `side` samples, of the plane on which a
    picture of a shape (height, width) comes to lie, and the homography [3, 3] from the picture's
    pixels to the plane's.
    """
    height, width = shape
    resample = side / POOL_PX
    middle = np.array([width / 2, height / 2])
    matrix = np.diag([resample, resample, 1.0]) @ geometry.matrix()
    if geometry.leaning:
        corners = np.array([[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]]) * [*middle, 1.0]
        seen = corners @ matrix.T
        seen = seen[:, :2] / seen[:, 2:]
        least, most = seen.min(axis=0), seen.max(axis=0)
        reach, centre = most - least, (most + least) / 2
    else:
        reach, centre = np.abs(matrix[:2, :2]) @ (width, height), np.zeros(2)
    columns, rows = (side * max(1, math.ceil(extent / side - 1e-6)) for extent in reach)
    to_picture = np.array([[1, 0, -middle[0]], [0, 1, -middle[1]], [0, 0, 1.0]])
    moved = matrix @ to_picture
    # Whole pixels, so that a picture that is not stretched is not resampled either; the offset is
    # found blind.
    wanted = np.array([columns / 2, rows / 2]) - centre
    shift = np.round(wanted + moved[:2, 2]) - moved[:2, 2]
    return (columns, rows), np.array([[1, 0, shift[0]], [0, 1, shift[1]], [0, 0, 1.0]]) @ moved


def softening(scale: float) -> float:
    """Return the deviation, in its pixels, of the blur that a picture needs before it is sampled
    `scale` times as large: what is finer than the samples would come back as noise in the mark's
    band. 0 where there is no harm.
    """
    return 0.5 * math.sqrt(1 / scale**2 - 1) if scale < _SHRINKS else 0.0


def laid(image: Image, geometry: Geometry, side: int) -> tuple[Image, Matrix]:
    """Return a picture as it lies on the plane that the torus of `side` samples tiles, and the
    homography from the picture's pixels to that plane's, see `plane_of`.

    The mirror image is the caller's to make.
    """
    size, moved = plane_of(image.shape, geometry, side)
    if blur_px := softening(side / POOL_PX * math.sqrt(math.prod(geometry.scale))):
        image = cv2.GaussianBlur(image, (0, 0), blur_px)
    warp = cv2.warpPerspective if geometry.leaning else cv2.warpAffine
    whole = moved if geometry.leaning else moved[:2]
    canvas = warp(image, whole, size, flags=cv2.INTER_LINEAR)
    return np.asarray(canvas, np.float32), moved
