"""Train the acoustic model that hears as a stream.

    python -m obverse.generator.train_hearing --work DIR

speaks a corpus with free engines (`training_speech`; cached in DIR), computes the articulators that
the teacher in `phones` gives for its phones, changes the sound (`training_sound`), hears it with
the very `Ear` that listens at run time, trains a small convolution that looks 140 ms ahead, reports
on voices and languages that were held out, and writes `weights/hearing.onnx` with its card. With
what takes long in DIR, `torchrun --nproc-per-node 2 -m ...` trains in two processes.
"""

import argparse
import concurrent.futures
import dataclasses
import logging
import math
import multiprocessing
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import yaml
from torch import distributed
from torch.nn import functional

from obverse.generator.hearing import FEATURES, FRAME, LAG_STEPS, Ear
from obverse.generator.hearing_net import OUTPUTS, HearingNet, export
from obverse.generator.hearing_scores import by_articulation, closure_scores, score, stillness
from obverse.generator.phones import (
    ARTICULATORS,
    CLASSES,
    STEP_HZ,
    Phone,
    articulate_phones,
    class_track,
)
from obverse.generator.speech import RATE_HZ, STEPS_PER_FRAME
from obverse.generator.training_sound import augment, noise_like
from obverse.generator.training_speech import HELD_OUT, Spoken, speak_corpus
from obverse.weights import sha256_file

__all__ = ["TrainHearingConfig", "train"]

_log = logging.getLogger(__name__)
WEIGHTS = Path(__file__).resolve().parent / "weights"
NAME = "hearing.onnx"

_LEAD_SECONDS = 0.10  # lips part before the voice is heard
_TAIL_SECONDS = 0.16  # and meet after it
_PAUSE_SECONDS = 0.15  # a silence shorter than this is no pause
_SHUT_SECONDS = 0.02  # lips are shut for at least this long around the middle of a closure
_PART_SECONDS = 0.06  # and are as open as they would be anyhow this far from it

