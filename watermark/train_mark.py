"""Train the networks of the learned mark on a folder of films.

`obverse train mark FOLDER -o RUN` marks the films with keys and payloads drawn by chance, sends
them through x264 at CRF 23 to 42 and trains two networks, one after the other:

- the *reader*, on what the pool holds of such clips, so that the keyed chips come out as clearly as
  they can (the logarithm of z);
- the *gain*, with the codec in the loop, so that the reader's z rises at an unchanged PSNR while
  the picture keeps its visual information (VIF, Sheikh and Bovik 2006).

x264 has no gradient. A change of the mark is taken to come through in each place in the share in
which the whole mark came through there, which one more encoding without the mark tells.

The run's folder gets `mark_reader.onnx` and `mark_gain.onnx` with their cards, and goes on where it
was stopped. Every eighth film is held out, and what the networks gain on those stands on the cards.
"""

import contextlib
import dataclasses
import functools
import json
import math
import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional

from obverse.errors import ConfigError, InputError, OutputExistsError
from obverse.files import draft_of, write_whole
from obverse.watermark.carriers import GRID, pulse_spectrum
from obverse.watermark.embed import Embedder, Frame
from obverse.watermark.geometry import UNIT, softening
from obverse.watermark.learned import GAIN, READER
from obverse.watermark.mark_examples import (
    Draw,
    Example,
    Placed,
    decoded_luma,
    draw,
    make_example,
    read_square,
    turned,
    unmarked,
)
from obverse.watermark.mark_net import GainNet, ReaderNet, blurred, evened, export, weighed
from obverse.watermark.pool import POOL_PX, Image

__all__ = ["Progress", "TrainMarkConfig", "train"]

CHECKPOINT, CONFIG, LOG, EXAMPLES = "checkpoint.pt", "config.json", "log.jsonl", "examples"
_HELD_OUT = 8  # every eighth film
_WHITENING_BINS = 5  # as in `obverse.watermark.search`
_LEAST_Z = 0.5  # what is added, so that a z of nothing has a logarithm
# Window in which the share of the mark that came through is worked out, where the mark is smallest.
_SURVIVAL_PX = 15
_VIF_PX = 9  # window of the visual information
_VIF_NOISE = 2.0  # grey levels squared: of the eye, as in the pixel domain's VIF
# Far more than z costs nothing: of the visual information, 1 % is worth 5 % of z.
_VIF_WEIGHT = 5.0

# Of the two networks: what their chances are drawn with beside the seed, and what is counted.
_CHANCES = {"reader": 2, "gain": 3}
_TOLD = {"reader": "steps", "gain": "gains"}

