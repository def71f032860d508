"""Separates a person from the background of a still, softly along the hair.

A segmentation network (Google's selfie segmentation, Apache-2.0) draws a coarse matte. Where the
colours on both sides of its edge differ, they decide anew to which side a pixel belongs. A guided
filter with the picture as its guide (He, Sun and Tang 2013; coefficients computed small and
enlarged, He and Sun 2015) fits it to the edges.
"""

import functools
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from obverse.errors import InputError
from obverse.weights import onnx_session, weight_path

__all__ = ["guided_filter", "person_matte"]

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

INPUT_PX = 256
GUIDE_PX = 512  # longer side of the picture in which the filter's coefficients are computed
RADIUS_PX = 8  # of the filter's window, in that picture: about as far as the coarse matte is wrong
SMOOTHNESS = 1e-4  # variance of the guide below which the matte is averaged rather than fitted
# The network is shown the picture with its border continued, as shares of the sides: a head that
# the border touches is easily lost. Each view is (above, to each side, mirrored).
VIEWS = ((0.25, 0.12, False), (0.40, 0.20, False), (0.32, 0.16, True))
DOUBT = (0.25, 0.75)  # of the coarse matte: beyond, the network has made up its mind
SOLID = (0.08, 0.92)  # of the fitted matte: below and above, it is background and person
NEAR_PX = 7  # of the coarse edge, in the guide: here colours may decide
SIDES_PX = 9.0  # deviation of the window in which each side's colours are gathered
CLEAR = 3.0  # spreads by which the sides' colours must differ to count fully
HOLE = 0.02  # smaller holes in the person, as a share of it, are jewellery and mistakes
STRANGER = 0.1  # smaller patches, as a share of the largest, are passers-by and mistakes


@functools.cache
def _session() -> Any:
    return onnx_session(weight_path("obverse.faces", "matte.onnx"))


def _coarse(image: Image) -> Floats:
    """Return the network's matte [256, 256], the mean of several views."""
    size = (INPUT_PX, INPUT_PX)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    total = np.zeros(size, np.float32)
    for above, beside, mirrored in VIEWS:
        view = small[:, ::-1] if mirrored else small
        top, side = round(above * INPUT_PX), round(beside * INPUT_PX)
        padded = cv2.copyMakeBorder(view, top, 0, side, side, cv2.BORDER_REPLICATE)
        shown = cv2.resize(padded, size, interpolation=cv2.INTER_AREA)
        blob = shown.astype(np.float32).transpose(2, 0, 1)[None] / 255
        seen = np.asarray(_session().run(None, {"input": blob})[0][0, 0], np.float32)
        whole = cv2.resize(seen, (padded.shape[1], padded.shape[0]))
        part = whole[top:, side : side + INPUT_PX]
        total += part[:, ::-1] if mirrored else part
    matte = _stretched(total / np.float32(len(VIEWS)), DOUBT)
    count, patches, measures, _ = cv2.connectedComponentsWithStats((matte > 0.1).astype(np.uint8))
    if count > 2:  # the background and more than one patch
        areas = measures[1:, cv2.CC_STAT_AREA]
        strangers = 1 + np.flatnonzero(areas < STRANGER * areas.max())
        matte[np.isin(patches, strangers)] = 0
    count, patches, measures, _ = cv2.connectedComponentsWithStats((matte < 0.9).astype(np.uint8))
    for hole in range(1, count):
        x, y, width, height, area = measures[hole]
        inside = x > 0 and y > 0 and x + width < INPUT_PX and y + height < INPUT_PX
        if inside and area < HOLE * matte.sum():
            matte[patches == hole] = 1
    return matte


