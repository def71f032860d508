"""`obverse doctor` finds what is broken, says how to mend it, and changes nothing."""

import hashlib
import importlib.metadata
import importlib.resources
import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from obverse.cli import doctor as room
from obverse.cli.doctor import Check, doctor
from obverse.provenance.home import HOME_VARIABLE
from obverse.provenance.identity import SigningIdentity


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    return tmp_path / "home"


def _run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(doctor, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout


def _only(name: str, checks: Any) -> Check:
    found = [check for check in checks if check.name == name]
    assert len(found) == 1
    assert isinstance(found[0], Check)
    return found[0]


def test_json_agrees_with_the_exit_code(home: Path) -> None:
    code, text = _run("--json")
    found = json.loads(text)
    assert set(found) == {"ok", "checks"}
    assert found["ok"] is (code == 0)
    names = {check["name"] for check in found["checks"]}
    expected = {"python", "encoders", "decoders", "onnx runtime", "gpu", "c2pa", "data directory"}
    assert expected | {"signing identity", "package numpy", "weights obverse.faces"} <= names
    for check in found["checks"]:
        assert check["state"] in ("ok", "note", "wrong")
        assert bool(check["mend"]) is (check["state"] != "ok")
    assert not (home / "identity").exists()


def test_this_machine_is_well() -> None:
    wrong = [check for check in room.examine() if check.state == "wrong"]
    assert wrong == []


def test_text_names_every_check_and_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        yield Check("left shoe", "ok", "on")
        yield Check("right shoe", "wrong", "off", "put it on")

    monkeypatch.setattr(room, "_EXAMINATIONS", (broken,))
    code, text = _run()
    assert code == 1
    assert text.splitlines() == [
        "ok     left shoe: on",
        "wrong  right shoe: off",
        "       -> put it on",
    ]
    monkeypatch.setattr(room, "_EXAMINATIONS", ())
    assert _run("--json") == (0, json.dumps({"ok": True, "checks": []}, indent=2) + "\n")


def test_packages_absent_and_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    stated = ["numpy>=1.26", "pillow>=9999", "no-such-package>=2", "pytest>=8; extra == 'dev'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: stated)
    checks = {check.name: check for check in room._packages()}
    assert checks["package numpy"].state == "ok"
    assert checks["package pillow"].state == "wrong"
    assert checks["package pillow"].mend == "pip install 'pillow>=9999'"
    assert checks["package no-such-package"].detail == "absent"
    assert "package pytest" not in checks


def test_codecs_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_ENCODERS", ("libx264", "no-such-codec"))
    monkeypatch.setattr(room, "_DECODERS", ("no-such-codec",))
    checks = list(room._codecs())
    assert _only("encoders", checks).state == "wrong"
    assert "no-such-codec" in _only("encoders", checks).detail
    assert _only("decoders", checks).state == "note"


def _room_of_weights(folder: Path, text: str) -> Path:
    weights = folder / "part" / "weights"
    weights.mkdir(parents=True)
    (weights / "net.onnx").write_bytes(b"weights")
    (weights / "net.card.yaml").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("card", "state", "detail"),
    [
        (f"file: net.onnx\nsha256: {hashlib.sha256(b'weights').hexdigest()}\n", "ok", "net.onnx"),
        (f"file: net.onnx\nsha256: '{'0' * 64}'\n", "wrong", "not the file on its card"),
        ("file: gone.onnx\nsha256: 00\n", "wrong", "gone.onnx"),
        ("file: net.onnx\n", "wrong", "sha256"),
        ("[", "wrong", "net.card.yaml"),
        ("", "wrong", "net.card.yaml"),
    ],
)
def test_weights_that_are_not_on_their_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, card: str, state: str, detail: str
) -> None:
    folder = _room_of_weights(tmp_path / "package", card)
    monkeypatch.setattr(importlib.resources, "files", lambda name: folder)
    checks = list(room._weights())
    found = _only("weights obverse.part", checks)
    assert found.state == state
    assert detail in found.detail
    assert "\n" not in found.detail
    absent = _only("weights obverse.faces", checks)
    assert (absent.state, absent.detail) == ("wrong", "absent")


def test_a_home_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "file" / "home"))
    found = _only("data directory", room._home())
    assert found.state == "wrong"
    assert HOME_VARIABLE in found.mend


def test_the_signing_identity(home: Path) -> None:
    assert "first release" in _only("signing identity", room._home()).detail
    SigningIdentity.default()
    assert _only("signing identity", room._home()).state == "ok"
    (home / "identity" / "leaf.key").chmod(0o644)
    assert "chmod 600" in _only("signing identity", room._home()).mend
    (home / "identity" / "leaf.pem").write_text("nothing")
    broken = _only("signing identity", room._home())
    assert broken.state == "wrong"
    assert str(home / "identity") in broken.mend


def test_help_has_an_example() -> None:
    code, text = _run("--help")
    assert code == 0
    assert "Example" in text
    assert isinstance(doctor, click.Command)
