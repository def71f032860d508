import numpy as np
import pytest

from obverse.generator.contours import EYE_LOWER, EYE_UPPER, LIPS_INNER_LOWER, LIPS_INNER_UPPER
from obverse.generator.fit import fit_head
from obverse.generator.head import HeadModel
from obverse.generator.motion import expression_index
from obverse.generator.portrait import Portrait
from obverse.generator.relief import Relief, build_relief

BROWS = {"left": (282, 295, 334), "right": (52, 65, 105)}


@pytest.fixture(scope="module")
def relief(sitter_portrait: Portrait) -> Relief:
    model = HeadModel.load()
    return build_relief(sitter_portrait, fit_head(sitter_portrait, model), model)


def _moved(relief: Relief, **coefficients: float) -> np.ndarray:
    points = relief.rest.copy()
    for name, value in coefficients.items():
        points += value * relief.basis[expression_index(name)]
    return points


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_blink_shuts_the_eye_and_leaves_the_brow(relief: Relief, side: str) -> None:
    blink = {f"eyeBlink{side.title()}": 1.0}
    shut = _moved(relief, **blink)
    upper, lower = list(EYE_UPPER[side]), list(EYE_LOWER[side])
    height = np.linalg.norm((relief.rest[upper] - relief.rest[lower])[:, :2], axis=1).max()
    assert np.abs((shut[upper] - shut[lower])[:, :2]).max() < 0.05 * height
    stirred = np.abs((shut - relief.rest)[list(BROWS[side]), :2]).max()
    assert stirred < 0.1 * height


def test_lips_rest_closed_and_part_without_a_point(
    relief: Relief, sitter_portrait: Portrait
) -> None:
    upper, lower = list(LIPS_INNER_UPPER), list(LIPS_INNER_LOWER)
    assert np.allclose(relief.rest[upper, :2], relief.rest[lower, :2], atol=1e-3)
    opened = _moved(relief, jawOpen=0.6)
    gap = ((opened[lower] - opened[upper])[:, :2] @ relief.down) / sitter_portrait.interocular_px
    assert gap[5] > 0.2
    assert gap[5] - 0.5 * (gap[4] + gap[6]) < 0.1 * gap[5]  # an arch, not a wedge


def test_the_chin_never_slides_over_the_neck(relief: Relief, sitter_portrait: Portrait) -> None:
    chin = relief.rest[152, :2]
    across = np.array([relief.down[1], -relief.down[0]])
    offset = relief.rest[468:, :2] - chin
    below = offset @ relief.down
    column = (np.abs(offset @ across) < 0.15 * sitter_portrait.interocular_px) & (below > 0)
    order = 468 + np.flatnonzero(column)[np.argsort(below[column])]
    opened = _moved(relief, jawOpen=0.8)
    heights = np.concatenate([opened[[152], :2], opened[order, :2]]) @ relief.down
    assert len(order) > 3
    assert heights[-1] > heights[0]
    assert np.diff(heights).min() > -2.0  # px
