"""Scores of a detector on clips that were changed: one row a clip and condition, kept as they come.

Conditions that change single frames alone share one decoding of the clip, and only the moments that
the detector looks at are changed. Those that encode anew go through one temporary film at a time. A
row is kept as soon as it is there, so a sweep that was broken off goes on where it was.

Faces are searched for in each copy, as anybody would who was sent it alone; or in the undistorted
clip, and cut from the same place in its copies, so that a sweep measures the detector and not the
finder of faces, and takes less time. Copies whose picture moves are searched all the same.
"""

import dataclasses
import functools
import itertools
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch

from obverse.clip import Clip, Score, Status, Verdict
from obverse.datasets.footage import Footage, Source
from obverse.detector.crop_store import open_reader
from obverse.detector.crops import FilmFaces, read_film, schedule_of
from obverse.detector.follow import follow_film
from obverse.detector.fusion import Fusion
from obverse.detector.recipe import CropRecipe
from obverse.detector.runs import Detector
from obverse.detector.score import open_detector, score_faces, score_film
from obverse.errors import InputError, ObverseError, OutputExistsError
from obverse.eval.conditions import Condition, Grid, Onset, Step, keeps_place, seed_of
from obverse.eval.copies import alter_of, follow_altered, read_altered, with_crops
from obverse.eval.cues import RATE_HZ, silences
from obverse.eval.distortions import FRAME_STEPS, SOUND_STEPS, FrameStep, SoundStep
from obverse.eval.encoders import Codec, with_sound, write_film
from obverse.eval.marks import (
    RELEASED,
    MarkCheck,
    Marking,
    check_mark,
    own_payload,
    with_mark,
    without,
)
from obverse.eval.reel import Reel, open_reel
from obverse.faces.landmarks import FaceReader
from obverse.hidden import hidden_folder
from obverse.watermark.carriers import DEFAULT_KEY
from obverse.watermark.extract import extract_frames
from obverse.workers import spread

__all__ = ["ROWS", "Faces", "Row", "Store", "sweep"]

ROWS = "rows.sqlite"  # of a sweep, in its folder

Image = npt.NDArray[np.uint8]
Samples = npt.NDArray[np.float32]
Progress = Callable[[int, int], None]  # rows there, of how many
Faces = Literal["each", "clean"]  # searched for in each copy, or in the undistorted clip alone

_TOGETHER = 12  # conditions for which a clip is decoded once
_CROPS_BYTES = 512 << 20  # of all of them together, for one face
_SOUND_HZ = 48_000
_FRAME_TYPES = tuple(FRAME_STEPS.values())
_SOUND_TYPES = tuple(SOUND_STEPS.values())
_KEPT_CRF = 1  # of films that are kept only because somebody asked
_MARK_PROBES = 32  # moments from which a mark's strength is told


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """What a detector says of a clip under a condition."""

    clip: str
    condition: str
    status: Status
    score: float | None = None
    lr: float | None = None
    verdict: Verdict | None = None
    reason: str | None = None
    mark_present: bool | None = None  # what the extractor says, of conditions that set the mark
    mark_z: float | None = None
    faces: Faces | None = None  # where the copy's were searched for; None of the clip as it is, of
    # changed crops, and where nobody says

    @classmethod
    def of(
        cls,
        score: Score,
        condition: str,
        mark: MarkCheck | None = None,
        faces: Faces | None = None,
    ) -> Self:
        """Return a score's row."""
        return cls(
            score.clip,
            condition,
            score.status,
            score.score,
            score.lr,
            score.verdict,
            score.reason,
            None if mark is None else mark.present,
            None if mark is None else mark.z,
            faces,
        )


