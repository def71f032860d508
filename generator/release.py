"""The only door out: a clip leaves marked, encoded, signed, registered and checked, or not at all.

Everything is made in a hidden folder beside the destination; the last step is a rename. Whatever
goes wrong before it, no file, no half file and no registry row remains. There is no way to leave a
step out.
"""

import collections
import contextlib
import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import obverse
from obverse.clip import Clip
from obverse.errors import OutputExistsError, ReleaseError, RightsError
from obverse.hidden import hidden_folder, sweep_stale
from obverse.media.encode import SoundSource
from obverse.media.still import read_still, write_still
from obverse.media.video import EncodeConfig, VideoWriter, crop_even, probe, read_frames
from obverse.provenance.identity import SigningIdentity
from obverse.provenance.manifest import Signed, sign
from obverse.provenance.registry import Registry
from obverse.provenance.verify import verify
from obverse.watermark.carriers import DEFAULT_KEY
from obverse.watermark.embed import Embedder, MarkConfig
from obverse.watermark.extract import extract_frames
from obverse.watermark.sketch import Sketch, Sketcher
from obverse.watermark.sound_fingerprint import SoundFingerprint, fingerprint_sound
from obverse.weights import sha256_file

__all__ = [
    "FILMS",
    "RIGHTS",
    "STILLS",
    "release",
    "release_still",
    "require_place",
    "require_rights",
    "sweep",
]

Frame = npt.NDArray[np.uint8]
# mono samples in [-1, 1], or where they come from, and their rate in Hz
Sound = tuple[npt.NDArray[np.float32] | SoundSource, int]

RIGHTS = ("synthetic", "public-domain", "consented")

FILMS = (".mp4",)
STILLS = (".png", ".jpg", ".jpeg", ".webp")
_HIDDEN = "release"  # kind of the folders in which clips are made

# Frames in flight between rendering, marking and encoding: enough to even out their pace.
_IN_FLIGHT = 12
_BUFFERS = _IN_FLIGHT + 2  # those, the one being drawn, and the one being written
# A clip as short as this is kept in memory (39 MB at 512x512), to be marked more strongly if its
# mark is not read.
_KEPT_FRAMES = 50
_STRONGER_DB = (44.0, 42.0)
_STILL_DB = 47.3
# The mark is the same in every frame, so a part of a clip answers for the whole; more is read if it
# does not.
_READ_BACK_FRAMES = (8, 48, 400)


def require_rights(clip: Clip) -> None:
    """Refuse a clip made from a portrait, or with another's voice, without a statement of the
    rights to use it.

    Raises:
        RightsError: the rights to a clip of synthetic picture or sound are not one of `RIGHTS`.
    """
    if clip.binary_av and clip.rights not in RIGHTS:
        given = "nothing" if clip.rights is None else repr(clip.rights)
        what = "portrait" if clip.binary else "sound"
        raise RightsError(
            f"clip {clip.id} states {given} as the rights to its {what}; "
            f"state one of {', '.join(RIGHTS)}."
        )


def release(
    frames: Iterable[Frame],
    clip: Clip,
    destination: Path,
    *,
    audio: Sound | None = None,
    inputs: Mapping[str, Path] | None = None,
    identity: SigningIdentity | None = None,
    registry: Registry | None = None,
    encode: EncodeConfig | None = None,
    mark: MarkConfig | None = None,
    key: bytes = DEFAULT_KEY,
    force: bool = False,
) -> Clip:
    """Mark, encode, sign, check and register a clip, and only then put it into place.

    Args:
        frames: `[H, W, 3] uint8 RGB`, all of one size, taken one by one as they are rendered.
        clip: what is known of the clip; size, length, mark, manifest, encoder, sha256 and path are
            filled in.
        destination: an mp4 in a folder that exists.
        audio: the sound, padded or cut to the length of the picture; a `SoundSource` is asked
            again from its start where a short clip's mark must be made stronger.
        inputs: files that the manifest names as ingredients, by role (portrait, audio, driving,
            source).
        identity: who signs; None is this installation's development identity.
        registry: where the mark and the manifest are kept; None is the user's own.
        encode: encoder settings.
        mark: how strong the mark is to be; it is made stronger where it is not read back.
        key: the watermark's key.
        force: replace a destination that exists.

    Returns:
        The clip as released.

    Raises:
        RightsError: the rights to the portrait are not stated.
        OutputExistsError: the destination exists and `force` is not set.
        ReleaseError: there are no frames, or a check of the finished file failed.
        ObverseError: a step failed; nothing was written.
    """
    with _passage(clip, destination, FILMS, identity, registry, force=force) as passage:
        work = _Film(passage, audio, encode or EncodeConfig(), key, inputs)
        made = work.make(work.watched(frames), mark or MarkConfig())
        for psnr_db in _STRONGER_DB:
            if made is not None or not work.kept:
                break
            made = work.make(iter(work.kept), MarkConfig(psnr_db=psnr_db))
        if made is None:
            raise ReleaseError(
                f"the mark of clip {clip.id} was not read back; make the clip longer, or larger "
                f"than {work.width}x{work.height}, or lower crf from {work.config.crf:g}."
            )
        heard = None if audio is None else fingerprint_sound(work.signed)
        return passage.leave(*made, work.sketcher.sketch(), heard)


