"""The server's WebSocket protocol, which lets a running turn end when the server stops, and refuses in silence.

Uvicorn's own closes every WebSocket at once. This one tells the application, which closes when its turn has ended;
the time to drain holds for both. Under another server the application is never told, and its
connections end as that server ends them.

Not here: what is said over the connection (`shim.http.websocket`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import SecurityError

from shim.errors import ClientFault
from shim.http.heads import headers_too_large
from shim.http.replies import raw_refusal

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveEvent, ASGISendEvent

GOING_AWAY = "shim.going_away"
"""The type of the message that tells the application that the server stops."""


class DrainingProtocol(WebSocketsSansIOProtocol):
    """Uvicorn's protocol with a gentle end, and one for handshakes that it would leave without an answer."""

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
