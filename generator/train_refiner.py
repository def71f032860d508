"""Train the mouth refiner on pairs of drawn and true mouths.

    python -m obverse.generator.train_refiner --work DIR --photographs FOLDER

makes the pairs that are missing in DIR/pairs (`refine_data`), trains (CPU, CUDA, or several
processes under `torchrun`), goes on from DIR/refiner.pt when it was interrupted, reports on
photographs and sitters that were held out, and writes `weights/refiner.onnx` with its card. With
`--features FILE`, torchvision's MobileNetV2 weights, a perceptual term joins the loss.
"""

import argparse
import copy
import dataclasses
import logging
import os
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import nn
from torch.nn import functional

from obverse.errors import ConfigError, InputError
from obverse.files import draft_of
from obverse.generator.refine import APPEARANCE, INNER, NET_HEIGHT, NET_WIDTH
from obverse.generator.refine_batches import Batch, Pool, draw_batch, read_pool
from obverse.generator.refine_data import RefineDataConfig, build_pairs
from obverse.generator.refine_net import Adversary, PerceptualDistance, RefinerNet
from obverse.weights import sha256_file

__all__ = ["TrainRefinerConfig", "train"]

_log = logging.getLogger(__name__)
WEIGHTS = Path(__file__).resolve().parent / "weights"
NAME = "refiner.onnx"

_SAVE_EVERY = 50  # steps
_FEATURES_EVERY = 2  # steps: the perceptual term costs as much as all the rest
_AVERAGE = 0.995  # of the weights' running mean, which is what ships


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrainRefinerConfig:
    """How the refiner is trained."""

    work: Path  # folder for pairs and checkpoints
    photographs: Path | None = None  # folder of pictures with one face each
    features: Path | None = None  # torchvision's mobilenet_v2 state dictionary
    sitters: int = 24
    pairs: int = 8  # moments a source
    seed: int = 11
    steps: int = 3000
    batch: int = 6  # moments of two frames each, a process
    width: int = 16  # channels at half resolution; multiples of 8 run fastest
    rate: float = 1e-3
    sitter_share: float = 0.1  # of a batch: their teeth are drawn, too
    flat_share: float = 0.6  # of a batch whose mouths are the truth's own, flattened
    perceptual: float = 0.5
    temporal: float = 1.0
    adversarial: float = 0.02
    adversary_from: int = 1000  # step
    export_only: int = 0  # 1 writes the weights of the checkpoint as it is
    output: Path = WEIGHTS  # folder for the weights and their card

    def __post_init__(self) -> None:
        """Refuse settings that train nothing."""
        if min(self.steps, self.batch, self.width) < 1 or self.rate <= 0:
            raise ConfigError("steps, batch, width and rate must be positive.")
        if not (0 <= self.sitter_share <= 1 and 0 <= self.flat_share <= 1):
            raise ConfigError("sitter_share and flat_share are shares; they must lie in [0, 1].")


def _gradients(crops: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return crops[..., :, 1:] - crops[..., :, :-1], crops[..., 1:, :] - crops[..., :-1, :]


def _painted(net: nn.Module, batch: Batch) -> torch.Tensor:
    change: torch.Tensor = net(batch.planes, batch.appearance)
    return (batch.planes[:, :3] + batch.region * change).clamp(0.0, 1.0)


def _losses(
    made: torch.Tensor,
    batch: Batch,
    config: TrainRefinerConfig,
    perceptual: PerceptualDistance | None,
) -> dict[str, torch.Tensor]:
    """Return the terms by name, already weighted."""
    inside = batch.region
    truth = batch.truth
    area = inside.sum() * 3.0 + 1e-3
    terms = {"colour": (inside * (made - truth).abs()).sum() / area}
    slopes = zip(_gradients(made), _gradients(truth), strict=True)
    whole = sum((a - b).abs().sum() for a, b in slopes)
    assert isinstance(whole, torch.Tensor)
    terms["edges"] = 0.5 * whole / area
    # What changes from one frame to the next should change as the truth does, and not flicker.
    drift = (made[1::2] - made[::2]) - (truth[1::2] - truth[::2])
    terms["time"] = config.temporal * drift.abs().sum() * 2.0 / area
    if perceptual is not None:
        # One frame of the two will do.
        distance = perceptual(made[::2], truth[::2]).mean()
        terms["features"] = config.perceptual * _FEATURES_EVERY * distance
    return terms


def _share_gradients(network: nn.Module) -> None:
    """Average gradients over the processes of a `torchrun`; does nothing in one process."""
    if not torch.distributed.is_initialized():
        return
    for parameter in network.parameters():
        if parameter.grad is not None:
            torch.distributed.all_reduce(parameter.grad)
            parameter.grad /= torch.distributed.get_world_size()


def _device() -> tuple[torch.device, int]:
    """Return the device and the process's rank; joins a `torchrun` where there is one."""
    rank, cuda = int(os.environ.get("RANK", "0")), torch.cuda.is_available()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        torch.distributed.init_process_group("nccl" if cuda else "gloo")
    if cuda:
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))), rank
    return torch.device("cpu"), rank


