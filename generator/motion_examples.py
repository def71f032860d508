"""From a corpus of motion to what a training step takes: tensors, and nothing to compute.

`prepare` reads every shard once, fits the `MotionSpace`, and writes flat arrays beside each other;
`draw_batch` cuts windows out of them.
"""

import dataclasses
import hashlib
import itertools
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from obverse.errors import InputError
from obverse.generator.cues import CUES
from obverse.generator.motion_space import (
    CUE_FRAMES,
    HOP_FRAMES,
    LAGS,
    MEMORY,
    STYLES,
    ControlFollower,
    Memory,
    MotionSpace,
    anchors_of,
    fit_anchor,
    fit_components,
    fit_predictor,
    measure_style,
    pack_controls,
    to_features,
)
from obverse.generator.shards import Shard, list_shards, read_shard
from obverse.generator.speech_regression import fit_speech

__all__ = ["Batch", "Table", "draw_batch", "prepare"]

_log = logging.getLogger(__name__)

Array = npt.NDArray[np.float32]

_FIT_WINDOWS = 60_000
_SHORTEST_FRAMES = 50  # of a shard that is used
_VOICE = CUES.index("voice")
_VERSION = 5  # of the table; raise it when anything here changes
_ARRAYS = ("parts", "cues", "controls", "memory", "starts", "known", "style")


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A corpus laid out flat: `F` frames of `S` shards."""

    space: MotionSpace
    parts: npt.NDArray[np.float16]  # [F, D] components
    cues: npt.NDArray[np.float16]  # [F, C]
    controls: npt.NDArray[np.float16]  # [F, 11]
    memory: npt.NDArray[np.float16]  # [F, MEMORY] before each frame
    starts: npt.NDArray[np.int64]  # [S + 1]
    known: npt.NDArray[np.bool_]  # [S, 3] whether emotion, gaze and distance were told
    style: Array  # [S, 8] scaled to unit variance

    @property
    def seconds(self) -> float:
        """Duration of all shards."""
        return len(self.parts) / 25.0

    def save(self, folder: Path, key: str) -> None:
        """Write the arrays; the key last, so that a half-written table is none."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "key.json").unlink(missing_ok=True)
        for name in _ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name))
        (folder / "space.json").write_text(json.dumps(self.space.pack()), encoding="utf-8")
        (folder / "key.json").write_text(json.dumps(key), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Map what `save` wrote into memory."""
        space = MotionSpace.unpack(json.loads((folder / "space.json").read_text(encoding="utf-8")))
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
        return cls(space=space, **arrays)


def _key(corpus: Path) -> str:
    index = (corpus / "index.json").read_bytes() if (corpus / "index.json").is_file() else b""
    return hashlib.sha256(index + str(_VERSION).encode()).hexdigest()


def prepare(
    corpus: Path,
    folder: Path,
    *,
    space: MotionSpace | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Table:
    """Lay a corpus out in `folder`, or take what lies there already.

    Args:
        corpus: a folder of shards, see `motion_corpus`.
        folder: where the arrays go.
        space: keep this one, to go on with a network that was trained in it; None fits a new one.
        progress: told how many shards have been read, of how many.

    Raises:
        InputError: the corpus has no shard that can be used.
    """
    key = _key(corpus) + ("-kept" if space is not None else "")
    marker = folder / "key.json"
    if marker.is_file() and json.loads(marker.read_text(encoding="utf-8")) == key:
        return Table.load(folder)
    shards: list[Shard] = []
    paths = list_shards(corpus)
    for done, path in enumerate(paths, 1):
        shard = read_shard(path)
        if len(shard) >= _SHORTEST_FRAMES:
            shards.append(shard)
        if progress is not None:
            progress("shards", done, len(paths))
    if not shards:
        raise InputError(f"{corpus} holds no stretch of motion of two seconds or more.")
    table = lay_out(shards, space)
    table.save(folder, key)
    return Table.load(folder)


def lay_out(shards: list[Shard], space: MotionSpace | None = None) -> Table:
    """Fit the space (unless it is given) and compute every array."""
    starts = np.cumsum([0, *(len(shard) for shard in shards)])
    features = np.concatenate([to_features(shard.motion) for shard in shards])
    controls = np.concatenate(
        [pack_controls(shard.emotion, shard.gaze, shard.distance) for shard in shards]
    )
    followed = np.concatenate(
        [
            ControlFollower().follow(controls[first:last])
            for first, last in itertools.pairwise(starts)
        ]
    )
    anchor = space.anchor if space is not None else fit_anchor(features, followed)
    wander = features - anchors_of(anchor, followed)
    styles = np.stack(
        [
            measure_style(wander[a:b], features[a:b], shard.cues[:, _VOICE])
            for a, b, shard in zip(starts[:-1], starts[1:], shards, strict=True)
        ]
    )
    centre, size = styles.mean(0), styles.std(0) + 1e-6
    if space is not None:
        centre, size = space.style_scale
    style = np.clip((styles - centre) / size, -2.5, 2.5).astype(np.float32)
    cues = np.concatenate([shard.cues for shard in shards]).astype(np.float16)
    if space is None:
        maps = fit_speech(cues, controls[:, :8], style, wander, starts)
        blank = MotionSpace(anchor, *maps, *([np.zeros(0, np.float32)] * 9))
    else:
        blank = space
    for row, (a, b) in enumerate(itertools.pairwise(starts)):
        heard = _led_in(cues[a:b].astype(np.float32))
        wander[a:b] -= blank.spoken(heard, controls[a:b, :8], style[row])
    if space is None:
        encode, decode, floors = fit_components(wander)
    else:
        encode, decode, floors = space.encode, space.decode, space.floors
    parts = (wander @ encode).astype(np.float32)
    if space is None:
        rng = np.random.default_rng(0)
        predict, spread, first_spread = fit_predictor(_windows(parts, starts, rng), floors)
        correlation = style.T @ style / len(style) + 0.02 * np.eye(len(STYLES))
        space = MotionSpace(
            anchor=anchor,
            speech_in=blank.speech_in,
            speech_mid=blank.speech_mid,
            speech_out=blank.speech_out,
            encode=encode,
            decode=decode,
            predict=predict,
            spread=spread,
            first_spread=first_spread,
            style_spread=np.linalg.cholesky(correlation).astype(np.float32),
            style_scale=np.stack([centre, size]).astype(np.float32),
            floors=floors,
            rest=parts.mean(0).astype(np.float32),
        )
    return Table(
        space=space,
        parts=parts.astype(np.float16),
        cues=cues,
        controls=controls.astype(np.float16),
        memory=_memories(wander, features, starts),
        starts=starts,
        known=np.stack([shard.known for shard in shards]),
        style=style,
    )


def _led_in(cues: Array) -> Array:
    """Return cues with their first row before them, as often as a window looks back."""
    return np.concatenate([np.repeat(cues[:1], CUE_FRAMES - 1, 0), cues])


def _windows(parts: Array, starts: npt.NDArray[np.int64], rng: np.random.Generator) -> Array:
    """Draw windows `[N, LAGS + HOP_FRAMES, D]` that do not cross shards."""
    length = LAGS + HOP_FRAMES
    allowed = np.concatenate([np.arange(a, b - length + 1) for a, b in itertools.pairwise(starts)])
    if len(allowed) > _FIT_WINDOWS:
        allowed = rng.choice(allowed, _FIT_WINDOWS, replace=False)
    return parts[allowed[:, None] + np.arange(length)]


def _memories(
    wander: Array, features: Array, starts: npt.NDArray[np.int64]
) -> npt.NDArray[np.float16]:
    memories = np.empty((len(wander), MEMORY), np.float16)
    for first, last in itertools.pairwise(starts):
        memory = Memory()
        for index in range(first, last):
            memories[index] = memory.read()
            memory.note(wander[index], features[index])
    return memories


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Windows of `N` hops; `F = N * HOP_FRAMES` frames."""

    parts: Array  # [B, LAGS + F, D]; before a performance's first frame it is what lies at rest
    cues: Array  # [B, F, C]
    controls: Array  # [B, F, 11]
    memory: Array  # [B, N, MEMORY]
    known: Array  # [B, 3]
    style: Array  # [B, 8]
    fresh: npt.NDArray[np.bool_]  # [B] whether the first hop begins the performance


def draw_batch(
    table: Table, size: int, hops: int, rng: np.random.Generator, fresh: float = 0.15
) -> Batch:
    """Draw windows; a share `fresh` of them begins where its shard does."""
    frames = hops * HOP_FRAMES
    lengths = np.diff(table.starts)
    usable = np.flatnonzero(lengths >= frames + LAGS)
    if not len(usable):
        raise InputError(
            f"no stretch of the corpus is as long as a training window of {frames / 25:g} s."
        )
    shares = lengths[usable] / lengths[usable].sum()
    chosen = rng.choice(usable, size, p=shares)
    begins = rng.random(size) < fresh
    room = lengths[chosen] - frames - LAGS
    first = table.starts[chosen] + np.where(begins, 0, LAGS + rng.integers(0, room + 1))
    at = first[:, None] + np.arange(frames)
    before = np.maximum(first[:, None] + np.arange(-LAGS, 0), table.starts[chosen][:, None])
    return Batch(
        parts=table.parts[np.concatenate([before, at], 1)].astype(np.float32),
        cues=table.cues[at].astype(np.float32),
        controls=table.controls[at].astype(np.float32),
        memory=table.memory[at[:, ::HOP_FRAMES]].astype(np.float32),
        known=table.known[chosen].astype(np.float32),
        style=table.style[chosen],
        fresh=begins,
    )
