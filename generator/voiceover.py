"""The method `voiceover`: a film as it is, and another speech laid over it.

The picture is pristine; the sound is not that of the lips.
"""

import numpy as np
import numpy.typing as npt

from obverse.errors import InputError

__all__ = ["voiceover"]

Samples = npt.NDArray[np.float32]

_GAIN_MOST = 4.0  # 12 dB, either way: a recording's silence is not made a roar


def voiceover(own: Samples, other: Samples) -> Samples:
    """Return another sound as it is laid over a film: as long as the film's own, and as loud.

    Both are cut from their start, so that neither length, loudness nor the silence before the first
    word tells which of the two is heard.

    Args:
        own: the film's sound `[N]`, mono in [-1, 1].
        other: what is heard in its place `[M]`, at the same rate; said again where it is shorter.

    Raises:
        InputError: there is no other sound.
    """
    if not len(other):
        raise InputError("there is no other sound to lay over a film; give one that lasts.")
    laid = np.resize(other, len(own))
    loudness, peak = _loudness(laid), float(np.abs(laid).max(initial=0.0))
    if not loudness:
        return laid
    gain = min(max(_loudness(own) / loudness, 1 / _GAIN_MOST), _GAIN_MOST, 1 / peak)
    return laid * np.float32(gain)


def _loudness(samples: Samples) -> float:
    """Return the root mean square, 0 for no samples."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0
