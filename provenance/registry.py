"""The registry: which marks were given to which clips, and the manifests that were signed for them.

A manifest is easily stripped from a file; the mark is not. The registry leads from a mark's payload
back to the manifest. SQLite in the user's data directory by default, PostgreSQL by URL.
"""

import dataclasses
import datetime
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from obverse.clip import Clip
from obverse.errors import ProvenanceError
from obverse.provenance.home import data_directory

__all__ = ["ManifestRecord", "Registry", "payload_candidate"]

_FILE = "registry.sqlite"
_BUSY_SECONDS = 30
_PAYLOAD_BYTES = 8
_MAX_ATTEMPTS = 16


class _Base(orm.DeclarativeBase):
    pass


class _Mark(_Base):
    """A payload belongs to one clip, for ever."""

    __tablename__ = "marks"

    # Hexadecimal text: a 64-bit payload does not fit the signed integers of databases.
    payload: orm.Mapped[str] = orm.mapped_column(sa.String(16), primary_key=True)
    clip_id: orm.Mapped[str] = orm.mapped_column(sa.String(64), unique=True)


class _Manifest(_Base):
    """A manifest as it was signed. A clip that is released again has several."""

    __tablename__ = "manifests"

    id: orm.Mapped[str] = orm.mapped_column(sa.String(128), primary_key=True)
    clip_id: orm.Mapped[str] = orm.mapped_column(sa.String(64), index=True)
    payload: orm.Mapped[str] = orm.mapped_column(sa.ForeignKey("marks.payload"), index=True)
    sha256: orm.Mapped[str] = orm.mapped_column(sa.String(64), index=True)
    created: orm.Mapped[datetime.datetime] = orm.mapped_column(sa.DateTime(timezone=True))
    manifest: orm.Mapped[bytes] = orm.mapped_column(sa.LargeBinary)
    label: orm.Mapped[str] = orm.mapped_column(sa.Text)
    fingerprint: orm.Mapped[bytes | None] = orm.mapped_column(sa.LargeBinary, default=None)


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
    fingerprint: bytes | None


def payload_candidate(clip_id: str, attempt: int = 0) -> int:
    """Return a clip's 64-bit payload: a hash of its id, the same on any machine."""
    digest = hashlib.sha256(f"obverse mark\n{clip_id}\n{attempt}".encode()).digest()
    return int.from_bytes(digest[:_PAYLOAD_BYTES], "big")


class Registry:
    """Marks and manifests in a database; threads may share one, each process opens its own."""

    def __init__(self, url: str | None = None) -> None:
        """Open a registry, making its tables on first use.

        Args:
            url: an SQLAlchemy URL (`sqlite:///FILE`, `postgresql+psycopg://...`); None is the
                user's own SQLite file.

        Raises:
            ProvenanceError: the database cannot be opened.
        """
        self._url = url or f"sqlite:///{data_directory() / _FILE}"
        try:
            parsed = sa.make_url(self._url)
            self._shown = parsed.render_as_string(hide_password=True)  # fit for messages
            self._engine = sa.create_engine(parsed, **_options(parsed))
            if self._engine.dialect.name == "sqlite":
                sa.event.listen(self._engine, "connect", _tune_sqlite)
            with self._engine.begin() as connection:
                for table in _Base.metadata.sorted_tables:
                    # IF NOT EXISTS and not a look beforehand: two processes may come here at once.
                    connection.execute(CreateTable(table, if_not_exists=True))
                    for index in table.indexes:
                        connection.execute(CreateIndex(index, if_not_exists=True))
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
            given = session.scalar(sa.select(_Mark.payload).where(_Mark.clip_id == clip_id))
            if given is not None:
                return int(given, 16)
            for attempt in range(_MAX_ATTEMPTS):
                payload = payload_candidate(clip_id, attempt)
                if session.get(_Mark, _hex(payload)) is None:
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
    ) -> ManifestRecord:
        """Register a signed clip; concurrent writers wait for each other.

        Raises:
            ProvenanceError: the payload belongs to another clip, the manifest is registered
                already, or the database refuses.
        """
        row = _Manifest(
            id=manifest_id,
            clip_id=clip.id,
            payload=_hex(payload),
            sha256=clip.sha256 or "",
            created=datetime.datetime.now(datetime.UTC),
            manifest=manifest,
            label=json.dumps(dataclasses.asdict(clip), sort_keys=True),
            fingerprint=fingerprint,
        )
        mark = {"payload": row.payload, "clip_id": clip.id}
        insert = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        with self._session() as session:
            # The first statement writes, so that SQLite takes the write lock at once and nobody
            # deadlocks.
            session.execute(insert(_Mark).values(mark).on_conflict_do_nothing())
            owner = session.scalar(sa.select(_Mark.clip_id).where(_Mark.payload == row.payload))
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
                sa.delete(_Manifest).where(_Manifest.id == manifest_id).returning(_Manifest.payload)
            )
            if payload is not None:
                used = sa.select(_Manifest.id).where(_Manifest.payload == payload).exists()
                session.execute(sa.delete(_Mark).where(_Mark.payload == payload, ~used))
            session.commit()

    def by_payload(self, payload: int) -> list[ManifestRecord]:
        """Return the manifests of the clip that carries a mark, the newest first."""
        query = sa.select(_Manifest).where(_Manifest.payload == _hex(payload))
        with self._session() as session:
            return [
                _record(row) for row in session.scalars(query.order_by(_Manifest.created.desc()))
            ]

    def by_manifest(self, manifest_id: str) -> ManifestRecord | None:
        """Return a manifest by its label, or None."""
        with self._session() as session:
            row = session.get(_Manifest, manifest_id)
            return None if row is None else _record(row)

    def __len__(self) -> int:
        """Return the number of registered manifests."""
        with self._session() as session:
            return session.scalar(sa.select(sa.func.count()).select_from(_Manifest)) or 0

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
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _reason(error: BaseException) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]


def _hex(payload: int) -> str:
    if not 0 <= payload < 1 << 8 * _PAYLOAD_BYTES:
        raise ProvenanceError(f"payload {payload} does not fit 64 bits.")
    return f"{payload:016x}"


def _record(row: _Manifest) -> ManifestRecord:
    # SQLite keeps no time zone; what we write is always UTC.
    created = row.created if row.created.tzinfo else row.created.replace(tzinfo=datetime.UTC)
    return ManifestRecord(
        id=row.id,
        clip_id=row.clip_id,
        payload=int(row.payload, 16),
        sha256=row.sha256,
        created=created,
        manifest=row.manifest,
        label=json.loads(row.label),
        fingerprint=row.fingerprint,
    )
