"""What a training step of the motion model computes: conditional flow matching on whole clips.

The network is asked for the clean hop (not the velocity), at a noise level of its own for every
hop. The error is weighed three ways: in whitened components, where every movement counts alike; as
it shows in coefficients and angles, with their speed; and in the gap between lips, most of all
where they have to meet. Since all of these are quadratic in one and the same error, they agree on
the best answer and differ only in what is learnt first.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from obverse.generator.flow_net import FlowNet
from obverse.generator.motion_examples import Batch
from obverse.generator.motion_space import FEATURES, GAZE, HEAD, HOP_FRAMES, LAGS, MotionSpace

__all__ = ["Problem", "draw_chances"]


def _feature_weights() -> torch.Tensor:
    """Return how much a viewer sees of an error in each feature `[52]`, per unit."""
    weights = torch.full((len(FEATURES),), 1.0 / 0.12)
    for index, name in enumerate(FEATURES):
        if name.startswith(("jaw", "mouth", "tongue")):
            weights[index] = 1.0 / 0.08
    for name in ("jawOpen", "mouthClose", "mouthPucker", "eyeBlinkLeft", "eyeBlinkRight"):
        weights[FEATURES.index(name)] = 1.0 / 0.06
    weights[GAZE] = 1.0 / math.radians(3.0)
    weights[HEAD.start : HEAD.start + 3] = 1.0 / math.radians(2.0)
    weights[HEAD.start + 3 : HEAD.stop] = 1.0 / 0.05
    return weights


_JAW, _CLOSE = FEATURES.index("jawOpen"), FEATURES.index("mouthClose")
_PRESS = FEATURES.index("mouthPressLeft")


def _hops(frames: torch.Tensor) -> torch.Tensor:
    """Return `[B, N, HOP_FRAMES, ...]` of `[B, F, ...]`."""
    return frames.reshape(len(frames), -1, HOP_FRAMES, *frames.shape[2:])


class Problem(nn.Module):
    """What a training step computes: inputs of the network from a batch, and the loss."""

    predict: torch.Tensor
    spread: torch.Tensor
    first_spread: torch.Tensor
    gather: torch.Tensor
    first_gather: torch.Tensor
    decode: torch.Tensor
    rest: torch.Tensor
    signal: torch.Tensor
    seen: torch.Tensor

    def __init__(self, net: FlowNet, space: MotionSpace) -> None:
        super().__init__()
        self.net = net

        def constant(name: str, value: Any) -> None:
            self.register_buffer(name, torch.as_tensor(np.array(value)).float(), persistent=False)

        constant("predict", space.predict)
        constant("spread", space.spread)
        constant("first_spread", space.first_spread)
        constant("gather", np.linalg.inv(space.spread.transpose(2, 0, 1)).transpose(1, 2, 0))
        constant(
            "first_gather", np.linalg.inv(space.first_spread.transpose(2, 0, 1)).transpose(1, 2, 0)
        )
        constant("decode", space.decode)
        constant("rest", space.rest)
        constant("signal", 1.0 - np.minimum(space.floors, 0.95) ** 2)
        self.register_buffer("seen", _feature_weights(), persistent=False)

    def conditions(self, batch: dict[str, torch.Tensor], told: torch.Tensor) -> torch.Tensor:
        """Return `[B, F, conditions]`; `told` `[B, 4]` says what of cues and controls is told."""
        frames = batch["cues"].shape[1]
        cues, emotion, gaze, distance = (
            told[:, None, index : index + 1].expand(-1, frames, -1) for index in range(4)
        )
        controls = batch["controls"]
        return torch.cat(
            [
                batch["cues"] * cues,
                controls[..., :8] * emotion,
                controls[..., 8:10] * gaze,
                controls[..., 10:] * distance,
                told[:, None].expand(-1, frames, -1),
            ],
            -1,
        )

    def bases(self, past: torch.Tensor, fresh: torch.Tensor) -> torch.Tensor:
        """Return what the linear predictor expects of each hop `[B, N, HOP_FRAMES, D]`.

        Args:
            past: `[B, LAGS + F, D]`.
            fresh: `[B]` bool, the first hop begins a performance.
        """
        lags = past.unfold(1, LAGS, HOP_FRAMES)[:, : (past.shape[1] - LAGS) // HOP_FRAMES]
        base = torch.einsum("kld,bndl->bnkd", self.predict, lags)
        base[:, 0] = torch.where(fresh[:, None, None], self.rest, base[:, 0])
        return base

    def _through(
        self, hops: torch.Tensor, usual: torch.Tensor, first: torch.Tensor, fresh: torch.Tensor
    ) -> torch.Tensor:
        """Apply a hop's triangular matrix, the first performance's where it is fresh."""
        out = torch.einsum("kjd,bnjd->bnkd", usual, hops)
        begun = torch.einsum("kjd,bjd->bkd", first, hops[:, 0])
        out[:, 0] = torch.where(fresh[:, None, None], begun, out[:, 0])
        return out

    def forward(
        self, batch: dict[str, torch.Tensor], draws: dict[str, torch.Tensor], own: bool
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the loss, and its parts.

        Args:
            batch: the arrays of `Batch`.
            draws: from `draw_chances`.
            own: whether the past is replaced by what the model itself would have performed.
        """
        fresh = batch["fresh"]
        truth = _hops(batch["parts"][:, LAGS:])
        past = batch["parts"] + draws["rough"]
        time = draws["time"]
        if own:
            with torch.no_grad():
                guess, base = self._denoise(batch, draws, past, draws["early"])
                made = base + self._through(guess, self.spread, self.first_spread, fresh)
                mine = draws["mine"][:, :, None, None]
                mixed = torch.where(mine, made, _hops(past[:, LAGS:]))
                past = torch.cat([past[:, :LAGS], mixed.flatten(1, 2)], 1)
        guess, base = self._denoise(batch, draws, past, time)
        white = self._through(truth - base, self.gather, self.first_gather, fresh)
        weight = (1.0 / (1.1 - time))[..., None, None]
        error = guess - white
        whitened = (weight * error**2 * self.signal).mean()
        # The same error as it shows: in features, their speed, the gap between the lips.
        shown = self._through(error, self.spread, self.first_spread, fresh) @ self.decode
        visible = shown * self.seen
        speed = torch.diff(visible, dim=2, prepend=torch.zeros_like(visible[:, :, :1]))
        features = truth @ self.decode
        shut = (features[..., _CLOSE] - 0.6 * features[..., _JAW] > 0.0) & (
            features[..., _PRESS] > 0.05
        )
        gap = (shown[..., _JAW] - shown[..., _CLOSE]) / 0.06
        losses = {
            "white": whitened,
            "seen": (weight * visible**2).mean(),
            "speed": (weight * speed**2).mean(),
            "lips": (weight[..., 0] * gap**2 * (0.3 + 2.0 * shut)).mean(),
        }
        loss = losses["white"] + losses["seen"] + 0.5 * losses["speed"] + 0.3 * losses["lips"]
        return loss, losses

    def _denoise(
        self,
        batch: dict[str, torch.Tensor],
        draws: dict[str, torch.Tensor],
        past: torch.Tensor,
        time: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the network's guess of the whitened hops, and their bases."""
        fresh = batch["fresh"]
        truth = _hops(batch["parts"][:, LAGS:])
        base = self.bases(past, fresh)
        white = self._through(truth - base, self.gather, self.first_gather, fresh)
        level = time[..., None, None]
        drawn = (1.0 - level) * draws["noise"] + level * white
        told = draws["told"].clone()
        told[:, 1:] *= batch["known"]
        conditions = _hops(self.conditions(batch, told))
        memory = batch["memory"]
        begins = torch.zeros_like(time)
        begins[:, 0] = fresh.float()
        noisy = torch.cat(
            [
                drawn,
                base,
                conditions,
                memory[:, :, None].expand(-1, -1, HOP_FRAMES, -1),
                begins[:, :, None, None].expand(-1, -1, HOP_FRAMES, -1),
            ],
            -1,
        )
        performed = _hops(past[:, LAGS:])
        clean = torch.cat([torch.cat([performed, conditions], -1).flatten(2), memory], -1)
        style = torch.cat([batch["style"] * draws["styled"], draws["styled"]], -1)
        return self.net(noisy, clean, time, style, draws["blind"]), base


def draw_chances(
    batch: Batch, components: int, drop: float, rough: float, rng: np.random.Generator
) -> dict[str, torch.Tensor]:
    """Draw everything that a step leaves to chance.

    Args:
        batch: what is learnt from.
        components: D.
        drop: how often each condition is left out.
        rough: spread of the noise on the past.
        rng: what to draw from.
    """
    size, hops = batch.memory.shape[:2]

    def normal(*shape: int) -> npt.NDArray[np.float32]:
        return rng.standard_normal(shape, np.float32)

    told = (rng.random((size, 4)) > drop).astype(np.float32)
    told[rng.random(size) < drop / 2.0] = 0.0
    blind = (rng.random((size, hops)) < drop / 2.0) | (rng.random((size, 1)) < drop / 2.0)
    # The past is as wrong as a performance of one's own: a little jitter, and an offset that stays.
    wrong = np.abs(rng.normal(0.0, rough, (size, 1, 1))).astype(np.float32)
    frames = LAGS + hops * HOP_FRAMES
    offset = np.repeat(normal(size, hops + 1, components), HOP_FRAMES, 1)[:, -frames:]
    jitter = 0.3 * normal(size, frames, components) + offset
    logits = rng.normal(-0.2, 1.3, (size, hops))
    drawn = {
        "told": told,
        "blind": blind,
        "rough": wrong * jitter,
        "noise": normal(size, hops, HOP_FRAMES, components),
        "time": (1.0 / (1.0 + np.exp(-logits))).astype(np.float32),
        "early": rng.uniform(0.2, 0.9, (size, hops)).astype(np.float32),
        "mine": rng.random((size, hops)) < rng.random((size, 1)),
        "styled": (rng.random((size, 1)) > drop).astype(np.float32),
    }
    return {name: torch.from_numpy(value) for name, value in drawn.items()}
