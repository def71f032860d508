"""Films encoded anew, as a platform or an editor would: codec, rate factor, size, frame rate.

H.264 at a rate factor goes through the writer that this project's films come from, with libx264's
own distance between key frames; rates in bits, H.265, AV1 and VP9 go through the encoders that come
with FFmpeg.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args

import av
import av.error
import cv2
import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError, InputError, ObverseError
from obverse.eval.distortions import require
from obverse.media.colour import FrameSplitter, planes_of
from obverse.media.container import open_input, packets
from obverse.media.encode import EncodeConfig, VideoWriter, crop_even, exact_rate
from obverse.media.priority import leave_real_time

__all__ = ["Codec", "Encoder", "with_sound", "write_film"]

Encoder = Literal["h264", "h265", "av1", "vp9"]
Image = npt.NDArray[np.uint8]
Samples = npt.NDArray[np.float32]

_LIBRARIES: dict[str, str] = {
    "h264": "libx264",
    "h265": "libx265",
    "av1": "libsvtav1",
    "vp9": "libvpx-vp9",
}
_MOST_CRF: dict[str, int] = {"h264": 51, "h265": 51, "av1": 63, "vp9": 63}
# What each library does when nobody asks for anything; SVT-AV1 counts from 0 (slow) to 13.
_PRESETS: dict[str, str] = {"h264": "medium", "h265": "medium", "av1": "8", "vp9": "4"}
_X26X = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow",
)  # fmt: skip
_BT709, _LIMITED = 1, 1
_AAC_KBPS = (16, 320)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """Encode the film: what a grid calls `codec`."""

    codec: Encoder = "h264"
    crf: float = 23  # the codec's own scale: to 51 for H.264 and H.265, to 63 for AV1 and VP9
    kbps: float | None = None  # an average rate in place of crf, at most twice that at its peak
    preset: str | None = None  # None: medium, for AV1 8 of 13, for VP9 cpu-used 4
    scale: float = 1.0  # of both sides, before encoding
    short_px: int | None = None  # make the short side at most so long
    fps: float | None = None  # make the frame rate at most so high; the nearest frames are taken
    gop: int = 250  # frames between key frames at most
    sound_kbps: int = 128  # mono AAC, where the detector hears sound

    def __post_init__(self) -> None:
        """Refuse what no encoder can do."""
        require(self, "codec", self.codec in get_args(Encoder), "h264, h265, av1 or vp9")
        most = _MOST_CRF[self.codec]
        require(self, "crf", 1 <= self.crf <= most, f"1 to {most} for {self.codec}")
        require(self, "kbps", self.kbps is None or 8 <= self.kbps <= 200_000, "8 to 200000")
        require(self, "preset", self.preset is None or self._knows(self.preset), self._presets())
        require(self, "scale", 0.05 <= self.scale <= 4, "0.05 to 4")
        require(self, "short_px", self.short_px is None or self.short_px >= 32, "32 or more")
        require(self, "fps", self.fps is None or 1 <= self.fps <= 240, "1 to 240")
        require(self, "gop", 1 <= self.gop <= 1000, "1 to 1000")
        low, high = _AAC_KBPS
        require(self, "sound_kbps", low <= self.sound_kbps <= high, f"{low} to {high}")

    def _knows(self, preset: str) -> bool:
        if self.codec in ("h264", "h265"):
            return preset in _X26X
        most = 13 if self.codec == "av1" else 8
        return str(preset).isdigit() and 0 <= int(preset) <= most

    def _presets(self) -> str:
        if self.codec in ("h264", "h265"):
            return ", ".join(_X26X)
        return "'0' to '13'" if self.codec == "av1" else "'0' to '8'"

    def rate(self, fps: float) -> float:
        """Return the frame rate that a film of `fps` gets."""
        return fps if self.fps is None else min(fps, self.fps)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return the even width and height that a picture gets."""
        factor = self.scale
        if self.short_px is not None:
            factor = min(factor, self.short_px / min(width, height))
        return _even(width * factor), _even(height * factor)


def _even(side: float) -> int:
    return max(16, round(side / 2) * 2)


def _fitted(frames: Iterable[Image], codec: Codec) -> Iterator[Image]:
    for frame in frames:
        image = crop_even(frame)
        size = codec.size(image.shape[1], image.shape[0])
        if size != (image.shape[1], image.shape[0]):
            how = cv2.INTER_AREA if size[0] < image.shape[1] else cv2.INTER_CUBIC
            image = np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)
        yield image


def write_film(
    path: Path,
    frames: Iterable[Image],
    fps: float,
    codec: Codec,
    sound: Samples | None = None,
    sound_hz: int = 48_000,
) -> None:
    """Encode frames `[H, W, 3] uint8 RGB` that come at `codec.rate(...)` as an mp4.

    Args:
        path: to write.
        frames: of the size that they had; they are scaled here.
        fps: their rate.
        codec: how to encode.
        sound: mono samples; None for a silent film.
        sound_hz: their rate.

    Raises:
        ConfigError: there are no frames, or their rate is out of range.
        ObverseError: the file cannot be written.
    """
    fitted = _fitted(frames, codec)
    first = next(fitted, None)
    if first is None:
        raise ConfigError(f"{path} was given no frames; write at least one.")
    height, width = first.shape[:2]
    if codec.codec == "h264" and codec.kbps is None:
        config = EncodeConfig(
            crf=codec.crf,
            preset=codec.preset or _PRESETS["h264"],  # type: ignore[arg-type]
            gop=codec.gop,
            audio_bitrate=codec.sound_kbps * 1000,
        )
        with VideoWriter(path, width, height, fps, config, sound, sound_hz) as writer:
            writer.write(first)
            for frame in fitted:
                writer.write(frame)
        return
    silent = path if sound is None else path.with_suffix(".silent.mp4")
    try:
        _encode(silent, first, fitted, exact_rate(fps), codec)
        if sound is not None:
            with_sound(silent, path, sound, sound_hz, kbps=codec.sound_kbps)
    except (av.error.FFmpegError, OSError) as error:
        raise ObverseError(f"{path} cannot be written ({error}); check the disk.") from error
    finally:
        if silent != path:
            silent.unlink(missing_ok=True)


