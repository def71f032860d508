import contextlib
import hashlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from obverse.clip import Clip
from obverse.errors import OutputExistsError, ProvenanceError
from obverse.provenance import registry as module
from obverse.provenance import schema
from obverse.provenance.home import HOME_VARIABLE
from obverse.provenance.nearest import distance
from obverse.provenance.registry import REGISTRY_VARIABLE, Registry, payload_candidate
from obverse.watermark.fingerprint import Fingerprint, compare


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


# What the first version made, as its own statements were.
_FIRST_SCHEMA = """
CREATE TABLE marks (
    payload VARCHAR(16) NOT NULL, clip_id VARCHAR(64) NOT NULL,
    PRIMARY KEY (payload), UNIQUE (clip_id)
);
CREATE TABLE manifests (
    id VARCHAR(128) NOT NULL, clip_id VARCHAR(64) NOT NULL, payload VARCHAR(16) NOT NULL,
    sha256 VARCHAR(64) NOT NULL, created DATETIME NOT NULL, manifest BLOB NOT NULL,
    label TEXT NOT NULL, fingerprint BLOB,
    PRIMARY KEY (id), FOREIGN KEY(payload) REFERENCES marks (payload)
);
CREATE INDEX ix_manifests_clip_id ON manifests (clip_id);
CREATE INDEX ix_manifests_payload ON manifests (payload);
CREATE INDEX ix_manifests_sha256 ON manifests (sha256);
INSERT INTO marks VALUES ('0000000000000007', 'aa');
INSERT INTO manifests VALUES (
    'urn:c2pa:old', 'aa', '0000000000000007', '', '2026-11-20 10:00:00.000000', x'6d', '{}', NULL
);
"""


