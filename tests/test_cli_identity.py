import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from obverse.cli.identity import identity
from obverse.cli.main import main
from obverse.provenance.certificates import Issued
from obverse.provenance.home import HOME_VARIABLE
from obverse.provenance.identity import TSA_VARIABLE, SigningIdentity


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.delenv(TSA_VARIABLE, raising=False)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    root = Issued.authority("root of tests", 3650, 1)
    leaf = root.leaf("newsroom")
    (tmp_path / "chain.pem").write_bytes(leaf.certificate_pem)
    (tmp_path / "root.pem").write_bytes(root.certificate_pem)
    (tmp_path / "leaf.key").write_bytes(leaf.key_pem)
    return tmp_path


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(identity, [str(argument) for argument in arguments])


def _json(*arguments: object) -> Any:
    result = _run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_who_signs_is_shown_chosen_and_put_back(files: Path) -> None:
    first = _json("show")
    assert first["signer"] == "obverse development signer"
    assert (first["time_stamps"], first["trusted_roots"]) == (None, 1)
    options = ["--key", files / "leaf.key", "--anchors", files / "root.pem"]
    chosen = _json("use", files / "chain.pem", *options)
    assert (chosen["signer"], chosen["algorithm"], chosen["key"]) == (
        "newsroom", "es256", "in a file",
    )  # fmt: skip
    assert chosen["trusted_roots"] == 2
    assert _json("reset")["signer"] == first["signer"]
    old = SigningIdentity.default().chain
    assert _json("rotate")["trusted_roots"] == 3
    assert SigningIdentity.default().chain != old


def test_an_authority_for_time_stamps_is_chosen_and_dropped(files: Path) -> None:
    address = "http://timestamp.test"
    assert _json("tsa", address, "--anchors", files / "root.pem")["time_stamps"] == address
    assert "time stamps   http://timestamp.test" in _run("show").stdout
    assert _json("tsa", "none")["time_stamps"] is None
    assert "time stamps   none" in _run("show").stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["use", "chain.pem"], "give one"),
        (["use", "chain.pem", "--pkcs11", "x.so"], "--token and --label"),
        (["use", "leaf.key", "--key", "leaf.key"], "no PEM certificates"),
        (["use", "root.pem", "--key", "leaf.key"], "digitalSignature"),
        (["use", "absent.pem", "--key", "leaf.key"], "cannot be read"),
        (["use", "chain.pem", "--key", "leaf.key", "--token", "studio"], "--pkcs11"),
        (["tsa", "timestamp.test"], "http://"),
        (["tsa", "http://timestamp.test", "--anchors", "leaf.key"], "no PEM certificate"),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    files: Path,
    arguments: list[str],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(files)
    before = SigningIdentity.default()
    with pytest.raises(SystemExit) as ended:
        main(["identity", *arguments])
    assert ended.value.code == 2
    said = capsys.readouterr().err.strip()
    assert sentence in said
    assert "\n" not in said
    assert SigningIdentity.default() == before
