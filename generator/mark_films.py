"""Films for `obverse train mark`: photographs that are moved and rendered sitters, unmarked.

`python -m obverse.generator.mark_films PHOTOGRAPHS -o films`: one second each, at sides for which a
mark has each of its sizes, and with a camera of its own each, every other one held in a hand. The
same photographs and seed give the same films.
"""

import argparse
import functools
import itertools
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from obverse.errors import ObverseError
from obverse.files import draft_of
from obverse.generator.motion import FPS
from obverse.generator.performance import PerformanceConfig, perform
from obverse.generator.photograph_films import photographs_of
from obverse.generator.portrait import make_portrait
from obverse.generator.render import RenderConfig, Renderer
from obverse.generator.sensor import exposed
from obverse.generator.sitters.sitter import Sitter
from obverse.generator.speech import Speech, read_speech_features
from obverse.generator.talk import talk
from obverse.generator.voices import list_voices, voice_path
from obverse.media.encode import EncodeConfig, VideoWriter
from obverse.media.still import read_still
from obverse.weights import sha256_file

__all__ = ["film_photograph", "film_sitter", "handheld", "main", "spread"]

Frame = npt.NDArray[np.uint8]

FRAMES = FPS
SIDES_PX = (512, 384, 640, 448)  # in turn
_ENCODE = EncodeConfig(crf=12, threads=1)  # far finer than what a mark is trained against
_FIRST_SITTER = 1000  # seeds from here on; tests and benchmarks take small ones
_SWAY_PX = 0.6  # of a picture of 512: standard deviation of a hand's change of speed
_STEADY = 0.8  # share of its speed that a hand keeps from frame to frame
_MARGIN = 0.04  # of the side: as much as a hand can stray


@functools.lru_cache(maxsize=4)
def _said(number: int) -> Speech:
    voices = list_voices()
    return read_speech_features(voice_path(voices[number % len(voices)].id, 0))


def spread(total: int, count: int) -> list[int]:
    """Return the middles of `count` equal shares of `total` things; benchmarks of the mark take
    where shares begin.
    """
    return [(2 * number + 1) * total // (2 * count) for number in range(count)]


def handheld(frames: Iterable[Frame], rng: np.random.Generator) -> Iterator[Frame]:
    """Yield square frames `[S, S, 3] uint8 RGB` as from a hand that strays: a little less of each,
    at its own size.
    """
    place, speed = np.zeros(2), np.zeros(2)
    for frame in frames:
        side = len(frame)
        unit, most = side / 512, _MARGIN * side
        speed = _STEADY * speed + rng.normal(0, _SWAY_PX * unit, 2)
        place = np.clip(place + speed, -most, most)
        kept = 1 - 2 * _MARGIN
        to_frame = np.array([[kept, 0, most + place[0]], [0, kept, most + place[1]]])
        seen = cv2.warpAffine(
            frame,
            to_frame,
            (side, side),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        yield np.asarray(seen, np.uint8)


def _square(frames: Iterable[Frame], side: int) -> Iterator[Frame]:
    """Yield the squares in the middle of frames, `side` pixels wide."""
    for frame in frames:
        height, width = frame.shape[:2]
        kept = min(height, width)
        top, left = (height - kept) // 2, (width - kept) // 2
        square = frame[top : top + kept, left : left + kept]
        if kept != side:
            square = np.asarray(cv2.resize(square, (side, side), interpolation=cv2.INTER_CUBIC))
        yield np.ascontiguousarray(square, np.uint8)


def film_photograph(photograph: Path, number: int, side: int) -> Iterator[Frame]:
    """Yield frames of a photograph that says the sentence of a number, no camera between."""
    portrait = make_portrait(read_still(photograph), sha256_file(photograph), name=photograph.name)
    renderer = Renderer(portrait, RenderConfig(size=side))
    yield from talk(renderer, _said(number), seed=number, controls=PerformanceConfig())


def film_sitter(number: int, side: int) -> Iterator[Frame]:
    """Yield frames of a virtual person who says the sentence of a number, no camera between."""
    motion = perform(_said(number), number, PerformanceConfig())
    sitter = Sitter.from_seed(_FIRST_SITTER + number)
    for shown in sitter.perform(motion, size=side, grain=False):
        yield shown.image


def _write(path: Path, frames: Iterable[Frame], number: int, side: int, seed: int) -> None:
    rng = np.random.default_rng([seed, number])
    taken = _square(itertools.islice(frames, FRAMES), side)
    if number % 2:
        taken = handheld(taken, rng)
    with draft_of(path) as draft, VideoWriter(draft, side, side, FPS, config=_ENCODE) as writer:
        for frame in exposed(taken, int(rng.integers(1 << 31))):
            writer.write(frame)


def main() -> None:
    """Write the films of a folder of photographs, and of sitters."""
    parser = argparse.ArgumentParser(description="Unmarked films, for obverse train mark.")
    parser.add_argument("photographs", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--count", type=int, default=48, help="how many photographs; 48")
    parser.add_argument("--sitters", type=int, default=12, help="how many sitters; 12")
    parser.add_argument("--seed", type=int, default=60)
    options = parser.parse_args()
    try:
        found = photographs_of(options.photographs, options.count)
        options.output.mkdir(parents=True, exist_ok=True)
        for number in range(options.count + options.sitters):
            # Sides and hands go in turn, so that every side has films of both kinds.
            side = SIDES_PX[number // 2 % len(SIDES_PX)]
            path = options.output / f"{number:03d}.mp4"
            if number >= options.count:
                _write(path, film_sitter(number, side), number, side, options.seed)
                continue
            photograph = found[spread(len(found), options.count)[number]]
            try:
                frames = film_photograph(photograph, number, side)
                _write(path, frames, number, side, options.seed)
            except ObverseError as error:  # a photograph that cannot be moved is none of the films
                sys.stderr.write(f"{photograph.name} was left out: {error}\n")
    except ObverseError as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
