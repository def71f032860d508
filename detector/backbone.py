"""Backbones: any timm model by name, pretrained by choice, trained wholly or in part."""

import contextlib
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from obverse.errors import ConfigError, WeightsError

__all__ = [
    "Pixels",
    "Tune",
    "begin_with",
    "build_backbone",
    "choose_trained",
    "feature_count",
    "seen_late",
]

Tune = Literal["all", "norms", "head"]

_NORMS = (
    nn.LayerNorm,
    nn.GroupNorm,
    nn.modules.batchnorm._BatchNorm,
)


class Pixels(nn.Module):
    """Crops `[..., S, S, 3] uint8 RGB` to `[N, 3, S, S]` as a backbone expects them."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    @classmethod
    def of(cls, backbone: nn.Module) -> "Pixels":
        """Return what a timm model expects."""
        settings = getattr(backbone, "pretrained_cfg", {})
        mean = tuple(settings.get("mean", (0.485, 0.456, 0.406)))
        return cls(mean, tuple(settings.get("std", (0.229, 0.224, 0.225))))

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """Normalise; leading axes are laid into one."""
        side = crops.shape[-2]
        flat = crops.reshape(-1, side, side, 3).permute(0, 3, 1, 2).to(self.mean.dtype)
        return (flat - self.mean) / self.std


def build_backbone(name: str, *, pretrained: bool = False, size_px: int | None = None) -> nn.Module:
    """Return a timm model without its classifier: `[N, 3, S, S]` to features `[N, D]`.

    Args:
        name: any of timm's.
        pretrained: start from the hub's weights.
        size_px: side of the pictures, for transformers that must know it.

    Raises:
        ConfigError: timm has no model of that name, or it cannot take such pictures.
        WeightsError: pretrained weights cannot be fetched.
    """
    if not timm.is_model(name.split(".")[0]):
        similar = ", ".join(timm.list_models(f"*{name.split('_')[0]}*")[:3]) or "resnet18"
        raise ConfigError(
            f"timm has no backbone called {name!r}; "
            f"choose from timm.list_models(), such as {similar}."
        )
    sized = "vit" in name or "swin" in name or "deit" in name or "beit" in name
    options = {"img_size": size_px} if sized and size_px is not None else {}
    try:
        model = timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
    except (TypeError, AssertionError) as error:
        raise ConfigError(
            f"the backbone {name} cannot take pictures of {size_px} px ({error}); give another "
            "--crop."
        ) from error
    except Exception as error:  # the hub client raises errors of many libraries
        if not pretrained:
            raise
        raise WeightsError(
            f"the pretrained weights of {name} cannot be fetched ({type(error).__name__}); "
            "connect to the model hub once, or train with --from-scratch."
        ) from error
    assert isinstance(model, nn.Module)
    return model


def begin_with(backbone: nn.Module, file: Path) -> None:
    """Load weights into a backbone, from a state dict in `.safetensors` or torch's format.

    Names are compared first. Where they differ, as between torchvision's and timm's network of one
    architecture, tensors are taken in their order, if every shape agrees; a classifier at the end
    is left out.

    Raises:
        WeightsError: the file cannot be read, or is of another architecture.
    """
    try:
        given: dict[str, torch.Tensor] = (
            load_file(file)
            if file.suffix == ".safetensors"
            else torch.load(file, map_location="cpu", weights_only=True)
        )
        values = list(given.values())
    except (
        OSError,
        EOFError,
        RuntimeError,
        ValueError,
        AttributeError,
        SafetensorError,
        pickle.UnpicklingError,
    ) as error:
        raise WeightsError(
            f"{file} cannot be read as weights; give a state dict in .safetensors or .pth."
        ) from error
    wanted = backbone.state_dict()
    if not wanted.keys() <= given.keys():
        given = dict(zip(wanted, values, strict=False))
    alike = wanted.keys() <= given.keys() and all(
        isinstance(given[name], torch.Tensor) and given[name].shape == value.shape
        for name, value in wanted.items()
    )
    if not alike:
        raise WeightsError(f"{file} holds weights of another architecture than the backbone's.")
    backbone.load_state_dict({name: given[name] for name in wanted})


@contextlib.contextmanager
def seen_late(backbone: nn.Module) -> Iterator[list[torch.Tensor]]:
    """See what enters a backbone's last block while it runs.

    There the pictures' kind still shows, which the last layers forget where it does not matter to
    their judgement.

    Yields:
        A list, which gets the mean and the spread of each channel `[N, 2 D]` of every batch that
        runs through; nothing of a backbone that has no blocks.
    """
    found: list[torch.Tensor] = []

    def keep(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        del module
        values = inputs[0]
        places = (2, 3) if values.dim() == 4 else (1,)  # a picture's, or a transformer's tokens
        mean, spread = values.mean(dim=places), values.std(dim=places)
        found.append(torch.cat([mean, spread], dim=1))

    blocks = getattr(backbone, "blocks", None)
    if not isinstance(blocks, nn.Sequential | nn.ModuleList) or len(blocks) < 2:
        yield found
        return
    hook = blocks[-1].register_forward_pre_hook(keep)
    try:
        yield found
    finally:
        hook.remove()


def feature_count(backbone: nn.Module, size_px: int) -> int:
    """Return how many features a backbone gives, by showing it a picture.

    timm's `num_features` is not what comes out of every model without its classifier.
    """
    training = backbone.training
    backbone.eval()
    with torch.no_grad():
        count = int(backbone(torch.zeros(1, 3, size_px, size_px)).shape[-1])
    backbone.train(training)
    return count


def choose_trained(backbone: nn.Module, tune: Tune) -> None:
    """Freeze what is not trained: `all` nothing, `norms` all but the norms, `head` everything."""
    if tune == "all":
        return
    backbone.requires_grad_(False)
    if tune == "norms":
        norms = [module for module in backbone.modules() if isinstance(module, _NORMS)]
        for module in norms:
            module.requires_grad_(True)
        if not norms:
            raise ConfigError("this backbone has no norms to tune; take tune all or head.")
