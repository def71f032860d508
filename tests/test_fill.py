import numpy as np

from obverse.generator.fill import fill_unknown, fill_with_grain


def test_a_constant_stays_constant() -> None:
    image = np.full((40, 61, 3), 90, np.uint8)
    known = np.ones((40, 61))
    known[10:30, 20:50] = 0
    assert np.allclose(fill_unknown(image, known), 90, atol=0.5)


def test_known_pixels_are_kept_and_unknown_ones_are_not_read() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)
    known = np.zeros((64, 64))
    known[:, :32] = 1
    filled = fill_unknown(image, known)
    assert np.abs(filled[:, :32] - image[:, :32]).max() < 1e-3
    other = image.copy()
    other[:, 32:] = 0
    assert np.array_equal(filled, fill_unknown(other, known))


def test_a_ramp_is_bridged_within_its_range() -> None:
    ramp = np.broadcast_to(np.linspace(0, 250, 80)[None, :, None], (50, 80, 3))
    known = np.ones((50, 80))
    known[:, 30:50] = 0
    filled = fill_unknown(ramp, known)
    middle = filled[:, 30:50]
    assert 60 < middle.min() <= middle.max() < 190
    assert abs(middle.mean() - 125) < 25


def test_grain_matches_the_surroundings() -> None:
    rng = np.random.default_rng(1)
    image = (
        np.clip(128 + 12 * rng.standard_normal((96, 96, 1)), 0, 255).astype(np.uint8).repeat(3, 2)
    )
    known = np.ones((96, 96))
    known[30:66, 30:66] = 0
    filled = fill_with_grain(image, known, np.random.default_rng(2))
    inside = filled[34:62, 34:62].astype(float)
    assert 3 < inside.std() < 20
    assert abs(inside.mean() - 128) < 6
