"""Builds a corpus from a plan: over processes, resumable at any moment, nothing lost and nothing
doubled.

Every finished clip leaves a record of its own; the table is written from the records at the end. A
run that was killed therefore owes exactly the clips without a record, and starting it again makes
those.
"""

import contextlib
import dataclasses
import json
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from obverse.clip import Clip
from obverse.datasets.card import corpus_card, recorded_card
from obverse.datasets.table import read_clips, write_clips
from obverse.errors import ConfigError, InputError, OutputExistsError
from obverse.files import write_whole
from obverse.generator.generate import TOOL
from obverse.generator.plan import CorpusPlan, Scene, lay_out
from obverse.generator.recorded_scenes import make_recorded_scene
from obverse.generator.recordings import RecordedScene, RecordingPlan, lay_out_recordings
from obverse.generator.scenes import CLIPS, MASKS, RECORDS, WORK, SceneJob, make_scene
from obverse.generator.voices import list_voices
from obverse.provenance.identity import SigningIdentity
from obverse.provenance.registry import Registry
from obverse.workers import default_workers, spread

__all__ = ["CorpusReport", "Plan", "build_corpus"]

CARD, DESCRIPTION, TABLE = "card.md", "corpus.json", "clips.parquet"
_LOCK = f"{WORK}/lock"
_LEFTOVERS = re.compile(  # what our writers call what they have not finished; nothing else is swept
    r"\.release-(?:[A-Za-z0-9._]+-\d+-)?[a-z0-9_]{8}"  # a folder of `release`
    r"|\.draft-[a-z0-9_]{8}\.(tmp|png|wav)"  # `draft_of`, our tables' too
)
_MADE = re.compile(r"[0-9a-f]{32}\.(mp4|png)")  # films and masks
_LIBRARIES = (
    "av",
    "c2pa-python",
    "numba",
    "numpy",
    "onnxruntime",
    "opencv-python-headless",
    "pillow",
)

Progress = Callable[[int, int, int], None]  # clips there, failed, and planned
Plan = CorpusPlan | RecordingPlan
Scenes = Sequence[Scene] | Sequence[RecordedScene]


@dataclasses.dataclass(frozen=True, slots=True)
class CorpusReport:
    """What a run did."""

    folder: Path
    clips: tuple[Clip, ...]  # all that are there, sorted by id
    made: int  # by this run
    failed: Mapping[str, str]  # clip id -> why it could not be made


def build_corpus(
    plan: Plan,
    folder: Path,
    *,
    sources: Mapping[str, Path] | None = None,
    workers: int | None = None,
    force: bool = False,
    identity: SigningIdentity | None = None,
    registry_url: str | None = None,
    progress: Progress | None = None,
) -> CorpusReport:
    """Make a corpus, or what is still missing of it.

    Args:
        plan: what it holds.
        sources: where the film of each hash lies, for a plan of recordings.
        folder: made if it is not there. A folder with the same plan is continued.
        workers: processes; None is one a core.
        force: throw away the corpus, of this plan or another, that an earlier run made in the
            folder; what no run made stays, and a folder without a corpus is refused all the same.
        identity: who signs; None is this installation's development identity.
        registry_url: where marks and manifests are kept; None is the user's own registry.
        progress: told after each scene.

    Returns:
        The clips that are there and the reasons of those that are not. The table, the card and
        `corpus.json` are written in either case; starting again tries the failed ones again.

    Raises:
        OutputExistsError: the folder holds another plan's corpus, or something else.
        ConfigError: another run is at work in the folder, or `workers` is less than 1.
    """
    if workers is not None and workers < 1:
        raise ConfigError(f"workers is {workers}; at least 1 is needed.")
    scenes: Scenes = (
        lay_out(plan) if isinstance(plan, CorpusPlan) else lay_out_recordings(plan, sources or {})
    )
    _require_place(folder, plan, force=force)
    with _only_run(folder):
        # Made once, here, so that workers do not all make it; the identity last, when nothing is
        # left that could refuse the run.
        Registry(registry_url).close()
        identity = identity or SigningIdentity.default()
        if force:
            _clear(folder)
        # First of all: a folder that is not described is taken for somebody else's.
        _describe(folder, plan, scenes, (), {}, complete=False)
        for name in (CLIPS, MASKS, RECORDS):
            (folder / name).mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        done = _finished(folder, scenes)
        before = len(done)
        failed = _make(
            scenes, done, folder, workers or default_workers(), identity, registry_url, progress
        )
        clips = tuple(done[name] for name in sorted(done))
        _finish(folder, plan, scenes, clips, failed)
    return CorpusReport(folder, clips, len(clips) - before, failed)


