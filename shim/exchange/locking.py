"""The turn lock of a conversation: one turn at a time, for as long as the turn runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from shim.errors import ClientFault, Fault
from shim.exchange.steady import Steady
from shim.store.protocol import Conversations
from shim.store.records import Claim, Locking

log = logging.getLogger("shim.exchange")

Release = Callable[[], Awaitable[None]]
"""Gives back what was taken; never raises."""

CONVERSATION_LOCKED = "conversation_locked"
"""The code of the fault that another turn of the conversation is under way."""

LOCK_SECONDS = 30
"""How long a conversation stays locked if the process dies within a turn; a turn that runs prolongs it."""


async def release_nothing() -> None:
    """For turns that hold nothing."""


class TurnLock:
    """The lock of one conversation for one response."""

    def __init__(
        self, store: Conversations, steady: Steady, owner: str, conversation: str, response_id: str
    ) -> None:
        self._store = store
        self._steady = steady
        self._named = owner, conversation
        self._worker = response_id
        self._released = asyncio.Event()

    async def take(self) -> Release:
        """Take it; what gives it back.

        Raises:
            ClientFault: 409, another turn has it.
            StoreFault: The store is away.
        """
        locking = asyncio.create_task(self._lock())
        try:
            taken = await asyncio.shield(locking)
        except asyncio.CancelledError:  # the store carries it through all the same
            with suppress(Fault):
                await locking
                await self._store.unlock(*self._named, self._worker)
            raise
        if taken == "held":
            message = "Another response is being made in this conversation; try again when it has ended."
            raise ClientFault(
                message, status=409, param="conversation", code=CONVERSATION_LOCKED, retry_after=1
            )
        prolonging = asyncio.create_task(self._prolong())

        async def release() -> None:
            self._released.set()
            await prolonging  # so that no late prolongation locks it again
            try:
                await self._store.unlock(*self._named, self._worker)
            except Fault as fault:
                log.warning("a conversation stays locked for %d s: %s", LOCK_SECONDS, fault.message)

        return release

    async def _lock(self) -> Locking:
        until = self._steady.source.now() + LOCK_SECONDS
        return await self._store.lock(*self._named, Claim(self._worker, until), self._steady.now())

    async def _prolong(self) -> None:
        while not self._released.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(LOCK_SECONDS / 3):
                    await self._released.wait()
                    return
            with suppress(Fault):
                await self._lock()
