"""How fast a clip leaves, beside how fast its frames can be encoded at all: `python -m
benchmarks.speed --json`.

The figures come from one run on the same frames, taken in turn, and medians are printed; so the
ratio holds on a busy machine as well. "Released" counts everything from the loaded portrait and the
performed motion to the signed file that was read back; "heard and released" hears and performs the
speech as well. Frames a second mean something on an idle machine only; CPU milliseconds of all
threads together do on a busy one too.
"""

import argparse
import contextlib
import functools
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.machine import machine
from obverse.clip import Clip, lineage_id
from obverse.generator.cues import read_cues
from obverse.generator.motion import FPS
from obverse.generator.performance import PerformanceConfig, perform
from obverse.generator.portrait import make_portrait
from obverse.generator.release import release
from obverse.generator.render import RenderConfig, Renderer
from obverse.generator.sitters.sitter import Sitter
from obverse.generator.speech import read_speech_features
from obverse.generator.stream import performed, performer_for
from obverse.generator.voices import list_voices, voice_path
from obverse.media.audio import read_speech
from obverse.media.colour import FrameSplitter
from obverse.media.video import EncodeConfig, VideoWriter
from obverse.provenance.identity import SigningIdentity
from obverse.provenance.registry import Registry
from obverse.watermark.embed import Embedder


@contextlib.contextmanager
def own_home() -> Iterator[Path]:
    """Keep the run's identity and registry away from the user's."""
    with tempfile.TemporaryDirectory() as folder:
        before = os.environ.get("OBVERSE_HOME")
        os.environ["OBVERSE_HOME"] = str(Path(folder) / "home")
        try:
            yield Path(folder)
        finally:
            if before is None:
                del os.environ["OBVERSE_HOME"]
            else:
                os.environ["OBVERSE_HOME"] = before


def sentence(seconds: float) -> Path:
    """Return the sound of the first bundled sentence that lasts so long."""
    return next(
        voice_path(voice.id, index)
        for voice in list_voices()
        for index, said in enumerate(voice.sentences)
        if said.seconds >= seconds
    )


def _cpu_ms(work: Iterable[object], frames: int) -> float:
    """Return the CPU milliseconds a frame that going through `work` takes, all threads together."""
    begun = time.process_time()
    for _ in work:
        pass
    return 1000 * (time.process_time() - begun) / frames


def measure(size: int, repeats: int, seconds: float, refine: bool = True) -> dict[str, Any]:
    """Return frames a second released and encoded only, their ratio, and CPU milliseconds a frame
    by stage.
    """
    sound = sentence(seconds)
    speech = read_speech_features(sound)
    controls = PerformanceConfig(model="flow")
    motion = perform(speech, 0, controls)[: round(seconds * FPS)]
    samples = read_speech(sound, 48_000)
    started = time.perf_counter()
    portrait = make_portrait(Sitter.from_seed(0).still(512), "0" * 64)
    prepared = time.perf_counter()
    renderer = Renderer(portrait, RenderConfig(size=size, refine=refine))
    ready = time.perf_counter()
    frames = list(renderer.frames(motion))
    sound_of_clip = (samples, 48_000)

    def heard() -> Iterator[npt.NDArray[np.uint8]]:
        pieces = performed(speech, performer_for(controls, 0), controls)
        moving = (frame for motion in pieces for frame in renderer.frames(motion))
        return itertools.islice(moving, len(frames))

    passes: dict[str, list[float]] = {"released": [], "encode_only": [], "heard_and_released": []}
    cpu: dict[str, list[float]] = {name: [] for name in passes}
    with own_home() as folder:
        identity, registry = SigningIdentity.default(), Registry()

        def leave(shown: Iterable[npt.NDArray[np.uint8]], turn: int) -> None:
            clip = Clip(
                id=lineage_id({"benchmark": turn}),
                path="clip.mp4",
                label="synthetic",
                kind="generated",
                method="talk",
                rights="synthetic",
                fps=FPS,
            )
            release(
                shown,
                clip,
                folder / "clip.mp4",
                audio=sound_of_clip,
                identity=identity,
                registry=registry,
                force=True,
            )

        def encode() -> None:
            with VideoWriter(
                folder / "plain.mp4", size, size, FPS, EncodeConfig(), *sound_of_clip
            ) as writer:
                for frame in frames:
                    writer.write(frame)

        # The first pass compiles and warms; it is not counted.
        for turn in range(repeats + 1):
            works: dict[str, Callable[[], None]] = {
                "released": functools.partial(leave, renderer.frames(motion), 2 * turn),
                "encode_only": encode,
                "heard_and_released": functools.partial(leave, heard(), 2 * turn + 1),
            }
            for name, work in works.items():
                begun, spent = time.perf_counter(), time.process_time()
                work()
                if turn:
                    passes[name].append(len(frames) / (time.perf_counter() - begun))
                    cpu[name].append(1000 * (time.process_time() - spent) / len(frames))
        registry.close()
    pairs = zip(passes["released"], passes["encode_only"], strict=True)
    ratios = zip(cpu["released"], cpu["encode_only"], strict=True)
    cues = read_cues(speech)
    performer = performer_for(controls, 0)
    embedder, splitter = Embedder(1), FrameSplitter(size, size)
    planes = np.empty((size * 3 // 2, size), np.uint8)
    return {
        "size": size,
        "frames": len(frames),
        "repeats": repeats,
        **{f"{name}_fps": statistics.median(values) for name, values in passes.items()},
        "ratio": statistics.median(a / b for a, b in pairs),
        **{f"{name}_cpu_ms": statistics.median(values) for name, values in cpu.items()},
        "cpu_ratio": statistics.median(b / a for a, b in ratios),
        "hear_cpu_ms": _cpu_ms((read_cues(speech) for _ in range(1)), len(cues)),
        "perform_cpu_ms": _cpu_ms(
            (performer.push(cues, controls.tracks(len(cues))) for _ in range(1)), len(cues)
        ),
        "render_cpu_ms": _cpu_ms(renderer.frames(motion), len(frames)),
        "mark_cpu_ms": _cpu_ms((embedder.embed_planes(f, planes) for f in frames), len(frames)),
        "convert_cpu_ms": _cpu_ms((splitter.convert(f, planes) for f in frames), len(frames)),
        "portrait_s": prepared - started,
        "renderer_s": ready - prepared,
        "machine": machine(),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--size", type=int, default=512, help="px of the square frame")
    parser.add_argument("--repeats", type=int, default=5, help="counted passes")
    parser.add_argument("--seconds", type=float, default=6.0, help="length of the clip")
    parser.add_argument("--refine", choices=("on", "off"), default="on", help="mouths")
    options = parser.parse_args()
    result = measure(options.size, options.repeats, options.seconds, refine=options.refine == "on")
    if options.json:
        print(json.dumps(result, indent=2))
        return
    for name, value in result.items():
        print(f"{name:26} {value:.2f}" if isinstance(value, float) else f"{name:26} {value}")


if __name__ == "__main__":
    main()
