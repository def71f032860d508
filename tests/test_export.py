"""An exported detector gives torch's numbers, and scores by itself."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from obverse.detector.config import KINDS, KindName, preset
from obverse.detector.detectors import DETECTORS
from obverse.detector.export import export
from obverse.detector.runs import load_detector, save_weights
from obverse.errors import ConfigError, InputError, OutputExistsError, WeightsError


def make_run(folder: Path, kind: KindName) -> Path:
    folder.mkdir()
    config = preset(kind, backbone="test_resnet")
    burst = {"temporal": 4, "sync": 6}.get(kind, 1)
    recipe = dataclasses.replace(config.recipe, size_px=32, burst=burst)
    config = dataclasses.replace(config, recipe=recipe)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = DETECTORS[kind].build(config)
        if isinstance(head := getattr(network, "head", None), torch.nn.Linear):
            torch.nn.init.normal_(head.weight)
    digest = save_weights(folder / "model.safetensors", network)
    (folder / "config.json").write_text(json.dumps(config.to_json()))
    (folder / "model.card.yaml").write_text(yaml.safe_dump({"sha256": digest, "licence": "x"}))
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_exported_with_its_numbers(kind: KindName, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", kind)
    report = export(run, tmp_path / "model.onnx")
    assert report.difference < 1e-4
    assert list(report.inputs) == list(DETECTORS[kind].inputs)
    torch_one, onnx_one = load_detector(run), load_detector(tmp_path / "model.onnx")
    rng = np.random.default_rng(0)
    inputs = tuple(
        rng.integers(0, 200, (3, *shape)).astype(np.int16 if name == "sound" else np.uint8)
        for name, shape in report.inputs.items()
    )
    assert onnx_one.probabilities(inputs) == pytest.approx(
        torch_one.probabilities(inputs), abs=1e-4
    )
    logits, features = onnx_one.probabilities_and_features(inputs)
    wanted = torch_one.probabilities_and_features(inputs)
    assert features is not None
    assert features == pytest.approx(wanted[1], abs=1e-4)
    assert features.shape[0] == 3
    assert logits == pytest.approx(onnx_one.probabilities(inputs), abs=1e-9)
    assert onnx_one.recipe == torch_one.recipe
    assert onnx_one.id == f"{torch_one.id}-onnx"


def test_what_cannot_be_exported_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "frame")
    with pytest.raises(ConfigError, match=r"end in \.onnx"):
        export(run, tmp_path / "model.pt")
    with pytest.raises(InputError, match="no finished"):
        export(tmp_path, tmp_path / "model.onnx")
    export(run, tmp_path / "model.onnx")
    with pytest.raises(OutputExistsError, match="--force"):
        export(run, tmp_path / "model.onnx")
    (tmp_path / "model.json").unlink()
    with pytest.raises(InputError, match=r"model\.json"):
        load_detector(tmp_path / "model.onnx")
    export(run, tmp_path / "model.onnx", force=True)
    (tmp_path / "model.onnx").write_bytes(b"other")
    with pytest.raises(WeightsError, match="not the file on its card"):
        load_detector(tmp_path / "model.onnx")


def test_numbers_that_differ_are_not_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "run", "frame")
    monkeypatch.setattr("obverse.detector.export._difference", lambda *_: 0.1)
    with pytest.raises(WeightsError, match=r"differ from torch's by 0\.1"):
        export(run, tmp_path / "model.onnx")
    assert not list(tmp_path.glob("model*"))
