"""What the watermark withstands, attack by attack: `python -m benchmarks.mark_grid --json`.

Each clip is marked, encoded as a release is (H.264, CRF 18), decoded, attacked and read blind. The
attacks are those of OmniSealBench's video grid, what platforms and editors do, and codecs. A cell
is whether all 64 bits came back. Only ours is measured; `benchmarks.mark` puts peers beside it.
"""

import argparse
import dataclasses
import io
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.machine import machine
from benchmarks.mark import load, psnr, vmaf
from obverse.errors import InputError
from obverse.media.colour import rgb_to_yuv420
from obverse.media.video import read_frames
from obverse.watermark.embed import Embedder
from obverse.watermark.extract import extract_frames

__all__ = ["ATTACKS", "measure"]

Frame = npt.NDArray[np.uint8]
Frames = list[Frame]
Attack = Callable[[Frames], Frames]
_FPS = 25


@dataclasses.dataclass(frozen=True)
class _Codec:
    """An encoder of PyAV and its settings."""

    name: str
    options: dict[str, str]
    container: str = "mp4"


def _h264(crf: float, preset: str = "medium") -> _Codec:
    return _Codec("libx264", {"crf": f"{crf:g}", "preset": preset})


def through(frames: Frames, codec: _Codec) -> Frames:
    """Encode frames `[H, W, 3] uint8 RGB` and decode them again."""
    data = io.BytesIO()
    height, width = (side // 2 * 2 for side in frames[0].shape[:2])
    with av.open(data, "w", format=codec.container) as out:
        stream: Any = out.add_stream(codec.name, rate=_FPS, options=codec.options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            planes = rgb_to_yuv420(np.ascontiguousarray(frame[:height, :width]))
            out.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
        out.mux(stream.encode())
    data.seek(0)
    with av.open(data) as back:
        return [_rgb(frame.to_ndarray(format="yuv420p")) for frame in back.decode(video=0)]


def _rgb(planes: Frame) -> Frame:
    """Return BT.709 limited-range I420 as RGB, chroma enlarged by repetition."""
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    luma = (planes[:height].astype(np.float32) - 16) * (255 / 219)
    chroma = planes[height:].reshape(2, height // 2, width // 2)
    blue, red = (
        cv2.resize(plane.astype(np.float32) - 128, (width, height)) * np.float32(255 / 224)
        for plane in chroma
    )
    channels = (luma + 1.5748 * red, luma - 0.1873 * blue - 0.4681 * red, luma + 1.8556 * blue)
    return np.clip(np.round(np.stack(channels, axis=2)), 0, 255).astype(np.uint8)


def _codec(codec: _Codec) -> Attack:
    return lambda frames: through(frames, codec)


def _each(change: Callable[[Frame], Frame]) -> Attack:
    return lambda frames: [change(frame) for frame in frames]


def _scale(factor: float) -> Attack:
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return _each(lambda frame: cv2.resize(frame, None, fx=factor, fy=factor, interpolation=how))


def _crop(share: float, *, enlarge: bool = False) -> Attack:
    """Keep a window of `share` of both sides, off the middle."""

    def change(frame: Frame) -> Frame:
        height, width = frame.shape[:2]
        tall, wide = (round(side * share) // 2 * 2 for side in (height, width))
        top, left = (height - tall) // 3, (width - wide) // 4
        window = np.ascontiguousarray(frame[top : top + tall, left : left + wide])
        if not enlarge:
            return window
        return np.asarray(cv2.resize(window, (width, height)), np.uint8)

    return _each(change)


def _turn(degrees: float) -> Attack:
    def change(frame: Frame) -> Frame:
        height, width = frame.shape[:2]
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
        turned = cv2.warpAffine(frame, matrix, (width, height), flags=cv2.INTER_LINEAR)
        return np.asarray(turned, np.uint8)

    return _each(change)


def _perspective(share: float) -> Attack:
    """Move the corners inwards by up to `share` of the sides, each in its own way."""

    def change(frame: Frame) -> Frame:
        height, width = frame.shape[:2]
        whole = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        moves = np.array([[1.0, 0.4], [-0.3, 0.9], [-0.8, -0.2], [0.2, -0.7]], np.float32)
        moved = whole + share * moves * np.array([width, height], np.float32)
        matrix = cv2.getPerspectiveTransform(whole, moved)
        seen = cv2.warpPerspective(frame, matrix, (width, height), flags=cv2.INTER_LINEAR)
        return np.asarray(seen, np.uint8)

    return _each(change)


def _byte(values: npt.NDArray[Any]) -> Frame:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def _levels(factor: float, about: float = 0.0) -> Attack:
    return _each(lambda frame: _byte((frame.astype(np.float32) - about) * factor + about))


def _saturate(factor: float) -> Attack:
    def change(frame: Frame) -> Frame:
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
        return _byte(grey + factor * (frame - grey))

    return _each(change)


def _hue(degrees: float) -> Attack:
    def change(frame: Frame) -> Frame:
        hsv = cv2.cvtColor(frame, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(int) + round(degrees / 2)) % 180
        return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)

    return _each(change)


def _grey(frame: Frame) -> Frame:
    return np.repeat(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


def _jpeg(quality: int) -> Attack:
    def change(frame: Frame) -> Frame:
        _, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)

    return _each(change)


def _noisy(deviation: float) -> Attack:
    rng = np.random.default_rng(0)
    return _each(lambda frame: _byte(frame + rng.normal(0, deviation, frame.shape)))


def _then(*attacks: Attack) -> Attack:
    def change(frames: Frames) -> Frames:
        for attack in attacks:
            frames = attack(frames)
        return frames

    return change


def _doubled(frames: Frames) -> Frames:
    """Go from 25 to 50 frames a second, the new ones blended, as players and editors do."""
    out: Frames = []
    for one, two in zip(frames, [*frames[1:], frames[-1]], strict=True):
        out += [one, cv2.addWeighted(one, 0.5, two, 0.5, 0).astype(np.uint8)]
    return out


def _inset(frame: Frame) -> Frame:
    """Show the clip at six tenths of its size in a corner of a picture of 16:9."""
    size = frame.shape[0]
    wide = size * 16 // 9 // 2 * 2
    rows, columns = np.mgrid[:size, :wide].astype(np.float32)
    ground = 110 + 50 * np.sin(columns / 37) * np.cos(rows / 53) + 10 * np.sin(columns / 5 + rows)
    picture = np.repeat(_byte(ground)[..., None], 3, axis=2)
    side = round(0.6 * size)
    picture[20 : 20 + side, -20 - side : -20] = cv2.resize(
        frame, (side, side), interpolation=cv2.INTER_AREA
    )
    return picture


def _captioned(frame: Frame) -> Frame:
    out = frame.copy()
    height, width = out.shape[:2]
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.circle(out, (width - 50, 45), 30, (255, 60, 20), -1)
    cv2.putText(out, "TV", (width - 70, 52), font, 0.8, (255, 255, 255), 2)
    cv2.rectangle(out, (20, height - 90), (width - 20, height - 20), (0, 0, 0), -1)
    cv2.putText(out, "and this is what was said", (40, height - 48), font, 0.9, (255,) * 3, 2)
    return out


_FILMED = _then(
    _scale(1.3),
    _perspective(0.015),
    _turn(1.0),
    _each(lambda frame: cv2.GaussianBlur(frame, (0, 0), 1.0).astype(np.uint8)),
    _levels(0.85, 20),
    _noisy(4.0),
    _codec(_h264(26)),
)
_PLATFORM = _then(_scale(0.7), _codec(_h264(28)))

ATTACKS: dict[str, Attack] = {
    "as released": lambda frames: frames,
    "CRF 28": _codec(_h264(28)),
    "CRF 32": _codec(_h264(32)),
    "CRF 36": _codec(_h264(36)),
    "CRF 40": _codec(_h264(40)),
    "H.265 CRF 28": _codec(_Codec("libx265", {"crf": "28", "x265-params": "log-level=none"})),
    "H.265 CRF 32": _codec(_Codec("libx265", {"crf": "32", "x265-params": "log-level=none"})),
    "AV1 CRF 45": _codec(_Codec("libsvtav1", {"crf": "45", "preset": "8"})),
    "VP9 CRF 36": _codec(
        _Codec("libvpx-vp9", {"crf": "36", "b:v": "0", "cpu-used": "5"}, container="webm")
    ),
    "crop .71": _crop(0.71),
    "crop .55": _crop(0.55),
    "crop .71, enlarged, CRF 28": _then(_crop(0.71, enlarge=True), _codec(_h264(28))),
    "resize .71": _scale(0.71),
    "resize .55": _scale(0.55),
    "resize .5": _scale(0.5),
    "resize 2": _scale(2.0),
    "rotate 10": _turn(10.0),
    "perspective 2 %": _perspective(0.02),
    "perspective 5 %": _perspective(0.05),
    "mirror, CRF 28": _then(_each(lambda frame: frame[:, ::-1].copy()), _codec(_h264(28))),
    "brightness .5": _levels(0.5),
    "brightness 1.5": _levels(1.5),
    "contrast .5": _levels(0.5, 128),
    "contrast 1.5": _levels(1.5, 128),
    "saturation 1.5": _saturate(1.5),
    "hue 36 degrees": _hue(36.0),
    "grey": _each(_grey),
    "JPEG 40": _jpeg(40),
    "blur, 9 px": _each(lambda frame: cv2.GaussianBlur(frame, (9, 9), 0).astype(np.uint8)),
    "median, 5 px": _each(lambda frame: cv2.medianBlur(frame, 5).astype(np.uint8)),
    "H.264, crop .71, brightness .5": _then(_codec(_h264(28)), _crop(0.71), _levels(0.5)),
    "every other frame": lambda frames: frames[::2],
    "50 fps, blended": _doubled,
    "one second": lambda frames: through(frames[10 : 10 + _FPS], _h264(28)),
    "one frame, CRF 28": lambda frames: through(frames, _h264(28))[:1],
    "picture in picture": _each(_inset),
    "logo and subtitles, CRF 28": _then(_each(_captioned), _codec(_h264(28))),
    "filmed from a screen": _FILMED,
    "platform (.7x, CRF 28)": _PLATFORM,
    "two platforms": _then(_PLATFORM, _scale(1.4), _codec(_h264(30))),
    "three platforms": _then(_PLATFORM, _scale(1.4), _codec(_h264(30)), _codec(_h264(28))),
}


def _clips(folder: Path, more: Path | None, frames: int) -> dict[str, Frames]:
    clips = {name: list(clip) for name, clip in load(folder, frames).items()}
    for path in sorted(more.glob("*.mp4")) if more is not None else []:
        clips[path.stem] = list(read_frames(path, max_frames=frames))
    if not clips:
        raise InputError(f"{folder} holds no clips.")
    return clips


def measure(
    clips: dict[str, Frames], attacks: Sequence[str], payload: int = 0x0123456789ABCDEF
) -> dict[str, Any]:
    """Mark, attack and read every clip."""
    rows = []
    for name, clip in clips.items():
        embedder = Embedder(payload)
        marked = [embedder.embed_frame(frame) for frame in clip]
        released = through(marked, _h264(18, "veryfast"))
        row: dict[str, Any] = {
            "clip": name,
            "psnr_db": psnr(clip, marked),
            "vmaf": vmaf(clip, marked),
            "read": {},
        }
        for attack in attacks:
            attacked = ATTACKS[attack](released)
            begun = time.process_time()
            found = extract_frames(attacked)
            row["read"][attack] = {
                "whole": found.payload == payload,
                "z": round(found.z, 1),
                "cpu_seconds": round(time.process_time() - begun, 2),
            }
            print(f"{name}, {attack}: {row['read'][attack]}", file=sys.stderr, flush=True)
        rows.append(row)
    return {"machine": machine(), "frames": max(map(len, clips.values())), "clips": rows}


def _table(result: dict[str, Any]) -> str:
    rows = result["clips"]
    lines = ["| attack | payload back | z |", "|---|---|---|"]
    for attack in rows[0]["read"]:
        cells = [row["read"][attack] for row in rows]
        back = sum(cell["whole"] for cell in cells)
        z = " ".join(f"{cell['z']:.0f}" for cell in cells)
        lines.append(f"| {attack} | {back}/{len(cells)} | {z} |")
    for row in rows:
        seen = "-" if row["vmaf"] is None else f"{row['vmaf']:.1f}"
        lines.append(f"- {row['clip']}: PSNR {row['psnr_db']:.1f} dB, VMAF {seen}")
    return "\n".join(lines)


def main() -> None:
    """Run from the command line."""
    default = Path(__file__).resolve().parents[2] / "shared" / "clips"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=Path, default=default, help="a folder of mp4 files")
    parser.add_argument("--more", type=Path, help="another folder, its films taken whole")
    parser.add_argument("--frames", type=int, default=75, help="of each clip")
    parser.add_argument("--attack", action="append", choices=list(ATTACKS), help="only these")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    clips = _clips(options.clips, options.more, options.frames)
    result = measure(clips, options.attack or list(ATTACKS))
    print(json.dumps(result, indent=2) if options.json else _table(result))


if __name__ == "__main__":
    main()