Progress = Callable[[str, int, int], None]  # what is counted, how many are done, of how many


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrainMarkConfig:
    """How the learned mark is trained; written to the run's config.json."""

    examples: int = 600  # marked clips that the reader learns from
    checks: int = 60  # marked clips of held-out films
    reader_steps: int = 1200
    gain_steps: int = 300  # 0 leaves the classical gain
    batch: int = 4  # examples of a reader's step
    width: int = 16  # channels of the reader
    gain_frames: int = 6  # of a clip that the gain learns from
    learning_rate: float = 2e-3  # after a short rise; falls to nothing
    seed: int = 60
    threads: int = 1  # of torch, on the CPU
    save_every: int = 100  # steps between checkpoints

    def __post_init__(self) -> None:
        """Refuse values that cannot be used."""
        ones = ("examples", "checks", "reader_steps", "batch", "width", "threads", "save_every")
        for name, least in (*((name, 1) for name in ones), ("gain_steps", 0), ("gain_frames", 2)):
            if getattr(self, name) < least:
                raise ConfigError(
                    f"training's {name} is {getattr(self, name)}; it must be at least {least}."
                )
        if not 0.0 < self.learning_rate < 0.1:
            raise ConfigError(
                f"training's learning_rate is {self.learning_rate}; it must lie in (0, 0.1)."
            )

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate of a step."""
        rising = min(1.0, (step + 1) / 30)
        return self.learning_rate * rising * max(0.02, 1.0 - step / steps)


def laid_on_torus(pictures: Tensor, places: Sequence[Placed]) -> Tensor:
    """Return pictures `[n, 256, 256]` as they lie on the torus, whose sizes their places tell.

    As `obverse.watermark.geometry.laid` lays them, and differentiable.
    """
    middle = (POOL_PX - 1) / 2
    # What `grid_sample` counts runs from -1 to 1, from rim to rim.
    from_middle = np.array([[POOL_PX / 2, 0, middle], [0, POOL_PX / 2, middle], [0, 0, 1]])
    turned = [np.vstack([place.to_picture, [0, 0, 1]]) @ from_middle for place in places]
    counted = np.linalg.inv(from_middle) @ np.stack(turned)
    matrices = torch.from_numpy(counted[:, :2].astype(np.float32))
    whole = [len(places), 1, POOL_PX, POOL_PX]
    grid = functional.affine_grid(matrices, whole, align_corners=False)
    softened = [_softened(picture, place) for picture, place in zip(pictures, places, strict=True)]
    return functional.grid_sample(torch.stack(softened), grid, align_corners=False)[:, 0]


def _softened(picture: Tensor, placed: Placed) -> Tensor:
    """Return a picture `[1, 256, 256]` of one `[256, 256]`, without what is too fine to be laid."""
    blur_px = softening(math.exp(placed.size * UNIT))
    return blurred(picture[None, None], blur_px)[0] if blur_px else picture[None]


def chip_z(pictures: Tensor, places: Sequence[Placed]) -> Tensor:
    """Return z `[n]` of pictures `[n, 256, 256]` whose mark's place and chips are known.

    As `obverse.watermark.search.align` reads them, and differentiable.
    """
    signs = torch.from_numpy(np.stack([place.signs for place in places]).astype(np.float32))
    phases = torch.from_numpy(np.stack([place.phase for place in places]))
    spectra = torch.fft.rfft2(laid_on_torus(pictures, places))
    power = spectra.abs()
    margin = _WHITENING_BINS // 2
    around = torch.cat([power[:, -margin:], power, power[:, :margin]], dim=1)
    around = functional.pad(around[:, None], (margin, margin, 0, 0), mode="reflect")
    level = functional.avg_pool2d(around, _WHITENING_BINS, stride=1)[:, 0]
    floor = 1e-6 * level.amax((1, 2), keepdim=True) + 1e-12
    pulse = torch.from_numpy(pulse_spectrum(POOL_PX)).to(pictures)
    aligned = torch.fft.irfft2(spectra / (level + floor) * pulse * phases, s=(POOL_PX, POOL_PX))
    step = POOL_PX // GRID
    chips = aligned[:, ::step, ::step].reshape(len(pictures), -1)
    z: Tensor = (chips * signs).sum(1) / (torch.sqrt((chips * chips).sum(1)) + 1e-12)
    return z


def _worth(z: Tensor) -> Tensor:
    return torch.log(functional.softplus(z) + _LEAST_Z)


def visual_information(luma: Tensor, noise: Tensor) -> Tensor:
    """Return the share `[n]` of what the eye learns of luma `[n, 1, h, w]`, in grey levels, that is
    left under noise of variance `[n, 1, h, w]`: the pixel domain's VIF at one scale.
    """
    mean = functional.avg_pool2d(luma, _VIF_PX, stride=2)
    signal = (functional.avg_pool2d(luma * luma, _VIF_PX, stride=2) - mean * mean).clamp(min=0.0)
    around = functional.avg_pool2d(noise, _VIF_PX, stride=2)
    left = torch.log2(1.0 + signal / (_VIF_NOISE + around)).sum((1, 2, 3))
    return left / (torch.log2(1.0 + signal / _VIF_NOISE).sum((1, 2, 3)) + 1e-6)


def train(
    films: Sequence[Path],
    run: Path,
    config: TrainMarkConfig | None = None,
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train on films and write the networks and their cards into the run's folder.

    Args:
        films: video files; two at least.
        run: the folder to write. A run that was stopped goes on.
        config: how to train.
        force: train anew in a run that is finished.
        progress: told how far it is.

    Returns:
        What was done: `films`, `examples`, and on the held-out films the mean `z` of the classical
        and of the learned reader, and the `gain`'s z and visual information beside those of the
        classical one.

    Raises:
        ConfigError: settings that cannot be used.
        InputError: the films cannot be used, or the run holds other settings.
        OutputExistsError: the run is finished, or is no training run.
    """
    config = config or TrainMarkConfig()
    if len(films) < 2:
        raise InputError(
            f"the learned mark was given {len(films)} films; it needs 2 at least, one to check on."
        )
    new = not run.exists()
    with _emptied(run, new):
        kept = {**dataclasses.asdict(config), "films": [film.name for film in films]}
        _claim(run, kept, force)
        torch.set_num_threads(config.threads)
        return _train(films, run, config, kept, progress or (lambda *_: None))


