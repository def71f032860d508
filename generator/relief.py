"""A portrait as a sheet of triangles with depth, cut at the lips and the lids, that a performance
can move.

The face's vertices are the landmarks themselves; around them lies a grid over hair, ears, neck and
shoulders. Depth, expressions and how much a point turns with the head all come from the fitted head
model: a vertex takes them from the visible points of the head that lie nearest to it in the
picture.
"""

import dataclasses

import cv2
import numpy as np
import numpy.typing as npt
from scipy.spatial import Delaunay, cKDTree

from obverse.faces.topology import face_triangles
from obverse.generator.contours import (
    EYE_LOWER,
    EYE_UPPER,
    FACE_OVAL,
    LIPS_INNER_LOWER,
    LIPS_INNER_UPPER,
)
from obverse.generator.fit import SKIN_LANDMARKS, FittedHead
from obverse.generator.head import SKIN, HeadModel
from obverse.generator.motion import EXPRESSIONS, expression_index
from obverse.generator.portrait import Portrait
from obverse.generator.warp import rasterise

__all__ = ["Opening", "Relief", "build_relief"]

FloatArray = npt.NDArray[np.float32]

_GRID_CELLS = 44  # across the picture
_NEIGHBOURS = 6
_REACH = 0.30  # interocular distances over which an expression dies away outside the head's skin
_LID_REACH = 0.13
# Interocular distances that the cut lies outside the landmarks.
_UPPER_LID, _LOWER_LID = 0.009, 0.022
_LIP_REACH = 0.16
_OPEN = 0.12  # a gap in interocular distances from which a still's mouth counts as fully open
# Interocular distances: lips nearer than the first touch, beyond the second they do not.
_TOUCHING = (0.035, 0.07)
_STEEPEST = 0.9  # depth per distance around the face
_SOFTENINGS = 10
# Of the picture's side: over this, motion dies away towards a border that cuts the person.
_BORDER_SHARE = 0.07

# How much of the still's own expression is taken back before it performs. The lips must meet; a
# smile or a raised brow is character, and its wrinkles are painted into the picture anyway.
_TAKEN_BACK = {
    "jawOpen": 1.0, "jawLeft": 0.5, "jawRight": 0.5, "mouthFunnel": 0.8, "mouthPucker": 0.7,
    "mouthLowerDownLeft": 1.0, "mouthLowerDownRight": 1.0,
    "mouthUpperUpLeft": 1.0, "mouthUpperUpRight": 1.0,
    "mouthSmileLeft": 0.35, "mouthSmileRight": 0.35,
    "mouthStretchLeft": 0.5, "mouthStretchRight": 0.5,
}  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Opening:
    """A cut in the sheet: two contours that share their ends, and soft rims hanging inside them."""

    upper: npt.NDArray[np.int32]  # [n] vertices from the picture's left to right, with ends
    lower: npt.NDArray[np.int32]  # [n]
    upper_rim: npt.NDArray[np.int32]  # [n - 2] vertices whose opacity falls to 0
    lower_rim: npt.NDArray[np.int32]  # [n - 2]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Relief:
    """The sheet. Positions are picture pixels: x right, y down, z away with 0 at the eyes."""

    texture: FloatArray  # [V, 2] where each vertex lies in the still
    rest: FloatArray  # [V, 3] where it lies once the still's lips are closed
    basis: FloatArray  # [52, V, 3] displacements at coefficient 1
    head_weight: FloatArray  # [V] 1 turns with the head, 0 stays
    triangles: npt.NDArray[np.int32]  # [F, 3]
    mouth: Opening
    eyes: dict[str, Opening]  # by the sitter's own side
    pivot: FloatArray  # [3] about which the head turns
    down: FloatArray  # [2] unit vector from brow to chin in the picture


