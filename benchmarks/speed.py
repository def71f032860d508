"""How fast a clip leaves, beside how fast its frames can be encoded at all: `python -m
benchmarks.speed --json`.

Both figures come from one run on the same frames, taken in turn, and medians are printed; so the
ratio holds on a busy machine as well. "Released" counts everything from the loaded portrait to the
signed file that was read back.
"""

import argparse
import contextlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from obverse.clip import Clip, lineage_id
from obverse.generator.motion import FPS
from obverse.generator.performance import PerformanceConfig, perform
from obverse.generator.portrait import make_portrait
from obverse.generator.release import release
from obverse.generator.render import RenderConfig, Renderer
from obverse.generator.sitters.sitter import Sitter
from obverse.generator.speech import read_speech_features
from obverse.generator.voices import list_voices, voice_path
from obverse.media.audio import read_speech
from obverse.media.video import EncodeConfig, VideoWriter
from obverse.provenance.identity import SigningIdentity
from obverse.provenance.registry import Registry
from obverse.watermark.embed import Embedder


@contextlib.contextmanager
def _own_home() -> Iterator[Path]:
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


def measure(size: int, repeats: int, seconds: float) -> dict[str, Any]:
    """Return frames a second released and encoded only, their ratio, and CPU milliseconds a frame
    by stage.
    """
    sound = next(
        voice_path(voice.id, index)
        for voice in list_voices()
        for index, sentence in enumerate(voice.sentences)
        if sentence.seconds >= seconds
    )
    speech = read_speech_features(sound)
    motion = perform(speech, 0, PerformanceConfig())[: round(seconds * FPS)]
    samples = read_speech(sound, 48_000)
    started = time.perf_counter()
    portrait = make_portrait(Sitter.from_seed(0).still(512), "0" * 64)
    prepared = time.perf_counter()
    renderer = Renderer(portrait, RenderConfig(size=size))
    ready = time.perf_counter()
    frames = list(renderer.frames(motion))
    released, encoded = [], []
    with _own_home() as folder:
        identity, registry = SigningIdentity.default(), Registry()
        # The first pass compiles and warms; it is not counted.
        for turn in range(repeats + 1):
            begun = time.perf_counter()
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
                renderer.frames(motion),
                clip,
                folder / "clip.mp4",
                audio=(samples, 48_000),
                identity=identity,
                registry=registry,
                force=True,
            )
            done = time.perf_counter()
            with VideoWriter(
                folder / "plain.mp4", size, size, FPS, EncodeConfig(), samples, 48_000
            ) as writer:
                for frame in frames:
                    writer.write(frame)
            finished = time.perf_counter()
            if turn:
                released.append(len(frames) / (done - begun))
                encoded.append(len(frames) / (finished - done))
        registry.close()
    begun = time.process_time()
    for _ in renderer.frames(motion):
        pass
    rendered = time.process_time()
    for _ in Embedder(1).embed(frames):
        pass
    marked = time.process_time()
    pairs = zip(released, encoded, strict=True)
    return {
        "size": size,
        "frames": len(frames),
        "repeats": repeats,
        "released_fps": statistics.median(released),
        "encode_only_fps": statistics.median(encoded),
        "ratio": statistics.median(a / b for a, b in pairs),
        "render_cpu_ms": 1000 * (rendered - begun) / len(frames),
        "mark_cpu_ms": 1000 * (marked - rendered) / len(frames),
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
    options = parser.parse_args()
    result = measure(options.size, options.repeats, options.seconds)
    if options.json:
        print(json.dumps(result, indent=2))
        return
    for name, value in result.items():
        print(f"{name:16} {value:.2f}" if isinstance(value, float) else f"{name:16} {value}")


if __name__ == "__main__":
    main()