@contextlib.contextmanager
def _emptied(run: Path, new: bool) -> Iterator[None]:
    """Leave no folder of a run that failed before it had an example, if it was `new`."""
    try:
        yield
    except BaseException:
        if new and not any((run / EXAMPLES).glob("*.npz")):
            with contextlib.suppress(OSError):
                (run / CONFIG).unlink(missing_ok=True)
                for folder in (run / EXAMPLES, run):
                    if folder.is_dir():
                        folder.rmdir()
        raise


def _claim(run: Path, kept: dict[str, Any], force: bool) -> None:
    """Make the run's folder ours: new, empty, unfinished, or finished with `force`."""
    if run.exists() and not run.is_dir():
        raise OutputExistsError(f"{run} is a file; give a folder for the run.")
    cards = [(run / name).with_suffix(".card.yaml") for name in (READER, GAIN)]
    if run.is_dir() and any(run.iterdir()):
        if not (run / CONFIG).is_file():
            raise OutputExistsError(
                f"{run} holds something that is not a training run; give another folder."
            )
        if cards[0].is_file() and not force:
            raise OutputExistsError(
                f"{run} holds a finished run already; use --force to train it anew."
            )
        if force:
            for path in (*cards, *(run / name for name in (READER, GAIN, CHECKPOINT, LOG))):
                path.unlink(missing_ok=True)
            for path in (run / EXAMPLES).glob("*.npz"):
                path.unlink()
        elif json.loads((run / CONFIG).read_text(encoding="utf-8")) != kept:
            raise InputError(
                f"{run} was begun with other settings or films; give another folder, or --force."
            )
    (run / EXAMPLES).mkdir(parents=True, exist_ok=True)
    write_whole(run / CONFIG, json.dumps(kept, indent=2))


def _train(
    films: Sequence[Path],
    run: Path,
    config: TrainMarkConfig,
    kept: dict[str, Any],
    progress: Progress,
) -> dict[str, Any]:
    shelf = _Shelf(films)
    learned = _examples(shelf, run, config, progress)
    torch.manual_seed(config.seed)
    work = _Work(ReaderNet(config.width), GainNet())
    work.resume(run, kept)
    reading = functools.partial(_reader_loss, work.reader, learned["train"], config.batch)
    _fit(work, "reader", config.reader_steps, reading, run, config, kept, progress)
    report: dict[str, Any] = {"films": len(films), "examples": config.examples}
    report |= _reader_results(work.reader, learned["check"])
    work.reader.eval().requires_grad_(False)
    hiding = functools.partial(_heard_loss, work, shelf, config)
    _fit(work, "gain", config.gain_steps, hiding, run, config, kept, progress)
    hashes = {READER: export(work.reader, run / READER)}
    if config.gain_steps:
        report["gain"] = _gain_results(work, shelf, config)
        hashes[GAIN] = export(work.gain, run / GAIN)
    for name in reversed(hashes):  # the reader's card last: it says that all is there
        _write_card(run, name, hashes[name], report, config)
    return report


class _Shelf:
    """The films, read when they are asked for and kept."""

    def __init__(self, films: Sequence[Path]) -> None:
        self._films = films
        self._read: dict[int, list[Frame]] = {}
        every = range(len(films))
        checked = [number for number in every if number % _HELD_OUT == _HELD_OUT - 1]
        self.checked = checked or [len(films) - 1]
        self.learned = [number for number in every if number not in self.checked]

    def frames(self, number: int) -> list[Frame]:
        """Return a film's frames `[S, S, 3]`."""
        if number not in self._read:
            self._read[number] = read_square(self._films[number])
        return self._read[number]


