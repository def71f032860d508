"""The training loop: twin pairs in, the weights of the best epoch out."""

import csv
import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import roc_auc_score

from obverse.clip import Clip
from obverse.detector.augment import AugmentConfig, Distortion
from obverse.detector.crops import CropRecipe, FaceTrack
from obverse.detector.model import build_backbone, normalised
from obverse.errors import ConfigError

__all__ = ["Progress", "Sample", "TrainConfig", "fit"]

SETTLING_BATCHES = 8  # from which the batch norms are measured before validation

Progress = Callable[[str, int, int], None]  # what is counted, how many are done, of how many


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How a detector is trained; written to the run's config.json."""

    backbone: str = "test_resnet"  # any timm model; this one is a ResNet of 0.4 M parameters
    pretrained: bool = False  # start from the hub's weights
    recipe: CropRecipe = dataclasses.field(default_factory=CropRecipe)
    augment: AugmentConfig = dataclasses.field(default_factory=AugmentConfig)
    epochs: int = 10
    steps: int = 24  # of an epoch
    pairs: int = 8  # of a batch; each is one synthetic and one pristine crop
    learning_rate: float = 2e-3  # at its peak, after a tenth of all steps
    weight_decay: float = 0.02
    smoothing: float = 0.1  # of the labels: 1 becomes .95 and 0 becomes .05
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
        for name in ("average", "smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(
                    f"training's {name} is {getattr(self, name)}; it must be 0 to below 1."
                )
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


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A clip's main face track."""

    clip: Clip
    track: FaceTrack

    @property
    def synthetic(self) -> bool:
        """Whether it is the class to be found."""
        return self.clip.label == "synthetic"


def _twins(samples: Sequence[Sample]) -> list[tuple[Sample, list[Sample]]]:
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
    samples: Sequence[Sample], config: TrainConfig, rng: np.random.Generator
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


def fit(
    training: Sequence[Sample],
    validation: Sequence[Sample],
    log: Path,
    config: TrainConfig,
    progress: Progress | None,
) -> tuple[dict[str, Any], torch.nn.Module]:
    """Return the log row and the model of the epoch that validates best (see `_merit`)."""
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
            mean = torch.optim.swa_utils.get_ema_multi_avg_fn(config.average)  # type: ignore[no-untyped-call]
            steady = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=mean)
            batches = _batches(training, config, rng)
            started = time.monotonic()
            for epoch in range(1, config.epochs + 1):
                losses = []
                model.train()
                for step in range(config.steps):
                    crops, labels = next(batches)
                    logits = model(normalised(crops, model).to(device)).flatten()
                    soft = config.smoothing / 2 + (1 - config.smoothing) * labels
                    loss = torch.nn.functional.binary_cross_entropy_with_logits(
                        logits, torch.from_numpy(soft).to(device)
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
                row = {
                    "epoch": epoch,
                    "train_loss": round(float(np.mean(losses)), 5),
                    **_validate(kept, validation, device),
                    "seconds": round(time.monotonic() - started, 1),
                }
                table = csv.DictWriter(stream, list(row))
                if epoch == 1:
                    table.writeheader()
                table.writerow(row)
                stream.flush()
                if not best or _merit(row) > _merit(best):
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
    model: torch.nn.Module, samples: Sequence[Sample], device: torch.device
) -> dict[str, float]:
    """Return the AUC of crops, and the AUC and log loss of clips (the mean of their crops)."""
    model.eval()
    found = []
    with torch.inference_mode():
        for sample in samples:
            logits = model(normalised(sample.track.crops, model).to(device)).flatten()
            found.append(torch.sigmoid(logits.double()).cpu().numpy())
    labels = np.array([sample.synthetic for sample in samples])
    clips = np.array([crops.mean() for crops in found])
    each = np.repeat(labels, [len(crops) for crops in found])
    likely = np.clip(np.where(labels, clips, 1 - clips), 1e-6, 1)
    return {
        "val_crop_auc": round(float(roc_auc_score(each, np.concatenate(found))), 5),
        "val_auc": round(float(roc_auc_score(labels, clips)), 5),
        "val_loss": round(float(-np.log(likely).mean()), 5),
    }


def _merit(row: dict[str, Any]) -> tuple[float, float]:
    """Return what an epoch is chosen by: the AUC of crops, then the loss of clips."""
    return row["val_crop_auc"], -row["val_loss"]
