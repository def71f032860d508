"""`obverse mark`: embed, read, refuse."""

import json
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from obverse.cli.mark import mark
from obverse.errors import ConfigError, InputError, MarkError, OutputExistsError
from obverse.media.audio import read_speech
from obverse.media.video import VideoWriter, probe

PAYLOAD = "0123456789abcdef"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second of a textured picture that shakes, with a tone."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    rng = np.random.default_rng(0)
    picture = cv2.GaussianBlur(rng.uniform(0, 255, (300, 300, 3)).astype(np.float32), (0, 0), 1.5)
    picture = np.clip((picture - 128) * 2 + 128, 0, 255).astype(np.uint8)
    tone = 0.3 * np.sin(np.arange(16000) * 0.17).astype(np.float32)
    with VideoWriter(path, 256, 256, 25, audio=tone, audio_rate=16000) as writer:
        for index in range(25):
            writer.write(picture[index : index + 256, 2 * (index % 5) :][:, :256])
    return path


@pytest.fixture(scope="module")
def marked(film: Path) -> Path:
    path = film.with_name("marked.mp4")
    result = _run("embed", film, "-o", path, "--payload", PAYLOAD)
    assert result == (0, PAYLOAD + "\n")
    return path


def _run(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(mark, [str(item) for item in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def test_a_mark_is_read(marked: Path) -> None:
    code, text = _run("read", marked, "--json")
    found = json.loads(text)
    assert code == 0
    assert found["payload"] == PAYLOAD
    assert found["present"] is True
    assert found["p_value"] < 1e-6
    assert _run("read", marked)[1].startswith(PAYLOAD)


def test_no_mark_is_exit_code_1(film: Path) -> None:
    code, text = _run("read", film, "--json")
    assert code == 1
    assert json.loads(text)["payload"] is None


def test_sound_and_length_are_kept(film: Path, marked: Path) -> None:
    before, after = probe(film), probe(marked)
    assert (after.width, after.height, after.frames) == (before.width, before.height, before.frames)
    assert after.fps == before.fps
    assert np.array_equal(read_speech(film), read_speech(marked))


def test_a_second_mark_is_refused(marked: Path) -> None:
    out = marked.with_name("twice.mp4")
    with pytest.raises(MarkError, match=PAYLOAD):
        _run("embed", marked, "-o", out, "--payload", "1")
    with pytest.raises(MarkError, match="already"):
        _run("embed", marked, "-o", out)
    assert not out.exists()


def test_the_same_mark_again_is_a_copy(marked: Path) -> None:
    out = marked.with_name("same.mp4")
    assert _run("embed", marked, "-o", out, "--payload", PAYLOAD)[0] == 0
    assert out.read_bytes() == marked.read_bytes()


def test_nothing_is_overwritten_unasked(film: Path, marked: Path) -> None:
    before = marked.read_bytes()
    with pytest.raises(OutputExistsError):
        _run("embed", film, "-o", marked)
    with pytest.raises(ConfigError, match="in place"):
        _run("embed", film, "-o", film, "--force")
    assert marked.read_bytes() == before


def _slow(*_: object) -> None:
    raise AssertionError("work began before the output was checked")


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("absent/m.mp4", MarkError, "does not exist"),
        ("/proc/m.mp4", MarkError, "cannot be written"),
        ("file/m.mp4", MarkError, "does not exist"),
        ("n" * 300 + ".mp4", MarkError, "cannot be written"),
        ("folder.mp4", ConfigError, "is a folder"),
        ("m.mkv", ConfigError, "does not end in .mp4"),
        ("m", ConfigError, "does not end in .mp4"),
    ],
)
def test_an_output_that_cannot_be_is_refused_at_once(
    film: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    error: type[Exception],
    words: str,
) -> None:
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.setattr("obverse.watermark.file.probe", _slow)
    with pytest.raises(error, match=words) as caught:
        _run("embed", film, "-o", tmp_path / name, "--force")
    assert "\n" not in str(caught.value)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["file", "folder.mp4"]


@pytest.mark.parametrize(
    "payload", ["", "00112233445566778", "1_2", "\uff11\uff12", "0x12", "-1", " 1", "1\n"]
)
def test_a_payload_is_1_to_16_digits(film: Path, tmp_path: Path, payload: str) -> None:
    with pytest.raises(ConfigError, match="1 to 16 digits"):
        _run("embed", film, "-o", tmp_path / "m.mp4", "--payload", payload)


def test_a_secret_key_keeps_its_marks_to_itself(film: Path, tmp_path: Path) -> None:
    key, out = tmp_path / "key", tmp_path / "secret.mp4"
    key.write_bytes(bytes(range(32)))
    code, text = _run("embed", film, "-o", out, "--key", key, "--json")
    payload = json.loads(text)["payload"]
    assert code == 0
    assert len(payload) == 16
    assert json.loads(_run("read", out, "--key", key, "--json")[1])["payload"] == payload
    assert _run("read", out)[0] == 1


def test_a_film_too_flat_for_a_mark_leaves_nothing(tmp_path: Path) -> None:
    path, out = tmp_path / "flat.mp4", tmp_path / "out.mp4"
    with VideoWriter(path, 32, 32, 25) as writer:
        writer.write(np.full((32, 32, 3), 90, np.uint8))
    with pytest.raises(MarkError, match="did not come back"):
        _run("embed", path, "-o", out)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["flat.mp4"]


@pytest.mark.parametrize("fps", [Fraction(625), Fraction(1, 2)])
def test_a_rate_that_cannot_be_written_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fps: Fraction
) -> None:
    path = tmp_path / "fast.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(4):
            container.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(stream.encode(None))
    monkeypatch.setattr("obverse.watermark.file.read_file", _slow)
    with pytest.raises(InputError) as caught:
        _run("embed", path, "-o", tmp_path / "out.mp4")
    assert str(caught.value) == (
        f"{path} has {float(fps):g} frames a second; a marked film has 1 to 240, so bring it to "
        "such a rate first."
    )
    assert [item.name for item in tmp_path.iterdir()] == ["fast.mp4"]


def test_what_is_no_film_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("no film")
    with pytest.raises(InputError):
        _run("read", path)
    with pytest.raises(ConfigError):
        _run("embed", path, "-o", tmp_path / "out.mp4", "--payload", "nonsense")
