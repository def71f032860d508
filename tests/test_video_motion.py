"""Motion read from video: what sitters performed comes back; gaps, rests and doubts."""

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from obverse.errors import FaceError, InputError
from obverse.faces.landmarks import FaceReader
from obverse.generator.controls import CAMERA_DISTANCE, eye_turn, with_eye_turn
from obverse.generator.expression_reading import OUTPUTS, turned_from
from obverse.generator.motion import EXPRESSIONS, FPS, Motion, expression_index, rotation_matrix
from obverse.generator.sitters.sitter import Sitter
from obverse.generator.video_motion import (
    MotionQuality,
    Reading,
    Rest,
    VideoMotion,
    motion_of,
    motion_of_frames,
    motion_reading,
    read_motion,
    rest_of,
)
from obverse.media.video import EncodeConfig, VideoWriter

SHARED = Path(__file__).resolve().parents[2] / "shared"
FRAMES = 50
SEED = 3


def _performance() -> Motion:
    """Return two seconds in which the head turns, the jaw opens, brows rise, eyes look and blink;
    each at its own pace.
    """
    time = np.arange(FRAMES) / FPS
    rotation = np.deg2rad(
        np.stack(
            [7.0 * np.sin(7.0 * time), 11.0 * np.sin(4.1 * time + 1.0), 5.0 * np.sin(5.3 * time)], 1
        )
    )
    translation = np.stack([0.12 * np.sin(3.1 * time), 0 * time, 1.2 * np.sin(3.7 * time + 2)], 1)
    blink = np.zeros(FRAMES)
    blink[[18, 19, 20, 38, 39]] = (0.8, 1.0, 0.6, 1.0, 0.7)
    motion = Motion(
        np.zeros((FRAMES, 52), np.float32),
        rotation.astype(np.float32),
        translation.astype(np.float32),
    ).with_expression(
        jawOpen=0.25 + 0.25 * np.sin(11.0 * time),
        browInnerUp=0.4 + 0.4 * np.sin(2.9 * time + 1.0),
        mouthSmileLeft=0.4 + 0.4 * np.sin(2.3 * time + 3.0),
        mouthSmileRight=0.4 + 0.4 * np.sin(2.3 * time + 3.0),
        eyeBlinkLeft=blink,
        eyeBlinkRight=blink,
    )
    looks = np.deg2rad(np.stack([12.0 * np.sign(np.sin(6.0 * time)), 0.0 * time], 1))
    return Motion(with_eye_turn(motion.expression, looks), motion.rotation, motion.translation)


@pytest.fixture(scope="module")
def reader() -> FaceReader:
    return FaceReader()


@pytest.fixture(scope="module")
def frames() -> list[npt.NDArray[np.uint8]]:
    return [frame.image for frame in Sitter.from_seed(SEED).perform(_performance(), 256)]


@pytest.fixture(scope="module")
def read(frames: list[npt.NDArray[np.uint8]], reader: FaceReader) -> VideoMotion:
    return motion_of_frames(frames, reader=reader)


def _slope(true: npt.NDArray[np.floating], got: npt.NDArray[np.floating]) -> tuple[float, float]:
    a, b = true - true.mean(), got - got.mean()
    return float(a @ b / (a @ a)), float(a @ b / np.sqrt((a @ a) * (b @ b)))


def test_a_performance_comes_back(read: VideoMotion) -> None:
    true, got = _performance(), read.motion
    assert len(got) == FRAMES
    for axis, name in enumerate(("pitch", "yaw", "roll")):
        slope, correlation = _slope(true.rotation[:, axis], got.rotation[:, axis])
        assert 0.75 < slope < 1.25, name
        assert correlation > 0.93, name
    for name, least in (("jawOpen", 0.93), ("browInnerUp", 0.8), ("mouthSmileLeft", 0.9)):
        column = expression_index(name)
        slope, correlation = _slope(true.expression[:, column], got.expression[:, column])
        assert 0.6 < slope < 1.4, name
        assert correlation > least, name
    slope, correlation = _slope(eye_turn(true.expression)[:, 0], eye_turn(got.expression)[:, 0])
    assert 0.6 < slope < 1.5
    assert correlation > 0.85


def test_blinks_come_back_as_short_as_they_were(read: VideoMotion) -> None:
    blink = read.motion.expression[:, expression_index("eyeBlinkLeft")]
    assert blink[18:21].max() > 0.5
    assert blink[38:40].max() > 0.5
    assert np.median(blink) < 0.2
    assert (blink > 0.5).sum() <= 8


def test_a_good_reading_raises_no_doubt(read: VideoMotion) -> None:
    assert read.seen.all()
    assert read.quality.seen == 1.0
    assert read.quality.jumps == 0
    assert read.quality.turned_deg < 15.0
    assert read.quality.doubts() == ()


def test_what_is_doubtful_is_said(read: VideoMotion) -> None:
    worse = dataclasses.replace(read.quality, seen=0.5, face_px=12.0, turned_deg=50.0, jumps=2)
    said = " ".join(worse.doubts())
    assert all(word in said for word in ("50%", "12 px", "50 degrees", "2 times"))
    assert isinstance(worse, MotionQuality)


