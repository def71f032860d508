"""The head model: one mesh of head, neck and shoulders with 52 expressions, shapes and the 478
landmarks.

Sitters are rendered from it and portraits are fitted with it. The frame is the camera's (x right, y
down, z away); the face looks along -z, the unit is the distance between the eyeballs' centres and
the origin lies midway between them. "Left" is the sitter's left, which is +x, the picture's right.
"""

import dataclasses
import functools
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError
from obverse.generator.motion import EXPRESSIONS, expression_index, rotation_matrix
from obverse.weights import weight_path

__all__ = [
    "EYE_LEFT",
    "EYE_RIGHT",
    "INNER_MOUTH",
    "LANDMARKS",
    "LASHES",
    "PARTS",
    "PUPILS",
    "SKIN",
    "SOCKET",
    "TEETH_LOWER",
    "TEETH_UPPER",
    "TONGUE",
    "HeadModel",
]

SKIN, EYE_LEFT, EYE_RIGHT, TEETH_UPPER, TEETH_LOWER, TONGUE, LASHES, INNER_MOUTH, SOCKET = range(9)
PARTS = (
    "skin",
    "eye_left",
    "eye_right",
    "teeth_upper",
    "teeth_lower",
    "tongue",
    "lashes",
    "inner_mouth",
    "socket",
)
LANDMARKS = 478
# The landmarker's iris points: centre, then four points on the rim. The first five lie on the
# sitter's right eye.
PUPILS = {"right": 468, "left": 473}

