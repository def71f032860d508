"""How faces are cut out of a clip: one recipe, to train and to score, kept with the weights."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np

from obverse.errors import ConfigError

__all__ = ["SOUND_HZ", "CropRecipe", "Region"]

Region = Literal["face", "mouth"]

SOUND_HZ = 16_000
_VERSION = 3  # of what a recipe means: a change makes every kept crop stale


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CropRecipe:
    """Which frames are looked at, how faces are linked, and how each is cut."""

    size_px: int = 224  # side of a crop
    moments: int = 32  # spread evenly over the clip
    burst: int = 1  # successive frames at each moment
    burst_fps: float = 25.0  # their rate
    every: int = 5  # frames of a burst between two searches for faces; in between, positions glide
    region: Region = "face"
    margin: float = 1.4  # side of the square that is cut, in sides of the region
    sound: bool = False  # whether the sound around each burst is kept
    sound_pad_seconds: float = 0.6  # of it before and after the burst
    search_px: int = 640  # longer side of the picture in which faces are looked for
    search_every: int = 4  # pictures; where all faces are large, half of that is enough in between
    longest_px: int = 1920  # larger frames are scaled down to it
    min_px: int = 20  # smaller faces are not looked at
    link: float = 0.3  # intersection over union from which two faces in turn are one
    reach: float = 0.8  # sides that a face may have moved when they do not overlap so much
    gap: int = 3  # moments that a face may be out of sight and still be the same track
    track_share: float = 0.1  # of the moments that a face must be in to count

    def __post_init__(self) -> None:
        """Refuse values that cannot be used."""
        allowed = {
            "size_px": (32 <= self.size_px <= 1024, "32 to 1024"),
            "moments": (1 <= self.moments <= 10_000, "1 to 10000"),
            "burst": (1 <= self.burst <= 250, "1 to 250"),
            "burst_fps": (1 <= self.burst_fps <= 120, "1 to 120"),
            "every": (1 <= self.every <= 250, "1 to 250"),
            "region": (self.region in ("face", "mouth"), "face or mouth"),
            "margin": (0.5 <= self.margin <= 4, "0.5 to 4"),
            "sound_pad_seconds": (0 <= self.sound_pad_seconds <= 5, "0 to 5"),
            "search_px": (64 <= self.search_px <= 4096, "64 to 4096"),
            "search_every": (1 <= self.search_every <= 1000, "1 to 1000"),
            "longest_px": (64 <= self.longest_px <= 8192, "64 to 8192"),
            "min_px": (1 <= self.min_px <= 1024, "1 to 1024"),
            "link": (0 < self.link < 1, "between 0 and 1"),
            "reach": (0 <= self.reach <= 5, "0 to 5"),
            "gap": (0 <= self.gap <= 1000, "0 to 1000"),
            "track_share": (0 <= self.track_share <= 1, "0 to 1"),
        }
        for name, (fine, bounds) in allowed.items():
            if not fine:
                raise ConfigError(
                    f"a crop recipe's {name} is {getattr(self, name)}; it must be {bounds}."
                )

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that differ where crops would."""
        text = json.dumps([_VERSION, dataclasses.asdict(self)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @property
    def burst_seconds(self) -> float:
        """From the first to the last frame of a burst."""
        return (self.burst - 1) / self.burst_fps

    @property
    def sound_samples(self) -> int:
        """Samples of sound that are kept around a burst."""
        seconds = self.burst / self.burst_fps + 2 * self.sound_pad_seconds
        return round(seconds * SOUND_HZ) if self.sound else 0

    def schedule(self, seconds: float, fps: float, frames: int | None) -> list[list[float]]:
        """Return the seconds of the frames to look at: a list a moment, a burst in each.

        The middles of equal spans; a film with fewer frames gives all that it has.
        """
        if self.burst == 1:
            if frames is not None and frames <= self.moments:
                return [[i / fps] for i in range(frames)]
            span = seconds / self.moments
            return [[(i + 0.5) * span] for i in range(self.moments)]
        step = 1 / self.burst_fps
        whole = self.burst * step
        moments = max(1, min(self.moments, int(seconds / whole + 1e-6)))
        count = self.burst if seconds >= whole - step / 2 else max(1, round(seconds / step))
        span = seconds / moments
        starts = [max(0.0, (i + 0.5) * span - count * step / 2) for i in range(moments)]
        return [(start + step * np.arange(count)).tolist() for start in starts]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Build a recipe from `dataclasses.asdict`'s values."""
        return cls(**values)