def build_relief(portrait: Portrait, fitted: FittedHead, model: HeadModel) -> Relief:
    """Build the sheet of a portrait from its fitted head."""
    height, width = portrait.picture.shape[:2]
    landmarks = portrait.landmarks[:SKIN_LANDMARKS, :2]
    outer, outer_triangles = _surroundings(portrait, fitted.scale_px)
    points2d = np.concatenate([landmarks, outer]).astype(np.float32)
    _widen_lids(points2d, fitted.scale_px)
    _join_lips(points2d, fitted.scale_px)
    source = _visible_skin(fitted, model, portrait, (height, width))
    depth, weight, basis = _taken_from(source, points2d, fitted.scale_px, model)
    exact = _landmark_fields(fitted, model)
    depth[:SKIN_LANDMARKS], basis[:, :SKIN_LANDMARKS] = exact
    weight[:SKIN_LANDMARKS] = 1.0
    basis = fitted.direction(basis)
    _soften(points2d, depth, weight, outer_triangles)
    points = np.concatenate([points2d, depth[:, None]], 1).astype(np.float32)
    pinned = _pinned(portrait, points2d)
    weight *= pinned
    basis *= pinned[None, :, None]
    down = fitted.rotation[:2, 1] / max(float(np.linalg.norm(fitted.rotation[:2, 1])), 1e-6)
    _mend_blinks(points, basis, fitted.scale_px)
    rest = _close_lips(points, basis, fitted, down)

    openings: list[Opening] = []
    rim_triangles: list[npt.NDArray[np.int32]] = []
    rims: list[int] = []
    contours = [
        (LIPS_INNER_UPPER, LIPS_INNER_LOWER),
        (EYE_UPPER["left"], EYE_LOWER["left"]),
        (EYE_UPPER["right"], EYE_LOWER["right"]),
    ]
    for upper, lower in contours:
        first = len(points) + len(rims)
        inner = len(upper) - 2
        rims += [*upper[1:-1], *lower[1:-1]]
        upper_rim = np.arange(first, first + inner, dtype=np.int32)
        lower_rim = np.arange(first + inner, first + 2 * inner, dtype=np.int32)
        for contour, rim in ((upper, upper_rim), (lower, lower_rim)):
            edge = np.array([contour[0], *rim, contour[-1]], np.int32)
            line = np.array(contour, np.int32)
            rim_triangles.append(np.stack([line[:-1], line[1:], edge[1:]], 1))
            rim_triangles.append(np.stack([line[:-1], edge[1:], edge[:-1]], 1))
        openings.append(
            Opening(np.array(upper, np.int32), np.array(lower, np.int32), upper_rim, lower_rim)
        )
    cut = [{*upper, *lower} for upper, lower in contours]
    face = np.array(
        [t for t in face_triangles().tolist() if not any(set(t) <= members for members in cut)],
        np.int32,
    )
    triangles = np.concatenate([face, outer_triangles, *rim_triangles]).astype(np.int32)
    # A triangle whose corners coincide (a rim at the end of its contour) covers nothing.
    distinct = (
        (triangles[:, 0] != triangles[:, 1])
        & (triangles[:, 1] != triangles[:, 2])
        & (triangles[:, 0] != triangles[:, 2])
    )
    repeat = np.concatenate([np.arange(len(points)), np.array(rims)])
    pivot = fitted.to_picture(model.neck_pivot[None])[0]
    return Relief(
        texture=points[repeat, :2].copy(),
        rest=rest[repeat],
        basis=np.ascontiguousarray(basis[:, repeat]),
        head_weight=weight[repeat],
        triangles=np.ascontiguousarray(triangles[distinct]),
        mouth=openings[0],
        eyes={"left": openings[1], "right": openings[2]},
        pivot=pivot,
        down=down.astype(np.float32),
    )


def _widen_lids(points: FloatArray, interocular_px: float) -> None:
    """Move the cut around each eye outwards, in place: the landmarks lie on the white, the lashes
    go with the lids.
    """
    for side in ("left", "right"):
        upper, lower = list(EYE_UPPER[side][1:-1]), list(EYE_LOWER[side][1:-1])
        across = points[upper] - points[lower]
        across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-6)
        points[upper] += across * np.float32(_UPPER_LID * interocular_px)
        points[lower] -= across * np.float32(_LOWER_LID * interocular_px)


def _join_lips(points: FloatArray, interocular_px: float) -> None:
    """Where the still's lips touch, cut them along the middle of the dark line between them, in
    place.

    The landmarks lie on either side of that line; cut there, it would fall into the opening and be
    lost.
    """
    upper, lower = list(LIPS_INNER_UPPER[1:-1]), list(LIPS_INNER_LOWER[1:-1])
    across = points[lower] - points[upper]
    gap = np.linalg.norm(across, axis=1, keepdims=True) / np.float32(interocular_px)
    share = np.clip((_TOUCHING[1] - gap) / (_TOUCHING[1] - _TOUCHING[0]), 0, 1) * np.float32(0.5)
    points[upper] += share * across
    points[lower] -= share * across


