"""The registry: which marks were given to which clips, and the manifests that were signed for them.

A manifest is easily stripped from a file; the mark is not. The registry leads from a mark's payload
back to the manifest, and from what a clip shows or says where no mark can be read. SQLite in the
user's data directory by default, PostgreSQL by URL: `OBVERSE_REGISTRY` names another.
"""

import dataclasses
import datetime
import hashlib
import itertools
import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql, sqlite

from obverse.clip import Clip
from obverse.errors import OutputExistsError, ProvenanceError
from obverse.provenance import schema
from obverse.provenance.home import data_directory
from obverse.provenance.nearest import WORD_BYTES, distance, near_words
from obverse.provenance.schema import Manifest, Mark

__all__ = [
    "REGISTRY_VARIABLE",
    "ManifestRecord",
    "Neighbour",
    "Registry",
    "RegistryStats",
    "payload_candidate",
]

REGISTRY_VARIABLE = "OBVERSE_REGISTRY"

_FILE = "registry.sqlite"
_BUSY_SECONDS = 30
_LOCK_PAUSE_SECONDS = 0.02
_PAYLOAD_BYTES = 8
_MAX_ATTEMPTS = 16
_BATCH = 500  # rows that are held in memory at once

Kind = Literal["picture", "sound"]


@dataclasses.dataclass(frozen=True, slots=True)
class ManifestRecord:
    """One registered manifest."""

    id: str  # the manifest's label, urn:c2pa:...
    clip_id: str
    payload: int  # 64 bits
    sha256: str  # of the released file
    created: datetime.datetime  # UTC
    manifest: bytes  # the C2PA manifest store
    label: Mapping[str, Any]  # the clip's row
    fingerprint: bytes | None  # 8 bytes for each second of picture
    sound: bytes | None = None  # 4 bytes for each 40 ms of sound
    sketch: bytes | None = None  # `obverse.watermark.sketch`, compressed


@dataclasses.dataclass(frozen=True, slots=True)
class Neighbour:
    """A registered clip that is like one that was shown."""

    record: ManifestRecord
    distance: float  # the share of bits that differ


@dataclasses.dataclass(frozen=True, slots=True)
class RegistryStats:
    """What a registry holds."""

    url: str  # without a password
    schema: int
    marks: int
    manifests: int
    fingerprints: int
    sounds: int
    sketches: int
    manifest_bytes: int
    oldest: datetime.datetime | None
    newest: datetime.datetime | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        times = {"oldest": self.oldest, "newest": self.newest}
        shown = {name: value.isoformat() if value else None for name, value in times.items()}
        return dataclasses.asdict(self) | shown


def payload_candidate(clip_id: str, attempt: int = 0) -> int:
    """Return a clip's 64-bit payload: a hash of its id, the same on any machine."""
    digest = hashlib.sha256(f"obverse mark\n{clip_id}\n{attempt}".encode()).digest()
    return int.from_bytes(digest[:_PAYLOAD_BYTES], "big")