@torch.no_grad()
def _report(
    net: nn.Module, pools: dict[str, Pool], device: torch.device
) -> dict[str, dict[str, float]]:
    """Return, for each kind of source held out, PSNR within the region as drawn and as painted."""
    net.eval()
    report = {}
    for kind, pool in pools.items():
        before: list[float] = []
        after: list[float] = []
        for index in range(len(pool)):
            shown = np.concatenate([pool.drawn[index], pool.opening[index][..., None]], -1)
            planes, truth, region = (
                torch.from_numpy(
                    np.ascontiguousarray(part[:, *INNER].transpose(0, 3, 1, 2), np.float32) / 255.0
                )
                for part in (shown, pool.truth[index], pool.region[index][..., None])
            )
            told = torch.from_numpy(np.repeat(pool.appearance[index][None], 2, 0))
            aligned = torch.ones(len(planes), 1, 1, 1)
            batch = Batch(planes, truth, region, aligned, told).to(device)
            for made, found in ((batch.planes[:, :3], before), (_painted(net, batch), after)):
                error = (batch.region * (made - batch.truth) ** 2).sum((1, 2, 3))
                mean = error / (3.0 * batch.region.sum((1, 2, 3)) + 1e-3)
                found.extend((-10.0 * torch.log10(mean + 1e-6)).tolist())
        if before:
            report[kind] = {
                "sources": float(len(pool)),
                "psnr_drawn_db": float(np.mean(before)),
                "psnr_painted_db": float(np.mean(after)),
            }
    return report


def train(config: TrainRefinerConfig) -> dict[str, dict[str, float]]:
    """Train or go on training, write the weights and their card, and return the report on what was
    held out.

    Raises:
        InputError: there is nothing to learn from.
    """
    device, rank = _device()
    if rank == 0:
        build_pairs(
            RefineDataConfig(
                work=config.work / "pairs",
                photographs=config.photographs,
                sitters=config.sitters,
                pairs=config.pairs,
                seed=config.seed,
            )
        )
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
    files = sorted((config.work / "pairs").glob("*.npz"))
    torch.manual_seed(config.seed)
    net = RefinerNet(config.width).to(device)
    adversary = Adversary().to(device)
    average = copy.deepcopy(net)
    optimiser = torch.optim.AdamW(net.parameters(), config.rate, (0.9, 0.99), weight_decay=1e-4)
    opponent = torch.optim.AdamW(adversary.parameters(), 4e-4, (0.5, 0.99))
    parts: dict[str, Any] = {
        "net": net,
        "average": average,
        "adversary": adversary,
        "optimiser": optimiser,
        "opponent": opponent,
    }
    checkpoint = config.work / "refiner.pt"
    first = 0
    if checkpoint.is_file():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(state[name])
        first = int(state["step"])
        _log.info("going on from step %d", first)
    if not config.export_only and first < config.steps:
        photographs = read_pool(files, "photograph", held_out=False)
        sitters = read_pool(files, "sitter", held_out=False)
        if not len(photographs) and not len(sitters):
            raise InputError(
                f"no pairs in {config.work / 'pairs'}; give --photographs or --sitters."
            )
        _log.info("%d moments of photographs, %d of sitters", len(photographs), len(sitters))
        perceptual = PerceptualDistance(config.features).to(device) if config.features else None
        began = time.monotonic()
        for step in range(first, config.steps):
            # Drawn by step and not by what came before, so that going on changes nothing.
            rng = np.random.default_rng([config.seed, step, rank])
            batch = draw_batch(photographs, sitters, config, rng).to(device)
            pace = min(1.0, (step + 1) / 100) * (0.5 + 0.5 * np.cos(np.pi * step / config.steps))
            for group in optimiser.param_groups:
                group["lr"] = config.rate * max(float(pace), 0.02)
            made = _painted(net, batch)
            looks = step % _FEATURES_EVERY == 0
            terms = _losses(made, batch, config, perceptual if looks else None)
            opening = batch.planes[:, 3:]
            if config.adversarial > 0 and step >= config.adversary_from:
                # Where detail has no truth of its own, a critic would have the network paint
                # whatever fools it: of the painted mouths it judges the aligned alone.
                judged = batch.aligned / batch.aligned.mean().clamp_min(0.1)
                true_score = adversary(batch.truth, opening)
                false_score = adversary(made.detach(), opening)
                contest = functional.relu(1 - true_score).mean()
                contest = contest + (judged * functional.relu(1 + false_score)).mean()
                opponent.zero_grad()
                torch.autograd.backward(contest)
                _share_gradients(adversary)
                opponent.step()
                score = (judged * adversary(made, opening)).mean()
                terms["adversary"] = -config.adversarial * score
            loss = torch.stack(list(terms.values())).sum()
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            _share_gradients(net)
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            with torch.no_grad():
                keep = min(_AVERAGE, (step + 1) / (step + 20))
                for kept, new in zip(average.parameters(), net.parameters(), strict=True):
                    kept.lerp_(new, 1.0 - keep)
            if rank == 0 and ((step + 1) % _SAVE_EVERY == 0 or step + 1 == config.steps):
                state = {name: part.state_dict() for name, part in parts.items()}
                with draft_of(checkpoint) as draft:
                    torch.save({**state, "step": step + 1}, draft)
                shown = " ".join(f"{name} {term.item():.4f}" for name, term in terms.items())
                _log.info("step %d %s (%.0f s)", step + 1, shown, time.monotonic() - began)
                first = step + 1
    pools = {
        kind: read_pool(files, start, held_out=True)
        for kind, start in (("photographs", "photograph"), ("sitters", "sitter"))
    }
    report = _report(average, pools, device)
    if rank == 0:
        _write(average.cpu(), config, max(first, 1), report)
    return report


