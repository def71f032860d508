"""How near clips of talking heads come to real video: what each clip is worth by every measure.

`measure_clips` reads films and says what each is worth by every measure;
`obverse.eval.realism_table` turns that into means beside what real video has. A film that cannot be
read is an `error`, one without a face is `missing`; neither becomes a number.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError, FaceError, InputError, ObverseError
from obverse.eval import dynamics
from obverse.eval.dynamics import FPS
from obverse.eval.realism_tracks import ClipTracks, embed_still, read_tracks
from obverse.faces.likeness import csim
from obverse.faces.pose import head_pose
from obverse.generator.phones import phones_from
from obverse.generator.voices import list_voices, voice_path
from obverse.weights import sha256_file
from obverse.workers import spread

__all__ = [
    "MEASURES",
    "THEVAL",
    "UNSTEADY",
    "About",
    "ClipRealism",
    "Measure",
    "find_clips",
    "measure_clips",
    "measure_tracks",
    "read_about",
]

Status = Literal["ok", "missing", "error"]
Progress = Callable[[int, int, str], None]  # films done, films in all, the one that was done

FILMS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts")
UNSTEADY = 10.0  # jitter above which a face is read unsteadily, thousandths of the eyes' distance
CLOSED_GAP = 0.03  # of the eyes' outer distance: landmarks of closed lips are no farther apart
FACE_SHARE = 0.44  # of a square head-and-shoulders frame that a face takes from brow to chin
SQUARE = 0.02  # relative difference of the sides below which a frame is square


@dataclasses.dataclass(frozen=True, slots=True)
class Measure:
    """One thing that is measured."""

    name: str
    says: str  # in a few words
    unit: str
    reference: float | None = None  # what real video has, as published
    source: str | None = None  # by whom
    scored: bool = False  # counts in the score
    digits: int = 3


MEASURES: tuple[Measure, ...] = (
    Measure("lip_dynamics", "how far lips change shape", "px of 256", 1.716603, "THEval", True),
    Measure("head_motion", "how much the head moves", "", 18.46757, "THEval", True, 2),
    Measure(
        "brow_dynamics", "how much the brows move", "eye distances a frame", 0.006777, "THEval",
        True, 5,
    ),
    Measure(
        "silent_lip", "how much the mouth moves in silence", "eye distances", 0.0263, "THEval",
        True, 4,
    ),
    Measure("lip_sync", "how far the lips' opening is from loudness", "", 0.2528, "THEval", True),
    Measure("head_smoothness", "variance of the head's turning", "degrees² a frame"),
    Measure("delta_pose", "ΔP, how fast the head turns", "degrees a frame", 0.405, "VASA-1"),
    Measure("blink_rate", "blinks", "a minute", 26.0, "Bentivoglio 1997", digits=1),
    Measure("blink_duration", "a blink at half its depth", "s"),
    Measure("lip_lag", "by which the lips follow the sound", "s"),
    Measure("lip_correlation", "of the lips' opening with loudness", ""),
    Measure("bilabial_closure", "share of /p b m/ with closed lips", ""),
    Measure("csim", "likeness to the portrait, or to itself", ""),
    Measure("jitter", "motion of the head above 6 Hz", "‰ of eye distance", digits=2),
    Measure("background_swim", "motion of the background", "px of 512 a frame"),
)  # fmt: skip
THEVAL: tuple[str, ...] = tuple(measure.name for measure in MEASURES if measure.scored)


@dataclasses.dataclass(frozen=True, slots=True)
class About:
    """What is known of a clip beyond its pixels."""

    portrait: Path | None = None  # the still that it was made from
    closures_seconds: tuple[tuple[float, float], ...] | None = None  # of /p b m/; None if unknown


@dataclasses.dataclass(frozen=True, slots=True)
class ClipRealism:
    """What one film is worth by every measure."""

    path: Path
    status: Status
    values: Mapping[str, float]  # by the names of MEASURES; NaN where it cannot be measured
    closures: tuple[int, int] = (0, 0)  # seen, and expected
    seconds: float = 0.0
    face_share: float = float("nan")  # the face's height over the frame's side
    reason: str | None = None  # why it is missing or in error


def find_clips(folder: Path) -> list[Path]:
    """Return the films in a folder and the folders below it, in a fixed order.

    Raises:
        InputError: there is no such folder, or no film in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give one that holds films.")
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in FILMS and path.is_file() and not path.name.startswith(".")
    )
    if not found:
        raise InputError(f"{folder} holds no film ({', '.join(FILMS)}); give another folder.")
    return found


def measure_clips(
    paths: Sequence[Path],
    *,
    about: Mapping[Path, About] | None = None,
    jobs: int = 1,
    cache: bool = True,
    progress: Progress | None = None,
) -> list[ClipRealism]:
    """Measure films, each once.

    Args:
        paths: the films.
        about: what is known of some; for the others, what lies beside them says (`read_about`).
        jobs: how many at a time.
        cache: use what was read of a film before, and keep what is read.
        progress: told how many films are done, of how many, and the last one's name.

    Returns:
        One result a film, in the order of `paths`.
    """
    if jobs < 1:
        raise ConfigError(f"{jobs} jobs are not possible; give at least 1.")
    known = about or {}
    work = [(path, known.get(path), cache) for path in paths]
    results: dict[Path, ClipRealism] = {}
    if progress is not None:
        progress(0, len(paths), "")
    for (path, _, _), result in spread(_measure_job, work, jobs):
        if isinstance(result, BaseException):
            if not isinstance(result, Exception):
                raise result
            result = ClipRealism(path, "error", {}, reason=str(result) or repr(result))
        results[path] = result
        if progress is not None:
            progress(len(results), len(paths), path.name)
    return [results[path] for path in paths]


