import cv2
import numpy as np
import numpy.typing as npt
import pytest

from obverse.generator.motion import rotation_matrix
from obverse.generator.warp import Field, hang, part, rasterise, turned

SIZE = 48
WINDOW = (0, 0, SIZE, SIZE)


def _buffers() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    return (
        np.zeros((SIZE, SIZE), np.float32),
        np.zeros((SIZE, SIZE, 2), np.float32),
        np.zeros((SIZE, SIZE), np.float32),
    )


def _square(corners: npt.ArrayLike, depth: float) -> npt.NDArray[np.float32]:
    flat = np.asarray(corners, np.float32)
    return np.column_stack([flat, np.full(4, depth, np.float32)]).astype(np.float32)


CORNERS = np.array([[0, 0], [SIZE - 1, 0], [0, SIZE - 1], [SIZE - 1, SIZE - 1]], np.float32)
TRIANGLES = np.array([[0, 1, 2], [1, 3, 2]], np.int32)


def _attributes(opacity: float = 1.0) -> npt.NDArray[np.float32]:
    return np.column_stack([CORNERS, np.full(4, opacity)]).astype(np.float32)


def test_affine_warp_is_undone_by_its_inverse() -> None:
    matrix = cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), 17, 0.8)
    depth, where, opacity = _buffers()
    corners = CORNERS @ matrix[:, :2].T + matrix[:, 2]
    rasterise(_square(corners, 1), TRIANGLES, _attributes(), depth, where, opacity, WINDOW)
    inverse = cv2.invertAffineTransform(matrix)
    rows, columns = np.nonzero(depth < 1e8)
    expected = np.column_stack([columns, rows]) @ inverse[:, :2].T + inverse[:, 2]
    assert len(rows) > 500
    assert np.abs(where[rows, columns] - expected).max() < 0.02


@pytest.mark.parametrize("near_first", [True, False])
def test_the_nearer_triangle_wins_in_either_order(near_first: bool) -> None:
    depth, where, opacity = _buffers()
    points = np.concatenate([_square(CORNERS, 1), _square(CORNERS, 2)])
    attributes = np.concatenate([_attributes(0.25), _attributes(0.75)])
    near, far = TRIANGLES, TRIANGLES + 4
    both = np.concatenate([near, far] if near_first else [far, near]).astype(np.int32)
    rasterise(points, both, attributes, depth, where, opacity, WINDOW)
    assert np.allclose(opacity, 0.25)
    assert np.allclose(depth, 1)


def test_neighbouring_triangles_leave_no_cracks() -> None:
    rng = np.random.default_rng(2)
    steps = np.linspace(-2, SIZE + 1, 14)
    grid = np.stack(np.meshgrid(steps, steps), -1)
    grid[1:-1, 1:-1] += rng.uniform(-1, 1, grid[1:-1, 1:-1].shape)
    points = np.concatenate([grid.reshape(-1, 2), np.ones((196, 1))], 1).astype(np.float32)
    corner = (np.arange(13)[:, None] * 14 + np.arange(13)).ravel()
    triangles = np.concatenate(
        [
            np.stack([corner, corner + 1, corner + 14], 1),
            np.stack([corner + 1, corner + 15, corner + 14], 1),
        ]
    ).astype(np.int32)
    depth, where, opacity = _buffers()
    rasterise(points, triangles, np.ones((196, 3), np.float32), depth, where, opacity, WINDOW)
    assert (depth < 1e8).all()


def test_a_field_is_a_weighted_sum() -> None:
    rng = np.random.default_rng(4)
    rest = rng.standard_normal((30, 3)).astype(np.float32)
    basis = rng.standard_normal((5, 30, 3)).astype(np.float32)
    basis[:, ::4] = 0
    basis[3] = 0
    coefficients = np.array([0.5, 0, -1, 0.25, 2], np.float32)
    expected = rest + np.tensordot(coefficients, basis, 1)
    given = rest.copy()
    assert np.allclose(Field.of(basis, 1e-6).displace(rest, coefficients), expected, atol=1e-5)
    assert np.array_equal(rest, given)


