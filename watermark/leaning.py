"""From a coarse fix to a fine one: a picture on the torus' plane is bent until it agrees best.

It is sampled at the synchronisation chips alone, some thousand, which takes microseconds where a
search by FFT takes milliseconds.

A perspective of some hundredths is nearly a turn and a scale in the middle of the picture, so that
the middle alone can be found as any picture is. From there the fit grows: a homography is bent
until the chips in a window agree best, the window is widened, and so on to the rim.
"""

import dataclasses
from collections.abc import Iterable

import numba
import numpy as np
import numpy.typing as npt

from obverse.watermark.carriers import GRID, Carriers
from obverse.watermark.geometry import Geometry, Matrix
from obverse.watermark.pool import POOL_PX, Image

__all__ = ["fitted", "middle_of"]

# Of the short side of the torus: what is looked at first. What lies within leans by a pixel or two.
_MIDDLE = 0.5
_SOFT = 0.1  # of half a side, over which the middle fades out
_WINDOWS = (0.0, 0.3, 0.6, 1.0)  # of the way from the middle to the rim
_STEPS_PX = (1.0, 0.5, 0.25)  # by which a window's rim is moved, a fraction of the pulse's width
_SWEEPS = 8  # over all moves, for each step


def share_of_middle(scale: float) -> float:
    """Return which share of its sides the middle of a picture has whose short side spans a share
    `scale` of the torus.
    """
    return min(1.0, _MIDDLE / scale)


def middle_of(image: Image, scale: float) -> Image:
    """Return a picture that fades to nothing outside its middle, see `share_of_middle`."""
    share = share_of_middle(scale)

    def faded(size: int) -> npt.NDArray[np.float32]:
        place = np.abs(np.linspace(-1, 1, size, dtype=np.float32))
        return np.clip((share + _SOFT - place) / _SOFT, 0, 1)

    height, width = image.shape
    return np.asarray(image * faded(height)[:, None] * faded(width)[None], np.float32)


@numba.njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def _agreement(
    plane: npt.NDArray[np.float32],
    chips: npt.NDArray[np.float32],
    bend: npt.NDArray[np.float64],
) -> float:
    """Return the sum of what lies on signed chips [N, 3] (x and y from the middle, sign) after a
    homography."""
    rows, columns = plane.shape
    total = 0.0
    for index in range(chips.shape[0]):
        x, y = chips[index, 0], chips[index, 1]
        under = bend[2, 0] * x + bend[2, 1] * y + 1.0
        right = (bend[0, 0] * x + bend[0, 1] * y + bend[0, 2]) / under + columns * 0.5
        down = (bend[1, 0] * x + bend[1, 1] * y + bend[1, 2]) / under + rows * 0.5
        column, row = int(np.floor(right)), int(np.floor(down))
        if row < 0 or column < 0 or row + 1 >= rows or column + 1 >= columns:
            continue
        across, below = right - column, down - row
        above = (1 - across) * plane[row, column] + across * plane[row, column + 1]
        under_it = (1 - across) * plane[row + 1, column] + across * plane[row + 1, column + 1]
        total += chips[index, 2] * ((1 - below) * above + below * under_it)
    return total