def _make(
    scenes: Scenes,
    done: dict[str, Clip],
    folder: Path,
    workers: int,
    identity: SigningIdentity,
    registry_url: str | None,
    progress: Progress | None,
) -> dict[str, str]:
    """Make what is owed, add it to `done`, and return why the rest could not be made."""
    total = sum(len(scene.ids()) for scene in scenes)
    jobs = []
    for scene in scenes:
        owed = frozenset(scene.ids()) - done.keys()
        if owed:
            jobs.append(
                SceneJob(
                    scene=scene,
                    owed=owed,
                    folder=folder,
                    identity=identity,
                    registry_url=registry_url,
                )
            )
    failed: dict[str, str] = {}
    if progress is not None:
        progress(len(done), 0, total)
    recorded = any(isinstance(scene, RecordedScene) for scene in scenes)
    maker = make_recorded_scene if recorded else make_scene
    for job, result in spread(maker, jobs, workers):
        made = _records(folder, job.owed)
        done.update(made)
        if isinstance(result, BaseException):
            why = f"{type(result).__name__}: {result}"
            failed.update(dict.fromkeys(job.owed - made.keys(), why))
        else:
            failed.update(result)
        if progress is not None:
            progress(len(done), len(failed), total)
    return dict(sorted(failed.items()))


def _require_place(folder: Path, plan: Plan, *, force: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise OutputExistsError(f"{folder} is a file; a corpus is a folder, name another one.")
    if not folder.exists():
        return
    if not (folder / DESCRIPTION).is_file():
        foreign = sorted(path.name for path in folder.iterdir() if not _is_stub(path))
        if foreign:
            raise OutputExistsError(
                f"{folder} holds {foreign[0]} and no {DESCRIPTION} of a corpus; name an empty or a "
                "new folder."
            )
        return
    there = _plan_of(folder)
    if not force and there != (_plain(plan), TOOL):
        what = "another plan" if there[0] != _plain(plan) else f"this plan by {there[1]}"
        raise OutputExistsError(
            f"{folder} holds a corpus of {what}; name another folder, or pass --force "
            "to replace it."
        )


def _is_stub(path: Path) -> bool:
    """Whether this is all that a run leaves which was killed before it described the folder."""
    if path.is_symlink():
        return False
    if path.name == WORK and path.is_dir():
        inside = list(path.iterdir())
        return all(item.name == Path(_LOCK).name and not item.stat().st_size for item in inside)
    return path.is_file() and _LEFTOVERS.fullmatch(path.name) is not None


def _plan_of(folder: Path) -> tuple[Any, str]:
    path = folder / DESCRIPTION
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read ({error}), so {folder} is left alone; name an empty folder."
        ) from error
    tool = described.get("tool") if isinstance(described, dict) else None
    if not isinstance(tool, str) or tool.split()[:1] != TOOL.split()[:1] or "plan" not in described:
        raise OutputExistsError(
            f"{path} describes no corpus of {TOOL.split()[0]}; name an empty or a new folder."
        )
    return described["plan"], tool


def _plain(plan: Plan) -> Any:
    """A plan as it comes back from JSON."""
    return json.loads(json.dumps(plan.to_dict()))


