"""What stands in a store, counted from beside it, and what must not."""

from __future__ import annotations

from collections import Counter
from contextlib import aclosing

from sqlalchemy import Connection, text

from shim.settings import Settings
from shim.store.opening import open_database
from shim.store.tables import metadata

TABLES = tuple(metadata.tables)

_OVER = "('completed', 'incomplete', 'failed', 'cancelled')"

NONE_AT_REST = {
    "items without a response": "items WHERE response_key NOT IN (SELECT key FROM responses)",
    "events without a response": "events WHERE response_key NOT IN (SELECT key FROM responses)",
    "streams without a response": "streams WHERE response_key NOT IN (SELECT key FROM responses)",
    "events without a stream": "events WHERE response_key NOT IN (SELECT response_key FROM streams)",
    "conversation items without a conversation": (
        "conversation_items WHERE conversation_key NOT IN (SELECT key FROM conversations)"
    ),
    "jobs": "jobs",
    "responses without an end": f"responses WHERE status NOT IN {_OVER}",
    "locked conversations": "conversations WHERE lock_worker IS NOT NULL",
    "responses whose size is wrong": (
        "responses WHERE size <> length(envelope) + "
        "(SELECT coalesce(sum(length(body)), 0) FROM items WHERE response_key = responses.key)"
    ),
    "streams whose size is wrong": (
        "streams WHERE size <> "
        "(SELECT coalesce(sum(length(body)), 0) FROM events WHERE response_key = streams.response_key)"
    ),
}
"""What there must be none of once nothing is under way."""

_SIZES = " + ".join(
    f"(SELECT coalesce(sum(size), 0) FROM {name})" for name in ("responses", "streams", "conversations")
)


async def counted(store: str) -> Counter[str]:
    """The rows of every table, those of `NONE_AT_REST`, and the `bytes` that the size bound is about.

    Args:
        store: The setting, a URL.
    """
    database = open_database(Settings(store=store))
    async with aclosing(database):
        return await database.read(_count)


def _count(connection: Connection) -> Counter[str]:
    found = Counter[str]({name: _number(connection, f"count(*) FROM {name}") for name in TABLES})
    found.update(
        {what: _number(connection, f"count(*) FROM {which}") for what, which in NONE_AT_REST.items()}
    )
    found["bytes"] = _number(connection, _SIZES)
    return found


def _number(connection: Connection, selected: str) -> int:
    return int(connection.scalar(text(f"SELECT {selected}")) or 0)
