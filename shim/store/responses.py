"""Responses and their items.

A response is one row of `responses` and one row an item.

Not here: how a chain is read (`shim.store.histories`); events, jobs and conversations, which a save may touch in its
transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    bindparam,
    delete,
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
from shim.store.histories import IDS_AT_ONCE, ITEM_BODIES, ITEM_SIZES, read_chain, told_of_items
from shim.store.paging import read_page
from shim.store.records import (
    JOINS_CONVERSATION,
    TERMINAL,
    UNBOUNDED,
    Chain,
    EventRecord,
    Item,
    Lease,
    Page,
    ResponseRecord,
    StoredEvent,
    StoredResponse,
    TooMuch,
    Window,
)
from shim.store.tables import INPUT, OUTPUT, items, jobs, responses, stored_key, streams

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

    async def chain(
        self, owner: str, response_id: str, limit: int, most_bytes: int = UNBOUNDED
    ) -> Chain | None:
        """See the protocol."""

        def work(connection: Connection) -> Chain | None:
            return read_chain(connection, owner, response_id, limit, most_bytes)

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

    async def items_by_id(
        self, owner: str, ids: Iterable[str], most_bytes: int = UNBOUNDED
    ) -> Mapping[str, bytes]:
        """See the protocol."""
        named = Counter(iter(ids))  # a mapping would be taken for counts
        keys = {one: stored_key(one) for one in named}
        sizes = await self._looked_up(owner, keys, ITEM_SIZES)
        if sum(size * named[one] for one, size in sizes.items()) > most_bytes:
            raise TooMuch
        return await self._looked_up(owner, keys, ITEM_BODIES)

    async def _looked_up(
        self, owner: str, keys: Mapping[str, str], statements: Iterable[Select[Any]]
    ) -> dict[str, Any]:
        """What the statements tell of items by id; the first that knows one counts.

        Others are let in between, as a request may name a hundred thousand; what comes after one that is not there is not looked
        up any more.
        """
        found: dict[str, Any] = {}
        wanted = list(keys.values())
        for start in range(0, len(wanted), IDS_AT_ONCE):
            absent = wanted[start : start + IDS_AT_ONCE]
            for statement in statements:
                if absent:
                    some = {"of": owner, "ids": absent}
                    found |= await self._database.read(partial(told_of_items, statement, some))
                    absent = [key for key in absent if key not in found]
            if absent:
                break
        return {one: found[key] for one, key in keys.items() if key in found}


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
