"""The kind `temporal`: how aligned crops of successive frames change, not what they show.

The network is given differences of frames alone. Who somebody is does not change within a third of
a second and so cancels; flicker, swimming texture and parts that move on their own do not.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from torch import nn

from obverse.clip import Judged
from obverse.detector.backbone import build_backbone, choose_trained, feature_count
from obverse.detector.config import TrainConfig
from obverse.detector.crops import FaceTrack, FilmFaces
from obverse.detector.kind import Batch, Example, Look, Sample, Windows, soft_loss
from obverse.detector.pairs import draw_burst_pairs
from obverse.errors import ConfigError

__all__ = ["TemporalKind", "TemporalNet"]

WIDTH = 96
SCALE = 16.0  # grey levels of change that are 1


class TemporalNet(nn.Module):
    """Bursts `[N, T, S, S, 3] uint8 RGB` to logits `[N]`."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        if config.recipe.burst < 3:
            raise ConfigError(
                f"a recipe's burst is {config.recipe.burst}; a temporal detector needs at least 3."
            )
        self.backbone = build_backbone(
            config.backbone, pretrained=config.pretrained, size_px=config.recipe.size_px
        )
        features = feature_count(self.backbone, config.recipe.size_px)
        choose_trained(self.backbone, config.tune)
        self.narrow = nn.Linear(features, WIDTH)
        self.over_time = nn.Sequential(
            nn.Conv1d(WIDTH, WIDTH, 3, padding=1),
            nn.GELU(),
            nn.Conv1d(WIDTH, WIDTH, 3, padding=1),
            nn.GELU(),
        )
        self.head = nn.Linear(2 * WIDTH, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def look(self, crops: torch.Tensor) -> Look:
        """Return logits and features."""
        count, length, side = crops.shape[0], crops.shape[1], crops.shape[2]
        frames = crops.permute(0, 1, 4, 2, 3).to(self.narrow.weight.dtype)
        change = (frames[:, 1:] - frames[:, :-1]) / SCALE
        change = change.clamp(-4, 4).reshape(count * (length - 1), 3, side, side)
        steps = self.narrow(self.backbone(change)).reshape(count, length - 1, WIDTH)
        found = steps.transpose(1, 2)
        found = found + self.over_time(found)
        features = torch.cat([found.mean(-1), found.amax(-1)], dim=1)
        return Look(self.head(features).flatten(), features)

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """Return logits `[N]`, positive = synthetic."""
        return self.look(crops).logits


class TemporalKind:
    """Bursts of aligned crops, beside those of the pristine twin."""

    learns_from: Literal["twins", "pristine"] = "twins"
    judges: Judged = "picture"
    inputs = ("crops",)

    def build(self, config: TrainConfig) -> nn.Module:
        """Return a `TemporalNet`."""
        return TemporalNet(config)

    def windows(self, faces: FilmFaces, track: FaceTrack, config: TrainConfig) -> Windows:
        """Return every whole burst."""
        del faces
        bursts = track.bursts(config.recipe.burst)
        shape = (0, config.recipe.burst, *track.crops.shape[1:])
        crops = np.stack([track.crops[i] for i in bursts]) if bursts else np.zeros(shape, np.uint8)
        times = np.array([float(track.times[i].mean()) for i in bursts])
        return Windows((crops,), times, tuple(bursts))

    def batches(
        self, samples: Sequence[Sample], config: TrainConfig, rng: np.random.Generator, pairs: int
    ) -> Iterator[Batch]:
        """Yield twin pairs of bursts."""
        labels = np.tile(np.array([1, 0], np.float32), pairs)
        length = config.recipe.burst
        for bursts in draw_burst_pairs(samples, pairs, length, config.augment, rng):
            yield Batch((bursts,), labels)

    def examples(self, samples: Sequence[Sample], config: TrainConfig) -> Iterator[Example]:
        """Yield the bursts of every clip."""
        for sample in samples:
            windows = self.windows(sample.faces, sample.track, config)
            if len(windows.times):
                yield Example(sample.clip.id, sample.synthetic, windows.inputs)

    def loss(
        self,
        network: nn.Module,
        inputs: tuple[torch.Tensor, ...],
        labels: torch.Tensor,
        config: TrainConfig,
    ) -> torch.Tensor:
        """Return the cross entropy."""
        return soft_loss(network(*inputs), labels, config.smoothing)
