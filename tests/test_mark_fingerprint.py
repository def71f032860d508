"""Fingerprints: near for copies, far for other clips, found again in a cut."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from obverse.errors import ConfigError, InputError
from obverse.media.video import VideoWriter
from obverse.watermark.embed import Embedder
from obverse.watermark.fingerprint import (
    SAME_AT_MOST,
    Fingerprint,
    compare,
    fingerprint,
    fingerprint_frames,
)

FPS = 10
Frame = npt.NDArray[np.uint8]


def _clip(seed: int, seconds: int = 4) -> list[Frame]:
    """Another smooth random picture each second, 96 x 128."""
    rng = np.random.default_rng(seed)
    frames: list[Frame] = []
    for _ in range(seconds):
        blobs = cv2.resize(rng.uniform(0, 255, (6, 8, 3)).astype(np.float32), (128, 96))
        frames += [np.clip(blobs, 0, 255).astype(np.uint8)] * FPS
    return frames


def test_a_copy_is_near() -> None:
    frames = _clip(1)
    original = fingerprint_frames(frames, FPS)
    assert len(original.seconds) == 4
    assert compare(original, original) == 0.0
    copies = {
        "smaller": [cv2.resize(frame, (64, 48)) for frame in frames],
        "dimmer": [(frame * 0.7 + 20).astype(np.uint8) for frame in frames],
        "marked": list(Embedder(3).embed(frames)),
        "blurred": [cv2.GaussianBlur(frame, (0, 0), 2) for frame in frames],
    }
    for name, copy in copies.items():
        assert compare(original, fingerprint_frames(copy, FPS)) < SAME_AT_MOST / 2, name
    assert compare(original, fingerprint_frames(frames[::2], FPS / 2)) < SAME_AT_MOST / 2


def test_other_clips_are_far() -> None:
    prints = [fingerprint_frames(_clip(seed), FPS) for seed in range(12)]
    distances = [compare(prints[i], prints[j]) for i in range(12) for j in range(i)]
    assert min(distances) > SAME_AT_MOST
    assert float(np.mean(distances)) == pytest.approx(0.45, abs=0.07)


def test_a_cut_finds_its_place() -> None:
    frames = _clip(2, seconds=8)
    whole, cut = fingerprint_frames(frames, FPS), fingerprint_frames(frames[3 * FPS : 6 * FPS], FPS)
    assert compare(whole, cut) < SAME_AT_MOST / 2
    assert compare(cut, whole) == compare(whole, cut)


def test_a_file_has_the_fingerprint_of_its_frames(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, 128, 96, FPS) as writer:
        for frame in _clip(4):
            writer.write(frame)
    assert compare(fingerprint(path), fingerprint_frames(_clip(4), FPS)) < SAME_AT_MOST / 2


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=5))
def test_hexadecimal_goes_both_ways(seconds: list[int]) -> None:
    one = Fingerprint(tuple(seconds))
    assert Fingerprint.from_hex(one.to_hex()) == one


@pytest.mark.parametrize("text", ["", "12", "g" * 16, "0" * 17])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        Fingerprint.from_hex(text)


def test_nothing_has_no_fingerprint() -> None:
    with pytest.raises(InputError):
        fingerprint_frames([], FPS)
    with pytest.raises(ConfigError):
        Fingerprint(())
