"""What is done to a picture or a sound before a detector gets it: pure functions with a strength.

A frame step changes one picture and draws what it needs from the generator that it is given. A
sound step changes mono samples. Each says in its fields what it does; `FRAME_STEPS` and
`SOUND_STEPS` are the names under which a grid (see `obverse.eval.conditions`) calls them.

The seven distortions of DeeperForensics-1.0 (Jiang, Li, Wu, Qian and Loy, CVPR 2020, arXiv
2001.03024; github.com/EndlessSora/DeeperForensics-1.0) follow its definitions: `saturation`,
`contrast`, `blocks`, `noise`, `blur`, `pixelate` (which it calls JPEG) and H.264 (see
`obverse.eval.encoders`). Where its code lets a value of 8 bits overflow, here it is clipped.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import ClassVar, Protocol

import cv2
import numpy as np
import numpy.typing as npt
import scipy.signal

from obverse.errors import ConfigError

__all__ = [
    "FRAME_STEPS",
    "SOUND_STEPS",
    "FrameStep",
    "SoundStep",
    "require",
]

Image = npt.NDArray[np.uint8]
Samples = npt.NDArray[np.float32]

# ITU-R BT.601, the luma and chroma of OpenCV's YCrCb, which DeeperForensics works in.
_KR, _KB = 0.299, 0.114
_KG = 1 - _KR - _KB
_BLOCK_PX = 8
_BLOCK_GREY = 128
_BLOCK_UNIT_PX = 256  # DeeperForensics' count of blocks is for each whole 256 px of the short side
# Noise is added to luma squeezed into 16 to 235 of 255 and chroma into 16 to 240, then divided by
# 255: one unit of it is so many grey levels.
_LUMA_NOISE_LEVELS = 255 * 255 / 219
_CHROMA_NOISE_LEVELS = 255 * 255 / 224
_STRIPE_CYCLES = 0.46  # of a display's stripes, a camera's pixel


class FrameStep(Protocol):
    """Changes a picture."""

    # Each point stays where it was, up to the picture's size, so that a face can be cut out where
    # it was found before the change.
    keeps_place: ClassVar[bool]

    def apply(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the picture `[H, W, 3] uint8 RGB` changed; the input is not touched."""
        ...


class SoundStep(Protocol):
    """Changes a sound."""

    def apply(self, samples: Samples, rate_hz: int, rng: np.random.Generator) -> Samples:
        """Return mono samples `[N] float32` in [-1, 1] changed; the input is not touched."""
        ...


def require(step: object, name: str, fine: bool, allowed: str) -> None:
    """Refuse a value of a step.

    Raises:
        ConfigError: it is not fine.
    """
    if not fine:
        what = type(step).__name__.lower()
        raise ConfigError(f"{name} of {what} is {getattr(step, name)!r}; it must be {allowed}.")


def _byte(values: npt.NDArray[np.float32]) -> Image:
    """Return values as bytes, cut off below as DeeperForensics cuts them."""
    return np.clip(values, 0, 255).astype(np.uint8)


