"""Hair.

The pack's base styles bound to a head and coloured, and the roots they paint on the scalp.
"""

import dataclasses
import functools

import cv2
import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from obverse.generator.head import HeadModel
from obverse.generator.sitters.pack import image, looks, shape_targets
from obverse.generator.sitters.scene import Layer, srgb_to_linear
from obverse.generator.sitters.skin import scalp_region
from obverse.generator.sitters.surface import TEXTURE_SHAPE, noise, positions, vertex_occlusion

__all__ = ["HAIR_COLOURS", "STYLES", "HairLook", "hair_layer", "scalp_roots"]

FloatArray = npt.NDArray[np.float32]

# Styles with a fringe over one eye, and the height above the brows that it is trimmed to.
_FRINGES = ("bob01", "bob02", "short03", "braid01")
_FRINGE_LINE = -0.52
HAIR_COLOURS: dict[str, tuple[int, int, int]] = {  # sRGB
    "black": (30, 25, 24),
    "dark brown": (52, 36, 27),
    "brown": (86, 58, 38),
    "light brown": (122, 88, 58),
    "auburn": (108, 52, 30),
    "blond": (184, 148, 98),
    "grey": (138, 134, 130),
    "white": (205, 202, 197),
}
# style -> how it is called in attributes
STYLES: dict[str, str] = {
    "short01": "short",
    "short02": "short",
    "short03": "short",
    "short04": "short",
    "afro01": "afro",
    "bob01": "bob",
    "bob02": "bob",
    "long01": "long",
    "ponytail01": "ponytail",
    "braid01": "braid",
    "buzz": "buzz",
    "receding": "receding",
    "bald": "bald",
}


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class HairLook:
    """One head's hair."""

    style: str  # of STYLES
    name: str  # of the colour
    colour: FloatArray  # [3] sRGB bytes
    seed: int

    @property
    def has_mesh(self) -> bool:
        """Return whether cards are drawn and not only roots."""
        return self.style not in ("buzz", "receding", "bald")


def _bound(style: str, neutral: FloatArray, offset: FloatArray, scale: float) -> FloatArray:
    """Return a style's vertices on an identity's neutral head."""
    pack = looks()
    base = shape_targets()[0]
    raw = neutral / scale + offset
    moved = (raw - base)[pack[f"hair_{style}_refs"]]
    placed = pack[f"hair_{style}_vertices"] + (
        moved * pack[f"hair_{style}_weights"][..., None]
    ).sum(1)
    placed = (placed - offset) * scale
    if style in _FRINGES:
        placed = _trimmed(placed)
    return np.asarray(placed, np.float32)


def _trimmed(placed: FloatArray) -> FloatArray:
    """Trim a fringe that hangs over an eye to above the brows, running down to the temples."""
    x, y, z = placed.T
    before = np.clip((0.55 - z) / 0.3, 0, 1)
    aside = np.clip((np.abs(x) - 0.80) / 0.38, 0, 1)
    aside = aside * aside * (3 - 2 * aside)
    kept = 0.10 + 0.90 * aside
    over = np.clip(y - _FRINGE_LINE, 0, None)
    trimmed = placed.copy()
    trimmed[:, 1] = y - before * over * (1 - kept)
    return trimmed


@functools.cache
def _roots(style: str) -> FloatArray:
    """Return [H, W] how far the scalp under a style is covered, from how near its cards lie on the
    mean head."""
    where, _ = positions()
    pack = looks()
    model = HeadModel.load()
    base = shape_targets()[0]
    moved = (model.vertices - base)[pack[f"hair_{style}_refs"]]
    cards = pack[f"hair_{style}_vertices"] + (moved * pack[f"hair_{style}_weights"][..., None]).sum(
        1
    )
    corners = cards[pack[f"hair_{style}_triangles"]]
    cloud = np.concatenate([cards, corners.mean(1), (corners[:, 0] + corners[:, 1]) / 2])
    coarse = where[::6, ::6]
    distance = cKDTree(cloud).query(coarse.reshape(-1, 3))[0].reshape(coarse.shape[:2])
    near = np.clip((0.17 - distance) / 0.11, 0, 1).astype(np.float32)
    rows, columns = TEXTURE_SHAPE
    full = cv2.resize(near, (columns, rows), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.GaussianBlur(full, (0, 0), 9) * scalp_region(), np.float32)


