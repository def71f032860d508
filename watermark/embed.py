"""Put a mark into a stream of frames.

The same pattern is added to the luma of every frame, scaled by a gain that follows the content:
texture gets about a third of what a flat place gets. That is what a network chose that was trained
with an encoder in the loop (see docs/mark.md). Encoders quantise texture coarsely and would take
most of a mark there, and a mark there is what VMAF minds.

The first frame and the first after a cut are marked more strongly, and the next two or three less
and less so. There an encoder puts a key frame, and what follows is predicted from it: of a mark
that a coarse quantiser leaves at all, nearly everything lies in key frames. The eye sees less just
after a cut; who stops a film at its first frame can see the mark there.

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
from obverse.watermark.geometry import laid_share, size_for
from obverse.watermark.pool import Pool, Reader
from obverse.watermark.search import offset_for

__all__ = ["Embedder", "Gain", "MarkConfig", "place"]

Frame = npt.NDArray[np.uint8]

_PSNR_DB = 49.0
_ROUGH_DB = 0.8  # more where texture has to take what flat places cannot: it shows there first
_GAIN_PX = 256  # short side of the picture on which the gain is worked out
# Mean change of a picture of 256 pixels from frame to frame, in grey levels, from which on motion
# hides a mark, and at which it hides as much as it can.
_MOTION_LEVELS = (1.3, 2.6)
# A cut: the mean change that it has at least, in grey levels, and how many times that of the frame
# before.
_CUT_LEVELS, _CUT_TIMES = 10.0, 3.0
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

    # PSNR of marked against unmarked RGB frames where nothing moves, at least, once a scene has
    # begun.
    psnr_db: float = _PSNR_DB
    onset_db: float = 4.5  # less in the first frame, and in the first after a cut
    motion_db: float = 3.0  # less where much moves, which hides it
    # RMS of the mark in a perfectly flat place where nothing moves, grey levels of 255, at most. It
    # grows by what is less than psnr_db's usual value: by onset, motion, or a smaller psnr_db.
    most_levels: float = 1.5
    texture_share: float = 0.35  # of what a flat place gets, in strong texture, (0, 1]
    texture_levels: float = 0.8  # grey levels of texture at which half of the rest is gone
    inertia: float = 0.5  # how much of the last frame's scale each frame keeps, [0, 1)

    def __post_init__(self) -> None:
        """Refuse strengths that nobody could want."""
        limits = {
            "psnr_db": (30.0, 60.0),
            "onset_db": (0.0, 9.0),
            "motion_db": (0.0, 6.0),
            "most_levels": (0.1, 16.0),
            "texture_share": (0.1, 1.0),
            "texture_levels": (0.05, 64.0),
            "inertia": (0.0, 0.99),
        }
        for name, (least, most) in limits.items():
            if not least <= (value := getattr(self, name)) <= most:
                raise ConfigError(f"{name} is {value}; it must lie in {least:g} to {most:g}.")


def place(torus: npt.NDArray[np.float32], width: int, height: int) -> npt.NDArray[np.float32]:
    """Lay a torus [512, 512] over a frame, its first pixel in the frame's middle; returns [height,
    width].

    The short side of a large frame spans the torus once, that of a small one .7 of it: see
    `obverse.watermark.geometry.SIZES`.
    """
    per_px = TORUS_PX / min(width, height) * laid_share(width, height)
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
        self._change: float | None = None  # of that frame from the one before, grey levels

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
        strength = self._next_strength(gain := self._gain(small), small)
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
        strength = self._next_strength(gain, small) / _FULL_RANGE
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
        size = size_for(frame.shape[1], frame.shape[0])
        if (offset := offset_for(pool.image, self.payload, self._key, size)) is not None:
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
        """Return what share of the mark each place gets, on a picture whose short side is 256."""
        detail = cv2.absdiff(small, cv2.boxFilter(small, -1, (5, 5)))
        # The square of the mean root is small beside a lone edge, where a mean would let the mark
        # ring.
        texture = cv2.blur(cv2.sqrt(detail, dst=detail), (7, 7))
        cv2.multiply(texture, texture, dst=texture, scale=1.0 / self.config.texture_levels)
        cv2.multiply(texture, texture, dst=texture)
        flat = cv2.divide(1.0, cv2.add(texture, 1.0, dst=texture), dst=texture)
        share = self._texture_share(np.asarray(cv2.blur(flat, (3, 3), dst=flat), np.float32))
        usual = np.asarray(cv2.addWeighted(flat, 1.0 - share, flat, 0.0, share, flat), np.float32)
        return usual if self._hides is None else self._hides(small, usual)

    def _texture_share(self, flat: npt.NDArray[np.float32]) -> float:
        """Return what strong texture gets, of what a flat place gets, where places are so `flat`,
        0 to 1: more than usual where flat places can take no more and psnr_db leaves much room.
        """
        mean, square = cv2.mean(flat)[0], float(cv2.norm(flat)) ** 2 / flat.size
        room = (255.0 / 10 ** ((_PSNR_DB + _ROUGH_DB) / 20) / self.config.most_levels) ** 2
        # The mean square of flat + share (1 - flat) is to be `room`.
        rough, both = max(1.0 - 2.0 * mean + square, 1e-9), max(0.0, mean - square)
        share = (math.sqrt(max(0.0, both**2 + rough * (room - square))) - both) / rough
        return min(1.0, max(self.config.texture_share, share))

    def _hidden_db(self, small: npt.NDArray[np.float32]) -> tuple[float, bool]:
        """Return by how many dB the next frame hides more than a still one, and whether it begins a
        scene.
        """
        before, self._before = self._before, small
        if before is None or before.shape != small.shape:
            return self.config.onset_db, True
        change = float(cv2.norm(small, before, cv2.NORM_L1)) / small.size
        last, self._change = self._change, change
        least, most = _MOTION_LEVELS
        moving = self.config.motion_db * min(1.0, max(0.0, (change - least) / (most - least)))
        if change >= _CUT_LEVELS and (last is None or change > _CUT_TIMES * last):
            return max(moving, self.config.onset_db), True
        return moving, False

    def _next_strength(
        self, gain: npt.NDArray[np.float32], small: npt.NDArray[np.float32]
    ) -> float:
        config = self.config
        hidden_db, begins = self._hidden_db(small)
        psnr_db = config.psnr_db - hidden_db
        rms = float(cv2.norm(gain)) / math.sqrt(gain.size)
        most = config.most_levels * 10 ** ((_PSNR_DB - psnr_db) / 20)
        wanted = min(most, 255.0 / 10 ** (psnr_db / 20) / rms)
        if self._strength is not None and not begins:
            wanted = config.inertia * self._strength + (1 - config.inertia) * wanted
        self._strength = wanted
        return wanted
