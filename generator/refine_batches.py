"""Batches for the mouth refiner: pairs read into memory, and drawn with changes of light, colour
and softness.
"""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt
import torch

from obverse.generator.refine import APPEARANCE, CROP_HEIGHT, CROP_WIDTH, INNER
from obverse.generator.refine_data import MouthPairs, flat_mouth

__all__ = ["Batch", "BatchConfig", "Pool", "draw_batch", "read_pool"]

Image = npt.NDArray[np.uint8]
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Of white's luma: a mouth drawn this much lighter or darker than the truth shows something else
# there, such as a tooth for the dark, and teaches nothing.
_ANOTHER_THING = 0.12
_WIDE_PX = 2.5  # of the crop, a Gaussian's deviation: about half a tooth
_CRISP, _CRISP_PX = 0.8, 1.2  # how much sharper a drawing becomes, and of what width of detail


class BatchConfig(Protocol):
    """What of the training's settings says how batches are drawn."""

    @property
    def batch(self) -> int:
        """Moments of two frames each."""

    @property
    def sitter_share(self) -> float:
        """Share of sitters among them."""

    @property
    def flat_share(self) -> float:
        """Share whose mouths are the truth's own, flattened."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """All moments of some sources, `N` of them."""

    drawn: Image  # [N, 2, H, W, 3]
    flat: Image  # [N, 2, H, W, 3]
    truth: Image  # [N, 2, H, W, 3]
    opening: Image  # [N, 2, H, W]
    region: Image  # [N, 2, H, W]
    appearance: npt.NDArray[np.float32]  # [N, A]

    def __len__(self) -> int:
        """Return the number of moments."""
        return len(self.drawn)


def read_pool(files: Iterable[Path], start: str, held_out: bool) -> Pool:
    """Read the pairs whose names begin with `start`, those held out or the others."""
    rows: dict[str, list[npt.NDArray[Any]]] = {f.name: [] for f in dataclasses.fields(Pool)}
    shape = (CROP_HEIGHT, CROP_WIDTH)
    for path in files:
        if not path.name.startswith(start):
            continue
        pairs = MouthPairs.load(path)
        if pairs.held_out != held_out:
            continue
        flat = np.empty_like(pairs.drawn)
        for moment in np.ndindex(pairs.drawn.shape[:2]):
            flat[moment] = flat_mouth(
                pairs.truth[moment],
                pairs.drawn[moment],
                pairs.opening[moment],
                pairs.appearance[:3],
            )
        rows["flat"].append(flat)
        for name in ("drawn", "truth", "opening", "region"):
            rows[name].append(getattr(pairs, name))
        rows["appearance"].append(np.repeat(pairs.appearance[None], len(flat), 0))
    if not rows["drawn"]:
        return Pool(
            drawn=np.zeros((0, 2, *shape, 3), np.uint8),
            flat=np.zeros((0, 2, *shape, 3), np.uint8),
            truth=np.zeros((0, 2, *shape, 3), np.uint8),
            opening=np.zeros((0, 2, *shape), np.uint8),
            region=np.zeros((0, 2, *shape), np.uint8),
            appearance=np.zeros((0, len(APPEARANCE)), np.float32),
        )
    return Pool(**{name: np.concatenate(parts) for name, parts in rows.items()})


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Tensors of `B` moments, both frames of each side by side."""

    planes: torch.Tensor  # [2B, 4, H, W]; moment by moment, both frames together
    truth: torch.Tensor  # [2B, 3, H, W]
    region: torch.Tensor  # [2B, 1, H, W]
    aligned: torch.Tensor  # [2B, 1, 1, 1] 1 where drawn teeth stand where the truth's do, else 0
    appearance: torch.Tensor  # [2B, A]

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on a device."""
        return Batch(*(getattr(self, f.name).to(device) for f in dataclasses.fields(self)))


def _apply_colour(
    colours: npt.NDArray[np.float32],
    gain: npt.NDArray[np.float64],
    gamma: float,
    saturation: float,
    lift: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    grey = (colours @ _LUMA)[..., None]
    changed = grey + saturation * (colours - grey)
    changed = np.clip(changed * gain, 0.0, 1.0) ** gamma
    return np.clip(changed * (1.0 - lift) + lift, 0.0, 1.0)


def draw_batch(
    photographs: Pool, sitters: Pool, config: BatchConfig, rng: np.random.Generator
) -> Batch:
    """Draw moments of photographs and sitters, each in a light of its own."""
    rows: list[list[npt.NDArray[np.float32]]] = [[], [], [], []]
    aligned: list[float] = []
    for _ in range(config.batch):
        drawn_sitter = len(sitters) and (not len(photographs) or rng.random() < config.sitter_share)
        pool = sitters if drawn_sitter else photographs
        index = int(rng.integers(len(pool)))
        flat = rng.random() < config.flat_share
        shown = (pool.flat if flat else pool.drawn)[index].astype(np.float32) / 255.0
        truth = pool.truth[index].astype(np.float32) / 255.0
        opening = pool.opening[index].astype(np.float32)[..., None] / 255.0
        region = pool.region[index].astype(np.float32)[..., None] / 255.0
        told = pool.appearance[index].copy()
        aligned += [float(flat)] * 2
        if flat:
            shown = _hinted(shown, truth, opening, rng)
        else:
            truth = _reachable(shown, truth, opening, _trust(pool, index))
        if rng.random() < 0.5:
            told[3:] = 0.0
        if rng.random() < 0.5:
            # The mouth as drawn is wrong in light and softness; what is true stays.
            gain = np.exp(rng.normal(0, 0.15) + rng.normal(0, 0.10, 3))
            blur = float(rng.uniform(0.3, 2.0))
            inside = np.stack([cv2.GaussianBlur(s, (0, 0), blur) for s in shown]) * gain
            shown = shown + opening * (np.clip(inside, 0, 1).astype(np.float32) - shown)
        seen = told[6]
        shown, truth, white, teeth = _recoloured_together(shown, truth, told, rng)
        told = np.array([*white, *(teeth * seen), seen], np.float32)
        if rng.random() < 0.25:  # a small or painted portrait: both are soft
            blur = float(rng.uniform(0.5, 1.6))
            shown = np.stack([cv2.GaussianBlur(s, (0, 0), blur) for s in shown])
            truth = np.stack([cv2.GaussianBlur(s, (0, 0), blur) for s in truth])
        if rng.random() < 0.5:
            shown, truth, opening, region = (
                np.flip(part, 2) for part in (shown, truth, opening, region)
            )
        truth = shown + np.minimum(region * 4.0, 1.0) * (truth - shown)
        rows[0].append(np.concatenate([shown, opening], -1))
        rows[1].append(truth)
        rows[2].append(region)
        rows[3].append(np.repeat(told[None], 2, 0))
    planes, truths, regions = (
        torch.from_numpy(
            np.ascontiguousarray(
                np.concatenate(part)[:, *INNER].transpose(0, 3, 1, 2), dtype=np.float32
            )
        )
        for part in rows[:3]
    )
    flats = torch.tensor(aligned, dtype=torch.float32)[:, None, None, None]
    return Batch(planes, truths, regions, flats, torch.from_numpy(np.concatenate(rows[3])))


def _hinted(
    shown: npt.NDArray[np.float32],
    truth: npt.NDArray[np.float32],
    opening: npt.NDArray[np.float32],
    rng: np.random.Generator,
) -> npt.NDArray[np.float32]:
    """Return flat mouths [2, H, W, 3] with a faint, soft trace of the truth's teeth, as the
    renderer draws the grooves between them: what the network makes sharp stands where it is told.
    """
    strength = float(rng.uniform(0.2, 1.3))
    blur = float(rng.uniform(0.9, 1.8))
    traces = [
        cv2.GaussianBlur(luma, (0, 0), blur) - cv2.GaussianBlur(luma, (0, 0), 4.0)
        for luma in truth @ _LUMA
    ]
    tint = shown / np.maximum((shown @ _LUMA)[..., None], 1e-2)
    hinted = shown + strength * opening * tint * np.stack(traces)[..., None]
    return np.asarray(np.clip(hinted, 0, 1), np.float32)


def _reachable(
    drawn: npt.NDArray[np.float32],
    truth: npt.NDArray[np.float32],
    opening: npt.NDArray[np.float32],
    trust: npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]:
    """Return what can be asked of a drawn mouth [2, H, W, 3] whose teeth are not the truth's.

    Light and colour come from the truth, over about half a tooth; edges stay where they were drawn
    and become crisp.
    """
    wide = [cv2.GaussianBlur(wrong, (0, 0), _WIDE_PX) for wrong in trust * (truth - drawn)]
    soft = [cv2.GaussianBlur(frame, (0, 0), _CRISP_PX) for frame in drawn]
    crisp = drawn + _CRISP * opening * (drawn - np.stack(soft))
    return np.asarray(np.clip(crisp + np.stack(wide), 0, 1), np.float32)


def _trust(pool: Pool, index: int) -> npt.NDArray[np.float32]:
    """Return [2, H, W, 1] how far a moment's drawing shows what the truth does."""
    white = max(float(pool.appearance[index, :3] @ _LUMA) * 255.0, 1.0)
    apart = (pool.drawn[index].astype(np.float32) - pool.flat[index]) @ _LUMA / white
    near = [cv2.GaussianBlur(np.exp(-((a / _ANOTHER_THING) ** 2)), (0, 0), 1.5) for a in apart]
    return np.asarray(np.stack(near)[..., None], np.float32)


def _recoloured_together(
    shown: npt.NDArray[np.float32],
    truth: npt.NDArray[np.float32],
    told: npt.NDArray[np.float32],
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.float32], ...]:
    gain = np.exp(rng.normal(0, 0.18) + rng.normal(0, 0.10, 3))
    gamma = float(np.exp(rng.normal(0, 0.18)))
    saturation = 0.0 if rng.random() < 0.12 else float(np.clip(rng.normal(1.0, 0.25), 0.1, 1.8))
    lift = np.clip(rng.normal(0, 0.04, 3), -0.05, 0.12)
    return tuple(
        _apply_colour(part, gain, gamma, saturation, lift).astype(np.float32)
        for part in (shown, truth, told[:3], told[3:6])
    )