def scalp_roots(look: HairLook) -> FloatArray:
    """Return [H, W] how far hair covers the scalp's skin."""
    where, _ = positions()
    region = scalp_region()
    if look.style == "bald":
        return np.zeros(TEXTURE_SHAPE, np.float32)
    if look.has_mesh:
        return _roots(look.style)
    ragged = np.clip(
        region + 0.22 * noise(where, 9.0, look.seed, 2) * region * (1 - region) * 4, 0, 1
    )
    if look.style == "buzz":
        return np.asarray(0.80 * ragged, np.float32)
    # Receding: a crown of hair around the sides and the back.
    x, y, z = where[..., 0], where[..., 1], where[..., 2]
    sides = np.clip((np.abs(x) - 0.75) / 0.3, 0, 1) * np.clip((y + 1.35) / 0.35, 0, 1)
    back = np.clip((z - 1.75) / 0.4, 0, 1) * np.clip((y + 1.2) / 0.4, 0, 1)
    return np.asarray(0.82 * ragged * np.clip(sides + back, 0.06, 1), np.float32)


def _texture(look: HairLook) -> FloatArray:
    """Return a style's card texture in the sitter's colour, [h, w, 4] linear."""
    picture = image(f"hair_{look.style}_texture").astype(np.float32)
    alpha = picture[..., 3] / 255
    light = picture[..., :3].mean(-1)
    solid = alpha > 0.5
    # Colours under transparent texels are black: carry the opaque ones outwards.
    weight = cv2.GaussianBlur(solid.astype(np.float32), (0, 0), 3)
    around = cv2.GaussianBlur(light * solid, (0, 0), 3) / np.maximum(weight, 1e-3)
    light = np.where(solid, light, around)
    middle = float(np.median(light[solid]))
    strands = np.clip((light + 6) / (middle + 6), 0.25, 2.6)
    # The base textures hold their own broad shading: keep half of it, and all of the strands.
    broad = np.clip(cv2.GaussianBlur(strands, (0, 0), 14), 0.3, 2.5)
    strands = strands / broad * np.sqrt(broad)
    rng = np.random.default_rng([look.seed, 2])
    streak = cv2.GaussianBlur(rng.normal(0, 1, light.shape).astype(np.float32), (0, 0), 1.0) * 0.28
    texture = np.empty((*light.shape, 4), np.float32)
    colour = srgb_to_linear(look.colour)
    tip = np.clip(colour * 1.25 + 0.004, 0, 1)
    share = np.clip(
        0.5
        + 0.5 * cv2.GaussianBlur(rng.normal(0, 1, light.shape).astype(np.float32), (0, 0), 9) * 9,
        0,
        1,
    )
    mixed = colour * (1 - share[..., None]) + tip * share[..., None]
    texture[..., :3] = mixed * np.minimum(strands * (1 + streak), 1.9)[..., None] ** 1.15
    texture[..., 3] = alpha
    return texture


def hair_layer(look: HairLook, neutral: FloatArray, offset: FloatArray, scale: float) -> Layer:
    """Return the cards of a style on a head."""
    pack = looks()
    vertices = _bound(look.style, neutral, offset, scale)
    triangles = np.ascontiguousarray(pack[f"hair_{look.style}_triangles"])
    uv = np.ascontiguousarray(pack[f"hair_{look.style}_uv"])
    texture = _texture(look)
    alpha = np.clip(texture[..., 3] * 255, 0, 255).astype(np.uint8)
    model = HeadModel.load()
    # Depth inside the style: cards near the scalp see little sky.
    skin = neutral[(model.vertex_parts == 0) & (model.head_weight > 0.9)]
    out = vertices - np.array([0, 0.2, 0.9], np.float32)
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    own = (vertices, triangles, uv, alpha)
    head = (
        neutral,
        np.ascontiguousarray(model.triangles[model.parts == 0]),
        uv[:1],
        np.full((1, 1), 255, np.uint8),
    )
    sky = vertex_occlusion(vertices, out.astype(np.float32), [own, head], 24)
    depth = cKDTree(skin).query(vertices)[0]
    shade = (0.35 + 0.65 * sky) * np.clip(0.75 + 0.9 * depth, 0.7, 1.05)
    # Long hair hangs on the shoulders: it follows the head less the lower it hangs.
    weight = np.clip(1 - (vertices[:, 1] - 1.5) / 1.6, 0.12, 1).astype(np.float32)
    colour = srgb_to_linear(look.colour)
    # A clear highlight and one in the hair's colour; the kernel scales both with the texture's own
    # brightness.
    shine = (0.55 + 0.35 * colour / max(float(colour.max()), 1e-3)).astype(np.float32)
    gain = np.float32(0.9 if look.style == "afro01" else 2.4)
    tint = np.repeat(shade[:, None], 3, 1).astype(np.float32)
    # Cards fray at their borders instead of ending in a cut.
    edges = np.sort(
        np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    )
    unique, times = np.unique(edges, axis=0, return_counts=True)
    opacity = np.ones(len(vertices), np.float32)
    opacity[unique[times == 1]] = 0.3
    return Layer(
        vertices,
        triangles,
        uv,
        texture,
        alpha,
        weight,
        shine * gain * np.float32(1 / (1 + 2.2 * float(colour.max()))),
        tint,
        opacity,
        0.004,
    )
