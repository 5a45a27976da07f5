"""Who gives way when more is kept than the size bound allows, and what of theirs goes first.

Everyone has a fair share: as large as it can be for all to fit, where those who keep less leave what they do not need
to the others. Whoever keeps more is cut to it, the one who keeps most first; whoever keeps less loses nothing,
however much others store. Of one owner that goes first which is oldest, be it a response without a job, by when it was made, or a
conversation, by when it was last used: what was just stored is there.

Not here: what goes by its age, and when anything goes (`shim.store.retention`).
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Select, bindparam, delete, func, select

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
    found = select(responses.c.key, _SIZE.label("size"), responses.c.created_at.label("at"))
    idle = ~select(jobs.c.response_key).where(jobs.c.response_key == responses.c.key).exists()
    mine = found.join_from(responses, streams, isouter=True).where(responses.c.owner == bindparam("of"), idle)
    return mine.order_by(responses.c.created_at, responses.c.key)


def _oldest_conversations() -> Select[Any]:
    found = select(conversations.c.key, conversations.c.size, conversations.c.used_at.label("at"))
    return found.where(conversations.c.owner == bindparam("of")).order_by("at", conversations.c.key)


_OLDEST = ((responses, _oldest_responses()), (conversations, _oldest_conversations()))


@dataclass(frozen=True, slots=True, order=True)
class _Kept:
    """One that may go; the oldest is the least."""

    at: int
    table: str
    key: int
    size: int


def _oldest(connection: Connection, owner: str) -> Iterator[_Kept]:
    """The first batch of what an owner keeps."""
    kinds = (
        [_Kept(row.at, table.name, row.key, row.size) for row in connection.execute(found, {"of": owner})]
        for table, found in ((table, oldest.limit(BATCH)) for table, oldest in _OLDEST)
    )
    return islice(heapq.merge(*kinds), BATCH)


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
            gone += await self._cut(owner, kept[owner] - share, budget)
        return gone

    async def _cut(self, owner: str, excess: int, budget: Budget) -> Counter[str]:
        """Delete an owner's oldest things until so many bytes are gone or the bound holds; how many of each table."""

        def work(connection: Connection) -> list[_Kept]:
            wanted = min(excess, size_of_all(connection) - self._max_bytes)
            some = _enough(_oldest(connection, owner), wanted)
            for table, _ in _OLDEST:
                if keys := [one.key for one in some if one.table == table.name]:
                    connection.execute(delete(table).where(table.c.key.in_(keys)))
            return some

        gone: Counter[str] = Counter()
        while excess > 0 and budget.take():
            some = await self._database.write(work, patient=True)
            gone.update(one.table for one in some)
            excess -= sum(one.size for one in some)
            if not some:
                budget.give_back()
                break
        return gone


def _enough(oldest: Iterable[_Kept], wanted: int) -> list[_Kept]:
    """The first ones that make up so many bytes together."""
    found = []
    for one in oldest:
        if wanted <= 0:
            break
        found.append(one)
        wanted -= one.size
    return found
