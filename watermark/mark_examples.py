"""Examples for the learned mark: films marked with keys, payloads and places drawn by chance, and
sent through x264.

What the networks of `obverse.watermark.mark_net` learn from must hold no key, so every example has
a key of its own. A film that carries a mark already is shrunk among its mirror images, so that the
mark's band lies above the one that is read: two marks in one band would teach that a mark is noise.
"""

import dataclasses
import io
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import scipy.fft

from obverse.errors import InputError
from obverse.media.colour import planes_of, rgb_to_yuv420
from obverse.media.video import read_frames
from obverse.watermark.carriers import DEFAULT_KEY, carriers
from obverse.watermark.embed import Embedder, Frame
from obverse.watermark.geometry import SIZES, Geometry, plane_of, size_for
from obverse.watermark.payload import PAYLOAD_BITS, encode
from obverse.watermark.pool import POOL_PX, Image, Pool
from obverse.watermark.search import align

__all__ = ["Draw", "Example", "Placed", "decoded_luma", "draw", "make_example", "read_square"]

FRAMES = 24  # of a film that are looked at
_SIDES_PX = (320, 640)  # of the square that is cut out; others are scaled to the nearer
_MARKED_Z = 7.9  # as in `obverse.watermark.extract`
_SHRINK = 0.6  # takes the band of a mark, .070 to .115, to .117 and more
_CRF = (23.0, 42.0)
_KEY_BYTES = 32
_FPS = 25
_FULL_RANGE = 255.0 / 219.0


def read_square(path: Path) -> list[Frame]:
    """Return the first frames of a film, the square in their middle, `[S, S, 3] uint8 RGB`.

    Raises:
        InputError: the film cannot be read, or is too small for what it must become.
    """
    frames = [_middle(frame) for frame in itertools.islice(read_frames(path), FRAMES)]
    side = len(frames[0])
    if side < _SIDES_PX[0] // 2:
        raise InputError(
            f"{path} gives a square of {side} px to learn from; it needs {_SIDES_PX[0] // 2}."
        )
    wanted = min(max(side, _SIDES_PX[0]), _SIDES_PX[1]) // 2 * 2
    if _is_marked(frames):
        frames = [_among_mirrors(frame) for frame in frames]
    return [_scaled(frame, wanted) for frame in frames]


def _scaled(frame: Frame, side: int) -> Frame:
    """Return a square frame, `side` pixels wide."""
    if len(frame) == side:
        return frame
    how = cv2.INTER_AREA if side < len(frame) else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(frame, (side, side), interpolation=how), np.uint8)


def _among_mirrors(frame: Frame) -> Frame:
    """Return a square frame shrunk, its mirror images around it; as large as before."""
    side = len(frame)
    small = round(side * _SHRINK)
    before = (side - small) // 2
    after = side - small - before
    around = cv2.copyMakeBorder(
        _scaled(frame, small), before, after, before, after, cv2.BORDER_REFLECT
    )
    return np.asarray(around, np.uint8)


def _is_marked(frames: Sequence[Frame]) -> bool:
    """Whether a film bears the public key's mark as it was laid, of any size; no other is looked
    for.
    """
    pool = Pool()
    for frame in frames:
        pool.add(frame)
    laid = (Geometry(size, size) for size in SIZES)
    return any(next(align(pool.image, DEFAULT_KEY, geometry)).z >= _MARKED_Z for geometry in laid)


def _middle(frame: Frame) -> Frame:
    height, width = frame.shape[:2]
    side = min(height, width) // 2 * 2
    top, left = (height - side) // 2, (width - side) // 2
    return np.ascontiguousarray(frame[top : top + side, left : left + side])


@dataclasses.dataclass(frozen=True, slots=True)
class Draw:
    """What an example's chances came to."""

    key: bytes
    payload: int
    first: int  # frame
    count: int  # frames
    turns: int  # quarter turns of the picture
    flipped: bool
    crf: float
    scale: float  # of the frames between marking and encoding
    blur_px: float  # standard deviation, after marking
    noise: float  # grey levels, after marking
    seed: int  # of that noise