@contextlib.contextmanager
def _only_run(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which the system lets go of when this process ends, however it
    ends. A run that is refused before it described the folder leaves none.
    """
    absent = [place for place in (folder / WORK, folder, *folder.parents) if not place.exists()]
    try:
        (folder / WORK).mkdir(parents=True, exist_ok=True)
        stream = (folder / _LOCK).open("w")
    except OSError as error:
        _unmake(absent)
        raise InputError(f"{folder} cannot be written to: {error.strerror}.") from error
    with stream:
        if sys.platform != "win32":
            import fcntl

            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise ConfigError(
                    f"another run is at work in {folder}; wait for it, or end it."
                ) from error
        try:
            yield
        except BaseException:
            if folder / WORK in absent and not (folder / DESCRIPTION).exists():
                (folder / _LOCK).unlink()
                _unmake(absent)
            raise


def _unmake(folders: Sequence[Path]) -> None:
    """Remove folders, the innermost first, that this run made and nothing lies in."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _clear(folder: Path) -> None:
    """Remove the corpus, but for its description: without it, a run that is killed now would leave
    a folder that no run takes for a corpus.
    """
    for place in (CLIPS, MASKS):
        for path in (folder / place).glob("*"):
            if _MADE.fullmatch(path.name):
                path.unlink()
    for name in (CARD, TABLE):
        (folder / name).unlink(missing_ok=True)
    for path in (folder / WORK).iterdir():  # its lock is held
        if path.is_dir():
            shutil.rmtree(path)


def _sweep(folder: Path) -> None:
    """Remove what a killed run left half made, and nothing that it did not."""
    for place in (CLIPS, MASKS, RECORDS, f"{WORK}/speech", f"{WORK}/portraits", "."):
        for path in (folder / place).glob(".*"):
            if path.is_symlink() or not _LEFTOVERS.fullmatch(path.name):
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _finished(folder: Path, scenes: Scenes) -> dict[str, Clip]:
    """Return the clips of the plan that are there with film and mask, by their records or by the
    table.
    """
    planned = {name for scene in scenes for name in scene.ids()}
    known: dict[str, Clip] = {}
    if (folder / TABLE).is_file():
        known = {clip.id: clip for clip in read_clips(folder / TABLE)}
    known |= _records(folder, planned)
    done = {
        name: clip
        for name, clip in known.items()
        if name in planned
        and (folder / clip.path).is_file()
        and (folder / str(clip.mask_path)).is_file()
    }
    for scene in scenes:
        if scene.twin.id not in done:  # nobody can vouch for a pair whose one half is made anew
            for take in scene.takes:
                done.pop(take.id, None)
    return done


def _records(folder: Path, names: Sequence[str] | set[str] | frozenset[str]) -> dict[str, Clip]:
    found = {}
    for name in names:
        path = folder / RECORDS / f"{name}.json"
        with contextlib.suppress(FileNotFoundError):
            found[name] = Clip.from_row(json.loads(path.read_bytes()))
    return found


def _finish(
    folder: Path,
    plan: Plan,
    scenes: Scenes,
    clips: tuple[Clip, ...],
    failed: Mapping[str, str],
) -> None:
    """Write the table, the card and the description; throw the workings away once nothing is
    owed.
    """
    write_clips(folder / TABLE, clips, force=True)
    voices = {
        voice.id: {"engine": voice.engine, "licence": voice.licence} for voice in list_voices()
    }
    described = _plain(plan)
    if isinstance(plan, RecordingPlan):
        described["recordings"] = f"{len(plan.recordings)}, listed in {DESCRIPTION}"
        card = recorded_card(clips, described, tool=TOOL, failed=failed)
    else:
        card = corpus_card(clips, described, tool=TOOL, voices=voices, failed=failed)
    write_whole(folder / CARD, card, durable=True)
    _describe(folder, plan, scenes, clips, failed, complete=not failed)
    if not failed:
        shutil.rmtree(folder / WORK, ignore_errors=True)


def _describe(
    folder: Path,
    plan: Plan,
    scenes: Scenes,
    clips: Sequence[Clip],
    failed: Mapping[str, str],
    *,
    complete: bool,
) -> None:
    described = {
        "tool": TOOL,
        "plan": plan.to_dict(),
        "complete": complete,
        "clips": len(clips),
        "failed": dict(failed),
        "planned": sum(len(scene.ids()) for scene in scenes),
        **_drawn(plan),
        "versions": {"python": platform.python_version()} | _versions(),
    }
    write_whole(folder / DESCRIPTION, json.dumps(described, indent=2) + "\n", durable=True)


def _drawn(plan: Plan) -> dict[str, Any]:
    """Return what a plan drew."""
    if isinstance(plan, RecordingPlan):
        return {"seeds": {"plan": plan.settings.seed}}
    return {
        "seeds": {"plan": plan.seed, "sitters": list(plan.sitter_seeds())},
        "voices": list(plan.voice_ids()),
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
