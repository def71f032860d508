"""What lies around the face in a portrait's sheet: hair, ears, neck and shoulders as a grid of
triangles, with depth, how far it turns with the head and how far the face's expressions reach it.

A picture's border cuts off hair and shoulders. The sheet goes on beyond it and shows the picture
mirrored there, so that a head that leans away from the border uncovers more of the same.
"""

import cv2
import numpy as np
import numpy.typing as npt
from scipy.spatial import Delaunay, cKDTree

from obverse.generator.contours import FACE_OVAL, JAW_LINE
from obverse.generator.fit import SKIN_LANDMARKS, FittedHead
from obverse.generator.head import SKIN, HeadModel
from obverse.generator.portrait import Portrait
from obverse.generator.warp import rasterise

__all__ = [
    "depth_of",
    "expressions_beyond",
    "head_weight_at",
    "lay_surroundings",
    "placed_head",
    "soften_depth",
    "texture_of",
]

FloatArray = npt.NDArray[np.float32]

_GRID_CELLS = 44  # across the picture
_RINGS = (1.05, 1.12)  # times the oval of the face
_GRID_FROM = 1.16
_BEYOND_CELLS = (0.5, 1.5, 3.0, 5.0, 9.0)  # rows that lie beyond the border
_BELOW = 0.15  # how slowly the picture is gone through below its lower border
# A head that the upper border cuts off goes on above it, for this share of a circle's height; the
# circle's slope is read over so many rows.
_CAP = 0.75
_SLOPE_ROWS = 16
_STEEPEST_CROWN = 0.5  # a flatter cap would fall between the rows of the grid
_NEIGHBOURS = 6
# Interocular distances over which an expression dies away: towards hair and ears, towards the neck.
# A chin that drops presses the skin of the neck together; were it to slide over it, the edge would
# be seen.
_REACH, _REACH_DOWN = 0.50, 0.75
_STEEPEST = 0.9  # depth per distance around the face
_SOFTENINGS = 10
# Interocular distances below the jaw within which skin and hair turn with the head, and at which
# they stay with the shoulders.
_WITH_HEAD, _WITH_BODY = 0.0, 1.15


def texture_of(points: npt.NDArray[np.floating], matte: FloatArray) -> FloatArray:
    """Return where points [N, 2] in and around a picture find their pixels [N, 2] in it.

    Beyond a border that cuts the person off, the picture is mirrored, below it slowly. Above its
    upper border, where a head is cut off, the mirrored crown narrows to a cap; a point above the
    cap finds none of the person.
    """
    limits = np.array([matte.shape[1] - 1, matte.shape[0] - 1], np.float32)
    texture = np.asarray(points, np.float32).copy()
    rows = np.clip(np.round(-texture[:, 1]), 0, limits[1]).astype(int)
    person = matte[rows] > 0.5
    above = (texture[:, 1] < 0) & person.any(1) & bool((matte[0] > 0.5).any())
    if above.any():
        # Outlines of the rows to be mirrored, and of the first one, left and right.
        left, right = (np.argmax(person[above][:, ::way], axis=1) for way in (1, -1))
        middle, half = _middle_and_half(left, limits[0] - right)
        at_border = np.flatnonzero(matte[0] > 0.5)
        middle_0, half_0 = _middle_and_half(at_border[:1], at_border[-1:])
        # The outline goes on as a circle's, as steep as it is where the border cuts it.
        lower = np.flatnonzero(matte[_SLOPE_ROWS] > 0.5) if len(matte) > _SLOPE_ROWS else at_border
        lower = lower if len(lower) else at_border
        half_lower = _middle_and_half(lower[:1], lower[-1:])[1]
        steep = np.clip((half_lower - half_0) / _SLOPE_ROWS, 0, _STEEPEST_CROWN)
        radius, centre = half_0 * np.sqrt(1 + steep**2), half_0 * steep
        height = np.clip(-texture[above, 1] / (_CAP * (radius - centre)), 0, 0.999)
        half_above = np.sqrt(radius**2 - (centre + height * (radius - centre)) ** 2)
        across = (texture[above, 0] - middle_0) / half_above
        texture[above, 0] = np.clip(middle + across * half, 0, limits[0])
    # Cloth goes on below as it ends; mirrored at once, a neckline would come a second time.
    below = texture[:, 1] > limits[1]
    texture[below, 1] = limits[1] + _BELOW * (texture[below, 1] - limits[1])
    folded = limits - np.abs(limits - np.abs(texture))
    # Where the border cuts nobody off, nobody goes on beyond it.
    at_row = matte[np.clip(np.round(texture[:, 1]), 0, limits[1]).astype(int)]
    folded[(texture[:, 0] < 0) & (at_row[:, 0] <= 0.5), 0] = 0
    folded[(texture[:, 0] > limits[0]) & (at_row[:, -1] <= 0.5), 0] = limits[0]
    if not (matte[0] > 0.5).any():
        folded[texture[:, 1] < 0, 1] = 0
    return np.asarray(np.clip(folded, 0, limits), np.float32)