def _from_chroma(
    luma: npt.NDArray[np.float32], blue: npt.NDArray[np.float32], red: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Return RGB `[H, W, 3]` of luma and the differences B - Y and R - Y."""
    r, b = luma + red, luma + blue
    g = luma - (_KR * red + _KB * blue) / _KG
    return np.stack([r, g, b], axis=-1)


@dataclasses.dataclass(frozen=True, slots=True)
class Saturation:
    """Scale the colour differences (DeeperForensics: CS)."""

    keeps_place: ClassVar[bool] = True

    factor: float  # 1 leaves the picture, 0 makes it grey

    def __post_init__(self) -> None:
        """Refuse a factor that is out of range."""
        require(self, "factor", 0 <= self.factor <= 4, "0 to 4")

    def apply(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the picture with its colours nearer to grey."""
        del rng
        if self.factor == 1:
            return image.copy()
        values = image.astype(np.float32)
        luma = values @ np.array([_KR, _KG, _KB], np.float32)
        grey = luma[..., None]
        return _byte(grey + np.float32(self.factor) * (values - grey) + np.float32(1e-3))


@dataclasses.dataclass(frozen=True, slots=True)
class Contrast:
    """Scale every value (DeeperForensics: CC); it darkens, for black stays black."""

    keeps_place: ClassVar[bool] = True

    factor: float

    def __post_init__(self) -> None:
        """Refuse a factor that is out of range."""
        require(self, "factor", 0 <= self.factor <= 4, "0 to 4")

    def apply(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the picture scaled."""
        del rng
        return _byte(image.astype(np.float32) * np.float32(self.factor))


@dataclasses.dataclass(frozen=True, slots=True)
class Blocks:
    """Put grey squares of 8 px at random places, anew in each frame (DeeperForensics: BW)."""

    keeps_place: ClassVar[bool] = True

    count: int  # for each whole 256 px of the short side

    def __post_init__(self) -> None:
        """Refuse a count that is out of range."""
        require(self, "count", 0 <= self.count <= 10_000, "0 to 10000")

    def apply(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the picture with squares on it; one below 256 px gets none."""
        height, width = image.shape[:2]
        out = image.copy()
        for _ in range(min(height, width) // _BLOCK_UNIT_PX * self.count):
            x = int(rng.integers(0, width - _BLOCK_PX))
            y = int(rng.integers(0, height - _BLOCK_PX))
            out[y : y + _BLOCK_PX, x : x + _BLOCK_PX] = _BLOCK_GREY
        return out


@dataclasses.dataclass(frozen=True, slots=True)
class Noise:
    """Add white Gaussian noise to luma and both colour differences (DeeperForensics: GNC)."""

    keeps_place: ClassVar[bool] = True

    variance: float  # of a scale on which 255 is 1

    def __post_init__(self) -> None:
        """Refuse a variance that is out of range."""
        require(self, "variance", 0 <= self.variance <= 1, "0 to 1")

    def apply(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the picture with noise."""
        if self.variance == 0:
            return image.copy()
        spread = math.sqrt(self.variance)
        drawn = rng.standard_normal((3, *image.shape[:2]), np.float32)
        luma = drawn[0] * np.float32(spread * _LUMA_NOISE_LEVELS)
        # OpenCV's Cb is .564 (B - Y) and its Cr .713 (R - Y).
        blue = drawn[1] * np.float32(spread * _CHROMA_NOISE_LEVELS / 0.564)
        red = drawn[2] * np.float32(spread * _CHROMA_NOISE_LEVELS / 0.713)
        return _byte(image + _from_chroma(luma, blue, red))


@dataclasses.dataclass(frozen=True, slots=True)
class Blur:
    """Blur with a Gaussian (DeeperForensics: GB)."""

    keeps_place: ClassVar[bool] = True

    kernel: int  # px, odd
    sigma: float | None = None  # px; None takes a sixth of the kernel, as DeeperForensics does

    def __post_init__(self) -> None:
        """Refuse a kernel that is even or out of range."""
        require(self, "kernel", 1 <= self.kernel <= 255 and self.kernel % 2 == 1, "odd, 1 to 255")
        require(self, "sigma", self.sigma is None or 0 < self.sigma <= 64, "above 0, at most 64")

    def apply(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the picture blurred."""
        del rng
        sigma = self.kernel / 6 if self.sigma is None else self.sigma
        return np.asarray(cv2.GaussianBlur(image, (self.kernel,) * 2, sigma), np.uint8)


@dataclasses.dataclass(frozen=True, slots=True)
class Pixelate:
    """Shrink by a whole factor and enlarge again, both bilinear (DeeperForensics: JPEG)."""

    keeps_place: ClassVar[bool] = True

    factor: int

    def __post_init__(self) -> None:
        """Refuse a factor that is out of range."""
        require(self, "factor", 1 <= self.factor <= 64, "1 to 64")

    def apply(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the picture without what is fine."""
        del rng
        height, width = image.shape[:2]
        size = (max(1, width // self.factor), max(1, height // self.factor))
        return np.asarray(cv2.resize(cv2.resize(image, size), (width, height)), np.uint8)


@dataclasses.dataclass(frozen=True, slots=True)
class Jpeg:
    """Encode each frame as JPEG."""

    keeps_place: ClassVar[bool] = True

    quality: int  # of libjpeg, 1 to 100

    def __post_init__(self) -> None:
        """Refuse a quality that is out of range."""
        require(self, "quality", 1 <= self.quality <= 100, "1 to 100")

    def apply(self, image: Image, rng: np.random.Generator) -> Image:
        """Return what comes back."""
        del rng
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        _, packed = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, self.quality])
        return np.asarray(
            cv2.cvtColor(cv2.imdecode(packed, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), np.uint8
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Resize:
    """Make the picture smaller or larger, and leave it so."""

    keeps_place: ClassVar[bool] = True

    factor: float

    def __post_init__(self) -> None:
        """Refuse a factor that is out of range."""
        require(self, "factor", 0.02 <= self.factor <= 4, "0.02 to 4")

    def apply(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the picture at another size."""
        del rng
        return resized(image, self.factor)


_INTERPOLATIONS = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Lowres:
    """Make the short side so long, and enlarge again to the picture's size."""

    keeps_place: ClassVar[bool] = True

    short_px: int
    how: str = "linear"  # nearest, linear, cubic, area or lanczos, both ways

    def __post_init__(self) -> None:
        """Refuse a side or an interpolation that is none."""
        require(self, "short_px", 1 <= self.short_px <= 8192, "1 to 8192")
        require(self, "how", self.how in _INTERPOLATIONS, ", ".join(_INTERPOLATIONS))

    def apply(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the picture at its own size, with what is left; a smaller one as it is."""
        del rng
        height, width = image.shape[:2]
        factor = self.short_px / min(height, width)
        if factor >= 1:
            return image.copy()
        how = _INTERPOLATIONS[self.how]
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        small = cv2.resize(image, size, interpolation=how)
        return np.asarray(cv2.resize(small, (width, height), interpolation=how), np.uint8)


@dataclasses.dataclass(frozen=True, slots=True)
class Grain:
    """Add white Gaussian noise to red, green and blue alike."""

    keeps_place: ClassVar[bool] = True

    sigma: float  # of a scale on which 255 is 1

    def __post_init__(self) -> None:
        """Refuse a deviation that is out of range."""
        require(self, "sigma", 0 <= self.sigma <= 1, "0 to 1")

    def apply(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the picture with noise."""
        if self.sigma == 0:
            return image.copy()
        drawn = rng.standard_normal(image.shape, np.float32) * np.float32(255 * self.sigma)
        return _byte(np.rint(image + drawn))


@dataclasses.dataclass(frozen=True, slots=True)
class Filmed:
    """Film the picture off a display with a hand-held camera.

    A model, not a measurement: stripes of red, green and blue nearly as fine as the camera's
    pixels (whence moiré), a view from aside, raised blacks, a soft lens, a hand that trembles and a
    sensor's noise, all in proportion to the strength.
    """

    keeps_place: ClassVar[bool] = False  # it is seen from aside, by a hand that trembles

    strength: float  # 0 leaves the picture, 1 is a poor recording

    def __post_init__(self) -> None:
        """Refuse a strength that is out of range."""
        require(self, "strength", 0 <= self.strength <= 1, "0 to 1")

    def apply(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the picture as it was filmed, of its own size."""
        if self.strength == 0:
            return image.copy()
        height, width = image.shape[:2]
        power = np.float32(self.strength)
        columns = np.arange(width, dtype=np.float32)[:, None]
        phases = np.array([0, 1 / 3, 2 / 3], np.float32)
        stripes = 1 + 0.25 * power * np.sin(2 * np.pi * (_STRIPE_CYCLES * columns + phases))
        shown = image.astype(np.float32) * stripes[None]
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        aside = np.array([[0.02, 0.01], [-0.01, 0.03], [-0.02, -0.02], [0.01, -0.01]], np.float32)
        trembling = rng.normal(0, 0.4, 2).astype(np.float32)
        seen = corners + power * (aside * np.float32(min(width, height)) + trembling)
        matrix = cv2.getPerspectiveTransform(seen.astype(np.float32), corners)
        out = cv2.warpPerspective(
            shown, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        out = cv2.GaussianBlur(out, (0, 0), 0.2 + 0.6 * self.strength)
        out = 255 * 0.08 * power + out * (1 - 0.12 * power)
        noise = rng.standard_normal(image.shape, np.float32) * 4 * power
        return _byte(np.rint(out + noise))


@dataclasses.dataclass(frozen=True, slots=True)
class Gamma:
    """Raise every value to a power."""

    keeps_place: ClassVar[bool] = True

    power: float

    def __post_init__(self) -> None:
        """Refuse a power that is out of range."""
        require(self, "power", 0.1 <= self.power <= 10, "0.1 to 10")

    def apply(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the picture lighter (below 1) or darker."""
        del rng
        table = np.rint(255 * (np.arange(256) / 255) ** self.power).astype(np.uint8)
        return table[image]


def resized(image: Image, factor: float) -> Image:
    """Return a picture at another size: averaged when smaller, cubic when larger."""
    if factor == 1:
        return image.copy()
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)


@dataclasses.dataclass(frozen=True, slots=True)
class Gain:
    """Make the sound louder or quieter."""

    db: float

    def __post_init__(self) -> None:
        """Refuse a gain that is out of range."""
        require(self, "db", -90 <= self.db <= 40, "-90 to 40")

    def apply(self, samples: Samples, rate_hz: int, rng: np.random.Generator) -> Samples:
        """Return the sound, cut off where it is too loud."""
        del rate_hz, rng
        louder = samples * np.float32(10 ** (self.db / 20))
        return np.asarray(np.clip(louder, -1, 1), np.float32)


@dataclasses.dataclass(frozen=True, slots=True)
class Hiss:
    """Add white noise so many decibels below the sound's own level (RMS over the film)."""

    snr_db: float

    def __post_init__(self) -> None:
        """Refuse a ratio that is out of range."""
        require(self, "snr_db", -20 <= self.snr_db <= 90, "-20 to 90")

    def apply(self, samples: Samples, rate_hz: int, rng: np.random.Generator) -> Samples:
        """Return the sound in noise."""
        del rate_hz
        level = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0
        noise = rng.standard_normal(len(samples), np.float32)
        return np.clip(samples + noise * np.float32(level * 10 ** (-self.snr_db / 20)), -1, 1)


@dataclasses.dataclass(frozen=True, slots=True)
class Band:
    """Keep a band of frequencies: 300 to 3400 Hz is the telephone's (ITU-T G.712)."""

    low_hz: float
    high_hz: float

    def __post_init__(self) -> None:
        """Refuse a band that is none."""
        require(self, "low_hz", 0 <= self.low_hz < self.high_hz, "at least 0 and below high_hz")
        require(self, "high_hz", 100 <= self.high_hz <= 24_000, "100 to 24000")

    def apply(self, samples: Samples, rate_hz: int, rng: np.random.Generator) -> Samples:
        """Return what of the sound lies in the band (Butterworth, order 8, both ways)."""
        del rng
        half = rate_hz / 2
        if len(samples) < 64:
            return samples.copy()
        out = np.asarray(samples, np.float64)
        if self.high_hz < half:
            sections = scipy.signal.butter(8, self.high_hz / half, output="sos")
            out = scipy.signal.sosfiltfilt(sections, out)
        if self.low_hz > 0:
            sections = scipy.signal.butter(4, self.low_hz / half, "highpass", output="sos")
            out = scipy.signal.sosfiltfilt(sections, out)
        return np.clip(out, -1, 1).astype(np.float32)


@dataclasses.dataclass(frozen=True, slots=True)
class Shift:
    """Let the sound come later, or earlier where it is negative."""

    seconds: float

    def __post_init__(self) -> None:
        """Refuse a shift that is out of range."""
        require(self, "seconds", -10 <= self.seconds <= 10, "-10 to 10")

    def apply(self, samples: Samples, rate_hz: int, rng: np.random.Generator) -> Samples:
        """Return as many samples, silence where there are none."""
        del rng
        count = round(self.seconds * rate_hz)
        out = np.zeros_like(samples)
        if count >= 0:
            out[count:] = samples[: max(0, len(samples) - count)]
        else:
            out[:count] = samples[-count:]
        return out


@dataclasses.dataclass(frozen=True, slots=True)
class Silence:
    """Take the sound away for a while at the start, or for good."""

    seconds: float  # 0 for the whole film

    def __post_init__(self) -> None:
        """Refuse a length that is out of range."""
        require(self, "seconds", 0 <= self.seconds <= 3600, "0 to 3600")

    def apply(self, samples: Samples, rate_hz: int, rng: np.random.Generator) -> Samples:
        """Return the sound with silence in it."""
        del rng
        out = samples.copy()
        out[: round(self.seconds * rate_hz) or len(out)] = 0
        return out


FRAME_STEPS: dict[str, Callable[..., FrameStep]] = {
    "saturation": Saturation,
    "contrast": Contrast,
    "blocks": Blocks,
    "noise": Noise,
    "blur": Blur,
    "pixelate": Pixelate,
    "jpeg": Jpeg,
    "resize": Resize,
    "gamma": Gamma,
    "lowres": Lowres,
    "grain": Grain,
    "filmed": Filmed,
}
SOUND_STEPS: dict[str, Callable[..., SoundStep]] = {
    "gain": Gain,
    "hiss": Hiss,
    "band": Band,
    "shift": Shift,
    "silence": Silence,
}
