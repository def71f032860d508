"""Filling what a still does not show: the background behind a head, the hair's colour under a soft
edge.

Push-pull interpolation (Gortler et al., "The Lumigraph", 1996, section 3.4): known pixels are
averaged down a pyramid until every cell holds a colour, and unknown ones take theirs on the way
back up.
"""

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["fill_unknown", "fill_with_grain"]


def fill_unknown(
    image: npt.NDArray[np.number], known: npt.NDArray[np.floating]
) -> npt.NDArray[np.float32]:
    """Return the image with its unknown parts filled smoothly from the known ones.

    Args:
        image: `[H, W, C]`, any range.
        known: `[H, W]` in [0, 1]: how much each pixel is to be believed.
    """
    weights = known.astype(np.float32)
    colours = image.astype(np.float32) * weights[..., None]
    pyramid = [(colours, weights)]
    while min(weights.shape) > 1:
        size = ((weights.shape[1] + 1) // 2, (weights.shape[0] + 1) // 2)
        colours = cv2.resize(colours, size, interpolation=cv2.INTER_AREA).reshape(*size[::-1], -1)
        weights = cv2.resize(weights, size, interpolation=cv2.INTER_AREA)
        # A cell with any knowledge at all is nearly as good as a full one: weights saturate as they
        # go up.
        scale = np.minimum(weights * 4.0, 1.0) / np.maximum(weights, 1e-8)
        colours, weights = colours * scale[..., None], weights * scale
        pyramid.append((colours, weights))
    filled = pyramid[-1][0] / np.maximum(pyramid[-1][1], 1e-8)[..., None]
    for colours, weights in reversed(pyramid[:-1]):
        size = (weights.shape[1], weights.shape[0])
        coarse = cv2.resize(filled, size, interpolation=cv2.INTER_CUBIC).reshape(*size[::-1], -1)
        filled = colours + (1.0 - np.minimum(weights, 1.0))[..., None] * coarse
    return np.asarray(filled, np.float32)


def fill_with_grain(
    image: npt.NDArray[np.uint8], known: npt.NDArray[np.floating], rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Fill the unknown parts and give them the grain of the known ones, so that the fill is not
    seen as a smear.

    Args:
        image: `[H, W, 3] uint8 RGB`.
        known: `[H, W]` in [0, 1].
        rng: draws the grain.
    """
    smooth = fill_unknown(image, known)
    fine = image.astype(np.float32) - cv2.GaussianBlur(image, (0, 0), 1.5).astype(np.float32)
    sure = known > 0.99
    # A border of the known region shows the person's edge, not grain.
    sure = cv2.erode(sure.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    if sure.sum() < 256:
        return _to_bytes(smooth)
    deviation = float(np.median(np.abs(fine[sure]))) / 0.6745
    grain = rng.standard_normal(image.shape[:2]).astype(np.float32)
    grain = cv2.GaussianBlur(grain, (0, 0), 0.7)
    grain *= deviation / max(float(grain.std()), 1e-6)
    filled = smooth + grain[..., None] * (1.0 - known.astype(np.float32))[..., None]
    return _to_bytes(filled)


def _to_bytes(image: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    return np.asarray(np.clip(image + 0.5, 0, 255), np.uint8)
