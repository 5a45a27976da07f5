"""One database behind two doors: `read` and `write`.

A piece of work is a plain function of a connection. On SQLite it runs in a thread of its own: through an asynchronous
driver every statement is several hops between threads, which measured three to five times the cost of the
statements. On PostgreSQL it runs on asyncpg, in a greenlet that waits without a thread.

A write is one transaction. SQLite's writers queue before one connection and begin with BEGIN IMMEDIATE, so that none finds its
snapshot stale; readers have connections of their own and WAL lets them pass. PostgreSQL has one pool. Every
driver error becomes a `StoreFault` here, and only here.

Not here: SQL of the parts, migrations.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any, Protocol, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool

from shim.store.faults import StoreFault

log = logging.getLogger("shim.store")

T = TypeVar("T")
Work = Callable[[Connection], T]

SQLITE_READERS = 4
"""Connections that read an SQLite file; each has a thread."""

BUSY_SECONDS = 15
"""How long SQLite waits for another process's transaction."""

POOL_SECONDS = 30
"""How long a call waits for a connection."""

CONNECT_SECONDS = 10
COMMAND_SECONDS = 60
"""How long PostgreSQL may take to accept a connection, and to answer a statement."""

REASONS = {
    "locked": "The store is busy: another process holds its lock.",
    "full": "The store's disk is full.",
    "readonly": "The store cannot be written: its file is read-only.",
    "malformed": "The store's file is damaged.",
    "not a database": "The store's file is not a database.",
}
"""What SQLite says, and what is said for it."""

AWAY = "The store cannot be reached."

TROUBLES = (DBAPIError, PoolTimeoutError, OSError)
"""What a database in trouble raises."""

BUGS = (DataError, IntegrityError, ProgrammingError)
"""Those among them that are ours: a second attempt would meet them again."""


class Door(Protocol):
    """Runs work on a connection of one kind."""

    async def run(self, work: Work[T], *, commit: bool) -> T:
        """Run it, and commit or not."""
        ...

    async def aclose(self) -> None:
        """Close the connections; nothing runs any more."""
        ...


class Threads:
    """SQLite: a thread a connection."""

    def __init__(self, path: str, connections: int, *, writes: bool = True) -> None:
        self._engine = _sqlite_engine(path, connections, writes=writes)
        self._transactions = self._engine.execution_options(immediate=True)
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="grid-shim-store")

    async def run(self, work: Work[T], *, commit: bool) -> T:
        """See `Door`."""
        engine = self._transactions if commit else self._engine
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._run, engine, work, commit)

    @staticmethod
    def _run(engine: Engine, work: Work[T], commit: bool) -> T:  # noqa: FBT001 -- an executor passes by place
        try:
            with engine.connect() as connection:
                result = work(connection)
                if commit:
                    connection.commit()
                return result
        except TROUBLES as error:
            raise _said(error) from None

    async def aclose(self) -> None:
        """See `Door`."""
        self._engine.dispose()
        self._threads.shutdown()


class Pool:
    """PostgreSQL: a pool of connections."""

    def __init__(self, url: URL, connections: int) -> None:
        self._transactions = _postgresql_engine(url, connections)
        self._engine = self._transactions.execution_options(isolation_level="AUTOCOMMIT")

    async def run(self, work: Work[T], *, commit: bool) -> T:
        """See `Door`. Work is tried twice where a kept connection turns out to be dead: nothing was committed."""
        engine = self._transactions if commit else self._engine
        try:
            try:
                return await self._run(engine, work, commit=commit)
            except _DeadError:
                return await self._run(engine, work, commit=commit)
        except (*TROUBLES, _DeadError) as error:
            raise _said(error) from None

    async def _run(self, engine: AsyncEngine, work: Work[T], *, commit: bool) -> T:
        async with aclosing(await _connected(engine)) as connection:
            try:
                result = await connection.run_sync(work)
            except DBAPIError as error:
                if error.connection_invalidated:
                    raise _DeadError from error
                raise
            if commit:
                await connection.commit()
            return result

    async def aclose(self) -> None:
        """See `Door`."""
        await self._transactions.dispose()


class _DeadError(Exception):
    """The connection was dead before anything was committed."""


class Database:
    """An open database. `kind` is `sqlite`, `memory` or `postgresql`."""

    def __init__(self, kind: str, reader: Door, writer: Door) -> None:
        self.kind = kind
        self._reader = reader
        self._writer = writer
        self._running: set[asyncio.Task[Any]] = set()

    async def read(self, work: Work[T]) -> T:
        """Run statements that only read, each by itself. What must be consistent is one statement.

        Raises:
            StoreFault: The database failed.
        """
        return await self._whole(self._reader.run(work, commit=False))

    async def write(self, work: Work[T]) -> T:
        """Run a transaction and commit it.

        Raises:
            StoreFault: The database failed. If it failed while committing, the write may or may not be there.
        """
        return await self._whole(self._writer.run(work, commit=True))

    async def aclose(self) -> None:
        """Wait for what is under way, then close the connections."""
        while self._running:
            await asyncio.wait(self._running)
        for door in {id(door): door for door in (self._reader, self._writer)}.values():
            await door.aclose()

    async def _whole(self, run: Coroutine[Any, Any, T]) -> T:
        """Finish even if the caller is cancelled: a transaction is either not begun or carried through."""
        task = asyncio.create_task(run)
        self._running.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # seen: a caller that was cancelled does not ask


async def _connected(engine: AsyncEngine) -> AsyncConnection:
    try:
        return await engine.connect()
    except Exception as error:  # noqa: BLE001 -- drivers raise what they like before there is a connection
        raise _said(error) from None


def _said(error: Exception) -> Exception:
    """What to raise for a driver's error, whose own text may quote addresses. Bugs of ours stay as they are."""
    if isinstance(error, (*BUGS, StoreFault)):
        return error
    cause = getattr(error, "orig", None) or error.__cause__ or error
    log.warning("the store failed: %s %s", type(cause).__name__, getattr(cause, "sqlstate", None) or "")
    return StoreFault(next((reason for word, reason in REASONS.items() if word in str(cause)), AWAY))


def sqlite_database(path: str) -> Database:
    """An SQLite file, made if it is not there, or `:memory:`, which is one connection for all."""
    writer = Threads(path, 1)
    if path == ":memory:":
        return Database("memory", writer, writer)
    return Database("sqlite", Threads(path, SQLITE_READERS, writes=False), writer)


def postgresql_database(url: URL, connections: int) -> Database:
    """A PostgreSQL by URL, through asyncpg and its prepared statements."""
    pool = Pool(url, connections)
    return Database("postgresql", pool, pool)


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
    event.listen(engine, "begin", _begin)
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
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
        "secure_delete=ON",  # what is deleted is overwritten
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    """Writers take the lock at once; a reader's statements stand for themselves."""
    if connection.get_execution_options().get("immediate"):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _postgresql_engine(url: URL, connections: int) -> AsyncEngine:
    return create_async_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=POOL_SECONDS,
        hide_parameters=True,
        skip_autocommit_rollback=True,
        connect_args={
            "timeout": CONNECT_SECONDS,
            "command_timeout": COMMAND_SECONDS,
            "server_settings": {"application_name": "grid-shim"},
        },
    )
