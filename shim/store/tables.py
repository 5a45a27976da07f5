"""The tables, the same on SQLite and PostgreSQL.

A new database gets them as they stand here, an older one by migrations; a test holds the two together.

Wide bodies stand apart from what changes often: a growing stream rewrites a row of `streams`, never one of
`responses`. Text from clients passes `Key` or `Name`, for no database takes every string.

Not here: queries, and how tables come into being (`shim.store.schema`).
"""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

LONGEST_KEY = 256
"""Characters of an indexed string; PostgreSQL indexes no more than a third of a page."""

INPUT, OUTPUT = 0, 1
"""`items.source`: the turn's input, or what the model made."""


def storable(text: str) -> str:
    """The text without what UTF-8 or PostgreSQL cannot hold: lone surrogates and NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


class Name(TypeDecorator[str]):
    """Text that is kept and given back."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ARG002
        """Make it storable."""
        return None if value is None else storable(value)


class Key(TypeDecorator[str]):
    """Text that is looked up. One that is too long for an index becomes its beginning and its hash."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ARG002
        """Make it storable and short."""
        return None if value is None else stored_key(value)


def stored_key(key: str) -> str:
    """A key as it is stored and read back; the same if it is stored once more."""
    if len(key) <= LONGEST_KEY and key.isascii() and "\0" not in key:
        return key
    text = storable(key)
    if len(text) <= LONGEST_KEY:
        return text
    return f"{text[:64]}~{hashlib.sha256(text.encode()).hexdigest()}"


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

Serial = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers rows itself only in an INTEGER key


def _parent(table: str, *, primary: bool = True) -> Column[int]:
    return Column(
        f"{table}_key",
        BigInteger().with_variant(Integer(), "sqlite"),
        ForeignKey(f"{table}s.key", ondelete="CASCADE"),
        primary_key=primary,
        autoincrement=False,
        nullable=False,
    )


responses = Table(
    "responses",
    metadata,
    Column("key", Serial, primary_key=True),
    Column("owner", Key, nullable=False),
    Column("id", Key, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revision", Integer, nullable=False),  # 0 at first, one more at every replacement
    Column("size", BigInteger, nullable=False),  # bytes of envelope and items
    Column("status", Name, nullable=False),
    Column("model", Name, nullable=False),
    Column("served_model", Name),
    Column("previous_response_id", Key),
    Column("conversation_id", Key),
    Column("version", Integer, nullable=False),
    Column("envelope", LargeBinary, nullable=False),  # last: short columns are read without its pages
    UniqueConstraint("owner", "id"),
    Index(None, "created_at", "size"),  # retention and the size bound read this index alone
    Index(None, "owner", "created_at", "size"),  # who gives way above the bound, and with what
)

items = Table(
    "items",
    metadata,
    _parent("response"),
    Column("source", SmallInteger, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("owner", Key, nullable=False),
    Column("id", Key, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index(None, "owner", "id"),
)

streams = Table(
    "streams",
    metadata,
    _parent("response"),
    Column("size", BigInteger, nullable=False),  # bytes of its events
    Column("cut", Boolean, nullable=False),  # the size bound was met: nothing more is kept
    Column("last_number", BigInteger, nullable=False),
)

events = Table(
    "events",
    metadata,
    _parent("response"),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    _parent("response"),
    Column("owner", Key, nullable=False),
    Column("response_id", Key, nullable=False),
    Column("worker", Key),  # NULL while it waits
    Column("until", BigInteger),  # NULL while it waits
    Column("attempt", Integer, nullable=False),
    Column("cancelled", Boolean, nullable=False),
    Column("sealed_key", LargeBinary),
    Column("request", LargeBinary, nullable=False),
    UniqueConstraint("owner", "response_id"),
    Index(None, "until"),
    Index(None, "owner", "response_key"),  # whose turn it is
    Index(None, "worker", "owner"),
)

conversations = Table(
    "conversations",
    metadata,
    Column("key", Serial, primary_key=True),
    Column("owner", Key, nullable=False),
    Column("id", Key, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("used_at", BigInteger, nullable=False),  # retention counts from here
    Column("size", BigInteger, nullable=False),
    Column("next_position", BigInteger, nullable=False),
    Column("lock_worker", Key),
    Column("lock_until", BigInteger),
    Column("metadata", LargeBinary, nullable=False),
    UniqueConstraint("owner", "id"),
    Index(None, "used_at"),
)

conversation_items = Table(
    "conversation_items",
    metadata,
    _parent("conversation"),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("owner", Key, nullable=False),
    Column("id", Key, nullable=False),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("conversation_key", "id"),
    Index(None, "owner", "id"),
)

prompts = Table(
    "prompts",
    metadata,
    Column("owner", Key, primary_key=True),
    Column("id", Key, primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("created_at", BigInteger, nullable=False),
    Column("template", LargeBinary, nullable=False),
)

calibrations = Table(
    "calibrations",
    metadata,
    Column("instrument", Key, primary_key=True),
    Column("samples", BigInteger, nullable=False),
    Column("estimated", BigInteger, nullable=False),
    Column("reported", BigInteger, nullable=False),
)

owner_keys = Table(
    "owner_keys",
    metadata,
    Column("key_id", Key, primary_key=True),
    Column("note", LargeBinary, nullable=False),
)
