"""Fitting the head model to a still: whose head it is, how it is turned, what face it makes.

Pose is weak perspective, found by Gauss-Newton steps; shape and expression are linear in the
landmarks and solved by ridge regression with the population's deviations and the blend-shape
network's reading as priors (the scheme of Blanz & Vetter 1999 in the plain form of Huber et al.
2016, section 3).
"""

import dataclasses

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from obverse.generator.contours import FACE_OVAL
from obverse.generator.head import HeadModel
from obverse.generator.motion import rotation_matrix
from obverse.generator.portrait import Portrait

__all__ = ["FittedHead", "eased", "fit_head"]

SKIN_LANDMARKS = 468
_ROUNDS = 5
_SHAPE_RIDGE = (
    2.0e-3  # landmark error (interocular distances squared) that one deviation of shape is worth
)
_EXPRESSION_RIDGE = 4.0e-3
# Radians: stills turned less than the first count as frontal, from the second as near profile; and
# how far either can be turned.
_FRONTAL, _PROFILE = np.deg2rad((15.0, 45.0))
_TURN_FRONTAL, _TURN_PROFILE = np.deg2rad((30.0, 12.0))
_KEPT = 0.6  # of a limit, up to which a movement is shown exactly
_OVAL_WEIGHT = 0.25  # the landmarker's oval slides along the cheek when a head turns


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class FittedHead:
    """The head model in a portrait. Camera frame in picture pixels: x right, y down, z away, 0 at
    the eyes.
    """

    scale_px: float  # interocular distance of the head seen from the front
    origin_px: npt.NDArray[
        np.float32
    ]  # [2] where the point between the eyeballs lies in the picture
    rotation: npt.NDArray[np.float32]  # [3, 3] head frame to camera frame
    neutral: npt.NDArray[
        np.float32
    ]  # [V, 3] the identity's neutral head, head frame, interocular distances
    expression: npt.NDArray[np.float32]  # [52] what the still's face does
    error: float  # root mean square landmark distance in interocular distances

    @property
    def yaw(self) -> float:
        """How far the still's head is turned, radians, positive to the picture's right."""
        return float(np.arcsin(np.clip(self.rotation[2, 0], -1, 1)))

    def within_reach(self, rotation: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return a turn [3] (pitch, yaw, roll, radians) that this still can show.

        A head turned to the side in the still hides its far cheek: it is turned back, or further
        away, by less. Small turns are kept as they are, larger ones approach a limit smoothly.
        """
        turn = np.array(rotation, np.float64)
        aside = np.clip((abs(self.yaw) - _FRONTAL) / (_PROFILE - _FRONTAL), 0, 1)
        turn[1] = eased(turn[1], _TURN_FRONTAL + (_TURN_PROFILE - _TURN_FRONTAL) * aside)
        return turn

    def to_picture(self, points: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Map head-frame points [..., 3] to picture pixels and depth in pixels."""
        placed = (points @ self.rotation.T) * self.scale_px
        placed[..., :2] += self.origin_px
        return np.asarray(placed, np.float32)

    def direction(self, displacements: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Map head-frame displacements [..., 3] to picture pixels."""
        return np.asarray((displacements @ self.rotation.T) * self.scale_px, np.float32)


def eased(value: float, limit: float) -> float:
    """Return a movement that approaches a limit smoothly; well within it nothing is changed."""
    beyond = max(abs(value) - _KEPT * limit, 0.0)
    room = (1 - _KEPT) * limit
    return float(np.sign(value) * (abs(value) - beyond + room * np.tanh(beyond / room)))


def fit_head(portrait: Portrait, model: HeadModel) -> FittedHead:
    """Fit the head model to a portrait's landmarks."""
    landmarks = portrait.landmarks[:SKIN_LANDMARKS].astype(np.float64)
    triangles = model.triangles[model.landmark_triangles[:SKIN_LANDMARKS]]
    barycentric = model.landmark_barycentric[:SKIN_LANDMARKS].astype(np.float64)

    def at_landmarks(field: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        return np.asarray(np.einsum("lk,...lkd->...ld", barycentric, field[..., triangles, :]))

    mean = at_landmarks(model.vertices)
    shapes = at_landmarks(model.shapes)
    expressions = at_landmarks(model.expressions)
    weights = np.ones(SKIN_LANDMARKS)
    weights[list(FACE_OVAL)] = _OVAL_WEIGHT
    shape = np.zeros(len(shapes))
    prior = portrait.expression.astype(np.float64)
    expression = prior.copy()
    scale = portrait.interocular_px * 1.02
    origin = landmarks[[33, 133, 362, 263], :2].mean(0)
    pose = np.array([*portrait.rotation, np.log(scale), *origin], np.float64)

    def project(
        pose: npt.NDArray[np.float64], points: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        return np.asarray(
            np.exp(pose[3]) * (points @ rotation_matrix(pose[:3]).T)[:, :2] + pose[4:6]
        )

    for _ in range(_ROUNDS):
        points = mean + np.tensordot(shape, shapes, 1) + np.tensordot(expression, expressions, 1)

        def residual(
            pose: npt.NDArray[np.float64], points: npt.NDArray[np.float64] = points
        ) -> npt.NDArray[np.float64]:
            miss = (project(pose, points) - landmarks[:, :2]) * np.exp(-pose[3])
            return np.asarray((miss * np.sqrt(weights)[:, None]).ravel())

        pose = least_squares(residual, pose, x_scale=[0.1, 0.1, 0.1, 0.05, 5.0, 5.0]).x
        rotation, scale = rotation_matrix(pose[:3]), np.exp(pose[3])
        basis = np.concatenate([shapes, expressions])
        flat = np.einsum("kld,ed->kle", basis, rotation[:2]) * np.sqrt(weights)[:, None]
        design = flat.reshape(len(basis), -1).T
        centre = mean @ rotation.T
        wanted = (landmarks[:, :2] - pose[4:6]) / scale - centre[:, :2]
        target = (wanted * np.sqrt(weights)[:, None]).ravel()
        ridge = np.concatenate(
            [np.full(len(shapes), _SHAPE_RIDGE), np.full(len(expressions), _EXPRESSION_RIDGE)]
        ) * len(target)
        start = np.concatenate([np.zeros(len(shapes)), prior])
        normal = design.T @ design + np.diag(ridge)
        solution = start + np.linalg.solve(normal, design.T @ (target - design @ start))
        shape = np.clip(solution[: len(shapes)], -3, 3)
        expression = np.clip(solution[len(shapes) :], 0, 1)
    points = mean + np.tensordot(shape, shapes, 1) + np.tensordot(expression, expressions, 1)
    miss = (project(pose, points) - landmarks[:, :2]) / np.exp(pose[3])
    return FittedHead(
        scale_px=float(np.exp(pose[3])),
        origin_px=pose[4:6].astype(np.float32),
        rotation=rotation_matrix(pose[:3]).astype(np.float32),
        neutral=model.shaped(shape.astype(np.float32)),
        expression=expression.astype(np.float32),
        error=float(np.sqrt((miss**2).sum(1).mean())),
    )
