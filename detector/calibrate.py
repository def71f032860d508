"""Calibrates a detector on clips that it was not trained on, and fuses several."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import nn

from obverse.clip import Clip, Judged, Split
from obverse.datasets.footage import Footage
from obverse.detector.calibration import FEWEST, Calibration, Method, require_enough
from obverse.detector.config import TrainConfig
from obverse.detector.crop_store import CutJob, cut_many, load_faces
from obverse.detector.crops import FilmFaces
from obverse.detector.fit import Progress
from obverse.detector.fusion import Fusion, fit_weights, is_fusion, load_fusion
from obverse.detector.kind import Sample
from obverse.detector.pools import person_of
from obverse.detector.runs import (
    CALIBRATION,
    CARD,
    CONFIG,
    WEIGHTS,
    Detector,
    copy_exported,
    detector_of,
    load_detector,
)
from obverse.detector.score import ScoredTrack, score_tracks
from obverse.errors import ConfigError, InputError
from obverse.files import write_whole

__all__ = ["calibrate", "calibrate_samples", "train_fusion"]


def calibrate_samples(
    network: nn.Module, digest: str, config: TrainConfig, samples: Sequence[Sample]
) -> Calibration | None:
    """Return a trained network's calibration on clips; None where they are too few."""
    detector = detector_of(network, digest, config)
    seen = [
        (sample.clip, face)
        for sample in samples
        if (face := _deciding(sample.faces, detector)) is not None
    ]
    synthetic = sum(clip.synthetic_in(detector.judges) for clip, _ in seen)
    if min(synthetic, len(seen) - synthetic) < FEWEST:
        return None
    about = {"clips": "half of the people of the validation split"}
    return _fit(seen, detector.judges, config.calibration, about)


def _deciding(faces: FilmFaces, detector: Detector) -> ScoredTrack | None:
    """Return the face that decides about a clip; None where nothing is scored."""
    scored = score_tracks(faces, detector)
    return max(scored, key=lambda each: float(each.raw.mean()), default=None)


def _fit(
    seen: Sequence[tuple[Clip, ScoredTrack]],
    judges: Judged,
    method: Method,
    about: Mapping[str, str],
) -> Calibration:
    """Calibrate on clips by the faces that decide about them."""
    features = [face.features for _, face in seen if face.features is not None]
    return Calibration.fit(
        [float(face.raw.mean()) for _, face in seen],
        [clip.synthetic_in(judges) for clip, _ in seen],
        method=method,
        domain=[face.domain for _, face in seen],
        features=features if len(features) == len(seen) else (),
        people=[person_of(clip) for clip, _ in seen],
        about=about,
    )


def _cut(
    clips: Sequence[Clip],
    folder: Path,
    detector: Detector,
    store: Path,
    workers: int,
    progress: Progress | None,
) -> dict[str, FilmFaces]:
    """Return the faces of clips that can be read, by their ids."""

    def tell(done: int, total: int) -> None:
        if progress is not None:
            progress("clips", done, total)

    jobs = [CutJob(clip.id, Footage.of(clip, folder), detector.recipe, store) for clip in clips]
    kept, _ = cut_many(jobs, workers=workers, progress=tell)
    return {name: load_faces(path) for name, path in kept.items()}


def _told(clips: Sequence[Clip], progress: Progress | None) -> Iterator[Clip]:
    """Yield clips to score, and tell of each when it is done with."""
    if progress is not None:
        progress("scores", 0, len(clips))
    for done, clip in enumerate(clips, start=1):
        yield clip
        if progress is not None:
            progress("scores", done, len(clips))


def _said(split: Split | None) -> str:
    """Return how a calibration names the clips that it was made on."""
    return f"the {split} split of a table" if split else "a table"


def _chosen(clips: Sequence[Clip], split: Split | None) -> list[Clip]:
    found = [clip for clip in clips if split is None or clip.split == split]
    if not found:
        raise InputError(f"the table has no clip of the {split} split.")
    return found


