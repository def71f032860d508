"""Which of many fingerprints are like one: words of a fixed width, slid along each other."""

import numpy as np
import numpy.typing as npt

__all__ = ["WORD_BYTES", "distance", "near_words"]

WORD_BYTES = {"picture": 8, "sound": 4}  # of one word of each kind of fingerprint
_OVERLAP = 0.5  # of the shorter fingerprint, at least
_AT_ONCE = 256  # positions whose words are held in memory

_ONES = np.array([value.bit_count() for value in range(1 << 16)], np.uint8)

Bytes = npt.NDArray[np.uint8]


def _words(data: bytes, width: int) -> Bytes:
    """Return [N, width]."""
    return np.frombuffer(data, np.uint8).reshape(-1, width)


def _ones(data: Bytes) -> npt.NDArray[np.int64]:
    """Return the number of ones along the last axis, whose length is even."""
    pairs = np.ascontiguousarray(data).view(np.uint16)
    return np.asarray(_ONES[pairs].sum(-1, dtype=np.int64))


def distance(one: bytes, other: bytes, width: int) -> float:
    """Return the least mean share of bits that differ, 0 to 1, over all ways to lay one fingerprint
    on the other so that at least half of the shorter one overlaps.
    """
    short, long = sorted((_words(one, width), _words(other, width)), key=len)
    least = max(1, round(_OVERLAP * len(short)))
    # All positions at once: the longer one with room for what hangs over at both ends.
    room = np.zeros((len(short) - least, width), np.uint8)
    held = np.concatenate([room, long, room])
    there = np.zeros(len(held), bool)
    there[len(room) : len(room) + len(long)] = True
    laid = np.lib.stride_tricks.sliding_window_view(held, len(short), axis=0)  # [S, width, N]
    counted = np.lib.stride_tricks.sliding_window_view(there, len(short))  # [S, N]
    best = 1.0
    for begin in range(0, len(laid), _AT_ONCE):
        part = slice(begin, begin + _AT_ONCE)
        differing = _ones(laid[part].transpose(0, 2, 1) ^ short) * counted[part]
        shares = differing.sum(-1) / (8 * width * counted[part].sum(-1))
        best = min(best, float(shares.min()))
    return best


def near_words(one: bytes, others: list[bytes], width: int, at_most: float) -> list[int]:
    """Return the positions of those that hold a word as near as that to a word of `one`.

    Whoever is nearer than `at_most` on the whole is so in one word at least: no neighbour is lost.
    """
    if not others:
        return []
    every = _words(b"".join(others), width)
    owner = np.repeat(np.arange(len(others)), [len(each) // width for each in others])
    limit = at_most * 8 * width
    near = np.zeros(len(every), bool)
    for word in np.unique(_words(one, width), axis=0):
        near |= _ones(every ^ word) <= limit
    return [int(index) for index in np.unique(owner[near])]
