"""Video Seal's networks behind obverse's payload, keys and statistics.

Meta publishes Video Seal as a TorchScript file whose module embeds a message of bits into frames
and gives, of frames, a number for each bit, above 0 for a one (Fernandez et al. 2024). No weights
ship with obverse: the user names a file. Loading one runs what is in it, so take it from its
publisher alone.

The message is obverse's own: 64 bits and their CRC-24 in a polar code as long as the message
allows, 256 bits for the published model, put in an order and turned over bit by bit as the key
says. To whoever lacks the key those signs are fair coins, so that for the soft bits y of any film
made without the key, w the keyed signs and c the code word,

    P(sum(c w y) / norm(y) >= z) <= exp(-z**2 / 2)             (Hoeffding 1963)

and `p_value = 2**64 * exp(-z**2 / 2)` bounds the chance that any payload reaches z. That is a
theorem about the key, whatever the network does; it says nothing of whoever has the key, and
nothing of a mark copied from another film. z is at most the root of the code's length, 16 for 256
bits. The detector's own opinion, its first output, is not calibrated and not used.
"""

import dataclasses
import itertools
import math
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from obverse.errors import InputError, WeightsError
from obverse.watermark.carriers import DEFAULT_KEY, key_stream
from obverse.watermark.extract import FALSE_ACCEPTS, MarkReading
from obverse.watermark.payload import PAYLOAD_BITS, decode, encode

__all__ = ["VideoSealMark"]

