"""Distortions of training crops: what happens to any picture on its way through the world.

Both classes get the same; the two of a twin pair get exactly the same, so that no distortion tells
them apart.
"""

import dataclasses
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError

__all__ = ["AugmentConfig", "Distortion"]

Image = npt.NDArray[np.uint8]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AugmentConfig:
    """How often and how far crops are distorted."""

    often: float = 0.5  # probability of each of JPEG, blur, resizing
    jpeg_quality: tuple[int, int] = (40, 95)
    blur_px: tuple[float, float] = (0.3, 1.2)  # standard deviation of the Gaussian
    shrink: tuple[float, float] = (0.5, 0.9)  # scale of the detour through a smaller picture
    light: float = 0.15  # half-width of gain around 1, and of each colour's share of it
    shift: float = 0.05  # largest shift, in crop sides
    zoom: float = 0.08  # half-width of the scale around 1

    def __post_init__(self) -> None:
        """Refuse values that cannot be used."""
        for name in ("often", "light", "shift", "zoom"):
            if not 0 <= getattr(self, name) < 1 + (name == "often") * 1e-9:
                raise ConfigError(
                    f"augmentation's {name} is {getattr(self, name)}; it must be 0 to 1."
                )
        for name, floor, ceiling in (
            ("jpeg_quality", 1, 100),
            ("blur_px", 0.1, 10),
            ("shrink", 0.05, 1),
        ):
            low, high = getattr(self, name)
            if not floor <= low <= high <= ceiling:
                raise ConfigError(
                    f"augmentation's {name} is {(low, high)}; "
                    f"it must rise and lie in {floor} to {ceiling}."
                )


@dataclasses.dataclass(frozen=True, slots=True)
class Distortion:
    """One draw of everything, to be applied to one crop or alike to several."""

    mirrored: bool
    zoom: float
    shift: tuple[float, float]  # crop sides
    gain: tuple[float, float, float]
    shrink: float | None
    blur_px: float | None
    jpeg_quality: int | None

    @classmethod
    def draw(cls, config: AugmentConfig, rng: np.random.Generator) -> Self:
        """Draw a distortion."""
        common = 1 + rng.uniform(-config.light, config.light)
        colours = 1 + rng.uniform(-config.light, config.light, 3) / 3
        red, green, blue = (float(common * colour) for colour in colours)
        x, y = (float(value) for value in rng.uniform(-config.shift, config.shift, 2))
        low, high = config.jpeg_quality
        return cls(
            mirrored=bool(rng.random() < 0.5),
            zoom=float(1 + rng.uniform(-config.zoom, config.zoom)),
            shift=(x, y),
            gain=(red, green, blue),
            shrink=float(rng.uniform(*config.shrink)) if rng.random() < config.often else None,
            blur_px=float(rng.uniform(*config.blur_px)) if rng.random() < config.often else None,
            jpeg_quality=int(rng.integers(low, high + 1)) if rng.random() < config.often else None,
        )

    def apply(self, crop: Image) -> Image:
        """Return a distorted copy of a crop `[S, S, 3] uint8 RGB`."""
        side = len(crop)
        middle = (side - 1) / 2
        sign = -1 if self.mirrored else 1
        matrix = np.array([[sign * self.zoom, 0.0, 0.0], [0.0, self.zoom, 0.0]])
        matrix[:, 2] = middle - matrix[:, :2] @ (middle, middle) + np.array(self.shift) * side
        image = cv2.warpAffine(
            crop, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        if self.shrink is not None:
            small = max(8, round(side * self.shrink))
            image = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
            image = cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR)
        if self.blur_px is not None:
            image = cv2.GaussianBlur(image, (0, 0), self.blur_px)
        image = np.clip(image * np.array(self.gain, np.float32), 0, 255).astype(np.uint8)
        if self.jpeg_quality is not None:
            # OpenCV encodes BGR; the crop is RGB.
            done, code = cv2.imencode(
                ".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, self.jpeg_quality]
            )
            assert done
            decoded = cv2.imdecode(code, cv2.IMREAD_COLOR)
            assert decoded is not None
            image = decoded[..., ::-1]
        return np.ascontiguousarray(image, np.uint8)
