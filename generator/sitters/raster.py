"""A z-buffer rasteriser in numba: which triangle each sample shows, and the light's shadow map.

Samples lie on a grid twice as fine as the picture; `shade.py` lights a pixel once where its four
samples agree and four times at edges, so silhouettes are smooth and the inside is cheap. All
kernels release the GIL.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from obverse.generator.sitters.kernels import compiled

__all__ = ["SAMPLES", "layer_fragments", "shadow_depth", "vertex_normals", "visibility"]

SAMPLES = 2  # samples a pixel's side

_ONE = np.float32(1.0)  # plain numbers would make every term a double
_HALF = np.float32(0.5)
_PAST = np.float32(1.001)

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]


@compiled
def vertex_normals(vertices: Any, triangles: Any, normals: Any) -> None:
    """Write area-weighted unit vertex normals into `normals` [V, 3]."""
    normals[:] = 0.0
    for face in range(triangles.shape[0]):
        a, b, c = triangles[face, 0], triangles[face, 1], triangles[face, 2]
        ux, uy, uz = (
            vertices[b, 0] - vertices[a, 0],
            vertices[b, 1] - vertices[a, 1],
            vertices[b, 2] - vertices[a, 2],
        )
        vx, vy, vz = (
            vertices[c, 0] - vertices[a, 0],
            vertices[c, 1] - vertices[a, 1],
            vertices[c, 2] - vertices[a, 2],
        )
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for corner in (a, b, c):
            normals[corner, 0] += nx
            normals[corner, 1] += ny
            normals[corner, 2] += nz
    for vertex in range(normals.shape[0]):
        x, y, z = normals[vertex, 0], normals[vertex, 1], normals[vertex, 2]
        length = np.sqrt(x * x + y * y + z * z)
        scale = np.float32(1.0) / max(length, np.float32(1e-12))
        normals[vertex, 0] = x * scale
        normals[vertex, 1] = y * scale
        normals[vertex, 2] = z * scale


@compiled
def visibility(
    screen: Any, triangles: Any, sides: Any, cutoff: Any, nearness: Any, shown: Any
) -> None:
    """Draw triangles into `nearness` [h, w] (1/z, larger is nearer) and `shown` [h, w] (triangle or
    -1).

    `screen` [V, 3] holds sample coordinates and 1/z. Where the interpolated `cutoff` [V] is
    negative a triangle of the garment is cut away. A triangle with `sides` [F] 1 is
    seen from its front, with 2 from both, with 0 not at all.
    """
    height, width = nearness.shape
    nearness[:] = 0.0
    shown[:] = -1
    for face in range(triangles.shape[0]):
        a, b, c = triangles[face, 0], triangles[face, 1], triangles[face, 2]
        ax, ay, az = screen[a, 0], screen[a, 1], screen[a, 2]
        bx, by, bz = screen[b, 0], screen[b, 1], screen[b, 2]
        cx, cy, cz = screen[c, 0], screen[c, 1], screen[c, 2]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0.0 or sides[face] == 0 or (area > 0.0 and sides[face] == 1):
            continue
        left = max(int(np.ceil(min(ax, bx, cx) - 0.5)), 0)
        right = min(int(np.floor(max(ax, bx, cx) - 0.5)), width - 1)
        top = max(int(np.ceil(min(ay, by, cy) - 0.5)), 0)
        bottom = min(int(np.floor(max(ay, by, cy) - 0.5)), height - 1)
        if left > right or top > bottom:
            continue
        inverse = np.float32(1.0) / area
        ua, ub, uc = cutoff[a], cutoff[b], cutoff[c]
        cut = ua < 0.0 or ub < 0.0 or uc < 0.0
        step_a, step_b = (by - cy) * inverse, (cy - ay) * inverse
        step_c = -step_a - step_b
        step_z = step_a * az + step_b * bz + step_c * cz
        for row in range(top, bottom + 1):
            y = np.float32(row) + np.float32(0.5)
            x = np.float32(left) + np.float32(0.5)
            wa = ((bx - x) * (cy - y) - (by - y) * (cx - x)) * inverse
            wb = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) * inverse
            wc = np.float32(1.0) - wa - wb
            # The columns where all three weights are positive.
            start, stop = np.float32(0.0), np.float32(right - left)
            for weight, step in ((wa, step_a), (wb, step_b), (wc, step_c)):
                if step > 0.0:
                    start = max(start, -weight / step)
                elif step < 0.0:
                    stop = min(stop, -weight / step)
                elif weight < 0.0:
                    stop = np.float32(-1.0)
            if start > stop:
                continue
            first = int(np.ceil(start))
            moved = np.float32(first)
            z = wa * az + wb * bz + wc * cz + moved * step_z
            if cut:
                wa += moved * step_a
                wb += moved * step_b
            for column in range(left + first, left + int(np.floor(stop)) + 1):
                if z > nearness[row, column] and (
                    not cut or wa * ua + wb * ub + (np.float32(1.0) - wa - wb) * uc >= 0.0
                ):
                    nearness[row, column] = z
                    shown[row, column] = face
                z += step_z
                if cut:
                    wa += step_a
                    wb += step_b


@compiled
def shadow_depth(points: Any, triangles: Any, uv: Any, alpha: Any, depth: Any) -> None:
    """Draw triangles into a light's `depth` [h, w] (smaller is nearer the light).

    `points` [V, 3] are in the map's texels with depth as the third; `alpha` [h, w] uint8 is the
    texture that cuts the triangles out by their `uv` [F, 3, 2]; an alpha of size 1x1 cuts nothing
    out.
    """
    height, width = depth.shape
    rows, columns = alpha.shape
    cut = rows > 1
    for face in range(triangles.shape[0]):
        a, b, c = triangles[face, 0], triangles[face, 1], triangles[face, 2]
        ax, ay, az = points[a, 0], points[a, 1], points[a, 2]
        bx, by, bz = points[b, 0], points[b, 1], points[b, 2]
        cx, cy, cz = points[c, 0], points[c, 1], points[c, 2]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0.0:
            continue
        left = max(int(np.ceil(min(ax, bx, cx) - 0.5)), 0)
        right = min(int(np.floor(max(ax, bx, cx) - 0.5)), width - 1)
        top = max(int(np.ceil(min(ay, by, cy) - 0.5)), 0)
        bottom = min(int(np.floor(max(ay, by, cy) - 0.5)), height - 1)
        if left > right or top > bottom:
            continue
        inverse = np.float32(1.0) / area
        step_a, step_b = (by - cy) * inverse, (cy - ay) * inverse
        step_c = -step_a - step_b
        for row in range(top, bottom + 1):
            y = np.float32(row) + _HALF
            x = np.float32(left) + _HALF
            wa = ((bx - x) * (cy - y) - (by - y) * (cx - x)) * inverse
            wb = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) * inverse
            # The columns where all three weights are positive, and one more each side.
            start, stop = np.float32(0.0), np.float32(right - left)
            for weight, step in ((wa, step_a), (wb, step_b), (_ONE - wa - wb, step_c)):
                if step > 0.0:
                    start = max(start, -weight / step)
                elif step < 0.0:
                    stop = min(stop, -weight / step)
                elif weight < 0.0:
                    stop = np.float32(-2.0)
            if start > stop + _ONE:
                continue
            first = max(int(start) - 1, 0)
            last = min(int(max(stop, np.float32(0.0))) + 1, right - left)
            moved = np.float32(first)
            wa += moved * step_a
            wb += moved * step_b
            for column in range(left + first, left + last + 1):
                wc = np.float32(1.0) - wa - wb
                if wa >= 0.0 and wb >= 0.0 and wc >= 0.0:
                    z = wa * az + wb * bz + wc * cz
                    if z < depth[row, column]:
                        if cut:
                            u = wa * uv[face, 0, 0] + wb * uv[face, 1, 0] + wc * uv[face, 2, 0]
                            v = wa * uv[face, 0, 1] + wb * uv[face, 1, 1] + wc * uv[face, 2, 1]
                            tx = min(max(int(u * columns), 0), columns - 1)
                            ty = min(max(int(v * rows), 0), rows - 1)
                            if alpha[ty, tx] < 110:
                                wa += step_a
                                wb += step_b
                                continue
                        depth[row, column] = z
                wa += step_a
                wb += step_b


@compiled
def layer_fragments(
    screen: Any,
    lit: Any,
    triangles: Any,
    order: Any,
    uv: Any,
    texture: Any,
    nearness: Any,
    image: Any,
    cover: Any,
) -> None:
    """Blend textured, translucent triangles over `image` [H, W, 3] from far to near.

    `screen` [V, 3] holds pixel coordinates and 1/z, `lit` [V, 8] what multiplies the texture (rgb),
    what is added to it times its brightness (rgb), an opacity and a depth bias; `texture` [h, w, 4]
    float32 linear colour and opacity. A fragment is hidden as far as the samples of `nearness` [2H,
    2W] lie before it. `cover` [H, W] gathers opacity.
    """
    height, width = cover.shape
    high, wide = np.float32(texture.shape[0]), np.float32(texture.shape[1])
    for index in range(order.shape[0]):
        face = order[index]
        a, b, c = triangles[face, 0], triangles[face, 1], triangles[face, 2]
        ax, ay, az = screen[a, 0], screen[a, 1], screen[a, 2]
        bx, by, bz = screen[b, 0], screen[b, 1], screen[b, 2]
        cx, cy, cz = screen[c, 0], screen[c, 1], screen[c, 2]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0.0:
            continue
        left = max(int(np.ceil(min(ax, bx, cx) - 0.5)), 0)
        right = min(int(np.floor(max(ax, bx, cx) - 0.5)), width - 1)
        top = max(int(np.ceil(min(ay, by, cy) - 0.5)), 0)
        bottom = min(int(np.floor(max(ay, by, cy) - 0.5)), height - 1)
        if left > right or top > bottom:
            continue
        inverse = np.float32(1.0) / area
        step_a, step_b = (by - cy) * inverse, (cy - ay) * inverse
        step_c = -step_a - step_b
        for row in range(top, bottom + 1):
            y = np.float32(row) + _HALF
            x = np.float32(left) + _HALF
            wa = ((bx - x) * (cy - y) - (by - y) * (cx - x)) * inverse
            wb = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) * inverse
            # The columns where all three weights are positive, and one more each side.
            start, stop = np.float32(0.0), np.float32(right - left)
            for weight, step in ((wa, step_a), (wb, step_b), (_ONE - wa - wb, step_c)):
                if step > 0.0:
                    start = max(start, -weight / step)
                elif step < 0.0:
                    stop = min(stop, -weight / step)
                elif weight < 0.0:
                    stop = np.float32(-2.0)
            if start > stop + _ONE:
                continue
            first = max(int(start) - 1, 0)
            last = min(int(max(stop, np.float32(0.0))) + 1, right - left)
            moved = np.float32(first)
            wa += (moved - _ONE) * step_a
            wb += (moved - _ONE) * step_b
            for column in range(left + first, left + last + 1):
                wa += step_a
                wb += step_b
                wc = _ONE - wa - wb
                if wa < 0.0 or wb < 0.0 or wc < 0.0:
                    continue
                z = wa * az + wb * bz + wc * cz
                z *= np.float32(1.0) + wa * lit[a, 7] + wb * lit[b, 7] + wc * lit[c, 7]
                seen = 0
                for sample in range(4):
                    if z >= nearness[2 * row + (sample >> 1), 2 * column + (sample & 1)]:
                        seen += 1
                if seen == 0:
                    continue
                u = wa * uv[face, 0, 0] + wb * uv[face, 1, 0] + wc * uv[face, 2, 0]
                v = wa * uv[face, 0, 1] + wb * uv[face, 1, 1] + wc * uv[face, 2, 1]
                tx = min(max(u * wide - _HALF, np.float32(0.0)), wide - _PAST)
                ty = min(max(v * high - _HALF, np.float32(0.0)), high - _PAST)
                ix, iy = np.uint64(tx), np.uint64(ty)
                jx, jy = ix + np.uint64(1), iy + np.uint64(1)
                fx, fy = tx - np.float32(ix), ty - np.float32(iy)
                w00 = (_ONE - fx) * (_ONE - fy)
                w10 = fx * (_ONE - fy)
                w01 = (_ONE - fx) * fy
                w11 = fx * fy
                opacity = (
                    w00 * texture[iy, ix, 3]
                    + w10 * texture[iy, jx, 3]
                    + w01 * texture[jy, ix, 3]
                    + w11 * texture[jy, jx, 3]
                ) * (wa * lit[a, 6] + wb * lit[b, 6] + wc * lit[c, 6])
                opacity *= np.float32(0.25) * np.float32(seen)
                if opacity < np.float32(0.004):
                    continue
                keep = _ONE - opacity
                bright = np.float32(0.0)
                for channel in range(3):
                    colour = (
                        w00 * texture[iy, ix, channel]
                        + w10 * texture[iy, jx, channel]
                        + w01 * texture[jy, ix, channel]
                        + w11 * texture[jy, jx, channel]
                    )
                    if channel == 0:
                        bright = colour
                    value = colour * (
                        wa * lit[a, channel] + wb * lit[b, channel] + wc * lit[c, channel]
                    )
                    shine = (
                        wa * lit[a, 3 + channel]
                        + wb * lit[b, 3 + channel]
                        + wc * lit[c, 3 + channel]
                    )
                    value += shine * bright
                    image[row, column, channel] = (
                        keep * image[row, column, channel] + opacity * value
                    )
                cover[row, column] = keep * cover[row, column] + opacity
