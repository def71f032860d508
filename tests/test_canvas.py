import cv2
import numpy as np
import numpy.typing as npt
import pytest

from obverse.generator.canvas import Atlas, Canvas

SIZE = 48
CORNERS = np.array([[0, 0], [SIZE - 1, 0], [0, SIZE - 1], [SIZE - 1, SIZE - 1]], np.float32)
TRIANGLES = np.array([[0, 1, 2], [1, 3, 2]], np.int32)
Image = npt.NDArray[np.uint8]


def _picture(seed: int) -> Image:
    rng = np.random.default_rng(seed)
    smooth = cv2.GaussianBlur(rng.integers(0, 256, (SIZE, SIZE, 3)).astype(np.float32), (0, 0), 3)
    stretched = 127 + 8 * (smooth - smooth.mean())
    opaque = np.full((SIZE, SIZE, 1), 255, np.float32)
    return np.concatenate([np.clip(stretched, 0, 255), opaque], 2).astype(np.uint8)


def _plain(*rgba: int) -> Image:
    return np.tile(np.array(rgba, np.uint8), (SIZE, SIZE, 1))


def _square(corners: npt.ArrayLike, depth: float) -> npt.NDArray[np.float32]:
    flat = np.asarray(corners, np.float32)
    return np.column_stack([flat, np.full(4, depth, np.float32)]).astype(np.float32)


def _attributes(opacity: float = 1.0) -> npt.NDArray[np.float32]:
    return np.column_stack([CORNERS, np.full(4, opacity)]).astype(np.float32)


def _canvas(grey: int) -> Canvas:
    canvas = Canvas(SIZE, SIZE)
    canvas.image[..., :3] = grey
    return canvas


def test_a_triangle_over_the_whole_picture_shows_the_atlas() -> None:
    picture, canvas = _picture(0), _canvas(0)
    canvas.draw(_square(CORNERS, 1), TRIANGLES, _attributes(), Atlas.of(picture))
    assert np.abs(canvas.rgb().astype(int) - picture[..., :3]).max() <= 1


def test_half_a_pixel_aside_is_the_mean_of_two() -> None:
    picture, canvas = _picture(1), _canvas(0)
    attributes = _attributes()
    attributes[:, 0] += 0.5
    canvas.draw(_square(CORNERS, 1), TRIANGLES, attributes, Atlas.of(picture))
    colours = picture[..., :3].astype(float)
    expected = (colours[:, :-1] + colours[:, 1:]) / 2
    assert np.abs(canvas.rgb()[:, :-1] - expected).max() <= 1.5


