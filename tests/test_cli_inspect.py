import json
import os
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner, Result

from obverse.audit.inspection import Inspection
from obverse.cli.inspect import inspect
from obverse.cli.main import main
from obverse.clip import Clip
from obverse.errors import InputError
from obverse.generator.release import release, release_still
from obverse.media.audio import write_wav
from obverse.media.still import write_still
from obverse.media.video import VideoWriter
from obverse.provenance.certificates import development_chain
from obverse.provenance.home import HOME_VARIABLE
from obverse.provenance.identity import SigningIdentity
from obverse.provenance.manifest import sign
from obverse.provenance.verify import ManifestReport
from obverse.watermark.extract import MarkReading

SIZE = 256


def _frames(count: int = 12) -> Iterator[npt.NDArray[np.uint8]]:
    rng = np.random.default_rng(2)
    rows, columns = np.mgrid[0 : SIZE + count, 0:SIZE]
    waves = 90 + 60 * np.sin(rows / 17.0) * np.cos(columns / 23.0)
    wide = np.clip(waves + rng.normal(0, 9, waves.shape), 0, 255).astype(np.uint8)
    for index in range(count):
        yield np.ascontiguousarray(np.stack([wide[index : index + SIZE]] * 3, -1))


CLIP = Clip(
    id="1c" * 16,
    path="",
    label="synthetic",
    kind="generated",
    method="mesh",
    seed=4,
    rights="synthetic",
    warnings=("the mouth was open",),
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def _home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(home))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    release(_frames(), CLIP, tmp_path / "clip.mp4")
    return tmp_path / "clip.mp4"


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(inspect, [str(argument) for argument in arguments])


def _json(*arguments: object) -> tuple[int, Any]:
    result = _run(*arguments, "--json")
    return result.exit_code, json.loads(result.stdout)


def _remux(source: Path, target: Path) -> Path:
    with av.open(str(source)) as read, av.open(str(target), "w") as write:
        stream = write.add_stream_from_template(read.streams.video[0])
        for packet in read.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                write.mux(packet)
    return target


def test_a_released_clip_is_well(clip: Path) -> None:
    code, found = _json(clip)
    assert code == 0
    assert found["manifest"]["state"] == "trusted"
    assert found["manifest"]["id"].startswith("urn:c2pa:")
    assert found["manifest"]["signer"] == "obverse development signer"
    assert found["manifest"]["failures"] == []
    assert found["mark"]["present"] is True
    assert len(found["mark"]["payload"]) == 16
    assert found["mark"]["payload"] == found["label"]["mark"]
    assert found["mark"]["z"] > 10
    assert found["mark"]["p_value"] < 1e-6
    assert found["match"] is True
    assert found["label"]["id"] == CLIP.id


def test_the_text_says_it_in_words(clip: Path) -> None:
    result = _run(clip)
    assert result.exit_code == 0
    for words in ("trusted", "present", "yes", "synthetic", "mesh", "the mouth was open"):
        assert words in result.output


def test_a_stripped_manifest_leaves_the_mark(clip: Path, tmp_path: Path) -> None:
    stripped = _remux(clip, tmp_path / "stripped.mp4")
    assert "proves nothing" in _run(stripped).output
    code, found = _json(stripped)
    assert code == 1
    assert found["manifest"] == {
        **found["manifest"],
        "state": "absent",
        "id": None,
        "signer": None,
        "failures": [],
    }
    assert found["mark"]["present"] is True
    assert found["match"] is None
    assert found["label"] == {}


def test_a_manifest_over_another_mark_does_not_match(clip: Path, tmp_path: Path) -> None:
    stripped = _remux(clip, tmp_path / "stripped.mp4")
    liar = CLIP.replace(mark="00000000000000ff", frames=12)
    sign(stripped, tmp_path / "liar.mp4", liar, SigningIdentity.default())
    code, found = _json(tmp_path / "liar.mp4")
    assert (code, found["manifest"]["state"], found["match"]) == (1, "trusted", False)
    assert "NO" in _run(tmp_path / "liar.mp4").output