def _by_colour(guide: Floats, matte: Floats) -> Floats:
    """Return a coarse matte [h, w] with the doubtful band along its edge decided by colour.

    Each side's mean colour and spread are gathered nearby; where they differ by a few spreads, a
    pixel's share lies where its colour lies between them.
    """
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * NEAR_PX + 1,) * 2)
    person = cv2.erode((matte > 0.9).astype(np.float32), element)
    ground = cv2.erode((matte < 0.1).astype(np.float32), element)
    band = 1 - person - ground

    def gathered(side: Floats) -> tuple[Floats, Floats, Floats]:
        weight = cv2.GaussianBlur(side, (0, 0), SIDES_PX)
        sure = np.maximum(weight, 1e-4)[..., None]
        mean = cv2.GaussianBlur(guide * side[..., None], (0, 0), SIDES_PX) / sure
        square = cv2.GaussianBlur((guide * guide) * side[..., None], (0, 0), SIDES_PX) / sure
        return mean, (square - mean * mean).clip(0).sum(-1), np.clip(weight / 0.02, 0, 1)

    mean_p, spread_p, known_p = gathered(person)
    mean_g, spread_g, known_g = gathered(ground)
    apart = mean_p - mean_g
    square = (apart * apart).sum(-1)
    share = ((guide - mean_g) * apart).sum(-1) / np.maximum(square, 1e-6)
    clear = np.sqrt(square / np.maximum(spread_p + spread_g, 4e-4)) / CLEAR
    trust = band * known_p * known_g * np.clip(2 * clear - 1, 0, 1)
    trust = cv2.GaussianBlur(trust.astype(np.float32), (0, 0), 1.5)
    return np.asarray(matte + trust * (np.clip(share, 0, 1) - matte), np.float32)


def _stretched(matte: Floats, bounds: tuple[float, float]) -> Floats:
    low, high = bounds
    return np.asarray(np.clip((matte - low) / (high - low), 0, 1), np.float32)


def _resized(array: Floats, size: tuple[int, int]) -> Floats:
    smaller = size[0] * size[1] < array.shape[0] * array.shape[1]
    interpolation = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(array, size, interpolation=interpolation), np.float32)


def guided_filter(
    guide: Floats, values: Floats, radius_px: int, smoothness: float, full: Floats | None = None
) -> Floats:
    """Return `values [h, w]` as locally linear in the colours of `guide [h, w, 3]` in [0, 1].

    With `full`, the same picture at another size, the function is computed on `guide` and applied
    to `full`.
    """

    def mean(array: Floats) -> Floats:
        return np.asarray(
            cv2.boxFilter(array, -1, (2 * radius_px + 1,) * 2, borderType=cv2.BORDER_REFLECT),
            np.float32,
        )

    full = guide if full is None else full
    size = (full.shape[1], full.shape[0])
    guide_mean, values_mean = mean(guide), mean(values)
    products = np.stack([guide[..., i] * guide[..., j] for i, j in ((0, 0), (0, 1), (0, 2))], -1)
    others = np.stack([guide[..., i] * guide[..., j] for i, j in ((1, 1), (1, 2), (2, 2))], -1)
    rr, rg, rb = np.moveaxis(mean(products) - guide_mean * guide_mean[..., :1], -1, 0)
    gg, gb, bb = np.moveaxis(mean(others), -1, 0)
    green, blue = guide_mean[..., 1], guide_mean[..., 2]
    gg, gb, bb = gg - green * green, gb - green * blue, bb - blue * blue
    covariance = np.stack([rr, rg, rb, rg, gg, gb, rb, gb, bb], -1).reshape(*values.shape, 3, 3)
    covariance += np.float32(smoothness) * np.eye(3, dtype=np.float32)
    cross = mean(guide * values[..., None]) - guide_mean * values_mean[..., None]
    slope = np.linalg.solve(covariance, cross[..., None])[..., 0].astype(np.float32)
    offset = values_mean - (slope * guide_mean).sum(axis=-1)
    return np.asarray(
        (_resized(mean(slope), size) * full).sum(axis=-1) + _resized(mean(offset), size), np.float32
    )


def person_matte(image: Image) -> Floats:
    """Return how much of each pixel of `[H, W, 3] uint8 RGB` is person, `[H, W]` in [0, 1]."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise InputError(
            f"a picture must be [H, W, 3] uint8 RGB, not {list(image.shape)} {image.dtype}; "
            "convert it first."
        )
    height, width = image.shape[:2]
    shrink = min(1.0, GUIDE_PX / max(height, width))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    full = image.astype(np.float32) / np.float32(255)
    guide = full if shrink == 1 else _resized(full, size)
    coarse = _by_colour(guide, _resized(_coarse(image), size))
    fitted = guided_filter(guide, coarse, RADIUS_PX, SMOOTHNESS, full)
    return _stretched(fitted, SOLID)
