"""A trained detector and the folder it is kept in; one exported file holds as much.

A run holds `config.json` (all settings), `model.safetensors`, `model.card.yaml`, `log.csv`, and
where it was calibrated `calibration.json`. An exported detector is `NAME.onnx` beside
`NAME.card.yaml` and `NAME.json`, the settings and the calibration in one.
"""

import dataclasses
import importlib.resources
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import nn

from obverse.clip import Judged
from obverse.detector.calibration import Calibration
from obverse.detector.config import TrainConfig
from obverse.detector.crops import FaceTrack, FilmFaces
from obverse.detector.detectors import DETECTORS
from obverse.detector.kind import Arrays, Network, Windows
from obverse.detector.recipe import CropRecipe
from obverse.errors import InputError, WeightsError
from obverse.files import draft_of, write_whole
from obverse.weights import onnx_session, sha256_file

__all__ = [
    "CALIBRATION",
    "CARD",
    "CONFIG",
    "LOG",
    "SHIPPED",
    "WEIGHTS",
    "Detector",
    "copy_exported",
    "detector_of",
    "load_detector",
    "load_network",
    "read_config",
    "save_weights",
    "shipped_detector",
]

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "model.card.yaml"
CALIBRATION, LOG = "calibration.json", "log.csv"
SHIPPED = ("fusion.json", "frame.onnx")  # in detector/weights, the first that is there

_BATCH_CROPS = 64  # that go through a network at once

Floats = npt.NDArray[np.float64]
Run = Callable[[Arrays], Floats]  # inputs to logits
Looks = Callable[[Arrays], tuple[Floats, Floats]]  # inputs to logits and features


