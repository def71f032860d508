"""Where a head is and how it is turned, from its landmarks.

The canonical face of Google's face geometry is laid onto the landmarks by a weighted similarity
(Umeyama 1991); its weights favour points that move little with expression.
"""

import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from obverse.errors import ConfigError
from obverse.weights import weight_path

__all__ = ["CanonicalFace", "HeadPose", "canonical_face", "euler_angles", "head_pose"]

# The corners of the eye at the picture's left and of the one at its right.
EYE_CORNERS = ((33, 133), (362, 263))


class HeadPose(NamedTuple):
    """A head's pose in a picture."""

    rotation: npt.NDArray[
        np.float64
    ]  # [3] pitch, yaw, roll in radians, as obverse.generator.motion has them
    scale: float  # px, the distance between the eyes' middles in space: turning does not shorten it
    centre: npt.NDArray[np.float64]  # [2] px, the middle of the head, about midway between the ears


class CanonicalFace(NamedTuple):
    """The mean face, x right, y down, z away, in interocular distances about the head's middle."""

    vertices: npt.NDArray[np.float64]  # [468, 3]
    triangles: npt.NDArray[np.int32]  # [898, 3]
    rigidity: npt.NDArray[np.float64]  # [468] >= 0, sums to 1


@functools.cache
def canonical_face() -> CanonicalFace:
    """Return Google's canonical face geometry in this package's axes and units."""
    tensors = safetensors.numpy.load_file(str(weight_path("obverse.faces", "geometry.safetensors")))
    vertices = tensors["vertices"].astype(np.float64)
    left, right = (vertices[list(corners)].mean(axis=0) for corners in EYE_CORNERS)
    weights = tensors["rigidity"].astype(np.float64)
    return CanonicalFace(
        vertices / np.linalg.norm(right - left), tensors["triangles"], weights / weights.sum()
    )


def euler_angles(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return (pitch, yaw, roll) in radians: `generator.motion.rotation_matrix` inverted."""
    yaw = np.arcsin(np.clip(matrix[2, 0], -1, 1))
    pitch = np.arctan2(matrix[2, 1], matrix[2, 2])
    roll = np.arctan2(matrix[1, 0], matrix[0, 0])
    return np.array([pitch, yaw, roll])


def head_pose(landmarks: npt.NDArray[np.floating]) -> HeadPose:
    """Return the pose of a head from its landmarks `[478 or 468, 3]` px (x right, y down, z away).

    A face that looks straight at the viewer has rotation 0. Positive pitch nods down, positive yaw
    turns to the picture's right, positive roll tilts clockwise.
    """
    face = canonical_face()
    points = np.asarray(landmarks, np.float64)
    if points.ndim != 2 or points.shape[0] < len(face.vertices) or points.shape[1] != 3:
        raise ConfigError(
            f"landmarks have shape {list(points.shape)}; a pose needs [478, 3] or [468, 3]."
        )
    points = points[: len(face.vertices)]
    weights = face.rigidity[:, None]
    source_mean, target_mean = (weights * face.vertices).sum(axis=0), (weights * points).sum(axis=0)
    source, target = face.vertices - source_mean, points - target_mean
    u, singular, vt = np.linalg.svd((weights * target).T @ source)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * sign) @ vt
    scale = float((singular * sign).sum() / (weights * source**2).sum())
    centre = target_mean - scale * rotation @ source_mean
    return HeadPose(euler_angles(rotation), scale, centre[:2])
