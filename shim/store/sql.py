"""The one implementation for SQLite and PostgreSQL: the parts over one database.

Not here: how the database is chosen and opened (`shim.store.opening`).
"""

from __future__ import annotations

from dataclasses import dataclass

from shim.store.calibrations import SqlCalibrations
from shim.store.conversations import SqlConversations
from shim.store.database import Database
from shim.store.events import SqlEvents
from shim.store.jobs import SqlJobs
from shim.store.owner_keys import SqlOwnerKeys
from shim.store.prompts import SqlPrompts
from shim.store.records import Purged, Stats
from shim.store.responses import SqlResponses
from shim.store.retention import Retention


@dataclass(frozen=True)
class Bounds:
    """What is kept at most: days and bytes in all (0: no bound), and bytes of one response's stream."""

    days: int = 30
    max_bytes: int = 0
    stream_max_bytes: int = 32 << 20


class SqlStore:
    """`shim.store.protocol.ResponseStore` on a database."""

    def __init__(self, database: Database, bounds: Bounds) -> None:
        self._database = database
        self._retention = Retention(database, bounds.days, bounds.max_bytes)
        self.events = SqlEvents(database, bounds.stream_max_bytes)
        self.conversations = SqlConversations(database)
        self.responses = SqlResponses(database, self.events, self.conversations)
        self.jobs = SqlJobs(database, self.responses)
        self.prompts = SqlPrompts(database)
        self.calibrations = SqlCalibrations(database)
        self.owner_keys = SqlOwnerKeys(database)

    @property
    def kind(self) -> str:
        """`sqlite`, `memory` or `postgresql`."""
        return self._database.kind

    async def purge(self, now: int) -> Purged:
        """See the protocol."""
        return await self._retention.purge(now)

    async def stats(self) -> Stats:
        """See the protocol."""
        return await self._retention.stats()

    async def check(self) -> None:
        """See the protocol."""
        await self._database.check()

    async def aclose(self) -> None:
        """See the protocol."""
        await self._database.aclose()
