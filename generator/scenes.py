"""Makes the clips of one scene: the sitter's own performance, and each method's version of it."""

import collections
import contextlib
import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from obverse.clip import Clip
from obverse.errors import ObverseError
from obverse.files import draft_of, write_whole
from obverse.generator.editing import Footage
from obverse.generator.evening import Spool, evened, sizes_of
from obverse.generator.generate import SOUND_HZ, TOOL
from obverse.generator.methods import NEEDS, SOUND_METHODS, method_named, sound_method_named
from obverse.generator.motion import FPS, Motion
from obverse.generator.performance import perform
from obverse.generator.plan import Scene, Take, sitter_name
from obverse.generator.portrait import PortraitConfig, read_portrait
from obverse.generator.recordings import RecordedScene
from obverse.generator.release import release
from obverse.generator.render import RenderConfig, Renderer
from obverse.generator.sensor import exposed
from obverse.generator.sitters.sitter import Sitter
from obverse.generator.speech import RATE_HZ, Speech, read_speech_features
from obverse.hidden import hidden_folder
from obverse.media.audio import read_speech, write_wav
from obverse.media.encode import EncodeConfig
from obverse.media.still import write_still
from obverse.provenance.identity import SigningIdentity
from obverse.provenance.registry import Registry
from obverse.watermark.embed import MarkConfig
from obverse.weights import sha256_file

__all__ = [
    "CLIPS",
    "MASKS",
    "RECORDS",
    "WORK",
    "SceneJob",
    "Watched",
    "make_scene",
    "moved_pixels",
    "place_file",
    "release_scene_clip",
]

CLIPS, MASKS = "clips", "masks"
WORK = ".work"  # what is only needed until the corpus is complete
RECORDS = f"{WORK}/records"  # one JSON file for each finished clip

_STILL_SIDE_PX = 1024  # of a sitter's portrait: as much detail as the generator keeps
_MOVED_LEVELS = 2  # of 255; rounding alone moves a pixel by one
_MARK_PSNR_DB = (47.5, 50.0)  # between which each clip's mark is drawn
_MASK_CLOSE_SHARE = 1 / 64  # of the frame's side: gaps within a smooth cheek that moves

Frame = npt.NDArray[np.uint8]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SceneJob:
    """A scene, what is still owed of it, and where it goes."""

    scene: Scene | RecordedScene
    owed: frozenset[str]  # ids of clips that are not there yet
    folder: Path
    identity: SigningIdentity
    registry_url: str | None


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Voiced:
    """A scene's speech, measured and as it will be heard."""

    speech: Speech
    sound: npt.NDArray[np.float32]  # mono at SOUND_HZ
    source: Path


def make_scene(job: SceneJob) -> Mapping[str, str]:
    """Make the clips that are owed; returns the reason of failure for each that could not be made.

    A clip that is made has its film and its mask in place and, last of all, its record.
    """
    scene = _scene_of(job)
    failures: dict[str, str] = {}
    with Registry(job.registry_url) as registry:
        try:
            voiced = _voiced(scene, job.folder)
            motion = perform(voiced.speech, scene.twin.seed, scene.controls)
            if scene.twin.id in job.owed:
                _make_twin(job, voiced, motion, registry)
        except ObverseError as error:
            # Without the twin no other take of the scene may stand in a corpus.
            return {clip_id: str(error) for clip_id in scene.ids() if clip_id in job.owed}
        for take in scene.takes:
            if take.id not in job.owed:
                continue
            make = _make_other_sound if take.method in SOUND_METHODS else _make_take
            try:
                make(job, take, voiced, motion, registry)
            except ObverseError as error:
                failures[take.id] = str(error)
    return failures


def _scene_of(job: SceneJob) -> Scene:
    assert isinstance(job.scene, Scene)
    return job.scene


def _voiced(scene: Scene, folder: Path) -> _Voiced:
    """Read the scene's sentences one after the other, cut to its length."""

    def joined(rate_hz: int) -> npt.NDArray[np.float32]:
        pieces = _joined(scene.sentences, rate_hz)
        if scene.seconds is None:
            return pieces
        samples = round(scene.seconds * rate_hz)
        return np.pad(pieces[:samples], (0, max(0, samples - len(pieces))))

    sound = joined(SOUND_HZ)
    source = scene.sentences[0]
    if len(scene.sentences) > 1 or scene.seconds is not None:
        # The manifest's input is what was heard, which is then no file of its own yet.
        names = json.dumps([[sha256_file(path) for path in scene.sentences], scene.seconds])
        source = folder / WORK / "speech" / f"{hashlib.sha256(names.encode()).hexdigest()[:32]}.wav"
        place_file(source, lambda draft: write_wav(draft, sound, SOUND_HZ))
    return _Voiced(read_speech_features(joined(RATE_HZ)), sound, source)


