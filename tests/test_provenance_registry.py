import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from obverse.clip import Clip
from obverse.errors import ProvenanceError
from obverse.provenance import registry as module
from obverse.provenance.home import HOME_VARIABLE
from obverse.provenance.registry import Registry, payload_candidate


def _clip(number: int) -> Clip:
    return Clip(
        id=f"{number:032x}",
        path=f"{number}.mp4",
        sha256=f"{number:064x}",
        label="pristine",
        kind="rendered",
    )


_WRITER = """
import sys
from obverse.clip import Clip
from obverse.provenance.registry import Registry
with Registry(sys.argv[1]) as registry:
    for number in range(int(sys.argv[2]), int(sys.argv[2]) + 25):
        clip = Clip(id=f"{number:032x}", path="x.mp4", label="pristine", kind="rendered")
        registry.add(clip, f"urn:c2pa:{number}", registry.payload_for(clip.id), manifest=b"m")
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'deep' / 'registry.sqlite'}"


def test_a_payload_leads_back_to_its_manifests(url: str) -> None:
    with Registry(url) as registry:
        clip = _clip(1)
        payload = registry.payload_for(clip.id)
        registry.add(clip, "urn:c2pa:a", payload, manifest=b"bytes", fingerprint=b"print")
        registry.add(clip, "urn:c2pa:b", payload, manifest=b"again")
        newest, oldest = registry.by_payload(payload)
        assert (newest.id, oldest.id) == ("urn:c2pa:b", "urn:c2pa:a")
        assert oldest.manifest == b"bytes"
        assert oldest.fingerprint == b"print"
        assert oldest.label["id"] == clip.id
        assert oldest.created.tzinfo is not None
        assert registry.by_manifest("urn:c2pa:a") == oldest
        assert registry.by_manifest("urn:c2pa:none") is None
        assert registry.by_payload(payload ^ 1) == []
        assert len(registry) == 2
    with Registry(url) as again:
        assert again.payload_for(clip.id) == payload
        assert len(again) == 2


def test_the_largest_payload_fits(url: str) -> None:
    with Registry(url) as registry:
        registry.add(_clip(1), "urn:c2pa:a", (1 << 64) - 1)
        assert registry.by_payload((1 << 64) - 1)[0].payload == (1 << 64) - 1
        with pytest.raises(ProvenanceError, match="64 bits"):
            registry.by_payload(1 << 64)


def test_a_payload_is_the_same_on_every_machine_and_written_by_nobody(url: str) -> None:
    with Registry(url) as registry:
        clip = _clip(1)
        assert registry.payload_for(clip.id) == payload_candidate(clip.id)
        # The first 8 bytes of sha256("obverse mark\\n" + 32 zeros + "\\n0").
        assert payload_candidate("0" * 32) == 0x0C95A950DD83C115
        assert len(registry) == 0


def test_a_payload_that_is_taken_is_not_given_twice(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "payload_candidate", lambda _clip_id, attempt=0: 5 + attempt)
    with Registry(url) as registry:
        registry.add(_clip(1), "urn:c2pa:a", registry.payload_for(_clip(1).id))
        assert registry.payload_for(_clip(1).id) == 5
        assert registry.payload_for(_clip(2).id) == 6
        with pytest.raises(ProvenanceError, match="registered otherwise"):
            registry.add(_clip(2), "urn:c2pa:b", 5)
        assert len(registry) == 1


def test_a_manifest_is_registered_once(url: str) -> None:
    with Registry(url) as registry:
        registry.add(_clip(1), "urn:c2pa:a", 1)
        with pytest.raises(ProvenanceError, match="refuses"):
            registry.add(_clip(1), "urn:c2pa:a", 1)
        assert len(registry) == 1


def test_a_removed_manifest_leaves_no_mark_behind(url: str) -> None:
    with Registry(url) as registry:
        registry.add(_clip(1), "urn:c2pa:a", 9)
        registry.add(_clip(1), "urn:c2pa:b", 9)
        registry.remove("urn:c2pa:a")
        assert [record.id for record in registry.by_payload(9)] == ["urn:c2pa:b"]
        registry.remove("urn:c2pa:b")
        registry.remove("urn:c2pa:b")
        registry.add(_clip(2), "urn:c2pa:c", 9)
        assert registry.by_payload(9)[0].clip_id == _clip(2).id


def test_concurrent_writers_lose_nothing(url: str) -> None:
    command = [sys.executable, "-c", _WRITER, url]
    writers = [subprocess.Popen([*command, str(100 * number)]) for number in range(2)]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    with Registry(url) as registry:
        assert len(registry) == 50


def test_the_default_lies_in_the_data_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    with Registry() as registry:
        registry.add(_clip(1), "urn:c2pa:a", 1)
    assert (tmp_path / "home" / "registry.sqlite").is_file()


def test_sqlite_keeps_a_write_ahead_log(url: str) -> None:
    with Registry(url):
        engine = sa.create_engine(url)
        with engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        engine.dispose()


@pytest.mark.parametrize("bad", ["nonsense", "sqlite:////proc/none/registry.sqlite"])
def test_a_registry_that_cannot_be_opened_says_so(bad: str) -> None:
    with pytest.raises(ProvenanceError, match="cannot be opened"):
        Registry(bad)


def test_a_password_is_not_shown() -> None:
    with pytest.raises(ProvenanceError) as caught:
        Registry("postgresql://me:secret@localhost:1/none")
    assert "secret" not in str(caught.value)


@pytest.mark.skipif(
    "OBVERSE_TEST_POSTGRES" not in os.environ, reason="no PostgreSQL server is named"
)
def test_postgresql_serves_as_well() -> None:
    with Registry(os.environ["OBVERSE_TEST_POSTGRES"]) as registry:
        clip = _clip(12345)
        payload = registry.payload_for(clip.id)
        registry.add(clip, "urn:c2pa:pg", payload, manifest=b"m")
        assert registry.by_payload(payload)[0].id == "urn:c2pa:pg"
        registry.remove("urn:c2pa:pg")
