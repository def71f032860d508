"""Train the acoustic model of the mouth: log-mel spectrum to classes of sounds and articulators.

    python -m obverse.generator.train_articulation --work DIR

speaks a corpus with free engines (`training_speech`; cached in DIR), computes the articulators that
the teacher in `phones` gives for its phones, augments the sound, trains a small dilated
convolution, reports on voices and languages that were held out, and writes
`weights/articulation.onnx` with its card.
"""

import argparse
import dataclasses
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import yaml
from scipy.signal import fftconvolve, lfilter, resample_poly
from torch import nn
from torch.nn import functional

from obverse.generator.articulation import colourless
from obverse.generator.phones import (
    ARTICULATORS,
    CLASSES,
    STEP_HZ,
    Phone,
    articulate_phones,
    class_track,
)
from obverse.generator.speech import MELS, RATE_HZ, read_speech_features
from obverse.generator.training_speech import HELD_OUT, Spoken, speak_corpus
from obverse.weights import sha256_file

__all__ = ["TrainArticulationConfig", "train"]

_log = logging.getLogger(__name__)
WEIGHTS = Path(__file__).resolve().parent / "weights"
NAME = "articulation.onnx"

Array = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrainArticulationConfig:
    """How the acoustic model is trained."""

    work: Path  # folder for what takes long to make
    seed: int = 20
    flite: int = 120  # sentences a flite voice
    espeak: int = 8  # sentences a language
    kokoro: int = 0  # sentences a Kokoro voice; slow to make
    copies: int = 1  # augmented copies of each utterance
    channels: int = 80
    steps: int = 2000
    batch: int = 16
    crop: int = 300  # steps of STEP_HZ
    rate: float = 2e-3