def _examples(
    shelf: _Shelf, run: Path, config: TrainMarkConfig, progress: Progress
) -> dict[str, list[Example]]:
    """Make the examples that are not there yet; what each is depends on the seed and its number."""
    made: dict[str, list[Example]] = {}
    parts = (("train", config.examples, shelf.learned), ("check", config.checks, shelf.checked))
    told = {"train": "examples", "check": "checks"}
    for part, (name, count, films) in enumerate(parts):
        made[name] = []
        for number in range(count):
            path = run / EXAMPLES / f"{name}-{number:05d}.npz"
            if not path.is_file():
                frames = shelf.frames(films[number % len(films)])
                rng = np.random.default_rng([config.seed, part, number])
                with draft_of(path) as draft:
                    make_example(frames, draw(rng, len(frames))).save(draft)
            made[name].append(Example.load(path))
            progress(told[name], number + 1, count)
    return made


@dataclasses.dataclass(slots=True)
class _Work:
    """The networks and how far they are."""

    reader: ReaderNet
    gain: GainNet
    steps: dict[str, int] = dataclasses.field(default_factory=lambda: dict.fromkeys(_CHANCES, 0))
    optimiser: dict[str, Any] | None = None  # state of the one that is at work

    @property
    def networks(self) -> dict[str, nn.Module]:
        """The networks by name, in the order in which they learn."""
        return {"reader": self.reader, "gain": self.gain}

    def save(self, run: Path, kept: dict[str, Any]) -> None:
        """Write the checkpoint."""
        state = {
            "kept": json.dumps(kept),
            "reader": self.reader.state_dict(),
            "gain": self.gain.state_dict(),
            "steps": self.steps,
            "optimiser": self.optimiser,
        }
        with draft_of(run / CHECKPOINT) as draft:
            torch.save(state, draft)

    def resume(self, run: Path, kept: dict[str, Any]) -> None:
        """Take up the run's checkpoint, if there is one."""
        path = run / CHECKPOINT
        if not path.is_file():
            return
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
            if saved["kept"] != json.dumps(kept):
                raise InputError(
                    f"{path} is of other settings or films; remove it, and the run begins anew."
                )
            self.reader.load_state_dict(saved["reader"])
            self.gain.load_state_dict(saved["gain"])
            self.steps = {part: int(saved["steps"][part]) for part in _CHANCES}
            self.optimiser = saved["optimiser"]
        except _NO_CHECKPOINT as error:
            raise InputError(f"{path} is damaged; remove it, and the run begins anew.") from error


# What torch raises of a file that is none of its own, or of weights that do not fit.
_NO_CHECKPOINT = (
    OSError, EOFError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError,
    pickle.UnpicklingError,
)  # fmt: skip


def _step(
    net: nn.Module, optimiser: torch.optim.Optimizer, loss: Tensor, rate: float, step: int
) -> float:
    value = float(loss.detach())
    if not math.isfinite(value):
        raise InputError(f"training diverged at step {step + 1}; lower the learning rate.")
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimiser.step()
    return value


def _log_line(run: Path, **values: Any) -> None:
    with (run / LOG).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(values) + "\n")


def _fit(
    work: _Work,
    part: str,
    steps: int,
    loss_of: Callable[[np.random.Generator], Tensor],
    run: Path,
    config: TrainMarkConfig,
    kept: dict[str, Any],
    progress: Progress,
) -> None:
    """Take a network's steps that are left, each with the loss that chances of its own give."""
    net = work.networks[part].train()
    optimiser = torch.optim.Adam(net.parameters(), config.learning_rate)
    if 0 < work.steps[part] < steps and work.optimiser is not None:
        optimiser.load_state_dict(work.optimiser)
    faded: float | None = None
    for step in range(work.steps[part], steps):
        loss = loss_of(np.random.default_rng([config.seed, _CHANCES[part], step]))
        value = _step(net, optimiser, loss, config.rate(step, steps), step)
        faded = value if faded is None else 0.98 * faded + 0.02 * value
        work.steps[part], work.optimiser = step + 1, optimiser.state_dict()
        if (step + 1) % config.save_every == 0 or step + 1 == steps:
            work.save(run, kept)
            _log_line(run, part=part, step=step + 1, loss=round(faded, 4))
        progress(_TOLD[part], step + 1, steps)


