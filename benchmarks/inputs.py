"""What the generator makes of any still and any sound: `python -m benchmarks.inputs --json`.

Sounds: a bundled voice as it is, whispered, sung, over a telephone's noise; noise, music and
silence alone; ten minutes. For each, how often the mouth moves while there is a voice and while
there is none, and, in long ones, how much the last tenth differs from the first. With `--speech
DIR` the files of a folder are heard as well.

Stills, with `--portraits DIR`: what is refused, what is warned of, and for each that is taken how
much the face trembles, how like itself it stays and how far lips follow the jaw in its frames; the
bundled ones also in grey, dark, small and large.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.machine import machine
from obverse.errors import ObverseError
from obverse.eval.dynamics import jitter, mouth_gap
from obverse.faces.landmarks import FaceReader
from obverse.faces.likeness import LikenessReader, csim
from obverse.generator.motion import FPS, Motion, expression_index
from obverse.generator.performance import PerformanceConfig, perform
from obverse.generator.phones import Phone, phones_from
from obverse.generator.portrait import Portrait, make_portrait, read_portrait
from obverse.generator.render import RenderConfig, Renderer
from obverse.generator.sitters.sitter import Sitter
from obverse.generator.speech import RATE_HZ, read_speech_features
from obverse.generator.training_sound import noise_like, sung, whispered
from obverse.generator.voices import list_voices, read_voice
from obverse.media.audio import read_speech

Samples = npt.NDArray[np.float32]

LEVEL = 0.1  # of a voice, against full scale
MOVING = 0.05  # change of the mouth's opening in a fifth of a second that is seen as movement
QUIET_DB = 20.0  # of a telephone's noise below the voice
LONG_MINUTES = 10.0
SITTER = 11
SIZE = 512
SHOWN_SECONDS = 4.0


def _level(samples: npt.NDArray[Any]) -> Samples:
    return np.asarray(LEVEL * samples / (np.sqrt(np.mean(samples**2)) + 1e-9), np.float32)


def sounds(folder: Path | None, long_minutes: float) -> Iterator[tuple[str, Samples]]:
    """Yield every sound by name, 16 kHz mono."""
    rng = np.random.default_rng(0)
    voice = next(voice for voice in list_voices() if voice.sentences[0].phones is not None)
    said = [
        read_voice(voice.id, n, RATE_HZ).astype(np.float64) for n in range(len(voice.sentences))
    ]
    phones: tuple[Phone, ...] = tuple(phones_from(voice.sentences[0].phones or ()))
    yield f"voice {voice.id}", _level(said[0])
    yield "the same, whispered", _level(whispered(said[0], rng))
    yield "the same, sung", _level(sung(said[0], phones, rng)[0])
    noise = noise_like(rng, len(said[0]), "noise") * LEVEL / 10 ** (QUIET_DB / 20)
    yield "the same, in noise", np.asarray(_level(said[0]) + noise, np.float32)
    count = 10 * RATE_HZ
    for kind in ("noise", "wind", "hum", "music"):
        yield f"{kind} alone", _level(noise_like(rng, count, kind))
    yield "silence", np.zeros(count, np.float32)
    if folder is not None:
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in (".wav", ".flac", ".mp3", ".ogg", ".m4a"):
                yield path.name, read_speech(path, RATE_HZ)[: 60 * RATE_HZ]
    if long_minutes > 0:
        pause = np.zeros(RATE_HZ // 2, np.float32)
        once = np.concatenate([piece for part in said for piece in (_level(part), pause)])
        yield f"{long_minutes:g} minutes", np.resize(once, round(60 * long_minutes) * RATE_HZ)


def _opening(motion: Motion) -> npt.NDArray[np.float64]:
    """Return how far the mouth is open `[T]`, a coefficient."""
    jaw, close = (
        motion.expression[:, expression_index(name)] for name in ("jawOpen", "mouthClose")
    )
    return np.asarray(jaw - close, np.float64)


def heard(name: str, samples: Samples, seed: int) -> dict[str, Any]:
    """Return what a sound makes the face do."""
    speech = read_speech_features(samples)
    motion = perform(speech, seed, PerformanceConfig())
    opening = _opening(motion)
    width = FPS // 5
    spans = np.lib.stride_tricks.sliding_window_view(np.pad(opening, (0, width), "edge"), width)
    moves = np.ptp(spans, axis=1)[: len(opening)] > MOVING
    steps = len(speech.activity) // len(opening) or 1
    active = speech.activity[: steps * len(opening)].reshape(-1, steps).mean(1)
    active = np.pad(active, (0, len(opening) - len(active)), "edge")
    voiced, silent = active > 0.5, active < 0.05
    row: dict[str, Any] = {
        "sound": name,
        "seconds": round(speech.seconds, 1),
        "moving_in_voice": _share(moves, voiced),
        "moving_in_silence": _share(moves, silent),
    }
    if speech.seconds >= 120.0:
        tenth = len(opening) // 10
        ends = (slice(0, tenth), slice(-tenth, None))
        row["drift"] = {
            "jaw_mean": [round(float(opening[end].mean()), 4) for end in ends],
            "head_spread_deg": [
                round(float(np.rad2deg(motion.rotation[end].std(0)).mean()), 3) for end in ends
            ],
            "head_mean_deg": [
                round(float(np.rad2deg(np.abs(motion.rotation[end].mean(0))).max()), 3)
                for end in ends
            ],
        }
    return row


def _share(flags: npt.NDArray[np.bool_], where: npt.NDArray[np.bool_]) -> float | None:
    return float(flags[where].mean()) if where.sum() >= FPS // 2 else None


def stills(folder: Path | None, count: int) -> Iterator[tuple[str, Portrait | ObverseError]]:
    """Yield portraits by name, or what was said of those that were refused."""
    still = Sitter.from_seed(SITTER).still(1024)
    grey = np.repeat(cv2.cvtColor(still, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
    changed = {
        "sitter": still,
        "sitter, grey": grey,
        "sitter, dark": (still * 0.12).astype(np.uint8),
        "sitter, 200 px": cv2.resize(still, (200, 200), interpolation=cv2.INTER_AREA),
        "sitter, 4000 px": cv2.resize(still, (4000, 4000), interpolation=cv2.INTER_CUBIC),
    }
    for name, picture in changed.items():
        try:
            yield name, make_portrait(picture, "0" * 64)
        except ObverseError as error:
            yield name, error
    if folder is not None:
        kinds = (".jpg", ".jpeg", ".png", ".webp")
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in kinds)
        for path in files[:: max(1, len(files) // count)][:count]:
            try:
                yield path.name, read_portrait(path)
            except ObverseError as error:
                yield path.name, error


def shown(name: str, portrait: Portrait, motion: Motion) -> dict[str, Any]:
    """Return how a still holds up in a performance's frames."""
    renderer, reader, likeness = (
        Renderer(portrait, RenderConfig(size=SIZE)),
        FaceReader(),
        LikenessReader(),
    )
    rest = renderer.frame(np.zeros(52, np.float32), np.zeros(3), np.zeros(3))
    first = list(reader.track([rest] * 3))[-1]
    row: dict[str, Any] = {"still": name, "warnings": len(portrait.warnings)}
    if first is None:
        return row | {"seen": 0.0, "jitter": None, "csim": None, "lips_follow": None}
    own = likeness.embed(rest, first)
    track = np.full((len(motion), *first.landmarks.shape), np.nan)
    alike = []
    frames = list(renderer.frames(motion))
    for index, face in enumerate(reader.track(frames)):
        if face is not None:
            track[index] = face.landmarks
            if index % 12 == 0:
                alike.append(csim(own, likeness.embed(frames[index], face)))
    gap, opening = mouth_gap(track), _opening(motion)
    seen = np.isfinite(gap)
    return row | {
        "seen": float(seen.mean()),
        "jitter": float(jitter(track)),
        "csim": float(np.mean(alike)) if alike else None,
        "lips_follow": float(np.corrcoef(gap[seen], opening[seen])[0, 1]) if seen.any() else None,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--speech", type=Path, help="a folder of sound files")
    parser.add_argument("--portraits", type=Path, help="a folder of stills")
    parser.add_argument("--count", type=int, default=20, help="how many of them")
    parser.add_argument("--minutes", type=float, default=LONG_MINUTES, help="of the long one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    rows = []
    for name, samples in sounds(options.speech, options.minutes):
        print(f"hearing {name}", file=sys.stderr)
        rows.append(heard(name, samples, options.seed))
    voice = list_voices()[0]
    spoken = read_speech_features(read_voice(voice.id, 1, RATE_HZ))
    motion = perform(spoken, options.seed, PerformanceConfig())
    motion = motion[: round(SHOWN_SECONDS * FPS)]
    seen, refused = [], []
    for name, portrait in stills(options.portraits, options.count):
        print(f"showing {name}", file=sys.stderr)
        if isinstance(portrait, ObverseError):
            refused.append({"still": name, "refused": str(portrait)})
        else:
            seen.append(shown(name, portrait, motion))
    result = {"sounds": rows, "stills": seen, "refused": refused, "machine": machine()}
    if options.json:
        print(json.dumps(result, indent=2))
        return
    print(pd.DataFrame(rows).to_string(index=False, float_format="%.3f"))
    print(pd.DataFrame(seen).to_string(index=False, float_format="%.3f"))
    for row in refused:
        print(f"{row['still']}: {row['refused']}")
    kept = [row["csim"] for row in seen if row["csim"] is not None]
    print(f"median likeness {statistics.median(kept):.3f}")


if __name__ == "__main__":
    main()
