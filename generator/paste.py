"""A drawn face is pasted on a film's: aligned, matched in colour and blended, frame by frame.

Alignment is a similarity between the two faces' rigid points, then a smooth field that carries the
region's own points onto the film's. Colour is matched at the region's border and the difference
spread inwards, as in Perez, Gangnet and Blake, "Poisson image editing", 2003, but blurred and not
solved, so that it does not flicker; and it is an exponent that is matched, not an offset, so that
pupils stay dark and teeth do not glare.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from obverse.faces.pose import EYE_CORNERS, canonical_face
from obverse.generator.contours import FACE_OVAL, JAW_LINE

__all__ = [
    "INNER_FACE",
    "LOWER_FACE",
    "Fit",
    "Region",
    "Tone",
    "drawn_middle",
    "fit_faces",
    "paste_face",
    "region_mask",
    "smoothed_fit",
]

Frame = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.float32]

_REACH = 0.35  # interocular distances over which an anchor carries its surroundings along
_HOLD = 0.1  # of an anchor's weight: where no anchor is near, the similarity alone holds
_SOFT = 0.09  # interocular distances, deviation of the border's softness
_SPREAD = 0.35  # interocular distances over which a colour difference spreads
_GRID = 24  # nodes a side of the smooth fields
_ODD_LEVELS = 25.0  # of difference along the border: more is another thing, such as hair or a frame
_EXPONENT, _NEAR_EXPONENT = (0.3, 2.0), (0.75, 1.33)
_DARKEST = 0.2
_PRIOR = 0.02  # of the border's weight: where nothing near can be compared, the whole decides
_SUBPIXEL_BITS = 4
_LOGARITHMS = np.log(np.maximum(np.arange(256), 0.5) / 255).astype(np.float32)  # of levels


class Region(NamedTuple):
    """A part of the face that is pasted."""

    outline: tuple[int, ...]  # landmarks whose hull it is
    anchors: tuple[int, ...]  # landmarks that shall lie where the film's do
    inset: float = 0.0  # how far the outline is drawn towards its middle, share
    brows: tuple[int, ...] = ()  # landmarks above which it ends
    above: float = 0.0  # interocular distances from there up the face
    chin: tuple[int, ...] = ()  # landmarks, the drawing's and the film's, below which it ends
    below: float = 0.0  # interocular distances from there down the face


# The mouth, the chin and a little of the neck, for a jaw that opens moves all of them. The anchors
# are what a mouth leaves in place.
LOWER_FACE = Region(
    outline=(2, 98, 327, 203, 423, 206, 426, 216, 436, 212, 432, 210, 430, 169, 394),
    anchors=(2, 98, 327, 4, 203, 423, 205, 425, 50, 280, 187, 411, 172, 397, 58, 288),
    chin=JAW_LINE[5:12],
    below=0.16,
)
# Brows, eyes, nose, mouth and chin, and no temples, for hair hangs there.
INNER_FACE = Region(
    outline=(143, 116, 372, 345, *JAW_LINE),
    anchors=(68, 104, 69, 108, 151, 337, 299, 333, 298, *FACE_OVAL[6:31:2]),
    inset=0.06,
    brows=(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),
    above=0.16,
)


class Fit(NamedTuple):
    """How a drawn face lies on a film's."""

    turn: complex  # scale and angle (clockwise as seen) of the similarity
    middle: Floats  # [2] px, where the drawn face's middle is drawn
    shift: Floats  # [2] px, from there to the film's middle
    strayed: Floats  # [A, 2] px, from where the similarity takes the anchors to the film's

    def placed(self, points: npt.NDArray[np.floating]) -> Floats:
        """Take drawn points [N, 2] to the film by the similarity."""
        placed = (points - self.middle) @ self._matrix().T + (self.middle + self.shift)
        return np.asarray(placed, np.float64)

    def taken_back(self, points: npt.NDArray[np.floating]) -> Floats:
        """Take points [..., 2] of the film to the drawing."""
        away = points - (self.middle + self.shift)
        return np.asarray(away @ np.linalg.inv(self._matrix()).T + self.middle, np.float64)

    def _matrix(self) -> Floats:
        return np.array([[self.turn.real, -self.turn.imag], [self.turn.imag, self.turn.real]])


class Tone(NamedTuple):
    """What makes a drawing's levels, as shares of 255, the film's: a gain, then an exponent."""

    gain: Floats  # [3] up to 1
    exponent: Floats  # [3]
    near: npt.NDArray[np.float32]  # [G, G, 3] over the region's box, times `exponent`


@functools.cache
def _rigidity() -> Floats:
    return canonical_face().rigidity


