"""One database behind two doors: `read` and `write`.

A piece of work is a plain function of a connection. A write is one transaction. Every driver error becomes a
`StoreFault` here, and only here.

Not here: how work is run on either kind (`shim.store.sqlite`, `shim.store.postgresql`), SQL of the parts, migrations.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from shim.store.faults import StoreFault

log = logging.getLogger("shim.store")

T = TypeVar("T")
Work = Callable[[Connection], T]

POOL_SECONDS = 30
"""How long a call waits for a connection."""

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


def said(error: Exception) -> Exception:
    """What to raise for a driver's error, whose own text may quote addresses. Bugs of ours stay as they are."""
    if isinstance(error, (*BUGS, StoreFault)):
        return error
    cause = getattr(error, "orig", None) or error.__cause__ or error
    name = " ".join(filter(None, (type(cause).__name__, getattr(cause, "sqlstate", None))))
    log.warning("the store failed: %s", name)
    reason = next((reason for word, reason in REASONS.items() if word in str(cause)), AWAY)
    return StoreFault(reason, cause=name)
