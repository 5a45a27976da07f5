"""The stored streams of responses: appended in batches, read after a number.

Not here: encoding of events and waiting for new ones.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import BindParameter, ColumnElement, Connection, bindparam, case, insert, or_, select

from shim.store.database import Database
from shim.store.dialect import insert_from, upsert
from shim.store.leases import hold
from shim.store.records import Appended, EventPage, Lease, StoredEvent
from shim.store.tables import events, responses, streams

_STATE = (
    select(responses.c.key, responses.c.status, streams.c.cut)
    .join_from(responses, streams, isouter=True)
    .where(responses.c.owner == bindparam("of"), responses.c.id == bindparam("named"))
)
_REACHED = (
    select(streams.c.last_number, streams.c.cut)
    .join_from(streams, responses)
    .where(responses.c.owner == bindparam("of"), responses.c.id == bindparam("named"))
)
_INSERT = insert(events)
_PAGE = (
    select(events.c.number, events.c.body)
    .where(events.c.response_key == bindparam("key"), events.c.number > bindparam("after"))
    .order_by(events.c.number)
    .limit(bindparam("limit"))
)


def _unless(dropped: ColumnElement[bool], size: ColumnElement[int]) -> ColumnElement[int]:
    """What a batch adds to the size: nothing if it is not kept."""
    return case((dropped, 0), else_=size)


class SqlEvents:
    """`shim.store.protocol.Events`; keeps at most `bound` bytes of one response."""

    def __init__(self, database: Database, bound: int) -> None:
        self._database = database
        self._bound = bound
        size: BindParameter[int] = bindparam("offered", type_=streams.c.size.type)
        limit: BindParameter[int] = bindparam("bound", type_=streams.c.size.type)
        last = bindparam("last", type_=streams.c.last_number.type)
        first = select(responses.c.key, _unless(size > limit, size), size > limit, last).where(
            responses.c.owner == bindparam("of"), responses.c.id == bindparam("named")
        )
        offer = insert_from(database.kind, streams, ("response_key", "size", "cut", "last_number"), first)
        cut = or_(streams.c.cut, streams.c.size + size > limit)
        self._offer = upsert(
            offer,
            ("response_key",),
            {
                "cut": cut,
                "size": streams.c.size + _unless(cut, size),
                "last_number": offer.excluded.last_number,
            },
            (streams.c.response_key, streams.c.cut),
            where=streams.c.last_number < bindparam("first", type_=streams.c.last_number.type),
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
        """Append within a transaction; what is there already is passed over.

        A write is carried through though its caller is cancelled, who may then send the same again.
        """
        if not batch:
            return "kept"
        values = {
            "of": owner,
            "named": response_id,
            "offered": sum(len(event.body) for event in batch),
            "first": batch[0].number,
            "last": batch[-1].number,
            "bound": self._bound,
        }
        row = connection.execute(self._offer, values).first()
        if row is None:
            return self._add_rest(connection, owner, response_id, batch)
        if row.cut:
            return "full"
        rows = [{"response_key": row.response_key, "number": one.number, "body": one.body} for one in batch]
        connection.execute(_INSERT, rows)
        return "kept"

    def _add_rest(
        self, connection: Connection, owner: str, response_id: str, batch: Sequence[StoredEvent]
    ) -> Appended:
        """Append those events of a batch that are not there yet, if there is a stream at all."""
        reached = connection.execute(_REACHED, {"of": owner, "named": response_id}).first()
        if reached is None:
            return "gone"
        rest = [event for event in batch if event.number > reached.last_number]
        if rest:
            return self.add(connection, owner, response_id, rest)
        return "full" if reached.cut else "kept"

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
