"""Whether a portrait does what it is told: `python -m benchmarks.controls --json`.

For each portrait and each control a clip is performed and rendered, and the motion is read back
from its frames by the landmarker, never from the command. Reported are

- response: what was measured over what was commanded (1 is all of it), and the part of it that the
  motion model gives (`performed`) before pictures and their reading take their share;
- leak: how far the other controls' measures moved, over those controls' own full commands;
- csim: likeness to the portrait, of the clip and of the clip without any command.

All clips of a portrait share speech and seed.
"""

import argparse
import dataclasses
import json
import statistics
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.machine import machine
from obverse.faces.landmarks import FaceReader
from obverse.faces.likeness import LikenessReader, csim
from obverse.generator.articulation import articulate
from obverse.generator.controls import CAMERA_DISTANCE, eye_turn
from obverse.generator.emotions import EMOTIONS, emotion_offset
from obverse.generator.motion import EXPRESSIONS, FPS, Motion, expression_index
from obverse.generator.performance import PerformanceConfig, perform
from obverse.generator.portrait import Portrait, make_portrait, read_portrait
from obverse.generator.prosody import read_prosody
from obverse.generator.render import RenderConfig, Renderer
from obverse.generator.sitters.sitter import Sitter
from obverse.generator.speech import RATE_HZ, Speech, read_speech_features
from obverse.generator.video_motion import motion_reading, rest_of
from obverse.generator.voices import list_voices, voice_path
from obverse.media.audio import read_speech

SITTERS = (3, 11, 42)
SIZE = 384
EVERY = 8  # of a clip whose command is steady, every so manieth frame is looked at
OFTEN = 2  # and of one whose command is about movement
LIKENESS_EVERY = 16
BLINK = 0.5  # lids further down than this are a blink

Floats = npt.NDArray[np.float64]
Measures = dict[str, float]


@dataclasses.dataclass(frozen=True)
class Command:
    """One thing that is asked of a performer."""

    name: str  # what is commanded, and measured
    amount: float  # in the measure's unit, as a change from the clip without a command
    config: PerformanceConfig
    every: int = EVERY


# What counts as the whole of each control: leaks are shares of these.
FULL: Mapping[str, float] = {
    **dict.fromkeys(EMOTIONS[1:], 1.0),
    "gaze_yaw": 20.0,
    "gaze_pitch": 12.0,
    "distance": 0.3,
    "mouth_strength": 0.5,
    "head_strength": 0.5,
    "blink_rate_hz": 0.4,
    "head_yaw": 10.0,  # degrees: what `--pose` commands
    "head_pitch": 10.0,
}


def commands(model: str, only: str) -> list[Command]:
    """Return every command at every level, or those whose name begins with `only`."""

    def config(**values: Any) -> PerformanceConfig:
        return PerformanceConfig(model=model, **values)

    asked = [
        Command(name, level, config(emotion=((name, level),)))
        for name in EMOTIONS[1:]
        for level in (0.5, 1.0)
    ]
    asked += [
        Command("gaze_yaw", yaw, config(gaze=(yaw, 0.0))) for yaw in (-20.0, -10.0, 10.0, 20.0)
    ]
    asked += [
        Command("gaze_pitch", pitch, config(gaze=(0.0, pitch)))
        for pitch in (-12.0, -6.0, 6.0, 12.0)
    ]
    asked += [Command("distance", d - 1.0, config(distance=d)) for d in (0.85, 1.15, 1.3)]
    asked += [
        Command(name, strength - 1.0, config(**{name: strength}), OFTEN)
        for name in ("mouth_strength", "head_strength")
        for strength in (0.5, 1.5)
    ]
    natural = PerformanceConfig().blink_rate_hz
    asked += [
        Command("blink_rate_hz", rate - natural, config(blink_rate_hz=rate), OFTEN)
        for rate in (0.0, natural + FULL["blink_rate_hz"])
    ]
    return [command for command in asked if command.name.startswith(only)]


