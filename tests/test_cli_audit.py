"""`obverse audit` as it is typed: forms, files, exit codes, and one sentence for what is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
from audit_records import record

from obverse.audit import examine
from obverse.cli.main import main
from obverse.errors import InputError
from obverse.provenance.home import HOME_VARIABLE


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "record.json"
    path.write_text(record().text(), encoding="utf-8")
    return path


def _run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["audit", *map(str, arguments)])
    return int(caught.value.code or 0)


def _sentence(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert _run(*arguments) == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    return text


@pytest.mark.parametrize("form", [".html", ".pdf", ".json"])
def test_a_report_is_made_again_to_the_byte(written: Path, tmp_path: Path, form: str) -> None:
    one, two = tmp_path / f"one{form}", tmp_path / f"two{form}"
    assert _run("--from", written, "-o", one) == 0
    assert _run("--from", written, "-o", two, "--no-sign") == 0
    assert one.read_bytes() == two.read_bytes()
    assert (tmp_path / f"one{form}.c2pa").is_file()
    assert not (tmp_path / f"two{form}.c2pa").exists()
    assert _run("--check", one) == 0
    one.write_bytes(one.read_bytes() + b" ")
    assert _run("--check", one) == 1


def test_the_json_that_is_printed_makes_the_report(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("--from", written, "--json") == 0
    text = capsys.readouterr().out
    assert text == record().text()
    assert json.loads(text)["verdict"] == "declared-ai"


def test_the_text_says_verdict_confidence_and_what_absence_means(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("--from", written) == 0
    text = capsys.readouterr().out
    for words in ("Declared as made by AI", "very high", "C2PA manifest: r1", "proves nothing"):
        assert words in text


def test_wrong_content_is_exit_code_one(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(record(wrong=True).text(), encoding="utf-8")
    assert _run("--from", path) == 1


def test_a_stranger_cannot_write_on_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.json"
    path.write_text(record(reasons=["\x1b[2Jgone\nverdict  fine"]).text(), encoding="utf-8")
    _run("--from", path)
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert len([line for line in text.splitlines() if line.startswith("verdict")]) == 1


def test_nothing_is_overwritten_unasked(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "r.html"
    report.write_text("mine")
    assert "--force" in _sentence(capsys, "--from", written, "-o", report)
    assert report.read_text() == "mine"
    assert _run("--from", written, "-o", report, "--force") == 0
    assert _run("--from", written, "-o", report, "--force", "--no-sign") == 0
    assert not (tmp_path / "r.html.c2pa").exists()  # it was another report's


def test_what_cannot_be_is_one_sentence(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.json").write_text("{}")
    (tmp_path / "r.html").write_text("a report")
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"not a film" * 10)
    for arguments, words in (
        ((), "one of them"),
        ((clip, "--from", written), "one of them"),
        (("--from", tmp_path / "absent.json"), "cannot be read"),
        (("--from", tmp_path / "bad.json"), "no record"),
        (("--from", written, "-o", tmp_path / "r.docx"), ".html, .pdf or .json"),
        (("--from", written, "-o", tmp_path / "nowhere" / "r.html"), "folder that exists"),
        (("--check", tmp_path / "r.html"), "absent"),
        ((tmp_path / "absent.mp4",), "cannot be opened"),
        ((clip, "--run", tmp_path / "none"), "--run"),
        ((clip, "--seconds", 0), "too low"),
        ((clip, "--trust", tmp_path / "r.html"), "--trust"),
    ):
        assert words in _sentence(capsys, *arguments), arguments
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "home") == [
        "bad.json",
        "clip.mp4",
        "r.html",
        "record.json",
    ]


def test_what_is_asked_for_reaches_the_audit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def audit(path: Path, config: Any, tell: Any) -> Any:
        seen.append((path, config))
        return record()

    monkeypatch.setattr(examine, "audit", audit)
    key = tmp_path / "key"
    key.write_bytes(b"k" * 32)
    clip = tmp_path / "secret folder" / "clip.mp4"
    clip.parent.mkdir()
    clip.write_bytes(b"a film")
    url = f"sqlite:///{tmp_path / 'r.sqlite'}"
    options = ["--key", key, "--registry", url, "--seconds", 5, "--memory-mb", 512, "--online"]
    assert _run(clip, *options) == 0
    ((path, config),) = seen
    assert path == clip
    assert (config.registry, config.online, config.limits.seconds) == (url, True, 5.0)
    assert config.limits.memory_bytes == 512 << 20
    assert config.key is not None
    # The report shows the command: without places, which may tell who asks.
    assert config.command.startswith("obverse audit clip.mp4 --key key")
    assert "secret" not in config.command


def test_a_failed_audit_leaves_no_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def audit(*_: Any) -> Any:
        raise InputError("it is nothing.")

    monkeypatch.setattr(examine, "audit", audit)
    (tmp_path / "clip.mp4").write_bytes(b"a film")
    assert "nothing" in _sentence(capsys, tmp_path / "clip.mp4", "-o", tmp_path / "r.html")
    assert not list(tmp_path.glob("*r.html*"))
