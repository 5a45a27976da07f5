"""PostgreSQL: work runs on asyncpg, in a greenlet that waits without a thread, on one pool of connections.

Imported only where there is one: SQLAlchemy's asynchronous engine brings its whole mapper along.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from typing import TypeVar

from sqlalchemy import URL, Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shim.store.database import CLOSE_SECONDS, POOL_SECONDS, TROUBLES, Database, Work, said
from shim.store.faults import StoreFault

T = TypeVar("T")

READ_ONLY = "The store cannot be written: the database only reads."

CONNECT_SECONDS = 10
COMMAND_SECONDS = 60
"""How long PostgreSQL may take to accept a connection, and to answer a statement."""


def postgresql_database(url: URL, connections: int) -> Database:
    """A PostgreSQL by URL, through asyncpg and its prepared statements."""
    pool = Pool(url, connections)
    return Database("postgresql", pool, pool, _may_write)


def _may_write(connection: Connection) -> None:
    """Ask the server: a standby, or one that was set so, only reads."""
    if connection.exec_driver_sql("SHOW transaction_read_only").scalar() == "on":
        raise StoreFault(READ_ONLY)


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
            raise said(error) from None

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
        """See `Door`; a server that says nothing is not waited for, and what the pool would log of it is no news."""
        pool_log = logging.getLogger("sqlalchemy.pool")
        level = pool_log.level
        pool_log.setLevel(logging.CRITICAL)
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._transactions.dispose()
        except TimeoutError:
            pass
        finally:
            pool_log.setLevel(level)


class _DeadError(Exception):
    """The connection was dead before anything was committed."""


async def _connected(engine: AsyncEngine) -> AsyncConnection:
    try:
        return await engine.connect()
    except Exception as error:  # noqa: BLE001 -- drivers raise what they like before there is a connection
        raise said(error) from None


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