def test_a_field_leaves_out_what_nobody_sees() -> None:
    basis = np.zeros((2, 3, 3), np.float32)
    basis[1, :, 0] = [0.001, -0.02, 0.5]
    field = Field.of(basis, 0.01)
    assert field.vertices.tolist() == [1, 2]
    moved = field.displace(np.zeros((3, 3), np.float32), np.array([1, 2], np.float32))
    assert moved[:, 0] == pytest.approx([0, -0.04, 1])


def test_contours_that_would_cross_meet_halfway() -> None:
    points = np.array(
        [[0, 5, 0], [1, 4, 1], [2, 6, 3], [3, 5, 0], [1, 8, 3], [2, 4, 1]], np.float32
    )
    upper, lower = np.array([0, 1, 2, 3], np.int32), np.array([0, 4, 5, 3], np.int32)
    expected = points.copy()
    expected[[2, 5]] = [2, 5, 2]  # these had crossed; the others lie apart
    part(points, upper, lower, np.array([0, 1], np.float32), 0.5)
    assert points == pytest.approx(expected)


def test_nothing_outside_the_window_is_touched() -> None:
    depth, where, opacity = _buffers()
    window = (10, 20, 30, 25)
    rasterise(_square(CORNERS, 1), TRIANGLES, _attributes(), depth, where, opacity, window)
    inside = np.zeros((SIZE, SIZE), bool)
    inside[20:25, 10:30] = True
    assert np.array_equal(opacity == 1, inside)
    assert np.array_equal(depth == 1, inside)


def test_turned_is_a_rotation_seen_in_perspective() -> None:
    rng = np.random.default_rng(7)
    points = (rng.standard_normal((50, 3)) * 30 + (100, 80, 0)).astype(np.float32)
    weight = rng.uniform(0, 1, 50).astype(np.float32)
    turn = rotation_matrix([0.1, -0.2, 0.05]).astype(np.float32)
    shift, pivot = np.array([3, -2, 5], np.float32), np.array([98, 120, 25], np.float32)
    centre, camera, scale = np.array([100, 80], np.float32), 600.0, 0.75
    flat = points.astype(np.float64)
    flat[:, :2] = (flat[:, :2] - centre) * (1 + flat[:, 2:] / camera)
    about = pivot.astype(np.float64)
    about[:2] = (about[:2] - centre) * (1 + about[2] / camera)
    moved = flat + weight[:, None] * ((flat - about) @ turn.T + about + shift - flat)
    moved[:, :2] = moved[:, :2] / (1 + moved[:, 2:] / camera) + centre
    expected = moved * scale
    expected[:, :2] += 0.5 * scale - 0.5
    placed = turned(points, weight, turn, shift, pivot, centre, camera, scale)
    assert np.abs(placed - expected).max() < 1e-3
    whole = np.ones(1, np.float32)
    still = turned(
        points, whole, np.eye(3, dtype=np.float32), 0 * shift, pivot, centre, camera, 1.0
    )
    assert np.abs(still - points).max() < 1e-3


@pytest.mark.parametrize(("gap", "reach"), [(10.0, 1.3), (1.0, 0.5), (0.0, 0.0)])
def test_rims_hang_into_the_opening_no_further_than_its_middle(gap: float, reach: float) -> None:
    placed = np.array([[0, 0, 1], [5, 0, 1], [10, 0, 1], [5, gap, 1], [0, 0, 0]], np.float32)
    attributes = np.column_stack([placed[:, :2], np.ones(5)]).astype(np.float32)
    upper, lower, rim = (np.array(row, np.int32) for row in ([0, 1, 2], [0, 3, 2], [4]))
    hang(placed, attributes, upper, lower, rim, 1.3, 5.0, np.array([0, -2], np.float32))
    assert placed[4] == pytest.approx([5, reach, 1])
    # Its colour comes from above the edge where the opening is wide, and it fades out there.
    assert attributes[1, 1] == pytest.approx(-2 * min(gap / 5, 1))
    assert attributes[4] == pytest.approx([*attributes[1, :2], 1 - reach / 1.3])
