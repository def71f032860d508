"""`obverse serve` as it is typed: it says where it listens, and refuses what it cannot do."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from obverse.cli.main import main
from obverse.provenance.home import HOME_VARIABLE


def _sentence(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as caught:
        main(["serve", *map(str, arguments)])
    assert caught.value.code == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    return text


def test_what_cannot_be_served_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    for arguments, words in (
        (("--port", 70_000), "65535"),
        (("--run", tmp_path / "none"), "--run"),
        (("--clips", tmp_path / "none"), "folder"),
        (("--max-mb", 0), "1024 bytes"),
        (("--seconds", 0), "too low"),
        (("--at-once", 0), "at least 1"),
        (("--host", "256.0.0.1", "--port", 0), "cannot be listened on"),
    ):
        assert words in _sentence(capsys, *arguments), arguments


@pytest.mark.skipif(os.name != "posix", reason="ended by a signal")
def test_it_says_where_it_listens_and_ends_when_told(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from obverse.cli import main; main()", "serve", "--port", "0"]
    server = subprocess.Popen(
        command,
        env=os.environ | {HOME_VARIABLE: str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
        with urllib.request.urlopen(address, timeout=120) as answer:
            assert b"Audit a clip" in answer.read()
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=120)
    finally:
        server.kill()
        server.wait()
