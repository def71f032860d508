"""The one way that films are written: H.264 and AAC in an mp4 that names no tool."""

import contextlib
import dataclasses
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, get_args

import av
import av.error
import cv2
import numpy as np
import numpy.typing as npt
from av.bitstream import BitStreamFilterContext

from obverse.errors import ConfigError, ObverseError
from obverse.media.colour import FrameSplitter, planes_of

__all__ = [
    "AAC_RATES_HZ",
    "EncodeConfig",
    "SoundSource",
    "VideoWriter",
    "crop_even",
    "exact_rate",
]

Preset = Literal[
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"
]

AAC_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
# Sound that is not known whole: called with (start, end), the numbers of a frame's samples, once
# the frame is written, in order and without gaps; returns them `[n] float32`, or fewer at the end.
SoundSource = Callable[[int, int], npt.NDArray[np.float32]]
_BT709 = 1  # AVCOL_PRI_BT709, AVCOL_TRC_BT709 and AVCOL_SPC_BT709 alike
_LIMITED = 1  # AVCOL_RANGE_MPEG
_MAX_SIDE_PX = 8192
# FFmpeg's default AAC coder doubles the amplitude of some onsets; at these rates the fast one is 5
# to 15 dB closer to speech, for as many bytes.
_AAC_OPTIONS = {"flags": "+bitexact", "aac_coder": "fast", "aac_pns": "0", "aac_tns": "0"}
_AVX2, _AVX512 = 11, 13  # OpenCV's numbers for what a processor can do
# With AVX-512, x264's lookahead reads past the ends of its rows: at widths that are no multiple of
# 256 the same frames gave other bytes now and then. Without it they do not, and it is no slower.
_STEADY_ASM = "MMX2,SSE2,SSE2Fast,LZCNT,SSSE3,SSE4.2,AVX,FMA3,BMI2,AVX2"
_SEI_NAL = 6  # x264 writes its name, version and every option into one


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EncodeConfig:
    """How films are encoded. The same settings and frames give the same bytes."""

    crf: float = 18  # x264's constant rate factor, 1 (best) to 51
    preset: Preset = "veryfast"
    gop: int = 50  # frames between key frames at most
    key_ratio: float = 1.4  # x264's ipratio: how much finer key frames are quantised than others
    audio_bitrate: int = 96_000  # bits a second, mono AAC
    threads: int = 2  # of x264; a fixed number, because the bytes depend on it

    def __post_init__(self) -> None:
        """Refuse settings that x264 and AAC cannot honour."""
        if not 1 <= self.crf <= 51:
            raise ConfigError(f"crf is {self.crf}; it must lie between 1 and 51.")
        if self.preset not in get_args(Preset):
            raise ConfigError(
                f"preset is {self.preset!r}; it must be one of {', '.join(get_args(Preset))}."
            )
        if not 1 <= self.gop <= 1000:
            raise ConfigError(f"gop is {self.gop} frames; it must lie between 1 and 1000.")
        if not 0.2 <= self.key_ratio <= 10:
            raise ConfigError(f"key_ratio is {self.key_ratio}; it must lie between 0.2 and 10.")
        if not 16_000 <= self.audio_bitrate <= 320_000:
            raise ConfigError(
                f"audio_bitrate is {self.audio_bitrate}; it must lie between 16000 and 320000."
            )
        if not 1 <= self.threads <= 64:
            raise ConfigError(f"threads is {self.threads}; it must lie between 1 and 64.")


