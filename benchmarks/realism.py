"""How near clips of the generator come to real video: `python -m benchmarks.realism OUT --json`.

Makes a small corpus in OUT, a folder a motion model: each portrait says each utterance, and every
clip is released as users' clips are. An utterance is two bundled sentences of one voice, with the
pauses before, between and after them that speech has. Then measures the folders by
`obverse.eval.realism`. A run that was broken off goes on where it was.

Clips of another version, made from OUT/portraits and OUT/speech under the same names, are measured
beside them with `--also NAME=FOLDER`.
"""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine
from obverse.errors import ConfigError, FaceError, InputError
from obverse.eval.realism import (
    ClipRealism,
    find_clips,
    measure_clips,
)
from obverse.eval.realism_report import format_table, write_report
from obverse.eval.realism_table import RealismTable, summarise_realism
from obverse.generator.generate import SOUND_HZ, generate, sitter_still
from obverse.generator.performance import MOTION_MODELS, PerformanceConfig
from obverse.generator.voices import list_voices, read_voice
from obverse.media.audio import write_wav
from obverse.provenance.home import HOME_VARIABLE

__all__ = ["main"]

LEAD_SECONDS, PAUSE_SECONDS, TAIL_SECONDS = 0.5, 0.9, 0.7
STILLS = (".jpg", ".jpeg", ".png", ".webp")
WITHIN = 0.15  # of the reference, a measure is as in real video
SCORE_WANTED = 0.85


@contextlib.contextmanager
def _home(folder: Path) -> Iterator[None]:
    """Keep the run's identity and registry away from the user's."""
    before = os.environ.get(HOME_VARIABLE)
    os.environ[HOME_VARIABLE] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[HOME_VARIABLE]
        else:
            os.environ[HOME_VARIABLE] = before


def make_speech(folder: Path, count: int) -> list[Path]:
    """Write `count` utterances and, where they are known, their phones: NAME.wav, NAME.json."""
    folder.mkdir(parents=True, exist_ok=True)
    voices = list_voices()
    made = []
    for index in range(count):
        # Few utterances are by speakers as unlike as can be; many go round.
        place = index * len(voices) // count if count < len(voices) else index
        voice = voices[place % len(voices)]
        first = 2 * (place // len(voices)) % len(voice.sentences)
        chosen = (first, (first + 1) % len(voice.sentences))
        path = folder / f"{voice.id}-{first}.wav"
        pieces, phones, known = [], [], True
        at = LEAD_SECONDS
        pieces.append(np.zeros(round(LEAD_SECONDS * SOUND_HZ), np.float32))
        for which, after in zip(chosen, (PAUSE_SECONDS, TAIL_SECONDS), strict=True):
            samples = read_voice(voice.id, which, SOUND_HZ)
            sentence = voice.sentences[which]
            known &= sentence.phones is not None
            phones += [[name, at + start, at + end] for name, start, end in sentence.phones or ()]
            silence = np.zeros(round(after * SOUND_HZ), np.float32)
            pieces += [samples, silence]
            at += (len(samples) + len(silence)) / SOUND_HZ
        write_wav(path, np.concatenate(pieces), SOUND_HZ)
        path.with_suffix(".json").write_text(json.dumps(phones if known else None))
        made.append(path)
    return made


def make_portraits(folder: Path, count: int, source: Path | None) -> list[Path]:
    """Return `count` stills: of sitters, drawn into `folder`, or evenly out of `source`."""
    if source is not None:
        found = sorted(path for path in source.iterdir() if path.suffix.lower() in STILLS)
        if len(found) < count:
            raise InputError(f"{source} holds {len(found)} stills; {count} are wanted.")
        return [found[index * len(found) // count] for index in range(count)]
    folder.mkdir(parents=True, exist_ok=True)
    made = [folder / f"sitter-{seed}.png" for seed in range(count)]
    for seed, path in enumerate(made):
        if not path.exists():
            sitter_still(seed, path)
    return made


def make_clips(
    folder: Path, model: str, portraits: Sequence[Path], utterances: Sequence[Path]
) -> None:
    """Let each portrait say each utterance; what is there already is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    controls = PerformanceConfig(model=model)
    for i, portrait in enumerate(portraits):
        for j, speech in enumerate(utterances):
            path = folder / f"{portrait.stem}-{speech.stem}.mp4"
            about = {
                "portrait": os.path.relpath(portrait, folder),
                "phones": json.loads(speech.with_suffix(".json").read_text()),
            }
            path.with_suffix(".realism.json").write_text(json.dumps(about))
            if path.exists():
                continue
            seed = i * len(utterances) + j
            try:
                generate(portrait, speech, path, rights="synthetic", seed=seed, controls=controls)
            except FaceError as error:  # a still that nobody could move is no clip to measure
                print(f"{model}: left out: {error}", file=sys.stderr, flush=True)
                continue
            print(f"{model}: {path.name}", file=sys.stderr, flush=True)


def verdict(table: RealismTable) -> dict[str, Any]:
    """Return which measures are within 15 % of real video, and whether the score is reached."""
    near = {
        row.measure.name: bool(row.closeness >= 1 - WITHIN)
        for row in table.rows
        if row.closeness is not None
    }
    score = None if table.score is None else table.score.value
    return {
        "within_15_percent": near,
        "score": score,
        "score_wanted": SCORE_WANTED,
        "score_reached": score is not None and score >= SCORE_WANTED,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the corpus, measure it, print the tables."""
    parser = argparse.ArgumentParser(description=str(main.__doc__))
    parser.add_argument("output", type=Path, help="a folder for clips and reports")
    parser.add_argument("--model", action="append", choices=sorted(MOTION_MODELS))
    parser.add_argument("--portraits", type=Path, help="stills; bundled sitters by default")
    parser.add_argument("--stills", type=int, default=6, help="how many portraits")
    parser.add_argument("--utterances", type=int, default=2, help="that each of them says")
    parser.add_argument("--also", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--real", type=Path, help="real clips, in place of published figures")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    out: Path = options.output.resolve()
    with _home(out / "home"):
        portraits = make_portraits(out / "portraits", options.stills, options.portraits)
        utterances = make_speech(out / "speech", options.utterances)
        folders: dict[str, Path] = {}
        for model in options.model or sorted(MOTION_MODELS):
            folders[model] = out / model
            make_clips(folders[model], model, portraits, utterances)
    for given in options.also:
        name, _, folder = given.partition("=")
        if not folder:
            raise ConfigError(f"--also {given}: write NAME=FOLDER.")
        folders[name] = Path(folder)
    real: list[ClipRealism] | None = None
    if options.real is not None:
        real = measure_clips(find_clips(options.real), jobs=options.jobs)
    results: dict[str, Any] = {}
    for name, folder in folders.items():
        clips = measure_clips(find_clips(folder), jobs=options.jobs)
        table = summarise_realism(clips, real)
        write_report(out / f"report-{name.replace(' ', '-')}", table, clips, real)
        results[name] = table.to_json() | {"verdict": verdict(table)}
        if not options.json:
            print(f"\n{name}\n{format_table(table)}", flush=True)
    if options.json:
        print(json.dumps({"results": results, "machine": machine()}, indent=2))


if __name__ == "__main__":
    main()
