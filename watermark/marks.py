"""The kinds of mark behind one interface: the classical one, the learned one, and Video Seal's.

All carry 64 bits under a key and answer with a `MarkReading`. They do not read each other's marks,
but for the classical and the learned one, which share carriers and code.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from obverse.errors import WeightsError
from obverse.watermark.carriers import DEFAULT_KEY, key_stream
from obverse.watermark.embed import Embedder, Frame, MarkConfig
from obverse.watermark.extract import MarkReading, Progress, extract_frames, sampled
from obverse.watermark.learned import Networks, load_networks
from obverse.watermark.video_seal import VideoSealMark

__all__ = [
    "ClassicalMark",
    "ClipMarker",
    "LearnedMark",
    "Mark",
    "open_mark",
    "read_file",
]

_FRAMES_READ = 300  # of a longer film; the rest is not looked at


class ClipMarker(Protocol):
    """Marks the frames of one clip."""

    def embed(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Yield each frame `[H, W, 3] uint8 RGB` marked; the input is not touched."""
        ...


class Mark(Protocol):
    """A kind of mark, under one key."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def frames_read(self) -> int:
        """How many frames of a long film are read at most."""
        ...

    def embedder(self, payload: int) -> ClipMarker:
        """Return what puts 64 bits into one clip.

        Raises:
            ConfigError: the payload does not fit.
        """
        ...

    def extract_frames(self, frames: Iterable[Frame]) -> MarkReading:
        """Read the mark of a clip's frames, each `[H, W, 3] uint8 RGB` of one size.

        Raises:
            InputError: there are no frames, or they are too small.
        """
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class ClassicalMark:
    """The mark that every released clip bears."""

    key: bytes = DEFAULT_KEY
    config: MarkConfig | None = None
    name = "classical"
    frames_read = _FRAMES_READ

    def embedder(self, payload: int) -> Embedder:
        """Return what puts 64 bits into one clip."""
        return Embedder(payload, self.key, self.config)

    def extract_frames(self, frames: Iterable[Frame]) -> MarkReading:
        """Read the mark of a clip's frames."""
        return extract_frames(frames, self.key)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class LearnedMark:
    """The classical mark with networks for its reading and, where there is one, for its gain."""

    networks: Networks
    key: bytes = DEFAULT_KEY
    config: MarkConfig | None = None
    name = "learned"
    frames_read = _FRAMES_READ

    def embedder(self, payload: int) -> Embedder:
        """Return what puts 64 bits into one clip."""
        networks = self.networks
        return Embedder(payload, self.key, self.config, gain=networks.gain, reader=networks.reader)

    def extract_frames(self, frames: Iterable[Frame]) -> MarkReading:
        """Read the mark of a clip's frames."""
        return extract_frames(frames, self.key, reader=self.networks.reader)


def open_mark(weights: Path | None = None, key: bytes = DEFAULT_KEY) -> Mark:
    """Return the mark that weights belong to: none for the classical mark, the folder of `obverse
    train mark` for a learned one, a TorchScript file for Video Seal's.

    Raises:
        WeightsError: there is nothing there, or it is not what it should be.
        ConfigError: the key is too short.
    """
    key_stream(key, b"", 0)  # refuses a key that is too short, before anything is loaded
    if weights is None:
        return ClassicalMark(key)
    if weights.is_dir():
        return LearnedMark(load_networks(weights), key)
    if not weights.is_file():
        raise WeightsError(
            f"there are no weights {weights}; give the folder of `obverse train mark`, or the "
            "TorchScript file of Video Seal."
        )
    return VideoSealMark(weights, key)


def read_file(path: Path, mark: Mark, *, progress: Progress | None = None) -> MarkReading:
    """Read a mark of a film: of its frames, or of those spread over its first minute if it is long.

    Raises:
        InputError: the file cannot be read as video, or its frames are too small.
    """
    return mark.extract_frames(sampled(path, mark.frames_read, progress=progress))
