import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from obverse.cli.main import main
from obverse.cli.registry import registry
from obverse.clip import Clip
from obverse.provenance.home import HOME_VARIABLE
from obverse.provenance.registry import Registry


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    with Registry() as opened:
        clip = Clip(id="c" * 32, path="", label="pristine", kind="rendered")
        opened.add(clip, "urn:c2pa:a", 1, manifest=b"four")


def test_what_is_held_is_counted() -> None:
    result = CliRunner().invoke(registry, ["stats", "--json"])
    held = json.loads(result.stdout)
    assert (held["manifests"], held["marks"], held["manifest_bytes"]) == (1, 1, 4)
    assert "manifests      1" in CliRunner().invoke(registry, ["stats"]).stdout


def test_a_backup_is_written_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "copy.sqlite"
    result = CliRunner().invoke(registry, ["backup", str(target)])
    assert result.stdout == f"{target}: 1 manifests\n"
    with pytest.raises(SystemExit) as ended:
        main(["registry", "backup", str(target)])
    assert ended.value.code == 2
    assert "--force" in capsys.readouterr().err
    again = CliRunner().invoke(registry, ["backup", str(target), "--force", "--json"])
    assert json.loads(again.stdout) == {"path": str(target), "manifests": 1}
    address = f"sqlite:///{target}"
    copied = CliRunner().invoke(registry, ["stats", "--registry", address, "--json"])
    assert json.loads(copied.stdout)["manifests"] == 1


def test_a_registry_that_is_none_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["registry", "stats", "--registry", "nonsense"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
