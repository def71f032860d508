"""Synthesise the bundled voices: fixed sentences, free engines, one FLAC file a sentence, and
`voices.json`.

    python -m obverse.generator.build_voices

needs the engines of `obverse.generator.synthesis`. No two voices share a sentence, so that a split
by voice is a split by text as well. flite's phone times go into `voices.json` and serve as ground
truth for lip closure.
"""

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import platformdirs

from obverse.generator.synthesis import Kokoro, Utterance, speak_flite

__all__ = ["main"]

FOLDER = Path(__file__).resolve().parent / "utterances"
EDGE_SECONDS = 0.2  # silence before the first and after the last sound
PEAK = 0.7  # of full scale
FLITE_LICENCE = "flite and its voices (Carnegie Mellon University), BSD-like: free for any use"
KOKORO_LICENCE = "Kokoro-82M v1.0, Apache-2.0"

FLITE_VOICES = {  # our name -> flite's, presentation, accent
    "awb": ("awb", "male", "Scottish English"),
    "kal": ("kal16", "male", "American English"),
    "rms": ("rms", "male", "American English"),
    "slt": ("slt", "female", "American English"),
}
KOKORO_VOICES = {  # our name -> Kokoro's style, presentation
    "alpha": ("jf_alpha", "female"),
    "gongitsune": ("jf_gongitsune", "female"),
    "nezumi": ("jf_nezumi", "female"),
    "tebukuro": ("jf_tebukuro", "female"),
    "kumo": ("jm_kumo", "male"),
}

SENTENCES = (
    "My mother bought a big brown map before the boat left port.",
    "Please put the paper cups by the window, and bring me some milk.",
    "Five very fine violins were found in the valley on Friday.",
    "Peter probably has to move the piano up to the apartment himself.",
    "The weather may become warmer by the beginning of September.",
    "Bob asked whether the museum was open, but nobody could remember.",
    "She sells fresh fish and simple soups at the shop by the shore.",
    "I thought about both of them all the way through the month.",
    "A purple umbrella is the best thing to bring to a windy beach.",
    "You choose the music, and we will move the chairs to the back room.",
    "Nobody believed him, so he made a map of the whole mountain.",
    "The teacher put a small blue book on top of the empty box.",
    "Would you mind if we talked about the problem after breakfast?",
    "Maybe the baker will give us warm bread with plum jam.",
    "An old elephant walked slowly over the bridge above the river.",
    "Every Monday morning my brother jumps into the cold pool.",
    "We hope the bus to Plymouth is not going to be late again.",
    "How many people live in the yellow house behind the farm?",
    "The pilot promised that the plane would arrive by half past five.",
    "Boys and girls, look up: a balloon is floating over the church!",
    "It took a month to build the ramp, and a moment to break it.",
    "Bring a lamp, a pump and a map; we may be in the cave for hours.",
    "Thank you for the poem; it made the whole family smile.",
    "My favourite month is May, because the apple trees are in bloom.",
    "Could you possibly move a bit closer and speak up, please?",
    "The captain of the ship never mentioned the storm to his crew.",
    "Pam and Tim combined butter, pepper and mushrooms in a bowl.",
    "There is no simple way to measure how much people remember.",
    "We watched the moon rise above the roofs of the quiet town.",
    "Perhaps the problem is that both machines share one cable.",
    "He whispered something about a bridge, a bell and a robber.",
    "I am pleased to report that the bakery will be open by noon.",
    "The judge gave a large orange fish to the cheerful shoe maker.",
    "Remember to breathe, keep your back straight, and begin again.",
    "Few people know why the bells rang at midnight in November.",
    "The film was too loud, but the popcorn made up for it.",
    "Above the lamp hung a picture of a man with a white beard.",
    "Your umbrella, my bag and the blue blanket are in the lobby.",
    "If the map is wrong, we will have to climb up to the top.",
    "Both of the women voted for a park in the middle of the village.",
    "The apple pie was perfect, warm and sweet with a bit of lemon.",
    "Somebody moved the box of pens from my desk to the basement.",
    "Oh, what a beautiful morning to open up the boat house!",
    "Mr Brown plays the trumpet badly, but he is a brave man.",
    "The lamb jumped over the fence and vanished into the fog.",
    "They used to measure rope by the arm, and cloth by the thumb.",
    "Put your palm on the map and point to where we may be.",
    "I would rather be early by an hour than late by a minute.",
    "The new member of the club paid for both cups of tea.",
    "Amber, pearl and opal were on sale at the public market.",
    "What the robot wrote about the ocean made everybody laugh.",
    "Maps of the moon show many names from music and poetry.",
    "A bumpy path goes from the camp to the pond below the hill.",
    "Please remember to publish the number on the website by Monday.",
    "My uncle prefers a simple supper of brown beans and boiled rice.",
    "Open the blinds, the view of the bay is marvellous from up here.",
    "From above, the fields were a puzzle of brown, yellow and purple.",
    "The empty bus stopped behind the church and waited for nobody.",
    "Bring both of your boots, for the path may be wet and muddy.",
    "People from many places come to the market for pepper and thyme.",
    "I may be wrong, but the bathroom tap has been dripping since May.",
    "The violin, the oboe and the trumpet began at the same moment.",
    "A very old map of Bombay hung beside the lamp in the hall.",
    "Whoever wrote the poem must have loved the sea and its fog.",
    "We put the plums in a bowl, and the bees came by themselves.",
    "How much would it be for five pounds of mixed mushrooms?",
    "Before the vote, both members spoke about the price of bread.",
    "Your brother brought a lovely bunch of poppies to my mum.",
    "The beach is empty, but perhaps the pub is open by now.",
    "Imagine a company that makes nothing but maps and globes.",
    "The boy wiped the foam from his lips and began to hum.",
    "Push the button above the lamp, and the pump will stop.",
)


