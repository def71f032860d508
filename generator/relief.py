"""A portrait as a sheet of triangles with depth, cut at the lips and the lids, that a performance
can move.

The face's vertices are the landmarks themselves, moved by the fitted head model; around them lies a
grid over hair, ears, neck and shoulders (`surroundings`).
"""

import dataclasses

import numpy as np
import numpy.typing as npt

from obverse.faces.topology import face_triangles
from obverse.generator.canvas import drawing_order
from obverse.generator.contours import (
    EYE_LOWER,
    EYE_UPPER,
    LIPS_INNER_LOWER,
    LIPS_INNER_UPPER,
    LOWER_LIP_ROWS,
)
from obverse.generator.fit import SKIN_LANDMARKS, FittedHead
from obverse.generator.head import HeadModel
from obverse.generator.motion import EXPRESSIONS, expression_index
from obverse.generator.portrait import Portrait
from obverse.generator.surroundings import (
    depth_of,
    expressions_beyond,
    head_weight_at,
    lay_surroundings,
    soften_depth,
    texture_of,
)

__all__ = ["Opening", "Relief", "build_relief"]

FloatArray = npt.NDArray[np.float32]

_BLINK_AROUND = 0.2  # of the model's blink that the skin around the lids takes part in
# Interocular distances that the cut lies outside the landmarks.
_UPPER_LID, _LOWER_LID = 0.009, 0.022
_LIP_REACH = 0.16
_LIP_ROUNDINGS = 2
_OPEN = 0.12  # a gap in interocular distances from which a still's mouth counts as fully open
# Interocular distances: lips nearer than the first touch, beyond the second they do not.
_TOUCHING = (0.035, 0.07)

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

    @property
    def contour(self) -> npt.NDArray[np.int32]:
        """The vertices all around, `[2 n - 2]`."""
        return np.concatenate([self.upper, self.lower[-2:0:-1]])


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
    landmarks = portrait.landmarks[:SKIN_LANDMARKS, :2]
    outer, outer_triangles = lay_surroundings(portrait, fitted.scale_px)
    points2d = np.concatenate([landmarks, outer]).astype(np.float32)
    _widen_lids(points2d, fitted.scale_px)
    _join_lips(points2d, fitted.scale_px)
    down = fitted.rotation[:2, 1] / max(float(np.linalg.norm(fitted.rotation[:2, 1])), 1e-6)
    depth = depth_of(points2d, fitted, model, portrait)
    weight = head_weight_at(points2d, points2d[:SKIN_LANDMARKS], down, fitted.scale_px)
    weight[:SKIN_LANDMARKS] = 1
    depth[:SKIN_LANDMARKS], face = _landmark_fields(fitted, model)
    _round_lips(face)
    basis = fitted.direction(expressions_beyond(face, points2d, down, fitted.scale_px))
    soften_depth(points2d, depth, outer_triangles)
    points = np.concatenate([points2d, depth[:, None]], 1).astype(np.float32)
    _mend_blinks(points, basis)
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
        texture=texture_of(points[repeat, :2], portrait.matte),
        rest=rest[repeat],
        basis=np.ascontiguousarray(basis[:, repeat]),
        head_weight=weight[repeat],
        triangles=drawing_order(rest[repeat], triangles[distinct]),
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


def _landmark_fields(fitted: FittedHead, model: HeadModel) -> tuple[FloatArray, FloatArray]:
    """Return the landmarks' depth [468] and displacements [52, 468, 3] in the head frame."""
    placed = fitted.to_picture(model.expressed(fitted.neutral, fitted.expression))
    corners = model.triangles[model.landmark_triangles[:SKIN_LANDMARKS]]
    barycentric = model.landmark_barycentric[:SKIN_LANDMARKS]
    basis = np.einsum("lk,elkd->eld", barycentric, model.expressions[:, corners])
    return model.landmarks(placed)[:SKIN_LANDMARKS, 2], basis.astype(np.float32)


def _round_lips(face: FloatArray) -> None:
    """Even out the displacements [52, 468, 3] along each row of the lower lip, in place: the
    model's come to a point in its middle, which a wide open mouth shows.
    """
    for row in LOWER_LIP_ROWS:
        line = face[:, list(row)]
        for _ in range(_LIP_ROUNDINGS):
            line[:, 1:-1] = 0.25 * line[:, :-2] + 0.5 * line[:, 1:-1] + 0.25 * line[:, 2:]
        face[:, list(row)] = line


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


def _mend_blinks(points: FloatArray, basis: FloatArray) -> None:
    """Make `eyeBlink` close these eyes exactly: both contours meet on one line, whatever the
    model's own eye does.

    Brow and glasses hardly stir; between lid and fold lies the painted lid. Changes `basis`, in
    picture pixels, in place.
    """
    for side in ("left", "right"):
        field = basis[expression_index(f"eyeBlink{side.title()}")]
        upper, lower = list(EYE_UPPER[side][1:-1]), list(EYE_LOWER[side][1:-1])
        line = points[lower] + 0.10 * (points[upper] - points[lower])
        moves = [line - points[members] for members in (upper, lower)]
        depth = field[:, 2].copy()
        field *= _BLINK_AROUND
        for members, move in zip((upper, lower), moves, strict=True):
            field[members, :2] = move[:, :2]
            field[members, 2] = depth[members]
        field[[EYE_UPPER[side][0], EYE_UPPER[side][-1]]] = 0


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
