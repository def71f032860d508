"""The corpus of the learned motion model: what is heard, and how somebody moves who says it.

    python -m obverse.generator.motion_corpus --work DIR

Free engines speak (`training_speech`), utterances are joined by pauses into stretches of 10 to 40
seconds, the teacher performs each under conditions of its own, the sound is spoilt as recordings
are, and `cues` hears it. Every step is kept: a run that was stopped goes on where it was, and new
weights of the ear cost only the hearing. `shards` says what is written; `videos_to_corpus` makes
the same of a user's own talking-head videos.
"""

import argparse
import dataclasses
import functools
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, lfilter, oaconvolve, resample_poly, sosfilt

from obverse.errors import ConfigError, InputError
from obverse.files import write_whole
from obverse.generator.cues import read_cues
from obverse.generator.direction import draw_conditions, draw_style
from obverse.generator.motion import FPS
from obverse.generator.phones import CLASSES, Phone
from obverse.generator.shards import (
    Shard,
    heard_by,
    hearing_version,
    list_shards,
    read_shard,
    read_windows,
    save_arrays,
    write_index,
    write_shard,
)
from obverse.generator.speech import RATE_HZ, read_speech_features
from obverse.generator.teacher import Lesson, teach
from obverse.generator.training_sound import noise_like, sung, whispered
from obverse.generator.training_speech import HELD_OUT, Spoken, speak_corpus
from obverse.generator.video_corpus import videos_to_corpus
from obverse.workers import spread

__all__ = [
    "MotionCorpusConfig",
    "Shard",
    "build_motion_corpus",
    "list_shards",
    "read_shard",
    "read_windows",
    "videos_to_corpus",
]

_log = logging.getLogger(__name__)

Samples = npt.NDArray[np.float32]

HOP = RATE_HZ // FPS
_TEACHER_VERSION = 3  # raise it when the teacher teaches something else
_STRETCH_SECONDS = (10.0, 40.0)
_KINDS = (("talk", 0.88), ("listen", 0.06), ("sound", 0.06))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MotionCorpusConfig:
    """What the corpus is made of."""

    seed: int = 40
    minutes: float = 66.0  # of sound
    performances: int = 3  # of each stretch, under conditions of their own
    flite: int = 90  # sentences a flite voice
    espeak: int = 5  # utterances a language of espeak-ng
    kokoro: int = 9  # sentences a Kokoro voice; slow to make
    workers: int = 1  # processes

    def __post_init__(self) -> None:
        """Refuse an empty corpus."""
        if not 0.0 < self.minutes <= 60_000.0:
            raise ConfigError(f"minutes is {self.minutes}; it must lie in (0, 60000].")
        if min(self.flite, self.espeak, self.kokoro) < 0 or self.flite + self.espeak < 1:
            raise ConfigError("at least one sentence of flite or espeak is needed.")
        if self.workers < 1 or self.performances < 1:
            raise ConfigError("workers and performances must be at least 1.")


# --- speech ---------------------------------------------------------------------------------


def _speech_file(work: Path, engine: str, config: MotionCorpusConfig) -> Path:
    return work / "speech" / f"{engine}-{config.seed}-{getattr(config, engine)}.npz"


def _speak(work: Path, engine: str, config: MotionCorpusConfig) -> None:
    """Let one engine speak, and keep what it said."""
    path = _speech_file(work, engine, config)
    if path.is_file():
        return
    rng = np.random.default_rng([config.seed, len(engine)])
    counts = dict.fromkeys(("flite", "espeak", "kokoro"), 0)
    counts[engine] = getattr(config, engine)
    spoken = list(speak_corpus(rng, **counts, cache=work))
    path.parent.mkdir(parents=True, exist_ok=True)
    save_arrays(path, **_packed(spoken))
    _log.info("%s spoke %d utterances", engine, len(spoken))


