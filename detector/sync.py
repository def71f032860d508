"""The kind `sync`: whether lips and sound go together, learned from pristine clips alone.

Lips and sound are each turned into a path of vectors; those of one moment are drawn together, those
of other moments and other clips apart (Chung and Zisserman, "Out of time: automated lip sync in the
wild", 2016; the contrast over shifts is InfoNCE, van den Oord, Li and Vinyals, 2018). A clip whose
sound fits its lips no better at the right time than at wrong ones speaks against itself.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from obverse.clip import Judged
from obverse.detector.augment import Distortion
from obverse.detector.backbone import build_backbone, choose_trained, feature_count
from obverse.detector.config import TrainConfig
from obverse.detector.crops import FaceTrack, FilmFaces
from obverse.detector.kind import Batch, Example, Look, Sample, Windows
from obverse.detector.recipe import SOUND_HZ
from obverse.errors import ConfigError

__all__ = ["LogMel", "SyncKind", "SyncNet", "mel_filters"]

WIDTH = 128
BANDS = 64
HOP = SOUND_HZ // 100  # samples between two spectra
SPAN = SOUND_HZ // 40  # samples in one
FFT = 512
LOW_HZ, HIGH_HZ = 60.0, 7600.0
NEAR = 1  # frames of shift that count as in time: 40 ms are not seen
BLURRED = 3  # frames of shift up to which a wrong one is not held against the network
TEMPERATURE = 0.1
QUIET = 60.0  # rms in 16-bit steps below which a burst says nothing


def mel_filters() -> torch.Tensor:
    """Return triangles `[64, 257]` on the mel scale (O'Shaughnessy 1987)."""

    def mel(hz: float) -> float:
        return 2595 * math.log10(1 + hz / 700)

    marks = torch.linspace(mel(LOW_HZ), mel(HIGH_HZ), BANDS + 2, dtype=torch.float64)
    edges = 700 * (10 ** (marks / 2595) - 1)
    bins = torch.arange(FFT // 2 + 1, dtype=torch.float64) * SOUND_HZ / FFT
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp(min=0).float()


class LogMel(nn.Module):
    """Samples `[N, L] int16` to log mel spectra `[N, 64, L / 160]`, as convolutions so that any
    runtime has them.
    """

    waves: torch.Tensor
    filters: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        n = torch.arange(SPAN, dtype=torch.float64)
        window = torch.hann_window(SPAN, periodic=True, dtype=torch.float64)
        angle = 2 * math.pi * torch.arange(FFT // 2 + 1, dtype=torch.float64)[:, None] * n / FFT
        waves = torch.cat([angle.cos(), angle.sin()]) * window
        self.register_buffer("waves", waves.float()[:, None], persistent=False)
        self.register_buffer("filters", mel_filters()[:, :, None], persistent=False)

    def forward(self, sound: torch.Tensor) -> torch.Tensor:
        """Return the spectra, each clip's own mean taken away."""
        samples = sound.to(self.waves.dtype)[:, None] / 32768
        pad = (SPAN - HOP) // 2
        parts = nn.functional.conv1d(samples, self.waves, stride=HOP, padding=pad)
        bins = FFT // 2 + 1
        power = parts[:, :bins] ** 2 + parts[:, bins:] ** 2
        bands = (nn.functional.conv1d(power, self.filters) + 1e-5).log()
        return bands - bands.mean(dim=(1, 2), keepdim=True)


def _over_time(entering: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(entering, WIDTH, 5, stride=stride, padding=2), nn.GroupNorm(8, WIDTH), nn.GELU()
    )


class SyncNet(nn.Module):
    """Mouths `[N, T, S, S, 3] uint8 RGB` and sound around them `[N, L] int16` to logits `[N]`."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        recipe = config.recipe
        if not recipe.sound or recipe.burst < 5 or recipe.burst_fps != 25:
            raise ConfigError(
                "a sync detector's recipe needs sound and bursts of at least 5 frames at 25 a "
                "second; take the kind's own."
            )
        self.reach = round(recipe.sound_pad_seconds * recipe.burst_fps)  # frames of shift
        self.backbone = build_backbone(
            config.backbone, pretrained=config.pretrained, size_px=recipe.size_px
        )
        features = feature_count(self.backbone, recipe.size_px)
        choose_trained(self.backbone, config.tune)
        self.narrow = nn.Linear(features, WIDTH)
        self.lips = nn.Sequential(_over_time(WIDTH), _over_time(WIDTH))
        self.lips_out = nn.Conv1d(WIDTH, WIDTH, 1)
        self.mel = LogMel()
        self.voice = nn.Sequential(_over_time(BANDS, 2), _over_time(WIDTH, 2), _over_time(WIDTH))
        self.voice_out = nn.Conv1d(WIDTH, WIDTH, 1)

    def see(self, crops: torch.Tensor) -> torch.Tensor:
        """Return the lips' path `[N, T, D]`, each vector of length 1."""
        count, length, side = crops.shape[0], crops.shape[1], crops.shape[2]
        grey = crops.to(self.narrow.weight.dtype).mean(-1) / 64 - 2
        # Each frame with the one before and the one after, in place of colours.
        before = torch.cat([grey[:, :1], grey[:, :-1]], dim=1)
        after = torch.cat([grey[:, 1:], grey[:, -1:]], dim=1)
        frames = torch.stack([before, grey, after], dim=2).reshape(count * length, 3, side, side)
        steps = self.narrow(self.backbone(frames)).reshape(count, length, WIDTH)
        path = self.lips_out(self.lips(steps.transpose(1, 2))).transpose(1, 2)
        return nn.functional.normalize(path, dim=-1)

    def hear(self, sound: torch.Tensor) -> torch.Tensor:
        """Return the sound's path `[N, T + 2 reach, D]`, each vector of length 1."""
        path = self.voice_out(self.voice(self.mel(sound))).transpose(1, 2)
        return nn.functional.normalize(path, dim=-1)

    def compare(self, lips: torch.Tensor, voice: torch.Tensor) -> torch.Tensor:
        """Return how alike lips are to the sound at each shift `[N, 2 reach + 1]`, in [-1, 1]."""
        length = lips.shape[1]
        shifts = [
            (lips * voice[:, shift : shift + length]).sum(-1).mean(-1)
            for shift in range(2 * self.reach + 1)
        ]
        return torch.stack(shifts, dim=1)

    def look(self, crops: torch.Tensor, sound: torch.Tensor) -> Look:
        """Return logits, how much better the wrong shifts fit than the right one, and features:
        what the lips are like on average. Of the voice nothing: it tells who speaks, and a
        calibration knows few voices.
        """
        lips, voice = self.see(crops), self.hear(sound)
        alike = self.compare(lips, voice) / TEMPERATURE
        middle = self.reach
        right = alike[:, middle - NEAR : middle + NEAR + 1].amax(1)
        wrong = torch.cat([alike[:, : middle - BLURRED], alike[:, middle + BLURRED + 1 :]], dim=1)
        logits = torch.logsumexp(wrong, dim=1) - math.log(wrong.shape[1]) - right
        return Look(logits, lips.mean(dim=1))

    def forward(self, crops: torch.Tensor, sound: torch.Tensor) -> torch.Tensor:
        """Return logits `[N]`, positive = the sound is another's."""
        return self.look(crops, sound).logits


class SyncKind:
    """Bursts of mouths with their sound, of pristine clips alone."""

    learns_from: Literal["twins", "pristine"] = "pristine"
    judges: Judged = "picture and sound"
    inputs = ("crops", "sound")

    def build(self, config: TrainConfig) -> nn.Module:
        """Return a `SyncNet`."""
        return SyncNet(config)

    def windows(self, faces: FilmFaces, track: FaceTrack, config: TrainConfig) -> Windows:
        """Return every whole burst in which something is heard."""
        bursts = [i for i in track.bursts(config.recipe.burst) if _loud(faces, track, i)]
        recipe = config.recipe
        if not bursts:
            crops = np.zeros((0, recipe.burst, recipe.size_px, recipe.size_px, 3), np.uint8)
            sound = np.zeros((0, recipe.sound_samples), np.int16)
            return Windows((crops, sound), np.zeros(0), ())
        crops = np.stack([track.crops[i] for i in bursts])
        sound = np.stack([faces.sound[int(track.moments[i[0]])] for i in bursts])
        times = np.array([float(track.times[i].mean()) for i in bursts])
        return Windows((crops, sound), times, tuple(bursts))

    def batches(
        self, samples: Sequence[Sample], config: TrainConfig, rng: np.random.Generator, pairs: int
    ) -> Iterator[Batch]:
        """Yield bursts of different pristine clips, where there are as many."""
        usable = self._usable(samples, config)
        if not usable:
            raise ConfigError(
                "no pristine clip of the train split has sound and lasts for a burst of "
                f"{config.recipe.burst} frames; give clips of speech."
            )
        while True:
            chosen: list[int] = []
            while len(chosen) < pairs:
                chosen += rng.permutation(len(usable)).tolist()
            crops, sound = [], []
            for index in chosen[:pairs]:
                faces = usable[index].faces
                track = faces.tracks[0]
                bursts = [i for i in track.bursts(config.recipe.burst) if _loud(faces, track, i)]
                at = bursts[int(rng.integers(len(bursts)))]
                distortion = Distortion.draw(config.augment, rng)
                crops.append(distortion.apply_all(track.crops[at]))
                heard = faces.sound[int(track.moments[at[0]])].astype(np.float32)
                heard = heard * rng.uniform(0.5, 1.2) + rng.normal(
                    0, rng.uniform(0, 60), len(heard)
                )
                sound.append(np.clip(heard, -32768, 32767).astype(np.int16))
            yield Batch((np.stack(crops), np.stack(sound)), np.zeros(pairs, np.float32))

    def examples(self, samples: Sequence[Sample], config: TrainConfig) -> Iterator[Example]:
        """Yield every pristine clip, and its lips with the sound of other moments."""
        usable = self._usable(samples, config)
        parts = [(s, self.windows(s.faces, s.track, config).inputs) for s in usable]
        everything = [sound for _, (_, sound) in parts]
        for number, (sample, (crops, sound)) in enumerate(parts):
            yield Example(sample.clip.id, False, (crops, sound))
            others = [each for other, each in enumerate(everything) if other != number]
            if others:
                pool = np.concatenate(others)
                digest = hashlib.sha256(sample.clip.id.encode()).digest()
                rng = np.random.default_rng([config.seed, int.from_bytes(digest[:8], "big")])
                wrong = pool[rng.integers(0, len(pool), len(sound))]
            else:  # the only clip: its own sound, late by more than is looked for
                wrong = np.roll(sound, SOUND_HZ * 4 // 5, axis=1)
            yield Example(f"{sample.clip.id} dubbed", True, (crops, wrong))

    def _usable(self, samples: Sequence[Sample], config: TrainConfig) -> list[Sample]:
        return [
            sample
            for sample in samples
            if not sample.synthetic
            and any(
                _loud(sample.faces, sample.track, i)
                for i in sample.track.bursts(config.recipe.burst)
            )
        ]

    def loss(
        self,
        network: nn.Module,
        inputs: tuple[torch.Tensor, ...],
        labels: torch.Tensor,
        config: TrainConfig,
    ) -> torch.Tensor:
        """Return the cross entropy of finding the right shift, and the right clip."""
        del labels, config
        assert isinstance(network, SyncNet)
        crops, sound = inputs
        lips, voice = network.see(crops), network.hear(sound)
        alike = network.compare(lips, voice).float() / TEMPERATURE
        shift = torch.arange(alike.shape[1], device=alike.device) - network.reach
        unclear = (shift != 0) & (shift.abs() <= BLURRED)
        alike = alike.masked_fill(unclear, -torch.inf)
        target = torch.full((len(crops),), network.reach, device=alike.device)
        by_shift = nn.functional.cross_entropy(alike, target)
        middle = voice[:, network.reach : network.reach + lips.shape[1]]
        between = torch.einsum("ntd,mtd->nm", lips, middle).float() / lips.shape[1] / TEMPERATURE
        own = torch.arange(len(crops), device=alike.device)
        by_clip = nn.functional.cross_entropy(between, own)
        return by_shift + by_clip


def _loud(faces: FilmFaces, track: FaceTrack, burst: npt.NDArray[np.intp]) -> bool:
    if not faces.sound.size:
        return False
    samples = faces.sound[int(track.moments[burst[0]])].astype(np.float64)
    return float(np.sqrt((samples**2).mean())) >= QUIET
