"""Fits the reading of expressions: `python -m obverse.generator.train_reading`.

Sitters perform what the articulatory model draws for bundled voices, with emotions, glances and
turns, and single coefficients as well; their frames are read by the landmarker, and a ridge
regression goes from there back to the coefficients. Ridge regression answers too weakly where
landmarks say little; each coefficient is therefore scaled to answer in full on sitters that were
left out of the fit (to a limit), and then all are fitted.
"""

import argparse
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import safetensors.numpy
import yaml

from obverse.faces.landmarks import FaceReader
from obverse.faces.pose import head_pose
from obverse.files import draft_of
from obverse.generator.articulation import Articulation, articulate
from obverse.generator.controls import with_eye_turn
from obverse.generator.emotions import EMOTIONS
from obverse.generator.expression_reading import face_features, turned_from
from obverse.generator.motion import EXPRESSIONS, Motion, expression_index
from obverse.generator.performance import ArticulatoryModel, PerformanceConfig
from obverse.generator.sitters.sitter import Sitter
from obverse.generator.speech import Speech, read_speech_features
from obverse.generator.voices import list_voices, voice_path
from obverse.weights import sha256_file

__all__ = ["Sample", "fit_reading", "sample_sitter"]

Floats = npt.NDArray[np.float64]

SIDE_PX = 320
FRAMES = 30  # of each sitter; the first is its rest
FIRST_SEED = 2000  # none of the seeds that tests, the demo and benchmarks use
LEFT_OUT = 5  # every fifth sitter
RIDGE = 0.06
GAIN_MOST = 2.0
CORRELATION_LEAST = 0.3
_PERFORMED = 0.7  # share of draws that are frames of a performance
_ONE_SIDED = ("jawLeft", "jawRight", "mouthLeft", "mouthRight")


class Sample(NamedTuple):
    """What a sitter did and how it read; the first frame is its rest."""

    features: Floats  # [N, FEATURES of expression_reading]
    pose: Floats  # [N, 3] as `head_pose` reads it, radians
    expression: Floats  # [N, 52] as it was performed
    rotation: Floats  # [N, 3] as it was performed, radians


def _draw_motion(rng: np.random.Generator, heard: list[tuple[Speech, Articulation]]) -> Motion:
    """Draw frames of a performance, or one frame of a few coefficients."""
    if rng.random() < _PERFORMED:
        speech, articulation = heard[rng.integers(len(heard))]
        first, second = (str(name) for name in rng.choice(EMOTIONS[1:], 2, replace=False))
        felt: tuple[tuple[str, float], ...] = ()
        if rng.random() < 0.75:
            amount, share = rng.uniform(0.3, 1.0), rng.choice((1.0, 0.6))
            felt = ((first, amount * share), (second, amount * (1.0 - share)))
        glance = (rng.uniform(-20.0, 20.0), rng.uniform(-13.0, 15.0))
        config = PerformanceConfig(
            emotion=felt,
            gaze=glance if rng.random() < 0.6 else (0.0, 0.0),
            distance=rng.uniform(0.8, 1.3) if rng.random() < 0.5 else 1.0,
            head_strength=rng.uniform(0.3, 2.0),
            mouth_strength=rng.uniform(0.6, 1.6),
            expression_strength=rng.uniform(0.8, 1.4),
            blink_rate_hz=0.6,
        )
        controls = config.tracks(speech.frames)
        seed = int(rng.integers(1 << 30))
        motion = ArticulatoryModel().act(speech, articulation, seed, controls)
        chosen = np.sort(rng.choice(len(motion), 3, replace=False))
        return Motion(
            motion.expression[chosen], motion.rotation[chosen], motion.translation[chosen]
        )
    expression = np.zeros((1, len(EXPRESSIONS)), np.float32)
    for name in rng.choice(EXPRESSIONS[:-1], rng.integers(1, 4), replace=False):
        if name.startswith("eyeLook"):
            continue
        amount = rng.uniform(0.2, 1.0)
        expression[0, expression_index(name)] = amount
        other = name.replace("Left", "R1ght").replace("Right", "Left").replace("R1ght", "Right")
        if other in EXPRESSIONS and name not in _ONE_SIDED and rng.random() < 0.85:
            expression[0, expression_index(other)] = amount
    if rng.random() < 0.5:
        turn = np.deg2rad([[rng.uniform(-22.0, 22.0), rng.uniform(-14.0, 16.0)]])
        expression = with_eye_turn(expression, turn)
    close = expression_index("mouthClose")
    expression[0, close] = min(expression[0, close], expression[0, expression_index("jawOpen")])
    turned = rng.random() < 0.6
    rotation = np.deg2rad(rng.normal(0.0, (6.0, 9.0, 5.0)))[None] * turned
    translation = np.append(rng.normal(0.0, 0.08, 2), rng.uniform(-2.5, 4.0))[None] * turned
    return Motion(expression, rotation.astype(np.float32), translation.astype(np.float32))


