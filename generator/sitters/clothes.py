"""Clothes and glasses.

A shell over the chest with a neckline, its cloth, and frames before the eyes.
"""

import cv2
import numpy as np
import numpy.typing as npt

from obverse.generator.head import SKIN, HeadModel
from obverse.generator.sitters.scene import Garment, Layer, srgb_to_linear
from obverse.generator.sitters.surface import noise

__all__ = ["NECKLINES", "draw_cloth", "garment", "glasses"]

FloatArray = npt.NDArray[np.float32]
_SIZE = 640
_SPAN = 4.2  # interocular distances each way that the cloth's texture spans across
_DROP = 4.0  # and from the neckline down
NECKLINES = ("crew", "v", "scoop", "roll", "shirt", "jacket")
_COLOURS = (
    (38, 42, 52),
    (26, 26, 28),
    (222, 218, 210),
    (92, 34, 38),
    (44, 70, 98),
    (70, 84, 66),
    (128, 112, 92),
    (176, 150, 120),
    (54, 60, 66),
    (150, 62, 48),
    (196, 176, 84),
    (96, 120, 148),
    (112, 76, 100),
    (236, 236, 236),
)


def _neckline(points: FloatArray, kind: str) -> FloatArray:
    """Return how far below the neckline points lie, in about interocular distances.

    Negative is above.
    """
    x, y, z = points.T
    front = np.clip((1.9 - z) / 0.8, 0, 1)
    below = y + 0.55 * (z - 0.9) - 3.02
    if kind in ("v", "shirt", "jacket"):
        below = below - front * 0.85 * np.clip(1 - np.abs(x) / 0.72, 0, 1) + 0.1
    elif kind == "scoop":
        below = below - front * 0.62 * np.exp(-((x / 0.95) ** 2))
    elif kind == "roll":
        below = below + 0.72
    return np.asarray(below, np.float32)


