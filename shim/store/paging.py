"""One page of a list of items, by position: stable while items are added.

Not here: which list; the two kinds of items share this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, select

from shim.errors import invalid
from shim.store.records import Item, Page, Window


def read_page(
    connection: Connection, table: Table, scope: Sequence[ColumnElement[bool]], window: Window
) -> Page:
    """A page of the rows in scope.

    With only `before`, the page is the one that ends there, as a client that leafs back expects.

    Raises:
        ClientFault: A cursor names no item in scope.
    """
    rising = window.order == "asc"
    position = table.c.position
    query = select(table.c.id, table.c.body).where(*scope)
    if window.after is not None:
        at = _position(connection, table, scope, window.after, "after")
        query = query.where(position > at if rising else position < at)
    if window.before is not None:
        at = _position(connection, table, scope, window.before, "before")
        query = query.where(position < at if rising else position > at)
    backwards = window.before is not None and window.after is None
    query = query.order_by(position.asc() if rising is not backwards else position.desc())
    if window.limit is not None:
        query = query.limit(window.limit + 1)
    rows = connection.execute(query).all()
    found = [Item(row.id, row.body) for row in rows[: window.limit]]
    return Page(tuple(reversed(found) if backwards else found), has_more=len(rows) > len(found))


def _position(
    connection: Connection, table: Table, scope: Sequence[ColumnElement[bool]], item_id: str, name: str
) -> Any:
    found = connection.scalar(
        select(table.c.position).where(*scope, table.c.id == item_id).order_by(table.c.position).limit(1)
    )
    if found is None:
        raise invalid(f"No item with id '{item_id}' found.", name)
    return found