def sample_sitter(
    seed: int, reader: FaceReader, heard: list[tuple[Speech, Articulation]]
) -> Sample:
    """Let a sitter perform `FRAMES` drawn frames and read them."""
    rng = np.random.default_rng([8, seed])
    parts = [Motion.still(1)]
    while sum(map(len, parts)) < FRAMES:
        parts.append(_draw_motion(rng, heard))
    motion = Motion(
        np.concatenate([part.expression for part in parts])[:FRAMES],
        np.concatenate([part.rotation for part in parts])[:FRAMES],
        np.concatenate([part.translation for part in parts])[:FRAMES],
    )
    # Each frame twice: the landmarker looks where the face was, and then where it is.
    shown = (
        frame.image for frame in Sitter.from_seed(seed).perform(motion, SIDE_PX) for _ in range(2)
    )
    features, poses, done = [], [], []
    for index, face in enumerate(reader.track(shown)):
        if index % 2 and face is not None:
            pose = head_pose(face.landmarks)
            features.append(face_features(face, pose))
            poses.append(pose.rotation)
            done.append(index // 2)
    return Sample(
        np.array(features),
        np.array(poses),
        motion.expression[done].astype(np.float64),
        motion.rotation[done].astype(np.float64),
    )


def _moved(sample: Sample) -> tuple[Floats, Floats]:
    """Return inputs `[N, FEATURES + 3]` and targets `[N, OUTPUTS]`, both away from the rest."""
    turned = turned_from(sample.pose, sample.pose[0])
    inputs = np.column_stack([sample.features - sample.features[0], turned])
    return inputs, np.column_stack([sample.expression, sample.rotation - turned])


def _ridge(inputs: Floats, targets: Floats, ridge: float) -> Floats:
    gram = inputs @ inputs.T + ridge * np.eye(len(inputs))
    return np.asarray(inputs.T @ np.linalg.solve(gram, targets))


class Fit(NamedTuple):
    """A reading and how it did on sitters that it was not fitted on."""

    weights: Floats  # [FEATURES + 3, OUTPUTS]
    mean: Floats  # [FEATURES], the mean rest
    slope: Floats  # [52] read over true, after the gain
    correlation: Floats  # [52]
    pose_error_deg: Floats  # [2, 3] root mean square error of `head_pose`, and of the reading


def fit_reading(samples: list[Sample], ridge: float = RIDGE) -> Fit:
    """Fit the map on all samples, with gains from folds of sitters left out."""
    pairs = [_moved(sample) for sample in samples]
    inputs, targets = (np.concatenate(part) for part in zip(*pairs, strict=True))
    fold = np.concatenate([np.full(len(a), i % LEFT_OUT) for i, (a, _) in enumerate(pairs)])
    got = np.empty_like(targets)
    for left_out in range(LEFT_OUT):
        weights = _ridge(inputs[fold != left_out], targets[fold != left_out], ridge)
        got[fold == left_out] = inputs[fold == left_out] @ weights
    split = len(EXPRESSIONS)
    read, true = got[:, :split], targets[:, :split]
    power, spread = true.var(0), read.std(0) * true.std(0)
    together = ((read - read.mean(0)) * (true - true.mean(0))).mean(0)
    slope = together / np.maximum(power, 1e-9)
    gain = np.clip(1.0 / np.maximum(slope, 1e-3), 1.0, GAIN_MOST)
    # What cannot be read at all is not made loud.
    correlation = together / np.maximum(spread, 1e-9)
    gain[correlation < CORRELATION_LEAST] = 1.0
    gain[expression_index("tongueOut")] = 0.0  # no landmark lies on a tongue
    misread = targets[:, split:]
    errors = [misread, misread - got[:, split:]]
    return Fit(
        weights=_ridge(inputs, targets, ridge) * np.append(gain, np.ones(3)),
        mean=np.mean([sample.features[0] for sample in samples], 0),
        slope=slope * gain,
        correlation=correlation,
        pose_error_deg=np.rad2deg([np.sqrt((error**2).mean(0)) for error in errors]),
    )


def _samples(work: Path, sitters: int) -> list[Sample]:
    """Read sitters, each once: what is in the folder is not read again."""
    work.mkdir(parents=True, exist_ok=True)
    reader, heard = FaceReader(), []
    for voice in list_voices()[:4]:
        for number in range(2):
            speech = read_speech_features(voice_path(voice.id, number))
            heard.append((speech, articulate(speech)))
    samples = []
    for seed in range(FIRST_SEED, FIRST_SEED + sitters):
        path = work / f"{seed}.npz"
        if not path.is_file():
            sample = sample_sitter(seed, reader, heard)
            with draft_of(path) as draft, draft.open("wb") as stream:
                np.savez_compressed(stream, **sample._asdict())
            sys.stderr.write(f"sitter {seed}\n")
        with np.load(path) as arrays:
            samples.append(Sample(**{name: arrays[name] for name in Sample._fields}))
    return samples


def _card(path: Path, fit: Fit, sitters: int, frames: int) -> dict[str, Any]:
    read = fit.correlation >= CORRELATION_LEAST
    return {
        "name": "Reading of expressions from landmarks",
        "file": path.name,
        "sha256": sha256_file(path),
        "licence": "Apache-2.0",
        "source": "Fitted here, on sitters; no recording of a person went in.",
        "preprocessing": (
            "478 landmarks in the head's frame, in interocular distances, and the blend-shape "
            "network's coefficients; see obverse.generator.expression_reading.face_features."
        ),
        "made_by": "python -m obverse.generator.train_reading",
        "data": f"{sitters} sitters from seed {FIRST_SEED}, {frames} frames at {SIDE_PX} px.",
        "results": {
            "measured_on": "sitters left out of the fit, five folds",
            "correlation": _table(fit.correlation, read),
            "slope": _table(fit.slope, read),
            "pose_error_deg": {
                "axes": "pitch, yaw, roll",
                "head_pose": [round(float(value), 2) for value in fit.pose_error_deg[0]],
                "with_correction": [round(float(value), 2) for value in fit.pose_error_deg[1]],
            },
        },
        "limits": (
            "tongueOut is not read; jawLeft, jawRight, mouthLeft, mouthRight and cheekPuff hardly "
            "show. What reads as a coefficient on a real face is what a sitter would have to do to "
            "look alike."
        ),
        "unwanted_uses": "Judging what somebody feels: a face is read, not a mind.",
    }


def _table(values: Floats, read: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Return rounded values by coefficient, of those that can be read."""
    return {EXPRESSIONS[index]: round(float(values[index]), 2) for index in np.flatnonzero(read)}


def main() -> None:
    """Read sitters, fit, write the weights and their card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(".weights/reading"))
    parser.add_argument("--sitters", type=int, default=27)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "weights")
    options = parser.parse_args()
    samples = _samples(options.work, options.sitters)
    fit = fit_reading(samples)
    path = options.output / "reading.safetensors"
    safetensors.numpy.save_file(
        {"weights": fit.weights.astype(np.float16), "mean": fit.mean.astype(np.float32)}, path
    )
    path.chmod(0o644)
    card = _card(path, fit, len(samples), sum(len(sample.features) for sample in samples))
    text = yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=100)
    path.with_name("reading.card.yaml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
