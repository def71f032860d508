"""The keyed layout: complete, reproducible, aperiodic, and unlike that of any other key."""

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import scipy.fft

from obverse.errors import ConfigError, InputError
from obverse.watermark.carriers import (
    CHIP_PX,
    DEFAULT_KEY,
    GRID,
    TORUS_PX,
    carriers,
    offset_of,
    pattern,
    read_key,
)

KEY = b"a secret key of a test, 32 bytes"


def _alike(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    return float((one * other).mean() / (one.std() * other.std()))


def test_every_chip_has_one_task() -> None:
    layout = carriers(KEY)
    tasks = np.concatenate([layout.sync, layout.bits.ravel()])
    assert sorted(tasks) == list(range(GRID * GRID))
    assert set(layout.sign) == {-1.0, 1.0}


def test_the_layout_of_a_key_never_changes() -> None:
    # Golden: marks made today must be readable for ever.
    layout = carriers(DEFAULT_KEY)
    data = layout.sign.astype(np.int8).tobytes() + layout.bits.astype("<i4").tobytes()
    assert hashlib.sha256(data).hexdigest() == (
        "692a62028028f6fcd507864b170c73be17e541afaf53d0f5419131346adffa98"
    )


def test_the_pattern_is_normalised_and_band_limited() -> None:
    mark = pattern(5, KEY)
    assert mark.shape == (TORUS_PX, TORUS_PX)
    assert abs(float(mark.mean())) < 1e-3
    assert float(mark.std()) == pytest.approx(1, abs=1e-3)
    power = np.abs(scipy.fft.fft2(mark)) ** 2
    radius = np.hypot(scipy.fft.fftfreq(TORUS_PX)[:, None], scipy.fft.fftfreq(TORUS_PX)[None, :])
    outside = (radius < 0.035) | (radius > 0.155)
    assert power[outside].sum() < 1e-4 * power.sum()


def test_no_tile_repeats() -> None:
    # Autocorrelation away from the peak is what chance gives: nothing to fold.
    mark = pattern(5, KEY)
    spectrum = scipy.fft.rfft2(mark)
    surface = scipy.fft.irfft2(np.abs(spectrum) ** 2) / mark.size
    near = 8 * CHIP_PX
    surface[:near, :near] = surface[-near:, :near] = 0
    surface[:near, -near:] = surface[-near:, -near:] = 0
    assert float(np.abs(surface).max()) < 0.06


def test_clips_of_one_key_do_not_add_up() -> None:
    # The mean of many clips' marks keeps nothing of any: neither synchronisation nor payload.
    marks = [pattern(payload, KEY) for payload in range(32)]
    mean = np.mean(marks, axis=0)
    assert float(mean.std()) == pytest.approx(32**-0.5, rel=0.05)
    assert max(_alike(mean, mark) for mark in marks) < 0.25


def test_offsets_cover_the_torus_and_depend_on_the_key() -> None:
    offsets = np.array([offset_of(payload, KEY) for payload in range(400)])
    assert (offsets >= 0).all()
    assert (offsets < TORUS_PX).all()
    assert (np.abs(offsets.mean(axis=0) - TORUS_PX / 2) < 40).all()
    assert offset_of(7, KEY) != offset_of(7, DEFAULT_KEY)


def test_keys_share_nothing() -> None:
    assert abs(_alike(pattern(9, KEY), pattern(9, DEFAULT_KEY))) < 0.05
    assert abs(float(np.mean(carriers(KEY).sign * carriers(DEFAULT_KEY).sign))) < 0.04


def test_keys_are_read_from_files(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(KEY)
    assert read_key(path) == KEY
    path.write_bytes(b"short")
    with pytest.raises(ConfigError, match="16"):
        read_key(path)
    with pytest.raises(InputError, match="cannot read"):
        read_key(tmp_path / "none")
