"""Moving pictures: what a file holds, its frames as RGB, and the one way that films are written.

Frames stream: one at a time in memory, whatever the length of the film.
"""

import collections
import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av.error
import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError, InputError
from obverse.media.colour import FrameConverter
from obverse.media.container import damaged, open_input, packets
from obverse.media.encode import EncodeConfig, VideoWriter, crop_even

__all__ = [
    "EncodeConfig",
    "VideoInfo",
    "VideoWriter",
    "crop_even",
    "probe",
    "read_frames",
    "read_moments",
]

MAX_GAP_SECONDS = 600.0  # between two frames; more is a broken time stamp, not a slide show
SEEK_FROM_SECONDS = 5.0  # nearer starts are reached by decoding
SEEK_OVER_SECONDS = 12.0  # a longer stretch that nobody asks for is jumped over, not decoded
_FALLBACK_FPS = Fraction(25)

Image = npt.NDArray[np.uint8]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VideoInfo:
    """What a film's headers and its first frame say."""

    path: Path
    width: int  # as displayed: after rotation, with square pixels
    height: int
    fps: float  # average
    frames: int | None  # the container's count, or seconds times fps
    seconds: float
    has_audio: bool
    codec: str
    container: str
    pixel_format: str


@dataclasses.dataclass(frozen=True, slots=True)
class _Orientation:
    """The eight ways to hang a picture, from the display matrix of ISO/IEC 14496-12."""

    transpose: bool = False
    mirror: bool = False  # left to right, after the transpose
    flip: bool = False  # top to bottom, after the transpose

    def apply(self, image: Image) -> Image:
        if self.transpose:
            image = image.transpose(1, 0, 2)
        if self.mirror:
            image = image[:, ::-1]
        if self.flip:
            image = image[::-1]
        return np.ascontiguousarray(image)


def _orientation(frame: Any) -> _Orientation:
    data = next(
        (bytes(item) for item in frame.side_data if item.type.name == "DISPLAYMATRIX"), None
    )
    if data is None or len(data) < 36:
        return _Orientation()
    a, b, _, c, d = (int(value) for value in np.frombuffer(data, np.int32)[:5])
    # A pixel (x, y) is shown at (a x + c y, b x + d y).
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return _Orientation(mirror=a < 0, flip=d < 0)
    return _Orientation(transpose=True, mirror=c < 0, flip=b < 0)


def _video_stream(container: Any, path: Path) -> Any:
    format_name = container.format.name
    if format_name.endswith("_pipe") or format_name == "image2":
        raise InputError(f"{path} is a still picture, not a video; give a film.")
    by_default = sorted(container.streams.video, key=lambda each: not each.disposition & 1)
    for stream in by_default:
        attached = 0x400  # AV_DISPOSITION_ATTACHED_PIC: the cover of a song
        if not stream.disposition & attached:
            if stream.codec_context is None:
                raise InputError(
                    f"{path} holds video of a codec that is not known; convert it to H.264 first."
                )
            return stream
    raise InputError(f"{path} holds no video; give a film.")


def _rate(stream: Any) -> Fraction:
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and 0 < rate <= 1000:
            return Fraction(rate)
    return _FALLBACK_FPS


def _frames(
    container: Any, stream: Any, path: Path, threads: int = 0
) -> Iterator[tuple[float | None, float, Any]]:
    """Yield (time in seconds or None, duration in seconds, decoded frame) in display order."""
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = threads
    started = False
    seconds: float | None = None
    usual = float(1 / _rate(stream))
    failure: av.error.FFmpegError | None = None
    for packet in packets(container, stream, path):
        try:
            decoded = packet.decode()
        except av.error.FFmpegError as error:
            if started:
                raise damaged(path, error, seconds) from error
            failure = error  # a recording that starts between two key frames may do so
            continue
        for frame in decoded:
            if frame.is_corrupt and started:
                raise damaged(path, ValueError("a frame does not decode"), seconds)
            started = True
            seconds = frame.time
            yield (
                seconds,
                float(frame.duration * frame.time_base) if frame.duration else usual,
                frame,
            )
    if not started:
        raise damaged(path, failure or ValueError("no frame can be decoded"))


def _display_size(frame: Any, stream: Any) -> tuple[int, int]:
    """Return (width, height) of a frame before rotation, with square pixels."""
    aspect = stream.sample_aspect_ratio
    if not aspect or not Fraction(1, 10) < aspect < 10:
        return frame.width, frame.height
    return max(1, round(frame.width * aspect)), frame.height


def _length(container: Any, stream: Any, path: Path) -> tuple[float, int]:
    """Count a film's seconds and frames by its packets, where no header states a duration."""
    frames, first, last = 0, None, 0.0
    for packet in packets(container, stream, path):
        if not packet.size:
            continue
        frames += 1
        if packet.pts is not None:
            time = float(packet.pts * packet.time_base)
            first = time if first is None else min(first, time)
            last = max(last, time)
    usual = float(1 / _rate(stream))
    return (frames * usual if first is None else last - first + usual), frames


