"""Whether there is a store at all. SQLAlchemy is imported only where there is one.

Not here: which database it is (`shim.store.opening`).
"""

from __future__ import annotations

from shim.settings import Settings
from shim.store.off import OffStore
from shim.store.protocol import ResponseStore


async def open_store(settings: Settings) -> ResponseStore:
    """Open the store that the settings name.

    An SQLite file is made and its schema upgraded as needed; a PostgreSQL's schema is upgraded only if `store_upgrade` is set.

    Raises:
        StoreFault: The database is away, or its schema is not ours.
    """
    if settings.store == "off":
        return OffStore()
    from shim.store.opening import open_sql_store  # noqa: PLC0415 -- large

    return await open_sql_store(settings)


async def upgrade_store(settings: Settings) -> str | None:
    """Bring the schema up to date; the version before, None if there was none.

    Raises:
        StoreFault: The database is away, or its schema is newer than ours.
    """
    from shim.store.opening import upgrade_sql_store  # noqa: PLC0415

    return await upgrade_sql_store(settings)
