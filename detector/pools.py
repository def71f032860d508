"""Which validation clips choose the epoch and which calibrate: no person does both."""

import hashlib
from collections.abc import Sequence

from obverse.clip import Clip
from obverse.detector.calibration import FEWEST
from obverse.detector.kind import Sample

__all__ = ["part_validation", "person_of"]


def part_validation(samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    """Return the validation clips that choose the epoch, and those that calibrate.

    People are shared out by the hash of their name. Where either part would lack clips of a label,
    or the second would have too few, all choose the epoch and none is left to calibrate.
    """
    select: list[Sample] = []
    calibrate: list[Sample] = []
    for sample in samples:
        digest = hashlib.sha256(f"pool:{person_of(sample.clip)}".encode()).digest()
        (calibrate if digest[0] % 2 else select).append(sample)
    enough = all(
        sum(s.synthetic for s in part) >= fewest and sum(not s.synthetic for s in part) >= fewest
        for part, fewest in ((select, 1), (calibrate, FEWEST))
    )
    return (select, calibrate) if enough else (list(samples), [])


def person_of(clip: Clip) -> str:
    """Return the name that a clip and its twin share."""
    return clip.identity or clip.parents.get("twin", clip.id)
