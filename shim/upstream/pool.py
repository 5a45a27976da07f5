"""Who has which connection: kept ones are used again, new ones are made, and all together are bounded.

As many requests as there may be connections have a turn at a time, in the order they came. Who has a turn always finds
a connection or room for one: those that are idle make it.

Not here: what travels on a connection.
"""

from __future__ import annotations

import asyncio
from collections import deque
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
        self._turns = most
        self._queue: deque[asyncio.Future[None]] = deque()
        self._taken: set[Connection] = set()
        self._idle: dict[Connection, Route] = {}  # in the order they became so
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    def kept(self, route: Route) -> Connection | None:
        """A kept connection that nobody else has, if there is one and nobody must wait for a turn."""
        if not self._turns:
            return None
        connection = self._usable(route)
        if connection is not None:
            self._turns -= 1
            self._taken.add(connection)
        return connection

    async def take(self, route: Route) -> Connection:
        """A connection that nobody else has; waits while all are taken.

        Raises:
            httpx.TransportError: None could be made.
        """
        await self._turn()
        connection = self._usable(route) or await self._new(route)
        self._taken.add(connection)
        if connection.closed:  # before anyone was told
            self._forget(connection)
        return connection

    async def aclose(self) -> None:
        """End all connections; new ones are of no use."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for connection in [*self._taken, *self._idle]:
            connection.abort()
        await asyncio.sleep(0)

    # -- connections ------------------------------------------------------------------------------------------

    def _usable(self, route: Route) -> Connection | None:
        while (connection := self._latest(route)) is not None:
            if connection.usable and not self._is_old(connection):
                return connection
            connection.abort()
        return None

    def _latest(self, route: Route) -> Connection | None:
        for connection, its in reversed(self._idle.items()):
            if its is route or its == route:
                del self._idle[connection]
                return connection
        return None

    async def _new(self, route: Route) -> Connection:
        try:
            if len(self._idle) > self._turns:  # without one of them there is no room
                self._end_oldest()
            connection = await self._dialer.dial(route)
        except BaseException:
            self._next()
            raise
        connection.on_idle = lambda idle: self._keep(route, idle)
        connection.on_closed = self._forget
        if self._closed:
            connection.abort()
        return connection

    def _keep(self, route: Route, connection: Connection) -> None:
        self._taken.discard(connection)
        self._idle[connection] = route
        if self._sweeper is None:
            self._sweeper = connection.loop.call_later(KEEPALIVE_SECONDS, self._sweep)
        self._next()

    def _forget(self, connection: Connection) -> None:
        self._idle.pop(connection, None)
        if connection in self._taken:
            self._taken.discard(connection)
            self._next()

    def _is_old(self, connection: Connection) -> bool:
        return connection.loop.time() - connection.idle_since >= KEEPALIVE_SECONDS

    def _end_oldest(self) -> None:
        connection = next(iter(self._idle))
        del self._idle[connection]
        connection.abort()

    def _sweep(self) -> None:
        """Let those go that nobody has wanted for long."""
        self._sweeper = None
        while self._idle and self._is_old(next(iter(self._idle))):
            self._end_oldest()
        if oldest := next(iter(self._idle), None):
            self._sweeper = oldest.loop.call_at(oldest.idle_since + KEEPALIVE_SECONDS, self._sweep)

    # -- turns ------------------------------------------------------------------------------------------------

    async def _turn(self) -> None:
        """Wait for a turn, which `_next` passes on; while there are some left, nobody waits."""
        if self._turns:
            self._turns -= 1
            return
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(waiting)
        try:
            await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled():
                self._next()
            raise

    def _next(self) -> None:
        while self._queue:
            waiting = self._queue.popleft()
            if not waiting.done():
                waiting.set_result(None)
                return
        self._turns += 1
