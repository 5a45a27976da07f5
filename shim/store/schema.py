"""The schema's version and how it is reached: alembic, from inside the package.

Not here: the steps themselves (`shim/store/migrations/versions`) and the tables as they are now (`shim.store.tables`).
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    insert,
    inspect,
    text,
)

from shim.store.faults import StoreFault
from shim.store.tables import metadata

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0004"
"""The newest step. It stands here so that opening a new or up-to-date store needs no alembic, which takes 11 MB."""

FOLDER = Path(__file__).parent / "migrations"

UPGRADE_LOCK = 0x6772_6964
"""PostgreSQL's advisory lock under which one process at a time upgrades."""


_VERSIONS = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""Where alembic keeps the schema's version."""

_ONE_AT_A_TIME = Lock()
"""Alembic keeps its state in module variables, and SQLite's work runs in threads."""


def alembic_config() -> Config:
    """Alembic's configuration, without a file."""
    from alembic.config import Config  # noqa: PLC0415 -- costs a tenth of a second, needed once a release

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def current_version(connection: Connection) -> str | None:
    """The version of the schema; None if there is none."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return version


def check_version(connection: Connection) -> None:
    """Refuse a schema that is not ours.

    Raises:
        StoreFault: It is missing, older or newer; the message says what to do.
    """
    found = current_version(connection)
    if found == HEAD:
        return
    if found is None:
        raise StoreFault("The store's database has no schema yet: run `grid-shim db upgrade` once.")
    if found > HEAD:
        raise StoreFault(f"The store's schema ({found}) is newer than this version of grid-shim: update it.")
    raise StoreFault(f"The store's schema ({found}) is older than {HEAD}: run `grid-shim db upgrade`.")


def upgrade(connection: Connection) -> str | None:
    """Bring the schema to `HEAD` within the connection's transaction; the version before, None if there was none."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": UPGRADE_LOCK})
    before = current_version(connection)
    if before is not None and before > HEAD:
        check_version(connection)
    if before is None:
        _create(connection)
    elif before != HEAD:
        with _ONE_AT_A_TIME if connection.dialect.name == "sqlite" else nullcontext():
            step_by_step(connection)
    return before


def _create(connection: Connection) -> None:
    """All tables as they are now, at once."""
    metadata.create_all(connection, checkfirst=False)
    _VERSIONS.create(connection)
    connection.execute(insert(_VERSIONS), {"version_num": HEAD})


def step_by_step(connection: Connection, to: str = "head") -> None:
    """The steps that are still to be taken, up to one of them."""
    from alembic import command  # noqa: PLC0415

    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, to)
