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


@given(PAYLOADS)
def test_the_ends_of_a_polar_code_word_are_known(payload: int) -> None:
    # The first coded bit adds up all of the message, the last is its last bit.
    message = payload << 24 | crc24(payload.to_bytes(8, "big"))
    coded = (1 - encode(payload)) // 2
    assert coded[0] == message.bit_count() % 2
    assert coded[-1] == message % 2


@given(PAYLOADS, PAYLOADS, PAYLOADS)
def test_the_code_is_affine(one: int, two: int, three: int) -> None:
    # So is a CRC with a start value: three words multiply to the word of the sum of three.
    product = encode(one) * encode(two) * encode(three)
    assert np.array_equal(product, encode(one ^ two ^ three))


@settings(deadline=None)
@given(PAYLOADS)
def test_what_is_encoded_is_decoded(payload: int) -> None:
    coded = encode(payload)
    assert coded.shape == (CODED_BITS,)
    assert decode(coded.astype(np.float32)) == payload


@settings(deadline=None, max_examples=25)
@given(PAYLOADS, st.integers(0, 2**32 - 1))
def test_scattered_errors_are_corrected(payload: int, seed: int) -> None:
    soft = encode(payload).astype(np.float32)
    wrong = np.random.default_rng(seed).choice(CODED_BITS, CODED_BITS // 5, replace=False)
    soft[wrong] *= -1
    assert decode(soft) == payload


def test_the_strength_at_which_most_payloads_come_back() -> None:
    # z of the code word is the root of the bits times the signal to noise ratio of one: at 13 nine
    # of ten come back; a bit in three is wrong there.
    rng = np.random.default_rng(1)
    strength = 13 / CODED_BITS**0.5
    right, wrong_bits = 0, []
    for payload in range(40):
        coded = encode(payload)
        soft = (strength * coded + rng.normal(size=CODED_BITS)).astype(np.float32)
        wrong_bits.append(float(np.mean(np.sign(soft) != coded)))
        right += decode(soft) == payload
    assert right >= 32
    assert np.mean(wrong_bits) > 0.3


def test_patience_reads_fainter_marks() -> None:
    rng = np.random.default_rng(4)
    right = {False: 0, True: 0}
    for payload in range(12):
        noisy = encode(payload) * 10.8 / CODED_BITS**0.5 + rng.normal(size=CODED_BITS)
        for patient in right:
            right[patient] += decode(noisy.astype(np.float32), patient=patient) == payload
    assert right[True] > right[False]


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
