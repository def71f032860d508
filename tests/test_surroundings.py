import numpy as np
import pytest

from obverse.generator.contours import FACE_OVAL, JAW_LINE
from obverse.generator.fit import SKIN_LANDMARKS
from obverse.generator.motion import EXPRESSIONS, expression_index
from obverse.generator.portrait import Portrait
from obverse.generator.surroundings import (
    expressions_beyond,
    head_weight_at,
    lay_surroundings,
    texture_of,
)

DOWN = np.array([0.0, 1.0], np.float32)


def test_inside_the_picture_every_point_shows_its_own_pixel() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform((0, 0), (99, 79), (50, 2)).astype(np.float32)
    assert np.allclose(texture_of(points, np.ones((80, 100), np.float32)), points, atol=1e-4)


def test_beyond_a_border_the_picture_is_mirrored_and_below_it_slowly() -> None:
    matte = np.ones((80, 100), np.float32)
    found = texture_of(np.array([[-5, 40], [104, 40], [50, 99]], np.float32), matte)
    assert np.allclose(found, np.array([[5, 40], [94, 40], [50, 79 - 0.15 * 20]]))


def test_nobody_goes_on_beyond_a_border_that_cuts_nobody_off() -> None:
    matte = np.zeros((80, 100), np.float32)
    matte[8:, 20:81] = 1
    found = texture_of(np.array([[-30, 40], [129, 40], [50, -12]], np.float32), matte)
    columns, rows = found.round().astype(int).T
    assert not matte[rows, columns].any()


def test_a_head_cut_off_above_is_closed_by_a_cap() -> None:
    matte = np.zeros((80, 100), np.float32)
    matte[:, 30:71] = 1
    heights = np.linspace(1, 30, 12)
    x = np.arange(100, dtype=np.float32)
    widths = []
    for height in heights:
        row = np.stack([x, np.full(100, -height)], 1).astype(np.float32)
        columns, rows = texture_of(row, matte).round().astype(int).T
        widths.append(int((matte[rows, columns] > 0.5).sum()))
    assert abs(widths[0] - 41) <= 3
    assert (np.diff(widths) <= 0).all()
    assert widths[-1] <= 8


def test_the_head_turns_whole_and_the_shoulders_stay(sitter_portrait: Portrait) -> None:
    landmarks = sitter_portrait.landmarks[:SKIN_LANDMARKS, :2]
    scale = sitter_portrait.interocular_px
    chin, jaw = landmarks[152], landmarks[list(JAW_LINE)]
    heights = chin + np.linspace(-3, 3, 40)[:, None] * scale * DOWN
    weight = head_weight_at(heights.astype(np.float32), landmarks, DOWN, scale)
    assert weight[0] == 1
    assert weight[-1] == 0
    assert (np.diff(weight) <= 1e-6).all()
    assert head_weight_at(jaw, landmarks, DOWN, scale).min() > 0.99
    # Even a nod of 15 degrees does not fold the neck: weight falls slower than 2 per distance.
    assert np.abs(np.diff(weight)).max() / (6 / 39) < 2


def test_a_dropped_chin_presses_the_neck_together(sitter_portrait: Portrait) -> None:
    landmarks = sitter_portrait.landmarks[:SKIN_LANDMARKS, :2]
    scale = sitter_portrait.interocular_px
    face = np.zeros((len(EXPRESSIONS), SKIN_LANDMARKS, 3), np.float32)
    jaw = expression_index("jawOpen")
    face[jaw, list(FACE_OVAL), 1] = 0.4
    below = landmarks[152] + np.linspace(0.02, 1.2, 30)[:, None] * scale * DOWN
    aside = landmarks[234] - np.linspace(0.02, 1.2, 30)[:, None] * np.array([scale, 0])
    points = np.concatenate([landmarks, below, aside]).astype(np.float32)
    field = expressions_beyond(face, points, DOWN, scale)[jaw, SKIN_LANDMARKS:, 1]
    neck, side = field[:30], field[30:]
    assert neck[0] == pytest.approx(0.4, abs=0.02)
    assert neck[-1] == 0
    moved = np.linspace(0.02, 1.2, 30) + neck
    assert (np.diff(moved) > 0).all()  # no point passes the one below it
    assert side[15] < 0.4 * neck[15] + 1e-6


def test_the_face_is_surrounded_to_the_border_and_beyond(sitter_portrait: Portrait) -> None:
    vertices, triangles = lay_surroundings(sitter_portrait, sitter_portrait.interocular_px)
    points = np.concatenate([sitter_portrait.landmarks[:SKIN_LANDMARKS, :2], vertices])
    assert triangles.max() < len(points)
    height = len(sitter_portrait.matte)
    rows, columns = np.nonzero(sitter_portrait.matte > 0.5)
    at_bottom = columns[rows == height - 1]
    assert len(at_bottom)
    assert points[:, 1].max() > height
    assert not set(triangles.ravel()) & (
        set(range(SKIN_LANDMARKS)) - set(FACE_OVAL)
    )  # nothing is laid over the face
