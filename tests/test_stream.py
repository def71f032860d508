import contextlib
import dataclasses
import math
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from obverse.errors import ConfigError, InputError, StreamError
from obverse.generator.controls import ControlTracks
from obverse.generator.cues import CUES, LOOK_AHEAD_FRAMES, CueStream
from obverse.generator.generate import generate
from obverse.generator.motion import EXPRESSIONS, FPS, Motion, expression_index
from obverse.generator.performance import PerformanceConfig
from obverse.generator.portrait import Portrait
from obverse.generator.render import RenderConfig, Renderer
from obverse.generator.sitters.sitter import Sitter
from obverse.generator.speech import RATE_HZ, read_speech_features
from obverse.generator.stream import (
    Performer,
    StreamConfig,
    TalkingStream,
    performed,
    performer_for,
    take_of,
)
from obverse.generator.voices import list_voices, voice_path
from obverse.media.audio import read_speech, write_wav
from obverse.media.still import write_still
from obverse.provenance.home import HOME_VARIABLE

HOP = 5
Samples = npt.NDArray[np.float32]
Frame = npt.NDArray[np.uint8]


class _JawPerformer:
    """Opens the jaw as it is heard to, in hops of five frames."""

    def __init__(self, fails_after: int | None = None) -> None:
        self._waiting = np.zeros((0, len(CUES)), np.float32)
        self._fails_after, self._taken = fails_after, 0

    def push(self, cues: npt.NDArray[np.float32], controls: ControlTracks) -> Motion:
        assert len(cues) == len(controls)
        self._taken += len(cues)
        if self._fails_after is not None and self._taken > self._fails_after:
            raise ValueError("the performer has forgotten the text")
        self._waiting = np.concatenate([self._waiting, cues])
        return self._give(len(self._waiting) // HOP * HOP)

    def finish(self) -> Motion:
        return self._give(len(self._waiting))

    def _give(self, count: int) -> Motion:
        jaw = self._waiting[:count, CUES.index("jaw.0")]
        self._waiting = self._waiting[count:]
        expression = np.zeros((count, len(EXPRESSIONS)), np.float32)
        expression[:, expression_index("jawOpen")] = 0.5 * jaw
        still = np.zeros((count, 3), np.float32)
        return Motion(expression, still, still)


class _PlainRenderer:
    """Draws the jaw as a number."""

    def frame(
        self, expression: npt.ArrayLike, rotation: npt.ArrayLike, translation: npt.ArrayLike
    ) -> Frame:
        value = np.asarray(expression)[expression_index("jawOpen")]
        return np.full((2, 2, 3), np.uint8(255 * value))


class _CountingRenderer(_PlainRenderer):
    drawn = 0

    def frame(
        self, expression: npt.ArrayLike, rotation: npt.ArrayLike, translation: npt.ArrayLike
    ) -> Frame:
        self.drawn += 1
        return super().frame(expression, rotation, translation)


@pytest.fixture(scope="module")
def samples() -> Samples:
    sound = voice_path(list_voices()[0].id, 0)
    return read_speech_features(sound).samples[: 2 * RATE_HZ + 333]


def _stream(performer: Performer | None = None, **limits: float) -> TalkingStream:
    config = StreamConfig(**limits)  # type: ignore[arg-type]
    return TalkingStream(_PlainRenderer(), performer or _JawPerformer(), config=config)  # type: ignore[arg-type]


def _run(chunks: Iterator[Samples] | list[Samples]) -> list[Frame]:
    with _stream(unpulled_frames=1000) as talking:
        for chunk in chunks:
            talking.push(chunk)
        talking.finish()
        return list(talking.frames())


def test_however_speech_is_cut_the_frames_are_the_same(samples: Samples) -> None:
    rng = np.random.default_rng(0)
    whole = _run([samples])
    cuts = np.sort(rng.integers(0, len(samples), 40))
    pieces = _run(np.split(samples, cuts))
    assert len(whole) == len(pieces) == -(-len(samples) * FPS // RATE_HZ)
    assert all(np.array_equal(a, b) for a, b in zip(whole, pieces, strict=True))
    assert len({int(frame[0, 0, 0]) for frame in whole}) > 5


def test_a_stream_gives_the_frames_of_the_clip(sitter_portrait: Portrait, samples: Samples) -> None:
    speech = read_speech_features(voice_path(list_voices()[0].id, 0))
    config = RenderConfig(size=128)
    renderer = Renderer(sitter_portrait, config)
    controls = PerformanceConfig()
    offline = [
        frame
        for motion in performed(speech, _JawPerformer(), controls)
        for frame in renderer.frames(motion)
    ][:30]
    with TalkingStream(Renderer(sitter_portrait, config), _JawPerformer(), controls) as talking:
        threading.Thread(target=_speak, args=(talking, speech.samples)).start()
        online = [talking.pull() for _ in offline]
    assert all(
        frame is not None and np.array_equal(frame, clip)
        for frame, clip in zip(online, offline, strict=True)
    )


def _push_all(talking: TalkingStream, samples: Samples) -> None:
    for first in range(0, len(samples), 640):
        talking.push(samples[first : first + 640])


def _speak(talking: TalkingStream, samples: Samples) -> None:
    with contextlib.suppress(StreamError, InputError):  # closed while it spoke
        _push_all(talking, samples)


def test_frames_come_as_soon_as_their_speech_is_there(samples: Samples) -> None:
    needed = (HOP + LOOK_AHEAD_FRAMES) * RATE_HZ // FPS
    with _stream() as talking:
        talking.push(samples[: needed - 1])
        assert talking.pull(0.3) is None
        assert not talking.ended
        talking.push(samples[needed - 1 : needed])
        frames = [talking.pull(20) for _ in range(HOP)]
        assert all(frame is not None for frame in frames)
        assert talking.timing is not None
        assert talking.timing.index == HOP - 1
        assert talking.timing.needed_samples == needed
        assert talking.timing.latency_seconds >= 0
        assert talking.pull(0.05) is None


def test_a_stream_holds_no_more_than_it_may(samples: Samples) -> None:
    renderer = _CountingRenderer()
    limits = StreamConfig(
        unheard_seconds=0.2, undrawn_frames=5, unpulled_frames=3, patience_seconds=0.5
    )
    with TalkingStream(renderer, _JawPerformer(), config=limits) as talking:  # type: ignore[arg-type]
        with pytest.raises(StreamError, match="nobody pulled"):
            _push_all(talking, samples)
        time.sleep(0.1)
        assert talking.ready == 3
        assert renderer.drawn == 4  # one waits for room


def test_what_fails_inside_is_raised_where_frames_are_pulled(samples: Samples) -> None:
    with _stream(_JawPerformer(fails_after=12), unpulled_frames=1000) as talking:
        talking.push(samples[: RATE_HZ // 2])
        talking.push(samples[RATE_HZ // 2 : RATE_HZ])
        with pytest.raises(ValueError, match="forgotten"):
            list(talking.frames())
        with pytest.raises(ValueError, match="forgotten"):
            talking.push(samples)


def test_a_finished_stream_ends_and_takes_nothing_more(samples: Samples) -> None:
    with _stream() as talking:
        talking.push(samples[:700])
        talking.finish()
        talking.finish()
        assert len(list(talking.frames())) == 2
        assert talking.ended
        assert talking.pull() is None
        with pytest.raises(InputError, match="finished"):
            talking.push(samples)


def test_nothing_said_is_nothing_shown() -> None:
    with _stream() as talking:
        talking.finish()
        assert talking.pull() is None


def test_a_closed_stream_is_quiet(samples: Samples) -> None:
    talking = _stream(unpulled_frames=1)
    talking.push(samples)
    talking.close()
    talking.close()
    with pytest.raises(StreamError, match="closed"):
        talking.pull()
    with pytest.raises(InputError, match="finished"):
        talking.push(samples)
    assert not any(thread.name in ("hear", "draw") for thread in threading.enumerate())


def test_a_clip_that_is_left_in_the_middle_leaves_no_thread() -> None:
    speech = read_speech_features(voice_path(list_voices()[0].id, 0))
    motions = performed(speech, _JawPerformer(), PerformanceConfig(), ahead_frames=5)
    next(motions)
    motions.close()  # type: ignore[attr-defined]
    assert not any(thread.name == "hear" for thread in threading.enumerate())


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((2, 3), np.float32), np.array([np.nan], np.float32), np.zeros((), np.float32),
        np.zeros(640, np.int16), np.array([300.0], np.float32), "sound", [[0.1], [0.1, 0.2]],
    ],
)  # fmt: skip
def test_what_is_no_sound_is_refused(bad: Any) -> None:
    with _stream() as talking, pytest.raises(InputError, match="no sound"):
        talking.push(bad)


def test_a_model_that_needs_all_speech_cannot_stream() -> None:
    with pytest.raises(ConfigError, match="whole speech"):
        performer_for(PerformanceConfig(model="articulatory"), 0)


@pytest.mark.parametrize(
    "settings",
    [
        {"unheard_seconds": 0.0}, {"undrawn_frames": 0}, {"patience_seconds": -1.0},
        {"unheard_seconds": math.nan}, {"patience_seconds": math.nan},
    ],
)  # fmt: skip
def test_limits_that_hold_nothing_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        StreamConfig(**settings)  # type: ignore[arg-type]


def _ten_minutes() -> Samples:
    """Every bundled sentence, one after another and again."""
    said = [
        read_speech(voice_path(voice.id, index))
        for voice in list_voices()
        for index, _ in enumerate(voice.sentences)
    ]
    whole = np.concatenate(said)
    return np.resize(whole, 600 * RATE_HZ)


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_minutes_do_not_drift() -> None:
    speech = _ten_minutes()
    cues, performer = CueStream(), performer_for(PerformanceConfig(model="flow"), 0)
    controls = PerformanceConfig(model="flow")
    turns: list[npt.NDArray[np.float32]] = []
    count = 0
    for first in range(0, len(speech), RATE_HZ):
        rows = cues.push(speech[first : first + RATE_HZ])
        turns.append(performer.push(rows, controls.tracks(len(rows), count)).rotation)
        count += len(rows)
    rotation = np.rad2deg(np.concatenate(turns))
    early, late = rotation[: 120 * FPS], rotation[-120 * FPS :]
    assert np.abs(late.mean(0) - early.mean(0)).max() < 4
    assert (late.std(0) < 2 * early.std(0) + 0.5).all()
    assert (early.std(0) < 2 * late.std(0) + 0.5).all()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="reads /proc")
def test_a_ten_minute_film_takes_no_more_memory_than_a_short_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    portrait, sound = tmp_path / "face.png", tmp_path / "speech.wav"
    write_still(portrait, Sitter.from_seed(0).still(256))
    write_wav(sound, _ten_minutes(), RATE_HZ)
    resident: dict[int, float] = {}

    def note(done: int, total: int) -> None:
        assert total == 600 * FPS
        if done % (60 * FPS) == 0:
            resident[done // (60 * FPS)] = _resident_mb()

    clip = generate(
        portrait,
        sound,
        tmp_path / "film.mp4",
        rights="synthetic",
        size=256,
        controls=PerformanceConfig(model="flow"),
        progress=note,
    )
    print(f"resident MB by minute: {resident}")  # noqa: T201 - the figure is wanted
    assert clip.frames == 600 * FPS
    assert resident[10] - resident[2] < 60


def test_each_portrait_has_takes_of_its_own(sitter_portrait: Portrait) -> None:
    other = dataclasses.replace(sitter_portrait, source_sha256="f" * 64)
    takes = {take_of(still, seed) for still in (sitter_portrait, other) for seed in (0, 1)}
    assert len(takes) == 4
    assert take_of(sitter_portrait, 0) == take_of(sitter_portrait, 0)
