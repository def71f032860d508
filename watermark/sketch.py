"""What a clip showed, small enough to keep: a crop of it can still be told from another clip.

A sketch is one grey picture of 32 x 32 pixels for each second, the mean of eight frames. The hashes
of `obverse.watermark.fingerprint` are made of the same pictures; they find a clip, but a crop
changes them. With the pictures at hand, the crop can be looked for: every window of the kept
picture is compared with the whole of the other one.

The search has two stages. The first compares the signs of the 8 x 8 lowest DCT coefficients about
their median for 6561 windows (half to all of each side); the second compares 12 x 12 of them
for the best windows and their neighbours. The transform of a window is separable, `R P C^T` with
one small matrix an axis, so nothing is resampled.
"""

import dataclasses
import functools
import itertools
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError, InputError
from obverse.media.video import read_frames
from obverse.watermark.fingerprint import Fingerprint, hash_picture

__all__ = ["SAME_CONTENT_AT_MOST", "Placement", "Sketch", "Sketcher", "locate", "sketch"]

_PX = 32
_FPS = 8  # frames a second that are averaged
_SECONDS_MAX = 60  # of a long clip
_COARSE, _FINE = 8, 12  # lowest DCT coefficients on each axis
_SIZES = np.arange(8, 17) / 16  # of a window's side, in the picture's
_STEP = 1 / 32  # between windows of one size
_KEPT = 32  # windows that reach the second stage
_NUDGED = 4  # of which so many are moved and stretched a little
_NUDGE = 1 / 64
_SHIFTS = 4  # in time that are looked at whole, beside none
_OVERLAP = 0.5  # of the shorter clip, at least, when one is slid along the other

Picture = npt.NDArray[np.float32]

# Distance: crops and copies of one clip lie below. Of 2000 crops of 602 portraits and scenes the
# farthest lay at .112; of 2000 other pictures the nearest lay at .168 and .182 (faces that fill the
# picture alike), the next at .224. See docs/provenance.md.
SAME_CONTENT_AT_MOST = 0.15


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Sketch:
    """A clip's pictures, one a second."""

    pictures: npt.NDArray[np.uint8]  # [T, 32, 32] grey

    def __post_init__(self) -> None:
        """Refuse what is no sketch."""
        shape, kind = self.pictures.shape, self.pictures.dtype
        if kind != np.uint8 or shape[1:] != (_PX, _PX) or len(self.pictures) == 0:
            raise ConfigError(
                f"a sketch holds {kind} of shape {shape}; it is [T, {_PX}, {_PX}] uint8."
            )

    @property
    def fingerprint(self) -> Fingerprint:
        """The hashes of the pictures."""
        return Fingerprint(tuple(hash_picture(picture) for picture in self.pictures))

    def to_bytes(self) -> bytes:
        """Return the pictures, compressed."""
        return zlib.compress(self.pictures.tobytes(), 9)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote.

        Raises:
            ConfigError: the bytes are no sketch.
        """
        most = _SECONDS_MAX * _PX * _PX
        try:
            reader = zlib.decompressobj()
            raw = reader.decompress(data, most + 1)  # a few bytes may unpack to gigabytes
        except zlib.error as error:
            raise ConfigError(
                f"these {len(data)} bytes are no sketch; give a whole one."
            ) from error
        if not raw or len(raw) > most or len(raw) % (_PX * _PX) or not reader.eof:
            raise ConfigError(f"these {len(data)} bytes are no sketch; give a whole one.")
        return cls(np.frombuffer(raw, np.uint8).reshape(-1, _PX, _PX))


@dataclasses.dataclass(frozen=True, slots=True)
class Placement:
    """Where one clip lies in another, and how well it fits."""

    distance: float  # share of signs that differ: 0 is the same, about 0.4 unrelated
    left: float  # of the window, as a share of the picture's width
    top: float
    width: float
    height: float
    second: int  # at which the clip begins in the other one; negative where it begins earlier
    mirrored: bool

    @property
    def same(self) -> bool:
        """Whether the two show the same."""
        return self.distance <= SAME_CONTENT_AT_MOST


class Sketcher:
    """Takes a clip's frames as they come and draws its sketch."""

    def __init__(self, fps: float) -> None:
        if fps <= 0:
            raise ConfigError(f"fps is {fps}; it must be positive.")
        self._fps = fps
        self._index = -1
        self._total = np.zeros((_PX, _PX), np.float32)
        self._added = 0
        self._pictures: list[npt.NDArray[np.uint8]] = []

    def push(self, frame: npt.NDArray[np.uint8]) -> None:
        """Take the next frame, `[H, W, 3] uint8 RGB`."""
        self._index += 1
        second = int(self._index / self._fps)
        if second >= _SECONDS_MAX:
            return
        if second > len(self._pictures):
            self._close()
        if self._index * _FPS // self._fps == (self._index - 1) * _FPS // self._fps:
            return  # eight frames a second tell as much as all
        luma = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        self._total += cv2.resize(luma, (_PX, _PX), interpolation=cv2.INTER_AREA)
        self._added += 1

    def _close(self) -> None:
        self._pictures.append((self._total / max(self._added, 1) + 0.5).astype(np.uint8))
        self._total[:], self._added = 0, 0

    def sketch(self) -> Sketch:
        """Return the sketch of what was pushed.

        Raises:
            InputError: nothing was.
        """
        # A last piece under half a second says little; it counts only where there is nothing else.
        if self._added and (not self._pictures or self._added >= min(_FPS, self._fps) / 2):
            self._close()
        if not self._pictures:
            raise InputError("there are no frames to take a fingerprint of.")
        return Sketch(np.stack(self._pictures))


