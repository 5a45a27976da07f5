"""What a turn goes on from: chains, conversations and single items, weighed before their bodies are read.

Both databases tell the length of a body without reading it. A row's own `size` counts more than its items' bodies, so
where the sizes are within the bound, nothing is weighed one by one. What must be consistent is one statement.

Not here: what may be continued, and how a refusal is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import (
    CTE,
    BindParameter,
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    and_,
    bindparam,
    case,
    false,
    func,
    literal_column,
    not_,
    select,
    true,
)

from shim.store.records import Chain, ChainTurn, TooMuch
from shim.store.tables import (
    INPUT,
    OUTPUT,
    conversation_items,
    conversations,
    items,
    responses,
)

IDS_AT_ONCE = 500
"""Ids in one lookup; databases bound the parameters of a statement."""

_MOST: BindParameter[int] = bindparam("most", type_=responses.c.size.type)


def _heavy(at_most: ColumnElement[int], exactly: Select[Any]) -> ColumnElement[bool]:
    """Whether the bodies exceed the bound; they are weighed only if what they have at most does."""
    return case((at_most <= _MOST, false()), else_=exactly.scalar_subquery() > _MOST).label("heavy")


def _weight(table: Table) -> ColumnElement[int]:
    return func.coalesce(func.sum(func.length(table.c.body)), 0)


def _links() -> Select[Any]:
    """A response, the one before it, and so on; with their items, oldest turn first, or without if they are heavy."""
    turn = (
        responses.c.key,
        responses.c.id,
        responses.c.created_at,
        responses.c.status,
        responses.c.model,
        responses.c.served_model,
        responses.c.previous_response_id,
        responses.c.conversation_id,
        responses.c.size,
    )
    named = (responses.c.owner == bindparam("of"), responses.c.id == bindparam("named"))
    link = select(*turn, literal_column("1").label("depth")).where(*named).cte("link", recursive=True)
    before = (
        select(*turn, link.c.depth + 1)
        .join_from(link, responses, responses.c.id == link.c.previous_response_id)
        .where(responses.c.owner == bindparam("of"), link.c.depth < bindparam("limit"))
    )
    link = link.union_all(before)
    exactly = select(_weight(items)).join_from(link, items, items.c.response_key == link.c.key)
    weighed = select(_heavy(func.sum(link.c.size), exactly)).select_from(link).cte("weighed")
    return (
        select(link, weighed.c.heavy, items.c.source, items.c.body)
        .join_from(link, weighed, true())
        .join(items, and_(items.c.response_key == link.c.key, not_(weighed.c.heavy)), isouter=True)
        .order_by(link.c.depth.desc(), items.c.source, items.c.position)
    )


_CHAIN = _links()


def read_chain(
    connection: Connection, owner: str, response_id: str, limit: int, most_bytes: int
) -> Chain | None:
    """See `shim.store.protocol.Responses.chain`."""
    asked = {"of": owner, "named": response_id, "limit": limit, "most": most_bytes}
    rows = connection.execute(_CHAIN, asked).all()
    if rows and rows[0].heavy:
        raise TooMuch
    turns = tuple(_turn(list(group)) for _, group in groupby(rows, key=lambda row: row.depth))
    return Chain(turns, turns[0].previous_response_id) if turns else None


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


_SHARED = conversation_items.alias("shared")
_FIRST_SHARED = (
    select(func.min(_SHARED.c.position))
    .join_from(responses, items)
    .join(_SHARED, and_(_SHARED.c.id == items.c.id, _SHARED.c.conversation_key == conversations.c.key))
    .where(responses.c.owner == bindparam("of"), responses.c.id == bindparam("turn"))
    .correlate(conversations)
    .scalar_subquery()
)
"""The position of the first item that a conversation shares with a response."""


def _held_before(position: ColumnElement[int]) -> Select[Any]:
    """A conversation's items before a position, in order; one row without a body if there are none, or they are heavy."""
    found = (
        select(conversations.c.key, conversations.c.size, position.label("ends"))
        .where(conversations.c.owner == bindparam("of"), conversations.c.id == bindparam("named"))
        .cte("found")
    )
    exactly = select(_weight(conversation_items)).where(*_within(found)).correlate_except(conversation_items)
    weighed = select(found.c.key, found.c.ends, _heavy(found.c.size, exactly)).cte("weighed")
    light = (*_within(weighed), not_(weighed.c.heavy))
    return (
        select(weighed.c.ends, weighed.c.heavy, conversation_items.c.body)
        .join_from(weighed, conversation_items, and_(*light), isouter=True)
        .order_by(conversation_items.c.position)
    )


def _within(conversation: CTE) -> tuple[ColumnElement[bool], ...]:
    return (
        conversation_items.c.conversation_key == conversation.c.key,
        conversation_items.c.position < conversation.c.ends,
    )


_WHOLE = _held_before(conversations.c.next_position)
_BEFORE = _held_before(_FIRST_SHARED)


def read_conversation(
    connection: Connection, owner: str, conversation_id: str, most_bytes: int, before: str | None = None
) -> tuple[bytes, ...] | None:
    """See `shim.store.protocol.Conversations.history`."""
    asked = {"of": owner, "named": conversation_id, "most": most_bytes}
    statement = _WHOLE if before is None else _BEFORE
    rows = connection.execute(statement, asked if before is None else asked | {"turn": before}).all()
    if rows and rows[0].heavy:
        raise TooMuch
    if not rows or rows[0].ends is None:
        return None
    return tuple(row.body for row in rows if row.body is not None)


def _newest(table: Table, told: ColumnElement[Any], *newest_first: Any) -> Select[Any]:
    """What is told of items by id; where an id occurs twice, of the first in this order."""
    rank = func.row_number().over(partition_by=table.c.id, order_by=newest_first).label("rank")
    found = (
        select(table.c.id, told.label("told"), rank)
        .where(table.c.owner == bindparam("of"), table.c.id.in_(bindparam("ids", expanding=True)))
        .subquery()
    )
    return select(found.c.id, found.c.told).where(found.c.rank == 1)


def _of_items(told: Callable[[Table], ColumnElement[Any]]) -> tuple[Select[Any], ...]:
    """What is told of items by id, those of responses and those of conversations."""
    of_responses = (items.c.source.desc(), items.c.response_key.desc(), items.c.position.desc())
    return (
        _newest(items, told(items), *of_responses),
        _newest(conversation_items, told(conversation_items), conversation_items.c.conversation_key.desc()),
    )


ITEM_SIZES = _of_items(lambda table: func.length(table.c.body))
ITEM_BODIES = _of_items(lambda table: table.c.body)


def told_of_items(statement: Select[Any], asked: Mapping[str, Any], connection: Connection) -> dict[str, Any]:
    """What one of these statements tells, by the keys of the items that it knows."""
    return {row.id: row.told for row in connection.execute(statement, asked)}
