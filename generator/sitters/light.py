"""Light, camera and background of a sitter's picture, drawn by seed."""

import dataclasses

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["Camera", "Lighting", "background", "draw_camera", "draw_lighting"]

FloatArray = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Camera:
    """A pinhole camera before the face. Lengths in interocular distances, the frame's side is 1."""

    distance: float  # from the eyes' midpoint
    scale: float  # interocular distance in frame sides, at the eyes' depth
    eyes_x: float  # where the resting eyes' midpoint is seen, in frame sides
    eyes_y: float

    def project(self, points: FloatArray, size: float) -> FloatArray:
        """Return pixel coordinates (pixel edges are integers) and 1/z of points [V, 3]."""
        near = np.float32(1.0) / (points[:, 2] + np.float32(self.distance))
        focal = np.float32(self.scale * self.distance * size)
        screen = np.empty_like(points)
        screen[:, 0] = points[:, 0] * near * focal + np.float32(self.eyes_x * size)
        screen[:, 1] = points[:, 1] * near * focal + np.float32(self.eyes_y * size)
        screen[:, 2] = near
        return screen


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Lighting:
    """Directional lights, the first with a shadow, and a sky and ground colour. Linear light."""

    lights: (
        FloatArray  # [L, 8] direction to the light, colour, softness in texels, mirror threshold
    )
    ambient: FloatArray  # [2, 3] sky, ground
    exposure: float
    name: str


def _warmth(kelvin: float) -> FloatArray:
    """Return the colour of a light, about 1 in green: red and blue shift with the temperature."""
    shift = (kelvin - 5500.0) / 5500.0
    return np.array([1.0 - 0.42 * shift, 1.0 - 0.05 * abs(shift), 1.0 + 0.55 * shift], np.float32)


def _toward(azimuth_degrees: float, elevation_degrees: float) -> FloatArray:
    azimuth, elevation = np.radians(azimuth_degrees), np.radians(elevation_degrees)
    return np.array(
        [
            np.sin(azimuth) * np.cos(elevation),
            -np.sin(elevation),
            -np.cos(azimuth) * np.cos(elevation),
        ],
        np.float32,
    )


def draw_lighting(rng: np.random.Generator) -> Lighting:
    """Draw one of a few usual set-ups with its variations."""
    name = str(
        rng.choice(
            ["window", "soft box", "overcast", "office", "evening"], p=[0.3, 0.3, 0.15, 0.15, 0.1]
        )
    )
    side = float(rng.choice([-1.0, 1.0]))
    key_azimuth, key_elevation = side * rng.uniform(22, 58), rng.uniform(18, 46)
    key, fill, rim, sky = {
        "window": (1.10, 0.14, 0.25, 0.26),
        "soft box": (0.92, 0.26, 0.40, 0.24),
        "overcast": (0.50, 0.12, 0.10, 0.52),
        "office": (0.66, 0.22, 0.10, 0.38),
        "evening": (1.05, 0.12, 0.50, 0.19),
    }[name]
    kelvin = {
        "window": rng.uniform(5600, 7000),
        "soft box": rng.uniform(4900, 5900),
        "overcast": rng.uniform(5800, 6800),
        "office": rng.uniform(4200, 5200),
        "evening": rng.uniform(3500, 4300),
    }[name]
    softness = {"window": 2.2, "soft box": 2.6, "overcast": 4.5, "office": 3.0, "evening": 1.8}[
        name
    ]
    rows = []
    for colour, azimuth, elevation, power, mirror in (
        (_warmth(kelvin), key_azimuth, key_elevation, key, 0.9935),
        (_warmth(kelvin + 700), -side * rng.uniform(30, 60), rng.uniform(0, 25), fill, 0.9975),
        (
            _warmth(kelvin + rng.uniform(-800, 900)),
            -side * rng.uniform(125, 155),
            rng.uniform(20, 45),
            rim,
            0.9995,
        ),
    ):
        rows.append([*_toward(azimuth, elevation), *(colour * power), softness, mirror])
    tint = _warmth(kelvin + rng.uniform(0, 1200))
    ambient = np.stack([tint * sky, _warmth(kelvin - 900) * sky * rng.uniform(0.35, 0.6)])
    return Lighting(
        np.array(rows, np.float32), ambient.astype(np.float32), float(rng.uniform(0.92, 1.08)), name
    )


