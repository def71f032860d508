"""The network of the learned motion model: a transformer that takes noise out of a hop of motion.

Two kinds of tokens pass through the same layers. A clean token is a whole hop that has been
performed, with what was heard and wished in it; it attends to the clean hops before it, `reach` of
them in each layer, so that its keys and values are computed once and kept. A noisy token is one
frame of the hop being drawn; it attends to the clean hops before it and to the frames of its own
hop. Training sees all hops of a clip at once (`forward`); the run time sees one (`HopNet`).
"""

import dataclasses
import math

import torch
from torch import nn
from torch.nn import functional

from obverse.errors import ConfigError
from obverse.generator.motion_space import CONTROL_COLUMNS, HOP_FRAMES, MEMORY, STYLES

__all__ = ["CONDITIONS", "FlowNet", "FlowNetConfig", "HopNet"]

# What classifier-free guidance can leave out. The prefix is left out by masking the clean tokens.
CONDITIONS = ("cues", "emotion", "gaze", "distance", "prefix")
_FLAGS = 4  # whether cues, emotion, gaze and distance are told
_TIME_WAVES = 16
_NO = -1e4  # added to the score of a key that may not be seen


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FlowNetConfig:
    """The network's size."""

    components: int  # D of MotionSpace
    cues: int  # columns of cues
    width: int = 192
    layers: int = 5
    heads: int = 6
    widen: int = 3  # of the feed-forward part
    reach: int = 8  # clean hops a layer sees: 1.6 s

    def __post_init__(self) -> None:
        """Refuse sizes that cannot be."""
        if self.width % self.heads or min(self.layers, self.reach, self.components) < 1:
            raise ConfigError(
                f"the motion network's width {self.width} must be a multiple of its heads "
                f"{self.heads}, and layers, reach and components at least 1."
            )

    @property
    def conditions(self) -> int:
        """Columns of a frame's conditions: cues, controls, and flags for which are told."""
        return self.cues + CONTROL_COLUMNS + _FLAGS