def fit_faces(drawn: npt.ArrayLike, seen: npt.ArrayLike, region: Region) -> Fit:
    """Return how a drawn face lies on a film's.

    Args:
        drawn: landmarks `[468, 2]` of the drawing, px.
        seen: the film's.
        region: whose anchors shall meet.
    """
    source, target = np.asarray(drawn, np.float64), np.asarray(seen, np.float64)
    weights = _rigidity()[:, None]
    middle, goal = (weights * source).sum(0), (weights * target).sum(0)
    a, b = source - middle, target - goal
    # Least squares of complex numbers: the similarity that takes the one to the other.
    first, second = a[:, 0] + 1j * a[:, 1], b[:, 0] + 1j * b[:, 1]
    own = weights[:, 0] * first.conj()
    turn = complex((own * second).sum() / (own * first).sum().real)
    anchors = list(region.anchors)
    rough = Fit(turn, middle, goal - middle, np.zeros((len(anchors), 2)))
    return rough._replace(strayed=target[anchors] - rough.placed(source[anchors]))


def smoothed_fit(fits: Sequence[Fit], weights: Sequence[float], middle: Floats) -> Fit:
    """Return the weighted mean of fits about a frame, for a face that is drawn about `middle`.

    What is averaged is how the drawing strays from the film, which is steady where the drawing
    moves as the film does; the movement itself is not smoothed.
    """
    share = np.asarray(weights, np.float64) / np.sum(weights)
    return Fit(
        complex(np.dot(share, [fit.turn for fit in fits])),
        middle,
        np.tensordot(share, np.stack([fit.shift for fit in fits]), 1),
        np.tensordot(share, np.stack([fit.strayed for fit in fits]), 1),
    )


def drawn_middle(drawn: npt.ArrayLike) -> Floats:
    """Return the middle [2] of a drawn face's landmarks `[468, 2]`, as `Fit.middle` has it."""
    return np.asarray((_rigidity()[:, None] * np.asarray(drawn, np.float64)).sum(0), np.float64)


def interocular_px(points: npt.NDArray[np.floating]) -> float:
    """Return the distance between the eyes of landmarks `[468, 2]`."""
    left, right = (points[list(corners)].mean(0) for corners in EYE_CORNERS)
    return max(float(np.hypot(*(right - left))), 1.0)


def region_mask(
    shape: tuple[int, ...], face: npt.NDArray[np.floating], seen: npt.ArrayLike, region: Region
) -> tuple[Mask, tuple[int, int]]:
    """Return the region's soft mask and where it lies.

    Args:
        shape: of the frame.
        face: landmarks `[468, 2]` of the drawn face where it is pasted, px.
        seen: the film's.
        region: the part.

    Returns:
        `[h, w]` in [0, 1], 0 along its edges but where the frame ends; and its corner (x0, y0).
    """
    eyes_px = interocular_px(face)
    outline = face[list(region.outline)]
    outline = outline + region.inset * (outline.mean(0) - outline)
    down = face[152] - face[168]
    down = down * (eyes_px / max(float(np.hypot(*down)), 1.0))
    brows = face[list(region.brows)] - region.above * down
    chins = [np.asarray(each)[list(region.chin)] + region.below * down for each in (face, seen)]
    outline = np.concatenate([outline, brows, *chins])
    height, width = shape[:2]
    size = np.array([width, height])
    low = np.clip(np.floor(outline.min(0)).astype(int) - 1, 0, size - 1)
    high = np.clip(np.ceil(outline.max(0)).astype(int) + 2, low + 1, size)
    hull = cv2.convexHull(((outline - low) * (1 << _SUBPIXEL_BITS)).round().astype(np.int32))
    # Room around, so that the softness does not depend on where the frame ends.
    room = max(1, round(3 * _SOFT * eyes_px))
    across, down_px = (high - low).tolist()
    filled = np.zeros((down_px + 2 * room, across + 2 * room), np.float32)
    hull += room << _SUBPIXEL_BITS
    cv2.fillConvexPoly(filled, hull, 1.0, cv2.LINE_AA, _SUBPIXEL_BITS)
    soft = cv2.GaussianBlur(filled, (0, 0), _SOFT * eyes_px)[room:-room, room:-room]
    # The outer half of the softness is cut off: nothing outside of the hull is touched.
    share = np.clip(2 * soft - 1, 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32), (int(low[0]), int(low[1]))


