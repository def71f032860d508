"""Batches for the mouth refiner."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from obverse.generator.refine import APPEARANCE, CROP_HEIGHT, CROP_WIDTH, NET_HEIGHT, NET_WIDTH
from obverse.generator.refine_data import MouthPairs, is_held_out

torch = pytest.importorskip("torch")
from obverse.generator.refine_batches import Pool, draw_batch, read_pool  # noqa: E402
from obverse.generator.train_refiner import TrainRefinerConfig  # noqa: E402

Floats = npt.NDArray[np.float32]
INSIDE = np.s_[:, :, 30:50, 30:98]


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    """One photograph's mouth: the truth has teeth with grooves, the drawing is plain enamel."""
    number = next(n for n in range(100) if not is_held_out(f"photograph-{n}"))
    shape = (2, 2, CROP_HEIGHT, CROP_WIDTH)
    opening = np.zeros(shape, np.uint8)
    opening[INSIDE] = 255
    drawn = np.full((*shape, 3), 120, np.uint8)
    drawn[INSIDE] = (180, 172, 160)
    truth = drawn.copy()
    truth[INSIDE] = (200, 195, 190)
    truth[:, :, 30:50, 30:98:9] = (150, 140, 130)
    told = np.full(len(APPEARANCE), 0.8, np.float32)
    pairs = MouthPairs(f"photograph-{number}", drawn, truth, opening, opening, told)
    pairs.save(tmp_path / f"photograph-{number}.npz")
    return read_pool(tmp_path.glob("*.npz"), "photograph", held_out=False)


def _drawn(pool: Pool, flat_share: float) -> tuple[Floats, ...]:
    config = TrainRefinerConfig(work=Path(), batch=24, flat_share=flat_share)
    nobody = Pool(*(getattr(pool, name)[:0] for name in Pool.__dataclass_fields__))
    batch = draw_batch(pool, nobody, config, np.random.default_rng(0))
    assert batch.planes.shape == (48, 4, NET_HEIGHT, NET_WIDTH)
    assert float(batch.aligned.mean()) == flat_share
    return batch.planes[:, :3].numpy(), batch.truth.numpy(), batch.planes[:, 3:].numpy()


def _grooves(crops: Floats, opening: Floats) -> float:
    slopes = np.abs(np.diff(crops, axis=-1))
    inside = np.minimum(opening[..., 1:], opening[..., :-1]) > 0.9
    return float((slopes * inside).sum() / (3 * inside.sum()))


def test_flat_mouths_carry_a_trace_of_the_teeth_that_are_asked_for(pool: Pool) -> None:
    shown, truth, opening = _drawn(pool, 1.0)
    assert 0.1 < _grooves(shown, opening) / _grooves(truth, opening) < 0.9


def test_a_drawn_mouth_is_asked_for_light_but_for_nobodys_grooves(pool: Pool) -> None:
    shown, truth, opening = _drawn(pool, 0.0)
    flat = _drawn(pool, 1.0)
    assert _grooves(truth, opening) < 0.35 * _grooves(flat[1], flat[2])
    inside = opening > 0.9
    lighter = (truth - shown).mean(1, keepdims=True)[inside].mean()
    assert lighter > 0.0
    away = np.abs(truth - shown).max(1, keepdims=True)[opening == 0]
    assert away.max() == 0.0


def test_batches_are_drawn_by_their_seed(pool: Pool) -> None:
    first, second = _drawn(pool, 0.0), _drawn(pool, 0.0)
    assert all((a == b).all() for a, b in zip(first, second, strict=True))