class ArticulationNet(nn.Module):
    """Log-mel `[B, S, MELS]` (dB) to class logits `[B, S, classes]` and articulators `[B, S, 8]`.

    `S` is even: the net works on pairs of steps. It hears about 0.5 s to either side.
    """

    def __init__(self, channels: int, dilations: tuple[int, ...] = (1, 2, 4, 8, 1)) -> None:
        super().__init__()
        self.enter = nn.Conv1d(MELS, channels, 6, stride=2, padding=2)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation),
                nn.ReLU(),
                nn.BatchNorm1d(channels),
                nn.Dropout(0.1),
            )
            for dilation in dilations
        )
        self.leave = nn.Conv1d(channels, 2 * (len(CLASSES) + len(ARTICULATORS)), 1)

    def forward(self, mel: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (logits, articulators)."""
        # Speech holds about -60 to +10 dB relative to its loud parts; what is quieter is silence.
        hidden = torch.relu(self.enter((mel.clamp(-70.0, 20.0) + 35.0).transpose(1, 2) / 20.0))
        for block in self.blocks:
            hidden = hidden + block(hidden)
        pairs = self.leave(hidden).transpose(1, 2)
        steps = pairs.reshape(mel.shape[0], -1, len(CLASSES) + len(ARTICULATORS))
        return steps[..., : len(CLASSES)], torch.sigmoid(steps[..., len(CLASSES) :])


def _noise(rng: np.random.Generator, count: int) -> Array:
    """Return unit-power noise: coloured, hum, chords, or clicks."""
    kind = rng.integers(4)
    time_s = np.arange(count) / RATE_HZ
    if kind == 0:
        noise = lfilter([1.0], [1.0, -rng.uniform(-0.3, 0.97)], rng.standard_normal(count))
    elif kind == 1:
        base = rng.uniform(45.0, 130.0)
        noise = sum(
            np.sin(2 * np.pi * base * k * time_s + rng.uniform(0, 6.3)) / k for k in range(1, 9)
        )
        noise = noise + 0.2 * rng.standard_normal(count)
    elif kind == 2:  # notes of a plucked or blown instrument
        noise = 0.01 * rng.standard_normal(count)
        for _ in range(max(2, count // 3200)):
            start, base = rng.integers(count), 110.0 * 2.0 ** (rng.integers(0, 36) / 12.0)
            tail = time_s[: count - start]
            envelope = np.exp(-tail * rng.uniform(1.5, 8.0)) * np.minimum(1.0, tail / 0.02)
            noise[start:] += envelope * sum(
                np.sin(2 * np.pi * base * k * tail) / k**1.5 for k in range(1, 6)
            )
    else:
        noise = rng.standard_normal(count) * (rng.random(count) < 0.0005)
        noise = fftconvolve(noise, np.exp(-np.arange(800) / 120.0) * rng.standard_normal(800))[
            :count
        ]
        noise = noise + 0.02 * rng.standard_normal(count)
    return np.asarray(noise / (np.sqrt(np.mean(noise**2)) + 1e-9), np.float32)


def _augment(spoken: Spoken, rng: np.random.Generator) -> tuple[Array, tuple[Phone, ...]]:
    """Change voice, room, noise and channel; returns samples and the phones where they now are."""
    samples, phones = spoken.samples.astype(np.float64), spoken.phones
    # Resampling moves pitch and formants together, as a shorter or longer vocal tract does, and the
    # speed with them.
    num, den = int(rng.integers(84, 120)), 100
    samples = resample_poly(samples, num, den)
    stretch = num / den
    phones = tuple(Phone(p.sound, p.start * stretch, p.end * stretch) for p in phones)
    ahead, after = rng.uniform(0.0, 0.8, 2)
    samples = np.pad(samples, (int(ahead * RATE_HZ), int(after * RATE_HZ)))
    phones = tuple(Phone(p.sound, p.start + ahead, p.end + ahead) for p in phones)
    power = np.sqrt(np.mean(samples**2)) + 1e-9
    if rng.random() < 0.35:  # a room
        length = int(rng.uniform(0.05, 0.35) * RATE_HZ)
        tail = (
            rng.standard_normal(length)
            * np.exp(-6.0 * np.arange(length) / length)
            * rng.uniform(0.02, 0.12)
        )
        tail[0] = 1.0
        samples = fftconvolve(samples, tail)[: len(samples)]
    if rng.random() < 0.6:  # a microphone: a tilt and a resonance
        samples = lfilter([1.0, rng.uniform(-0.7, 0.6)], [1.0], samples)
    if rng.random() < 0.25:  # a telephone, or a codec's low pass
        cut = rng.uniform(3000.0, 6500.0)
        spectrum = np.fft.rfft(samples)
        hz = np.fft.rfftfreq(len(samples), 1.0 / RATE_HZ)
        low = rng.uniform(80.0, 300.0)
        samples = np.fft.irfft(
            spectrum / (1.0 + (hz / cut) ** 12) / (1.0 + (low / np.maximum(hz, 1.0)) ** 6),
            len(samples),
        )
    if rng.random() < 0.12:  # whisper: the spectrum's envelope kept, the voice replaced by noise
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(samples, 200), 400)[
            ::160
        ] * np.hanning(400)
        order = 16
        spectra = np.abs(np.fft.rfft(windows, 1024)) ** 2
        auto = np.fft.irfft(spectra)[:, : order + 1]
        excitation = rng.standard_normal(len(samples) + 800)
        out = np.zeros(len(samples) + 800)
        for index, row in enumerate(auto):
            lag = np.abs(np.subtract.outer(np.arange(order), np.arange(order)))
            try:
                a = np.linalg.solve(
                    row[lag] + np.eye(order) * (row[0] * 1e-3 + 1e-9), row[1 : order + 1]
                )
            except np.linalg.LinAlgError:
                continue
            gain = np.sqrt(max(row[0] - a @ row[1 : order + 1], 0.0))
            part = lfilter(
                [gain], np.r_[1.0, -a], excitation[index * 160 : index * 160 + 400]
            ) * np.hanning(400)
            out[index * 160 : index * 160 + 400] += part
        samples = out[200 : 200 + len(samples)]
        samples = samples / (np.sqrt(np.mean(samples**2)) + 1e-9) * power
    if rng.random() < 0.7:
        level = np.sqrt(np.mean(samples**2)) * 10.0 ** (-rng.uniform(3.0, 45.0) / 20.0)
        samples = samples + level * _noise(rng, len(samples))
    if rng.random() < 0.06:  # no speech at all
        samples, phones = power * _noise(rng, len(samples)), ()
    samples = samples / (np.abs(samples).max() + 1e-9) * 10.0 ** (-rng.uniform(0.0, 30.0) / 20.0)
    return samples.astype(np.float32), phones


Example = tuple[Array, Array, npt.NDArray[np.int64]]


def _example(samples: Array, phones: tuple[Phone, ...]) -> Example:
    """Return mel `[S, MELS]`, articulators `[S, 8]` and classes `[S]`."""
    mel = read_speech_features(samples).mel
    return mel, articulate_phones(phones, len(mel)), class_track(phones, len(mel))


def _corpus(config: TrainArticulationConfig) -> list[Spoken]:
    path = config.work / f"corpus-{config.seed}-{config.flite}-{config.espeak}-{config.kokoro}.pt"
    if not path.is_file():
        rng = np.random.default_rng(config.seed)
        spoken = list(speak_corpus(rng, config.flite, config.espeak, config.kokoro, config.work))
        config.work.mkdir(parents=True, exist_ok=True)
        rows = [
            (s.voice, s.samples.astype(np.float16), [(p.sound, p.start, p.end) for p in s.phones])
            for s in spoken
        ]
        torch.save(rows, path)
    # Trusted: this script wrote it.
    loaded = torch.load(path, weights_only=False)
    return [
        Spoken(v, x.astype(np.float32), tuple(Phone(*p) for p in phones)) for v, x, phones in loaded
    ]


def _crops(
    examples: list[Example], config: TrainArticulationConfig, rng: np.random.Generator
) -> list[torch.Tensor]:
    batch: list[Example] = []
    for _ in range(config.batch):
        mel, tracks, sounds = examples[rng.integers(len(examples))]
        start = int(rng.integers(max(1, len(mel) - config.crop + 1)))
        where = slice(start, start + config.crop)
        short = config.crop - len(mel[where])
        mel = np.pad(mel[where], ((0, short), (0, 0)), constant_values=-100.0)
        # SpecAugment: a band or a moment is missing; and the level is not known exactly
        if rng.random() < 0.3:
            low = int(rng.integers(MELS - 6))
            mel[:, low : low + int(rng.integers(2, 7))] = mel.mean()
        mel = mel + np.float32(rng.normal(0.0, 3.0))
        batch.append(
            (mel, np.pad(tracks[where], ((0, short), (0, 0))), np.pad(sounds[where], (0, short)))
        )
    return [torch.from_numpy(np.stack(part)) for part in zip(*batch, strict=True)]


@torch.no_grad()
def _report(net: ArticulationNet, spoken: list[Spoken]) -> dict[str, dict[str, float]]:
    """Return, for each voice, frame accuracy, correlation of the articulators and recall of
    bilabial closures."""
    net.eval()
    found: dict[str, list[tuple[npt.NDArray[Any], ...]]] = {}
    for item in spoken:
        mel, tracks, sounds = _example(item.samples, item.phones)
        even = len(mel) // 2 * 2
        logits, articulators = net(torch.from_numpy(colourless(mel)[:even])[None])
        guess = logits[0].argmax(1).numpy()
        row = (guess, sounds[:even], articulators[0].numpy(), tracks[:even])
        found.setdefault(item.voice, []).append(row)
    report = {}
    for voice, parts in found.items():
        guess, truth, heard, targets = (np.concatenate(part) for part in zip(*parts, strict=True))
        report[voice] = {"accuracy": float((guess == truth).mean())}
        for index, name in enumerate(ARTICULATORS):
            report[voice][name] = float(np.corrcoef(heard[:, index], targets[:, index])[0, 1])
    return report


def train(config: TrainArticulationConfig) -> dict[str, dict[str, float]]:
    """Train, write the weights and their card, and return the report on what was held out."""
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    corpus = _corpus(config)
    held_out = [item for item in corpus if item.voice in HELD_OUT]
    path = config.work / f"examples-{config.seed}-{len(corpus)}-{config.copies}.pt"
    if not path.is_file():
        kept = [item for item in corpus if item.voice not in HELD_OUT]
        made = [_example(item.samples, item.phones) for item in kept]
        made += [_example(*_augment(item, rng)) for _ in range(config.copies) for item in kept]
        torch.save([(m.astype(np.float16), t.astype(np.float16), c) for m, t, c in made], path)
    examples = [
        (colourless(m.astype(np.float32)), t.astype(np.float32), c)
        for m, t, c in torch.load(path, weights_only=False)
    ]
    _log.info(
        "%d utterances, %.1f hours with augmentation",
        len(corpus),
        sum(len(e[0]) for e in examples) / 360_000,
    )
    net = ArticulationNet(config.channels)
    optimiser = torch.optim.AdamW(net.parameters(), lr=config.rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.rate, config.steps, pct_start=0.1
    )
    counts = np.bincount(np.concatenate([e[2] for e in examples]), minlength=len(CLASSES))
    weight = torch.tensor((counts.sum() / np.maximum(counts, 1)) ** 0.3, dtype=torch.float32)
    # Closing the lips is what a viewer checks first.
    care = torch.tensor([2.0, 1.0, 1.0, 1.5, 1.0, 3.0, 1.5, 0.7])
    start = time.monotonic()
    for step in range(config.steps):
        net.train()
        mel, tracks, sounds = _crops(examples, config, rng)
        logits, articulators = net(mel)
        loss = functional.cross_entropy(
            logits.flatten(0, 1), sounds.flatten(), weight / weight.mean(), label_smoothing=0.02
        )
        loss = loss + 8.0 * (care * (articulators - tracks) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 250 == 0:
            _log.info("step %d loss %.4f (%.0f s)", step, loss.item(), time.monotonic() - start)
    report = _report(net, held_out)
    for voice, measures in report.items():
        _log.info("%s %s", voice, {name: round(value, 3) for name, value in measures.items()})
    torch.save(net.state_dict(), config.work / "articulation.pt")
    _export(net, config, report)
    return report


def _export(
    net: ArticulationNet, config: TrainArticulationConfig, report: dict[str, dict[str, float]]
) -> None:
    net.eval()
    WEIGHTS.mkdir(exist_ok=True)
    path = WEIGHTS / NAME
    torch.onnx.export(
        net,
        (torch.zeros(1, 200, MELS),),
        str(path),
        input_names=["mel"],
        output_names=["logits", "articulators"],
        dynamic_axes={name: {1: "steps"} for name in ("mel", "logits", "articulators")},
        opset_version=17,
        dynamo=False,
    )
    kokoro = f"{config.kokoro} of Kokoro-82M (phones by pocketsphinx), " if config.kokoro else ""
    card = {
        "name": "Acoustic model of the mouth",
        "file": NAME,
        "sha256": sha256_file(path),
        "licence": "Apache-2.0",
        "source": "trained from scratch by this repository on synthetic speech only",
        "made_by": (
            f"python -m obverse.generator.train_articulation --work DIR --seed {config.seed}"
        ),
        "preprocessing": (
            f"mel [1, S, {MELS}] of obverse.generator.speech after articulation.colourless: dB "
            f"relative to the clip's loud parts, {STEP_HZ} Hz, S even; outputs: logits over "
            f"{', '.join(CLASSES)}; "
            f"articulators {', '.join(ARTICULATORS)} in [0, 1]"
        ),
        "data": (
            f"{config.flite} English sentences a voice of flite (kal16, awb, slt), {kokoro}"
            f"{config.espeak} utterances a language of espeak-ng (17 languages, twice as many of "
            f"six); {config.copies} augmented copies of each (vocal tract length, room, "
            "microphone, telephone, whisper, noise, hum, music, clicks). Nobody's recorded voice."
        ),
        "results": {
            "what": (
                "on voices and languages never trained on, clean speech, at 100 Hz: share of steps "
                "whose class is right, and correlation of each articulator with the teacher"
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
    (WEIGHTS / "articulation.card.yaml").write_text(text, encoding="utf-8")


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    for field in dataclasses.fields(TrainArticulationConfig):
        kind = Path if field.name == "work" else type(field.default)
        required = field.default is dataclasses.MISSING
        parser.add_argument(
            f"--{field.name}",
            type=kind,
            required=required,
            default=None if required else field.default,
        )
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    train(TrainArticulationConfig(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