def _joined(sentences: Sequence[Path], rate_hz: int) -> npt.NDArray[np.float32]:
    return np.concatenate([read_speech(path, rate_hz) for path in sentences])


@functools.lru_cache(maxsize=3)  # a scene's and a lender, and the one before
def _sitter(seed: int) -> Sitter:
    return Sitter.from_seed(seed)


@functools.lru_cache(maxsize=2)
def _renderer(seed: int, size: int, refine: bool, still: Path) -> Renderer:
    """Prepare a sitter's portrait, once for all scenes that this process makes with it in a row; a
    lender's face comes between.
    """
    place_file(
        still, lambda draft: write_still(draft, _sitter(seed).still(_STILL_SIDE_PX, grain=False))
    )
    # The still's own frame is the performer's, so that both clips of a pair show the same view.
    portrait = read_portrait(still, config=PortraitConfig(framing="picture"))
    return Renderer(portrait, RenderConfig(size=size, refine=refine))


def _make_twin(job: SceneJob, voiced: _Voiced, motion: Motion, registry: Registry) -> None:
    scene = _scene_of(job)
    clip = _draft(scene, scene.twin).replace(
        label="pristine",
        kind="rendered",
        parents={"audio": sha256_file(voiced.source)},
    )
    mask = np.zeros((scene.size, scene.size), np.uint8)
    inputs = {"audio": voiced.source}
    seen = exposed(_film(scene, motion), scene.twin.seed)
    release_scene_clip(job, clip, seen, mask, voiced.sound, inputs, registry)


def _film(scene: Scene, motion: Motion) -> Iterator[Frame]:
    """Yield the sitter's own performance, before any camera."""
    performed = _sitter(scene.sitter).perform(motion, size=scene.size, grain=False)
    return (frame.image for frame in performed)


def _make_other_sound(
    job: SceneJob, take: Take, voiced: _Voiced, motion: Motion, registry: Registry
) -> None:
    """Make the twin's film anew, through a camera of its own, and another speech with it."""
    scene = _scene_of(job)
    assert take.method is not None
    assert scene.over is not None
    other = _joined(scene.over.sentences, SOUND_HZ)
    sound = sound_method_named(take.method)(voiced.sound, other)
    heard = job.folder / WORK / "speech" / f"{take.id}.wav"
    place_file(heard, lambda draft: write_wav(draft, sound, SOUND_HZ))
    clip = _draft(scene, take).replace(
        label="pristine",
        sound="synthetic",
        kind="rendered",
        method=take.method,
        speaker=scene.over.voice,
        parents={"audio": sha256_file(heard), "twin": scene.twin.id},
    )
    mask = np.zeros((scene.size, scene.size), np.uint8)
    seen = exposed(_film(scene, motion), take.seed)
    release_scene_clip(job, clip, seen, mask, sound, {"audio": heard}, registry)


def _make_take(
    job: SceneJob, take: Take, voiced: _Voiced, motion: Motion, registry: Registry
) -> None:
    scene = _scene_of(job)
    assert take.method is not None
    needs = NEEDS[take.method]
    shown = scene.sitter
    if needs.donor:
        assert scene.donor is not None
        shown = scene.donor
    still = job.folder / WORK / "portraits" / f"{shown}.png"
    renderer = _renderer(shown, scene.size, scene.refine, still)
    parents = {
        "portrait": sha256_file(still),
        "audio": sha256_file(voiced.source),
        "twin": scene.twin.id,
    }
    if needs.driving:
        parents["driving"] = scene.twin.id
    clip = _draft(scene, take).replace(
        kind="generated",
        method=take.method,
        donor=sitter_name(shown) if needs.donor else None,
        parents=parents,
        warnings=renderer.portrait.warnings,
    )
    film = functools.partial(_film, scene, motion)
    watched = Watched(renderer, film if needs.footage else None)
    frames = method_named(take.method)(
        renderer,
        voiced.speech,
        seed=take.seed,
        controls=scene.controls,
        driving=motion,
        footage=watched.footage,
    )
    inputs = {"portrait": still, "audio": voiced.source}
    seen = exposed(watched.frames(frames), take.seed)
    release_scene_clip(job, clip, seen, watched.mask, voiced.sound, inputs, registry)


def _draft(scene: Scene, take: Take) -> Clip:
    return Clip(
        id=take.id,
        path=f"{CLIPS}/{take.id}.mp4",
        label="synthetic",
        kind="generated",
        identity=scene.identity,
        speaker=scene.voice,
        split=scene.split,
        fps=FPS,
        seed=take.seed,
        controls=scene.controls.to_dict() | {"refine": scene.refine},
        mask_path=f"{MASKS}/{take.id}.png",
        attributes=_sitter(scene.sitter).attributes,
        rights="synthetic",
        tool=TOOL,
    )