def _middle_and_half(
    left: npt.NDArray[np.integer], right: npt.NDArray[np.floating] | npt.NDArray[np.integer]
) -> tuple[FloatArray, FloatArray]:
    first, last = np.asarray(left, np.float32), np.asarray(right, np.float32)
    middle, half = (first + last) / 2, (last - first) / 2 + 1
    return middle.astype(np.float32), half.astype(np.float32)


def lay_surroundings(
    portrait: Portrait, interocular_px: float
) -> tuple[FloatArray, npt.NDArray[np.int32]]:
    """Return the vertices around the face [N, 2] and the triangles [F, 3] that join them to it and
    to one another, as indices of the landmarks followed by these vertices.
    """
    height, width = portrait.picture.shape[:2]
    oval = portrait.landmarks[list(FACE_OVAL), :2]
    centre = oval.mean(0)
    rings = [centre + (oval - centre) * factor for factor in _RINGS]
    rings[1] = 0.5 * (rings[1] + np.roll(rings[1], 1, 0))
    step = max(width, height) / _GRID_CELLS
    grid = np.stack(np.meshgrid(_marks(width, step), _marks(height, step)), -1).reshape(-1, 2)
    near = max(3, round(1.5 * step)) | 1
    covered = cv2.dilate((portrait.matte > 0.01).astype(np.uint8), np.ones((near, near), np.uint8))
    at = texture_of(grid, portrait.matte).round().astype(int)
    grid = grid[covered[at[:, 1], at[:, 0]] > 0]
    contour = (centre + (oval - centre) * _GRID_FROM).astype(np.float32)
    outside = np.array(
        [cv2.pointPolygonTest(contour, (float(x), float(y)), False) < 0 for x, y in grid]
    )
    ring = np.concatenate(rings)
    vertices = np.concatenate([ring, grid[outside]]).astype(np.float32)
    both = np.concatenate([oval, vertices]).astype(np.float64)
    simplices = Delaunay(both).simplices
    middles = both[simplices].mean(1)
    polygon = oval.astype(np.float32)
    keep = []
    for corners, (x, y) in zip(simplices, middles, strict=True):
        longest = max(np.linalg.norm(both[corners[a]] - both[corners[a - 1]]) for a in range(3))
        inside = cv2.pointPolygonTest(polygon, (float(x), float(y)), False) >= 0
        keep.append(not inside and longest < 4.0 * step + 0.2 * interocular_px)
    names = np.concatenate([np.array(FACE_OVAL), SKIN_LANDMARKS + np.arange(len(vertices))])
    return vertices, names[simplices[np.array(keep)]].astype(np.int32)


def _marks(length: int, step: float) -> npt.NDArray[np.float64]:
    """Return the grid's coordinates along a side, border to border and a little beyond."""
    inside = np.linspace(0, length - 1, max(2, round(length / step) + 1))
    beyond = np.array(_BEYOND_CELLS) * step
    return np.concatenate([-beyond[::-1], inside, length - 1 + beyond])


def depth_of(
    points: FloatArray, fitted: FittedHead, model: HeadModel, portrait: Portrait
) -> FloatArray:
    """Return the depth [V] of points in the picture [V, 2]: that of the visible head near them."""
    placed = placed_head(fitted, model, portrait)
    visible = _visible_skin(placed, model, portrait.picture.shape, fitted.scale_px)
    distances, nearest = cKDTree(placed[visible, :2]).query(points, k=_NEIGHBOURS)
    share = 1.0 / (distances + 0.03 * fitted.scale_px) ** 2
    share /= share.sum(1, keepdims=True)
    return np.asarray((share * placed[visible[nearest], 2]).sum(1), np.float32)


def head_weight_at(
    points: FloatArray, landmarks: FloatArray, down: FloatArray, interocular_px: float
) -> FloatArray:
    """Return [V] in [0, 1]: how far points [V, 2] turn with the head.

    All that lies above the jaw does, hair included; below, the neck bends evenly towards the
    shoulders.
    """
    across = np.array([down[1], -down[0]], np.float32)
    jaw = landmarks[list(JAW_LINE)]
    order = np.argsort(jaw @ across)
    line = np.interp(points @ across, (jaw @ across)[order], (jaw @ down)[order])
    below = ((points @ down) - line) / interocular_px
    share = np.clip((below - _WITH_HEAD) / (_WITH_BODY - _WITH_HEAD), 0, 1)
    return np.asarray(1 - share * share * (3 - 2 * share), np.float32)


