"""Scores clips with a trained detector: one row a clip, a number only where there is one."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from obverse.clip import Clip, Score
from obverse.datasets.table import clip_path
from obverse.detector.crops import cut_tracks
from obverse.detector.model import CropClassifier, load_run
from obverse.errors import InputError
from obverse.faces.landmarks import FaceReader
from obverse.weights import sha256_file

__all__ = ["Progress", "score", "score_film", "score_films"]

Progress = Callable[[int, int], None]  # clips done, of how many


def score_film(path: Path, name: str, detector: CropClassifier, reader: FaceReader) -> Score:
    """Score one film: the face that looks most synthetic decides, by the mean over its crops.

    Args:
        path: the film.
        name: the clip's id, for the score.
        detector: from `obverse.detector.model.load_run`.
        reader: of faces.
    """
    try:
        tracks = cut_tracks(path, detector.recipe, reader)
    except InputError as error:
        return Score(clip=name, detector=detector.id, status="error", reason=str(error))
    if not tracks:
        return Score(clip=name, detector=detector.id, status="missing", reason="no face was found")
    found = [(detector.probabilities(track.crops), track) for track in tracks]
    frames, track = max(found, key=lambda item: item[0].mean())
    return Score(
        clip=name,
        detector=detector.id,
        status="ok",
        score=float(frames.mean()),
        frame_scores=tuple(float(value) for value in frames),
        times=tuple(float(value) for value in track.times),
    )


def score(
    run: Path,
    clips: Sequence[Clip],
    folder: Path = Path(),
    *,
    threads: int = 1,
    progress: Progress | None = None,
) -> list[Score]:
    """Score clips with the detector in `run`.

    A clip without a face is `missing`, an unreadable one `error`; neither has a number.

    Args:
        run: what `obverse train detector` wrote.
        clips: the clips.
        folder: where their relative paths start.
        threads: of torch and ONNX Runtime.
        progress: told how many clips are done, of how many.
    """
    films = [(clip.id, clip_path(clip, folder)) for clip in clips]
    return list(_scores(run, films, threads, progress))


def score_films(
    run: Path, paths: Sequence[Path], *, threads: int = 1, progress: Progress | None = None
) -> list[Score]:
    """Score films that are in no table; each goes by 32 digits of its file's sha256."""
    films = [(sha256_file(path)[:32], path) for path in paths]
    return list(_scores(run, films, threads, progress))


def _scores(
    run: Path, films: Sequence[tuple[str, Path]], threads: int, progress: Progress | None
) -> Iterator[Score]:
    detector = load_run(run)
    reader = FaceReader(threads)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for done, (name, path) in enumerate(films, start=1):
            yield score_film(path, name, detector, reader)
            if progress is not None:
                progress(done, len(films))
    finally:
        torch.set_num_threads(before)