class _Layer(nn.Module):
    """Attention and a feed-forward part, both modulated by noise level and style."""

    def __init__(self, config: FlowNetConfig) -> None:
        super().__init__()
        width = config.width
        self.heads, self.width = config.heads, width
        self.qkv = nn.Linear(width, 3 * width)
        self.merge = nn.Linear(width, width)
        self.widen = nn.Linear(width, config.widen * width)
        self.narrow = nn.Linear(config.widen * width, width)
        self.modulation = nn.Parameter(torch.zeros(4, width))
        # Learned biases of scores: by how many hops back a clean key lies; within the hop.
        self.back = nn.Parameter(torch.zeros(config.heads, config.reach + 1))
        self.within = nn.Parameter(torch.zeros(config.heads, HOP_FRAMES, HOP_FRAMES))

    def split(
        self, tokens: torch.Tensor, modulation: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return queries, keys and values, each `[..., width]`."""
        shift, scale = modulation[..., 0, :], modulation[..., 1, :]
        normal = functional.layer_norm(tokens, (self.width,))
        query, key, value = self.qkv(normal * (1.0 + scale) + shift).chunk(3, -1)
        return query, key, value

    def attend(
        self,
        query: torch.Tensor,
        far: tuple[torch.Tensor, torch.Tensor],
        bias: torch.Tensor,
        own: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Attend from queries to clean hops, and to the frames of the own hop.

        Args:
            query: `[B, Q, width]`.
            far: keys and values of clean hops, each `[B, K, width]`.
            bias: of their scores, `[B or 1, heads, Q, K]`.
            own: keys and values of the queries' tokens, each `[B, Q, width]`; `Q` is a number of
                whole hops.

        Returns:
            `[B, Q, width]`.
        """
        query = self._parted(query) / math.sqrt(self.width // self.heads)
        keys, values = self._parted(far[0]), self._parted(far[1])
        scores = query @ keys.transpose(-1, -2) + bias
        if own is None:
            return (scores.softmax(-1) @ values).transpose(1, 2).flatten(2)
        # [B, heads, N, HOP_FRAMES, size]
        size = self.width // self.heads
        hop_query, hop_keys, hop_values = (
            part.reshape(len(part), self.heads, -1, HOP_FRAMES, size)
            for part in (query, self._parted(own[0]), self._parted(own[1]))
        )
        near = hop_query @ hop_keys.transpose(-1, -2) + self.within[:, None]
        reach = scores.shape[-1]
        shares = torch.cat([scores, near.flatten(2, 3)], -1).softmax(-1)
        mixed = shares[..., :reach] @ values
        near = shares[..., reach:].reshape(len(query), self.heads, -1, HOP_FRAMES, HOP_FRAMES)
        within = near @ hop_values
        out: torch.Tensor = (mixed + within.flatten(2, 3)).transpose(1, 2).flatten(2)
        return out

    def _parted(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return `[B, heads, T, size]` of `[B, T, width]`."""
        size = self.width // self.heads
        return tokens.reshape(len(tokens), -1, self.heads, size).transpose(1, 2)

    def finish(
        self, tokens: torch.Tensor, mixed: torch.Tensor, modulation: torch.Tensor
    ) -> torch.Tensor:
        """Add what attention found, and the feed-forward part."""
        tokens = tokens + self.merge(mixed)
        normal = functional.layer_norm(tokens, (self.width,))
        normal = normal * (1.0 + modulation[..., 3, :]) + modulation[..., 2, :]
        wide = functional.relu(self.widen(normal))
        out: torch.Tensor = tokens + self.narrow(wide * wide)
        return out


class FlowNet(nn.Module):
    """Says of a noisy hop what the clean one is expected to be."""

    waves: torch.Tensor

    def __init__(self, config: FlowNetConfig) -> None:
        super().__init__()
        self.config = config
        width, parts = config.width, config.components
        self.width = width
        self.enter_noisy = nn.Linear(2 * parts + config.conditions + MEMORY + 1, width)
        self.enter_clean = nn.Linear(HOP_FRAMES * (parts + config.conditions) + MEMORY, width)
        self.frame = nn.Parameter(torch.zeros(HOP_FRAMES, width))
        self.level = nn.Sequential(
            nn.Linear(2 * _TIME_WAVES + len(STYLES) + 1, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.modulate = nn.Linear(width, 4 * width)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.layers))
        self.final = nn.Parameter(torch.zeros(2, width))
        self.leave = nn.Linear(width, parts)
        waves = torch.exp(torch.linspace(0.0, math.log(40.0), _TIME_WAVES))
        self.register_buffer("waves", waves, persistent=False)
        for layer in self.layers:
            assert isinstance(layer, _Layer)
            for part in (layer.merge, layer.narrow):
                nn.init.normal_(part.weight, std=0.5 / math.sqrt(width * 2 * config.layers))
                nn.init.zeros_(part.bias)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def modulation(self, time: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
        """Return `[..., 4, width]` of times `[...]` in [0, 1] and styles `[..., 9]`."""
        angles = time[..., None] * self.waves
        known = torch.cat([angles.sin(), angles.cos(), style], -1)
        out: torch.Tensor = self.modulate(functional.silu(self.level(known)))
        return out.reshape(*time.shape, 4, self.width)

    def read(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return whitened components `[..., D]` of the last layer's tokens."""
        normal = functional.layer_norm(tokens, (self.width,))
        out: torch.Tensor = self.leave(normal * (1.0 + self.final[1]) + self.final[0])
        return out

    def forward(
        self,
        noisy: torch.Tensor,
        clean: torch.Tensor,
        time: torch.Tensor,
        style: torch.Tensor,
        blind: torch.Tensor,
    ) -> torch.Tensor:
        """Denoise all hops of clips at once.

        Args:
            noisy: `[B, N, HOP_FRAMES, 2 D + conditions + MEMORY + 1]`, see `noisy_input`.
            clean: `[B, N, HOP_FRAMES (D + conditions) + MEMORY]`.
            time: `[B, N]` noise levels; 0 is noise and 1 is motion.
            style: `[B, 9]`, the last column 1 where it is told.
            blind: `[B, N]` bool, hops that see no clean token.

        Returns:
            `[B, N, HOP_FRAMES, D]`.
        """
        config = self.config
        hops, reach = noisy.shape[1], config.reach
        told = style[:, None].expand(-1, hops, -1)
        by = self.modulation(time, told).repeat_interleave(HOP_FRAMES, 1)  # [B, 5 N, 4, W]
        clean_by = self.modulation(torch.ones_like(time), told)
        frames = (self.enter_noisy(noisy) + self.frame).flatten(1, 2)
        past = self.enter_clean(clean)
        steps = torch.arange(hops, device=noisy.device)
        back = steps[:, None] - steps[None]  # how far a key lies before its query
        past_bias = torch.where((back >= 0) & (back < reach), 0.0, _NO)
        # A noisy hop sees `reach` clean hops before it, or none.
        seen = ((back >= 1) & (back <= reach)) & ~blind[..., None]  # [B, N, N]
        frame_bias = torch.where(seen, 0.0, _NO).repeat_interleave(HOP_FRAMES, 1)[:, None]
        past_back = back.clamp(0, reach)
        frame_back = past_back.repeat_interleave(HOP_FRAMES, 0)
        for layer in self.layers:
            assert isinstance(layer, _Layer)
            now = clean_by + layer.modulation
            query, key, value = layer.split(past, now)
            mixed = layer.attend(query, (key, value), layer.back[:, past_back] + past_bias)
            past = layer.finish(past, mixed, now)
            now = by + layer.modulation
            query, own_key, own_value = layer.split(frames, now)
            bias = layer.back[:, frame_back] + frame_bias
            mixed = layer.attend(query, (key, value), bias, (own_key, own_value))
            frames = layer.finish(frames, mixed, now)
        frames = frames.reshape(len(frames), hops, HOP_FRAMES, -1)
        return self.read(frames)


class HopNet(nn.Module):
    """The same network as the run time calls it: one hop, and the keys and values kept.

    The clean hop and the frames pass through the layers as six tokens in a row, and everything
    that does not depend on the input is folded beforehand: so small a network spends its time on
    the number of operations, not on their size.
    """

    biases: torch.Tensor
    offsets: torch.Tensor

    def __init__(self, net: FlowNet) -> None:
        super().__init__()
        self.net = net
        config = net.config
        self.heads, self.size = config.heads, config.width // config.heads
        tokens, keys = 1 + HOP_FRAMES, config.reach + HOP_FRAMES
        biases = torch.full((config.layers, config.heads, tokens, keys), _NO)
        offsets = torch.zeros(config.layers, 4, config.width)
        with torch.no_grad():
            for number, layer in enumerate(net.layers):
                assert isinstance(layer, _Layer)
                biases[number, :, 0, : config.reach] = layer.back[:, :-1].flip(-1)
                biases[number, :, 1:, : config.reach] = layer.back[:, 1:].flip(-1)[:, None]
                biases[number, :, 1:, config.reach :] = layer.within
                offsets[number] = layer.modulation
        offsets[:, [1, 3]] += 1.0  # scales are about 1
        self.register_buffer("biases", biases)
        self.register_buffer("offsets", offsets)

    def _parted(self, tokens: torch.Tensor, count: int) -> torch.Tensor:
        return tokens.reshape(-1, count, self.heads, self.size).transpose(1, 2)

    def forward(
        self,
        noisy: torch.Tensor,
        clean: torch.Tensor,
        time: torch.Tensor,
        style: torch.Tensor,
        absent: torch.Tensor,
        kept: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Denoise one hop of `B` variants.

        Args:
            noisy: `[B, HOP_FRAMES, ...]`.
            clean: `[B, ...]`, the hop before.
            time: `[1]`.
            style: `[1, 9]`.
            absent: `[B, reach + HOP_FRAMES]`, 1 for clean hops that are not there, oldest first;
                that at `reach - 1` is `clean` itself, and the rest are the hop's own frames.
            kept: `[layers, 2, B, reach - 1, width]` keys and values of the clean hops before.

        Returns:
            `[B, HOP_FRAMES, D]`, and the keys and values of `clean`, `[layers, 2, B, 1, width]`.
        """
        net, config = self.net, self.net.config
        width, tokens = config.width, 1 + HOP_FRAMES
        keys = config.reach + HOP_FRAMES
        now = net.modulation(torch.cat([torch.ones_like(time), time]), torch.cat([style, style]))
        # [layers, 2, 4, W] for the clean token and a frame, then for six tokens
        now = now[None] + self.offsets[:, None]
        now = torch.cat([now[:, :1], now[:, 1:].expand(-1, HOP_FRAMES, -1, -1)], 1)
        stream = torch.cat([net.enter_clean(clean)[:, None], net.enter_noisy(noisy) + net.frame], 1)
        hidden = (absent * _NO)[:, None, None]
        past = [pair.unbind(0) for pair in kept.unbind(0)]
        made = []
        for number, layer in enumerate(net.layers):
            assert isinstance(layer, _Layer)
            shift, scale, wide_shift, wide_scale = now[number].unbind(1)
            normal = functional.layer_norm(stream, (width,)) * scale + shift
            query, key, value = layer.qkv(normal).split([width, width, width], -1)
            made += [key[:, :1], value[:, :1]]
            key, value = (
                torch.cat([past[number][0], key], 1),
                torch.cat([past[number][1], value], 1),
            )
            scores = self._parted(query, tokens) @ self._parted(key, keys).transpose(2, 3)
            scores = scores * self.size**-0.5 + (self.biases[number] + hidden)
            mixed = scores.softmax(-1) @ self._parted(value, keys)
            stream = stream + layer.merge(mixed.transpose(1, 2).reshape(-1, tokens, width))
            normal = functional.layer_norm(stream, (width,)) * wide_scale + wide_shift
            wide = functional.relu(layer.widen(normal))
            stream = stream + layer.narrow(wide * wide)
        guess = net.read(stream[:, 1:])
        return guess, torch.stack(made).reshape(config.layers, 2, -1, 1, width)
