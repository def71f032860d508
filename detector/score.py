"""Scores clips with a trained detector: one row a clip, a number only where there is one.

Each face gets a score of its own, the mean over its windows; the face that looks most synthetic
decides about the clip. A clip without a face is `missing`, an unreadable one `error`.
"""

import dataclasses
import functools
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch

from obverse.clip import Clip, Score, Status, Verdict
from obverse.datasets.footage import Footage, Source, footage_at
from obverse.detector.calibration import UNCALIBRATED, Domain, Judgement, uncalibrated
from obverse.detector.crop_store import cut_once, load_faces, open_reader
from obverse.detector.crops import Alter, FaceTrack, FilmFaces, read_film
from obverse.detector.fusion import Fusion, is_fusion, load_fusion
from obverse.detector.kind import Windows
from obverse.detector.recipe import CropRecipe
from obverse.detector.runs import Detector, load_detector
from obverse.errors import InputError
from obverse.faces.landmarks import FaceReader
from obverse.workers import spread

__all__ = [
    "FilmScore",
    "Progress",
    "ScoredTrack",
    "TrackScore",
    "as_json",
    "domain_of",
    "open_detector",
    "score",
    "score_faces",
    "score_film",
    "score_films",
    "score_tracks",
    "track_score",
    "verdict_of",
]

Progress = Callable[[int, int], None]  # clips done, of how many

_DOMAIN_CROPS = 8  # crops of a track that its sharpness is measured on
_NO_WINDOWS = "a face was found, but too short or without the sound that this detector needs"


class TrackScore(NamedTuple):
    """What is said of one face, as in `--json` and in the table's column `tracks_json`."""

    score: float  # [0, 1], higher = synthetic
    lr: float | None
    verdict: Verdict
    reason: str | None  # why the verdict abstains
    start_s: float
    end_s: float
    box: tuple[float, float, float, float]  # x0, y0, x1, y1 px of the clip, median over the track
    frame_scores: tuple[float, ...]  # raw, one a window
    times: tuple[float, ...]  # seconds of the windows' middles


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class ScoredTrack:
    """A face with the raw scores of its windows."""

    track: FaceTrack
    windows: Windows
    raw: npt.NDArray[np.float64]  # [N] of the windows
    features: npt.NDArray[np.float64] | None = None  # [D] their mean, by which it is familiar

    @property
    def domain(self) -> Domain:
        """What the face's pictures are like."""
        return domain_of(self.track)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class FilmScore:
    """What a detector says of a film: its row, and its faces."""

    score: Score
    tracks: tuple[TrackScore, ...] = ()


def domain_of(track: FaceTrack) -> Domain:
    """Return what a track's pictures are like."""
    sides = (track.boxes[:, 2:] - track.boxes[:, :2]).mean(axis=1)
    chosen = np.unique(np.linspace(0, len(track) - 1, _DOMAIN_CROPS).round().astype(int))
    grey = [cv2.cvtColor(np.array(track.crops[i]), cv2.COLOR_RGB2GRAY) for i in chosen]
    sharp = [float(cv2.Laplacian(image, cv2.CV_32F).std()) for image in grey]
    return Domain(
        float(np.median(sides)), float(np.median(sharp)), float(np.median([g.mean() for g in grey]))
    )


def score_tracks(faces: FilmFaces, detector: Detector) -> list[ScoredTrack]:
    """Return the faces that have something to score, with the raw scores of their windows."""
    found = []
    for track in faces.tracks:
        windows = detector.windows(faces, track)
        if len(windows.times):
            raw, features = detector.probabilities_and_features(windows.inputs)
            mean = None if features is None else features.mean(axis=0)
            found.append(ScoredTrack(track, windows, raw, mean))
    return found


def _judge(scored: ScoredTrack, detector: Detector) -> TrackScore:
    raw = float(scored.raw.mean())
    if detector.calibration is None:
        said = uncalibrated(raw)
    else:
        said = detector.calibration.judge(raw, scored.domain, scored.features)
    return track_score(scored, said)


