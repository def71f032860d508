"""Where on the torus a pooled picture lies: scale, aspect, small rotation, mirror image and
offset, found blind.

A `Geometry` says how the picture is to be stretched, turned and mirrored before it lies on the
torus; one FFT then finds the offset. `find` tries the picture as it is, then families of
geometries, coarsely, and climbs from the best.

Geometries are points of a fixed lattice, and offsets are quarters of a sample. The number of
hypotheses that the search could ever look at is therefore finite and known, `hypotheses`: the
p-values of `obverse.watermark.extract` rest on it and not on the number that happened to be tried.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import numpy.typing as npt
import scipy.fft

from obverse.watermark.carriers import (
    GRID,
    TORUS_PX,
    Carriers,
    carriers,
    code_spectrum,
    pulse_spectrum,
)
from obverse.watermark.pool import POOL_PX, Image

__all__ = ["Fix", "Geometry", "align", "find", "hypotheses", "offset_for"]

_UNIT = 1e-3  # of the lattice: natural logarithm of a scale, and radians
_SCALE_UNITS = 1000  # scales from exp(-1) to exp(1)
_TURN_UNITS = 260  # up to 15 degrees either way
_OFFSETS = (4 * POOL_PX) ** 2
_ALL = (2 * _SCALE_UNITS + 1) ** 2 * (2 * _TURN_UNITS + 1) * 2 * _OFFSETS
_PLAIN = 2 * _OFFSETS  # the picture as it is, and mirrored
_PEAKS_PLAIN, _PEAKS = 6, 2  # offsets that are read for each geometry
_PEAK_PX = 2  # pooled pixels around a peak that belong to it

_COARSE_SIDE = 160  # samples of the torus in the coarse search
_STEP_UNITS = (
    12  # of the coarse search: 1.2 % of scale moves the picture's rim by 1.5 of its pixels
)
_CANDIDATES = 3
_GOOD_Z = 8.0  # a coarse peak that is no accident: stop looking for others
_CLIMB = ((_COARSE_SIDE, 6), (192, 3), (256, 1))  # (samples of the torus, step in units)
_DIRECTIONS = tuple(
    (sign * width, sign * height, sign * turn)
    for width, height, turn in ((1, 1, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))
    for sign in (1, -1)
)
_WHITENING_BINS = 5


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Geometry:
    """How the picture is laid on the torus, in units of the lattice."""

    log_width: int = 0  # 1000 times the logarithm of the factor by which its width is stretched
    log_height: int = 0
    turn: int = 0  # thousandths of a radian, clockwise as seen
    mirrored: bool = False  # left to right, before anything else

    @property
    def scale(self) -> tuple[float, float]:
        """Factors (horizontal, vertical); below 1 where the clip was cropped and scaled up."""
        return math.exp(self.log_width * _UNIT), math.exp(self.log_height * _UNIT)

    @property
    def degrees(self) -> float:
        """Clockwise turn in degrees."""
        return math.degrees(self.turn * _UNIT)

    @property
    def plain(self) -> bool:
        """Whether the picture lies as it was marked, or mirrored and no more."""
        return self.log_width == self.log_height == self.turn == 0

    @property
    def allowed(self) -> bool:
        """Whether the point belongs to the lattice."""
        scales = max(abs(self.log_width), abs(self.log_height)) <= _SCALE_UNITS
        return scales and abs(self.turn) <= _TURN_UNITS

    def matrix(self) -> npt.NDArray[np.float64]:
        """Return the matrix [2, 2] that takes the picture's (x, y) to the torus."""
        cosine, sine = math.cos(self.turn * _UNIT), math.sin(self.turn * _UNIT)
        return np.array([[cosine, -sine], [sine, cosine]]) @ np.diag(self.scale)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Fix:
    """A picture aligned with the torus."""

    geometry: Geometry
    offset: tuple[float, float]  # row and column of the torus' origin, in pooled pixels
    z: float  # of the synchronisation chips, see `obverse.watermark.extract`
    chips: npt.NDArray[np.float32]  # [16384] what lies on each chip, keyed signs undone


