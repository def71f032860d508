"""What the watermark costs and withstands, beside its peers: `python -m benchmarks.mark --json`.

All are measured in one run on the same clips, 512 x 512 centre crops. Peers are slow, so they get
the first few frames of each clip; ours is measured on those too, and on the whole clip. Times are
process CPU time on one thread. False accepts are counted by `benchmarks.mark_searches`.
"""

import argparse
import io
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.machine import machine
from benchmarks.mark_peers import Codec, Obverse, peers
from obverse.errors import InputError
from obverse.media.video import read_frames
from obverse.watermark.fingerprint import SAME_AT_MOST, compare, fingerprint_frames

__all__ = ["load", "measure", "psnr", "vmaf"]

Frame = npt.NDArray[np.uint8]
SIZE = 512
FPS = 25


def _encoded(frames: Sequence[Frame], crf: int, codec: str = "libx264") -> list[Frame]:
    data = io.BytesIO()
    height, width = frames[0].shape[:2]
    options = {"crf": str(crf), "preset": "medium"}
    if codec == "libx265":
        options["x265-params"] = "log-level=none"
    with av.open(data, "w", format="mp4") as out:
        stream: Any = out.add_stream(codec, rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode())
    data.seek(0)
    with av.open(data) as back:
        return [frame.to_ndarray(format="rgb24") for frame in back.decode(video=0)]


def _resized(frames: Sequence[Frame], side: int) -> list[Frame]:
    shrinks = side < frames[0].shape[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return [cv2.resize(frame, (side, side), interpolation=how) for frame in frames]


def _cropped(frames: Sequence[Frame], share: float) -> list[Frame]:
    side = round(SIZE * share) // 2 * 2
    first = (SIZE - side) // 3
    return _resized([frame[first : first + side, first : first + side] for frame in frames], SIZE)


def _turned(frames: Sequence[Frame], degrees: float) -> list[Frame]:
    matrix = cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), degrees, 1.0)
    return [cv2.warpAffine(frame, matrix, (SIZE, SIZE), flags=cv2.INTER_CUBIC) for frame in frames]


# What comes back has the first size again: the peers cannot be read at any other.
ATTACKS: dict[str, Callable[[Sequence[Frame]], list[Frame]]] = {
    "CRF 28": lambda frames: _encoded(frames, 28),
    "CRF 32": lambda frames: _encoded(frames, 32),
    "CRF 36": lambda frames: _encoded(frames, 36),
    "0.7x + CRF 28": lambda frames: _resized(_encoded(_resized(frames, 358), 28), SIZE),
    "crop 25 % + CRF 28": lambda frames: _encoded(_cropped(frames, 0.75), 28),
    "turn 2 deg + CRF 28": lambda frames: _encoded(_turned(frames, 2.0), 28),
    "mirror + CRF 28": lambda frames: _encoded([frame[:, ::-1].copy() for frame in frames], 28),
    "H.265 CRF 30": lambda frames: _encoded(frames, 30, "libx265"),
}


def _centre(frame: Frame) -> Frame:
    side = min(frame.shape[:2])
    top, left = (frame.shape[0] - side) // 2, (frame.shape[1] - side) // 2
    return _resized([frame[top : top + side, left : left + side]], SIZE)[0]