class Subject:
    """A portrait, ready to be told things and to be looked at."""

    def __init__(self, name: str, portrait: Portrait, speech: Speech, size: int) -> None:
        self.name, self.portrait, self.speech = name, portrait, speech
        self.renderer = Renderer(portrait, RenderConfig(size=size))
        self.reader, self.likeness = FaceReader(), LikenessReader()
        still = next(self.renderer.frames(Motion.still(1)))
        # Thrice: the landmarker settles where the face is.
        face = list(self.reader.track([still] * 3))[-1]
        if face is None:
            raise SystemExit(f"{name}: the landmarker finds no face in the rendered still.")
        self.rest = rest_of(motion_reading([face]))
        self.self_portrait = self.likeness.embed(still, face)

    def watch(self, motion: Motion, every: int) -> tuple[Motion, float]:
        """Render every so many frames of a motion; return what is read in them and the mean
        likeness.
        """
        frames, likeness = [], []
        shown = range(0, len(motion), every)

        def images() -> Iterator[npt.NDArray[np.uint8]]:
            for index in shown:
                frame = self.renderer.frame(
                    motion.expression[index], motion.rotation[index], motion.translation[index]
                )
                frames.append(frame)
                yield frame

        faces = list(self.reader.track(images()))
        step = max(1, LIKENESS_EVERY // every)
        for frame, face in zip(frames[::step], faces[::step], strict=True):
            if face is not None:
                likeness.append(csim(self.likeness.embed(frame, face), self.self_portrait))
        seen = motion_reading(face for face in faces if face is not None)
        return seen.relative_to(self.rest), float(np.mean(likeness))


def measures(motion: Motion, signatures: Floats, every: int) -> Measures:
    """Return what a motion shows of each control, in the controls' units (strengths as amounts to
    be compared with those of the clip without a command).
    """
    expression = motion.expression.astype(np.float64)
    mean = expression.mean(0)
    shown = {
        name: float(mean @ signature / (signature @ signature))
        for name, signature in zip(EMOTIONS[1:], signatures[1:], strict=True)
    }
    turned = np.rad2deg(motion.rotation.astype(np.float64))
    # Where the eyes look from the camera: how they lie in the head, and how the head lies.
    looks = np.rad2deg(eye_turn(expression)) + turned[:, 1::-1]
    shown["gaze_yaw"], shown["gaze_pitch"] = (float(value) for value in np.median(looks, 0))
    shown["distance"] = float(np.median(motion.translation[:, 2])) / CAMERA_DISTANCE
    shown["head_yaw"], shown["head_pitch"] = (float(v) for v in np.median(turned, 0)[1::-1])
    shown["mouth_strength"] = float(expression[:, expression_index("jawOpen")].std())
    shown["head_strength"] = float(np.sqrt(turned.var(0).sum()))
    lids = expression[:, [expression_index(f"eyeBlink{side}") for side in ("Left", "Right")]]
    shut = lids.mean(1) > BLINK
    begun = int((shut[1:] & ~shut[:-1]).sum()) + int(shut[0])
    shown["blink_rate_hz"] = begun / (len(shut) * every / FPS)
    return shown


RELATIVE = ("mouth_strength", "head_strength")  # measured as ratios to the clip without a command


def change(now: Measures, before: Measures) -> Measures:
    """Return by how much each measure moved, in the commands' units."""
    return {
        name: now[name] / max(before[name], 1e-6) - 1.0
        if name in RELATIVE
        else now[name] - before[name]
        for name in now
    }


def followed(subject: Subject, model: str, seed: int) -> list[dict[str, Any]]:
    """Return rows for another's pose and another's expression: slopes over frames."""
    frames = subject.speech.frames
    other = PerformanceConfig(
        model="articulatory", emotion=(("happy", 0.5),), head_strength=1.5, expression_strength=1.5
    )
    source = perform(subject.speech, seed + 1000, other)
    upper = [
        index
        for index, name in enumerate(EXPRESSIONS)
        if name.startswith(("brow", "cheekSquint", "eyeBlink", "eyeSquint", "mouthSmile"))
    ]
    rows = []
    for name in ("pose", "expression"):
        edit = {name: source}
        motion = perform(subject.speech, seed, PerformanceConfig(model=model), **edit)
        read, likeness = subject.watch(motion, OFTEN)
        shown, asked = (
            part.rotation if name == "pose" else part.expression[:, upper]
            for part in (read, sampled(source, OFTEN))
        )
        away = asked - asked.mean(0)
        slope = float((away * shown).sum() / (away**2).sum())
        together = float(np.corrcoef(away.ravel(), (shown - shown.mean(0)).ravel())[0, 1])
        rows.append(
            {
                "portrait": subject.name,
                "control": name,
                "frames": frames,
                "response": slope,
                "correlation": together,
                "csim": likeness,
            }
        )
    return rows


def measure(subject: Subject, model: str, seed: int, only: str) -> list[dict[str, Any]]:
    """Return one row for each command."""
    plain = perform(subject.speech, seed, PerformanceConfig(model=model))
    voice = np.clip(read_prosody_voice(subject.speech), 0.0, 1.0)
    signatures = np.stack(
        [
            emotion_offset(np.eye(len(EMOTIONS), dtype=np.float32)[[index] * len(voice)], voice)
            .mean(0)
            .astype(np.float64)
            for index in range(len(EMOTIONS))
        ]
    )
    seen, base = {}, {}
    for every in (OFTEN, EVERY):
        read, likeness = subject.watch(plain, every)
        seen[every] = measures(read, signatures, every), likeness
        base[every] = measures(sampled(plain, every), signatures, every)
    rows = []
    for command in commands(model, only):
        motion = perform(subject.speech, seed, command.config)
        read, likeness = subject.watch(motion, command.every)
        before, usual = seen[command.every]
        moved = change(measures(read, signatures, command.every), before)
        done = change(
            measures(sampled(motion, command.every), signatures, command.every), base[command.every]
        )
        rows.append(
            {
                "portrait": subject.name,
                "control": command.name,
                "commanded": command.amount,
                "measured": moved[command.name],
                "response": moved[command.name] / command.amount,
                "performed": done[command.name] / command.amount,
                "moved": {name: moved[name] for name in sorted(moved)},
                "csim": likeness,
                "csim_change": likeness - usual,
            }
        )
    return rows


def sampled(motion: Motion, every: int) -> Motion:
    """Return every so manieth frame."""
    return motion[::every]


def leaks(row: dict[str, Any]) -> dict[str, float]:
    """Return how far the other controls moved in a row of a full command, as shares of theirs.

    Emotions share their muscles, and to feel is to move: among emotions there is no leak.
    """
    own = row["control"]
    found = {}
    for name, full in FULL.items():
        related = name == own or (name in EMOTIONS and own in EMOTIONS)
        if not related:
            found[name] = abs(row["moved"][name]) / full
    return found


def summary(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return response, leak and likeness of each control, over portraits and levels."""
    table: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(row["control"] for row in rows):
        own = [row for row in rows if row["control"] == name]
        asked = np.array([row["commanded"] for row in own])
        got = np.array([row["measured"] for row in own])
        most = max(abs(asked))
        full = [leaks(row) for row in own if abs(row["commanded"]) > 0.99 * most]
        mean = {other: statistics.mean(leak[other] for leak in full) for other in full[0]}
        worst = max(mean, key=lambda other: mean[other])
        table[name] = {
            "response": float(asked @ got / (asked @ asked)),
            "performed": float(
                asked @ np.array([r["performed"] * r["commanded"] for r in own]) / (asked @ asked)
            ),
            "leak": mean[worst],
            "leaks_into": worst,
            "csim_change": min(row["csim_change"] for row in own),
            "csim": statistics.mean(row["csim"] for row in own),
        }
    return table


def read_prosody_voice(speech: Speech) -> Floats:
    """Return how much is being said `[T]` in [0, 1]."""
    return np.asarray(read_prosody(speech, articulate(speech).voice).voice, np.float64)


def portraits(folder: Path | None, count: int) -> Iterator[tuple[str, Portrait]]:
    """Yield named portraits: of a folder, or bundled sitters."""
    if folder is None:
        for seed in SITTERS[:count]:
            yield f"sitter-{seed}", make_portrait(Sitter.from_seed(seed).still(1024), "0" * 64)
        return
    kinds = {".png", ".jpg", ".jpeg", ".webp"}
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in kinds)
    step = max(1, len(files) // count)
    for path in files[::step][:count]:
        yield path.stem, read_portrait(path)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--portraits", type=Path, help="a folder of pictures; else sitters' stills")
    parser.add_argument("--count", type=int, default=3, help="how many portraits")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of the clips")
    parser.add_argument("--size", type=int, default=SIZE, help="px of the frames")
    parser.add_argument("--model", default=PerformanceConfig().model, help="the motion model")
    parser.add_argument("--seed", type=int, default=0, help="of the performances")
    parser.add_argument(
        "--only",
        default="",
        help="controls that begin so; follow for pose and face",
    )
    options = parser.parse_args()
    cv2.setNumThreads(1)
    voice = list_voices()[0]
    said = np.concatenate(
        [read_speech(voice_path(voice.id, n), RATE_HZ) for n in range(len(voice.sentences))]
    )
    while len(said) < options.seconds * RATE_HZ:
        said = np.concatenate([said, said])
    speech = read_speech_features(said[: round(options.seconds * RATE_HZ)])
    rows: list[dict[str, Any]] = []
    follows: list[dict[str, Any]] = []
    for name, portrait in portraits(options.portraits, options.count):
        print(f"controls: {name}", file=sys.stderr)
        subject = Subject(name, portrait, speech, options.size)
        rows += measure(subject, options.model, options.seed, options.only)
        if "follow".startswith(options.only):
            follows += followed(subject, options.model, options.seed)
    table = summary(rows)
    if options.json:
        result = {
            "model": options.model,
            "seconds": options.seconds,
            "size": options.size,
            "portraits": sorted({row["portrait"] for row in rows}),
            "controls": table,
            "followed": follows,
            "rows": rows,
            "machine": machine(),
        }
        print(json.dumps(result, indent=2))
        return
    print(f"{'control':16} response performed  leak into             csim change")
    for name, row in table.items():
        print(
            f"{name:16} {row['response']:8.2f} {row['performed']:9.2f} {row['leak']:5.2f} "
            f"{row['leaks_into']:16} {row['csim_change']:+.3f}"
        )
    for follow in follows:
        print(
            f"{follow['control']:16} {follow['response']:8.2f} (correlation "
            f"{follow['correlation']:.2f}) {follow['portrait']}"
        )


if __name__ == "__main__":
    main()