def release_scene_clip(
    job: SceneJob,
    clip: Clip,
    frames: Iterable[Frame],
    mask: npt.NDArray[np.uint8],
    sound: npt.NDArray[np.float32] | None,
    inputs: Mapping[str, Path],
    registry: Registry,
) -> None:
    """Release a clip, then write its mask (which is complete only now) and its record.

    Args:
        job: what the clip is of.
        clip: what is known of it.
        frames: of one size, taken as they are rendered.
        mask: `[H, W]`, how far each pixel strays from still or film; filled in as frames are taken.
        sound: mono at `SOUND_HZ`, or None for a silent film.
        inputs: files that the manifest names, by role.
        registry: where mark and manifest are kept.
    """
    with _settled(job, clip, frames) as (settled, encode):
        released = release(
            settled,
            clip,
            job.folder / clip.path,
            audio=None if sound is None else (sound, SOUND_HZ),
            inputs=inputs,
            identity=job.identity,
            registry=registry,
            encode=encode,
            mark=_mark_of(clip),
            force=True,  # a film without a record is the leaving of a run that was killed
        )
    moved = moved_pixels(mask) if clip.label == "synthetic" else mask
    assert released.mask_path is not None
    place_file(job.folder / released.mask_path, lambda draft: write_still(draft, moved))
    row = json.dumps(released.to_row(), sort_keys=True)
    records = job.folder / RECORDS
    records.mkdir(parents=True, exist_ok=True)
    write_whole(records / f"{released.id}.json", row, durable=True)


def _mark_of(clip: Clip) -> MarkConfig:
    """Return the strength of a clip's mark, drawn by its seed.

    What a finer quantiser leaves of a mark would otherwise tell which clips were made alike.
    """
    rng = np.random.default_rng([clip.seed or 0, 0x3A])
    return MarkConfig(psnr_db=round(float(rng.uniform(*_MARK_PSNR_DB)), 2))


@contextlib.contextmanager
def _settled(
    job: SceneJob, clip: Clip, frames: Iterable[Frame]
) -> Iterator[tuple[Iterable[Frame], EncodeConfig]]:
    """Give frames and how they are encoded: a take so that it is as large as its twin."""
    scene = job.scene
    if not scene.alike or clip.id == scene.twin.id:
        yield frames, scene.encode
        return
    wanted = sizes_of(job.folder / CLIPS / f"{scene.twin.id}.mp4")
    with hidden_folder(job.folder / WORK, "spool") as folder:
        spool = Spool(folder / "frames.rgb", frames)
        yield spool, evened(spool, clip.fps, scene.encode, wanted, folder / "trial.mp4")


class Watched:
    """Frames on their way, and how far each pixel strayed from what was there: from the film where
    one is edited, else from the still.
    """

    def __init__(self, renderer: Renderer, film: Footage | None) -> None:
        """Take the renderer that makes the frames, and the film, None where a still is moved."""
        self.mask = np.zeros((renderer.height, renderer.width), np.uint8)  # filled by `frames`
        self._renderer = renderer
        self._film = film
        self._passed: collections.deque[Frame] = collections.deque()

    @property
    def footage(self) -> Footage | None:
        """The film for a method, which takes it once."""
        return None if self._film is None else self._pass

    def _pass(self) -> Iterator[Frame]:
        assert self._film is not None
        for frame in self._film():
            self._passed.append(frame)
            yield frame

    def frames(self, made: Iterable[Frame]) -> Iterator[Frame]:
        """Yield a method's frames, watched."""
        if self._film is None:
            portrait = self._renderer.portrait.picture
            size = (self._renderer.width, self._renderer.height)
            rest = np.asarray(cv2.resize(portrait, size, interpolation=cv2.INTER_AREA), np.uint8)
        for frame in made:
            before = rest if self._film is None else self._passed.popleft()
            np.maximum(self.mask, cv2.absdiff(frame, before).max(2), out=self.mask)
            yield frame


def moved_pixels(difference: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return 255 where the greatest difference [H, W] from what was there is no rounding, gaps
    and holes filled; else 0.
    """
    moved = np.where(difference > _MOVED_LEVELS, 255, 0).astype(np.uint8)
    reach = max(3, round(max(moved.shape) * _MASK_CLOSE_SHARE)) | 1
    moved = cv2.morphologyEx(moved, cv2.MORPH_CLOSE, np.ones((reach, reach), np.uint8))
    outlines, _ = cv2.findContours(moved, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros(difference.shape, np.uint8)
    cv2.drawContours(filled, outlines, -1, 255, cv2.FILLED)
    return filled


def place_file(path: Path, write: Callable[[Path], object]) -> None:
    """Make a file where it is not there yet, whole or not at all.

    Args:
        path: the file.
        write: writes it under another name of the same ending.
    """
    if path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with draft_of(path, ending=path.suffix) as draft:
        write(draft)