def _reader_loss(
    reader: ReaderNet, examples: Sequence[Example], batch: int, rng: np.random.Generator
) -> Tensor:
    chosen = [examples[index] for index in rng.integers(0, len(examples), batch)]
    means = torch.from_numpy(np.stack([one.means for one in chosen]).astype(np.float32))
    z = chip_z(reader(means)[:, 0], [one.placed for one in chosen])
    return -_worth(z).mean()


def _reader_results(reader: ReaderNet, examples: Sequence[Example]) -> dict[str, Any]:
    """Return the mean z of the held-out examples, classical and learned."""
    both = []
    with torch.no_grad():
        for one in examples:
            means = torch.from_numpy(one.means.astype(np.float32))[None]
            pictures = (evened(means[:, :1]), reader.eval()(means))
            both.append([float(chip_z(made[:, 0], [one.placed])) for made in pictures])
    table = np.array(both)
    crf = np.array([one.crf for one in examples])
    results: dict[str, Any] = {"z": _means(table)}
    if (hard := crf >= 36).any():
        results["z_at_crf_36_to_42"] = _means(table[hard])
    return results


def _means(table: npt.NDArray[np.float64]) -> dict[str, float]:
    classical, learned = table.mean(axis=0)
    return {"classical": round(float(classical), 2), "learned": round(float(learned), 2)}


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Heard:
    """A clip after a codec, as far as the gain's gradient goes."""

    luma: Tensor  # [n, 1, 256, 256] before marking, grey levels
    even: Tensor  # [n, 1, 256, 256] the classical gain, that the network changes
    mark: Tensor  # [1, 1, 256, 256]
    strength: Tensor  # [n, 1, 1, 1]
    decoded: Tensor  # [n, 1, 256, 256] marked with the network's gain, after the codec
    share: Tensor  # [n, 1, 256, 256] of the mark that came through, 0 to 1
    placed: Placed


def _small(luma: Image) -> Image:
    shrinks = len(luma) > POOL_PX
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(luma, (POOL_PX, POOL_PX), interpolation=how), np.float32)


def _stack(pictures: Sequence[Image]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)[:, None].astype(np.float32))


def _hear(frames: Sequence[Frame], drawn: Draw, gain: GainNet | None) -> _Heard:
    """Mark a clip with the network's gain, or the classical one; encode it, marked and unmarked."""
    seen: list[tuple[Image, Image]] = []

    def answer(small: Image, even: Image) -> Image:
        seen.append((small.copy(), even.copy()))
        if gain is None:
            return even
        with torch.no_grad():
            return np.asarray(gain(_stack([small]), _stack([even]))[0, 0].numpy(), np.float32)

    clip = turned(frames, drawn)
    embedder = Embedder(drawn.payload, drawn.key, gain=answer)
    marked, strengths = [], []
    for frame in clip:
        marked.append(embedder.embed_planes(frame))
        strengths.append(embedder.strength)
    side = len(clip[0])
    mark = _small(embedder.laid(side, side))
    placed = Placed.of(embedder, drawn.key, side)
    # As many of the mark's waves, whatever its size.
    across = 2 * round(_SURVIVAL_PX / math.exp(placed.size * UNIT) / 2 - 0.5) + 1
    decoded = [_small(luma) for luma in decoded_luma(marked, drawn)]
    without = [_small(luma) for luma in decoded_luma(unmarked(clip), drawn)]
    share = []
    for one, other in zip(decoded, without, strict=True):
        through = cv2.blur((one - other) * mark, (across, across))
        share.append(through / np.maximum(cv2.blur(mark * mark, (across, across)), 1e-6))
    strength = np.array(strengths, np.float32)[:, None, None]
    relative = np.stack(share) / np.maximum(strength * np.stack([pair[1] for pair in seen]), 1e-6)
    return _Heard(
        luma=_stack([pair[0] for pair in seen]),
        even=_stack([pair[1] for pair in seen]),
        mark=_stack([mark]),
        strength=torch.from_numpy(strength)[:, None],
        decoded=_stack(decoded),
        share=_stack(list(np.clip(relative, 0.0, 1.0))),
        placed=placed,
    )


