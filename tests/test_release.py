import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from obverse.clip import Clip
from obverse.errors import (
    ObverseError,
    OutputExistsError,
    ProvenanceError,
    ReleaseError,
    RightsError,
)
from obverse.generator import release as module
from obverse.generator.release import release, release_still, sweep
from obverse.media.audio import read_speech
from obverse.media.colour import rgb_to_yuv420
from obverse.media.still import read_still, write_still
from obverse.media.video import EncodeConfig, VideoWriter, probe, read_frames
from obverse.provenance.home import HOME_VARIABLE
from obverse.provenance.identity import SigningIdentity
from obverse.provenance.registry import Registry
from obverse.provenance.verify import verify
from obverse.watermark.embed import Embedder
from obverse.watermark.extract import extract, extract_frames
from obverse.weights import sha256_file

Frames = Iterator[npt.NDArray[np.uint8]]
SIZE = 256


def _frames(count: int = 20, size: int = SIZE) -> Frames:
    """A soft picture with texture, drifting."""
    rng = np.random.default_rng(5)
    rows, columns = np.mgrid[0 : 2 * size, 0 : 2 * size]
    waves = 90 + 60 * np.sin(rows / 17.0) * np.cos(columns / 23.0)
    grain = rng.normal(0, 9, waves.shape)
    wide = np.clip(waves + grain, 0, 255).astype(np.uint8)
    for index in range(count):
        view = wide[index : index + size, 2 * index : 2 * index + size]
        yield np.ascontiguousarray(np.stack([view, view, 255 - view], -1))


def _clip(**changes: Any) -> Clip:
    clip = Clip(
        id="5a" * 16,
        path="clips/a.mp4",
        label="synthetic",
        kind="generated",
        method="mesh",
        seed=1,
        rights="synthetic",
        fps=25.0,
    )
    return clip.replace(**changes)


@pytest.fixture(autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path_factory.mktemp("home")))


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as opened:
        yield opened


def test_a_released_clip_is_marked_signed_and_registered(
    tmp_path: Path, registry: Registry
) -> None:
    portrait = tmp_path / "portrait.png"
    write_still(portrait, next(_frames()))
    path = tmp_path / "clip.mp4"
    clip = release(_frames(), _clip(), path, inputs={"portrait": portrait})

    reading = extract(path)
    report = verify(path)
    assert report.state == "trusted"
    assert reading.present
    assert reading.payload == report.payload == int(str(clip.mark), 16)
    assert report.id == clip.manifest
    assert report.digital_source_type == "trainedAlgorithmicMedia"
    assert [item.role for item in report.ingredients] == ["portrait"]

    assert (clip.frames, clip.width, clip.height) == (20, SIZE, SIZE)
    assert clip.fake_segments == ((0.0, 0.8),)
    assert clip.sha256 == sha256_file(path)
    assert clip.path == str(path)
    assert clip.encoder["codec"] == "h264"
    assert report.label["frames"] == 20

    (record,) = registry.by_payload(int(str(clip.mark), 16))
    assert (record.id, record.clip_id, record.sha256) == (clip.manifest, clip.id, clip.sha256)
    assert len(record.manifest) > 1000
    assert sorted(each.name for each in tmp_path.iterdir()) == ["clip.mp4", "portrait.png"]


def test_a_pristine_twin_goes_through_the_same_door(tmp_path: Path) -> None:
    twin = _clip(id="6b" * 16, label="pristine", kind="rendered", method=None, rights=None)
    synthetic = release(_frames(), _clip(), tmp_path / "a.mp4")
    pristine = release(_frames(), twin, tmp_path / "b.mp4")
    assert synthetic.encoder == pristine.encoder
    assert synthetic.mark != pristine.mark
    assert extract(tmp_path / "b.mp4").payload == int(str(pristine.mark), 16)
    assert verify(tmp_path / "b.mp4").digital_source_type == "algorithmicMedia"
    assert pristine.fake_segments == ()


