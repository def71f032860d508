import io
import json
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import encypher_c2pa
import numpy as np
import numpy.typing as npt
import pytest

from obverse.clip import Clip
from obverse.errors import ConfigError, OutputExistsError, ReleaseError, RightsError, StreamError
from obverse.generator import broadcast as module
from obverse.generator.broadcast import (
    LiveConfig,
    LiveShow,
    broadcast,
    pieces_of,
)
from obverse.generator.controls import ControlTracks
from obverse.generator.live import live, spoken_into
from obverse.generator.motion import EXPRESSIONS, FPS, Motion
from obverse.generator.release import release
from obverse.generator.show_folder import INDEX, PLAYLIST
from obverse.generator.speech import RATE_HZ
from obverse.generator.stream import TalkingStream
from obverse.media.audio import read_speech
from obverse.media.video import read_frames
from obverse.provenance.home import HOME_VARIABLE
from obverse.provenance.identity import SigningIdentity
from obverse.provenance.verify import verify
from obverse.watermark.extract import extract

SIZE = 256
FILM_HZ = 48_000
Frame = npt.NDArray[np.uint8]
Samples = npt.NDArray[np.float32]


class _CountingPerformer:
    """Writes each frame's number into its pose."""

    def __init__(self) -> None:
        self._given = 0

    def push(self, cues: npt.NDArray[np.float32], controls: ControlTracks) -> Motion:
        count = len(cues)
        number = np.zeros((count, 3), np.float32)
        number[:, 0] = self._given + np.arange(count)
        self._given += count
        return Motion(np.zeros((count, len(EXPRESSIONS)), np.float32), number, 0 * number)

    def finish(self) -> Motion:
        return Motion.still(0)


class _Drifting:
    """Draws a soft picture with texture that drifts by its frame's number."""

    def __init__(self) -> None:
        rng = np.random.default_rng(5)
        rows, columns = np.mgrid[0:SIZE, 0 : 2 * SIZE]
        waves = 90 + 60 * np.sin(rows / 17.0) * np.cos(columns / 23.0)
        self._wide = np.clip(waves + rng.normal(0, 6, waves.shape), 0, 255).astype(np.uint8)

    def frame(
        self, expression: npt.ArrayLike, rotation: npt.ArrayLike, translation: npt.ArrayLike
    ) -> Frame:
        at = 2 * int(np.asarray(rotation)[0])
        view = self._wide[:, at : at + SIZE]
        return np.ascontiguousarray(np.stack([view, view, 255 - view], -1))


def _clip(**changes: Any) -> Clip:
    return Clip(
        id="0" * 32, path="", label="synthetic", kind="generated", method="talk",
        rights="synthetic", fps=FPS,
    ).replace(**changes)  # fmt: skip


def _sound(seconds: float, rate_hz: int) -> Samples:
    time = np.arange(math.ceil(seconds * rate_hz)) / rate_hz
    return np.asarray(0.3 * np.sin(2 * np.pi * 220 * time + 3 * np.sin(5 * time)), np.float32)


def _show(folder: Path, seconds: float = 2.5, **changes: Any) -> LiveShow:
    options: dict[str, Any] = {
        "config": LiveConfig(segment_seconds=0.96, paced=False),
        "clip": _clip(),
        "speech": pieces_of(_sound(seconds, RATE_HZ), _sound(seconds, FILM_HZ), FILM_HZ),
    } | changes
    kind: type[TalkingStream] = options.get("stream", TalkingStream)
    with kind(_Drifting(), _CountingPerformer()) as talking:  # type: ignore[arg-type]
        return broadcast(
            talking,
            options["speech"],
            FILM_HZ,
            options["clip"],
            folder,
            lineage={"test": "show"},
            inputs=options.get("inputs", {}),
            config=options["config"],
            force=options.get("force", False),
        )


