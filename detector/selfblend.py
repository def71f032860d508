"""The kind `selfblend`: single crops, and self-blended copies of them; no fakes are needed."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from obverse.detector.blend import blend_with_itself
from obverse.detector.config import TrainConfig
from obverse.detector.frame import FrameKind
from obverse.detector.kind import Batch, Example, Sample
from obverse.detector.pairs import draw_blend_pairs

__all__ = ["SelfBlendKind"]


class SelfBlendKind(FrameKind):
    """As `frame`, from pristine clips and their self-blended copies."""

    learns_from: Literal["twins", "pristine"] = "pristine"

    def batches(
        self, samples: Sequence[Sample], config: TrainConfig, rng: np.random.Generator, pairs: int
    ) -> Iterator[Batch]:
        """Yield pristine crops, each beside its self-blended copy, distorted alike."""
        labels = np.tile(np.array([1, 0], np.float32), pairs)
        for crops in draw_blend_pairs(samples, pairs, config.augment, rng):
            yield Batch((crops,), labels)

    def examples(self, samples: Sequence[Sample], config: TrainConfig) -> Iterator[Example]:
        """Yield every pristine clip, and a copy of it whose crops are blended with themselves."""
        for sample in samples:
            if sample.synthetic:
                continue
            track = sample.track
            digest = hashlib.sha256(sample.clip.id.encode()).digest()
            rng = np.random.default_rng([config.seed, int.from_bytes(digest[:8], "big")])
            blends = [
                blend_with_itself(np.array(crop), landmarks, rng)
                for crop, landmarks in zip(track.crops, track.landmarks, strict=True)
            ]
            yield Example(sample.clip.id, False, (np.stack([b.pristine for b in blends]),))
            copies = np.stack([b.synthetic for b in blends])
            yield Example(f"{sample.clip.id} blended", True, (copies,))
