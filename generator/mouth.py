"""Behind the lips: teeth, tongue and the dark of the mouth, placed by the fitted head and lit like the picture."""

import dataclasses

import numpy as np
import numpy.typing as npt

from obverse.generator.contours import (
    EYE_LOWER,
    EYE_UPPER,
    LIPS_INNER_LOWER,
    LIPS_INNER_UPPER,
)
from obverse.generator.fit import FittedHead
from obverse.generator.head import INNER_MOUTH, TEETH_LOWER, TEETH_UPPER, TONGUE, HeadModel
from obverse.generator.portrait import Portrait
from obverse.generator.relief import Relief

__all__ = ["Mouth", "make_mouth"]

FloatArray = npt.NDArray[np.float32]

_SHADES = 64  # steps of a material's ramp from dark to lit
# Reflectances under white light, linear in the picture's own values: enamel, gum, tongue, cheek and palate.
_MATERIALS = {
    TEETH_UPPER: (0.98, 0.93, 0.85),
    TEETH_LOWER: (0.93, 0.87, 0.79),
    TONGUE: (0.72, 0.36, 0.34),
    INNER_MOUTH: (0.40, 0.15, 0.14),
}
_ROWS = {part: row for row, part in enumerate(_MATERIALS)}
_ROW_PX = 4


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Mouth:
    """The mouth's inside as triangles in picture pixels, coloured from a small palette."""

    rest: FloatArray  # [V, 3] with closed jaws
    basis: FloatArray  # [52, V, 3]
    triangles: npt.NDArray[np.int32]  # [F, 3]
    attributes: FloatArray  # [V, 3] palette x, palette y, opacity
    palette: npt.NDArray[np.uint8]  # [rows, shades, 4] RGBA


def light_of(portrait: Portrait) -> npt.NDArray[np.float64]:
    """Return what white looks like in the picture's light, [3] RGB in [0, 255], from the whites of the eyes."""
    picture = portrait.picture
    colours = []
    for side in ("left", "right"):
        contour = np.concatenate(
            [
                portrait.landmarks[list(EYE_UPPER[side]), :2],
                portrait.landmarks[list(EYE_LOWER[side]), :2],
            ]
        )
        x0, y0 = np.maximum(contour.min(0).astype(int), 0)
        x1, y1 = contour.max(0).astype(int) + 2
        colours.append(picture[y0:y1, x0:x1].reshape(-1, 3))
    eye = np.concatenate(colours).astype(np.float64)
    cheeks = portrait.landmarks[[50, 280, 205, 425], :2].round().astype(int)
    cheeks = np.clip(cheeks, 0, np.array(picture.shape[1::-1]) - 1)
    skin = np.mean([picture[y, x] for x, y in cheeks], axis=0)
    if len(eye) < 8:
        return np.asarray(np.clip(1.25 * skin, 40, 245))
    luma = eye @ [0.299, 0.587, 0.114]
    white = eye[luma >= np.quantile(luma, 0.85)].mean(0)
    # An eye in shadow, or hidden behind glasses, says less than the skin does.
    floor = 0.9 * float(skin @ [0.299, 0.587, 0.114])
    white *= max(1.0, floor / max(float(white @ [0.299, 0.587, 0.114]), 1.0))
    return np.asarray(np.clip(white, 30, 245))


def make_mouth(portrait: Portrait, fitted: FittedHead, model: HeadModel, relief: Relief) -> Mouth:
    """Place the head model's mouth behind a portrait's lips."""
    chosen = np.isin(model.parts, list(_MATERIALS))
    triangles = model.triangles[chosen]
    vertices, local = np.unique(triangles, return_inverse=True)
    local = local.reshape(-1, 3).astype(np.int32)
    part = np.zeros(len(vertices), np.int64)
    part[local.ravel()] = np.repeat(model.parts[chosen], 3)
    neutral = fitted.neutral[vertices]
    placed = fitted.to_picture(neutral)
    # The fit misses the lips by a little; the mouth must sit behind these lips.
    corners_model = fitted.to_picture(model.landmarks(fitted.neutral))[
        [*LIPS_INNER_UPPER, *LIPS_INNER_LOWER], :2
    ]
    corners = relief.rest[[*LIPS_INNER_UPPER, *LIPS_INNER_LOWER], :2]
    placed[:, :2] += corners.mean(0) - corners_model.mean(0)
    shade = _shade(neutral, local, part)
    rows = np.array([_ROWS[int(p)] for p in part], np.float32)
    attributes = np.stack(
        [shade * (_SHADES - 1), rows * _ROW_PX + (_ROW_PX - 1) / 2, np.ones_like(shade)], -1
    )
    return Mouth(
        rest=placed,
        basis=fitted.direction(model.expressions[:, vertices]),
        triangles=np.ascontiguousarray(local),
        attributes=np.ascontiguousarray(attributes, dtype=np.float32),
        palette=_palette(light_of(portrait)),
    )


def _shade(
    vertices: FloatArray, triangles: npt.NDArray[np.int32], part: npt.NDArray[np.int64]
) -> FloatArray:
    """Return how lit each vertex is, in [0, 1]: facing the opening, and near it."""
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    facing = np.cross(b - a, c - a)
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, triangles[:, corner], facing)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    lit = 0.55 + 0.45 * np.clip(-normals[:, 2], 0, 1)
    teeth = np.isin(part, [TEETH_UPPER, TEETH_LOWER])
    front = vertices[teeth, 2].min() if teeth.any() else vertices[:, 2].min()
    # Light enters between the lips and is lost within about a third of an interocular distance.
    lit *= np.exp(-np.clip(vertices[:, 2] - front, 0, None) / 0.30)
    # Lips shade what is nearest to them from above.
    return np.asarray(np.clip(lit, 0.02, 1), np.float32)


def _palette(white: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    ramp = np.linspace(0, 1, _SHADES)[:, None]
    rows = []
    for reflectance in _MATERIALS.values():
        lit = white * np.asarray(reflectance) * 0.88
        # Shadows in a mouth are warm: blue and green die first.
        colour = lit * ramp ** np.array([0.9, 1.1, 1.15])
        rows.append(np.concatenate([colour, np.full((_SHADES, 1), 255)], 1))
    return np.repeat(np.clip(np.stack(rows), 0, 255), _ROW_PX, 0).astype(np.uint8)
