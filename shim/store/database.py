"""One database behind two doors: `read` and `write`.

A piece of work is a plain function of a connection. A write is one transaction. Every driver error becomes a
`StoreFault` here, and only here.

Not here: how work is run on either kind (`shim.store.sqlite`, `shim.store.postgresql`), SQL of the parts, migrations.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Protocol, TypeVar

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
    "disk I/O error": "The store's disk cannot be read or written.",
    "unable to open": "The store's file cannot be opened.",
}
"""What SQLite says, and what is said for it."""

AWAY = "The store cannot be reached."
SILENT = "The store does not answer."

ANSWER_SECONDS = 20.0
"""How long a call waits for the database; a write that nobody waits for any more is not committed."""

SILENT_SECONDS = 5.0
"""How long a database that did not answer is not asked again, so that one request waits for it and not all."""

CLOSE_SECONDS = 3.0
"""How long what is under way may hold the closing up."""

CHECK_SECONDS = 2.0
"""How long a check waits for the database."""

FRESH_SECONDS = 5.0
"""How long a write that failed counts against the store: there may be room for a small one, and not for the next."""

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


class _Wanted(Generic[T]):
    """Work that breaks off its transaction once whoever asked for it was told that it failed: they may ask again."""

    def __init__(self, work: Work[T]) -> None:
        self._work = work
        self.given_up = False

    def __call__(self, connection: Connection) -> T:
        self._check()
        result = self._work(connection)
        self._check()
        return result

    def _check(self) -> None:
        if self.given_up:
            raise StoreFault(SILENT)


class Database:
    """An open database. `kind` is `sqlite`, `memory` or `postgresql`."""

    def __init__(self, kind: str, reader: Door, writer: Door, check: Work[None]) -> None:
        """Take what is open.

        Args:
            kind: See above.
            reader: For what only reads.
            writer: For transactions.
            check: A transaction that fails if a write would.
        """
        self.kind = kind
        self._check = check
        self._reader = reader
        self._writer = writer
        self._running: set[asyncio.Task[Any]] = set()
        self._failed: tuple[float, StoreFault] | None = None
        self._checking: asyncio.Task[None] | None = None
        self._silent_until = 0.0
        self._answered: dict[Door, float] = {}

    async def read(self, work: Work[T], *, patient: bool = False) -> T:
        """Run statements that only read, each by itself. What must be consistent is one statement.

        `patient` is for work that may take any time.

        Raises:
            StoreFault: The database failed.
        """
        return await self._whole(self._reader, self._reader.run(work, commit=False), patient=patient)

    async def write(self, work: Work[T], *, patient: bool = False) -> T:
        """Run a transaction and commit it; `patient` for one that may take any time.

        Raises:
            StoreFault: The database failed. If it failed while committing, the write may or may not be there.
        """
        wanted = _Wanted(work)
        try:
            return await self._whole(self._writer, self._written(wanted), patient=patient)
        except StoreFault:
            wanted.given_up = True
            raise

    async def _written(self, work: Work[T]) -> T:
        try:
            result = await self._writer.run(work, commit=True)
        except StoreFault as fault:
            self._failed = asyncio.get_running_loop().time(), fault
            raise
        self._failed = None
        return result

    async def check(self) -> None:
        """See `shim.store.protocol.ResponseStore`; one at a time, however many ask.

        Raises:
            StoreFault: A write would fail.
        """
        if self._checking is None:
            self._checking = asyncio.create_task(self._tried())
            self._running.add(self._checking)
            self._checking.add_done_callback(self._checked)
        done, _ = await asyncio.wait([self._checking], timeout=CHECK_SECONDS)
        if not done:
            raise StoreFault(SILENT)
        done.pop().result()
        if self._failed and asyncio.get_running_loop().time() - self._failed[0] < FRESH_SECONDS:
            raise self._failed[1]

    async def _tried(self) -> None:
        await self._writer.run(self._check, commit=True)

    def _checked(self, task: asyncio.Task[None]) -> None:
        self._checking = None
        self._done(task)

    async def aclose(self) -> None:
        """Wait for what is under way, but not for ever, then close the connections."""
        if self._running:
            await asyncio.wait(self._running, timeout=CLOSE_SECONDS)
        for door in {id(door): door for door in (self._reader, self._writer)}.values():
            await door.aclose()

    async def _whole(self, door: Door, run: Coroutine[Any, Any, T], *, patient: bool = False) -> T:
        """Finish even if the caller is cancelled: a transaction is either not begun or carried through."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        if began < self._silent_until:
            run.close()
            raise StoreFault(SILENT)
        task = asyncio.create_task(run)
        self._running.add(task)
        task.add_done_callback(self._done)
        if patient:
            return await asyncio.shield(task)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                result = await asyncio.shield(task)
        except TimeoutError:
            fault = StoreFault(SILENT)
            if self._answered.get(door, 0.0) < began:  # else it is this work alone that takes long
                self._silent_until = loop.time() + SILENT_SECONDS
                self._failed = loop.time(), fault
            log.warning("the store did not answer within %d s", ANSWER_SECONDS)
            raise fault from None
        self._answered[door] = loop.time()
        return result

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # seen: a caller that was cancelled does not ask


def said(error: Exception) -> Exception:
    """What to raise for a driver's error, whose own text may quote addresses. Bugs of ours stay as they are."""
    if isinstance(error, (*BUGS, StoreFault)):
        return error
    cause = getattr(error, "orig", None) or error.__cause__ or error
    codes = (getattr(cause, "sqlstate", None), getattr(cause, "sqlite_errorname", None))
    name = " ".join(filter(None, (type(cause).__name__, *codes)))
    log.warning("the store failed: %s", name)
    reason = next((reason for word, reason in REASONS.items() if word in str(cause)), AWAY)
    return StoreFault(reason, cause=name)