def probe(path: Path) -> VideoInfo:
    """Read a film's headers and decode its first frame.

    Raises:
        InputError: the file is absent, empty, damaged, or holds no video.
    """
    with open_input(path) as container:
        stream = _video_stream(container, path)
        rate = _rate(stream)
        seconds, frames = 0.0, int(stream.frames)
        if stream.duration:
            seconds = float(stream.duration * stream.time_base)
        elif container.duration:
            seconds = container.duration / 1e6
        _, _, frame = next(_frames(container, stream, path, threads=1))
        width, height = _display_size(frame, stream)
        if _orientation(frame).transpose:
            width, height = height, width
        described = {
            "has_audio": bool(container.streams.audio),
            "codec": str(stream.codec_context.name),
            "container": str(container.format.name),
            "pixel_format": str(frame.format.name),
        }
    if seconds <= 0:
        with open_input(path) as container:
            seconds, frames = _length(container, _video_stream(container, path), path)
    return VideoInfo(
        path=path,
        width=width,
        height=height,
        fps=float(rate),
        frames=frames or round(seconds * rate) or None,
        seconds=seconds,
        **described,  # type: ignore[arg-type]
    )


def read_frames(
    path: Path,
    *,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    max_frames: int | None = None,
    start_seconds: float = 0.0,
    end_seconds: float | None = None,
    threads: int = 0,
) -> Iterator[Image]:
    """Yield a film's frames as `[H, W, 3] uint8 RGB`, upright, with square pixels, one at a time.

    Args:
        path: any file that FFmpeg reads.
        fps: None for every frame as it is stored; a number for that constant rate, each frame the
            nearest in time (files of variable frame rate come out even).
        size: (width, height) to scale to; None for the size of the first frame.
        max_frames: stop after so many.
        start_seconds: leave out what comes before, counted from the first frame.
        end_seconds: leave out what comes from then on.
        threads: of the decoder; 0 takes what the machine has.

    Raises:
        InputError: at the first frame, or where the damage lies, with the time in the film.
        ConfigError: an argument is out of range.
    """
    if fps is not None and not 0 < fps <= 1000:
        raise ConfigError(f"fps is {fps}; it must be above 0 and at most 1000.")
    if size is not None and not (1 <= size[0] <= 16384 and 1 <= size[1] <= 16384):
        raise ConfigError(f"size is {size}; width and height must lie between 1 and 16384.")
    if start_seconds < 0 or (end_seconds is not None and end_seconds <= start_seconds):
        raise ConfigError(
            f"the range is {start_seconds} to {end_seconds} s; it must be 0 <= start < end."
        )
    if max_frames is not None and max_frames < 0:
        raise ConfigError(f"max_frames is {max_frames}; it must be 0 or more.")
    frames = _decode(path, fps, size, start_seconds, end_seconds, threads)
    return frames if max_frames is None else itertools.islice(frames, max_frames)


def read_moments(
    path: Path, times: Sequence[float], *, longest_px: int | None = None, threads: int = 0
) -> Iterator[tuple[float, Image]]:
    """Yield for each of some moments the frame nearest in time, with the second it is shown at.

    Frames are `[H, W, 3] uint8 RGB`, upright, with square pixels, one at a time; long stretches
    between two moments are jumped over. A moment after the end gets the last frame.

    Args:
        path: any file that FFmpeg reads.
        times: seconds after the first frame, rising.
        longest_px: larger frames are scaled to this longer side; None leaves them.
        threads: of the decoder; 0 takes what the machine has.

    Raises:
        InputError: at the first frame, or where the damage lies, with the time in the film.
        ConfigError: the moments do not rise from 0 on.
    """
    if any(later < earlier for earlier, later in itertools.pairwise([0.0, *times])):
        raise ConfigError("moments must rise, from 0 s on; sort them.")
    return _moments(path, times, longest_px, threads)


def _moments(
    path: Path, times: Sequence[float], longest_px: int | None, threads: int
) -> Iterator[tuple[float, Image]]:
    converter = FrameConverter()
    shown: tuple[Any, Image] | None = None
    for group in _groups(times):
        with open_input(path) as container:
            stream = _video_stream(container, path)
            timed = _timed(container, stream, path, group[0], threads)
            for seconds, frame in _nearest(timed, group):
                if shown is None or shown[0] is not frame:
                    shown = frame, _picture(frame, stream, converter, longest_px)
                yield seconds, shown[1].copy()


