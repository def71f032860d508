"""Marks come back through codecs and geometry, and are not seen where there are none."""

import io
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest
import scipy.fft

from obverse.errors import InputError
from obverse.media.video import EncodeConfig, VideoWriter, read_frames
from obverse.watermark.carriers import CHIP_PX, DEFAULT_KEY, GRID, carriers, pulse_spectrum
from obverse.watermark.embed import Embedder
from obverse.watermark.extract import FALSE_ACCEPTS, extract, extract_frames
from obverse.watermark.geometry import laid_share
from obverse.watermark.payload import encode

PAYLOAD = 0xFEDCBA9876543210
OTHER_KEY = b"another secret key, also 32 byte"
SIZE = 512
Frame = npt.NDArray[np.uint8]
Frames = list[Frame]


def _scene(seed: int, count: int, size: int = SIZE) -> Frames:
    """A textured ball that moves before a wall with soft stripes and a little camera noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size].astype(np.float32) / size
    wall = 120 + 50 * rows + 12 * np.sin(18 * columns + 4 * rows)
    paper = cv2.GaussianBlur(rng.normal(0, 1, (size, size)).astype(np.float32), (0, 0), 1.5)
    wall = wall + 25 * paper * (columns < 0.6)  # paper on one side, flat paint on the other
    wall = wall[..., None] * np.array([1.0, 0.95, 0.85], np.float32)
    skin = cv2.GaussianBlur(rng.normal(0, 1, (size, size)).astype(np.float32), (0, 0), 2.0)
    skin = 110 + 90 * skin[..., None] * np.array([1.0, 0.8, 0.7], np.float32)
    frames = []
    for index in range(count):
        x, y = 0.5 + 0.04 * math.sin(index / 4), 0.55 + 0.02 * math.cos(index / 3)
        inside = (np.hypot(columns - x, 0.8 * (rows - y)) < 0.3)[..., None]
        moved = np.roll(
            skin, (round(size * 0.02 * math.cos(index / 3)), round(3 * math.sin(index))), (0, 1)
        )
        picture = np.where(inside, moved, wall) + rng.normal(0, 1.5, (size, size, 1))
        frames.append(np.clip(picture, 0, 255).astype(np.uint8))
    return frames


@cache
def _marked() -> tuple[Frame, ...]:
    return tuple(Embedder(PAYLOAD).embed(_scene(1, 30)))


def _through(frames: Frames, crf: int, codec: str = "libx264") -> Frames:
    """Encode and decode again."""
    data = io.BytesIO()
    height, width = frames[0].shape[:2]
    quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    with av.open(data, "w", format="mp4") as out:
        stream: Any = out.add_stream(
            codec, rate=25, options={"crf": str(crf), "preset": "fast", **quiet}
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode())
    data.seek(0)
    with av.open(data) as back:
        return [frame.to_ndarray(format="rgb24") for frame in back.decode(video=0)]


def _scaled(width: int, height: int) -> Callable[[Frame], Frame]:
    return lambda frame: cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)


def _cropped(share: float) -> Callable[[Frame], Frame]:
    side = round(SIZE * share)
    first = (SIZE - side) // 3
    cut = slice(first, first + side)
    return lambda frame: cv2.resize(frame[cut, cut], (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)


def _turned(degrees: float) -> Callable[[Frame], Frame]:
    matrix = cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), degrees, 1.0)
    return lambda frame: cv2.warpAffine(frame, matrix, (SIZE, SIZE), flags=cv2.INTER_CUBIC)


def _aslant(*moves: tuple[float, float]) -> Callable[[Frame], Frame]:
    """Move the corners, clockwise from the top left, by shares of the sides."""
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    moved = corners + np.array(moves, np.float32)
    matrix = cv2.getPerspectiveTransform(SIZE * corners, SIZE * moved)
    return lambda frame: cv2.warpPerspective(frame, matrix, (SIZE, SIZE))


_UNEVEN = _aslant((0.05, 0.02), (-0.015, 0.045), (-0.04, -0.01), (0.01, -0.035))
_FROM_BELOW = _aslant((0.05, 0), (-0.05, 0), (0, 0), (0, 0))


def _mirrored(frame: Frame) -> Frame:
    return np.ascontiguousarray(frame[:, ::-1])


def _dimmed(frame: Frame) -> Frame:
    return (frame * 0.7 + 20).astype(np.uint8)


@pytest.mark.parametrize(
    ("attack", "crf"),
    [
        (None, 28),
        (None, 32),
        (_scaled(358, 358), 28),
        (_cropped(0.75), 28),
        (_mirrored, 28),
        (_turned(2.0), 28),
        (_scaled(460, 512), 28),
        (_dimmed, 28),
        (_UNEVEN, 23),
        (lambda frame: _mirrored(_FROM_BELOW(frame)), 23),
    ],
    ids=[
        "28",
        "32",
        "scaled",
        "cropped",
        "mirrored",
        "turned",
        "squeezed",
        "dimmed",
        "aslant",
        "trapezium",
    ],
)
def test_the_payload_comes_back(attack: Callable[[Frame], Frame] | None, crf: int) -> None:
    frames = [attack(frame) if attack else frame for frame in _marked()]
    found = extract_frames(_through(frames, crf))
    assert found.present
    assert found.payload == PAYLOAD
    assert found.p_value <= FALSE_ACCEPTS
    assert found.frames == 30


def test_the_geometry_is_told() -> None:
    found = extract_frames([_cropped(0.75)(_mirrored(frame)) for frame in _marked()[:8]])
    assert found.geometry is not None
    assert found.geometry.mirrored
    marked = laid_share(SIZE, SIZE)
    assert found.geometry.scale == pytest.approx((0.75 * marked, 0.75 * marked), abs=0.01)
    turned = extract_frames([_turned(3.0)(frame) for frame in _marked()[:8]])
    assert turned.geometry is not None
    assert turned.geometry.degrees == pytest.approx(3.0, abs=0.3)
    assert not turned.geometry.leaning
    aslant = extract_frames([_UNEVEN(frame) for frame in _marked()[:8]])
    assert aslant.geometry is not None
    assert aslant.geometry.scale == pytest.approx((1.06 * marked, 1.06 * marked), abs=0.03)
    assert aslant.to_dict()["geometry"]["leaning"] is aslant.geometry.leaning


@pytest.mark.parametrize(("width", "height"), [(256, 256), (1024, 1024), (640, 360), (360, 640)])
def test_any_size_holds_a_mark(width: int, height: int) -> None:
    frames = [cv2.resize(frame, (width, height)) for frame in _scene(3, 12)]
    found = extract_frames(_through(list(Embedder(PAYLOAD).embed(frames)), 23))
    assert found.payload == PAYLOAD


def test_one_frame_is_enough_where_nothing_was_lost() -> None:
    assert extract_frames(_marked()[:1]).payload == PAYLOAD


def test_unmarked_frames_have_no_mark() -> None:
    for seed in (5,):
        found = extract_frames(_scene(seed, 5))
        assert not found.present
        assert found.payload is None
        assert found.p_value == 1.0
        assert found.z < 8


def test_another_key_sees_nothing() -> None:
    assert not extract_frames(_marked()[:10], OTHER_KEY).present


def test_the_bound_holds_for_random_keys() -> None:
    # Hoeffding's inequality on any fixed picture, here a structured one, over 2000 keyed sign
    # patterns.
    picture = np.outer(np.linspace(-1, 3, 32), np.sin(np.arange(64))).ravel()
    signs = np.random.default_rng(7).choice([-1.0, 1.0], (2000, picture.size))
    z = signs @ picture / np.linalg.norm(picture)
    for level in (1.0, 2.0, 3.0):
        assert float(np.mean(z >= level)) <= math.exp(-(level**2) / 2)


def test_nothing_and_too_little_are_refused() -> None:
    with pytest.raises(InputError, match="no frames"):
        extract_frames([])
    with pytest.raises(InputError, match="16x16"):
        extract_frames([np.zeros((16, 16, 3), np.uint8)])


def test_black_frames_are_no_mark() -> None:
    found = extract_frames([np.zeros((128, 128, 3), np.uint8)] * 2)
    assert not found.present
    assert math.isfinite(found.z)


def test_a_mark_without_its_synchronisation_is_read() -> None:
    # As it is left by who learned the synchronisation chips from many clips of one key.
    keyed = carriers(DEFAULT_KEY)
    chips = keyed.chips(encode(PAYLOAD)).ravel()
    chips[keyed.sync] *= -0.2  # taken away a little too strongly
    impulses = np.zeros((SIZE, SIZE), np.float32)
    impulses[::CHIP_PX, ::CHIP_PX] = chips.reshape(GRID, GRID)
    left = scipy.fft.irfft2(scipy.fft.rfft2(impulses) * pulse_spectrum(SIZE), s=(SIZE, SIZE))
    mark = np.roll(1.2 * left / left.std(), (90, 301), (0, 1))[..., None]
    frames = [np.clip(np.round(frame + mark), 0, 255).astype(np.uint8) for frame in _scene(1, 6)]
    assert extract_frames(frames).payload == PAYLOAD
    assert extract_frames([_mirrored(frame) for frame in frames]).payload == PAYLOAD


def test_folding_takes_no_mark_away() -> None:
    # Fold the mean residual at every likely period, subtract the best tile: the payload must still
    # be read.
    frames = np.stack(_marked()[:10]).astype(np.float32)
    residual = np.mean(
        [frame[..., 1] - cv2.GaussianBlur(frame[..., 1], (0, 0), 4) for frame in frames], axis=0
    )
    for period in (64, 128, 256):
        tile = residual.reshape(SIZE // period, period, SIZE // period, period).mean(axis=(0, 2))
        full = np.tile(tile, (SIZE // period, SIZE // period))[..., None]
        attacked = np.clip(frames - full, 0, 255).astype(np.uint8)
        assert extract_frames(attacked).payload == PAYLOAD


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "marked.mp4"
    with VideoWriter(path, SIZE, SIZE, 25, EncodeConfig(crf=23)) as writer:
        for frame in _marked():
            writer.write(frame)
    told: list[tuple[int, int]] = []
    found = extract(path, progress=lambda done, total, _: told.append((done, total)))
    assert found.payload_hex == "fedcba9876543210"
    assert found.to_dict()["geometry"] == {
        "scale": [0.6998, 0.6998],
        "degrees": 0.0,
        "mirrored": False,
        "leaning": False,
    }
    assert told[-1] == (30, 30)


CLIPS = Path(__file__).resolve().parents[2] / "shared" / "clips"


@pytest.mark.slow
@pytest.mark.skipif(not CLIPS.is_dir(), reason="the shared clips are not here")
def test_camera_clips_keep_their_payload() -> None:
    paths = sorted(CLIPS.glob("*.mp4"))
    assert paths
    for path in paths:
        frames = []
        for frame in read_frames(path, max_frames=100):
            side = min(frame.shape[:2])
            top, left = (frame.shape[0] - side) // 2, (frame.shape[1] - side) // 2
            frames.append(_scaled(SIZE, SIZE)(frame[top : top + side, left : left + side]))
        marked = list(Embedder(PAYLOAD).embed(frames))
        error = np.mean(
            [(a.astype(np.float32) - b) ** 2 for a, b in zip(frames, marked, strict=True)]
        )
        assert 10 * math.log10(255**2 / float(error)) >= 44
        for attack, crf in ((None, 28), (None, 32), (_scaled(358, 358), 28), (_cropped(0.75), 28)):
            attacked = [attack(frame) if attack else frame for frame in marked]
            assert extract_frames(_through(attacked, crf)).payload == PAYLOAD, (path.name, crf)
        assert not extract_frames(frames).present
