"""What each seal key makes the owner key: notes, opaque here.

Not here: what is in them (`shim.exchange.owners`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, select

from shim.store.database import Database
from shim.store.dialect import insert_into, insert_new, upsert
from shim.store.tables import owner_keys


class SqlOwnerKeys:
    """`shim.store.protocol.OwnerKeys`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._add = insert_new(database.kind, owner_keys, "key_id").returning(owner_keys.c.key_id)
        adding = insert_into(database.kind, owner_keys)
        self._put = upsert(adding, ("key_id",), {"note": adding.excluded.note}, (owner_keys.c.key_id,))

    async def get(self, key_ids: Iterable[str]) -> Mapping[str, bytes]:
        """See the protocol."""
        query = select(owner_keys).where(owner_keys.c.key_id.in_(list(key_ids)))

        def work(connection: Connection) -> Mapping[str, bytes]:
            return {row.key_id: row.note for row in connection.execute(query)}

        return await self._database.read(work)

    async def add(self, notes: Mapping[str, bytes]) -> bool:
        """See the protocol. All write in one order, so that one waits for the other at the first note they share."""

        def work(connection: Connection) -> bool:
            for key_id, note in sorted(notes.items()):
                if connection.scalar(self._add, {"key_id": key_id, "note": note}) is None:
                    connection.rollback()
                    return False
            return True

        return await self._database.write(work)

    async def put(self, notes: Mapping[str, bytes]) -> None:
        """See the protocol."""

        def work(connection: Connection) -> None:
            for key_id, note in sorted(notes.items()):
                connection.execute(self._put, {"key_id": key_id, "note": note})

        await self._database.write(work)
