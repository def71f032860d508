"""Sound: any file's speech as mono float samples, and samples as a wav file."""

import wave
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError, InputError
from obverse.media.container import damaged, open_input, packets

__all__ = ["read_speech", "write_wav"]

MAX_SECONDS = 4 * 3600  # the samples are held in memory: 4 h at 16 kHz are 0.9 GB

# ITU-R BS.775 downmix: a voice sits in the front centre, the effects channel holds none.
_CENTRE_WEIGHT, _FRONT_WEIGHT, _OTHER_WEIGHT = 1.0, 0.7071, 0.5
_FRONT = frozenset({"FL", "FR", "DL", "DR"})
# The order in which so many channels usually come.
_USUAL = {
    3: ("FL", "FR", "FC"),
    5: ("FL", "FR", "FC", "BL", "BR"),
    6: ("FL", "FR", "FC", "LFE", "BL", "BR"),
    8: ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"),
}

Samples = npt.NDArray[np.float32]


def _weights(layout: Any) -> Samples:
    """Return one weight a channel; they add up to 1, so a mix never exceeds its channels."""
    names = [channel.name for channel in layout.channels]
    if not any(name in _FRONT or name == "FC" for name in names):  # nobody says which is which
        names = list(_USUAL.get(len(names), names))
    weights = np.full(len(names), _OTHER_WEIGHT, np.float32)
    for index, name in enumerate(names):
        if name == "FC":
            weights[index] = _CENTRE_WEIGHT
        elif name in _FRONT:
            weights[index] = _FRONT_WEIGHT
        elif name.startswith("LFE"):
            weights[index] = 0.0
    if weights.sum() == 0 or len(names) == 1:
        weights[:] = 1.0
    return np.asarray(weights / weights.sum(), np.float32)


class _MonoMixer:
    """Decoded frames of one format to mono float frames at the wanted rate."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._key: tuple[Any, ...] | None = None
        self._position = 0
        self._to_float: Any = None
        self._to_rate: Any = None

    def _prepare(self, key: tuple[Any, ...]) -> None:
        self._key, self._position = key, 0
        self._to_float = av.AudioResampler(format="fltp")
        self._to_rate = av.AudioResampler(format="fltp", layout="mono", rate=self._rate_hz)

    def push(self, frame: Any) -> list[Samples]:
        key = (frame.format.name, frame.layout.name, len(frame.layout.channels), frame.sample_rate)
        pieces: list[Samples] = []
        if key != self._key:  # the first frame, or a broadcast that changes from stereo to 5.1
            pieces = self.flush()
            self._prepare(key)
        for planar in self._to_float.resample(frame):
            channels = np.asarray(planar.to_ndarray(), np.float32)
            mono = _weights(planar.layout) @ channels
            block = av.AudioFrame.from_ndarray(
                mono[None].astype(np.float32), format="fltp", layout="mono"
            )
            block.sample_rate = planar.sample_rate
            block.pts = self._position
            block.time_base = Fraction(1, planar.sample_rate)
            self._position += mono.size
            pieces += [self._samples(piece) for piece in self._to_rate.resample(block)]
        return pieces

    def flush(self) -> list[Samples]:
        if self._key is None:
            return []
        return [self._samples(piece) for piece in self._to_rate.resample(None) if piece is not None]

    @staticmethod
    def _samples(frame: Any) -> Samples:
        samples: Samples = np.asarray(frame.to_ndarray(), np.float32)[0]
        return samples


def _sound_stream(container: Any, path: Path) -> Any:
    by_default = sorted(container.streams.audio, key=lambda each: not each.disposition & 1)
    for stream in by_default:
        if stream.codec_context is not None:
            return stream
    raise InputError(f"{path} holds no sound; give a file with speech in it.")


def _picture_start_seconds(container: Any) -> float | None:
    for stream in container.streams.video:
        if not stream.disposition & 0x400 and stream.start_time is not None:  # not a song's cover
            return float(stream.start_time * stream.time_base)
    return None


def read_speech(path: Path, rate_hz: int = 16000) -> Samples:
    """Read any audio or video file's sound as mono `[N] float32` in [-1, 1] at `rate_hz`.

    In a film, sample `i` belongs to `i / rate_hz` seconds after the first frame: sound that
    starts later is led in by silence, sound that starts earlier is cut.

    Raises:
        InputError: the file is absent, empty, damaged, or holds no sound.
        ConfigError: the rate is out of range.
    """
    if not 1000 <= rate_hz <= 384_000:
        raise ConfigError(f"rate_hz is {rate_hz}; it must lie between 1000 and 384000.")
    pieces: list[Samples] = []
    lead: float | None = None
    total = 0
    with open_input(path) as container:
        stream = _sound_stream(container, path)
        picture_start = _picture_start_seconds(container)
        mixer = _MonoMixer(rate_hz)
        failure: av.error.FFmpegError | None = None
        for packet in packets(container, stream, path):
            try:
                decoded = packet.decode()
            except av.error.FFmpegError as error:
                if pieces:
                    raise damaged(path, error, total / rate_hz) from error
                failure = error  # recordings may begin in the middle of a packet
                continue
            for frame in decoded:
                if lead is None:
                    starts = frame.time
                    lead = (
                        0.0 if starts is None or picture_start is None else starts - picture_start
                    )
                try:
                    fresh = mixer.push(frame)
                except av.error.FFmpegError as error:  # the header may state any rate
                    raise InputError(
                        f"{path} holds sound of {frame.sample_rate} Hz, which cannot be brought to "
                        f"{rate_hz} Hz; export the sound again."
                    ) from error
                pieces += fresh
                total += sum(map(len, fresh))
                if total > MAX_SECONDS * rate_hz:
                    raise InputError(
                        f"{path} holds more than {MAX_SECONDS // 3600} h of sound; cut it first."
                    )
        pieces += mixer.flush()
    if failure is not None and not any(map(len, pieces)):
        raise damaged(path, failure)
    samples = np.concatenate([*pieces, np.zeros(0, np.float32)])
    if not samples.size:
        raise InputError(f"{path} holds no sound; give a file with speech in it.")
    if np.isnan(samples).any():
        raise InputError(f"{path} holds samples that are not numbers; export the sound again.")
    samples = np.clip(samples, -1.0, 1.0)
    shift = round((lead or 0.0) * rate_hz)
    if shift > 0:
        samples = np.concatenate([np.zeros(min(shift, MAX_SECONDS * rate_hz), np.float32), samples])
    elif shift < 0:
        samples = samples[-shift:]
    return np.ascontiguousarray(samples, np.float32)


def write_wav(path: Path, samples: npt.NDArray[np.float32], rate_hz: int) -> None:
    """Write mono samples in [-1, 1] as a 16-bit wav file; what lies outside is clipped."""
    mono = np.asarray(samples, np.float32)
    if mono.ndim != 1 or not np.isfinite(mono).all():
        raise ConfigError(f"samples of shape {mono.shape} must be one row of finite numbers.")
    if not 1000 <= rate_hz <= 384_000:
        raise ConfigError(f"rate_hz is {rate_hz}; it must lie between 1000 and 384000.")
    pcm = np.rint(np.clip(mono, -1.0, 1.0) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(rate_hz)
        stream.writeframes(pcm.tobytes())
