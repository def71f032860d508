"""The net that hears as a stream, as it is trained and as it is shipped."""

from pathlib import Path

import torch
from torch import nn

from obverse.generator.hearing import FEATURES
from obverse.generator.phones import ARTICULATORS, CLASSES
from obverse.generator.speech import STEPS_PER_FRAME

__all__ = ["OUTPUTS", "HearingNet", "export"]

OUTPUTS = len(CLASSES) + len(ARTICULATORS) + 2  # and the voice, and the closing of the lips


class HearingNet(nn.Module):
    """Features `[B, S, FEATURES]` of `Ear` to logits `[B, S, OUTPUTS]`, `delay_steps` late.

    `S` is even: the net works on pairs of steps. What lies before its input is given as `recent`
    `[B, 4, FEATURES]` and `memory` `[B, 2 * sum of dilations, channels]`, and handed back brought
    up to date, so that a stream is heard exactly as a whole. The first convolutions look to both
    sides, the last ones back only, 1.1 s in all. They are written as products of matrices, which
    train twice as fast on a CPU.
    """

    def __init__(
        self,
        channels: int,
        ahead: tuple[int, ...] = (1, 2, 4),
        behind: tuple[int, ...] = (8, 16, 1),
    ) -> None:
        super().__init__()
        self.dilations = (*ahead, *behind)
        self.delays = (*ahead, *(0 for _ in behind))
        self.channels = channels
        self.enter = nn.Linear(6 * FEATURES, channels)
        self.mixes = nn.ModuleList(
            nn.Linear(3 * channels, channels, bias=False) for _ in self.dilations
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(channels) for _ in self.dilations)
        self.leave = nn.Linear(channels, 2 * OUTPUTS)

    @property
    def delay_steps(self) -> int:
        """How many steps an output lags behind its input."""
        return 2 * sum(self.delays)

    def rest(self, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `recent` and `memory` of a stream that has not begun."""
        return (
            torch.full((batch, 4, FEATURES), -1.75),
            torch.zeros(batch, 2 * sum(self.dilations), self.channels),
        )

    def forward(
        self, features: torch.Tensor, recent: torch.Tensor, memory: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return (logits, recent, memory)."""
        batch, pairs = features.shape[0], features.shape[1] // 2
        heard = torch.cat([recent, features], 1)
        both = heard.reshape(batch, pairs + 2, 2 * FEATURES)
        hidden = torch.cat([both[:, :pairs], both[:, 1 : 1 + pairs], both[:, 2:]], 2)
        hidden = torch.relu(self.enter(hidden))
        kept, first = [], 0
        for mix, norm, dilation, delay in zip(
            self.mixes, self.norms, self.dilations, self.delays, strict=True
        ):
            wide = torch.cat([memory[:, first : first + 2 * dilation], hidden], 1)
            first += 2 * dilation
            kept.append(wide[:, pairs:])
            three = [wide[:, at : at + pairs] for at in (0, dilation, 2 * dilation)]
            mixed = norm(mix(torch.cat(three, 2)).reshape(batch * pairs, -1))
            late = 2 * dilation - delay
            hidden = wide[:, late : late + pairs] + torch.relu(mixed).reshape(batch, pairs, -1)
        steps = self.leave(hidden).reshape(batch, 2 * pairs, OUTPUTS)
        return steps, heard[:, 2 * pairs :], torch.cat(kept, 1)


class _Running(nn.Module):
    """The net as it is shipped: probabilities instead of logits."""

    def __init__(self, net: HearingNet) -> None:
        super().__init__()
        self.net = net

    def forward(
        self, features: torch.Tensor, recent: torch.Tensor, memory: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return (heard, recent, memory)."""
        logits, recent, memory = self.net(features, recent, memory)
        sounds, rest = logits[..., : len(CLASSES)], logits[..., len(CLASSES) :]
        return torch.cat([sounds.softmax(-1), rest.sigmoid()], -1), recent, memory


def export(net: HearingNet, path: Path) -> None:
    """Write the net as it is shipped: a frame of video at a time, states in and out."""
    torch.onnx.export(
        _Running(net).eval(),
        (torch.zeros(1, STEPS_PER_FRAME, FEATURES), *net.rest(1)),
        str(path),
        input_names=["features", "recent", "memory"],
        output_names=["heard", "recent_after", "memory_after"],
        opset_version=17,
        dynamo=False,
    )
