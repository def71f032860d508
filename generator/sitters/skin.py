"""Skin painted by seed.

Base skins blended and tinted, with brows, lips, freckles, stubble, pores and lines.
"""

import dataclasses
import functools
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from obverse.generator.sitters.identity import ANCESTRIES, Identity
from obverse.generator.sitters.pack import image
from obverse.generator.sitters.surface import (
    TEXTURE_SHAPE,
    bumps,
    landmark_texels,
    noise,
    positions,
)

__all__ = ["SkinLook", "chest_colour", "paint_skin", "scalp_region"]

FloatArray = npt.NDArray[np.float32]
_NECK_FROM, _NECK_TO = (
    2.25,
    2.75,
)  # where the neck's painted colour passes into the chest's, mean head's y

# Landmarks along features, in the landmarker's numbering: the sitter's right side, then the left.
_BROWS = (
    ((55, 65, 52, 53, 46), (107, 66, 105, 63, 70)),
    ((285, 295, 282, 283, 276), (336, 296, 334, 293, 300)),
)
_LIPS_OUTER = (
    61,
    185,
    40,
    39,
    37,
    0,
    267,
    269,
    270,
    409,
    291,
    375,
    321,
    405,
    314,
    17,
    84,
    181,
    91,
    146,
)
_FOLDS = (
    (129, 203, 206, 216, 212),
    (358, 423, 426, 436, 432),
)  # from the nose past the mouth's corners
_BAGS = ((226, 31, 228, 229, 230, 231, 232, 233), (446, 261, 448, 449, 450, 451, 452, 453))
_BROW_ROWS = (
    (104, 69, 108, 151, 337, 299, 333),
    (103, 67, 109, 10, 338, 297, 332),
)  # over the brows, at the hair
_FROWN = ((9, 107), (9, 336))
_BEARD = (
    234,
    93,
    132,
    58,
    172,
    136,
    150,
    149,
    176,
    148,
    152,
    377,
    400,
    378,
    379,
    365,
    397,
    288,
    361,
    323,
    454,
    411,
    436,
    426,
    327,
    326,
    2,
    97,
    98,
    206,
    216,
    187,
)
_CROWS = ((33, 246, 130), (263, 466, 359))


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class SkinLook:
    """What is painted on a head."""

    identity: Identity
    tone: float  # multiplies the base skin's lightness, about 1
    redness: float  # 0 to 1
    freckles: float  # 0 to 1
    stubble: float  # 0 shaved smooth to 1 a short beard
    scalp: FloatArray  # [H, W] 0 skin to 1 hair to the roots
    hair: FloatArray  # [3] sRGB bytes
    brow_hair: FloatArray  # [3] sRGB bytes
    brow_density: float  # about 1
    brow_width: float  # about 1
    lips: float  # 0 bare to 1 painted
    lip_colour: FloatArray  # [3] sRGB bytes
    seed: int


def _resized(picture: FloatArray) -> FloatArray:
    rows, columns = TEXTURE_SHAPE
    return np.asarray(
        cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_CUBIC), np.float32
    )


def _base_skin(identity: Identity) -> FloatArray:
    """Blend the base skins by ancestry, sex and age.

    [H, W, 3] sRGB in [0, 255] at the texture's size.
    """
    age = float(np.clip((identity.years - 25) / 50, 0, 1))
    ages = {
        "young": max(0.0, 1 - 2 * age),
        "middleage": 1 - abs(2 * age - 1),
        "old": max(0.0, 2 * age - 1),
    }
    # One sex's skin: blends of both blur the painted beard's shadow.
    sex = "male" if identity.masculinity > 0.5 else "female"
    blend = np.zeros((*image("skin_young_asian_male").shape[:2], 3), np.float32)
    for share, ancestry in zip(identity.ancestry, ANCESTRIES, strict=True):
        for name, weight in ages.items():
            if share * weight > 0:
                blend += share * weight * image(f"skin_{name}_{ancestry}_{sex}")
    return _resized(blend)


@functools.cache
def scalp_region() -> FloatArray:
    """Return [H, W] about 1 where hair can grow, 0 on the face and neck, with a soft hairline."""
    where, _ = positions()
    x, y, z = where[..., 0], where[..., 1], where[..., 2]
    # Forehead: above a line that rises to the sides; behind the ears: down to the nape.
    front = (-0.86 + 0.20 * np.clip(np.abs(x) - 0.55, 0, 1) + 0.85 * np.clip(z - 0.25, 0, None)) - y
    nape = np.where(z > 1.35, 1.55 - y, -1.0)
    front = np.where(z > 1.35, np.maximum(front, nape), front)
    return np.asarray(np.clip(0.5 + front / 0.16, 0, 1), np.float32)


