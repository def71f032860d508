"""Put a mark into a stream of frames.

The same pattern is added to the luma of every frame, scaled by a gain that follows the content
mildly: texture gets a little more than a flat wall or a cheek. An even gain is what VMAF likes best
and what encoders leave most of; a stronger one would blotch what is flat.

Where the pattern lies is chosen on the first frame. The extractor finds any offset, so the one is
taken at which the unmarked picture happens to agree best with the mark: a scene that stands still
then works for the mark and not against it.
"""

import dataclasses
import math
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import cv2
import numba
import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError, InputError
from obverse.media.colour import LUMA_UNIT, FrameSplitter
from obverse.watermark.carriers import DEFAULT_KEY, TORUS_PX, pattern
from obverse.watermark.pool import Pool, Reader
from obverse.watermark.search import offset_for

__all__ = ["Embedder", "Gain", "MarkConfig", "place"]

Frame = npt.NDArray[np.uint8]

_PSNR_DB = 47.3
_GAIN_PX = 256  # short side of the picture on which the gain is worked out
# Mean change of a picture of 256 pixels from frame to frame, in grey levels, from which on motion
# hides a mark, and at which it hides as much as it can.
_MOTION_LEVELS = (1.3, 2.6)
_FULL_RANGE = 255.0 / 219.0  # grey levels of a level of limited-range luma


class Gain(Protocol):
    """Says where a picture hides a mark."""

    def __call__(
        self, small: npt.NDArray[np.float32], even: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        """Return a gain `[h, w]` > 0 of the same mean square as `even`, the gain that is taken
        without this, for a picture's luma `[h, w]` in grey levels, its short side 256.
        """
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MarkConfig:
    """How strong a mark is, and where."""

    flat_levels: float = 1.0  # RMS of the mark in a perfectly flat place, grey levels of 255
    texture_levels: float = 0.03  # grey levels more for each grey level of texture
    most_levels: float = 1.2  # largest RMS anywhere
    # PSNR of marked against unmarked RGB frames where nothing moves, at least. A smaller one also
    # raises the levels above, in proportion; a larger one lowers them.
    psnr_db: float = _PSNR_DB
    motion_db: float = 2.0  # less where much moves, which hides it
    headroom: float = 1.15  # by how much the levels may grow where psnr_db leaves room for it
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
        if not 0.0 <= self.motion_db <= 6.0:
            raise ConfigError(f"motion_db is {self.motion_db}; it must lie in 0 to 6.")
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


@numba.njit(cache=True, nogil=True, fastmath=True, boundscheck=False)  # type: ignore[untyped-decorator]
def _add_to_luma(
    luma: npt.NDArray[np.uint16],
    mark: npt.NDArray[np.float32],
    gain: npt.NDArray[np.float32],
    across: tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]],
    down: tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]],
    strength: float,
    out: Frame,
) -> None:
    """Add the mark to luma in 256ths; the gain is enlarged on the way, row by row."""
    rows, shares = down
    height, width = luma.shape
    last = gain.shape[0] - 1
    above, below = np.empty(width, np.float32), np.empty(width, np.float32)
    current = -1
    for y in range(height):
        row = rows[y]
        if row != current:
            if row == current + 1 and current >= 0:
                above, below = below, above
            else:
                _enlarge(gain[row], across[0], across[1], strength, above)
            _enlarge(gain[min(row + 1, last)], across[0], across[1], strength, below)
            current = row
        _add_row(luma[y], mark[y], above, below, shares[y], out[y])


@numba.njit(cache=True, nogil=True, fastmath=True, boundscheck=False)  # type: ignore[untyped-decorator]
def _enlarge(
    gain: npt.NDArray[np.float32],
    columns: npt.NDArray[np.int32],
    shares: npt.NDArray[np.float32],
    strength: float,
    out: npt.NDArray[np.float32],
) -> None:
    factor, last = np.float32(strength), gain.shape[0] - 1
    for x in range(out.shape[0]):
        left = columns[x]
        here = gain[left]
        out[x] = (here + shares[x] * (gain[min(left + 1, last)] - here)) * factor


@numba.njit(cache=True, nogil=True, fastmath=True, boundscheck=False)  # type: ignore[untyped-decorator]
def _add_row(
    luma: npt.NDArray[np.uint16],
    mark: npt.NDArray[np.float32],
    above: npt.NDArray[np.float32],
    below: npt.NDArray[np.float32],
    share: float,
    out: Frame,
) -> None:
    part = np.float32(share)
    for x in range(luma.shape[0]):
        gain = above[x] + part * (below[x] - above[x])
        value = np.float32(luma[x]) * np.float32(1.0 / LUMA_UNIT) + gain * mark[x]
        # Kept at what a byte holds before it becomes a whole number: that way it stays narrow.
        value = min(max(value + np.float32(0.5), np.float32(0.0)), np.float32(255.0))
        out[x] = np.uint8(np.int32(value))