def test_an_unknown_signer_is_valid_until_trusted(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, intermediate, leaf = development_chain()
    (tmp_path / "chain.pem").write_bytes(leaf.certificate_pem + intermediate.certificate_pem)
    (tmp_path / "leaf.key").write_bytes(leaf.key_pem)
    (tmp_path / "root.pem").write_bytes(root.certificate_pem)
    theirs = SigningIdentity.from_pem(
        tmp_path / "chain.pem", tmp_path / "leaf.key", anchors=tmp_path / "root.pem"
    )
    release(_frames(), CLIP, tmp_path / "clip.mp4", identity=theirs)
    code, found = _json(tmp_path / "clip.mp4")
    assert (code, found["manifest"]["state"], found["match"]) == (1, "valid", True)
    assert _json(tmp_path / "clip.mp4", "--trust", tmp_path / "root.pem")[0] == 0


def test_a_manifest_cannot_write_on_the_terminal(clip: Path, tmp_path: Path) -> None:
    loud = CLIP.replace(mark=None, frames=12, warnings=("\x1b[2Jgone\nmanifest  trusted",))
    sign(_remux(clip, tmp_path / "s.mp4"), tmp_path / "l.mp4", loud, SigningIdentity.default())
    output = _run(tmp_path / "l.mp4").output
    assert "\x1b" not in output
    assert len([line for line in output.splitlines() if line.startswith("manifest")]) == 1


def test_a_changed_file_is_invalid(clip: Path) -> None:
    data = bytearray(clip.read_bytes())
    data[data.index(b"notAllowed")] ^= 1
    clip.write_bytes(data)
    code, found = _json(clip)
    assert (code, found["manifest"]["state"]) == (1, "invalid")
    assert "assertion.hashedURI.mismatch" in found["manifest"]["failures"]


def test_a_plain_film_has_neither(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "plain.mp4", SIZE, SIZE, 25) as writer:
        for frame in _frames():
            writer.write(frame)
    code, found = _json(tmp_path / "plain.mp4")
    assert code == 1
    assert (found["manifest"]["state"], found["mark"]["present"]) == ("absent", False)
    assert (found["mark"]["payload"], found["match"]) == (None, None)


def test_a_released_still_is_well(tmp_path: Path) -> None:
    release_still(next(_frames()), CLIP, tmp_path / "face.png")
    code, found = _json(tmp_path / "face.png")
    assert (code, found["match"]) == (0, True)


def test_sound_is_inspected_as_far_as_its_manifest_goes(tmp_path: Path) -> None:
    write_wav(tmp_path / "plain.wav", np.zeros(8000, np.float32), 16000)
    code, found = _json(tmp_path / "plain.wav")
    assert (code, found["manifest"]["state"]) == (1, "absent")
    assert found["mark"] == {"present": False, "payload": None, "z": None, "p_value": None}
    voice = Clip(id="2d" * 16, path="", label="synthetic", kind="generated", method="voice")
    sign(tmp_path / "plain.wav", tmp_path / "signed.wav", voice, SigningIdentity.default())
    assert _json(tmp_path / "signed.wav")[0] == 0
    assert "no picture" in _run(tmp_path / "signed.wav").output


@pytest.mark.parametrize("content", [b"", b"hello", bytes(range(256)) * 20])
def test_what_is_no_media_file_cannot_be_read(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.mp4").write_bytes(content)
    result = _run(tmp_path / "file.mp4")
    # The command line's main turns this error into one sentence and exit code 2.
    assert isinstance(result.exception, InputError)


def _sentence(*arguments: object) -> str:
    error = _run(*arguments).exception
    assert isinstance(error, InputError)
    assert "\n" not in str(error)
    return str(error)


def test_what_is_no_file_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "cannot be opened" in _sentence(tmp_path / "absent.mp4")
    assert "is a directory" in _sentence(tmp_path)
    os.mkfifo(tmp_path / "pipe.mp4")  # nobody writes to it
    assert "is a pipe" in _sentence(tmp_path / "pipe.mp4")
    with pytest.raises(SystemExit) as caught:
        main(["inspect", str(tmp_path / "absent.mp4")])
    assert caught.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff\xfe", None])
def test_trust_wants_certificates(tmp_path: Path, content: bytes | None) -> None:
    write_wav(tmp_path / "a.wav", np.zeros(800, np.float32), 16000)
    if content is not None:
        (tmp_path / "root.pem").write_bytes(content)
    assert "--trust" in _sentence(tmp_path / "a.wav", "--trust", tmp_path / "root.pem")
    assert "--trust" in _sentence(tmp_path / "a.wav", "--trust", tmp_path)


def test_what_only_has_a_pictures_name_cannot_be_read(tmp_path: Path) -> None:
    write_still(tmp_path / "good.png", next(_frames()))
    data = (tmp_path / "good.png").read_bytes()
    middle = len(data) // 2
    flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    with wave.open(str(tmp_path / "silent.wav"), "wb") as silent:
        silent.setparams((1, 2, 16000, 0, "NONE", ""))
    contents = {"text.jpg": b"hello\n", "flipped.png": flipped, "short.png": data[:middle]}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    for name in (*contents, "silent.wav"):
        assert "cannot be read as a video, a still or a sound" in _sentence(tmp_path / name)


def test_the_manifest_of_a_damaged_still_is_judged(tmp_path: Path) -> None:
    path = tmp_path / "face.png"
    release_still(next(_frames()), CLIP, path)
    data = bytearray(path.read_bytes())
    data[data.rindex(b"IDAT") + 2000] ^= 1
    path.write_bytes(data)
    code, found = _json(path)
    assert (code, found["manifest"]["state"], found["mark"]["z"]) == (1, "invalid", None)
    assert "cannot be decoded" in _run(path).output


def test_help_has_an_example() -> None:
    assert "Example:" in _run("--help").output


def test_a_mark_whose_payload_is_lost_is_present(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "face.png"
    write_still(path, next(_frames(1)))
    lost = Inspection(path, ManifestReport("absent"), MarkReading(True, None, 9.1, 1e-9, 12))
    monkeypatch.setattr("obverse.audit.inspection.look", lambda *_, **__: lost)
    told = CliRunner().invoke(inspect, [str(path)])
    assert "present: its payload is lost" in told.stdout
    mark = json.loads(CliRunner().invoke(inspect, [str(path), "--json"]).stdout)["mark"]
    assert (mark["present"], mark["payload"]) == (True, None)
