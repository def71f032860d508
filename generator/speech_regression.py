"""What a mouth is expected to do, given what is heard: a small regression, frame by frame.

It takes the deterministic part of lip movement off the flow's hands, so that the network's few
parameters and training hours go to what is a matter of choice.
"""

import itertools

import numpy as np
import numpy.typing as npt
import torch

from obverse.generator.motion_space import CUE_FRAMES, FEATURES, MOUTH, STYLES

__all__ = ["fit_speech"]

Array = npt.NDArray[np.float32]

_HIDDEN = 160
_RUN = 8  # frames in a row, so that speed counts too
_RUNS = 192  # of a batch
_RATE = 3e-3


def fit_speech(
    cues: npt.NDArray[np.float16],
    emotion: Array,
    style: Array,
    wander: Array,
    starts: npt.NDArray[np.int64],
    steps: int | None = None,
) -> tuple[Array, Array, Array]:
    """Fit how the mouth follows cues, emotion and style.

    Args:
        cues: [F, C] of all shards.
        emotion: [F, 8].
        style: [S, 8] of each shard.
        wander: features less their anchor [F, 52].
        starts: [S + 1] first frames of shards.
        steps: of Adam; None is as many as the corpus is good for.

    Returns:
        `speech_in`, `speech_mid` and `speech_out` of `MotionSpace`.
    """
    steps = int(np.clip(len(cues) // 40, 60, 2000)) if steps is None else steps
    generator = torch.Generator().manual_seed(0)
    rng = np.random.default_rng(0)
    size = CUE_FRAMES * cues.shape[1] + 8 + len(STYLES) + 1
    scale = np.maximum(wander[:, MOUTH].std(0), 0.01)
    target = torch.from_numpy(wander[:, MOUTH] / scale)
    # A coefficient that hardly moves matters little, and lips that meet matter most.
    care = torch.from_numpy(np.clip(scale / 0.05, 0.15, 1.5).astype(np.float32)) ** 2
    jaw, close = (MOUTH.index(FEATURES.index(name)) for name in ("jawOpen", "mouthClose"))
    press = MOUTH.index(FEATURES.index("mouthPressLeft"))
    sizes = torch.from_numpy(scale.astype(np.float32))
    first = torch.empty(size, _HIDDEN).normal_(0.0, (2.0 / size) ** 0.5, generator=generator)
    middle = torch.empty(_HIDDEN + 1, _HIDDEN)
    middle.normal_(0.0, (2.0 / _HIDDEN) ** 0.5, generator=generator)
    last = torch.zeros(_HIDDEN + 1, len(MOUTH))
    weights = [part.requires_grad_() for part in (first, middle, last)]
    optimiser = torch.optim.Adam(weights, _RATE)
    runs = np.concatenate(
        [np.arange(a, max(a + 1, b - _RUN)) for a, b in itertools.pairwise(starts)]
    )
    owner = np.searchsorted(starts, np.arange(starts[-1]), "right") - 1
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = _RATE * min(1.0, 1.5 * (1.0 - step / steps)) * min(1.0, (step + 1) / 50)
        at = (rng.choice(runs, _RUNS)[:, None] + np.arange(_RUN)).ravel()
        at = np.minimum(at, starts[-1] - 1)
        shard = owner[at]
        lags = [cues[np.maximum(at - lag, starts[shard])] for lag in range(CUE_FRAMES - 1, -1, -1)]
        told = style[shard] * (rng.random((len(at), 1)) > 0.1)
        rows = [*lags, emotion[at], told, np.ones((len(at), 1))]
        inputs = torch.from_numpy(np.concatenate(rows, 1, dtype=np.float32))
        hidden = torch.relu(inputs @ first)
        hidden = torch.relu(hidden @ middle[:-1] + middle[-1])
        wanted = target[at]
        error = hidden @ last[:-1] + last[-1] - wanted
        speed = error.reshape(-1, _RUN, len(MOUTH)).diff(dim=1)
        wide = wanted * sizes
        shut = (wide[:, close] > 0.6 * wide[:, jaw].clamp(min=0.02)) & (wide[:, press] > 0.05)
        gap = (error[:, jaw] * sizes[jaw] - error[:, close] * sizes[close]) / 0.06
        loss = (care * error**2).mean() + (care * speed**2).mean()
        loss = loss + 0.05 * (gap**2 * (0.5 + 2.0 * shut)).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    out = np.zeros((_HIDDEN + 1, len(FEATURES)), np.float32)
    out[:, MOUTH] = last.detach().numpy() * scale
    return first.detach().numpy(), middle.detach().numpy(), out