def _measure_job(job: tuple[Path, About | None, bool]) -> ClipRealism:
    path, about, cache = job
    try:
        tracks = read_tracks(path, cache=cache)
        return measure_tracks(path, tracks, read_about(path) if about is None else about)
    except FaceError as error:
        return ClipRealism(path, "missing", {}, reason=str(error))
    except ObverseError as error:
        return ClipRealism(path, "error", {}, reason=str(error))


def read_about(path: Path) -> About:
    """Return what is known of a film: from `NAME.realism.json` beside it, where there is one.

    It may hold `"portrait"`, a path relative to it, `"phones"`, a list of [ARPABET name, start,
    end in seconds], and `"voice"`, the sha256 of the sound file that is heard, which finds the
    phones of a bundled sentence.

    Raises:
        InputError: the file says something else.
    """
    side = path.with_name(f"{path.stem}.realism.json")
    if not side.is_file():
        return About()
    try:
        said = json.loads(side.read_text(encoding="utf-8"))
        portrait = said.get("portrait")
        rows = said.get("phones")
        if rows is None and said.get("voice") is not None:
            rows = _bundled_phones().get(said["voice"])
        closures = None
        if rows is not None:
            phones = phones_from((str(name), float(start), float(end)) for name, start, end in rows)
            closures = tuple((p.start, p.end) for p in phones if p.sound == "bilabial")
        return About(None if portrait is None else path.parent / portrait, closures)
    except (ValueError, TypeError, AttributeError, ConfigError) as error:
        raise InputError(
            f'{side} must hold "portrait", "phones" or "voice" as docs/realism.md says '
            f"({error}); mend it or delete it."
        ) from error


def _bundled_phones() -> dict[str, Sequence[tuple[str, float, float]]]:
    return {
        sha256_file(voice_path(voice.id, index)): sentence.phones
        for voice in list_voices()
        for index, sentence in enumerate(voice.sentences)
        if sentence.phones is not None
    }


def measure_tracks(path: Path, tracks: ClipTracks, about: About | None = None) -> ClipRealism:
    """Return what a film that was read is worth by every measure."""
    about = about or About()
    points = tracks.landmarks.astype(np.float64)
    seen = tracks.seen
    degrees = np.full((tracks.frames, 3), np.nan)
    for index in np.flatnonzero(seen):
        degrees[index] = np.degrees(head_pose(points[index]).rotation)
    low, high = points[..., :2].min(axis=1), points[..., :2].max(axis=1)
    height = float(np.median((high - low)[seen, 1]))
    side = _square_side(tracks, height)
    values = dict.fromkeys((measure.name for measure in MEASURES), float("nan"))
    values["lip_dynamics"] = dynamics.lip_dynamics(points, side)
    values["head_motion"] = dynamics.head_motion(degrees, (low + high) / 2, side)
    values["head_smoothness"] = dynamics.head_smoothness(degrees)
    values["delta_pose"] = dynamics.delta_pose(degrees)
    values["brow_dynamics"] = dynamics.brow_dynamics(points)
    blinked = dynamics.blinks(dynamics.eye_opening(points))
    values["blink_rate"] = 60 * FPS * len(blinked) / int(seen.sum())
    values["blink_duration"] = _mean([blink.duration_seconds for blink in blinked])
    values["jitter"] = dynamics.jitter(points)
    values["background_swim"] = _mean(tracks.swim)
    if len(tracks.activity):
        spoken = dynamics.speech_frames(tracks.activity, tracks.frames)
        values["silent_lip"] = dynamics.silent_lip(points, spoken)
        values["lip_sync"] = dynamics.lip_sync(points, tracks.loudness, spoken)
        if spoken.mean() >= dynamics.SPEECH_SHARE:
            values["lip_lag"], values["lip_correlation"] = dynamics.lip_lag(points, tracks.level_db)
    closures = (0, 0)
    if about.closures_seconds is not None:
        closures = dynamics.closure_rate(points, about.closures_seconds, CLOSED_GAP)
        if closures[1]:
            values["bilabial_closure"] = closures[0] / closures[1]
    values["csim"] = _likeness(tracks.embeddings, about.portrait)
    return ClipRealism(path, "ok", values, closures, tracks.frames / FPS, height / side)


def _square_side(tracks: ClipTracks, face_px: float) -> float:
    """Return the side of the frame in which pixels are counted: the film's own where it is square,
    otherwise of a square of head and shoulders.
    """
    shorter, longer = sorted((tracks.width, tracks.height))
    if longer / shorter - 1 < SQUARE:
        return float(tracks.width)
    return min(face_px / FACE_SHARE, float(shorter))


def _likeness(embeddings: npt.NDArray[np.float32], portrait: Path | None) -> float:
    """Return the mean CSIM with the portrait, or with that frame which is most like the others."""
    if portrait is not None:
        try:
            still = embed_still(portrait)
        except FaceError as error:  # of the portrait: the clip itself shows a face
            raise InputError(str(error)) from error
        return _mean([csim(still, each) for each in embeddings])
    if len(embeddings) < 2:
        return float("nan")
    table = embeddings @ embeddings.T
    table[np.diag_indices(len(table))] = np.nan
    return float(np.nanmax(np.nanmean(table, axis=1)))


def _mean(values: Sequence[float] | npt.NDArray[Any]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