def _packed(spoken: Sequence[Spoken]) -> dict[str, npt.NDArray[Any]]:
    phones = [(CLASSES.index(p.sound), p.start, p.end) for s in spoken for p in s.phones]
    samples = np.concatenate([s.samples for s in spoken])
    return {
        "voices": np.array([s.voice for s in spoken]),
        "samples": np.round(np.clip(samples, -1.0, 1.0) * 32767.0).astype(np.int16),
        "lengths": np.array([len(s.samples) for s in spoken], np.int64),
        "phones": np.array(phones, np.float64).reshape(-1, 3),
        "phone_counts": np.array([len(s.phones) for s in spoken], np.int64),
    }


def _unpacked(path: Path) -> list[Spoken]:
    with np.load(path, allow_pickle=False) as arrays:
        samples = arrays["samples"].astype(np.float32) / 32767.0
        pieces = np.split(samples, np.cumsum(arrays["lengths"])[:-1])
        phones = np.split(arrays["phones"], np.cumsum(arrays["phone_counts"])[:-1])
        return [
            Spoken(
                str(voice),
                piece,
                tuple(Phone(CLASSES[int(c)], float(start), float(end)) for c, start, end in p),
            )
            for voice, piece, p in zip(arrays["voices"], pieces, phones, strict=True)
        ]


@functools.lru_cache(maxsize=1)
def _voices(work: Path, config: MotionCorpusConfig) -> dict[str, list[Spoken]]:
    """Return what every voice said, but for those that are held out."""
    found: dict[str, list[Spoken]] = {}
    for engine in ("flite", "espeak", "kokoro"):
        if getattr(config, engine):
            for spoken in _unpacked(_speech_file(work, engine, config)):
                if spoken.voice not in HELD_OUT and len(spoken.samples) > RATE_HZ // 2:
                    found.setdefault(spoken.voice, []).append(spoken)
    return found


# --- stretches ------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Stretch:
    kind: str
    voice: str
    clean: Samples  # what the teacher hears
    phones: tuple[Phone, ...]


def _join(
    utterances: Iterator[Spoken], kind: str, seconds: float, rng: np.random.Generator
) -> tuple[Samples, tuple[Phone, ...]]:
    """Join utterances by pauses until the stretch is long enough; its ends are silent."""
    pieces = [np.zeros(int(rng.uniform(0.1, 2.5) * RATE_HZ), np.float32)]
    phones: list[Phone] = []
    count = len(pieces[0])
    while count < seconds * RATE_HZ:
        spoken = next(utterances)
        samples, said = spoken.samples.astype(np.float64), spoken.phones
        way = rng.random()
        if way < 0.07:
            samples, said = sung(samples, said, rng)
        elif way < 0.11:
            samples = whispered(samples, rng)
        level = 10.0 ** (rng.normal(0.0, 3.0) / 20.0) / (np.abs(samples).max() + 1e-9)
        pieces.append((samples * level).astype(np.float32))
        at = count / RATE_HZ
        phones += [Phone(p.sound, p.start + at, p.end + at) for p in said]
        pause = float(np.clip(rng.lognormal(np.log(0.4), 0.6), 0.08, 2.0))
        if rng.random() < (0.7 if kind == "listen" else 0.12):
            pause = float(rng.uniform(2.0, 7.0))
        pieces.append(np.zeros(int(pause * RATE_HZ), np.float32))
        count += len(pieces[-2]) + len(pieces[-1])
    pieces.append(np.zeros(int(rng.uniform(0.0, 2.0) * RATE_HZ), np.float32))
    return np.concatenate(pieces), tuple(phones)


def _stretch(voices: dict[str, list[Spoken]], seconds: float, rng: np.random.Generator) -> _Stretch:
    """Draw a stretch: somebody talks, or mostly listens, or there is sound but no voice."""
    names = sorted(voices)
    kind = str(rng.choice([name for name, _ in _KINDS], p=[share for _, share in _KINDS]))
    if kind == "sound":
        return _Stretch(kind, "", np.zeros(int(seconds * RATE_HZ), np.float32), ())
    voice = names[int(rng.integers(len(names)))]

    def utterances() -> Iterator[Spoken]:
        while True:
            for index in rng.permutation(len(voices[voice])):
                yield voices[voice][index]

    samples, phones = _join(utterances(), kind, seconds, rng)
    # Played faster or slower: pitch and formants move together, as with a shorter or longer throat.
    ratio = int(rng.integers(42, 60)) / 50
    samples = resample_poly(samples, round(ratio * 50), 50).astype(np.float32)
    moved = tuple(Phone(p.sound, p.start * ratio, p.end * ratio) for p in phones)
    return _Stretch(kind, voice, samples, moved)


