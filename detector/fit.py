"""The training loop: batches in, the weights of the epoch that validates best out.

What an epoch draws depends on the seed, the epoch and the process alone, so that a run that was
stopped goes on from its last epoch and ends with the same bits.
"""

import contextlib
import copy
import csv
import dataclasses
import io
import json
import math
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from obverse.detector.backbone import begin_with
from obverse.detector.config import TrainConfig
from obverse.detector.detectors import DETECTORS
from obverse.detector.kind import Arrays, Batch, Kind, Sample
from obverse.detector.loading import ahead
from obverse.detector.processes import Processes
from obverse.errors import InputError
from obverse.files import draft_of, write_whole

__all__ = ["CHECKPOINT", "Progress", "fit"]

CHECKPOINT = "checkpoint.pt"
SETTLING_BATCHES = 8  # from which the batch norms are measured before validation
_WINDOWS_AT_ONCE = 16
_COLUMNS = ("epoch", "train_loss", "val_window_auc", "val_auc", "val_loss", "seconds")
_FREE = ("threads", "device", "patience")  # may change between a run and its going on

Progress = Callable[[str, int, int], None]  # what is counted, how many are done, of how many


class Problem(nn.Module):
    """A network with its kind's loss, as DDP wants it."""

    def __init__(self, network: nn.Module, kind: Kind, config: TrainConfig) -> None:
        super().__init__()
        self.network = network
        self._kind, self._config = kind, config

    def forward(self, inputs: tuple[torch.Tensor, ...], labels: torch.Tensor) -> torch.Tensor:
        """Return the loss."""
        return self._kind.loss(self.network, inputs, labels, self._config)


@dataclasses.dataclass(slots=True)
class _State:
    """What a run is between two epochs."""

    network: nn.Module
    steady: nn.Module  # the mean of weights, which is validated and kept
    optimiser: torch.optim.Optimizer
    epoch: int = 0
    best: dict[str, float] = dataclasses.field(default_factory=dict)
    kept: dict[str, torch.Tensor] = dataclasses.field(default_factory=dict)
    rows: list[dict[str, float]] = dataclasses.field(default_factory=list)

    def save(self, path: Path, settings: str) -> None:
        held = {
            "settings": settings,
            "network": self.network.state_dict(),
            "steady": self.steady.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "epoch": self.epoch,
            "best": self.best,
            "kept": self.kept,
            "rows": self.rows,
        }
        with draft_of(path) as draft:
            torch.save(held, draft)

    def resume(self, path: Path, settings: str) -> None:
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
            if saved["settings"] != settings:
                raise InputError(
                    f"{path} is of other settings or other clips; give another folder, or --force "
                    "to begin anew."
                )
            self.network.load_state_dict(saved["network"])
            self.steady.load_state_dict(saved["steady"])
            self.optimiser.load_state_dict(saved["optimiser"])
        except (
            OSError,
            EOFError,
            RuntimeError,
            ValueError,
            KeyError,
            TypeError,
            pickle.UnpicklingError,
        ) as error:
            raise InputError(f"{path} is damaged; use --force to begin anew.") from error
        self.epoch, self.best = saved["epoch"], saved["best"]
        self.kept, self.rows = saved["kept"], saved["rows"]


def fit(
    training: Sequence[Sample],
    validation: Sequence[Sample],
    run: Path,
    config: TrainConfig,
    processes: Processes,
    progress: Progress | None,
    begin: Path | None = None,
) -> tuple[dict[str, float], nn.Module]:
    """Return the log row and the network of the epoch that validates best (see `_merit`)."""
    kind = DETECTORS[config.kind]
    device = processes.device
    torch.manual_seed(config.seed)
    network = kind.build(config).to(device)
    if begin is not None:
        begin_with(network.get_submodule("backbone"), begin)
    steady = copy.deepcopy(network).eval().requires_grad_(False)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, config.learning_rate, weight_decay=config.weight_decay)
    state = _State(network, steady, optimiser)
    settings = _settings(config, [*training, *validation])
    if (run / CHECKPOINT).is_file():
        state.resume(run / CHECKPOINT, settings)
    problem: nn.Module = Problem(network, kind, config)
    if processes.count > 1:
        problem = nn.parallel.DistributedDataParallel(problem)
    started = time.monotonic()
    pairs = config.pairs // processes.count
    while state.epoch < config.epochs and not _patient_no_more(state, config):
        epoch = state.epoch + 1
        torch.manual_seed((config.seed * 1000 + epoch) * 1000 + processes.rank)

        def batches_of(loader: int, epoch: int = epoch) -> Iterator[Batch]:
            rng = np.random.default_rng([config.seed, epoch, processes.rank, loader])
            return kind.batches(training, config, rng, pairs)

        with contextlib.closing(ahead(batches_of, config.loaders)) as batches:
            network.train()
            losses = []
            for step in range(config.steps):
                at = (epoch - 1) * config.steps + step
                losses.append(_learn(problem, next(batches), state, trained, at, config, device))
                if not math.isfinite(losses[-1]):
                    raise InputError(
                        f"training diverged at step {at + 1}; lower the learning rate."
                    )
                if progress is not None and processes.rank == 0:
                    progress("steps", at + 1, config.epochs * config.steps)
            if processes.rank == 0:
                _settle(steady, batches, device)
        state.epoch = epoch
        if processes.rank == 0:
            row = {
                "epoch": epoch,
                "train_loss": round(float(np.mean(losses)), 5),
                **_validate(steady, kind, validation, config, device),
                "seconds": round(time.monotonic() - started, 1),
            }
            state.rows.append(row)
            if not state.best or _merit(row) > _merit(state.best):
                state.best = row
                state.kept = {k: v.detach().cpu().clone() for k, v in steady.state_dict().items()}
            state.save(run / CHECKPOINT, settings)
            write_log(run / "log.csv", state.rows)
        state.best = processes.share(state.best)
    if processes.rank == 0:
        write_log(run / "log.csv", state.rows)
        network.load_state_dict(state.kept)
    return state.best, network.cpu().eval()