def _write(
    net: RefinerNet, config: TrainRefinerConfig, steps: int, report: dict[str, dict[str, float]]
) -> None:
    """Export the network to ONNX beside its card."""
    config.output.mkdir(parents=True, exist_ok=True)
    path = config.output / NAME
    net.eval()
    with warnings.catch_warnings():
        # The newer exporter needs a package more; this one suffices for a few convolutions.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            net,
            (torch.zeros(1, 4, NET_HEIGHT, NET_WIDTH), torch.zeros(1, len(APPEARANCE))),
            str(path),
            input_names=["planes", "appearance"],
            output_names=["change"],
            opset_version=17,
            dynamo=False,
        )
    card = {
        "name": "Mouth refiner",
        "file": NAME,
        "sha256": sha256_file(path),
        "licence": "Apache-2.0",
        "source": "trained from scratch by this repository on pictures of people who do not exist",
        "made_by": (
            "python -m obverse.generator.train_refiner --work DIR --photographs FOLDER --features "
            f"mobilenet_v2-b0353104.pth --seed {config.seed} --steps {steps}"
        ),
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "preprocessing": (
            f"planes [1, 4, {NET_HEIGHT}, {NET_WIDTH}]: the mouth crop of "
            "obverse.generator.refine.crop_mouth without its margin, RGB in [0, 1], and its "
            "opening; appearance "
            f"[1, {len(APPEARANCE)}]: {', '.join(APPEARANCE)}; output: change of colour in [-1, "
            "1], to be multiplied by the crop's region"
        ),
        "data": (
            "generated photographs of people who do not exist (SFHQ-T2I, MIT), those with parted "
            f"lips, {config.pairs} moments each, and {config.sitters} rendered sitters; one source "
            "in eight held out. Nobody's picture. The loss used torchvision's MobileNetV2 "
            "(BSD-3-Clause), of which nothing is left in the weights."
        ),
        "results": {
            "what": "mean PSNR within the region that may change, on sources held out",
            **{
                kind: {name: round(value, 2) for name, value in measures.items()}
                for kind, measures in report.items()
            },
        },
        "unwanted_uses": (
            "It paints plausible teeth, not anybody's own: do not take what it shows for a "
            "person's teeth, and do not use it on a real person's picture without their consent."
        ),
    }
    text = yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=110)
    (config.output / "refiner.card.yaml").write_text(text, encoding="utf-8")


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    for field in dataclasses.fields(TrainRefinerConfig):
        is_path = field.name in ("work", "photographs", "features", "output")
        required = field.default is dataclasses.MISSING
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=Path if is_path else type(field.default),
            required=required,
            default=None if required else field.default,
        )
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    train(TrainRefinerConfig(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
