"""Sketches: crops, cuts and mirror images of a clip are near, other clips far."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from obverse.errors import ConfigError, InputError
from obverse.media.video import VideoWriter
from obverse.watermark.fingerprint import SAME_AT_MOST, compare, fingerprint_frames
from obverse.watermark.sketch import Sketch, Sketcher, locate, sketch, sketch_frames

FPS = 10
Frame = npt.NDArray[np.uint8]


def _frame(seed: int, width: int = 320, height: int = 240) -> Frame:
    """A scene: soft blobs of several sizes."""
    rng = np.random.default_rng(seed)
    scene = np.zeros((height, width, 3), np.float32)
    for cells, weight in ((5, 1.0), (9, 0.7), (17, 0.5), (33, 0.3)):
        coarse = rng.normal(0, weight, (cells, cells, 3)).astype(np.float32)
        scene += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(128 + 50 * scene, 0, 255).astype(np.uint8)


def _clip(seed: int, seconds: int = 3) -> list[Frame]:
    return [_frame(1000 * seed + second) for second in range(seconds) for _ in range(FPS)]


def _cropped(frames: list[Frame], share: float) -> list[Frame]:
    height, width = frames[0].shape[:2]
    tall, wide = int(share * height), int(0.9 * share * width)
    top, left = (height - tall) // 3, (width - wide) // 2
    return [cv2.resize(frame[top : top + tall, left : left + wide], (256, 256)) for frame in frames]


def test_a_sketch_has_the_fingerprint_of_its_frames() -> None:
    frames = _clip(1)
    drawn = sketch_frames(frames, FPS)
    assert drawn.pictures.shape == (3, 32, 32)
    assert compare(drawn.fingerprint, fingerprint_frames(frames, FPS)) < 0.03


@pytest.mark.parametrize("fps", [5.0, 8.0, 23.976, 25.0, 60.0])
def test_any_rate_gives_a_picture_a_second(fps: float) -> None:
    sketcher = Sketcher(fps)
    for index in range(round(3 * fps)):
        sketcher.push(_frame(int(index / fps)))
    drawn = sketcher.sketch()
    assert len(drawn.pictures) == 3
    one = sketch_frames([_frame(0)], fps)
    assert len(one.pictures) == 1
    assert compare(one.fingerprint, Sketch(drawn.pictures[:1]).fingerprint) < 0.1


@pytest.mark.parametrize("share", [0.55, 0.71, 0.9, 1.0])
def test_a_crop_is_found(share: float) -> None:
    frames = _clip(2)
    placed = locate(sketch_frames(frames, FPS), sketch_frames(_cropped(frames, share), FPS))
    assert placed.same
    assert not placed.mirrored
    assert placed.height == pytest.approx(share, abs=0.07)
    assert placed.width == pytest.approx(0.9 * share, abs=0.07)
    assert placed.top == pytest.approx((1 - share) / 3, abs=0.07)


def test_a_crop_of_a_cut_and_a_mirror_image_are_found() -> None:
    frames = _clip(3, seconds=5)
    kept = sketch_frames(frames, FPS)
    cut = [np.ascontiguousarray(frame[:, ::-1]) for frame in _cropped(frames[2 * FPS :], 0.8)]
    placed = locate(kept, sketch_frames(cut, FPS))
    assert placed.same
    assert (placed.mirrored, placed.second) == (True, 2)


def test_other_clips_are_not_the_same() -> None:
    kept = [sketch_frames(_clip(seed, 1), FPS) for seed in range(4, 9)]
    placed = [locate(kept[i], kept[j]) for i in range(5) for j in range(i)]
    assert not any(each.same for each in placed)
    assert min(each.distance for each in placed) > 0.24
    # The hash alone cannot tell a crop from another clip; that is what the sketch is for.
    crop = sketch_frames(_cropped(_clip(4, 1), 0.6), FPS)
    assert compare(kept[0].fingerprint, crop.fingerprint) > SAME_AT_MOST


def test_bytes_go_both_ways_and_nothing_else_comes_in() -> None:
    drawn = sketch_frames(_clip(1), FPS)
    data = drawn.to_bytes()
    assert np.array_equal(Sketch.from_bytes(data).pictures, drawn.pictures)
    bomb = Sketch(np.zeros((5000, 32, 32), np.uint8)).to_bytes()
    for bad in (b"", b"no", data[:-5], bomb):
        with pytest.raises(ConfigError, match="no sketch"):
            Sketch.from_bytes(bad)
    with pytest.raises(ConfigError, match="uint8"):
        Sketch(np.zeros((1, 16, 16), np.uint8))


def test_a_file_is_sketched_and_nothing_is_not(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", 320, 240, FPS) as writer:
        for frame in _clip(1):
            writer.write(frame)
    assert locate(sketch_frames(_clip(1), FPS), sketch(tmp_path / "a.mp4")).distance < 0.1
    with pytest.raises(InputError, match="no frames"):
        sketch_frames([], FPS)
    with pytest.raises(ConfigError, match="positive"):
        Sketcher(0)


@pytest.mark.parametrize("seed", [4, 5, 6, 10])
def test_a_crop_of_a_head_that_sways_is_found_at_its_own_second(seed: int) -> None:
    rng = np.random.default_rng(seed)
    wall = cv2.resize(
        rng.normal(128, 25, (6, 6)).astype(np.float32), (256, 256), interpolation=cv2.INTER_CUBIC
    )
    head = cv2.resize(
        rng.normal(150, 50, (9, 7)).astype(np.float32), (112, 144), interpolation=cv2.INTER_CUBIC
    )
    frames = []
    for _ in range(4):
        frame = wall.copy()
        x, y = 72 + rng.integers(-14, 15), 60 + rng.integers(-10, 11)
        frame[y : y + 144, x : x + 112] = head + rng.normal(0, 4, head.shape)
        frames.append(np.repeat(np.clip(frame, 0, 255).astype(np.uint8)[..., None], 3, axis=2))
    kept = sketch_frames(frames, 1)
    found = locate(kept, sketch_frames([each[12:178, 51:217] for each in frames], 1))
    assert found.same
    assert found.second == 0
