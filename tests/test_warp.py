import cv2
import numpy as np
import numpy.typing as npt
import pytest

from obverse.generator.warp import blend, displaced, rasterise

SIZE = 48
WINDOW = (0, 0, SIZE, SIZE)


def _buffers() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    return (
        np.zeros((SIZE, SIZE), np.float32),
        np.zeros((SIZE, SIZE, 2), np.float32),
        np.zeros((SIZE, SIZE), np.float32),
    )


def _atlas(rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    smooth = cv2.GaussianBlur(rng.integers(0, 256, (SIZE, SIZE, 3)).astype(np.float32), (0, 0), 3)
    opaque = np.full((SIZE, SIZE, 1), 255, np.float32)
    return np.concatenate([smooth, opaque], 2).astype(np.uint8)


def _square(corners: npt.ArrayLike, depth: float) -> npt.NDArray[np.float32]:
    flat = np.asarray(corners, np.float32)
    return np.column_stack([flat, np.full(4, depth, np.float32)]).astype(np.float32)


CORNERS = np.array([[0, 0], [SIZE - 1, 0], [0, SIZE - 1], [SIZE - 1, SIZE - 1]], np.float32)
TRIANGLES = np.array([[0, 1, 2], [1, 3, 2]], np.int32)


def _attributes(opacity: float = 1.0) -> npt.NDArray[np.float32]:
    return np.column_stack([CORNERS, np.full(4, opacity)]).astype(np.float32)


def test_identity_returns_the_atlas() -> None:
    atlas = _atlas(np.random.default_rng(0))
    depth, where, opacity = _buffers()
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    rasterise(_square(CORNERS, 1), TRIANGLES, _attributes(), depth, where, opacity, WINDOW)
    blend(image, where, opacity, depth, atlas, WINDOW)
    assert np.abs(image.astype(int) - atlas[..., :3]).max() <= 1


def test_affine_warp_is_undone_by_its_inverse() -> None:
    matrix = cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), 17, 0.8)
    atlas = _atlas(np.random.default_rng(1))
    depth, where, opacity = _buffers()
    corners = CORNERS @ matrix[:, :2].T + matrix[:, 2]
    rasterise(_square(corners, 1), TRIANGLES, _attributes(), depth, where, opacity, WINDOW)
    inverse = cv2.invertAffineTransform(matrix)
    rows, columns = np.nonzero(depth < 1e8)
    expected = np.column_stack([columns, rows]) @ inverse[:, :2].T + inverse[:, 2]
    assert len(rows) > 500
    assert np.abs(where[rows, columns] - expected).max() < 0.02
    assert atlas.shape == (SIZE, SIZE, 4)


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


def test_half_opacity_mixes_evenly() -> None:
    depth, where, opacity = _buffers()
    atlas = np.full((SIZE, SIZE, 4), 255, np.uint8)
    atlas[..., :3] = 200
    image = np.full((SIZE, SIZE, 3), 100, np.uint8)
    rasterise(_square(CORNERS, 1), TRIANGLES, _attributes(0.5), depth, where, opacity, WINDOW)
    blend(image, where, opacity, depth, atlas, WINDOW)
    assert np.abs(image.astype(int) - 150).max() <= 1


def test_triangles_outside_the_picture_touch_nothing() -> None:
    depth, where, opacity = _buffers()
    image = np.full((SIZE, SIZE, 3), 7, np.uint8)
    points = _square(CORNERS + 10 * SIZE, 1)
    rasterise(points, TRIANGLES, _attributes(), depth, where, opacity, WINDOW)
    blend(image, where, opacity, depth, _atlas(np.random.default_rng(3)), WINDOW)
    assert (image == 7).all()


def test_displaced_is_a_weighted_sum() -> None:
    rng = np.random.default_rng(4)
    rest = rng.standard_normal((30, 3)).astype(np.float32)
    basis = rng.standard_normal((5, 30, 3)).astype(np.float32)
    coefficients = np.array([0.5, 0, -1, 0.25, 0], np.float32)
    expected = rest + np.tensordot(coefficients, basis, 1)
    assert np.allclose(displaced(rest, basis, coefficients), expected, atol=1e-5)


def test_nothing_outside_the_window_is_touched() -> None:
    depth, where, opacity = _buffers()
    window = (10, 20, 30, 25)
    rasterise(_square(CORNERS, 1), TRIANGLES, _attributes(), depth, where, opacity, window)
    inside = np.zeros((SIZE, SIZE), bool)
    inside[20:25, 10:30] = True
    assert np.array_equal(opacity == 1, inside)
    assert np.array_equal(depth == 1, inside)
