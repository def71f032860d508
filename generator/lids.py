"""Lids that are shut: skin and a lash line, painted once from the portrait's own colours.

A lid that falls shows skin that the still hides in its fold. The sheet can only stretch what lies
above the lashes, so over it goes a painted lid, the more the further the eye is shut: the colours
around the eye continued over it, and lashes as dark as the still's own along the line where the
lids meet.
"""

import dataclasses

import cv2
import numpy as np
import numpy.typing as npt

from obverse.generator.contours import EYE_LOWER, EYE_UPPER, LID_FOLD
from obverse.generator.fill import fill_unknown
from obverse.generator.fit import FittedHead
from obverse.generator.motion import expression_index
from obverse.generator.portrait import Portrait
from obverse.generator.relief import Relief

__all__ = ["Lid", "make_lid"]

FloatArray = npt.NDArray[np.float32]

_EYE_PX = 160  # an eye's width in the painting
_ASIDE, _ABOVE, _BELOW = 0.35, 0.75, 0.55  # eye widths around the corners
# Interocular distances.
_LASHES_ABOVE, _LASHES_BELOW = 0.050, 0.035  # of the opening that are not skin
_LINE = 0.011  # half thickness of the lash line
_OVERHANG = 0.06  # that lashes reach below it
_SLIT = 0.04  # lengths of the nose: an eye open less than this is shut in the still
_NOSE_BRIDGE, _NOSE_BASE = 168, 2
_HAIRS = 16
# Rows of the lid from its fold (0) to the lashes (1), and how much of the painting each shows.
_ROWS = ((0.0, 0.0), (0.3, 1.0), (0.65, 1.0), (1.0, 1.0))
_SHUT_FROM, _SHUT = 0.15, 0.75  # of the opening's height that is closed: the painting comes in
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Lid:
    """A painted upper lid, hung between vertices of the sheet."""

    paint: npt.NDArray[np.uint8]  # [H, W, 4] RGBA
    texture: FloatArray  # [V, 2] px in paint
    triangles: npt.NDArray[np.int32]  # [F, 3]
    fold: npt.NDArray[np.int32]  # [n] vertices of the sheet along the fold, with corners
    upper: npt.NDArray[np.int32]  # [n] along the lashes
    lower: npt.NDArray[np.int32]  # [n]
    height: float  # of the opening at rest, in lengths of the nose

    def drawn(
        self, sheet: FloatArray, down: FloatArray, interocular_px: float
    ) -> tuple[FloatArray, FloatArray] | None:
        """Return points [V, 3] and attributes [V, 3] (paint x and y, opacity), None for an open
        eye.

        Args:
            sheet: `[*, 3]` the sheet as drawn, px.
            down: `[2]` from brow to chin.
            interocular_px: in the sheet's pixels.
        """
        upper = sheet[self.upper]
        shut = 1 - _openness(sheet, self.upper, self.lower, down) / self.height
        shut = np.clip((shut - _SHUT_FROM) / (_SHUT - _SHUT_FROM), 0, 1)
        if shut <= 0:
            return None
        opacity = float(shut * shut * (3 - 2 * shut))
        fold = sheet[self.fold]
        rows = [fold + share * (upper - fold) for share, _ in _ROWS]
        overhang = upper.copy()
        overhang[:, :2] += down * np.float32(_OVERHANG * interocular_px)
        points = np.concatenate([*rows, overhang])
        shown = np.repeat([*(share for _, share in _ROWS), 1.0], len(upper)) * opacity
        return points, np.column_stack([self.texture, shown]).astype(np.float32)


