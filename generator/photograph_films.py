"""Films of photographs, for corpora whose people are in photographs alone.

`python -m obverse.generator.photograph_films PHOTOGRAPHS -o films`: each film holds one photograph
still while a bundled voice speaks. As recordings of `obverse corpus --pristine` they give frames of
the photograph as it was beside frames in which it was made to speak. What moves in them tells
nothing true of pristine films: train detectors of single frames on them, no others.
"""

import argparse
from pathlib import Path

import numpy as np

from obverse.datasets.walk import pictures_in
from obverse.errors import InputError, ObverseError
from obverse.generator.motion import FPS
from obverse.generator.voices import list_voices, read_voice
from obverse.media.encode import EncodeConfig, VideoWriter, crop_even
from obverse.media.still import read_still

__all__ = ["hold_photograph", "main", "photographs_of"]

_SOUND_HZ = 16_000
_ENCODE = EncodeConfig(crf=12, threads=1)  # far finer than what a corpus is encoded with


def photographs_of(folder: Path, count: int) -> list[Path]:
    """Return all photographs of a folder.

    Raises:
        InputError: it cannot be read, or holds fewer than `count`.
    """
    found = [folder / name for name in pictures_in(folder)]
    if len(found) < count:
        raise InputError(
            f"{folder} holds {len(found)} photographs and {count} are asked for; lower --count."
        )
    return found


def hold_photograph(photograph: Path, film: Path, seconds: float, rng: np.random.Generator) -> None:
    """Write a film that holds a photograph still while a bundled voice, drawn by `rng`, speaks."""
    image = crop_even(read_still(photograph))
    voices = list_voices()
    voice = voices[int(rng.integers(len(voices)))]
    said = np.concatenate(
        [read_voice(voice.id, number, _SOUND_HZ) for number in range(len(voice.sentences))]
    )
    # From any moment on, and round to the beginning: no two films sound the same.
    sound = np.resize(np.roll(said, -int(rng.integers(len(said)))), round(seconds * _SOUND_HZ))
    height, width = image.shape[:2]
    with VideoWriter(
        film, width, height, FPS, config=_ENCODE, audio=sound, audio_rate=_SOUND_HZ
    ) as writer:
        for _ in range(round(seconds * FPS)):
            writer.write(image)


def _link(link: Path, photograph: Path) -> None:
    """Put a link to a photograph in place of an older link, and of nothing else."""
    if link.exists() and not link.is_symlink():
        raise InputError(
            f"{link} is a file and no link, and is not replaced; give --rest another folder."
        )
    link.unlink(missing_ok=True)
    link.symlink_to(photograph.resolve())


def main() -> None:
    """Write the films of a folder of photographs."""
    parser = argparse.ArgumentParser(description="Films of photographs, for obverse corpus.")
    parser.add_argument("photographs", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--count", type=int, default=120, help="how many photographs; 120")
    parser.add_argument("--rest", type=Path, help="a folder for links to all other photographs")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        found = photographs_of(options.photographs, options.count)
        rng = np.random.default_rng(options.seed)
        order = rng.permutation(len(found))
        options.output.mkdir(parents=True, exist_ok=True)
        for number in sorted(order[: options.count]):
            film = options.output / f"{found[number].name}.mp4"  # a.jpg and a.png are two
            hold_photograph(found[number], film, options.seconds, rng)
        if options.rest is not None:
            options.rest.mkdir(parents=True, exist_ok=True)
            for number in sorted(order[options.count :]):
                _link(options.rest / found[number].name, found[number])
    except ObverseError as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
