"""Does a detector look at what is forged? `python -m benchmarks.localisation CLIPS.parquet --json`.

For synthetic clips of a split whose true mask is known, the heat of the main face's most synthetic
windows is compared with the mask: AUC of pixels (.5 is chance), how often the hottest pixel is
synthetic (by chance as often as the mask covers the crop), and the overlap of the hottest pixels
with the mask. Medians by method, with a bootstrap's interval of 95 % over people.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.machine import machine
from obverse.clip import Clip
from obverse.datasets.footage import Footage
from obverse.datasets.table import read_clips
from obverse.detector.crop_store import cut_once, load_faces, open_reader
from obverse.detector.explain import localise
from obverse.detector.fusion import Fusion
from obverse.detector.runs import shipped_detector
from obverse.detector.score import open_detector, score_tracks
from obverse.media.still import read_still

__all__ = ["main"]

SAMPLES = 2000


def interval(
    values: npt.NDArray[np.float64], people: Sequence[str | None], rng: np.random.Generator
) -> list[float]:
    """Return median, low and high of values, people drawn whole."""
    names = sorted({str(name) for name in people})
    groups = [values[np.array([str(each) == name for each in people])] for name in names]
    drawn = [
        float(
            np.median(
                np.concatenate([groups[i] for i in rng.integers(0, len(groups), len(groups))])
            )
        )
        for _ in range(SAMPLES)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return [round(float(value), 3) for value in (np.median(values), low, high)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Does a detector look at what is forged?")
    parser.add_argument("clips", type=Path, help="a corpus's clips.parquet")
    parser.add_argument("--detector", type=Path, help="a run or .onnx file; the one that ships")
    parser.add_argument("--split", default="test")
    parser.add_argument("--each", type=int, default=24, help="clips of each method")
    parser.add_argument("--crops", type=Path, required=True, help="where crops are kept")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    detector = open_detector(options.detector or shipped_detector())
    network = detector.members[0] if isinstance(detector, Fusion) else detector
    rng = np.random.default_rng(options.seed)
    clips = [c for c in read_clips(options.clips) if c.split == options.split and c.binary]
    reader = open_reader()
    answer: dict[str, Any] = {"machine": machine(), "detector": network.id, "methods": {}}
    for method in sorted({str(clip.method) for clip in clips}):
        own = [clip for clip in clips if clip.method == method and clip.mask_path]
        chosen = [own[i] for i in rng.permutation(len(own))[: options.each]]
        found: list[tuple[Clip, dict[str, float]]] = []
        for clip in chosen:
            footage = Footage.of(clip, options.clips.parent)
            faces = load_faces(cut_once(footage, network.recipe, options.crops, reader))
            mask = read_still(options.clips.parent / str(clip.mask_path))[..., 0]
            scored = score_tracks(faces, network)
            score = localise(scored[0], network, np.ascontiguousarray(mask)) if scored else None
            if score is not None:
                found.append((clip, score))
        people = [clip.identity for clip, _ in found]
        row: dict[str, Any] = {"clips": len(found), "of": len(chosen)}
        for name in ("auc", "hit", "iou", "mask_share") if found else ():
            values = np.array([score[name] for _, score in found])
            row[name] = interval(values, people, rng)
        answer["methods"][method] = row
    if options.json:
        print(json.dumps(answer, indent=2))
        return
    print(answer["machine"], answer["detector"])
    for method, row in answer["methods"].items():
        print(method, row)


if __name__ == "__main__":
    main()
