"""The registry's tables, and the steps that bring an older database up to them.

Steps go forward only and are never changed once released; a new one is added at the end. The test
`test_an_old_registry_is_brought_up_to_date` starts from the first schema.
"""

import datetime
from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.schema import CreateIndex, CreateTable

from obverse.errors import ProvenanceError

__all__ = ["TABLES", "VERSION", "Manifest", "Mark", "bring_up_to_date"]

_LOCK = 0x6F627665  # any number: what PostgreSQL's writers of the schema wait for


class _Base(orm.DeclarativeBase):
    pass


class Mark(_Base):
    """A payload belongs to one clip, for ever."""

    __tablename__ = "marks"

    # Hexadecimal text: a 64-bit payload does not fit the signed integers of databases.
    payload: orm.Mapped[str] = orm.mapped_column(sa.String(16), primary_key=True)
    clip_id: orm.Mapped[str] = orm.mapped_column(sa.String(64), unique=True)


class Manifest(_Base):
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
    sound: orm.Mapped[bytes | None] = orm.mapped_column(sa.LargeBinary, default=None)
    sketch: orm.Mapped[bytes | None] = orm.mapped_column(sa.LargeBinary, default=None)

    __table_args__ = (sa.Index("ix_manifests_created_id", "created", "id"),)


class _Version(_Base):
    """One row: how far the tables have been brought."""

    __tablename__ = "schema_version"

    version: orm.Mapped[int] = orm.mapped_column(sa.Integer, primary_key=True)


TABLES: tuple[sa.Table, ...] = tuple(
    table for table in _Base.metadata.sorted_tables if table.name != _Version.__tablename__
)


def _add_sound_and_sketch(connection: sa.Connection) -> None:
    kind = sa.LargeBinary().compile(dialect=connection.dialect)
    for column in ("sound", "sketch"):
        connection.exec_driver_sql(f"ALTER TABLE manifests ADD COLUMN {column} {kind}")
    connection.exec_driver_sql(
        "CREATE INDEX IF NOT EXISTS ix_manifests_created_id ON manifests (created, id)"
    )


# What leads from the version before to the one named.
_STEPS: dict[int, Callable[[sa.Connection], None]] = {2: _add_sound_and_sketch}
VERSION = max(_STEPS)


def bring_up_to_date(engine: sa.Engine) -> None:
    """Make the tables, or change those that an older version made; only one process does so.

    Raises:
        ProvenanceError: a newer version made them.
        SQLAlchemyError: the database refuses.
    """
    with engine.connect() as connection:
        if _version(connection) == VERSION:
            return
    # Each statement of SQLite's commits by itself unless a transaction is begun by hand; begun so,
    # it also makes the second process wait.
    by_hand = engine.dialect.name == "sqlite"
    level = {"isolation_level": "AUTOCOMMIT"} if by_hand else {}
    with engine.connect().execution_options(**level) as connection:
        if by_hand:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        elif engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        try:
            _change(connection)
        except BaseException:
            if by_hand:
                connection.exec_driver_sql("ROLLBACK")
            raise
        if by_hand:
            connection.exec_driver_sql("COMMIT")
        else:
            connection.commit()


def _version(connection: sa.Connection) -> int:
    """Return 0 where there are no tables, 1 where they were made before versions were counted."""
    tables = set(sa.inspect(connection).get_table_names())
    if _Version.__tablename__ in tables:
        return int(connection.scalar(sa.select(sa.func.max(_Version.version))) or 1)
    return 1 if Manifest.__tablename__ in tables else 0


def _change(connection: sa.Connection) -> None:
    found = _version(connection)
    if found > VERSION:
        raise ProvenanceError(
            f"the registry was made by a newer obverse (schema {found}, this one knows {VERSION}); "
            "update obverse."
        )
    if found == 0:
        for table in _Base.metadata.sorted_tables:
            connection.execute(CreateTable(table))
            for index in table.indexes:
                connection.execute(CreateIndex(index))
    else:
        connection.execute(CreateTable(_Base.metadata.tables["schema_version"], if_not_exists=True))
        for version in range(found + 1, VERSION + 1):
            _STEPS[version](connection)
    connection.execute(sa.delete(_Version))
    connection.execute(sa.insert(_Version).values(version=VERSION))
