"""Train the learned motion model on a corpus of motion.

    python -m obverse.generator.train_motion --work DIR

builds the synthetic corpus in DIR (`motion_corpus`; cached), lays it out as arrays, trains the
network of `flow_net` by flow matching and writes `weights/motion.onnx` with its card. The command
`obverse train motion` does the same for any corpus or a folder of videos, into a run of its own.

Under `torchrun` every process takes its share of each batch (DDP). A run that was stopped goes on
from its last checkpoint; what a step draws depends on the seed and the step alone.
"""

import argparse
import contextlib
import copy
import dataclasses
import json
import logging
import math
import os
import pickle
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import yaml
from torch import nn

from obverse.errors import ConfigError, InputError, OutputExistsError
from obverse.files import draft_of, write_whole
from obverse.generator.flow_export import export
from obverse.generator.flow_net import FlowNet, FlowNetConfig
from obverse.generator.flow_problem import Problem, draw_chances
from obverse.generator.motion_examples import Table, draw_batch, prepare
from obverse.generator.motion_space import MotionSpace

__all__ = ["NAME", "Progress", "TrainMotionConfig", "train"]

_log = logging.getLogger(__name__)

WEIGHTS = Path(__file__).resolve().parent / "weights"
NAME = "motion.onnx"
CARD = "motion.card.yaml"
CHECKPOINT, CONFIG, LOG, TABLE = "checkpoint.pt", "config.json", "log.jsonl", "table"

