"""Where on the torus a pooled picture lies: scale, aspect, turn, lean, mirror image and offset,
found blind.

A `Geometry` says how the picture is to be stretched, turned and mirrored before it lies on the
torus; one FFT then finds the offset. `find` tries the picture as it is, then families of
geometries, coarsely, and climbs from the best. Then it looks at the picture's middle alone, which
hardly leans where the whole does, and goes on from there (`obverse.watermark.leaning`). Where the
synchronisation chips have been taken away, those of the bits tell the offset, at some expense.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator

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
from obverse.watermark.geometry import SIZES, TURN_UNITS, UNIT, Geometry, hypotheses, laid, plane_of
from obverse.watermark.leaning import fitted, middle_of
from obverse.watermark.pool import POOL_PX, Image

__all__ = ["Fix", "align", "find", "offset_for"]

_PEAKS_PLAIN, _PEAKS = 6, 2  # offsets that are read as the picture is; fitted from elsewhere
_BITS_HEARD = 256  # of 1024, where synchronisation was taken away: 48 found half of such marks
_PEAK_PX = 2  # pooled pixels around a peak that belong to it

_COARSE_SIDE = 160  # samples of the torus in the coarse search
_ZOOM_SIDE = 192  # of that for crops, which leave few chips to go by
_STEP_UNITS = (
    12  # of the coarse search: 1.2 % of scale moves the picture's rim by 1.5 of its pixels
)
_TURN_STEP_UNITS = 18
_ZOOM_UNITS = 720  # to half and twice
_CANDIDATES = 6  # of crops, and of everything else
_TILT_UNITS = 20  # of the search in the picture's middle, which is half as large
_TILTS = 4  # candidates of it, for each size of marks
_GOOD_Z = 8.0  # a coarse peak that is no accident: stop looking for others
_DIRECTIONS = tuple(
    (sign * width, sign * height, sign * turn)
    for width, height, turn in ((1, 1, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))
    for sign in (1, -1)
)
_WHITENING_BINS = 5


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Fix:
    """A picture aligned with the torus."""

    geometry: Geometry
    offset: tuple[float, float]  # row and column of the torus' origin, in pooled pixels
    z: float  # of the synchronisation chips, see `obverse.watermark.extract`
    chips: npt.NDArray[np.float32]  # [16384] what lies on each chip, keyed signs undone


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
    return _folded(laid(image, geometry, side)[0], side)


def _folded(canvas: Image, side: int) -> Image:
    """Add up the whole tori of a plane."""
    rows, columns = canvas.shape
    if canvas.shape == (side, side):
        return canvas
    parts = canvas.reshape(rows // side, side, columns // side, side)
    return np.ascontiguousarray(parts.sum(axis=(0, 2)))


def _roughly_laid(image: Image, geometry: Geometry, side: int) -> Image:
    """Return what `_lay` does, to a sample of the picture's sides: a picture that is not turned is
    resized, which is several times quicker than a warp.
    """
    if geometry.turn or geometry.leaning:
        return _lay(image, geometry, side)
    resample = side / POOL_PX
    height, width = (
        max(1, round(size * factor * resample))
        for size, factor in zip(image.shape, geometry.scale[::-1], strict=True)
    )
    canvas = np.zeros((-(-height // side) * side, -(-width // side) * side), np.float32)
    shrinks = min(height / image.shape[0], width / image.shape[1]) < 1.0
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    canvas[:height, :width] = cv2.resize(image, (width, height), interpolation=how)
    return _folded(canvas, side)


def _spectrum(image: Image, geometry: Geometry, side: int) -> npt.NDArray[np.complex64]:
    """Return the picture's spectrum on the torus, whitened."""
    return _whitened(_lay(image, geometry, side))


def _whitened(plane: Image) -> npt.NDArray[np.complex64]:
    """Return a picture's spectrum over the level around each frequency."""
    spectrum = scipy.fft.rfft2(plane)
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


def _middles(shape: tuple[int, ...], size: int) -> npt.NDArray[np.float64]:
    """Return where the middle of a pooled picture (row, column) comes to lie on the plane of the
    tori, of the size named.
    """
    height, width = shape
    _, to_plane = plane_of(shape, Geometry(size, size), POOL_PX)
    column, row, _ = to_plane @ ((width - 1) / 2, (height - 1) / 2, 1.0)
    return np.array([row, column])


