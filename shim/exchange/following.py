"""A stored stream, read from any number to its end: the events that are there, then those to come.

Whoever makes the response stores every event before anyone hears of it, so that all who follow, on any replica, at
any time, read the same bytes. A follower in the process that makes the response is woken by `News`; one elsewhere
asks the store again and again.

Heartbeats are comments: a sequence number belongs to one event for ever, and none is spent on silence.

Not here: making responses (`shim.exchange.background`), HTTP.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from pydantic_core import from_json, to_json

from shim.core.sse import framed
from shim.core.strides import Put
from shim.errors import Fault
from shim.store import ResponseStore, StoreFault
from shim.store.records import TERMINAL, StoredEvent

log = logging.getLogger("shim.background")

T = TypeVar("T")

PAGE_EVENTS = 256
"""Events read from the store at once."""

POLL_SECONDS = 0.5
"""How often the store is asked about a response that another process makes."""

HEARTBEAT = b": keepalive\n\n"

NO_HEADERS: Mapping[str, str] = {}


class News:
    """Wakes everyone who waits, each time something was stored."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    @property
    def next(self) -> asyncio.Event:
        """Set at the next news; take it before reading, so that nothing falls in between."""
        return self._next

    def spread(self) -> None:
        """Something was stored."""
        told, self._next = self._next, asyncio.Event()
        told.set()


@dataclass(frozen=True)
class Here:
    """What a follower asks its own process.

    Attributes:
        news: What is set at the next news, or None if the response is not made in this process.
        left: Whether this process ends: then what is stored is told, and no more is waited for.
    """

    news: Callable[[], asyncio.Event | None]
    left: Callable[[], bool]


class Following:
    """One reader of one stream; looks like a `Turn` to whatever sends it."""

    headers = NO_HEADERS

    def __init__(
        self,
        store: ResponseStore,
        owner: str,
        response_id: str,
        after: int,
        here: Here,
    ) -> None:
        """Prepare to read.

        Args:
            store: Where the stream is.
            owner: Whose it is.
            response_id: Which response.
            after: The number after which to begin, -1 for the whole stream.
            here: What this process knows of the response.
        """
        self._store = store
        self._owner = owner
        self._id = response_id
        self._after = after
        self._here = here
        self._news: asyncio.Event | None = None
        self._waiting = self._over = False

    def ahead(self, outlet: Put) -> None:
        """Nothing is: what is stored is read page by page."""

    async def read(self) -> bytes | None:
        """The next whole server-sent events; None after the end of the response, its deletion, or with this process.

        A store that is away is waited for.
        """
        while not self._over:
            if self._waiting:
                await _either(self._news)
            self._news, left = self._here.news(), self._here.left()
            page = await self._answered(
                lambda: self._store.events.read(self._owner, self._id, self._after, PAGE_EVENTS)
            )
            if page is None:
                break
            pieces = [*map(_frame, page.events)]
            if page.events:
                self._after = page.events[-1].number
            self._waiting = len(page.events) < PAGE_EVENTS
            self._over = self._waiting and (left or page.status in TERMINAL)
            if self._over and page.cut and page.status in TERMINAL:
                pieces.append(await self._answered(partial(self._rest, page.status)) or b"")
            if pieces:
                return b"".join(pieces)
        return None

    def heartbeat(self) -> bytes:
        """A sign of life that is no event."""
        return HEARTBEAT

    async def cut_off(self, _: Fault) -> bytes:
        """The stream just ends, in order: it goes on elsewhere, after the number that was told last."""
        return b""

    async def _answered(self, ask: Callable[[], Awaitable[T]]) -> T | None:
        """What the store says; one that is away is asked again, until this process ends: then None."""
        while True:
            left = self._here.left()
            try:
                return await ask()
            except StoreFault as fault:
                log.warning("a follower of response %s waits for the store: %s", self._id, fault.message)
            if left:
                return None
            await asyncio.sleep(POLL_SECONDS)

    async def _rest(self, status: str) -> bytes:
        """The end of a stream that outgrew the store's bound: the gap is said, then the whole response is told."""
        comment = b": the events after number %d were too many to be kept\n\n" % self._after
        stored = await self._store.responses.get(self._owner, self._id)
        if stored is None or status == "cancelled":
            return comment
        kind = f"response.{status}"
        event = {"type": kind, "response": from_json(stored.body), "sequence_number": self._after + 1}
        return comment + framed(kind, to_json(event))


def _frame(event: StoredEvent) -> bytes:
    return framed(from_json(event.body)["type"], event.body)


async def _either(news: asyncio.Event | None) -> None:
    """Wait for news, or until it is time to ask again: another process may have taken the response over."""
    if news is None:
        await asyncio.sleep(POLL_SECONDS)
        return
    with suppress(TimeoutError):
        await asyncio.wait_for(news.wait(), POLL_SECONDS)
