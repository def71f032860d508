"""External manifests: they hold for one document, byte for byte, and for those who trust."""

from pathlib import Path

import pytest

from obverse.provenance.home import HOME_VARIABLE
from obverse.provenance.identity import SigningIdentity, default_anchors
from obverse.provenance.sidecar import beside, sign_beside, state_beside

DOCUMENTS = [
    b"<!doctype html><p>report</p>",
    b"%PDF-1.4 not even a real one",
    b"{}",
    b"x" * 100_000,
]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))


def _signed(content: bytes) -> bytes:
    identity = SigningIdentity.default()
    when, about = "2026-11-26T00:00:00Z", {"verdict": "none"}
    return sign_beside(content, "a report", identity, when=when, about=about)


@pytest.mark.parametrize("content", DOCUMENTS)
def test_a_document_of_any_kind_is_signed_beside(content: bytes) -> None:
    store = _signed(content)
    state, signer = state_beside(content, store, default_anchors())
    assert (state, signer) == ("trusted", "obverse development signer")
    assert state_beside(content, store, b"")[0] == "valid"


def test_any_change_is_told() -> None:
    content = DOCUMENTS[0]
    store = _signed(content)
    anchors = default_anchors()
    for other in (content + b" ", content[:-1], content.replace(b"report", b"rep0rt"), b"x"):
        assert state_beside(other, store, anchors)[0] == "invalid"
    damaged = bytearray(store)
    damaged[len(damaged) // 2] ^= 1
    assert state_beside(content, bytes(damaged), anchors)[0] == "invalid"
    assert state_beside(content, b"no store", anchors) == ("invalid", None)


def test_it_lies_beside() -> None:
    assert beside(Path("a/report.html")) == Path("a/report.html.c2pa")
