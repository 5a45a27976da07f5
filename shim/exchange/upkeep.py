"""What the store needs from time to time: the old things deleted."""

from __future__ import annotations

import asyncio
import logging

from shim.errors import Fault
from shim.exchange.steady import Clocked, Steady
from shim.store import ResponseStore

log = logging.getLogger("shim.exchange")

BELIEVED_SECONDS = 3600
"""How long the clock must go on after a jump forward before anything is deleted by it: a mistake may be mended."""

PURGE_SECONDS = 60
"""How often the store is purged: the size bound is exceeded by no more than what a minute brings."""


async def purge(store: ResponseStore, now: int) -> int:
    """Delete everything past its time or above the bound; how many responses and conversations went.

    Raises:
        StoreFault: The store is away.
    """
    gone = 0
    while True:
        purged = await store.purge(now)
        gone += purged.responses + purged.conversations
        if not purged.more:
            return gone


async def keep_tidy(store: ResponseStore, source: Clocked) -> None:
    """Purge at once and then every minute, until cancelled; a store that is away is tried again."""
    steady = Steady(source, BELIEVED_SECONDS)
    while True:
        try:
            if gone := await purge(store, steady.now()):
                log.info("purged %d stored responses and conversations", gone)
        except Fault as fault:
            log.warning("the store could not be purged: %s", fault.message)
        await asyncio.sleep(PURGE_SECONDS)