@pytest.mark.parametrize("size", [64, 300])
def test_an_affine_warp_is_opencvs(size: int) -> None:
    # Spans longer than those that are drawn by adding, too.
    matrix = cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), 17, 0.7 * size / SIZE)
    matrix[:, 2] += (size - SIZE) / 2
    picture, canvas = _picture(2), Canvas(size, size)
    corners = CORNERS @ matrix[:, :2].T + matrix[:, 2]
    canvas.draw(_square(corners, 1), TRIANGLES, _attributes(), Atlas.of(picture))
    expected = cv2.warpAffine(picture.astype(np.float32), matrix, (size, size))
    inside = cv2.erode((expected[..., 3] > 254.9).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    assert inside.mean() > 0.2
    difference = np.abs(canvas.rgb()[inside] - expected[inside][:, :3])
    assert difference.max() < 3
    assert difference.mean() < 0.7


@pytest.mark.parametrize("near_first", [True, False])
@pytest.mark.parametrize("opacity", [1.0, 0.5])
def test_the_nearer_triangle_alone_is_seen_in_either_order(
    near_first: bool, opacity: float
) -> None:
    points = np.concatenate([_square(CORNERS, 1), _square(CORNERS, 2)])
    attributes = np.concatenate([_attributes(opacity), _attributes()])
    attributes[4:, :2] = SIZE - 1  # the far ones are all of the atlas's last colour
    picture = _plain(200, 100, 0, 255)
    picture[-1, -1, :3] = 255
    near, far = TRIANGLES, TRIANGLES + 4
    both = np.concatenate([near, far] if near_first else [far, near]).astype(np.int32)
    canvas = _canvas(40)
    canvas.draw(points, both, attributes, Atlas.of(picture))
    expected = 40 + opacity * (np.array([200, 100, 0]) - 40)
    assert np.abs(canvas.rgb()[:-2, :-2] - expected).max() <= 1.5


def test_crossing_triangles_change_places_where_they_meet() -> None:
    left_near = _square(CORNERS, 0)
    left_near[:, 2] = CORNERS[:, 0]
    points = np.concatenate([left_near, _square(CORNERS, SIZE / 2)])
    attributes = np.concatenate([_attributes(), _attributes()])
    attributes[:4, :2], attributes[4:, :2] = 0, SIZE - 1
    picture = _plain(0, 0, 0, 255)
    picture[-1, -1, :3] = 255
    canvas = _canvas(9)
    both = np.concatenate([TRIANGLES, TRIANGLES + 4]).astype(np.int32)
    canvas.draw(points, both, attributes, Atlas.of(picture))
    column = np.arange(SIZE)
    assert (canvas.rgb()[:, column < SIZE / 2 - 1] == 0).all()
    assert (canvas.rgb()[:, column > SIZE / 2 + 1] == 255).all()


def test_neighbouring_triangles_leave_no_cracks() -> None:
    rng = np.random.default_rng(3)
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
    canvas = _canvas(0)
    atlas = Atlas.of(_plain(90, 90, 90, 255))
    canvas.draw(points, triangles, np.ones((196, 3), np.float32), atlas)
    assert (canvas.rgb() == 90).all()


@pytest.mark.parametrize("opacity", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("alpha", [0, 128, 255])
def test_opacities_of_triangle_and_atlas_multiply(opacity: float, alpha: int) -> None:
    canvas = _canvas(100)
    atlas = Atlas.of(_plain(200, 0, 100, alpha))
    canvas.draw(_square(CORNERS, 1), TRIANGLES, _attributes(opacity), atlas)
    expected = 100 + opacity * alpha / 255 * (np.array([200, 0, 100]) - 100)
    assert np.abs(canvas.rgb() - expected).max() <= 1.5


def test_opacity_is_linear_between_corners() -> None:
    canvas = _canvas(0)
    attributes = _attributes()
    attributes[:, 2] = CORNERS[:, 0] / (SIZE - 1)
    canvas.draw(_square(CORNERS, 1), TRIANGLES, attributes, Atlas.of(_plain(255, 255, 255, 255)))
    expected = 255 * np.arange(SIZE) / (SIZE - 1)
    assert np.abs(canvas.rgb()[..., 0] - expected).max() < 2.5


def test_what_lies_outside_the_picture_touches_nothing() -> None:
    canvas = _canvas(7)
    atlas = Atlas.of(_picture(4))
    for shift in ([10, 0], [0, 10], [-10, 3], [2, -10]):
        points = _square(CORNERS + np.array(shift) * SIZE, 1)
        canvas.draw(points, TRIANGLES, _attributes(), atlas)
    outline = CORNERS[[0, 1, 3, 2]] + 3 * SIZE
    canvas.draw(_square(CORNERS, 1), TRIANGLES, _attributes(), atlas, outline)
    assert (canvas.rgb() == 7).all()


def test_places_outside_the_atlas_show_its_border() -> None:
    canvas, picture = _canvas(0), _plain(10, 20, 30, 255)
    picture[:, :4] = [200, 0, 0, 255]
    attributes = _attributes()
    attributes[:, 0] -= 10 * SIZE
    canvas.draw(_square(CORNERS, 1), TRIANGLES, attributes, Atlas.of(picture))
    assert (canvas.rgb() == [200, 0, 0]).all()


def test_nothing_is_drawn_outside_an_outline() -> None:
    canvas = _canvas(0)
    atlas = Atlas.of(_plain(255, 255, 255, 255))
    outline = np.array([[10, 12], [30, 12], [30, 28], [10, 28]], np.float32)
    canvas.draw(_square(CORNERS, 1), TRIANGLES, _attributes(), atlas, outline)
    drawn = canvas.rgb()[..., 0] > 0
    rows, columns = np.nonzero(drawn)
    assert drawn[12:29, 10:31].all()
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == pytest.approx(
        (12, 28, 10, 30), abs=2
    )
    x0, y0, x1, y1 = canvas.window(outline)
    assert (x0, y0, x1, y1) == (7, 9, 34, 32)


def test_one_drawing_leaves_nothing_to_the_next() -> None:
    points, atlas = _square(CORNERS, 1), Atlas.of(_picture(5))
    turned = _square(CORNERS @ np.array([[0.8, 0.3], [-0.3, 0.8]]) + 6, 1)
    used, fresh = _canvas(50), _canvas(50)
    used.draw(points, TRIANGLES, _attributes(), atlas)
    used.draw(points, TRIANGLES, _attributes(), atlas, CORNERS[[0, 1, 2]] * 0.5)
    used.image[..., :3] = 50
    for canvas in (used, fresh):
        canvas.draw(turned, TRIANGLES, _attributes(0.7), atlas)
    assert np.array_equal(used.rgb(), fresh.rgb())
    assert (fresh.rgb() != 50).any()


@pytest.mark.parametrize("seed", range(4))
def test_slivers_and_folds_stay_within_the_atlas(seed: int) -> None:
    # Whatever triangles do, no colour appears that the atlas does not have.
    rng = np.random.default_rng(seed)
    points = rng.uniform(-10, SIZE + 10, (90, 3)).astype(np.float32)
    points[::3, :2] = points[1::3, :2] + rng.normal(0, 0.05, (30, 2))
    attributes = rng.uniform(-SIZE, 2 * SIZE, (90, 3)).astype(np.float32)
    attributes[:, 2] = rng.choice([0, 0.5, 1], 90)
    triangles = rng.integers(0, 90, (200, 3)).astype(np.int32)
    canvas = _canvas(120)
    canvas.draw(points, triangles, attributes, Atlas.of(_plain(120, 120, 120, 255)))
    assert (canvas.rgb() == 120).all()
