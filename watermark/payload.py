"""The 64 bits of a mark and the code that protects them.

A payload is an identifier to look up, never a proof by itself. It is followed by its CRC-24 and
sent through a polar code of 1024 bits (Arikan 2009), whose 88 most reliable places are found by
their polarization weight (He et al. 2017). `decode` is successive cancellation with a list of 32
paths (Tal and Vardy 2015), among which the CRC chooses. In white noise it brings back nine payloads
of ten at 1.8 dB less than the convolutional code of the mark's first version.
"""

import functools

import numba
import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError

__all__ = [
    "CODED_BITS",
    "CODED_BITS_MIN",
    "CRC_BITS",
    "PAYLOAD_BITS",
    "crc24",
    "decode",
    "encode",
    "parse_payload",
]

PAYLOAD_BITS = 64
CRC_BITS = 24
_MESSAGE_BITS = PAYLOAD_BITS + CRC_BITS
CODED_BITS = 1024
CODED_BITS_MIN = 128  # the shortest code that holds the message
# Paths in the list: each more asks the CRC to tell one more wrong message from the right one.
_PATHS = 32
_PATHS_PATIENT = 1024

_CRC_POLYNOMIAL = 0x864CFB  # CRC-24 of OpenPGP, RFC 9580 section 6.1
_CRC_START = 0xB704CE


def parse_payload(text: str) -> int:
    """Read a payload from up to 16 hexadecimal digits, with or without 0x.

    Raises:
        ConfigError: the text is not a hexadecimal number below 2**64.
    """
    try:
        value = int(text, 16)
    except ValueError as error:
        raise ConfigError(
            f"payload {text!r} is not hexadecimal; give up to 16 digits of 0-9 and a-f."
        ) from error
    return _checked(value)


def _checked(payload: int) -> int:
    if not 0 <= payload < 1 << PAYLOAD_BITS:
        raise ConfigError(
            f"payload {payload:#x} does not fit in 64 bits; give 16 hexadecimal digits at most."
        )
    return payload


def crc24(data: bytes) -> int:
    """Return the CRC-24 of OpenPGP; `crc24(b"123456789") == 0x21CF02`."""
    crc = _CRC_START
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= 0x1000000 | _CRC_POLYNOMIAL
    return crc


def _bits(value: int, width: int) -> list[int]:
    return [value >> (width - 1 - index) & 1 for index in range(width)]


@functools.lru_cache(maxsize=8)
def _places(coded_bits: int) -> npt.NDArray[np.intp]:
    """Return the places [88], in order, that carry the message: those of largest polarization
    weight.
    """
    levels = coded_bits.bit_length() - 1
    if coded_bits != 1 << levels or coded_bits < CODED_BITS_MIN:
        raise ConfigError(
            f"a mark's code has {coded_bits} bits; it needs a power of two, "
            f"{CODED_BITS_MIN} at least."
        )
    digits = np.arange(coded_bits)[:, None] >> np.arange(levels) & 1
    weight = digits @ 2.0 ** (np.arange(levels) / 4)
    return np.sort(np.argsort(weight, kind="stable")[-_MESSAGE_BITS:])


