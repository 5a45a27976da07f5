"""A client that takes nothing of what it is sent: its connection is cut, since it would hold what is made for it for ever.

Not here: clients that take little at a time; they may.
"""

from __future__ import annotations

import asyncio


class Unread:
    """Watches what waits to be sent on one connection; told by its protocol when some does, and when none does."""

    def __init__(self, transport: asyncio.Transport, seconds: float) -> None:
        """Prepare for `transport`, whose client must take something within so many seconds."""
        self._transport = transport
        self._seconds = seconds
        self._left = 0
        self._timer: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """From now on whatever the system does not take at once counts as waiting, as its protocol may be told at once.

        For uvicorn may close a connection at any time, which ends once nothing waits any more.
        """
        # At 0 TLS would count nothing as something.
        self._transport.set_write_buffer_limits(high=1)

    def begin(self) -> None:
        """Something waits."""
        self._left = self._transport.get_write_buffer_size()
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._look)

    def end(self) -> None:
        """Nothing waits, or nobody is there."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        if self._transport.get_write_buffer_size() >= self._left:
            self._transport.abort()
        else:
            self.begin()
