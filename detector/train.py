"""Trains a detector of synthetic faces on single crops: a first, honest baseline.

Each batch is made of pairs, a synthetic clip's crop beside that of its pristine twin at the same
moment, distorted alike: identity, speech, light and compression then tell nothing. The epoch to
keep is chosen on the validation split.
"""

import csv
import dataclasses
import json
import math
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import yaml
from sklearn.metrics import roc_auc_score

from obverse import __version__
from obverse.clip import Clip
from obverse.datasets.split import find_leaks
from obverse.datasets.table import clip_path
from obverse.detector.augment import AugmentConfig, Distortion
from obverse.detector.crops import CropRecipe, FaceTrack, cut_tracks, load_tracks, save_tracks
from obverse.detector.model import CARD, CONFIG, WEIGHTS, build_backbone, normalised, save_weights
from obverse.errors import ConfigError, InputError, OutputExistsError
from obverse.faces.landmarks import FaceReader

__all__ = ["Progress", "TrainConfig", "TrainReport", "train"]

LOG, CROPS = "log.csv", "crops"
SETTLING_BATCHES = 8  # from which the batch norms are measured before validation

Progress = Callable[[str, int, int], None]  # what is counted, how many are done, of how many


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How a detector is trained; written to the run's config.json."""

    backbone: str = "mobilenetv3_small_050"  # any timm model
    pretrained: bool = False  # start from the hub's weights
    recipe: CropRecipe = dataclasses.field(default_factory=CropRecipe)
    augment: AugmentConfig = dataclasses.field(default_factory=AugmentConfig)
    epochs: int = 10
    steps: int = 24  # of an epoch
    pairs: int = 8  # of a batch; each is one synthetic and one pristine crop
    learning_rate: float = 2e-3  # at its peak, after a tenth of all steps
    weight_decay: float = 0.02
    average: float = 0.97  # decay, a step, of the mean of weights that is validated and kept
    patience: int = 5  # stop after so many epochs without a better one
    seed: int = 0
    threads: int = 1  # of torch, on the CPU; so small a network gains little from more
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        """Refuse values that cannot be used."""
        for name in ("epochs", "steps", "pairs", "patience", "threads"):
            if getattr(self, name) < 1:
                raise ConfigError(
                    f"training's {name} is {getattr(self, name)}; it must be at least 1."
                )
        if not 0 < self.learning_rate < 1 or not 0 <= self.weight_decay < 1:
            raise ConfigError(
                f"training's learning_rate is {self.learning_rate} and its weight_decay "
                f"{self.weight_decay}; both must lie between 0 and 1."
            )
        if not 0 <= self.average < 1:
            raise ConfigError(f"training's average is {self.average}; it must be 0 to below 1.")
        if self.device not in ("auto", "cpu", "cuda"):
            raise ConfigError(
                f"training's device is {self.device!r}; it must be auto, cpu or cuda."
            )
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ConfigError("training's device is cuda and there is none here; take cpu or auto.")

    @property
    def torch_device(self) -> torch.device:
        """The device that `device` means here."""
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(self.device)


@dataclasses.dataclass(frozen=True, slots=True)
class TrainReport:
    """What a training did."""

    run: Path
    clips: Mapping[str, int]  # split -> clips that had a face
    missing: tuple[str, ...]  # ids of clips without a face
    errors: Mapping[str, str]  # id -> why it cannot be read
    best_epoch: int
    val_loss: float  # of clips, at the best epoch
    val_auc: float
    seconds: float


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Sample:
    """A clip's main face track."""

    clip: Clip
    track: FaceTrack

    @property
    def synthetic(self) -> bool:
        return self.clip.label == "synthetic"


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
    best, model = _fit(parts["train"], parts["val"], run / LOG, config, progress)
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
) -> tuple[list[_Sample], list[str], dict[str, str]]:
    """Return clips' main tracks, the ids without a face, and why others cannot be read."""
    reader = FaceReader()
    samples: list[_Sample] = []
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
                samples.append(_Sample(clip, tracks[0]))
            else:
                missing.append(clip.id)
        if progress is not None:
            progress("clips", done, len(clips))
    return samples, missing, errors


def _twins(samples: Sequence[_Sample]) -> list[tuple[_Sample, list[_Sample]]]:
    """Return each synthetic sample with its twin, else its identity's, else all pristine ones."""
    pristine = [s for s in samples if not s.synthetic]
    by_id = {s.clip.id: s for s in pristine}
    found = []
    for sample in samples:
        if sample.synthetic:
            twin = by_id.get(sample.clip.parents.get("twin", ""))
            alike = [
                s
                for s in pristine
                if s.clip.identity is not None and s.clip.identity == sample.clip.identity
            ]
            found.append((sample, [twin] if twin is not None else alike or pristine))
    return found