def draw(rng: np.random.Generator, frames: int, most: int = 16) -> Draw:
    """Draw how to make an example of a film of `frames` frames."""
    count = int(rng.integers(min(3, most, frames), min(most, frames) + 1))
    rough = rng.random() < 0.4
    return Draw(
        key=rng.bytes(_KEY_BYTES),
        payload=int.from_bytes(rng.bytes(PAYLOAD_BITS // 8), "big"),
        first=int(rng.integers(0, frames - count + 1)),
        count=count,
        turns=int(rng.integers(4)),
        flipped=bool(rng.random() < 0.5),
        crf=float(rng.uniform(*_CRF)),
        scale=float(rng.uniform(0.6, 1.0)) if rough else 1.0,
        blur_px=float(rng.uniform(0.0, 0.8)) if rough else 0.0,
        noise=float(rng.uniform(0.0, 4.0)) if rough else 0.0,
        seed=int(rng.integers(1 << 31)),
    )


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Where the chips of a mark lie in a pooled picture, and what they say."""

    signs: npt.NDArray[np.int8]  # [16384] keyed signs times the coded bits
    offset: tuple[float, float]  # row and column of the torus' origin, in samples of the plane
    size: int  # of the mark, see `obverse.watermark.geometry.SIZES`

    @property
    def to_picture(self) -> npt.NDArray[np.float32]:
        """The matrix [2, 3] from the torus' 256 x 256 samples (x, y) to the pixels of a pooled
        square that lies on it, as `obverse.watermark.search.align` lays it.
        """
        _, to_plane = plane_of((POOL_PX, POOL_PX), Geometry(self.size, self.size), POOL_PX)
        return np.asarray(np.linalg.inv(to_plane)[:2], np.float32)

    @property
    def phase(self) -> npt.NDArray[np.complex64]:
        """What moves a spectrum [256, 129] so that the torus' origin comes to the first pixel."""
        down, right = self.offset
        rows = np.exp(2j * np.pi * down * scipy.fft.fftfreq(POOL_PX))[:, None]
        columns = np.exp(2j * np.pi * right * scipy.fft.rfftfreq(POOL_PX))
        return np.asarray(rows * columns, np.complex64)

    @staticmethod
    def of(embedder: Embedder, key: bytes, side: int) -> "Placed":
        """Find where an embedder that has seen its first frame lays its mark over squares of a
        side.
        """
        clean = cv2.resize(
            embedder.laid(side, side), (POOL_PX, POOL_PX), interpolation=cv2.INTER_AREA
        )
        size = size_for(side, side)
        fix = next(align(np.asarray(clean, np.float32), key, Geometry(size, size)))
        signs = carriers(key).chips(encode(embedder.payload)).ravel()
        return Placed(signs.astype(np.int8), fix.offset, size)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A marked clip after a codec, as the pool gives it."""

    means: npt.NDArray[np.float16]  # [4, 256, 256], see `pool.PLANES`
    placed: Placed
    crf: float

    def save(self, path: Path) -> None:
        """Write it as an npz file."""
        with path.open("wb") as stream:
            np.savez(
                stream,
                means=self.means,
                signs=self.placed.signs,
                offset=self.placed.offset,
                size=self.placed.size,
                crf=self.crf,
            )

    @staticmethod
    def load(path: Path) -> "Example":
        """Read one.

        Raises:
            InputError: it is not such a file.
        """
        try:
            with np.load(path) as stored:
                down, right = map(float, stored["offset"])
                placed = Placed(stored["signs"], (down, right), int(stored["size"]))
                return Example(stored["means"], placed, float(stored["crf"]))
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise InputError(f"{path} is damaged; remove it, and it is made anew.") from error


def turned(frames: Sequence[Frame], drawn: Draw) -> list[Frame]:
    """Return the frames of a film that an example is made of."""
    chosen = frames[drawn.first : drawn.first + drawn.count]
    flipped = [frame[:, ::-1] if drawn.flipped else frame for frame in chosen]
    return [np.ascontiguousarray(np.rot90(frame, drawn.turns)) for frame in flipped]


def _roughened(planes: Frame, drawn: Draw, rng: np.random.Generator) -> Frame:
    """Scale, blur and spoil a picture `[H * 3 / 2, W]` I420."""
    parts = list(planes_of(planes))
    if drawn.blur_px > 0.2:
        parts[0] = cv2.GaussianBlur(parts[0], (0, 0), drawn.blur_px)
    if drawn.scale < 1.0:
        side = round(len(parts[0]) * drawn.scale / 2) * 2
        sizes = (side, side // 2, side // 2)
        parts = [
            cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA)
            for part, size in zip(parts, sizes, strict=True)
        ]
    if drawn.noise > 0:
        spoilt = parts[0] + rng.normal(0, drawn.noise / _FULL_RANGE, parts[0].shape)
        parts[0] = np.clip(np.round(spoilt), 0, 255).astype(np.uint8)
    side = len(parts[0])
    return np.concatenate([part.ravel() for part in parts]).reshape(-1, side)


def decoded_luma(pictures: Sequence[Frame], drawn: Draw) -> list[Image]:
    """Send pictures `[H * 3 / 2, W]` I420 through a draw's chain and x264; return their luma
    `[h, w]` in grey levels of 255.
    """
    rng = np.random.default_rng(drawn.seed)
    rough = [_roughened(picture, drawn, rng) for picture in pictures]
    data = io.BytesIO()
    options = {"crf": f"{drawn.crf:.2f}", "preset": "veryfast", "threads": "1"}
    with av.open(data, "w", format="mp4") as out:
        stream: Any = out.add_stream("libx264", rate=_FPS, options=options)
        stream.height, stream.width = len(rough[0]) * 2 // 3, rough[0].shape[1]
        stream.pix_fmt = "yuv420p"
        for picture in rough:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
        out.mux(stream.encode())
    data.seek(0)
    with av.open(data) as back:
        return [
            (planes_of(frame.to_ndarray(format="yuv420p"))[0].astype(np.float32) - 16) * _FULL_RANGE
            for frame in back.decode(video=0)
        ]


def _all_means(means: Image) -> Image:
    return means


def make_example(frames: Sequence[Frame], drawn: Draw) -> Example:
    """Mark a film as drawn, encode it and pool it."""
    embedder = Embedder(drawn.payload, drawn.key)
    marked = [embedder.embed_planes(frame) for frame in turned(frames, drawn)]
    placed = Placed.of(embedder, drawn.key, len(frames[0]))
    pool = Pool(_all_means)
    for luma in decoded_luma(marked, drawn):
        pool.add_luma(luma)
    return Example(pool.image.astype(np.float16), placed, drawn.crf)


def unmarked(frames: Sequence[Frame]) -> list[Frame]:
    """Return frames as the I420 that an embedder's would be without the mark."""
    return [rgb_to_yuv420(frame) for frame in frames]
