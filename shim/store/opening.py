"""From the setting to an open store, or to one sentence on why there is none.

Not here: the URL's place among the settings (`shim.settings`).
"""

from __future__ import annotations

import os
import stat
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from shim.settings import Settings, data_directory
from shim.store.database import Database
from shim.store.faults import StoreFault
from shim.store.schema import check_version, upgrade
from shim.store.sql import Bounds, SqlStore
from shim.store.sqlite import sqlite_database

FILE_NAME = "store.sqlite3"
MEMORY = ":memory:"
POSTGRESQL = ("postgres", "postgresql", "postgresql+asyncpg")
SQLITE = ("sqlite",)

LIBPQ = {"sslmode": "ssl"}
"""Parameters that libpq's URLs name otherwise than asyncpg's."""


async def open_sql_store(settings: Settings) -> SqlStore:
    """See `shim.store.open_store`; there is a database.

    Raises:
        StoreFault: The database is away, or its schema is not ours.
    """
    database = open_database(settings)
    try:
        if database.kind != "postgresql" or settings.store_upgrade:
            await database.write(upgrade, patient=True)
        else:
            await database.read(check_version)
    except BaseException:
        await database.aclose()
        raise
    return SqlStore(
        database, Bounds(settings.retention_days, settings.store_max_bytes, settings.stream_max_bytes)
    )


async def upgrade_sql_store(settings: Settings) -> str | None:
    """See `shim.store.upgrade_store`.

    Raises:
        StoreFault: The database is away, or its schema is newer than ours.
    """
    database = open_database(settings)
    try:
        return await database.write(upgrade, patient=True)
    finally:
        await database.aclose()


def open_database(settings: Settings) -> Database:
    """The database by the setting; connects to nothing yet."""
    if settings.store in ("memory", "sqlite"):
        path = MEMORY if settings.store == "memory" else _private(data_directory() / FILE_NAME, owned=True)
        return sqlite_database(path)
    try:
        url = make_url(settings.store)
    except (ArgumentError, ValueError):
        raise StoreFault(
            "The setting 'store' is no database URL."
        ) from None  # not quoted: it may hold a password
    if url.drivername in SQLITE:
        path = url.database or MEMORY
        return sqlite_database(path if path == MEMORY else _private(Path(path)))
    if url.drivername in POSTGRESQL:
        return _postgresql(url, settings.store_connections)
    raise StoreFault(f"The store cannot be a {url.drivername}: use sqlite, postgresql, memory or off.")


def _postgresql(url: URL, connections: int) -> Database:
    if find_spec("asyncpg") is None:
        raise StoreFault("PostgreSQL needs asyncpg: install grid-responses-shim[postgres].")
    from shim.store.postgresql import postgresql_database  # noqa: PLC0415 -- half of SQLAlchemy, for this alone

    query = {LIBPQ.get(name, name): value for name, value in url.query.items()}
    return postgresql_database(url.set(drivername="postgresql+asyncpg", query=query), connections)


def _private(path: Path, *, owned: bool = False) -> str:
    """Make the file and its folder, for nobody but the user; SQLite gives its side files the same mode.

    Args:
        path: The file.
        owned: The folder is the shim's own, so that its mode is mended as well.

    Raises:
        StoreFault: The file cannot be made.
    """
    try:
        made = not path.parent.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        if made or owned:
            path.parent.chmod(0o700)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            path.chmod(0o600)
    except OSError as error:
        raise StoreFault(f"The store's file {path} cannot be opened: {error.strerror}.") from None
    return str(path)
