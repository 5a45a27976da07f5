"""Responses and their items.

A response is one row of `responses` and one row an item. Chains are read by one recursive query over the
unique index on owner and id.

Not here: events, jobs and conversations, which a save may touch in its transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    Table,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    null,
    select,
    union_all,
    update,
)

from shim.store import leases
from shim.store.conversations import SqlConversations
from shim.store.database import Database
from shim.store.dialect import insert_into, upsert
from shim.store.events import SqlEvents
from shim.store.paging import read_page
from shim.store.records import (
    JOINS_CONVERSATION,
    TERMINAL,
    Chain,
    ChainTurn,
    EventRecord,
    Item,
    Lease,
    Page,
    ResponseRecord,
    StoredEvent,
    StoredResponse,
    Window,
)
from shim.store.tables import INPUT, OUTPUT, conversation_items, items, jobs, responses, stored_key, streams

IDS_AT_ONCE = 500
"""Ids in one lookup; databases bound the parameters of a statement."""

COLUMNS = (
    "created_at",
    "size",
    "status",
    "model",
    "served_model",
    "previous_response_id",
    "conversation_id",
    "version",
    "envelope",
)
"""What a replacement replaces."""

_NAMED = (responses.c.owner == bindparam("of"), responses.c.id == bindparam("named"))
_KEY = select(responses.c.key).where(*_NAMED)
_DELETE = delete(responses).where(*_NAMED).returning(responses.c.conversation_id)
_DELETE_JOB = delete(jobs).where(jobs.c.owner == bindparam("of"), jobs.c.response_id == bindparam("named"))
_DELETE_ITEMS = delete(items).where(items.c.response_key == bindparam("key"))
_INSERT_ITEMS = insert(items)


def _one_response() -> Any:
    """The response and its output in one statement, which sees one moment: the first row is the response."""
    told = (
        "created_at",
        "status",
        "model",
        "served_model",
        "previous_response_id",
        "conversation_id",
        "version",
    )
    head = (
        select(
            literal_column("-1").label("position"),
            responses.c.id.label("item_id"),
            responses.c.envelope.label("body"),
            *(responses.c[name] for name in told),
            streams.c.cut.label("cut"),
        )
        .join_from(responses, streams, isouter=True)
        .where(*_NAMED)
    )
    made = (
        select(items.c.position, items.c.id, items.c.body, *(null() for _ in (*told, "cut")))
        .join_from(items, responses)
        .where(*_NAMED, items.c.source == OUTPUT)
    )
    return union_all(head, made).order_by("position")


_GET = _one_response()


def _links() -> Select[Any]:
    """A response, the one before it, and so on; with their items, oldest turn first."""
    turn = (
        responses.c.key,
        responses.c.id,
        responses.c.created_at,
        responses.c.status,
        responses.c.model,
        responses.c.served_model,
        responses.c.previous_response_id,
        responses.c.conversation_id,
    )
    link = select(*turn, literal_column("1").label("depth")).where(*_NAMED).cte("link", recursive=True)
    before = (
        select(*turn, link.c.depth + 1)
        .join_from(link, responses, responses.c.id == link.c.previous_response_id)
        .where(responses.c.owner == bindparam("of"), link.c.depth < bindparam("limit"))
    )
    link = link.union_all(before)
    return (
        select(link, items.c.source, items.c.body)
        .join_from(link, items, items.c.response_key == link.c.key, isouter=True)
        .order_by(link.c.depth.desc(), items.c.source, items.c.position)
    )


_CHAIN = _links()


def _newest(table: Table, *newest_first: Any) -> Select[Any]:
    """Items by id; where an id occurs twice, the first in this order."""
    rank = func.row_number().over(partition_by=table.c.id, order_by=newest_first).label("rank")
    found = (
        select(table.c.id, table.c.body, rank)
        .where(table.c.owner == bindparam("of"), table.c.id.in_(bindparam("ids", expanding=True)))
        .subquery()
    )
    return select(found.c.id, found.c.body).where(found.c.rank == 1)


_ITEMS = _newest(items, items.c.source.desc(), items.c.response_key.desc(), items.c.position.desc())
_CONVERSATION_ITEMS = _newest(conversation_items, conversation_items.c.conversation_key.desc())


class SqlResponses:
    """`shim.store.protocol.Responses`."""

    def __init__(self, database: Database, events: SqlEvents, conversations: SqlConversations) -> None:
        self._database = database
        self._events = events
        self._conversations = conversations
        adding = insert_into(database.kind, responses)
        replaced = {name: adding.excluded[name] for name in COLUMNS}
        revision = {"revision": responses.c.revision + 1}
        self._save = upsert(
            adding, ("owner", "id"), replaced | revision, (responses.c.key, responses.c.revision)
        )
        values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in COLUMNS}
        self._replace = update(responses).where(*_NAMED).values(values | revision).returning(responses.c.key)

    async def save(
        self,
        record: ResponseRecord,
        *,
        lease: Lease | None = None,
        existing: bool = False,
        events: Sequence[StoredEvent] = (),
    ) -> bool:
        """See the protocol."""

        def work(connection: Connection) -> bool:
            if lease is not None:
                take = leases.finish if record.status in TERMINAL else leases.hold
                if take(connection, lease) is None:
                    return False
            put = self._put_over if existing or lease is not None else self.put
            kept = put(connection, record)
            if kept:
                self._events.add(connection, record.owner, record.id, events)
                self._join(connection, record)
            return kept

        return await self._database.write(work)

    def put(self, connection: Connection, record: ResponseRecord) -> bool:
        """Insert or replace within a transaction; always True."""
        values = {"owner": record.owner, "id": record.id, "revision": 0} | _columns(record)
        key, revision = connection.execute(self._save, values).one()
        _write_items(connection, key, record, replace=revision > 0)
        return True

    def _put_over(self, connection: Connection, record: ResponseRecord) -> bool:
        values = {f"new_{name}": value for name, value in _columns(record).items()}
        names = {"of": record.owner, "named": record.id}
        key = connection.execute(self._replace, names | values).scalar()
        if key is None:
            return False
        _write_items(connection, key, record, replace=True)
        return True

    def _join(self, connection: Connection, record: ResponseRecord) -> None:
        if record.conversation_id is not None and record.status in JOINS_CONVERSATION:
            turn = record.input + record.output
            self._conversations.add(connection, record.owner, record.conversation_id, turn, record.created_at)

    async def get(self, owner: str, response_id: str) -> StoredResponse | None:
        """See the protocol."""

        def work(connection: Connection) -> StoredResponse | None:
            rows = connection.execute(_GET, {"of": owner, "named": response_id}).all()
            return _stored(owner, rows[0], rows[1:]) if rows else None

        return await self._database.read(work)

    async def delete(self, owner: str, response_id: str) -> bool:
        """See the protocol. The rest goes with the row, by its foreign keys.

        The job goes first: whoever makes the response locks that row first, too, so that neither waits for the other.
        """
        names = {"of": owner, "named": response_id}

        def work(connection: Connection) -> bool:
            connection.execute(_DELETE_JOB, names)
            row = connection.execute(_DELETE, names).first()
            if row is not None and row.conversation_id is not None:
                self._conversations.release(connection, owner, row.conversation_id, response_id)
            return row is not None

        return await self._database.write(work)

    async def chain(self, owner: str, response_id: str, limit: int) -> Chain | None:
        """See the protocol."""

        def work(connection: Connection) -> Chain | None:
            rows = connection.execute(_CHAIN, {"of": owner, "named": response_id, "limit": limit})
            turns = tuple(_turn(list(group)) for _, group in groupby(rows, key=lambda row: row.depth))
            return Chain(turns, turns[0].previous_response_id) if turns else None

        return await self._database.read(work)

    async def input_items(self, owner: str, response_id: str, window: Window) -> Page | None:
        """See the protocol."""

        def work(connection: Connection) -> Page | None:
            key = connection.scalar(_KEY, {"of": owner, "named": response_id})
            if key is None:
                return None
            scope = (items.c.response_key == key, items.c.source == INPUT)
            return read_page(connection, items, scope, window)

        return await self._database.read(work)

    async def items_by_id(self, owner: str, ids: Iterable[str]) -> Mapping[str, bytes]:
        """See the protocol. Others are let in between: a request may name a hundred thousand."""
        wanted = {one: stored_key(one) for one in ids}
        found: dict[str, bytes] = {}
        for query in (_ITEMS, _CONVERSATION_ITEMS):
            absent = [key for key in wanted.values() if key not in found]
            for start in range(0, len(absent), IDS_AT_ONCE):
                some = {"of": owner, "ids": absent[start : start + IDS_AT_ONCE]}
                found |= await self._database.read(partial(_bodies, query, some))
        return {one: found[key] for one, key in wanted.items() if key in found}


def _bodies(query: Select[Any], some: Mapping[str, Any], connection: Connection) -> dict[str, bytes]:
    return {row.id: row.body for row in connection.execute(query, some)}


def _columns(record: ResponseRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in COLUMNS}


def _write_items(connection: Connection, key: int, record: ResponseRecord, *, replace: bool) -> None:
    if replace:
        connection.execute(_DELETE_ITEMS, {"key": key})
    rows = [
        {
            "response_key": key,
            "source": source,
            "position": position,
            "owner": record.owner,
            "id": item.id,
            "body": item.body,
        }
        for source, group in ((INPUT, record.input), (OUTPUT, record.output))
        for position, item in enumerate(group)
    ]
    if rows:
        connection.execute(_INSERT_ITEMS, rows)


def _stored(owner: str, head: Row[Any], made: Sequence[Row[Any]]) -> StoredResponse:
    return StoredResponse(
        owner=owner,
        id=head.item_id,
        created_at=head.created_at,
        status=head.status,
        model=head.model,
        envelope=head.body,
        output=tuple(Item(row.item_id, row.body) for row in made),
        served_model=head.served_model,
        previous_response_id=head.previous_response_id,
        conversation_id=head.conversation_id,
        version=head.version,
        events=_event_record(head.cut),
    )


def _event_record(cut: bool | None) -> EventRecord:  # noqa: FBT001 -- a column that is NULL without a stream
    if cut is None:
        return "none"
    return "cut" if cut else "whole"


def _turn(rows: Sequence[Row[Any]]) -> ChainTurn:
    first = rows[0]
    return ChainTurn(
        id=first.id,
        created_at=first.created_at,
        status=first.status,
        model=first.model,
        served_model=first.served_model,
        previous_response_id=first.previous_response_id,
        conversation_id=first.conversation_id,
        input=tuple(row.body for row in rows if row.source == INPUT),
        output=tuple(row.body for row in rows if row.source == OUTPUT),
    )
