"""Light on skin, eyes, teeth and cloth: one numba kernel over the visible samples.

Skin scatters: its diffuse term wraps around the terminator, further for red than for blue, and
shadows bleed red at their borders. Lights are directional, the first casts shadows through a depth
map; the ambient light is a sky and a ground colour. Colours are linear light.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

__all__ = ["CLOTH", "EYE", "MOUTH", "PLAIN", "SKIN_MATERIAL", "TEETH", "TONGUE_MATERIAL", "shade"]

SKIN_MATERIAL, EYE, TEETH, TONGUE_MATERIAL, MOUTH, PLAIN, CLOTH = range(7)

_ONE = np.float32(1.0)  # a plain 1 would make every term a double
_MIDDLE = np.float32(128.0)

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def _bare(inline: str) -> Callable[[Kernel], Kernel]:
    """Compile without reference counts.

    Inlining twenty arrays would else count every one of them up and down, atomically, for every
    pixel, which costs more than the light. Such a kernel cannot allocate arrays.
    """

    def compiled(function: Kernel) -> Kernel:
        options = {"cache": True, "nogil": True, "fastmath": True, "_nrt": False}
        return cast(Kernel, numba.njit(inline=inline, **options)(function))

    return compiled


@_bare("never")
def _shadow(depth: Any, x: Any, y: Any, z: Any, spread: Any) -> Any:
    """Return the lit share in [0, 1] of a point in a light's map, blurred over `spread` texels."""
    right, bottom = np.float32(depth.shape[1] - 1), np.float32(depth.shape[0] - 1)
    total = np.float32(0.0)
    for tap in range(5):
        # The middle and the corners of a square that stands on its point a little turned.
        dx = np.float32(0.0) if tap == 0 else np.float32(1.0 if tap < 3 else -1.0) * spread
        dy = np.float32(0.0) if tap == 0 else np.float32(1.0 if tap & 1 else -1.0) * spread
        tx = x + dx * np.float32(0.94) - dy * np.float32(0.34) - np.float32(0.5)
        ty = y + dx * np.float32(0.34) + dy * np.float32(0.94) - np.float32(0.5)
        if tx < 0.0 or ty < 0.0 or tx >= right or ty >= bottom:
            total += np.float32(1.0)
            continue
        ix, iy = np.uint64(tx), np.uint64(ty)
        jx, jy = ix + np.uint64(1), iy + np.uint64(1)
        fx, fy = tx - np.float32(ix), ty - np.float32(iy)
        s00 = np.float32(1.0) if depth[iy, ix] > z else np.float32(0.0)
        s10 = np.float32(1.0) if depth[iy, jx] > z else np.float32(0.0)
        s01 = np.float32(1.0) if depth[jy, ix] > z else np.float32(0.0)
        s11 = np.float32(1.0) if depth[jy, jx] > z else np.float32(0.0)
        total += (s00 * (_ONE - fx) + s10 * fx) * (_ONE - fy) + (s01 * (_ONE - fx) + s11 * fx) * fy
    return total * np.float32(0.2)


