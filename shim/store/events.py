"""The stored streams of responses: appended in batches, read after a number.

Not here: encoding of events and waiting for new ones.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import BindParameter, Connection, bindparam, or_, select

from shim.store.database import Database
from shim.store.dialect import insert_from, insert_new, upsert
from shim.store.leases import hold
from shim.store.records import Appended, EventPage, Lease, StoredEvent
from shim.store.tables import events, responses, streams

_STATE = (
    select(responses.c.key, responses.c.status, streams.c.cut)
    .join_from(responses, streams, isouter=True)
    .where(responses.c.owner == bindparam("of"), responses.c.id == bindparam("named"))
)
_PAGE = (
    select(events.c.number, events.c.body)
    .where(events.c.response_key == bindparam("key"), events.c.number > bindparam("after"))
    .order_by(events.c.number)
    .limit(bindparam("limit"))
)


class SqlEvents:
    """`shim.store.protocol.Events`; keeps at most `bound` bytes of one response."""

    def __init__(self, database: Database, bound: int) -> None:
        self._database = database
        self._bound = bound
        self._insert = insert_new(database.kind, events, "response_key", "number")
        size = bindparam("offered", type_=streams.c.size.type)
        limit: BindParameter[int] = bindparam("bound", type_=streams.c.size.type)
        first = select(
            responses.c.key, size, size > limit, bindparam("last", type_=streams.c.last_number.type)
        ).where(responses.c.owner == bindparam("of"), responses.c.id == bindparam("named"))
        offer = insert_from(database.kind, streams, ("response_key", "size", "cut", "last_number"), first)
        cut = or_(streams.c.cut, streams.c.size + offer.excluded.size > limit)
        self._offer = upsert(
            offer,
            ("response_key",),
            {
                "cut": cut,
                "size": streams.c.size + offer.excluded.size,
                "last_number": offer.excluded.last_number,
            },
            (streams.c.response_key, streams.c.cut),
        )

    async def append(
        self, owner: str, response_id: str, events: Sequence[StoredEvent], *, lease: Lease | None = None
    ) -> Appended:
        """See the protocol."""

        def work(connection: Connection) -> Appended:
            if lease is not None and hold(connection, lease) is None:
                return "gone"
            return self.add(connection, owner, response_id, events)

        return await self._database.write(work)

    def add(
        self, connection: Connection, owner: str, response_id: str, batch: Sequence[StoredEvent]
    ) -> Appended:
        """Append within a transaction."""
        if not batch:
            return "kept"
        values = {
            "of": owner,
            "named": response_id,
            "offered": sum(len(event.body) for event in batch),
            "last": batch[-1].number,
            "bound": self._bound,
        }
        row = connection.execute(self._offer, values).first()
        if row is None:
            return "gone"
        if row.cut:
            return "full"
        rows = [{"response_key": row.response_key, "number": one.number, "body": one.body} for one in batch]
        connection.execute(self._insert, rows)
        return "kept"

    async def read(self, owner: str, response_id: str, after: int, limit: int) -> EventPage | None:
        """See the protocol. The status is read first, so that a terminal one promises that nothing follows."""

        def work(connection: Connection) -> EventPage | None:
            state = connection.execute(_STATE, {"of": owner, "named": response_id}).first()
            if state is None:
                return None
            rows = connection.execute(_PAGE, {"key": state.key, "after": after, "limit": limit})
            found = tuple(StoredEvent(row.number, row.body) for row in rows)
            return EventPage(found, state.status, cut=bool(state.cut))

        return await self._database.read(work)