def _lines(curves: Sequence[FloatArray], width: float, strength: Sequence[float]) -> FloatArray:
    """Return [H, W] soft lines: each curve [N, 2] smoothed, fading out at its ends."""
    canvas = np.zeros(TEXTURE_SHAPE, np.float32)
    for curve, force in zip(curves, strength, strict=True):
        steps = np.linspace(0, len(curve) - 1, 24 * len(curve))
        degree = min(3, len(curve) - 1)
        fit = [
            np.polyval(np.polyfit(np.arange(len(curve)), curve[:, axis], degree), steps)
            for axis in (0, 1)
        ]
        fade = np.sin(np.pi * np.linspace(0.06, 0.94, len(steps))) ** 0.7 * force
        layer = np.zeros(TEXTURE_SHAPE, np.float32)
        points = np.round(np.stack(fit, -1) * 16).astype(np.int32)
        for first, second, value in zip(points[:-1], points[1:], fade[1:], strict=True):
            cv2.line(
                layer,
                tuple(map(int, first)),
                tuple(map(int, second)),
                float(value),
                2,
                cv2.LINE_AA,
                4,
            )
        canvas = np.maximum(canvas, layer)
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), width) * (width * 1.1), np.float32)


def _region(indices: Sequence[int], soft: float) -> FloatArray:
    canvas = np.zeros(TEXTURE_SHAPE, np.float32)
    points = np.round(landmark_texels()[list(indices)] * 16).astype(np.int32)
    cv2.fillPoly(canvas, [points.reshape(-1, 1, 2)], 1.0, cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), soft), np.float32)


@functools.cache
def _lip_region() -> FloatArray:
    return _region(_LIPS_OUTER, 2.4)


@functools.cache
def _beard_region() -> FloatArray:
    """Return [H, W] where a beard grows: jaw, chin, upper lip; not the lips."""
    where, _ = positions()
    jaw = _region(_BEARD, 9.0)
    # Under the chin and before the ear the polygon ends: go on by position.
    under = np.clip((where[..., 1] - 1.45) / 0.2, 0, 1) * np.clip(
        (2.15 - where[..., 1]) / 0.25, 0, 1
    )
    under *= np.clip((1.0 - where[..., 2]) / 0.3, 0, 1)
    region = np.maximum(jaw, under)
    return np.asarray(region * (1 - np.clip(_region(_LIPS_OUTER, 3.0) * 1.6, 0, 1)), np.float32)


def _brow_hairs(look: SkinLook, rng: np.random.Generator) -> FloatArray:
    """Draw brows hair by hair: [H, W] opacity."""
    scale = 2
    rows, columns = TEXTURE_SHAPE
    canvas = np.zeros((rows * scale, columns * scale), np.float32)
    marks = landmark_texels() * scale
    lift, arch = rng.normal(0, 0.18), rng.normal(0, 0.15)
    for low_ids, high_ids in _BROWS:
        low, high = marks[list(low_ids)], marks[list(high_ids)]
        knots = np.arange(5)
        low_fit = [np.polyfit(knots, low[:, axis], 3) for axis in (0, 1)]
        high_fit = [np.polyfit(knots, high[:, axis], 3) for axis in (0, 1)]
        for _ in range(int(430 * look.brow_density)):
            along = 4.1 * rng.beta(1.0, 1.15)
            bottom = np.array([np.polyval(fit, along) for fit in low_fit])
            top = np.array([np.polyval(fit, along) for fit in high_fit])
            across = top - bottom
            taper = np.clip(1.15 - (along / 4.1) ** 2.2, 0.16, 1) * look.brow_width
            middle = 0.48 + lift * 0.3 + arch * 0.3 * np.sin(along / 4 * np.pi)
            share = middle + (rng.random() - 0.5) * 0.66 * taper
            start = bottom + across * share
            ahead = np.array([np.polyval(fit, along + 0.3) for fit in low_fit]) - bottom
            ahead /= np.linalg.norm(ahead)
            upward = across / np.linalg.norm(across)
            # Hairs stand up at the nose, lie along the brow further out and turn down in its upper
            # half.
            rise = np.clip(1.25 - along * 0.42, -0.25, 1.2) - (share - middle) * 0.9
            direction = ahead + rise * upward + rng.normal(0, 0.12, 2)
            direction /= np.linalg.norm(direction)
            length = rng.uniform(9, 17) * scale * 0.62
            end = start + direction * length
            bend = start + direction * length * 0.5 + ahead * length * 0.08
            points = np.round(np.stack([start, bend, end]) * 16).astype(np.int32)
            layer_value = float(rng.uniform(0.45, 0.9))
            cv2.polylines(canvas, [points.reshape(-1, 1, 2)], False, layer_value, 1, cv2.LINE_AA, 4)
    drawn = cv2.resize(canvas, (columns, rows), interpolation=cv2.INTER_AREA)
    under = cv2.GaussianBlur(drawn, (0, 0), 3.5) * 0.75
    return np.asarray(np.clip(drawn * 1.05 + under * (1 - drawn), 0, 0.93), np.float32)


