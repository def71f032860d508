"""What many clips of one key give away to whoever lacks it:
`python -m benchmarks.mark_averages --portraits FOLDER`.

Photographs are moved by the generator, marked, encoded as a release is and averaged: as they lie,
and after laying them on each other by what their pooled pictures have in common, which needs no
key. The average is then taken from every clip, each time as strongly as it is found there or more,
and the clip is read. All clips are 512 x 512, and a frame shows a part of the torus; where that
lies differs from clip to clip, and laid together they show all of it.
"""

import argparse
import dataclasses
import itertools
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import scipy.fft

from benchmarks.machine import machine
from benchmarks.mark import psnr
from benchmarks.mark_attacks import RELEASE, Frame, decoded, encoded
from benchmarks.mark_clips import photographs
from obverse.errors import InputError
from obverse.media.colour import rgb_to_yuv420
from obverse.watermark.carriers import TORUS_PX, pulse_spectrum
from obverse.watermark.embed import Embedder
from obverse.watermark.extract import extract_frames
from obverse.watermark.geometry import UNIT, Geometry, laid, size_for
from obverse.watermark.pool import POOL_PX, Pool

__all__ = ["average", "laid_together", "measure"]

_ROUNDS = 4  # of laying clips on each other's average
_CONTENT_PX = 4.0  # standard deviation of the high-pass that leaves mark and detail
_STRENGTHS = (1.0, 2.0, 3.0)  # an estimate of a mark among noise is too small by least squares
_EDGE_LEVELS = 3.0  # more than that at a place is content and no mark
_PX = 512  # of a clip's sides
_SIZE = size_for(_PX, _PX)
_SHOWN_PX = round(TORUS_PX * math.exp(_SIZE * UNIT))  # mark pixels that a side of a frame spans

Residual = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, eq=False)
class _Clip:
    """A marked and released clip, as an attacker has it, and what only we know of it."""

    plain: list[Frame]
    marked: list[Frame]
    payload: int
    residual: Residual  # [512, 512] mean high-passed luma, clipped
    spectrum: npt.NDArray[np.complex64]  # of its pooled picture on the torus, in the mark's band


def _clip(plain: list[Frame], payload: int) -> _Clip:
    embedder = Embedder(payload)
    marked = list(decoded(encoded((embedder.embed_planes(frame) for frame in plain), RELEASE)))
    pool = Pool()
    total = np.zeros(marked[0].shape[:2], np.float32)
    for frame in marked:
        pool.add(frame)
        luma = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
        total += luma - cv2.GaussianBlur(luma, (0, 0), _CONTENT_PX)
    residual = np.clip(total / len(marked), -_EDGE_LEVELS, _EDGE_LEVELS)
    plane, _ = laid(pool.image, Geometry(_SIZE, _SIZE), POOL_PX)
    spectrum = scipy.fft.rfft2(plane) * pulse_spectrum(POOL_PX)
    spectrum /= np.linalg.norm(spectrum)
    # As a player shows both: the encoder's own loss is no cost of the attack.
    shown = list(decoded(encoded(map(rgb_to_yuv420, plain), RELEASE)))
    return _Clip(shown, marked, payload, np.asarray(residual, np.float32), spectrum)


def _shift(one: npt.NDArray[np.complex64], other: npt.NDArray[np.complex64]) -> tuple[float, Any]:
    """Return how well one picture fits on another, in standard deviations, and where it does."""
    surface = scipy.fft.irfft2(np.conj(one) * other, s=(POOL_PX, POOL_PX))
    place = np.unravel_index(int(np.argmax(surface)), surface.shape)
    return float(surface[place] / surface.std()), np.array(place)


def _moved(
    spectrum: npt.NDArray[np.complex64], place: npt.NDArray[np.intp]
) -> npt.NDArray[np.complex64]:
    """Return the spectrum of a picture rolled back by a place (row, column)."""
    rows = np.exp(2j * np.pi * place[0] * scipy.fft.fftfreq(POOL_PX))[:, None]
    columns = np.exp(2j * np.pi * place[1] * scipy.fft.rfftfreq(POOL_PX))[None]
    return np.asarray(spectrum * rows * columns, np.complex64)


