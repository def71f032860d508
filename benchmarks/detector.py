"""What detection costs: `python -m benchmarks.detector FILMS --json`.

CPU milliseconds on one thread, medians over the films: decoding alone, decoding with tracking and
cutting, and each kind's network in ONNX Runtime, beside a plain Xception through the same pipeline.
Weights are random, which changes no time. Then a training step, and the peak of memory on films of
which one is `--long` seconds long.
"""

import argparse
import dataclasses
import functools
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml

from benchmarks.machine import machine
from obverse.detector.config import KINDS, TrainConfig, preset
from obverse.detector.crops import FilmFaces, read_film
from obverse.detector.detectors import DETECTORS
from obverse.detector.export import export
from obverse.detector.recipe import CropRecipe
from obverse.detector.runs import Detector, load_detector, save_weights
from obverse.detector.score import score_tracks
from obverse.faces.landmarks import FaceReader
from obverse.media.video import VideoWriter, read_frames

__all__ = ["main"]


def cpu_ms(work: Callable[[], object], repeats: int) -> float:
    """Return the median CPU milliseconds of a call, of all threads together."""
    work()
    spent = []
    for _ in range(repeats):
        before = time.process_time()
        work()
        spent.append(1000 * (time.process_time() - before))
    return statistics.median(spent)


def untrained(config: TrainConfig, folder: Path) -> Detector:
    """Export a network with random weights and open it in ONNX Runtime."""
    folder.mkdir()
    torch.manual_seed(0)
    network = DETECTORS[config.kind].build(config)
    digest = save_weights(folder / "model.safetensors", network)
    (folder / "config.json").write_text(json.dumps(config.to_json()))
    (folder / "model.card.yaml").write_text(yaml.safe_dump({"sha256": digest}))
    path = folder.with_suffix(".onnx")
    export(folder, path)
    return load_detector(path)


def measure_kind(
    config: TrainConfig, films: Sequence[Path], folder: Path, reader: FaceReader, repeats: int
) -> dict[str, Any]:
    """Return what one kind of detector costs a film and a window."""
    detector = untrained(config, folder)
    cut, scored, window = [], [], []
    for film in films:
        held: list[FilmFaces] = []

        def cut_once(film: Path = film, held: list[FilmFaces] = held) -> None:
            held[:] = [read_film(film, config.recipe, reader)]

        cut.append(cpu_ms(cut_once, 1))
        faces = held[0]
        if not faces.tracks:
            continue
        scored.append(cpu_ms(functools.partial(score_tracks, faces, detector), repeats))
        inputs = detector.windows(faces, faces.tracks[0]).inputs
        if len(inputs[0]):
            one = tuple(np.array(part[:1]) for part in inputs)
            window.append(cpu_ms(functools.partial(detector.run, one), 5 * repeats))
    network = DETECTORS[config.kind].build(config)
    return {
        "backbone": config.backbone,
        "parameters_m": round(sum(p.numel() for p in network.parameters()) / 1e6, 2),
        "frames_in_a_window": config.recipe.burst,
        "decode_track_cut_ms": round(statistics.median(cut), 1),
        "score_clip_ms": round(statistics.median(scored), 1),
        "window_ms": round(statistics.median(window), 2) if window else None,
    }


def training_step(config: TrainConfig) -> float:
    """Return the CPU milliseconds of one step of the frame kind, without making its batch."""
    network = DETECTORS[config.kind].build(config)
    size = config.recipe.size_px
    crops = torch.randint(0, 255, (2 * config.pairs, size, size, 3), dtype=torch.uint8)
    labels = torch.arange(2 * config.pairs) % 2

    def step() -> None:
        loss = DETECTORS[config.kind].loss(network, (crops,), labels.float(), config)
        loss.backward()  # type: ignore[no-untyped-call]

    return cpu_ms(step, 2)


def _peak(film: Path, answers: Any) -> None:
    cv2.setNumThreads(1)
    reader = FaceReader()
    read_film(film, CropRecipe(), reader)
    # getrusage would tell the parent's peak, which a process keeps through exec.
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM"):
            answers.put(int(line.split()[1]) / 1024)


def memory(film: Path, seconds: float, folder: Path) -> dict[str, float]:
    """Return the peak of memory in MB that cutting takes, by seconds of film."""
    frames = list(read_frames(film, fps=25, max_frames=75))
    turns = frames + frames[::-1]
    height, width = frames[0].shape[:2]
    found = {}
    for length in (3.0, seconds):
        path = folder / f"{length:g}.mp4"
        with VideoWriter(path, width // 2 * 2, height // 2 * 2, 25) as writer:
            for index in range(round(25 * length)):
                image = turns[index % len(turns)]
                writer.write(np.ascontiguousarray(image[: height // 2 * 2, : width // 2 * 2]))
        context = multiprocessing.get_context("spawn")
        answers = context.Queue()
        process = context.Process(target=_peak, args=(path, answers))
        process.start()
        found[f"{length:g} s"] = round(answers.get(), 1)
        process.join()
    return found


def _decode(film: Path) -> int:
    return sum(1 for _ in read_frames(film, threads=1))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What detection costs.")
    parser.add_argument("films", nargs="+", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--long", type=float, default=300.0, help="seconds of the long film")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    reader = FaceReader()
    decode = [cpu_ms(functools.partial(_decode, film), 1) for film in options.films]
    answer: dict[str, Any] = {
        "machine": machine(),
        "films": len(options.films),
        "decode_all_frames_ms": round(statistics.median(decode), 1),
        "kinds": {},
    }
    xception = dataclasses.replace(
        preset("frame", backbone="legacy_xception"), recipe=CropRecipe(size_px=299)
    )
    configs = {kind: preset(kind) for kind in KINDS} | {"xception (peer)": xception}
    with tempfile.TemporaryDirectory() as name:
        for kind, config in configs.items():
            place = Path(name) / kind.split()[0]
            answer["kinds"][kind] = measure_kind(
                config, options.films, place, reader, options.repeats
            )
        answer["training_step_ms"] = round(training_step(preset("frame")), 1)
        answer["training_step_crops"] = 2 * preset("frame").pairs
        if Path("/proc/self/status").is_file():
            answer["peak_mb"] = memory(options.films[0], options.long, Path(name))
    if options.json:
        print(json.dumps(answer, indent=2))
        return
    for key, value in answer.items():
        if key != "kinds":
            print(f"{key}: {value}")
    for kind, row in answer["kinds"].items():
        print(f"{kind}: {row}")


if __name__ == "__main__":
    main()
