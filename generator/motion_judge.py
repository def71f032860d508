"""What the learned motion model does beside its teacher, on voices that neither it nor its ear was
trained on.

`judge` gives the numbers of the model's card. Each measure is a plain function of motion, so that
the articulatory model, or a reading of a video, can be measured in the same way.
"""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from obverse.generator.controls import ControlTracks
from obverse.generator.cues import read_cues
from obverse.generator.direction import Conditions
from obverse.generator.emotions import EMOTIONS, emotion_offsets, emotion_vector
from obverse.generator.eyes import COMPENSATION, LOOK_ASIDE, LOOK_DOWN, LOOK_UP
from obverse.generator.flow import FlowPerformer, Guidance
from obverse.generator.motion import EXPRESSIONS, FPS, Motion, expression_index
from obverse.generator.motion_space import HOP_FRAMES
from obverse.generator.performance import ArticulatoryModel
from obverse.generator.phones import Phone
from obverse.generator.speech import RATE_HZ, read_speech_features
from obverse.generator.teacher import teach
from obverse.generator.voices import list_voices, read_voice

__all__ = ["Utterance", "aperture", "dynamics", "held_out", "judge", "lip_closure"]

Array = npt.NDArray[np.float32]

HELD_OUT_VOICES = ("flite-rms",)  # of the bundled voices with known phones
_SHUT = 0.06  # lips no farther apart than this are seen to meet
_NEAR_SECONDS = 0.04
_SHAPES = ("jawOpen", "mouthClose", "mouthPucker", "mouthFunnel", "mouthStretchLeft",
           "mouthLowerDownLeft", "mouthPressLeft")  # fmt: skip
_GROUPS = {
    "mouth": tuple(i for i, n in enumerate(EXPRESSIONS) if n.startswith(("jaw", "mouth"))),
    "brows": tuple(i for i, n in enumerate(EXPRESSIONS) if n.startswith("brow")),
    "lids": tuple(i for i, n in enumerate(EXPRESSIONS) if n.startswith("eyeBlink")),
    "gaze": tuple(i for i, n in enumerate(EXPRESSIONS) if n.startswith("eyeLook")),
    "rotation": (52, 53, 54),
    "translation": (55, 56, 57),
}


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Utterance:
    """Speech with known phones."""

    samples: Array  # [N] at RATE_HZ
    phones: tuple[Phone, ...]