def _gain_loss(reader: ReaderNet, heard: _Heard, gain: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the loss, z and the visual information of a clip marked with `gain`."""
    change = heard.strength * (gain - gain.detach()) * heard.mark
    pooled, detail = weighed(heard.decoded + heard.share * change)
    means = [part.mean(0, keepdim=True) for part in (pooled, detail, detail**2, heard.decoded)]
    z = chip_z(reader(torch.cat(means, dim=1))[:, 0], [heard.placed]).mean()
    information = visual_information(heard.luma, (heard.strength * gain) ** 2).mean()
    return -_worth(z) - _VIF_WEIGHT * information, z, information


def _gain_draw(rng: np.random.Generator, frames: int, config: TrainMarkConfig) -> Draw:
    drawn = draw(rng, frames, config.gain_frames)
    count = min(frames, config.gain_frames)
    return dataclasses.replace(drawn, count=count, first=min(drawn.first, frames - count))


def _heard_loss(
    work: _Work, shelf: _Shelf, config: TrainMarkConfig, rng: np.random.Generator
) -> Tensor:
    """Return the loss of a clip that the gain of the moment marks."""
    frames = shelf.frames(int(rng.choice(shelf.learned)))
    heard = _hear(frames, _gain_draw(rng, len(frames), config), work.gain)
    return _gain_loss(work.reader, heard, work.gain(heard.luma, heard.even))[0]


def _gain_results(work: _Work, shelf: _Shelf, config: TrainMarkConfig) -> dict[str, Any]:
    """Return z and visual information on held-out films, of the classical and the learned gain."""
    rows = []
    with torch.no_grad():
        for number in range(max(1, config.checks // 3)):
            frames = shelf.frames(shelf.checked[number % len(shelf.checked)])
            rng = np.random.default_rng([config.seed, 4, number])
            drawn = _gain_draw(rng, len(frames), config)
            row = []
            for net in (None, work.gain.eval()):
                heard = _hear(frames, drawn, net)
                gain = heard.even if net is None else net(heard.luma, heard.even)
                _, z, information = _gain_loss(work.reader, heard, gain)
                row += [float(z), float(information)]
            rows.append(row)
    z, seen, z_learned, seen_learned = np.mean(rows, axis=0)
    return {
        "z": {"classical": round(float(z), 2), "learned": round(float(z_learned), 2)},
        "visual_information": {
            "classical": round(float(seen), 4),
            "learned": round(float(seen_learned), 4),
        },
    }


def _write_card(
    run: Path, name: str, sha256: str, report: dict[str, Any], config: TrainMarkConfig
) -> None:
    reads = name == READER
    results = {key: value for key, value in report.items() if (key == "gain") != reads}
    card = {
        "name": "Reader of the learned mark" if reads else "Gain of the learned mark",
        "file": name,
        "sha256": sha256,
        "licence": "Apache-2.0",
        "source": "trained from scratch by this repository",
        "made_by": "obverse train mark FOLDER -o RUN",
        "preprocessing": (
            "the means of obverse.watermark.pool, short side 256"
            if reads
            else "luma in grey levels and the gain of obverse.watermark.embed, short side 256"
        ),
        "data": f"{report['films']} films, every eighth held out; x264 at CRF 23 to 42",
        "training": dataclasses.asdict(config),
        "results": {"what": "means over held-out films, every example with its own key", **results},
        "unwanted_uses": (
            "It shows where any mark of this kind lies, whatever its key; do not use it to take "
            "away marks that are not yours."
        ),
    }
    text = yaml.safe_dump(card, sort_keys=False, width=110, allow_unicode=True)
    write_whole((run / name).with_suffix(".card.yaml"), text)