def _columns(path: Path) -> dict[str, list[tuple[str, str]]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return {
            table: sorted(
                (name, kind)
                for _, name, kind, *_ in connection.execute(f"PRAGMA table_info({table})")
            )
            for table in ("marks", "manifests", "schema_version")
        }


def test_an_old_registry_is_brought_up_to_date(tmp_path: Path) -> None:
    old, fresh = tmp_path / "old.sqlite", tmp_path / "fresh.sqlite"
    with contextlib.closing(sqlite3.connect(old)) as connection:
        connection.executescript(_FIRST_SCHEMA)
    with Registry(f"sqlite:///{old}") as registry:
        assert registry.by_payload(7)[0].id == "urn:c2pa:old"
        assert registry.by_payload(7)[0].created.year == 2026
        registry.add(_clip(1), "urn:c2pa:new", 1, sound=b"abcd", sketch=b"s")
        assert registry.by_payload(1)[0].sound == b"abcd"
        assert registry.stats().schema == schema.VERSION
    with Registry(f"sqlite:///{old}") as again:
        assert len(again) == 2
    with Registry(f"sqlite:///{fresh}"):
        pass
    assert _columns(old) == _columns(fresh)


def test_a_step_that_fails_leaves_the_registry_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "old.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(_FIRST_SCHEMA)
    before = _columns(path)

    def breaks(connection: sa.Connection) -> None:
        connection.exec_driver_sql("ALTER TABLE manifests ADD COLUMN half BLOB")
        connection.exec_driver_sql("no statement at all")

    with monkeypatch.context() as patch:
        patch.setitem(schema._STEPS, 2, breaks)
        with pytest.raises(ProvenanceError, match="cannot be opened"):
            Registry(f"sqlite:///{path}")
    assert _columns(path) == before
    with Registry(f"sqlite:///{path}") as registry:
        assert len(registry) == 1


def test_a_registry_of_a_newer_version_is_left_alone(url: str) -> None:
    with Registry(url):
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE schema_version SET version = 99")
        engine.dispose()
    with pytest.raises(ProvenanceError, match=r"schema 99.*update obverse"):
        Registry(url)


def test_processes_that_upgrade_at_once_agree(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(_FIRST_SCHEMA)
    command = [sys.executable, "-c", _WRITER, f"sqlite:///{path}"]
    writers = [subprocess.Popen([*command, str(100 * number)]) for number in range(1, 4)]
    assert [writer.wait(120) for writer in writers] == [0, 0, 0]
    with Registry(f"sqlite:///{path}") as registry:
        assert len(registry) == 76


def _word(number: int) -> bytes:
    """A word far from all others: its bits are a hash's."""
    return hashlib.sha256(str(number).encode()).digest()[:8]


def _flip(data: bytes, bits: int) -> bytes:
    return (int.from_bytes(data, "big") ^ ((1 << bits) - 1)).to_bytes(len(data), "big")


def _fill(registry: Registry, count: int) -> None:
    for number in range(count):
        shown = b"".join(_word(10 * number + second) for second in range(1 + number % 4))
        registry.add(
            _clip(number), f"urn:c2pa:{number:03}", number + 1, manifest=b"m" * number,
            fingerprint=shown if number % 5 else None, sound=_word(number) * 8,
        )  # fmt: skip


def test_a_neighbour_is_found_and_a_stranger_is_not(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BATCH", 3)
    with Registry(url) as registry:
        _fill(registry, 12)
        whole = b"".join(_word(70 + second) for second in range(4))
        (found,) = registry.nearest(_flip(whole, 8), "picture", at_most=0.18)
        assert (found.record.id, found.distance) == ("urn:c2pa:007", 8 / 256)
        # A cut of it, and one that begins earlier.
        assert registry.nearest(whole[8:24], "picture", at_most=0.1)[0].distance == 0
        assert registry.nearest(_word(999) + whole[:16], "picture", at_most=0.1)[0].distance == 0
        assert registry.nearest(_word(12345), "picture", at_most=0.18) == []
        assert registry.nearest(_word(4) * 8, "sound", at_most=0.2)[0].record.id == "urn:c2pa:004"
        everything = registry.nearest(whole, "picture", at_most=1.0, limit=5)
        assert everything[0].record.id == "urn:c2pa:007"
        assert len(everything) == 5
        assert sorted(each.distance for each in everything) == [e.distance for e in everything]
        for bad in (b"", b"123"):
            with pytest.raises(ProvenanceError, match="bytes a word"):
                registry.nearest(bad, "sound", at_most=0.2)


@given(st.data())
def test_the_distance_is_that_of_the_fingerprint(data: st.DataObject) -> None:
    words = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=6)
    one, other = data.draw(words), data.draw(words)
    raw = [b"".join(word.to_bytes(8, "big") for word in each) for each in (one, other)]
    expected = compare(Fingerprint(tuple(one)), Fingerprint(tuple(other)))
    assert distance(raw[0], raw[1], 8) == pytest.approx(expected)


def test_pages_follow_each_other(url: str) -> None:
    with Registry(url) as registry:
        _fill(registry, 7)
        seen: list[str] = []
        after = None
        while page := registry.page(limit=3, after=after):
            seen += [record.id for record in page]
            after = page[-1].id
            if len(seen) == 3:  # one that comes in between is at the end, and none is seen twice
                registry.add(_clip(50), "urn:c2pa:a", 99)
        assert seen == [f"urn:c2pa:{number:03}" for number in range(7)] + ["urn:c2pa:a"]
        with pytest.raises(ProvenanceError, match="begin a new list"):
            registry.page(after="urn:c2pa:none")
        for version in ("x", "y", "z"):
            registry.add(_clip(50), f"urn:c2pa:{version}", 99)
        assert len(registry.by_payload(99)) == 4
        assert [r.id for r in registry.by_payload(99, limit=2, offset=1)] == [
            "urn:c2pa:y", "urn:c2pa:x",
        ]  # fmt: skip


def test_a_backup_is_a_registry(url: str, tmp_path: Path) -> None:
    target = tmp_path / "backup.sqlite"
    with Registry(url) as registry:
        _fill(registry, 6)
        assert registry.backup(target) == 6
        with pytest.raises(OutputExistsError):
            registry.backup(target)
        registry.add(_clip(40), "urn:c2pa:more", 40)
        assert registry.backup(target, force=True) == 7
        expected = registry.page()
        with pytest.raises(ProvenanceError, match="cannot be written"):
            registry.backup(tmp_path / "none" / "b.sqlite")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.sqlite", "deep"]
    with Registry(f"sqlite:///{target}") as copy:
        assert copy.page() == expected
        assert copy.payload_for(_clip(3).id) == 4


def test_rows_are_copied_as_a_file_is(url: str, tmp_path: Path) -> None:
    with Registry(url) as registry:
        _fill(registry, 4)
        with Registry(f"sqlite:///{tmp_path / 'copy.sqlite'}") as copy:
            copy.take_in(registry)
            assert copy.page() == registry.page()


def test_what_a_registry_holds_is_counted(url: str) -> None:
    with Registry(url) as registry:
        assert registry.stats().oldest is None
        _fill(registry, 6)
        stats = registry.stats().to_dict()
    assert stats["manifests"] == stats["marks"] == stats["sounds"] == 6
    assert stats["fingerprints"] == 4
    assert stats["sketches"] == 0
    assert stats["manifest_bytes"] == 15
    assert stats["oldest"] <= stats["newest"]


def test_the_environment_names_a_registry(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REGISTRY_VARIABLE, url)
    with Registry() as registry:
        registry.add(_clip(1), "urn:c2pa:a", 1)
        assert registry.stats().url == url


@pytest.fixture
def postgres() -> Iterator[str]:
    """Yield a PostgreSQL server's address; tables of a former run are dropped."""
    address = os.environ.get("OBVERSE_TEST_POSTGRES_URL")
    if address is None:
        pytest.skip("OBVERSE_TEST_POSTGRES_URL names no PostgreSQL server")
    engine = sa.create_engine(address)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE IF EXISTS manifests, marks, schema_version")
    yield address
    engine.dispose()


def test_postgresql_serves_as_well(postgres: str, tmp_path: Path) -> None:
    with Registry(postgres) as registry:
        _fill(registry, 6)
        assert registry.by_payload(3)[0].manifest == b"mm"
        assert registry.by_payload(3)[0].created.tzinfo is not None
        with pytest.raises(ProvenanceError, match="registered otherwise"):
            registry.add(_clip(9), "urn:c2pa:x", 3)
        assert registry.nearest(_word(4) * 8, "sound", at_most=0.1)[0].record.clip_id == _clip(4).id
        first = registry.page(limit=4)
        rest = registry.page(limit=4, after=first[-1].id)
        assert [len(first), len(rest)] == [4, 2]
        assert registry.stats().manifest_bytes == 15
        assert registry.backup(tmp_path / "copy.sqlite") == 6
        with Registry(f"sqlite:///{tmp_path / 'copy.sqlite'}") as copy:
            assert copy.page() == registry.page()
        registry.remove("urn:c2pa:002")
        assert registry.by_payload(3) == []


def test_postgresql_takes_writers_and_upgrades_at_once(postgres: str) -> None:
    engine = sa.create_engine(postgres)
    with engine.begin() as connection:
        for statement in _FIRST_SCHEMA.replace("DATETIME", "TIMESTAMP WITH TIME ZONE").replace(
            "BLOB", "BYTEA"
        ).replace("x'6d'", "'m'").split(";")[:-1]:  # fmt: skip
            connection.exec_driver_sql(statement)
    engine.dispose()
    command = [sys.executable, "-c", _WRITER, postgres]
    writers = [subprocess.Popen([*command, str(100 * number)]) for number in range(1, 4)]
    assert [writer.wait(120) for writer in writers] == [0, 0, 0]
    with Registry(postgres) as registry:
        assert len(registry) == 76


def test_many_may_open_a_registry_that_is_not_there_yet(tmp_path: Path) -> None:
    # Processes that meet in the moment in which the file gets its journal.
    for attempt in range(8):
        url = f"sqlite:///{tmp_path / f'{attempt}.sqlite'}"
        with ThreadPoolExecutor(6) as pool:
            opened = list(pool.map(lambda _, url=url: Registry(url), range(6)))
        for registry in opened:
            registry.close()