def hypotheses(geometry: Geometry) -> int:
    """Return how many alignments a geometry competes with: few if plain, else all of the lattice.

    A picture as it is thus needs a smaller z than one found by a long search. The two classes share
    the chance of a false accept evenly.
    """
    return _PLAIN if geometry.plain else _ALL


@functools.lru_cache(maxsize=4)
def _pulse(side: int) -> npt.NDArray[np.float32]:
    return pulse_spectrum(side)


@functools.lru_cache(maxsize=8)
def _reference(key: bytes, side: int) -> npt.NDArray[np.complex64]:
    """Return the conjugate spectrum of the shaped synchronisation chips in `side` samples."""
    impulses = np.zeros((POOL_PX, POOL_PX), np.float32)
    step = POOL_PX // GRID
    impulses[::step, ::step] = carriers(key).sync_chips()
    full = scipy.fft.rfft2(impulses)
    half = side // 2
    rows = np.r_[0:half, POOL_PX - half : POOL_PX]
    kept: npt.NDArray[np.complex64] = np.conj(full[rows, : half + 1]) * _pulse(side) ** 2
    return np.asarray(kept / np.linalg.norm(kept), np.complex64)


def _lay(image: Image, geometry: Geometry, side: int) -> Image:
    """Return the picture warped onto the torus of `side` samples, what overlaps added up."""
    height, width = image.shape
    resample = side / POOL_PX
    matrix = geometry.matrix() * resample
    reach = np.abs(matrix) @ (width, height)
    columns, rows = (side * max(1, math.ceil(extent / side - 1e-6)) for extent in reach)
    middle = np.array([width / 2, height / 2])
    # Whole pixels, so that a picture that is not stretched is not resampled either; the offset is
    # found blind.
    shift = np.round(np.array([columns / 2, rows / 2]) - matrix @ middle)
    canvas = cv2.warpAffine(
        image, np.column_stack([matrix, shift]), (columns, rows), flags=cv2.INTER_LINEAR
    )
    if canvas.shape == (side, side):
        return np.asarray(canvas, np.float32)
    parts = canvas.reshape(rows // side, side, columns // side, side)
    return np.ascontiguousarray(parts.sum(axis=(0, 2)))


def _spectrum(image: Image, geometry: Geometry, side: int) -> npt.NDArray[np.complex64]:
    """Return the picture's spectrum on the torus, whitened."""
    spectrum = scipy.fft.rfft2(_lay(image, geometry, side))
    power = np.abs(spectrum)
    margin = _WHITENING_BINS // 2
    wrapped = np.concatenate([power[-margin:], power, power[:margin]])
    level = cv2.blur(wrapped, (_WHITENING_BINS, _WHITENING_BINS))[margin:-margin]
    return np.asarray(spectrum / (level + 1e-6 * float(level.max()) + 1e-12), np.complex64)


def _peak(
    spectrum: npt.NDArray[np.complex64], key: bytes, side: int
) -> tuple[float, npt.NDArray[np.float32], tuple[int, int]]:
    surface = scipy.fft.irfft2(spectrum * _reference(key, side), s=(side, side))
    row, column = divmod(int(np.argmax(surface)), side)
    deviation = float(cv2.norm(surface)) / side
    return float(surface[row, column]) / max(deviation, 1e-20), surface, (row, column)


def _mirror(spectrum: npt.NDArray[np.complex64]) -> npt.NDArray[np.complex64]:
    """Return the spectrum of the picture mirrored: turned by 180 degrees, then top to bottom."""
    return np.conj(np.roll(spectrum[::-1], 1, axis=0))


def _quarter(before: float, here: float, after: float) -> float:
    """Return where a parabola through three samples peaks, to a quarter of a sample."""
    bend = before - 2 * here + after
    return round(4 * 0.5 * (before - after) / bend) / 4 if bend < 0 else 0.0


def _peaks(
    surface: npt.NDArray[np.float32], count: int
) -> Iterator[tuple[npt.NDArray[np.float32], int, int]]:
    """Yield the highest places of a surface, each with its nine neighbours."""
    side = surface.shape[0]
    left = surface.copy()
    near = np.arange(-_PEAK_PX, _PEAK_PX + 1)
    for _ in range(count):
        row, column = divmod(int(np.argmax(left)), side)
        around = surface[np.ix_(np.arange(row - 1, row + 2) % side, _around(column, side))]
        yield around, row, column
        left[np.ix_((row + near) % side, (column + near) % side)] = -np.inf


def _around(place: int, side: int) -> npt.NDArray[np.intp]:
    return np.arange(place - 1, place + 2) % side


def _whole(offset: float) -> float:
    """Return the nearest offset of a whole mark pixel, in pooled pixels.

    Where a picture lies as it was marked nothing else occurs, and a faint peak says it badly.
    """
    return round(2 * offset - 0.5) / 2 + 0.25


def align(image: Image, key: bytes, geometry: Geometry, count: int = 1) -> Iterator[Fix]:
    """Lay a pooled picture on the torus by a geometry and yield what its chips read at the `count`
    likeliest offsets, best first.
    """
    picture = image[:, ::-1] if geometry.mirrored else image
    spectrum = _spectrum(np.ascontiguousarray(picture), geometry, POOL_PX)
    surface = scipy.fft.irfft2(spectrum * _reference(key, POOL_PX), s=(POOL_PX, POOL_PX))
    shaped = spectrum * _pulse(POOL_PX)
    keyed = carriers(key)
    step = POOL_PX // GRID
    for around, row, column in _peaks(surface, count):
        down = row + _quarter(*map(float, around[:, 1]))
        right = column + _quarter(*map(float, around[1]))
        if geometry.plain:
            down, right = _whole(down), _whole(right)
        phase = np.exp(2j * np.pi * down * scipy.fft.fftfreq(POOL_PX))[:, None] * np.exp(
            2j * np.pi * right * scipy.fft.rfftfreq(POOL_PX)
        )
        aligned = scipy.fft.irfft2(shaped * phase.astype(np.complex64), s=(POOL_PX, POOL_PX))
        chips = aligned[::step, ::step].ravel() * keyed.sign
        yield Fix(geometry, (down, right), _sync_z(chips, keyed), chips)


def offset_for(image: Image, payload: int, key: bytes) -> tuple[int, int] | None:
    """Return the offset, (row, column) in mark pixels, at which a pooled unmarked picture already
    agrees best with the mark of a payload; None for a picture that shows nothing.
    """
    height, width = image.shape
    spectrum = _spectrum(image, Geometry(), POOL_PX)
    wanted = np.conj(code_spectrum(payload, key, POOL_PX)) * _pulse(POOL_PX)
    surface = scipy.fft.irfft2(spectrum * wanted, s=(POOL_PX, POOL_PX))
    if not float(np.ptp(surface)) > 0:
        return None
    place = np.array(divmod(int(np.argmax(surface)), POOL_PX))
    size = np.array([height, width])
    canvas = POOL_PX * np.ceil(size / POOL_PX - 1e-6)
    # The middle of the frame lies half a mark pixel before the torus' first pixel (see `place` in
    # `obverse.watermark.embed`), and `_lay` puts it on the canvas' middle but for rounding.
    middle = np.round(canvas / 2 - size / 2) + (size - 1) / 2
    marks = np.round((place - middle) * (TORUS_PX // POOL_PX) - 0.5).astype(int) % TORUS_PX
    return int(marks[0]), int(marks[1])


def _sync_z(chips: npt.NDArray[np.float32], keyed: Carriers) -> float:
    sync = chips[keyed.sync].astype(np.float64)
    return float(sync.sum() / max(np.linalg.norm(sync), 1e-20))


def _families() -> Iterator[Geometry]:
    """Yield the geometries of the coarse search, likely ones first; each is tried mirrored too."""
    step = _STEP_UNITS
    for units in range(0, 720, step):  # cropped, or pasted into something up to twice as large
        yield Geometry(-units, -units)
        if units > 0:
            yield Geometry(units, units)
    for units in range(step, 600, step):  # one side cropped or squeezed
        for signed in (-units, units):
            yield Geometry(signed, 0)
            yield Geometry(0, signed)
    for turn in range(18, _TURN_UNITS, 18):  # turned, and cropped so that no corner is empty
        fit = -round(math.log(math.cos(turn * _UNIT) + math.sin(turn * _UNIT)) / _UNIT)
        for signed in (-turn, turn):
            yield Geometry(0, 0, signed)
            yield Geometry(fit, fit, signed)
            yield Geometry(fit // 2, fit // 2, signed)


def _coarse(image: Image, key: bytes) -> list[Geometry]:
    """Return the most promising geometries of the coarse search, best first."""
    found: list[tuple[float, Geometry]] = []
    for geometry in _families():
        spectrum = _spectrum(image, geometry, _COARSE_SIDE)
        found.append((_peak(spectrum, key, _COARSE_SIDE)[0], geometry))
        # The mirror image turned one way is the picture turned the other way, then mirrored.
        reflected = dataclasses.replace(geometry, turn=-geometry.turn, mirrored=True)
        found.append((_peak(_mirror(spectrum), key, _COARSE_SIDE)[0], reflected))
        if max(found[-1][0], found[-2][0]) > _GOOD_Z:
            break
    found.sort(reverse=True)
    apart: list[Geometry] = []
    for _, geometry in found:
        if len(apart) < _CANDIDATES and not any(_near(geometry, other) for other in apart):
            apart.append(geometry)
    return apart


def _near(one: Geometry, other: Geometry) -> bool:
    """Whether the climb from one geometry would pass the other."""
    gaps = (
        one.log_width - other.log_width,
        one.log_height - other.log_height,
        one.turn - other.turn,
    )
    return one.mirrored == other.mirrored and max(map(abs, gaps)) <= _STEP_UNITS


def _climb(image: Image, key: bytes, start: Geometry) -> Geometry:
    """Climb the lattice from a coarse geometry to the best one around it."""
    picture = np.ascontiguousarray(image[:, ::-1]) if start.mirrored else image

    def height_of(geometry: Geometry, side: int) -> float:
        return _peak(_spectrum(picture, geometry, side), key, side)[0]

    best = start
    for side, step in _CLIMB:
        top = height_of(best, side)
        improved = True
        while improved:
            improved = False
            centre = best
            for width, height, turn in _DIRECTIONS:
                trial = Geometry(
                    centre.log_width + step * width,
                    centre.log_height + step * height,
                    centre.turn + step * turn,
                    centre.mirrored,
                )
                if trial.allowed and (value := height_of(trial, side)) > top:
                    top, best, improved = value, trial, True
    return best


def find(image: Image, key: bytes, accept: Callable[[Fix], bool]) -> Fix:
    """Search for the mark of a key in a pooled picture; return the first fix that `accept` takes,
    or the best.

    The picture as it is comes first, so that a clip that was only re-encoded or resized costs a
    few milliseconds.
    """
    best: Fix | None = None
    for geometry in (Geometry(), Geometry(mirrored=True)):
        for fix in align(image, key, geometry, _PEAKS_PLAIN):
            if accept(fix):
                return fix
            best = fix if best is None or fix.z > best.z else best
    assert best is not None
    for candidate in _coarse(image, key):
        for fix in align(image, key, _climb(image, key, candidate), _PEAKS):
            if accept(fix):
                return fix
            best = max(best, fix, key=lambda one: one.z)
    return best
