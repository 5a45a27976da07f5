"""Who has which connection: kept ones are used again, new ones are made, and all together are bounded.

Not here: what travels on a connection.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from typing import TYPE_CHECKING

from shim.upstream.http1 import Connection

if TYPE_CHECKING:
    from shim.upstream.dialing import Dialer, Route

KEEPALIVE_SECONDS = 30.0
"""How long an idle connection is kept: less than the common balancers' 60 s, so that few go stale."""


class Pool:
    """Connections by route; those used last are used first, so that the others can go."""

    def __init__(self, dialer: Dialer, most: int) -> None:
        self._dialer = dialer
        self._most = most
        self._taken = 0
        self._all: set[Connection] = set()
        self._idle: defaultdict[Route, deque[Connection]] = defaultdict(deque)
        self._queue: deque[asyncio.Future[None]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None

    async def take(self, route: Route) -> Connection:
        """A connection that nobody else has; waits while all are taken.

        Raises:
            httpx.TransportError: None could be made.
        """
        if connection := self._kept(route):
            return connection
        while self._taken >= self._most and not self._make_room():
            await self._turn()
            if connection := self._kept(route):
                return connection
        self._taken += 1
        try:
            connection = await self._dialer.dial(route)
        except BaseException:
            self._gone()
            raise
        connection.on_idle = lambda idle: self._keep(route, idle)
        connection.on_closed = lambda closed: self._forget(route, closed)
        self._all.add(connection)
        if connection.closed:  # before anyone was told
            self._forget(route, connection)
        return connection

    async def aclose(self) -> None:
        """End all connections."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for connection in list(self._all):
            connection.abort()
        await asyncio.sleep(0)

    def _kept(self, route: Route) -> Connection | None:
        idle = self._idle.get(route)
        while idle:
            connection = idle.pop()
            if not connection.closed and not self._is_old(connection):
                return connection
            connection.abort()
        return None

    def _is_old(self, connection: Connection) -> bool:
        return connection.loop.time() - connection.idle_since > KEEPALIVE_SECONDS

    def _keep(self, route: Route, connection: Connection) -> None:
        self._idle[route].append(connection)
        if self._sweeper is None:
            self._sweeper = connection.loop.call_later(KEEPALIVE_SECONDS, self._sweep)
        self._wake()

    def _sweep(self) -> None:
        """Let those go that nobody has wanted for long."""
        self._sweeper = None
        for idle in self._idle.values():
            while idle and self._is_old(idle[0]):
                idle.popleft().abort()
        if first := next((idle[0] for idle in self._idle.values() if idle), None):
            self._sweeper = first.loop.call_later(KEEPALIVE_SECONDS, self._sweep)

    def _make_room(self) -> bool:
        """End an idle connection of another route, if there is one; its place is free at once."""
        idle = next(filter(None, self._idle.values()), None)
        if idle is None:
            return False
        connection = idle.popleft()
        if connection in self._all:
            self._all.discard(connection)
            self._taken -= 1
        connection.abort()
        return True

    def _forget(self, route: Route, connection: Connection) -> None:
        idle = self._idle.get(route)
        if idle and connection in idle:
            idle.remove(connection)
        if connection in self._all:
            self._all.discard(connection)
            self._gone()

    def _gone(self) -> None:
        self._taken -= 1
        self._wake()

    async def _turn(self) -> None:
        """Wait until a connection is idle or gone."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(waiting)
        try:
            await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled():
                self._wake()  # it was this one's turn, and now it is the next one's
            raise

    def _wake(self) -> None:
        while self._queue:
            waiting = self._queue.popleft()
            if not waiting.done():
                waiting.set_result(None)
                return