def _whole(offset: float, middle: float) -> float:
    """Return the nearest offset of a whole mark pixel, in pooled pixels, to a picture's middle.

    Where a picture lies as it was marked nothing else occurs, and a faint peak says it badly. The
    middle of a frame lies half a mark pixel before one (see `place` in `obverse.watermark.embed`).
    """
    return round(2 * (offset - middle) - 0.5) / 2 + 0.25 + middle


def _seen(image: Image, geometry: Geometry) -> Image:
    return np.ascontiguousarray(image[:, ::-1]) if geometry.mirrored else image


def align(image: Image, key: bytes, geometry: Geometry, count: int = 1) -> Iterator[Fix]:
    """Lay a pooled picture on the torus by a geometry and yield what its chips read at the `count`
    likeliest offsets, best first.
    """
    spectrum = _spectrum(_seen(image, geometry), geometry, POOL_PX)
    surface = scipy.fft.irfft2(spectrum * _reference(key, POOL_PX), s=(POOL_PX, POOL_PX))
    yield from _fixes(spectrum, surface, key, geometry, count, image.shape)


def _fixes(
    spectrum: npt.NDArray[np.complex64],
    surface: npt.NDArray[np.float32],
    key: bytes,
    geometry: Geometry,
    count: int,
    shape: tuple[int, ...],
) -> Iterator[Fix]:
    """Yield what the chips read at the highest places of a surface over the offsets."""
    shaped = spectrum * _pulse(POOL_PX)
    keyed = carriers(key)
    step = POOL_PX // GRID
    middles = _middles(shape, geometry.log_width) if geometry.plain else None
    for around, row, column in _peaks(surface, count):
        down = row + _quarter(*map(float, around[:, 1]))
        right = column + _quarter(*map(float, around[1]))
        if middles is not None:
            down, right = _whole(down, middles[0]), _whole(right, middles[1])
        phase = np.exp(2j * np.pi * down * scipy.fft.fftfreq(POOL_PX))[:, None] * np.exp(
            2j * np.pi * right * scipy.fft.rfftfreq(POOL_PX)
        )
        aligned = scipy.fft.irfft2(shaped * phase.astype(np.complex64), s=(POOL_PX, POOL_PX))
        chips = aligned[::step, ::step].ravel() * keyed.sign
        yield Fix(geometry, (down, right), _sync_z(chips, keyed), chips)


@functools.lru_cache(maxsize=2)
def _bit_references(key: bytes) -> npt.NDArray[np.complex64]:
    """Return the conjugate spectra [N, 128, 65] of the signed chips of some coded bits."""
    keyed = carriers(key)
    bits = keyed.bits[:_BITS_HEARD]
    chips = np.zeros((_BITS_HEARD, GRID * GRID), np.float32)
    np.put_along_axis(chips, bits, keyed.sign[bits], axis=1)
    return np.asarray(np.conj(scipy.fft.rfft2(chips.reshape(-1, GRID, GRID))), np.complex64)


def _without_sync(image: Image, key: bytes, geometry: Geometry) -> Iterator[Fix]:
    """Yield the likeliest offsets by the chips of the coded bits alone, whatever the bits are.

    Who has many clips of one key can learn the synchronisation chips from their average and take
    them away; those of the bits differ from clip to clip.
    """
    spectrum = _spectrum(_seen(image, geometry), geometry, POOL_PX)
    plane = scipy.fft.irfft2(spectrum * _pulse(POOL_PX), s=(POOL_PX, POOL_PX))
    surface = np.empty((POOL_PX, POOL_PX), np.float32)
    step = POOL_PX // GRID
    for down, right in itertools.product(range(step), repeat=2):
        chips = scipy.fft.rfft2(plane[down::step, right::step].astype(np.float32))
        agreed = scipy.fft.irfft2(chips * _bit_references(key), s=(GRID, GRID))
        surface[down::step, right::step] = np.einsum("brc,brc->rc", agreed, agreed)
    yield from _fixes(spectrum, surface, key, geometry, _PEAKS, image.shape)


