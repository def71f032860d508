"""The kind `frame`: single aligned crops, an image classifier."""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from torch import nn

from obverse.clip import Judged
from obverse.detector.backbone import (
    Pixels,
    build_backbone,
    choose_trained,
    feature_count,
    seen_late,
)
from obverse.detector.config import TrainConfig
from obverse.detector.crops import FaceTrack, FilmFaces
from obverse.detector.kind import Batch, Example, Look, Sample, Windows, soft_loss
from obverse.detector.pairs import draw_blend_pairs, draw_crop_pairs

__all__ = ["FrameKind", "FrameNet", "apart", "together"]

ALIGNMENT, UNIFORMITY = 0.1, 0.1  # weights of the two losses of a hypersphere


class FrameNet(nn.Module):
    """Crops `[N, S, S, 3] uint8 RGB` to logits `[N]`."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        side = config.view_px or config.recipe.size_px
        self.edge = (config.recipe.size_px - side) // 2
        self.side = side
        self.backbone = build_backbone(config.backbone, pretrained=config.pretrained, size_px=side)
        self.pixels = Pixels.of(self.backbone)
        features = feature_count(self.backbone, side)
        choose_trained(self.backbone, config.tune)
        self.hypersphere = config.hypersphere
        self.head = nn.Linear(features, 1)
        # Start from "cannot tell", not from a random opinion.
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def features(self, crops: torch.Tensor) -> torch.Tensor:
        """Return features `[N, D]`, of length 1 on a hypersphere."""
        inside = slice(self.edge, self.edge + self.side)
        found: torch.Tensor = self.backbone(self.pixels(crops[:, inside, inside]))
        return nn.functional.normalize(found, dim=-1) if self.hypersphere else found

    def judge(self, features: torch.Tensor) -> torch.Tensor:
        """Return logits `[N]` of features."""
        logits: torch.Tensor = self.head(features)
        return logits.flatten() * (16.0 if self.hypersphere else 1.0)

    def look(self, crops: torch.Tensor) -> Look:
        """Return logits, and what enters the last block."""
        with seen_late(self.backbone) as late:
            features = self.features(crops)
        return Look(self.judge(features), late[0] if late else features)

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """Return logits `[N]`, positive = synthetic."""
        return self.judge(self.features(crops))


def together(features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean squared distance of features `[N, D]` of one class (Wang and Isola 2020)."""
    distances = torch.cdist(features, features).square()
    same = (labels[:, None] == labels[None]).float()
    same = same - torch.diag_embed(torch.diagonal(same))
    return (distances * same).sum() / same.sum().clamp(min=1)


def apart(features: torch.Tensor) -> torch.Tensor:
    """Return how unevenly features `[N, D]` lie on the sphere (Wang and Isola 2020)."""
    return torch.pdist(features).square().mul(-2).exp().mean().log()


class FrameKind:
    """Single crops, beside those of the pristine twin at the same moment."""

    learns_from: Literal["twins", "pristine"] = "twins"
    judges: Judged = "picture"
    inputs = ("crops",)

    def build(self, config: TrainConfig) -> nn.Module:
        """Return a `FrameNet`."""
        return FrameNet(config)

    def windows(self, faces: FilmFaces, track: FaceTrack, config: TrainConfig) -> Windows:
        """Return every crop."""
        del faces, config
        each = tuple(np.array([i]) for i in range(len(track)))
        return Windows((track.crops,), track.times.astype(np.float64), each)

    def batches(
        self, samples: Sequence[Sample], config: TrainConfig, rng: np.random.Generator, pairs: int
    ) -> Iterator[Batch]:
        """Yield twin pairs of crops, some of them pristine crops beside self-blended copies."""
        labels = np.tile(np.array([1, 0], np.float32), pairs)
        blended = round(config.blends * pairs)
        sources = []
        if blended < pairs:
            sources.append(draw_crop_pairs(samples, pairs - blended, config.augment, rng))
        if blended:
            sources.append(draw_blend_pairs(samples, blended, config.augment, rng))
        while True:
            yield Batch((np.concatenate([next(source) for source in sources]),), labels)

    def examples(self, samples: Sequence[Sample], config: TrainConfig) -> Iterator[Example]:
        """Yield the crops of every clip."""
        for sample in samples:
            windows = self.windows(sample.faces, sample.track, config)
            yield Example(sample.clip.id, sample.synthetic, windows.inputs)

    def loss(
        self,
        network: nn.Module,
        inputs: tuple[torch.Tensor, ...],
        labels: torch.Tensor,
        config: TrainConfig,
    ) -> torch.Tensor:
        """Return the cross entropy, on a hypersphere with alignment and uniformity."""
        if not config.hypersphere:
            return soft_loss(network(*inputs), labels, config.smoothing)
        assert isinstance(network, FrameNet)
        features = network.features(*inputs).float()
        return (
            soft_loss(network.judge(features), labels, config.smoothing)
            + ALIGNMENT * together(features, labels)
            + UNIFORMITY * apart(features)
        )