def _own_clips(frames: int) -> dict[str, list[Frame]]:
    """Make clips where no folder is given: textures that drift, with a little noise."""
    clips = {}
    for seed in range(3):
        rng = np.random.default_rng(seed)
        noise = rng.normal(0, 1, (SIZE + 64, SIZE + 64, 3)).astype(np.float32)
        texture = np.full_like(noise, 128)
        for size in (1, 3, 9):
            texture += 60 * size * cv2.GaussianBlur(noise, (0, 0), 2.0 * size)
        clips[f"drift {seed}"] = [
            np.clip(
                texture[index % 64 :, (index // 2) % 64 :][:SIZE, :SIZE]
                + rng.normal(0, 1.5, (SIZE, SIZE, 1)),
                0,
                255,
            ).astype(np.uint8)
            for index in range(frames)
        ]
    return clips


def load(folder: Path, frames: int) -> dict[str, list[Frame]]:
    """Return the first frames of every film in a folder, or clips made here if it is absent."""
    clips = {}
    for path in sorted(folder.glob("*.mp4")) if folder.is_dir() else []:
        clips[path.stem] = [_centre(frame) for frame in read_frames(path, max_frames=frames)]
    return clips or _own_clips(frames)


def psnr(before: Sequence[Frame], after: Sequence[Frame]) -> float:
    """Return the PSNR of RGB frames over a whole clip."""
    pairs = zip(before, after, strict=True)
    error = float(np.mean([np.mean((one.astype(np.float32) - other) ** 2) for one, other in pairs]))
    return 10 * math.log10(255**2 / error) if error else math.inf


def vmaf(before: Sequence[Frame], after: Sequence[Frame]) -> float | None:
    """Return libvmaf's mean through imageio-ffmpeg, or None where that is not installed."""
    try:
        import imageio_ffmpeg
    except ImportError:
        return None
    program = imageio_ffmpeg.get_ffmpeg_exe()
    with tempfile.TemporaryDirectory() as folder:
        height, width = before[0].shape[:2]
        raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(FPS)]
        planar = ["-pix_fmt", "yuv420p"]
        for name, frames in (("before", before), ("after", after)):
            subprocess.run(
                [program, "-loglevel", "error", *raw, "-i", "-", *planar, f"{name}.y4m"],
                input=b"".join(np.ascontiguousarray(frame).tobytes() for frame in frames),
                cwd=folder,
                check=True,
            )
        options = "libvmaf=log_fmt=json:log_path=log.json"
        pair = ["-i", "after.y4m", "-i", "before.y4m", "-lavfi", options]
        subprocess.run(
            [program, "-loglevel", "error", *pair, "-f", "null", "-"], cwd=folder, check=True
        )
        pooled = json.loads((Path(folder) / "log.json").read_text())["pooled_metrics"]
    return float(pooled["vmaf"]["mean"])


def _codec(codec: Codec, clips: dict[str, list[Frame]], frames: int) -> dict[str, Any]:
    """Measure one watermark on the first frames of each clip."""
    rows: list[dict[str, Any]] = []
    for name, clip in clips.items():
        print(f"{codec.name}: {name}, {min(frames, len(clip))} frames", file=sys.stderr)
        used = clip[:frames]
        codec.read(codec.embed(used[:1]))  # compiled and loaded before the clock starts
        start = time.process_time()
        marked = codec.embed(used)
        embed_ms = 1e3 * (time.process_time() - start) / len(used)
        attacked = {attack: apply(marked) for attack, apply in ATTACKS.items()}
        start = time.process_time()
        codec.read(attacked["CRF 28"])
        read_ms = 1e3 * (time.process_time() - start) / len(used)
        rows.append(
            {
                "clip": name,
                "psnr_db": psnr(used, marked),
                "vmaf": vmaf(used, marked),
                "embed_ms": embed_ms,
                "extract_ms": read_ms,
                "bits_right": {key: codec.read(value) for key, value in attacked.items()},
            }
        )
    vmafs = [row["vmaf"] for row in rows if row["vmaf"] is not None]
    return {
        "name": codec.name,
        "bits": codec.bits,
        "frames": frames,
        "psnr_db": min(row["psnr_db"] for row in rows),
        "vmaf": min(vmafs) if vmafs else None,
        "embed_ms": float(np.median([row["embed_ms"] for row in rows])),
        "extract_ms": float(np.median([row["extract_ms"] for row in rows])),
        "whole_payload": {
            key: sum(row["bits_right"][key] == 1.0 for row in rows) for key in ATTACKS
        },
        "bits_right": {
            key: float(np.mean([row["bits_right"][key] for row in rows])) for key in ATTACKS
        },
        "clips": rows,
    }


def _residual(frames: Sequence[Frame]) -> npt.NDArray[np.float32]:
    """Return the frames' mean high-pass: an attacker's estimate of the mark."""
    total = np.zeros(frames[0].shape[:2], np.float32)
    for frame in frames:
        luma = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
        total += luma - cv2.GaussianBlur(luma, (0, 0), 4)
    return np.asarray(total / len(frames), np.float32)


def _shifted(frames: Sequence[Frame], change: npt.NDArray[np.float32]) -> list[Frame]:
    return [
        np.clip(np.round(frame + change[..., None]), 0, 255).astype(np.uint8) for frame in frames
    ]


def _attackers(clips: dict[str, list[Frame]]) -> dict[str, Any]:
    """Try to strip and to copy our mark without the key."""
    # Each clip has a payload of its own, as released clips do. One payload on all of them is the
    # worst case, tried apart: the offset is the same then, and the marks do add up.
    rng = np.random.default_rng(1)
    codecs = {name: Obverse(int(rng.integers(0, 1 << 63))) for name in clips}
    marked = {name: codecs[name].embed(clip) for name, clip in clips.items()}
    results: dict[str, Any] = {}

    def stripped(label: str, estimate: Callable[[str], npt.NDArray[np.float32]]) -> None:
        read, costs = 0, []
        for name, clip in marked.items():
            attacked = _shifted(clip, -estimate(name))
            read += codecs[name].read(attacked) == 1.0
            costs.append(psnr(clips[name], attacked))
        results[label] = {"still_read": read, "of": len(marked), "psnr_db": float(np.median(costs))}

    def folded(name: str) -> npt.NDArray[np.float32]:
        residual = _residual(marked[name])
        tile = residual.reshape(4, SIZE // 4, 4, SIZE // 4).mean(axis=(0, 2))
        return np.tile(tile, (4, 4))

    stripped("fold at 128 px and subtract", folded)

    def shared(films: dict[str, list[Frame]]) -> npt.NDArray[np.float32]:
        return np.asarray(np.mean([_residual(film) for film in films.values()], axis=0), np.float32)

    mean = shared(marked)
    stripped(f"mean of all {len(marked)} clips subtracted", lambda _: mean)
    stripped(
        "the clip's own mean residual, clipped at 3 levels, subtracted",
        lambda name: np.clip(_residual(marked[name]), -3, 3),
    )
    names = list(clips)
    pasted = {"accepted": 0, "told_by_fingerprint": 0, "of": len(names)}
    for source, target in zip(names, names[1:] + names[:1], strict=True):
        change = np.clip(_residual(marked[source]), -3, 3)
        forged = _shifted(clips[target], change)
        if codecs[source].read(forged) == 1.0:
            pasted["accepted"] += 1

        one, other = (fingerprint_frames(clip, FPS) for clip in (clips[source], forged))
        pasted["told_by_fingerprint"] += compare(one, other) > SAME_AT_MOST
    results["mean residual pasted on another clip"] = pasted
    one_codec = Obverse()
    codecs = dict.fromkeys(clips, one_codec)
    marked = {name: one_codec.embed(clip) for name, clip in clips.items()}
    alike = shared(marked)
    stripped("mean of all clips subtracted, all with one payload", lambda _: alike)
    return results


def measure(
    folder: Path,
    frames: int,
    peer_frames: int,
    without: Sequence[str] = (),
) -> dict[str, Any]:
    """Measure ours and the peers that load."""
    cv2.setNumThreads(1)
    clips = load(folder, frames)
    if not clips:
        raise InputError(f"{folder} holds no clips.")
    found, absent = peers(without)
    ours: Codec = Obverse()
    return {
        "machine": machine(),
        "clips": {name: len(clip) for name, clip in clips.items()},
        "marks": [
            _codec(ours, clips, frames),
            *(_codec(codec, clips, peer_frames) for codec in (Obverse(), *found)),
        ],
        "absent": absent,
        "attackers": _attackers(clips),
    }


def _table(result: dict[str, Any]) -> str:
    """Return the result as Markdown."""
    total = len(result["clips"])
    head = ["mark", "bits", "frames", "PSNR dB", "VMAF", "embed ms", "extract ms", *ATTACKS]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for mark in result["marks"]:
        vmaf = "-" if mark["vmaf"] is None else f"{mark['vmaf']:.1f}"
        cells = [mark["name"], str(mark["bits"]), str(mark["frames"])]
        cells += [f"{mark['psnr_db']:.1f}", vmaf]
        cells += [f"{mark['embed_ms']:.1f}", f"{mark['extract_ms']:.1f}"]
        cells += [
            f"{mark['whole_payload'][key]}/{total} ({mark['bits_right'][key]:.2f})"
            for key in ATTACKS
        ]
        lines.append("| " + " | ".join(cells) + " |")
    for name, why in result["absent"].items():
        lines.append(f"| {name} | {why} |" + " |" * (len(head) - 2))
    lines.append("")
    for name, row in result["attackers"].items():
        lines.append(f"- {name}: " + ", ".join(f"{key} {value}" for key, value in row.items()))
    return "\n".join(lines)


def main() -> None:
    """Run from the command line."""
    default = Path(__file__).resolve().parents[2] / "shared" / "clips"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=Path, default=default, help="a folder of mp4 files")
    parser.add_argument("--frames", type=int, default=100, help="of each clip")
    parser.add_argument("--peer-frames", type=int, default=20, help="of each clip, beside peers")
    parser.add_argument(
        "--without", action="append", default=[], help="leave out a peer, such as rivaGan"
    )
    parser.add_argument("--quick", action="store_true", help="a few minutes: fewer of everything")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    if options.quick:
        options.frames, options.peer_frames = 50, 2
    result = measure(options.clips, options.frames, options.peer_frames, options.without)
    print(json.dumps(result, indent=2) if options.json else _table(result))


if __name__ == "__main__":
    main()