def calibrate(
    run: Path,
    clips: Sequence[Clip],
    folder: Path,
    *,
    split: Split | None = "val",
    method: Method = "platt",
    crops: Path | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> Calibration:
    """Calibrate a run anew, on clips of one's own, and write its calibration.json.

    Args:
        run: of any kind, a fusion too.
        clips: labelled clips that the run was not trained on.
        folder: where their relative paths start.
        split: which of them; None for all.
        method: platt, temperature or isotonic.
        crops: where crops are kept.
        workers: processes that cut crops.
        progress: told about clips read and scored.

    Raises:
        ConfigError: there are too few clips of a label, or too few of them have a score.
    """
    chosen = _chosen(clips, split)
    store = crops or run / "crops"
    about = {"clips": _said(split)}
    if is_fusion(run):
        fusion = load_fusion(run)
        require_enough([clip.synthetic_in(fusion.judges) for clip in chosen])
        table, found = _evidence(fusion.members, chosen, folder, store, workers, progress)
        raw = [fusion.raw(row.tolist()) for row in table]
        labels = [clip.synthetic_in(fusion.judges) for clip in found]
        made = Calibration.fit(raw, labels, method=method, about=about)
    else:
        detector = load_detector(run)
        require_enough([clip.synthetic_in(detector.judges) for clip in chosen])
        faces = _cut(chosen, folder, detector, store, workers, progress)
        seen = [
            (clip, face)
            for clip in _told(chosen, progress)
            if clip.id in faces and (face := _deciding(faces[clip.id], detector)) is not None
        ]
        made = _fit(seen, detector.judges, method, about)
    made.save(run / CALIBRATION)
    return made


def _evidence(
    members: Sequence[Detector],
    clips: Sequence[Clip],
    folder: Path,
    store: Path,
    workers: int,
    progress: Progress | None,
) -> tuple[npt.NDArray[np.float64], list[Clip]]:
    """Return members' log likelihood ratios `[clips, members]` of each clip's likeliest face."""
    faces = [_cut(clips, folder, member, store, workers, progress) for member in members]
    fusion = Fusion("", tuple(members), tuple(1.0 for _ in members), 0.0, None)
    rows, found = [], []
    for clip in _told(clips, progress):
        scored = [
            score_tracks(faces[number][clip.id], member) if clip.id in faces[number] else []
            for number, member in enumerate(members)
        ]
        reference = next((tracks for tracks in scored if tracks), [])
        each = [
            [
                fusion.evidence(number, one.track, others).ratio
                for number, others in enumerate(scored)
            ]
            for one in reference
        ]
        if each:
            rows.append(max(each, key=sum))
            found.append(clip)
    return np.array(rows).reshape(len(rows), len(members)), found


def train_fusion(
    members: Sequence[Path],
    clips: Sequence[Clip],
    folder: Path,
    run: Path,
    *,
    split: Split | None = "val",
    method: Method = "platt",
    force: bool = False,
    crops: Path | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> Fusion:
    """Fuse calibrated detectors and write a run that holds copies of them.

    Weights and calibration are fitted on the same clips, on which each member should be calibrated
    too: few numbers are fitted, but a figure on those clips is no test.

    Args:
        members: runs, or exported detectors by their `.onnx` files.
        clips: labelled clips that no member was trained on.
        folder: where their relative paths start.
        run: the folder to write.
        split: which of the clips; None for all.
        method: of the fused score's calibration.
        force: overwrite a finished run.
        crops: where crops are kept.
        workers: processes that cut crops.
        progress: told about clips read and scored.

    Raises:
        ConfigError: fewer than two members, one that is not calibrated, or too few clips.
    """
    from obverse.detector.train import claim, write_card

    if len(members) < 2:
        raise ConfigError(f"a fusion of {len(members)} detectors is none; give two or more.")
    opened = [load_detector(path) for path in members]
    for path, detector in zip(members, opened, strict=True):
        if detector.calibration is None:
            raise ConfigError(
                f"{path} is not calibrated; run obverse train calibration on it first."
            )
    chosen = _chosen(clips, split)
    judges = Fusion("", tuple(opened), (), 0.0, None).judges
    require_enough([clip.synthetic_in(judges) for clip in chosen])
    claim(run, force)
    names = []
    for number, path in enumerate(members):
        names.append(_copied(path, run, f"member-{number}"))
    about = {"kind": "fusion", "members": names, "weights": [], "offset": 0.0, "id": "unfinished"}
    write_whole(run / CONFIG, json.dumps(about, indent=2) + "\n")
    store = crops or run / "crops"
    table, found = _evidence(opened, chosen, folder, store, workers, progress)
    labels = np.array([clip.synthetic_in(judges) for clip in found])
    weights, offset = fit_weights(table, labels)
    name = f"fusion-{'-'.join(detector.id.rpartition('-')[2] for detector in opened)}"
    fusion = Fusion(name, tuple(opened), weights, offset, None)
    calibration = Calibration.fit(
        [fusion.raw(row.tolist()) for row in table],
        labels.tolist(),
        method=method,
        about={"clips": _said(split)},
    )
    calibration.save(run / CALIBRATION)
    about |= {"weights": list(weights), "offset": offset, "id": name}
    write_whole(run / CONFIG, json.dumps(about, indent=2) + "\n")
    write_card(
        run,
        {
            "name": run.resolve().name,
            "file": CONFIG,
            "made_by": "obverse train detector --kind fusion",
            "licence": "those of its members",
            "members": [
                {"id": d.id, "weight": round(w, 4)} for d, w in zip(opened, weights, strict=True)
            ],
            "data": {"clips": len(found), "synthetic": int(labels.sum())},
            "unwanted_uses": [
                "deciding by itself that a person lied, or that a clip is evidence",
                "publishing a verdict without its error rates",
            ],
        },
    )
    return Fusion(name, tuple(opened), weights, offset, calibration)


def _copied(member: Path, run: Path, name: str) -> str:
    """Copy a member into the fusion's folder; returns where it is there."""
    if member.suffix == ".onnx":
        copy_exported(member, run / f"{name}.onnx")
        return f"{name}.onnx"
    (run / name).mkdir(exist_ok=True)
    for file in (CONFIG, WEIGHTS, CARD, CALIBRATION):
        write_whole(run / name / file, (member / file).read_bytes())
    return name
