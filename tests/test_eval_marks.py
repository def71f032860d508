"""A mark that is known can be taken off, and the extractor agrees."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from obverse.errors import InputError
from obverse.eval.encoders import Codec, write_film
from obverse.eval.marks import check_mark, own_payload, strength_of, with_mark, without
from obverse.media.video import read_frames
from obverse.watermark.extract import extract

PAYLOAD = 0x0123456789ABCDEF


def scene(count: int = 12, side: int = 256) -> Iterator[npt.NDArray[np.uint8]]:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:side, :side]
    still = 110 + 50 * np.sin(x / 17) * np.cos(y / 23) + rng.normal(0, 3, (side, side))
    for number in range(count):  # something moves before a background that does not
        blob = 60 * np.exp(-((x - 90 - 3 * number) ** 2 + (y - 130) ** 2) / 900)
        seen = still + blob
        yield np.stack([seen, seen * 0.9, seen * 0.8], axis=-1).astype(np.uint8)


def test_a_mark_is_set_and_taken_off_after_an_encoder(tmp_path: Path) -> None:
    coded = Codec(crf=18, preset="veryfast", gop=50)
    marked, bare = tmp_path / "marked.mp4", tmp_path / "bare.mp4"
    write_film(marked, with_mark(scene(), PAYLOAD), 25, coded)
    assert extract(marked).payload == PAYLOAD
    strength = strength_of(read_frames(marked), PAYLOAD)
    assert 0.4 < strength <= 1.4
    # An encoder takes some of it; to who takes it away it is texture, which gets a fainter mark.
    frames = without(read_frames(marked), read_frames(marked), PAYLOAD)
    write_film(bare, frames, 25, coded)
    found = check_mark(bare)
    assert not found.present
    assert found.z < check_mark(marked).z / 3


def test_nothing_to_tell_a_strength_from() -> None:
    with pytest.raises(InputError, match="no frames"):
        strength_of(iter(()), PAYLOAD)


def test_own_payloads_are_steady_and_differ() -> None:
    assert own_payload("a") == own_payload("a")
    assert own_payload("a") != own_payload("b")
    assert 0 <= own_payload("a") < 1 << 64
