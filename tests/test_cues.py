"""Cues in closed form on pictures, sound and films whose properties are known."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from obverse.clip import Clip
from obverse.eval import cues
from obverse.eval.cues import (
    CUES,
    RATE_HZ,
    blockiness,
    jpeg_ghost,
    noise_level,
    read_cues,
    sharpness,
    silences,
    top_boxes,
)
from obverse.media.still import write_still
from obverse.media.video import VideoWriter

SIDE, FRAMES, FPS = 24, 10, 25  # too small for a mark, which would take time to look for


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cues, "cache_directory", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def smooth(side: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 200, (8, 8, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)


def film(path: Path, *, sound: bool = True, fps: int = FPS) -> Clip:
    rng = np.random.default_rng(1)
    tone = 0.3 * np.sin(np.arange(int(48_000 * FRAMES / fps)) / 20).astype(np.float32)
    tone[: len(tone) // 2] = 0
    with VideoWriter(
        path, SIDE, SIDE, fps, audio=tone if sound else None, audio_rate=48_000
    ) as writer:
        for _ in range(FRAMES):
            noise = rng.normal(0, 4, (SIDE, SIDE, 3))
            writer.write(np.clip(smooth(SIDE) + noise, 0, 255).astype(np.uint8))
    return Clip(id=path.stem, path=path.name, label="pristine", kind="camera")


def test_noise_is_measured_in_grey_levels() -> None:
    rng = np.random.default_rng(0)
    flat = np.clip(rng.normal(128, 5, (256, 256)), 0, 255).astype(np.uint8)
    assert noise_level(flat) == pytest.approx(5, rel=0.05)
    assert noise_level(np.full((64, 64), 9, np.uint8)) == 0


def test_sharpness_falls_with_blur() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    blurred = np.asarray(cv2.GaussianBlur(picture, (0, 0), 1), np.uint8)
    assert sharpness(picture) > 5 * sharpness(blurred)


def test_blocks_are_seen_on_their_grid() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (128, 128)).astype(np.uint8)
    assert blockiness(noise) == pytest.approx(1, abs=0.05)
    blocks = np.kron(rng.integers(0, 200, (16, 16)), np.ones((8, 8), int)) + noise // 8
    assert blockiness(blocks.astype(np.uint8)) > 3
    shifted = np.roll(blocks, 3, axis=(0, 1)).astype(np.uint8)
    assert blockiness(shifted) < 1


def test_a_jpeg_dips_at_its_own_quality() -> None:
    rng = np.random.default_rng(0)
    picture = np.clip(smooth(128) + rng.normal(0, 6, (128, 128, 3)), 0, 255).astype(np.uint8)
    _, packed = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 70])
    again = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
    assert jpeg_ghost(again) > 5 * abs(jpeg_ghost(picture))


def test_silence_is_counted_at_both_ends() -> None:
    tone = np.sin(np.arange(RATE_HZ) / 3).astype(np.float32)
    quiet = np.zeros(RATE_HZ // 2, np.float32)
    samples = np.concatenate([quiet, tone, quiet[: RATE_HZ // 5]])
    leading, trailing = silences(samples)
    assert leading == pytest.approx(0.5, abs=0.011)
    assert trailing == pytest.approx(0.2, abs=0.011)
    assert silences(np.zeros(RATE_HZ, np.float32)) == (1.0, 1.0)
    assert silences(np.zeros(0, np.float32)) == (0.0, 0.0)


def test_a_film_is_described(tmp_path: Path) -> None:
    clip = film(tmp_path / "id3_0007.mp4")
    (found,) = read_cues([clip], tmp_path)
    assert found.status == "ok"
    numbers = found.numbers
    assert numbers["file_size"] == (tmp_path / clip.path).stat().st_size
    assert (numbers["frames"], numbers["fps"], numbers["pixels"]) == (FRAMES, FPS, SIDE * SIDE)
    assert numbers["seconds"] == pytest.approx(FRAMES / FPS, abs=0.01)
    assert numbers["keyframe_interval"] == FRAMES
    assert 0 < numbers["bitrate"] < 8 * numbers["file_size"] / numbers["seconds"]
    assert numbers["leading_silence"] == pytest.approx(0.2, abs=0.05)
    assert found.texts["resolution"] == f"{SIDE}x{SIDE}"
    assert found.texts["sound"].startswith("aac 48000 Hz")
    assert found.texts["boxes"].startswith("ftyp")
    assert (found.texts["name_shape"], numbers["name_length"]) == ("a9_9", 8)
    assert "mark_z" not in numbers
    assert set(numbers) <= {cue.name for cue in CUES if cue.number}
    assert set(found.texts) == {cue.name for cue in CUES if not cue.number}


def test_a_mute_film_has_no_sound_cues(tmp_path: Path) -> None:
    (found,) = read_cues([film(tmp_path / "a.mp4", sound=False)], tmp_path)
    assert found.texts["sound"] == "none"
    assert "loudness" not in found.numbers
    assert "sample_rate" not in found.numbers


def test_pictures_have_no_cues_of_a_film(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    for number in range(3):
        write_still(tmp_path / "frames" / f"{number}.png", smooth(SIDE, number))
    clip = Clip(id="x", path="frames", label="pristine", kind="camera")
    (found,) = read_cues([clip], tmp_path)
    assert found.status == "ok"
    assert found.numbers["frames"] == 3
    assert found.texts["resolution"] == f"{SIDE}x{SIDE}"
    assert "bitrate" not in found.numbers
    assert "container" not in found.texts


def test_what_was_read_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = film(tmp_path / "a.mp4")
    first = read_cues([clip], tmp_path)

    def again(*_: object) -> None:
        raise AssertionError("it was read again")

    monkeypatch.setattr(cues, "_read", again)
    told: list[tuple[int, int]] = []
    assert read_cues([clip], tmp_path, progress=lambda *each: told.append(each)) == first
    assert told == [(0, 1), (1, 1)]
    # The name is of the clip and not of the bytes.
    (tmp_path / "a.mp4").rename(tmp_path / "longer.mp4")
    (moved,) = read_cues([clip.replace(path="longer.mp4")], tmp_path)
    assert moved.numbers["name_length"] == 6
    (unkept,) = read_cues([clip.replace(path="longer.mp4")], tmp_path, cache=False)
    assert unkept.status == "error"


def test_a_damaged_memory_is_read_anew(tmp_path: Path, own_cache: Path) -> None:
    clip = film(tmp_path / "a.mp4")
    first = read_cues([clip], tmp_path)
    (kept,) = own_cache.iterdir()
    kept.write_text("{")
    assert read_cues([clip], tmp_path) == first


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"nothing" * 99)
    bad = [Clip(id=n, path=n, label="pristine", kind="camera") for n in ("bad.mp4", "absent.mp4")]
    for found in read_cues(bad, tmp_path):
        assert found.status == "error"
        assert found.reason is not None
        assert found.numbers == {}


def test_boxes_are_those_of_an_mp4(tmp_path: Path) -> None:
    def box(name: bytes, size: int = 8) -> bytes:
        return size.to_bytes(4, "big") + name + bytes(size - 8)

    path = tmp_path / "x.mp4"
    path.write_bytes(box(b"ftyp", 16) + box(b"uuid", 40) + box(b"moov") + box(b"moof") * 1)
    assert top_boxes(path) == "ftyp uuid moov moof"
    path.write_bytes(box(b"ftyp") + (box(b"moof") + box(b"mdat")) * 3)
    assert top_boxes(path) == "ftyp moof mdat"
    path.write_bytes(b"RIFF" * 10)
    assert top_boxes(path) == "none"