def track_score(scored: ScoredTrack, said: Judgement) -> TrackScore:
    """Return a face's row."""
    track = scored.track
    box = np.median(track.boxes, axis=0)
    return TrackScore(
        score=said.score,
        lr=said.lr,
        verdict=said.verdict,
        reason=said.reason,
        start_s=round(float(track.times[0]), 3),
        end_s=round(float(track.times[-1]), 3),
        box=(_px(box[0]), _px(box[1]), _px(box[2]), _px(box[3])),
        frame_scores=tuple(float(value) for value in scored.raw),
        times=tuple(round(float(value), 3) for value in scored.windows.times),
    )


def _px(value: float) -> float:
    return round(float(value), 1)


def verdict_of(tracks: Sequence[TrackScore]) -> Verdict:
    """Return a clip's verdict: synthetic if any face is, pristine if all are."""
    verdicts = {track.verdict for track in tracks}
    if "synthetic" in verdicts:
        return "synthetic"
    return "pristine" if verdicts == {"pristine"} else "cannot tell"


def _faces(
    path: Source,
    recipe: CropRecipe,
    reader: FaceReader,
    crops: Path | None,
    alter: Alter | None,
) -> FilmFaces:
    if crops is None or alter is not None:
        return read_film(path, recipe, reader, alter)
    return load_faces(cut_once(path, recipe, crops, reader))


def score_film(
    path: Source,
    name: str,
    detector: Detector | Fusion,
    reader: FaceReader,
    crops: Path | None = None,
    alter: Alter | None = None,
) -> FilmScore:
    """Score one film.

    Args:
        path: the film, by its path or as footage.
        name: the clip's id, for the score.
        detector: from `open_detector`.
        reader: of faces.
        crops: where crops are kept; without it they are not.
        alter: changes every frame before it is looked at, such as a distortion; crops of such
            frames are not kept.
    """
    return score_faces(lambda recipe: _faces(path, recipe, reader, crops, alter), name, detector)


def score_faces(
    cut: Callable[[CropRecipe], FilmFaces], name: str, detector: Detector | Fusion
) -> FilmScore:
    """Score what was cut out of a film.

    Args:
        cut: returns what a recipe cuts out of the film; an `InputError` of it is the film's.
        name: the clip's id, for the score.
        detector: from `open_detector`.
    """
    try:
        if isinstance(detector, Fusion):
            tracks, faces_found = _fused(cut, detector)
        else:
            faces = cut(detector.recipe)
            faces_found = bool(faces.tracks)
            tracks = [_judge(scored, detector) for scored in score_tracks(faces, detector)]
    except InputError as error:
        return FilmScore(_without_score(name, detector, "error", str(error)))
    if not tracks:
        why = _NO_WINDOWS if faces_found else "no face was found"
        return FilmScore(_without_score(name, detector, "missing", why))
    decides = max(tracks, key=lambda track: track.score)
    verdict = verdict_of(tracks)
    reasons = [t.reason for t in tracks if t.verdict == "cannot tell"]
    found = Score(
        clip=name,
        detector=detector.id,
        status="ok",
        score=decides.score,
        lr=decides.lr,
        verdict=verdict,
        frame_scores=decides.frame_scores,
        times=decides.times,
        reason=reasons[0] if verdict == "cannot tell" and reasons else None,
        tracks_json=json.dumps([track._asdict() for track in tracks]),
        judges=detector.judges,
    )
    return FilmScore(found, tuple(tracks))


def _without_score(name: str, detector: Detector | Fusion, status: Status, reason: str) -> Score:
    return Score(
        clip=name, detector=detector.id, status=status, reason=reason, judges=detector.judges
    )


def _fused(cut: Callable[[CropRecipe], FilmFaces], fusion: Fusion) -> tuple[list[TrackScore], bool]:
    """Return the faces of the first member, each with what all members say of it."""
    members = []
    faces_found = False
    for member in fusion.members:
        faces = cut(member.recipe)
        faces_found = faces_found or bool(faces.tracks)
        members.append(score_tracks(faces, member))
    reference = next((scored for scored in members if scored), [])
    found = []
    for scored in reference:
        evidence = [
            fusion.evidence(number, scored.track, others) for number, others in enumerate(members)
        ]
        found.append(track_score(scored, fusion.judge(evidence, scored.domain)))
    return found, faces_found


