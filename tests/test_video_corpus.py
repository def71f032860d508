"""A corpus of a user's videos: what is good enough is kept, what is not is named."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from obverse.errors import FaceError, InputError
from obverse.generator import video_corpus
from obverse.generator.cues import CUES
from obverse.generator.expression_reading import OUTPUTS
from obverse.generator.motion import FPS, Motion
from obverse.generator.shards import list_shards, read_shard
from obverse.generator.video_corpus import mouth_follows_sound, videos_to_corpus
from obverse.generator.video_motion import MotionQuality, Rest, VideoMotion

FRAMES = 12 * FPS
GOOD = MotionQuality(seen=1.0, jitter_deg=0.1, face_px=90.0, turned_deg=5.0, presence=1.0, jumps=0)


def _heard() -> npt.NDArray[np.float32]:
    cues = np.zeros((FRAMES, len(CUES)), np.float32)
    cues[:, CUES.index("voice")] = 1.0
    wave = 0.5 + 0.5 * np.sin(np.arange(FRAMES) * 0.9)
    for step in range(4):
        cues[:, CUES.index(f"jaw.{step}")] = wave
    return cues


def _moved(lag: int = 0, *, seen: npt.NDArray[np.bool_] | None = None) -> VideoMotion:
    opening = 0.2 + 0.2 * np.sin((np.arange(FRAMES) - lag) * 0.9)
    return VideoMotion(
        Motion.still(FRAMES).with_expression(jawOpen=opening),
        np.ones(FRAMES, bool) if seen is None else seen,
        Rest(np.zeros(OUTPUTS), np.zeros(3), 90.0, np.zeros(2)),
        GOOD,
    )


def _folder(tmp_path: Path, *names: str) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(name.encode())
    return folder


def _patch(patch: pytest.MonkeyPatch, read: dict[str, VideoMotion]) -> list[str]:
    asked = []

    def motion(path: Path) -> VideoMotion:
        asked.append(path.name)
        if path.name not in read:
            raise FaceError(f"{path} shows no face.")
        return read[path.name]

    patch.setattr(video_corpus, "read_motion", motion)
    patch.setattr(video_corpus, "read_speech", lambda *_: np.zeros(FRAMES * 640, np.float32))
    patch.setattr(video_corpus, "read_cues", lambda _: _heard())
    return asked


def test_the_mouth_must_follow_the_sound() -> None:
    assert mouth_follows_sound(_moved().motion, _heard()) > 0.99
    assert mouth_follows_sound(_moved(2).motion, _heard()) > 0.99  # sound a little late
    assert mouth_follows_sound(Motion.still(FRAMES), _heard()) == 0.0
    noise = np.random.default_rng(0).random(FRAMES)
    loose = Motion.still(FRAMES).with_expression(jawOpen=noise)
    assert mouth_follows_sound(loose, _heard()) < 0.2


def test_good_videos_are_kept_and_others_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = np.ones(FRAMES, bool)
    half[130:140] = False

    def changed(**quality: float) -> VideoMotion:
        return dataclasses.replace(
            _moved(), quality=dataclasses.replace(GOOD, **quality)  # type: ignore[arg-type]
        )  # fmt: skip

    still = dataclasses.replace(_moved(), motion=Motion.still(FRAMES))
    read = {
        "a.mp4": _moved(), "b.mp4": _moved(seen=half), "cut.mp4": changed(jumps=2),
        "far.mp4": changed(face_px=20.0), "hidden.mp4": changed(seen=0.5), "mute.mp4": still,
    }  # fmt: skip
    folder = _folder(tmp_path, *read, "none.mp4", "notes.txt")
    asked = _patch(monkeypatch, read)
    work = videos_to_corpus(folder, tmp_path / "work")
    index = json.loads((work / "index.json").read_text())
    assert set(index["refused"]) == {"cut.mp4", "far.mp4", "hidden.mp4", "mute.mp4", "none.mp4"}
    assert [row["video"] for row in index["shards"]] == ["a.mp4", "b.mp4", "b.mp4"]
    shards = [read_shard(path) for path in list_shards(work)]
    assert [len(shard) for shard in shards] == [300, 130, 160]
    assert not any(shard.known.any() for shard in shards)
    assert len(asked) == 7
    told: list[tuple[str, int, int]] = []
    videos_to_corpus(folder, work, progress=lambda *row: told.append(row))
    assert len(asked) == 7  # nothing is read twice
    assert told[-1] == ("videos", 7, 7)


def test_a_folder_without_a_usable_video_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="no folder"):
        videos_to_corpus(tmp_path / "absent", tmp_path / "work")
    folder = _folder(tmp_path, "notes.txt")
    with pytest.raises(InputError, match="no video"):
        videos_to_corpus(folder, tmp_path / "work")
    (folder / "a.mp4").write_bytes(b"a")
    _patch(monkeypatch, {})
    with pytest.raises(InputError, match="shows no face"):
        videos_to_corpus(folder, tmp_path / "work")


@pytest.mark.slow
def test_a_real_recording_is_read(tmp_path: Path) -> None:
    clip = Path(__file__).resolve().parents[2] / "shared" / "clips" / "talking.mp4"
    if not clip.is_file():
        pytest.skip("the shared clips are not here")
    folder = tmp_path / "videos"
    folder.mkdir()
    (folder / "talking.mp4").symlink_to(clip)
    shards = [read_shard(path) for path in list_shards(videos_to_corpus(folder, tmp_path / "work"))]
    assert sum(map(len, shards)) > 4 * FPS
