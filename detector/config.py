"""One dataclass of settings for every kind of detector, and what each kind starts from."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, Self

import torch

from obverse.detector.augment import AugmentConfig
from obverse.detector.backbone import Tune
from obverse.detector.recipe import CropRecipe
from obverse.errors import ConfigError

__all__ = ["KINDS", "KindName", "Tier", "TrainConfig", "preset"]

KindName = Literal["frame", "frequency", "temporal", "selfblend", "sync"]
Tier = Literal["tiny", "large"]

KINDS: tuple[KindName, ...] = ("frame", "frequency", "temporal", "selfblend", "sync")
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "kind": KINDS,
    "tune": ("all", "norms", "head"),
    "device": ("auto", "cpu", "cuda"),
    "amp": ("auto", "on", "off"),
    "calibration": ("platt", "temperature", "isotonic"),
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How a detector is trained; written to the run's config.json."""

    kind: KindName = "frame"
    backbone: str = "mobilenetv4_conv_small"  # any timm model; 2.5 M parameters
    pretrained: bool = False  # start from the hub's weights
    begin_sha256: str | None = None  # of the file whose weights the backbone starts from
    view_px: int | None = None  # side of the middle of a crop that is looked at; None: all of it
    tune: Tune = "all"  # of the backbone: all, only its norms, or nothing (head)
    hypersphere: bool = False  # features of length 1, held together by class and apart from others
    recipe: CropRecipe = dataclasses.field(default_factory=CropRecipe)
    augment: AugmentConfig = dataclasses.field(default_factory=AugmentConfig)
    blends: float = 0.0  # of a batch's pairs, share that are pristine beside self-blended crops
    epochs: int = 20
    steps: int = 60  # of an epoch
    pairs: int = 12  # of a batch, over all processes; each is one synthetic and one pristine
    learning_rate: float = 1e-3  # at its peak, after a tenth of all steps
    weight_decay: float = 0.02
    smoothing: float = 0.1  # of the labels: 1 becomes .95 and 0 becomes .05
    average: float = 0.99  # decay, a step, of the mean of weights that is validated and kept
    patience: int = 6  # stop after so many epochs without a better one
    calibration: Literal["platt", "temperature", "isotonic"] = "platt"
    seed: int = 0
    threads: int = 1  # of torch, on the CPU
    loaders: int = 0  # threads that make batches ahead; 0 makes each when it is needed
    device: Literal["auto", "cpu", "cuda"] = "auto"
    amp: Literal["auto", "on", "off"] = "auto"  # bfloat16 where it pays; auto: on a GPU

    def __post_init__(self) -> None:
        """Refuse values that cannot be used."""
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(
                    f"training's {name} is {getattr(self, name)!r}; it must be one of "
                    f"{', '.join(allowed)}."
                )
        for name in ("epochs", "steps", "pairs", "patience", "threads"):
            if getattr(self, name) < 1:
                raise ConfigError(
                    f"training's {name} is {getattr(self, name)}; it must be at least 1."
                )
        if not 0 <= self.loaders <= 64:
            raise ConfigError(f"training's loaders are {self.loaders}; they must be 0 to 64.")
        if not 0 < self.learning_rate < 1 or not 0 <= self.weight_decay < 1:
            raise ConfigError(
                f"training's learning_rate is {self.learning_rate} and its weight_decay "
                f"{self.weight_decay}; both must lie between 0 and 1."
            )
        for name in ("average", "smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(
                    f"training's {name} is {getattr(self, name)}; it must be 0 to below 1."
                )
        if not 0 <= self.blends <= 1:
            raise ConfigError(f"training's blends are {self.blends}; they must be 0 to 1.")
        if self.blends and self.kind not in ("frame", "frequency"):
            raise ConfigError(
                f"blends are for the kinds frame and frequency, not for {self.kind}; leave them "
                "out."
            )
        if self.view_px is not None and not 16 <= self.view_px <= self.recipe.size_px:
            raise ConfigError(
                f"training's view_px is {self.view_px}; it must be 16 to the crop's side, "
                f"{self.recipe.size_px}."
            )
        if self.view_px is not None and self.kind not in ("frame", "selfblend"):
            raise ConfigError(
                f"view_px is for the kinds frame and selfblend, not for {self.kind}; leave it out."
            )
        if self.begin_sha256 is not None and self.pretrained:
            raise ConfigError("a backbone starts from the hub's weights or from a file, not both.")
        if self.hypersphere and self.kind not in ("frame", "selfblend"):
            raise ConfigError(
                f"a hypersphere is for the kinds frame and selfblend, not for {self.kind}; leave "
                "it out."
            )
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ConfigError("training's device is cuda and there is none here; take cpu or auto.")

    def torch_device(self, local: int = 0) -> torch.device:
        """Return the device that `device` means here, for the process `local` of this machine."""
        cuda = self.device == "cuda" or (self.device == "auto" and torch.cuda.is_available())
        return torch.device("cuda", local) if cuda else torch.device("cpu")

    def mixed(self, device: torch.device) -> bool:
        """Whether the network runs in bfloat16 on a device."""
        return self.amp == "on" or (self.amp == "auto" and device.type == "cuda")

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Build settings from `to_json`'s values."""
        nested = {
            "recipe": CropRecipe.from_json(values["recipe"]),
            "augment": AugmentConfig.from_json(values["augment"]),
        }
        return cls(**{**values, **nested})


