"""How fast clips are distorted and scored: `python -m benchmarks.robust CLIPS.parquet RUN --json`.

For each grid: clips times conditions a second, and how many times longer a score takes than
decoding the clip once (every frame, to RGB, one thread). One process, one thread.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from obverse.clip import Clip
from obverse.datasets.table import clip_path, read_clips
from obverse.detector.score import open_detector, score
from obverse.eval.conditions import NONE, Condition, Grid, load_grid
from obverse.eval.robust import Store, sweep
from obverse.media.video import read_frames

__all__ = ["main"]

FRAMES = ("saturation-3", "contrast-3", "blocks-3", "noise-3", "blur-3", "pixelate-3")


def _grids() -> list[Grid]:
    hard = {each.name: each for each in load_grid("deeperforensics").conditions}
    frames = tuple(hard[name] for name in FRAMES)
    found = [
        Grid("undistorted", (NONE,)),
        Grid("one of frames", frames[4:5]),
        Grid("six of frames", frames),
        Grid("h264 CRF 30", (hard["h264-1"],)),
        Grid("marked", tuple(c for c in load_grid("marks").conditions if c.name == "marked")),
        Grid("unmarked", tuple(c for c in load_grid("marks").conditions if c.name == "unmarked")),
    ]
    for each in load_grid("codecs").conditions:
        if each.name in ("h265-crf-28", "av1-crf-38", "vp9-crf-38"):
            found.append(Grid(each.name, (each,)))
    return found


def _seconds_to_decode(clips: list[Clip], folder: Path) -> float:
    start = time.perf_counter()
    for clip in clips:
        for _ in read_frames(clip_path(clip, folder), threads=1):
            pass
    return time.perf_counter() - start


def measure(clips: list[Clip], folder: Path, run: Path) -> dict[str, Any]:
    """Return decoding's seconds a clip, and each grid's scores a second and ratio to decoding."""
    once: tuple[Condition, ...] = (NONE,)
    with tempfile.TemporaryDirectory() as place, Store(Path(place) / "warm", "d") as store:
        sweep(run, clips[:1], folder, Grid("warm", once), store)  # what is compiled and loaded once
    decode = _seconds_to_decode(clips, folder)
    start = time.perf_counter()
    score(run, clips, folder)
    found: dict[str, Any] = {
        "clips": len(clips),
        "decode_seconds_a_clip": round(decode / len(clips), 3),
        "detect_seconds_a_clip": round((time.perf_counter() - start) / len(clips), 3),
        "grids": {},
    }
    for grid in _grids():
        with tempfile.TemporaryDirectory() as place, Store(Path(place) / "s", "d") as store:
            start = time.perf_counter()
            rows = sweep(run, clips, folder, grid, store)
            taken = time.perf_counter() - start
        found["grids"][grid.name] = {
            "scores_a_second": round(len(rows) / taken, 3),
            "ratio_to_decode": round(taken / len(rows) / (decode / len(clips)), 2),
        }
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("clips", type=Path, help="a table of clips")
    parser.add_argument("run", type=Path, help="a detector")
    parser.add_argument("--most", type=int, default=6, help="clips")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    clips = read_clips(given.clips)[: given.most]
    found = {
        "machine": machine(),
        "detector": open_detector(given.run).id,
        **measure(clips, given.clips.parent, given.run),
    }
    if given.json:
        print(json.dumps(found, indent=2))
        return
    print(f"decoding {found['decode_seconds_a_clip']} s a clip, {found['clips']} clips")
    for name, line in found["grids"].items():
        print(
            f"{name:<16}{line['scores_a_second']:>8} a second, {line['ratio_to_decode']} x decoding"
        )


if __name__ == "__main__":
    main()
