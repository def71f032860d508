"""How soon a live portrait answers, and how fast it goes: `python -m benchmarks.live --json`.

One sitter and one bundled sentence, twice: the sound played in real time, as from a microphone, and
as fast as it is taken. Both leave as released segments. What is printed is a `LatencyReport` for
each, and whether the frames of a stream are those of the clip made offline, to the bit. The first
frame's latency runs from the moment that the speech it needs was there; the look-ahead is speech
that it needs beyond its own, and is said beside it.
"""

import argparse
import dataclasses
import hashlib
import json
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from benchmarks.speed import own_home, sentence
from obverse.generator.broadcast import LiveConfig
from obverse.generator.live import live
from obverse.generator.performance import PerformanceConfig
from obverse.generator.portrait import read_portrait
from obverse.generator.render import RenderConfig, Renderer
from obverse.generator.sitters.sitter import Sitter
from obverse.generator.speech import read_speech_features
from obverse.generator.stream import stream
from obverse.generator.talk import talk
from obverse.media.still import write_still


def _digests(portrait: Path, sound: Path, size: int) -> tuple[str, str]:
    """Return the sha256 of all frames of a stream fed in pieces, and of those made offline."""
    still, speech = read_portrait(portrait), read_speech_features(sound)
    controls, config = PerformanceConfig(model="flow"), RenderConfig(size=size)
    online, offline = hashlib.sha256(), hashlib.sha256()
    with stream(still, controls=controls, config=config) as talking:

        def speak() -> None:
            for first in range(0, len(speech.samples), 320):
                talking.push(speech.samples[first : first + 320])
            talking.finish()

        speaker = threading.Thread(target=speak)
        speaker.start()
        for frame in talking.frames():
            online.update(frame.tobytes())
        speaker.join()
    renderer = Renderer(still, config)
    for frame in talk(renderer, speech, seed=0, controls=controls):
        offline.update(frame.tobytes())
    return online.hexdigest(), offline.hexdigest()


def measure(size: int, seconds: float) -> dict[str, Any]:
    """Return the two latency reports, CPU milliseconds a frame, and whether online is offline."""
    with own_home(), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        portrait, sound = folder / "face.png", sentence(seconds)
        write_still(portrait, Sitter.from_seed(0).still(512))
        result: dict[str, Any] = {"size": size}
        for paced in (False, True):
            begun = time.process_time()
            show = live(
                portrait,
                sound,
                folder / f"show-{paced}",
                rights="synthetic",
                size=size,
                config=LiveConfig(paced=paced),
            )
            spent = time.process_time() - begun
            result["paced" if paced else "fast"] = dataclasses.asdict(show.latency)
            result[f"cpu_ms_{'paced' if paced else 'fast'}"] = 1000 * spent / show.latency.frames
        online, offline = _digests(portrait, sound, size)
        result["online_is_offline"] = online == offline
    return result | {"machine": machine()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--size", type=int, default=512, help="px of the square frame")
    parser.add_argument("--seconds", type=float, default=6.0, help="least length of the sentence")
    options = parser.parse_args()
    result = measure(options.size, options.seconds)
    if options.json:
        print(json.dumps(result, indent=2))
        return
    for part in ("fast", "paced"):
        for name, value in result.pop(part).items():
            print(f"{part:6} {name:26} {value:.1f}" if isinstance(value, float) else
                  f"{part:6} {name:26} {value}")  # fmt: skip
    for name, value in result.items():
        print(f"{name:33} {value:.1f}" if isinstance(value, float) else f"{name:33} {value}")


if __name__ == "__main__":
    main()
