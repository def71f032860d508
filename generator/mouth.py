"""Behind the lips: teeth, tongue and the dark of the mouth, placed by the fitted head and lit like
the picture.
"""

import dataclasses

import numpy as np
import numpy.typing as npt

from obverse.generator.canvas import drawing_order
from obverse.generator.contours import (
    EYE_LOWER,
    EYE_UPPER,
    LIPS_INNER_UPPER,
)
from obverse.generator.fit import SKIN_LANDMARKS, FittedHead
from obverse.generator.head import INNER_MOUTH, TEETH_LOWER, TEETH_UPPER, TONGUE, HeadModel
from obverse.generator.portrait import Portrait
from obverse.generator.relief import Relief

__all__ = ["Mouth", "make_mouth"]

FloatArray = npt.NDArray[np.float32]

_LUMA = np.array([0.299, 0.587, 0.114])
# Mean departure of a face's pixels from one tint, relative to their grey: monochrome photographs
# stay below the first, most others lie above the second (571 photographs).
_MONOCHROME, _FULL_COLOUR = 0.06, 0.14
# Of the light's tint over the skin's, by channel: 2 % to 98 % of 90 photographs, a little drawn in.
_LIGHT_OVER_SKIN = np.array([[0.75, 0.98, 0.9], [1.02, 1.15, 1.5]])
_SHADES = 64  # steps of a material's ramp from dark to lit
_TURNED_AWAY = 0.7  # z of a unit normal: cos 45 degrees
_LINING_BEGINS = 0.12  # interocular distances behind the foremost tooth
# Interocular distances that upper teeth reach below the seam of the closed lips.
_UPPER_SHOWS = 0.030
_LOWER_HIDES = 0.000  # and that lower ones stay below it
# Reflectances under white light, linear in the picture's own values: enamel, gum, tongue, cheek and
# palate.
_MATERIALS = {
    TEETH_UPPER: (0.98, 0.93, 0.85),
    TEETH_LOWER: (0.93, 0.87, 0.79),
    TONGUE: (0.72, 0.36, 0.34),
    INNER_MOUTH: (0.40, 0.15, 0.14),
}
_ROWS = {part: row for row, part in enumerate(_MATERIALS)}
_ROW_PX = 4
_GAP_SHADE = 0.25  # of the light that the groove between two teeth loses
# Interocular distances from the middle: where the corners' shadow begins, its width, and how far a
# head turned to the side moves it.
_SHADOW_FROM, _SHADOW_WIDTH, _SHADOW_SHIFT = 0.12, 0.22, 0.2


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Mouth:
    """The mouth's inside as triangles in picture pixels, coloured from a small palette."""

    rest: FloatArray  # [V, 3] with closed jaws
    basis: FloatArray  # [52, V, 3]
    triangles: npt.NDArray[np.int32]  # [F, 3]
    attributes: FloatArray  # [V, 3] palette x, palette y, opacity
    palette: npt.NDArray[np.uint8]  # [rows, shades, 4] RGBA


def light_of(portrait: Portrait) -> npt.NDArray[np.float64]:
    """Return what white looks like in the picture's light, [3] RGB in [0, 255], from the whites of
    the eyes.
    """
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
    luma = eye @ _LUMA
    white = eye[luma >= np.quantile(luma, 0.88)].mean(0) if len(eye) >= 8 else skin
    # An eye in shadow, or hidden behind glasses, says less than the skin does.
    brightness = max(float(white @ _LUMA), 1.15 * float(skin @ _LUMA))
    tint = white / max(float(white @ _LUMA), 1.0)
    # Glasses, lamps and make-up colour eyes; the skin says what light they can be in.
    face = skin / max(float(skin @ _LUMA), 1.0)
    tint = np.clip(tint, face * _LIGHT_OVER_SKIN[0], face * _LIGHT_OVER_SKIN[1])
    tint /= max(float(tint @ _LUMA), 1e-3)
    return np.asarray(np.clip(brightness * (0.7 * tint + 0.3), 30, 245))