def _options(codec: Codec) -> dict[str, str]:
    preset = codec.preset or _PRESETS[codec.codec]
    if codec.kbps is None:
        options = {"crf": f"{codec.crf:g}"}
    elif codec.codec == "av1":
        options = {"svtav1-params": "rc=1"}
    else:
        options = {"maxrate": f"{2 * codec.kbps:g}k", "bufsize": f"{4 * codec.kbps:g}k"}
    if codec.codec == "vp9":
        # A rate factor alone: without a bit rate of 0 it would be a limit only.
        limit = {"b": "0"} if codec.kbps is None else {}
        return options | limit | {"cpu-used": preset, "deadline": "good", "row-mt": "1"}
    if codec.codec == "h265":
        return options | {"preset": preset, "x265-params": "log-level=none"}
    return options | {"preset": preset}


def _encode(path: Path, first: Image, rest: Iterable[Image], rate: Fraction, codec: Codec) -> None:
    os.environ.setdefault("SVT_LOG", "1")  # else SVT-AV1 writes its settings to stderr
    height, width = first.shape[:2]
    splitter = FrameSplitter(width, height)
    planes = np.empty((height * 3 // 2, width), np.uint8)
    with av.open(str(path.absolute()), "w", format="mp4") as container:
        stream: Any = container.add_stream(
            _LIBRARIES[codec.codec], rate=rate, options=_options(codec)
        )
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base, context.gop_size = 1 / rate, codec.gop
        context.thread_count = 2
        if codec.kbps is not None:
            context.bit_rate = round(codec.kbps * 1000)
        context.color_primaries = context.color_trc = context.colorspace = _BT709
        context.color_range = _LIMITED
        container.start_encoding()
        leave_real_time()  # which SVT-AV1 takes
        for count, frame in enumerate(_chained(first, rest)):
            picture: Any = av.VideoFrame(width, height, "yuv420p")
            for plane, samples in zip(
                picture.planes, planes_of(splitter.convert(frame, planes)), strict=True
            ):
                rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
                np.copyto(rows[:, : plane.width], samples)
            picture.pts, picture.time_base = count, 1 / rate
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def _chained(first: Image, rest: Iterable[Image]) -> Iterator[Image]:
    yield first
    yield from rest


def with_sound(
    film: Path, out: Path, sound: Samples, sound_hz: int, *, kbps: int | None = None
) -> None:
    """Write a film's picture, packet by packet as it is, with another sound.

    Args:
        film: the picture.
        out: to write; Matroska takes what any film holds, mp4 most.
        sound: mono samples from the first frame on.
        sound_hz: their rate.
        kbps: of AAC; None keeps the samples as they are (16-bit PCM, which mp4 cannot hold).

    Raises:
        InputError: the film cannot be read.
        ObverseError: the file cannot be written.
    """
    kind = "mp4" if out.suffix == ".mp4" else "matroska"
    if kind == "mp4" and kbps is None:
        raise ConfigError(f"{out} cannot hold PCM; name an .mkv file or give a rate for AAC.")
    samples = np.clip(np.asarray(sound, np.float32), -1, 1)
    try:
        with open_input(film) as seen, av.open(str(out.absolute()), "w", format=kind) as container:
            source = _picture_of(seen, film)
            video: Any = container.add_stream_from_template(source)
            audio: Any = container.add_stream(
                "pcm_s16le" if kbps is None else "aac", rate=sound_hz, layout="mono"
            )
            if kbps is not None:
                audio.codec_context.bit_rate = min(kbps * 1000, 6 * sound_hz)
            start = source.start_time or 0
            for packet in packets(seen, source, film):
                if packet.dts is not None:
                    packet.pts, packet.dts = packet.pts - start, packet.dts - start
                    packet.stream = video
                    container.mux(packet)
            _mux_sound(container, audio, samples, sound_hz, pcm=kbps is None)
    except (av.error.FFmpegError, OSError) as error:
        raise ObverseError(f"{out} cannot be written ({error}); check the disk.") from error


def _picture_of(container: Any, path: Path) -> Any:
    for stream in container.streams.video:
        if not stream.disposition & 0x400:  # a song's cover
            return stream
    raise InputError(f"{path} holds no video; give a film.")


def _mux_sound(container: Any, stream: Any, samples: Samples, rate_hz: int, *, pcm: bool) -> None:
    for start in range(0, len(samples), rate_hz):
        piece = samples[start : start + rate_hz]
        if pcm:
            whole = np.rint(piece * 32767).astype(np.int16)
            block: Any = av.AudioFrame.from_ndarray(whole[None], format="s16", layout="mono")
        else:
            block = av.AudioFrame.from_ndarray(piece[None], format="fltp", layout="mono")
        block.sample_rate, block.pts = rate_hz, start
        block.time_base = Fraction(1, rate_hz)
        container.mux(stream.encode(block))
    with contextlib.suppress(EOFError):
        container.mux(stream.encode(None))
