"""What ships is exported under its name, with a card that says where it comes from."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from obverse.detector.calibration import Calibration
from obverse.detector.config import preset
from obverse.detector.detectors import DETECTORS
from obverse.detector.runs import save_weights
from obverse.detector.score import open_detector
from obverse.detector.ship import ship, ship_fusion, state_results
from obverse.errors import InputError


def make_run(folder: Path, seed: int) -> Path:
    folder.mkdir(parents=True)
    config = preset("frame", backbone="test_resnet")
    config = dataclasses.replace(config, recipe=dataclasses.replace(config.recipe, size_px=32))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = DETECTORS["frame"].build(config)
    digest = save_weights(folder / "model.safetensors", network)
    (folder / "config.json").write_text(json.dumps(config.to_json()))
    card = {"sha256": digest, "licence": "x", "source": "here", "results": {"validation_auc": 0.5}}
    (folder / "model.card.yaml").write_text(yaml.safe_dump(card))
    labels = [False, True] * 30
    scores = np.random.default_rng(seed).uniform(0.1, 0.9, 60)
    Calibration.fit(scores.tolist(), labels).save(folder / "calibration.json")
    return folder


def test_members_ship_under_their_names_and_a_fusion_names_them(tmp_path: Path) -> None:
    members = {"frame": make_run(tmp_path / "one", 1), "other": make_run(tmp_path / "two", 2)}
    shipped = tmp_path / "weights"
    ship(members, shipped)
    card = yaml.safe_load((shipped / "frame.card.yaml").read_text())
    assert (card["file"], card["licence"]) == ("frame.onnx", "Apache-2.0")
    fusion = tmp_path / "fusion"
    for number, run in enumerate(members.values()):
        (fusion / f"member-{number}").mkdir(parents=True)
        for file in run.iterdir():
            (fusion / f"member-{number}" / file.name).write_bytes(file.read_bytes())
    about = {
        "kind": "fusion",
        "members": ["member-1", "member-0"],
        "weights": [1.0, 0.5],
        "offset": 0.0,
        "id": "fusion-1-2",
    }
    (fusion / "config.json").write_text(json.dumps(about))
    (fusion / "model.card.yaml").write_text(yaml.safe_dump({"name": "fusion"}))
    (fusion / "calibration.json").write_bytes((members["frame"] / "calibration.json").read_bytes())
    ship_fusion(members, fusion, shipped)
    assert json.loads((shipped / "fusion.json").read_text())["members"] == [
        "other.onnx",
        "frame.onnx",
    ]
    assert open_detector(shipped / "fusion.json").id == "fusion-1-2"
    with pytest.raises(InputError, match="fuses other runs"):
        ship_fusion({"frame": members["frame"]}, fusion, shipped)


def test_what_was_measured_goes_on_the_card(tmp_path: Path) -> None:
    ship({"frame": make_run(tmp_path / "run", 3)}, tmp_path)
    state_results(tmp_path, {"frame": {"test_auc": "0.9 [0.8, 1.0]"}})
    card = yaml.safe_load((tmp_path / "frame.card.yaml").read_text())
    assert card["results"] == {
        "validation_auc": 0.5,
        "calibrated_on": 60,  # by a calibration that came after its card
        "test_auc": "0.9 [0.8, 1.0]",
    }
    assert card["calibration"] == {"synthetic": 30, "pristine": 30}
