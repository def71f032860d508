"""Distortions of training crops: what happens to any picture on its way through the world.

Both classes get the same; the two of a twin pair get exactly the same, so that no distortion tells
them apart.
"""

import dataclasses
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Self

import av
import cv2
import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError

__all__ = ["AugmentConfig", "Distortion", "through_h264"]

Image = npt.NDArray[np.uint8]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AugmentConfig:
    """How often and how far crops are distorted, both classes alike."""

    often: float = 0.5  # probability of each of JPEG, blur, resizing
    jpeg_quality: tuple[int, int] = (40, 95)
    blur_px: tuple[float, float] = (0.3, 1.2)  # standard deviation of the Gaussian
    shrink: tuple[float, float] = (0.5, 0.9)  # scale of the detour through a smaller picture
    light: float = 0.15  # half-width of gain around 1, and of each colour's share of it
    shift: float = 0.05  # largest shift, in crop sides
    zoom: float = 0.08  # half-width of the scale around 1
    film: float = 0.3  # probability of a pass through H.264
    crf: tuple[int, int] = (23, 40)  # of that pass

    def __post_init__(self) -> None:
        """Refuse values that cannot be used."""
        for name in ("often", "light", "shift", "zoom", "film"):
            if not 0 <= getattr(self, name) < 1 + (name in ("often", "film")) * 1e-9:
                raise ConfigError(
                    f"augmentation's {name} is {getattr(self, name)}; it must be 0 to 1."
                )
        for name, floor, ceiling in (
            ("jpeg_quality", 1, 100),
            ("blur_px", 0.1, 10),
            ("shrink", 0.05, 1),
            ("crf", 0, 51),
        ):
            low, high = getattr(self, name)
            if not floor <= low <= high <= ceiling:
                raise ConfigError(
                    f"augmentation's {name} is {(low, high)}; "
                    f"it must rise and lie in {floor} to {ceiling}."
                )

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Build settings from `dataclasses.asdict`'s values, lists for tuples."""
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
        return cls(**fields)


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
    crf: int | None = None

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
            crf=int(rng.integers(config.crf[0], config.crf[1] + 1))
            if rng.random() < config.film
            else None,
        )

    def apply_all(self, crops: Image) -> Image:
        """Return distorted copies of crops `[N, S, S, 3] uint8 RGB` that follow one another."""
        found = np.stack([self._apply_still(crop) for crop in crops])
        return found if self.crf is None else through_h264(found, self.crf)

    def apply(self, crop: Image) -> Image:
        """Return a distorted copy of a crop `[S, S, 3] uint8 RGB`."""
        return np.asarray(self.apply_all(crop[None])[0], np.uint8)

    def _apply_still(self, crop: Image) -> Image:
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


def through_h264(frames: Image, crf: int) -> Image:
    """Return frames `[N, H, W, 3] uint8 RGB`, N of them, as an encoder of that quality leaves them.

    An odd side repeats its last row or column for the encoder's sake.
    """
    count, height, width = frames.shape[:3]
    even = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height = even.shape[2], even.shape[1]
    encoder.pix_fmt, encoder.time_base, encoder.thread_count = "yuv420p", Fraction(1, 25), 1
    encoder.options = {"crf": str(crf), "preset": "superfast", "tune": "zerolatency"}
    decoder: Any = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    packets = []
    for number, image in enumerate(even):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame.pts = number
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    decoded = [frame for packet in packets for frame in decoder.decode(packet)]
    decoded += decoder.decode(None)
    assert len(decoded) == count
    found = np.stack([frame.to_ndarray(format="rgb24") for frame in decoded])
    return np.ascontiguousarray(found[:, :height, :width], np.uint8)