def held_out(voices: Sequence[str] = HELD_OUT_VOICES) -> list[Utterance]:
    """Return what held-out bundled voices say: pairs of sentences with a pause between them."""
    found = []
    for voice in list_voices():
        if voice.id not in voices:
            continue
        for first in range(0, len(voice.sentences) - 1, 2):
            pieces: list[Array] = []
            phones: list[Phone] = []
            at = 0.0
            for index in (first, first + 1):
                samples = read_voice(voice.id, index)
                phones += [
                    Phone(p.sound, p.start + at, p.end + at)
                    for p in voice.sentences[index].sounds()
                ]
                pieces += [samples, np.zeros(RATE_HZ // 2, np.float32)]
                at += len(samples) / RATE_HZ + 0.5
            found.append(Utterance(np.concatenate(pieces), tuple(phones)))
    return found


def table_of(motion: Motion) -> Array:
    """Return `[T, 58]`."""
    return np.concatenate([motion.expression, motion.rotation, motion.translation], 1)


def _column(table: Array, name: str) -> Array:
    return table[:, expression_index(name)]


def aperture(table: Array) -> Array:
    """Return how far the lips are apart `[T]`, in units of the jaw's coefficient."""
    names = [
        f"mouth{part}{side}" for part in ("LowerDown", "UpperUp") for side in ("Left", "Right")
    ]
    lips = table[:, [expression_index(name) for name in names]].mean(1)
    gap = np.maximum(_column(table, "jawOpen") - _column(table, "mouthClose"), 0.0)
    return np.asarray(gap + lips, np.float32)


def lip_closure(table: Array, phones: Sequence[Phone]) -> dict[str, float]:
    """Return recall and precision of lips that meet for p, b and m.

    Recall: the share of these sounds in which the lips meet within a frame of the sound. Precision:
    the share of closed runs while somebody speaks that lie within two frames of a sound that asks
    for it (p, b, m, f, v), or of silence.
    """
    shut = aperture(table) < _SHUT
    times = (np.arange(len(table)) + 0.5) / FPS
    said = [p for p in phones if p.sound == "bilabial"]
    met = [
        bool(shut[(times >= p.start - _NEAR_SECONDS) & (times <= p.end + _NEAR_SECONDS)].any())
        for p in said
    ]
    allowed = np.ones(len(table), bool)
    for p in phones:
        if p.sound not in ("bilabial", "labial", "silence"):
            allowed[(times >= p.start) & (times < p.end)] = False
    for p in phones:
        if p.sound in ("bilabial", "labial", "silence"):
            allowed[(times >= p.start - 0.08) & (times < p.end + 0.08)] = True
    edges = np.diff(np.concatenate([[0], shut.astype(int), [0]]))
    runs = list(zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True))
    right = [bool(allowed[first:last].any()) for first, last in runs]
    return {
        "recall": float(np.mean(met)) if met else float("nan"),
        "precision": float(np.mean(right)) if right else float("nan"),
    }


def dynamics(table: Array) -> dict[str, float]:
    """Return sizes and speeds of motion `[T, 58]`: what tells a lively face from a wax one."""
    speed = np.diff(table, axis=0)
    found = {f"{name}_speed": float(speed[:, c].std(0).mean()) for name, c in _GROUPS.items()}
    degrees = np.rad2deg(table[:, 52:55])
    found["head_deg"] = float(degrees.std(0).mean())
    found["pose_change_deg"] = float(np.abs(np.diff(degrees, axis=0)).mean())
    spectrum = np.abs(
        np.fft.rfft((table - table.mean(0)) * np.hanning(len(table))[:, None], axis=0)
    )
    hz = np.fft.rfftfreq(len(table), 1.0 / FPS)
    head = (spectrum[:, 52:55] ** 2).sum(1)
    for low, high in ((0.0, 0.5), (0.5, 2.0), (2.0, 6.0)):
        inside = (hz > low) & (hz <= high)
        found[f"head_share_{low:g}_{high:g}_hz"] = float(head[inside].sum() / head[1:].sum())
    found["head_share_above_6_hz"] = float(head[hz > 6.0].sum() / head[1:].sum())
    lids = 0.5 * (_column(table, "eyeBlinkLeft") + _column(table, "eyeBlinkRight"))
    shut = np.concatenate([[False], lids > 0.5, [False]])
    edges = np.diff(shut.astype(int))
    first, last = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    found["blinks_per_minute"] = 60.0 * FPS * len(first) / len(table)
    found["blink_seconds"] = float((last - first).mean() / FPS) if len(first) else float("nan")
    return found


def seams(table: Array) -> float:
    """Return how much more motion accelerates across the seams of hops than within them.

    The ratio of root-mean-square second differences, the mean of it over columns that move: 1 is no
    seam at all.
    """
    second = np.diff(table, 2, axis=0)
    at = (np.arange(len(second)) + 1) % HOP_FRAMES
    across = np.isin(at, (0, HOP_FRAMES - 1))
    size = np.sqrt((second**2).mean(0))
    moving = size > 1e-4
    ratio = np.sqrt((second[across] ** 2).mean(0)) / np.sqrt((second[~across] ** 2).mean(0) + 1e-12)
    return float(np.median(ratio[moving]))


def perform(
    cues: Array,
    seed: int,
    weights: Path,
    guidance: Guidance | None = None,
    controls: ControlTracks | None = None,
) -> Array:
    """Return the model's performance `[T, 58]` of cues."""
    controls = ControlTracks.natural(len(cues)) if controls is None else controls
    performer = FlowPerformer(seed, guidance, weights=weights)
    parts = [performer.push(cues, controls), performer.finish()]
    return np.concatenate([table_of(part) for part in parts])


def _natural(frames: int) -> Conditions:
    controls = ControlTracks.natural(frames)
    return Conditions(controls.emotion, controls.gaze, controls.distance)


def judge(
    weights: Path, guidance: Guidance | None = None, *, seeds: int = 6, minutes: float = 60.0
) -> dict[str, Any]:
    """Measure a motion model; see the keys.

    Args:
        weights: `motion.onnx`.
        guidance: as it will be used; None is the default.
        seeds: performances of each utterance.
        minutes: of the run that is looked at for drift.
    """
    utterances = held_out()
    heard = [read_cues(u.samples) for u in utterances]
    lengths = [len(cues) for cues in heard]
    speeches = [read_speech_features(u.samples) for u in utterances]
    by_model: dict[str, list[list[Array]]] = {"teacher": [], "flow": [], "articulatory": []}
    for index, (utterance, cues, speech) in enumerate(
        zip(utterances, heard, speeches, strict=True)
    ):
        frames = lengths[index]
        natural = ControlTracks.natural(frames)
        by_model["flow"].append([perform(cues, s, weights, guidance) for s in range(seeds)])
        by_model["teacher"].append(
            [
                teach(utterance.phones, speech, 900 + s, None, _natural(frames)).motion
                for s in range(seeds)
            ]
        )
        by_model["articulatory"].append(
            [table_of(ArticulatoryModel().perform(speech, s, natural)) for s in range(seeds)]
        )
    report: dict[str, Any] = {
        "what": (
            f"{len(utterances)} utterances ({sum(lengths) / FPS:.0f} s) of a voice that was never "
            f"trained on, {seeds} seeds each; correlations are with the mean of the teacher's "
            "performances, sizes and speeds are ratios to the teacher's"
        )
    }
    truth = [np.mean(takes, 0) for takes in by_model["teacher"]]
    reference = _mean_dynamics(by_model["teacher"])
    for name, performances in by_model.items():
        report[name] = _beside(performances, truth, utterances, reference)
    long = np.tile(np.concatenate(heard), (max(1, round(minutes * 60 * FPS / sum(lengths))), 1))
    report["drift"] = _drift(long, weights, guidance)
    report["response"] = _response(np.concatenate(heard), weights, guidance)
    report["milliseconds_per_frame"] = _pace(np.concatenate(heard), weights)
    return report


def _mean_dynamics(performances: list[list[Array]]) -> dict[str, float]:
    rows = [dynamics(take) for takes in performances for take in takes]
    return {name: float(np.nanmean([row[name] for row in rows])) for name in rows[0]}


def _rounded(values: dict[str, float], digits: int = 3) -> dict[str, float]:
    return {name: round(float(value), digits) for name, value in values.items()}


def _beside(
    performances: list[list[Array]],
    truth: list[Array],
    utterances: list[Utterance],
    reference: dict[str, float],
) -> dict[str, Any]:
    """Return one model's measures."""
    closures = [
        lip_closure(take, utterance.phones)
        for takes, utterance in zip(performances, utterances, strict=True)
        for take in takes
    ]
    own = _mean_dynamics(performances)
    relative = {n: v / reference[n] for n, v in own.items() if n.endswith(("_speed", "head_deg"))}
    plain = {n: v for n, v in own.items() if not n.endswith("_speed")}
    takes = [(take, mean) for ts, mean in zip(performances, truth, strict=True) for take in ts]
    correlations = {
        name: float(
            np.mean([np.corrcoef(_column(t, name), _column(m, name))[0, 1] for t, m in takes])
        )
        for name in _SHAPES
    }
    spread = {
        name: float(np.mean([np.std(takes, 0)[:, list(c)].mean() for takes in performances]))
        for name, c in _GROUPS.items()
    }
    return {
        "lip_closure": _rounded(
            {k: float(np.nanmean([c[k] for c in closures])) for k in closures[0]}
        ),
        "correlation": _rounded(correlations),
        "relative": _rounded(relative),
        "dynamics": _rounded(plain),
        "seed_spread": _rounded(spread, 4),
        "seam": round(float(np.mean([seams(t) for ts in performances for t in ts])), 3),
    }


def _drift(cues: Array, weights: Path, guidance: Guidance | None) -> dict[str, Any]:
    """Compare the first and the last tenth of a long performance."""
    table = perform(cues, 11, weights, guidance)
    tenth = len(table) // 10
    parts = (table[:tenth], table[len(table) // 6 - tenth // 2 :][:tenth], table[-tenth:])
    rows = [
        {
            "head_mean_deg": float(np.abs(np.rad2deg(part[:, 52:55].mean(0))).max()),
            "head_std_deg": float(np.rad2deg(part[:, 52:55].std(0)).mean()),
            "jaw_mean": float(_column(part, "jawOpen").mean()),
            "mouth_speed": float(np.diff(part[:, list(_GROUPS["mouth"])], axis=0).std(0).mean()),
        }
        for part in parts
    ]
    return {
        "minutes": round(len(table) / FPS / 60.0, 1),
        "first_tenth": _rounded(rows[0], 4),
        "around_a_sixth": _rounded(rows[1], 4),
        "last_tenth": _rounded(rows[2], 4),
    }


def _line_of_sight(moved: Array) -> tuple[float, float]:
    """Return yaw and pitch of a left eye's line of sight, of columns `[58]`, relative to the
    camera; its coefficients are to be a change from the rest.
    """

    def eye(way: str) -> float:
        return float(moved[expression_index(f"eyeLook{way}Left")])

    yaw = LOOK_ASIDE * (eye("Out") - eye("In"))
    pitch = 0.5 * (LOOK_DOWN + LOOK_UP) * (eye("Down") - eye("Up"))
    return yaw + COMPENSATION * float(moved[53]), pitch + COMPENSATION * float(moved[52])


def _response(cues: Array, weights: Path, guidance: Guidance | None) -> dict[str, float]:
    """Return regression slopes of what is performed on what is told: 1 is exact."""
    frames = len(cues)
    natural = ControlTracks.natural(frames)
    settled = slice(2 * FPS, None)

    def change(**told: Any) -> Array:
        changed = perform(cues, 4, weights, guidance, dataclasses.replace(natural, **told))
        return np.asarray((changed - plain)[settled].mean(0), np.float32)

    plain = perform(cues, 4, weights, guidance)
    slopes: dict[str, float] = {}
    for axis, name in ((0, "gaze_yaw"), (1, "gaze_pitch")):
        found, wished = [], []
        for degrees in (-12.0, 12.0):
            gaze = np.zeros((frames, 2), np.float32)
            gaze[:, axis] = np.deg2rad(degrees)
            found.append(_line_of_sight(change(gaze=gaze))[axis])
            wished.append(np.deg2rad(degrees))
        slopes[name] = float(np.dot(found, wished) / np.dot(wished, wished))
    moved = change(distance=np.full(frames, 1.3, np.float32))
    slopes["distance"] = float(moved[57] / (14.0 * 0.3))
    for name in EMOTIONS[1:]:
        emotion = np.tile(emotion_vector([(name, 0.7)]), (frames, 1)).astype(np.float32)
        wish = 0.7 * emotion_offsets()[EMOTIONS.index(name)]
        upper = [i for i, n in enumerate(EXPRESSIONS) if not n.startswith(("jaw", "mouth", "eyeL"))]
        moved = change(emotion=emotion)
        slopes[name] = float(np.dot(moved[upper], wish[upper]) / np.dot(wish[upper], wish[upper]))
        slopes[f"{name}_head_deg"] = float(np.rad2deg(np.abs(moved[52:55]).max()))
    return _rounded(slopes)


def _pace(cues: Array, weights: Path) -> dict[str, float]:
    """Return CPU milliseconds a frame by the number of steps, on one thread."""
    cues, spent = cues[:250], {}
    for steps in (4, 6, 8, 10):
        perform(cues[:50], 0, weights, Guidance(steps=steps))
        started = time.process_time()
        perform(cues, 0, weights, Guidance(steps=steps))
        spent[str(steps)] = 1000.0 * (time.process_time() - started) / len(cues)
    return _rounded(spent, 2)
