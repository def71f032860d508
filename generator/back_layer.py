"""What a turn of the head uncovers behind the face's edge: the sides of jaw and cheek.

The portrait's sheet ends where the still's outline does. Behind that outline hangs a strip that
goes straight back, to the ear's depth beside the ear and hardly at all under the chin. It mirrors
the skin or beard before it, and starts so far inside the outline that nothing of it shows while the
head is at rest.
"""

import dataclasses

import cv2
import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from obverse.generator.canvas import drawing_order
from obverse.generator.contours import FACE_OVAL
from obverse.generator.fit import SKIN_LANDMARKS, FittedHead
from obverse.generator.portrait import Portrait
from obverse.generator.relief import Relief

__all__ = ["BackLayer", "make_back_layer"]

FloatArray = npt.NDArray[np.float32]

_EDGE = np.array(FACE_OVAL[7:30])  # from ear to ear, over the chin
_BETWEEN = 4  # points of the strip for each of these
_ENDS = 2 * _BETWEEN + 1  # points that lie beside the ears
# Interocular distances.
# Of the face's oval, inside and outside: an outline is looked for from the one to the other.
_WITHIN, _OUTLINE = 0.20, 0.40
_INSET = 0.045
_MIRRORED = 0.45  # how far into the face its end is mirrored
_CHIN_SHARE = 0.3  # of the way back to the ears that the strip goes under the chin
_STEPS = np.array([0.0, 0.12, 0.3, 0.55, 1.0], np.float32)
_NARROWER = 0.05  # towards its end


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class BackLayer:
    """The strip as triangles. Positions are picture pixels, as in `Relief`."""

    texture: FloatArray  # [V, 2] where each vertex takes its colour from the still
    rest: FloatArray  # [V, 3]
    head_weight: FloatArray  # [V]
    triangles: npt.NDArray[np.int32]  # [F, 3]


def make_back_layer(portrait: Portrait, fitted: FittedHead, relief: Relief) -> BackLayer:
    """Make the strip behind a portrait's sheet."""
    scale = fitted.scale_px
    oval = _denser(relief.texture[_EDGE])
    inwards = relief.texture[:SKIN_LANDMARKS].mean(0) - oval
    inwards /= np.maximum(np.linalg.norm(inwards, axis=1, keepdims=True), 1e-6)
    edge = _outline(oval, inwards, portrait.matte, scale) + inwards * (_INSET * scale)
    depth, weight = _on_sheet(relief, edge)
    height = edge @ relief.down
    chin, ears = height.max(), 0.5 * (height[0] + height[-1])
    above = np.clip((chin - height) / max(float(chin - ears), 1e-6), 0, 1)
    # The sheet bends back as far as the ears; the jaw before them ends there too.
    room = np.maximum(np.maximum(depth[:_ENDS].max(), depth[-_ENDS:].max()) - depth, 0)
    back = room * (_CHIN_SHARE + (1 - _CHIN_SHARE) * above)
    points = edge[:, None] + inwards[:, None] * (_STEPS[:, None] * _NARROWER * scale)
    rest = np.concatenate([points, (depth[:, None] + back[:, None] * _STEPS)[..., None]], -1)
    rest[..., 2] += 0.02 * scale
    texture = edge[:, None] + inwards[:, None] * (_STEPS[:, None] * _MIRRORED * scale)
    rows, columns = texture.shape[:2]
    flat = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    corner = flat[:-1, :-1].ravel()
    triangles = np.concatenate(
        [
            np.stack([corner, corner + 1, corner + columns], 1),
            np.stack([corner + 1, corner + columns + 1, corner + columns], 1),
        ]
    )
    return BackLayer(
        texture=texture.reshape(-1, 2).astype(np.float32),
        rest=rest.reshape(-1, 3).astype(np.float32),
        head_weight=np.repeat(weight, columns).astype(np.float32),
        triangles=drawing_order(rest.reshape(-1, 3), triangles.astype(np.int32)),
    )


def _denser(line: FloatArray) -> FloatArray:
    """Return a line with points between its own [N, 2], close enough to follow an ear lobe."""
    at = np.arange(0, len(line) - 1 + 0.5 / _BETWEEN, 1 / _BETWEEN)
    known = np.arange(len(line))
    return np.column_stack([np.interp(at, known, line[:, axis]) for axis in range(2)]).astype(
        np.float32
    )


def _on_sheet(relief: Relief, points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the depth and the head's weight [N] that the sheet has at picture points [N, 2].

    Depth falls steeply along a jaw, so it is read inside the sheet's own triangles: a strip that
    starts deeper than the sheet's edge would leave a gap.
    """
    known = np.column_stack([relief.rest[:, 2], relief.head_weight])
    found = known[cKDTree(relief.texture).query(points)[1]]
    first, second, third = (relief.texture[relief.triangles[:, i]] for i in range(3))
    sides = np.stack([second - first, third - first], -1).astype(np.float64)
    whole = np.abs(np.linalg.det(sides)) > 1e-6
    inverse = np.linalg.inv(sides[whole])
    for index, point in enumerate(points):
        shares = (inverse @ (point - first[whole])[..., None])[..., 0]
        inside = np.flatnonzero((shares.min(1) >= -1e-6) & (shares.sum(1) <= 1 + 1e-6))
        if not len(inside):
            continue
        corners = known[relief.triangles[whole][inside]]  # [n, 3, 2]
        weights = np.column_stack([1 - shares[inside].sum(1), shares[inside]])
        values = (weights[..., None] * corners).sum(1)
        found[index] = values[values[:, 0].argmin()]  # the nearest is the one that is seen
    return np.asarray(found[:, 0], np.float32), np.asarray(found[:, 1], np.float32)


def _outline(
    oval: FloatArray, inwards: FloatArray, matte: FloatArray, interocular_px: float
) -> FloatArray:
    """Return points [N, 2] on the person's outline, each straight out from a point of the oval.

    Where hair or neck lies behind the face there is none nearby, and the oval itself is taken.
    """
    steps = np.arange(-_WITHIN * interocular_px, _OUTLINE * interocular_px, dtype=np.float32)
    inside = cv2.erode((matte > 0.9).astype(np.uint8), np.ones((3, 3), np.uint8))
    limits = np.array([matte.shape[1] - 1, matte.shape[0] - 1])
    ray = oval[:, None] - inwards[:, None] * steps[:, None]
    at = np.clip(ray.round().astype(int), 0, limits)
    within = inside[at[..., 1], at[..., 0]] > 0
    last = np.maximum(np.argmin(within, axis=1) - 1, 0)  # before the first step outside
    reach = np.where(within.all(1), 0, steps[last])
    return np.asarray(oval - inwards * reach[:, None], np.float32)