def offset_for(
    image: Image, payload: int, key: bytes, size: int = SIZES[0]
) -> tuple[int, int] | None:
    """Return the offset, (row, column) in mark pixels, at which a pooled unmarked picture already
    agrees best with the mark of a payload; None for a picture that shows nothing.

    `size` is that of the mark, see `obverse.watermark.geometry.SIZES`.
    """
    spectrum = _spectrum(image, Geometry(size, size), POOL_PX)
    wanted = np.conj(code_spectrum(payload, key, POOL_PX)) * _pulse(POOL_PX)
    surface = scipy.fft.irfft2(spectrum * wanted, s=(POOL_PX, POOL_PX))
    if not float(np.ptp(surface)) > 0:
        return None
    place = np.array(divmod(int(np.argmax(surface)), POOL_PX))
    # The middle of the frame lies half a mark pixel before the torus' first pixel.
    shift = place - _middles(image.shape, size)
    marks = np.round(shift * (TORUS_PX // POOL_PX) - 0.5).astype(int) % TORUS_PX
    return int(marks[0]), int(marks[1])


def _sync_z(chips: npt.NDArray[np.float32], keyed: Carriers) -> float:
    sync = chips[keyed.sync].astype(np.float64)
    return float(sync.sum() / max(np.linalg.norm(sync), 1e-20))


def _coarser(units: int, size: int) -> int:
    """Return a step of the coarse search for marks of one size: the smaller a share of the torus
    the picture spans, the less a step moves its rim.
    """
    return round(units / math.exp(size * UNIT))


def _zooms() -> list[int]:
    """Return logarithms of scales, those near a size of marks first: cropped to half, or pasted
    into something twice as large."""
    least = math.exp((SIZES[-1] - _ZOOM_UNITS) * UNIT)
    scales = [*np.arange(1.0, least, -_STEP_UNITS * UNIT)]
    inward = [round(math.log(scale) / UNIT) for scale in scales]
    found = [*inward, *range(_STEP_UNITS, _ZOOM_UNITS, _STEP_UNITS)]
    return sorted(found, key=lambda units: min(abs(units - size) for size in SIZES))


def _zoomed() -> Iterator[Geometry]:
    """Yield the geometries of crops and of what was pasted into something larger, likely ones
    first; each is tried mirrored too.
    """
    return (Geometry(units, units) for units in _zooms())


def _squeezed_or_turned() -> Iterator[Geometry]:
    """Yield the other geometries of the coarse search; each is tried mirrored too."""
    return itertools.chain.from_iterable(_of_size(size) for size in SIZES)


def _of_size(size: int) -> Iterator[Geometry]:
    step, turn_step = _coarser(_STEP_UNITS, size), _coarser(_TURN_STEP_UNITS, size)
    for units in range(step, 600, step):  # one side cropped or squeezed
        for signed in (-units, units):
            yield Geometry(size + signed, size)
            yield Geometry(size, size + signed)
    for turn in range(turn_step, TURN_UNITS, turn_step):
        # Turned, and cropped so that no corner is empty.
        fit = -round(math.log(math.cos(turn * UNIT) + math.sin(turn * UNIT)) / UNIT)
        for signed in (-turn, turn):
            for smaller in (0, fit, fit // 2):
                yield Geometry(size + smaller, size + smaller, signed)
    for units in range(step, 6 * step, step):  # held a little askew, and from a little further away
        for signed in (-turn_step, turn_step):
            yield Geometry(size + units, size + units, signed)


def _coarse(
    image: Image, key: bytes, families: Iterable[Geometry], count: int, side: int = _COARSE_SIDE
) -> list[Geometry]:
    """Return the `count` most promising geometries of some families, best first, as a torus of
    `side` samples tells them.
    """
    found: list[tuple[float, Geometry]] = []
    for geometry in families:
        spectrum = _whitened(_roughly_laid(image, geometry, side))
        found.append((_peak(spectrum, key, side)[0], geometry))
        # The mirror image turned one way is the picture turned the other way, then mirrored.
        reflected = dataclasses.replace(geometry, turn=-geometry.turn, mirrored=True)
        found.append((_peak(_mirror(spectrum), key, side)[0], reflected))
        if max(found[-1][0], found[-2][0]) > _GOOD_Z:
            break
    found.sort(reverse=True)
    apart: list[Geometry] = []
    for _, geometry in found:
        if len(apart) < count and not any(_near(geometry, other) for other in apart):
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
    """Climb the lattice from a coarse geometry of an image, mirrored already, to a better one."""
    step = _STEP_UNITS // 2

    def height_of(geometry: Geometry) -> float:
        return _peak(_spectrum(image, geometry, _COARSE_SIDE), key, _COARSE_SIDE)[0]

    best, top = start, height_of(start)
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
            if trial.allowed and (value := height_of(trial)) > top:
                top, best, improved = value, trial, True
    return best


def _fits(
    image: Image, part: Image, key: bytes, start: Geometry, count: int, *, leaning: bool
) -> Iterator[Geometry]:
    """Yield what a geometry becomes when it is fitted at the `count` likeliest offsets of a part
    of the picture; both are mirrored already.
    """
    spectrum = _spectrum(part, start, POOL_PX)
    surface = scipy.fft.irfft2(spectrum * _reference(key, POOL_PX), s=(POOL_PX, POOL_PX))
    plane, to_plane = laid(image, start, POOL_PX)
    tiles = (plane.shape[0] // POOL_PX, plane.shape[1] // POOL_PX)
    shaped = _whitened(plane) * pulse_spectrum(POOL_PX, tiles)
    plane = np.asarray(scipy.fft.irfft2(shaped, s=plane.shape), np.float32)
    for _, row, column in _peaks(surface, count):
        place = (row, column)
        geometry = fitted(
            plane, to_plane, image.shape, start, place, carriers(key), leaning=leaning
        )
        if geometry.allowed:
            yield geometry


def _tilted(size: int) -> Iterator[Geometry]:
    """Yield how the middle of a picture may lie that was seen from aside: shrunk, mostly, and
    turned and squeezed a little; each is tried mirrored too.
    """
    # The middle of the torus is looked at, whatever share of the picture that is.
    step = _TILT_UNITS
    for units in range(size - step, size + 6 * step, step):
        for squeeze in (0, -step, step):
            for turn in range(-2 * step, 3 * step, step):
                yield Geometry(units + squeeze, units - squeeze, turn)


def _straight(image: Image, key: bytes) -> Iterator[Geometry]:
    """Yield how the picture may have been scaled and turned, likely ones first."""
    for families, side in ((_zoomed(), _ZOOM_SIDE), (_squeezed_or_turned(), _COARSE_SIDE)):
        for start in _coarse(image, key, families, _CANDIDATES, side):
            picture = _seen(image, start)
            better = _climb(picture, key, start)
            yield from _fits(picture, picture, key, better, _PEAKS, leaning=False)


def _unlean(image: Image, key: bytes) -> Iterator[Geometry]:
    """Yield geometries that lean, likely ones first: found in the picture's middle, and fitted from
    there to the rim.
    """
    for size in SIZES:
        middle = middle_of(image, math.exp(size * UNIT))
        for start in _coarse(middle, key, _tilted(size), _TILTS):
            yield from _fits(_seen(image, start), _seen(middle, start), key, start, 1, leaning=True)


def find(image: Image, key: bytes, accept: Callable[[Fix], bool]) -> Fix:
    """Search for the mark of a key in a pooled picture; return the first fix that `accept` takes,
    or the least likely one to be an accident.

    The picture as it is comes first, so that a clip that was only re-encoded or resized costs a
    few milliseconds.
    """
    best: Fix | None = None
    for fix in _all_fixes(image, key):
        if accept(fix):
            return fix
        best = fix if best is None or _surprise(fix) > _surprise(best) else best
    assert best is not None
    return best


def _surprise(fix: Fix) -> float:
    """Return how far the bound on a fix' z lies below that of nothing: its p-value, as in
    `obverse.watermark.extract`, but for the factors that all fixes share.
    """
    return fix.z * abs(fix.z) / 2 - math.log(hypotheses(fix.geometry))


def _all_fixes(image: Image, key: bytes) -> Iterator[Fix]:
    as_it_is = [
        Geometry(size, size, mirrored=mirrored) for mirrored in (False, True) for size in SIZES
    ]
    for geometry in as_it_is:
        yield from align(image, key, geometry, _PEAKS_PLAIN)
    for geometry in itertools.chain(_straight(image, key), _unlean(image, key)):
        yield from align(image, key, geometry)
    for geometry in as_it_is:
        yield from _without_sync(image, key, geometry)
