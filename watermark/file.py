"""Mark a film that is already a file: frames marked and encoded anew, sound copied as it is.

A film that carries a mark of the same key is never marked again, so that its quality is not
lowered twice: with the same payload the file is copied byte for byte, with another it is refused.
"""

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import av.error

from obverse.errors import ConfigError, MarkError, OutputExistsError
from obverse.hidden import hidden_folder
from obverse.media.audio import read_speech
from obverse.media.container import open_input, packets
from obverse.media.video import EncodeConfig, VideoInfo, VideoWriter, crop_even, probe, read_frames
from obverse.watermark.embed import Frame
from obverse.watermark.marks import ClassicalMark, ClipMarker, Mark, read_file
from obverse.watermark.payload import PAYLOAD_BITS

__all__ = ["mark_file"]

Progress = Callable[[int, int, str], None]

_CODECS_OF_MP4 = frozenset({"aac", "mp3", "ac3", "eac3", "opus", "alac", "flac"})
_FALLBACK_RATE_HZ = 48_000


def _silent(done: int, total: int, note: str) -> None:
    del done, total, note


def mark_file(
    source: Path,
    destination: Path,
    payload: int | None = None,
    mark: Mark | None = None,
    *,
    force: bool = False,
    encoding: EncodeConfig | None = None,
    progress: Progress = _silent,
) -> int:
    """Write a marked copy of a film as mp4 and return its payload; None draws one at random.

    `mark` says which kind and which key; None is the classical one under the public key. The copy
    is read back before it appears; on any failure nothing does. Sound that mp4 can hold is copied
    packet by packet, other sound is encoded as mono AAC. An odd row or column is dropped.

    Raises:
        OutputExistsError: the destination exists and `force` is false.
        ConfigError: the destination is no name of an mp4 file or is the source, or the payload is
            not usable.
        InputError: the source cannot be read.
        MarkError: the destination cannot be written, the source carries another mark of this key
            already, or the mark did not come back.
    """
    with _hidden_folder(source, destination, force=force) as scratch:
        ready = scratch / "marked.mp4"
        payload = _mark(source, ready, payload, mark or ClassicalMark(), encoding, progress)
        try:
            os.replace(ready, destination)
        except OSError as error:
            raise _not_written(destination, error) from error
    return payload


@contextlib.contextmanager
def _hidden_folder(source: Path, destination: Path, *, force: bool) -> Iterator[Path]:
    """Check the destination before any work; yield a folder beside it, removed at the end."""
    if destination.suffix.lower() != ".mp4":
        raise ConfigError(
            f"{destination} does not end in .mp4; a marked film is an mp4, give such a name."
        )
    folder = destination.absolute().parent
    try:
        exists = destination.exists()
        same = exists and source.exists() and destination.samefile(source)
        if destination.is_dir():
            raise ConfigError(f"{destination} is a folder; name a file with -o.")
        if not folder.is_dir():
            raise MarkError(f"{destination} cannot be written: its folder does not exist.")
    except OSError as error:
        raise _not_written(destination, error) from error
    if same:
        raise ConfigError(f"{source} cannot be marked in place; give another name with -o.")
    if exists and not force:
        raise OutputExistsError(f"{destination} exists; give another name or --force.")
    with contextlib.ExitStack() as stack:
        try:
            scratch = stack.enter_context(hidden_folder(folder, "mark"))
        except OSError as error:
            raise _not_written(destination, error) from error
        yield scratch


def _not_written(destination: Path, error: OSError) -> MarkError:
    reason = error.strerror or type(error).__name__
    return MarkError(f"{destination} cannot be written ({reason}); give another place with -o.")


def _mark(
    source: Path,
    ready: Path,
    payload: int | None,
    mark: Mark,
    encoding: EncodeConfig | None,
    progress: Progress,
) -> int:
    """Write the marked copy to `ready`, read it back, and return its payload."""
    info = probe(source)
    found = read_file(source, mark)
    if found.present:
        if payload is None or found.payload != payload:
            carried = found.payload_hex or "that cannot be read any more"
            raise MarkError(
                f"{source} already carries a mark of this key, payload {carried}; "
                "another would lower its quality and make both harder to read; mark the original."
            )
        try:
            shutil.copyfile(source, ready)
        except OSError as error:
            raise MarkError(f"{source} cannot be copied ({error.strerror}).") from error
        return payload
    if payload is None:
        payload = secrets.randbits(PAYLOAD_BITS)
    _write(source, info, ready, mark.embedder(payload), encoding, progress)
    back = read_file(ready, mark)
    if back.payload != payload:
        raise MarkError(
            f"the mark did not come back from {source} (z {back.z:.1f}); it is too short, "
            "too small or too flat to hold one."
        )
    return payload


def _write(
    source: Path,
    info: VideoInfo,
    destination: Path,
    embedder: ClipMarker,
    encoding: EncodeConfig | None,
    progress: Progress,
) -> None:
    codec = _sound_codec(source) if info.has_audio else None
    copied = codec in _CODECS_OF_MP4
    audio = read_speech(source, _FALLBACK_RATE_HZ) if codec and not copied else None
    picture = destination.with_name("picture.mp4") if copied else destination
    width, height = info.width // 2 * 2, info.height // 2 * 2
    total = info.frames or 0
    with VideoWriter(
        picture, width, height, info.fps, encoding or EncodeConfig(), audio, _FALLBACK_RATE_HZ
    ) as writer:
        for number, frame in enumerate(embedder.embed(_frames(source, info)), 1):
            writer.write(frame)
            progress(number, max(total, number), "")
    if copied:
        _join(picture, source, destination)


def _frames(source: Path, info: VideoInfo) -> Iterator[Frame]:
    for frame in read_frames(source, fps=info.fps):
        yield crop_even(frame)


def _sound_codec(path: Path) -> str | None:
    with open_input(path) as container:
        streams = container.streams.audio
        return str(streams[0].codec_context.name) if streams else None


def _join(picture: Path, sound: Path, destination: Path) -> None:
    """Write the picture of one file and the sound of another into one mp4, both as they are."""
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    try:
        with (
            open_input(picture) as seen,
            open_input(sound) as heard,
            av.open(str(destination), "w", format="mp4", options=options) as out,
        ):
            video_in, audio_in = seen.streams.video[0], heard.streams.audio[0]
            video_out = out.add_stream_from_template(video_in)
            audio_out = out.add_stream_from_template(audio_in)
            starts = [
                float(stream.start_time * stream.time_base)
                for stream in heard.streams.video
                if stream.start_time is not None
            ]
            lead = round((starts[0] if starts else 0.0) / audio_in.time_base)
            for packet in packets(seen, video_in, picture):
                if packet.dts is not None:
                    packet.stream = video_out
                    out.mux(packet)
            for packet in packets(heard, audio_in, sound):
                if packet.dts is not None:
                    packet.pts -= lead
                    packet.dts -= lead
                    packet.stream = audio_out
                    out.mux(packet)
    except av.error.FFmpegError as error:
        raise MarkError(f"the sound of {sound} cannot be copied into an mp4 ({error}).") from error
