"""One HTTP answer as ASGI: pauses, gates, cuts and resets, and an eye on whether the client is still there.

Knows bytes and seconds only; what the bytes say is none of its business.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from starlette.responses import Response

from shim.simulator.journal import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.types import Receive, Scope, Send

    from shim.simulator.config import Hold
    from shim.simulator.journal import Received

Ending = Literal["complete", "abrupt", "reset"]

_LINGER_AND_RESET = struct.pack("ii", 1, 0)  # struct linger: on, zero seconds


@dataclass(frozen=True)
class Timing:
    """Seconds before the headers, before the first part of the body, and before each further part."""

    headers: float = 0
    first: float = 0
    pause: float = 0


class Reply(Response):
    """An answer made of parts.

    Args:
        received: The journal's entry, which is kept up to date.
        status: HTTP status.
        parts: The body; each part is one write.
        headers: Response headers; without `content-length` the body is chunked.
        options: Timing, gate, and how the answer ends.
    """

    def __init__(
        self,
        received: Received,
        status: int,
        parts: Sequence[bytes],
        headers: Mapping[str, str],
        options: ReplyOptions | None = None,
    ) -> None:
        self.received = received
        self.parts = parts
        self.options = options or ReplyOptions()
        super().__init__(status_code=status)
        self.raw_headers = [
            (name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or stop as soon as the client has gone."""
        answering = asyncio.create_task(self._answer(scope, send))
        leaving = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            self.received.disconnected = not answering.done()
            if self.options.ending != "complete":
                await leaving
        finally:
            await _cancelled(leaving)
            await _cancelled(answering)
            self.received.ended.set()
        if not answering.cancelled():
            answering.result()

    async def _answer(self, scope: Scope, send: Send) -> None:
        await asyncio.sleep(self.options.timing.headers)
        await self._pass_gate(None)
        if self.options.ending == "reset":
            _abort(scope)
            return
        self.received.status = self.status_code
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await self._send_parts(send)
        if self.options.ending == "complete":
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            _close(scope)

    async def _send_parts(self, send: Send) -> None:
        timing = self.options.timing
        for count, part in enumerate(self.parts):
            await self._pass_gate(count)
            await asyncio.sleep(timing.pause if count else timing.first)
            await send({"type": "http.response.body", "body": part, "more_body": True})
            self.received.chunks_sent = count + 1
        await self._pass_gate(len(self.parts))

    async def _pass_gate(self, count: int | None) -> None:
        hold = self.options.hold
        if hold is not None and hold.after == count:
            await wait_until(hold.released.is_set)


@dataclass(frozen=True)
class ReplyOptions:
    """How an answer is delivered: when, past which gate, and whether it ends well."""

    timing: Timing = field(default_factory=Timing)
    hold: Hold | None = None
    ending: Ending = "complete"


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def _transport(scope: Scope) -> asyncio.Transport:
    """The connection itself, which `server` puts into the scope."""
    transport: asyncio.Transport = scope["state"]["transport"]
    return transport


def _close(scope: Scope) -> None:
    """End the connection after what was written, without ending the body."""
    _transport(scope).close()


def _abort(scope: Scope) -> None:
    """End the connection with a TCP reset."""
    transport = _transport(scope)
    connection: socket.socket = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_AND_RESET)
    transport.abort()