Frame = npt.NDArray[np.uint8]
# The published module marks every fourth frame anew and repeats the change on the three after it;
# pieces that are a multiple of that are marked as the whole film would be.
_PIECE_FRAMES = 8
# z is at most the root of the bits, and 10.8 is needed: a code of 128 bits would have to come back
# without any doubt.
_BITS_MIN = 256
_PROBE_PX = 256  # of the picture that tells how many bits a module has


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Layout:
    """Which bit of the message carries which coded bit, and which of them are turned over."""

    places: npt.NDArray[np.intp]  # [n] of the message
    signs: npt.NDArray[np.int8]  # [n] +-1

    @staticmethod
    def of(key: bytes, bits: int) -> "_Layout":
        coded = 1 << (bits.bit_length() - 1)
        ranks = np.frombuffer(key_stream(key, b"seal place", 8 * bits), ">u8")
        flips = np.unpackbits(np.frombuffer(key_stream(key, b"seal sign", coded // 8), np.uint8))
        return _Layout(np.argsort(ranks, kind="stable")[:coded], (1 - 2 * flips.astype(np.int8)))


class VideoSealMark:
    """Embeds and reads through a TorchScript file of Video Seal's interface."""

    name = "Video Seal"
    frames_read = 64  # of a film; the network looks at each

    def __init__(self, weights: Path, key: bytes = DEFAULT_KEY) -> None:
        """Load the networks.

        Raises:
            WeightsError: the file is absent, no TorchScript file, not of Video Seal's interface, or
                its message is too short for a payload.
            ConfigError: the key is too short.
        """
        self._weights = weights
        self._module = _load(weights)
        self._bits = _message_bits(self._module, weights)
        self._layout = _Layout.of(key, self._bits)

    def embedder(self, payload: int) -> "_Sealer":
        """Return what marks the frames of one clip.

        Raises:
            ConfigError: the payload does not fit in 64 bits.
        """
        layout = self._layout
        signs = np.ones(self._bits, np.int8)
        signs[layout.places] = layout.signs * encode(payload, len(layout.places))
        return _Sealer(self._module, (signs < 0).astype(np.float32), self._weights)

    def extract_frames(self, frames: Iterable[Frame]) -> MarkReading:
        """Read frames `[H, W, 3] uint8 RGB` of one size; their soft bits are averaged.

        Raises:
            InputError: there are no frames.
            WeightsError: the module fails.
        """
        total = np.zeros(self._bits)
        count = 0
        for piece in _pieces(frames):
            found = _call(self._module.detect, self._weights, _tensor(piece), True)
            total += found.double().numpy()[:, 1:].sum(axis=0)
            count += len(piece)
        if not count:
            raise InputError("there are no frames to look for a mark in.")
        return self._reading(total / count, count)

    def _reading(self, mean: npt.NDArray[np.float64], frames: int) -> MarkReading:
        # The module's numbers are above 0 for a one; the code's soft bits are for a zero.
        soft = -mean[self._layout.places] * self._layout.signs
        norm = float(np.linalg.norm(soft))
        if not math.isfinite(norm):
            raise WeightsError(
                f"{self._weights} gives bits that are no numbers; take another file."
            )
        payload = decode(soft.astype(np.float32), patient=True) if norm > 0 else None
        if payload is None:
            return MarkReading(False, None, 0.0, 1.0, frames)
        z = float(encode(payload, len(soft)) @ soft) / norm
        p_value = _p_value(z)
        if p_value > FALSE_ACCEPTS:
            return MarkReading(False, None, z, p_value, frames)
        return MarkReading(True, payload, z, p_value, frames)


def _p_value(z: float) -> float:
    return math.exp(min(0.0, PAYLOAD_BITS * math.log(2) - z * z / 2)) if z > 0 else 1.0


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Sealer:
    """Marks the frames of one clip."""

    module: Any
    message: npt.NDArray[np.float32]  # [bits] of 0 and 1
    weights: Path

    def embed(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Yield each frame `[H, W, 3] uint8 RGB` marked."""
        import torch

        message = torch.from_numpy(self.message)[None]
        for piece in _pieces(frames):
            # A last piece is filled up: the published module wants whole steps.
            whole = piece + piece[-1:] * (-len(piece) % _PIECE_FRAMES)
            made = _call(self.module.embed, self.weights, _tensor(whole), message, True)
            marked = made.permute(0, 2, 3, 1).mul(255.0).round().clamp(0.0, 255.0).byte().numpy()
            if marked.shape != (len(whole), *piece[0].shape):
                raise WeightsError(
                    f"{self.weights} gives frames of shape {tuple(made.shape)} for {len(whole)} of "
                    f"{piece[0].shape[1]}x{piece[0].shape[0]} px; it is not Video Seal's."
                )
            yield from marked[: len(piece)]


def _pieces(frames: Iterable[Frame]) -> Iterator[list[Frame]]:
    rest = iter(frames)
    while piece := list(itertools.islice(rest, _PIECE_FRAMES)):
        yield piece


def _tensor(frames: list[Frame]) -> Any:
    """Return frames as the module takes them, `[n, 3, H, W]` in 0 to 1."""
    import torch

    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float().div(255.0)


def _call(method: Any, weights: Path, *arguments: Any) -> Any:
    import torch

    try:
        with torch.no_grad():
            return method(*arguments)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        last = str(error).strip().splitlines()[-1]
        raise WeightsError(
            f"{weights} does not work as Video Seal's module does ({last}); take the TorchScript "
            "file that is published."
        ) from error


def _load(weights: Path) -> Any:
    import torch

    if not weights.is_file():
        raise WeightsError(
            f"there are no weights {weights}; give the TorchScript file of Video Seal."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch speaks of what replaces TorchScript
            module: Any = torch.jit.load(str(weights), map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError, OSError) as error:
        raise WeightsError(
            f"{weights} is no TorchScript file, or is damaged; give that of Video Seal."
        ) from error
    for name in ("embed", "detect"):
        if not hasattr(module, name):
            raise WeightsError(
                f"{weights} has no method {name}; give the TorchScript file of Video Seal, which "
                "embeds and detects."
            )
    return module.eval()


def _message_bits(module: Any, weights: Path) -> int:
    """Return how many bits the module reads, all but the first of its outputs."""
    import torch

    grey = torch.full((1, 3, _PROBE_PX, _PROBE_PX), 0.5)
    found = _call(module.detect, weights, grey, True)
    if found.ndim != 2:
        raise WeightsError(
            f"{weights} answers with shape {tuple(found.shape)}; Video Seal's module gives one row "
            "of numbers a frame."
        )
    bits = int(found.shape[1]) - 1
    if bits < _BITS_MIN:
        raise WeightsError(
            f"{weights} holds messages of {bits} bits; a payload and its p-value need {_BITS_MIN}, "
            "which the published model has."
        )
    return bits
