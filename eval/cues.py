"""Trivial cues of a clip: what could tell a label without anybody looking at the face.

A film's packets are listed without being decoded; its first frames and its sound are decoded once,
for all cues together, the mark among them. What was read is kept in the user's cache under the
sha256 of the file, so that an audit that was broken off goes on where it was.
"""

import dataclasses
import functools
import json
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

import av.error
import cv2
import numpy as np
import numpy.typing as npt
import platformdirs

from obverse.clip import Clip
from obverse.datasets.footage import Footage
from obverse.errors import InputError, ObverseError
from obverse.faces.landmarks import FaceReader
from obverse.media.audio import read_speech
from obverse.media.container import open_input, packets
from obverse.media.video import read_frames
from obverse.watermark.extract import read_pooled
from obverse.watermark.pool import Pool
from obverse.workers import spread

__all__ = [
    "CUES",
    "ClipCues",
    "Cue",
    "blockiness",
    "cache_directory",
    "jpeg_ghost",
    "noise_level",
    "read_cues",
    "sharpness",
    "silences",
    "top_boxes",
]

Room = Literal["file", "shape", "sound", "picture", "mark", "name"]
Image = npt.NDArray[np.uint8]
Progress = Callable[[int, int], None]

VERSION = 2  # of what is read: a change makes every cache stale
FRAMES = 300  # of a clip that are decoded; the mark needs no more
LOOKED_AT = 12  # of them that sharpness, noise and blocks are measured on
GHOSTS = 3  # of those that are encoded anew
QUALITIES = tuple(range(50, 100, 5))  # of JPEG
RATE_HZ = 16_000
WINDOW = RATE_HZ // 100  # samples of the sound's level: 10 ms
SILENT_DB = -40.0  # below the loud parts
NOTHING = "none"
# Tags that differ from file to file and say when, not by what.
_OF_THE_FILE = ("creation_time", "date", "duration", "title", "comment", "location")


class Cue(NamedTuple):
    """Something that is measured."""

    name: str
    room: Room
    number: bool  # else it is a text, of which only equality counts
    says: str


