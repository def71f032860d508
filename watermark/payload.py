"""The 64 bits of a mark and the code that protects them.

A payload is an identifier to look up, never a proof by itself. It is followed by its CRC-24 and
six zero bits that bring the encoder back to its first state, and sent through the rate-1/3
convolutional code of constraint length 7 (generators 133, 171, 165 octal). `decode` is the
soft-decision Viterbi algorithm, so that a weak chip costs little.
"""

import numba
import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError

__all__ = ["CODED_BITS", "CRC_BITS", "PAYLOAD_BITS", "crc24", "decode", "encode", "parse_payload"]

PAYLOAD_BITS = 64
CRC_BITS = 24
_MEMORY = 6  # constraint length 7
_STATES = 1 << _MEMORY
_GENERATORS = (0o133, 0o171, 0o165)
_RATE = len(_GENERATORS)
_MESSAGE_BITS = PAYLOAD_BITS + CRC_BITS
_STEPS = _MESSAGE_BITS + _MEMORY
CODED_BITS = _RATE * _STEPS  # 282

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


def _branches() -> npt.NDArray[np.float32]:
    """Return the signs [states, 2, 3] that leave each state for each input bit."""
    signs = np.empty((_STATES, 2, _RATE), np.float32)
    for state in range(_STATES):
        for bit in range(2):
            register = bit << _MEMORY | state
            for index, generator in enumerate(_GENERATORS):
                signs[state, bit, index] = 1.0 - 2.0 * ((register & generator).bit_count() & 1)
    return signs


_BRANCHES = _branches()


def encode(payload: int) -> npt.NDArray[np.int8]:
    """Return the 282 coded bits of a payload as signs, +1 for a zero and -1 for a one, shape [282].

    Raises:
        ConfigError: the payload is negative or has more than 64 bits.
    """
    check = crc24(_checked(payload).to_bytes(PAYLOAD_BITS // 8, "big"))
    message = _bits(payload, PAYLOAD_BITS) + _bits(check, CRC_BITS) + [0] * _MEMORY
    coded = np.empty((_STEPS, _RATE), np.int8)
    state = 0
    for step, bit in enumerate(message):
        coded[step] = _BRANCHES[state, bit]
        state = (bit << _MEMORY | state) >> 1
    return coded.ravel()


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _viterbi(
    soft: npt.NDArray[np.float32], branches: npt.NDArray[np.float32]
) -> npt.NDArray[np.uint8]:
    """Return the bits of the path, state 0 to state 0, that agrees best with `soft` [steps, 3]."""
    steps, rate = soft.shape
    states = branches.shape[0]
    half = states // 2
    score = np.full(states, -1e30, np.float64)
    score[0] = 0.0
    came_from = np.zeros((steps, states), np.uint8)
    for step in range(steps):
        after = np.full(states, -1e30, np.float64)
        for state in range(states):
            for bit in range(2):
                value = score[state]
                for index in range(rate):
                    value += soft[step, index] * branches[state, bit, index]
                to = bit * half + state // 2
                if value > after[to]:
                    after[to] = value
                    came_from[step, to] = state
        score = after
    bits = np.empty(steps, np.uint8)
    state = 0
    for step in range(steps - 1, -1, -1):
        bits[step] = state // half
        state = came_from[step, state]
    return bits


def decode(soft: npt.NDArray[np.float32]) -> int | None:
    """Return the payload whose code word agrees best with `soft`, or None where its CRC-24 does
    not.

    `soft` [282] holds one log-likelihood ratio a coded bit up to a common positive factor:
    positive for a zero. On noise alone the CRC passes with probability 2**-24.
    """
    values = np.ascontiguousarray(soft, np.float32).reshape(_STEPS, _RATE)
    bits = _viterbi(values, _BRANCHES)
    number = int("".join(map(str, bits[:_MESSAGE_BITS])), 2)
    payload, check = number >> CRC_BITS, number & ((1 << CRC_BITS) - 1)
    return payload if crc24(payload.to_bytes(PAYLOAD_BITS // 8, "big")) == check else None
