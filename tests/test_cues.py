"""Cues as a stream: no piece size, no future and no hour changes a bit of them."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from obverse.errors import InputError
from obverse.generator.cues import CUES, LOOK_AHEAD_FRAMES, CueStream, read_cues
from obverse.generator.hearing import FRAME
from obverse.generator.hearing_scores import by_cues, closure_scores
from obverse.generator.speech import RATE_HZ, read_speech_features
from obverse.generator.voices import list_voices, read_voice, voice_path
from obverse.weights import card

Array = npt.NDArray[np.float32]
SHARED = Path(__file__).resolve().parents[2] / "shared" / "speech"
VOICE = "flite-rms"  # never trained on


def _column(cues: Array, name: str) -> Array:
    return cues[:, CUES.index(name)]


@pytest.fixture(scope="module")
def voice() -> Array:
    return read_voice(VOICE, 0).astype(np.float32)


@pytest.fixture(scope="module")
def heard(voice: Array) -> Array:
    return read_cues(voice)


@pytest.mark.parametrize("piece", [1, 7, 160, 640, 641, 5000, 10**9])
def test_pieces_of_any_size_give_the_same_bits(piece: int, voice: Array) -> None:
    short = voice[: RATE_HZ // 4 + 13] if piece == 1 else voice[: RATE_HZ + 13]
    stream = CueStream()
    rows = [stream.push(short[at : at + piece]) for at in range(0, len(short), piece)]
    rows.append(stream.finish())
    assert np.array_equal(np.concatenate(rows), read_cues(short))


def test_what_comes_after_the_look_ahead_changes_nothing(voice: Array, heard: Array) -> None:
    rng = np.random.default_rng(0)
    for frame in (0, 10, 33):
        known = (frame + 1 + LOOK_AHEAD_FRAMES) * FRAME
        other = voice.copy()
        other[known:] = 0.3 * rng.standard_normal(len(other) - known)
        assert np.array_equal(read_cues(other)[: frame + 1], heard[: frame + 1])


def test_a_row_is_given_as_soon_as_its_look_ahead_is_there(voice: Array) -> None:
    stream = CueStream()
    given = 0
    for frame in range(20):
        given += len(stream.push(voice[frame * FRAME : (frame + 1) * FRAME]))
        assert given == max(0, frame + 1 - LOOK_AHEAD_FRAMES)
    assert len(stream.finish()) == LOOK_AHEAD_FRAMES


@pytest.mark.parametrize("samples", [0, 1, 639, 640, 641, 3200, 3201])
def test_frames_cover_every_sample(samples: int) -> None:
    assert read_cues(np.full(samples, 0.01)).shape == (-(-samples // FRAME), len(CUES))


def test_cues_are_named_finite_and_in_range(voice: Array, heard: Array) -> None:
    assert len(set(CUES)) == len(CUES) == heard.shape[1]
    assert heard.dtype == np.float32
    assert np.isfinite(heard).all()
    assert heard.min() >= -1.0
    assert heard.max() <= 1.5
    speech = read_speech_features(voice_path(VOICE, 0))
    assert np.array_equal(read_cues(speech), read_cues(speech.samples))


def test_what_is_no_sound_is_refused() -> None:
    stream = CueStream()
    wrongs: list[Any] = [
        np.zeros((2, 3)), np.array([np.nan]), np.array([np.inf]), np.array([5.0]), "sound",
        b"\0\0", [[0.1], [0.1, 0.2]], [0.1j], np.zeros(3, np.int16), [0, 0], None,
    ]  # fmt: skip
    for wrong in wrongs:
        with pytest.raises(InputError, match=r"give mono float samples .* at 16 kHz"):
            stream.push(wrong)
    assert stream.push([]).shape == stream.push(np.zeros(3, np.float16)).shape == (0, len(CUES))
    stream.finish()
    with pytest.raises(InputError, match="finished"):
        stream.push(np.zeros(3))


def _noise(kind: str) -> npt.NDArray[np.float64]:
    rng = np.random.default_rng(4)
    count = 4 * RATE_HZ
    time = np.arange(count) / RATE_HZ
    if kind == "silence":
        return np.zeros(count)
    if kind == "hum":
        return 0.1 * sum((np.sin(2 * np.pi * 50 * k * time) / k for k in range(1, 8)), 0.0 * time)
    noise = 0.05 * rng.standard_normal(count)
    return np.cumsum(noise) * 0.02 if kind == "brown" else noise


@pytest.mark.parametrize("kind", ["silence", "white", "brown", "hum"])
def test_without_a_voice_nothing_reaches_the_motion_model(kind: str) -> None:
    cues = read_cues(_noise(kind))
    articulators = cues[:, : CUES.index("sound.silence")]
    assert articulators.max() < 0.1  # even where a hum begins out of nothing
    assert _column(cues, "closure").max() < 0.05
    settled = cues[10:]
    assert settled[:, : CUES.index("sound.silence")].max() < 0.01
    assert _column(settled, "voice").max() < 0.05
    assert _column(settled, "sound.silence").min() > 0.95


def test_a_voice_is_announced_and_let_go(voice: Array, heard: Array) -> None:
    pause = np.zeros(2 * RATE_HZ, np.float32)
    cues = read_cues(np.concatenate([pause, voice, pause]))
    speaks = _column(cues, "voice") > 0.5
    first, last = np.flatnonzero(speaks)[[0, -1]]
    assert abs(first - 2.0 * 25) < 10
    assert last < (2.0 + len(voice) / RATE_HZ + 0.4) * 25
    assert speaks[first:last].mean() > 0.9
    assert np.all(np.diff(_column(cues, "since_end")[: first - 1]) >= 0.0)
    assert _column(cues, "since_start")[last - 1] > 0.8


def test_lips_are_heard_to_close_in_a_voice_never_heard() -> None:
    voice = next(voice for voice in list_voices() if voice.id == VOICE)
    counts = np.zeros(4)
    for number, sentence in enumerate(voice.sentences):
        shut = by_cues(read_voice(VOICE, number).astype(np.float32)).shut
        said = [(p.start, p.end) for p in sentence.sounds() if p.sound == "bilabial"]
        counts += (len(said), *closure_scores(shut, said))
    assert counts[0] >= 20
    assert counts[1] / counts[0] >= 0.85
    assert counts[2] / counts[3] >= 0.7


def test_two_minutes_do_not_drift() -> None:
    """The same words sound the same the second time and the tenth."""
    rng = np.random.default_rng(0)
    words = np.concatenate([read_voice("kokoro-kumo", n) for n in range(3)])[: 12 * RATE_HZ]
    stream = CueStream()
    rounds = [stream.push(words + 1e-3 * rng.standard_normal(len(words))) for _ in range(10)]
    second, last = rounds[1], rounds[-1]
    assert np.abs(second[10:-10] - last[10:-10]).mean() < 0.02


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/speech")
@pytest.mark.parametrize("name", ["french.wav", "chinese.wav", "english_1961.flac", "singing.wav"])
def test_any_language_and_song_are_heard(name: str) -> None:
    cues = read_cues(read_speech_features(SHARED / name))
    voice = _column(cues, "voice") > 0.5
    jaw = cues[:, :4].mean(1)
    assert 0.4 < voice.mean() < 0.99
    assert 0.1 < jaw[voice].mean() < 0.6
    closures = np.count_nonzero(np.diff((_column(cues, "closure") > 0.5).astype(int)) > 0)
    assert 0.3 < closures / (len(cues) / 25) < 3.0


def test_the_card_states_what_was_held_out() -> None:
    stated = card("obverse.generator", "hearing.onnx")
    assert VOICE in stated["results"]
    assert stated["licence"] == "Apache-2.0"