def crop_even(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Drop the last row and column where they are odd: 4:2:0 needs an even width and height."""
    return image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]


def exact_rate(fps: float | Fraction) -> Fraction:
    """Return a frame rate as a fraction; 29.97 and its like become 30000/1001.

    Raises:
        ConfigError: the rate lies outside 1 to 240.
    """
    if not 1 <= fps <= 240:
        raise ConfigError(f"fps is {float(fps):g}; it must lie between 1 and 240.")
    if isinstance(fps, Fraction):
        return fps
    broadcast = Fraction(round(fps * 1.001) * 1000, 1001)
    if abs(fps - round(fps)) > 1e-6 and abs(float(broadcast) - fps) < 5e-3:
        return broadcast
    return Fraction(fps).limit_denominator(1001)


def _source_of(audio: npt.NDArray[np.float32] | SoundSource, rate_hz: int) -> SoundSource:
    if rate_hz not in AAC_RATES_HZ:
        rates = ", ".join(str(rate) for rate in AAC_RATES_HZ)
        raise ConfigError(f"audio_rate is {rate_hz}; AAC knows {rates}; resample the sound.")
    if callable(audio):
        return lambda start, end: _checked_audio(audio(start, end))
    samples = _checked_audio(audio)
    return lambda start, end: samples[start:end]


def _checked_audio(audio: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    samples = np.asarray(audio, np.float32)
    if samples.ndim != 1:
        raise ConfigError(f"audio has shape {samples.shape}; it must be mono, one row of samples.")
    if not np.isfinite(samples).all():
        raise ConfigError("audio holds samples that are not finite; clean them before writing.")
    return np.clip(samples, -1.0, 1.0)


def _steadiness() -> str:
    """Return what keeps x264 to code that gives the same bytes each time."""
    wide = all(cv2.checkHardwareSupport(feature) for feature in (_AVX2, _AVX512))
    return f":asm={_STEADY_ASM}" if wide else ""


class VideoWriter:
    """Writes RGB frames, and sound beside them, as a constant-rate mp4 with its index in front.

    H.264 High, 8-bit 4:2:0, BT.709 limited range and tagged so. Sound is mono AAC, padded with
    silence or cut to end with the last frame. Frames are encoded as they come. A `with` block that
    fails leaves no file.

    Raises:
        ConfigError: a size that is odd or out of range, a frame of another shape, unusable sound,
            no frame at all.
        ObverseError: the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        width: int,
        height: int,
        fps: float | Fraction,
        config: EncodeConfig | None = None,
        audio: npt.NDArray[np.float32] | SoundSource | None = None,
        audio_rate: int = 16000,
    ) -> None:
        if width % 2 or height % 2:
            raise ConfigError(
                f"a film of {width}x{height} cannot be written: H.264 4:2:0 needs an even width "
                "and height; crop it with crop_even."
            )
        if not (16 <= width <= _MAX_SIDE_PX and 16 <= height <= _MAX_SIDE_PX):
            raise ConfigError(
                f"a film of {width}x{height} cannot be written: each side must lie between 16 "
                f"and {_MAX_SIDE_PX} px."
            )
        config = config or EncodeConfig()
        self.path, self.width, self.height, self.rate = path, width, height, exact_rate(fps)
        self.frames = 0
        self._audio = None if audio is None else _source_of(audio, audio_rate)
        self._audio_rate = audio_rate
        self._samples_written = 0
        self._closed = False
        self._splitter: FrameSplitter | None = None
        if path.is_dir() or not path.parent.is_dir():
            raise ConfigError(
                f"{path} cannot be written: it must be a file name in a folder that exists."
            )
        try:
            self._container: Any = av.open(
                str(path.absolute()),
                mode="w",
                format="mp4",
                options={
                    "movflags": "+faststart",
                    "fflags": "+bitexact",
                    "movie_timescale": str(self._timescale()),
                },
            )
        except (av.error.FFmpegError, OSError) as error:
            raise self._unwritable(error) from error
        try:
            self._open_streams(config)
        except BaseException:
            self.abort()
            raise

    def _open_streams(self, config: EncodeConfig) -> None:
        self._video: Any = self._container.add_stream(
            "libx264",
            rate=self.rate,
            options={
                "crf": str(config.crf),
                "preset": config.preset,
                "profile": "high",
                "flags": "+bitexact",
                # Chroma is averaged over each 2x2 block, so it sits in the middle of it.
                # Stitchable: the headers do not say which crf was asked for.
                "x264-params": f"chromaloc=1:stitchable=1:ipratio={config.key_ratio:g}"
                + _steadiness(),
            },
        )
        context = self._video.codec_context
        context.width, context.height, context.pix_fmt = self.width, self.height, "yuv420p"
        context.time_base = 1 / self.rate
        context.gop_size = config.gop
        # Whole frames at once: slices of one frame would wait for each other and predict less well.
        context.thread_count, context.thread_type = config.threads, "FRAME"
        context.color_primaries = context.color_trc = context.colorspace = _BT709
        context.color_range = _LIMITED
        context.sample_aspect_ratio = Fraction(1)
        # x264 copies what it is given, so one frame serves for all; fresh memory would cost more.
        self._frame: Any = av.VideoFrame(self.width, self.height, "yuv420p")
        self._frame.time_base = 1 / self.rate
        self._planes = [
            np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
            for plane in self._frame.planes
        ]
        self._sound: Any = None
        if self._audio is not None:
            self._sound = self._container.add_stream(
                "aac", rate=self._audio_rate, layout="mono", options=dict(_AAC_OPTIONS)
            )
            self._sound.codec_context.bit_rate = min(config.audio_bitrate, 6 * self._audio_rate)
            self._sound.codec_context.time_base = Fraction(1, self._audio_rate)
        self._container.start_encoding()
        self._strip: Any = BitStreamFilterContext(
            f"filter_units=remove_types={_SEI_NAL}", in_stream=self._video
        )

    def _timescale(self) -> int:
        """Return a clock in which frames and samples last whole ticks: lengths are exact."""
        frame_ticks = self.rate.numerator
        ticks = frame_ticks if self._audio is None else math.lcm(frame_ticks, self._audio_rate)
        return ticks if ticks < 1 << 31 else self._audio_rate

    def _unwritable(self, error: BaseException) -> ObverseError:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return ObverseError(
            f"{self.path} cannot be written ({reason}); check the disk and its permissions."
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def write(self, frame: npt.NDArray[np.uint8]) -> None:
        """Append one frame, `[height, width, 3] uint8 RGB`."""
        if frame.shape != (self.height, self.width, 3) or frame.dtype != np.uint8:
            raise ConfigError(
                f"a frame has shape {frame.shape} and type {frame.dtype}; "
                f"it must be ({self.height}, {self.width}, 3) uint8."
            )
        if self._splitter is None:
            self._splitter = FrameSplitter(self.width, self.height)
            self._picture = np.empty((self.height * 3 // 2, self.width), np.uint8)
        self.write_planes(self._splitter.convert(frame, self._picture))

    def write_planes(self, picture: npt.NDArray[np.uint8]) -> None:
        """Append one frame that is BT.709 limited-range I420 already, `[height * 3 / 2, width]`."""
        if self._closed:
            raise ConfigError(f"{self.path} is closed; a frame can no longer be written to it.")
        if picture.shape != (self.height * 3 // 2, self.width) or picture.dtype != np.uint8:
            raise ConfigError(
                f"a picture has shape {picture.shape} and type {picture.dtype}; "
                f"it must be ({self.height * 3 // 2}, {self.width}) uint8."
            )
        for plane, samples in zip(self._planes, planes_of(picture), strict=True):
            np.copyto(plane, samples)
        self._frame.pts = self.frames
        self.frames += 1
        try:
            self._mux_video(self._frame)
            self._encode_sound()
        except (av.error.FFmpegError, OSError) as error:
            raise self._unwritable(error) from error

    def _mux_video(self, picture: Any) -> None:
        for packet in self._video.encode(picture):
            time_base = packet.time_base
            for stripped in self._strip.filter(packet):
                stripped.stream, stripped.time_base = self._video, time_base
                self._container.mux(stripped)

    def _encode_sound(self) -> None:
        """Encode the sound up to the end of the last frame, silence where there is none left."""
        if self._audio is None:
            return
        end = round(self.frames * self._audio_rate / self.rate)
        start, self._samples_written = self._samples_written, end
        samples = np.zeros(end - start, np.float32)
        available = self._audio(start, end)[: end - start]
        samples[: len(available)] = available
        block = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        block.sample_rate = self._audio_rate
        block.pts, block.time_base = start, Fraction(1, self._audio_rate)
        self._container.mux(self._sound.encode(block))

    def close(self) -> None:
        """Flush both encoders and finish the file; a second call does nothing."""
        if self._closed:
            return
        if not self.frames:
            self.abort()
            raise ConfigError(f"{self.path} was given no frames; write at least one.")
        try:
            self._mux_video(None)
            if self._sound is not None:
                self._container.mux(self._sound.encode(None))
            self._container.close()
        except (av.error.FFmpegError, OSError) as error:
            self.abort()
            raise self._unwritable(error) from error
        self._closed = True

    def abort(self) -> None:
        """Give up: close and remove the file."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(av.error.FFmpegError, OSError, ValueError):
            self._container.close()
        self.path.unlink(missing_ok=True)
