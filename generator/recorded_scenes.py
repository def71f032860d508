"""Makes a recording's clips: itself encoded anew, and a still out of it that is made to speak.

Both show the same square of the same size, at the same rate, with the same sound, and leave through
the same door.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from obverse.clip import Clip
from obverse.errors import FaceError, InputError, ObverseError
from obverse.faces.landmarks import Face, FaceReader
from obverse.faces.pose import head_pose
from obverse.generator.generate import SOUND_HZ, TOOL
from obverse.generator.methods import NEEDS, SOUND_METHODS, method_named, sound_method_named
from obverse.generator.motion import FPS, Motion, expression_index
from obverse.generator.plan import Take
from obverse.generator.portrait import PortraitConfig, head_window, read_portrait
from obverse.generator.recordings import RecordedScene
from obverse.generator.render import RenderConfig, Renderer
from obverse.generator.scenes import (
    CLIPS,
    MASKS,
    WORK,
    SceneJob,
    Watched,
    place_file,
    release_scene_clip,
)
from obverse.generator.speech import RATE_HZ, Speech, read_speech_features
from obverse.generator.video_motion import read_motion
from obverse.media.audio import read_speech, write_wav
from obverse.media.still import write_still
from obverse.media.video import probe, read_frames
from obverse.provenance.registry import Registry
from obverse.weights import sha256_file

__all__ = ["View", "choose_view", "make_recorded_scene"]

_LOOK_EVERY = 12  # frames at 25 a second between two looks for the face
_SEEN_SHARE = 0.7  # of the looks that must find a face
_OTHERS_SHARE, _OTHERS_PRESENCE, _OTHERS_SIDE = 0.2, 0.9, 0.3
_SHORTEST_FRAMES = 10
_ROOM = 1.1  # side of the square, in sides of all that the face covers
_OPEN_MOUTH, _SHUT_EYES = 30.0, 20.0  # degrees of turning that these count for, where full

Frame = npt.NDArray[np.uint8]
Samples = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class View:
    """What is shown of a recording."""

    window: tuple[int, int, int]  # x0, y0 and side px of the recording's frames
    frames: int  # at 25 a second
    still: Frame  # [S, S, 3] RGB, the frame that is made to speak, in the window
    warnings: tuple[str, ...]

    def shown(self, frame: Frame) -> Frame:
        """Return the window's part of a frame."""
        x0, y0, side = self.window
        return np.ascontiguousarray(frame[y0 : y0 + side, x0 : x0 + side])


def make_recorded_scene(job: SceneJob) -> Mapping[str, str]:
    """Make the clips that are owed; returns the reason of failure for each that could not be made.

    A clip that is made has its film and its mask in place and, last of all, its record.
    """
    scene = _scene_of(job)
    failures: dict[str, str] = {}
    with Registry(job.registry_url) as registry:
        try:
            view = choose_view(scene.source, scene.seconds, _reader())
            sound = _sound(scene.source, view.frames)
            if scene.twin.id in job.owed:
                _make_twin(job, view, sound, registry)
        except ObverseError as error:
            # Without the twin no other take of the scene may stand in a corpus.
            return {clip_id: str(error) for clip_id in scene.ids() if clip_id in job.owed}
        film = job.folder / CLIPS / f"{scene.twin.id}.mp4"
        motion = functools.cache(lambda: read_motion(film, reader=_reader()).motion)
        for take in scene.takes:
            if take.id not in job.owed:
                continue
            try:
                if take.method in SOUND_METHODS:
                    _make_other_sound(job, take, view, sound, registry)
                else:
                    _make_take(job, take, view, sound, motion, registry)
            except ObverseError as error:
                failures[take.id] = str(error)
    return failures


@functools.cache
def _reader() -> FaceReader:
    return FaceReader()


def _scene_of(job: SceneJob) -> RecordedScene:
    assert isinstance(job.scene, RecordedScene)
    return job.scene