def _settings(config: TrainConfig, samples: Sequence[Sample]) -> str:
    """Return text that differs where a checkpoint cannot be gone on from."""
    values = {k: v for k, v in config.to_json().items() if k not in _FREE}
    values["clips"] = sorted((s.clip.id, s.kept.name, str(s.clip.split)) for s in samples)
    return json.dumps(values, sort_keys=True)


def write_log(path: Path, rows: Sequence[dict[str, float]]) -> None:
    """Write a run's log as CSV, a row an epoch."""
    text = io.StringIO()
    table = csv.DictWriter(text, _COLUMNS, extrasaction="ignore")
    table.writeheader()
    table.writerows(rows)
    write_whole(path, text.getvalue())


def _patient_no_more(state: _State, config: TrainConfig) -> bool:
    return bool(state.best) and state.epoch - state.best["epoch"] >= config.patience


def _rate(step: int, steps: int) -> float:
    """Return the factor of the peak rate: up in a tenth of the steps, then down along a cosine."""
    rising = max(1, steps // 10)
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def _tensors(arrays: Arrays, device: torch.device) -> tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(np.array(part)).to(device) for part in arrays)


def _learn(
    problem: nn.Module,
    batch: Batch,
    state: _State,
    trained: Sequence[nn.Parameter],
    step: int,
    config: TrainConfig,
    device: torch.device,
) -> float:
    """Take one step; returns the loss."""
    for group in state.optimiser.param_groups:
        group["lr"] = config.learning_rate * _rate(step, config.epochs * config.steps)
    labels = torch.from_numpy(batch.labels).to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=config.mixed(device)):
        loss = problem(_tensors(batch.inputs, device), labels)
    state.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(trained, 5.0)
    state.optimiser.step()
    decay = min(config.average, (step + 1) / (step + 10))
    with torch.no_grad():
        pairs = zip(state.steady.parameters(), state.network.parameters(), strict=True)
        for mean, weight in pairs:
            mean.lerp_(weight, 1 - decay)
        for kept, value in zip(state.steady.buffers(), state.network.buffers(), strict=True):
            kept.copy_(value)
    return float(loss.detach())


def _settle(network: nn.Module, batches: Iterator[Batch], device: torch.device) -> None:
    """Measure the batch norms' means and variances anew, for the weights as they are.

    The running averages of a short training lag behind weights that move fast: a network that parts
    every training batch then gives all clips one score (Wu and Johnson 2021, "precise batch norm").
    """
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean
    network.train()
    with torch.no_grad():
        for _ in range(SETTLING_BATCHES if norms else 0):
            network(*_tensors(next(batches).inputs, device))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()


def _validate(
    network: nn.Module,
    kind: Kind,
    samples: Sequence[Sample],
    config: TrainConfig,
    device: torch.device,
) -> dict[str, float]:
    """Return the AUC of windows, and the AUC and log loss of clips (the mean of their windows)."""
    network.eval()
    found, labels = [], []
    with torch.inference_mode():
        for example in kind.examples(samples, config):
            parts = []
            for start in range(0, len(example.inputs[0]), _WINDOWS_AT_ONCE):
                piece = tuple(part[start : start + _WINDOWS_AT_ONCE] for part in example.inputs)
                with torch.autocast(device.type, torch.bfloat16, enabled=config.mixed(device)):
                    logits = network(*_tensors(piece, device))
                parts.append(torch.sigmoid(logits.double()).cpu().numpy())
            if parts:
                found.append(np.concatenate(parts))
                labels.append(example.synthetic)
    truth = np.array(labels, bool)
    if not truth.any() or truth.all():
        raise InputError(
            "the validation split has no clips to choose an epoch by; give longer clips with "
            f"{'speech and ' if config.recipe.sound else ''}a face."
        )
    clips = np.array([windows.mean() for windows in found])
    each = np.repeat(truth, [len(windows) for windows in found])
    likely = np.clip(np.where(truth, clips, 1 - clips), 1e-6, 1)
    return {
        "val_window_auc": round(float(roc_auc_score(each, np.concatenate(found))), 5),
        "val_auc": round(float(roc_auc_score(truth, clips)), 5),
        "val_loss": round(float(-np.log(likely).mean()), 5),
        "val_synthetic": int(truth.sum()),
        "val_pristine": int((~truth).sum()),
    }


def _merit(row: dict[str, float]) -> tuple[float, float]:
    """Return what an epoch is chosen by: the AUC of windows, then the loss of clips."""
    return row["val_window_auc"], -row["val_loss"]
