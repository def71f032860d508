"""Read a mark out of frames or a file, blind, with a p-value that is a theorem.

The statistics. Let y be what the extractor reads on some of the chips, after any choice of scale,
aspect, turn, mirroring and offset, and let w be the keyed signs of those chips and c the code
word. In a picture made without the key, y does not depend on w, whose entries are independent fair
coins. Hence for `z = sum(c w y) / norm(y)`

    P(z >= t) <= exp(-t**2 / 2)                    (Hoeffding 1963; exact for any picture, however
    structured)

for one hypothesis. The extractor looks for the best of many: H alignments of a fixed lattice, and
2**64 payloads. H counts the 4e6 offsets where the picture lies as it was marked, at one of two
sizes (or mirrored); 9e15 alignments where it had to be stretched or turned; and 2e23 where right
angles were right no more. Each of these three classes has a third of the chance of a false accept
(see `geometry.hypotheses`). By the union bound the probability that *any* hypothesis reaches z in
an unmarked picture is at most

    p_value = 6 * H * 2**64 * exp(-z**2 / 2)  for a payload read (z over all 16 384 chips)
    p_value = 6 * H * exp(-z**2 / 2)          for the synchronisation chips alone

where 6 stands for the three classes and for the two tests that are made in one search. A clip is
said to be marked where p_value <= 1e-6. For a payload that is z >= 12.3 as it was marked, 13.9
elsewhere and 15.1 where it leans, about where the code stops correcting, and its CRC-24 must hold
too: a second lock, on a list of 1024 at most. For synchronisation alone it is z >= 7.9, 10.2 and
11.8; that is reported as marked, with its payload lost.

What the bound does not cover: a key that is known. Whoever holds the key can make any picture
carry any payload, and so can whoever pastes a mark from another clip; hence
`obverse.watermark.fingerprint`.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from obverse.media.video import probe, read_frames
from obverse.watermark.carriers import DEFAULT_KEY, Carriers, carriers
from obverse.watermark.geometry import CLASSES, Geometry, hypotheses
from obverse.watermark.payload import PAYLOAD_BITS, decode, encode
from obverse.watermark.pool import Image, Pool, Reader
from obverse.watermark.search import Fix, find

__all__ = [
    "FALSE_ACCEPTS",
    "MarkReading",
    "Progress",
    "extract",
    "extract_frames",
    "read_pooled",
    "sampled",
]

Progress = Callable[[int, int, str], None]  # frames done, frames in all, ""

FALSE_ACCEPTS = 1e-6  # a search of a clip without the mark, at most
_TESTS = 2 * CLASSES  # a payload, or synchronisation alone; of each class of geometries
# Worth some patience: synchronisation more than chance gives an offset; or less of it, if the chips
# of one bit agree with each other as well. Without a mark `_harmony` is 1, give or take .044.
_PROMISING_Z, _FAINT_Z, _FAINT_HARMONY = 4.8, 4.0, 1.08
_LEAST_LOG = -690.0  # a bound of 0 would be untrue, and smaller ones are no floating-point numbers
_POOLED_FRAMES = 300  # longer clips are sampled
_SECONDS_MAX = 60.0  # what lies later in a long clip is not read


@dataclasses.dataclass(frozen=True, slots=True)
class MarkReading:
    """What was found. Absence proves nothing: marks can be removed, and other keys exist."""

    present: bool
    payload: int | None  # 64 bits; None where no mark was found, or one whose payload is lost
    z: float  # over all chips where there is a payload, else over those that synchronise
    p_value: float  # bounds the chance that a search of an unmarked clip reaches this z
    frames: int  # that were pooled
    geometry: Geometry | None = (
        None  # how the clip was stretched, turned or mirrored since it was marked
    )

    @property
    def payload_hex(self) -> str | None:
        """The payload as 16 hexadecimal digits."""
        return None if self.payload is None else f"{self.payload:0{PAYLOAD_BITS // 4}x}"

    def to_dict(self) -> dict[str, Any]:
        """Return the reading for `--json`."""
        geometry = None
        if self.geometry is not None:
            geometry = {
                "scale": [round(factor, 4) for factor in self.geometry.scale],
                "degrees": round(self.geometry.degrees, 2),
                "mirrored": self.geometry.mirrored,
                "leaning": self.geometry.leaning,
            }
        return {
            "present": self.present,
            "payload": self.payload_hex,
            "z": round(self.z, 2),
            "p_value": self.p_value,
            "frames": self.frames,
            "geometry": geometry,
        }


def _bound(z: float, log_hypotheses: float) -> float:
    """Return the union of Hoeffding's bounds, at most 1."""
    if z <= 0:
        return 1.0
    exponent = math.log(_TESTS) + log_hypotheses - z * z / 2
    return math.exp(max(_LEAST_LOG, min(0.0, exponent)))