def test_a_video_is_read_at_25_frames_a_second(
    tmp_path: Path, frames: list[npt.NDArray[np.uint8]], reader: FaceReader, read: VideoMotion
) -> None:
    path = tmp_path / "a.mp4"
    with VideoWriter(path, 256, 256, 50, EncodeConfig(crf=16)) as writer:
        for frame in frames[:20]:
            writer.write(frame)
            writer.write(frame)
    told: list[tuple[int, int]] = []
    seen = read_motion(path, reader=reader, progress=lambda done, total: told.append((done, total)))
    assert len(seen.motion) == 20
    assert told[-1] == (20, 20)
    jaw = expression_index("jawOpen")
    assert _slope(read.motion.expression[:20, jaw], seen.motion.expression[:, jaw])[1] > 0.9
    short = read_motion(path, reader=reader, max_seconds=0.2)
    assert len(short.motion) == 5


def test_files_without_a_face_are_refused(tmp_path: Path, reader: FaceReader) -> None:
    path = tmp_path / "grey.mp4"
    with VideoWriter(path, 128, 128, FPS, EncodeConfig()) as writer:
        for _ in range(3):
            writer.write(np.full((128, 128, 3), 128, np.uint8))
    with pytest.raises(FaceError, match=r"grey\.mp4 shows no face"):
        read_motion(path, reader=reader)
    with pytest.raises(InputError, match=r"no\.mp4"):
        read_motion(tmp_path / "no.mp4")
    with pytest.raises(FaceError):
        motion_of(motion_reading([None, None]))


def _still_reading(frames: int) -> Reading:
    return Reading(
        raw=np.zeros((frames, OUTPUTS)),
        rotation=np.zeros((frames, 3)),
        scale=np.full(frames, 60.0),
        centre=np.tile([100.0, 120.0], (frames, 1)),
        presence=np.ones(frames),
    )


def _without(reading: Reading, first: int, last: int) -> Reading:
    values = {field.name: getattr(reading, field.name) for field in dataclasses.fields(reading)}
    for value in values.values():
        value[first:last] = np.nan
    return Reading(**values)


def test_short_gaps_are_bridged_and_long_ones_flagged() -> None:
    reading = _still_reading(80)
    reading.rotation[:, 1] = np.linspace(-0.1, 0.1, 80)
    wanted = reading.rotation[:, 1].copy()
    reading = _without(_without(reading, 10, 15), 40, 70)
    got = motion_of(reading)
    yaw = got.motion.rotation[:, 1]
    assert np.allclose(np.diff(yaw)[5:-5], np.diff(wanted)[5:-5], atol=3e-4)
    assert got.seen[10:15].all()
    assert not got.seen[40:70].any()
    assert got.quality.seen == pytest.approx(45 / 80)


def test_turning_about_the_neck_is_no_translation() -> None:
    reading = _still_reading(40)
    angles = np.zeros((40, 3))
    angles[:, 0] = np.deg2rad(np.linspace(-10.0, 10.0, 40))
    arm = np.array([0.0, -1.04, -1.03])
    offset = rotation_matrix(angles) @ arm - arm
    near = 1.0 + offset[:, 2] / CAMERA_DISTANCE
    reading.rotation[:] = angles
    reading.scale[:] = 60.0 / near
    reading.centre[:] = [100.0, 120.0] + offset[:, :2] * reading.scale[:, None]
    rest = Rest(np.zeros(OUTPUTS), np.zeros(3), 60.0, np.array([100.0, 120.0]))
    assert (
        np.abs(reading.relative_to(rest).translation).max() < 0.05
    )  # 5 times that without the arm


def test_a_step_back_is_depth() -> None:
    reading = _still_reading(10)
    reading.scale[:] = 60.0 / 1.25
    rest = rest_of(_still_reading(3))
    depth = reading.relative_to(rest).translation[:, 2]
    assert depth == pytest.approx(CAMERA_DISTANCE * 0.25, rel=1e-5)


def test_relative_turns_are_those_of_matrices() -> None:
    rest, own = np.array([0.2, -0.4, 0.1]), np.array([[0.1, 0.2, -0.05]])
    turned = rotation_matrix(rest) @ rotation_matrix(own)[0]
    angles = [
        np.arctan2(turned[2, 1], turned[2, 2]),
        np.arcsin(turned[2, 0]),
        np.arctan2(turned[1, 0], turned[0, 0]),
    ]
    assert np.allclose(turned_from(np.array([angles]), rest), own)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["talking", "driving", "presenter", "selfie"])
def test_films_of_people_read_plausibly(name: str, reader: FaceReader) -> None:
    path = SHARED / "clips" / f"{name}.mp4"
    if not path.is_file():
        pytest.skip("there are no shared clips")
    read = read_motion(path, reader=reader, max_seconds=4.0)
    assert read.quality.seen > 0.9
    assert read.motion.expression[:, EXPRESSIONS.index("tongueOut")].max() == 0.0
    assert np.rad2deg(np.abs(read.motion.rotation)).max() < 45.0
    steps = np.rad2deg(np.abs(np.diff(read.motion.rotation, axis=0)))
    assert np.percentile(steps, 99) < 8.0
