"""The server's WebSocket protocol, which lets a running turn end when the server stops.

Uvicorn's own closes every WebSocket at once. This one tells the application, which closes when its turn has ended;
the server's limit on graceful shutdown holds for both. Under another server the application is never told, and its
connections end as that server ends them.

Not here: what is said over the connection (`shim.http.websocket`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveEvent

GOING_AWAY = "shim.going_away"
"""The type of the message that tells the application that the server stops."""


class DrainingProtocol(WebSocketsSansIOProtocol):
    """Uvicorn's protocol with a gentle end."""

    def shutdown(self) -> None:
        """The server stops: tell the application, if it has accepted and not closed the connection."""
        if self.handshake_complete and not self.close_sent:
            self.queue.put_nowait(cast("ASGIReceiveEvent", {"type": GOING_AWAY}))
        else:
            super().shutdown()