def encode(payload: int, coded_bits: int = CODED_BITS) -> npt.NDArray[np.int8]:
    """Return the coded bits of a payload as signs, +1 for a zero and -1 for a one.

    Raises:
        ConfigError: the payload is negative or has more than 64 bits, or the code's length is no
            power of two, 128 at least.
    """
    check = crc24(_checked(payload).to_bytes(PAYLOAD_BITS // 8, "big"))
    word = np.zeros(coded_bits, np.uint8)
    word[_places(coded_bits)] = _bits(payload << CRC_BITS | check, _MESSAGE_BITS)
    for level in range(coded_bits.bit_length() - 1):
        pairs = word.reshape(-1, 2, 1 << level)
        pairs[:, 0] ^= pairs[:, 1]
    return (1 - 2 * word.astype(np.int8)).astype(np.int8)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _descend(
    beliefs: npt.NDArray[np.float32],
    sums: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    first: int,
    known_left: bool,
) -> None:
    """Work out one path's belief about the next bit, from the level above `first` downwards."""
    levels = starts.shape[0] - 1
    for level in range(first, levels):
        above, below = starts[level], starts[level + 1]
        size = (starts[level + 1] - above) // 2
        for index in range(size):
            left, right = beliefs[above + index], beliefs[above + size + index]
            if known_left and level == first:
                value = right - left if sums[below + index] else right + left
            else:
                value = min(abs(left), abs(right))
                if (left >= 0) != (right >= 0):
                    value = -value
            beliefs[below + index] = value


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _ascend(
    sums: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    work: npt.NDArray[np.uint8],
    place: int,
    bit: int,
) -> None:
    """Fold one path's new bit into the partial sums of the halves that it completes."""
    work[0] = bit
    size, level = 1, starts.shape[0] - 1
    while place & 1:
        for index in range(size - 1, -1, -1):
            right = work[index]
            work[size + index] = right
            work[index] = sums[starts[level] + index] ^ right
        size, level, place = 2 * size, level - 1, place >> 1
    if level > 0:
        for index in range(size):
            sums[starts[level] + index] = work[index]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _paths(
    soft: npt.NDArray[np.float32], frozen: npt.NDArray[np.bool_], width: int
) -> npt.NDArray[np.uint8]:
    """Return the surviving paths [paths, places], the likeliest first."""
    count = soft.shape[0]
    levels = 0
    while 1 << levels < count:
        levels += 1
    starts = np.empty(levels + 1, np.int64)  # of each level in a path's row
    at = 0
    for level in range(levels + 1):
        starts[level] = at
        at += count >> level
    beliefs = np.zeros((width, 2 * count), np.float32)
    sums = np.zeros((width, 2 * count), np.uint8)
    bits = np.zeros((width, count), np.uint8)
    work = np.empty(count, np.uint8)
    penalty = np.zeros(width)
    beliefs[0, :count] = soft
    live = 1
    for place in range(count):
        first = 0
        if place > 0:
            first = levels - 1
            while place >> (levels - 1 - first) & 1 == 0:
                first -= 1
        for path in range(live):
            _descend(beliefs[path], sums[path], starts, first, place > 0)
        last = starts[levels]
        if frozen[place]:
            for path in range(live):
                penalty[path] += max(0.0, -beliefs[path, last])
        else:
            costs = np.empty(2 * live)
            for path in range(live):
                belief = beliefs[path, last]
                costs[2 * path] = penalty[path] + max(0.0, -belief)
                costs[2 * path + 1] = penalty[path] + max(0.0, belief)
            kept = np.zeros(2 * live, np.bool_)
            kept[np.argsort(costs)[:width]] = True
            free = np.empty(width, np.int64)
            spare = 0
            for path in range(width - 1, -1, -1):
                if path >= live or not (kept[2 * path] or kept[2 * path + 1]):
                    free[spare] = path
                    spare += 1
            before = live
            for path in range(before):
                if kept[2 * path] and kept[2 * path + 1]:
                    spare -= 1
                    twin = free[spare]
                    beliefs[twin] = beliefs[path]
                    sums[twin] = sums[path]
                    bits[twin, :place] = bits[path, :place]
                    bits[twin, place] = 1
                    penalty[twin] = costs[2 * path + 1]
                    live = max(live, twin + 1)
                    penalty[path] = costs[2 * path]
                elif kept[2 * path]:
                    penalty[path] = costs[2 * path]
                elif kept[2 * path + 1]:
                    bits[path, place] = 1
                    penalty[path] = costs[2 * path + 1]
        for path in range(live):
            _ascend(sums[path], starts, work, place, bits[path, place])
    return bits[np.argsort(penalty[:live])]


def decode(soft: npt.NDArray[np.float32], *, patient: bool = False) -> int | None:
    """Return the likeliest payload in the list whose CRC-24 is right, or None where none is.

    `soft`, [1024] or of the code's length, holds one log-likelihood ratio a coded bit up to a
    common positive factor: positive for a zero. `patient` takes forty times as long over it and
    reads somewhat fainter marks. On noise alone a CRC passes with probability below 32 * 2**-24, or
    1024 * 2**-24.
    """
    width = _PATHS_PATIENT if patient else _PATHS
    places = _places(len(soft))
    frozen = np.ones(len(soft), np.bool_)
    frozen[places] = False
    for path in _paths(np.ascontiguousarray(soft, np.float32), frozen, width):
        number = int("".join(map(str, path[places])), 2)
        payload, check = number >> CRC_BITS, number & ((1 << CRC_BITS) - 1)
        if crc24(payload.to_bytes(PAYLOAD_BITS // 8, "big")) == check:
            return payload
    return None