_LOG_MESSAGES = PAYLOAD_BITS * math.log(2)


def _of_payload(z: float, geometry: Geometry) -> float:
    return _bound(z, math.log(hypotheses(geometry)) + _LOG_MESSAGES)


def _payload(fix: Fix, keyed: Carriers) -> tuple[int, float] | None:
    """Return the payload that a fix holds and its z over all chips, or None where the CRC fails."""
    on_bits = fix.chips[keyed.bits].astype(np.float64)
    soft = on_bits.sum(axis=1)
    harmony = _harmony(on_bits, soft)
    if harmony < 1.0:
        return None  # the chips of each bit agree less than by chance
    payload = decode(soft.astype(np.float32))
    if payload is None and _promising(fix, harmony):
        payload = decode(soft.astype(np.float32), patient=True)
    if payload is None:
        return None
    agreement = float(encode(payload) @ soft) + float(fix.chips[keyed.sync].sum())
    return payload, agreement / max(float(np.linalg.norm(fix.chips)), 1e-20)


def _harmony(on_bits: npt.NDArray[np.float64], soft: npt.NDArray[np.float64]) -> float:
    """Return how well the chips of each bit agree with each other, whatever the bit: 1 by chance,
    13 where they are all the same.
    """
    return float(soft @ soft) / max(float(np.sum(on_bits**2)), 1e-20)


def _promising(fix: Fix, harmony: float) -> bool:
    """Whether a fix is likely enough to hold a payload to look for it at some expense."""
    if fix.geometry.plain and fix.z >= _PROMISING_Z:
        return True
    return harmony >= _FAINT_HARMONY and fix.z >= (_FAINT_Z if fix.geometry.plain else _PROMISING_Z)


def read_pooled(image: Image, frames: int, key: bytes = DEFAULT_KEY) -> MarkReading:
    """Search a pooled picture (see `obverse.watermark.pool`) for the mark of a key."""
    keyed = carriers(key)
    read: tuple[int, float] | None = None

    def accept(fix: Fix) -> bool:
        nonlocal read
        found = _payload(fix, keyed)
        if found is not None and _of_payload(found[1], fix.geometry) <= FALSE_ACCEPTS:
            read = found
        return read is not None

    fix = find(image, key, accept)
    if read is not None:
        payload, z = read
        return MarkReading(True, payload, z, _of_payload(z, fix.geometry), frames, fix.geometry)
    p_value = _bound(fix.z, math.log(hypotheses(fix.geometry)))
    present = p_value <= FALSE_ACCEPTS
    return MarkReading(present, None, fix.z, p_value, frames, fix.geometry if present else None)


def extract_frames(
    frames: Iterable[npt.NDArray[np.uint8]],
    key: bytes = DEFAULT_KEY,
    *,
    reader: Reader | None = None,
) -> MarkReading:
    """Read the mark of a clip's frames, each `[H, W, 3] uint8 RGB` of one size; one frame may be
    enough.

    `reader` makes the pooled picture in its own way, see `obverse.watermark.pool`.

    Raises:
        InputError: there are no frames, or they are too small.
    """
    pool = Pool(reader)
    for frame in frames:
        pool.add(frame)
    return read_pooled(pool.image, pool.frames, key)


def sampled(
    path: Path, most: int = _POOLED_FRAMES, *, progress: Progress | None = None
) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield every frame of a short film, `[H, W, 3] uint8 RGB`, or `most` spread over the first
    minute of a long one.

    Raises:
        InputError: the file cannot be read as video.
    """
    info = probe(path)
    seconds = min(info.seconds, _SECONDS_MAX)
    total = max(1, round(info.fps * seconds))
    if total <= most:
        frames = read_frames(path, max_frames=most)
    else:
        total = most
        frames = read_frames(path, fps=most / seconds, max_frames=most)
    for number, frame in enumerate(frames, 1):
        if progress is not None:
            progress(number, max(total, number), "")
        yield frame


def extract(
    path: Path, key: bytes = DEFAULT_KEY, *, progress: Progress | None = None
) -> MarkReading:
    """Read the mark of a file: every frame of a short clip, 300 spread over the first minute of a
    long one.

    Raises:
        InputError: the file cannot be read as video, or its frames are too small.
        ConfigError: the key is too short.
    """
    return extract_frames(sampled(path, progress=progress), key)