def choose_view(source: Path, seconds: float | None, reader: FaceReader) -> View:
    """Choose a square that holds the head all the time, and the frame that is made to speak.

    Args:
        source: the recording.
        seconds: how much of it, from its start; None is all.
        reader: of faces.

    Raises:
        InputError: the recording cannot be read, or is too short.
        FaceError: it does not show a face throughout.
    """
    looks: list[Face | None] = []
    others = 0  # looks that find somebody else as well
    best: tuple[float, Frame, Face] | None = None
    count = 0
    shape: tuple[int, ...] = ()
    for count, frame in enumerate(read_frames(source, fps=FPS, end_seconds=seconds), start=1):
        if (count - 1) % _LOOK_EVERY:
            continue
        shape = frame.shape
        faces = reader.read(frame)
        others += any(_counts(face, faces[0]) for face in faces[1:])
        looks.append(faces[0] if faces else None)
        if faces:
            cost = _unrest(faces[0])
            if best is None or cost < best[0]:
                best = (cost, frame.copy(), faces[0])
    if count < _SHORTEST_FRAMES:
        raise InputError(
            f"{source} lasts {count / FPS:.2f} s; a recording lasts {_SHORTEST_FRAMES / FPS} s at "
            "least."
        )
    seen = [face for face in looks if face is not None]
    if best is None or len(seen) < _SEEN_SHARE * len(looks):
        raise FaceError(
            f"{source} shows a face in {len(seen)} of {len(looks)} looks; give a recording that "
            "shows one person throughout."
        )
    window = _window(shape, best[2], seen)
    x0, y0, side = window
    still = np.ascontiguousarray(best[1][y0 : y0 + side, x0 : x0 + side])
    crowded = others > _OTHERS_SHARE * len(looks)
    warnings = ("more than one face is seen: the largest is made to speak",) if crowded else ()
    return View(window, count, still, warnings)


def _counts(face: Face, largest: Face) -> bool:
    """Whether a second face is somebody, and no pattern that was taken for one."""
    return face.presence >= _OTHERS_PRESENCE and face.side >= _OTHERS_SIDE * largest.side


def _unrest(face: Face) -> float:
    """Return how far a face is from one at rest that looks ahead, in degrees."""
    rotation = np.degrees(np.asarray(head_pose(face.landmarks)[0], np.float64))
    eyes = [face.expression[expression_index(f"eyeBlink{side}")] for side in ("Left", "Right")]
    mouth = face.expression[expression_index("jawOpen")]
    turned = float(np.abs(rotation[:2]).sum())
    return turned + _OPEN_MOUTH * float(mouth) + _SHUT_EYES * float(np.mean(eyes))


def _window(shape: tuple[int, ...], face: Face, seen: list[Face]) -> tuple[int, int, int]:
    """Return the head's square in the chosen frame, grown until it holds the face in all looks."""
    x0, y0, width, _ = head_window(shape, face, PortraitConfig())
    boxes = np.stack([each.box for each in seen])
    low = np.minimum(boxes[:, :2].min(0), (x0, y0))
    high = np.maximum(boxes[:, 2:].max(0), (x0 + width, y0 + width))
    inside = (boxes[:, :2] >= (x0, y0)).all() and (boxes[:, 2:] <= (x0 + width, y0 + width)).all()
    if inside:
        return x0, y0, width
    side = min(round(float((high - low).max()) * _ROOM), shape[0], shape[1])
    corner = (low + high) / 2 - side / 2
    x0, y0 = (round(float(value)) for value in corner)
    return min(max(x0, 0), shape[1] - side), min(max(y0, 0), shape[0] - side), side


def _sound(source: Path, frames: int) -> Samples | None:
    """Return a recording's sound as long as its picture; None where it has none."""
    if not probe(source).has_audio:
        return None
    samples = read_speech(source, SOUND_HZ)
    length = frames * SOUND_HZ // FPS
    return np.pad(samples[:length], (0, max(0, length - len(samples))))


def _heard(scene: RecordedScene, take: Take, view: View, sound: Samples | None) -> Speech:
    """Return what a take says: the recording's sound, or as much silence."""
    length = view.frames * RATE_HZ // FPS
    if sound is None:
        if take.method is None or NEEDS[take.method].sound:
            raise InputError(
                f"{scene.source} has no sound that could be spoken; choose reenact or swap, which "
                "follow the picture."
            )
        return read_speech_features(np.zeros(length, np.float32))
    samples = read_speech(scene.source, RATE_HZ)[:length]
    return read_speech_features(np.pad(samples, (0, length - len(samples))))


def _make_twin(job: SceneJob, view: View, sound: Samples | None, registry: Registry) -> None:
    scene = _scene_of(job)
    clip = _draft(scene, scene.twin).replace(
        label="pristine",
        kind="camera",
        parents={"source": scene.sha256},
        seed=None,  # nothing was drawn
        warnings=view.warnings,
    )
    mask = np.zeros((scene.size, scene.size), np.uint8)
    frames = _recorded(scene, view)
    release_scene_clip(job, clip, frames, mask, sound, {"source": scene.source}, registry)