def draw_camera(rng: np.random.Generator) -> Camera:
    """Draw a camera for a head-and-shoulders picture."""
    return Camera(
        distance=float(rng.uniform(12, 22)),
        scale=float(rng.uniform(0.158, 0.188)),
        eyes_x=float(0.5 + rng.normal(0, 0.012)),
        eyes_y=float(rng.uniform(0.40, 0.44)),
    )


def background(size: int, lighting: Lighting, rng: np.random.Generator) -> FloatArray:
    """Paint what lies behind.

    A studio gradient, a blurred room or distant lamps; [size, size, 3] linear light.
    """
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    kind = str(rng.choice(["studio", "room", "lamps", "outdoors"], p=[0.35, 0.35, 0.15, 0.15]))
    hue, chroma = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 0.18)
    tint = 1 + chroma * np.array([np.cos(hue), np.cos(hue - 2.1), np.cos(hue + 2.1)], np.float32)
    light = lighting.ambient.mean(0) / lighting.ambient.mean()
    level = rng.uniform(0.05, 0.42)
    image = np.empty((size, size, 3), np.float32)
    centre = rng.uniform(0.2, 0.8), rng.uniform(0.1, 0.6)
    glow = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * rng.uniform(0.3, 0.6) ** 2))
    image[:] = (level * (0.45 + 0.75 * glow))[..., None] * tint * light
    if kind == "room":
        for _ in range(int(rng.integers(5, 11))):
            left, top = rng.uniform(-0.3, 1.0), rng.uniform(-0.3, 0.9)
            width, height = rng.uniform(0.08, 0.5), rng.uniform(0.1, 0.9)
            hue = rng.uniform(0, 2 * np.pi)
            colour = level * rng.uniform(0.25, 2.2) * light
            colour = colour * (
                1 + 0.22 * np.array([np.cos(hue), np.cos(hue - 2.1), np.cos(hue + 2.1)])
            )
            box = (x > left) & (x < left + width) & (y > top) & (y < top + height)
            image[box] = 0.35 * image[box] + 0.65 * colour.astype(np.float32)
        image = cv2.GaussianBlur(image, (0, 0), size * float(rng.uniform(0.018, 0.035)))
    elif kind == "lamps":
        image *= 0.4
        for _ in range(int(rng.integers(10, 26))):
            px, py, radius = rng.uniform(0, 1), rng.uniform(0, 0.8), rng.uniform(0.02, 0.06)
            colour = rng.uniform(0.15, 0.9) * np.array(
                [1.0, rng.uniform(0.6, 0.95), rng.uniform(0.25, 0.9)]
            )
            distance = np.hypot(x - px, y - py) / radius
            disc = np.clip((1.06 - distance) * 12, 0, 1) * (
                0.55 + 0.45 * np.clip(distance, 0, 1) ** 3
            )
            image += (disc[..., None] * colour * 0.5).astype(np.float32)
        image = cv2.GaussianBlur(image, (0, 0), size * 0.006)
    elif kind == "outdoors":
        horizon = rng.uniform(0.45, 0.8)
        sky = np.array([0.5, 0.62, 0.8], np.float32) * rng.uniform(0.6, 1.2)
        ground = np.array([0.12, 0.17, 0.07], np.float32) * rng.uniform(0.6, 1.6)
        share = 1 / (1 + np.exp((y - horizon) * 18))
        image = sky * share[..., None] + ground * (1 - share[..., None])
        coarse = rng.uniform(0.35, 1.7, (14, 14)).astype(np.float32)
        leaves = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
        reach = np.clip((y - horizon + 0.45) * 3, 0, 1) * np.clip(leaves, 0.2, 2)
        image = image * (1 - 0.6 * np.clip(reach, 0, 1)[..., None]) + ground * (
            0.9 * reach[..., None]
        )
        image = cv2.GaussianBlur(image.astype(np.float32), (0, 0), size * 0.03)
    return np.asarray(image, np.float32)
