"""The skin's surface as pictures.

Where each texel of the head's texture lies on the mean head, and noise on it.
"""

import functools
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from obverse.generator.head import HeadModel
from obverse.generator.sitters.kernels import compiled

__all__ = [
    "HEAD_BOX",
    "TEXTURE_SHAPE",
    "bumps",
    "head_uv",
    "landmark_texels",
    "light_basis",
    "light_texels",
    "noise",
    "positions",
    "vertex_occlusion",
]

# The head's island in MakeHuman's uv space: u0, v0, u1, v1 (origin upper left).
HEAD_BOX = (324 / 512, 90 / 512, 1.0, 440 / 512)
TEXTURE_SHAPE = (1400, 754)  # rows, columns: about one texel a pixel at 512x512

FloatArray = npt.NDArray[np.float32]


def head_uv(uv: FloatArray) -> FloatArray:
    """Return texture coordinates within HEAD_BOX, in [0, 1]."""
    left, top, right, bottom = HEAD_BOX
    return np.asarray((uv - (left, top)) / (right - left, bottom - top), np.float32)


@compiled
def _fill(corners: Any, values: Any, out: Any, hit: Any) -> None:
    rows, columns = hit.shape
    for face in range(corners.shape[0]):
        ax, ay = corners[face, 0, 0], corners[face, 0, 1]
        bx, by = corners[face, 1, 0], corners[face, 1, 1]
        cx, cy = corners[face, 2, 0], corners[face, 2, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0.0:
            continue
        left = max(int(np.floor(min(ax, bx, cx))) - 1, 0)
        right = min(int(np.ceil(max(ax, bx, cx))) + 1, columns - 1)
        top = max(int(np.floor(min(ay, by, cy))) - 1, 0)
        bottom = min(int(np.ceil(max(ay, by, cy))) + 1, rows - 1)
        margin = -0.02
        for row in range(top, bottom + 1):
            for column in range(left, right + 1):
                x, y = column + 0.5, row + 0.5
                wa = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / area
                wb = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / area
                wc = 1.0 - wa - wb
                if wa >= margin and wb >= margin and wc >= margin:
                    for channel in range(out.shape[2]):
                        out[row, column, channel] = (
                            wa * values[face, 0, channel]
                            + wb * values[face, 1, channel]
                            + wc * values[face, 2, channel]
                        )
                    hit[row, column] = True


@functools.cache
def positions() -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Return where each texel lies on the mean head, [H, W, 3], and which texels lie on it."""
    model = HeadModel.load()
    faces = model.skin_triangles()
    uv = head_uv(model.uv[faces])
    inside = ((uv > -0.02) & (uv < 1.02)).all((1, 2))
    rows, columns = TEXTURE_SHAPE
    corners = (uv[inside] * (columns, rows)).astype(np.float32)
    out = np.zeros((rows, columns, 3), np.float32)
    hit = np.zeros((rows, columns), np.bool_)
    _fill(corners, model.vertices[model.triangles[faces[inside]]], out, hit)
    # Carry the border outwards, so that filtering at seams finds sensible places.
    near = cv2.distanceTransformWithLabels(
        (~hit).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    labels = near[1]
    lookup = np.zeros((labels.max() + 1, 2), np.int64)
    inside_rows, inside_columns = np.nonzero(hit)
    lookup[labels[hit]] = np.stack([inside_rows, inside_columns], -1)
    source = lookup[labels]
    return out[source[..., 0], source[..., 1]], hit


@compiled
def _hash(x: int, y: int, z: int, seed: int) -> Any:
    value = np.uint32(x) * np.uint32(374761393) + np.uint32(y) * np.uint32(668265263)
    value += np.uint32(z) * np.uint32(2147483647) + np.uint32(seed) * np.uint32(144665)
    value = (value ^ (value >> np.uint32(13))) * np.uint32(1274126177)
    value = value ^ (value >> np.uint32(16))
    return np.float32(value & np.uint32(0xFFFFFF)) / np.float32(0xFFFFFF)


@compiled
def _noise(points: Any, frequency: Any, seed: int, out: Any) -> None:
    for row in range(points.shape[0]):
        for column in range(points.shape[1]):
            x = points[row, column, 0] * frequency[0] + 512.0
            y = points[row, column, 1] * frequency[1] + 512.0
            z = points[row, column, 2] * frequency[2] + 512.0
            ix, iy, iz = int(x), int(y), int(z)
            fx, fy, fz = x - ix, y - iy, z - iz
            fx = fx * fx * (3 - 2 * fx)
            fy = fy * fy * (3 - 2 * fy)
            fz = fz * fz * (3 - 2 * fz)
            total = 0.0
            for corner in range(8):
                dx, dy, dz = corner & 1, (corner >> 1) & 1, corner >> 2
                weight = (fx if dx else 1 - fx) * (fy if dy else 1 - fy) * (fz if dz else 1 - fz)
                total += weight * _hash(ix + dx, iy + dy, iz + dz, seed)
            out[row, column] += 2.0 * total - 1.0


def noise(
    points: FloatArray, frequency: float | tuple[float, float, float], seed: int, octaves: int = 1
) -> FloatArray:
    """Return value noise in about [-1, 1] at points [H, W, 3].

    Each octave has twice the frequency, half the height.
    """
    start = np.broadcast_to(np.asarray(frequency, np.float32), (3,))
    total = np.zeros(points.shape[:2], np.float32)
    for octave in range(octaves):
        layer = np.zeros(points.shape[:2], np.float32)
        _noise(points, start * np.float32(2**octave), seed + 31 * octave, layer)
        total += layer * np.float32(0.5**octave)
    return total


@functools.cache
def _tangents() -> tuple[FloatArray, FloatArray]:
    """Return the surface's derivatives along the texture's columns and rows, over their squared
    length."""
    where, _ = positions()
    found = []
    for axis in (1, 0):
        step = np.gradient(where, axis=axis).astype(np.float32)
        size = (step**2).sum(-1, keepdims=True)
        step[size[..., 0] > 0.05**2] = 0.0  # across a seam
        found.append(step / np.maximum(size, 1e-6))
    return found[0], found[1]


def bumps(height: FloatArray) -> FloatArray:
    """Return the change of the normal, [H, W, 3] in the head's frame, that a relief in interocular
    distances makes."""
    along, down = _tangents()
    return np.asarray(
        -(
            np.gradient(height, axis=1)[..., None] * along
            + np.gradient(height, axis=0)[..., None] * down
        ),
        np.float32,
    )


def vertex_occlusion(
    vertices: FloatArray,
    normals: FloatArray,
    casters: list[tuple[FloatArray, Any, Any, Any]],
    directions: int = 48,
) -> FloatArray:
    """Return the share of the sky in [0, 1] that each vertex sees past the casters (vertices,
    triangles, uv, alpha)."""
    from obverse.generator.sitters.raster import shadow_depth

    size = 224
    reach = 4.6
    golden = np.pi * (3 - np.sqrt(5))
    index = np.arange(directions) + 0.5
    y = 1 - 2 * index / directions
    ring = np.sqrt(1 - y * y)
    sky = np.stack([ring * np.cos(golden * index), y, ring * np.sin(golden * index)], -1).astype(
        np.float32
    )
    seen = np.zeros(len(vertices), np.float32)
    total = np.zeros(len(vertices), np.float32)
    for direction in sky:
        basis = light_basis(direction)
        depth = np.full((size, size), 1e9, np.float32)
        for points, triangles, uv, alpha in casters:
            shadow_depth(light_texels(points, basis, size, reach), triangles, uv, alpha, depth)
        mapped = light_texels(vertices + 0.03 * normals, basis, size, reach)
        texel = np.clip(mapped[:, :2].astype(int), 0, size - 1)
        free = mapped[:, 2] < depth[texel[:, 1], texel[:, 0]] + 0.02
        weight = np.maximum(normals @ direction, 0)
        seen += weight * free
        total += weight
    return np.asarray(seen / np.maximum(total, 1e-6), np.float32)


def light_basis(direction: npt.NDArray[np.floating]) -> FloatArray:
    """Return rows right, down, away [3, 3] of a light's map; `direction` points to the light."""
    away = -direction / np.linalg.norm(direction)
    right = np.cross([0.0, 1.0, 0.0], away)
    right = right / max(float(np.linalg.norm(right)), 1e-6)
    return np.asarray(np.stack([right, np.cross(away, right), away]), np.float32)


def light_texels(points: FloatArray, basis: FloatArray, size: int, reach: float) -> FloatArray:
    """Return texel coordinates and depth [V, 3] in a light's map that spans +-reach around the
    head's middle."""
    mapped = (points - np.array([0.0, 0.9, 0.8], np.float32)) @ basis.T
    mapped[:, :2] = (mapped[:, :2] / (2 * reach) + 0.5) * size
    return np.asarray(mapped, np.float32)


@functools.cache
def landmark_texels() -> FloatArray:
    """Return where each landmark lies in the head's texture.

    [478, 2] columns and rows (irises: nowhere sensible).
    """
    model = HeadModel.load()
    uv = head_uv(model.uv[model.landmark_triangles])
    rows, columns = TEXTURE_SHAPE
    return np.asarray(
        np.einsum("lk,lkd->ld", model.landmark_barycentric, uv) * (columns, rows), np.float32
    )