def _make_other_sound(
    job: SceneJob, take: Take, view: View, sound: Samples | None, registry: Registry
) -> None:
    """Encode the recording as for its twin, and the sound of another person's with it."""
    scene = _scene_of(job)
    assert take.method is not None
    assert scene.heard is not None
    assert scene.heard_source is not None
    for source in (scene.source, scene.heard_source):
        if not probe(source).has_audio:
            raise InputError(
                f"{source} has no sound, and {take.method} replaces one recording's by another's; "
                "leave that method out, or give recordings with sound."
            )
    assert sound is not None
    other = read_speech(scene.heard_source, SOUND_HZ)
    laid = sound_method_named(take.method)(sound, other)
    heard = job.folder / WORK / "speech" / f"{take.id}.wav"
    place_file(heard, lambda draft: write_wav(draft, laid, SOUND_HZ))
    clip = _draft(scene, take).replace(
        label="pristine",
        sound="synthetic",
        kind="camera",
        method=take.method,
        donor=scene.heard.person,
        speaker=scene.heard.person,
        parents={
            "source": scene.sha256,
            "audio": sha256_file(heard),
            "voice": scene.heard.sha256,
            "twin": scene.twin.id,
        },
        seed=None,  # nothing was drawn
        warnings=view.warnings,
    )
    mask = np.zeros((scene.size, scene.size), np.uint8)
    inputs = {"source": scene.source, "audio": heard}
    release_scene_clip(job, clip, _recorded(scene, view), mask, laid, inputs, registry)


def _recorded(scene: RecordedScene, view: View) -> Iterator[Frame]:
    """Yield the recording's frames as they are shown."""
    side = view.window[2]
    way = cv2.INTER_AREA if side >= scene.size else cv2.INTER_LANCZOS4
    frames = read_frames(scene.source, fps=FPS, end_seconds=scene.seconds, max_frames=view.frames)
    for frame in frames:
        shown = view.shown(frame)
        yield np.asarray(cv2.resize(shown, (scene.size, scene.size), interpolation=way), np.uint8)


def _make_take(
    job: SceneJob,
    take: Take,
    view: View,
    sound: Samples | None,
    motion: Callable[[], Motion],
    registry: Registry,
) -> None:
    scene = _scene_of(job)
    assert take.method is not None
    needs = NEEDS[take.method]
    speech = _heard(scene, take, view, sound)
    still = _donor_still(job) if needs.donor else _still(job, scene.sha256, view)
    parents = {"portrait": sha256_file(still), "twin": scene.twin.id}
    inputs = {"portrait": still}
    if sound is not None:
        heard = job.folder / WORK / "speech" / f"{scene.twin.id}.wav"
        place_file(heard, lambda draft: write_wav(draft, sound, SOUND_HZ))
        parents["audio"], inputs["audio"] = sha256_file(heard), heard
    if needs.driving:
        parents["driving"] = scene.twin.id
    if needs.footage:
        parents["film"], inputs["film"] = scene.sha256, scene.source
    portrait = read_portrait(still, config=PortraitConfig(framing="picture"), reader=_reader())
    renderer = Renderer(portrait, RenderConfig(size=scene.size))
    clip = _draft(scene, take).replace(
        kind="generated",
        method=take.method,
        donor=scene.donor.person if needs.donor and scene.donor is not None else None,
        parents=parents,
        controls=scene.controls.to_dict(),
        warnings=portrait.warnings + view.warnings,
    )
    watched = Watched(renderer, (lambda: _recorded(scene, view)) if needs.footage else None)
    frames = method_named(take.method)(
        renderer,
        speech,
        seed=take.seed,
        controls=scene.controls,
        driving=motion() if needs.driving else None,
        footage=watched.footage,
    )
    release_scene_clip(job, clip, watched.frames(frames), watched.mask, sound, inputs, registry)


def _still(job: SceneJob, sha256: str, view: View) -> Path:
    """Return the still out of a recording, under the recording's hash."""
    path = job.folder / WORK / "portraits" / f"{sha256}.png"
    place_file(path, lambda draft: write_still(draft, view.still))
    return path


def _donor_still(job: SceneJob) -> Path:
    """Return the still of the person who lends a face; its recording is looked through where its
    own scene has not left it.
    """
    scene = _scene_of(job)
    assert scene.donor is not None
    assert scene.donor_source is not None
    path = job.folder / WORK / "portraits" / f"{scene.donor.sha256}.png"
    if path.is_file():
        return path
    view = choose_view(scene.donor_source, scene.seconds, _reader())
    return _still(job, scene.donor.sha256, view)


def _draft(scene: RecordedScene, take: Take) -> Clip:
    return Clip(
        id=take.id,
        path=f"{CLIPS}/{take.id}.mp4",
        label="synthetic",
        kind="generated",
        identity=scene.identity,
        speaker=scene.identity,
        split=scene.split,
        fps=FPS,
        seed=take.seed,
        mask_path=f"{MASKS}/{take.id}.png",
        rights=scene.rights,
        tool=TOOL,
    )
