"""Pairs of a synthetic clip and its pristine twin, distorted alike.

Identity, speech, light and compression then tell nothing: what is left is the forgery.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from obverse.detector.augment import AugmentConfig, Distortion
from obverse.detector.blend import blend_with_itself
from obverse.detector.kind import Sample
from obverse.errors import ConfigError

__all__ = ["draw_blend_pairs", "draw_burst_pairs", "draw_crop_pairs", "twins"]

Image = npt.NDArray[np.uint8]


def twins(samples: Sequence[Sample]) -> list[tuple[Sample, list[Sample]]]:
    """Return each synthetic sample with its twin, else its identity's, else all pristine ones."""
    pristine = [s for s in samples if not s.synthetic]
    by_id = {s.clip.id: s for s in pristine}
    by_identity: dict[str, list[Sample]] = {}
    for sample in pristine:
        if sample.clip.identity is not None:
            by_identity.setdefault(sample.clip.identity, []).append(sample)
    found = []
    for sample in samples:
        if sample.synthetic:
            twin = by_id.get(sample.clip.parents.get("twin", ""))
            alike = by_identity.get(sample.clip.identity or "", [])
            found.append((sample, [twin] if twin is not None else alike or pristine))
    return found


def draw_crop_pairs(
    samples: Sequence[Sample], pairs: int, augment: AugmentConfig, rng: np.random.Generator
) -> Iterator[Image]:
    """Yield crops `[2P, S, S, 3]` without end, synthetic and pristine in turn."""
    known = twins(samples)
    while True:
        crops = []
        for index in rng.integers(0, len(known), pairs):
            synthetic, candidates = known[index]
            pristine = candidates[int(rng.integers(len(candidates)))].track
            track = synthetic.track
            at = int(rng.integers(len(track)))
            beside = int(np.argmin(np.abs(pristine.times - track.times[at])))
            distortion = Distortion.draw(augment, rng)
            crops += [distortion.apply(track.crops[at]), distortion.apply(pristine.crops[beside])]
        yield np.stack(crops)


def draw_blend_pairs(
    samples: Sequence[Sample], pairs: int, augment: AugmentConfig, rng: np.random.Generator
) -> Iterator[Image]:
    """Yield crops `[2P, S, S, 3]` without end, self-blended and pristine in turn."""
    pristine = [sample for sample in samples if not sample.synthetic]
    while True:
        crops = []
        for index in rng.integers(0, len(pristine), pairs):
            track = pristine[index].track
            at = int(rng.integers(len(track)))
            blend = blend_with_itself(np.array(track.crops[at]), track.landmarks[at], rng)
            distortion = Distortion.draw(augment, rng)
            crops += [distortion.apply(blend.synthetic), distortion.apply(blend.pristine)]
        yield np.stack(crops)


def draw_burst_pairs(
    samples: Sequence[Sample],
    pairs: int,
    length: int,
    augment: AugmentConfig,
    rng: np.random.Generator,
) -> Iterator[Image]:
    """Yield bursts `[2P, T, S, S, 3]` without end, synthetic and pristine in turn.

    Raises:
        ConfigError: no pair has bursts of that length.
    """
    long = [s for s in samples if s.track.bursts(length)]
    known = twins(long)
    if not known or all(s.synthetic for s in long):
        raise ConfigError(
            f"no clips of both labels last for a burst of {length} frames; give longer clips or "
            "another recipe."
        )
    while True:
        bursts = []
        for index in rng.integers(0, len(known), pairs):
            synthetic, candidates = known[index]
            track, pristine = synthetic.track, candidates[int(rng.integers(len(candidates)))].track
            mine, other = track.bursts(length), pristine.bursts(length)
            at = mine[int(rng.integers(len(mine)))]
            beside = min(other, key=lambda i: abs(float(pristine.times[i[0]] - track.times[at[0]])))
            distortion = Distortion.draw(augment, rng)
            bursts += [
                distortion.apply_all(track.crops[at]),
                distortion.apply_all(pristine.crops[beside]),
            ]
        yield np.stack(bursts)
