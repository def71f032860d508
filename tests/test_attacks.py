"""Attacks stay within their budget and lower what they attack; the mark is read, not assumed."""

import json
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
import yaml
from torch import nn

from obverse.cli import main
from obverse.datasets.table import read_clips
from obverse.detector import crop_store
from obverse.detector.config import TrainConfig
from obverse.detector.frame import FrameNet
from obverse.detector.recipe import CropRecipe
from obverse.detector.runs import save_weights, shipped_detector
from obverse.errors import ConfigError
from obverse.eval.attacks import AttackConfig, attack_clips, attack_grid, pgd, square
from obverse.eval.robust import Store

CONFIG = TrainConfig(backbone="test_resnet", recipe=CropRecipe(size_px=32, moments=2, min_px=5))
Image = npt.NDArray[np.uint8]


class Linear(nn.Module):
    """Weighs pixels."""

    def __init__(self, weights: npt.NDArray[np.float32]) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.from_numpy(weights))

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        return (crops * self.weights).flatten(1).sum(dim=1)


def pictures(count: int = 3, side: int = 16) -> Image:
    drawn = np.random.default_rng(0).integers(0, 256, (count, side, side, 3))
    return drawn.astype(np.uint8)


def test_pgd_of_a_linear_network_reaches_the_corner_of_its_budget() -> None:
    rng = np.random.default_rng(1)
    weights = rng.choice([-1.0, 1.0], (16, 16, 3)).astype(np.float32)
    crops = pictures()
    for budget in (1, 4):
        found = pgd(Linear(weights), (crops,), budget, 30, rng)
        expected = np.clip(crops.astype(int) - budget * weights, 0, 255)
        assert np.array_equal(found, expected)


def test_square_lowers_scores_within_its_budget() -> None:
    asked = 0

    def brightness(crops: Image) -> npt.NDArray[np.float64]:
        nonlocal asked
        asked += 1
        return np.asarray(crops.mean(axis=(1, 2, 3)), np.float64)

    crops = pictures() // 2 + 60
    found = square(brightness, crops, 8, 120, np.random.default_rng(0))
    assert asked == 120
    assert np.abs(found.astype(int) - crops).max() == 8
    fall = brightness(crops) - brightness(found)
    assert (fall > 4).all()
    assert (fall <= 8).all()


def test_square_never_makes_it_worse() -> None:
    crops = pictures()
    found = square(
        lambda tried: np.asarray((tried != crops).any(axis=(1, 2, 3)), np.float64),
        crops,
        4,
        20,
        np.random.default_rng(0),
    )
    assert np.array_equal(found, crops)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("run")
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = FrameNet(CONFIG)
        torch.nn.init.normal_(network.head.weight)
        digest = save_weights(place / "model.safetensors", network)
    (place / "config.json").write_text(json.dumps(CONFIG.to_json()))
    (place / "model.card.yaml").write_text(yaml.safe_dump({"sha256": digest}))
    return place


@pytest.fixture
def faces(same_face: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("obverse.eval.attacks.open_reader", crop_store.open_reader)


@pytest.mark.usefixtures("faces")
def test_a_gradient_lowers_synthetic_scores_and_leaves_pristine_clips(
    film_table: Path, run: Path, tmp_path: Path
) -> None:
    clips = [clip for clip in read_clips(film_table) if clip.split == "train"][:4]
    config = AttackConfig(budgets=(2, 8), steps=8)
    with Store(tmp_path / "rows.sqlite", "d") as store:
        rows = attack_clips(run, clips, film_table.parent, config, store)
        told: list[tuple[int, int]] = []
        again = attack_clips(
            run, clips, film_table.parent, config, store, progress=lambda *n: told.append(n)
        )
    assert told == [(8, 8)]  # nothing is made again
    assert sorted(map(str, again)) == sorted(map(str, rows))
    by = {(row.clip, row.condition): row.score for row in rows}
    assert len(by) == 4 * 3
    for clip in clips:
        before, low, high = (by[clip.id, name] for name in ("none", "pgd-2", "pgd-8"))
        assert before is not None
        assert low is not None
        assert high is not None
        if clip.label == "synthetic":
            assert high < low < before
        else:
            assert before == low == high
    assert [each.level for each in attack_grid(config).conditions] == [0, 2, 8]


@pytest.mark.usefixtures("faces")
def test_a_film_is_attacked_and_its_mark_read(
    film_table: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["eval", "attack", "--detector", str(run), "--data", str(film_table), "-o", str(out)]
    with pytest.raises(SystemExit) as caught:
        main([*command, "--split", "val", "--budget", "8", "--steps", "3", "--film"])
    assert not caught.value.code
    said = capsys.readouterr().out
    assert "pgd-8-film" in said
    assert "the mark is read in 0% of the films" in said
    # Fakes that were encoded once more meet pristine clips that were.
    rows = {
        (row["clip"], row["condition"]): (row["status"], row["score"])
        for row in pd.read_parquet(out / "scores.parquet").to_dict("records")
    }
    for clip in read_clips(film_table):
        if clip.split == "val":
            assert rows[clip.id, "encoded"][0] == "ok"
            if clip.label == "pristine":
                assert rows[clip.id, "pgd-8-film"] == rows[clip.id, "encoded"]


def test_what_cannot_be_attacked_is_said(run: Path, tmp_path: Path) -> None:
    for values, said in (
        ({"method": "wish"}, "one of pgd, transfer, square"),
        ({"budgets": (0,)}, "from 1 to 64"),
        ({"steps": 0}, "steps are 0"),
    ):
        with pytest.raises(ConfigError, match=said):
            AttackConfig(**values)
    with (
        Store(tmp_path / "rows.sqlite", "d") as store,
        pytest.raises(ConfigError, match="surrogate"),
    ):
        attack_clips(run, [], tmp_path, AttackConfig(method="transfer"), store)


def test_a_refused_attack_leaves_no_folder(
    tmp_path: Path, film_table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = shipped_detector().parent
    for name, said in (
        ("frame.onnx", "has no gradient; attack it by square"),
        ("fusion.json", "is a fusion, which is attacked through one of its members (frame-"),
    ):
        out = tmp_path / "out"
        command = ["eval", "attack", "--detector", str(weights / name)]
        with pytest.raises(SystemExit) as caught:
            main([*command, "--data", str(film_table), "-o", str(out)])
        assert caught.value.code == 2
        assert said in capsys.readouterr().err
        assert not out.exists()


def test_a_surrogate_must_look_at_the_same_crops(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(run, other)
    said = json.loads((other / "config.json").read_text())
    said["recipe"]["size_px"] = 64
    (other / "config.json").write_text(json.dumps(said))
    with (
        Store(tmp_path / "rows.sqlite", "d") as store,
        pytest.raises(ConfigError, match=r"crops of 64 \(px wide\) and the detector at 32"),
    ):
        attack_clips(run, [], tmp_path, AttackConfig(method="transfer"), store, surrogate=other)