def _signed(
    shape: tuple[int, ...], offset: tuple[float, float], keyed: Carriers
) -> npt.NDArray[np.float32]:
    """Return where the synchronisation chips lie on a plane of whole tori, [N, 3]: x and y from its
    middle, in pixels, and the sign."""
    rows, columns = shape
    step = POOL_PX // GRID
    down = (keyed.sync // GRID * step + offset[0]) % POOL_PX
    right = (keyed.sync % GRID * step + offset[1]) % POOL_PX
    tiles = [
        np.stack([right + left - columns / 2, down + top - rows / 2, keyed.sign[keyed.sync]], 1)
        for top in range(0, rows, POOL_PX)
        for left in range(0, columns, POOL_PX)
    ]
    return np.concatenate(tiles).astype(np.float32)


def fitted(
    plane: Image,
    to_plane: Matrix,
    shape: tuple[int, ...],
    start: Geometry,
    offset: tuple[float, float],
    keyed: Carriers,
    *,
    leaning: bool,
) -> Geometry:
    """Bend a fix until the whole picture agrees.

    Args:
        plane: the picture on the torus' plane, as `laid` gives it, band-passed.
        to_plane: from the picture's pixels to the plane's.
        shape: of the picture.
        start: by which it was laid.
        offset: of the torus' origin, row and column.
        keyed: whose synchronisation chips to look for.
        leaning: whether `start` holds in the picture's middle alone, and right angles may bend;
            else it is nearly right all over, and no more than scales and turn are to be mended.

    Returns:
        The point of the lattice nearest to what fits best; it may not be `allowed`.
    """
    chips = _signed(plane.shape, offset, keyed)
    height, width = shape
    # Half of the picture's sides as they lie on the plane, a little turn left out.
    reach = np.array([width / 2, height / 2]) * start.scale
    bend = np.eye(3)
    middle = share_of_middle(min(start.scale)) if leaning else 1.0
    for way in _WINDOWS if middle < 1.0 else _WINDOWS[-1:]:
        rim = (middle + (1 - middle) * way) * reach
        inside = (np.abs(chips[:, :2]) <= rim).all(axis=1)
        moves = _bends(rim) if leaning else _stretches(rim, start)
        bend = _bent(plane, np.ascontiguousarray(chips[inside]), bend, moves)
    rows, columns = plane.shape
    centred = np.array([[1, 0, -columns / 2], [0, 1, -rows / 2], [0, 0, 1.0]])
    from_middle = np.array([[1, 0, width / 2], [0, 1, height / 2], [0, 0, 1.0]])
    found = Geometry.nearest(
        np.linalg.inv(bend) @ centred @ to_plane @ from_middle, mirrored=start.mirrored
    )
    return found if leaning else dataclasses.replace(found, skew=0, lean_right=0, lean_down=0)


def _moves(places: Iterable[tuple[int, int]], sizes: Iterable[float]) -> list[Matrix]:
    moves = []
    for place, size in zip(places, sizes, strict=True):
        move = np.zeros((3, 3))
        move[place] = size
        moves.append(move)
    return moves


_SHIFTS = _moves([(0, 2), (1, 2)], [1, 1])


def _bends(rim: npt.NDArray[np.float64]) -> list[Matrix]:
    """Return the eight changes of a homography, each moving the rim by one pixel."""
    wide, tall = 1 / rim
    least = 1 / float(max(rim))
    linear = _moves([(0, 0), (0, 1), (1, 0), (1, 1)], [wide, tall, wide, tall])
    return [*_SHIFTS, *linear, *_moves([(2, 0), (2, 1)], [wide * least, tall * least])]


def _stretches(rim: npt.NDArray[np.float64], start: Geometry) -> list[Matrix]:
    """Return the changes of offset, scales and turn, each moving the rim by one pixel."""
    turn = np.eye(3)
    turn[:2, :2] = start.matrix()[:2, :2] / start.scale  # of the plane: the picture's axes
    wide, tall = 1 / rim
    along, down = _moves([(0, 0), (1, 1)], [wide, tall])
    least = 1 / float(max(rim))
    turning = _moves([(0, 1)], [-least])[0] + _moves([(1, 0)], [least])[0]
    return [*_SHIFTS, turn @ along @ turn.T, turn @ down @ turn.T, turning]


def _bent(
    plane: Image, chips: npt.NDArray[np.float32], bend: Matrix, moves: Iterable[Matrix]
) -> Matrix:
    """Change a homography, one move after the other, while that makes chips agree better."""
    moves = [sign * move for move in moves for sign in (1, -1)]
    top = _agreement(plane, chips, bend)
    for step in _STEPS_PX:
        for _ in range(_SWEEPS):
            improved = False
            for move in moves:
                trial = bend + step * move
                if (value := _agreement(plane, chips, trial)) > top:
                    bend, top, improved = trial, value, True
            if not improved:
                break
    return bend