def release_still(
    image: Frame,
    clip: Clip,
    destination: Path,
    *,
    inputs: Mapping[str, Path] | None = None,
    identity: SigningIdentity | None = None,
    registry: Registry | None = None,
    key: bytes = DEFAULT_KEY,
    force: bool = False,
) -> Clip:
    """Do for one picture what `release` does for a film: `[H, W, 3] uint8 RGB` to png, jpg or webp.

    Raises:
        The errors of `release`.
    """
    with _passage(clip, destination, STILLS, identity, registry, force=force) as passage:
        height, width = image.shape[:2]
        plain, signed_path = passage.path("plain"), passage.path("signed")
        sketcher = Sketcher(clip.fps)
        sketcher.push(image)
        drawn = sketcher.sketch()
        for psnr_db in (_STILL_DB, *_STRONGER_DB):
            # A still is looked at for longer than the first frame of a film.
            strength = MarkConfig(psnr_db=psnr_db, onset_db=0.0)
            embedder = Embedder(passage.payload, key, strength)
            write_still(plain, embedder.embed_frame(image))
            marked = passage.marked(
                frames=1,
                width=width,
                height=height,
                encoder={"codec": destination.suffix[1:].lower(), "mark_psnr_db": psnr_db},
            )
            signed = passage.sign(plain, signed_path, marked, inputs, drawn)
            if passage.carries_mark([read_still(signed_path)], key):
                return passage.leave(marked, signed, signed_path, drawn, None)
    raise ReleaseError(
        f"the mark of picture {clip.id} was not read back; make it larger than {width}x{height}, "
        "or save it as png."
    )


def sweep(folder: Path) -> None:
    """Remove what releases into `folder` left when their process was killed.

    Every release into the folder does so first.
    """
    sweep_stale(folder, _HIDDEN)


def require_place(destination: Path, suffixes: tuple[str, ...], *, force: bool) -> None:
    """Refuse a destination into which nothing can be released, before any slow work.

    Raises:
        ReleaseError: it is named otherwise, is a folder, or lies in none that can be written.
        OutputExistsError: it exists and `force` is not set.
    """
    if destination.suffix.lower() not in suffixes:
        raise ReleaseError(f"{destination} must end in {' or '.join(suffixes)}; name it so.")
    if destination.is_dir():
        raise ReleaseError(f"{destination} is a folder; name a file.")
    if not destination.parent.is_dir():
        raise ReleaseError(f"{destination.parent} is no folder; make it first.")
    if not os.access(destination.parent, os.W_OK):
        raise ReleaseError(f"{destination.parent} cannot be written to; choose another folder.")
    _require_free(destination, force=force)


def _require_free(destination: Path, *, force: bool) -> None:
    if destination.exists() and not force:
        raise OutputExistsError(f"{destination} exists already; pass --force to replace it.")


def _recorded_path(clip: Clip, destination: Path) -> str:
    """Keep a path that is relative to a corpus; any other becomes the path that was written."""
    relative = clip.path and destination.resolve().as_posix().endswith("/" + clip.path)
    return clip.path if relative else str(destination)


def _put(source: Path, destination: Path, *, force: bool) -> None:
    try:
        if force:
            os.replace(source, destination)
            return
        try:
            # A link refuses to replace a file that somebody else made in the meantime; a rename
            # would not.
            os.link(source, destination)
        except OSError:
            # A file system without links: looking first has to do.
            _require_free(destination, force=False)
            os.replace(source, destination)
    except OSError as error:
        raise ReleaseError(f"{destination} cannot be put into place: {error.strerror}.") from error


@contextlib.contextmanager
def _passage(
    clip: Clip,
    destination: Path,
    suffixes: tuple[str, ...],
    identity: SigningIdentity | None,
    registry: Registry | None,
    *,
    force: bool,
) -> Iterator["_Passage"]:
    """Check what can be checked before any work, and clean up whatever happens after."""
    require_rights(clip)
    require_place(destination, suffixes, force=force)
    identity = identity or SigningIdentity.default()
    with contextlib.ExitStack() as stack:
        if registry is None:
            registry = stack.enter_context(Registry())
        payload = registry.payload_for(clip.id)
        try:
            folder = stack.enter_context(hidden_folder(destination.parent, _HIDDEN))
        except OSError as error:
            raise ReleaseError(
                f"{destination.parent} cannot be written to: {error.strerror}."
            ) from error
        yield _Passage(clip, destination, folder, payload, identity, registry, force)


