"""Trains a detector of synthetic faces: crops, the training loop, calibration and the card.

The epoch to keep is chosen on the validation split, the calibration is made on other people of it,
and the test split is not touched.
"""

import dataclasses
import json
import platform
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from obverse import __version__
from obverse.clip import Clip, Judged
from obverse.datasets.footage import Footage
from obverse.datasets.split import find_leaks
from obverse.detector.calibrate import calibrate_samples
from obverse.detector.config import TrainConfig
from obverse.detector.crop_store import CutJob, cut_many, load_faces
from obverse.detector.detectors import DETECTORS
from obverse.detector.fit import CHECKPOINT, Progress, fit
from obverse.detector.kind import Sample
from obverse.detector.pools import part_validation
from obverse.detector.processes import first_process, joined
from obverse.detector.recipe import CropRecipe
from obverse.detector.runs import CALIBRATION, CARD, CONFIG, LOG, WEIGHTS, save_weights
from obverse.errors import ConfigError, OutputExistsError
from obverse.files import write_whole
from obverse.media.container import require_file
from obverse.weights import sha256_file

__all__ = ["CROPS", "TrainReport", "claim", "train", "write_card"]

CROPS = "crops"


@dataclasses.dataclass(frozen=True, slots=True)
class TrainReport:
    """What a training did."""

    run: Path
    clips: Mapping[str, int]  # split -> clips that had a face
    missing: tuple[str, ...]  # ids of clips without a face
    errors: Mapping[str, str]  # id -> why it cannot be read
    best_epoch: int
    val_auc: float  # of clips, at the best epoch; of self-made forgeries where none were needed
    val_loss: float
    val_clips: tuple[int, int]  # synthetic and pristine, that chose the epoch; 0 where nobody says
    calibrated: int  # clips that the calibration was made on; 0: there is none
    seconds: float