def colourfulness_of(portrait: Portrait) -> float:
    """Return how much of its natural colour the picture shows, from 0 (monochrome) to 1, from the
    face's skin and lips.
    """
    box = portrait.landmarks[:SKIN_LANDMARKS, :2]
    limits = np.array(portrait.picture.shape[1::-1])
    x0, y0 = np.clip(box.min(0).astype(int), 0, limits - 1)
    x1, y1 = np.clip(box.max(0).astype(int) + 1, 1, limits)
    face = portrait.picture[y0:y1, x0:x1].reshape(-1, 3).astype(np.float64)
    grey = face @ _LUMA
    tint = face.mean(0) / max(float(grey.mean()), 1.0)
    # A cast (sepia, coloured light) lies on the whole face; colour varies over it.
    own = np.abs(face - grey[:, None] * tint).sum(1).mean() / max(float(grey.mean()), 1.0)
    return float(np.clip((own - _MONOCHROME) / (_FULL_COLOUR - _MONOCHROME), 0, 1))


def make_mouth(portrait: Portrait, fitted: FittedHead, model: HeadModel, relief: Relief) -> Mouth:
    """Place the head model's mouth behind a portrait's lips."""
    chosen = np.isin(model.parts, list(_MATERIALS))
    # The lining of the lips lies before the teeth; here the portrait's own lips do.
    teeth = np.unique(model.triangles[np.isin(model.parts, (TEETH_UPPER, TEETH_LOWER))])
    behind = fitted.neutral[teeth, 2].min() + _LINING_BEGINS
    chosen &= (model.parts != INNER_MOUTH) | (fitted.neutral[model.triangles, 2].min(1) > behind)
    chosen &= (model.parts == INNER_MOUTH) | _faces_out(fitted.neutral, model.triangles)
    triangles = model.triangles[chosen]
    vertices, local = np.unique(triangles, return_inverse=True)
    local = np.asarray(local.reshape(-1, 3), np.int32)
    part = np.zeros(len(vertices), np.int64)
    part[local.ravel()] = np.repeat(model.parts[chosen], 3)
    neutral = fitted.neutral[vertices]
    placed = fitted.to_picture(neutral)
    basis = fitted.direction(model.expressions[:, vertices])
    _hang(placed, neutral, part, relief, fitted.scale_px)
    shade = _shade(neutral, np.asarray(local, np.int32), part, fitted.yaw)
    rows = np.array([_ROWS[int(p)] for p in part], np.float32)
    attributes = np.stack(
        [shade * (_SHADES - 1), rows * _ROW_PX + (_ROW_PX - 1) / 2, np.ones_like(shade)], -1
    )
    return Mouth(
        rest=placed,
        basis=np.ascontiguousarray(basis),
        triangles=drawing_order(placed, np.asarray(local, np.int32)),
        attributes=np.ascontiguousarray(attributes, dtype=np.float32),
        palette=_palette(light_of(portrait), colourfulness_of(portrait)),
    )