FloatArray = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class HeadModel:
    """A mean adult head and the bases that move it. Made by `python -m
    obverse.generator.sitters.build`."""

    vertices: FloatArray  # [V, 3] the neutral mean adult
    triangles: npt.NDArray[np.int32]  # [F, 3] counter-clockwise seen from outside in a y-up view
    parts: npt.NDArray[np.uint8]  # [F] SKIN, EYE_LEFT, ...
    vertex_parts: npt.NDArray[np.uint8]  # [V]
    uv: FloatArray  # [F, 3, 2] texture coordinates a corner, origin at the upper left
    # [52, V, 3] displacements at coefficient 1, in the order of EXPRESSIONS
    expressions: FloatArray
    # [K, V, 3] displacements of one standard deviation, principal components of adults
    shapes: FloatArray
    shape_deviations: FloatArray  # [K] root mean square displacement of one standard deviation
    head_weight: FloatArray  # [V] 1 turns with the head, 0 stays with the shoulders
    eye_centres: FloatArray  # [2, 3] left, right
    eye_radius: float
    # [2, 4] radians at coefficient 1: eye (left, right) x (down, in, out, up)
    gaze_angles: FloatArray
    neck_pivot: FloatArray  # [3] about which the head turns
    jaw_hinge: FloatArray  # [3] midpoint of the jaw's joints
    landmark_triangles: npt.NDArray[np.int32]  # [478] the triangle under each landmark
    landmark_barycentric: FloatArray  # [478, 3] where in it

    @classmethod
    def load(cls) -> Self:
        """Read the packed model (cached; treat the arrays as read-only).

        Raises:
            WeightsError: the pack is absent or is not the one on its card.
        """
        return cls(**_arrays())

    def skin_triangles(self) -> npt.NDArray[np.int32]:
        """Return the indices of the triangles of the outer skin."""
        return np.flatnonzero(self.parts == SKIN).astype(np.int32)

    def shaped(self, weights: npt.ArrayLike) -> FloatArray:
        """Return neutral vertices [V, 3] of an identity with `K' <= K` shape weights in standard
        deviations."""
        weights = np.asarray(weights, np.float32)
        if weights.ndim != 1 or len(weights) > len(self.shapes):
            raise ConfigError(
                f"shape weights have shape {weights.shape}; give up to {len(self.shapes)} numbers."
            )
        moved = np.tensordot(weights, self.shapes[: len(weights)], axes=(0, 0))
        return np.asarray(self.vertices + moved, np.float32)

    def expressed(self, neutral: FloatArray, expression: npt.ArrayLike) -> FloatArray:
        """Return an identity's vertices [V, 3] with an expression [52], the head not yet turned.

        Displacements add up; `mouthClose` closes no further than `jawOpen` opens, and eyeballs turn
        rigidly.
        """
        coefficients = np.clip(np.asarray(expression, np.float32), -0.2, 1.2).copy()
        close = expression_index("mouthClose")
        coefficients[close] = min(
            coefficients[close], max(coefficients[expression_index("jawOpen")], 0.0)
        )
        active = np.flatnonzero(np.abs(coefficients) > 1e-4)
        posed = neutral + np.tensordot(coefficients[active], self.expressions[active], axes=(0, 0))
        for side, part in enumerate((EYE_LEFT, EYE_RIGHT)):
            members = self.vertex_parts == part
            ball = neutral[members]
            centre = self.eyeball_centre(neutral, side)
            posed[members] = (ball - centre) @ self.gaze_rotation(coefficients, side).T + centre
        return np.asarray(posed, np.float32)

    def eyeball_centre(self, vertices: FloatArray, side: int) -> FloatArray:
        """Return the centre [3] of an eyeball (0 left, 1 right) of neutral vertices."""
        ball = vertices[self.vertex_parts == (EYE_LEFT, EYE_RIGHT)[side]]
        mean = self.vertices[self.vertex_parts == (EYE_LEFT, EYE_RIGHT)[side]]
        return np.asarray(self.eye_centres[side] + (ball - mean).mean(0), np.float32)

    def gaze_rotation(self, expression: npt.ArrayLike, side: int) -> FloatArray:
        """Return the rotation [3, 3] of an eyeball (0 left, 1 right) under an expression [52]."""
        coefficients = np.asarray(expression)
        name = ("Left", "Right")[side]
        down, inward, outward, up = (
            float(coefficients[expression_index(f"eyeLook{way}{name}")]) * float(angle)
            for way, angle in zip(("Down", "In", "Out", "Up"), self.gaze_angles[side], strict=True)
        )
        yaw = (outward - inward) if side == 0 else (inward - outward)
        return np.asarray(rotation_matrix([down - up, yaw, 0.0]), np.float32)

    def turned(
        self, vertices: FloatArray, rotation: npt.ArrayLike, translation: npt.ArrayLike
    ) -> FloatArray:
        """Return vertices with the head turned about the neck (pitch, yaw, roll) and moved;
        shoulders stay."""
        matrix = rotation_matrix(rotation).astype(np.float32)
        turned = (
            (vertices - self.neck_pivot) @ matrix.T
            + self.neck_pivot
            + np.asarray(translation, np.float32)
        )
        weight = self.head_weight[:, None]
        return np.asarray(weight * turned + (1 - weight) * vertices, np.float32)

    def landmarks(self, vertices: FloatArray) -> FloatArray:
        """Return the 478 landmarks [478, 3] on a mesh in any pose."""
        corners = vertices[self.triangles[self.landmark_triangles]]
        return np.asarray(np.einsum("lk,lkd->ld", self.landmark_barycentric, corners), np.float32)


def _unpacked(archive: Any, name: str) -> FloatArray:
    """Read displacements that were quantised to 16 bits, one scale a displacement field."""
    scale = archive[f"{name}_scale"][:, None, None]
    return np.asarray(archive[name].astype(np.float32) * scale, np.float32)


@functools.cache
def _arrays() -> dict[str, Any]:
    with np.load(
        weight_path("obverse.generator.sitters", "head.npz"), allow_pickle=False
    ) as archive:
        arrays: dict[str, Any] = {
            field.name: archive[field.name]
            for field in dataclasses.fields(HeadModel)
            if field.name not in ("expressions", "shapes", "eye_radius")
        }
        arrays["expressions"] = _unpacked(archive, "expressions")
        arrays["shapes"] = _unpacked(archive, "shapes")
        arrays["eye_radius"] = float(archive["eye_radius"])
    if len(arrays["expressions"]) != len(EXPRESSIONS):
        raise ConfigError(
            f"the head pack has {len(arrays['expressions'])} expressions, not {len(EXPRESSIONS)}."
        )
    for value in arrays.values():
        if isinstance(value, np.ndarray):
            value.setflags(write=False)
    return arrays
