"""Reads a film once for everything that realism measures: landmarks, sound, likeness, background.

What was read is kept in the user's cache under the sha256 of the file, so that a folder that was
measured in part, or is measured again, costs only what is new.
"""

import dataclasses
import os
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
import numpy.typing as npt
import platformdirs

from obverse.errors import FaceError, InputError
from obverse.eval.dynamics import FPS, LEVEL_HZ
from obverse.faces.landmarks import LANDMARKS, Face, FaceReader
from obverse.faces.likeness import DIMENSIONS, LikenessReader
from obverse.faces.matte import person_matte
from obverse.generator.speech import RATE_HZ, read_speech_features
from obverse.media.audio import read_speech
from obverse.media.still import read_still
from obverse.media.video import probe, read_frames
from obverse.weights import sha256_file

__all__ = ["ClipTracks", "embed_still", "read_tracks"]

VERSION = 2  # of what is read: a change makes every cache stale
LONGEST_SECONDS = 600.0  # of a film that are read; ten minutes say enough
FACE_SHARE_MIN = 0.5  # of the frames must show a face
LIKENESS_HZ = 2.0  # frames a second that are embedded
LIKENESS_MOST = 60  # of them in one film
SWIM_PX = 256  # longer side of the picture in which the background's flow is seen
MATTE_EVERY = 5  # frames between two mattes
SWIM_MARGIN = 0.05  # of the picture's side, about the person, where flow is not trusted
SWIM_SHARE_MIN = 0.02  # of the picture must be background in which motion can be seen
SWIM_SLOPE = 3.0  # levels a pixel: where the picture is flatter, nobody sees it move
FINEST_PX = 64  # landmarks are kept in so many parts of a pixel: they pack better
SAME_RATE = 0.01  # relative difference from FPS below which frames are taken as they are
WINDOW_SECONDS = 0.05  # of the sound's RMS
LEVEL_FLOOR_DB = -45.0  # below the loud parts

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class ClipTracks:
    """What was read of one film, at `FPS` frames a second."""

    sha256: str
    width: int  # px of the frame
    height: int
    source_fps: float
    landmarks: Floats  # [T, 478, 3] px, NaN where no face was read
    loudness: Floats  # [T] RMS of the sound about each frame; empty without sound
    level_db: Floats  # [S] at LEVEL_HZ, relative to the loud parts, in [LEVEL_FLOOR_DB, 0]
    activity: Floats  # [S] in [0, 1] at LEVEL_HZ, a voice is heard
    embeddings: Floats  # [E, 128] of frames about half a second apart
    swim: Floats  # [P] motion of the background, px a frame in a picture of 512; empty if unseen

    @property
    def frames(self) -> int:
        """Length at `FPS`."""
        return len(self.landmarks)

    @property
    def seen(self) -> npt.NDArray[np.bool_]:
        """Where a face was read, `[T]`."""
        return np.asarray(np.isfinite(self.landmarks[:, 0, 0]))

    def save(self, path: Path) -> None:
        """Write to an `.npz` file, whole or not at all."""
        arrays = {f.name: np.asarray(getattr(self, f.name)) for f in dataclasses.fields(self)}
        descriptor, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
        try:
            with os.fdopen(descriptor, "wb") as stream:
                np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            InputError: the file is not one of them.
        """
        try:
            # Opened here: NumPy leaves a file that it cannot read open.
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
                values: dict[str, Any] = {f.name: arrays[f.name] for f in dataclasses.fields(cls)}
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} holds no tracks; delete it.") from error
        values["sha256"] = str(values["sha256"])
        values["width"], values["height"] = int(values["width"]), int(values["height"])
        values["source_fps"] = float(values["source_fps"])
        return cls(**values)


def cache_directory() -> Path:
    """Return the folder of what was read before; it may be deleted at any time."""
    return Path(platformdirs.user_cache_dir("obverse", appauthor=False)) / "realism"


def read_tracks(path: Path, *, cache: bool = True, cache_folder: Path | None = None) -> ClipTracks:
    """Read a film, or what is kept of it.

    Args:
        path: any file that FFmpeg reads.
        cache: look for what was read before, and keep what is read.
        cache_folder: where; None is the user's own cache.

    Raises:
        InputError: the film cannot be read.
        FaceError: it shows a face in less than half of its frames.
    """
    sha256 = sha256_file(path) if path.is_file() else ""
    folder = cache_folder or cache_directory()
    kept = folder / f"{sha256}-{VERSION}.npz"
    if cache and kept.is_file():
        try:
            return _with_face(ClipTracks.load(kept), path)
        except FaceError:
            raise
        except InputError:
            kept.unlink(missing_ok=True)  # cut short by a full disk, say: read the film again
    tracks = _read(path, sha256)
    if cache:
        folder.mkdir(parents=True, exist_ok=True)
        tracks.save(kept)
    return _with_face(tracks, path)


def _with_face(tracks: ClipTracks, path: Path) -> ClipTracks:
    share = float(tracks.seen.mean()) if tracks.frames else 0.0
    if share < FACE_SHARE_MIN:
        raise FaceError(
            f"{path} shows a face in {share:.0%} of its frames; it must in {FACE_SHARE_MIN:.0%}."
        )
    return tracks


def embed_still(path: Path) -> Floats:
    """Return the likeness `[128]` of the largest face of a picture.

    Raises:
        InputError: the picture cannot be read.
        FaceError: it holds no face.
    """
    image = read_still(path)
    faces = FaceReader().read(image)
    if not faces:
        raise FaceError(f"{path} holds no face; give the portrait that the clip was made from.")
    return LikenessReader().embed(image, faces[0])


def _read(path: Path, sha256: str) -> ClipTracks:
    info = probe(path)
    same = abs(info.fps / FPS - 1) < SAME_RATE
    fps = FPS if same else info.fps
    seen = _Watch(fps)
    frames = read_frames(path, fps=fps, end_seconds=LONGEST_SECONDS, threads=1)
    for face in FaceReader().track(seen.watch(frames)):
        seen.take(face)
    landmarks = np.round(np.stack(seen.landmarks) * FINEST_PX) / FINEST_PX
    if not same:
        landmarks = _resampled(landmarks, fps)
    count = len(landmarks)
    sound = _listen(path, count) if info.has_audio else (np.zeros(0, np.float32),) * 3
    return ClipTracks(
        sha256,
        info.width,
        info.height,
        info.fps,
        landmarks.astype(np.float32),
        *sound,
        np.stack(seen.embeddings) if seen.embeddings else np.zeros((0, DIMENSIONS), np.float32),
        np.array(seen.swim, np.float32) * np.float32(fps / FPS),
    )


def _resampled(landmarks: npt.NDArray[Any], fps: float) -> npt.NDArray[Any]:
    """Return a track at `FPS`, linear between frames; NaN beside a frame without a face."""
    at = np.arange(max(1, int((len(landmarks) - 1) * FPS / fps) + 1)) * fps / FPS
    before = np.minimum(at.astype(np.intp), len(landmarks) - 1)
    after = np.minimum(before + 1, len(landmarks) - 1)
    share = (at - before)[:, None, None]
    between = landmarks[before] * (1 - share) + landmarks[after] * share
    return np.asarray(np.where(share == 0, landmarks[before], between))


def _listen(path: Path, frames: int) -> tuple[Floats, Floats, Floats]:
    """Return (RMS at each frame, level a hundred a second, voice activity a hundred a second)."""
    try:
        samples = read_speech(path, RATE_HZ)
    except InputError:  # a sound track without a single packet
        empty = np.zeros(0, np.float32)
        return empty, empty, empty
    wanted = max(1, frames * RATE_HZ // FPS)
    samples = np.pad(samples[:wanted], (0, max(0, wanted - len(samples))))
    width = round(WINDOW_SECONDS * RATE_HZ)
    windows = _rms(samples, width, width)
    loudness = np.interp(
        np.arange(frames) / FPS, np.arange(len(windows)) * width / RATE_HZ, windows
    )
    heard = read_speech_features(samples)
    steps = _rms(samples, round(0.04 * RATE_HZ), RATE_HZ // LEVEL_HZ)
    level = 20 * np.log10(np.maximum(steps, 1e-6))
    level = np.clip(level - np.quantile(level, 0.95), LEVEL_FLOOR_DB, 0)
    return (
        loudness.astype(np.float32),
        level.astype(np.float32),
        np.asarray(heard.activity, np.float32),
    )


def _rms(samples: Floats, width: int, hop: int) -> npt.NDArray[np.float64]:
    """Return the RMS of windows centred on 0, hop, 2 hop, ...; beyond the ends is silence."""
    power = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    centres = np.arange(0, len(samples), hop)
    first = np.clip(centres - width // 2, 0, len(samples))
    last = np.clip(centres - width // 2 + width, 0, len(samples))
    return np.asarray(np.sqrt(np.maximum(power[last] - power[first], 0) / width))


class _Watch:
    """Looks at each frame as it passes to the landmarker: background, and likeness."""

    def __init__(self, fps: float) -> None:
        self.landmarks: list[Floats] = []
        self.embeddings: list[Floats] = []
        self.swim: list[float] = []
        self._likeness = LikenessReader()
        self._every = max(1, round(fps / LIKENESS_HZ))
        self._flow: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._image: Image | None = None
        self._grey: Image | None = None
        self._behind: npt.NDArray[np.bool_] | None = None

    def watch(self, frames: Iterator[Image]) -> Iterator[Image]:
        for index, image in enumerate(frames):
            self._image = image
            self._background(image, index)
            yield image

    def take(self, face: Face | None) -> None:
        """Keep the face that was read in the frame that passed last."""
        index = len(self.landmarks)
        if face is None:
            self.landmarks.append(np.full((LANDMARKS, 3), np.nan, np.float32))
            return
        self.landmarks.append(face.landmarks)
        if index % self._every == 0 and len(self.embeddings) < LIKENESS_MOST:
            assert self._image is not None
            self.embeddings.append(self._likeness.embed(self._image, face))

    def _background(self, image: Image, index: int) -> None:
        scale = SWIM_PX / max(image.shape[:2])
        size = (max(8, round(image.shape[1] * scale)), max(8, round(image.shape[0] * scale)))
        small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)
        if index % MATTE_EVERY == 0:
            person = (person_matte(small) > 0.02).astype(np.uint8)
            reach = 2 * round(SWIM_MARGIN * SWIM_PX) + 1
            person = np.asarray(cv2.dilate(person, np.ones((reach, reach), np.uint8)), np.uint8)
            self._behind = person == 0
        slopes = [cv2.Sobel(grey, cv2.CV_32F, *axis) / 8 for axis in ((1, 0), (0, 1))]
        assert self._behind is not None
        seen = self._behind & (np.hypot(*slopes) > SWIM_SLOPE)
        if self._grey is not None and seen.mean() >= SWIM_SHARE_MIN:
            flow = self._flow.calc(self._grey, grey, None)[seen]
            # A camera that moves takes the whole background along: that is no swimming.
            rest = flow - np.median(flow, axis=0)
            self.swim.append(float(np.linalg.norm(rest, axis=1).mean()) * 512 / SWIM_PX)
        self._grey = grey
