"""Shards: stretches of motion with what was heard and told, as files.

A shard `NNNNN.npz` holds, for `T` frames at 25 a second, `cues` [T, C] float16, `motion` [T, 58]
float32 (expression 52, rotation 3, translation 3), `emotion` [T, 8], `gaze` [T, 2] (yaw, pitch;
radians), `distance` [T], and `known` [3] bool: whether emotion, gaze and distance are what the
performer was told (in videos nobody knows). `index.json` lists the shards and how they were made.
"""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from obverse.errors import InputError
from obverse.files import draft_of, write_whole
from obverse.generator.cues import CUES
from obverse.generator.motion import FPS, UNREADABLE_ARRAYS
from obverse.weights import card

__all__ = [
    "Shard",
    "heard_by",
    "hearing_version",
    "list_shards",
    "read_shard",
    "read_windows",
    "save_arrays",
    "write_index",
    "write_shard",
]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Shard:
    """A stretch of performance, `T` frames."""

    cues: npt.NDArray[np.float32]  # [T, len(CUES)]
    motion: npt.NDArray[np.float32]  # [T, 58]
    emotion: npt.NDArray[np.float32]  # [T, 8]
    gaze: npt.NDArray[np.float32]  # [T, 2] yaw, pitch; radians
    distance: npt.NDArray[np.float32]  # [T]
    known: npt.NDArray[np.bool_]  # [3] whether emotion, gaze and distance were told

    def __post_init__(self) -> None:
        """Refuse arrays whose shapes disagree, and values that are not finite."""
        frames = len(self.motion)
        names = ("cues", "motion", "emotion", "gaze", "distance")
        shapes = tuple(getattr(self, name).shape for name in names)
        wanted = ((frames, len(CUES)), (frames, 58), (frames, 8), (frames, 2), (frames,))
        if shapes != wanted or self.known.shape != (3,):
            raise InputError(f"a shard has arrays of shapes {shapes}; it needs {wanted}.")
        for name in names:
            if not np.isfinite(getattr(self, name)).all():
                raise InputError(f"a shard's {name} holds values that are not finite; remove it.")

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.motion)

    def __getitem__(self, frames: slice) -> "Shard":
        """Return a part of it."""
        return Shard(
            self.cues[frames], self.motion[frames], self.emotion[frames], self.gaze[frames],
            self.distance[frames], self.known,
        )  # fmt: skip


def hearing_version() -> str:
    """Return what tells one ear from another: the start of its weights' sha256."""
    return str(card("obverse.generator", "hearing.onnx")["sha256"])[:16]


def save_arrays(path: Path, **arrays: npt.ArrayLike) -> None:
    """Write an `.npz` whole or not at all."""
    with draft_of(path) as draft, draft.open("wb") as stream:
        content: dict[str, Any] = dict(arrays)
        np.savez_compressed(stream, **content)


def write_shard(path: Path, shard: Shard, hearing: str) -> None:
    """Write a shard; `hearing` says by which ear its cues were heard."""
    save_arrays(
        path,
        cues=shard.cues.astype(np.float16),
        motion=shard.motion.astype(np.float32),
        emotion=shard.emotion.astype(np.float16),
        gaze=shard.gaze.astype(np.float32),
        distance=shard.distance.astype(np.float32),
        known=shard.known,
        hearing=hearing,
    )


def read_shard(path: Path) -> Shard:
    """Read a shard.

    Raises:
        InputError: it is no shard, or one of other cues.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            parts = {name: arrays[name].astype(np.float32) for name in
                     ("cues", "motion", "emotion", "gaze", "distance")}  # fmt: skip
            return Shard(**parts, known=arrays["known"].astype(bool))
    except UNREADABLE_ARRAYS as error:
        raise InputError(f"{path} is no shard of a motion corpus; make the corpus anew.") from error
    except InputError as error:
        raise InputError(f"{path} is no shard of a motion corpus: {error}") from error


def list_shards(folder: Path) -> list[Path]:
    """Return the shards that the folder's index lists, in order.

    Raises:
        InputError: the folder has no index, or one that is damaged.
    """
    index = folder / "index.json"
    if not index.is_file():
        raise InputError(f"{folder} is no motion corpus: it has no index.json.")
    try:
        rows = json.loads(index.read_text(encoding="utf-8"))["shards"]
        return [folder / str(row["file"]) for row in rows]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{index} is no index of a motion corpus; make the corpus anew."
        ) from error


def read_windows(folder: Path, frames: int, step: int | None = None) -> Iterator[Shard]:
    """Yield windows of `frames` frames of every shard, `step` apart (None: one after the other)."""
    for path in list_shards(folder):
        shard = read_shard(path)
        for first in range(0, len(shard) - frames + 1, step or frames):
            yield shard[first : first + frames]


def heard_by(path: Path) -> str:
    """Return by which ear a shard's cues were heard, as `hearing_version` names it; "" if it cannot
    be read."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return str(arrays["hearing"])
    except UNREADABLE_ARRAYS:
        return ""


def write_index(folder: Path, rows: list[dict[str, Any]], made: dict[str, Any]) -> None:
    """Write the folder's index: a row a shard (`file`, `frames`, ...), and how it was made."""
    frames = sum(int(row["frames"]) for row in rows)
    index = {
        "fps": FPS,
        "cues": list(CUES),
        "hearing": hearing_version(),
        "minutes": round(frames / FPS / 60.0, 2),
        **made,
        "shards": rows,
    }
    write_whole(folder / "index.json", json.dumps(index, indent=1))
