"""Whether the shim can do its work: not about to end, a key, an upstream that answers, a store that keeps, room for more.

Each part is asked for at its own pace, and says why. Any that is not ok makes `/readyz` a 503.

Not here: whether the process runs; `/healthz` says so by answering at all.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from shim.errors import Fault

if sys.platform != "win32":
    import resource

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shim.http.guards import Guard
    from shim.http.leaving import Leaving
    from shim.http.slots import Slots
    from shim.store import ResponseStore
    from shim.upstream import Upstream

READY_SECONDS = 5.0  # probes come every few seconds, from several sides; the upstream shall not feel them
STORE_SECONDS = 1.0
REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
RESERVE = 16
"""File descriptors below which no further clients should come: a request takes up to three."""


@dataclass(frozen=True, slots=True)
class Check:
    """One condition for being ready."""

    name: str
    ok: bool
    reason: str


class Remembered:
    """A check whose outcome counts for a while; who asks meanwhile waits for the same one."""

    def __init__(self, work: Callable[[], Awaitable[Check]], seconds: float) -> None:
        self._work = work
        self._seconds = seconds
        self._one_at_a_time = asyncio.Lock()
        self._known: Check | None = None
        self._until = 0.0

    async def __call__(self) -> Check:
        """The outcome, not older than its time."""
        clock = asyncio.get_running_loop().time
        async with self._one_at_a_time:
            if self._known is None or clock() >= self._until:
                self._known = await self._work()
                self._until = clock() + self._seconds
            return self._known


class Readiness:
    """The checks behind `/readyz`."""

    def __init__(
        self, guard: Guard, upstream: Upstream, store: ResponseStore, leaving: Leaving, slots: Slots
    ) -> None:
        self._guard = guard
        self._upstream = upstream
        self._store = store
        self._leaving = leaving
        self._slots = slots
        self._reached = Remembered(self._reachable, READY_SECONDS)
        self._kept = Remembered(self._keeping, STORE_SECONDS)

    async def checks(self) -> tuple[Check, ...]:
        """Every check with its reason; never raises for a part that fails, and asks nobody once the process ends."""
        if self._leaving.begun:
            return (Check("process", ok=False, reason="draining: the process was asked to end"),)
        upstream, store = await asyncio.gather(self._reached(), self._kept())
        running = Check("process", ok=True, reason="not asked to end")
        return running, self._key(), upstream, store, descriptors(), self._room()

    def _room(self) -> Check:
        if self._slots.full:
            return Check("requests", ok=False, reason="as many requests are under way as may be")
        return Check("requests", ok=True, reason="requests can be taken")

    def _key(self) -> Check:
        guard = self._guard
        if guard.own_key is not None:
            refused = self._refused()
            reason = "the upstream refuses the key that is configured" if refused else "a key is configured"
            return Check("key", ok=not refused, reason=reason)
        if not guard.needs_key:
            return Check("key", ok=True, reason="the upstream needs no key")
        return Check(
            "key", ok=True, reason=f"{guard.key_variable} is not set; clients' own keys pass through"
        )

    async def _reachable(self) -> Check:
        catalog = await self._upstream.catalog(self._guard.own_key)
        if self._refused():
            return Check(
                "upstream", ok=True, reason="the upstream answers; to list its models it wants a key"
            )
        if catalog.fallback:
            reason = "the upstream does not list its models; the built-in list is used"
            return Check("upstream", ok=False, reason=reason)
        if catalog.stale or self._upstream.catalog_failure(self._guard.own_key):
            reason = "the upstream did not list its models when it was last asked; an older list is used"
            return Check("upstream", ok=False, reason=reason)
        return Check("upstream", ok=True, reason="the upstream lists its models")

    def _refused(self) -> bool:
        """Whether the upstream answered, but not to the configured key, or not without one."""
        return self._upstream.catalog_failure(self._guard.own_key) in REFUSED

    async def _keeping(self) -> Check:
        try:
            await self._store.check()
        except Fault as fault:
            return Check("store", ok=False, reason=fault.message)
        if self._store.kind == "off":
            return Check("store", ok=True, reason="nothing is kept, as set")
        return Check("store", ok=True, reason=f"{self._store.kind} keeps what is written")


def descriptors() -> Check:
    """New descriptors get the lowest free number, which so tells how many are left at most."""
    try:
        lowest = os.open(os.devnull, os.O_RDONLY)
    except OSError:
        left = 0
    else:
        os.close(lowest)
        left = _most_descriptors() - lowest
    if left >= RESERVE:
        return Check("descriptors", ok=True, reason="connections can be opened")
    return Check(
        "descriptors", ok=False, reason="no connection can be opened: the limit of open files is reached"
    )


def _most_descriptors() -> int:
    """How many this process may have; some systems do not say."""
    if sys.platform == "win32":
        return sys.maxsize
    most: int = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if most == resource.RLIM_INFINITY else most