class Registry:
    """Marks and manifests in a database; threads may share one, each process opens its own."""

    def __init__(self, url: str | None = None) -> None:
        """Open a registry, making its tables on first use.

        Args:
            url: an SQLAlchemy URL (`sqlite:///FILE`, `postgresql+psycopg://...`); None is what
                `OBVERSE_REGISTRY` names, else the user's own SQLite file.

        Raises:
            ProvenanceError: the database cannot be opened, or a newer version made it.
        """
        self._url = (
            url or os.environ.get(REGISTRY_VARIABLE) or f"sqlite:///{data_directory() / _FILE}"
        )
        try:
            parsed = sa.make_url(self._url)
            if parsed.drivername == "postgresql":  # the driver that we name as a dependency
                parsed = parsed.set(drivername="postgresql+psycopg")
            self._shown = parsed.render_as_string(hide_password=True)  # fit for messages
            self._engine = sa.create_engine(parsed, **_options(parsed))
            if self._engine.dialect.name == "sqlite":
                sa.event.listen(self._engine, "connect", _tune_sqlite)
            try:
                schema.bring_up_to_date(self._engine)
            except BaseException:
                self._engine.dispose()
                raise
        except (sa.exc.SQLAlchemyError, ImportError, OSError) as error:
            shown = getattr(self, "_shown", self._url)
            raise ProvenanceError(
                f"the registry {shown} cannot be opened: {_reason(error)}; give an SQLAlchemy URL."
            ) from error

    def __enter__(self) -> Self:
        """Return the registry."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the registry."""
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def payload_for(self, clip_id: str) -> int:
        """Return the payload that a clip has or will get; nothing is written.

        Raises:
            ProvenanceError: the registry cannot be read.
        """
        with self._session() as session:
            given = session.scalar(sa.select(Mark.payload).where(Mark.clip_id == clip_id))
            if given is not None:
                return int(given, 16)
            for attempt in range(_MAX_ATTEMPTS):
                payload = payload_candidate(clip_id, attempt)
                if session.get(Mark, _hex(payload)) is None:
                    return payload
        raise ProvenanceError(
            f"no free payload was found for clip {clip_id} in {_MAX_ATTEMPTS} attempts."
        )

    def add(
        self,
        clip: Clip,
        manifest_id: str,
        payload: int,
        *,
        manifest: bytes = b"",
        fingerprint: bytes | None = None,
        sound: bytes | None = None,
        sketch: bytes | None = None,
    ) -> ManifestRecord:
        """Register a signed clip; concurrent writers wait for each other.

        Args:
            clip: what is known of the clip.
            manifest_id: the manifest's label.
            payload: the mark's 64 bits.
            manifest: the C2PA manifest store.
            fingerprint: 8 bytes for each second of picture.
            sound: 4 bytes for each word of sound.
            sketch: pictures by which a crop is told.

        Raises:
            ProvenanceError: the payload belongs to another clip, the manifest is registered
                already, or the database refuses.
        """
        row = Manifest(
            id=manifest_id,
            clip_id=clip.id,
            payload=_hex(payload),
            sha256=clip.sha256 or "",
            created=datetime.datetime.now(datetime.UTC),
            manifest=manifest,
            label=json.dumps(dataclasses.asdict(clip), sort_keys=True),
            fingerprint=fingerprint,
            sound=sound,
            sketch=sketch,
        )
        mark = {"payload": row.payload, "clip_id": clip.id}
        insert = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        with self._session() as session:
            # The first statement writes, so that SQLite takes the write lock at once and nobody
            # deadlocks.
            session.execute(insert(Mark).values(mark).on_conflict_do_nothing())
            owner = session.scalar(sa.select(Mark.clip_id).where(Mark.payload == row.payload))
            if owner != clip.id:
                raise ProvenanceError(
                    f"payload {row.payload} cannot be given to clip {clip.id}: "
                    "it or its clip is registered otherwise."
                )
            session.add(row)
            session.flush()
            record = _record(row)
            session.commit()
        return record

    def remove(self, manifest_id: str) -> None:
        """Forget a manifest, and its mark when no other manifest carries it."""
        with self._session() as session:
            payload = session.scalar(
                sa.delete(Manifest).where(Manifest.id == manifest_id).returning(Manifest.payload)
            )
            if payload is not None:
                used = sa.select(Manifest.id).where(Manifest.payload == payload).exists()
                session.execute(sa.delete(Mark).where(Mark.payload == payload, ~used))
            session.commit()

    def by_payload(
        self, payload: int, *, limit: int | None = None, offset: int = 0
    ) -> list[ManifestRecord]:
        """Return the manifests of the clip that carries a mark, the newest first."""
        query = sa.select(Manifest).where(Manifest.payload == _hex(payload))
        query = query.order_by(Manifest.created.desc(), Manifest.id).limit(limit).offset(offset)
        with self._session() as session:
            return [_record(row) for row in session.scalars(query)]

    def by_manifest(self, manifest_id: str) -> ManifestRecord | None:
        """Return a manifest by its label, or None."""
        with self._session() as session:
            row = session.get(Manifest, manifest_id)
            return None if row is None else _record(row)

    def page(self, *, limit: int = 100, after: str | None = None) -> list[ManifestRecord]:
        """Return manifests, the oldest first; `after` is the last one's label of the page before.

        A page stays the same while others register more.

        Raises:
            ProvenanceError: no manifest of the label `after` is registered.
        """
        query = sa.select(Manifest).order_by(Manifest.created, Manifest.id).limit(limit)
        with self._session() as session:
            if after is not None:
                last = session.get(Manifest, after)
                if last is None:
                    raise ProvenanceError(f"no manifest {after} is registered; begin a new list.")
                later = Manifest.created > last.created
                beside = sa.and_(Manifest.created == last.created, Manifest.id > last.id)
                query = query.where(sa.or_(later, beside))
            return [_record(row) for row in session.scalars(query)]

    def nearest(
        self, fingerprint: bytes, kind: Kind, *, at_most: float, limit: int = 10
    ) -> list[Neighbour]:
        """Return the clips that are like a fingerprint, the nearest first.

        Args:
            fingerprint: of the picture (8 bytes a word) or the sound (4 bytes a word).
            kind: of which.
            at_most: the distance that is still near; what it means for false matches, the module
                that makes the fingerprint says.
            limit: of the answer.

        All fingerprints are looked through (nothing that is near is missed): the time grows with
        the registry, see docs/provenance.md.

        Raises:
            ProvenanceError: the fingerprint is empty or of another width.
        """
        width = WORD_BYTES[kind]
        if not fingerprint or len(fingerprint) % width:
            raise ProvenanceError(
                f"a fingerprint of the {kind} has {width} bytes a word, this one "
                f"{len(fingerprint)} in all; give a whole one."
            )
        column = Manifest.fingerprint if kind == "picture" else Manifest.sound
        found: list[tuple[float, str]] = []
        query = sa.select(Manifest.id, column).where(column.is_not(None))
        with self._session() as session:
            rows = session.execute(query.execution_options(yield_per=_BATCH))
            while batch := list(itertools.islice(rows, _BATCH)):
                candidates = [value or b"" for _, value in batch]
                # A word of sound is short: nearly every recording holds one that is near.
                near_ones = (
                    near_words(fingerprint, candidates, width, at_most)
                    if kind == "picture"
                    else range(len(candidates))
                )
                for index in near_ones:
                    away = distance(fingerprint, candidates[index], width)
                    if away <= at_most:
                        found.append((away, batch[index][0]))
            near = sorted(found)[:limit]
            records = {
                row.id: _record(row)
                for row in session.scalars(
                    sa.select(Manifest).where(Manifest.id.in_([each for _, each in near]))
                )
            }
        return [Neighbour(records[name], away) for away, name in near if name in records]

    def stats(self) -> RegistryStats:
        """Count what the registry holds."""
        count = sa.func.count
        query = sa.select(
            count(Manifest.id),
            count(Manifest.fingerprint),
            count(Manifest.sound),
            count(Manifest.sketch),
            sa.func.coalesce(sa.func.sum(sa.func.length(Manifest.manifest)), 0),
            sa.func.min(Manifest.created),
            sa.func.max(Manifest.created),
        )
        with self._session() as session:
            manifests, fingerprints, sounds, sketches, size, oldest, newest = session.execute(
                query
            ).one()
            marks = session.scalar(sa.select(count(Mark.payload))) or 0
        return RegistryStats(
            url=self._shown,
            schema=schema.VERSION,
            marks=marks,
            manifests=manifests,
            fingerprints=fingerprints,
            sounds=sounds,
            sketches=sketches,
            manifest_bytes=int(size),
            oldest=None if oldest is None else _utc(oldest),
            newest=None if newest is None else _utc(newest),
        )

    def backup(self, destination: Path, *, force: bool = False) -> int:
        """Write all of the registry into one SQLite file and return the number of its manifests.

        Others may write meanwhile: the copy is of one moment. It is a registry itself
        (`sqlite:///FILE`), whichever database it came from.

        Raises:
            OutputExistsError: the destination exists and `force` is not set.
            ProvenanceError: it cannot be written, or the database refuses.
        """
        if destination.exists() and not force:
            raise OutputExistsError(f"{destination} exists already; pass --force to replace it.")
        try:
            with tempfile.TemporaryDirectory(prefix=".backup-", dir=destination.parent) as folder:
                draft = Path(folder) / "registry.sqlite"
                if self._engine.dialect.name == "sqlite":
                    self._copy_file(draft)
                else:
                    with Registry(f"sqlite:///{draft}") as copy:
                        copy.take_in(self)
                with Registry(f"sqlite:///{draft}") as copy:
                    held = len(copy)
                    with copy._engine.connect() as connection:
                        connection.exec_driver_sql("PRAGMA journal_mode = DELETE")
                os.replace(draft, destination)
        except OSError as error:
            raise ProvenanceError(
                f"the backup {destination} cannot be written ({error.strerror}); "
                "give another place."
            ) from error
        return held

    def _copy_file(self, draft: Path) -> None:
        with self._engine.connect() as connection:
            source: Any = connection.connection.driver_connection
            target = sqlite3.connect(draft)
            try:
                source.backup(target)
            except sqlite3.Error as error:
                raise ProvenanceError(
                    f"the registry {self._shown} cannot be copied: {error}."
                ) from error
            finally:
                target.close()

    def take_in(self, other: "Registry") -> None:
        """Copy everything that another registry holds into this one, which is empty.

        Raises:
            ProvenanceError: a database refuses.
        """
        with self._session() as into, other._session() as session:
            if other._engine.dialect.name == "postgresql":  # one moment for both tables
                session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            for table in schema.TABLES:  # marks first, for manifests refer to them
                for rows in session.execute(sa.select(table)).partitions(_BATCH):
                    into.execute(sa.insert(table), [dict(row._mapping) for row in rows])
            into.commit()

    def __len__(self) -> int:
        """Return the number of registered manifests."""
        with self._session() as session:
            return session.scalar(sa.select(sa.func.count()).select_from(Manifest)) or 0

    def _session(self) -> "_Session":
        return _Session(self._engine, self._shown)


