"""Clips that look alike, found among many by their fingerprints without comparing all with all.

A fingerprint is a hash of 64 bits for each second of a clip. Clips that share one of the four
16-bit words of a hash are candidates, and what is only similar is sorted out by the distance. A
copy that was encoded anew flips a few signs a second and shares a word somewhere almost surely; one
with 8 of 64 signs flipped in each of six seconds does so seven times in eight (see its test).
"""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Sequence

from obverse.clip import Split

__all__ = ["Alike", "Print", "find_alike"]

_WORD_BITS, _WORDS = 16, 4
_CROWD = 500  # a word that more clips share says nothing: black, or a station's logo


@dataclasses.dataclass(frozen=True, slots=True)
class Print:
    """A clip's fingerprint."""

    clip: str  # Clip.id
    split: Split | None
    seconds: tuple[int, ...]  # 64 bits each


@dataclasses.dataclass(frozen=True, slots=True)
class Alike:
    """Two clips that look alike."""

    one: str
    other: str
    distance: float  # 0: the same


def find_alike(
    prints: Iterable[Print],
    distance: Callable[[Sequence[int], Sequence[int]], float],
    at_most: float,
) -> list[Alike]:
    """Return the pairs in different splits that look alike, the nearest first.

    Args:
        prints: the clips' fingerprints.
        distance: of two fingerprints, 0 for the same.
        at_most: the distance of copies.
    """
    held = [item for item in prints if item.split is not None and item.seconds]
    found: dict[tuple[int, int], float] = {}
    compared: set[tuple[int, int]] = set()
    for clips in _buckets(held):
        for position, one in enumerate(clips):
            for other in clips[position + 1 :]:
                pair = (one, other)
                if held[one].split == held[other].split or pair in compared:
                    continue
                compared.add(pair)
                apart = distance(held[one].seconds, held[other].seconds)
                if apart <= at_most:
                    found[pair] = apart
    alike = [Alike(held[i].clip, held[j].clip, apart) for (i, j), apart in found.items()]
    return sorted(alike, key=lambda pair: (pair.distance, pair.one, pair.other))


def _buckets(prints: Sequence[Print]) -> Iterable[list[int]]:
    """Return, for each word at each place of a hash, the clips that have it, in order."""
    buckets: dict[tuple[int, int], list[int]] = collections.defaultdict(list)
    for index, item in enumerate(prints):
        words = {
            (place, second >> _WORD_BITS * place & (1 << _WORD_BITS) - 1)
            for second in item.seconds
            for place in range(_WORDS)
        }
        for word in words:
            buckets[word].append(index)
    return [clips for clips in buckets.values() if 1 < len(clips) <= _CROWD]