def draw_cloth(kind: str, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Paint a cloth, [640, 640, 8] texels: columns run across, rows down from the neckline."""
    first, second = rng.permutation(len(_COLOURS))[:2]
    main, other = (
        np.array(_COLOURS[int(i)], np.float32) * float(rng.uniform(0.85, 1.1))
        for i in (first, second)
    )
    v, u = np.mgrid[:_SIZE, :_SIZE].astype(np.float32)
    x, down = (u / _SIZE * 2 - 1) * _SPAN, v / _SIZE * _DROP
    points = np.stack([x, down, np.zeros_like(x)], -1)
    seed = int(rng.integers(1 << 30))
    pattern = str(rng.choice(["plain", "melange", "stripes", "checks"], p=[0.5, 0.3, 0.1, 0.1]))
    colour = np.broadcast_to(main, (_SIZE, _SIZE, 3)).copy()
    if pattern == "stripes" and kind not in ("roll", "jacket"):
        colour[(down % 0.42) < 0.16] = 0.5 * main + 0.5 * other
    elif pattern == "checks" and kind in ("shirt", "crew"):
        for axis in (x, down):
            colour = np.where(
                ((axis + 100) % 0.5 < 0.2)[..., None], 0.65 * colour + 0.35 * other, colour
            )
    height = 0.035 * noise(points, (0.9, 0.55, 1), seed, 3) + 0.010 * noise(
        points, (2.6, 1.3, 1), seed + 3, 2
    )
    weave = (
        0.0022 * (np.sin(u * 1.6) + np.sin(v * 1.6)) if kind != "roll" else 0.012 * np.sin(u * 0.75)
    )
    height = height + weave
    if kind in ("crew", "v", "scoop"):
        band = np.clip((0.17 - down) / 0.02, 0, 1)
        height += band * (0.018 + 0.010 * np.sin(u * 1.25))
        colour *= (1 - 0.10 * band)[..., None]
    if kind == "shirt":
        collar = np.clip((0.42 - down + 0.18 * np.abs(x)) / 0.03, 0, 1) * (np.abs(x) < 1.3)
        height += 0.06 * cv2.GaussianBlur(collar.astype(np.float32), (0, 0), 2)
        placket = (np.abs(x) < 0.17).astype(np.float32)
        height += 0.012 * cv2.GaussianBlur(placket, (0, 0), 1.5)
        for at in np.arange(0.5, _DROP, 0.62):
            button = np.clip((0.055 - np.hypot(x, down - at)) / 0.012, 0, 1)
            colour = (
                colour * (1 - button[..., None])
                + np.array((225, 222, 214), np.float32) * button[..., None]
            )
    if kind == "jacket":
        shirt = np.array((228, 228, 226), np.float32)
        opening = np.clip(
            (0.10 + 0.42 * (1.7 - down) / 1.7 + 0.10 - np.abs(x) * 0.62) / 0.02, 0, 1
        ) * (down < 1.9)
        opening = cv2.GaussianBlur(opening.astype(np.float32), (0, 0), 1.0)
        lapel = np.clip(
            (0.42 + 0.42 * (1.7 - down) / 1.7 + 0.10 - np.abs(x) * 0.62) / 0.02, 0, 1
        ) * (down < 1.9)
        colour = main * np.ones_like(colour) * 0.75
        colour = colour * (1 - opening[..., None]) + shirt * opening[..., None]
        height += 0.08 * cv2.GaussianBlur((lapel - opening).astype(np.float32), (0, 0), 2.0)
    if pattern == "melange":
        colour *= (1 + 0.10 * noise(points, (30, 14, 1), seed + 7, 2))[..., None]
    step = 2 * _SPAN / _SIZE
    along, downward = (
        np.gradient(height, axis=1) / step,
        np.gradient(height, axis=0) / (_DROP / _SIZE),
    )
    texels = np.full((_SIZE, _SIZE, 8), 255, np.uint8)
    texels[..., :3] = np.clip(colour, 0, 255)
    # The front of the cloth faces -z: a slope along x or y leans the normal against it.
    texels[..., 3] = np.clip(128 - 100 * along, 0, 255)
    texels[..., 4] = np.clip(128 - 100 * downward, 0, 255)
    texels[..., 5] = 128
    texels[..., 6] = 50
    return texels


def garment(neutral: FloatArray, kind: str) -> Garment:
    """Return the garment's shell over a neutral head model."""
    model = HeadModel.load()
    # By the mean head, so that a neckline sits alike on every build.
    below = _neckline(model.vertices, kind)
    faces = model.triangles[model.parts == SKIN]
    faces = faces[(below[faces].max(1) > 0) & (model.vertices[faces][..., 1].mean(1) > 1.75)]
    members = np.unique(faces)
    number = np.zeros(len(neutral), np.int32)
    number[members] = np.arange(len(members))
    triangles = number[faces].astype(np.int32)
    lift = np.full(len(members), 0.055, np.float32)
    lift += {"roll": 0.05, "jacket": 0.06, "shirt": 0.04}.get(kind, 0.0)
    lift += 0.10 * np.clip(below[members] - 0.4, 0, 1)
    placed = model.vertices[members]
    uv = np.stack([placed[:, 0] / (2 * _SPAN) + 0.5, below[members] / _DROP], -1)
    return Garment(
        members.astype(np.int64),
        triangles,
        lift,
        below[members],
        np.clip(uv[triangles], 0, 0.999).astype(np.float32),
        np.ones((len(members), 3), np.float32),
    )


def glasses(neutral: FloatArray, rng: np.random.Generator) -> Layer:
    """Return a pair of glasses: two rims, a bridge, temples and faintly mirroring lenses."""
    model = HeadModel.load()
    marks = model.landmarks(neutral)
    front = float(min(marks[168, 2], marks[6, 2], marks[105, 2], marks[334, 2])) - 0.10
    nose = float(marks[6, 1])
    half_width, half_height = rng.uniform(0.38, 0.43), rng.uniform(0.27, 0.34)
    power = rng.uniform(2.2, 4.5)  # of a superellipse: round to square
    thick = rng.uniform(0.022, 0.045)
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    vertices: list[FloatArray] = []
    triangles: list[npt.NDArray[np.int32]] = []
    texture_u: list[FloatArray] = []
    count = 0

    def strip(inner: FloatArray, outer: FloatArray, closed: bool, u: float) -> None:
        nonlocal count
        length = len(inner)
        index = np.arange(length if closed else length - 1)
        after = (index + 1) % length
        vertices.append(np.concatenate([inner, outer]).astype(np.float32))
        faces = np.concatenate(
            [
                np.stack([index, after, after + length], -1),
                np.stack([index, after + length, index + length], -1),
            ]
        )
        triangles.append((faces + count).astype(np.int32))
        texture_u.append(np.full(len(faces), u, np.float32))
        count += 2 * length

    ear = float(np.abs(neutral[model.vertex_parts == SKIN][:, 0]).clip(0, 1.25).max())
    for side in (-1.0, 1.0):
        middle = np.array([side * 0.53, nose * 0.5 + 0.10, front])
        curve = np.stack(
            [
                np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** (2 / power) * half_width,
                np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** (2 / power) * half_height,
                0.10 * (np.cos(angle) * side > 0) * np.abs(np.cos(angle)) ** 2,
            ],
            -1,
        )
        size = np.array([1 + thick / half_width, 1 + thick / half_height, 1.0])
        strip(curve * np.array([0.02, 0.02, 1.0]) + middle, curve + middle, True, 0.75)
        strip(curve + middle, curve * size + middle, True, 0.25)
        hinge = middle + np.array([side * (half_width + thick * 0.4), -0.10, 0.10])
        back = np.array([side * (ear + 0.02), hinge[1] + 0.06, 1.15])
        way = np.linspace(0, 1, 10)[:, None]
        temple = hinge * (1 - way) + back * way
        temple[:, 0] = side * np.maximum(np.abs(temple[:, 0]), np.abs(hinge[0]))
        edge = np.array([0, 0.03, 0])
        strip(temple - edge, temple + edge, False, 0.25)
    bridge = np.linspace(-1, 1, 9)[:, None] * np.array([0.53 - half_width, 0, 0]) + [
        0,
        nose * 0.5 + 0.04,
        front - 0.01,
    ]
    bridge[:, 1] -= 0.03 * (1 - np.linspace(-1, 1, 9) ** 2)
    edge = np.array([0, 0.02, 0])
    strip(bridge - edge, bridge + edge, False, 0.25)
    colour = srgb_to_linear(
        np.array([(24, 22, 22), (70, 44, 28), (110, 108, 106), (30, 34, 52)])[rng.integers(4)]
    )
    texture = np.zeros((2, 4, 4), np.float32)
    texture[:, :2, :3], texture[:, :2, 3] = colour, 0.97
    texture[:, 2:, :3], texture[:, 2:, 3] = 0.55, 0.055
    placed = np.concatenate(vertices)
    u = np.concatenate(texture_u)
    uv = np.repeat(np.stack([u, np.full_like(u, 0.5)], -1)[:, None], 3, 1)
    alpha = np.array([[255, 255, 0, 0]] * 2, np.uint8)
    tint = np.ones((len(placed), 3), np.float32)
    return Layer(
        placed,
        np.concatenate(triangles),
        uv.astype(np.float32),
        texture,
        alpha,
        np.ones(len(placed), np.float32),
        np.full(3, 0.5, np.float32),
        tint,
        np.ones(len(placed), np.float32),
        0.0,
    )
