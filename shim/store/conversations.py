"""Conversations, their items, and the lock that lets one turn run at a time.

Not here: what a turn reads from its conversation and when it asks for the lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import BigInteger, Connection, bindparam, delete, insert, or_, select, update

from shim.errors import invalid
from shim.store.database import Database
from shim.store.dialect import insert_new
from shim.store.histories import read_conversation
from shim.store.paging import read_page
from shim.store.records import LONGEST_SECONDS, UNBOUNDED, Claim, Conversation, Item, Locking, Page, Window
from shim.store.tables import conversation_items as items
from shim.store.tables import conversations

_NAMED = (conversations.c.owner == bindparam("of"), conversations.c.id == bindparam("named"))
_TOLD = (conversations.c.created_at, conversations.c.metadata)
_KEY = select(conversations.c.key).where(*_NAMED)
_GET = select(*_TOLD).where(*_NAMED)
_CREATE = insert(conversations)
_DELETE = delete(conversations).where(*_NAMED).returning(conversations.c.key)
_UPDATE = (
    update(conversations)
    .where(*_NAMED)
    .values(metadata=bindparam("told"), used_at=bindparam("now"))
    .returning(*_TOLD)
)
_MAKE_ROOM = (
    update(conversations)
    .where(*_NAMED)
    .values(
        next_position=conversations.c.next_position + bindparam("count"),
        size=conversations.c.size + bindparam("bytes"),
        used_at=bindparam("now"),
    )
    .returning(conversations.c.key, conversations.c.next_position)
)
_SHRINK = (
    update(conversations)
    .where(conversations.c.key == bindparam("of_key"))
    .values(size=conversations.c.size - bindparam("bytes"))
)
_HOLD = _KEY.with_for_update()
_LOCK = (
    update(conversations)
    .where(
        *_NAMED,
        or_(
            conversations.c.lock_worker.is_(None),
            conversations.c.lock_worker == bindparam("worker"),
            conversations.c.lock_until <= bindparam("now"),
            conversations.c.lock_until > bindparam("until", type_=BigInteger) + LONGEST_SECONDS,
        ),
    )
    .values(lock_worker=bindparam("worker"), lock_until=bindparam("until"), used_at=bindparam("now"))
    .returning(conversations.c.key)
)
_UNLOCK = (
    update(conversations)
    .where(*_NAMED, conversations.c.lock_worker == bindparam("worker"))
    .values(lock_worker=None, lock_until=None)
    .returning(conversations.c.key)
)
_ONE_ITEM = (items.c.conversation_key == _KEY.scalar_subquery(), items.c.id == bindparam("item"))
_GET_ITEM = select(items.c.id, items.c.body).where(*_ONE_ITEM)
_DELETE_ITEM = delete(items).where(*_ONE_ITEM).returning(items.c.conversation_key, items.c.body)


def _names(owner: str, conversation_id: str, **more: Any) -> dict[str, Any]:
    return {"of": owner, "named": conversation_id, **more}


class SqlConversations:
    """`shim.store.protocol.Conversations`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        inserting = insert_new(database.kind, items, "conversation_key", "id")
        self._insert_items = inserting.returning(items.c.position)

    async def create(self, conversation: Conversation, items: Sequence[Item] = ()) -> None:
        """See the protocol."""
        row = {
            "owner": conversation.owner,
            "id": conversation.id,
            "created_at": conversation.created_at,
            "used_at": conversation.created_at,
            "size": len(conversation.metadata),
            "next_position": 0,
            "metadata": conversation.metadata,
        }

        def work(connection: Connection) -> None:
            connection.execute(_CREATE, row)
            self._add_all(connection, conversation.owner, conversation.id, items, conversation.created_at)

        await self._database.write(work)

    def add(
        self, connection: Connection, owner: str, conversation_id: str, added: Sequence[Item], now: int
    ) -> tuple[int, ...] | None:
        """Append within a transaction; None if there is no conversation.

        One whose id is there already stays as it was; which of those given were passed over.
        """
        size = sum(len(item.body) for item in added)
        names = _names(owner, conversation_id, count=len(added), bytes=size, now=now)
        row = connection.execute(_MAKE_ROOM, names).first()
        if row is None:
            return None
        first = row.next_position - len(added)
        rows = [
            {
                "conversation_key": row.key,
                "position": first + place,
                "owner": owner,
                "id": item.id,
                "body": item.body,
            }
            for place, item in enumerate(added)
        ]
        taken = set(connection.scalars(self._insert_items, rows)) if rows else set()
        passed = tuple(place for place in range(len(added)) if first + place not in taken)
        if passed:
            _shrink(connection, row.key, [added[place].body for place in passed])
        return passed

    async def get(self, owner: str, conversation_id: str) -> Conversation | None:
        """See the protocol."""

        def work(connection: Connection) -> Conversation | None:
            row = connection.execute(_GET, _names(owner, conversation_id)).first()
            return _conversation(owner, conversation_id, row)

        return await self._database.read(work)

    async def update(
        self, owner: str, conversation_id: str, metadata: bytes, now: int
    ) -> Conversation | None:
        """See the protocol."""

        def work(connection: Connection) -> Conversation | None:
            names = _names(owner, conversation_id, told=metadata, now=now)
            row = connection.execute(_UPDATE, names).first()
            return _conversation(owner, conversation_id, row)

        return await self._database.write(work)

    async def delete(self, owner: str, conversation_id: str) -> bool:
        """See the protocol. Ids are never used again, so the row's absence is all that later answers need."""

        def work(connection: Connection) -> bool:
            gone = connection.execute(_DELETE, _names(owner, conversation_id))
            return gone.first() is not None

        return await self._database.write(work)

    async def append(self, owner: str, conversation_id: str, items: Sequence[Item], now: int) -> bool:
        """See the protocol."""

        def work(connection: Connection) -> bool:
            return self._add_all(connection, owner, conversation_id, items, now)

        return await self._database.write(work)

    async def items(self, owner: str, conversation_id: str, window: Window) -> Page | None:
        """See the protocol."""

        def work(connection: Connection) -> Page | None:
            key = connection.scalar(_KEY, _names(owner, conversation_id))
            if key is None:
                return None
            return read_page(connection, items, (items.c.conversation_key == key,), window)

        return await self._database.read(work)

    async def history(
        self, owner: str, conversation_id: str, most_bytes: int = UNBOUNDED, *, before: str | None = None
    ) -> tuple[bytes, ...] | None:
        """See the protocol."""

        def work(connection: Connection) -> tuple[bytes, ...] | None:
            return read_conversation(connection, owner, conversation_id, most_bytes, before)

        return await self._database.read(work)

    async def item(self, owner: str, conversation_id: str, item_id: str) -> Item | None:
        """See the protocol."""

        def work(connection: Connection) -> Item | None:
            names = _names(owner, conversation_id, item=item_id)
            row = connection.execute(_GET_ITEM, names).first()
            return Item(row.id, row.body) if row else None

        return await self._database.read(work)

    async def delete_item(self, owner: str, conversation_id: str, item_id: str) -> bool:
        """See the protocol."""

        def work(connection: Connection) -> bool:
            names = _names(owner, conversation_id)
            connection.execute(_HOLD, names)
            row = connection.execute(_DELETE_ITEM, {**names, "item": item_id}).first()
            if row is not None:
                _shrink(connection, row.conversation_key, [row.body])
            return row is not None

        return await self._database.write(work)

    async def lock(self, owner: str, conversation_id: str, claim: Claim, now: int) -> Locking:
        """See the protocol."""

        def work(connection: Connection) -> Locking:
            names = _names(owner, conversation_id)
            taking = {"worker": claim.worker, "until": claim.until, "now": now}
            if connection.execute(_LOCK, names | taking).first() is not None:
                return "locked"
            return "missing" if connection.scalar(_KEY, names) is None else "held"

        return await self._database.write(work)

    async def unlock(self, owner: str, conversation_id: str, worker: str) -> bool:
        """See the protocol."""

        def work(connection: Connection) -> bool:
            return self.release(connection, owner, conversation_id, worker)

        return await self._database.write(work)

    def release(self, connection: Connection, owner: str, conversation_id: str, worker: str) -> bool:
        """Give the turn back within a transaction; False if it was not the worker's."""
        names = _names(owner, conversation_id, worker=worker)
        return connection.execute(_UNLOCK, names).first() is not None

    def _add_all(
        self, connection: Connection, owner: str, conversation_id: str, added: Sequence[Item], now: int
    ) -> bool:
        """Append all, or break off the transaction; False if there is no conversation."""
        passed = self.add(connection, owner, conversation_id, added, now)
        if passed:
            place = passed[0]
            message = f"Item with id '{added[place].id}' already exists in the conversation."
            raise invalid(message, f"items[{place}].id")
        return passed is not None


def _shrink(connection: Connection, key: int, gone: Iterable[bytes]) -> None:
    """Count these bodies no more."""
    connection.execute(_SHRINK, {"of_key": key, "bytes": sum(map(len, gone))})


def _conversation(owner: str, conversation_id: str, row: Any) -> Conversation | None:
    if row is None:
        return None
    return Conversation(owner, conversation_id, row.created_at, row.metadata)