@pytest.mark.parametrize("seconds", [0.3, 0.8, 2.0])
def test_sound_lasts_as_long_as_the_picture(tmp_path: Path, seconds: float) -> None:
    rate = 16000
    tone = 0.2 * np.sin(np.arange(int(seconds * rate)) / 9).astype(np.float32)
    clip = release(_frames(), _clip(), tmp_path / "a.mp4", audio=(tone, rate))
    info = probe(tmp_path / "a.mp4")
    assert info.has_audio
    assert info.frames == 20
    sound = read_speech(tmp_path / "a.mp4", rate)
    # AAC works in blocks of 1024 samples.
    assert abs(len(sound) / rate - clip.seconds) <= 1024 / rate


def test_a_second_of_a_flat_picture_is_marked_as_well(tmp_path: Path) -> None:
    ramp = np.linspace(60, 190, SIZE, dtype=np.uint8)
    flat = np.ascontiguousarray(np.broadcast_to(ramp[None, :, None], (SIZE, SIZE, 3)))
    clip = release((flat for _ in range(25)), _clip(), tmp_path / "a.mp4")
    assert extract(tmp_path / "a.mp4").payload == int(str(clip.mark), 16)


def test_a_renderer_may_use_one_buffer_for_all_frames(tmp_path: Path) -> None:
    def reused() -> Frames:
        buffer = np.zeros((SIZE, SIZE, 3), np.uint8)
        for frame in _frames():
            buffer[:] = frame
            yield buffer

    config = EncodeConfig(threads=1)
    release(_frames(), _clip(), tmp_path / "a.mp4", encode=config)
    release(reused(), _clip(), tmp_path / "b.mp4", encode=config)
    pairs = zip(read_frames(tmp_path / "a.mp4"), read_frames(tmp_path / "b.mp4"), strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)


def test_an_odd_size_is_cut_to_an_even_one(tmp_path: Path) -> None:
    clip = release((frame[:-1, :-1] for frame in _frames()), _clip(), tmp_path / "a.mp4")
    assert (clip.width, clip.height) == (SIZE - 2, SIZE - 2)


def test_a_path_inside_a_corpus_stays_relative(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    clip = release(_frames(), _clip(), tmp_path / "clips" / "a.mp4")
    assert clip.path == "clips/a.mp4"


def test_a_camera_clip_names_its_source(tmp_path: Path) -> None:
    source = tmp_path / "source.png"
    write_still(source, next(_frames()))
    camera = _clip(label="pristine", kind="camera", method=None, rights="CC-BY-4.0")
    release(_frames(), camera, tmp_path / "a.mp4", inputs={"source": source})
    report = verify(tmp_path / "a.mp4")
    assert report.digital_source_type is None
    assert [item.relationship for item in report.ingredients] == ["parentOf"]


@pytest.mark.parametrize("rights", [None, "", "found on the web", "CC-BY-4.0"])
def test_a_portrait_needs_rights(tmp_path: Path, registry: Registry, rights: str | None) -> None:
    with pytest.raises(RightsError, match="synthetic, public-domain, consented"):
        release(_frames(), _clip(rights=rights), tmp_path / "a.mp4", registry=registry)
    assert list(tmp_path.iterdir()) == []
    assert len(registry) == 0


def test_an_existing_file_is_replaced_only_by_force(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"mine")
    with pytest.raises(OutputExistsError, match="--force"):
        release(_frames(), _clip(), path)
    assert path.read_bytes() == b"mine"
    clip = release(_frames(), _clip(), path, force=True)
    assert clip.sha256 == sha256_file(path)


def test_a_file_that_appears_in_the_meantime_is_not_replaced(
    tmp_path: Path, registry: Registry
) -> None:
    path = tmp_path / "a.mp4"

    def meddling() -> Frames:
        yield from _frames()
        path.write_bytes(b"theirs")

    with pytest.raises(OutputExistsError):
        release(meddling(), _clip(), path, registry=registry)
    assert path.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [path]
    assert len(registry) == 0


@pytest.mark.parametrize("name", ["a.webm", "absent/a.mp4"])
def test_a_place_that_cannot_hold_a_clip_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ReleaseError):
        release(_frames(), _clip(), tmp_path / name)


