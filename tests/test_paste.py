import cv2
import numpy as np
import numpy.typing as npt
import pytest

from obverse.faces.pose import canonical_face
from obverse.generator.paste import (
    INNER_FACE,
    LOWER_FACE,
    Region,
    drawn_middle,
    fit_faces,
    paste_face,
    region_mask,
    smoothed_fit,
)

SIDE = 240
FACE = canonical_face().vertices[:, :2] * 60 + SIDE / 2
REGIONS = pytest.mark.parametrize("region", [LOWER_FACE, INNER_FACE])

Image = npt.NDArray[np.uint8]


def _picture(seed: int = 0) -> Image:
    """Return smooth colours of middling brightness."""
    noise = np.random.default_rng(seed).normal(size=(SIDE, SIDE, 3))
    smooth = cv2.GaussianBlur(noise, (0, 0), 6)
    return np.asarray(np.rint(128 + 40 * smooth / smooth.std()).clip(30, 225), np.uint8)


def _similar(degrees: float, scale: float) -> npt.NDArray[np.float64]:
    return np.asarray(cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), degrees, scale))


@REGIONS
def test_a_face_pasted_on_itself_changes_nothing(region: Region) -> None:
    picture = _picture()
    fit = fit_faces(FACE, FACE, region)
    pasted, tone = paste_face(picture, picture, FACE, FACE, fit, region)
    assert np.abs(pasted.astype(int) - picture).max() <= 1
    assert np.allclose(tone.gain, 1)
    assert np.allclose(tone.exponent * tone.near, 1, atol=1e-4)


@REGIONS
def test_outside_of_the_region_no_bit_changes(region: Region) -> None:
    picture, drawing = _picture(1), 255 - _picture(2)
    before = picture.copy()
    fit = fit_faces(FACE, FACE + 0.4, region)
    pasted, _ = paste_face(picture, drawing, FACE, FACE + 0.4, fit, region)
    assert np.array_equal(picture, before)
    mask, (x0, y0) = region_mask(picture.shape, FACE + 0.4, FACE + 0.4, region)
    inside = np.zeros((SIDE, SIDE), np.float32)
    inside[y0 : y0 + mask.shape[0], x0 : x0 + mask.shape[1]] = mask
    changed = (pasted != picture).any(-1)
    assert not changed[cv2.dilate(inside, np.ones((5, 5))) == 0].any()
    assert changed[inside > 0.5].mean() > 0.95


def test_a_mouth_and_a_face_are_covered_and_no_more() -> None:
    def share(region: Region, index: int) -> float:
        mask, (x0, y0) = region_mask((SIDE, SIDE), FACE, FACE, region)
        x, y = np.rint(FACE[index]).astype(int) - (x0, y0)
        inside = 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1]
        return float(mask[y, x]) if inside else 0.0

    lips, chin, nose_tip, eyes, brows, forehead, ears = (
        (13, 14, 61, 291, 0, 17), (199, 175), (1, 4), (159, 386), (105, 334), (10,), (234, 454),
    )  # fmt: skip
    for index in (*lips, *chin):
        assert share(LOWER_FACE, index) > 0.7
        assert share(INNER_FACE, index) > 0.4
    for index in (*nose_tip, *eyes, *brows, *forehead, *ears):
        assert share(LOWER_FACE, index) == 0
    for index in (*nose_tip, *eyes, *brows):
        assert share(INNER_FACE, index) > 0.7
    for index in (*forehead, *ears):
        assert share(INNER_FACE, index) == 0


def test_a_region_that_leaves_the_frame_is_cut() -> None:
    away = FACE + np.array([0, SIDE / 2 - 40])
    mask, (_, y0) = region_mask((SIDE, SIDE), away, away, LOWER_FACE)
    assert y0 + len(mask) == SIDE
    assert mask[-1].max() > 0.5
    picture = _picture()
    fit = fit_faces(away, away, LOWER_FACE)
    pasted, _ = paste_face(picture, picture, away, away, fit, LOWER_FACE)
    assert np.abs(pasted.astype(int) - picture).max() <= 1


