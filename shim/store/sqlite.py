"""SQLite: work runs in threads, each with its connection.

Through an asynchronous driver every statement is several hops between threads, which measured three to five times the
cost of the statements. Writers queue before one connection and begin with BEGIN IMMEDIATE, so that none finds its
snapshot stale; readers have connections of their own and WAL lets them pass.
"""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

from shim.store.database import POOL_SECONDS, TROUBLES, Database, Work, said
from shim.store.faults import StoreFault

T = TypeVar("T")

GONE = "The store's file was deleted or replaced: restart the endpoint."

SQLITE_READERS = 4
"""Connections that read an SQLite file; each has a thread."""

BUSY_SECONDS = 15
"""How long SQLite waits for another process's transaction."""

WAL_PAUSE_SECONDS = 0.05
"""How long to wait before another attempt to make a new file one with WAL."""

BUSY_AGAIN_SECONDS = 0.2
"""The same once that was in vain, until a write succeeds: else all who queue would wait one after the other."""


def sqlite_database(path: str) -> Database:
    """An SQLite file, made if it is not there, or `:memory:`, which is one connection for all."""
    writer = Threads(path, 1)
    if path == ":memory:":
        return Database("memory", writer, writer, _write)
    return Database("sqlite", Threads(path, SQLITE_READERS, writes=False), writer, _check_of(Path(path)))


def _write(connection: Connection) -> None:
    """Write a page; `user_version` is nobody's, as alembic has a table of its own."""
    connection.exec_driver_sql("PRAGMA user_version = 1")


def _check_of(path: Path) -> Work[None]:
    """A write that also notices when the file is another one by now: SQLite goes on with the one that it has open."""
    opened = _identity(path)

    def check(connection: Connection) -> None:
        if _identity(path) != opened:
            raise StoreFault(GONE)
        _write(connection)

    return check


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


class Threads:
    """SQLite: a thread a connection."""

    def __init__(self, path: str, connections: int, *, writes: bool = True) -> None:
        self._engine = _sqlite_engine(path, connections, writes=writes)
        event.listen(self._engine, "begin", self._begin)
        self._transactions = self._engine.execution_options(immediate=True)
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="grid-shim-store")
        self._locked = self._hasty = False

    async def run(self, work: Work[T], *, commit: bool) -> T:
        """See `Door`."""
        engine = self._transactions if commit else self._engine
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._run, engine, work, commit)

    def _run(self, engine: Engine, work: Work[T], commit: bool) -> T:  # noqa: FBT001 -- an executor passes by place
        try:
            with engine.connect() as connection:
                result = work(connection)
                if commit:
                    connection.commit()
                    self._locked = False
                return result
        except TROUBLES as error:
            fault = said(error)
            self._locked = self._locked or "locked" in str(error)
            raise fault from None

    def _begin(self, connection: Connection) -> None:
        """Writers take the lock at once; a reader's statements stand for themselves."""
        if connection.get_execution_options().get("immediate"):
            if self._hasty != self._locked:
                self._hasty = self._locked
                seconds = BUSY_AGAIN_SECONDS if self._hasty else BUSY_SECONDS
                connection.exec_driver_sql(f"PRAGMA busy_timeout={round(seconds * 1000)}")
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    async def aclose(self) -> None:
        """See `Door`."""
        self._engine.dispose()
        self._threads.shutdown(wait=False)


def _sqlite_engine(path: str, connections: int, *, writes: bool) -> Engine:
    """Connections without the driver's own guesses at transactions; a mere reader has nothing to roll back."""
    engine = create_engine(
        URL.create("sqlite", database=path),
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=POOL_SECONDS,
        hide_parameters=True,
        skip_autocommit_rollback=not writes,
        connect_args={"isolation_level": None, "check_same_thread": False},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """Per connection.

    `synchronous=NORMAL` with WAL: a killed process loses nothing; a power cut may lose the last transactions, whole
    ones, and never damages the file (sqlite.org/pragma.html#pragma_synchronous).
    """
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={BUSY_SECONDS * 1000}",
        "auto_vacuum=INCREMENTAL",  # heeded by a new file only; lets purge give pages back
        "synchronous=NORMAL",
        "foreign_keys=ON",
        "secure_delete=ON",  # what is deleted is overwritten
    ):
        cursor.execute(f"PRAGMA {pragma}")
    _begin_wal(cursor)
    cursor.close()


def _begin_wal(cursor: sqlite3.Cursor) -> None:
    """Make the file one with WAL; SQLite does not wait by itself for another process that is writing to a new one."""
    for left in range(round(BUSY_SECONDS / WAL_PAUSE_SECONDS), -1, -1):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or not left:
                raise
            _pause(WAL_PAUSE_SECONDS)
        else:
            return


def _pause(seconds: float) -> None:
    Event().wait(seconds)