def open_detector(path: Path, threads: int = 1) -> Detector | Fusion:
    """Open a run of any kind, a fusion, or an exported detector.

    Raises:
        InputError: there is none.
        WeightsError: the weights are not those on their card.
    """
    if is_fusion(path):
        return load_fusion(path, threads)
    return load_detector(path, threads)


class _Job(NamedTuple):
    number: int
    footage: Footage
    name: str
    run: Path
    threads: int
    crops: Path | None


@functools.lru_cache(maxsize=2)
def _opened(run: Path, threads: int, stamp: int) -> Detector | Fusion:
    del stamp
    return open_detector(run, threads)


def _score_job(job: _Job) -> Score:
    torch.set_num_threads(job.threads)
    stamp = job.run.stat().st_mtime_ns
    detector = _opened(job.run, job.threads, stamp)
    try:
        name = job.name or job.footage.sha256()[:32]
    except InputError as error:
        place = str(job.footage)
        return _without_score(place, detector, "error", str(error))
    return score_film(job.footage, name, detector, open_reader(), job.crops).score


def score(
    run: Path,
    clips: Sequence[Clip],
    folder: Path = Path(),
    *,
    threads: int = 1,
    workers: int = 1,
    crops: Path | None = None,
    progress: Progress | None = None,
) -> list[Score]:
    """Score clips with the detector in `run`.

    A clip without a face is `missing`, an unreadable one `error`; neither has a number.

    Args:
        run: what `obverse train detector` or `obverse export` wrote.
        clips: the clips.
        folder: where their relative paths start.
        threads: of torch and ONNX Runtime, in each process.
        workers: processes.
        crops: where crops are kept; without it they are not.
        progress: told how many clips are done, of how many.
    """
    films = [(clip.id, Footage.of(clip, folder)) for clip in clips]
    return _scores(run, films, threads, workers, crops, progress)


def score_films(
    run: Path,
    paths: Sequence[Path],
    *,
    threads: int = 1,
    workers: int = 1,
    crops: Path | None = None,
    progress: Progress | None = None,
) -> list[Score]:
    """Score films that are in no table; each goes by 32 digits of its file's sha256."""
    films = [("", footage_at(path)) for path in paths]
    return _scores(run, films, threads, workers, crops, progress)


def _scores(
    run: Path,
    films: Iterable[tuple[str, Footage]],
    threads: int,
    workers: int,
    crops: Path | None,
    progress: Progress | None,
) -> list[Score]:
    jobs = [
        _Job(number, footage, name, run, threads, crops)
        for number, (name, footage) in enumerate(films)
    ]
    # Opened here too, so that what cannot be is refused before any work.
    detector = _opened(run, threads, run.stat().st_mtime_ns if run.exists() else 0)
    before = torch.get_num_threads()
    found: dict[int, Score] = {}
    if progress is not None:
        progress(0, len(jobs))
    try:
        for job, result in spread(_score_job, jobs, workers):
            if isinstance(result, MemoryError):
                name = job.name or str(job.footage)
                result = _without_score(name, detector, "error", str(result))
            elif isinstance(result, BaseException):
                raise result
            found[job.number] = result
            if progress is not None:
                progress(len(found), len(jobs))
    finally:
        torch.set_num_threads(before)
    return [found[index] for index in range(len(jobs))]


def as_json(path: Path | str, score: Score, detector: Detector | Fusion) -> dict[str, Any]:
    """Return a score as `obverse detect --json` prints it, with what its numbers mean."""
    calibration = detector.calibration
    return {
        "status": score.status,
        "score": score.score,
        "lr": score.lr,
        "verdict": score.verdict,
        "tracks": json.loads(score.tracks_json),
        "reason": score.reason,
        "path": str(path),
        "clip": score.clip,
        "detector": score.detector,
        "judges": detector.judges,
        "polarity": "higher = synthetic",
        "threshold": None if calibration is None else calibration.threshold,
        "meaning": UNCALIBRATED if calibration is None else calibration.meaning,
    }
