"""A clip's frames to be encoded anew, whether they come from a film or from pictures."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from obverse.datasets.footage import Pictures, Source, footage_at
from obverse.media.audio import read_speech
from obverse.media.video import probe, read_frames, read_moments

__all__ = ["Reel", "open_reel"]

Image = npt.NDArray[np.uint8]


@dataclasses.dataclass(frozen=True, slots=True)
class Reel:
    """Frames at a rate, and perhaps sound."""

    fps: float
    seconds: float  # 0 for a single picture
    has_audio: bool
    path: Path | None = None  # of a film
    pictures: Pictures | None = None  # of what is none

    @classmethod
    def of_film(cls, path: Path) -> Self:
        """Return a film's.

        Raises:
            InputError: it cannot be read.
        """
        info = probe(path)
        return cls(info.fps, info.seconds, info.has_audio, path)

    def frames(self, fps: float) -> Iterator[Image]:
        """Yield the frames nearest to a constant rate, `[H, W, 3] uint8 RGB`."""
        if self.path is not None:
            return read_frames(self.path, fps=fps)
        count = max(1, round(self.seconds * fps))
        return (image for _, image in self.moments((np.arange(count) / fps).tolist()))

    def moments(self, times: Sequence[float]) -> Iterator[tuple[float, Image]]:
        """Yield the frames nearest to some seconds, with the seconds that they are shown at."""
        if self.path is not None:
            return read_moments(self.path, times)
        assert self.pictures is not None
        return self.pictures.moments(times)

    def sound(self, rate_hz: int) -> npt.NDArray[np.float32] | None:
        """Return mono samples `[N] float32`; None where there is no sound."""
        if not self.has_audio or self.path is None:
            return None
        return read_speech(self.path, rate_hz)


@contextlib.contextmanager
def open_reel(source: Source) -> Iterator[Reel]:
    """Open a film, a still, or pictures in a folder or tar.

    Raises:
        InputError: it cannot be read.
    """
    footage = footage_at(source)
    if footage.form == "film":
        with footage.film() as path:
            yield Reel.of_film(path)
        return
    with footage.pictures() as pictures:
        yield Reel(pictures.fps, pictures.seconds, False, pictures=pictures)
