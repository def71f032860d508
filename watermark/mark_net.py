"""The two small networks of the learned mark, and how they become ONNX files.

`ReaderNet` replaces the last step of `obverse.watermark.pool`, `GainNet` adjusts the gain of
`obverse.watermark.embed`. Both begin as what they replace, exactly, and learn what to change. Both
see pictures alone, never a key.

The features that they look at are worked out inside them, so that the files take what the pool and
the embedder have at hand.
"""

import itertools
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from obverse.files import draft_of
from obverse.watermark.pool import PLANES, POOL_PX
from obverse.weights import sha256_file

__all__ = [
    "GAIN_INPUTS",
    "READER_INPUTS",
    "GainNet",
    "ReaderNet",
    "blurred",
    "evened",
    "export",
    "weighed",
]

READER_INPUTS, GAIN_INPUTS = ("means",), ("luma", "even")
_GREY_FLOOR = 0.3  # grey levels: what is fainter than this in a mean is noise
_FRAME_FLOOR = 0.5  # grey levels, as in `obverse.watermark.pool`
_MOST = 4.0  # of the logarithm of a weight
_GAIN_MOST = 0.7  # of the logarithm of a gain: between half of the classical one and twice it


def blurred(plane: Tensor, deviation_px: float) -> Tensor:
    """Return planes `[n, 1, h, w]` under a Gaussian, as OpenCV has it."""
    reach = int(4 * deviation_px + 0.5)
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / deviation_px) ** 2)
    taps = (taps / taps.sum()).to(plane)
    padded = functional.pad(plane, (reach, reach, reach, reach), mode="reflect")
    across = functional.conv2d(padded, taps.view(1, 1, 1, -1))
    return functional.conv2d(across, taps.view(1, 1, -1, 1))


def _mean_around(planes: Tensor, window_px: int) -> Tensor:
    reach = window_px // 2
    padded = functional.pad(planes, (reach, reach, reach, reach), mode="reflect")
    return functional.avg_pool2d(padded, window_px, stride=1)


def _energy(detail: Tensor, window_px: int) -> Tensor:
    # The floor keeps the root's slope finite where a picture is perfectly flat.
    return torch.sqrt(_mean_around(detail * detail, window_px).clamp(min=1e-12))


def weighed(luma: Tensor) -> tuple[Tensor, Tensor]:
    """Return what `obverse.watermark.pool` does with each frame `[n, 1, h, w]`: its detail over the
    local energy to the power of 3/2, and its detail.
    """
    detail = luma - blurred(luma, 1.2)
    energy = _energy(detail, 5) + _FRAME_FLOOR
    return detail / (energy * torch.sqrt(energy)), detail


def evened(mean: Tensor) -> Tensor:
    """Return what `obverse.watermark.pool` makes of the mean of weighed frames `[n, 1, h, w]`."""
    whole = torch.sqrt(mean.pow(2).mean((1, 2, 3), keepdim=True))
    return _unit(mean / torch.sqrt(_energy(mean, 11) + 0.1 * whole + 1e-12))


def _unit(picture: Tensor) -> Tensor:
    deviation = torch.sqrt(picture.pow(2).mean((1, 2, 3), keepdim=True))
    return (picture / (deviation + 1e-12)).clamp(-9.0, 9.0)


def _layers(inputs: int, width: int, depth: int, outputs: int) -> nn.Sequential:
    """Return `depth` convolutions, the last of which begins as zero."""
    sizes = [inputs] + [width] * (depth - 1)
    steps: list[nn.Module] = []
    for number, (before, after) in enumerate(itertools.pairwise(sizes)):
        side = 5 if number == 0 else 3
        steps += [
            nn.Conv2d(before, after, side, padding=side // 2, padding_mode="replicate"),
            nn.LeakyReLU(0.1),
        ]
    last = nn.Conv2d(sizes[-1], outputs, 3, padding=1, padding_mode="replicate")
    nn.init.zeros_(last.weight)
    assert last.bias is not None
    nn.init.zeros_(last.bias)
    return nn.Sequential(*steps, last)


class ReaderNet(nn.Module):
    """Pooled means `[n, 4, h, w]`, see `pool.PLANES`, to a picture `[n, 1, h, w]` of the mark."""

    def __init__(self, width: int = 16, depth: int = 4) -> None:
        super().__init__()
        self.net = _layers(6, width, depth, 2)

    def forward(self, means: Tensor) -> Tensor:
        """Weigh the classical picture anew, place by place, and take away what is content."""
        pooled, detail, square, luma = torch.split(means, 1, dim=1)
        base = evened(pooled)
        still = _energy(detail, 5)
        moving = _energy(torch.sqrt((square - detail * detail).clamp(min=1e-12)), 5)
        coarse = luma - blurred(luma, 3.0)
        rough = _energy(coarse, 9) + 1.0
        seen = torch.cat(
            [
                base,
                detail / (still + _GREY_FLOOR),
                coarse / rough,
                torch.log(still + _GREY_FLOOR),
                torch.log(moving + _GREY_FLOOR),
                torch.log(rough),
            ],
            dim=1,
        )
        weight, content = self.net(seen).split(1, dim=1)
        return _unit(base * torch.exp(weight.clamp(-_MOST, _MOST)) + content)


class GainNet(nn.Module):
    """Luma `[n, 1, h, w]` in grey levels and the classical gain to one of the same mean square."""

    def __init__(self, width: int = 8, depth: int = 3) -> None:
        super().__init__()
        self.net = _layers(4, width, depth, 1)

    def forward(self, luma: Tensor, even: Tensor) -> Tensor:
        """Look at a quarter of the pixels, which is as fine as a gain should be."""
        small = functional.avg_pool2d(luma, 2, ceil_mode=True)
        detail = small - blurred(small, 1.2)
        near = _energy(detail, 3) + _FRAME_FLOOR
        around = _energy(detail, 9) + _FRAME_FLOOR
        seen = torch.cat(
            [torch.log(near), torch.log(around), detail / around, small / 128.0 - 1.0], dim=1
        )
        change = functional.interpolate(
            _GAIN_MOST * torch.tanh(self.net(seen)),
            size=luma.shape[2:],
            mode="bilinear",
            align_corners=False,
        )
        gain = even * torch.exp(change)
        both = [plane.pow(2).mean((1, 2, 3), keepdim=True) for plane in (even, gain)]
        return gain * torch.sqrt(both[0] / (both[1] + 1e-12))


def export(net: ReaderNet | GainNet, path: Path) -> str:
    """Write a network as ONNX for any picture size; returns the file's sha256."""
    picture = torch.full((1, 1, POOL_PX, POOL_PX), 1.0)
    names: tuple[str, ...] = GAIN_INPUTS
    examples: tuple[Tensor, ...] = (picture, picture)
    if isinstance(net, ReaderNet):
        names, examples = READER_INPUTS, (picture.expand(1, len(PLANES), -1, -1),)
    axes = {name: {2: "height", 3: "width"} for name in (*names, "picture")}
    path.parent.mkdir(parents=True, exist_ok=True)
    with draft_of(path) as draft, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracing exporter announces that it is the old one
        torch.onnx.export(
            net.eval(),
            examples,
            str(draft),
            input_names=list(names),
            output_names=["picture"],
            dynamic_axes=axes,
            opset_version=17,
            dynamo=False,
        )
    return sha256_file(path)