@dataclasses.dataclass(frozen=True, slots=True)
class _Passage:
    """What every clip goes through on its way out, film or still."""

    clip: Clip
    destination: Path
    folder: Path
    payload: int
    identity: SigningIdentity
    registry: Registry
    force: bool

    def path(self, name: str) -> Path:
        """Return a path in the hidden folder."""
        return self.folder / f"{name}{self.destination.suffix.lower()}"

    def marked(self, **measured: Any) -> Clip:
        """Return the clip with what its making has shown."""
        clip = self.clip.replace(
            mark=f"{self.payload:016x}",
            tool=self.clip.tool or f"obverse {obverse.__version__}",
            **measured,
        )
        if clip.label == "synthetic" and not clip.fake_segments:
            clip = clip.replace(fake_segments=((0.0, clip.seconds),))
        if clip.sound == "synthetic" and not clip.sound_segments:
            clip = clip.replace(sound_segments=((0.0, clip.seconds),))
        for segments in (clip.fake_segments, clip.sound_segments):
            if any(end > clip.seconds + 1 / clip.fps for _, end in segments):
                raise ReleaseError(
                    f"clip {clip.id} lasts {clip.seconds:g} s but has fake segments {segments}; "
                    "end them in the clip."
                )
        return clip

    def sign(
        self,
        plain: Path,
        signed_path: Path,
        clip: Clip,
        inputs: Mapping[str, Path] | None,
        drawn: Sketch,
    ) -> Signed:
        """Sign a file and make sure that its manifest is trusted and says what was meant."""
        shown = drawn.fingerprint.to_bytes()
        signed = sign(plain, signed_path, clip, self.identity, inputs=inputs, fingerprint=shown)
        report = verify(
            signed_path,
            self.identity.anchors,
            time_stamp_anchors=self.identity.time_stamp_anchors,
        )
        if report.state == "valid":
            raise ReleaseError(
                f"clip {clip.id} was signed by {report.signer}, who is not trusted under the "
                f"identity's anchors ({', '.join(report.failures)}); give the root as its anchor."
            )
        if report.state != "trusted":
            raise ReleaseError(
                f"the manifest of clip {clip.id} is {report.state} ({', '.join(report.failures)}); "
                "where an input is named, use a copy of it that carries no broken manifest."
            )
        said = (report.id, report.label.get("id"), report.payload, report.fingerprint)
        if said != (signed.id, clip.id, self.payload, shown):
            raise ReleaseError(
                f"the manifest of clip {clip.id} does not say what was signed; report this."
            )
        return signed

    def carries_mark(self, frames: Iterable[Frame], key: bytes) -> bool:
        """Whether the clip's own payload is read from some of its frames."""
        reading = extract_frames(frames, key)
        return reading.present and reading.payload == self.payload

    def leave(
        self,
        clip: Clip,
        signed: Signed,
        signed_path: Path,
        drawn: Sketch,
        heard: SoundFingerprint | None,
    ) -> Clip:
        """Register the clip and put it into place: both or neither."""
        released = clip.replace(
            manifest=signed.id,
            sha256=sha256_file(signed_path),
            path=_recorded_path(clip, self.destination),
        )
        self.registry.add(
            released,
            signed.id,
            self.payload,
            manifest=signed.data,
            fingerprint=drawn.fingerprint.to_bytes(),
            sound=None if heard is None else heard.to_bytes(),
            sketch=drawn.to_bytes(),
        )
        try:
            _put(signed_path, self.destination, force=self.force)
        except BaseException:
            self.registry.remove(signed.id)
            raise
        return released