def _batches(
    samples: Sequence[_Sample], config: TrainConfig, rng: np.random.Generator
) -> Iterator[tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]]:
    """Yield batches without end: crops `[2P, S, S, 3]`, labels `[2P]` 1 and 0 in turn."""
    pairs = _twins(samples)
    while True:
        crops = []
        for index in rng.integers(0, len(pairs), config.pairs):
            synthetic, candidates = pairs[index]
            pristine = candidates[int(rng.integers(len(candidates)))]
            at = int(rng.integers(len(synthetic.track)))
            moment = synthetic.track.times[at]
            beside = int(np.argmin(np.abs(pristine.track.times - moment)))
            distortion = Distortion.draw(config.augment, rng)
            crops += [
                distortion.apply(synthetic.track.crops[at]),
                distortion.apply(pristine.track.crops[beside]),
            ]
        yield np.stack(crops), np.tile(np.array([1, 0], np.float32), config.pairs)


def _learning_rate(step: int, steps: int) -> float:
    """Return the factor of the peak rate: up in a tenth of the steps, then down along a cosine."""
    rising = max(1, steps // 10)
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def _fit(
    training: Sequence[_Sample],
    validation: Sequence[_Sample],
    log: Path,
    config: TrainConfig,
    progress: Progress | None,
) -> tuple[dict[str, Any], torch.nn.Module]:
    """Return the log row and the model of the epoch with the lowest validation loss."""
    device = config.torch_device
    threads = torch.get_num_threads()
    torch.set_num_threads(config.threads)
    rng = np.random.default_rng(config.seed)
    total = config.epochs * config.steps
    best: dict[str, Any] = {}
    state: dict[str, torch.Tensor] = {}
    try:
        with torch.random.fork_rng(), log.open("w", newline="", encoding="utf-8") as stream:
            torch.manual_seed(config.seed)
            model = build_backbone(config.backbone, pretrained=config.pretrained).to(device)
            optimiser = torch.optim.AdamW(
                model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
            )
            schedule = torch.optim.lr_scheduler.LambdaLR(
                optimiser, lambda step: _learning_rate(step, total)
            )
            table = csv.DictWriter(
                stream, ("epoch", "train_loss", "val_loss", "val_auc", "seconds")
            )
            table.writeheader()
            steady = torch.optim.swa_utils.AveragedModel(
                model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(config.average)
            )
            batches = _batches(training, config, rng)
            started = time.monotonic()
            for epoch in range(1, config.epochs + 1):
                losses = []
                model.train()
                for step in range(config.steps):
                    crops, labels = next(batches)
                    logits = model(normalised(crops, model).to(device)).flatten()
                    loss = torch.nn.functional.binary_cross_entropy_with_logits(
                        logits, torch.from_numpy(labels).to(device)
                    )
                    optimiser.zero_grad(set_to_none=True)
                    loss.backward()  # type: ignore[no-untyped-call]
                    optimiser.step()
                    schedule.step()
                    steady.update_parameters(model)
                    losses.append(loss.item())
                    if progress is not None:
                        progress("steps", (epoch - 1) * config.steps + step + 1, total)
                kept = steady.module
                _settle(kept, batches, device)
                val_loss, val_auc = _validate(kept, validation, device)
                row = {
                    "epoch": epoch,
                    "train_loss": round(float(np.mean(losses)), 5),
                    "val_loss": round(val_loss, 5),
                    "val_auc": round(val_auc, 5),
                    "seconds": round(time.monotonic() - started, 1),
                }
                table.writerow(row)
                stream.flush()
                if not best or val_loss < best["val_loss"]:
                    best = row
                    state = {
                        name: value.detach().cpu().clone()
                        for name, value in kept.state_dict().items()
                    }
                elif epoch - best["epoch"] >= config.patience:
                    break
            model.load_state_dict(state)
    finally:
        torch.set_num_threads(threads)
    return best, model.cpu().eval()


def _settle(
    model: torch.nn.Module,
    batches: Iterator[tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]],
    device: torch.device,
) -> None:
    """Measure the batch norms' means and variances anew, for the weights as they are.

    The running averages of a short training lag behind weights that move fast: a network that parts
    every training batch then gives all clips one score (Wu and Johnson 2021, "precise batch norm").
    """
    norms = [m for m in model.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean
    model.train()
    with torch.no_grad():
        for _ in range(SETTLING_BATCHES if norms else 0):
            model(normalised(next(batches)[0], model).to(device))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _validate(
    model: torch.nn.Module, samples: Sequence[_Sample], device: torch.device
) -> tuple[float, float]:
    """Return the log loss and the AUC of clips, each the mean of its crops' probabilities."""
    model.eval()
    means = []
    with torch.inference_mode():
        for sample in samples:
            logits = model(normalised(sample.track.crops, model).to(device)).flatten()
            means.append(torch.sigmoid(logits.double()).mean().item())
    labels = np.array([sample.synthetic for sample in samples])
    scores = np.array(means)
    likely = np.clip(np.where(labels, scores, 1 - scores), 1e-6, 1)
    return float(-np.log(likely).mean()), float(roc_auc_score(labels, scores))


def _write_card(
    run: Path,
    digest: str,
    model: torch.nn.Module,
    config: TrainConfig,
    report: TrainReport,
    parts: Mapping[str, Sequence[_Sample]],
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