Array = npt.NDArray[np.float32]
# features [S, FEATURES], targets [S, 10] (articulators, voice, closing), classes [S]
Example = tuple[npt.NDArray[np.float16], npt.NDArray[np.float16], npt.NDArray[np.int8]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrainHearingConfig:
    """How the acoustic model is trained."""

    work: Path  # folder for what takes long to make
    seed: int = 31
    flite: int = 110  # sentences a flite voice
    espeak: int = 8  # utterances a language
    kokoro: int = 0  # sentences a Kokoro voice; slow to make
    passes: int = 2  # how often the corpus is heard, differently each time
    changed: float = 0.75  # share of utterances that are augmented
    channels: int = 96
    steps: int = 2000
    batch: int = 16
    crop: int = 300  # steps of STEP_HZ
    rate: float = 2e-3
    voiceless: int = 60  # recordings without a voice, most of them music
    workers: int = 2  # processes that prepare the sound
    resume: Path | None = None  # weights (`hearing.pt`) to go on from
    before: str = ""  # how those were trained, for the card


def hear_whole(samples: Array) -> Array:
    """Return the features `[S, FEATURES]` of every step of `samples`, `S` a multiple of 4."""
    blocks = math.ceil(len(samples) / FRAME)
    padded = np.pad(samples, (0, (blocks + 1) * FRAME - len(samples)))
    return Ear().hear(padded).features[LAG_STEPS : LAG_STEPS + STEPS_PER_FRAME * blocks]


def voice_track(phones: Sequence[Phone], steps: int) -> Array:
    """Return `[steps]`, 1 from a little before anything said to a little after it."""
    track = np.zeros(steps, np.float32)
    lead, tail = _LEAD_SECONDS, max(_TAIL_SECONDS, _PAUSE_SECONDS - _LEAD_SECONDS)
    for phone in phones:
        if phone.sound != "silence" and phone.end > phone.start:
            first = max(0, round((phone.start - lead) * STEP_HZ))
            track[first : round((phone.end + tail) * STEP_HZ)] = 1.0
    return track


def closing_track(phones: Sequence[Phone], steps: int) -> Array:
    """Return `[steps]` in [0, 1]: how shut the lips must be for p, b and m."""
    track = np.zeros(steps)
    time = (np.arange(steps) + 0.5) / STEP_HZ
    for phone in phones:
        if phone.sound == "bilabial":
            half = max(0.0, (phone.end - phone.start) / 2.0 - _SHUT_SECONDS)
            away = np.abs(time - (phone.start + phone.end) / 2.0) - half
            shape = np.clip((_PART_SECONDS - away) / (_PART_SECONDS - _SHUT_SECONDS), 0.0, 1.0)
            track = np.maximum(track, shape)
    return track.astype(np.float32)


def _example(samples: Array, phones: tuple[Phone, ...]) -> Example:
    features = hear_whole(samples)
    steps = len(features)
    targets = np.concatenate(
        [
            articulate_phones(phones, steps),
            voice_track(phones, steps)[:, None],
            closing_track(phones, steps)[:, None],
        ],
        1,
    )
    return (
        features.astype(np.float16),
        targets.astype(np.float16),
        class_track(phones, steps).astype(np.int8),
    )


def _session(task: tuple[list[Spoken], float, tuple[int, ...]]) -> Example:
    """Let a few voices speak one after the other, each in its own place, as one recording."""
    spoken, changed, seed = task
    rng = np.random.default_rng(seed)
    pieces: list[Array] = []
    phones: list[Phone] = []
    at = 0.0
    for item in spoken:
        samples, said = item.samples, item.phones
        if rng.random() < changed:
            samples, said = augment(samples, said, rng)
        else:
            samples = samples * np.float32(10.0 ** (rng.uniform(-30.0, 0.0) / 20.0))
        pieces.append(samples)
        phones += [Phone(p.sound, p.start + at, p.end + at) for p in said]
        at += len(samples) / RATE_HZ
    return _example(np.concatenate(pieces).astype(np.float32), tuple(phones))


def _sessions(corpus: list[Spoken], config: TrainHearingConfig) -> list[Example]:
    tasks: list[tuple[list[Spoken], float, tuple[int, ...]]] = []
    rng = np.random.default_rng(config.seed)
    for number in range(config.passes):
        order = [corpus[index] for index in rng.permutation(len(corpus))]
        while order:
            count = int(rng.integers(1, 4))
            tasks.append((order[:count], config.changed, (config.seed, number, len(tasks))))
            order = order[count:]
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(config.workers, context) as pool:
        return list(pool.map(_session, tasks, chunksize=8))


def _voiceless(config: TrainHearingConfig) -> list[Example]:
    """Return eight seconds each of what is no voice, after a moment of silence or none."""
    rng = np.random.default_rng(config.seed + 3)
    examples = []
    for _ in range(config.voiceless):
        count = 8 * RATE_HZ
        sound = noise_like(rng, count) * 10.0 ** (rng.uniform(-45.0, -12.0) / 20.0)
        sound[: int(rng.integers(count // 4))] *= rng.choice([0.0, 1.0])
        examples.append(_example(sound.astype(np.float32), ()))
    return examples


def _corpus(config: TrainHearingConfig) -> list[Spoken]:
    """Speak, or take what was spoken before; each kind of engine has its own file."""
    config.work.mkdir(parents=True, exist_ok=True)
    counts = {"flite": config.flite, "espeak": config.espeak, "kokoro": config.kokoro}
    spoken: list[Spoken] = []
    for kind, count in counts.items():
        path = config.work / f"{kind}-{config.seed}-{count}.pt"
        if not path.is_file():
            rng = np.random.default_rng(config.seed)
            only = {name: count if name == kind else 0 for name in counts}
            rows = [
                (
                    s.voice,
                    s.samples.astype(np.float16),
                    [(p.sound, p.start, p.end) for p in s.phones],
                )
                for s in speak_corpus(rng, **only, cache=config.work)
            ]
            torch.save(rows, path)
        # Trusted: this script wrote it.
        for voice, samples, phones in torch.load(path, weights_only=False):
            said = tuple(Phone(*phone) for phone in phones)
            spoken.append(Spoken(voice, samples.astype(np.float32), said))
    return spoken


def _rank() -> tuple[int, int]:
    """Return which process of how many this is."""
    if not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def _crops(
    examples: list[Example], count: int, length: int, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    batch = []
    for _ in range(count):
        features, targets, sounds = examples[rng.integers(len(examples))]
        start = 2 * int(rng.integers(max(1, (len(features) - length) // 2 + 1)))
        where = slice(start, start + length)
        short = length - len(features[where])
        heard = np.pad(
            features[where].astype(np.float32), ((0, short), (0, 0)), constant_values=-1.75
        )
        if rng.random() < 0.25:  # a band is missing (SpecAugment, Park 2019)
            low = int(rng.integers(FEATURES - 8))
            heard[:, low : low + int(rng.integers(2, 6))] = heard[:, :-2].mean()
        heard[:, :-1] += np.float32(rng.normal(0.0, 0.06))  # the level is not known exactly
        batch.append(
            (
                heard,
                np.pad(targets[where].astype(np.float32), ((0, short), (0, 0))),
                np.pad(sounds[where].astype(np.int64), (0, short)),
            )
        )
    inputs, aims, kinds = (torch.from_numpy(np.stack(p)) for p in zip(*batch, strict=True))
    return inputs, aims, kinds


def _loss(
    logits: torch.Tensor, targets: torch.Tensor, sounds: torch.Tensor, weight: torch.Tensor
) -> torch.Tensor:
    split = len(CLASSES) + len(ARTICULATORS)
    classes = functional.cross_entropy(
        logits[..., : len(CLASSES)].flatten(0, 1), sounds.flatten(), weight, label_smoothing=0.02
    )
    # Closing the lips is what a viewer checks first.
    care = torch.tensor([2.0, 1.0, 1.0, 1.5, 1.0, 3.0, 1.5, 0.7])
    guess = torch.sigmoid(logits[..., len(CLASSES) : split])
    articulators = (care * (guess - targets[..., : len(ARTICULATORS)]) ** 2).mean()
    events = functional.binary_cross_entropy_with_logits(
        logits[..., split:], targets[..., len(ARTICULATORS) :], reduction="none"
    ).mean((0, 1))
    return classes + 8.0 * articulators + events[0] + 3.0 * events[1]


def fit(examples: list[Example], config: TrainHearingConfig) -> HearingNet:
    """Train the net, together with the other processes of `torchrun` if there are any."""
    torch.manual_seed(config.seed)
    rank, ranks = _rank()
    rng = np.random.default_rng((config.seed, rank))
    batch = config.batch // ranks
    net = HearingNet(config.channels)
    if config.resume is not None:
        net.load_state_dict(torch.load(config.resume, weights_only=True))
    optimiser = torch.optim.AdamW(net.parameters(), lr=config.rate, weight_decay=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.rate, config.steps, pct_start=0.1
    )
    counts = np.bincount(np.concatenate([e[2] for e in examples]), minlength=len(CLASSES))
    scale = (counts.sum() / np.maximum(counts, 1)) ** 0.25
    weight = torch.tensor(scale / scale.mean(), dtype=torch.float32)
    late = net.delay_steps
    start = time.monotonic()
    for step in range(config.steps):
        heard, targets, sounds = _crops(examples, batch, config.crop + late, rng)
        logits, _, _ = net(heard, *net.rest(batch))
        loss = _loss(logits[:, late:], targets[:, :-late], sounds[:, :-late], weight)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if ranks > 1:
            gradients = torch.cat(
                [p.grad.flatten() for p in net.parameters() if p.grad is not None]
            )
            distributed.all_reduce(gradients)
            at = 0
            for parameter in net.parameters():
                if parameter.grad is not None:
                    part = gradients[at : at + parameter.numel()]
                    parameter.grad.copy_(part.view_as(parameter) / ranks)
                    at += parameter.numel()
        optimiser.step()
        schedule.step()
        if step % 100 == 0 and not rank:
            seconds = time.monotonic() - start
            _log.info("step %d loss %.4f (%.0f s)", step, float(loss.detach()), seconds)
    return net.eval()


@torch.no_grad()
def thresholds(net: HearingNet, spoken: Sequence[Spoken]) -> dict[float, tuple[float, float]]:
    """Return closure recall and precision at thresholds of the model's closing probability.

    `cues._CLOSURE_RANGE` was chosen by this table on re-augmented voices of the training set.
    """
    heard = []
    for item in spoken:
        features = np.pad(hear_whole(item.samples), ((0, net.delay_steps), (0, 0)), mode="edge")
        logits, _, _ = net(torch.from_numpy(features)[None], *net.rest(1))
        closing = torch.sigmoid(logits[0, net.delay_steps :, -1]).numpy()
        tracks = closing.reshape(-1, STEPS_PER_FRAME).max(1)
        said = [(p.start, p.end) for p in item.phones if p.sound == "bilabial"]
        heard.append((tracks, said))
    table = {}
    for percent in range(20, 85, 5):
        counts = np.array(
            [(len(said), *closure_scores(tracks > percent / 100.0, said)) for tracks, said in heard]
        ).sum(0)
        table[percent / 100.0] = (
            float(counts[1] / counts[0]),
            float(counts[2] / max(counts[3], 1)),
        )
    return table


def train(config: TrainHearingConfig) -> dict[str, dict[str, float]]:
    """Train, write the weights and their card, and return the report on what was held out."""
    corpus = _corpus(config)
    kept = [item for item in corpus if item.voice not in HELD_OUT]
    path = config.work / f"examples-{config.seed}-{len(kept)}-{config.passes}.pt"
    if not path.is_file():
        torch.save(_sessions(kept, config), path)
    examples: list[Example] = torch.load(path, weights_only=False)  # trusted: it wrote it
    examples += _voiceless(config)
    hours = sum(len(example[0]) for example in examples) / STEP_HZ / 3600.0
    _log.info("%d recordings, %.1f hours", len(examples), hours)
    net = fit(examples, config)
    if _rank()[0]:
        return {}
    torch.save(net.state_dict(), config.work / "hearing.pt")
    WEIGHTS.mkdir(exist_ok=True)
    export(net, WEIGHTS / NAME)
    _write_card(config, hours, {})  # the report listens through the file, which needs its card
    rng = np.random.default_rng(config.seed + 1)
    again = [kept[index] for index in rng.permutation(len(kept))[:60]]
    again = [Spoken(s.voice, *augment(s.samples, s.phones, rng)) for s in again]
    for threshold, (recall, precision) in thresholds(net, again).items():
        _log.info("closing above %.2f: recall %.3f precision %.3f", threshold, recall, precision)
    report = report_on([item for item in corpus if item.voice in HELD_OUT], config.seed)
    _write_card(config, hours, report)
    return report


def report_on(held_out: Sequence[Spoken], seed: int) -> dict[str, dict[str, float]]:
    """Return scores on voices never trained on, clean and augmented, and stillness."""
    rng = np.random.default_rng(seed + 2)
    some: list[Spoken] = []
    for voice in HELD_OUT:
        some += [item for item in held_out if item.voice == voice][:25]
    changed = [
        Spoken(f"{item.voice} augmented", *augment(item.samples, item.phones, rng)) for item in some
    ]
    tried = [*some, *(item for item in changed if item.phones)]
    scores = {**score(tried), "frames that move without a voice": dict(stillness())}
    offline = {
        **score(tried, by_articulation),
        "frames that move without a voice": dict(stillness(by_articulation)),
    }
    scores |= {f"articulation.onnx, offline: {name}": row for name, row in offline.items()}
    for voice, measures in scores.items():
        _log.info("%s %s", voice, {name: round(value, 3) for name, value in measures.items()})
    return scores


def _write_card(
    config: TrainHearingConfig, hours: float, report: dict[str, dict[str, float]]
) -> None:
    kokoro = f"{config.kokoro} a voice of Kokoro-82M (phones by pocketsphinx), "
    card = {
        "name": "Acoustic model that hears as a stream",
        "file": NAME,
        "sha256": sha256_file(WEIGHTS / NAME),
        "licence": "Apache-2.0",
        "source": "trained from scratch by this repository on synthetic speech only",
        "made_by": (
            f"python -m obverse.generator.train_hearing --work DIR --seed {config.seed} "
            f"--kokoro {config.kokoro} --voiceless {config.voiceless} --steps {config.steps} "
            f"--rate {config.rate}"
            + (f" --resume DIR/hearing.pt; before that: {config.before}" if config.resume else "")
        ),
        "preprocessing": (
            f"features [1, {STEPS_PER_FRAME}, {FEATURES}] of obverse.generator.hearing.Ear (bands "
            "relative to a running level and colour, loudness, periodicity), 100 Hz; recent and "
            "memory are the state, zeros (recent: -1.75) at first; output: heard "
            f"[1, {STEPS_PER_FRAME}, {OUTPUTS}], 140 ms late: probabilities of "
            f"{', '.join(CLASSES)}; articulators {', '.join(ARTICULATORS)}; voice; closing of the "
            "lips; all in [0, 1]"
        ),
        "data": (
            f"{config.flite} English sentences a voice of flite (kal16, awb, slt), "
            f"{kokoro if config.kokoro else ''}{config.espeak} utterances a language of espeak-ng "
            "(33 languages and accents in 33 voices, twice as many of seven); heard "
            f"{config.passes} times, alone or one after the other, {config.changed:.0%} augmented "
            "(vocal tract, held vowels and melody, whisper, room, microphone, jumps of level, "
            "noise, wind, hum, knocks, music, telephone and codecs, overload), and "
            f"{config.voiceless} recordings of noise and music alone: {hours:.1f} hours. Nobody's "
            "recorded voice."
        ),
        "results": {
            "what": (
                "through obverse.generator.cues, on voices and languages never trained on, 25 "
                "frames a second: share of p, b, m at which the lips are seen to close, share of "
                "closures that belong to one, share of frames whose class is right, correlation of "
                "each articulator with the teacher; share of frames in which an articulator moves "
                "by more than .05 where nobody speaks"
            ),
            **{
                voice: {name: round(value, 3) for name, value in measures.items()}
                for voice, measures in report.items()
            },
        },
        "unwanted_uses": (
            "It knows how mouths look while speaking, not what is said: it is no lip reader, no "
            "speaker recogniser and no speech recogniser. Do not use it to animate a real person's "
            "likeness without their consent."
        ),
    }
    text = yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=110)
    (WEIGHTS / NAME.replace(".onnx", ".card.yaml")).write_text(text, encoding="utf-8")


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    for field in dataclasses.fields(TrainHearingConfig):
        kind = Path if field.name in ("work", "resume") else type(field.default)
        required = field.default is dataclasses.MISSING
        parser.add_argument(
            f"--{field.name}",
            type=kind,
            required=required,
            default=None if required else field.default,
        )
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    if "RANK" in os.environ:
        distributed.init_process_group("gloo")
    train(TrainHearingConfig(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