CUES: tuple[Cue, ...] = (
    Cue("file_size", "file", True, "bytes of the file"),
    Cue("bitrate", "file", True, "bits a second of the picture"),
    Cue("keyframe_interval", "file", True, "frames from one keyframe to the next, mean"),
    Cue("keyframe_share", "file", True, "bytes of keyframes over all of the picture's"),
    Cue("container", "file", False, "container and its brands"),
    Cue("boxes", "file", False, "order of the file's boxes; a manifest is one"),
    Cue("encoder_tag", "file", False, "what the tags call the encoder"),
    Cue("tag_names", "file", False, "which tags there are, and handlers' names"),
    Cue("codec", "file", False, "codec, profile, pixel format, colours, time base"),
    Cue("resolution", "shape", False, "width x height"),
    Cue("pixels", "shape", True, "of a frame"),
    Cue("fps", "shape", True, "frames a second"),
    Cue("seconds", "shape", True, "duration of the picture"),
    Cue("frames", "shape", True, "how many"),
    Cue("sound", "sound", False, "codec, sample rate and channels of the sound, or none"),
    Cue("sample_rate", "sound", True, "Hz"),
    Cue("sound_bitrate", "sound", True, "bits a second of the sound"),
    Cue("sound_overhang", "sound", True, "seconds by which the sound outlasts the picture"),
    Cue("leading_silence", "sound", True, "seconds before the first sound"),
    Cue("trailing_silence", "sound", True, "seconds after the last sound"),
    Cue("loudness", "sound", True, "RMS of the sound, dB of full scale"),
    Cue("sharpness", "picture", True, "variance of the Laplacian"),
    Cue("blockiness", "picture", True, "steps across a grid of 8 px over others"),
    Cue("jpeg_ghost", "picture", True, "dip of the error of encoding again (Farid 2009)"),
    Cue("noise", "picture", True, "standard deviation of the noise (Immerkaer 1996)"),
    Cue("brightness", "picture", True, "mean grey level"),
    Cue("saturation", "picture", True, "mean saturation"),
    Cue("no_face", "picture", True, "1 where no face is found"),
    Cue("mark_present", "mark", True, "1 where our mark is found"),
    Cue("mark_z", "mark", True, "how clearly the mark is seen"),
    Cue("name_length", "name", True, "letters of the file's name"),
    Cue("name_shape", "name", False, "its name with a for letters and 9 for digits"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class ClipCues:
    """What was read of one clip."""

    clip: str
    status: Literal["ok", "error"]
    numbers: Mapping[str, float]  # by the names of CUES; absent where there is none
    texts: Mapping[str, str]
    reason: str | None = None  # why it is in error


def cache_directory() -> Path:
    """Return the folder of what was read before; it may be deleted at any time."""
    return Path(platformdirs.user_cache_dir("obverse", appauthor=False)) / "cues"


def read_cues(
    clips: Sequence[Clip],
    folder: Path,
    *,
    faces: bool = False,
    workers: int = 1,
    cache: bool = True,
    progress: Progress | None = None,
) -> list[ClipCues]:
    """Read the cues of clips, each clip once.

    Args:
        clips: the clips.
        folder: where their relative paths start.
        faces: look for faces too, which takes longer.
        workers: processes.
        cache: use what was read of a file before, and keep what is read.
        progress: told how many clips are done, of how many.

    Returns:
        One result a clip, in their order; a clip that cannot be read is an `error`.
    """
    kept = cache_directory() if cache else None
    jobs = [(place, clip, folder, faces, kept) for place, clip in enumerate(clips)]
    found: dict[int, ClipCues] = {}
    if progress is not None:
        progress(0, len(jobs))
    for (place, clip, *_), result in spread(_job, jobs, workers):
        if isinstance(result, BaseException):
            if not isinstance(result, Exception):
                raise result
            result = ClipCues(clip.id, "error", {}, {}, str(result) or repr(result))
        found[place] = result
        if progress is not None:
            progress(len(found), len(jobs))
    return [found[place] for place in range(len(jobs))]


def _job(job: tuple[int, Clip, Path, bool, Path | None]) -> ClipCues:
    _, clip, folder, faces, kept = job
    try:
        numbers, texts = _remembered(clip, folder, faces, kept)
    except ObverseError as error:
        return ClipCues(clip.id, "error", {}, {}, str(error))
    stem = PurePosixPath(clip.path).stem if clip.member is None else PurePosixPath(clip.member).name
    named = {"name_length": float(len(stem))}
    return ClipCues(clip.id, "ok", numbers | named, texts | {"name_shape": _shape(stem)})


def _shape(stem: str) -> str:
    if re.fullmatch(r"[0-9a-f]{16,}", stem):
        return f"hex {len(stem)}"
    return re.sub(r"\d+", "9", re.sub(r"[^\W\d_]+", "a", stem))


def _remembered(
    clip: Clip, folder: Path, faces: bool, kept: Path | None
) -> tuple[dict[str, float], dict[str, str]]:
    if kept is None:
        return _read(clip, folder, faces)
    digest = Footage.of(clip, folder).sha256()
    place = kept / f"{digest}-{VERSION}{'-faces' if faces else ''}.json"
    if place.is_file():
        try:
            told = json.loads(place.read_text(encoding="utf-8"))
            return dict(told["numbers"]), dict(told["texts"])
        except (OSError, ValueError, KeyError, TypeError):
            place.unlink(missing_ok=True)  # damaged: read anew
    numbers, texts = _read(clip, folder, faces)
    kept.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=kept, suffix=".part")
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump({"numbers": numbers, "texts": texts}, stream)
    Path(name).replace(place)
    return numbers, texts


def _read(clip: Clip, folder: Path, faces: bool) -> tuple[dict[str, float], dict[str, str]]:
    footage = Footage.of(clip, folder)
    numbers: dict[str, float] = {"file_size": float(footage.size_bytes())}
    texts: dict[str, str] = {}
    if footage.form == "film":
        with footage.film() as path:
            _read_packets(path, numbers, texts)
            if texts["sound"] != NOTHING:
                _read_sound(path, numbers)
            frames = read_frames(path, max_frames=FRAMES, threads=1)
            _read_picture(frames, int(numbers["frames"]), faces, numbers, texts)
    else:
        _read_picture(footage.frames(FRAMES), FRAMES, faces, numbers, texts)
    return {name: value for name, value in numbers.items() if math.isfinite(value)}, texts


class _Stream(NamedTuple):
    """What a stream's packets say."""

    packets: int
    size: int  # bytes
    seconds: float
    keys: list[int]  # numbers of the keyframes
    key_size: int


def _listed(path: Path, kind: Literal["video", "audio"]) -> _Stream | None:
    with open_input(path) as container:
        streams = [
            stream
            for stream in getattr(container.streams, kind)
            if not stream.disposition & 0x400  # a song's cover
        ]
        if not streams:
            return None
        count = size = key_size = 0
        first, last, step = math.inf, -math.inf, 0.0
        keys = []
        for packet in packets(container, streams[0], path):
            if packet.size == 0:
                continue
            if packet.is_keyframe:
                keys.append(count)
                key_size += packet.size
            count += 1
            size += packet.size
            if packet.pts is not None:
                at = float(packet.pts * packet.time_base)
                first, last = min(first, at), max(last, at)
                step = float((packet.duration or 0) * packet.time_base) or step
        return _Stream(count, size, max(0.0, last - first + step), keys, key_size)


def _read_packets(path: Path, numbers: dict[str, float], texts: dict[str, str]) -> None:
    with open_input(path) as container:
        try:
            _read_headers(container, path, numbers, texts)
        except (av.error.FFmpegError, ValueError) as error:
            raise InputError(f"{path} has headers that cannot be read ({error}).") from error
    video = _listed(path, "video")
    if video is None or not video.packets:
        raise InputError(f"{path} holds no video; give a film.")
    numbers["frames"], numbers["seconds"] = float(video.packets), video.seconds
    numbers["keyframe_share"] = video.key_size / max(video.size, 1)
    numbers["keyframe_interval"] = video.packets / max(len(video.keys), 1)
    if video.seconds > 0:
        numbers["bitrate"] = 8 * video.size / video.seconds
    if texts["sound"] == NOTHING:
        return
    sound = _listed(path, "audio")
    if sound is not None and sound.seconds > 0:
        numbers["sound_bitrate"] = 8 * sound.size / sound.seconds
        numbers["sound_overhang"] = sound.seconds - video.seconds


def _read_headers(
    container: Any, path: Path, numbers: dict[str, float], texts: dict[str, str]
) -> None:
    if not container.streams.video:
        raise InputError(f"{path} holds no video; give a film.")
    stream = container.streams.video[0]
    context = stream.codec_context
    tags = {str(key).lower(): str(value) for key, value in container.metadata.items()}
    inner = [{str(k).lower(): str(v) for k, v in each.metadata.items()}
             for each in container.streams]  # fmt: skip
    brands = [tags.get(name, "") for name in ("major_brand", "minor_version", "compatible_brands")]
    texts["container"] = " ".join([str(container.format.name), *brands]).strip()
    texts["boxes"] = top_boxes(path)
    called = {each["encoder"] for each in (tags, *inner) if each.get("encoder")}
    texts["encoder_tag"] = "; ".join(sorted(called)) or NOTHING
    handlers = [each.get("handler_name", "") for each in inner]
    names = sorted({key for each in (tags, *inner) for key in each} - set(_OF_THE_FILE))
    texts["tag_names"] = " ".join([*names, *handlers])
    texts["codec"] = " ".join(
        str(each)
        for each in (
            context.name, context.profile, context.pix_fmt, context.color_range,
            context.colorspace, stream.time_base, stream.sample_aspect_ratio,
        )
    )  # fmt: skip
    rate = stream.average_rate
    if rate:
        numbers["fps"] = float(rate)
    sounds = list(container.streams.audio)
    texts["sound"] = NOTHING
    if sounds:
        spoken = sounds[0].codec_context
        texts["sound"] = f"{spoken.name} {spoken.sample_rate} Hz {spoken.layout.name}"
        numbers["sample_rate"] = float(spoken.sample_rate)


def top_boxes(path: Path) -> str:
    """Return the names of the outermost boxes of an mp4 or mov in their order (ISO/IEC 14496-12);
    none of another file.
    """
    names: list[str] = []
    size = path.stat().st_size
    position = 0
    with path.open("rb") as stream:
        while position + 8 <= size and len(names) < 32:
            stream.seek(position)
            header = stream.read(16)
            length, name = int.from_bytes(header[:4], "big"), header[4:8]
            if length == 1:
                length = int.from_bytes(header[8:16], "big")
            if not re.fullmatch(rb"[a-z0-9]{4}", name) or (length < 8 and length != 0):
                break
            names.append(name.decode("ascii"))
            if length == 0:
                break
            position += length
    if not names or names[0] != "ftyp":
        return NOTHING
    # Fragments come as often as the film is long.
    return " ".join(name for i, name in enumerate(names) if i < 2 or names[i - 2] != name)


def silences(samples: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Return the seconds before the first and after the last sound within 40 dB of the loud parts.

    Args:
        samples: `[N]` at `RATE_HZ`.
    """
    whole = len(samples) // WINDOW
    if not whole:
        return 0.0, 0.0
    windows = samples[: whole * WINDOW].reshape(whole, WINDOW).astype(np.float64)
    level = np.sqrt((windows**2).mean(axis=1))
    loud = float(np.percentile(level, 95))
    heard = np.flatnonzero(level > loud * 10 ** (SILENT_DB / 20))
    step = WINDOW / RATE_HZ
    if loud <= 0 or not len(heard):
        return whole * step, whole * step
    return float(heard[0]) * step, float(whole - 1 - heard[-1]) * step


def _read_sound(path: Path, numbers: dict[str, float]) -> None:
    try:
        samples = read_speech(path, RATE_HZ)
    except InputError:
        return  # a track without sound; that there is one is said already
    level = float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))
    numbers["loudness"] = 20 * math.log10(max(level, 1e-5))
    numbers["leading_silence"], numbers["trailing_silence"] = silences(samples)


def sharpness(grey: Image) -> float:
    """Return the variance of the Laplacian, grey levels squared."""
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())


def noise_level(grey: Image) -> float:
    """Return the standard deviation of the noise in grey levels (Immerkaer 1996)."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    response = np.abs(cv2.filter2D(grey.astype(np.float32), -1, kernel)[1:-1, 1:-1])
    return float(math.sqrt(math.pi / 2) * response.mean() / 6)


def blockiness(grey: Image) -> float:
    """Return mean steps across the borders of 8x8 blocks over mean steps elsewhere, both ways."""
    ratios = []
    for plane in (grey, grey.T):
        steps = np.abs(np.diff(plane.astype(np.int16), axis=1)).mean(axis=0)
        border = np.arange(len(steps)) % 8 == 7
        elsewhere = float(steps[~border].mean()) if (~border).any() else 0.0
        if border.any() and elsewhere > 0:
            ratios.append(float(steps[border].mean()) / elsewhere)
    return float(np.mean(ratios)) if ratios else math.nan


def jpeg_ghost(image: Image) -> float:
    """Return how far the error of encoding a picture as JPEG dips at one quality below its
    neighbours', over the mean error: a picture that was a JPEG dips at its own quality (Farid
    2009).

    Args:
        image: `[H, W, 3] uint8 RGB`.
    """
    errors = []
    for quality in QUALITIES:
        _, packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        again = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.float32)
        errors.append(float(np.mean((again - image) ** 2)))
    curve = np.array(errors)
    dips = (curve[:-2] + curve[2:]) / 2 - curve[1:-1]
    return float(dips.max() / max(float(curve.mean()), 1e-6))


def _read_picture(
    frames: Iterator[Image], count: int, faces: bool, numbers: dict[str, float],
    texts: dict[str, str],
) -> None:  # fmt: skip
    pool: Pool | None = Pool()
    every = max(1, min(count, FRAMES) // LOOKED_AT)
    chosen: list[Image] = []
    seen = 0
    for number, frame in enumerate(frames):
        seen = number + 1
        if pool is not None:
            try:
                pool.add(frame)
            except InputError:  # too small for a mark, or not all of one size
                pool = None
        if number % every == 0 and len(chosen) < LOOKED_AT:
            chosen.append(frame.copy())
    if not chosen:
        raise InputError("the clip holds no frames; give one that does.")
    numbers.setdefault("frames", float(seen))
    height, width = chosen[0].shape[:2]
    texts["resolution"], numbers["pixels"] = f"{width}x{height}", float(width * height)
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in chosen]
    hues = [cv2.cvtColor(image, cv2.COLOR_RGB2HSV)[..., 1] for image in chosen]
    numbers["sharpness"] = float(np.median([sharpness(each) for each in grey]))
    numbers["noise"] = float(np.median([noise_level(each) for each in grey]))
    numbers["blockiness"] = float(np.median([blockiness(each) for each in grey]))
    numbers["brightness"] = float(np.mean([each.mean() for each in grey]))
    numbers["saturation"] = float(np.mean([each.mean() for each in hues]))
    few = chosen[:: max(1, len(chosen) // GHOSTS)][:GHOSTS]
    numbers["jpeg_ghost"] = float(np.median([jpeg_ghost(image) for image in few]))
    if pool is not None:
        mark = read_pooled(pool.image, pool.frames)
        numbers["mark_present"], numbers["mark_z"] = float(mark.present), float(mark.z)
    if faces:
        numbers["no_face"] = float(not _has_face(few))


@functools.cache
def _reader() -> FaceReader:
    return FaceReader()


def _has_face(images: Sequence[Image]) -> bool:
    return any(_reader().survey(image) for image in images)