def sketch_frames(frames: Iterable[npt.NDArray[np.uint8]], fps: float) -> Sketch:
    """Return the sketch of frames `[H, W, 3] uint8 RGB` at a constant rate.

    Raises:
        InputError: there are no frames.
        ConfigError: the rate is not positive.
    """
    sketcher = Sketcher(fps)
    for frame in frames:
        sketcher.push(frame)
    return sketcher.sketch()


def sketch(path: Path) -> Sketch:
    """Return the sketch of a film's first minute.

    Raises:
        InputError: the file cannot be read as video.
    """
    return sketch_frames(read_frames(path, fps=_FPS, max_frames=_SECONDS_MAX * _FPS), _FPS)


@dataclasses.dataclass(frozen=True, slots=True)
class _Windows:
    """All windows of one axis, and the matrices that take a picture's side to their DCT."""

    places: npt.NDArray[np.float64]  # [W, 2]: where it begins, how long it is
    rows: Picture  # [W, n, 32]


def _dct_rows(count: int) -> npt.NDArray[np.float64]:
    at = (np.arange(_PX) + 0.5) / _PX
    return np.asarray(np.cos(np.pi * np.arange(count)[:, None] * at[None]))


def _window_rows(count: int, begin: float, size: float) -> Picture:
    """Return [n, 32]: the DCT of a window, read from the picture by linear interpolation."""
    at = (begin + size * (np.arange(_PX) + 0.5) / _PX) * _PX - 0.5
    left = np.clip(np.floor(at).astype(int), 0, _PX - 1)
    right = np.minimum(left + 1, _PX - 1)
    share = np.clip(at - left, 0, 1)
    reading = np.zeros((_PX, _PX))
    np.add.at(reading, (np.arange(_PX), left), 1 - share)
    np.add.at(reading, (np.arange(_PX), right), share)
    return (_dct_rows(count) @ reading).astype(np.float32)


@functools.cache
def _coarse_windows() -> _Windows:
    places = [
        (float(begin), float(size))
        for size in _SIZES
        for begin in np.arange(0, 1 - size + 1e-9, _STEP)
    ]
    rows = np.stack([_window_rows(_COARSE, begin, size) for begin, size in places])
    return _Windows(np.array(places), rows)