Progress = Callable[[str, int, int], None]  # what is counted, how many are done, of how many


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrainMotionConfig:
    """How the motion model is trained; written to the run's config.json."""

    steps: int = 7000
    batch: int = 8  # windows of a step, over all processes
    hops: int = 20  # of a window: 4 s
    width: int = 160
    layers: int = 5
    heads: int = 5
    learning_rate: float = 1.5e-3  # after a short rise; falls to nothing over the last part
    falling: float = 0.3  # the share of the steps in which it falls
    average: float = 0.999  # decay a step of the mean of weights that is kept
    drop: float = 0.08  # how often each condition is left out, for guidance
    rough: float = 0.08  # most noise on the past, in spreads; a performance's past is not exact
    rollout: float = 0.25  # share of the steps, late in training, whose past is the model's own
    seed: int = 40
    threads: int = 1  # of torch, on the CPU
    save_every: int = 200  # steps between checkpoints
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        """Refuse values that cannot be used."""
        for name in ("steps", "batch", "hops", "threads", "save_every"):
            if getattr(self, name) < 1:
                raise ConfigError(
                    f"training's {name} is {getattr(self, name)}; it must be at least 1."
                )
        if not 0.0 < self.learning_rate < 0.1:
            raise ConfigError(
                f"training's learning_rate is {self.learning_rate}; it must lie in (0, 0.1)."
            )
        for name in ("falling", "average", "drop", "rough", "rollout"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ConfigError(
                    f"training's {name} is {getattr(self, name)}; it must lie in [0, 1)."
                )
        if self.device not in ("auto", "cpu", "cuda"):
            raise ConfigError(
                f"training's device is {self.device!r}; it must be auto, cpu or cuda."
            )
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ConfigError("training's device is cuda and there is none here; take cpu or auto.")

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        rising = min(1.0, (step + 1) / min(100, max(1, self.steps // 10)))
        left = (self.steps - step) / max(1.0, self.falling * self.steps)
        return self.learning_rate * rising * min(1.0, max(0.0, left))


@contextlib.contextmanager
def _processes(config: TrainMotionConfig) -> Iterator[tuple[int, int, torch.device]]:
    """Join torchrun's processes, if there are any; yields rank, how many, and the device."""
    cuda = config.device == "cuda" or (config.device == "auto" and torch.cuda.is_available())
    count = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if cuda else torch.device("cpu")
    if "RANK" not in os.environ:
        yield 0, 1, device
        return
    if config.batch % count:
        raise ConfigError(
            f"training's batch is {config.batch}; it must be a multiple of the {count} processes."
        )
    if cuda:
        torch.cuda.set_device(device)
    torch.distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield rank, count, device
    finally:
        torch.distributed.destroy_process_group()


def _resume(
    run: Path, kept: dict[str, Any], net: FlowNet, average: FlowNet, optimiser: torch.optim.AdamW
) -> int:
    """Take up a checkpoint, if there is one of these settings; returns the steps done."""
    path = run / CHECKPOINT
    if not path.is_file():
        return 0
    saved = _checkpoint(path)
    if saved["kept"] != kept:
        raise InputError(
            f"{run} holds a checkpoint of other settings or another corpus; give another folder or "
            "remove its checkpoint.pt."
        )
    try:
        net.load_state_dict(saved["net"])
        average.load_state_dict(saved["average"])
        optimiser.load_state_dict(saved["optimiser"])
        return int(saved["step"])
    except _NO_CHECKPOINT as error:
        raise InputError(f"{path} is damaged; remove it, and the run begins anew.") from error


# What torch raises of a file that is none of its own, or of weights that do not fit.
_NO_CHECKPOINT = (
    OSError, EOFError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError,
    pickle.UnpicklingError,
)  # fmt: skip


def _checkpoint(path: Path) -> dict[str, Any]:
    """Read a run's checkpoint."""
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except _NO_CHECKPOINT as error:
        raise InputError(
            f"{path} is no checkpoint of a run, or is damaged; give another or remove it."
        ) from error
    wanted = {"step", "kept", "net", "average", "optimiser"}
    if not isinstance(saved, dict) or not wanted <= saved.keys():
        raise InputError(f"{path} is no checkpoint of a run; give a run's checkpoint.pt.")
    return saved


def _save(
    run: Path,
    step: int,
    kept: dict[str, Any],
    net: FlowNet,
    average: FlowNet,
    optimiser: torch.optim.AdamW,
) -> None:
    state = {
        "step": step,
        "kept": kept,
        "net": net.state_dict(),
        "average": average.state_dict(),
        "optimiser": optimiser.state_dict(),
    }
    with draft_of(run / CHECKPOINT) as draft:
        torch.save(state, draft)


def train(
    corpus: Path,
    run: Path,
    config: TrainMotionConfig | None = None,
    *,
    begin: Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train on a corpus and write `motion.onnx` and its card into the run's folder.

    Args:
        corpus: a folder of shards, see `motion_corpus`.
        run: the folder to write: config.json, log.jsonl, checkpoint.pt, motion.onnx and its card.
            A run that was stopped goes on.
        config: how to train.
        begin: the checkpoint of another run to begin with, whose space of motion is kept.
        force: train anew in a run that is finished.
        progress: told how far it is.

    Returns:
        What was done: `steps`, `seconds` of motion, `parameters`, the last `loss`.

    Raises:
        ConfigError: settings that cannot be used.
        InputError: the corpus cannot be used, or the run holds other settings.
        OutputExistsError: the run is finished, or is no training run.
    """
    config = TrainMotionConfig() if config is None else config
    new = not run.exists()
    if int(os.environ.get("RANK", "0")) == 0:
        _claim(run, force)
    torch.set_num_threads(config.threads)
    with _emptied(run, new), _processes(config) as (rank, count, device):
        space = _space_of(begin) if begin is not None else None
        if rank == 0:
            prepare(corpus, run / TABLE, space=space, progress=progress)
        if count > 1:
            torch.distributed.barrier()
        table = Table.load(run / TABLE)
        torch.manual_seed(config.seed)
        net, report = _fit(table, run, config, begin, rank, count, device, progress)
        if rank == 0:
            report["sha256"] = export(net, table.space, run / NAME)
            report["minutes"] = round(table.seconds / 60.0, 1)
            write_card(run, report, _about(corpus), config)
    return report


@contextlib.contextmanager
def _emptied(run: Path, new: bool) -> Iterator[None]:
    """Leave no empty folder of a run that failed before it began, if it was `new`."""
    try:
        yield
    except BaseException:
        if new:
            for folder in (run / TABLE, run):
                with contextlib.suppress(OSError):
                    folder.rmdir()
        raise


def _claim(run: Path, force: bool) -> None:
    """Make the run's folder ours: new, empty, unfinished, or finished with `force`."""
    if run.exists() and not run.is_dir():
        raise OutputExistsError(f"{run} is a file; give a folder for the run.")
    if run.is_dir() and any(run.iterdir()):
        known = any((run / name).exists() for name in (CONFIG, TABLE))
        if not known:
            raise OutputExistsError(
                f"{run} holds something that is not a training run; give another folder."
            )
        if (run / CARD).is_file():
            if not force:
                raise OutputExistsError(
                    f"{run} holds a finished run already; use --force to train it anew."
                )
            for name in (CARD, NAME, CHECKPOINT, LOG):  # the card first: it says that all is there
                (run / name).unlink(missing_ok=True)
    run.mkdir(parents=True, exist_ok=True)


def _about(corpus: Path) -> str:
    """Return a sentence on what the corpus is."""
    index = json.loads((corpus / "index.json").read_text(encoding="utf-8"))
    kinds = sorted({str(row.get("kind", "motion")) for row in index["shards"]})
    return f"{len(index['shards'])} stretches of motion ({', '.join(kinds)})"


def write_card(
    run: Path,
    report: dict[str, Any],
    data: str,
    config: TrainMotionConfig,
    results: dict[str, Any] | None = None,
) -> None:
    """Write the card of a run's `motion.onnx`."""
    card = {
        "name": "Learned motion model",
        "file": NAME,
        "sha256": report["sha256"],
        "licence": "Apache-2.0",
        "source": "trained from scratch by this repository",
        "made_by": "python -m obverse.generator.train_motion --work DIR",
        "preprocessing": (
            "cues of obverse.generator.cues, controls of obverse.generator.controls, motion in the "
            "space of obverse.generator.motion_space, whose numbers are in the file's metadata; "
            "one call of the network denoises a hop of 5 frames"
        ),
        "data": f"{data}, {report['minutes']} minutes at 25 frames a second",
        "training": {**dataclasses.asdict(config), "parameters": report["parameters"]},
        "tuned": (
            "the noise's sizes (obverse.generator.flow) and the gains of the face "
            "(obverse.generator.flow_play) were set by hand, by how lively clips of the bundled "
            "voices look; the voice that the results are measured on is one of them"
        ),
        "results": results
        or {"what": "training losses, running means", **{n: report[n] for n in _LOSSES}},
        "unwanted_uses": (
            "It knows how faces and heads move while somebody speaks, not who speaks or what is "
            "said. Do not use it to animate a real person's likeness without their consent."
        ),
    }
    text = yaml.safe_dump(card, sort_keys=False, width=110, allow_unicode=True)
    write_whole(run / CARD, text)


def _space_of(begin: Path) -> MotionSpace:
    """Return the space of a run's checkpoint."""
    if not begin.is_file():
        raise InputError(f"there is no checkpoint {begin} to begin with.")
    _checkpoint(begin)
    try:
        return Table.load(begin.parent / TABLE).space
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{begin.parent / TABLE} beside the checkpoint {begin.name} is absent or damaged; give "
            "a checkpoint.pt in the folder of its run."
        ) from error


def _fit(
    table: Table,
    run: Path,
    config: TrainMotionConfig,
    begin: Path | None,
    rank: int,
    count: int,
    device: torch.device,
    progress: Progress | None,
) -> tuple[FlowNet, dict[str, Any]]:
    """Run the steps; returns the mean of weights that is kept, and a report."""
    size = FlowNetConfig(
        components=table.space.components,
        cues=table.cues.shape[1],
        width=config.width,
        layers=config.layers,
        heads=config.heads,
    )
    net = FlowNet(size).to(device)
    if begin is not None:
        try:
            net.load_state_dict(_checkpoint(begin)["average"])
        except _NO_CHECKPOINT as error:
            raise InputError(
                f"the checkpoint {begin} does not fit a network of width {config.width} and "
                f"{config.layers} layers; give the settings of its run."
            ) from error
    average = copy.deepcopy(net).eval().requires_grad_(False)
    optimiser = torch.optim.AdamW(
        net.parameters(), config.learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    kept = {k: v for k, v in dataclasses.asdict(config).items() if k not in _FREE}
    kept["frames"] = len(table.parts)
    done = _resume(run, kept, net, average, optimiser)
    if rank == 0:
        write_whole(run / CONFIG, json.dumps(dataclasses.asdict(config), indent=2))
    problem: nn.Module = Problem(net, table.space).to(device)
    if torch.distributed.is_initialized():
        problem = nn.parallel.DistributedDataParallel(problem)
    losses: dict[str, float] = {}
    started, spent = time.monotonic(), time.process_time()
    for step in range(done, config.steps):
        rng = np.random.default_rng([config.seed, step, rank])
        drawn = draw_batch(table, config.batch // count, config.hops, rng)
        draws = draw_chances(drawn, size.components, config.drop, config.rough, rng)
        batch = {
            f.name: torch.from_numpy(getattr(drawn, f.name)) for f in dataclasses.fields(drawn)
        }
        own = step > 0.4 * config.steps and bool(
            np.random.default_rng([config.seed, step]).random() < config.rollout
        )
        for group in optimiser.param_groups:
            group["lr"] = config.rate(step)
        loss, parts = problem(_moved(batch, device), _moved(draws, device), own)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        decay = min(config.average, (step + 1) / (step + 10))
        with torch.no_grad():
            for mean, value in zip(average.parameters(), net.parameters(), strict=True):
                mean.lerp_(value, 1.0 - decay)
        for name, value in (("loss", loss), *parts.items()):
            faded = losses.get(name, float(value.detach()))
            losses[name] = 0.98 * faded + 0.02 * float(value.detach())
        if rank != 0:
            continue
        if (step + 1) % config.save_every == 0 or step + 1 == config.steps:
            if not math.isfinite(losses["loss"]):
                raise InputError(f"training diverged at step {step + 1}; lower the learning rate.")
            _save(run, step + 1, kept, net, average, optimiser)
            row = {"step": step + 1, **{k: round(v, 5) for k, v in losses.items()}}
            row["cpu_seconds"] = round(time.process_time() - spent, 1)
            row["seconds"] = round(time.monotonic() - started, 1)
            with (run / LOG).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row) + "\n")
            _log.info("%s", row)
        if progress is not None:
            progress("steps", step + 1, config.steps)
    parameters = sum(value.numel() for value in net.parameters())
    losses = losses or _last_losses(run)
    report = {
        "steps": config.steps,
        "parameters": parameters,
        **{name: round(losses.get(name, math.nan), 5) for name in _LOSSES},
    }
    return average.cpu(), report


_LOSSES = ("loss", "white", "seen", "speed", "lips")


def _last_losses(run: Path) -> dict[str, float]:
    """Return the last row of a run's log: all its steps had been done before."""
    rows = (run / LOG).read_text(encoding="utf-8").splitlines() if (run / LOG).is_file() else []
    return {k: float(v) for k, v in json.loads(rows[-1]).items()} if rows else {}


_FREE = (
    "steps",
    "threads",
    "device",
    "save_every",
)  # what may change between a run and its going on


def _moved(tensors: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    return {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}


def main() -> None:
    """Build the corpus, train, measure, and write the weights that ship."""
    from obverse.generator.motion_corpus import MotionCorpusConfig, build_motion_corpus
    from obverse.generator.motion_judge import judge

    parser = argparse.ArgumentParser(description="Train the learned motion model.")
    parser.add_argument("--work", type=Path, required=True, help="for what takes long to make")
    parser.add_argument("--minutes", type=float, default=MotionCorpusConfig().minutes)
    for field in dataclasses.fields(TrainMotionConfig):
        kind = str if field.name == "device" else type(field.default)
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=field.default)
    arguments = vars(parser.parse_args())
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    work: Path = arguments.pop("work")
    corpus = build_motion_corpus(
        work / "motion-corpus", MotionCorpusConfig(minutes=arguments.pop("minutes"))
    )
    config = TrainMotionConfig(**arguments)
    run = work / "motion-run"
    report = train(corpus, run, config, force=True)
    if int(os.environ.get("RANK", "0")) == 0:
        write_card(run, report, _about(corpus), config, judge(run / NAME))
        WEIGHTS.mkdir(exist_ok=True)
        for name in (NAME, CARD):
            shutil.copyfile(run / name, WEIGHTS / name)


if __name__ == "__main__":
    main()