def expressions_beyond(
    face: FloatArray, points: FloatArray, down: FloatArray, interocular_px: float
) -> FloatArray:
    """Return displacements [52, V, 3] of the landmarks `face` [52, 468, 3] and, dying away from the
    face's edge, of all points [V, 2].
    """
    oval = np.array(FACE_OVAL)
    outer = points[SKIN_LANDMARKS:]
    distances, nearest = cKDTree(points[oval]).query(outer, k=4)
    share = 1.0 / (distances + 0.02 * interocular_px) ** 2
    share = (share / share.sum(1, keepdims=True)).astype(np.float32)
    away = outer - points[oval[nearest[:, 0]]]
    away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6)
    sink = np.clip(away @ down, 0, 1)
    reach = (_REACH + (_REACH_DOWN - _REACH) * sink) * interocular_px
    left = np.clip(1 - distances[:, 0] / reach, 0, 1)
    fade = (left * left * (3 - 2 * left)).astype(np.float32)
    field = np.einsum("vn,kvnd->kvd", share * fade[:, None], face[:, oval[nearest]])
    return np.concatenate([face, field.astype(np.float32)], axis=1)


def soften_depth(points: FloatArray, depth: FloatArray, triangles: npt.NDArray[np.int32]) -> None:
    """Ease depth around the face, in place, so that a turn bends the sheet instead of tearing it.

    The sheet has no back: where hair or neck lies far behind the cheek's edge, a true step would be
    drawn as a smear. Depth falls away from the face no steeper than `_STEEPEST`, and is averaged
    with neighbours.
    """
    oval = list(FACE_OVAL)
    distance = np.linalg.norm(points[:, None] - points[None, oval], axis=-1)
    limit = (depth[oval][None] + _STEEPEST * distance).min(1)
    outside = np.arange(len(points)) >= SKIN_LANDMARKS
    depth[outside] = np.minimum(depth, limit)[outside]
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    edges = np.concatenate([edges, edges[:, ::-1]])
    degree = np.bincount(edges[:, 0], minlength=len(points))
    moving = outside & (degree > 0)
    for _ in range(_SOFTENINGS):
        total = np.bincount(edges[:, 0], depth[edges[:, 1]], len(points))
        depth[moving] = 0.5 * depth[moving] + 0.5 * (total[moving] / degree[moving])


def placed_head(fitted: FittedHead, model: HeadModel, portrait: Portrait) -> FloatArray:
    """Return the head's vertices in the picture [V, 3], px.

    The model's head misses the picture's by a few pixels; each vertex is shifted by the miss of the
    landmarks near it.
    """
    placed = fitted.to_picture(model.expressed(fitted.neutral, fitted.expression))
    predicted = model.landmarks(placed)[:SKIN_LANDMARKS, :2]
    miss = portrait.landmarks[:SKIN_LANDMARKS, :2] - predicted
    distances, nearest = cKDTree(predicted).query(placed[:, :2], k=8)
    falloff = np.exp(-((distances / (0.35 * fitted.scale_px)) ** 2)) + 1e-9
    share = falloff / falloff.sum(1, keepdims=True)
    fade = np.exp(-((distances[:, :1] / (0.8 * fitted.scale_px)) ** 2))
    placed[:, :2] += (share[..., None] * miss[nearest]).sum(1) * fade
    return placed


def _visible_skin(
    placed: FloatArray, model: HeadModel, shape: tuple[int, ...], interocular_px: float
) -> npt.NDArray[np.intp]:
    """Return the indices of the head's vertices that the camera sees."""
    skin = model.triangles[model.parts == SKIN]
    factor = 192.0 / max(shape[:2])
    small = placed * np.float32(factor)
    size = (int(shape[0] * factor) + 1, int(shape[1] * factor) + 1)
    depth = np.full(size, np.inf, np.float32)
    rasterise(
        small,
        np.ascontiguousarray(skin),
        np.zeros((len(small), 3), np.float32),
        depth,
        np.empty((*size, 2), np.float32),
        np.empty(size, np.float32),
        (0, 0, size[1], size[0]),
    )
    members = np.unique(skin)
    columns, rows = small[members, 0].round().astype(int), small[members, 1].round().astype(int)
    within = (columns >= 0) & (rows >= 0) & (columns < size[1]) & (rows < size[0])
    members, columns, rows = members[within], columns[within], rows[within]
    slack = 0.12 * interocular_px * factor
    seen: npt.NDArray[np.intp] = members[small[members, 2] <= depth[rows, columns] + slack]
    return seen