def make_lid(portrait: Portrait, fitted: FittedHead, relief: Relief, side: str) -> Lid | None:
    """Paint the upper lid of an eye (the sitter's `left` or `right`); None where the still's is
    shut.
    """
    upper, lower = np.array(EYE_UPPER[side]), np.array(EYE_LOWER[side])
    fold = np.array(LID_FOLD[side])
    still = portrait.landmarks[:, :2]
    corner, other = still[upper[0]], still[upper[-1]]
    width = float(np.linalg.norm(other - corner))
    openness = _openness(relief.rest, upper, lower, relief.down)
    if width < 4 or openness < _SLIT:
        return None
    along = (other - corner) / width
    frame = np.stack([along, [-along[1], along[0]]])  # rows: along the eye, down
    factor = _EYE_PX / width
    size = (round((1 + 2 * _ASIDE) * _EYE_PX), round((_ABOVE + _BELOW) * _EYE_PX))
    shift = np.array([_ASIDE, _ABOVE]) * _EYE_PX

    def local(points: FloatArray) -> FloatArray:
        return np.asarray((points - corner) @ frame.T * factor + shift, np.float32)

    to_picture = np.column_stack([frame.T / factor, corner - frame.T @ shift / factor])
    crop = cv2.warpAffine(
        portrait.picture,
        to_picture,
        size,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    shut = relief.rest + relief.basis[expression_index(f"eyeBlink{side.title()}")]
    closed_fold, closed = local(shut[fold, :2]), local(shut[upper, :2])
    unit = fitted.scale_px * factor
    seed = int(portrait.source_sha256[:15], 16) + (side == "left")
    paint = _painted(crop, local(still[upper]), local(still[lower]), closed, unit, seed)
    rows = [closed_fold + share * (closed - closed_fold) for share, _ in _ROWS]
    texture = np.concatenate([*rows, closed + np.array([0, _OVERHANG * unit])])
    columns = len(upper)
    flat = np.arange(len(texture), dtype=np.int32).reshape(-1, columns)
    first = flat[:-1, :-1].ravel()
    triangles = np.concatenate(
        [
            np.stack([first, first + 1, first + columns], 1),
            np.stack([first + 1, first + columns + 1, first + columns], 1),
        ]
    )
    return Lid(
        paint=paint,
        texture=texture.astype(np.float32),
        triangles=triangles.astype(np.int32),
        fold=fold.astype(np.int32),
        upper=upper.astype(np.int32),
        lower=lower.astype(np.int32),
        height=openness,
    )


def _openness(
    points: FloatArray,
    upper: npt.NDArray[np.integer],
    lower: npt.NDArray[np.integer],
    down: FloatArray,
) -> float:
    """Return how far an eye is open, in lengths of the nose: a nod or a step back foreshortens
    both.
    """
    middle = slice(len(upper) // 2 - 1, len(upper) // 2 + 2)
    gap = float(((points[lower] - points[upper])[middle, :2] @ down).mean())
    nose = float((points[_NOSE_BASE, :2] - points[_NOSE_BRIDGE, :2]) @ down)
    return gap / max(nose, 1e-6)


def _painted(
    crop: npt.NDArray[np.uint8],
    upper: FloatArray,
    lower: FloatArray,
    closed: FloatArray,
    unit: float,
    seed: int,
) -> npt.NDArray[np.uint8]:
    """Return the closed lid [H, W, 4] RGBA in the place where the crop shows the eye.

    Args:
        crop: `[H, W, 3]` the still, the eye's corners level.
        upper: `[n, 2]` the open eye's upper contour, px of the crop.
        lower: `[n, 2]` its lower contour.
        closed: `[n, 2]` where both meet.
        unit: interocular distance, px of the crop.
        seed: of lashes and grain.
    """
    height, width = crop.shape[:2]
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    top = np.interp(x, upper[:, 0], upper[:, 1])
    bottom = np.interp(x, lower[:, 0], lower[:, 1])
    ahead = np.maximum(np.maximum(upper[0, 0] - x, x - upper[-1, 0]), 0) / (0.06 * unit)
    eye = (y > top - _LASHES_ABOVE * unit) & (y < bottom + _LASHES_BELOW * unit) & (ahead < 1)
    known = cv2.GaussianBlur((~eye).astype(np.float32), (0, 0), 2.0) * ~eye
    skin = fill_unknown(crop, np.maximum(known, 1e-6))
    # A lid is round: it catches the light between its fold and its edge.
    line = np.interp(x, closed[:, 0], closed[:, 1]).astype(np.float32)
    share = np.clip((y - top + 0.10 * unit) / np.maximum(line - top + 0.10 * unit, 1.0), 0, 1)
    rng = np.random.default_rng(seed)
    fine = crop - cv2.GaussianBlur(crop, (0, 0), 2.0).astype(np.float32)
    grain = cv2.GaussianBlur(rng.standard_normal((height, width)).astype(np.float32), (0, 0), 1.0)
    grain *= float(np.median(np.abs(fine[~eye]))) / max(float(grain.std()), 1e-6)
    painted = skin * (1 + 0.05 * np.sin(np.pi * share) * eye)[..., None] + (grain * eye)[..., None]
    lash, strength = _lash_colour(crop, skin, upper, top, unit)
    dark = strength * _lash_line(closed, line, (height, width), unit, rng)
    mixed = painted * (1 - dark[..., None]) + lash * dark[..., None]
    below = np.clip((y - line) / (0.012 * unit), 0, 1)
    ends = np.clip(1.2 - ahead * 1.5, 0, 1)
    alpha = ends * np.maximum(1 - below, dark)
    return np.clip(np.dstack([mixed, alpha * 255]) + 0.5, 0, 255).astype(np.uint8)


def _lash_colour(
    crop: npt.NDArray[np.uint8],
    skin: FloatArray,
    upper: FloatArray,
    top: npt.NDArray[np.floating],
    unit: float,
) -> tuple[FloatArray, float]:
    """Return the colour [3] of the still's lashes and how strongly they show, in [0, 1]."""
    height, width = crop.shape[:2]
    x, y = np.arange(width), np.arange(height)[:, None]
    band = (np.abs(y - top) < 0.035 * unit) & (x > upper[0, 0]) & (x < upper[-1, 0])
    if band.sum() < 16:
        return np.zeros(3, np.float32), 0.0
    colours, around = crop[band].astype(np.float32), skin[band]
    luma = colours @ _LUMA
    lash = colours[luma <= np.quantile(luma, 0.12)].mean(0)
    contrast = float((around @ _LUMA).mean() - lash @ _LUMA)
    relative = contrast / max(float((around @ _LUMA).mean()), 20.0)
    return lash, float(np.clip(relative / 0.55, 0.2, 0.9))


def _lash_line(
    closed: FloatArray,
    line: FloatArray,
    shape: tuple[int, int],
    unit: float,
    rng: np.random.Generator,
) -> FloatArray:
    """Return how dark [H, W] in [0, 1] lashes make the place where the lids meet."""
    height, width = shape
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    first, last = float(closed[0, 0]), float(closed[-1, 0])
    along = np.clip((x - first) / max(last - first, 1.0), 0, 1)
    taper = np.sqrt(np.clip(np.sin(np.pi * along), 0, 1))
    distance = (y - line - 0.3 * _LINE * unit) / (_LINE * unit * (0.4 + 0.6 * taper))
    dark = np.exp(-(distance**2)) * taper
    hairs = np.zeros(shape, np.float32)
    for at in (np.arange(_HAIRS) + 0.5 + rng.uniform(-0.3, 0.3, _HAIRS)) / _HAIRS:
        root_x = first + at * (last - first)
        root = np.array([root_x, np.interp(root_x, x, line)])
        # Outwards from the middle of the lid, most of all at its ends.
        lean = 1.5 * (at - 0.5) + rng.uniform(-0.1, 0.1)
        length = unit * rng.uniform(0.025, 0.045) * (0.5 + np.sin(np.pi * at) * 0.5)
        tip = root + length * np.array([lean, 1.0]) / np.hypot(lean, 1.0)
        ends = np.round(np.stack([root, tip]) * 16).astype(np.int32)
        cv2.line(hairs, ends[0].tolist(), ends[1].tolist(), 0.55, 2, cv2.LINE_AA, 4)
    hairs = cv2.GaussianBlur(hairs, (0, 0), 1.2)
    return np.asarray(np.clip(np.maximum(dark, hairs), 0, 1), np.float32)
