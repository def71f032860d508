"""A motion corpus out of a user's own talking-head videos: read, doubted, and cut into shards.

What the people in them felt, and where they were told to look, nobody knows: `Shard.known` is
False, and a model learns from them without those conditions. Use only videos whose people have
agreed to it.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError, FaceError, InputError
from obverse.files import write_whole
from obverse.generator.cues import CUES, read_cues
from obverse.generator.emotions import emotion_vector
from obverse.generator.motion import FPS, Motion, expression_index
from obverse.generator.shards import Shard, hearing_version, write_index, write_shard
from obverse.generator.speech import RATE_HZ
from obverse.generator.video_motion import MotionQuality, read_motion
from obverse.media.audio import read_speech

__all__ = ["VideoCorpusConfig", "mouth_follows_sound", "videos_to_corpus"]

_KINDS = frozenset({".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts"})
_LAG_FRAMES = 3  # sound and picture of a recording may be this far apart
_CHUNK_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VideoCorpusConfig:
    """Which videos, and which parts of them, are good enough to learn from."""

    seen: float = 0.9  # share of frames with a face
    face_px: float = 40.0  # median interocular distance
    turned_deg: float = 40.0  # median angle between face and camera
    jitter_deg: float = 1.5  # head rotation above 6 Hz, root mean square
    follows: float = 0.2  # correlation of the mouth's opening with what is heard to open it
    voiced_seconds: float = 2.0  # a voice at least this long, or nothing can be correlated
    shortest_seconds: float = 4.0  # of an unbroken run of frames with a face
    longest_seconds: float = 60.0  # of a shard

    def __post_init__(self) -> None:
        """Refuse runs that cannot be."""
        if not 0.0 < self.shortest_seconds <= self.longest_seconds:
            raise ConfigError(
                f"shards of {self.shortest_seconds} to {self.longest_seconds} s cannot be cut."
            )


def mouth_follows_sound(motion: Motion, cues: npt.NDArray[np.float32]) -> float:
    """Return the correlation in [-1, 1] of how open the mouth is with how open it is heard to be,
    while there is a voice, at the best lag of up to `_LAG_FRAMES`; 0 where nothing moves."""
    frames = min(len(motion), len(cues))
    expression = motion.expression[:frames]
    opening = expression[:, expression_index("jawOpen")]
    opening = opening - expression[:, expression_index("mouthClose")]
    heard = cues[:frames, [CUES.index(f"jaw.{step}") for step in range(4)]].mean(1)
    heard = heard + 0.5 * cues[:frames, [CUES.index(f"lips.{step}") for step in range(4)]].mean(1)
    voiced = cues[:frames, CUES.index("voice")] > 0.5
    best = 0.0
    for lag in range(-_LAG_FRAMES, _LAG_FRAMES + 1):
        moved = np.roll(opening, lag)
        moved, wanted = moved[voiced], heard[voiced]
        if len(moved) > FPS and moved.std() > 1e-3 and wanted.std() > 1e-3:
            best = max(best, float(np.corrcoef(moved, wanted)[0, 1]))
    return best


def _doubt(
    quality: MotionQuality, follows: float, voiced_seconds: float, config: VideoCorpusConfig
) -> str | None:
    """Return why a video is left out, or None."""
    if quality.seen < config.seen:
        return f"a face is seen in only {quality.seen:.0%} of its frames"
    if quality.face_px < config.face_px:
        return f"the face is small: {quality.face_px:.0f} px between the eyes"
    if quality.turned_deg > config.turned_deg:
        return f"the face is turned away by {quality.turned_deg:.0f} degrees"
    if quality.jitter_deg > config.jitter_deg:
        return f"the head shakes by {quality.jitter_deg:.1f} degrees above 6 Hz"
    if quality.jumps:
        return f"it is cut: the head leaps {quality.jumps} times"
    if voiced_seconds < config.voiced_seconds:
        return f"a voice is heard for only {voiced_seconds:.1f} s"
    if follows < config.follows:
        return f"the mouth does not follow the sound (correlation {follows:.2f})"
    return None


def _runs(seen: npt.NDArray[np.bool_], config: VideoCorpusConfig) -> list[slice]:
    """Return the unbroken runs of frames with a face, cut to the longest that is allowed."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], seen, [False]]).astype(np.int8)))
    shortest, longest = (
        round(seconds * FPS) for seconds in (config.shortest_seconds, config.longest_seconds)
    )
    runs = []
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        for start in range(int(first), int(last), longest):
            stop = min(start + longest, int(last))
            if stop - start >= shortest:
                runs.append(slice(start, stop))
    return runs


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()[:24]