@pytest.fixture(scope="module", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(HOME_VARIABLE, str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="module")
def show(tmp_path_factory: pytest.TempPathFactory, _home: None) -> tuple[Path, LiveShow]:
    folder = tmp_path_factory.mktemp("live") / "show"
    return folder, _show(folder)


def test_every_segment_is_marked_and_signed(show: tuple[Path, LiveShow]) -> None:
    folder, shown = show
    assert sorted(path.name for path in folder.iterdir()) == [
        INDEX, PLAYLIST, "segment-00000.mp4", "segment-00001.mp4", "segment-00002.mp4",
    ]  # fmt: skip
    assert [clip.frames for clip in shown.clips] == [24, 24, 15]
    assert len({clip.mark for clip in shown.clips}) == 3
    for clip in shown.clips:
        report = verify(Path(clip.path))
        assert report.state == "trusted"
        assert extract(Path(clip.path)).payload_hex == clip.mark
        assert report.label["id"] == clip.id
        theirs = encypher_c2pa.verify(
            clip.path,
            trust_pem=SigningIdentity.default().anchors.decode(),
            no_default_trust=True,
            telemetry=False,
        )
        assert theirs["validation_state"] == "Trusted"


def test_segments_join_without_a_seam_in_the_picture(show: tuple[Path, LiveShow]) -> None:
    _, shown = show
    frames = [frame for clip in shown.clips for frame in read_frames(Path(clip.path))]
    assert len(frames) == 63
    drawn = _Drifting()
    for index, frame in enumerate(frames):
        expected = drawn.frame(0, [index], 0).astype(float)
        here = np.abs(frame - expected).mean()
        # No neighbour is nearer: nothing is lost, said twice or out of order.
        for other in (index - 1, index + 1):
            assert here < 0.7 * np.abs(frame - drawn.frame(0, [max(other, 0)], 0)).mean() or (
                other < 0
            )


def test_segments_join_without_a_seam_in_the_sound(show: tuple[Path, LiveShow]) -> None:
    _, shown = show
    pieces = [read_speech(Path(clip.path), FILM_HZ) for clip in shown.clips]
    whole = 24 * FILM_HZ // FPS
    assert [len(piece) for piece in pieces[:2]] == [whole, whole]
    assert len(pieces[2]) >= 15 * FILM_HZ // FPS
    joined, spoken = np.concatenate(pieces), _sound(2.5, FILM_HZ)
    padded = np.pad(spoken, (0, len(joined) - len(spoken)))
    seam = slice(whole - 480, whole + 480)
    assert np.corrcoef(joined[seam], padded[seam])[0, 1] > 0.99
    inside = slice(480, len(spoken) - 2000)
    assert np.sqrt(np.mean((joined - padded)[inside] ** 2)) < 0.03


def test_index_and_playlist_name_every_segment_in_order(show: tuple[Path, LiveShow]) -> None:
    folder, shown = show
    index = json.loads((folder / INDEX).read_text())
    assert index["complete"]
    assert [entry["file"] for entry in index["segments"]] == [
        Path(clip.path).name for clip in shown.clips
    ]
    assert [entry["start_seconds"] for entry in index["segments"]] == [0.0, 0.96, 1.92]
    assert index["latency"]["frames"] == 63
    lines = (folder / PLAYLIST).read_text().splitlines()
    assert lines[0] == "#EXTM3U"
    assert [line for line in lines if not line.startswith("#")] == [
        "segment-00000.mp4", "segment-00001.mp4", "segment-00002.mp4",
    ]  # fmt: skip
    assert lines[-1] == "#EXT-X-ENDLIST"


def test_the_report_says_how_late_it_was(show: tuple[Path, LiveShow]) -> None:
    report = show[1].latency
    assert (report.frames, report.segments, report.dropped_frames) == (63, 3, 0)
    assert report.look_ahead_ms == pytest.approx(160)
    assert 0 <= report.frame_ms_p50 <= report.frame_ms_p95
    assert report.first_frame_ms <= report.first_frame_after_push_ms
    assert report.steady_fps > 0


def test_a_performance_is_not_replaced_unasked(show: tuple[Path, LiveShow]) -> None:
    folder, _ = show
    before = (folder / INDEX).read_bytes()
    with pytest.raises(OutputExistsError, match="--force"):
        _show(folder)
    assert (folder / INDEX).read_bytes() == before


def test_force_leaves_no_segment_of_the_old_one(tmp_path: Path) -> None:
    _show(tmp_path, 1.2)
    shown = _show(tmp_path, 0.6, force=True)
    assert [path.name for path in tmp_path.glob("*.mp4")] == ["segment-00000.mp4"]
    assert shown.clips[0].frames == 15


def test_force_removes_only_what_the_old_index_lists(tmp_path: Path) -> None:
    for number in (0, 1, 2):
        (tmp_path / f"segment-{number:05d}.mp4").write_bytes(b"old")
    listed = [{"file": f"segment-0000{number}.mp4"} for number in (0, 1)]
    (tmp_path / INDEX).write_text(json.dumps({"segments": [*listed, {"file": "../mine.mp4"}]}))
    theirs = [tmp_path / name for name in ("segment-mine.mp4", "segment-00002.mp4", "voice.wav")]
    for path in theirs:
        path.write_bytes(b"theirs")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(StreamError, match="nothing was said"):
        _show(tmp_path, speech=[], force=True)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    _show(tmp_path, 0.6, force=True, inputs={"audio": tmp_path / "voice.wav"})
    assert all(path.read_bytes() == b"theirs" for path in theirs)
    assert not (tmp_path / "segment-00001.mp4").exists()
    assert len(json.loads((tmp_path / INDEX).read_text())["segments"]) == 1


@pytest.mark.parametrize("force", [False, True])
def test_an_input_is_not_overwritten(tmp_path: Path, force: bool) -> None:
    portrait = tmp_path / "segment-00007.mp4"
    portrait.write_bytes(b"a face")
    (tmp_path / "elsewhere").symlink_to(portrait)
    for path in (portrait, tmp_path / "elsewhere"):
        with pytest.raises(ConfigError, match="would be overwritten"):
            live(path, io.BytesIO(), tmp_path, rights="synthetic", force=force)
    assert portrait.read_bytes() == b"a face"


@pytest.mark.parametrize("name", [INDEX, PLAYLIST, "segment-00031.mp4"])
def test_any_part_of_a_performance_is_kept_before_anything_is_read(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("old")
    with pytest.raises(OutputExistsError, match=name):
        live(tmp_path / "absent.png", io.BytesIO(), tmp_path, rights="synthetic")
    assert (tmp_path / name).read_text() == "old"


class _Interrupted(TalkingStream):
    """Ctrl-C is pressed once, or again, when so many frames were pulled."""

    presses, frames_before = 1, 5

    def pull(self, patience_seconds: float | None = None) -> Frame | None:
        if self.frames_before == 0 and self.presses:
            self.presses -= 1
            raise KeyboardInterrupt
        frame = super().pull(patience_seconds)
        self.frames_before -= frame is not None
        return frame


class _InterruptedTwice(_Interrupted):
    presses = 2


def test_an_interrupt_ends_a_quiet_microphone(tmp_path: Path) -> None:
    heard_again = threading.Event()

    def quiet() -> Iterator[tuple[Samples, Samples]]:
        yield from pieces_of(_sound(0.6, RATE_HZ), _sound(0.6, FILM_HZ), FILM_HZ)
        heard_again.wait(60)
        yield from pieces_of(_sound(0.6, RATE_HZ), _sound(0.6, FILM_HZ), FILM_HZ)

    try:
        shown = _show(tmp_path, speech=quiet(), stream=_Interrupted)
        assert shown.latency.frames == 15
        with pytest.raises(KeyboardInterrupt):
            _show(tmp_path / "twice", speech=quiet(), stream=_InterruptedTwice)
    finally:
        heard_again.set()


def test_a_folder_for_nothing_is_not_left(tmp_path: Path) -> None:
    with pytest.raises(StreamError, match="nothing was said"):
        _show(tmp_path / "new" / "show", speech=[])
    assert not list(tmp_path.iterdir())


def test_a_short_rest_joins_the_segment_before_it(tmp_path: Path) -> None:
    assert [clip.frames for clip in _show(tmp_path, 1.0).clips] == [25]


def test_a_segment_that_fails_ends_the_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = release

    def failing(frames: Any, clip: Clip, destination: Path, **more: Any) -> Clip:
        if destination.name == "segment-00001.mp4":
            next(frames)
            raise ReleaseError("the disk is full")
        return real(frames, clip, destination, **more)

    monkeypatch.setattr(module, "release", failing)
    with pytest.raises(ReleaseError, match="disk is full"):
        _show(tmp_path, 4.0)
    index = json.loads((tmp_path / INDEX).read_text())
    assert not index["complete"]
    assert [entry["file"] for entry in index["segments"]] == ["segment-00000.mp4"]
    assert not list(tmp_path.glob(".release-*"))


def test_a_microphone_that_breaks_is_told(tmp_path: Path) -> None:
    def broken() -> Iterator[tuple[Samples, Samples]]:
        yield from pieces_of(_sound(0.6, RATE_HZ), _sound(0.6, FILM_HZ), FILM_HZ)
        raise OSError("unplugged")

    with pytest.raises(OSError, match="unplugged"):
        _show(tmp_path, speech=broken())


def test_silence_without_end_is_no_show(tmp_path: Path) -> None:
    with pytest.raises(StreamError, match="nothing was said"):
        _show(tmp_path, speech=[])


def test_rights_are_asked_first(tmp_path: Path) -> None:
    with pytest.raises(RightsError):
        _show(tmp_path / "show", clip=_clip(rights=None))
    assert not (tmp_path / "show").exists()


@pytest.mark.parametrize("seconds", [0.1, 90.0, math.nan])
def test_senseless_segments_are_refused(seconds: float) -> None:
    with pytest.raises(ConfigError):
        LiveConfig(segment_seconds=seconds)


def test_raw_samples_are_read_however_they_come() -> None:
    said = np.arange(-700, 700, dtype="<i2")

    class _Odd(io.BytesIO):
        def read1(self, size: int | None = -1) -> bytes:
            return self.read(min(size or 1, 333))  # an odd number of bytes

    pieces = [heard for heard, _ in spoken_into(_Odd(said.tobytes()))]
    assert np.array_equal(np.concatenate(pieces) * 32768, said)