def _signs(coefficients: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """Return [..., n * n - 1] signs about the median, without the mean brightness."""
    flat = coefficients.reshape(*coefficients.shape[:-2], -1)[..., 1:]
    middle = flat.shape[-1] // 2  # their number is odd
    return np.asarray(flat > np.partition(flat, middle, axis=-1)[..., middle, None])


def _whole(picture: Picture, count: int) -> npt.NDArray[np.bool_]:
    rows = _dct_rows(count).astype(np.float32)
    return _signs(rows @ picture @ rows.T)


def _coarse(kept: Picture, seen: Picture) -> npt.NDArray[np.float32]:
    """Return [W, W]: the distance of every window of `kept` (down, across) from all of `seen`."""
    rows, wanted = _coarse_windows().rows, _whole(seen, _COARSE)
    down = rows @ kept  # [W, n, 32]
    distances = np.empty((len(rows), len(rows)), np.float32)
    for index, half in enumerate(down):
        distances[index] = (_signs(half[None] @ rows.transpose(0, 2, 1)) != wanted).mean(-1)
    return distances


Window = tuple[float, float, float, float]  # top, height, left, width


def _fine(kept: Picture, seen: Picture, windows: Sequence[Window]) -> npt.NDArray[np.float64]:
    wanted = _whole(seen, _FINE)
    down = np.stack([_fine_rows(top, height) for top, height, _, _ in windows])
    across = np.stack([_fine_rows(left, width) for _, _, left, width in windows])
    found = _signs(down @ kept @ across.transpose(0, 2, 1))
    return np.asarray((found != wanted).mean(-1))


@functools.lru_cache(maxsize=4096)
def _fine_rows(begin: float, size: float) -> Picture:
    return _window_rows(_FINE, begin, size)


def _nudged(window: Window) -> list[Window]:
    """Return a window's neighbours that lie in the picture."""
    moved: list[Window] = []
    for change in itertools.product((-_NUDGE, 0.0, _NUDGE), repeat=4):
        top, height, left, width = (a + b for a, b in zip(window, change, strict=True))
        inside = min(top, left) >= 0 and top + height <= 1 and left + width <= 1
        if inside:
            moved.append((top, height, left, width))
    return moved


def _best_window(kept: Picture, seen: Picture) -> tuple[float, Window]:
    coarse, places = _coarse(kept, seen), _coarse_windows().places
    order = np.argsort(coarse, axis=None, kind="stable")[:_KEPT]
    windows: list[Window] = [(0.0, 1.0, 0.0, 1.0)]
    for at in order:
        down, across = np.unravel_index(int(at), coarse.shape)
        windows.append((*map(float, places[down]), *map(float, places[across])))  # type: ignore[arg-type]
    distances = _fine(kept, seen, windows)
    best = [windows[index] for index in np.argsort(distances, kind="stable")[:_NUDGED]]
    windows = list(dict.fromkeys(itertools.chain.from_iterable(map(_nudged, best))))
    distances = _fine(kept, seen, windows)
    index = int(np.argmin(distances))
    return float(distances[index]), windows[index]


def locate(kept: Sketch, seen: Sketch) -> Placement:
    """Look for a clip, or for a crop or cut of it, in one whose sketch was kept.

    Returns the best placement; whether it is the same content, `Placement.same` says.
    """
    straight = _placed(kept, seen, mirrored=False)
    if straight.same:
        return straight
    flipped = Sketch(np.ascontiguousarray(seen.pictures[:, :, ::-1]))
    other = _placed(kept, flipped, mirrored=True)
    return other if other.distance < straight.distance else straight


def _placed(kept: Sketch, seen: Sketch, *, mirrored: bool) -> Placement:
    olds, news = (each.pictures.astype(np.float32) for each in (kept, seen))
    shifts = _shifts(len(olds), len(news))
    middle = len(news) // 2
    # One second of the clip is looked for in all of the other's that it may be. Its best windows
    # there differ by chance where a scene hardly changes, so all of the clip decides.
    possible = [each for each in shifts if 0 <= middle + each < len(olds)]
    fits = [float(_coarse(olds[middle + each], news[middle]).min()) for each in possible[1:]]
    order = [possible[1:][at] for at in np.argsort(fits, kind="stable")[:_SHIFTS]]
    found = [_aligned(olds, news, each) for each in [*(possible or shifts)[:1], *order]]
    distance, (top, height, left, width), shift = min(found, key=lambda each: each[0])
    return Placement(distance, left, top, width, height, shift, mirrored)


def _aligned(olds: Picture, news: Picture, shift: int) -> tuple[float, Window, int]:
    """Return the distance of a clip that begins `shift` seconds later, its window, and `shift`."""
    pairs = [(olds[at + shift], news[at]) for at in range(len(news)) if 0 <= at + shift < len(olds)]
    _, window = _best_window(*pairs[min(len(news) // 2, len(pairs) - 1)])
    return float(np.mean([_fine(old, new, [window])[0] for old, new in pairs])), window, shift


def _shifts(kept: int, seen: int) -> list[int]:
    """Return by how many seconds the clip may begin later than the other one, no shift first."""
    least = max(1, round(_OVERLAP * min(kept, seen)))
    return sorted(range(least - seen, kept - least + 1), key=abs)
