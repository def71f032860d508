"""The classifier of single crops, a timm backbone with one output, and the folder it is kept in."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import timm
import torch
import yaml
from safetensors.torch import load_file, save_file

from obverse.detector.crops import CropRecipe
from obverse.errors import ConfigError, InputError, WeightsError
from obverse.weights import sha256_file

__all__ = [
    "CARD",
    "CONFIG",
    "WEIGHTS",
    "CropClassifier",
    "build_backbone",
    "load_run",
    "normalised",
    "save_weights",
]

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "model.card.yaml"


def build_backbone(name: str, *, pretrained: bool = False) -> torch.nn.Module:
    """Return a timm model with one logit: positive = synthetic.

    Raises:
        ConfigError: timm has no model of that name.
        WeightsError: pretrained weights cannot be fetched.
    """
    if not timm.is_model(name):
        similar = ", ".join(timm.list_models(f"*{name.split('_')[0]}*")[:3]) or "resnet18"
        raise ConfigError(
            f"timm has no backbone called {name!r}; "
            f"choose from timm.list_models(), such as {similar}."
        )
    try:
        model = timm.create_model(name, pretrained=pretrained, num_classes=1)
    except Exception as error:  # the hub client raises errors of many libraries
        if not pretrained:
            raise
        raise WeightsError(
            f"the pretrained weights of {name} cannot be fetched ({type(error).__name__}); "
            "connect to the model hub once, or train from scratch without --pretrained."
        ) from error
    assert isinstance(model, torch.nn.Module)
    head = model.get_classifier()  # type: ignore[operator]
    if isinstance(head, torch.nn.Linear):  # start from "cannot tell", not from a random opinion
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
    return model


def normalised(crops: npt.NDArray[np.uint8], model: torch.nn.Module) -> torch.Tensor:
    """Return crops `[N, S, S, 3] uint8 RGB` as the network wants them: `[N, 3, S, S]` float32."""
    settings: dict[str, Any] = getattr(model, "pretrained_cfg", {})
    mean = torch.tensor(settings.get("mean", (0.485, 0.456, 0.406))).view(1, 3, 1, 1)
    std = torch.tensor(settings.get("std", (0.229, 0.224, 0.225))).view(1, 3, 1, 1)
    pixels = torch.from_numpy(np.ascontiguousarray(crops)).permute(0, 3, 1, 2).float() / 255
    return (pixels - mean) / std


@dataclasses.dataclass(frozen=True, slots=True)
class CropClassifier:
    """A trained network with the recipe of the crops that it was trained on."""

    id: str  # backbone and the first digits of the weights' sha256
    recipe: CropRecipe
    model: torch.nn.Module

    def probabilities(
        self, crops: npt.NDArray[np.uint8], batch: int = 64
    ) -> npt.NDArray[np.float64]:
        """Return for crops `[N, S, S, 3] uint8 RGB` the probability `[N]` of being synthetic."""
        found = []
        self.model.eval()
        with torch.inference_mode():
            for start in range(0, len(crops), batch):
                logits = self.model(normalised(crops[start : start + batch], self.model))
                found.append(torch.sigmoid(logits.double()).flatten().numpy())
        return np.concatenate(found) if found else np.zeros(0)


def save_weights(run: Path, model: torch.nn.Module) -> str:
    """Write a model's weights into a run's folder; returns their sha256."""
    path = run / WEIGHTS
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, path)
    return sha256_file(path)


def load_run(run: Path) -> CropClassifier:
    """Open what `obverse train detector` wrote.

    Raises:
        InputError: the folder holds no finished run.
        WeightsError: the weights are not those on its card.
    """
    if not (run / CARD).is_file() or not (run / CONFIG).is_file() or not (run / WEIGHTS).is_file():
        raise InputError(
            f"{run} holds no finished training run; make one with obverse train detector."
        )
    card = yaml.safe_load((run / CARD).read_text(encoding="utf-8"))
    digest = sha256_file(run / WEIGHTS)
    if digest != card["sha256"]:
        raise WeightsError(f"{run / WEIGHTS} is not the file on its card; train again.")
    config = json.loads((run / CONFIG).read_text(encoding="utf-8"))
    with torch.random.fork_rng():  # the initial weights are drawn, in vain
        model = build_backbone(config["backbone"])
    model.load_state_dict(load_file(run / WEIGHTS))
    recipe = CropRecipe.from_json(config["recipe"])
    return CropClassifier(f"{config['backbone']}-{digest[:8]}", recipe, model.eval())