@_bare("always")
def _pixel(
    face: Any,
    x: Any,
    y: Any,
    screen: Any,
    points: Any,
    normals: Any,
    colours: Any,
    triangles: Any,
    kinds: Any,
    tables: Any,
    uv: Any,
    texels: Any,
    layout: Any,
    linear: Any,
    turn: Any,
    lights: Any,
    ambient: Any,
    skin: Any,
    eyes: Any,
    light_points: Any,
    depth: Any,
    out: Any,
) -> None:
    """Light one sample at (x, y) of triangle `face` into `out` [3]."""
    # Unsigned indices spare the test for negative ones at every access.
    face = np.uint32(face)
    a = np.uint32(triangles[face, 0])
    b = np.uint32(triangles[face, 1])
    c = np.uint32(triangles[face, 2])
    ax, ay = screen[a, 0], screen[a, 1]
    bx, by = screen[b, 0], screen[b, 1]
    cx, cy = screen[c, 0], screen[c, 1]
    inverse = np.float32(1.0) / ((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))
    wa = ((bx - x) * (cy - y) - (by - y) * (cx - x)) * inverse
    wb = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) * inverse
    wa = min(max(wa, np.float32(-0.3)), np.float32(1.3))
    wb = min(max(wb, np.float32(-0.3)), np.float32(1.3))
    wc = np.float32(1.0) - wa - wb
    # Perspective: weights of 1/z.
    wa *= screen[a, 2]
    wb *= screen[b, 2]
    wc *= screen[c, 2]
    total = np.float32(1.0) / (wa + wb + wc)
    wa *= total
    wb *= total
    wc *= total
    px = wa * points[a, 0] + wb * points[b, 0] + wc * points[c, 0]
    py = wa * points[a, 1] + wb * points[b, 1] + wc * points[c, 1]
    pz = wa * points[a, 2] + wb * points[b, 2] + wc * points[c, 2]
    nx = wa * normals[a, 0] + wb * normals[b, 0] + wc * normals[c, 0]
    ny = wa * normals[a, 1] + wb * normals[b, 1] + wc * normals[c, 1]
    nz = wa * normals[a, 2] + wb * normals[b, 2] + wc * normals[c, 2]
    kind = kinds[face]
    table = tables[face]
    # Texture: eight bytes a texel, rgb, bump (3), specular, occlusion.
    start, rows, columns = layout[table, 0], layout[table, 1], layout[table, 2]
    u = wa * uv[face, 0, 0] + wb * uv[face, 1, 0] + wc * uv[face, 2, 0]
    v = wa * uv[face, 0, 1] + wb * uv[face, 1, 1] + wc * uv[face, 2, 1]
    tx = min(
        max(u * np.float32(columns) - np.float32(0.5), np.float32(0.0)),
        np.float32(columns) - np.float32(1.001),
    )
    ty = min(
        max(v * np.float32(rows) - np.float32(0.5), np.float32(0.0)),
        np.float32(rows) - np.float32(1.001),
    )
    ix, iy = int(tx), int(ty)
    fx, fy = tx - np.float32(ix), ty - np.float32(iy)
    place = start + iy * columns + ix
    right = 1 if columns > 1 else 0
    below = columns if rows > 1 else 0
    w00, w10, w01, w11 = (_ONE - fx) * (_ONE - fy), fx * (_ONE - fy), (_ONE - fx) * fy, fx * fy
    t00, t10 = np.uint64(place), np.uint64(place + right)
    t01, t11 = np.uint64(place + below), np.uint64(place + right + below)
    red = w00 * linear[texels[t00, 0]] + w10 * linear[texels[t10, 0]]
    red += w01 * linear[texels[t01, 0]] + w11 * linear[texels[t11, 0]]
    green = w00 * linear[texels[t00, 1]] + w10 * linear[texels[t10, 1]]
    green += w01 * linear[texels[t01, 1]] + w11 * linear[texels[t11, 1]]
    blue = w00 * linear[texels[t00, 2]] + w10 * linear[texels[t10, 2]]
    blue += w01 * linear[texels[t01, 2]] + w11 * linear[texels[t11, 2]]
    byte = np.float32(1.0 / 255.0)
    gloss = byte * (
        w00 * np.float32(texels[t00, 6])
        + w10 * np.float32(texels[t10, 6])
        + w01 * np.float32(texels[t01, 6])
        + w11 * np.float32(texels[t11, 6])
    )
    occlusion = byte * (
        w00 * np.float32(texels[t00, 7])
        + w10 * np.float32(texels[t10, 7])
        + w01 * np.float32(texels[t01, 7])
        + w11 * np.float32(texels[t11, 7])
    )
    red *= wa * colours[a, 0] + wb * colours[b, 0] + wc * colours[c, 0]
    green *= wa * colours[a, 1] + wb * colours[b, 1] + wc * colours[c, 1]
    blue *= wa * colours[a, 2] + wb * colours[b, 2] + wc * colours[c, 2]
    open_sky = wa * colours[a, 3] + wb * colours[b, 3] + wc * colours[c, 3]
    occlusion *= open_sky
    if kind in (SKIN_MATERIAL, CLOTH):
        # Bumps are stored in the resting head's frame and turn with it.
        bump = np.float32(1.0 / 100.0)
        dx = (
            w00 * np.float32(texels[t00, 3])
            + w10 * np.float32(texels[t10, 3])
            + w01 * np.float32(texels[t01, 3])
            + w11 * np.float32(texels[t11, 3])
        ) - _MIDDLE
        dy = (
            w00 * np.float32(texels[t00, 4])
            + w10 * np.float32(texels[t10, 4])
            + w01 * np.float32(texels[t01, 4])
            + w11 * np.float32(texels[t11, 4])
        ) - _MIDDLE
        dz = (
            w00 * np.float32(texels[t00, 5])
            + w10 * np.float32(texels[t10, 5])
            + w01 * np.float32(texels[t01, 5])
            + w11 * np.float32(texels[t11, 5])
        ) - _MIDDLE
        nx += bump * (turn[0, 0] * dx + turn[0, 1] * dy + turn[0, 2] * dz)
        ny += bump * (turn[1, 0] * dx + turn[1, 1] * dy + turn[1, 2] * dz)
        nz += bump * (turn[2, 0] * dx + turn[2, 1] * dy + turn[2, 2] * dz)
    length = np.float32(1.0) / np.sqrt(nx * nx + ny * ny + nz * nz + np.float32(1e-12))
    nx *= length
    ny *= length
    nz *= length
    # To the eye: the camera stands at (0, 0, -distance).
    vx, vy, vz = -px, -py, -pz - skin[7]
    length = np.float32(1.0) / np.sqrt(vx * vx + vy * vy + vz * vz)
    vx *= length
    vy *= length
    vz *= length
    facing = max(nx * vx + ny * vy + nz * vz, np.float32(0.0))
    grazing = (_ONE - facing) * (_ONE - facing)
    fresnel = grazing * grazing
    up = np.float32(0.5) - np.float32(0.5) * ny
    low = (_ONE - up) * occlusion
    high = up * occlusion
    # Multiple bounces keep deep skin warm.
    out_r = red * (high * ambient[0, 0] + low * ambient[1, 0])
    out_g = green * (high * ambient[0, 1] + low * ambient[1, 1])
    out_b = blue * (high * ambient[0, 2] + low * ambient[1, 2])
    if kind in (SKIN_MATERIAL, PLAIN, MOUTH):
        warm = np.float32(0.35) * occlusion * (np.float32(1.0) - occlusion)
        out_r += red * warm * ambient[0, 0]
        out_g += green * warm * np.float32(0.45) * ambient[0, 1]
        out_b += blue * warm * np.float32(0.3) * ambient[0, 2]
    shine_r = shine_g = shine_b = np.float32(0.0)
    lid = np.float32(1.0)
    if kind == EYE:
        side = table - 1
        # The lids' shade: a height between the lids' lines, each a parabola over x in the turned
        # head's frame.
        mx, my, mz = px - eyes[2, 0], py - eyes[2, 1], pz - eyes[2, 2]
        qx = turn[0, 0] * mx + turn[1, 0] * my + turn[2, 0] * mz + eyes[2, 3] - eyes[side, 6]
        qy = turn[0, 1] * mx + turn[1, 1] * my + turn[2, 1] * mz + eyes[2, 4]
        upper = eyes[side, 0] + qx * (eyes[side, 1] + qx * eyes[side, 2])
        lower = eyes[side, 3] + qx * (eyes[side, 4] + qx * eyes[side, 5])
        below_lid = (qy - upper) / np.float32(0.13)
        above_lid = (lower - qy) / np.float32(0.07)
        lid = np.float32(0.28) + np.float32(0.72) * min(
            max(below_lid, np.float32(0.0)), np.float32(1.0)
        )
        lid *= np.float32(0.7) + np.float32(0.3) * min(
            max(above_lid, np.float32(0.0)), np.float32(1.0)
        )
        corner = abs(qx) / np.float32(0.27)
        lid *= np.float32(1.0) - np.float32(0.45) * min(corner * corner * corner, np.float32(1.0))
        out_r *= lid
        out_g *= lid
        out_b *= lid
        # The cornea bulges: its normals lean outward faster than the ball's.
        ex, ey, ez = eyes[side + 3, 0], eyes[side + 3, 1], eyes[side + 3, 2]
        along = nx * ex + ny * ey + nz * ez
        if along > np.float32(0.86):
            lean = np.float32(0.85)
            nx += lean * (nx - along * ex)
            ny += lean * (ny - along * ey)
            nz += lean * (nz - along * ez)
            length = np.float32(1.0) / np.sqrt(nx * nx + ny * ny + nz * nz)
            nx *= length
            ny *= length
            nz *= length
    for light in range(lights.shape[0]):
        lx, ly, lz = lights[light, 0], lights[light, 1], lights[light, 2]
        cosine = nx * lx + ny * ly + nz * lz
        if cosine < np.float32(-0.45):  # beyond every wrapped term
            continue
        lit: Any = np.float32(1.0)
        if light == 0:
            sx = wa * light_points[a, 0] + wb * light_points[b, 0] + wc * light_points[c, 0]
            sy = wa * light_points[a, 1] + wb * light_points[b, 1] + wc * light_points[c, 1]
            sz = wa * light_points[a, 2] + wb * light_points[b, 2] + wc * light_points[c, 2]
            bias = np.float32(0.035) + np.float32(0.05) * (_ONE - max(cosine, np.float32(0.0)))
            lit = _shadow(depth, sx, sy, sz - bias, lights[0, 6])
        lit_spec = lit
        hx, hy, hz = lx + vx, ly + vy, lz + vz
        length = np.float32(1.0) / np.sqrt(hx * hx + hy * hy + hz * hz + np.float32(1e-9))
        half = max((nx * hx + ny * hy + nz * hz) * length, np.float32(0.0))
        cr, cg, cb = lights[light, 3], lights[light, 4], lights[light, 5]
        deep = np.float32(0.35) + np.float32(0.65) * occlusion
        if kind in (SKIN_MATERIAL, PLAIN):
            wr, wg, wb_ = skin[0], skin[1], skin[2]
            dr = max((cosine + wr) / (_ONE + wr), np.float32(0.0))
            dg = max((cosine + wg) / (_ONE + wg), np.float32(0.0))
            db = max((cosine + wb_) / (_ONE + wb_), np.float32(0.0))
            # Half-lit skin glows red: light that entered beside the shadow.
            sr = lit + (np.sqrt(lit) - lit) * np.float32(0.75)
            out_r += red * cr * dr * sr * deep
            out_g += green * cg * dg * (lit + (np.sqrt(lit) - lit) * np.float32(0.15)) * deep
            out_b += blue * cb * db * lit * deep
            power = half * half
            power *= power
            power *= power  # 8
            broad = power * half * half * half * half  # 12
            sharp = power * power
            sharp = sharp * sharp * sharp  # 48
            shine = (
                (skin[3] * broad + skin[4] * sharp)
                * gloss
                * (np.float32(0.5) + np.float32(2.5) * fresnel)
            )
            shine *= (
                max(min(cosine * np.float32(4.0), np.float32(1.0)), np.float32(0.0))
                * lit_spec
                * deep
            )
            shine_r += cr * shine
            shine_g += cg * shine
            shine_b += cb * shine
        elif kind == EYE:
            d = max((cosine + np.float32(0.3)) / np.float32(1.3), np.float32(0.0)) * (
                np.float32(0.3) + np.float32(0.7) * lit
            )
            out_r += red * cr * d * lid
            out_g += green * cg * d * lid
            out_b += blue * cb * d * lid
            if half > np.float32(0.9):
                # A soft-edged lamp mirrored in the wet cornea.
                edge = (half - lights[light, 7]) * np.float32(180.0)
                shine = (
                    min(max(edge, np.float32(0.0)), np.float32(1.0))
                    * skin[5]
                    * lid
                    * min(lit * np.float32(2.0), _ONE)
                )
                shine_r += cr * shine
                shine_g += cg * shine
                shine_b += cb * shine
        elif kind in (TEETH, TONGUE_MATERIAL, MOUTH):
            d = max((cosine + np.float32(0.35)) / np.float32(1.35), np.float32(0.0)) * occlusion
            d *= np.float32(0.45) + np.float32(0.55) * lit
            out_r += red * cr * d
            out_g += green * cg * d
            out_b += blue * cb * d
            shine = half**40 * np.float32(0.35) * gloss * occlusion * occlusion * lit
            shine_r += cr * shine
            shine_g += cg * shine
            shine_b += cb * shine
        else:
            d = max((cosine + np.float32(0.12)) / np.float32(1.12), np.float32(0.0)) * lit * deep
            d += np.float32(0.1) * fresnel * max(cosine + np.float32(0.3), np.float32(0.0)) * lit
            out_r += red * cr * d
            out_g += green * cg * d
            out_b += blue * cb * d
            shine = half**30 * gloss * lit * np.float32(0.2)
            shine_r += cr * shine
            shine_g += cg * shine
            shine_b += cb * shine
    # Fine hair on skin and cloth catches the sky at grazing angles.
    if kind in (SKIN_MATERIAL, PLAIN):
        sheen = fresnel * np.float32(0.10) * occlusion
        out_r += sheen * ambient[0, 0]
        out_g += sheen * ambient[0, 1]
        out_b += sheen * ambient[0, 2]
    elif kind == EYE:
        mirror = (np.float32(0.02) + np.float32(0.25) * fresnel) * lid * up
        out_r += mirror * ambient[0, 0]
        out_g += mirror * ambient[0, 1]
        out_b += mirror * ambient[0, 2]
    out[0] = out_r + shine_r
    out[1] = out_g + shine_g
    out[2] = out_b + shine_b