def _between(size: int, fine: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Return for each of `fine` pixels the nearer of `size` ones before it, and how far beyond."""
    place = np.clip((np.arange(fine) + 0.5) * (size / fine) - 0.5, 0, size - 1)
    first = np.floor(place)
    return first.astype(np.int32), (place - first).astype(np.float32)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Workspace:
    """What marking frames of one size needs each time."""

    mark: npt.NDArray[np.float32]  # [H, W]
    splitter: FrameSplitter
    across: tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]
    down: tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]


def _small_size(width: int, height: int) -> tuple[int, int]:
    scale = _GAIN_PX / min(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))


class Embedder:
    """Marks the frames of one clip; keep one for each clip, in order."""

    def __init__(
        self,
        payload: int,
        key: bytes = DEFAULT_KEY,
        config: MarkConfig | None = None,
        *,
        gain: Gain | None = None,
        reader: Reader | None = None,
    ) -> None:
        """Prepare the mark.

        Args:
            payload: 64 bits.
            key: of the carriers.
            config: how strong the mark is.
            gain: where it is stronger and where weaker; None for the one described above.
            reader: of the extractor that will read it, see `obverse.watermark.pool`.

        Raises:
            ConfigError: the payload does not fit in 64 bits, or the key is too short.
        """
        self.payload = payload
        self.config = config or MarkConfig()
        self._key = key
        self._hides = gain
        self._reader = reader
        self._placed = False
        self._torus = pattern(payload, key)
        self._mark: npt.NDArray[np.float32] | None = None
        self._space: _Workspace | None = None
        self._strength: float | None = None
        self._before: npt.NDArray[np.float32] | None = None  # the last frame, its short side 256

    @property
    def strength(self) -> float:
        """By how much the gain of the last frame was scaled, grey levels of 255; 0 before any."""
        return self._strength or 0.0

    def embed(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Yield each frame `[H, W, 3] uint8 RGB` marked; the input is not touched."""
        for frame in frames:
            yield self.embed_frame(frame)

    def embed_frame(self, frame: Frame) -> Frame:
        """Return one frame `[H, W, 3] uint8 RGB` marked, as the next of its clip."""
        height, width = frame.shape[:2]
        self._choose_offset(frame)
        mark = self.laid(width, height)
        small = self._small(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY))
        strength = self._next_strength(gain := self._gain(small), self._moving(small))
        full = cv2.resize(gain, (width, height), interpolation=cv2.INTER_LINEAR)
        out = np.empty_like(frame)
        _add(np.ascontiguousarray(frame), mark, full, strength, out)
        return out

    def embed_planes(self, frame: Frame, out: Frame | None = None) -> Frame:
        """Mark one frame `[H, W, 3] uint8 RGB`, as the next of its clip, on the way to an encoder.

        The mark acts on luma alone, so the frame is converted once and marked before luma is
        rounded.

        Args:
            frame: H and W even; not touched.
            out: where to write; None makes a new array.

        Returns:
            BT.709 limited-range I420, `[H * 3 / 2, W]`.
        """
        height, width = frame.shape[:2]
        picture = np.empty((height * 3 // 2, width), np.uint8) if out is None else out
        self._choose_offset(frame)
        space = self._space_for(width, height)
        space.splitter.split(frame, picture)
        luma = space.splitter.luma
        small = self._small(luma)
        small *= _FULL_RANGE / LUMA_UNIT
        gain = self._gain(small)
        strength = self._next_strength(gain, self._moving(small)) / _FULL_RANGE
        _add_to_luma(luma, space.mark, gain, space.across, space.down, strength, picture[:height])
        return picture

    def _choose_offset(self, frame: Frame) -> None:
        """Lay the torus where the clip's first frame agrees with it best."""
        if self._placed:
            return
        self._placed = True
        pool = Pool(self._reader)
        try:
            pool.add(frame)
        except InputError:
            return  # too small or narrow to be read; it is marked all the same
        if (offset := offset_for(pool.image, self.payload, self._key)) is not None:
            self._torus = np.ascontiguousarray(np.roll(self._torus, offset, axis=(0, 1)))

    def laid(self, width: int, height: int) -> npt.NDArray[np.float32]:
        """Return the mark `[height, width]` as it lies over a frame, variance about 1; its place is
        chosen with the first frame.
        """
        if self._mark is None or self._mark.shape != (height, width):
            self._mark = place(self._torus, width, height)
        return self._mark

    def _space_for(self, width: int, height: int) -> _Workspace:
        if self._space is None or self._space.mark.shape != (height, width):
            small_width, small_height = _small_size(width, height)
            self._space = _Workspace(
                self.laid(width, height),
                FrameSplitter(width, height),
                _between(small_width, width),
                _between(small_height, height),
            )
        return self._space

    def _small(self, luma: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        size = _small_size(luma.shape[1], luma.shape[0])
        return np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_AREA), np.float32)

    def _gain(self, small: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return how much each place hides, on a picture whose short side is 256."""
        detail = cv2.absdiff(small, cv2.boxFilter(small, -1, (5, 5)))
        # The square of the mean root is small beside a lone edge, where a mean would let the mark
        # ring.
        texture = cv2.blur(cv2.sqrt(detail, dst=detail), (7, 7))
        cv2.multiply(texture, texture, dst=texture, scale=self.config.texture_levels)
        gain = cv2.add(texture, self.config.flat_levels, dst=texture)
        cv2.min(gain, self.config.most_levels, gain)
        even = np.asarray(cv2.blur(gain, (3, 3)), np.float32)
        return even if self._hides is None else self._hides(small, even)

    def _moving(self, small: npt.NDArray[np.float32]) -> float:
        """Return how much of the motion that can hide a mark there is, 0 to 1."""
        before, self._before = self._before, small
        if before is None or before.shape != small.shape:
            return 0.0
        change = float(cv2.norm(small, before, cv2.NORM_L1)) / small.size
        least, most = _MOTION_LEVELS
        return min(1.0, max(0.0, (change - least) / (most - least)))

    def _next_strength(self, gain: npt.NDArray[np.float32], moving: float) -> float:
        config = self.config
        psnr_db = config.psnr_db - config.motion_db * moving
        rms = float(cv2.norm(gain)) / math.sqrt(gain.size)
        most = config.headroom * 10 ** ((_PSNR_DB - psnr_db) / 20)
        wanted = min(most, 255.0 / 10 ** (psnr_db / 20) / rms)
        if self._strength is not None:
            wanted = config.inertia * self._strength + (1 - config.inertia) * wanted
        self._strength = wanted
        return wanted
