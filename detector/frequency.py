"""The kind `frequency`: what is left of a crop without its content, and how its spectrum is shaped.

Generators leave traces where nobody looks: in the noise, which is filtered out here by high passes
(Fridrich and Kodovsky, "Rich models for steganalysis of digital images", 2012), and in the shares
of frequencies (Frank et al., "Leveraging frequency analysis for deep fake image recognition",
2020).
"""

import math

import torch
from torch import nn

from obverse.detector.backbone import build_backbone, choose_trained, feature_count
from obverse.detector.config import TrainConfig
from obverse.detector.frame import FrameKind
from obverse.detector.kind import Look

__all__ = ["FrequencyKind", "FrequencyNet", "dct_filters", "high_passes"]

BLOCK = 8  # side of a block of the cosine transform, px
STEP = 4  # px between blocks
CLIP = 4.0  # grey levels at which a residual saturates
SPECTRUM = 64  # features of it


def high_passes() -> torch.Tensor:
    """Return three residual filters `[3, 1, 5, 5]` of first, second and third order."""
    second = torch.tensor([[-1, 2, -1], [2, -4, 2], [-1, 2, -1]]) / 4
    third = (
        torch.tensor(
            [
                [-1, 2, -2, 2, -1],
                [2, -6, 8, -6, 2],
                [-2, 8, -12, 8, -2],
                [2, -6, 8, -6, 2],
                [-1, 2, -2, 2, -1],
            ]
        )
        / 12
    )
    first = torch.tensor([[0, 0, 0], [1, -2, 1], [0, 0, 0]]) / 2
    padded = [nn.functional.pad(kernel, (1, 1, 1, 1)) for kernel in (second, first)]
    return torch.stack([padded[0], third, padded[1]])[:, None]


def dct_filters() -> torch.Tensor:
    """Return the orthonormal cosine transform of a block as filters `[64, 1, 8, 8]`."""
    n = torch.arange(BLOCK, dtype=torch.float64)
    basis = torch.cos(math.pi * (2 * n[None] + 1) * n[:, None] / (2 * BLOCK))
    basis *= torch.where(n == 0, math.sqrt(1 / BLOCK), math.sqrt(2 / BLOCK))[:, None]
    return torch.einsum("iy,jx->ijyx", basis, basis).reshape(-1, 1, BLOCK, BLOCK).float()


class FrequencyNet(nn.Module):
    """Crops `[N, S, S, 3] uint8 RGB` to logits `[N]` by residual and spectrum alone."""

    luma: torch.Tensor
    residuals: torch.Tensor
    cosines: torch.Tensor

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self.register_buffer("luma", torch.tensor([0.299, 0.587, 0.114]), persistent=False)
        self.register_buffer("residuals", high_passes(), persistent=False)
        self.register_buffer("cosines", dct_filters(), persistent=False)
        self.backbone = build_backbone(
            config.backbone, pretrained=config.pretrained, size_px=config.recipe.size_px
        )
        features = feature_count(self.backbone, config.recipe.size_px)
        choose_trained(self.backbone, config.tune)
        self.spectrum = nn.Sequential(
            nn.LayerNorm(2 * BLOCK * BLOCK),
            nn.Linear(2 * BLOCK * BLOCK, SPECTRUM),
            nn.GELU(),
        )
        self.head = nn.Linear(features + SPECTRUM, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def look(self, crops: torch.Tensor) -> Look:
        """Return logits and features."""
        grey = (crops.to(self.luma.dtype) * self.luma).sum(-1)[:, None]
        noise = nn.functional.conv2d(grey, self.residuals, padding=2)
        noise = noise.clamp(-CLIP, CLIP) / CLIP
        parts = nn.functional.conv2d(grey, self.cosines, stride=STEP).abs().add(1).log()
        parts = parts.flatten(2)
        shape = torch.cat([parts.mean(-1), parts.std(-1)], dim=1)
        found = torch.cat([self.backbone(noise), self.spectrum(shape)], dim=1)
        return Look(self.head(found).flatten(), found)

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """Return logits `[N]`, positive = synthetic."""
        return self.look(crops).logits


class FrequencyKind(FrameKind):
    """As `frame`, by residual and spectrum."""

    def build(self, config: TrainConfig) -> nn.Module:
        """Return a `FrequencyNet`."""
        return FrequencyNet(config)
