"""Who gives way when more is kept than the size bound allows, and what of theirs goes first.

Everyone has a fair share: as large as it can be for all to fit, where those who keep less leave what they do not need
to the others. Whoever keeps more is cut to it, the one who keeps most first; whoever keeps less loses nothing,
however much others store. Of one owner the oldest responses without a job go, then the conversations unused for longest.

Not here: what goes by its age, and when anything goes (`shim.store.retention`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, Table, bindparam, delete, func, select

from shim.store.database import Database
from shim.store.tables import conversations, jobs, responses, streams

BATCH = 200
"""Rows deleted in one transaction; their items and events go with them."""


@dataclass
class Budget:
    """The batches that one purge may still run; `short` once one more was wanted."""

    left: int
    short: bool = False

    def take(self) -> bool:
        """Take one, if there is one."""
        if not self.left:
            self.short = True
            return False
        self.left -= 1
        return True

    def give_back(self) -> None:
        """Nothing was there to delete: whoever finds nothing must not be called again for it."""
        self.left += 1


def fair_share(kept: Iterable[int], bound: int) -> int:
    """The most bytes that each of those who keep so many may keep, for all to keep no more than `bound` together."""
    left, ranked = bound, sorted(kept)
    for place, size in enumerate(ranked):
        share = left // (len(ranked) - place)
        if size > share:
            return share
        left -= size
    return bound


def size_of_all(connection: Connection) -> int:
    """Bytes of all bodies."""
    sizes = [
        select(func.coalesce(func.sum(table.c.size), 0)).scalar_subquery()
        for table in (responses, streams, conversations)
    ]
    return int(connection.scalar(select(sizes[0] + sizes[1] + sizes[2])) or 0)


_SIZE = responses.c.size + func.coalesce(streams.c.size, 0)
_OF_RESPONSES = (
    select(responses.c.owner, func.sum(_SIZE).label("size"))
    .join_from(responses, streams, isouter=True)
    .group_by(responses.c.owner)
)
_OF_CONVERSATIONS = select(conversations.c.owner, func.sum(conversations.c.size).label("size")).group_by(
    conversations.c.owner
)


def sizes_by_owner(connection: Connection) -> dict[str, int]:
    """Bytes of all bodies of each owner."""
    sizes: Counter[str] = Counter()
    for statement in (_OF_RESPONSES, _OF_CONVERSATIONS):
        sizes.update({row.owner: int(row.size) for row in connection.execute(statement)})
    return dict(sizes)


def _oldest_responses() -> Select[Any]:
    """Those of an owner that no job is about."""
    joined = select(responses.c.key, _SIZE.label("size")).join_from(responses, streams, isouter=True)
    idle = ~select(jobs.c.response_key).where(jobs.c.response_key == responses.c.key).exists()
    mine = joined.where(responses.c.owner == bindparam("of"), idle)
    return mine.order_by(responses.c.created_at, responses.c.key)


def _oldest_conversations() -> Select[Any]:
    mine = select(conversations.c.key, conversations.c.size).where(conversations.c.owner == bindparam("of"))
    return mine.order_by(conversations.c.used_at, conversations.c.key)


_OLDEST = ((responses, _oldest_responses()), (conversations, _oldest_conversations()))


class Eviction:
    """Keeps a database within a size bound."""

    def __init__(self, database: Database, max_bytes: int) -> None:
        self._database = database
        self._max_bytes = max_bytes

    async def evict(self, budget: Budget) -> Counter[str]:
        """Delete until the bound holds, or nothing more can go; how many of each table."""
        gone: Counter[str] = Counter()
        if await self._database.read(size_of_all) <= self._max_bytes:
            return gone
        kept = await self._database.read(sizes_by_owner, patient=True)
        share = fair_share(kept.values(), self._max_bytes)
        for owner in sorted((one for one in kept if kept[one] > share), key=lambda one: (-kept[one], one)):
            excess = kept[owner] - share
            for table, oldest in _OLDEST:
                count, freed = await self._cut(owner, excess, table, oldest, budget)
                gone[table.name] += count
                excess -= freed
        return gone

    async def _cut(
        self, owner: str, excess: int, table: Table, oldest: Select[Any], budget: Budget
    ) -> tuple[int, int]:
        """Delete an owner's oldest rows until so many bytes are gone or the bound holds; rows and bytes."""

        def work(connection: Connection) -> tuple[int, int]:
            wanted = min(excess - freed, size_of_all(connection) - self._max_bytes)
            rows = _enough(connection.execute(oldest.limit(BATCH), {"of": owner}), wanted)
            if rows:
                connection.execute(delete(table).where(table.c.key.in_(rows)))
            return len(rows), sum(rows.values())

        count = freed = 0
        while freed < excess and budget.take():
            some = await self._database.write(work, patient=True)
            count, freed = count + some[0], freed + some[1]
            if not some[0]:
                budget.give_back()
                break
        return count, freed


def _enough(rows: Any, excess: int) -> dict[int, int]:
    """Keys and sizes of the first rows that make up the excess together."""
    found: dict[int, int] = {}
    for row in rows:
        if excess <= 0:
            break
        found[row.key] = row.size
        excess -= row.size
    return found