def _age_lines(look: SkinLook, rng: np.random.Generator) -> FloatArray:
    """Return [H, W] relief of lines in about [0, 1], deeper with age."""
    age = float(np.clip((look.identity.years - 27) / 45, 0, 1))
    marks = landmark_texels()
    folds = [marks[list(ids)] for ids in _FOLDS]
    total = _lines(folds, 4.5, [0.35 + 0.75 * age] * 2)
    total += _lines([marks[list(ids)] for ids in _BAGS], 4.0, [0.22 + 0.6 * age] * 2)
    low, high = (marks[list(ids)] for ids in _BROW_ROWS)
    rows, forces = [], []
    for index in range(4):
        share = 0.1 + 0.23 * index + rng.normal(0, 0.03)
        rows.append(low + (high - low) * share + rng.normal(0, 1.6, low.shape).astype(np.float32))
        forces.append(max(0.0, age - 0.15) * rng.uniform(0.3, 0.8))
    total += _lines(rows, 2.6, forces)
    frown = [
        np.stack(
            [
                marks[a] * 0.35 + marks[b] * 0.65,
                marks[a] * 0.5 + marks[b] * 0.5 + (marks[151] - marks[9]) * 0.5,
            ]
        )
        for a, b in _FROWN
    ]
    total += _lines(frown, 2.8, [0.6 * age] * 2)
    crows, forces = [], []
    for corner, near, outer in _CROWS:
        away = marks[outer] - marks[near]
        away = away / max(float(np.linalg.norm(away)), 1e-3)
        across = np.array([-away[1], away[0]], np.float32)
        for spread in (-0.55, -0.15, 0.3):
            start = marks[corner] + away * 16 + across * spread * 22
            crows.append(
                np.stack(
                    [
                        start,
                        start + (away + across * spread) * 20,
                        start + (away + across * spread * 1.3) * 42,
                    ]
                )
            )
            forces.append(0.55 * max(0.0, age - 0.05))
    total += _lines(crows, 2.2, forces)
    return np.asarray(total, np.float32)


def chest_colour(texels: npt.NDArray[np.uint8]) -> FloatArray:
    """Return the sRGB colour [3] at the neck's lower border of a painted head."""
    where, hit = positions()
    band = hit & (where[..., 1] > _NECK_TO)
    return np.asarray(np.median(texels[band][:, :3], axis=0), np.float32)


