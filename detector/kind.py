"""What a kind of detector is: a network of windows, and how windows and batches are made of faces.

A window is what gets one score: a crop for most kinds, a burst of crops for those that look at
time.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from obverse.clip import Clip, Judged
from obverse.detector.config import TrainConfig
from obverse.detector.crop_store import load_faces
from obverse.detector.crops import FaceTrack, FilmFaces

__all__ = [
    "Arrays",
    "Batch",
    "Example",
    "Kind",
    "Look",
    "Network",
    "Sample",
    "Windows",
    "soft_loss",
]

Arrays = tuple[npt.NDArray[Any], ...]  # the network's inputs, each [N, ...]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """What of one track a network scores."""

    inputs: Arrays
    times: npt.NDArray[np.float64]  # [N] seconds, of each window's middle
    crops: tuple[npt.NDArray[np.intp], ...]  # of each window, the indices of its crops


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What a network learns from in one step."""

    inputs: Arrays
    labels: npt.NDArray[np.float32]  # [N] 1 = synthetic


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Example:
    """Windows of one clip with their label, to validate on."""

    clip: str
    synthetic: bool
    inputs: Arrays


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """A clip whose faces were cut out and kept."""

    clip: Clip
    kept: Path  # of crop_store
    judged: Judged = "picture"  # by the kind that it is for

    @property
    def synthetic(self) -> bool:
        """Whether it is the class to be found."""
        return self.clip.synthetic_in(self.judged)

    @property
    def faces(self) -> FilmFaces:
        """What was cut out."""
        return load_faces(self.kept)

    @property
    def track(self) -> FaceTrack:
        """The main face."""
        return self.faces.tracks[0]


class Look(NamedTuple):
    """What a network says of N windows."""

    logits: torch.Tensor  # [N] positive = synthetic
    features: torch.Tensor  # [N, D] what familiarity is judged by: see `familiarity`


@runtime_checkable
class Network(Protocol):
    """A network whose features can be seen."""

    def look(self, *inputs: torch.Tensor) -> Look:
        """Return logits and features of windows."""
        ...


class Kind(Protocol):
    """One kind of detector."""

    @property
    def learns_from(self) -> Literal["twins", "pristine"]:
        """Both classes, or pristine clips alone."""
        ...

    @property
    def judges(self) -> Judged:
        """What its scores are about, and so which label is its truth."""
        ...

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the network's inputs."""
        ...

    def build(self, config: TrainConfig) -> nn.Module:
        """Return a `Network` from inputs to logits `[N]`, positive = synthetic, untrained."""
        ...

    def windows(self, faces: FilmFaces, track: FaceTrack, config: TrainConfig) -> Windows:
        """Return what of a track is scored; none where there is nothing to go by."""
        ...

    def batches(
        self, samples: Sequence[Sample], config: TrainConfig, rng: np.random.Generator, pairs: int
    ) -> Iterator[Batch]:
        """Yield batches of so many pairs without end."""
        ...

    def examples(self, samples: Sequence[Sample], config: TrainConfig) -> Iterator[Example]:
        """Yield what is validated on, the same each time."""
        ...

    def loss(
        self,
        network: nn.Module,
        inputs: tuple[torch.Tensor, ...],
        labels: torch.Tensor,
        config: TrainConfig,
    ) -> torch.Tensor:
        """Return the loss of a batch."""
        ...


def soft_loss(logits: torch.Tensor, labels: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Return the cross entropy of logits `[N]` and smoothed labels."""
    soft = smoothing / 2 + (1 - smoothing) * labels
    return nn.functional.binary_cross_entropy_with_logits(logits.float(), soft)
