"""Watermarks that others publish, behind one interface; absent where not installed."""

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from obverse.watermark.embed import Embedder
from obverse.watermark.extract import extract_frames

__all__ = ["Codec", "Obverse", "peers"]

Frame = npt.NDArray[np.uint8]


class Codec(Protocol):
    """A watermark: marks frames, and says from frames what share of its bits came back."""

    name: str
    bits: int

    def embed(self, frames: Sequence[Frame]) -> list[Frame]:
        """Return marked frames `[H, W, 3] uint8 RGB`."""
        ...

    def read(self, frames: Sequence[Frame]) -> float:
        """Return the share of payload bits that are right once the frames' votes are pooled."""
        ...


class Obverse:
    """Ours; 0.5 where no payload is found, because nothing is guessed."""

    name = "obverse"
    bits = 64

    def __init__(self, payload: int = 0x0123456789ABCDEF) -> None:
        self._payload = payload

    def embed(self, frames: Sequence[Frame]) -> list[Frame]:
        """Mark the frames."""
        return list(Embedder(self._payload).embed(frames))

    def read(self, frames: Sequence[Frame]) -> float:
        """Return 1.0 for the whole payload, 0.5 for none."""
        found = extract_frames(frames).payload
        return 0.5 if found is None else 1 - (found ^ self._payload).bit_count() / 64


def _message(bits: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(bits).integers(0, 2, bits)


class _InvisibleWatermark:
    bits = 32

    def __init__(self, method: str) -> None:
        from imwatermark import WatermarkDecoder, WatermarkEncoder

        self.name = f"invisible-watermark {method}"
        self._method = method
        self._message = _message(self.bits)
        self._encoder: Any = WatermarkEncoder()
        self._encoder.set_watermark("bits", list(self._message))
        self._decoder: Any = WatermarkDecoder("bits", self.bits)
        if method == "rivaGan":
            WatermarkEncoder.loadModel()
            WatermarkDecoder.loadModel()

    def embed(self, frames: Sequence[Frame]) -> list[Frame]:
        """Mark the frames; the package takes BGR."""
        marked = [
            self._encoder.encode(np.ascontiguousarray(frame[..., ::-1]), self._method)
            for frame in frames
        ]
        return [
            np.ascontiguousarray(np.clip(frame, 0, 255).astype(np.uint8)[..., ::-1])
            for frame in marked
        ]

    def read(self, frames: Sequence[Frame]) -> float:
        """Return the share of bits that the majority of frames has right."""
        votes = [
            np.asarray(
                self._decoder.decode(np.ascontiguousarray(frame[..., ::-1]), self._method), float
            )
            for frame in frames
        ]
        return float(np.mean((np.mean(votes, axis=0) > 0.5) == self._message))


class _BlindWatermark:
    name = "blind-watermark"
    bits = 64

    def __init__(self) -> None:
        from blind_watermark import WaterMark, bw_notes

        bw_notes.close()
        self._make: Callable[[], Any] = lambda: WaterMark(
            password_img=1, password_wm=1, processes=1
        )
        self._message = _message(self.bits)

    def embed(self, frames: Sequence[Frame]) -> list[Frame]:
        """Mark the frames; the package takes BGR."""
        marked = []
        for frame in frames:
            coder = self._make()
            coder.read_img(img=np.ascontiguousarray(frame[..., ::-1]))
            coder.read_wm(self._message.astype(bool), mode="bit")
            marked.append(np.clip(np.round(coder.embed()), 0, 255).astype(np.uint8)[..., ::-1])
        return [np.ascontiguousarray(frame) for frame in marked]

    def read(self, frames: Sequence[Frame]) -> float:
        """Return the share of bits that the majority of frames has right."""
        votes = [
            np.asarray(
                self._make().extract(
                    embed_img=np.ascontiguousarray(frame[..., ::-1]),
                    wm_shape=self.bits,
                    mode="bit",
                ),
                float,
            )
            for frame in frames
        ]
        return float(np.mean((np.mean(votes, axis=0) > 0.5) == self._message))


def peers(without: Sequence[str] = ()) -> tuple[list[Codec], dict[str, str]]:
    """Return the peers that load, and why the others do not; `without` names some to leave out."""
    makers: dict[str, tuple[str, Callable[[], Codec]]] = {
        "invisible-watermark dwtDct": ("imwatermark", lambda: _InvisibleWatermark("dwtDct")),
        "invisible-watermark dwtDctSvd": ("imwatermark", lambda: _InvisibleWatermark("dwtDctSvd")),
        "invisible-watermark rivaGan": ("imwatermark", lambda: _InvisibleWatermark("rivaGan")),
        "blind-watermark": ("blind_watermark", lambda: _BlindWatermark()),
    }
    found: list[Codec] = []
    absent: dict[str, str] = {}
    for name, (module, make) in makers.items():
        if any(part in name for part in without):
            absent[name] = "left out of this run by --without"
            continue
        if importlib.util.find_spec(module) is None:
            absent[name] = "not installed; pip install 'obverse[bench]'"
            continue
        try:
            found.append(make())
        except (ImportError, RuntimeError, OSError, ValueError, AttributeError) as error:
            absent[name] = f"does not load: {error}"
    return found, absent
