"""Where the mark lies: keyed chips on a torus that shows no period to whoever lacks the key.

The plane of the mark is a torus of 512 x 512 *mark pixels*. The short side of a large
frame spans all of it, that of a small one .7 (see `obverse.watermark.geometry.SIZES`). On it lie
128 x 128 chips, 4 mark pixels apart. A keyed permutation gives 13 chips to each of the 1024 coded
bits and the others, near a fifth, to synchronisation; a keyed sign turns every chip over. The
picture of the mark is the sum of the signed chips, each a copy of one band-limited pulse.

Three things follow from this layout:

- No tile repeats inside a square frame, so nothing can be folded out of it; a frame of 16:9 holds
  1.8 copies at most.
- Each clip lays the torus at an offset of its own, which its first frame chooses (see
  `obverse.watermark.embed`). Averaging many clips of one key as they lie averages their
  synchronisation chips to nothing, while the extractor finds any offset by one FFT at no extra
  cost. Who lays the clips on each other first learns those chips; docs/mark.md says what then.
- The signs are independent fair coins to whoever lacks the key, which makes the extractor's p-value
  a theorem (Hoeffding's inequality) and not a fit.

The mark does not change within a clip: a change costs the encoder bits, and skipped blocks keep
the old pattern. What a static mark cannot stop (the mean of all frames of a clip, pasted upon
another clip) is told by `obverse.watermark.fingerprint`.

Everything comes from SHAKE-256 of the key, so that it is the same on every machine and with every
numpy.
"""

import dataclasses
import functools
import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy.fft

from obverse.errors import ConfigError, InputError
from obverse.watermark.payload import CODED_BITS, encode

__all__ = [
    "CHIP_PX",
    "DEFAULT_KEY",
    "GRID",
    "TORUS_PX",
    "Carriers",
    "carriers",
    "code_spectrum",
    "key_stream",
    "pattern",
    "pulse_spectrum",
    "read_key",
]

TORUS_PX = 512  # mark pixels
CHIP_PX = 4  # pitch of the chips in mark pixels
GRID = TORUS_PX // CHIP_PX
_CHIPS_PER_BIT = 13  # 13 312 of 16 384 chips; the other 3072 synchronise
# Lower frequencies outlive coarser quantisers and cost more VMAF; this band does best at VMAF 95.
_BAND = (0.070, 0.115)  # cycles a mark pixel, half-amplitude points of the pulse
_BAND_EDGE = (0.010, 0.012)  # cycles a mark pixel, half-widths of the two soft edges

# The public key: whoever has obverse can read marks made with it, and also make and unmake them.
# It serves open corpora, where everybody must be able to check. Whoever wants marks that others
# cannot forge makes a key of 32 random bytes, keeps it, and keeps retired keys for reading.
DEFAULT_KEY = b"obverse public mark key, 2026-11"
_KEY_BYTES_MIN = 16


def read_key(path: Path) -> bytes:
    """Read a secret key from a file: its bytes as they are, 16 at least.

    Raises:
        InputError: the file cannot be read.
        ConfigError: it is too short to be a key.
    """
    try:
        key = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the key file {path}: {error.strerror}.") from error
    return _checked(key)


def _checked(key: bytes) -> bytes:
    if len(key) < _KEY_BYTES_MIN:
        raise ConfigError(
            f"a mark's key has {len(key)} bytes; it needs {_KEY_BYTES_MIN} at least, "
            "such as 32 from `openssl rand 32`."
        )
    return key


def key_stream(key: bytes, purpose: bytes, size: int) -> bytes:
    """Return `size` pseudo-random bytes of a key; purposes do not overlap.

    Raises:
        ConfigError: the key has fewer than 16 bytes.
    """
    head = b"obverse mark 2\0" + len(_checked(key)).to_bytes(4, "big") + key + purpose
    return hashlib.shake_256(head).digest(size)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Carriers:
    """The keyed layout of the chips, flat over the [128, 128] grid in row order."""

    sign: npt.NDArray[np.float32]  # [16384] +-1
    sync: npt.NDArray[np.intp]  # [3072] chips that carry their sign alone
    bits: npt.NDArray[np.intp]  # [1024, 13] chips of each coded bit

    def chips(self, coded: npt.NDArray[np.int8]) -> npt.NDArray[np.float32]:
        """Return the signed chips [128, 128] of a code word [1024] of +-1."""
        chips = self.sign.copy()
        chips[self.bits] *= coded[:, None]
        return chips.reshape(GRID, GRID)

    def sync_chips(self) -> npt.NDArray[np.float32]:
        """Return the synchronisation chips [128, 128], zero elsewhere."""
        chips = np.zeros(GRID * GRID, np.float32)
        chips[self.sync] = self.sign[self.sync]
        return chips.reshape(GRID, GRID)


@functools.lru_cache(maxsize=8)
def carriers(key: bytes = DEFAULT_KEY) -> Carriers:
    """Lay out the chips of a key.

    Raises:
        ConfigError: the key has fewer than 16 bytes.
    """
    count = GRID * GRID
    flips = np.unpackbits(np.frombuffer(key_stream(key, b"sign", count // 8), np.uint8))
    ranks = np.frombuffer(key_stream(key, b"place", 8 * count), ">u8")
    order = np.argsort(ranks, kind="stable")
    used = CODED_BITS * _CHIPS_PER_BIT
    return Carriers(
        sign=(1.0 - 2.0 * flips).astype(np.float32),
        sync=np.sort(order[used:]),
        bits=order[:used].reshape(CODED_BITS, _CHIPS_PER_BIT),
    )


def pulse_spectrum(side: int, tiles: tuple[int, int] = (1, 1)) -> npt.NDArray[np.float32]:
    """Return the pulse's transfer function for a plane of `tiles` (down, right) tori, each of
    `side` samples: [side * down, side * right // 2 + 1].
    """
    per_px = side / TORUS_PX
    rows = scipy.fft.fftfreq(side * tiles[0])[:, None] * per_px
    columns = scipy.fft.rfftfreq(side * tiles[1])[None, :] * per_px
    radius = np.hypot(rows, columns)
    rise = 0.5 + 0.5 * np.clip((radius - _BAND[0]) / _BAND_EDGE[0], -1, 1)
    fall = 0.5 - 0.5 * np.clip((radius - _BAND[1]) / _BAND_EDGE[1], -1, 1)
    shape = np.sin(np.pi / 2 * rise) * np.sin(np.pi / 2 * fall)
    return np.asarray(shape, np.float32)


def code_spectrum(
    payload: int, key: bytes = DEFAULT_KEY, side: int = TORUS_PX
) -> npt.NDArray[np.complex64]:
    """Return the spectrum [side, side // 2 + 1] of a payload's mark in `side` samples, no offset.

    Raises:
        ConfigError: the payload does not fit in 64 bits, or the key is too short.
    """
    impulses = np.zeros((side, side), np.float32)
    step = side // GRID
    impulses[::step, ::step] = carriers(key).chips(encode(payload))
    return np.asarray(scipy.fft.rfft2(impulses) * pulse_spectrum(side), np.complex64)


def pattern(payload: int, key: bytes = DEFAULT_KEY) -> npt.NDArray[np.float32]:
    """Return the mark of a payload on the torus, [512, 512] with mean 0 and variance 1, no offset.

    Raises:
        ConfigError: the payload does not fit in 64 bits, or the key is too short.
    """
    image = scipy.fft.irfft2(code_spectrum(payload, key), s=(TORUS_PX, TORUS_PX))
    return np.ascontiguousarray(image / image.std(), np.float32)