@dataclasses.dataclass(frozen=True, slots=True)
class Detector:
    """A trained network of any kind, what its windows are, and its calibration."""

    id: str  # kind, backbone and the first digits of the weights' sha256
    config: TrainConfig
    run: Run
    calibration: Calibration | None = None
    look: Looks | None = None  # None where it shows no features

    @property
    def judges(self) -> Judged:
        """What its scores are about, and so which label is its truth."""
        return DETECTORS[self.config.kind].judges

    @property
    def recipe(self) -> CropRecipe:
        """How faces are cut for it."""
        return self.config.recipe

    def windows(self, faces: FilmFaces, track: FaceTrack) -> Windows:
        """Return what of a track it scores."""
        return DETECTORS[self.config.kind].windows(faces, track, self.config)

    def probabilities(self, inputs: Arrays) -> Floats:
        """Return for each of N windows the raw score `[N]` in (0, 1), higher = synthetic."""
        found = [self.run(part) for part in self._batches(inputs)]
        return _probabilities(np.concatenate(found) if found else np.zeros(0))

    def probabilities_and_features(self, inputs: Arrays) -> tuple[Floats, Floats | None]:
        """Return raw scores as `probabilities` does, and the features of N windows by which faces
        are familiar, `[N, D]`; None where the detector shows none.
        """
        if self.look is None or not len(inputs[0]):
            return self.probabilities(inputs), None
        found = [self.look(part) for part in self._batches(inputs)]
        logits = np.concatenate([logits for logits, _ in found])
        return _probabilities(logits), np.concatenate([features for _, features in found])

    def _batches(self, inputs: Arrays) -> Iterator[Arrays]:
        step = max(1, _BATCH_CROPS // self.config.recipe.burst)
        for start in range(0, len(inputs[0]), step):
            yield tuple(np.array(part[start : start + step]) for part in inputs)


def detector_of(
    network: nn.Module, digest: str, config: TrainConfig, calibration: Calibration | None = None
) -> Detector:
    """Return a detector by a network that is in memory, on the device of its settings.

    Args:
        network: trained, of the settings' kind.
        digest: sha256 of its weights.
        config: the settings.
        calibration: of its scores, where there is one.
    """
    device = config.torch_device()
    network.to(device)

    def run(inputs: Arrays) -> Floats:
        with torch.inference_mode():
            return _numbers(network(*(torch.from_numpy(part).to(device) for part in inputs)))

    def look(inputs: Arrays) -> tuple[Floats, Floats]:
        assert isinstance(network, Network)
        with torch.inference_mode():
            seen = network.look(*(torch.from_numpy(part).to(device) for part in inputs))
        return _numbers(seen.logits), _numbers(seen.features)

    name = f"{config.kind}-{config.backbone}-{digest[:8]}"
    shows = isinstance(network, Network)
    return Detector(name, config, run, calibration, look if shows else None)


def _numbers(values: torch.Tensor) -> Floats:
    return np.asarray(values.double().cpu().numpy(), np.float64)


def _probabilities(logits: Floats) -> Floats:
    return 1 / (1 + np.exp(-np.clip(logits, -50, 50)))


def save_weights(path: Path, network: nn.Module) -> str:
    """Write a network's weights; returns the file's sha256."""
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    with draft_of(path) as draft:
        save_file(weights, draft)
    return sha256_file(path)


def read_config(run: Path) -> dict[str, Any]:
    """Return a run's config.json.

    Raises:
        InputError: the folder holds no finished run.
    """
    if not (run / CARD).is_file() or not (run / CONFIG).is_file():
        raise InputError(
            f"{run} holds no finished training run; make one with obverse train detector."
        )
    config: dict[str, Any] = json.loads((run / CONFIG).read_text(encoding="utf-8"))
    return config


def load_network(run: Path) -> tuple[nn.Module, TrainConfig, str]:
    """Open a run's network; returns it with its settings and its weights' sha256.

    Raises:
        InputError: the folder holds no finished run.
        WeightsError: the weights are not those on its card.
    """
    config = TrainConfig.from_json({**read_config(run), "device": "auto"})
    card = yaml.safe_load((run / CARD).read_text(encoding="utf-8"))
    if not (run / WEIGHTS).is_file() or (digest := sha256_file(run / WEIGHTS)) != card["sha256"]:
        raise WeightsError(f"{run / WEIGHTS} is not the file on its card; train again.")
    with torch.random.fork_rng():  # the initial weights are drawn, in vain
        network = DETECTORS[config.kind].build(dataclasses.replace(config, pretrained=False))
    network.load_state_dict(load_file(run / WEIGHTS))
    return network.eval(), config, digest


def load_detector(path: Path, threads: int = 1) -> Detector:
    """Open a run, or an exported detector by its `.onnx` file.

    Args:
        path: what `obverse train detector` or `obverse export` wrote.
        threads: of ONNX Runtime; torch's are the process's own.

    Raises:
        InputError: there is no finished run, or no file.
        WeightsError: the weights are not those on their card.
    """
    if path.suffix == ".onnx":
        return _load_exported(path, threads)
    network, config, digest = load_network(path)
    kept = path / CALIBRATION
    calibration = Calibration.load(kept) if kept.is_file() else None
    return detector_of(network, digest, config, calibration)


def copy_exported(source: Path, target: Path) -> None:
    """Copy an exported detector, both named by their `.onnx` files."""
    for ending in (".onnx", ".json"):
        write_whole(target.with_suffix(ending), source.with_suffix(ending).read_bytes())
    card = yaml.safe_load(source.with_suffix(".card.yaml").read_text(encoding="utf-8"))
    card["file"] = target.name
    text = yaml.safe_dump(card, sort_keys=False, width=100, allow_unicode=True)
    write_whole(target.with_suffix(".card.yaml"), text)


def shipped_detector() -> Path:
    """Return the detector that ships with the package: the fusion, else the one of frames.

    Raises:
        InputError: none does.
    """
    folder = Path(str(importlib.resources.files("obverse.detector") / "weights"))
    for name in SHIPPED:
        if (folder / name).is_file():
            return folder / name
    raise InputError(
        "no trained detector ships with this version; train one with obverse train detector and "
        "give it as --run."
    )


def _load_exported(path: Path, threads: int) -> Detector:
    about, card = path.with_suffix(".json"), path.with_suffix(".card.yaml")
    for file in (path, about, card):
        if not file.is_file():
            raise InputError(
                f"{file} is absent; an exported detector is {path.name}, {about.name} and "
                f"{card.name}, written by obverse export."
            )
    described = yaml.safe_load(card.read_text(encoding="utf-8"))
    digest = sha256_file(path)
    if digest != described["sha256"]:
        raise WeightsError(f"{path} is not the file on its card; export it again.")
    kept = json.loads(about.read_text(encoding="utf-8"))
    config = TrainConfig.from_json({**kept["config"], "device": "auto"})
    session = onnx_session(path, threads)
    names = DETECTORS[config.kind].inputs

    def run(inputs: Arrays) -> Floats:
        (logits,) = session.run(["logits"], dict(zip(names, inputs, strict=True)))
        return np.asarray(logits, np.float64)

    def look(inputs: Arrays) -> tuple[Floats, Floats]:
        logits, features = session.run(
            ["logits", "features"], dict(zip(names, inputs, strict=True))
        )
        return np.asarray(logits, np.float64), np.asarray(features, np.float64)

    calibration = Calibration.from_json(kept["calibration"]) if kept["calibration"] else None
    shows = any(output.name == "features" for output in session.get_outputs())
    return Detector(str(kept["id"]), config, run, calibration, look if shows else None)
