"""A turn's events on their way to the client.

One writer at a time: pieces leave in the order in which they were made, and a heartbeat goes out only in
silence, never between a piece's making and its sending, as both carry sequence numbers. Not here: the client's
departure (`Call.while_connected` cancels the whole answer) and closing the turn (whoever opened it does).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol, cast

from shim.http.call import SCOPE_KEY, Call, ClientGone, Connection, stop
from shim.http.leaving import Leaving, cut_off
from shim.http.replies import raw, safe_headers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope, Send

    from shim.core.strides import Put
    from shim.errors import Fault

SSE_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "connection": "keep-alive",
    "x-accel-buffering": "no",  # nginx would otherwise collect the stream
}

logger = logging.getLogger(__name__)


class Told(Protocol):
    """What can be sent as a stream: a `Turn`, or the `Following` of one that runs in the background."""

    def ahead(self, outlet: Put) -> None:
        """Put pieces out where they are made, while `read` is awaited, as far as that can be."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of the answer."""
        ...

    async def read(self) -> bytes | None:
        """The next whole events; None after the last."""
        ...

    def heartbeat(self) -> bytes:
        """A sign of life."""
        ...

    async def cut_off(self, fault: Fault) -> bytes:
        """The end of a turn whose `read` was cancelled; empty if there is none to tell."""
        ...


class EventStream:
    """The answer to a streaming request, as an ASGI application that is called once."""

    def __init__(self, turn: Told, keepalive_seconds: float, leaving: Leaving | None = None) -> None:
        """Prepare to send `turn`.

        Args:
            turn: An accepted turn; it stays the caller's to close.
            keepalive_seconds: Silence after which a heartbeat is sent; 0 never sends one.
            leaving: Whether a cancellation means that the process ends.
        """
        self._turn = turn
        self._keepalive = keepalive_seconds
        self._leaving = leaving or Leaving()
        self._connection: Connection | None = None  # where pieces go without being awaited, if anywhere
        self._loop = loop = asyncio.get_running_loop()
        self._clock = loop.time
        self._timer: asyncio.TimerHandle | None = None
        self._beat: asyncio.Task[None] | None = None  # what sends a heartbeat, once that is made
        self._relaying = False  # whether a piece is, before which no heartbeat may slip in
        self._lost = False  # whether something that was made was not sent: then nothing may follow it
        self._last_sent = 0.0
        self._send: Send  # where pieces go, once the head is out

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 -- ASGI's signature
        """Send the headers, every piece, and the end; raises `ClientGone` at most."""
        headers = {**safe_headers(self._turn.headers), **SSE_HEADERS}
        await send({"type": "http.response.start", "status": 200, "headers": raw(headers)})
        self._send = self._outlet(scope, send)
        try:
            if not await self._send_all():
                Call.of(scope).outcome = "broken"
        except asyncio.CancelledError:
            if self._lost or not self._leaving.takes_over():
                raise
            await self._put(await self._turn.cut_off(cut_off()))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _outlet(self, scope: Scope, send: Send) -> Send:
        """Where pieces go, once the head is out: straight to the server, if it is known, and without waiting, if it is ours."""
        call = cast("Call | None", scope.get(SCOPE_KEY))
        if call is None or call.outlet is None:
            return send
        if call.connection is not None:
            self._connection = call.connection
            self._turn.ahead(self.put)
        return call.outlet

    def put(self, piece: bytes) -> bool:
        """Put a piece out, if that can be done without waiting; whether it was."""
        connection = self._connection
        if connection is None or self._beat is not None or not connection.put(piece):
            return False
        self._last_sent = self._clock()
        return True

    async def _send_all(self) -> bool:
        """Send every piece, and heartbeats in silence; whether the turn kept its promise never to raise."""
        self._last_sent = self._clock()
        if self._keepalive:
            self._watch()
        try:
            # A task of its own: each piece would else be woken up through every layer around this one.
            return await asyncio.create_task(self._relay())
        finally:
            if self._timer is not None:
                self._timer.cancel()
            beat, self._beat = self._beat, None
            if beat is not None:
                self._lost = True
                await stop(beat)

    async def _relay(self) -> bool:
        """Send every piece; whether the turn kept its promise."""
        read = self._turn.read
        try:
            while (piece := await read()) is not None:
                if self.put(piece):
                    continue
                self._relaying = True
                if self._beat is not None:
                    await asyncio.wait((self._beat,))
                await self._put(piece)
                self._relaying = False
        except asyncio.CancelledError:
            self._lost = self._lost or self._relaying
            raise
        except ClientGone:
            raise
        except Exception:
            logger.exception("A turn failed after its headers; the stream ends here.")
            return False
        else:
            return True
        finally:
            self._relaying = True  # no heartbeat begins any more

    async def _put(self, piece: bytes) -> None:
        """Send a piece in the ordinary way, waiting for a slow client."""
        try:
            if piece:
                await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        except OSError as error:
            raise ClientGone from error
        self._last_sent = self._clock()

    def _watch(self) -> None:
        """Look for silence when there may next be enough of it."""
        self._timer = self._loop.call_at(self._last_sent + self._keepalive, self._look)

    def _look(self) -> None:
        """Have a heartbeat sent if nothing was for long enough; from its making on, all pieces wait for it."""
        now = self._clock()
        if self._relaying:
            self._last_sent = now  # a slow client is not silence; do not queue up behind the piece
        elif now - self._last_sent >= self._keepalive:
            self._beat = asyncio.create_task(self._send_beat(self._turn.heartbeat()))
            return
        self._watch()

    async def _send_beat(self, beat: bytes) -> None:
        """Send a heartbeat, and go on watching. If that fails, the connection is broken: no other is sent, nor is an end told."""
        await self._put(beat)
        self._beat = None
        self._watch()
