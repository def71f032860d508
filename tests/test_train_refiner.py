"""Training the mouth refiner."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml

from obverse.errors import ConfigError, InputError
from obverse.generator.refine import APPEARANCE, CROP_HEIGHT, CROP_WIDTH, NET_HEIGHT, NET_WIDTH
from obverse.generator.refine_data import MouthPairs, is_held_out
from obverse.weights import onnx_session, sha256_file

torch = pytest.importorskip("torch")
from obverse.generator.refine_net import RefinerNet  # noqa: E402
from obverse.generator.train_refiner import TrainRefinerConfig, train  # noqa: E402


def write_pairs(folder: Path, number: int) -> None:
    rng = np.random.default_rng(number)
    shape = (2, 2, CROP_HEIGHT, CROP_WIDTH)
    drawn = np.full((*shape, 3), 120, np.uint8)
    opening = np.zeros(shape, np.uint8)
    opening[..., 30:50, 40:90] = 255
    truth = drawn.copy()
    truth[..., 30:50, 40:90, :] = 190
    appearance = rng.uniform(0.4, 0.9, len(APPEARANCE)).astype(np.float32)
    source = f"photograph-{number}"
    MouthPairs(source, drawn, truth, opening, opening, appearance).save(folder / f"{source}.npz")


@pytest.fixture
def config(tmp_path: Path) -> TrainRefinerConfig:
    pairs = tmp_path / "work" / "pairs"
    pairs.mkdir(parents=True)
    held = next(n for n in range(100) if is_held_out(f"photograph-{n}"))
    kept = [n for n in range(100) if not is_held_out(f"photograph-{n}")][:2]
    for number in (held, *kept):
        write_pairs(pairs, number)
    return TrainRefinerConfig(
        work=tmp_path / "work",
        output=tmp_path / "weights",
        sitters=0,
        steps=12,
        batch=2,
        width=8,
        rate=5e-3,
        flat_share=1.0,
        adversary_from=10,
    )


def test_a_new_network_changes_nothing() -> None:
    net = RefinerNet(8).eval()
    with torch.no_grad():
        change = net(torch.rand(2, 4, NET_HEIGHT, NET_WIDTH), torch.rand(2, len(APPEARANCE)))
    assert change.shape == (2, 3, NET_HEIGHT, NET_WIDTH)
    assert float(change.abs().max()) == 0.0


def test_the_network_is_small(tmp_path: Path) -> None:
    net = RefinerNet(TrainRefinerConfig(work=tmp_path).width)
    assert sum(p.numel() for p in net.parameters()) < 3_000_000


def test_training_writes_weights_that_run_and_goes_on_where_it_stopped(
    config: TrainRefinerConfig,
) -> None:
    report = train(config)
    assert set(report) == {"photographs"}
    first = (config.output / "refiner.onnx").read_bytes()
    card = yaml.safe_load((config.output / "refiner.card.yaml").read_text(encoding="utf-8"))
    assert card["sha256"] == sha256_file(config.output / "refiner.onnx")
    session = onnx_session(config.output / "refiner.onnx")
    planes = np.random.default_rng(0).random((1, 4, NET_HEIGHT, NET_WIDTH), np.float32)
    told = np.full((1, len(APPEARANCE)), 0.5, np.float32)
    (change,) = session.run(["change"], {"planes": planes, "appearance": told})
    state = torch.load(config.work / "refiner.pt", weights_only=True)
    assert state["step"] == config.steps
    net = RefinerNet(config.width)
    net.load_state_dict(state["average"])
    with torch.no_grad():
        expected = net.eval()(torch.from_numpy(planes), torch.from_numpy(told)).numpy()
    assert np.abs(change - expected).max() < 1e-4
    assert np.abs(expected).max() > 1e-4  # it learnt something
    # Nothing is left to do: the same weights come out.
    train(config)
    assert (config.output / "refiner.onnx").read_bytes() == first
    # More steps go on from here.
    train(dataclasses.replace(config, steps=config.steps + 1))
    assert torch.load(config.work / "refiner.pt", weights_only=True)["step"] == config.steps + 1


def test_nothing_to_learn_from_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no pairs"):
        train(TrainRefinerConfig(work=tmp_path, output=tmp_path / "out", sitters=0, steps=1))


def test_shares_beyond_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="shares"):
        TrainRefinerConfig(work=tmp_path, flat_share=1.5)
