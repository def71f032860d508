"""Where a network looks: how much its logit falls when a patch of a window is blurred away.

Occlusion (Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014) asks any
network the same question, an exported one too, and needs no gradients.
"""

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from obverse.detector.kind import Arrays
from obverse.detector.runs import Detector

__all__ = ["Localisation", "heat_map", "localisation", "mask_in_crop"]

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

PATCH = 0.22  # side of a patch in sides of the crop
GRID = 9  # patches along a side
BLUR = 0.08  # deviation of what a patch is blurred with, in sides of the crop
_SHARES = (0.01, 0.99)  # of a crop that a mask must cover to part anything
_AT_ONCE = 27


class Localisation(NamedTuple):
    """How well a heat map finds the pixels that are synthetic."""

    auc: float  # of pixels: .5 is chance
    hit: bool  # whether the hottest pixel is synthetic
    iou: float  # of the hottest pixels, as many as are synthetic, and the synthetic ones
    share: float  # of the crop that is synthetic: the iou of chance grows with it


def heat_map(detector: Detector, inputs: Arrays, window: int) -> Floats:
    """Return how much each pixel of a window speaks for synthetic, `[S, S]` in logits.

    Below 0 it speaks for pristine. In a burst, a patch is blurred in all frames at once.

    Args:
        detector: any.
        inputs: of the track, as the detector's windows.
        window: which of them.
    """
    parts = tuple(np.array(part[window : window + 1]) for part in inputs)
    crops = parts[0][0]
    side = crops.shape[-2]
    frames = crops.reshape(-1, side, side, 3)
    soft = np.stack([cv2.GaussianBlur(frame, (0, 0), BLUR * side) for frame in frames])
    patch = max(2, round(PATCH * side))
    starts = np.linspace(0, side - patch, GRID).round().astype(int)
    places = [(int(y), int(x)) for y in starts for x in starts]
    whole = float(detector.run(parts)[0])
    total, seen = np.zeros((side, side), np.float64), np.zeros((side, side), np.float64)
    weight = np.outer(np.hanning(patch + 2)[1:-1], np.hanning(patch + 2)[1:-1])
    step = max(1, _AT_ONCE // len(frames))
    for first in range(0, len(places), step):
        chosen = places[first : first + step]
        copies = np.repeat(frames[None], len(chosen), axis=0)
        for copy, (y, x) in zip(copies, chosen, strict=True):
            copy[:, y : y + patch, x : x + patch] = soft[:, y : y + patch, x : x + patch]
        batch = (
            copies.reshape(len(chosen), *crops.shape),
            *(np.repeat(part, len(chosen), axis=0) for part in parts[1:]),
        )
        for fall, (y, x) in zip(whole - detector.run(batch), chosen, strict=True):
            total[y : y + patch, x : x + patch] += fall * weight
            seen[y : y + patch, x : x + patch] += weight
    return np.asarray(total / np.maximum(seen, 1e-9), np.float32)


def mask_in_crop(mask: Image, square: Floats, size_px: int) -> npt.NDArray[np.bool_]:
    """Return a clip's mask `[H, W]` where a crop shows it, `[S, S]`.

    Args:
        mask: of the clip's frames, 255 = synthetic.
        square: the crop's map to pixels of the clip.
        size_px: side of the crop.
    """
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    seen = cv2.warpAffine(mask, square.astype(np.float64), (size_px, size_px), flags=flags)
    return np.asarray(seen >= 128, np.bool_)


def localisation(heat: Floats, mask: npt.NDArray[np.bool_]) -> Localisation | None:
    """Compare a heat map with the true mask `[S, S]`; None where the mask parts nothing."""
    share = float(mask.mean())
    if not _SHARES[0] <= share <= _SHARES[1]:
        return None
    flat, truth = heat.ravel(), mask.ravel()
    count = int(truth.sum())
    hottest = np.zeros(len(flat), bool)
    hottest[np.argsort(-flat, kind="stable")[:count]] = True
    shared = int((hottest & truth).sum())
    return Localisation(
        float(roc_auc_score(truth, flat)),
        bool(truth[int(flat.argmax())]),
        shared / (2 * count - shared),
        share,
    )
