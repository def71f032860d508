"""Binds the 478 landmarks to the head model: sitters are rendered, read by the landmarker, and
averaged.

For each landmark the surface point under it is found in every picture, carried to the mean head and
the median taken; left and right are then made each other's mirror image.
"""

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from obverse.errors import FaceError
from obverse.faces.landmarks import FaceReader
from obverse.generator.head import EYE_LEFT, EYE_RIGHT, LANDMARKS, SKIN, HeadModel
from obverse.generator.motion import EXPRESSIONS, expression_index
from obverse.generator.sitters.raster import visibility
from obverse.generator.sitters.sitter import Sitter

__all__ = ["bind_landmarks"]

FloatArray = npt.NDArray[np.float32]
_SITTERS = 24
_FIRST_SEED = 900_000
_SIZE = 512
_IRISES = range(468, 478)
# The lips' inner rims touch in a closed mouth: they are read with the jaw open.
_INNER_LIPS = (
    78,
    191,
    80,
    81,
    82,
    13,
    312,
    311,
    310,
    415,
    308,
    324,
    318,
    402,
    317,
    14,
    87,
    178,
    88,
    95,
)
_JAW = 0.45
_YAWS = (-0.16, 0.0, 0.16)


def _canonical() -> FloatArray:
    """Return the mean head with the jaw open, where no two parts of the skin touch."""
    model = HeadModel.load()
    return np.asarray(
        model.vertices + _JAW * model.expressions[expression_index("jawOpen")], np.float32
    )


def _under(
    points: FloatArray, screen: FloatArray, triangles: npt.NDArray[np.int32], canonical: FloatArray
) -> FloatArray:
    nearness = np.empty((2 * _SIZE, 2 * _SIZE), np.float32)
    shown = np.empty((2 * _SIZE, 2 * _SIZE), np.int32)
    never = np.ones(len(screen), np.float32)
    visibility(screen, triangles, np.ones(len(triangles), np.uint8), never, nearness, shown)
    rows, columns = np.nonzero(shown >= 0)
    wanted = 2.0 * (points.astype(np.float64) + 0.5)
    nearest = cKDTree(np.stack([columns, rows], -1) + 0.5).query(wanted)[1]
    found = np.zeros((len(points), 3), np.float32)
    for index, (x, y) in enumerate(wanted):
        column, row = columns[nearest[index]] + 0.5, rows[nearest[index]] + 0.5
        face = triangles[shown[rows[nearest[index]], columns[nearest[index]]]]
        if np.hypot(column - x, row - y) < 1.0:
            column, row = x, y
        corners = screen[face]
        system = np.vstack([corners[:, :2].T, np.ones(3)])
        weights = np.clip(np.linalg.solve(system, [column, row, 1.0]), 0, 1) * corners[:, 2]
        found[index] = (weights / weights.sum()) @ canonical[face]
    return found


def _closest(
    point: FloatArray,
    canonical: FloatArray,
    faces: npt.NDArray[np.int64],
    triangles: npt.NDArray[np.int32],
) -> tuple[int, FloatArray]:
    """Return the triangle nearest to a point and the barycentric coordinates in it."""
    corners = canonical[triangles[faces]].astype(np.float64)
    order = np.argsort(((corners.mean(1) - point) ** 2).sum(1))[:80]
    best = (np.inf, int(faces[order[0]]), np.full(3, 1 / 3))
    for candidate in order:
        a, b, c = corners[candidate]
        system = np.stack([b - a, c - a], -1)
        s, t = np.linalg.lstsq(system, point - a, rcond=None)[0]
        trials = [np.array([1 - s - t, s, t])] if min(s, t, 1 - s - t) >= 0 else []
        for start, end, place in ((a, b, (0, 1)), (b, c, (1, 2)), (c, a, (2, 0))):
            edge = end - start
            along = float(np.clip((point - start) @ edge / max(edge @ edge, 1e-12), 0, 1))
            weights = np.zeros(3)
            weights[place[0]], weights[place[1]] = 1 - along, along
            trials.append(weights)
        for weights in trials:
            distance = float(((weights @ corners[candidate] - point) ** 2).sum())
            if distance < best[0]:
                best = (distance, int(faces[candidate]), weights)
    return best[1], best[2].astype(np.float32)


def bind_landmarks() -> tuple[npt.NDArray[np.int32], FloatArray]:
    """Return the triangle [478] under each landmark and barycentric coordinates [478, 3] in it.

    Raises:
        FaceError: the landmarker finds too few of the rendered faces.
    """
    model = HeadModel.load()
    canonical = _canonical()
    reader = FaceReader()
    solid = np.flatnonzero(model.parts == SKIN)
    eyes = np.flatnonzero(np.isin(model.parts, (EYE_LEFT, EYE_RIGHT)))
    readings: list[list[FloatArray]] = [[] for _ in range(LANDMARKS)]
    lips = set(_INNER_LIPS)
    for seed in range(_FIRST_SEED, _FIRST_SEED + _SITTERS):
        sitter = Sitter.from_seed(seed)
        for yaw in _YAWS:
            for jaw in (0.0, _JAW):
                if jaw and yaw:
                    continue
                expression = np.zeros(len(EXPRESSIONS), np.float32)
                expression[expression_index("jawOpen")] = jaw
                rotation = np.array((0.0, yaw, 0.0)) - sitter.appearance.rest
                drawn = sitter.frame(expression, rotation, np.zeros(3), _SIZE)
                faces = reader.read(drawn.image)
                if not faces:
                    continue
                screen = sitter.screen(expression, rotation, np.zeros(3), 2 * _SIZE)
                marks = faces[0].landmarks[:, :2]
                on_skin = _under(marks, screen, model.triangles[solid], canonical)
                on_eyes = _under(marks, screen, model.triangles[eyes], canonical)
                for index in range(LANDMARKS):
                    if index in _IRISES:
                        if not jaw:
                            readings[index].append(on_eyes[index])
                    elif (index in lips) == bool(jaw):
                        readings[index].append(on_skin[index])
    if min(len(found) for found in readings) < _SITTERS // 2:
        raise FaceError(
            "the landmarker found too few of the rendered sitters; look at the renders."
        )
    points = np.stack([np.median(found, axis=0) for found in readings]).astype(np.float64)
    mirrored = points * (-1, 1, 1)
    partner = ((points[:, None] - mirrored[None]) ** 2).sum(-1).argmin(1)
    mutual = partner[partner] == np.arange(LANDMARKS)
    points[mutual] = (points[mutual] + mirrored[partner[mutual]]) / 2
    triangles = np.zeros(LANDMARKS, np.int32)
    barycentric = np.zeros((LANDMARKS, 3), np.float32)
    for index in range(LANDMARKS):
        faces_of = eyes if index in _IRISES else solid
        triangles[index], barycentric[index] = _closest(
            points[index], canonical, faces_of, model.triangles
        )
    return triangles, barycentric
