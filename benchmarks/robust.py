"""How fast clips are distorted and scored: `python -m benchmarks.robust CLIPS.parquet RUN --json`.

For each grid, with faces searched for in each copy and carried over from the undistorted clip:
scores a second of CPU, and how many times longer a score takes than decoding the clip once (every
frame, to RGB). One process, one thread of the network; medians of passes taken in turn.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, get_args

from benchmarks.machine import machine
from obverse.clip import Clip
from obverse.datasets.table import clip_path, read_clips
from obverse.detector.score import open_detector
from obverse.eval.conditions import NONE, Grid, load_grid
from obverse.eval.robust import Faces, Store, sweep
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
    start = time.process_time()
    for clip in clips:
        for _ in read_frames(clip_path(clip, folder), threads=1):
            pass
    return time.process_time() - start


def _seconds_to_sweep(
    clips: list[Clip], folder: Path, run: Path, grid: Grid, faces: Faces
) -> tuple[float, int]:
    with tempfile.TemporaryDirectory() as place, Store(Path(place) / "s", "d") as store:
        start = time.process_time()
        rows = sweep(run, clips, folder, grid, store, faces=faces)
        return time.process_time() - start, len(rows)


def measure(
    clips: list[Clip], folder: Path, run: Path, repeats: int, only: list[str]
) -> dict[str, Any]:
    """Return decoding's CPU seconds a clip, and each grid's scores a second and ratio to decoding.

    Args:
        clips: the clips.
        folder: where their relative paths start.
        run: a detector.
        repeats: passes.
        only: names of the grids; none takes all.
    """
    grids = [grid for grid in _grids() if not only or grid.name in only]
    for grid in grids:  # what is compiled and loaded once
        _seconds_to_sweep(clips[:1], folder, run, grid, "clean")
    decode: list[float] = []
    taken: dict[tuple[str, Faces], list[float]] = {}
    rows: dict[str, int] = {}
    for _ in range(repeats):
        decode.append(_seconds_to_decode(clips, folder))
        for grid in grids:
            for faces in get_args(Faces):
                seconds, rows[grid.name] = _seconds_to_sweep(clips, folder, run, grid, faces)
                taken.setdefault((grid.name, faces), []).append(seconds)
    once = statistics.median(decode) / len(clips)
    found: dict[str, Any] = {
        "clips": len(clips),
        "repeats": repeats,
        "decode_seconds_a_clip": round(once, 3),
        "grids": {},
    }
    for (name, faces), seconds_each in taken.items():
        one = statistics.median(seconds_each) / rows[name]
        found["grids"].setdefault(name, {})[faces] = {
            "scores_a_second": round(1 / one, 3),
            "ratio_to_decode": round(one / once, 2),
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
    parser.add_argument("--repeats", type=int, default=3, help="passes")
    parser.add_argument("--grid", action="append", default=[], help="only this; may be repeated")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    clips = read_clips(given.clips)[: given.most]
    found = {
        "machine": machine(),
        "detector": open_detector(given.run).id,
        **measure(clips, given.clips.parent, given.run, given.repeats, given.grid),
    }
    if given.json:
        print(json.dumps(found, indent=2))
        return
    print(f"decoding {found['decode_seconds_a_clip']} s a clip, {found['clips']} clips")
    for name, choices in found["grids"].items():
        for faces, line in choices.items():
            rate, ratio = line["scores_a_second"], line["ratio_to_decode"]
            print(f"{name:<16}{faces:<8}{rate:>8} a second of CPU, {ratio} x decoding")


if __name__ == "__main__":
    main()