def paint_skin(look: SkinLook) -> npt.NDArray[np.uint8]:
    """Return the head's texels [H, W, 8] uint8: colour, bump, gloss and occlusion."""
    where, hit = positions()
    rng = np.random.default_rng([look.seed, 7])
    identity = look.identity
    masculine = identity.masculinity > 0.5
    colour = _base_skin(identity)
    # The painted scalp of the base skin gives way to plain skin, then the sitter's own hair roots
    # are painted.
    forehead = landmark_texels()[[151, 108, 337]].astype(int)
    plain = np.mean(
        [colour[y - 12 : y + 12, x - 12 : x + 12].mean((0, 1)) for x, y in forehead], axis=0
    )
    detail = colour - cv2.GaussianBlur(colour, (0, 0), 14)
    scalp = scalp_region()[..., None]
    colour = colour * (1 - scalp) + (plain * 0.97 + 0.25 * detail) * scalp
    # Neck: towards one colour at the border with the chest.
    border = hit & (where[..., 1] > _NECK_FROM)
    neck = np.median(colour[border], axis=0)
    share = np.clip((where[..., 1] - _NECK_FROM) / (_NECK_TO - _NECK_FROM), 0, 1)[..., None]
    colour = colour * (1 - share) + neck * share
    dark = float(np.clip(1 - plain.mean() / 190, 0, 0.8))
    colour *= look.tone
    # Mottling: blood nearer to the surface on cheeks, nose and ears.
    blotch = noise(where, 2.6, look.seed, 3)
    marks = landmark_texels()
    flush = np.zeros(TEXTURE_SHAPE, np.float32)
    for index, size, force in ((50, 55, 1.0), (280, 55, 1.0), (4, 26, 0.9), (152, 34, 0.35)):
        column, row = marks[index]
        grid_y, grid_x = np.ogrid[: TEXTURE_SHAPE[0], : TEXTURE_SHAPE[1]]
        flush += force * np.exp(-((grid_x - column) ** 2 + (grid_y - row) ** 2) / (2 * size**2))
    warm = (look.redness * flush * (1 - 0.6 * dark) + 0.25 * blotch) * (1 - share[..., 0])
    colour *= 1 + warm[..., None] * np.array((0.035, -0.055, -0.05), np.float32)
    grain = noise(where, 26.0, look.seed + 1, 2)
    fine = noise(where, 90.0, look.seed + 2, 2)
    colour *= (1 + 0.022 * grain + 0.03 * fine)[..., None]
    # Freckles and a few moles.
    spots = np.clip(noise(where, 15.0, look.seed + 4) - 0.55, 0, 1) * 2.2
    spots += 0.7 * np.clip(noise(where, 30.0, look.seed + 5) - 0.6, 0, 1) * 2.2
    zone = np.exp(-(((where[..., 1] - 0.45) / 0.75) ** 2)) * np.clip(0.6 - where[..., 2], 0, 1)
    speckle = np.clip(spots * zone * look.freckles, 0, 0.75)[..., None]
    colour *= 1 - speckle * np.array((0.30, 0.46, 0.55), np.float32)
    for _ in range(int(rng.integers(0, 5))):
        row, column = int(rng.integers(300, 1100)), int(rng.integers(250, 560))
        radius = float(rng.uniform(1.5, 3.2))
        patch = np.zeros(TEXTURE_SHAPE, np.float32)
        cv2.circle(patch, (column, row), max(1, round(radius)), 0.7, -1, cv2.LINE_AA)
        colour *= 1 - cv2.GaussianBlur(patch, (0, 0), 1.0)[..., None] * np.array(
            (0.4, 0.5, 0.5), np.float32
        )
    # Lips.
    lips = np.clip(_lip_region() * 1.15, 0, 1)
    natural = colour * np.array((0.97, 0.80, 0.80), np.float32)
    painted = 0.35 * colour + 0.65 * look.lip_colour
    creases = 1 + 0.08 * noise(where, (46.0, 9.0, 9.0), look.seed + 6, 2)
    mouth = (natural * (1 - look.lips) + painted * look.lips) * creases[..., None]
    lip_share = (lips * (0.75 + 0.25 * look.lips))[..., None]
    colour = colour * (1 - lip_share) + mouth * lip_share
    # Lines, and shade under the eyes.
    lines = _age_lines(look, rng)
    colour *= 1 - np.clip(lines, 0, 1.5)[..., None] * np.array((0.10, 0.15, 0.16), np.float32)
    # Beard shadow, then hairs.
    beard = _beard_region() * look.stubble
    if masculine and look.stubble > 0:
        density = np.clip(noise(where, (95.0, 60.0, 95.0), look.seed + 8, 2) * 0.9 + 0.45, 0, 1)
        shade = np.clip(beard * (0.16 + 0.75 * density * beard), 0, 0.85)[..., None]
        colour = colour * (1 - shade) + (0.75 * look.hair + 0.25 * colour * 0.6) * shade
    brow = _brow_hairs(look, rng)[..., None]
    colour = colour * (1 - brow) + look.brow_hair * brow
    # Hair roots under a style: streaks that hide the skin.
    roots = np.clip(look.scalp * (1.0 + 0.35 * fine), 0, 1)
    roots = (roots * (0.80 + 0.18 * noise(where, 40.0, look.seed + 9, 2)))[..., None]
    roots = np.clip(roots, 0, 0.97)
    colour = colour * (1 - roots) + look.hair * (0.8 + 0.3 * grain[..., None]) * roots
    age = float(np.clip((identity.years - 30) / 40, 0, 1))
    height = 0.00055 * grain + 0.00042 * fine - 0.0030 * lines
    height -= 0.0009 * np.abs(noise(where, 17.0, look.seed + 10, 3)) * (0.35 + 0.9 * age)
    height += 0.0016 * lips * noise(where, (40.0, 8.0, 8.0), look.seed + 11, 2)
    height += 0.0018 * brow[..., 0] + 0.001 * beard * fine
    texels = np.full((*TEXTURE_SHAPE, 8), 255, np.uint8)
    texels[..., :3] = np.clip(colour, 0, 255)
    texels[..., 3:6] = np.clip(bumps(cv2.GaussianBlur(height, (0, 0), 0.7)) * 100 + 128, 0, 255)
    nose = (
        np.exp(-(((where[..., 0]) / 0.42) ** 2))
        * np.clip(0.9 - where[..., 1], 0, 1)
        * np.clip(-where[..., 2] + 0.3, 0, 1)
    )
    gloss = (
        0.36
        + 0.26 * np.clip(nose, 0, 1)
        + 0.34 * lips
        + 0.10 * fine
        - 0.25 * np.clip(beard, 0, 1)
        - 0.3 * roots[..., 0]
    )
    texels[..., 6] = np.clip(gloss * 255, 0, 255)
    return texels