def _hang(
    placed: FloatArray,
    neutral: FloatArray,
    part: npt.NDArray[np.int64],
    relief: Relief,
    interocular_px: float,
) -> None:
    """Put the mouth behind these lips, in place: the fit misses them by a little, and a little
    shows.

    Upper incisors end just below the lips' seam and lower ones begin there, as in a mouth at rest.
    """
    seam = relief.rest[list(LIPS_INNER_UPPER)]
    down = np.array([*relief.down, 0.0], np.float32)
    across = np.array([relief.down[1], -relief.down[0], 0.0], np.float32)
    middle = seam[len(seam) // 2]
    incisors = np.isin(part, (TEETH_UPPER, TEETH_LOWER))
    incisors &= neutral[:, 2] < np.quantile(neutral[incisors, 2], 0.25)
    placed += across * float((middle - placed[incisors].mean(0)) @ across)
    shifts = {}
    for teeth, sign, overhang in (
        (TEETH_UPPER, 1.0, _UPPER_SHOWS),
        (TEETH_LOWER, -1.0, -_LOWER_HIDES),
    ):
        front = placed[incisors & (part == teeth)]
        edge = sign * np.quantile(sign * (front @ down), 0.97)
        shifts[teeth] = float(middle @ down) + sign * overhang * interocular_px - edge
    shifts[TONGUE] = shifts[TEETH_LOWER]
    shifts[INNER_MOUTH] = 0.5 * (shifts[TEETH_UPPER] + shifts[TEETH_LOWER])
    for name, shift in shifts.items():
        placed[part == name] += down * np.float32(shift)


def _faces_out(vertices: FloatArray, triangles: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Return [F]: which triangles can be seen from the front of a head turned up to 45 degrees."""
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    facing = np.cross(b - a, c - a)
    length = np.maximum(np.linalg.norm(facing, axis=1), 1e-12)
    return np.asarray(facing[:, 2] / length < _TURNED_AWAY, np.bool_)


def _shade(
    vertices: FloatArray,
    triangles: npt.NDArray[np.int32],
    part: npt.NDArray[np.int64],
    yaw: float,
) -> FloatArray:
    """Return how lit each vertex is, in [0, 1]: facing the opening, near it, away from its corners.

    The cheek's shadow lies on the teeth towards the corners, on a turned head's far side most of
    all.
    """
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    facing = np.cross(b - a, c - a)
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, triangles[:, corner], facing)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    lit = 0.72 + 0.28 * np.clip(-normals[:, 2], 0, 1)
    teeth = np.isin(part, [TEETH_UPPER, TEETH_LOWER])
    front = vertices[teeth, 2].min() if teeth.any() else vertices[:, 2].min()
    # Light enters between the lips and is lost within about a third of an interocular distance.
    lit *= np.exp(-np.clip(vertices[:, 2] - front, 0, None) / 0.45)
    aside = np.abs(vertices[:, 0] - _SHADOW_SHIFT * np.sin(-yaw))
    lit *= 1 - 0.6 * np.clip((aside - _SHADOW_FROM) / _SHADOW_WIDTH, 0, 1)
    lit[part == INNER_MOUTH] *= 0.6
    lit[teeth] *= 1 - _GAP_SHADE * _between_teeth(vertices, normals, teeth)[teeth]
    return np.asarray(np.clip(lit, 0.06, 1), np.float32)


def _between_teeth(
    vertices: FloatArray, normals: FloatArray, teeth: npt.NDArray[np.bool_]
) -> FloatArray:
    """Return how far each vertex lies in the groove between two teeth, in [0, 1]: where a tooth
    faces its neighbour instead of the lips.
    """
    x, z = vertices[:, 0], vertices[:, 2]
    # The arch seen from above is nearly a parabola; its slope gives the way along it.
    bend = np.polyfit(x[teeth] ** 2, z[teeth], 1)[0] if teeth.sum() > 2 else 0.0
    along = np.stack([np.ones_like(x), np.zeros_like(x), 2 * bend * x], 1)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    sideways = np.abs((normals * along).sum(1))
    return np.asarray(np.clip((sideways - 0.35) / 0.45, 0, 1), np.float32)


def _palette(white: npt.NDArray[np.float64], colourfulness: float) -> npt.NDArray[np.uint8]:
    ramp = np.linspace(0, 1, _SHADES)[:, None]
    rows = []
    # Shadows in a mouth are warm: blue and green die first.
    exponents = 1.05 + colourfulness * (np.array([0.9, 1.1, 1.15]) - 1.05)
    for reflectance in _MATERIALS.values():
        grey = np.asarray(reflectance) @ _LUMA
        lit = white * (grey + colourfulness * (np.asarray(reflectance) - grey))
        colour = lit * ramp**exponents
        rows.append(np.concatenate([colour, np.full((_SHADES, 1), 255)], 1))
    return np.repeat(np.clip(np.stack(rows), 0, 255), _ROW_PX, 0).astype(np.uint8)