@_bare("never")
def shade(
    first: int,
    last: int,
    shown: Any,
    nearness: Any,
    screen: Any,
    points: Any,
    normals: Any,
    colours: Any,
    triangles: Any,
    kinds: Any,
    tables: Any,
    uv: Any,
    texels: Any,
    layout: Any,
    linear: Any,
    turn: Any,
    lights: Any,
    ambient: Any,
    skin: Any,
    eyes: Any,
    light_points: Any,
    depth: Any,
    image: Any,
    cover: Any,
    out: Any,
) -> None:
    """Light rows `first` to `last` of the picture.

    `image` [H, W, 3] holds the background, `cover` [H, W] the mask; `out` [3] is
    room for one sample.
    """
    width = image.shape[1]
    for row in range(first, last):
        for column in range(width):
            f0, f1 = shown[2 * row, 2 * column], shown[2 * row, 2 * column + 1]
            f2, f3 = shown[2 * row + 1, 2 * column], shown[2 * row + 1, 2 * column + 1]
            if f0 < 0 and f1 < 0 and f2 < 0 and f3 < 0:
                continue
            same = f0 >= 0 and f1 >= 0 and f2 >= 0 and f3 >= 0
            if same and not (f0 == f1 and f0 == f2 and f0 == f3):
                same = (
                    tables[f0] == tables[f1]
                    and tables[f0] == tables[f2]
                    and tables[f0] == tables[f3]
                    and kinds[f0] == kinds[f1]
                    and kinds[f0] == kinds[f2]
                    and kinds[f0] == kinds[f3]
                )
            if same:
                near = nearness[2 * row, 2 * column]
                gap = near * np.float32(0.004)
                same = (
                    abs(nearness[2 * row + 1, 2 * column + 1] - near) < gap
                    and abs(nearness[2 * row, 2 * column + 1] - near) < gap
                    and abs(nearness[2 * row + 1, 2 * column] - near) < gap
                )
            count = 1 if same else 4
            red = green = blue = np.float32(0.0)
            hits = 0
            for sample in range(count):
                if same:
                    face = f3
                    x, y = np.float32(2 * column + 1.0), np.float32(2 * row + 1.0)
                else:
                    face = shown[2 * row + (sample >> 1), 2 * column + (sample & 1)]
                    x = np.float32(2 * column + (sample & 1)) + np.float32(0.5)
                    y = np.float32(2 * row + (sample >> 1)) + np.float32(0.5)
                if face < 0:
                    continue
                hits += 1
                _pixel(
                    face,
                    x,
                    y,
                    screen,
                    points,
                    normals,
                    colours,
                    triangles,
                    kinds,
                    tables,
                    uv,
                    texels,
                    layout,
                    linear,
                    turn,
                    lights,
                    ambient,
                    skin,
                    eyes,
                    light_points,
                    depth,
                    out,
                )
                red += out[0]
                green += out[1]
                blue += out[2]
            part = np.float32(1.0) / np.float32(count)
            share = part * np.float32(hits)
            image[row, column, 0] = image[row, column, 0] * (_ONE - share) + part * red
            image[row, column, 1] = image[row, column, 1] * (_ONE - share) + part * green
            image[row, column, 2] = image[row, column, 2] * (_ONE - share) + part * blue
            cover[row, column] = share
