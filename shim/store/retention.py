"""What is deleted by age and by size, and how much is kept.

Responses older than the retention go, then conversations unused for as long; then, while the bodies exceed the size
bound, the oldest responses without a job, then the conversations unused for longest. Each batch is a
transaction of its own, so that others get in between.

Not here: when purging happens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Select, Table, delete, func, select, text

from shim.store.database import Database
from shim.store.records import Purged, Stats
from shim.store.tables import (
    conversation_items,
    conversations,
    events,
    items,
    jobs,
    prompts,
    responses,
    streams,
)

BATCH = 200
"""Rows deleted in one transaction; their items and events go with them."""

BATCHES = 500
"""Batches in one call."""

DAY = 24 * 60 * 60

VACUUM_PAGES = 1_000
"""Pages given back to the file system in one transaction, in some 20 ms: nobody else writes meanwhile."""

VACUUMS = 100
"""Such transactions in one purge."""


@dataclass
class _Budget:
    """The batches that one purge may still run; `short` once one more was wanted."""

    left: int
    short: bool = False

    def take(self) -> bool:
        if not self.left:
            self.short = True
            return False
        self.left -= 1
        return True


class Retention:
    """Deletes by age and size; 0 means for ever, or without a bound."""

    def __init__(self, database: Database, days: int, max_bytes: int) -> None:
        self._database = database
        self._days = days
        self._max_bytes = max_bytes

    async def purge(self, now: int) -> Purged:
        """See the protocol."""
        budget = _Budget(BATCHES)
        gone = {responses.name: 0, conversations.name: 0}
        if self._days:
            past = now - self._days * DAY
            for age in (responses.c.created_at, conversations.c.used_at):
                gone[age.table.name] += await self._by_age(age, past, budget)
        if self._max_bytes:
            for table, oldest in ((responses, _oldest_responses()), (conversations, _oldest_conversations())):
                gone[table.name] += await self._by_size(table, oldest, budget)
        if self._database.kind != "postgresql":  # whether or not anything went: clients delete, too
            await self._give_back()
        return Purged(gone[responses.name], gone[conversations.name], more=budget.short)

    async def _by_age(self, age: Column[int], past: int, budget: _Budget) -> int:
        """Delete rows from before `past`; how many there were."""
        table = age.table
        picked = (
            select(table.c.key)
            .where(age < past)
            .order_by(age)
            .limit(BATCH)
            .with_for_update(skip_locked=True)
            .cte("picked")
        )
        statement = delete(table).where(table.c.key.in_(select(picked.c.key))).returning(table.c.key)

        def work(connection: Connection) -> int:
            return len(connection.execute(statement).all())

        total = 0
        while budget.take():
            count = await self._database.write(work, patient=True)
            total += count
            if count < BATCH:
                break
        return total

    async def _by_size(self, table: Table, oldest: Select[Any], budget: _Budget) -> int:
        """Delete the oldest rows until the bound holds; how many there were."""

        def work(connection: Connection) -> int:
            excess = _size(connection) - self._max_bytes
            keys = _enough(connection.execute(oldest.limit(BATCH)), excess)
            if keys:
                connection.execute(delete(table).where(table.c.key.in_(keys)))
            return len(keys)

        total = 0
        while await self._database.read(_size) > self._max_bytes and budget.take():
            count = await self._database.write(work, patient=True)
            total += count
            if not count:
                break
        return total

    async def _give_back(self) -> None:
        """Shorten an SQLite file and empty its log, which holds what was deleted. PostgreSQL cares for itself."""
        for _ in range(VACUUMS):
            if not await self._database.write(_give_pages_back, patient=True):
                break
        await self._database.read(_empty_log, patient=True)

    async def stats(self) -> Stats:
        """See the protocol."""
        counted = {
            "responses": responses,
            "items": items,
            "events": events,
            "jobs": jobs,
            "conversations": conversations,
            "conversation_items": conversation_items,
            "prompts": prompts,
        }

        def work(connection: Connection) -> Stats:
            counts = {
                name: connection.scalar(select(func.count()).select_from(table)) or 0
                for name, table in counted.items()
            }
            oldest = connection.scalar(select(func.min(responses.c.created_at)))
            return Stats(
                kind=self._database.kind,
                size=_size(connection),
                file_size=self._file_size(connection),
                oldest=oldest,
                **counts,
            )

        return await self._database.read(work)

    def _file_size(self, connection: Connection) -> int | None:
        if self._database.kind == "postgresql":
            size: int | None = connection.scalar(text("SELECT pg_database_size(current_database())"))
            return size
        pages = connection.scalar(text("PRAGMA page_count"))
        return int(pages) * int(connection.scalar(text("PRAGMA page_size")))


def _oldest_responses() -> Select[Any]:
    """Those that no job is about."""
    size = (responses.c.size + func.coalesce(streams.c.size, 0)).label("size")
    joined = select(responses.c.key, size).join_from(responses, streams, isouter=True)
    idle = ~select(jobs.c.response_key).where(jobs.c.response_key == responses.c.key).exists()
    return joined.where(idle).order_by(responses.c.created_at, responses.c.key)


def _oldest_conversations() -> Select[Any]:
    rows = select(conversations.c.key, conversations.c.size)
    return rows.order_by(conversations.c.used_at, conversations.c.key)


def _enough(rows: Any, excess: int) -> list[int]:
    """Keys of the first rows that make up the excess together."""
    keys = []
    for row in rows:
        if excess <= 0:
            break
        keys.append(row.key)
        excess -= row.size
    return keys


def _size(connection: Connection) -> int:
    """Bytes of all bodies."""
    sizes = [
        select(func.coalesce(func.sum(table.c.size), 0)).scalar_subquery()
        for table in (responses, streams, conversations)
    ]
    return int(connection.scalar(select(sizes[0] + sizes[1] + sizes[2])) or 0)


def _give_pages_back(connection: Connection) -> bool:
    """Give some free pages back; whether there are more."""
    free = int(connection.exec_driver_sql("PRAGMA freelist_count").scalar_one())
    cursor = connection.connection.cursor()
    for _ in range(min(free, VACUUM_PAGES)):
        cursor.execute(
            "PRAGMA incremental_vacuum(1)"
        )  # of a larger number the driver runs the first step alone
    cursor.close()
    return free > VACUUM_PAGES


def _empty_log(connection: Connection) -> None:
    """Bring the log's content into the file, and shorten both."""
    cursor = connection.connection.cursor()
    cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    cursor.fetchall()
    cursor.close()
