"""What is deleted by age and by size, and how much is kept.

Responses older than the retention go, then conversations unused for as long, then what exceeds the size bound. Each batch
is a transaction of its own, so that others get in between.

Not here: when purging happens, and whose things exceed the bound (`shim.store.eviction`).
"""

from __future__ import annotations

from collections import Counter

from sqlalchemy import Column, Connection, delete, func, select, text

from shim.store.database import Database
from shim.store.eviction import BATCH, Budget, Eviction, size_of_all
from shim.store.records import Purged, Stats
from shim.store.tables import (
    conversation_items,
    conversations,
    events,
    items,
    jobs,
    prompts,
    responses,
)

BATCHES = 500
"""Batches in one call."""

DAY = 24 * 60 * 60

VACUUM_PAGES = 1_000
"""Pages given back to the file system in one transaction, in some 20 ms: nobody else writes meanwhile."""

VACUUMS = 100
"""Such transactions in one purge."""


class Retention:
    """Deletes by age and size; 0 means for ever, or without a bound."""

    def __init__(self, database: Database, days: int, max_bytes: int) -> None:
        self._database = database
        self._days = days
        self._max_bytes = max_bytes
        self._eviction = Eviction(database, max_bytes)

    async def purge(self, now: int) -> Purged:
        """See the protocol."""
        budget = Budget(BATCHES)
        gone: Counter[str] = Counter()
        if self._days:
            past = now - self._days * DAY
            for age in (responses.c.created_at, conversations.c.used_at):
                gone[age.table.name] += await self._by_age(age, past, budget)
        if self._max_bytes:
            gone += await self._eviction.evict(budget)
        if self._database.kind != "postgresql":  # whether or not anything went: clients delete, too
            await self._give_back()
        return Purged(gone[responses.name], gone[conversations.name], more=budget.short)

    async def _by_age(self, age: Column[int], past: int, budget: Budget) -> int:
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
            if not count:
                budget.give_back()
            if count < BATCH:
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
                size=size_of_all(connection),
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
