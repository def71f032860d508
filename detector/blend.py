"""Forgeries made of pristine pictures alone, blended with themselves.

After Shiohara and Yamasaki, "Detecting deepfakes with self-blended images", 2022: a copy of the
picture is changed a little in colour, sharpness, size and place, and pasted back through a soft
mask of its own landmarks. What gives it away, a border and two statistics in one face, is what any
face that was pasted leaves; no generator's own habits can be learned, for there is none.
"""

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["Blend", "blend_with_itself"]

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

# Landmarks whose hull is pasted, by what a forgery may replace.
_BROWS_UP = (10, 67, 109, 338, 297, 103, 332, 54, 284)  # the forehead's upper edge
_MOUTH = (61, 291, 0, 17, 40, 270, 91, 321, 152, 176, 400, 205, 425, 18, 57, 287)
_EYES_AND_NOSE = (70, 300, 105, 334, 33, 263, 130, 359, 4, 48, 278, 2, 117, 346)
BLEND_RATIOS = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)
PLACES = ("face", "inner", "mouth", "eyes")


class Blend(NamedTuple):
    """A picture and what was made of it."""

    pristine: Image  # [S, S, 3]
    synthetic: Image  # [S, S, 3]
    mask: Floats  # [S, S] in [0, 1], how much of a pixel was pasted


def blend_with_itself(crop: Image, landmarks: Floats, rng: np.random.Generator) -> Blend:
    """Return a crop and its self-blended copy.

    Args:
        crop: `[S, S, 3] uint8 RGB`.
        landmarks: `[468, 2]` px of the crop.
        rng: what draws.
    """
    mask = _mask(crop.shape[0], landmarks, rng)
    changed = _changed(crop, rng)
    # Either what is pasted differs from the picture as it was, or the picture from what is pasted.
    pasted, ground = (changed, crop) if rng.random() < 0.5 else (crop, changed)
    pasted, mask = _moved(pasted, mask, rng)
    share = mask[..., None]
    mixed = pasted.astype(np.float32) * share + ground.astype(np.float32) * (1 - share)
    return Blend(ground, np.rint(np.clip(mixed, 0, 255)).astype(np.uint8), mask)


def _mask(side: int, landmarks: Floats, rng: np.random.Generator) -> Floats:
    """Draw a soft mask `[S, S]` of a part of the face."""
    place = PLACES[int(rng.choice(len(PLACES), p=(0.5, 0.2, 0.15, 0.15)))]
    if place == "face":
        points = landmarks
    elif place == "inner":
        points = np.delete(landmarks, _BROWS_UP, axis=0)
    else:
        points = landmarks[list(_MOUTH if place == "mouth" else _EYES_AND_NOSE)]
    hull = cv2.convexHull(np.rint(points).astype(np.int32))
    mask = np.zeros((side, side), np.float32)
    cv2.fillConvexPoly(mask, hull, 1.0)
    mask = _bent(mask, rng)
    # Grow or shrink, then soften twice: the border's width is no sign of its own.
    for _ in range(2):
        width = float(rng.uniform(0.008, 0.045)) * side
        mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), width), np.float32)
        if rng.random() < 0.5:
            mask = (
                np.clip((mask - 0.5) * 2, 0, 1) if rng.random() < 0.5 else np.minimum(mask * 2, 1)
            )
    mask /= max(float(mask.max()), 1e-6)
    ratio = BLEND_RATIOS[int(rng.integers(len(BLEND_RATIOS)))]
    return np.asarray(mask * ratio, np.float32)


def _bent(mask: Floats, rng: np.random.Generator) -> Floats:
    """Bend a mask by a smooth random field (Simard, Steinkraus and Platt 2003)."""
    side = len(mask)
    coarse = rng.normal(0, 1, (2, 6, 6)).astype(np.float32)
    strength = float(rng.uniform(0.0, 0.03)) * side
    field = [
        strength * cv2.resize(part, (side, side), interpolation=cv2.INTER_CUBIC) for part in coarse
    ]
    y, x = np.mgrid[:side, :side].astype(np.float32)
    bent = cv2.remap(mask, x + field[0], y + field[1], cv2.INTER_LINEAR)
    return np.asarray(bent, np.float32)


def _changed(crop: Image, rng: np.random.Generator) -> Image:
    """Return a copy with other colours and another sharpness."""
    image = crop.astype(np.float32) + rng.uniform(-20, 20, 3).astype(np.float32)
    image = np.clip(image, 0, 255)
    hsv = cv2.cvtColor(image.astype(np.uint8), cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 0] = (hsv[..., 0] + rng.uniform(-6, 6)) % 180
    hsv[..., 1] *= 1 + rng.uniform(-0.3, 0.3)
    hsv[..., 2] *= 1 + rng.uniform(-0.2, 0.2)
    image = cv2.cvtColor(np.clip(hsv, 0, 255).astype(np.uint8), cv2.COLOR_HSV2RGB).astype(
        np.float32
    )
    contrast = 1 + rng.uniform(-0.1, 0.1)
    image = (image - image.mean()) * contrast + image.mean() + rng.uniform(-10, 10)
    if rng.random() < 0.5:
        side = len(crop)
        small = max(8, round(side / rng.uniform(1.5, 3)))
        ways = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
        way = ways[int(rng.integers(len(ways)))]
        image = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
        image = cv2.resize(image, (side, side), interpolation=way)
    else:
        soft = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.8, 2)))
        image = image + float(rng.uniform(0.2, 0.5)) * 2 * (image - soft)
    return np.asarray(np.clip(image, 0, 255), np.uint8)


def _moved(image: Image, mask: Floats, rng: np.random.Generator) -> tuple[Image, Floats]:
    """Shift and scale a picture a little, its mask with it."""
    side = len(mask)
    zoom = float(rng.uniform(0.95, 1 / 0.95))
    shift = rng.uniform((-0.03, -0.015), (0.03, 0.015)) * side
    middle = (side - 1) / 2
    matrix = np.array(
        [[zoom, 0, middle * (1 - zoom) + shift[0]], [0, zoom, middle * (1 - zoom) + shift[1]]]
    )
    moved = cv2.warpAffine(image, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)
    carried = cv2.warpAffine(mask, matrix, (side, side))
    return np.asarray(moved, np.uint8), np.asarray(carried, np.float32)