@REGIONS
@pytest.mark.parametrize(("degrees", "scale"), [(0.0, 1.15), (20.0, 1.0), (-35.0, 0.8)])
def test_a_face_that_was_turned_away_comes_back(
    region: Region, degrees: float, scale: float
) -> None:
    picture, matrix = _picture(), _similar(degrees, scale)
    drawn = FACE @ matrix[:, :2].T + matrix[:, 2]
    fit = fit_faces(drawn, FACE, region)
    assert abs(fit.turn) == pytest.approx(1 / scale)
    assert np.allclose(fit.placed(drawn), FACE)
    assert np.allclose(fit.taken_back(FACE), drawn)
    assert np.allclose(fit.strayed, 0, atol=1e-9)
    drawing = cv2.warpAffine(picture, matrix, (SIDE, SIDE), flags=cv2.INTER_CUBIC)
    pasted, _ = paste_face(picture, drawing, drawn, FACE, fit, region)
    assert np.abs(pasted.astype(int) - picture).max() <= 6


def test_outlines_meet_where_faces_differ() -> None:
    broad = FACE * (1.08, 1.0) - (0.08 * SIDE / 2, 0)
    fit = fit_faces(FACE, broad, INNER_FACE)
    bright = np.zeros((SIDE, SIDE, 3), np.uint8)
    bright[:] = (90, 90, 90)
    for index in (50, 280):  # a spot on each cheek
        x, y = np.rint(FACE[index]).astype(int)
        cv2.circle(bright, (int(x), int(y)), 3, (230, 230, 230), -1)
    pasted, _ = paste_face(np.full_like(bright, 90), bright, FACE, broad, fit, INNER_FACE)
    for index in (50, 280):
        near = np.zeros((SIDE, SIDE), np.uint8)
        x, y = np.rint(broad[index]).astype(int)
        cv2.circle(near, (int(x), int(y)), 12, 1, -1)
        rows, columns = np.nonzero((pasted[..., 0] > 140) & (near > 0))
        assert abs(columns.mean() - broad[index, 0]) < 1.5
        assert abs(rows.mean() - broad[index, 1]) < 1.5


@pytest.mark.parametrize(("film", "drawn"), [(60, 170), (170, 80), (200, 150)])
def test_colours_become_the_films(film: int, drawn: int) -> None:
    ground = np.full((SIDE, SIDE, 3), (film, film - 20, film - 30), np.uint8)
    drawing = np.full((SIDE, SIDE, 3), (drawn, drawn - 10, drawn - 40), np.uint8)
    fit = fit_faces(FACE, FACE, INNER_FACE)
    pasted, tone = paste_face(ground, drawing, FACE, FACE, fit, INNER_FACE)
    assert np.abs(pasted.astype(int) - ground).max() <= 2
    # A tone that is followed slowly is between the two.
    _, held = paste_face(ground, ground, FACE, FACE, fit, INNER_FACE, tone, 0.25)
    assert np.allclose(held.exponent, tone.exponent + 0.25 * (1 - tone.exponent), atol=1e-3)


def test_black_and_white_stay_what_they_are() -> None:
    ground = np.full((SIDE, SIDE, 3), 190, np.uint8)
    drawing = np.full((SIDE, SIDE, 3), 80, np.uint8)
    eye = tuple(int(value) for value in FACE[159].round())
    cv2.circle(drawing, eye, 9, (255, 255, 255), -1)
    cv2.circle(drawing, eye, 4, (0, 0, 0), -1)
    fit = fit_faces(FACE, FACE, INNER_FACE)
    pasted, _ = paste_face(ground, drawing, FACE, FACE, fit, INNER_FACE)
    assert pasted[eye[1], eye[0]].max() < 60
    assert pasted[eye[1], eye[0] + 7].min() > 245


def test_fits_are_averaged_and_the_movement_is_kept() -> None:
    rng = np.random.default_rng(0)
    fits = [fit_faces(FACE + 5 * step, FACE + 5 * step + 3, LOWER_FACE) for step in range(5)]
    middle = drawn_middle(FACE + 10)
    mean = smoothed_fit(fits, rng.uniform(0.1, 1, 5).tolist(), middle)
    assert np.allclose(mean.placed(FACE + 10), FACE + 13)
    assert np.allclose(mean.turn, 1)