class Store:
    """Rows on disk, each written once: a kill loses only what was under way."""

    def __init__(self, path: Path, detector: str, *, force: bool = False) -> None:
        """Open or make a store.

        Args:
            path: the file.
            detector: the id of the detector whose rows it holds.
            force: throw away the rows that are there.

        Raises:
            InputError: the file is no such store.
            OutputExistsError: it holds rows of another detector.
        """
        self.path = path
        try:
            self._base = sqlite3.connect(path, isolation_level=None)
            try:
                about = self._made()
            except BaseException:
                self._base.close()
                raise
        except sqlite3.DatabaseError as error:
            raise InputError(f"{path} is no store of rows ({error}); remove it.") from error
        if force:
            self._base.execute("DELETE FROM rows")
        elif about.get("detector", detector) != detector:
            self._base.close()
            raise OutputExistsError(
                f"{path} holds rows of the detector {about['detector']}, not of {detector}; give "
                "another folder, or --force to throw them away."
            )
        self._base.execute("INSERT OR REPLACE INTO about VALUES ('detector', ?)", (detector,))

    def _made(self) -> dict[str, str]:
        """Make the tables unless they are there; return what the store says of itself."""
        self._base.execute("PRAGMA journal_mode=WAL")
        self._base.execute("CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT)")
        self._base.execute(
            "CREATE TABLE IF NOT EXISTS rows (clip TEXT, condition TEXT, digest TEXT, "
            "status TEXT, row TEXT, PRIMARY KEY (clip, condition))"
        )
        return dict(self._base.execute("SELECT key, value FROM about"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self._base.close()

    def add(self, row: Row, digest: str) -> None:
        """Keep a row; one of the same clip and condition is replaced."""
        values = (row.clip, row.condition, digest, row.status, json.dumps(dataclasses.asdict(row)))
        self._base.execute("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?)", values)

    def done(self) -> set[tuple[str, str, str]]:
        """Return (clip, condition, digest) of every row that need not be made again."""
        found = "SELECT clip, condition, digest FROM rows WHERE status != 'error'"
        return set(self._base.execute(found))

    def rows(self, digests: dict[str, str], clips: Sequence[str]) -> list[Row]:
        """Return the rows of some conditions, by their digests, in the order of the clips."""
        held: dict[tuple[str, str], Row] = {}
        query = "SELECT clip, condition, digest, row FROM rows"
        for clip, condition, digest, row in self._base.execute(query):
            if digests.get(condition) == digest.split(" ")[0]:
                held[clip, condition] = Row(**json.loads(row))
        return [
            held[clip, condition]
            for clip in clips
            for condition in digests
            if (clip, condition) in held
        ]


class _Job(NamedTuple):
    clip: Clip
    footage: Footage
    conditions: tuple[Condition, ...]
    faces: Faces
    run: Path
    stamp: int
    threads: int
    scratch: Path
    keep: Path | None
    key: bytes


@functools.lru_cache(maxsize=2)
def _opened(run: Path, threads: int, stamp: int) -> Detector | Fusion:
    del stamp
    return open_detector(run, threads)


def _of_frames(steps: Sequence[Step]) -> bool:
    return all(isinstance(step, _FRAME_TYPES) for step in steps)  # type: ignore[arg-type]


def _frame_steps(steps: Sequence[Step]) -> list[FrameStep]:
    return [step for step in steps if isinstance(step, _FRAME_TYPES)]  # type: ignore[arg-type,misc]


def _hears(detector: Detector | Fusion) -> bool:
    members = detector.members if isinstance(detector, Fusion) else (detector,)
    return any(member.recipe.sound for member in members)


class _Plain:
    """A clip's faces as they are, found once for each recipe."""

    def __init__(self, footage: Footage, reader: FaceReader) -> None:
        self._footage, self._reader = footage, reader
        self._found: dict[CropRecipe, tuple[FilmFaces, list[list[float]]]] = {}

    def look(self, recipe: CropRecipe) -> tuple[FilmFaces, list[list[float]]]:
        """Return the faces, and the seconds of the frames that were looked at.

        Raises:
            InputError: the clip cannot be read.
        """
        if recipe not in self._found:
            schedule = schedule_of(self._footage, recipe)
            self._found[recipe] = read_film(self._footage, recipe, self._reader), schedule
        return self._found[recipe]


def _run_job(job: _Job) -> list[Row]:
    torch.set_num_threads(job.threads)
    detector = _opened(job.run, job.threads, job.stamp)
    reader = open_reader()
    plain = _Plain(job.footage, reader)
    rows: list[Row] = []
    for part in _parted(job.clip, job.conditions, _together(detector)):
        steps = {each.name: each.steps_for(job.clip.id) for each in part}
        if all(map(_of_frames, steps.values())):
            found = _score_frames(job, part, steps, detector, reader, plain)
            if job.keep is not None:
                _keep_changed(job, steps, {row.condition for row in found if row.status != "error"})
            rows += found
            continue
        ((name, chain),) = steps.items()
        try:
            rows.append(_score_made(job, part[0], chain, detector, reader, plain))
        except ObverseError as error:
            rows.append(Row(job.clip.id, name, "error", reason=str(error)))
    return rows


def _follows(condition: Condition, faces: Faces, detector: Detector | Fusion) -> bool:
    """Whether a condition's copies are cut where the undistorted clip's faces are."""
    return (
        faces == "clean"
        and condition.on == "frames"
        and bool(condition.steps)
        and all(keeps_place(step, hears=_hears(detector)) for step in condition.steps)
    )


def _score_frames(
    job: _Job,
    conditions: Sequence[Condition],
    steps: Mapping[str, tuple[Step, ...]],
    detector: Detector | Fusion,
    reader: FaceReader,
    plain: _Plain,
) -> list[Row]:
    """Score conditions that change frames alone, from one decoding."""
    clip = job.clip.id
    on = {each.name: each.on for each in conditions}
    alters = {
        name: functools.partial(alter_of, _frame_steps(chain), seed_of(clip, name))
        for name, chain in steps.items()
        if chain and on[name] == "frames"
    }
    followed = {each.name for each in conditions if _follows(each, job.faces, detector)}

    @functools.cache
    def cut(recipe: CropRecipe) -> dict[str, FilmFaces]:
        if job.faces == "each":
            as_it_is, changed = read_altered(job.footage, recipe, reader, alters)
        else:
            as_it_is, schedule = plain.look(recipe)
            still = {name: make for name, make in alters.items() if name in followed}
            changed = follow_altered(job.footage, recipe, as_it_is, schedule, still)
            for name in alters.keys() - followed:
                changed[name] = read_film(job.footage, recipe, reader, alters[name]())
        return {name: changed.get(name, as_it_is) for name in steps}

    def faces(name: str, recipe: CropRecipe) -> FilmFaces:
        found = cut(recipe)[name]
        if on[name] == "frames" or not steps[name]:
            return found
        return with_crops(found, alter_of(_frame_steps(steps[name]), seed_of(clip, name)))

    return [
        Row.of(
            score_faces(functools.partial(faces, name), clip, detector).score,
            name,
            faces=("clean" if name in followed else "each") if name in alters else None,
        )
        for name in steps
    ]


def _score_made(
    job: _Job,
    condition: Condition,
    steps: Sequence[Step],
    detector: Detector | Fusion,
    reader: FaceReader,
    plain: _Plain,
) -> Row:
    """Score a condition that needs a film of its own, which is removed again."""
    clip, name = job.clip.id, condition.name
    with tempfile.TemporaryDirectory(dir=job.scratch) as folder, open_reel(job.footage) as reel:
        rng = np.random.default_rng(seed_of(clip, name))
        hears = _hears(detector) or job.keep is not None
        made, rest = _made(job, reel, steps, Path(folder), rng, sound=hears)
        checked = any(isinstance(step, Marking) for step in steps)
        mark = check_mark(made, job.key) if checked and isinstance(made, Path) else None
        alter = alter_of(rest, seed_of(clip, name)) if rest else None
        followed = _follows(condition, job.faces, detector)
        if followed:

            def cut(recipe: CropRecipe) -> FilmFaces:
                faces, schedule = plain.look(recipe)
                return follow_film(made, recipe, faces, schedule, alter) if faces.tracks else faces

            found = score_faces(cut, clip, detector).score
        else:
            found = score_film(made, clip, detector, reader, alter=alter).score
        if job.keep is not None:
            _keep(job, name, made, rest, Path(folder))
        if found.reason is not None:
            found = dataclasses.replace(
                found, reason=found.reason.replace(str(made), f"{job.footage} under {name}")
            )
        return Row.of(found, name, mark, "clean" if followed else "each")


def _keep_changed(job: _Job, steps: Mapping[str, tuple[Step, ...]], wanted: set[str]) -> None:
    films = {each.name for each in job.conditions if each.on == "frames"}
    for name in wanted & films:
        if steps[name]:
            with tempfile.TemporaryDirectory(dir=job.scratch) as folder:
                _keep(job, name, job.footage, _frame_steps(steps[name]), Path(folder))


def _keep(job: _Job, name: str, film: Source, rest: Sequence[FrameStep], folder: Path) -> None:
    """Copy a distorted film to where the user wants it; frames that change are encoded first."""
    assert job.keep is not None
    if rest or not isinstance(film, Path):
        fine = Codec(crf=_KEPT_CRF, preset="veryfast")
        rng = np.random.default_rng(seed_of(job.clip.id, name))
        with open_reel(film) as reel:
            film = _encoded(reel, folder / "kept.mp4", fine, rest, (), rng, job, sound=True)
    target = job.keep / name / f"{job.clip.id}{film.suffix}"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(film, target)


def _made(
    job: _Job,
    source: Reel,
    steps: Sequence[Step],
    folder: Path,
    rng: np.random.Generator,
    *,
    sound: bool,
) -> tuple[Source, list[FrameStep]]:
    """Put a clip through steps, in files of `folder`.

    Returns:
        The film (the clip itself where nothing was encoded), and the frame steps that are still to
        be done to its frames.

    Raises:
        InputError: the clip cannot be read, or has no sound that a step could change.
        ObverseError: a step cannot be done.
    """
    reel = source
    frame_steps: list[FrameStep] = []
    sound_steps: list[SoundStep] = []
    for number, step in enumerate(steps):
        if isinstance(step, Codec | Marking | Onset):
            there = folder / f"{number}.mp4"
            _encoded(reel, there, step, frame_steps, sound_steps, rng, job, sound=sound)
            if reel is not source and reel.path is not None:
                reel.path.unlink()
            reel, frame_steps, sound_steps = Reel.of_film(there), [], []
        elif isinstance(step, _SOUND_TYPES):  # type: ignore[arg-type]
            sound_steps.append(step)  # type: ignore[arg-type]
        else:
            frame_steps += _frame_steps([step])
    if sound_steps and sound:
        heard = _sound(reel, sound_steps, rng)
        if heard is None or reel.path is None:
            raise InputError(f"{job.footage} has no sound to change; leave such clips out.")
        there = folder / "sound.mkv"
        with_sound(reel.path, there, heard, _SOUND_HZ)
        return there, frame_steps
    return (job.footage if reel is source or reel.path is None else reel.path), frame_steps


def _sound(reel: Reel, steps: Sequence[SoundStep], rng: np.random.Generator) -> Samples | None:
    samples = reel.sound(_SOUND_HZ)
    if samples is not None:
        for step in steps:
            samples = step.apply(samples, _SOUND_HZ, rng)
    return samples


def _encoded(
    reel: Reel,
    there: Path,
    step: Codec | Marking | Onset,
    frame_steps: Sequence[FrameStep],
    sound_steps: Sequence[SoundStep],
    rng: np.random.Generator,
    job: _Job,
    *,
    sound: bool,
) -> Path:
    """Write one film as another; returns where.

    Raises:
        InputError: it should begin with its sound, and has none.
    """
    heard = _sound(reel, sound_steps, rng) if sound else None
    codec = step if isinstance(step, Codec) else _released()
    fps = codec.rate(reel.fps)
    frames = reel.frames(fps)
    if isinstance(step, Onset) and sound:
        skipped = _frames_before_sound(reel, step, fps, job)
        frames = itertools.islice(frames, skipped, None)
        heard = None if heard is None else heard[round(skipped / fps * _SOUND_HZ) :]
    if frame_steps:
        alter = alter_of(frame_steps, int(rng.integers(1 << 62)))
        frames = (alter(frame, 0.0) for frame in frames)
    if isinstance(step, Marking):
        frames = _marked(reel, frames, step.present, job)
    write_film(there, frames, fps, codec, heard, _SOUND_HZ)
    return there


def _frames_before_sound(reel: Reel, step: Onset, fps: float, job: _Job) -> int:
    """Return how many frames are shown before the sound begins, but for the lead that is left."""
    samples = reel.sound(RATE_HZ)
    if samples is None:
        raise InputError(f"{job.footage} has no sound to begin with; leave such clips out.")
    silent, _ = silences(samples)
    if silent >= len(samples) / RATE_HZ - 1 / fps:
        raise InputError(f"the sound of {job.footage} is silence; leave such clips out.")
    return int(max(0.0, silent - step.lead) * fps)


def _released() -> Codec:
    return Codec(
        crf=RELEASED.crf,
        preset=RELEASED.preset,
        gop=RELEASED.gop,
        sound_kbps=RELEASED.audio_bitrate // 1000,
    )


def _marked(reel: Reel, frames: Iterator[Image], present: bool, job: _Job) -> Iterator[Image]:
    """Return the frames with a mark or without, whatever the film carries."""
    times = ((np.arange(_MARK_PROBES) + 0.5) * (reel.seconds / _MARK_PROBES)).tolist()
    stated = job.clip.mark
    payload = None if stated is None else int(stated, 16)
    if payload is None:
        payload = extract_frames((image for _, image in reel.moments(times)), job.key).payload
    if present:
        if payload is not None:
            return frames
        return with_mark(frames, own_payload(job.clip.id), job.key)
    if payload is None:
        return frames
    return without(frames, (image for _, image in reel.moments(times)), payload, job.key)


def sweep(
    run: Path,
    clips: Sequence[Clip],
    folder: Path,
    grid: Grid,
    store: Store,
    *,
    workers: int = 1,
    threads: int = 1,
    faces: Faces = "each",
    keep: Path | None = None,
    key: bytes = DEFAULT_KEY,
    progress: Progress | None = None,
) -> list[Row]:
    """Score every clip under every condition; what the store holds is not made again.

    Rows in error are tried again.

    Args:
        run: the detector.
        clips: the clips.
        folder: where their relative paths start.
        grid: the conditions.
        store: where rows are kept.
        workers: processes.
        threads: of each, for the network.
        faces: where they are searched for; what one choice has scored counts for the other where
            both would do the same.
        keep: a folder for the distorted films; without it none is kept.
        key: of this project's mark.
        progress: told how many rows there are, of how many.
    """
    stamp = run.stat().st_mtime_ns if run.exists() else 0
    detector = _opened(run, threads, stamp)  # what cannot be opened is refused before any work
    together = _together(detector)
    digests = {
        each.name: each.digest + ("-followed" if _follows(each, faces, detector) else "")
        for each in grid.conditions
    }
    done = store.done()
    total = len(clips) * len(grid.conditions)
    with hidden_folder(store.path.parent, "robust") as scratch:
        jobs: list[_Job] = []
        for clip in clips:
            wanted = [
                each
                for each in grid.conditions
                if (clip.id, each.name, _stamp(digests[each.name], clip)) not in done
            ]
            place = Footage.of(clip, folder)
            # A clip that is searched once is one job, lest each worker search it.
            whole = [tuple(wanted)] if wanted else []
            for part in whole if faces == "clean" else _parted(clip, wanted, together):
                jobs.append(_Job(clip, place, part, faces, run, stamp, threads, scratch, keep, key))
        ready = total - sum(len(job.conditions) for job in jobs)
        if progress is not None:
            progress(ready, total)
        before = torch.get_num_threads()
        try:
            for job, result in spread(_run_job, jobs, workers):
                if isinstance(result, MemoryError):
                    result = [
                        Row(job.clip.id, each.name, "error", reason=str(result))
                        for each in job.conditions
                    ]
                elif isinstance(result, BaseException):
                    raise result
                for row in result:
                    store.add(row, _stamp(digests[row.condition], job.clip))
                ready += len(result)
                if progress is not None:
                    progress(ready, total)
        finally:
            torch.set_num_threads(before)
    return store.rows(digests, [clip.id for clip in clips])


def _stamp(digest: str, clip: Clip) -> str:
    """Return what names a condition and a clip's content."""
    return f"{digest} {(clip.sha256 or '')[:16]}"


def _together(detector: Detector | Fusion) -> int:
    """Return for how many conditions crops may be held at once."""
    members = detector.members if isinstance(detector, Fusion) else (detector,)
    recipes = {member.recipe for member in members}
    crops = sum(each.moments * each.burst * 3 * each.size_px**2 for each in recipes)
    return max(1, min(_TOGETHER, _CROPS_BYTES // crops))


def _parted(
    clip: Clip, conditions: Sequence[Condition], most: int
) -> Iterator[tuple[Condition, ...]]:
    """Yield the conditions that are scored together, those of frames alone; the others singly."""
    together = [each for each in conditions if _of_frames(each.steps_for(clip.id))]
    for start in range(0, len(together), most):
        yield tuple(together[start : start + most])
    for each in conditions:
        if each not in together:
            yield (each,)
