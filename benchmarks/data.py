"""What tables of public sets cost: `python -m benchmarks.data --json`.

Two trees of many empty files are made in a temporary folder, one in VoxCeleb2's layout (which is
walked, twice, as its val has to be drawn) and one in AV-Deepfake1M's (which is read out of its
metadata). Indexing them, reading and checking the tables is measured in CPU time, beside a bare
walk of the same folders, and with how much the process has grown.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from obverse.datasets.adapter import Place
from obverse.datasets.check import CheckConfig, check_tables
from obverse.datasets.index import index_set
from obverse.datasets.table import iter_clips

_FILMS_EACH, _CLIPS_EACH = 20, 10  # films a person, clips a film


def _voxceleb2(root: Path, clips: int) -> None:
    for person in range(clips // (_FILMS_EACH * _CLIPS_EACH)):
        for film in range(_FILMS_EACH):
            folder = root / f"dev/mp4/id{person:05d}/film{person}_{film}"
            folder.mkdir(parents=True)
            for number in range(_CLIPS_EACH):
                (folder / f"{number:05d}.mp4").touch()


def _av_deepfake1m(root: Path, clips: int) -> None:
    rows: list[dict[str, Any]] = []
    for number in range(clips // 4):
        base = f"id{number // 40:05d}/film{number}/00001"
        (root / "train" / base).mkdir(parents=True)
        for kind in ("real", "visual_modified", "audio_modified", "both_modified"):
            (root / "train" / base / f"{kind}.mp4").touch()
            fake = [] if kind == "real" else [[0.5, 1.0]]
            rows.append(
                {
                    "file": f"{base}/{kind}.mp4",
                    "original": f"{base}/real.mp4",
                    "split": "train",
                    "modify_type": kind,
                    "audio_model": "vits",
                    "fake_segments": fake,
                    "visual_fake_segments": fake if kind[0] in "vb" else [],
                    "audio_fake_segments": fake if kind[0] in "ab" else [],
                    "video_frames": 200,
                    "audio_frames": 128_000,
                    "transcript": "a sentence of some words",
                }
            )
    (root / "train_metadata.json").write_text(json.dumps(rows), encoding="utf-8")


def _grown_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def _measured(work: Callable[[], object], clips: int) -> dict[str, float]:
    """Return CPU microseconds a clip, and by how many MB the process grew."""
    before, start = _grown_mb(), time.process_time()
    work()
    spent = time.process_time() - start
    return {
        "cpu_us_a_clip": round(1e6 * spent / clips, 1),
        "grown_mb": round(_grown_mb() - before, 1),
    }


def _walk(root: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(root))


def _read(table: Path) -> int:
    return sum(1 for _ in iter_clips(table))


def measure(clips: int) -> dict[str, Any]:
    """Return what each step costs for each of the two layouts."""
    found: dict[str, Any] = {}
    makers = {"voxceleb2": _voxceleb2, "av-deepfake1m": _av_deepfake1m}
    with tempfile.TemporaryDirectory() as name:
        for dataset, make in makers.items():
            root = Path(name) / dataset
            table = Path(name) / f"{dataset}.parquet"
            make(root, clips)

            steps = (
                ("bare walk", partial(_walk, root)),
                ("index", partial(index_set, dataset, Place(root=root), table)),
                ("read", partial(_read, table)),
                ("check", partial(check_tables, [table], CheckConfig(partial=True))),
            )
            found[dataset] = {step: _measured(work, clips) for step, work in steps}
            found[dataset]["bytes_a_clip"] = round(table.stat().st_size / clips, 1)
    return found


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=100_000, help="clips of each layout")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    result = {"machine": machine(), "clips": options.clips, **measure(options.clips)}
    if options.json:
        print(json.dumps(result, indent=2))
        return
    for dataset in ("voxceleb2", "av-deepfake1m"):
        for step, values in result[dataset].items():
            print(f"{dataset:14s} {step:12s} {values}")


if __name__ == "__main__":
    main()