@pytest.mark.parametrize(
    "bad",
    [
        [],
        [np.zeros((64, 64), np.uint8)],
        [np.zeros((64, 64, 3), np.float32)],
        [np.zeros((64, 64, 3), np.uint8), np.zeros((32, 64, 3), np.uint8)],
    ],
)
def test_frames_that_are_no_film_are_refused(tmp_path: Path, bad: list[Any]) -> None:
    with pytest.raises(ReleaseError):
        release(bad, _clip(), tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


class _InjectedError(Exception):
    pass


def _fail(*_arguments: object, **_named: object) -> Any:
    raise _InjectedError


def _after(count: int, real: Callable[..., Any]) -> Callable[..., Any]:
    """Let `count` calls pass, then fail."""
    calls = 0

    def maybe(*arguments: object, **named: object) -> Any:
        nonlocal calls
        calls += 1
        if calls > count:
            raise _InjectedError
        return real(*arguments, **named)

    return maybe


STEPS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "identity": lambda patch: patch.setattr(SigningIdentity, "default", _fail),
    "payload": lambda patch: patch.setattr(Registry, "payload_for", _fail),
    "mark": lambda patch: patch.setattr(Embedder, "embed_planes", _after(7, Embedder.embed_planes)),
    "encode": lambda patch: patch.setattr(
        VideoWriter, "write_planes", _after(7, VideoWriter.write_planes)
    ),
    "flush": lambda patch: patch.setattr(VideoWriter, "close", _fail),
    "read back": lambda patch: patch.setattr(module, "extract_frames", _fail),
    "streams": lambda patch: patch.setattr(module, "probe", _fail),
    "sign": lambda patch: patch.setattr(module, "sign", _fail),
    "verify": lambda patch: patch.setattr(module, "verify", _fail),
    "hash": lambda patch: patch.setattr(module, "sha256_file", _fail),
    "register": lambda patch: patch.setattr(Registry, "add", _fail),
    "place": lambda patch: patch.setattr(module, "_put", _fail),
}


@pytest.mark.parametrize("there_already", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_a_failure_at_any_step_leaves_nothing(
    tmp_path: Path,
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    there_already: bool,
) -> None:
    path = tmp_path / "a.mp4"
    if there_already:
        path.write_bytes(b"mine")
    with monkeypatch.context() as patch:
        STEPS[step](patch)
        with pytest.raises(_InjectedError):
            release(_frames(), _clip(), path, registry=registry, force=there_already)
    assert list(tmp_path.iterdir()) == ([path] if there_already else [])
    if there_already:
        assert path.read_bytes() == b"mine"
    assert len(registry) == 0


def test_a_renderer_that_fails_leaves_nothing(tmp_path: Path, registry: Registry) -> None:
    def failing() -> Frames:
        yield from _frames(15)
        raise _InjectedError

    with pytest.raises(_InjectedError):
        release(failing(), _clip(), tmp_path / "a.mp4", registry=registry)
    assert list(tmp_path.iterdir()) == []
    assert len(registry) == 0


def test_a_rename_that_fails_leaves_nothing(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ObverseError, match="No space left"):
        release(_frames(), _clip(), tmp_path / "a.mp4", registry=registry)
    assert list(tmp_path.iterdir()) == []
    assert len(registry) == 0


def test_a_mark_that_does_not_come_back_is_refused(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Embedder, "embed_planes", lambda _self, frame, _out: rgb_to_yuv420(frame))
    monkeypatch.setattr(module, "_STRONGER_DB", ())
    with pytest.raises(ReleaseError, match="the mark of clip"):
        release(_frames(), _clip(), tmp_path / "a.mp4", registry=registry)
    assert list(tmp_path.iterdir()) == []
    assert len(registry) == 0


def test_a_manifest_that_is_only_valid_is_refused(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "verify", lambda path, _anchors, **_: verify(path, b""))
    with pytest.raises(ReleaseError, match=r"signingCredential\.untrusted"):
        release(_frames(), _clip(), tmp_path / "a.mp4", registry=registry)
    assert list(tmp_path.iterdir()) == []


def test_an_input_that_was_tampered_with_is_refused(tmp_path: Path, registry: Registry) -> None:
    driving = tmp_path / "driving.mp4"
    release(_frames(), _clip(), driving)
    data = bytearray(driving.read_bytes())
    data[data.index(b"mdat") + 200] ^= 1
    driving.write_bytes(data)
    other = _clip(id="7c" * 16)
    with pytest.raises(ReleaseError, match=r"driving/assertion\.bmffHash\.mismatch"):
        release(_frames(), other, tmp_path / "a.mp4", inputs={"driving": driving})
    assert list(tmp_path.iterdir()) == [driving]
    assert len(registry) == 1


def test_an_input_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProvenanceError, match="portrait"):
        release(_frames(), _clip(), tmp_path / "a.mp4", inputs={"portrait": tmp_path / "no.png"})
    assert list(tmp_path.iterdir()) == []