def _surroundings(
    portrait: Portrait, interocular_px: float
) -> tuple[FloatArray, npt.NDArray[np.int32]]:
    """Return the vertices around the face and the triangles that join them to it and to one
    another.
    """
    height, width = portrait.picture.shape[:2]
    oval = portrait.landmarks[list(FACE_OVAL), :2]
    centre = oval.mean(0)
    rings = [centre + (oval - centre) * factor for factor in (1.05, 1.12)]
    rings[1] = 0.5 * (rings[1] + np.roll(rings[1], 1, 0))
    step = max(width, height) / _GRID_CELLS
    columns = np.linspace(0, width - 1, max(2, round(width / step) + 1))
    rows = np.linspace(0, height - 1, max(2, round(height / step) + 1))
    grid = np.stack(np.meshgrid(columns, rows), -1).reshape(-1, 2)
    near = max(3, round(1.5 * step)) | 1
    covered = cv2.dilate((portrait.matte > 0.01).astype(np.uint8), np.ones((near, near), np.uint8))
    grid = grid[covered[grid[:, 1].round().astype(int), grid[:, 0].round().astype(int)] > 0]
    contour = (centre + (oval - centre) * 1.16).astype(np.float32)
    outside = np.array(
        [cv2.pointPolygonTest(contour, (float(x), float(y)), False) < 0 for x, y in grid]
    )
    limits = np.array([width - 1, height - 1])
    ring = np.concatenate(rings)
    ring = ring[((ring > 1) & (ring < limits - 1)).all(1)]
    vertices = np.concatenate([ring, grid[outside]]).astype(np.float32)
    both = np.concatenate([oval, vertices]).astype(np.float64)
    simplices = Delaunay(both).simplices
    middles = both[simplices].mean(1)
    polygon = oval.astype(np.float32)
    keep = []
    for corners, (x, y) in zip(simplices, middles, strict=True):
        longest = max(np.linalg.norm(both[corners[a]] - both[corners[a - 1]]) for a in range(3))
        on_oval = (corners < len(oval)).all()
        inside = cv2.pointPolygonTest(polygon, (float(x), float(y)), False) >= 0
        keep.append(
            not (on_oval and inside) and not inside and longest < 4.0 * step + 0.2 * interocular_px
        )
    names = np.concatenate([np.array(FACE_OVAL), SKIN_LANDMARKS + np.arange(len(vertices))])
    return vertices, names[simplices[np.array(keep)]].astype(np.int32)


def _visible_skin(
    fitted: FittedHead, model: HeadModel, portrait: Portrait, shape: tuple[int, int]
) -> tuple[FloatArray, npt.NDArray[np.intp]]:
    """Return the head's vertices in the picture [V, 3] and the indices of those that the camera
    sees.

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
    skin = model.triangles[model.parts == SKIN]
    factor = 192.0 / max(shape)
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
    slack = 0.12 * fitted.scale_px * factor
    return placed, members[small[members, 2] <= depth[rows, columns] + slack]


def _taken_from(
    source: tuple[FloatArray, npt.NDArray[np.intp]],
    points: FloatArray,
    interocular_px: float,
    model: HeadModel,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return depth [V], head weight [V] and displacements [52, V, 3] (head frame) of points in the
    picture.
    """
    placed, visible = source
    distances, nearest = cKDTree(placed[visible, :2]).query(points, k=_NEIGHBOURS)
    nearest = visible[nearest]
    share = 1.0 / (distances + 0.03 * interocular_px) ** 2
    share = (share / share.sum(1, keepdims=True)).astype(np.float32)
    depth = (share * placed[nearest, 2]).sum(1)
    weight = (share * model.head_weight[nearest]).sum(1)
    fade = np.exp(-((distances[:, 0] / (_REACH * interocular_px)) ** 2)).astype(np.float32)
    basis = np.einsum("vn,kvnd->kvd", share * fade[:, None], model.expressions[:, nearest])
    return depth.astype(np.float32), weight.astype(np.float32), basis.astype(np.float32)


def _landmark_fields(fitted: FittedHead, model: HeadModel) -> tuple[FloatArray, FloatArray]:
    """Return the landmarks' depth [468] and displacements [52, 468, 3] in the head frame."""
    placed = fitted.to_picture(model.expressed(fitted.neutral, fitted.expression))
    corners = model.triangles[model.landmark_triangles[:SKIN_LANDMARKS]]
    barycentric = model.landmark_barycentric[:SKIN_LANDMARKS]
    basis = np.einsum("lk,elkd->eld", barycentric, model.expressions[:, corners])
    return model.landmarks(placed)[:SKIN_LANDMARKS, 2], basis.astype(np.float32)


