"""Eyes that turn: a patch of the still's own pixels behind the lids, in which the iris slides.

The iris keeps its shape and the white beside it is stretched or squeezed; nothing is painted. What
a lid hides in the still is never fetched: samples are held inside the opening, a little away from
the lashes.
"""

import dataclasses

import numpy as np
import numpy.typing as npt

from obverse.generator.contours import EYE_LOWER, EYE_UPPER, IRIS
from obverse.generator.portrait import Portrait

__all__ = ["EyePatch", "make_eye"]

FloatArray = npt.NDArray[np.float32]

_COLUMNS, _ROWS = 17, 9
_BEYOND = 0.6  # of the opening's height that the patch goes on behind each lid
_ASIDE = 0.12  # of its width that it goes on behind each corner: it lies deeper than they do
_INSET = 0.16  # of the opening's height kept away from lashes and the wet edge when sampling
# Iris radii from the iris's centre: up to here it slides whole, from here nothing moves.
_RIGID, _FIXED = 1.05, 2.6


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class EyePatch:
    """One eye of a still. Positions are picture pixels, on a grid of `V` points from the upper
    left.
    """

    rest: FloatArray  # [V, 3] where the patch lies
    triangles: npt.NDArray[np.int32]  # [F, 3]
    slides: FloatArray  # [V] share of the iris's shift at each point
    upper: FloatArray  # [V] y of the highest pixel that may be fetched for each point
    lower: FloatArray  # [V]
    radius_px: float  # of the iris

    def texture(self, shift: npt.NDArray[np.floating]) -> FloatArray:
        """Return where to fetch each point [V, 2] in the still once the iris has moved by `shift`
        [2] px.
        """
        fetched = self.rest[:, :2] - self.slides[:, None] * np.asarray(shift, np.float32)
        fetched[:, 1] = np.clip(fetched[:, 1], self.upper, self.lower)
        return fetched


def make_eye(portrait: Portrait, side: str, depth_px: float) -> EyePatch:
    """Make the patch behind one eye's lids (the sitter's `left` or `right`), `depth_px` away."""
    points = portrait.landmarks[:, :2]
    upper, lower = points[list(EYE_UPPER[side])], points[list(EYE_LOWER[side])]
    centre = points[IRIS[side][0]]
    radius = float(np.linalg.norm(points[list(IRIS[side][1:])] - centre, axis=1).mean())
    aside = _ASIDE * float(upper[-1, 0] - upper[0, 0])
    x = np.linspace(upper[0, 0] - aside, upper[-1, 0] + aside, _COLUMNS)
    top = np.interp(x, upper[:, 0], upper[:, 1])
    bottom = np.maximum(np.interp(x, lower[:, 0], lower[:, 1]), top)
    tall = bottom - top
    steps = np.linspace(-_BEYOND, 1 + _BEYOND, _ROWS)[:, None]
    reach = np.maximum(tall, 0.25 * tall.max())
    y = top + steps * tall + np.where(steps < 0.5, -1, 1) * 0.3 * (reach - tall)
    columns = np.broadcast_to(x, y.shape)
    distance = np.abs(columns - centre[0]) / max(radius, 1e-3)
    ramp = np.clip((_FIXED - distance) / (_FIXED - _RIGID), 0, 1)
    # The corners never move: they belong to the lids.
    from_corner = np.clip(
        np.minimum(columns - upper[0, 0], upper[-1, 0] - columns) / max(0.6 * radius, 1e-3), 0, 1
    )
    slides = ramp * ramp * (3 - 2 * ramp) * from_corner
    rest = np.stack([columns, y, np.full(y.shape, depth_px)], -1).reshape(-1, 3)
    flat = np.arange(_ROWS * _COLUMNS, dtype=np.int32).reshape(_ROWS, _COLUMNS)
    corner = flat[:-1, :-1].ravel()
    triangles = np.concatenate(
        [
            np.stack([corner, corner + 1, corner + _COLUMNS], 1),
            np.stack([corner + 1, corner + _COLUMNS + 1, corner + _COLUMNS], 1),
        ]
    )
    return EyePatch(
        rest=rest.astype(np.float32),
        triangles=triangles.astype(np.int32),
        slides=slides.ravel().astype(np.float32),
        # A point beyond a limit at rest may stay there: an eye that looks straight ahead is the
        # still's own.
        upper=np.minimum(y, top + _INSET * tall).ravel().astype(np.float32),
        lower=np.maximum(y, bottom - _INSET * tall).ravel().astype(np.float32),
        radius_px=radius,
    )
