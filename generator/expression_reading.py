"""Coefficients from a face's landmarks, in the terms of the head model.

The landmarker's own blend-shape network answers to some coefficients hardly at all (a brow lowered
by 1 moves its reading by .2). A linear map from all landmarks, in the head's own frame, and from
that network's outputs does better on sitters whose coefficients are known: `python -m
obverse.generator.train_reading` fits it and says how well.
"""

import functools

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from obverse.faces.landmarks import LANDMARKS, Face
from obverse.faces.pose import HeadPose, canonical_face
from obverse.generator.motion import EXPRESSIONS, rotation_matrix
from obverse.weights import weight_path

__all__ = ["FEATURES", "OUTPUTS", "away_from", "face_features", "raw_reading", "turned_from"]

Floats = npt.NDArray[np.float64]

FEATURES = LANDMARKS * 3 + len(EXPRESSIONS)
OUTPUTS = len(EXPRESSIONS) + 3
_NETWORK_SHARE = 0.15  # brings a coefficient of the network to the scale of the landmarks' moves


def face_features(face: Face, pose: HeadPose) -> Floats:
    """Return the features `[FEATURES]` of a face: landmarks in the head's frame, in interocular
    distances about the middle of what moves little, and the network's coefficients.
    """
    points = face.landmarks.astype(np.float64)
    rigid = canonical_face().rigidity
    middle = rigid @ points[: len(rigid)]
    level = (points - middle) @ rotation_matrix(pose.rotation) / pose.scale
    return np.concatenate([level.ravel(), _NETWORK_SHARE * face.expression])


def raw_reading(features: npt.NDArray[np.floating]) -> Floats:
    """Return what features `[..., FEATURES]` say, `[..., OUTPUTS]`: coefficients, and by how much
    the pose is misread on account of the expression.

    Only differences mean something: see `away_from`.
    """
    weights, _, mean = _reading()
    return np.asarray((features - mean) @ weights)


def turned_from(rotation: npt.NDArray[np.floating], rest: npt.NDArray[np.floating]) -> Floats:
    """Return rotations `[T, 3]` (pitch, yaw, roll; radians) relative to a rest pose `[3]`."""
    own = rotation_matrix(rest).T @ rotation_matrix(rotation)
    # The inverse of `rotation_matrix`.
    return np.stack(
        [
            np.arctan2(own[:, 2, 1], own[:, 2, 2]),
            np.arcsin(np.clip(own[:, 2, 0], -1.0, 1.0)),
            np.arctan2(own[:, 1, 0], own[:, 0, 0]),
        ],
        1,
    )


def away_from(raw: Floats, rest: Floats, turned: Floats) -> tuple[Floats, Floats]:
    """Return coefficients `[T, 52]`, not clipped, and rotations `[T, 3]` away from a rest.

    Args:
        raw: `[T, OUTPUTS]` of `raw_reading`.
        rest: `[OUTPUTS]` of the same face at rest.
        turned: `[T, 3]` pitch, yaw, roll from the rest's pose, as `head_pose` reads them, radians.
    """
    _, by_pose, _ = _reading()
    away = raw - rest + turned @ by_pose
    split = len(EXPRESSIONS)
    return away[:, :split], turned + away[:, split:]


@functools.cache
def _reading() -> tuple[Floats, Floats, Floats]:
    path = weight_path("obverse.generator", "reading.safetensors")
    tensors = safetensors.numpy.load_file(str(path))
    weights = tensors["weights"].astype(np.float64)
    return weights[:FEATURES], weights[FEATURES:], tensors["mean"].astype(np.float64)
