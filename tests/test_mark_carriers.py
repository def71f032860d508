"""The keyed layout: complete, reproducible, aperiodic, and unlike that of any other key."""

import hashlib
import itertools
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
        "34d3da4ed779f5b01c7ff491aaec8030ec9e5a95f9fba77d4432efc16fa14f64"
    )


def test_the_pattern_is_normalised_and_band_limited() -> None:
    mark = pattern(5, KEY)
    assert mark.shape == (TORUS_PX, TORUS_PX)
    assert abs(float(mark.mean())) < 1e-3
    assert float(mark.std()) == pytest.approx(1, abs=1e-3)
    power = np.abs(scipy.fft.fft2(mark)) ** 2
    radius = np.hypot(scipy.fft.fftfreq(TORUS_PX)[:, None], scipy.fft.fftfreq(TORUS_PX)[None, :])
    outside = (radius < 0.055) | (radius > 0.130)
    assert power[outside].sum() < 1e-4 * power.sum()


def test_no_tile_repeats() -> None:
    # Autocorrelation away from the peak is what chance gives: nothing to fold.
    mark = pattern(5, KEY)
    spectrum = scipy.fft.rfft2(mark)
    surface = scipy.fft.irfft2(np.abs(spectrum) ** 2) / mark.size
    near = 8 * CHIP_PX
    surface[:near, :near] = surface[-near:, :near] = 0
    surface[:near, -near:] = surface[-near:, -near:] = 0
    assert float(np.abs(surface).max()) < 0.08


def test_payloads_share_their_synchronisation_and_no_more() -> None:
    # Hence the offsets: without them the mean of many marks would keep a fifth of their energy.
    payloads = np.random.default_rng(0).integers(0, 1 << 63, 16)
    marks = [pattern(int(payload), KEY) for payload in payloads]
    shares = [_alike(one, other) for one, other in itertools.pairwise(marks)]
    assert float(np.mean(shares)) == pytest.approx(3072 / GRID**2, abs=0.05)
    rolled = [np.roll(mark, (37 * n, 91 * n), (0, 1)) for n, mark in enumerate(marks)]
    assert max(abs(_alike(rolled[0], other)) for other in rolled[1:]) < 0.1


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
