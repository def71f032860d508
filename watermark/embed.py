"""Put a mark into a stream of frames.

The same pattern is added to the luma of every frame, scaled by a gain that follows the content:
what a textured place hides well, a flat wall or a cheek does not. The mark's energy therefore lies
where an encoder keeps bits.
"""

import dataclasses
import math
from collections.abc import Iterable, Iterator

import cv2
import numba
import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError
from obverse.watermark.carriers import DEFAULT_KEY, TORUS_PX, pattern

__all__ = ["Embedder", "MarkConfig", "place"]

Frame = npt.NDArray[np.uint8]

_PSNR_DB = 45.5
_GAIN_PX = 256  # short side of the picture on which the gain is worked out


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MarkConfig:
    """How strong a mark is, and where."""

    flat_levels: float = 0.7  # RMS of the mark in a perfectly flat place, grey levels of 255
    texture_levels: float = 0.3  # grey levels more for each grey level of texture
    most_levels: float = 2.2  # largest RMS anywhere
    psnr_db: float = _PSNR_DB  # of marked against unmarked RGB frames, at least
    # A smaller psnr_db also raises the levels above, in proportion; a larger one lowers them.
    headroom: float = 1.25  # by how much the levels may grow where psnr_db leaves room for it
    inertia: float = 0.8  # how much of the last frame's scale each frame keeps, [0, 1)

    def __post_init__(self) -> None:
        """Refuse strengths that nobody could want."""
        if not 0.0 < self.flat_levels <= self.most_levels <= 16.0 or self.texture_levels < 0:
            raise ConfigError(
                f"the mark's levels are {self.flat_levels}, {self.texture_levels} and "
                f"{self.most_levels}; they must satisfy "
                "0 < flat_levels <= most_levels <= 16 and texture_levels >= 0."
            )
        if not 30.0 <= self.psnr_db <= 60.0:
            raise ConfigError(f"psnr_db is {self.psnr_db}; it must lie in 30 to 60.")
        if not 1.0 <= self.headroom <= 4.0:
            raise ConfigError(f"headroom is {self.headroom}; it must lie in 1 to 4.")
        if not 0.0 <= self.inertia < 1.0:
            raise ConfigError(f"inertia is {self.inertia}; it must lie in [0, 1).")


def place(torus: npt.NDArray[np.float32], width: int, height: int) -> npt.NDArray[np.float32]:
    """Lay a torus [512, 512] over a frame, its first pixel in the frame's middle; returns [height,
    width].

    The short side of the frame spans the torus once.
    """
    per_px = TORUS_PX / min(width, height)
    if per_px == 1.0:
        rows = (np.arange(height) - height // 2) % TORUS_PX
        columns = (np.arange(width) - width // 2) % TORUS_PX
        return np.ascontiguousarray(torus[np.ix_(rows, columns)])
    to_torus = np.array(
        [
            [per_px, 0, -per_px * (width - 1) / 2 - 0.5],
            [0, per_px, -per_px * (height - 1) / 2 - 0.5],
        ]
    )
    laid = cv2.warpAffine(
        torus,
        to_torus,
        (width, height),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_WRAP,
    )
    return np.asarray(laid, np.float32)


@numba.njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def _add(
    frame: Frame,
    mark: npt.NDArray[np.float32],
    gain: npt.NDArray[np.float32],
    strength: float,
    out: Frame,
) -> None:
    height, width = mark.shape
    for row in range(height):
        for column in range(width):
            change = strength * gain[row, column] * mark[row, column] + 0.5
            for channel in range(3):
                value = frame[row, column, channel] + change
                out[row, column, channel] = np.uint8(min(max(value, 0.0), 255.0))


class Embedder:
    """Marks the frames of one clip; keep one for each clip, in order."""

    def __init__(
        self, payload: int, key: bytes = DEFAULT_KEY, config: MarkConfig | None = None
    ) -> None:
        """Prepare the mark.

        Raises:
            ConfigError: the payload does not fit in 64 bits, or the key is too short.
        """
        self.payload = payload
        self.config = config or MarkConfig()
        self._torus = pattern(payload, key)
        self._mark: npt.NDArray[np.float32] | None = None
        self._strength: float | None = None

    def embed(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Yield each frame `[H, W, 3] uint8 RGB` marked; the input is not touched."""
        for frame in frames:
            yield self.embed_frame(frame)

    def embed_frame(self, frame: Frame) -> Frame:
        """Return one frame `[H, W, 3] uint8 RGB` marked, as the next of its clip."""
        height, width = frame.shape[:2]
        if self._mark is None or self._mark.shape != (height, width):
            self._mark = place(self._torus, width, height)
        gain = self._gain(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY))
        strength = self._next_strength(gain)
        full = cv2.resize(gain, (width, height), interpolation=cv2.INTER_LINEAR)
        out = np.empty_like(frame)
        _add(np.ascontiguousarray(frame), self._mark, full, strength, out)
        return out

    def _gain(self, luma: Frame) -> npt.NDArray[np.float32]:
        """Return how much each place hides, on a picture whose short side is 256."""
        height, width = luma.shape
        scale = _GAIN_PX / min(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(luma, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        detail = cv2.absdiff(small, cv2.boxFilter(small, -1, (5, 5)))
        # The square of the mean root is small beside a lone edge, where a mean would let the mark
        # ring.
        texture = cv2.blur(cv2.sqrt(detail), (7, 7))
        gain = self.config.flat_levels + self.config.texture_levels * texture * texture
        cv2.min(gain, self.config.most_levels, gain)
        return np.asarray(cv2.blur(gain, (3, 3)), np.float32)

    def _next_strength(self, gain: npt.NDArray[np.float32]) -> float:
        config = self.config
        rms = float(cv2.norm(gain)) / math.sqrt(gain.size)
        most = config.headroom * 10 ** ((_PSNR_DB - config.psnr_db) / 20)
        wanted = min(most, 255.0 / 10 ** (config.psnr_db / 20) / rms)
        if self._strength is not None:
            wanted = config.inertia * self._strength + (1 - config.inertia) * wanted
        self._strength = wanted
        return wanted
