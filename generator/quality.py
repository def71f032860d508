"""What a still makes hard, said in one sentence each before anything is rendered.

The thresholds were set on 571 photographs, on the same photographs drawn, inked, blurred and
darkened, and on two paintings: what lies beyond them was seen to be rendered with faults.
"""

import math

import cv2
import numpy as np
import numpy.typing as npt

from obverse.faces.landmarks import Face
from obverse.generator.contours import (
    EYE_LOWER,
    EYE_UPPER,
    LIPS_INNER_LOWER,
    LIPS_INNER_UPPER,
    LIPS_OUTER_LOWER,
    LIPS_OUTER_UPPER,
)
from obverse.generator.motion import expression_index

__all__ = ["judge_still"]

Image = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]

YAW_DEGREES = 30.0
PITCH_DEGREES = 26.0
INTEROCULAR_PX = 40.0
JAW_OPEN = 0.4  # the still's own coefficient
PRESENCE = 0.9
# Scatter of the landmarks, in interocular distances (`FaceReader.doubt`).
MOUTH_DOUBT, EYES_DOUBT, FACE_DOUBT = 0.037, 0.045, 0.050
CUT = 0.08  # interocular distances that the face must keep from the picture's border
# Share of fine detail (1 px where the eyes are 60 px apart) to coarser detail (3 px).
SHARPNESS = 0.27
SHARPNESS_AT_PX = 60.0
FLAT = 8.0  # deviation of the face's grey values
# Grey under both eyes over that of the cheeks below, and range of grey in both eyes.
SHADE, EYE_RANGE = 0.45, 0.60

_MOUTH = [*LIPS_INNER_UPPER, *LIPS_INNER_LOWER, *LIPS_OUTER_UPPER, *LIPS_OUTER_LOWER]
_EYES = [i for side in ("left", "right") for i in (*EYE_UPPER[side], *EYE_LOWER[side])]
_UNDER_EYE = {
    "right": (228, 229, 230, 231, 110, 24, 23, 22),
    "left": (448, 449, 450, 451, 339, 254, 253, 252),
}
_CHEEK = {"right": (205, 36, 206, 207, 50), "left": (425, 266, 426, 427, 280)}


def judge_still(
    image: Image, face: Face, rotation: npt.NDArray[np.floating], doubt: FloatArray
) -> tuple[str, ...]:
    """Return what cannot be done well with this still.

    Args:
        image: `[H, W, 3] uint8 RGB`, the still as given.
        face: the face in it.
        rotation: `[3]` pitch, yaw, roll of the head, radians.
        doubt: `[478]` from `FaceReader.doubt`.
    """
    points = face.landmarks[:468, :2]
    right, left = (face.landmarks[list(c)].mean(0) for c in ((33, 133), (362, 263)))
    interocular = float(np.linalg.norm(left - right))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    warnings = []
    pitch, yaw = (abs(math.degrees(float(angle))) for angle in rotation[:2])
    aside = math.degrees(math.acos(math.cos(math.radians(yaw)) * math.cos(math.radians(pitch))))
    if yaw > 0.8 * YAW_DEGREES and aside > YAW_DEGREES:
        warnings.append(
            f"face turned {yaw:.0f} degrees: it turns less than told, and the far cheek and lip "
            "corner may look torn"
        )
    if pitch > PITCH_DEGREES:
        warnings.append(f"head tilted {pitch:.0f} degrees up or down: mouth and eyes may be off")
    if interocular < INTEROCULAR_PX:
        warnings.append(f"small face ({interocular:.0f} px between the eyes): little detail")
    elif _sharpness(grey, points, interocular) < SHARPNESS:
        warnings.append("blurred face: teeth and lids that are painted in may look sharper than it")
    if face.presence < PRESENCE or float(doubt[:468].mean()) > FACE_DOUBT:
        warnings.append(
            "face read with little certainty (drawn, hidden or turned away): features may be "
            "misplaced"
        )
    if face.expression[expression_index("jawOpen")] > JAW_OPEN:
        warnings.append("mouth wide open in the still: closing it may leave traces around the lips")
    elif float(doubt[_MOUTH].mean()) > MOUTH_DOUBT:
        warnings.append(
            "mouth hard to read (covered, tongue out, shouting): lips may part in the wrong place"
        )
    if _eyes_in_shade(grey, face.landmarks):
        warnings.append("eyes behind dark glasses or in deep shade: blinks and gaze may look wrong")
    elif float(doubt[_EYES].mean()) > EYES_DOUBT:
        warnings.append("eyes hard to read (covered or shut): blinks and gaze may look wrong")
    limits = np.array(grey.shape[::-1]) - 1
    if float(np.minimum(points, limits - points).min()) < CUT * interocular:
        warnings.append("face cut by the picture's border: what lies beyond is mirrored")
    if float(_inside(grey, points).std()) < FLAT:
        warnings.append("face very dark or flat: features may be misplaced")
    return tuple(warnings)


def _inside(grey: npt.NDArray[np.uint8], points: FloatArray) -> npt.NDArray[np.uint8]:
    """Return the grey values inside the convex hull of points."""
    mask = np.zeros(grey.shape, np.uint8)
    hull = cv2.convexHull(np.ascontiguousarray(points, np.float32)).round().astype(np.int32)
    cv2.fillConvexPoly(mask, hull, 1)
    return grey[mask > 0] if mask.any() else np.zeros(1, np.uint8)


def _sharpness(grey: npt.NDArray[np.uint8], points: FloatArray, interocular_px: float) -> float:
    """Return how much fine detail a face has for its coarser detail."""
    x0, y0 = np.maximum(points.min(0).astype(int), 0)
    x1, y1 = points.max(0).astype(int) + 1
    scale = min(1.0, SHARPNESS_AT_PX / interocular_px)
    face = grey[y0:y1, x0:x1].astype(np.float32)
    small = cv2.resize(face, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    once, thrice = (cv2.GaussianBlur(small, (0, 0), sigma) for sigma in (1.0, 3.0))
    # The middle of the face: no hair, no background.
    rows, columns = (slice(side // 5, side - side // 5) for side in small.shape)
    fine, coarse = (small - once)[rows, columns], (once - thrice)[rows, columns]
    return float(np.sqrt((fine**2).mean()) / max(float(np.sqrt((coarse**2).mean())), 1e-3))


def _eyes_in_shade(grey: npt.NDArray[np.uint8], landmarks: FloatArray) -> bool:
    """Tell whether both eyes lie in far darker surroundings than the cheeks and show no white."""
    soft = cv2.GaussianBlur(grey, (0, 0), 2.0).astype(np.float32)
    limits = np.array(grey.shape[::-1]) - 1

    def level(members: tuple[int, ...]) -> float:
        x, y = np.clip(landmarks[list(members), :2], 0, limits).astype(int).T
        return float(np.median(soft[y, x]))

    shade, contrast = [], []
    for side in ("left", "right"):
        cheek = max(level(_CHEEK[side]), 4.0)
        shade.append(level(_UNDER_EYE[side]) / cheek)
        eye = [*EYE_UPPER[side], *EYE_LOWER[side]]
        values = np.percentile(_inside(soft.astype(np.uint8), landmarks[eye, :2]), (10, 95))
        contrast.append(float(values[1] - values[0]) / cheek)
    return max(shade) < SHADE and max(contrast) < EYE_RANGE
