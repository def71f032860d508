"""The geometry of a frame: points displaced by an expression, turned with the head, hung into
openings; and where triangles lie, pixel by pixel, for whoever wants depth and places and no
colours (`obverse.generator.canvas` draws).

All loops release the GIL, so that rendering, marking and encoding share the machine's cores.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Self, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

__all__ = ["Field", "hang", "part", "rasterise", "turned"]

_FAR = np.float32(1e9)
_SLACK = np.float32(1e-4)
_TINY = np.float32(1e-9)
# px^2 (twice the area); thinner triangles hold no pixel worth their rounding errors.
_SLIVER = np.float32(0.01)


Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def _compiled(function: Kernel) -> Kernel:
    return cast(Kernel, numba.njit(cache=True, nogil=True, fastmath=True)(function))


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Field:
    """Displacements of a mesh by coefficients, without the many that are 0."""

    starts: npt.NDArray[np.int32]  # [K + 1] where each coefficient's entries begin
    vertices: npt.NDArray[np.int32]  # [N]
    moves: npt.NDArray[np.float32]  # [N, 3]

    @classmethod
    def of(cls, basis: npt.NDArray[np.float32], least: float) -> Self:
        """Return a basis [K, V, 3] without the vertices that a coefficient of 1 moves by less than
        `least` along every axis.
        """
        row, vertices = np.nonzero(np.abs(basis).max(2) >= least)
        starts = np.searchsorted(row, np.arange(len(basis) + 1)).astype(np.int32)
        moves = np.ascontiguousarray(basis[row, vertices], dtype=np.float32)
        return cls(starts, vertices.astype(np.int32), moves)

    def displace(
        self, rest: npt.NDArray[np.float32], coefficients: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        """Return `rest` [V, 3] plus the displacements under coefficients [K]."""
        points = rest.copy()
        _displace(points, self.starts, self.vertices, self.moves, coefficients)
        return points


@_compiled
def _displace(
    points: npt.NDArray[np.float32],
    starts: npt.NDArray[np.int32],
    vertices: npt.NDArray[np.int32],
    moves: npt.NDArray[np.float32],
    coefficients: npt.NDArray[np.float32],
) -> None:
    for index in range(coefficients.shape[0]):
        coefficient = coefficients[index]
        if abs(coefficient) > np.float32(1e-4):
            for entry in range(starts[index], starts[index + 1]):
                vertex = vertices[entry]
                for axis in range(3):
                    points[vertex, axis] += coefficient * moves[entry, axis]


@_compiled
def part(
    points: npt.NDArray[np.float32],
    upper: npt.NDArray[np.int32],
    lower: npt.NDArray[np.int32],
    down: npt.NDArray[np.float32],
    seal: float,
) -> None:
    """Keep the two contours [n] of an opening from crossing, in place: where they would, or come
    nearer than `seal`, they meet halfway. Their ends are shared and stay.

    Args:
        points: `[V, 3]`.
        upper: the vertices of one contour.
        lower: those of the other.
        down: `[2]` unit vector from the one to the other.
        seal: in the points' unit.
    """
    for index in range(1, upper.shape[0] - 1):
        above, below = upper[index], lower[index]
        gap = np.float32(0.0)
        for axis in range(2):
            gap += (points[below, axis] - points[above, axis]) * down[axis]
        if gap < np.float32(seal):
            for axis in range(3):
                middle = np.float32(0.5) * (points[above, axis] + points[below, axis])
                points[above, axis] = middle
                points[below, axis] = middle


@_compiled
def turned(
    points: npt.NDArray[np.float32],
    weight: npt.NDArray[np.float32],
    turn: npt.NDArray[np.float32],
    shift: npt.NDArray[np.float32],
    pivot: npt.NDArray[np.float32],
    centre: npt.NDArray[np.float32],
    camera: float,
    scale: float,
    body: float = 0.0,
) -> npt.NDArray[np.float32]:
    """Turn points with the head, and project them to output px.

    Args:
        points: `[V, 3]` picture px: where each lies in the picture, and its depth.
        weight: `[V]` how much each goes with the head, or `[1]` for all of them.
        turn: `[3, 3]` rotation in the camera's frame.
        shift: `[3]` picture px.
        pivot: `[3]` picture px, what the head turns about.
        centre: `[2]` picture px, before which the camera stands.
        camera: its distance in picture px.
        scale: output px of a picture px.
        body: picture px by which what does not go with the head goes away from the camera.
    """
    placed = np.empty_like(points)
    half = np.float32(0.5 * scale - 0.5)
    camera_px, factor = np.float32(camera), np.float32(scale)
    px = (pivot[0] - centre[0]) * (np.float32(1.0) + pivot[2] / camera_px)
    py = (pivot[1] - centre[1]) * (np.float32(1.0) + pivot[2] / camera_px)
    for index in range(points.shape[0]):
        z = points[index, 2]
        x = (points[index, 0] - centre[0]) * (np.float32(1.0) + z / camera_px)
        y = (points[index, 1] - centre[1]) * (np.float32(1.0) + z / camera_px)
        dx, dy, dz = x - px, y - py, z - pivot[2]
        share = weight[index] if weight.shape[0] > 1 else weight[0]
        tx = turn[0, 0] * dx + turn[0, 1] * dy + turn[0, 2] * dz + px + shift[0]
        ty = turn[1, 0] * dx + turn[1, 1] * dy + turn[1, 2] * dz + py + shift[1]
        tz = turn[2, 0] * dx + turn[2, 1] * dy + turn[2, 2] * dz + pivot[2] + shift[2]
        x += share * (tx - x)
        y += share * (ty - y)
        z += share * (tz - z) + (np.float32(1.0) - share) * np.float32(body)
        near = np.float32(1.0) + z / camera_px
        placed[index, 0] = (x / near + centre[0]) * factor + half
        placed[index, 1] = (y / near + centre[1]) * factor + half
        placed[index, 2] = z * factor
    return placed


@_compiled
def rasterise(
    points: npt.NDArray[np.float32],
    triangles: npt.NDArray[np.int32],
    attributes: npt.NDArray[np.float32],
    depth: npt.NDArray[np.float32],
    where: npt.NDArray[np.float32],
    opacity: npt.NDArray[np.float32],
    window: tuple[int, int, int, int],
) -> None:
    """Draw triangles with a depth test, inside a window of the picture.

    Args:
        points: `[V, 3]` pixel x, pixel y (centres at whole numbers) and depth, smaller is nearer.
        triangles: `[F, 3]` indices into `points`, drawn from both sides.
        attributes: `[V, 3]` what is interpolated: atlas x, atlas y, opacity in [0, 1].
        depth: `[H, W]`; cleared here within the window.
        where: `[H, W, 2]` atlas x and y; written where a triangle is nearest.
        opacity: `[H, W]`; written where a triangle is nearest.
        window: (x0, y0, x1, y1) px, within the picture; nothing outside it is read or written.
    """
    box_x0, box_y0, box_x1, box_y1 = window
    for y in range(box_y0, box_y1):
        for x in range(box_x0, box_x1):
            depth[y, x] = _FAR
    for face in range(triangles.shape[0]):
        i, j, k = triangles[face, 0], triangles[face, 1], triangles[face, 2]
        xi, yi, zi = points[i, 0], points[i, 1], points[i, 2]
        xj, yj, zj = points[j, 0], points[j, 1], points[j, 2]
        xk, yk, zk = points[k, 0], points[k, 1], points[k, 2]
        area = (xj - xi) * (yk - yi) - (xk - xi) * (yj - yi)
        if abs(area) < _SLIVER:
            continue
        x0 = max(box_x0, int(np.ceil(min(xi, xj, xk) - 1e-3)))
        x1 = min(box_x1 - 1, int(np.floor(max(xi, xj, xk) + 1e-3)))
        y0 = max(box_y0, int(np.ceil(min(yi, yj, yk) - 1e-3)))
        y1 = min(box_y1 - 1, int(np.floor(max(yi, yj, yk) + 1e-3)))
        if x0 > x1 or y0 > y1:
            continue
        inverse = np.float32(1.0) / area
        # Barycentric weights of j and k, linear in x and y.
        bj_x, bj_y = (yk - yi) * inverse, -(xk - xi) * inverse
        bk_x, bk_y = -(yj - yi) * inverse, (xj - xi) * inverse
        bi_x, bi_y = -bj_x - bk_x, -bj_y - bk_y
        # Per edge, how far x moves for a unit of weight; 0 where the edge is level.
        gj = np.float32(1.0) / bj_x if abs(bj_x) > _TINY else np.float32(0.0)
        gk = np.float32(1.0) / bk_x if abs(bk_x) > _TINY else np.float32(0.0)
        gi = np.float32(1.0) / bi_x if abs(bi_x) > _TINY else np.float32(0.0)
        dz_j, dz_k = zj - zi, zk - zi
        ui, vi, ai = attributes[i, 0], attributes[i, 1], attributes[i, 2]
        du_j, du_k = attributes[j, 0] - ui, attributes[k, 0] - ui
        dv_j, dv_k = attributes[j, 1] - vi, attributes[k, 1] - vi
        da_j, da_k = attributes[j, 2] - ai, attributes[k, 2] - ai
        z_step = bj_x * dz_j + bk_x * dz_k
        u_step = bj_x * du_j + bk_x * du_k
        v_step = bj_x * dv_j + bk_x * dv_k
        a_step = bj_x * da_j + bk_x * da_k
        for y in range(y0, y1 + 1):
            # The span of x where all three weights are non-negative; the small slack closes
            # hairline cracks.
            row = np.float32(y) - yi
            # Measured from the first corner: differences of far larger numbers would lose thin
            # triangles' weights.
            row_j = row * bj_y
            row_k = row * bk_y
            low, high = np.float32(x0) - xi, np.float32(x1) - xi
            for base, slope in (
                (row_j, gj),
                (row_k, gk),
                (np.float32(1.0) + row * bi_y, gi),
            ):
                if slope > 0:
                    low = max(low, (-_SLACK - base) * slope)
                elif slope < 0:
                    high = min(high, (-_SLACK - base) * slope)
                elif base < -_SLACK:
                    high = low - np.float32(1.0)
            first, last = int(np.ceil(low + xi)), int(np.floor(high + xi))
            if first > last:
                continue
            # Stepping in float32 keeps the loop narrow; an index times a step would be computed in
            # float64.
            start = np.float32(first) - xi
            wj, wk = row_j + start * bj_x, row_k + start * bk_x
            z = zi + wj * dz_j + wk * dz_k
            u = ui + wj * du_j + wk * du_k
            v = vi + wj * dv_j + wk * dv_k
            a = ai + wj * da_j + wk * da_k
            for x in range(first, last + 1):
                if z < depth[y, x]:
                    depth[y, x] = z
                    where[y, x, 0] = u
                    where[y, x, 1] = v
                    opacity[y, x] = a
                z += z_step
                u += u_step
                v += v_step
                a += a_step


@_compiled
def hang(
    placed: npt.NDArray[np.float32],
    attributes: npt.NDArray[np.float32],
    edge: npt.NDArray[np.int32],
    other: npt.NDArray[np.int32],
    rim: npt.NDArray[np.int32],
    rim_px: float,
    apart_px: float,
    inwards: npt.NDArray[np.float32],
) -> None:
    """Hang the soft rim of one side of an opening, in place: a pixel or so into the opening, no
    further than its middle.

    Args:
        placed: `[V, 3]` output px.
        attributes: `[V, 3]` atlas x, y and opacity.
        edge: `[n]` the side's vertices with both ends.
        other: `[n]` the other side's.
        rim: `[n - 2]` the vertices to hang.
        rim_px: how far.
        apart_px: the gap from which the edge's colours are fetched `inwards` [2] in full, which
            keeps the dark line out along which the two were cut.
    """
    for index in range(rim.shape[0]):
        here, there, hung = edge[index + 1], other[index + 1], rim[index]
        dx = placed[there, 0] - placed[here, 0]
        dy = placed[there, 1] - placed[here, 1]
        gap = np.float32(np.sqrt(dx * dx + dy * dy))
        reach = min(np.float32(rim_px), np.float32(0.5) * gap)
        step = reach / max(gap, np.float32(1e-6))
        for axis in range(3):
            placed[hung, axis] = placed[here, axis] + step * (
                placed[there, axis] - placed[here, axis]
            )
        apart = min(gap / np.float32(apart_px), np.float32(1.0))
        attributes[here, 0] += apart * inwards[0]
        attributes[here, 1] += apart * inwards[1]
        attributes[hung, 0] = attributes[here, 0]
        attributes[hung, 1] = attributes[here, 1]
        attributes[hung, 2] = np.float32(1.0) - reach / np.float32(rim_px)
