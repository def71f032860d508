"""Trains a detector of synthetic faces on single crops: a first, honest baseline.

Each batch is made of pairs, a synthetic clip's crop beside that of its pristine twin at the same
moment, distorted alike: identity, speech, light and compression then tell nothing. The epoch to
keep is chosen on the validation split.
"""

import dataclasses
import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import torch
import yaml

from obverse import __version__
from obverse.clip import Clip
from obverse.datasets.split import find_leaks
from obverse.datasets.table import clip_path
from obverse.detector.crops import CropRecipe, cut_tracks, load_tracks, save_tracks
from obverse.detector.fit import Progress, Sample, TrainConfig, fit
from obverse.detector.model import CARD, CONFIG, WEIGHTS, save_weights
from obverse.errors import ConfigError, InputError, OutputExistsError
from obverse.faces.landmarks import FaceReader

__all__ = ["Progress", "TrainConfig", "TrainReport", "train"]

LOG, CROPS = "log.csv", "crops"


@dataclasses.dataclass(frozen=True, slots=True)
class TrainReport:
    """What a training did."""

    run: Path
    clips: Mapping[str, int]  # split -> clips that had a face
    missing: tuple[str, ...]  # ids of clips without a face
    errors: Mapping[str, str]  # id -> why it cannot be read
    best_epoch: int
    val_auc: float  # of clips, at the best epoch
    val_loss: float
    seconds: float


def train(
    clips: Sequence[Clip],
    folder: Path,
    run: Path,
    config: TrainConfig | None = None,
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> TrainReport:
    """Train a detector on the train split and write its run.

    Args:
        clips: the rows of a `clips.parquet` with splits; those of `test` are not looked at.
        folder: where the clips' relative paths start.
        run: the folder to write: config.json, log.csv, model.safetensors, model.card.yaml and the
        cut crops. A run
            that was stopped goes on with the crops it has cut already.
        config: how to train.
        force: overwrite a finished run.
        progress: told about clips read and steps done.

    Raises:
        ConfigError: a split lacks a class, or an identity or source is in several splits.
        OutputExistsError: the run is there already.
    """
    config = TrainConfig() if config is None else config
    started = time.monotonic()
    used = [clip for clip in clips if clip.split in ("train", "val")]
    _require_sound(clips)
    _claim(run, force)
    with (run / CONFIG).open("w", encoding="utf-8") as stream:
        json.dump(dataclasses.asdict(config), stream, indent=2)
    samples, missing, errors = _read_samples(used, folder, run / CROPS, config.recipe, progress)
    parts = {split: [s for s in samples if s.clip.split == split] for split in ("train", "val")}
    for split, members in parts.items():
        if not any(s.synthetic for s in members) or all(s.synthetic for s in members):
            raise ConfigError(
                f"the {split} split needs clips of both labels that show a face; "
                f"it has {len(members)} clips ({len(missing)} without a face, {len(errors)} "
                "unreadable in all)."
            )
    best, model = fit(parts["train"], parts["val"], run / LOG, config, progress)
    digest = save_weights(run, model)
    report = TrainReport(
        run=run,
        clips={split: len(members) for split, members in parts.items()},
        missing=tuple(missing),
        errors=errors,
        best_epoch=best["epoch"],
        val_loss=best["val_loss"],
        val_auc=best["val_auc"],
        seconds=time.monotonic() - started,
    )
    _write_card(run, digest, model, config, report, parts)
    return report


def _require_sound(clips: Sequence[Clip]) -> None:
    for split in ("train", "val"):
        labels = {clip.label for clip in clips if clip.split == split}
        if labels != {"pristine", "synthetic"}:
            raise ConfigError(
                f"the {split} split needs clips of both labels and has "
                f"{', '.join(sorted(labels)) or 'none'}; assign splits with more identities."
            )
    if leaks := find_leaks(clips, ("identity", "source")):
        raise ConfigError(f"{leaks[0]} ({len(leaks)} such leaks); assign the splits again.")


def _claim(run: Path, force: bool) -> None:
    """Make the run's folder ours: new, empty, unfinished, or finished with `force`."""
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
    for name in (CARD, WEIGHTS, LOG):  # the card first: without it a run is not finished
        (run / name).unlink(missing_ok=True)


def _read_samples(
    clips: Sequence[Clip], folder: Path, cache: Path, recipe: CropRecipe, progress: Progress | None
) -> tuple[list[Sample], list[str], dict[str, str]]:
    """Return clips' main tracks, the ids without a face, and why others cannot be read."""
    reader = FaceReader()
    samples: list[Sample] = []
    missing: list[str] = []
    errors: dict[str, str] = {}
    for done, clip in enumerate(clips, start=1):
        # The hash tells a clip that was made anew under its old id from the one that was cut.
        kept = cache / f"{clip.id}-{(clip.sha256 or 'unreleased')[:12]}-{recipe.digest}.npz"
        try:
            if kept.is_file():
                tracks = load_tracks(kept)
            else:
                tracks = cut_tracks(clip_path(clip, folder), recipe, reader)
                if clip.sha256 is not None:
                    save_tracks(kept, tracks)
        except InputError as error:
            errors[clip.id] = str(error)
        else:
            if tracks:
                samples.append(Sample(clip, tracks[0]))
            else:
                missing.append(clip.id)
        if progress is not None:
            progress("clips", done, len(clips))
    return samples, missing, errors


def _write_card(
    run: Path,
    digest: str,
    model: torch.nn.Module,
    config: TrainConfig,
    report: TrainReport,
    parts: Mapping[str, Sequence[Sample]],
) -> None:
    training = [sample.clip for sample in parts["train"]]
    methods = sorted({clip.method for clip in training if clip.method is not None})
    card = {
        "name": run.resolve().name,
        "file": WEIGHTS,
        "sha256": digest,
        "licence": "that of the corpus it was trained on",
        "source": f"obverse {__version__}, timm {version('timm')}, torch {torch.__version__}, "
        f"Python {platform.python_version()}",
        "made_by": f"obverse train detector --backbone {config.backbone} --seed {config.seed} "
        f"(all settings in {CONFIG})",
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "preprocessing": f"faces level with the eyes, {config.recipe.size_px} px, "
        f"{config.recipe.frames} frames spread evenly over the clip; RGB normalised as timm has it "
        "for the backbone",
        "output": "probability that a crop is synthetic; a clip's score is the mean over its face",
        "data": {
            "clips": dict(report.clips),
            "identities": len({clip.identity for clip in training}),
            "methods": methods,
            "without_face": len(report.missing),
            "unreadable": len(report.errors),
        },
        "results": {
            "validation_auc": round(report.val_auc, 4),
            "validation_loss": round(report.val_loss, 4),
            "best_epoch": report.best_epoch,
            "note": "validation chose the epoch: report the test split, with intervals",
        },
        "limits": "a baseline of single pictures; says nothing about methods and cameras that it "
        "was not trained on",
        "unwanted_uses": [
            "deciding by itself that a person lied, or that a clip is evidence",
            "publishing a verdict without its error rates",
        ],
    }
    part = run / f"{CARD}.part"
    part.write_text(yaml.safe_dump(card, sort_keys=False, width=100), encoding="utf-8")
    os.replace(part, run / CARD)
