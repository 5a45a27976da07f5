"""The little in which SQLite's and PostgreSQL's SQL differ for us: INSERT with a conflict clause.

Not here: queries; both databases run the same ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Executable, Select, Table
from sqlalchemy.dialects import sqlite

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

    Insert = postgresql.Insert | sqlite.Insert


def insert_into(kind: str, table: Table) -> Insert:
    """An INSERT that knows ON CONFLICT, for this kind of database."""
    if kind != "postgresql":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415 -- large, and SQLite needs none of it

    return postgresql.insert(table)


def insert_new(kind: str, table: Table, *conflict: str) -> Insert:
    """INSERT rows; one that conflicts on these columns is passed over."""
    return insert_into(kind, table).on_conflict_do_nothing(index_elements=list(conflict))


def upsert(
    statement: Insert,
    conflict: Iterable[str],
    values: dict[str, Any],
    returning: Iterable[Any],
    where: ColumnElement[bool] | None = None,
) -> Executable:
    """INSERT, or UPDATE the row that conflicts with these values, if it is one of `where`; gives columns back."""
    updating = statement.on_conflict_do_update(index_elements=list(conflict), set_=values, where=where)
    return updating.returning(*returning)


def insert_from(kind: str, table: Table, columns: Iterable[str], rows: Select[Any]) -> Insert:
    """INSERT what a SELECT finds. It must have a WHERE, or SQLite reads ON as part of a join."""
    return insert_into(kind, table).from_select(list(columns), rows)