def _groups(times: Sequence[float]) -> list[list[float]]:
    """Part moments where a jump is worth opening the film again."""
    groups: list[list[float]] = []
    for time in times:
        if not groups or time - groups[-1][-1] > SEEK_OVER_SECONDS:
            groups.append([])
        groups[-1].append(time)
    return groups


def _nearest(
    timed: Iterator[tuple[float, float, Any]], times: Sequence[float]
) -> Iterator[tuple[float, Any]]:
    """Yield (seconds, frame) nearest to each of `times`; a tie keeps the earlier."""
    waiting = collections.deque(times)
    held: tuple[float, float, Any] | None = None
    for current in timed:
        if held is not None:
            if current[0] <= held[0]:
                continue  # a time stamp that goes back
            middle = (held[0] + current[0]) / 2 + 1e-6
            while waiting and waiting[0] <= middle:
                waiting.popleft()
                yield held[0], held[2]
            if not waiting:
                return
        held = current
    if held is not None:
        for _ in waiting:
            yield held[0], held[2]


def _picture(frame: Any, stream: Any, converter: FrameConverter, longest_px: int | None) -> Image:
    width, height = _display_size(frame, stream)
    if longest_px is not None and max(width, height) > longest_px:
        scale = longest_px / max(width, height)
        width, height = max(1, round(width * scale)), max(1, round(height * scale))
    return _orientation(frame).apply(converter.to_rgb(frame, width, height))


def _decode(
    path: Path,
    fps: float | None,
    size: tuple[int, int] | None,
    start: float,
    end: float | None,
    threads: int,
) -> Iterator[Image]:
    with open_input(path) as container:
        stream = _video_stream(container, path)
        timed = _timed(container, stream, path, start, threads)
        chosen = (
            _stored(timed, start, end) if fps is None else _resampled(timed, path, fps, start, end)
        )
        converter = FrameConverter()
        previous: Any = None
        image: Image | None = None
        for frame in chosen:
            if frame is previous and image is not None:
                yield image.copy()  # the caller may have drawn on the first
                continue
            turn = _orientation(frame)
            if size is None:
                width, height = _display_size(frame, stream)
                size = (height, width) if turn.transpose else (width, height)
            width, height = size[::-1] if turn.transpose else size
            image = turn.apply(converter.to_rgb(frame, width, height))
            previous = frame
            yield image if fps is None else image.copy()


def _timed(
    container: Any, stream: Any, path: Path, start: float, threads: int
) -> Iterator[tuple[float, float, Any]]:
    """Yield (seconds since the first frame, duration, frame), from at or before `start` on."""
    usual = float(1 / _rate(stream))
    origin: float | None = None
    if start >= SEEK_FROM_SECONDS and stream.start_time is not None:
        origin = float(stream.start_time * stream.time_base)
        target = int((start - 1.0) / stream.time_base) + int(stream.start_time)
        try:
            container.seek(target, stream=stream, backward=True)
        except av.error.FFmpegError:
            container.seek(int(stream.start_time), stream=stream, backward=True)
    following = 0.0
    for time, duration, frame in _frames(container, stream, path, threads):
        if time is None:  # raw streams have no clock
            seconds = following
        else:
            origin = time if origin is None else origin
            seconds = time - origin
        following = seconds + (duration or usual)
        yield seconds, duration or usual, frame


def _stored(
    timed: Iterator[tuple[float, float, Any]], start: float, end: float | None
) -> Iterator[Any]:
    tolerance = 1e-6
    for seconds, _, frame in timed:
        if end is not None and seconds >= end - tolerance:
            return
        if seconds >= start - tolerance:
            yield frame


def _resampled(
    timed: Iterator[tuple[float, float, Any]],
    path: Path,
    fps: float,
    start: float,
    end: float | None,
) -> Iterator[Any]:
    """Yield, for each k, the frame nearest in time to start + k / fps."""
    step = 1.0 / fps
    index = 0
    held: tuple[float, float, Any] | None = None
    for current in timed:
        seconds = current[0]
        if held is not None:
            if seconds <= held[0]:
                continue  # a time stamp that goes back
            if seconds - held[0] > MAX_GAP_SECONDS:
                raise InputError(
                    f"{path} jumps from {held[0]:.2f} s to {seconds:.2f} s between two frames; "
                    "its time stamps are broken, remux it."
                )
            middle = (held[0] + seconds) / 2 + 1e-6  # a tie keeps the earlier
            while start + index * step <= middle:
                if end is not None and start + index * step >= end - 1e-6:
                    return
                yield held[2]
                index += 1
        held = current
    if held is None:
        return
    stop = held[0] + held[1] if end is None else min(end, held[0] + held[1])
    # Half a step of slack, so that 100 frames of 40 ms are 100 at 25 fps whatever the rounding.
    while start + (index + 0.5) * step <= stop + 1e-6 or (index == 0 and start <= held[0]):
        yield held[2]
        index += 1