def test_a_mark_that_is_weak_at_first_is_made_stronger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Embedder.embed_planes

    def lazy(
        self: Embedder, frame: npt.NDArray[np.uint8], out: npt.NDArray[np.uint8] | None = None
    ) -> npt.NDArray[np.uint8]:
        return real(self, frame, out) if self.config.psnr_db < 43 else rgb_to_yuv420(frame)

    monkeypatch.setattr(Embedder, "embed_planes", lazy)
    clip = release(_frames(), _clip(), tmp_path / "a.mp4")
    assert clip.encoder["mark_psnr_db"] == 42.0
    assert extract(tmp_path / "a.mp4").payload == int(str(clip.mark), 16)


@pytest.mark.parametrize("name", ["face.png", "face.jpg", "face.webp"])
def test_a_still_goes_through_the_same_door(tmp_path: Path, registry: Registry, name: str) -> None:
    sitter = _clip(label="pristine", kind="rendered", method=None, rights=None)
    clip = release_still(next(_frames()), sitter, tmp_path / name, registry=registry)
    reading = extract_frames([read_still(tmp_path / name)])
    report = verify(tmp_path / name)
    assert report.state == "trusted"
    assert reading.payload == report.payload == int(str(clip.mark), 16)
    assert (clip.frames, clip.width, clip.sha256) == (1, SIZE, sha256_file(tmp_path / name))
    assert [each.name for each in tmp_path.iterdir()] == [name]
    assert len(registry) == 1


def test_a_still_that_fails_leaves_nothing(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("sign", "verify", "extract_frames", "_put"):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, _fail)
            with pytest.raises(_InjectedError):
                release_still(next(_frames()), _clip(), tmp_path / "a.png", registry=registry)
        assert list(tmp_path.iterdir()) == []
    assert len(registry) == 0


@pytest.mark.parametrize("count", [51, 80])
def test_frames_drawn_into_one_buffer_stay_apart(tmp_path: Path, count: int) -> None:
    def reused() -> Frames:
        buffer = np.empty((SIZE, SIZE, 3), np.uint8)
        for frame in _frames(count):
            buffer[:] = frame
            yield buffer

    release(_frames(count), _clip(), tmp_path / "a.mp4")
    release(reused(), _clip(id="6b" * 16), tmp_path / "b.mp4")
    pairs = zip(read_frames(tmp_path / "a.mp4"), read_frames(tmp_path / "b.mp4"), strict=True)
    # They carry different marks, and are compressed.
    assert max(float(np.abs(a.astype(float) - b).mean()) for a, b in pairs) < 4


@pytest.mark.slow
def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    script = """
import os, sys
from pathlib import Path
import numpy as np
from obverse.clip import Clip
from obverse.generator.release import release

def frames():
    for _ in range(20):
        yield np.full((64, 64, 3), 99, np.uint8)
    os.kill(os.getpid(), 9)

clip = Clip(id="00" * 16, path="", label="pristine", kind="rendered")
release(frames(), clip, Path(sys.argv[1]))
"""
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path / "a.mp4")], check=False)
    assert killed.returncode == -9
    assert [each.name.startswith(".release-") for each in tmp_path.iterdir()] == [True]
    release(_frames(), _clip(), tmp_path / "b.mp4")  # the next one sweeps
    assert [each.name for each in tmp_path.iterdir()] == ["b.mp4"]


def test_what_a_living_process_makes_is_left_alone(tmp_path: Path) -> None:
    def sweeping() -> Frames:
        for index, frame in enumerate(_frames()):
            if index == 5:
                sweep(tmp_path)
            yield frame

    assert release(sweeping(), _clip(), tmp_path / "a.mp4").frames == 20


def test_fake_segments_end_with_the_clip(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="fake segments"):
        release(_frames(), _clip(fake_segments=((0.0, 9.0),)), tmp_path / "a.mp4")
