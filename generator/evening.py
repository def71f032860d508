"""Encodes a clip in as many bits as its twin, so that a file's size does not tell what it shows.

A still that is moved is cheaper to predict from frame to frame than a film: at one quality it takes
up to a third fewer bits, nearly all of them saved between key frames. Encoders that are held to one
quality would therefore write the label into every file. Here the quality follows instead: the clip
is encoded on trial until its key frames, and the frames between them, are as large as the twin's.
"""

import dataclasses
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from obverse.media.container import open_input, packets
from obverse.media.encode import EncodeConfig, VideoWriter, crop_even
from obverse.watermark.embed import Embedder

__all__ = ["KEY_RATIO", "Sizes", "Spool", "evened", "sizes_of"]

Frame = npt.NDArray[np.uint8]

_TRIALS = 5
# Natural logarithms of sizes: nearer than this is near enough.
_NEAR_BETWEEN, _NEAR_KEYS = 0.02, 0.04
# How sizes follow the quantiser at first guess, in natural logarithms a step of crf. What a trial
# shows replaces the guess, within bounds: grain comes in at once where it is coded at all.
_SLOPE_BETWEEN, _SLOPE_BETWEEN_LEAST, _SLOPE_BETWEEN_MOST = -0.14, -0.07, -0.5
_SLOPE_KEYS = -0.095
_STEP_MOST = 3.0  # of crf, from one trial to the next
_STRAY_MOST = 8.0  # of crf, from what was asked for
# Key frames that are much coarser than the others would be seen to pulse.
KEY_RATIO = (0.7, 3.0)
_STEPS_AN_OCTAVE = 6.0  # of x264's quantiser, which doubles in as many
_STAND_IN = 0x5EED  # a payload for trials: any mark takes as many bits


class Sizes(NamedTuple):
    """Bytes of a film's picture."""

    keys: int  # of key frames
    between: int  # of all others


def sizes_of(path: Path) -> Sizes:
    """Return how many bytes the packets of a film's picture have.

    Raises:
        InputError: the file cannot be read, or breaks off.
    """
    keys = between = 0
    with open_input(path) as container:
        for packet in packets(container, container.streams.video[0], path):
            if packet.is_keyframe:
                keys += packet.size
            else:
                between += packet.size
    return Sizes(keys, between)


class Spool:
    """Frames put by in a file, for whoever must go through them more than once."""

    def __init__(self, path: Path, frames: Iterable[Frame]) -> None:
        """Write all frames `[H, W, 3] uint8 RGB`, of one size, to a file, cropped to even sides."""
        self._path = path
        self._shape: tuple[int, ...] = ()
        self._count = 0
        with path.open("wb") as stream:
            for frame in frames:
                even = np.ascontiguousarray(crop_even(frame))
                self._shape = even.shape
                stream.write(even.tobytes())
                self._count += 1

    def __len__(self) -> int:
        """Return how many frames there are."""
        return self._count

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames, each an array of its own."""
        with self._path.open("rb") as stream:
            for _ in range(self._count):
                yield np.fromfile(stream, np.uint8, math.prod(self._shape)).reshape(self._shape)


@dataclasses.dataclass(frozen=True, slots=True)
class _Trial:
    config: EncodeConfig
    keys: float  # natural logarithm of what the key frames take over what they should
    between: float  # the same of the others

    @property
    def near(self) -> bool:
        return abs(self.keys) <= _NEAR_KEYS and abs(self.between) <= _NEAR_BETWEEN

    @property
    def error(self) -> float:
        return abs(self.keys) + 2 * abs(self.between)


def evened(
    frames: Iterable[Frame], fps: float, asked: EncodeConfig, wanted: Sizes, draft: Path
) -> EncodeConfig:
    """Return the settings at which frames take as many bytes as wanted, or come nearest to it.

    Args:
        frames: `[H, W, 3] uint8 RGB`, of one even size; gone through once a trial.
        fps: frames a second.
        asked: where to begin. `crf` and `key_ratio` are changed, the rest is kept.
        wanted: bytes of the picture.
        draft: an mp4 that may be written and removed.
    """
    tried: list[_Trial] = []
    config, slope = asked, _SLOPE_BETWEEN
    for _ in range(_TRIALS):
        made = _encoded(frames, fps, config, draft)
        tried.append(
            _Trial(config, _over(made.keys, wanted.keys), _over(made.between, wanted.between))
        )
        trial = tried[-1]
        if trial.near:
            break
        if len(tried) > 1:
            slope = _slope(tried[-2], trial, slope)
        config = _next(trial, asked, slope, alone=not wanted.between)
    return min(tried, key=lambda trial: trial.error).config


def _over(made: int, wanted: int) -> float:
    return math.log(made / wanted) if made and wanted else 0.0


def _slope(before: _Trial, after: _Trial, slope: float) -> float:
    moved = after.config.crf - before.config.crf
    if abs(moved) < 0.1:
        return slope
    seen = (after.between - before.between) / moved
    return min(_SLOPE_BETWEEN_LEAST, max(_SLOPE_BETWEEN_MOST, seen))


def _next(trial: _Trial, asked: EncodeConfig, slope: float, *, alone: bool) -> EncodeConfig:
    """Return what to try after a trial; `alone` where there are key frames only."""
    keys = -trial.keys / _SLOPE_KEYS  # how much coarser the key frames must become
    step = keys if alone else -trial.between / slope
    step = min(_STEP_MOST, max(-_STEP_MOST, step))
    crf = min(asked.crf + _STRAY_MOST, max(asked.crf - _STRAY_MOST, trial.config.crf + step))
    crf = round(min(51.0, max(1.0, crf)), 2)
    if alone:
        return dataclasses.replace(trial.config, crf=crf)
    # The ratio sets how much finer key frames are than the others, which have moved as well.
    finer = (crf - trial.config.crf - min(_STEP_MOST, max(-_STEP_MOST, keys))) / _STEPS_AN_OCTAVE
    least, most = KEY_RATIO
    ratio = min(most, max(least, trial.config.key_ratio * 2**finer))
    return dataclasses.replace(trial.config, crf=crf, key_ratio=round(ratio, 3))


def _encoded(frames: Iterable[Frame], fps: float, config: EncodeConfig, draft: Path) -> Sizes:
    """Mark and encode frames as `release` would, and return what the picture takes."""
    embedder = Embedder(_STAND_IN)
    writer: VideoWriter | None = None
    planes: Frame | None = None
    try:
        for frame in frames:
            height, width = frame.shape[:2]
            if writer is None:
                writer = VideoWriter(draft, width, height, fps, config)
            planes = embedder.embed_planes(frame, planes)
            writer.write_planes(planes)
        if writer is None:
            return Sizes(0, 0)
        writer.close()
        return sizes_of(draft)
    finally:
        if writer is not None:
            writer.abort()
        draft.unlink(missing_ok=True)
