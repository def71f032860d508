"""Cuts the faces out of a clip: one recipe, used to train and to score, and kept with the weights.

Frames are spread evenly over the clip. Faces are linked over time into tracks; each is cut level
with its eyes, at a size that follows the face, so that a detector sees the same part of every face.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError, InputError
from obverse.faces.landmarks import Face, FaceReader
from obverse.media.video import probe, read_frames

__all__ = [
    "CropRecipe",
    "FaceTrack",
    "cut_face",
    "cut_tracks",
    "load_tracks",
    "save_tracks",
    "track_faces",
]

Image = npt.NDArray[np.uint8]

OUTER_EYES = (33, 263)
MESH = 468  # landmarks without the irises


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CropRecipe:
    """How faces are cut out."""

    size_px: int = 128  # side of a crop
    frames: int = 16  # spread evenly over the clip
    margin: float = 1.4  # side of the square that is cut, in sides of the face's bounds
    link: float = 0.3  # intersection over union from which two faces in successive frames are one
    track_share: float = 0.3  # of the sampled frames that a face must be in to count

    def __post_init__(self) -> None:
        """Refuse values that cannot be used."""
        allowed = {
            "size_px": (32 <= self.size_px <= 1024, "32 to 1024"),
            "frames": (1 <= self.frames <= 10_000, "1 to 10000"),
            "margin": (0.5 <= self.margin <= 4, "0.5 to 4"),
            "link": (0 < self.link < 1, "between 0 and 1"),
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
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Build a recipe from `dataclasses.asdict`'s values."""
        return cls(**values)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class FaceTrack:
    """One person's face through a clip, in the sampled frames that show it."""

    times: npt.NDArray[np.float32]  # [N] seconds
    boxes: npt.NDArray[np.float32]  # [N, 4] x0, y0, x1, y1 px of the clip
    crops: npt.NDArray[np.uint8]  # [N, S, S, 3] RGB

    def __len__(self) -> int:
        """Return the number of crops."""
        return len(self.times)


def cut_face(image: Image, face: Face, recipe: CropRecipe) -> Image:
    """Return the square `[S, S, 3]` around a face, level with its eyes.

    Outside the picture its border is repeated.
    """
    points = face.landmarks[:MESH, :2].astype(np.float64)
    dx, dy = face.landmarks[OUTER_EYES[1], :2] - face.landmarks[OUTER_EYES[0], :2]
    angle = float(np.arctan2(dy, dx))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    level = points @ turn
    low, high = level.min(axis=0), level.max(axis=0)
    side = float((high - low).max()) * recipe.margin
    # Shrink with averaging: sample at a whole multiple of the crop's size first.
    factor = max(1, round(side / recipe.size_px))
    size = recipe.size_px * factor
    scale = side / size
    matrix = np.empty((2, 3))
    matrix[:, :2] = turn * scale
    matrix[:, 2] = turn @ ((low + high) / 2) - matrix[:, :2] @ np.full(2, (size - 1) / 2)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    crop = cv2.warpAffine(image, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    if factor > 1:
        crop = cv2.resize(crop, (recipe.size_px, recipe.size_px), interpolation=cv2.INTER_AREA)
    return np.asarray(crop, np.uint8)


def _overlap(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    shared = np.prod(np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0))
    return float(shared / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared))


def track_faces(
    frames: Iterable[tuple[float, Image]], recipe: CropRecipe, reader: FaceReader
) -> list[FaceTrack]:
    """Link the faces in frames `(seconds, image)` to tracks, that with most crops first."""
    growing: list[list[tuple[float, npt.NDArray[np.float32], Image]]] = []
    count = 0
    for seconds, image in frames:
        count += 1
        open_tracks = list(growing)
        for face in reader.read(image):
            best = max(
                open_tracks, key=lambda track: _overlap(track[-1][1], face.box), default=None
            )
            if best is None or _overlap(best[-1][1], face.box) < recipe.link:
                best = []
                growing.append(best)
            else:
                open_tracks = [track for track in open_tracks if track is not best]
            best.append((seconds, face.box, cut_face(image, face, recipe)))
    tracks = [
        FaceTrack(
            np.array([seconds for seconds, _, _ in track], np.float32),
            np.stack([box for _, box, _ in track]),
            np.stack([crop for _, _, crop in track]),
        )
        for track in growing
        if len(track) >= recipe.track_share * count
    ]
    return sorted(
        tracks,
        key=lambda track: (
            -len(track),
            -float(np.prod(track.boxes[:, 2:] - track.boxes[:, :2], axis=1).mean()),
        ),
    )


def cut_tracks(path: Path, recipe: CropRecipe, reader: FaceReader) -> list[FaceTrack]:
    """Return the face tracks of a film; an empty list when it shows no face.

    Raises:
        InputError: the film cannot be read.
    """
    info = probe(path)
    if info.seconds <= 0:
        raise InputError(f"{path} lasts {info.seconds} s; a film needs at least one frame.")
    # The middles of equal spans, as a constant rate that starts half a span in.
    span = info.seconds / recipe.frames
    if info.frames is not None and info.frames <= recipe.frames:
        frames = enumerate(read_frames(path))
        step, start = 1 / info.fps, 0.0
    else:
        start, step = span / 2, span
        frames = enumerate(
            read_frames(path, fps=1 / span, start_seconds=start, max_frames=recipe.frames)
        )
    return track_faces(((start + i * step, image) for i, image in frames), recipe, reader)


def save_tracks(path: Path, tracks: Sequence[FaceTrack]) -> None:
    """Keep tracks in an `.npz` file, written whole or not at all."""
    arrays = {
        f"{name}{i}": getattr(track, name)
        for i, track in enumerate(tracks)
        for name in ("times", "boxes", "crops")
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("wb") as stream:
        np.savez(stream, count=np.int64(len(tracks)), **arrays)
    part.replace(path)


def load_tracks(path: Path) -> list[FaceTrack]:
    """Read tracks written by `save_tracks`."""
    with np.load(path, allow_pickle=False) as arrays:
        return [
            FaceTrack(arrays[f"times{i}"], arrays[f"boxes{i}"], arrays[f"crops{i}"])
            for i in range(int(arrays["count"]))
        ]