def _trim(utterance: Utterance) -> Utterance:
    """Cut or pad to `EDGE_SECONDS` of silence at both ends, and move the phones along."""
    samples, rate_hz = utterance.samples, utterance.rate_hz
    loud = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max())
    edge = round(EDGE_SECONDS * rate_hz)
    first, last = int(loud[0]) - edge, int(loud[-1]) + 1 + edge
    padded = np.pad(samples, (max(0, -first), max(0, last - len(samples))))
    start = max(0, first)
    trimmed = padded[start : start + last - first]
    seconds = len(trimmed) / rate_hz

    def move(time: float) -> float:
        return round(min(max(time - first / rate_hz, 0.0), seconds), 3)

    phones = utterance.phones
    moved = (
        None
        if phones is None
        else tuple((name, move(start), move(end)) for name, start, end in phones)
    )
    return dataclasses.replace(utterance, samples=trimmed, phones=moved)


def _write(path: Path, utterance: Utterance) -> None:
    """Write 16-bit FLAC at a peak of `PEAK`."""
    scaled = utterance.samples / np.abs(utterance.samples).max() * PEAK * 32767.0
    frame = av.AudioFrame.from_ndarray(
        np.round(scaled).astype(np.int16)[None], format="s16", layout="mono"
    )
    frame.sample_rate = utterance.rate_hz
    with av.open(str(path), "w", format="flac", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream(
            "flac", rate=utterance.rate_hz, layout="mono", options={"compression_level": "12"}
        )
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)


def _sentence(voice: str, number: int, text: str, utterance: Utterance) -> dict[str, Any]:
    trimmed = _trim(utterance)
    file = f"{voice}-{number}.flac"
    _write(FOLDER / file, trimmed)
    seconds = round(len(trimmed.samples) / trimmed.rate_hz, 3)
    phones = None if trimmed.phones is None else [[name, end] for name, _, end in trimmed.phones]
    return {"text": text, "file": file, "seconds": seconds, "phones": phones}


def _texts(sentences: Sequence[str]) -> list[str]:
    """Say the first sentence alone, the next two in one breath, and so on: 3 to 9 seconds each."""
    texts: list[str] = []
    rest = list(sentences)
    while rest:
        count = 1 + len(texts) % 2
        texts.append(" ".join(rest[:count]))
        rest = rest[count:]
    return texts


def main() -> None:
    """Write every sentence and `voices.json`."""
    FOLDER.mkdir(exist_ok=True)
    names = [*FLITE_VOICES, *KOKORO_VOICES]
    share = len(SENTENCES) // len(names)
    texts = {name: _texts(SENTENCES[n * share : (n + 1) * share]) for n, name in enumerate(names)}
    voices: list[dict[str, Any]] = []
    for name, (engine_voice, presentation, accent) in FLITE_VOICES.items():
        voice = f"flite-{name}"
        sentences = [
            _sentence(voice, number, text, speak_flite(text, engine_voice))
            for number, text in enumerate(texts[name])
        ]
        voices.append({
            "id": voice, "engine": f"flite 2.2, voice {engine_voice}", "licence": FLITE_LICENCE,
            "presentation": presentation, "accent": accent, "sentences": sentences,
        })  # fmt: skip
    kokoro = Kokoro(Path(platformdirs.user_cache_dir("obverse")))
    for name, (style, presentation) in KOKORO_VOICES.items():
        voice = f"kokoro-{name}"
        sentences = [
            _sentence(voice, number, text, kokoro.speak(text, {style: 1.0}))
            for number, text in enumerate(texts[name])
        ]
        voices.append({
            "id": voice, "engine": f"Kokoro-82M v1.0 int8, style {style}",
            "licence": KOKORO_LICENCE, "presentation": presentation,
            "accent": "American English by a Japanese voice", "sentences": sentences,
        })  # fmt: skip
    text = json.dumps({"voices": voices}, indent=1, ensure_ascii=False)
    text = re.sub(r"\[\s+(\"[a-z]+\"),\s+([\d.]+)\s+\]", r"[\1, \2]", text)  # one phone a line
    (FOLDER / "voices.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
