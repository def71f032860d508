"""The code of the mark: known CRC, known code words, errors corrected, noise refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from obverse.errors import ConfigError
from obverse.watermark.payload import CODED_BITS, crc24, decode, encode, parse_payload

PAYLOADS = st.integers(0, 2**64 - 1)


def test_crc_is_that_of_openpgp() -> None:
    assert crc24(b"123456789") == 0x21CF02  # the check value of CRC-24/OPENPGP
    assert crc24(b"") == 0xB704CE


def test_the_first_bits_are_the_generators_impulse_response() -> None:
    # A one after zeros sends, step by step, the taps of 133, 171 and 165 octal; the payload's last
    # bit is the 64th, so only its own step and the next six are free of what came before, up to
    # the CRC's bits.
    coded = (1 - encode(1 << 63).reshape(-1, 3)) // 2
    zero = (1 - encode(0).reshape(-1, 3)) // 2
    taps = [[int(digit) for digit in f"{generator:07b}"] for generator in (0o133, 0o171, 0o165)]
    assert np.array_equal(coded[:7].T, taps)
    assert not zero[:64].any()


@settings(deadline=None)
@given(PAYLOADS)
def test_what_is_encoded_is_decoded(payload: int) -> None:
    coded = encode(payload)
    assert coded.shape == (CODED_BITS,)
    assert decode(coded.astype(np.float32)) == payload


@settings(deadline=None, max_examples=25)
@given(PAYLOADS, st.integers(0, 2**32 - 1))
def test_scattered_errors_are_corrected(payload: int, seed: int) -> None:
    # Free distance 15: seven errors closer together than a constraint length are always corrected.
    soft = encode(payload).astype(np.float32)
    start = int(np.random.default_rng(seed).integers(0, CODED_BITS - 21))
    soft[start : start + 21 : 3] *= -1
    assert decode(soft) == payload


def test_soft_decisions_survive_a_fifth_of_wrong_bits() -> None:
    rng = np.random.default_rng(1)
    coded = encode(0x0123456789ABCDEF)
    noisy = (coded + rng.normal(0, 1.1, coded.shape)).astype(np.float32)
    assert 0.12 < float(np.mean(np.sign(noisy) != coded)) < 0.25
    assert decode(noisy) == 0x0123456789ABCDEF


def test_noise_holds_no_payload() -> None:
    rng = np.random.default_rng(2)
    assert all(decode(rng.normal(size=CODED_BITS).astype(np.float32)) is None for _ in range(300))


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("0xFF", 255), ("f" * 16, 2**64 - 1)])
def test_payloads_are_read(text: str, value: int) -> None:
    assert parse_payload(text) == value


@pytest.mark.parametrize("text", ["", "xyz", "1" + "0" * 16, "-1"])
def test_other_payloads_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_payload(text)
    with pytest.raises(ConfigError):
        encode(1 << 64)