def _read_video(path: Path, work: Path, name: str, config: VideoCorpusConfig) -> dict[str, Any]:
    """Write the shards of one video; return what became of it."""
    try:
        cues = read_cues(read_speech(path, RATE_HZ))
        read = read_motion(path)
    except (InputError, FaceError) as error:
        return {"video": path.name, "refused": str(error), "shards": []}
    voiced = float((cues[:, CUES.index("voice")] > 0.5).sum()) / FPS
    follows = mouth_follows_sound(read.motion, cues)
    about = {"video": path.name, "follows": round(follows, 3), "seen": round(read.quality.seen, 3)}
    reason = _doubt(read.quality, follows, voiced, config)
    if reason is not None:
        return {**about, "refused": reason, "shards": []}
    frames = min(len(read.motion), len(cues))
    rows = []
    for number, run in enumerate(_runs(read.seen[:frames], config)):
        motion = read.motion[run]
        count = len(motion)
        shard = Shard(
            cues[run],
            np.concatenate([motion.expression, motion.rotation, motion.translation], 1),
            np.tile(emotion_vector([]), (count, 1)),
            np.zeros((count, 2), np.float32),
            np.ones(count, np.float32),
            np.zeros(3, bool),
        )
        file = f"{name}-{number:03d}.npz"
        write_shard(work / file, shard, hearing_version())
        rows.append({"file": file, "stretch": name, "frames": count, "kind": "video", **about})
    refused = None if rows else f"no run of {config.shortest_seconds:g} s shows a face throughout"
    return {**about, "refused": refused, "shards": rows}


def videos_to_corpus(
    folder: Path,
    work: Path,
    config: VideoCorpusConfig | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Path:
    """Read every video in `folder`, and below it, into shards in `work`; returns `work`.

    A video that was read before is not read again, as long as neither it, nor the ear, nor the
    settings have changed. `index.json` says of each video that was left out why.

    Args:
        folder: talking-head videos, one person each.
        work: where the shards go.
        config: what is good enough.
        progress: told how many videos have been read, of how many.

    Raises:
        InputError: there is no video, or none that can be learnt from.
    """
    config = config or VideoCorpusConfig()
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder of videos.")
    videos = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _KINDS and p.is_file())
    if not videos:
        raise InputError(f"{folder} holds no video ({' '.join(sorted(_KINDS))}).")
    read = work / "read"
    read.mkdir(parents=True, exist_ok=True)
    settings = {"config": dataclasses.asdict(config), "hearing": hearing_version()}
    rows: list[dict[str, Any]] = []
    refused: dict[str, str] = {}
    met: set[str] = set()
    for done, path in enumerate(videos, 1):
        name = _digest(path)
        note = read / f"{name}.json"
        known = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else {}
        if known.get("settings") != settings or not all(
            (work / row["file"]).is_file() for row in known["result"]["shards"]
        ):
            known = {"settings": settings, "result": _read_video(path, work, name, config)}
            write_whole(note, json.dumps(known))
        result = known["result"]
        if name in met:
            refused[path.name] = "it is the same file as another"
        elif result["refused"] is not None:
            refused[path.name] = str(result["refused"])
        else:
            rows += result["shards"]
        met.add(name)
        if progress is not None:
            progress("videos", done, len(videos))
    write_index(work, rows, {"videos": len(videos), "refused": refused, **settings})
    if not rows:
        name, reason = next(iter(refused.items()))
        raise InputError(f"no video in {folder} can be learnt from; of {name}: {reason}.")
    return work