_BANK, _BANK_SECONDS = 40, 15


@functools.lru_cache(maxsize=1)
def _noises(seed: int) -> list[Samples]:
    """Return pieces of noise and music, made once: they cost more than all else that is heard."""
    rng = np.random.default_rng([seed, 2**21])
    return [noise_like(rng, _BANK_SECONDS * RATE_HZ).astype(np.float32) for _ in range(_BANK)]


def _noise(rng: np.random.Generator, count: int, seed: int) -> Samples:
    """Return unit-power sound that is no voice; long ones repeat, from anywhere, at any speed."""
    piece = _noises(seed)[int(rng.integers(_BANK))]
    speed = float(rng.uniform(0.8, 1.25))
    at = (rng.uniform(0.0, len(piece)) + speed * np.arange(count)) % (len(piece) - 1)
    whole = at.astype(np.int64)
    part = (at - whole).astype(np.float32)
    return np.asarray(piece[whole] * (1.0 - part) + piece[whole + 1] * part, np.float32)


def _recorded(stretch: _Stretch, rng: np.random.Generator, seed: int) -> Samples:
    """Spoil the sound as rooms, microphones, telephones and other people's noise do."""
    sound = stretch.clean.astype(np.float32)
    if stretch.kind == "sound":
        if rng.random() < 0.2:
            level = 10.0 ** rng.uniform(-5.0, -3.0)
            return np.asarray(level * rng.standard_normal(len(sound)), np.float32)
        sound = _noise(rng, len(sound), seed)
    else:
        if rng.random() < 0.4:
            length = int(rng.uniform(0.05, 0.45) * RATE_HZ)
            tail = rng.standard_normal(length) * np.exp(-6.0 * np.arange(length) / length)
            tail *= rng.uniform(0.01, 0.09)
            tail[: RATE_HZ // 200] = 0.0  # the first reflection comes 5 ms late
            tail[0] = 1.0
            sound = oaconvolve(sound, tail.astype(np.float32))[: len(sound)]
        if rng.random() < 0.5:
            level = np.sqrt(np.mean(sound**2)) * 10.0 ** (-rng.uniform(5.0, 40.0) / 20.0)
            sound = sound + np.float32(level) * _noise(rng, len(sound), seed)
    if rng.random() < 0.5:
        sound = lfilter([1.0, rng.uniform(-0.8, 0.6)], [1.0], sound)
    if rng.random() < 0.2:  # a telephone
        sections = butter(6, rng.uniform(3000.0, 6500.0), fs=RATE_HZ, output="sos")
        sound = sosfilt(sections, sound)
    sound = sound / (np.abs(sound).max() + 1e-9) * 10.0 ** (-rng.uniform(0.0, 30.0) / 20.0)
    return np.asarray(sound, np.float32)


@dataclasses.dataclass(frozen=True, slots=True)
class _Job:
    work: Path
    config: MotionCorpusConfig
    index: int
    seconds: float


def _lesson_file(job: _Job) -> Path:
    return job.work / "lessons" / f"{job.index:05d}.npz"


def _perform(job: _Job) -> None:
    """Make the sound of one stretch, and several performances of it."""
    config = job.config
    rng = np.random.default_rng([config.seed, job.index])
    stretch = _stretch(_voices(job.work, config), job.seconds, rng)
    speech = read_speech_features(stretch.clean)
    sound = _recorded(stretch, rng, config.seed)
    rows, lessons = [], []
    for _ in range(config.performances):
        style, conditions = draw_style(rng), draw_conditions(speech.frames, rng)
        seed = int(rng.integers(2**31))
        lessons.append(teach(stretch.phones, speech, seed, style, conditions))
        traits = {name: round(value, 4) for name, value in dataclasses.asdict(style).items()}
        rows.append({"kind": stretch.kind, "voice": stretch.voice, "seed": seed, "style": traits})
    save_arrays(
        _lesson_file(job),
        sound=np.round(sound * 32767.0).astype(np.int16),
        about=json.dumps(rows),
        **{
            name: np.stack([getattr(lesson, name) for lesson in lessons]) for name in Lesson._fields
        },
    )


def _perform_missing(job: _Job) -> None:
    if not _lesson_file(job).is_file():
        _perform(job)


def _hear(job: _Job) -> list[dict[str, Any]]:
    """Write the shards of one stretch and return their rows of the index."""
    _perform_missing(job)
    with np.load(_lesson_file(job), allow_pickle=False) as arrays:
        rows = json.loads(str(arrays["about"]))
        first = job.index * job.config.performances
        paths = [job.work / f"{first + number:05d}.npz" for number in range(len(rows))]
        hearing = hearing_version()
        if not all(path.is_file() and heard_by(path) == hearing for path in paths):
            cues = read_cues(arrays["sound"].astype(np.float32) / 32767.0)
            lessons = {name: arrays[name].astype(np.float32) for name in Lesson._fields}
            for number, path in enumerate(paths):
                parts = {name: lesson[number] for name, lesson in lessons.items()}
                write_shard(path, Shard(cues, **parts, known=np.ones(3, bool)), hearing)
        frames = arrays["distance"].shape[1]
        return [
            {"file": path.name, "stretch": job.index, "frames": frames, **row}
            for path, row in zip(paths, rows, strict=True)
        ]


def build_motion_corpus(
    work: Path, config: MotionCorpusConfig, *, lessons_only: bool = False
) -> Path:
    """Make the corpus in `work`, or what is still missing of it; returns the folder of its shards.

    With `lessons_only` the sounds and performances are made but not heard yet, and no shard is
    written.

    Raises:
        InputError: an engine is not installed, or `work` holds a corpus of another making.
    """
    (work / "lessons").mkdir(parents=True, exist_ok=True)
    made = {
        "teacher": _TEACHER_VERSION,
        "config": {k: v for k, v in dataclasses.asdict(config).items() if k != "workers"},
    }
    stamp = work / "config.json"
    if stamp.is_file() and json.loads(stamp.read_text(encoding="utf-8")) != made:
        raise InputError(f"{work} holds a corpus of other settings; give another folder.")
    write_whole(stamp, json.dumps(made))
    for engine in ("flite", "espeak", "kokoro"):
        if getattr(config, engine):
            _speak(work, engine, config)
    rng = np.random.default_rng([config.seed, 2**20])
    jobs: list[_Job] = []
    left = config.minutes * 60.0
    while left > 0.0:
        seconds = float(rng.uniform(*_STRETCH_SECONDS))
        jobs.append(_Job(work, config, len(jobs), seconds))
        left -= seconds
    if lessons_only:
        for _, failed in spread(_perform_missing, jobs, config.workers):
            if failed is not None:
                raise failed
        return work
    rows: list[dict[str, Any]] = []
    for done, (_, made_rows) in enumerate(spread(_hear, jobs, config.workers), 1):
        if isinstance(made_rows, BaseException):
            raise made_rows
        rows += made_rows
        if done % 20 == 0:
            _log.info("%d of %d stretches", done, len(jobs))
    write_index(work, sorted(rows, key=lambda row: str(row["file"])), made)
    return work


def main() -> None:
    """Read the command line and build."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--lessons-only", action="store_true", help="leave the hearing for later")
    for field in dataclasses.fields(MotionCorpusConfig):
        parser.add_argument(f"--{field.name}", type=type(field.default), default=field.default)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    arguments = vars(parser.parse_args())
    work, lessons_only = arguments.pop("work"), arguments.pop("lessons_only")
    build_motion_corpus(work, MotionCorpusConfig(**arguments), lessons_only=lessons_only)


if __name__ == "__main__":
    main()
