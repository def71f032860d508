"""Clips that look alike are found among many, and only across splits."""

from collections.abc import Sequence

import numpy as np

from obverse.clip import Split
from obverse.datasets.duplicates import Print, find_alike
from obverse.watermark.fingerprint import SAME_AT_MOST, Fingerprint, compare


def _distance(one: Sequence[int], other: Sequence[int]) -> float:
    return compare(Fingerprint(tuple(one)), Fingerprint(tuple(other)))


def _prints(count: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    return [tuple(int(x) for x in rng.integers(0, 2**63, 6)) for _ in range(count)]


def _flipped(seconds: tuple[int, ...], bits: int, rng: np.random.Generator) -> tuple[int, ...]:
    return tuple(
        second ^ sum(1 << int(bit) for bit in rng.choice(64, bits, replace=False))
        for second in seconds
    )


def test_copies_are_found_across_splits_and_nothing_else_is() -> None:
    rng = np.random.default_rng(0)
    originals = _prints(400, rng)
    prints = [Print(f"o{n}", "train", seconds) for n, seconds in enumerate(originals)]
    # A copy differs in some signs; a part of it starts later; one in the same split is no leak.
    prints.append(Print("copy", "test", _flipped(originals[7], 5, rng)))
    prints.append(Print("part", "val", originals[9][2:]))
    prints.append(Print("same split", "train", originals[11]))
    prints.append(Print("no split", None, originals[12]))
    found = find_alike(prints, _distance, SAME_AT_MOST)
    assert {(pair.one, pair.other) for pair in found} == {("o7", "copy"), ("o9", "part")}
    assert found[0].distance == 0.0
    assert 0 < found[1].distance <= SAME_AT_MOST


def test_most_copies_with_many_flipped_signs_are_found() -> None:
    """With 8 of 64 signs flipped in every second, six seconds are enough for seven in eight."""
    rng = np.random.default_rng(1)
    originals = _prints(200, rng)
    prints = [Print(f"o{n}", "train", seconds) for n, seconds in enumerate(originals)]
    prints += [Print(f"c{n}", "test", _flipped(s, 8, rng)) for n, s in enumerate(originals)]
    found = {(pair.one, pair.other) for pair in find_alike(prints, _distance, SAME_AT_MOST)}
    assert all(one[1:] == other[1:] for one, other in found)
    assert len(found) >= 170


def test_a_crowd_that_shows_black_is_not_compared_with_itself() -> None:
    splits: list[Split] = ["train", "test"]
    prints = [Print(str(n), splits[n % 2], (0,)) for n in range(2000)]
    assert find_alike(prints, _distance, SAME_AT_MOST) == []
