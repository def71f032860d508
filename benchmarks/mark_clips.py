"""The films that `benchmarks.mark_grid` marks: recordings of a folder, flat graphics, virtual
people, photographs that the generator moves, and a minute of recordings one after the other.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks.mark_attacks import FPS, Frame
from obverse.errors import InputError
from obverse.generator.performance import PerformanceConfig, perform
from obverse.generator.portrait import make_portrait
from obverse.generator.render import Renderer
from obverse.generator.sitters.sitter import Sitter
from obverse.generator.speech import Speech, read_speech_features
from obverse.generator.talk import talk
from obverse.generator.voices import list_voices, voice_path
from obverse.media.still import read_still
from obverse.media.video import read_frames
from obverse.weights import sha256_file

__all__ = ["MINUTE", "Source", "photographs", "sources"]

MINUTE = "a minute"
_SECONDS = 3
_MINUTE_SECONDS = 60
_LONG_PX = 1920
# Short side of the recordings, in turn, and whether they are cut to a square.
_SHAPES = ((512, True), (1080, False), (720, False), (360, False), (512, True))
_GRAPHICS_PX = (640, 360)
_SITTERS = (7, 21)  # seeds


@dataclasses.dataclass(frozen=True)
class Source:
    """A film that carries no mark."""

    name: str
    kind: str
    frames: Callable[[], Iterator[Frame]]  # `[H, W, 3] uint8 RGB`, H and W even, 25 a second
    seconds: int = _SECONDS  # at most


def _shaped(frame: Frame, short_px: int, square: bool) -> Frame:
    height, width = frame.shape[:2]
    if square:
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        frame = frame[top : top + side, left : left + side]
        height = width = side
    scale = min(1.0, short_px / min(height, width), _LONG_PX / max(height, width))
    size = (round(width * scale / 2) * 2, round(height * scale / 2) * 2)
    if square:
        size = (short_px, short_px)
    if size != (width, height):
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        frame = np.asarray(cv2.resize(frame, size, interpolation=how), np.uint8)
    return np.ascontiguousarray(frame)


def _recording(path: Path, short_px: int, square: bool) -> Source:
    def frames() -> Iterator[Frame]:
        # Frame by frame, whatever the recording's rate: none occurs twice.
        for frame in read_frames(path, max_frames=_SECONDS * FPS):
            yield _shaped(frame, short_px, square)

    return Source(path.stem, "recording", frames)


def _minute(paths: Sequence[Path]) -> Source:
    def frames() -> Iterator[Frame]:
        left = _MINUTE_SECONDS * FPS
        for path in paths:
            for frame in read_frames(path, max_frames=left):
                yield _shaped(frame, 512, True)
                left -= 1
            if left == 0:
                return

    return Source(MINUTE, "recordings, cut together", frames, _MINUTE_SECONDS)


def _graphics() -> Iterator[Frame]:
    """Draw a presentation: even areas, letters, a bar that grows."""
    width, height = _GRAPHICS_PX
    font = cv2.FONT_HERSHEY_SIMPLEX
    for number in range(_SECONDS * FPS):
        frame = np.full((height, width, 3), (242, 240, 235), np.uint8)
        cv2.rectangle(frame, (0, 0), (width, height // 6), (28, 60, 110), -1)
        cv2.putText(frame, "Quarterly figures", (24, height // 9), font, 1.0, (255,) * 3, 2)
        for bar, share in enumerate((0.35, 0.6, 0.45, 0.8)):
            grown = share * min(1.0, (number + 10) / 50)
            left, base = 60 + bar * 90, height - 50
            top = round(base - grown * (height - 150))
            colour = ((200, 70, 60), (70, 150, 90), (80, 100, 190), (220, 170, 60))[bar]
            cv2.rectangle(frame, (left, top), (left + 60, base), colour, -1)
            cv2.putText(frame, f"Q{bar + 1}", (left + 12, height - 22), font, 0.7, (40,) * 3, 2)
        cv2.circle(frame, (width - 110, height // 2), 60, (150, 190, 225), -1)
        cv2.circle(frame, (width - 110, height // 2), 60, (28, 60, 110), 3)
        yield frame


def _said() -> Speech:
    """Return some seconds of a bundled voice."""
    return read_speech_features(voice_path(list_voices()[0].id, 0))


def _sitter(seed: int) -> Source:
    def frames() -> Iterator[Frame]:
        motion = perform(_said(), seed, PerformanceConfig())
        for shown in Sitter.from_seed(seed).perform(motion, size=512):
            yield shown.image

    return Source(f"sitter {seed}", "a virtual person, rendered", frames)


def _photograph(path: Path) -> Source:
    def frames() -> Iterator[Frame]:
        portrait = make_portrait(read_still(path), sha256_file(path), name=path.name)
        yield from talk(Renderer(portrait), _said(), seed=0, controls=PerformanceConfig())

    return Source(path.stem, "a photograph, moved", frames)


def photographs(folder: Path, count: int) -> list[Source]:
    """Return `count` photographs of a folder, spread evenly, that the generator moves.

    Raises:
        InputError: the folder is absent, or holds fewer.
    """
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    stills = [path for path in found if path.suffix.lower() in (".jpg", ".png")]
    if len(stills) < count:
        raise InputError(f"{folder} holds {len(stills)} photographs; ask for no more.")
    return [_photograph(stills[len(stills) * number // count]) for number in range(count)]


def sources(folder: Path, portraits: Path | None, count: int) -> list[Source]:
    """List the films: all recordings of a folder, what is made here, and `count` photographs
    of another folder, spread evenly.

    Raises:
        InputError: a folder is absent or empty.
    """
    films = sorted(folder.glob("*.mp4")) if folder.is_dir() else []
    if not films:
        raise InputError(f"{folder} holds no mp4; give a folder of recordings with --clips.")
    found = [_recording(path, *_SHAPES[number % len(_SHAPES)]) for number, path in enumerate(films)]
    found.append(Source("graphics", "flat graphics, drawn", _graphics))
    found += [_sitter(seed) for seed in _SITTERS]
    if portraits is not None:
        found += photographs(portraits, count)
    return [*found, _minute(films)]
