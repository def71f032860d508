"""Weights are the files on their cards, and the cards say what a reader must know."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from obverse import weights
from obverse.errors import WeightsError
from obverse.weights import card, onnx_session, sha256_file, weight_path

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("obverse", "audit", "datasets", "detector", "eval", "generator", "provenance", "watermark")
FIELDS = {
    "name",
    "file",
    "sha256",
    "licence",
    "source",
    "made_by",
    "preprocessing",
    "data",
    "results",
    "unwanted_uses",
}
# Licences under which a weight may be shipped and changed by anybody.
FREE = {"Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "CC-BY-4.0", "ISC"}


def _folders() -> list[Path]:
    found = {p.resolve() for part in PARTS for p in (ROOT / part).rglob("weights") if p.is_dir()}
    return sorted(found)


def _files() -> list[Path]:
    """Return the weights; a detector's settings beside its network are no weights of their own."""
    return [
        path
        for folder in _folders()
        for path in sorted(folder.iterdir())
        if path.is_file()
        and not path.name.endswith(".card.yaml")
        and path.suffix != ".md"
        and not (path.suffix == ".json" and path.with_suffix(".onnx").is_file())
    ]


FILES = _files()


def _short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", FILES, ids=_short)
def test_every_weight_is_the_file_on_its_card(path: Path) -> None:
    beside = path.with_name(f"{path.stem}.card.yaml")
    assert beside.is_file(), f"{path} has no card"
    stated: dict[str, Any] = yaml.safe_load(beside.read_text(encoding="utf-8"))
    assert stated["file"] == path.name
    assert stated["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("path", FILES, ids=_short)
def test_every_card_is_complete(path: Path) -> None:
    stated: dict[str, Any] = yaml.safe_load(
        path.with_name(f"{path.stem}.card.yaml").read_text(encoding="utf-8")
    )
    assert not FIELDS - set(stated), f"the card lacks {sorted(FIELDS - set(stated))}"
    assert not [name for name in FIELDS if stated[name] in (None, "", [], {})]
    assert stated["licence"] in FREE


def test_no_card_is_without_its_weight() -> None:
    for folder in _folders():
        for path in folder.glob("*.card.yaml"):
            stated = yaml.safe_load(path.read_text(encoding="utf-8"))
            assert (folder / stated["file"]).is_file(), f"{path} describes a file that is absent"
            assert path.name == f"{Path(stated['file']).stem}.card.yaml"


def test_weights_that_ship_are_found() -> None:
    path = weight_path("obverse.faces", "landmarks.onnx")
    assert path.is_file()
    assert card("obverse.faces", "landmarks.onnx")["file"] == "landmarks.onnx"
    session = onnx_session(weight_path("obverse.faces", "detector.onnx"))
    assert session.get_inputs()[0].shape == [1, 3, 128, 128]
    assert session.get_providers() == ["CPUExecutionProvider"]


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(weights, "_directory", lambda part: tmp_path)
    weight_path.cache_clear()
    return tmp_path


def test_weights_that_are_absent_or_altered(room: Path) -> None:
    with pytest.raises(WeightsError, match=r"lacks the weights net\.onnx"):
        weight_path("obverse.faces", "net.onnx")
    (room / "net.onnx").write_bytes(b"weights")
    with pytest.raises(WeightsError, match="has no card"):
        weight_path("obverse.faces", "net.onnx")
    (room / "net.card.yaml").write_text("file: net.onnx\n")
    with pytest.raises(WeightsError, match="does not state a sha256"):
        weight_path("obverse.faces", "net.onnx")
    (room / "net.card.yaml").write_text("sha256: '00'\n")
    with pytest.raises(WeightsError, match="not the file on its card"):
        weight_path("obverse.faces", "net.onnx")
    digest = sha256_file(room / "net.onnx")
    assert digest == hashlib.sha256(b"weights").hexdigest()
    (room / "net.card.yaml").write_text(f"sha256: {digest}\n")
    assert weight_path("obverse.faces", "net.onnx") == room / "net.onnx"


def test_onnx_runtime_is_told_to_report_nothing(tmp_path: Path) -> None:
    # It keeps the number of a session in a file from its import on, unless it is told not to.
    environment = {
        name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"
    }
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import obverse, os, onnxruntime; print(os.environ['ORT_DISABLE_TELEMETRY'])",
        ],
        env=environment | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "1"
    assert list(tmp_path.iterdir()) == []