def paste_face(
    frame: Frame,
    drawing: Frame,
    drawn: npt.ArrayLike,
    seen: npt.ArrayLike,
    fit: Fit,
    region: Region,
    tone: Tone | None = None,
    pace: float = 1.0,
) -> tuple[Frame, Tone]:
    """Paste a drawing's face on a frame's.

    Args:
        frame: `[H, W, 3] uint8 RGB`; it is not changed.
        drawing: `[h, w, 3] uint8 RGB`.
        drawn: landmarks `[468, 2]` of the drawing, px.
        seen: the frame's.
        fit: how the one lies on the other.
        region: what is pasted.
        tone: of the frame before; None for the first one.
        pace: in (0, 1], how fast the tone follows the frames.

    Returns:
        The frame, outside of the region untouched, and its tone.
    """
    points = np.asarray(drawn, np.float64)
    face = fit.placed(points)
    held = face[list(region.anchors)] + fit.strayed
    reach = _REACH * interocular_px(face)
    face += _carried(face, held, fit.strayed, reach)
    mask, (x0, y0) = region_mask(frame.shape, face, seen, region)
    height, width = mask.shape
    corner = np.array([x0, y0], np.float64)
    grid = np.stack(np.meshgrid(*(_nodes(side) for side in (width, height))), -1) + corner
    coarse = _carried(grid.reshape(-1, 2), held, fit.strayed, reach)
    strayed = _spread(coarse.reshape(_GRID, _GRID, 2).astype(np.float32), width, height)
    pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1) + corner
    where = fit.taken_back(pixels - strayed).astype(np.float32)
    warped = cv2.remap(drawing, where, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    ground = frame[y0 : y0 + height, x0 : x0 + width].astype(np.float32)
    new = _tone(ground, warped, mask, reach / _REACH)
    if tone is not None:
        new = _towards(tone, new, pace)
    exponents = _spread(new.near * new.exponent.astype(np.float32), width, height)
    blended = ground + mask[..., None] * (_toned(warped, new.gain, exponents) - ground)
    out = frame.copy()
    out[y0 : y0 + height, x0 : x0 + width] = np.rint(np.clip(blended, 0, 255)).astype(np.uint8)
    return out, new


def _towards(old: Tone, new: Tone, pace: float) -> Tone:
    return Tone(
        old.gain + pace * (new.gain - old.gain),
        old.exponent + pace * (new.exponent - old.exponent),
        np.asarray(old.near + pace * (new.near - old.near), np.float32),
    )


def _carried(points: Floats, anchors: Floats, strayed: Floats, reach: float) -> Floats:
    """Return how far points [N, 2] are carried by anchors [A, 2] that strayed [A, 2]."""
    away = ((points[:, None] - anchors[None]) ** 2).sum(-1)
    weights = np.exp(away / (-2 * reach**2))
    return np.asarray(weights @ strayed / (weights.sum(1, keepdims=True) + _HOLD), np.float64)


def _nodes(side: int) -> Floats:
    """Return where a grid's nodes lie along a side, so that `cv2.resize` puts them there."""
    return np.asarray((np.arange(_GRID) + 0.5) * (side / _GRID) - 0.5, np.float64)


def _spread(field: npt.NDArray[np.float32], width: int, height: int) -> npt.NDArray[np.float32]:
    """Return a grid's field [G, G, C] at every pixel."""
    return np.asarray(cv2.resize(field, (width, height), interpolation=cv2.INTER_LINEAR))


def _toned(
    picture: Frame, gain: Floats, exponents: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Give levels, as shares of 255, gains [3] and exponents [h, w, 3] or [3]."""
    logarithms = _LOGARITHMS[picture] + np.log(gain).astype(np.float32)
    return np.asarray(cv2.exp(logarithms * exponents) * np.float32(255), np.float32)


def _tone(ground: npt.NDArray[np.float32], pasted: Frame, mask: Mask, eyes_px: float) -> Tone:
    height, width = mask.shape
    ring = 4 * mask * (1 - mask)
    along = ring > 0.5
    gain, exponent = np.ones(3), np.ones(3)
    if along.any():
        # Medians, for hair and frames of glasses may cross the border.
        levels = [np.median(picture[along], 0) for picture in (ground, pasted)]
        ours, theirs = (np.clip(level, 2, 250) / 255 for level in levels)
        # What is too dark is lightened by the exponent alone, and no light overflows. What is too
        # light is darkened half by each: one alone would take contrast away, the other add some.
        gain = np.sqrt(np.clip(ours / theirs, _DARKEST, 1))
        exponent = np.clip(np.log(ours) / np.log(theirs * gain), *_EXPONENT)
    toned = _toned(pasted, gain, exponent.astype(np.float32))
    odd = np.abs(ground - toned).mean(-1) / _ODD_LEVELS
    ring = (ring * np.exp(-(odd**2)))[..., None]
    sigma = _SPREAD * eyes_px * _GRID

    def gathered(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        small = cv2.resize(values, (_GRID, _GRID), interpolation=cv2.INTER_AREA)
        around = cv2.BORDER_CONSTANT
        blurred = cv2.GaussianBlur(small, (0, 0), sigma / width, None, sigma / height, around)
        return np.asarray(blurred, np.float32)

    weight = gathered(ring)[..., None]
    sums = [gathered(picture * ring) for picture in (ground, toned)]
    usual = sums[0].sum((0, 1)) / max(float(weight.sum()), 1e-6)
    prior = np.float32(_PRIOR * max(float(weight.max()), 1e-6))
    ours, theirs = (
        np.log(np.clip((each + prior * usual) / (weight + prior), 2, 250) / 255) for each in sums
    )
    near = np.clip(ours / theirs, *_NEAR_EXPONENT)
    return Tone(gain, exponent, np.asarray(near, np.float32))
