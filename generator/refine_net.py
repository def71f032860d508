"""The mouth refiner's network, and what judges it while it learns.

`RefinerNet` is all that ships. `PerceptualDistance` and `Adversary` only see training and the
benchmark.
"""

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from obverse.generator.refine import APPEARANCE

__all__ = ["Adversary", "PerceptualDistance", "RefinerNet"]


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner: torch.Tensor = self.second(functional.leaky_relu(self.first(x), 0.1))
        return functional.leaky_relu(x + inner, 0.1)


class RefinerNet(nn.Module):
    """Colours and opening `[B, 4, H, W]` and appearance `[B, A]` to a change of colour
    `[B, 3, H, W]` in [-1, 1].

    A U-Net on three scales; the first is half the crop's, reached by folding pixels into channels.
    """

    def __init__(self, width: int) -> None:
        """Make the layers; `width` channels at half the crop's resolution."""
        super().__init__()
        half, quarter, eighth = width, 2 * width, 4 * width
        self.enter = nn.Conv2d(16, half, 3, padding=1)
        self.down1 = nn.Conv2d(half, quarter, 3, stride=2, padding=1)
        self.at_quarter = _Residual(quarter)
        self.down2 = nn.Conv2d(quarter, eighth, 3, stride=2, padding=1)
        self.told = nn.Linear(len(APPEARANCE), eighth)
        self.at_eighth = nn.ModuleList([_Residual(eighth), _Residual(eighth)])
        self.up2 = nn.Conv2d(eighth, quarter, 1)
        self.back_at_quarter = _Residual(quarter)
        self.up1 = nn.Conv2d(quarter, half, 1)
        self.at_half = nn.Conv2d(half, half, 3, padding=1)
        self.leave = nn.Conv2d(half, 16, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        bias = self.leave.bias
        assert bias is not None
        nn.init.zeros_(bias)

    def forward(self, planes: torch.Tensor, appearance: torch.Tensor) -> torch.Tensor:
        """Return the change of colour."""
        x0 = functional.leaky_relu(self.enter(functional.pixel_unshuffle(planes - 0.5, 2)), 0.1)
        x1 = self.at_quarter(functional.leaky_relu(self.down1(x0), 0.1))
        x2 = self.down2(x1) + self.told(appearance - 0.5)[:, :, None, None]
        x2 = functional.leaky_relu(x2, 0.1)
        for block in self.at_eighth:
            x2 = block(x2)
        y1 = functional.interpolate(self.up2(x2), scale_factor=2.0, mode="nearest")
        y1 = self.back_at_quarter(functional.leaky_relu(y1 + x1, 0.1))
        y0 = functional.interpolate(self.up1(y1), scale_factor=2.0, mode="nearest")
        y0 = functional.leaky_relu(self.at_half(functional.leaky_relu(y0 + x0, 0.1)), 0.1)
        out = functional.pixel_shuffle(self.leave(y0), 2)
        return torch.tanh(out[:, :3]) * torch.sigmoid(out[:, 3:] + 1.0)


class PerceptualDistance(nn.Module):
    """How differently MobileNetV2's first stages see two crops `[B, 3, H, W]` in [0, 1].

    Unit-length features compared place by place, as LPIPS does (Zhang et al. 2018), unweighted.
    """

    _TAPS = (1, 3)  # strides 2 and 4

    def __init__(self, path: Path) -> None:
        """Read torchvision's `mobilenet_v2` state dictionary."""
        super().__init__()
        from torchvision.models import mobilenet_v2

        whole = mobilenet_v2(weights=None)
        whole.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self.stages = whole.features[: self._TAPS[-1] + 1].eval()
        for parameter in self.stages.parameters():
            parameter.requires_grad_(False)
        # ImageNet's.
        self.mean: torch.Tensor
        self.deviation: torch.Tensor
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None])
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225])[:, None, None])

    def _seen(self, crops: torch.Tensor) -> list[torch.Tensor]:
        x = (crops - self.mean) / self.deviation
        found = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in self._TAPS:
                found.append(functional.normalize(x, dim=1, eps=1e-4))
        return found

    def forward(self, made: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """Return the distance of each pair [B]."""
        with torch.no_grad():
            wanted = self._seen(truth)
        pairs = zip(self._seen(made), wanted, strict=True)
        total = sum(((a - b) ** 2).sum(1).mean((1, 2)) for a, b in pairs)
        assert isinstance(total, torch.Tensor)
        return total


class Adversary(nn.Module):
    """Tells true mouths from painted ones, patch by patch; sees the opening as well."""

    def __init__(self, width: int = 24) -> None:
        """Make the layers, spectrally normalised (Miyato et al. 2018)."""
        super().__init__()
        norm = nn.utils.parametrizations.spectral_norm
        self.layers = nn.Sequential(
            norm(nn.Conv2d(4, width, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
            norm(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
            norm(nn.Conv2d(2 * width, 2 * width, 3, padding=1)),
            nn.LeakyReLU(0.2),
            norm(nn.Conv2d(2 * width, 1, 3, padding=1)),
        )

    def forward(self, crops: torch.Tensor, opening: torch.Tensor) -> torch.Tensor:
        """Return scores `[B, 1, h, w]`, high where a patch looks true."""
        scores: torch.Tensor = self.layers(torch.cat([crops - 0.5, opening], 1))
        return scores
