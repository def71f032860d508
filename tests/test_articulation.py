"""The mouth on speech that was never trained on: closures, vowels, silence, noise, other
languages."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from obverse.generator.articulation import Articulation, articulate, mouth_expression
from obverse.generator.motion import FPS, expression_index
from obverse.generator.phones import CLASSES, Phone, articulate_phones
from obverse.generator.speech import RATE_HZ, Speech, read_speech_features
from obverse.generator.voices import list_voices, read_voice, voice_path
from obverse.weights import card

SHARED = Path(__file__).resolve().parents[2] / "shared" / "speech"
HELD_OUT = (
    "flite-rms"  # see the card of the weights: its voice and these sentences are new to the model
)

Track = npt.NDArray[np.float32]


def _mouth(speech: Speech) -> Track:
    return mouth_expression(articulate(speech), speech.frames)


def _gap(mouth: Track) -> Track:
    """Return how far the lips are apart, in units of jawOpen: about 0 is shut."""

    def column(name: str) -> Track:
        return mouth[:, expression_index(name)]

    lips = column("mouthLowerDownLeft") + column("mouthUpperUpLeft")
    return np.asarray(column("jawOpen") - column("mouthClose") + 0.5 * lips, np.float32)


@pytest.fixture(scope="module")
def held_out() -> list[tuple[Track, list[Phone]]]:
    """Return the gap between the lips and the true phones of each held-out utterance."""
    rows = []
    voice = next(voice for voice in list_voices() if voice.id == HELD_OUT)
    for number, sentence in enumerate(voice.sentences):
        speech = read_speech_features(voice_path(HELD_OUT, number))
        rows.append((_gap(_mouth(speech)), list(sentence.sounds())))
    return rows


def _during(gap: Track, phone: Phone, slack: float = 0.02) -> Track:
    first = int(max(0.0, phone.start - slack) * FPS)
    return gap[first : int(np.ceil((phone.end + slack) * FPS))]


def test_lips_close_on_p_b_m_of_a_voice_never_heard(
    held_out: list[tuple[Track, list[Phone]]],
) -> None:
    shut = [
        _during(gap, phone).min() < 0.03
        for gap, phones in held_out
        for phone in phones
        if phone.sound == "bilabial"
    ]
    assert len(shut) >= 20
    assert np.mean(shut) >= 0.85


def test_lips_do_not_close_in_open_vowels(held_out: list[tuple[Track, list[Phone]]]) -> None:
    gaps = [
        float(gap[int((phone.start + phone.end) / 2 * FPS)])
        for gap, phones in held_out
        for phone in phones
        if phone.sound in ("open", "front", "back") and phone.end - phone.start > 0.07
    ]
    assert np.mean(np.array(gaps) < 0.03) <= 0.1
    assert np.mean(gaps) > 0.15


def test_openness_follows_the_phones(held_out: list[tuple[Track, list[Phone]]]) -> None:
    """The mouth that is heard opens and shuts as the one that is told its phones."""
    correlations = []
    for gap, phones in held_out:
        steps = 4 * len(gap)
        told = Articulation(
            articulate_phones(phones, steps),
            np.zeros((steps, len(CLASSES)), np.float32),
            np.ones(steps, np.float32),
        )
        correlations.append(np.corrcoef(_gap(mouth_expression(told, len(gap))), gap)[0, 1])
    assert np.mean(correlations) > 0.6


def test_a_wide_vowel_opens_more_than_a_narrow_one(
    held_out: list[tuple[Track, list[Phone]]],
) -> None:
    def mean(sounds: tuple[str, ...]) -> float:
        values = [
            _during(gap, phone, 0.0).max()
            for gap, phones in held_out
            for phone in phones
            if phone.sound in sounds
        ]
        return float(np.mean(values))

    assert mean(("open",)) > 1.3 * mean(("close", "rounded"))


def _shaped_noise(kind: str, seconds: float = 3.0) -> npt.NDArray[np.float64]:
    rng = np.random.default_rng(4)
    count = round(seconds * RATE_HZ)
    time = np.arange(count) / RATE_HZ
    if kind == "silence":
        return np.zeros(count)
    if kind == "hum":
        return 0.1 * sum(
            (np.sin(2 * np.pi * 50 * k * time) / k for k in range(1, 8)), np.zeros(count)
        )
    noise = rng.standard_normal(count) * 0.05
    return np.cumsum(noise) * 0.02 if kind == "brown" else noise


@pytest.mark.parametrize("kind", ["silence", "white", "brown", "hum"])
def test_mouth_is_still_without_a_voice(kind: str) -> None:
    mouth = _mouth(read_speech_features(_shaped_noise(kind)))
    assert np.abs(mouth).max() < 0.03


def test_mouth_is_still_in_a_pause_full_of_noise_and_speaks_before_and_after() -> None:
    voice = read_voice(HELD_OUT, 0)
    rng = np.random.default_rng(5)
    pause = np.zeros(2 * RATE_HZ)
    samples = np.concatenate([voice, pause, voice])
    samples = samples + rng.standard_normal(len(samples)) * 0.004
    gap = _gap(_mouth(read_speech_features(samples)))
    first = len(voice) / RATE_HZ
    still = gap[int((first + 0.4) * FPS) : int((first + 1.8) * FPS)]
    assert still.max() < 0.02
    assert gap[: int(first * FPS)].max() > 0.2
    assert gap[int((first + 2.0) * FPS) :].max() > 0.2


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/speech")
@pytest.mark.parametrize("name", ["french.wav", "chinese.wav", "english_1961.flac", "singing.wav"])
def test_any_language_and_song_move_the_mouth_naturally(name: str) -> None:
    speech = read_speech_features(SHARED / name)
    mouth = _mouth(speech)
    jaw = mouth[:, expression_index("jawOpen")]
    gap = _gap(mouth)
    assert 0.04 < jaw.mean() < 0.3
    assert 0.12 < np.percentile(jaw, 95) < 0.55
    # It opens and shuts at the pace of syllables: once to eight times a second.
    crossings = np.count_nonzero(np.diff(np.sign(gap - np.median(gap)))) / 2 / speech.seconds
    assert 0.8 < crossings < 8.0


def test_two_listenings_hear_the_same() -> None:
    speech = read_speech_features(voice_path("kokoro-kumo", 0))
    first, second = articulate(speech), articulate(speech)
    assert np.array_equal(first.tracks, second.tracks)


def test_blocks_of_long_speech_join_without_a_seam() -> None:
    parts = [read_voice(voice.id, 0) for voice in list_voices()]
    samples = np.concatenate(parts)
    assert len(samples) > 25 * RATE_HZ
    long = articulate(read_speech_features(samples)).tracks
    steps = np.abs(np.diff(long, axis=0)).max(1)
    seam = steps[1995:2005].max()  # blocks of 20 seconds
    assert seam <= np.percentile(steps, 99.9)


def test_the_card_states_what_was_held_out() -> None:
    stated = card("obverse.generator", "articulation.onnx")
    assert HELD_OUT in stated["results"]
    assert stated["licence"] == "Apache-2.0"
