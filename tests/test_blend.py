"""A self-blended picture differs from itself where its mask says, and nowhere else."""

import numpy as np
import pytest

from obverse.detector.blend import blend_with_itself
from obverse.faces.pose import canonical_face

SIDE = 128


@pytest.mark.parametrize("seed", range(12))
def test_only_the_mask_is_changed(seed: int) -> None:
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    crop = (np.stack([x, y, x * y], -1) * 160 + 40).astype(np.uint8)
    landmarks = (canonical_face().vertices[:, :2] * (SIDE / 4) + SIDE / 2).astype(np.float32)
    blend = blend_with_itself(crop, landmarks, np.random.default_rng(seed))
    assert blend.synthetic.shape == blend.pristine.shape == crop.shape
    change = np.abs(blend.synthetic.astype(int) - blend.pristine).max(-1)
    assert change[blend.mask == 0].max(initial=0) == 0
    assert change[blend.mask > 0.2].mean() > 0
    assert 0.01 < (blend.mask > 0.1).mean() < 0.75
    assert blend.mask.max() <= 1
    again = blend_with_itself(crop, landmarks, np.random.default_rng(seed))
    assert np.array_equal(again.synthetic, blend.synthetic)
