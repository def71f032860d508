"""A clip that was stripped leads back to its manifest, and a copied mark does not pass for one."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner

from obverse.audit.recovery import Evidence, gather, gather_isolated, recover
from obverse.cli.main import main
from obverse.cli.recover import recover as verb
from obverse.clip import Clip
from obverse.errors import InputError
from obverse.generator.release import release, release_still
from obverse.media.still import read_still, write_still
from obverse.media.video import EncodeConfig, VideoWriter, read_frames
from obverse.provenance.home import HOME_VARIABLE
from obverse.provenance.registry import Registry
from obverse.provenance.verify import verify, verify_store
from obverse.watermark.file import mark_file

SIZE, FPS = 320, 25.0
Frames = Iterator[npt.NDArray[np.uint8]]
CLIP = Clip(
    id="7d" * 16, path="", label="synthetic", kind="generated", method="talk", seed=3,
    rights="synthetic", fps=FPS,
)  # fmt: skip


def _frames(seed: int, count: int = 30) -> Frames:
    """A scene that drifts."""
    rng = np.random.default_rng(seed)
    wide = np.zeros((SIZE, SIZE + 2 * count, 3), np.float32)
    for cells, weight in ((5, 1.0), (11, 0.7), (29, 0.4), (120, 0.2)):
        coarse = rng.normal(0, weight, (cells, cells, 3)).astype(np.float32)
        wide += cv2.resize(coarse, (wide.shape[1], SIZE), interpolation=cv2.INTER_CUBIC)
    scene = np.clip(128 + 45 * wide, 0, 255).astype(np.uint8)
    for index in range(count):
        yield np.ascontiguousarray(scene[:, index : index + SIZE])


def _voice(seconds: float) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(8)
    time = np.arange(int(16000 * seconds)) / 16000
    knots = np.linspace(0, seconds, int(9 * seconds))
    pitch, loud = (
        np.interp(time, knots, rng.uniform(*span, len(knots))) for span in ((90, 260), (0, 1))
    )
    phase = 2 * np.pi * np.cumsum(pitch) / 16000
    return np.asarray(0.2 * loud * sum(np.sin(n * phase) / n for n in range(1, 9)), np.float32)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def _home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(home))


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory, home: Path) -> tuple[Path, Clip]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(HOME_VARIABLE, str(home))
        path = tmp_path_factory.mktemp("released") / "clip.mp4"
        return path, release(_frames(1, 90), CLIP, path, audio=(_voice(3.6), 16000))


def _encode(frames: Frames, path: Path, crf: float = 26) -> Path:
    first = next(frames)
    height, width = first.shape[:2]
    with VideoWriter(path, width, height, FPS, EncodeConfig(crf=crf)) as writer:
        writer.write(first)
        for frame in frames:
            writer.write(frame)
    return path


def _remuxed(source: Path, target: Path) -> Path:
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        streams = {each.index: new.add_stream_from_template(each) for each in old.streams}
        for packet in old.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                new.mux(packet)
    return target


def _cropped(frames: Frames, share: float = 0.75) -> Frames:
    side = int(SIZE * share) // 2 * 2
    at = (SIZE - side) // 2
    for frame in frames:
        yield np.ascontiguousarray(frame[at : at + side, at : at + side])


def _lead(path: Path) -> Any:
    with Registry() as registry:
        return recover(gather(path), registry)


def test_a_remuxed_clip_gets_its_manifest_back(released: tuple[Path, Clip], tmp_path: Path) -> None:
    source, clip = released
    stripped = _remuxed(source, tmp_path / "stripped.mp4")
    assert verify(stripped).state == "absent"
    result = CliRunner().invoke(verb, [str(stripped), "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["recovered"], told["mark"]) == (True, clip.mark)
    (found,) = told["candidates"]
    assert (found["found_by"], found["content"]) == ("mark", "matches")
    assert (found["manifest"]["id"], found["manifest"]["state"]) == (clip.manifest, "trusted")
    assert found["label"]["method"] == "talk"
    assert found["sound_distance"] < 0.05
    side_car = tmp_path / "stripped.mp4.c2pa"
    assert told["path"] == str(side_car)
    report = verify_store(side_car.read_bytes())
    assert (report.state, report.id) == ("trusted", clip.manifest)


@pytest.mark.parametrize("crf", [20, 26])
def test_an_encoded_and_cropped_clip_gets_its_manifest_back(
    released: tuple[Path, Clip], tmp_path: Path, crf: float
) -> None:
    source, clip = released
    cut = _encode(_cropped(read_frames(source)), tmp_path / "cut.mp4", crf)
    (found,) = _lead(cut)
    assert (found.found_by, found.record.id, found.content) == ("mark", clip.manifest, "matches")
    assert found.well
    assert found.placement.width == pytest.approx(0.75, abs=0.06)


def test_a_copied_mark_is_told(released: tuple[Path, Clip], tmp_path: Path) -> None:
    other = _encode(_frames(2, 30), tmp_path / "other.mp4", crf=16)
    mark_file(other, tmp_path / "forged.mp4", int(str(released[1].mark), 16))
    (found,) = _lead(tmp_path / "forged.mp4")
    assert (found.found_by, found.content, found.well) == ("mark", "does not match", False)
    result = CliRunner().invoke(verb, [str(tmp_path / "forged.mp4")])
    assert result.exit_code == 1
    assert "DOES NOT MATCH" in result.stdout
    assert not (tmp_path / "forged.mp4.c2pa").exists()


def test_without_its_mark_a_clip_is_found_by_what_it_shows_or_says(
    released: tuple[Path, Clip], tmp_path: Path
) -> None:
    # The same scene as it was before it was marked.
    unmarked = _encode(_frames(1, 90), tmp_path / "unmarked.mp4")
    evidence = gather(unmarked)
    assert evidence.payload is None
    (found,) = _lead(unmarked)
    assert (found.found_by, found.record.id, found.well) == ("picture", released[1].manifest, True)
    # Its sound alone, under another picture, finds it and does not pass for it.
    with Registry() as registry:
        heard = gather(released[0]).heard
        (dubbed,) = recover(Evidence(None, gather_drawn(2), heard), registry)
        assert (dubbed.found_by, dubbed.content) == ("sound", "does not match")
        (alone,) = recover(Evidence(None, None, heard), registry)
        assert (alone.found_by, alone.content) == ("sound", "matches")
        assert recover(Evidence(None, gather_drawn(2), None), registry) == []


def gather_drawn(seed: int) -> Any:
    from obverse.watermark.sketch import sketch_frames

    return sketch_frames(_frames(seed), FPS)


def test_a_manifest_of_a_stranger_comes_back_untrusted(
    released: tuple[Path, Clip], tmp_path: Path
) -> None:
    with Registry() as registry:
        (found,) = recover(gather(released[0]), registry, anchors=b"")
    assert (found.manifest.state, found.content, found.well) == ("valid", "matches", False)


def test_a_still_gets_its_manifest_back(tmp_path: Path) -> None:
    clip = CLIP.replace(id="8d" * 16, label="pristine", kind="rendered", method=None)
    release_still(next(_frames(3)), clip, tmp_path / "face.png")
    picture = read_still(tmp_path / "face.png")[16:-16, 16:-16]
    write_still(tmp_path / "cut.jpg", np.ascontiguousarray(picture))
    (found,) = _lead(tmp_path / "cut.jpg")
    assert (found.found_by, found.record.clip_id, found.well) == ("mark", clip.id, True)


def test_the_child_reads_what_the_parent_would(released: tuple[Path, Clip], tmp_path: Path) -> None:
    apart = gather_isolated(released[0])
    assert apart.to_dict() == gather(released[0]).to_dict()
    (tmp_path / "text.mp4").write_text("hello")
    with pytest.raises(InputError):
        gather_isolated(tmp_path / "text.mp4")
    with pytest.raises(InputError, match="longer than"):
        gather_isolated(released[0], timeout_seconds=0.01)


def test_what_is_not_registered_is_said(
    released: tuple[Path, Clip], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = f"sqlite:///{tmp_path / 'empty.sqlite'}"
    result = CliRunner().invoke(verb, [str(released[0]), "--registry", empty])
    assert result.exit_code == 1
    assert "none is registered here" in result.stdout
    target = tmp_path / "there.c2pa"
    target.write_bytes(b"mine")
    for arguments, sentence in (
        (["-o", str(target)], "--force"),
        (["-o", str(tmp_path / "x.json")], ".c2pa"),
        (["--trust", str(target)], "no PEM certificate"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["recover", str(released[0]), *arguments])
        assert ended.value.code == 2
        assert sentence in capsys.readouterr().err
    assert target.read_bytes() == b"mine"


def test_a_clip_in_a_window_of_a_recorded_screen_gets_its_manifest_back(
    released: tuple[Path, Clip], tmp_path: Path
) -> None:
    def screen() -> Frames:
        for frame in read_frames(released[0]):
            desk = np.full((SIZE + 90, SIZE + 200, 3), 60, np.uint8)
            desk[:30] = 210
            desk[50 : 50 + SIZE, 40 : 40 + SIZE] = frame
            yield desk

    (found,) = _lead(_encode(screen(), tmp_path / "screen.mp4"))
    assert (found.found_by, found.content, found.well) == ("mark", "matches", True)
    assert found.enclosed
    assert found.placement.width == pytest.approx(SIZE / (SIZE + 200), abs=0.06)
    assert found.placement.left == pytest.approx(40 / (SIZE + 200), abs=0.06)
