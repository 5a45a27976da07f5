"""The upstream's list of instruments, kept for a while and refreshed with the key of whoever asks for it.

The list is the same for everybody, the keys are not: where clients' own keys pass through, anyone may ask with one that
he made up. So a refresh that fails may cost those who asked with that key, and nobody else:

- A key that the upstream has accepted is *known*. Known keys are few and real: their refusals are their own, any other
  failure is the upstream's and stands for everyone. To ask without a key counts as known.
- Any other key is a *stranger's*. Its failures are its own, whatever they are, and strangers that fail are so many in a
  while. Who finds no room is given the list as it is.

Not here: how the list is fetched (`shim.upstream.client`) and read (`shim.upstream.catalog`).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import replace

from shim.errors import Fault
from shim.upstream.catalog import Catalog

Fetch = Callable[[str | None], Awaitable[Catalog]]

ERROR_SECONDS = 15.0
"""How long a failed refresh is not repeated."""

WAIT_SECONDS = 10.0
"""How long anyone waits for a refresh, his own or another's."""

WAIT_WITH_LIST_SECONDS = 1.0
"""The same where there is an old list to be given: an upstream may answer everything but this."""

MOST_AT_ONCE = 4
"""Refreshes under way with strangers' keys, and likewise with known ones."""

MOST_FAILURES = 10
"""Strangers that may fail within `ERROR_SECONDS`: further ones are not tried."""

MOST_KNOWN = 1000
"""Keys that are remembered."""

REFUSALS = frozenset({401, 402, 403, 429})
"""Statuses that are about the key."""


class Shelf:
    """Keeps the catalog: one refresh at a time with each key; the old one if none succeeds."""

    def __init__(
        self,
        fetch: Fetch,
        *,
        seconds: float,
        fallback: Catalog,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._seconds = seconds
        self._pause = min(seconds, ERROR_SECONDS)
        self._catalog = fallback
        self._clock = clock
        self._expires = -1.0
        self._news: asyncio.Future[None] | None = None
        self._flights: dict[bytes, asyncio.Task[None]] = {}
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._failed: OrderedDict[bytes, tuple[float, int]] = OrderedDict()
        self._strangers: deque[float] = deque(maxlen=MOST_FAILURES)
        self._all_fail_until = -1.0

    async def get(self, key: str | None) -> Catalog:
        """The catalog; it never fails."""
        if self._clock() >= self._expires:
            seconds = WAIT_SECONDS if self._catalog.fallback else WAIT_WITH_LIST_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._refresh(key)
        return self._catalog

    def accepted(self, key: str | None) -> None:
        """The upstream has answered who asked with this key."""
        who = _fingerprint(key)
        if who:
            self._known[who] = None
            self._known.move_to_end(who)
            if len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)

    def failure(self, key: str | None) -> int | None:
        """The status with which a refresh failed that was this key's own matter, until it is tried again."""
        failed = self._failed.get(_fingerprint(key))
        return failed and failed[1]

    async def _refresh(self, key: str | None) -> None:
        """Return once there is a new list, this key's own refresh has ended, or there is nothing to wait for."""
        who = _fingerprint(key)
        if self._news is None:
            self._news = asyncio.get_running_loop().create_future()
        news = self._news
        while not news.done() and self._may_ask(who):
            own = self._flights.get(who)
            if own is None and self._has_room(who):
                own = self._flights[who] = asyncio.create_task(self._fly(who, key))
            if own is None and not self._catalog.fallback:
                return
            await asyncio.wait([news, *self._flights.values()], return_when=asyncio.FIRST_COMPLETED)
            if own is not None and own.done():
                return

    def _is_known(self, who: bytes) -> bool:
        return not who or who in self._known

    def _may_ask(self, who: bytes) -> bool:
        """Whether it makes sense to ask now, as far as is known of this key, and of the upstream."""
        now = self._clock()
        if now < self._all_fail_until or (who in self._failed and now < self._failed[who][0]):
            return False
        many = len(self._strangers) == MOST_FAILURES and now < self._strangers[0]
        return self._is_known(who) or not many

    def _has_room(self, who: bytes) -> bool:
        known = self._is_known(who)
        return sum(self._is_known(one) is known for one in self._flights) < MOST_AT_ONCE

    async def _fly(self, who: bytes, key: str | None) -> None:
        try:
            self._catalog = await self._fetch(key)
        except Fault as fault:
            self._fail(who, fault)
        else:
            self._expires = self._clock() + self._seconds
            if self._news is not None:
                self._news.set_result(None)
                self._news = None
            self._failed.pop(who, None)
            self.accepted(key)
        finally:
            del self._flights[who]

    def _fail(self, who: bytes, fault: Fault) -> None:
        now, known = self._clock(), self._is_known(who)
        if known and fault.status not in REFUSALS:
            if now >= self._expires:  # else another key has got a list meanwhile
                self._all_fail_until = now + self._pause
                if not (self._catalog.fallback or self._catalog.stale):
                    self._catalog = replace(self._catalog, stale=True)
            return
        self._known.pop(who, None)
        if not known:
            self._strangers.append(now + self._pause)
        self._forget(now)
        self._failed[who] = now + self._pause, fault.status

    def _forget(self, now: float) -> None:
        """What has failed long ago; all are remembered for the same time, so the first one is the oldest."""
        while self._failed and (
            len(self._failed) >= MOST_KNOWN or next(iter(self._failed.values()))[0] <= now
        ):
            self._failed.popitem(last=False)

    async def aclose(self) -> None:
        """End the refreshes that are under way."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        if flights:
            await asyncio.wait(flights)


def _fingerprint(key: str | None) -> bytes:
    """What stands for a key here, short however long it is; empty for none."""
    return hashlib.blake2b(key.encode(errors="replace"), digest_size=16).digest() if key else b""