class _Session:
    """A session whose database errors become one sentence."""

    def __init__(self, engine: sa.Engine, shown: str) -> None:
        self._shown = shown
        self._session = orm.Session(engine)

    def __enter__(self) -> orm.Session:
        return self._session

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._session.close()
        if isinstance(value, sa.exc.SQLAlchemyError):
            raise ProvenanceError(
                f"the registry {self._shown} refuses: {_reason(value)}."
            ) from value


def _options(url: sa.URL) -> dict[str, Any]:
    if url.get_backend_name() != "sqlite":
        return {"pool_pre_ping": True}
    database = url.database
    if database and database != ":memory:":
        Path(database).expanduser().parent.mkdir(parents=True, exist_ok=True)
    return {"connect_args": {"timeout": _BUSY_SECONDS}}


def _tune_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1000}")
    _keep_a_write_ahead_log(cursor)
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _keep_a_write_ahead_log(cursor: Any) -> None:
    """Switch the journal, once for a file; SQLite does not wait for its lock there by itself."""
    until = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(_LOCK_PAUSE_SECONDS)
        else:
            return


def _reason(error: BaseException) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]


def _hex(payload: int) -> str:
    if not 0 <= payload < 1 << 8 * _PAYLOAD_BYTES:
        raise ProvenanceError(f"payload {payload} does not fit 64 bits.")
    return f"{payload:016x}"


def _record(row: Manifest) -> ManifestRecord:
    return ManifestRecord(
        id=row.id,
        clip_id=row.clip_id,
        payload=int(row.payload, 16),
        sha256=row.sha256,
        created=_utc(row.created),
        manifest=row.manifest,
        label=json.loads(row.label),
        fingerprint=row.fingerprint,
        sound=row.sound,
        sketch=row.sketch,
    )


def _utc(moment: datetime.datetime) -> datetime.datetime:
    # SQLite keeps no time zone; what we write is always UTC.
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