class _Film:
    """Frames on their way to a signed film that was checked."""

    def __init__(
        self,
        passage: _Passage,
        audio: Sound | None,
        config: EncodeConfig,
        key: bytes,
        inputs: Mapping[str, Path] | None,
    ) -> None:
        self.passage, self.audio, self.config, self.key, self.inputs = (
            passage,
            audio,
            config,
            key,
            inputs,
        )
        self.clip = passage.clip
        self.encoded, self.signed = passage.path("encoded"), passage.path("signed")
        self.frames = self.width = self.height = 0
        self.kept: list[Frame] = []  # all frames of a short clip, none of a long one
        self._store: Frame | None = None  # where they lie
        self.sketcher = Sketcher(self.clip.fps)
        self._ring: list[Frame] = []  # buffers for what is in flight

    def watched(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Yield the frames at an even size, counting them, and keep those of a short clip."""
        for frame in frames:
            if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
                raise ReleaseError(
                    f"frame {self.frames} is {frame.dtype} of shape {frame.shape}; "
                    "release takes [H, W, 3] uint8 RGB."
                )
            even = crop_even(frame)
            if self.frames == 0:
                self.height, self.width = even.shape[:2]
            elif even.shape[:2] != (self.height, self.width):
                raise ReleaseError(
                    f"frame {self.frames} is {even.shape[1]}x{even.shape[0]} in a clip of "
                    f"{self.width}x{self.height}; all frames must be of one size."
                )
            # A copy: the renderer may draw the next frame into the same buffer while this one is in
            # flight. Buffers go round, for fresh ones cost more than the copy.
            if self.frames < _KEPT_FRAMES:
                even = self._keep(even)
            else:
                self.kept, self._store = [], None
                even = self._copied(even)
            self.sketcher.push(even)
            self.frames += 1
            yield even

    def _keep(self, frame: Frame) -> Frame:
        if self._store is None:
            # One block: the system gives large ones in large pages, many times as fast.
            self._store = np.empty((_KEPT_FRAMES, *frame.shape), np.uint8)
        kept: Frame = self._store[self.frames]
        np.copyto(kept, frame)
        self.kept.append(kept)
        return kept

    def _copied(self, frame: Frame) -> Frame:
        if not self._ring:
            self._ring = [np.empty(frame.shape, np.uint8) for _ in range(_BUFFERS)]
        buffer = self._ring[self.frames % _BUFFERS]
        np.copyto(buffer, frame)
        return buffer

    def make(
        self, frames: Iterator[Frame], strength: MarkConfig
    ) -> tuple[Clip, Signed, Path] | None:
        """Write the signed file and check it; None where only the mark did not come back."""
        self._encode(frames, strength)
        encoder = dataclasses.asdict(self.config) | {
            "codec": "h264",
            "mark_psnr_db": strength.psnr_db,
        }
        marked = self.passage.marked(
            frames=self.frames, width=self.width, height=self.height, encoder=encoder
        )
        drawn = self.sketcher.sketch()
        signed = self.passage.sign(self.encoded, self.signed, marked, self.inputs, drawn)
        self._require_streams()
        return (marked, signed, self.signed) if self._mark_comes_back() else None

    def _encode(self, frames: Iterator[Frame], strength: MarkConfig) -> None:
        """Mark in one thread and encode in another, while the caller renders in this one."""
        first = next(frames, None)
        if first is None:
            raise ReleaseError(f"clip {self.clip.id} has no frames; a clip has at least one.")
        embedder = Embedder(self.passage.payload, self.key, strength)
        samples, rate = self.audio if self.audio is not None else (None, 16000)
        flight: collections.deque[Future[None]] = collections.deque()
        with (
            VideoWriter(
                self.encoded, self.width, self.height, self.clip.fps, self.config, samples, rate
            ) as writer,
            _pool("mark") as marking,
            _pool("encode") as encoding,
        ):

            def write(marked: Future[Frame]) -> None:
                writer.write_planes(marked.result())

            planes = [
                np.empty((self.height * 3 // 2, self.width), np.uint8) for _ in range(_BUFFERS)
            ]
            while first is not None:
                marked = marking.submit(embedder.embed_planes, first, planes[0])
                planes.append(planes.pop(0))
                flight.append(encoding.submit(write, marked))
                if len(flight) > _IN_FLIGHT:
                    flight.popleft().result()
                first = next(frames, None)
            while flight:
                flight.popleft().result()

    def _mark_comes_back(self) -> bool:
        for limit in _READ_BACK_FRAMES:
            if self.passage.carries_mark(read_frames(self.signed, max_frames=limit), self.key):
                return True
            if self.frames <= limit:
                break
        return False

    def _require_streams(self) -> None:
        info = probe(self.signed)
        shape = (info.width, info.height, info.frames)
        expected = (self.width, self.height, self.frames)
        if shape != expected:
            raise ReleaseError(
                f"clip {self.clip.id} was encoded as {shape} and not as {expected} "
                "(width, height, frames); report this with the clip's inputs."
            )
        if info.has_audio != (self.audio is not None):
            raise ReleaseError(f"clip {self.clip.id} lost its sound, or gained one; report this.")
        seconds = self.frames / self.clip.fps
        if abs(info.seconds - seconds) > 1 / self.clip.fps:
            raise ReleaseError(
                f"clip {self.clip.id} lasts {info.seconds:.3f} s, not {seconds:.3f} s; report this."
            )


@contextlib.contextmanager
def _pool(name: str) -> Iterator[ThreadPoolExecutor]:
    """One thread, so that work stays in order; on a failure, work not begun is dropped."""
    pool = ThreadPoolExecutor(1, thread_name_prefix=name)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
