"""The learned mark beside the classical one: `python -m benchmarks.mark_learned RUN --json`.

RUN is the folder of `obverse train mark`. Two things are learned and so four marks are compared:
the gain that a clip is marked with, and the reader of what is left of it after an attack; both
readers see the same frames. Either gain is scaled to the same PSNR. All in one run, on clips that
nothing was trained on.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.machine import machine
from benchmarks.mark import load, psnr, vmaf
from obverse.errors import InputError
from obverse.media.video import EncodeConfig, VideoWriter, read_frames
from obverse.watermark.carriers import DEFAULT_KEY, carriers
from obverse.watermark.embed import Embedder
from obverse.watermark.extract import read_pooled
from obverse.watermark.geometry import Geometry, size_for
from obverse.watermark.learned import Networks, load_networks
from obverse.watermark.payload import encode
from obverse.watermark.pool import Image, Pool, Reader
from obverse.watermark.search import align

__all__ = ["ATTACKS", "measure"]

Frame = npt.NDArray[np.uint8]
Attack = Callable[[Sequence[Frame]], list[Frame]]
_FPS = 25
_PAYLOAD = 0x0123456789ABCDEF
_OFFSETS_TOLD = 6


def _encoded(
    frames: Sequence[Frame], crf: float, preset: Any = "medium", fps: float = _FPS
) -> list[Frame]:
    """Encode frames `[H, W, 3] uint8 RGB` with x264 and decode them again."""
    height, width = (side // 2 * 2 for side in frames[0].shape[:2])
    with tempfile.TemporaryDirectory(prefix="mark-learned-") as folder:
        path = Path(folder) / "film.mp4"
        config = EncodeConfig(crf=crf, preset=preset, threads=1)
        with VideoWriter(path, width, height, fps, config) as writer:
            for frame in frames:
                writer.write(np.ascontiguousarray(frame[:height, :width]))
        return list(read_frames(path))


def _scaled(frames: Sequence[Frame], factor: float) -> list[Frame]:
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return [
        np.asarray(cv2.resize(frame, None, fx=factor, fy=factor, interpolation=how), np.uint8)
        for frame in frames
    ]


def _cropped(frames: Sequence[Frame], share: float) -> list[Frame]:
    """Keep a window of `share` of both sides, off the middle."""
    height, width = frames[0].shape[:2]
    tall, wide = (round(side * share) // 2 * 2 for side in (height, width))
    top, left = (height - tall) // 3, (width - wide) // 4
    return [np.ascontiguousarray(frame[top : top + tall, left : left + wide]) for frame in frames]


def _dimmed(frames: Sequence[Frame], factor: float, base: float = 0.0) -> list[Frame]:
    return [np.clip(np.round(frame * factor + base), 0, 255).astype(np.uint8) for frame in frames]


def _filmed(frames: Sequence[Frame]) -> list[Frame]:
    """Film a screen from nearby: enlarged, turned a little, soft, dim, noisy, encoded."""
    rng = np.random.default_rng(0)
    out = []
    for frame in _dimmed(_scaled(frames, 1.3), 0.85, 20.0):
        height, width = frame.shape[:2]
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), 1.5, 1.02)
        turned = cv2.GaussianBlur(cv2.warpAffine(frame, matrix, (width, height)), (0, 0), 1.0)
        noisy = turned + rng.normal(0, 4.0, turned.shape)
        out.append(np.clip(np.round(noisy), 0, 255).astype(np.uint8))
    return _encoded(out, 26)


def _platforms(frames: Sequence[Frame]) -> list[Frame]:
    first = _encoded(_scaled(frames, 0.7), 28)
    return _encoded(_encoded(_scaled(first, 1.4), 30), 28)


ATTACKS: dict[str, Attack] = {
    "CRF 28": lambda frames: _encoded(frames, 28),
    "CRF 32": lambda frames: _encoded(frames, 32),
    "CRF 36": lambda frames: _encoded(frames, 36),
    "CRF 40": lambda frames: _encoded(frames, 40),
    "first frame, CRF 36": lambda frames: _encoded(frames, 36)[:1],
    "half size, CRF 32": lambda frames: _encoded(_scaled(frames, 0.5), 32),
    "CRF 28, crop .71, half the brightness": lambda frames: _dimmed(
        _cropped(_encoded(frames, 28), 0.71), 0.5
    ),
    "crop .55, CRF 28": lambda frames: _encoded(_cropped(frames, 0.55), 28),
    "filmed from a screen": _filmed,
    "three platforms": _platforms,
}


def _told_z(image: Image, size: int) -> float:
    """Return the z of the right payload where the picture lies as it was marked, with a mark of one
    of `obverse.watermark.geometry.SIZES`.
    """
    keyed = carriers()
    wanted = np.ones(len(keyed.sign), np.float32)
    wanted[keyed.bits] = encode(_PAYLOAD)[:, None]
    fixes = align(image, DEFAULT_KEY, Geometry(size, size), _OFFSETS_TOLD)
    return max(float(wanted @ fix.chips / np.linalg.norm(fix.chips)) for fix in fixes)


def _pooled(frames: Sequence[Frame], reader: Reader | None) -> tuple[Image, float]:
    """Return the pooled picture and the CPU seconds it took."""
    begun = time.process_time()
    pool = Pool(reader)
    for frame in frames:
        pool.add(frame)
    return pool.image, time.process_time() - begun


def measure(folder: Path, frames: int, networks: Networks) -> dict[str, Any]:
    """Mark, attack and read every clip of a folder, with every pair of gain and reader."""
    gains = {"classical": None, "learned": networks.gain}
    readers: dict[str, Reader | None] = {"classical": None, "learned": networks.reader}
    rows: list[dict[str, Any]] = []
    for clip, before in load(folder, frames).items():
        size = size_for(before[0].shape[1], before[0].shape[0])
        for gain_name, gain in gains.items():
            if gain_name == "learned" and gain is None:
                continue
            embedder = Embedder(_PAYLOAD, gain=gain)
            first = embedder.embed_frame(before[0])  # the offset's search is not counted
            begun = time.process_time()
            marked = [first, *(embedder.embed_frame(frame) for frame in before[1:])]
            embed_ms = 1e3 * (time.process_time() - begun) / max(1, len(before) - 1)
            released = _encoded(marked, 18, "veryfast")
            row: dict[str, Any] = {
                "clip": clip,
                "gain": gain_name,
                "psnr_db": round(psnr(before, marked), 2),
                "vmaf": vmaf(before, marked),
                "embed_ms": round(embed_ms, 2),
                "read": {name: {} for name in readers},
            }
            for attack, apply in ATTACKS.items():
                attacked = apply(released)
                for reader_name, reader in readers.items():
                    image, seconds = _pooled(attacked, reader)
                    found = read_pooled(image, len(attacked))
                    row["read"][reader_name][attack] = {
                        "whole": found.payload == _PAYLOAD,
                        "z": round(found.z, 2),
                        "told_z": round(_told_z(image, size), 2),
                        "pool_ms": round(1e3 * seconds / len(attacked), 2),
                    }
                    print(clip, gain_name, reader_name, attack, found.z, file=sys.stderr)
            rows.append(row)
    if not rows:
        raise InputError(f"{folder} holds no clips.")
    return {"machine": machine(), "frames": frames, "rows": rows}


def _table(result: dict[str, Any]) -> str:
    rows = result["rows"]
    pairs = [
        (gain, reader)
        for gain in dict.fromkeys(row["gain"] for row in rows)
        for reader in rows[0]["read"]
    ]
    names = [f"{gain} gain, {reader} reader" for gain, reader in pairs]
    lines = [f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]

    def of(pair: tuple[str, str]) -> list[dict[str, Any]]:
        return [row["read"][pair[1]] for row in rows if row["gain"] == pair[0]]

    for attack in ATTACKS:
        cells = []
        for pair in pairs:
            read = [one[attack] for one in of(pair)]
            back = sum(one["whole"] for one in read)
            z = float(np.mean([max(one["told_z"], one["z"] * one["whole"]) for one in read]))
            cells.append(f"{back}/{len(read)}, {z:.1f}")
        lines.append(f"| {attack} | {' | '.join(cells)} |")
    for gain in dict.fromkeys(row["gain"] for row in rows):
        mine = [row for row in rows if row["gain"] == gain]
        seen = [row["vmaf"] for row in mine if row["vmaf"] is not None]
        lines.append(
            f"- {gain} gain: PSNR {min(row['psnr_db'] for row in mine):.1f} dB and VMAF "
            f"{min(seen, default=float('nan')):.1f} of the worst clip, "
            f"{np.mean([row['psnr_db'] for row in mine]):.2f} and {np.mean(seen):.2f} on average; "
            f"embedding {np.median([row['embed_ms'] for row in mine]):.2f} ms a frame"
        )
    lines.append("A cell is payloads back, and the mean z of the right payload (where it lies).")
    return "\n".join(lines)


def main() -> None:
    """Run from the command line."""
    default = Path(__file__).resolve().parents[2] / "shared" / "clips"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="the folder of `obverse train mark`")
    parser.add_argument("--clips", type=Path, default=default, help="a folder of mp4 files")
    parser.add_argument("--frames", type=int, default=50, help="of each clip")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    result = measure(options.clips, options.frames, load_networks(options.run))
    print(json.dumps(result, indent=2) if options.json else _table(result))


if __name__ == "__main__":
    main()
