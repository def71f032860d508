"""Films encoded anew have the size, the rate, the codec and the sound that were asked for."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from obverse.errors import ConfigError
from obverse.eval.encoders import Codec, Encoder, with_sound, write_film
from obverse.media.audio import read_speech
from obverse.media.video import probe, read_frames

FRAMES = 8


def frames(width: int = 96, height: int = 64) -> Iterator[npt.NDArray[np.uint8]]:
    y, x = np.mgrid[:height, :width]
    for number in range(FRAMES):
        wave = 120 + 60 * np.sin((x + 2 * number) / 9) + 30 * np.cos(y / 7)
        yield np.stack([wave, wave * 0.8, 200 - wave / 2], axis=-1).astype(np.uint8)


@pytest.mark.parametrize(
    ("codec", "name"), [("h264", "h264"), ("h265", "hevc"), ("av1", "av1"), ("vp9", "vp9")]
)
def test_each_codec_comes_back_and_more_crf_is_worse(
    codec: Encoder, name: str, tmp_path: Path
) -> None:
    errors = []
    for crf in (20, 50):
        path = tmp_path / f"{crf}.mp4"
        write_film(path, frames(), 25, Codec(codec=codec, crf=crf))
        info = probe(path)
        assert name in info.codec or info.codec.endswith(codec[:3])
        assert (info.width, info.height, info.fps) == (96, 64, 25)
        back = list(read_frames(path))
        assert len(back) == FRAMES
        pairs = zip(back, frames(), strict=True)
        errors.append(np.mean([np.abs(a.astype(int) - b).mean() for a, b in pairs]))
    assert errors[0] < 3
    assert errors[0] < errors[1]


def test_size_and_rate(tmp_path: Path) -> None:
    half = Codec(scale=0.5, fps=12)
    assert half.size(96, 64) == (48, 32)
    assert (half.rate(25), half.rate(10)) == (12, 10)
    assert Codec(short_px=32).size(97, 64) == (48, 32)
    assert Codec(short_px=128).size(96, 64) == (96, 64)
    path = tmp_path / "odd.mp4"
    write_film(path, frames(97, 65), 25, half)
    assert (probe(path).width, probe(path).height) == (48, 32)
    with pytest.raises(ConfigError, match="no frames"):
        write_film(tmp_path / "none.mp4", iter(()), 25, half)


def test_sound_stays_in_place(tmp_path: Path) -> None:
    rate = 48_000
    seconds = np.arange(rate * FRAMES // 25) / rate
    tone = (0.4 * np.sin(2 * np.pi * 440 * seconds)).astype(np.float32)
    silent, spoken = tmp_path / "silent.mp4", tmp_path / "spoken.mkv"
    write_film(silent, frames(), 25, Codec())
    with_sound(silent, spoken, tone, rate)
    assert np.abs(read_speech(spoken, rate)[: len(tone)] - tone).max() < 1e-4
    pictures = zip(read_frames(silent), read_frames(spoken), strict=True)
    assert all(np.array_equal(a, b) for a, b in pictures)
    for codec in ("h264", "vp9"):
        path = tmp_path / f"{codec}.mp4"
        write_film(path, frames(), 25, Codec(codec=codec), tone, rate)
        heard = read_speech(path, rate)[2000:14_000]
        assert np.corrcoef(heard, tone[2000:14_000])[0, 1] > 0.98
    with pytest.raises(ConfigError, match="PCM"):
        with_sound(silent, tmp_path / "a.mp4", tone, rate)


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="there is no such thing")
def test_av1_leaves_the_machine_to_others(tmp_path: Path) -> None:
    policies: set[int] = set()

    def watched() -> Iterator[npt.NDArray[np.uint8]]:
        for number, frame in enumerate(frames()):
            if number:  # by then the encoder is open
                threads = [int(name) for name in os.listdir("/proc/self/task")]
                policies.update(os.sched_getscheduler(thread) for thread in threads)
            yield frame

    write_film(tmp_path / "av1.mp4", watched(), 25, Codec(codec="av1"))
    assert policies
    assert os.SCHED_FIFO not in policies  # can fail only where real time may be had: as root


@pytest.mark.parametrize("codec", ["h264", "h265", "av1", "vp9"])
def test_a_rate_is_kept_to(codec: Encoder, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (64, 96, 3)).astype(np.uint8) for _ in range(50)]
    sizes = []
    for kbps in (100, 800):
        path = tmp_path / f"{kbps}.mp4"
        write_film(path, iter(noise), 25, Codec(codec=codec, kbps=kbps))
        sizes.append(path.stat().st_size)
    assert sizes[0] < sizes[1]
    assert sizes[0] * 8 / 2 < 3 * 100_000  # of 2 s; a short film of noise is hard to keep down