# ViT-L/14 by CLIP with only its LayerNorms trained and its features on a hypersphere, as GenD does
# (Yermakov, Cech, Matas and Fritz, "Deepfake detection that generalizes across benchmarks", 2025).
_LARGE: Mapping[str, Any] = {
    "backbone": "vit_large_patch14_clip_224.openai",
    "pretrained": True,
    "tune": "norms",
    "hypersphere": True,
    "learning_rate": 3e-4,
    "pairs": 64,
    "steps": 200,
    "loaders": 8,
}
_FACE = CropRecipe()
_BURSTS = CropRecipe(size_px=128, moments=8, burst=8)
_MOUTHS = CropRecipe(size_px=96, moments=8, burst=25, region="mouth", margin=1.2, sound=True)
_PRESETS: Mapping[KindName, Mapping[str, Any]] = {
    "frame": {"recipe": _FACE},
    "frequency": {"recipe": _FACE},
    "selfblend": {"recipe": _FACE},
    "temporal": {
        "recipe": _BURSTS,
        "backbone": "mobilenetv3_small_100",
        "pairs": 6,
        "learning_rate": 5e-4,
    },
    "sync": {
        "recipe": _MOUTHS,
        "backbone": "mobilenetv3_small_100",
        "pairs": 8,
        "learning_rate": 5e-4,
        "augment": AugmentConfig(shift=0.03, zoom=0.05),
    },
}


def preset(kind: KindName, tier: Tier = "tiny", **changes: Any) -> TrainConfig:
    """Return what a kind of detector starts from.

    Args:
        kind: of detector.
        tier: `tiny` runs on one core, `large` wants a GPU and pretrained weights.
        changes: fields to set otherwise.

    Raises:
        ConfigError: there is no such kind or tier, or a value cannot be used.
    """
    if kind not in _PRESETS:
        raise ConfigError(f"the kind is {kind!r}; it must be one of {', '.join(KINDS)}.")
    if tier not in ("tiny", "large"):
        raise ConfigError(f"the tier is {tier!r}; it must be tiny or large.")
    if tier == "large" and kind not in ("frame", "selfblend"):
        raise ConfigError(f"the large tier is for frame and selfblend, not for {kind}; take tiny.")
    large = _LARGE if tier == "large" else {}
    return TrainConfig(**{"kind": kind, **_PRESETS[kind], **large, **changes})