def train(
    clips: Sequence[Clip],
    folder: Path,
    run: Path,
    config: TrainConfig | None = None,
    *,
    force: bool = False,
    crops: Path | None = None,
    begin: Path | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> TrainReport:
    """Train a detector on the train split and write its run.

    Under `torchrun` every process takes its share of each batch.

    Args:
        clips: the rows of a `clips.parquet` with splits; those of `test` are not looked at.
        folder: where the clips' relative paths start.
        run: the folder to write: config.json, log.csv, model.safetensors, model.card.yaml,
            calibration.json. A run that was stopped goes on from its last epoch, with the crops it
            has cut already.
        config: how to train.
        force: overwrite a finished run.
        crops: where crops are kept, for several runs to share; without it in the run.
        begin: weights that the backbone starts from; see `backbone.begin_with`.
        workers: processes that cut crops.
        progress: told about clips read and steps done.

    Raises:
        ConfigError: a split lacks a class, or an identity or source is in several splits.
        InputError: the run's checkpoint is of other settings.
        WeightsError: `begin` is no weights of such a backbone.
        OutputExistsError: the run is there already.
    """
    config = TrainConfig() if config is None else config
    if begin is not None:
        require_file(begin)
        config = dataclasses.replace(config, begin_sha256=sha256_file(begin))
    started = time.monotonic()
    kind = DETECTORS[config.kind]
    pristine_alone = kind.learns_from == "pristine"
    used = [clip for clip in clips if clip.split in ("train", "val")]
    if pristine_alone:  # the validation split's fakes calibrate
        used = [c for c in used if c.split == "val" or not c.synthetic_in(kind.judges)]
    _require_sound(clips, pristine_alone, kind.judges)
    if first_process():
        claim(run, force)
    threads = torch.get_num_threads()
    torch.set_num_threads(config.threads)
    try:
        with torch.random.fork_rng(devices=[]), joined(config) as processes:
            if processes.rank == 0:
                _write_config(run, config)
                store = crops or run / CROPS
                found = _read_samples(
                    used, folder, store, config.recipe, kind.judges, workers, progress
                )
            else:
                found = ([], [], {})
            shared = processes.share({"found": found})
            samples, missing, errors = shared["found"]
            training = [s for s in samples if s.clip.split == "train"]
            validation = [s for s in samples if s.clip.split == "val"]
            _require_seen(training, validation, missing, errors, pristine_alone)
            select, calibrating = part_validation(validation)
            best, network = fit(training, select, run, config, processes, progress, begin)
            if processes.rank == 0:
                digest = save_weights(run / WEIGHTS, network)
                calibration = calibrate_samples(network, digest, config, calibrating)
                if calibration is not None:
                    calibration.save(run / CALIBRATION)
                report = TrainReport(
                    run=run,
                    clips={"train": len(training), "val": len(validation)},
                    missing=tuple(missing),
                    errors=errors,
                    best_epoch=int(best["epoch"]),
                    val_loss=best["val_loss"],
                    val_auc=best["val_auc"],
                    val_clips=(int(best.get("val_synthetic", 0)), int(best.get("val_pristine", 0))),
                    calibrated=len(calibrating) if calibration is not None else 0,
                    seconds=time.monotonic() - started,
                )
                write_card(run, _card(run, digest, network, config, report, training))
                (run / CHECKPOINT).unlink(missing_ok=True)
            processes.wait()
            if processes.rank != 0:
                report = TrainReport(run, {}, (), {}, int(best["epoch"]), 0.0, 0.0, (0, 0), 0, 0.0)
    finally:
        torch.set_num_threads(threads)
    return report


def _require_sound(clips: Sequence[Clip], pristine_alone: bool, judged: Judged) -> None:
    needed = {"pristine"} if pristine_alone else {"pristine", "synthetic"}
    for split in ("train", "val"):
        labels = {
            "synthetic" if clip.synthetic_in(judged) else "pristine"
            for clip in clips
            if clip.split == split
        }
        if not needed <= labels:
            wanted = "pristine clips" if pristine_alone else "clips of both labels"
            raise ConfigError(
                f"the {split} split needs {wanted} and has "
                f"{', '.join(sorted(labels)) or 'none'}; assign splits with more identities."
            )
    if leaks := find_leaks(clips, ("identity", "source")):
        raise ConfigError(f"{leaks[0]} ({len(leaks)} such leaks); assign the splits again.")


def _require_seen(
    training: Sequence[Sample],
    validation: Sequence[Sample],
    missing: Sequence[str],
    errors: Mapping[str, str],
    pristine_alone: bool,
) -> None:
    for split, members in (("train", training), ("val", validation)):
        labels = {sample.synthetic for sample in members}
        if False not in labels or (not pristine_alone and True not in labels):
            wanted = "pristine clips" if pristine_alone else "clips of both labels"
            raise ConfigError(
                f"the {split} split needs {wanted} that show a face; "
                f"it has {len(members)} clips ({len(missing)} without a face, {len(errors)} "
                "unreadable in all)."
            )


def claim(run: Path, force: bool) -> None:
    """Make the run's folder ours: new, empty, unfinished, or finished with `force`.

    Raises:
        OutputExistsError: it is something else.
    """
    if run.exists() and not run.is_dir():
        raise OutputExistsError(f"{run} is a file; give a folder for the run.")
    if run.is_dir() and any(run.iterdir()):
        if not (run / CONFIG).is_file():
            raise OutputExistsError(
                f"{run} holds something that is not a training run; give another folder."
            )
        if (run / CARD).is_file() and not force:
            raise OutputExistsError(
                f"{run} holds a finished run already; use --force to overwrite it."
            )
    run.mkdir(parents=True, exist_ok=True)
    # The card first: without it a run is not finished.
    for name in (CARD, WEIGHTS, CALIBRATION, *((CHECKPOINT, LOG) if force else ())):
        (run / name).unlink(missing_ok=True)


def _write_config(run: Path, config: TrainConfig) -> None:
    write_whole(run / CONFIG, json.dumps(config.to_json(), indent=2) + "\n")


def _read_samples(
    clips: Sequence[Clip],
    folder: Path,
    store: Path,
    recipe: CropRecipe,
    judged: Judged,
    workers: int,
    progress: Progress | None,
) -> tuple[list[Sample], list[str], dict[str, str]]:
    """Return clips with a face, the ids of those without one, and why others cannot be read."""

    def tell(done: int, total: int) -> None:
        if progress is not None:
            progress("clips", done, total)

    jobs = [CutJob(clip.id, Footage.of(clip, folder), recipe, store) for clip in clips]
    kept, errors = cut_many(jobs, workers=workers, progress=tell)
    samples, missing = [], []
    for clip in clips:
        if clip.id in kept:
            if load_faces(kept[clip.id]).tracks:
                samples.append(Sample(clip, kept[clip.id], judged))
            else:
                missing.append(clip.id)
    return samples, missing, {clip.id: errors[clip.id] for clip in clips if clip.id in errors}


def _card(
    run: Path,
    digest: str,
    network: nn.Module,
    config: TrainConfig,
    report: TrainReport,
    training: Sequence[Sample],
) -> dict[str, Any]:
    clips = [sample.clip for sample in training]
    forged = [sample.clip for sample in training if sample.synthetic]
    methods = sorted({clip.method for clip in forged if clip.method is not None})
    alone = DETECTORS[config.kind].learns_from == "pristine"
    recipe = config.recipe
    return {
        "name": run.resolve().name,
        "file": WEIGHTS,
        "sha256": digest,
        "licence": "that of the corpus it was trained on",
        "source": f"obverse {__version__}, timm {version('timm')}, torch {torch.__version__}, "
        f"Python {platform.python_version()}",
        "made_by": f"obverse train detector --kind {config.kind} --backbone {config.backbone} "
        f"--seed {config.seed} (all settings in {CONFIG})",
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "preprocessing": f"{recipe.region} crops level with the eyes, {recipe.size_px} px, uint8 "
        f"RGB; {recipe.moments} moments of {recipe.burst} frames spread evenly over the clip "
        f"(recipe {recipe.digest} in {CONFIG})",
        "output": "logit of a window, positive = synthetic; a face's raw score is the mean of its "
        "windows' probabilities, a clip's that of the face that looks most synthetic",
        "judges": DETECTORS[config.kind].judges,
        "began_with": f"weights of sha256 {config.begin_sha256}"
        if config.begin_sha256
        else ("the model hub's weights" if config.pretrained else "random weights"),
        "data": {
            "clips": dict(report.clips),
            "identities": len({clip.identity for clip in clips} - {None}),
            "methods": [] if alone else methods,
            "without_face": len(report.missing),
            "unreadable": len(report.errors),
        },
        "results": {
            "validation_auc": round(report.val_auc, 4),
            "validation_clips": list(report.val_clips),
            "validation_loss": round(report.val_loss, 4),
            "best_epoch": report.best_epoch,
            "calibrated_on": report.calibrated,
            "note": (
                "validation is on forgeries made of pristine clips here, not on a generator's"
                if alone
                else "validation chose the epoch: report the test split, with intervals"
            ),
        },
        "limits": "says nothing about methods and cameras that it was not trained on",
        "unwanted_uses": [
            "deciding by itself that a person lied, or that a clip is evidence",
            "publishing a verdict without its error rates",
        ],
    }


def write_card(run: Path, card: Mapping[str, Any]) -> None:
    """Write a run's card, which says that the run is finished."""
    text = yaml.safe_dump(dict(card), sort_keys=False, width=100, allow_unicode=True)
    write_whole(run / CARD, text)
