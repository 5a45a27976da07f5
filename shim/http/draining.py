"""The server's WebSocket protocol, which lets a running turn end when the server stops, and refuses in silence.

What it holds for a client is bounded: fragments, and pongs for one that does not read.

Uvicorn's own closes every WebSocket at once. This one tells the application, which closes when its turn has ended;
the time to drain holds for both. Under another server the application is never told, and its
connections end as that server ends them.

Not here: what is said over the connection (`shim.http.websocket`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import SecurityError

from shim.errors import ClientFault
from shim.http.heads import headers_too_large
from shim.http.leaving import GOING_AWAY
from shim.http.replies import raw_refusal
from shim.http.unread import Unread

if TYPE_CHECKING:
    import asyncio

    from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
    from websockets.frames import Frame

    from shim.limits import Limits

MOST_FRAGMENTS = 4096
"""Fragments of a message that are held one by one: each costs more than what is in it, and they may be empty."""


class DrainingProtocol(WebSocketsSansIOProtocol):
    """Uvicorn's protocol with a gentle end, and one for handshakes that it would leave without an answer."""

    def __init__(self, *args: Any, limits: Limits, **named: Any) -> None:
        super().__init__(*args, **named)
        self._limits = limits
        self._pongs = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self._unread = Unread(self.transport, self._limits.send_seconds)
        self._unread.watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._unread.end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Uvicorn's own; a handshake that its library cannot read, as with too long a header, is refused."""
        super().data_received(data)
        wrong = self.conn.handshake_exc
        if wrong is not None and not self.handshake_initiated:
            fault = ClientFault("The WebSocket's handshake could not be read.", code="invalid_http")
            if isinstance(wrong.__cause__ or wrong, SecurityError):
                fault = headers_too_large("those of a WebSocket are bounded more narrowly")
            self.transport.write(raw_refusal(fault))
            self.transport.close()

    def handle_cont(self, event: Frame) -> None:
        """Uvicorn's own; a message in very many fragments takes no more room than others."""
        if len(self.frames) >= MOST_FRAGMENTS:
            self.frames = [b"".join(self.frames)]
        super().handle_cont(event)

    def handle_ping(self) -> None:
        """Uvicorn's own, while the client reads. Else only the newest pings are answered, and later (RFC 6455, 5.5.3)."""
        if self.writable.is_set():
            super().handle_ping()
        elif pongs := self.conn.data_to_send():  # those of all pings that were read at once
            self._pongs = b"".join(pongs)

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        super().pause_writing()
        self._unread.begin()

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self._unread.end()
        super().resume_writing()
        if self._pongs and not self.transport.is_closing():
            pongs, self._pongs = self._pongs, b""
            self.transport.write(pongs)

    def shutdown(self) -> None:
        """The server stops: tell the application, if it has accepted and not closed the connection."""
        if self.handshake_complete and not self.close_sent:
            self.queue.put_nowait(cast("ASGIReceiveEvent", {"type": GOING_AWAY}))
        else:
            super().shutdown()

    async def send(self, message: ASGISendEvent) -> None:
        """Uvicorn's own, after which a refusal with a body counts as an answer.

        Else each one is logged as an error (Kludex/uvicorn#3138), as often as a web page cares to try.
        """
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True
