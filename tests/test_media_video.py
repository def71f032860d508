"""Frames in and out of files: formats, orientation, time, damage, and what a film says."""

import tracemalloc
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from obverse.errors import ConfigError, InputError
from obverse.media.audio import read_speech
from obverse.media.colour import LUMA_UNIT, FrameConverter, FrameSplitter, planes_of, rgb_to_yuv420
from obverse.media.encode import exact_rate
from obverse.media.video import (
    EncodeConfig,
    VideoWriter,
    crop_even,
    probe,
    read_frames,
    read_moments,
)

Image = npt.NDArray[np.uint8]


def picture(width: int, height: int, index: int = 0) -> Image:
    """A smooth picture whose four corners differ, so that every orientation looks different."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    red, green, blue = 40 + 160 * x, 60 + 120 * y, 180 - 100 * x * y
    return np.stack([red, green + 2 * (index % 20), blue], -1).round().astype(np.uint8)


def flat(width: int, height: int, level: int) -> Image:
    return np.full((height, width, 3), level, np.uint8)


def encode(
    path: Path,
    frames: list[Image],
    *,
    codec: str = "ffv1",
    pixel_format: str = "yuv420p",
    container: str = "matroska",
    times_ms: list[int] | None = None,
    aspect: Fraction | None = None,
    options: dict[str, str] | None = None,
    source: str = "rgb24",
) -> Path:
    """Write frames with PyAV alone, in formats that obverse itself never writes."""
    with av.open(str(path), "w", format=container, options=options or {}) as out:
        stream: Any = out.add_stream(codec, rate=25)
        height, width = frames[0].shape[:2]
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.codec_context.time_base = Fraction(1, 1000)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for index, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format=source)
            full = pixel_format.startswith(("yuvj", "gray"))
            frame = frame.reformat(
                format=pixel_format,
                dst_colorspace="ITU601",
                dst_color_range="JPEG" if full else "MPEG",
                threads=1,  # swscale's slices overwrite a few pixels of small pictures
            )
            frame.time_base = Fraction(1, 1000)
            frame.pts = index * 40 if times_ms is None else times_ms[index]
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def write(
    path: Path, count: int = 25, size: tuple[int, int] = (64, 48), **more: Any
) -> list[Image]:
    frames = [picture(*size, index) for index in range(count)]
    with VideoWriter(path, *size, more.pop("fps", 25), **more) as writer:
        for frame in frames:
            writer.write(frame)
    return frames


def tone(seconds: float, rate_hz: int) -> npt.NDArray[np.float32]:
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    return (0.5 * np.sin(2 * np.pi * 220 * times)).astype(np.float32)


# What is written


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    frames = write(tmp_path / "a.mp4", audio=tone(1.0, 16000))
    read = list(read_frames(tmp_path / "a.mp4"))
    assert len(read) == len(frames)
    for before, after in zip(frames, read, strict=True):
        assert after.dtype == np.uint8
        assert np.abs(after.astype(int) - before).mean() < 2
    info = probe(tmp_path / "a.mp4")
    assert (info.width, info.height, info.fps, info.frames) == (64, 48, 25.0, 25)
    assert (info.seconds, info.has_audio, info.codec) == (1.0, True, "h264")
    assert info.pixel_format == "yuv420p"


def test_colours_survive_without_bias(tmp_path: Path) -> None:
    frames = write(tmp_path / "a.mp4", 5, (128, 128), config=EncodeConfig(crf=8))
    read = np.stack(list(read_frames(tmp_path / "a.mp4"))).astype(int)
    assert np.abs((read - np.stack(frames)).mean(axis=(0, 1, 2))).max() < 0.4


def test_a_film_says_nothing_of_its_tools(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", audio=tone(1.0, 48000), audio_rate=48000)
    data = (tmp_path / "a.mp4").read_bytes()
    for name in (b"x264", b"Lavf", b"Lavc", b"FFmpeg", b"crf="):
        assert name.lower() not in data.lower()
    assert data.find(b"moov") < data.find(b"mdat")
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert not {"encoder", "creation_time"} & set(container.metadata)
        for stream in container.streams:
            assert "encoder" not in stream.metadata


def test_a_film_is_tagged_for_what_it_is(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", audio=tone(1.0, 16000))
    with av.open(str(tmp_path / "a.mp4")) as container:
        video: Any = container.streams.video[0]
        sound: Any = container.streams.audio[0]
        frame: Any = next(container.decode(video))
        assert (video.profile, frame.format.name) == ("High", "yuv420p")
        assert (frame.colorspace, frame.color_primaries, frame.color_trc) == (1, 1, 1)
        assert frame.color_range == 1  # limited
        assert (sound.codec_context.name, sound.layout.name, sound.rate) == ("aac", "mono", 16000)


@pytest.mark.parametrize("fps", [25, 30, Fraction(30000, 1001), 23.976, 12.5, 60])
def test_frames_are_evenly_spaced(tmp_path: Path, fps: float) -> None:
    write(tmp_path / "a.mp4", 40, fps=fps)
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        times = [frame.pts * stream.time_base for frame in container.decode(stream)]
        assert times == [index / exact_rate(fps) for index in range(40)]


def test_broadcast_rates_are_fractions() -> None:
    assert exact_rate(29.97) == Fraction(30000, 1001)
    assert exact_rate(23.976) == Fraction(24000, 1001)
    assert exact_rate(25.0) == 25
    assert exact_rate(12.5) == Fraction(25, 2)


@pytest.mark.parametrize(
    ("fps", "rate_hz"), [(25, 16000), (29.97, 44100), (24, 22050), (25, 48000)]
)
@pytest.mark.parametrize("seconds", [0.0, 0.5, 4.0])
def test_sound_ends_with_the_picture(
    tmp_path: Path, fps: float, rate_hz: int, seconds: float
) -> None:
    write(tmp_path / "a.mp4", 33, fps=fps, audio=tone(seconds, rate_hz), audio_rate=rate_hz)
    expected = 33 / exact_rate(fps)
    with av.open(str(tmp_path / "a.mp4")) as container:
        for stream in container.streams:
            assert stream.duration is not None
            assert stream.time_base is not None
            assert stream.start_time == 0
            assert abs(stream.duration * stream.time_base - expected) <= Fraction(1, rate_hz)
    heard = read_speech(tmp_path / "a.mp4", rate_hz)
    assert (
        abs(len(heard) - float(expected) * rate_hz) < 1024
    )  # the decoder hands out whole AAC frames
    end = round(seconds * rate_hz) + 1024
    assert np.abs(heard[end:]).max(initial=0.0) < 1e-3
    if seconds:
        middle = slice(2048, min(round(seconds * rate_hz), len(heard)) - 2048)
        difference = heard[middle] - tone(seconds, rate_hz)[middle]
        assert np.sqrt(np.mean(difference**2)) < 0.02  # 25 dB below the tone


@pytest.mark.parametrize("size", [(64, 48), (96, 64), (144, 128)])
def test_the_same_frames_give_the_same_bytes(tmp_path: Path, size: tuple[int, int]) -> None:
    films = [tmp_path / f"{take}.mp4" for take in range(6)]
    for film in films:
        write(film, size=size, audio=tone(1.0, 16000))
    assert len({film.read_bytes() for film in films}) == 1


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    width=st.integers(8, 60),
    height=st.integers(8, 60),
    count=st.integers(1, 12),
    fps=st.integers(1, 60),
)
def test_any_even_size_and_length(
    tmp_path: Path, width: int, height: int, count: int, fps: int
) -> None:
    path = tmp_path / "a.mp4"
    write(path, count, (2 * width, 2 * height), fps=fps, audio=tone(0.1, 16000))
    frames = list(read_frames(path))
    assert [frame.shape for frame in frames] == [(2 * height, 2 * width, 3)] * count
    assert probe(path).seconds == pytest.approx(count / fps)


# What is refused


@pytest.mark.parametrize("size", [(63, 48), (64, 47), (8, 64), (64, 20000)])
def test_sizes_that_cannot_be_encoded(tmp_path: Path, size: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        VideoWriter(tmp_path / "a.mp4", *size, 25)
    assert not list(tmp_path.iterdir())


def test_crop_even() -> None:
    assert crop_even(picture(63, 47)).shape == (46, 62, 3)
    assert crop_even(picture(64, 48)).shape == (48, 64, 3)


@pytest.mark.parametrize(
    "settings_",
    [
        {"crf": 0},
        {"crf": 52},
        {"preset": "placebo"},
        {"gop": 0},
        {"threads": 0},
        {"audio_bitrate": 1},
    ],
)
def test_settings_that_cannot_be_honoured(settings_: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings_))):
        EncodeConfig(**settings_)


def test_bad_sound_frames_and_folders(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with pytest.raises(ConfigError, match="AAC knows"):
        VideoWriter(path, 64, 48, 25, audio=tone(1, 16000), audio_rate=17000)
    with pytest.raises(ConfigError, match="mono"):
        VideoWriter(path, 64, 48, 25, audio=np.zeros((2, 100), np.float32))
    with pytest.raises(ConfigError, match="finite"):
        VideoWriter(path, 64, 48, 25, audio=np.full(100, np.nan, np.float32))
    with pytest.raises(ConfigError, match="fps is"):
        VideoWriter(path, 64, 48, 0)
    with pytest.raises(ConfigError, match="folder that exists"):
        VideoWriter(tmp_path / "no" / "a.mp4", 64, 48, 25)
    with (
        pytest.raises(ConfigError, match="a frame has shape"),
        VideoWriter(path, 64, 48, 25) as writer,
    ):
        writer.write(picture(48, 64))
    with (
        pytest.raises(ConfigError, match="a frame has shape"),
        VideoWriter(path, 64, 48, 25) as writer,
    ):
        writer.write(picture(64, 48).astype(np.float32))
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"

    def interrupted() -> None:
        with VideoWriter(path, 64, 48, 25, audio=tone(1, 16000)) as writer:
            for index in range(60):
                writer.write(picture(64, 48, index))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    assert not path.exists()
    with pytest.raises(ConfigError, match="no frames"), VideoWriter(path, 64, 48, 25):
        pass
    assert not path.exists()


def test_a_closed_film_takes_no_frames(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "a.mp4", 64, 48, 25)
    writer.write(picture(64, 48))
    writer.close()
    writer.close()
    with pytest.raises(ConfigError, match="is closed"):
        writer.write(picture(64, 48))
    assert probe(tmp_path / "a.mp4").frames == 1


# What is read


@pytest.mark.parametrize(
    ("codec", "pixel_format", "container"),
    [
        ("ffv1", "yuv420p", "matroska"),
        ("ffv1", "yuv420p10le", "matroska"),
        ("ffv1", "yuv422p", "matroska"),
        ("ffv1", "yuv444p", "matroska"),
        ("ffv1", "yuv410p", "matroska"),
        ("ffv1", "yuv444p16le", "matroska"),
        ("ffv1", "gray", "matroska"),
        ("ffv1", "gray10le", "matroska"),
        ("ffv1", "gray16le", "matroska"),
        ("ffv1", "gbrp10le", "matroska"),
        ("ffv1", "bgra", "matroska"),
        ("mjpeg", "yuvj420p", "avi"),
        ("prores_ks", "yuv422p10le", "mov"),
        ("rawvideo", "rgb24", "nut"),
        ("png", "rgb24", "mov"),
        ("libx265", "yuv420p10le", "mp4"),
        ("libvpx-vp9", "yuv420p", "webm"),
    ],
)
def test_pixel_formats(tmp_path: Path, codec: str, pixel_format: str, container: str) -> None:
    grey = pixel_format.startswith("gray")
    for level in (16, 128, 235):
        colour = flat(66, 50, level)
        if not grey:
            colour[..., 2] = 250 - level
        path = encode(
            tmp_path / "a.film",
            [colour] * 3,
            codec=codec,
            pixel_format=pixel_format,
            container=container,
        )
        frames = list(read_frames(path))
        assert len(frames) == 3
        assert frames[0].shape == (50, 66, 3)
        assert np.abs(frames[1].astype(int) - colour).max() <= 4


@pytest.mark.parametrize("pixel_format", ["yuva444p", "bgra"])
def test_transparent_films_are_laid_over_white(tmp_path: Path, pixel_format: str) -> None:
    rgba = np.zeros((48, 64, 4), np.uint8)
    rgba[:, 32:, 3] = 255  # black on the right, nothing on the left
    path = encode(tmp_path / "a.mkv", [rgba] * 2, pixel_format=pixel_format, source="rgba")
    image = next(iter(read_frames(path)))
    assert image[:, :32].min() >= 253
    assert image[:, 32:].max() <= 2


def test_palette_films(tmp_path: Path) -> None:
    frames = [flat(64, 48, level) for level in (0, 255, 0)]
    path = encode(tmp_path / "a.gif", frames, codec="gif", pixel_format="rgb8", container="gif")
    # three bits of red and green make white 252 252 255
    assert [int(image.mean().round()) for image in read_frames(path)] == [0, 253, 0]


@pytest.mark.parametrize("size", [(63, 47), (65, 49), (33, 100)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    path = encode(tmp_path / "a.mkv", [picture(*size)] * 2)
    image = next(iter(read_frames(path)))
    assert np.abs(image.astype(int) - picture(*size)).mean() < 2
    assert (probe(path).width, probe(path).height) == size


_ONE = 1 << 16
_HANGINGS: dict[
    str, tuple[tuple[int, ...], Callable[[Image], Image]]
] = {  # the display matrix's a, b, c, d, and what is then seen
    "turned right": ((0, _ONE, -_ONE, 0), lambda image: np.rot90(image, -1)),
    "upside down": ((-_ONE, 0, 0, -_ONE), lambda image: np.rot90(image, 2)),
    "turned left": ((0, -_ONE, _ONE, 0), lambda image: np.rot90(image)),
    "mirrored": ((-_ONE, 0, 0, _ONE), lambda image: image[:, ::-1]),
    "flipped": ((_ONE, 0, 0, -_ONE), lambda image: image[::-1]),
    "transposed": ((0, _ONE, _ONE, 0), lambda image: image.transpose(1, 0, 2)),
}


@pytest.mark.parametrize("name", _HANGINGS)
def test_films_are_shown_upright(tmp_path: Path, name: str) -> None:
    (a, b, c, d), seen = _HANGINGS[name]
    path = tmp_path / "a.mp4"
    write(path, 3, (64, 48))
    upright = list(read_frames(path))
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 44  # version 0 of ISO/IEC 14496-12's track header
    words = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], ">i4")
    data[matrix : matrix + 36] = words.tobytes()
    path.write_bytes(bytes(data))
    turned = list(read_frames(path))
    assert all(np.array_equal(seen(x), y) for x, y in zip(upright, turned, strict=True))
    info = probe(path)
    assert (info.height, info.width) == turned[0].shape[:2]
    assert next(iter(read_frames(path, size=(30, 20)))).shape == (20, 30, 3)


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    path = encode(
        tmp_path / "a.mp4",
        [picture(64, 48)],
        codec="libx264",
        container="mp4",
        aspect=Fraction(3, 2),
    )
    image = next(iter(read_frames(path)))
    assert image.shape == (48, 96, 3)
    assert np.abs(image.astype(int) - picture(96, 48)).mean() < 4
    assert (probe(path).width, probe(path).height) == (96, 48)


def _levels(frames: Iterator[Image]) -> list[int]:
    return [int(np.rint(image.mean() / 10)) for image in frames]


def test_variable_rate_comes_out_even(tmp_path: Path) -> None:
    times = [0, 100, 500, 520, 1000]
    frames = [flat(64, 48, 10 * (index + 1)) for index in range(5)]
    path = encode(tmp_path / "a.mkv", frames, times_ms=times)
    assert _levels(read_frames(path)) == [1, 2, 3, 4, 5]
    # at 0, .1, .2, ... the nearest in time; .3 is a tie and keeps the earlier
    assert _levels(read_frames(path, fps=10)) == [1, 2, 2, 2, 3, 3, 4, 4, 5, 5]


def test_resampling_keeps_the_length(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", 60, fps=30)
    assert sum(1 for _ in read_frames(tmp_path / "a.mp4", fps=25)) == 50
    assert sum(1 for _ in read_frames(tmp_path / "a.mp4", fps=30)) == 60
    assert sum(1 for _ in read_frames(tmp_path / "a.mp4", fps=60)) == 120
    assert sum(1 for _ in read_frames(tmp_path / "a.mp4", fps=0.1)) == 1


def test_repeated_frames_do_not_share_memory(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", 3)
    for image in read_frames(tmp_path / "a.mp4", fps=75):
        assert image.mean() > 1
        image[:] = 0


def test_a_range_of_a_film(tmp_path: Path) -> None:
    frames = [flat(32, 32, 20 + index) for index in range(200)]
    path = tmp_path / "a.mp4"
    with VideoWriter(path, 32, 32, 10, EncodeConfig(crf=1)) as writer:
        for frame in frames:
            writer.write(frame)
    whole = list(read_frames(path))
    for start, end in ((0.0, 1.0), (1.25, 2.05), (12.0, 13.0), (19.0, None)):  # the last two seek
        part = list(read_frames(path, start_seconds=start, end_seconds=end))
        first = int(np.ceil(start * 10))
        last = 200 if end is None else int(np.ceil(end * 10))
        assert len(part) == last - first
        assert all(np.array_equal(x, y) for x, y in zip(part, whole[first:last], strict=True))
    assert len(list(read_frames(path, fps=5, start_seconds=12.0, end_seconds=14.0))) == 10
    assert list(read_frames(path, start_seconds=30.0)) == []
    assert len(list(read_frames(path, max_frames=7))) == 7


def test_size(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", 2, (64, 48))
    for size in ((32, 24), (128, 96), (50, 50)):
        image = next(iter(read_frames(tmp_path / "a.mp4", size=size)))
        assert image.shape == (size[1], size[0], 3)
        assert np.abs(image.astype(int) - picture(*size)).mean() < 3


def test_frames_are_decoded_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.mp4", 200)
    converted = 0
    original = FrameConverter.to_rgb

    def counting(self: FrameConverter, *arguments: Any) -> Image:
        nonlocal converted
        converted += 1
        return original(self, *arguments)

    monkeypatch.setattr(FrameConverter, "to_rgb", counting)
    frames = read_frames(tmp_path / "a.mp4")
    assert converted == 0
    for _ in range(3):
        next(frames)
    assert converted == 3
    frames.close()  # type: ignore[attr-defined]
    (tmp_path / "a.mp4").unlink()


def test_memory_does_not_grow_with_the_film(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    frame = picture(256, 256)
    tracemalloc.start()
    try:
        with VideoWriter(path, 256, 256, 25, EncodeConfig(preset="ultrafast")) as writer:
            for _ in range(200):
                writer.write(frame)
        for _ in read_frames(path):
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12 * frame.nbytes


def test_streams_without_a_clock_or_a_length(tmp_path: Path) -> None:
    frames = [picture(64, 48, index) for index in range(10)]
    raw = encode(tmp_path / "a.h264", frames, codec="libx264", container="h264")
    assert sum(1 for _ in read_frames(raw)) == 10
    assert probe(raw).frames == 10
    live = encode(
        tmp_path / "a.webm", frames, codec="libvpx-vp9", container="webm", options={"live": "1"}
    )
    assert probe(live).frames == 10
    assert probe(live).seconds == pytest.approx(0.4)


def test_public_clips_read(tmp_path: Path) -> None:
    folder = Path(__file__).resolve().parents[2] / "shared" / "clips"
    if not folder.is_dir():
        pytest.skip("no shared clips here")
    for path in sorted(folder.glob("*.mp4")):
        info = probe(path)
        image = next(iter(read_frames(path)))
        assert image.shape == (info.height, info.width, 3)
        assert info.frames is not None
        assert info.frames > 100


# What cannot be read


def _refused(path: Path) -> str:
    """Both ways of reading give one sentence; return it."""
    with pytest.raises(InputError) as caught:
        list(read_frames(path))
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert str(path) in message
    return message


def test_what_is_not_a_film(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.txt").write_text("Call me Ishmael.\n" * 50)
    (tmp_path / "text.mp4").write_text("Call me Ishmael.\n" * 50)
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "list.m3u8").write_text(
        "#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:1/a.ts\n#EXT-X-ENDLIST\n"
    )
    assert "cannot be opened" in _refused(tmp_path / "absent.mp4")
    assert "directory" in _refused(tmp_path)
    assert "empty" in _refused(tmp_path / "empty.mp4")
    for name in ("text.txt", "text.mp4", "noise.mp4", "list.m3u8"):
        _refused(tmp_path / name)
        with pytest.raises(InputError):
            probe(tmp_path / name)


def test_sound_and_stills_are_no_films(tmp_path: Path) -> None:
    from obverse.media.audio import write_wav
    from obverse.media.still import write_still

    write_wav(tmp_path / "a.wav", tone(1, 16000), 16000)
    assert "no video" in _refused(tmp_path / "a.wav")
    for name in ("a.png", "a.jpg"):
        write_still(tmp_path / name, picture(64, 48))
        assert "still" in _refused(tmp_path / name)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov", "a.avi", "a.ts"])
@pytest.mark.parametrize("kept", [0.01, 0.4, 0.9])
def test_films_that_break_off(tmp_path: Path, name: str, kept: float) -> None:
    frames = [np.random.default_rng(i).integers(0, 255, (48, 64, 3), np.uint8) for i in range(30)]
    kinds = {"a.mkv": "matroska", "a.mov": "mov", "a.avi": "avi", "a.ts": "mpegts"}
    whole = tmp_path / name
    if name == "a.mp4":
        with VideoWriter(whole, 64, 48, 25) as writer:
            for frame in frames:
                writer.write(frame)
    else:
        codec = "mjpeg" if name == "a.avi" else "libx264"
        pixel_format = "yuvj420p" if name == "a.avi" else "yuv420p"
        encode(whole, frames, codec=codec, pixel_format=pixel_format, container=kinds[name])
    data = whole.read_bytes()
    assert sum(1 for _ in read_frames(whole)) == 30
    # An odd length never ends on a packet of a transport stream, where nothing would be missing.
    whole.write_bytes(data[: int(len(data) * kept) | 1])
    _refused(whole)


def test_damage_in_the_middle_is_told_with_its_time(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    frames = [np.random.default_rng(i).integers(0, 255, (96, 96, 3), np.uint8) for i in range(50)]
    with VideoWriter(path, 96, 96, 25) as writer:
        for frame in frames:
            writer.write(frame)
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + (len(data) - data.index(b"mdat")) // 2
    data[start : start + 20000] = bytes(20000)
    path.write_bytes(bytes(data))
    seen: list[Image] = []
    with pytest.raises(InputError, match=r"damaged after \d+\.\d\d s"):
        seen.extend(read_frames(path))
    assert 5 < len(seen) < 45


@pytest.mark.parametrize(
    "arguments",
    [
        {"fps": 0},
        {"size": (0, 5)},
        {"start_seconds": -1.0},
        {"start_seconds": 2.0, "end_seconds": 1.0},
        {"max_frames": -1},
    ],
)
def test_arguments_out_of_range(tmp_path: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        read_frames(tmp_path / "a.mp4", **arguments)


def test_a_frame_becomes_the_planes_that_the_standard_says() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    splitter = FrameSplitter(48, 32)
    y, u, v = planes_of(splitter.convert(image))
    # ITU-R BT.709, limited range
    red, green, blue = np.moveaxis(image.astype(np.float64), -1, 0)
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    even = [
        16 + 219 / 255 * luma,
        *(
            (128 + 224 / 255 * (part - luma) / scale).reshape(16, 2, 24, 2).mean((1, 3))
            for part, scale in ((blue, 1.8556), (red, 1.5748))
        ),
    ]
    for plane, expected in zip((y, u, v), even, strict=True):
        assert np.abs(plane - expected).max() < 0.52
    assert np.abs(splitter.luma / LUMA_UNIT - even[0]).max() < 0.02


@pytest.mark.parametrize("level", [0, 16, 128, 235, 255])
def test_grey_is_grey_in_planes(level: int) -> None:
    y, u, v = planes_of(rgb_to_yuv420(flat(16, 16, level)))
    assert set(u.ravel()) == set(v.ravel()) == {128}
    assert set(y.ravel()) == {round(16 + level * 219 / 255)}


def test_planes_are_written_as_frames_are(tmp_path: Path) -> None:
    frames = write(tmp_path / "frames.mp4", 5)
    splitter = FrameSplitter(64, 48)
    with VideoWriter(tmp_path / "planes.mp4", 64, 48, 25) as writer:
        for frame in frames:
            writer.write_planes(splitter.convert(frame))
        with pytest.raises(ConfigError, match="must be"):
            writer.write_planes(frames[0])
    assert (tmp_path / "frames.mp4").read_bytes() == (tmp_path / "planes.mp4").read_bytes()


def test_sound_may_come_while_the_film_is_written(tmp_path: Path) -> None:
    sound = tone(1, 16000)
    asked: list[tuple[int, int]] = []

    def source(start: int, end: int) -> npt.NDArray[np.float32]:
        asked.append((start, end))
        return sound[start:end]

    write(tmp_path / "whole.mp4", 30, audio=sound, audio_rate=16000)
    write(tmp_path / "live.mp4", 30, audio=source, audio_rate=16000)
    assert (tmp_path / "whole.mp4").read_bytes() == (tmp_path / "live.mp4").read_bytes()
    assert asked == [(640 * index, 640 * index + 640) for index in range(30)]


def test_moments_are_the_nearest_frames(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with VideoWriter(path, 64, 48, 25) as writer:
        for i in range(50):
            writer.write(np.full((48, 64, 3), 4 * i, np.uint8))
    wanted = [0.0, 0.07, 0.5, 0.5, 1.3, 9.0]
    found = list(read_moments(path, wanted))
    assert [round(seconds, 2) for seconds, _ in found] == [0.0, 0.08, 0.48, 0.48, 1.28, 1.96]
    levels = [float(image.mean()) / 4 for _, image in found]
    assert levels == pytest.approx([0, 2, 12, 12, 32, 49], abs=1)
    assert list(read_moments(path, [])) == []
    (_, image), *_ = read_moments(path, [1.0], longest_px=32)
    assert image.shape == (24, 32, 3)
    with pytest.raises(ConfigError, match="must rise"):
        read_moments(path, [1.0, 0.5])


def test_long_stretches_between_moments_are_jumped_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mp4"
    with VideoWriter(path, 32, 32, 5) as writer:
        for i in range(300):
            writer.write(np.full((32, 32, 3), i % 250, np.uint8))
    whole = [(s, float(image.mean())) for s, image in read_moments(path, [1.0, 29.9, 59.0])]
    monkeypatch.setattr("obverse.media.video.SEEK_OVER_SECONDS", 1e9)
    decoded = [(s, float(image.mean())) for s, image in read_moments(path, [1.0, 29.9, 59.0])]
    assert whole == decoded