def _soften(
    points: FloatArray, depth: FloatArray, weight: FloatArray, triangles: npt.NDArray[np.int32]
) -> None:
    """Ease depth and head weight around the face, in place, so that a turn bends the sheet instead
    of tearing it.

    The sheet has no back: where hair or neck lies far behind the cheek's edge, a true step would be
    drawn as a smear. Depth falls away from the face no steeper than `_STEEPEST`, and both fields
    are averaged with neighbours.
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
    for field in (depth, weight):
        for _ in range(_SOFTENINGS):
            total = np.bincount(edges[:, 0], field[edges[:, 1]], len(points))
            field[moving] = 0.5 * field[moving] + 0.5 * (total[moving] / degree[moving])


def _pinned(portrait: Portrait, points: FloatArray) -> FloatArray:
    """Return [V] in [0, 1]: 0 on a border of the picture, so that a head it cuts off does not tear
    away from it.
    """
    height, width = portrait.picture.shape[:2]
    nearest = np.min(
        [points[:, 0], points[:, 1], width - 1 - points[:, 0], height - 1 - points[:, 1]], axis=0
    )
    ramp = np.clip(nearest / (_BORDER_SHARE * max(width, height)), 0, 1)
    return np.asarray(ramp * ramp * (3 - 2 * ramp), np.float32)


def _spread(
    points: FloatArray, sources: list[int], moves: FloatArray, reach_px: float
) -> FloatArray:
    """Return [V, 3]: moves of a few vertices, exact there and dying away over `reach_px` around
    them.
    """
    distances = np.linalg.norm(points[:, None, :2] - points[None, sources, :2], axis=-1)
    share = 1.0 / (distances + 1e-3) ** 2
    share /= share.sum(1, keepdims=True)
    fade = np.exp(-((distances.min(1) / reach_px) ** 2))
    spread = (share @ moves) * fade[:, None]
    spread[sources] = moves
    return np.asarray(spread, np.float32)


def _mend_blinks(points: FloatArray, basis: FloatArray, interocular_px: float) -> None:
    """Make `eyeBlink` close these eyes exactly: both contours meet on one line, whatever the
    model's own eye does.

    Changes `basis`, in picture pixels, in place.
    """
    for side in ("left", "right"):
        index = expression_index(f"eyeBlink{side.title()}")
        upper, lower = list(EYE_UPPER[side][1:-1]), list(EYE_LOWER[side][1:-1])
        line = points[lower] + 0.10 * (points[upper] - points[lower])
        field = basis[index]
        wanted = np.zeros((len(upper) + len(lower), 3), np.float32)
        members = upper + lower
        wanted[:, :2] = (np.concatenate([line, line]) - points[members])[:, :2]
        wanted[:, 2] = field[members, 2]
        missing = wanted - field[members]
        field += _spread(points, members, missing, _LID_REACH * interocular_px)
        corners = [EYE_UPPER[side][0], EYE_UPPER[side][-1]]
        field[corners] = 0


def _close_lips(
    points: FloatArray, basis: FloatArray, fitted: FittedHead, down: FloatArray
) -> FloatArray:
    """Return where the vertices lie once the still's own mouth is closed."""
    upper, lower = list(LIPS_INNER_UPPER[1:-1]), list(LIPS_INNER_LOWER[1:-1])
    gap = float(((points[lower, :2] - points[upper, :2]) @ down)[3:6].mean()) / fitted.scale_px
    openness = float(np.clip(gap / _OPEN, 0, 1))  # lips that touch already stay as they are
    coefficients = np.zeros(len(EXPRESSIONS), np.float32)
    for name, share in _TAKEN_BACK.items():
        index = expression_index(name)
        coefficients[index] = -share * openness * fitted.expression[index]
    rest = points + np.tensordot(coefficients, basis, 1)
    jaw = basis[expression_index("jawOpen")]

    def gaps() -> FloatArray:
        return np.asarray((rest[lower, :2] - rest[upper, :2]) @ down, np.float32)

    opens = float(((jaw[lower, :2] - jaw[upper, :2]) @ down)[3:6].mean())
    left_open = float(gaps()[3:6].mean())
    if opens > 1e-3 and left_open > 0:
        rest = rest - min(0.7 * left_open / opens, 0.5) * jaw
    meeting = 0.6 * rest[upper] + 0.4 * rest[lower]
    moves = np.concatenate([meeting - rest[upper], meeting - rest[lower]])
    moves[:, 2] = 0
    rest = rest + _spread(rest, upper + lower, moves, _LIP_REACH * fitted.scale_px)
    # The seam is exact: both contours lie on one line.
    rest[lower, :2] = rest[upper, :2]
    return np.asarray(rest, np.float32)
