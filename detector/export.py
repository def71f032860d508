"""Writes a run as one ONNX file, checked against torch, with all that scoring by it needs."""

import dataclasses
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import yaml
from torch import nn

from obverse.detector.calibration import Calibration
from obverse.detector.config import TrainConfig
from obverse.detector.detectors import DETECTORS
from obverse.detector.fusion import is_fusion
from obverse.detector.kind import Network
from obverse.detector.runs import CALIBRATION, CARD, CONFIG, copy_exported, load_network
from obverse.errors import ConfigError, OutputExistsError, WeightsError
from obverse.files import write_whole
from obverse.weights import onnx_session, sha256_file

__all__ = ["ExportReport", "export"]

AGREEMENT = 2e-3  # largest difference of a logit from torch's that is accepted
_CHECKED = 4  # windows that are compared
_OUTPUTS = ("logits", "features")
_OPSET = 17


@dataclasses.dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export did."""

    path: Path
    sha256: str
    bytes: int
    inputs: dict[str, list[int]]  # name -> shape of one window
    difference: float  # of logits and features from torch's, at most


class _Looks(nn.Module):
    """A network that returns what `Network.look` does."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits and features."""
        assert isinstance(self.network, Network)
        seen = self.network.look(*inputs)
        return seen.logits, seen.features


def _windows(config: TrainConfig, count: int, seed: int) -> list[npt.NDArray[Any]]:
    """Return random windows as a kind of detector takes them, smooth as pictures are."""
    rng = np.random.default_rng(seed)
    recipe = config.recipe
    bursts = (recipe.burst,) if recipe.burst > 1 else ()
    coarse = rng.integers(0, 256, (count, *bursts, 8, 8, 3))
    grown = coarse.repeat(-(-recipe.size_px // 8), -3).repeat(-(-recipe.size_px // 8), -2)
    crops = grown[..., : recipe.size_px, : recipe.size_px, :]
    noisy = np.clip(crops + rng.normal(0, 6, crops.shape), 0, 255).astype(np.uint8)
    found: list[npt.NDArray[Any]] = [noisy]
    if "sound" in DETECTORS[config.kind].inputs:
        found.append(rng.normal(0, 2000, (count, recipe.sound_samples)).astype(np.int16))
    return found


def export(run: Path, path: Path, *, force: bool = False) -> ExportReport:
    """Write a run's network to `NAME.onnx`, with `NAME.json` and `NAME.card.yaml`.

    The inputs are what a recipe cuts: `crops` `[N, S, S, 3]` or `[N, T, S, S, 3] uint8 RGB`, for
    `sync` also `sound` `[N, L] int16`; the outputs are `logits` `[N]`, positive = synthetic, and
    `features` `[N, D]`, by which familiarity is judged.

    A fusion becomes `NAME.json`, beside an exported detector `NAME-0.onnx` and so on for each of
    its members.

    Raises:
        ConfigError: the name does not end in .onnx, or for a fusion in .json.
        OutputExistsError: the file is there and `force` is not given.
        WeightsError: the exported network does not give torch's numbers.
    """
    if is_fusion(run):
        return _export_fusion(run, path, force)
    if path.suffix != ".onnx":
        raise ConfigError(f"{path} must end in .onnx.")
    about, card_path = path.with_suffix(".json"), path.with_suffix(".card.yaml")
    for file in (path, about, card_path):
        if file.exists() and not force:
            raise OutputExistsError(f"{file} exists already; use --force to overwrite it.")
    network, config, digest = load_network(run)
    looks = _Looks(network).eval()
    names = DETECTORS[config.kind].inputs
    examples = tuple(torch.from_numpy(part) for part in _windows(config, 2, 0))
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".half")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracing exporter announces that it is the old one
            torch.onnx.export(
                looks,
                examples,
                str(half),
                input_names=list(names),
                output_names=list(_OUTPUTS),
                dynamic_axes={name: {0: "windows"} for name in (*names, *_OUTPUTS)},
                opset_version=_OPSET,
                dynamo=False,
            )
        difference = _difference(looks, half, config)
        if not difference <= AGREEMENT:
            raise WeightsError(
                f"the exported network's numbers differ from torch's by {difference:.2g}, more "
                f"than {AGREEMENT:g}; choose another backbone."
            )
        sha256 = sha256_file(half)
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)
    kept = run / CALIBRATION
    calibration = Calibration.load(kept).to_json() if kept.is_file() else None
    name = f"{config.kind}-{config.backbone}-{digest[:8]}-onnx"
    values = {"id": name, "config": config.to_json(), "calibration": calibration}
    write_whole(about, json.dumps(values, indent=2) + "\n")
    card = yaml.safe_load((run / CARD).read_text(encoding="utf-8"))
    card |= {
        "name": path.stem,
        "file": path.name,
        "sha256": sha256,
        "exported": f"obverse export; numbers differ from torch's by at most {difference:.1g}",
    }
    text = yaml.safe_dump(card, sort_keys=False, width=100, allow_unicode=True)
    write_whole(card_path, text)
    inputs = {name: list(part.shape[1:]) for name, part in zip(names, examples, strict=True)}
    return ExportReport(path, sha256, path.stat().st_size, inputs, difference)


def _export_fusion(run: Path, path: Path, force: bool) -> ExportReport:
    if path.suffix != ".json":
        raise ConfigError(f"{run} is a fusion: {path} must end in .json.")
    card_path = path.with_suffix(".card.yaml")
    for file in (path, card_path):
        if file.exists() and not force:
            raise OutputExistsError(f"{file} exists already; use --force to overwrite it.")
    config = json.loads((run / CONFIG).read_text(encoding="utf-8"))
    path.parent.mkdir(parents=True, exist_ok=True)
    names, reports = [], []
    for number, member in enumerate(config["members"]):
        target = path.with_name(f"{path.stem}-{number}.onnx")
        if member.endswith(".onnx"):
            copy_exported(run / member, target)
        else:
            reports.append(export(run / member, target, force=force))
        names.append(target.name)
    kept = run / CALIBRATION
    calibration = Calibration.load(kept).to_json() if kept.is_file() else None
    values = {**config, "members": names, "calibration": calibration}
    write_whole(path, json.dumps(values, indent=2) + "\n")
    card = yaml.safe_load((run / CARD).read_text(encoding="utf-8"))
    digest = sha256_file(path)
    card |= {"name": path.stem, "file": path.name, "sha256": digest}
    text = yaml.safe_dump(card, sort_keys=False, width=100, allow_unicode=True)
    write_whole(card_path, text)
    return ExportReport(
        path,
        digest,
        sum((path.parent / name).stat().st_size for name in names),
        {name: [] for name in names},
        max((report.difference for report in reports), default=0.0),
    )


def _difference(network: torch.nn.Module, path: Path, config: TrainConfig) -> float:
    """Return the largest difference of a logit or a feature between torch and ONNX Runtime."""
    session = onnx_session(path)
    worst = 0.0
    for count in (1, _CHECKED):  # the number of windows is free
        parts = _windows(config, count, count)
        with torch.inference_mode():
            expected = network(*(torch.from_numpy(part) for part in parts))
        names = DETECTORS[config.kind].inputs
        found = session.run(list(_OUTPUTS), dict(zip(names, parts, strict=True)))
        for given, wanted in zip(found, expected, strict=True):
            worst = max(worst, float(np.abs(given - wanted.numpy()).max()))
    return worst
