"""What the server remembers: responses, streams, background work, conversations, prompts.

`open_store` gives a `ResponseStore`, on SQLite or PostgreSQL, in memory, or one that keeps nothing. This package
knows nothing of HTTP or of the wire: it keeps JSON as bytes.
"""

from shim.store.choosing import open_store, upgrade_store
from shim.store.faults import StoreFault, StoreOff
from shim.store.protocol import ResponseStore

__all__ = ["ResponseStore", "StoreFault", "StoreOff", "open_store", "upgrade_store"]