def laid_together(
    spectra: Sequence[npt.NDArray[np.complex64]],
) -> list[npt.NDArray[np.intp]]:
    """Return where each of some pictures lies, (row, column) in pooled pixels, so that they agree
    best; found without the key."""
    pairs = itertools.combinations(range(len(spectra)), 2)
    first, second = max(pairs, key=lambda pair: _shift(spectra[pair[0]], spectra[pair[1]])[0])
    places: dict[int, npt.NDArray[np.intp]] = {first: np.zeros(2, np.intp)}
    places[second] = _shift(spectra[first], spectra[second])[1]
    for _ in range(_ROUNDS):
        for index, spectrum in enumerate(spectra):
            others = [_moved(spectra[at], places[at]) for at in places if at != index]
            places[index] = _shift(np.sum(others, axis=0), spectrum)[1]
    return [places[index] for index in range(len(spectra))]


def average(residuals: Sequence[Residual], places: Sequence[npt.NDArray[np.intp]]) -> Residual:
    """Return the mean, on the torus [512, 512], of what residuals [512, 512] show of it, each
    rolled back by a place in pooled pixels.
    """
    step = TORUS_PX // POOL_PX
    total, shown = np.zeros((2, TORUS_PX, TORUS_PX), np.float32)
    window = np.zeros((TORUS_PX, TORUS_PX), np.float32)
    window[:_SHOWN_PX, :_SHOWN_PX] = 1.0
    for residual, place in zip(residuals, places, strict=True):
        patch = np.zeros((TORUS_PX, TORUS_PX), np.float32)
        small = cv2.resize(residual, (_SHOWN_PX, _SHOWN_PX), interpolation=cv2.INTER_AREA)
        patch[:_SHOWN_PX, :_SHOWN_PX] = small
        total += np.roll(patch, tuple(-step * place), (0, 1))
        shown += np.roll(window, tuple(-step * place), (0, 1))
    return np.asarray(total / np.maximum(shown, 1.0), np.float32)


def _stripped(
    clips: Sequence[_Clip], places: Sequence[npt.NDArray[np.intp]], strength: float
) -> dict[str, Any]:
    """Take the average of all clips from each, `strength` times as strongly as least squares find
    it there; return how many are still read, and at what cost."""
    mean = average([clip.residual for clip in clips], places)
    step = TORUS_PX // POOL_PX
    read, costs, z = 0, [], []
    for clip, place in zip(clips, places, strict=True):
        patch = np.roll(mean, tuple(step * place), (0, 1))[:_SHOWN_PX, :_SHOWN_PX]
        there = cv2.resize(patch, (_PX, _PX), interpolation=cv2.INTER_CUBIC)
        share = strength * float((clip.residual * there).sum() / (there**2).sum())
        attacked = [
            np.clip(np.round(frame - share * there[..., None]), 0, 255).astype(np.uint8)
            for frame in clip.marked
        ]
        found = extract_frames(attacked)
        read += found.payload == clip.payload
        z.append(round(found.z, 1))
        costs.append(psnr(clip.plain, attacked))
    return {
        "read": read,
        "clips": len(clips),
        "psnr_db": round(float(np.median(costs)), 2),
        "unattacked_psnr_db": round(
            float(np.median([psnr(clip.plain, clip.marked) for clip in clips])), 2
        ),
        "z": z,
    }


def measure(films: Sequence[list[Frame]]) -> dict[str, Any]:
    """Mark films with payloads of their own, and with one, and attack them by their average."""
    rng = np.random.default_rng(1)
    result: dict[str, Any] = {"machine": machine(), "clips": len(films)}
    one = [0x0123456789ABCDEF] * len(films)
    for label, payloads in {
        "payloads of their own": [int(rng.integers(1 << 63)) for _ in films],
        "one payload": one,
    }.items():
        clips = [_clip(film, payload) for film, payload in zip(films, payloads, strict=True)]
        print(f"{label}: {len(clips)} clips", file=sys.stderr, flush=True)
        as_they_lie = [np.zeros(2, np.intp)] * len(clips)
        together = laid_together([clip.spectrum for clip in clips])
        for name, places in {"as they lie": as_they_lie, "laid together": together}.items():
            for strength in _STRENGTHS:
                key = f"{label}, {name}, {strength:g} times"
                result[key] = _stripped(clips, places, strength)
                print(key, result[key], file=sys.stderr, flush=True)
    return result


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--portraits", type=Path, required=True, help="a folder of photographs")
    parser.add_argument("--count", type=int, default=30, help="of clips")
    parser.add_argument("--frames", type=int, default=16, help="of each clip")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    try:
        found = photographs(options.portraits, options.count)
    except (InputError, OSError) as error:
        parser.error(str(error))
    films = [list(itertools.islice(source.frames(), options.frames)) for source in found]
    print(json.dumps(measure(films), indent=2))


if __name__ == "__main__":
    main()
