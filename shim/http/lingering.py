"""The end of a connection on which the client may still be sending: it hears the answer first.

A body may be refused before it was read. To close then, with bytes unread, makes the system send a reset, upon which the
client's own system may throw the answer away. So only this side is shut down at first, and what still comes is
read and dropped: until the client closes too, for so long and so many bytes.

An answer that is given before the end of its request's body says `connection: close` (`CONNECTION`, which `Call` asks).

Not here: what is refused, and when (`shim.http.heads`, `shim.http.edge`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from shim.http.call import CONNECTION
from shim.http.halfclose import HalfCloseProtocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from uvicorn._types import ASGI3Application
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from shim.limits import Limits


class LingeringProtocol(HalfCloseProtocol):
    """The server's protocol, which closes no connection under an answer that its client has not read.

    Attributes:
        lingers: Whether nothing that still comes is wanted.
    """

    __slots__ = ("_left", "_limits", "_lingering", "_way", "lingers")

    def __init__(self, *args: Any, limits: Limits, **named: Any) -> None:
        super().__init__(*args, **named)
        self._limits = limits
        self.lingers = False
        self._lingering: asyncio.TimerHandle | None = None
        self._left = limits.linger_bytes

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self._way = cast("asyncio.Transport", _Way(self))

    def hang_up(self) -> None:
        """Close the connection, whose answer is written: at once if the client has sent all that it was to send."""
        if self._working is not None:
            self._working.flush()
        if self.cycle is not None and not self.cycle.more_body:
            self.transport.close()
        else:
            self.linger()

    def linger(self) -> None:
        """Close the connection, whose answer is written, when its client does, or soon."""
        if self.lingers or self.transport.is_closing():
            return
        self.lingers = True
        self._lingering = self.loop.call_later(self._limits.linger_seconds, self._cut)
        if self.transport.can_write_eof():  # not with TLS
            self.transport.write_eof()
        self.flow.resume_reading()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if not self.lingers:
            super().data_received(data)
            return
        self._left -= len(data)
        if self._left < 0:
            self._cut()

    def _cut(self) -> None:
        """Close the connection whatever its client does: TLS would wait for it to say goodbye."""
        if self.transport.get_write_buffer_size():
            self.transport.close()
        else:
            self.transport.abort()

    def eof_received(self) -> bool:  # type: ignore[override]  # as asyncio.Protocol has it
        """See asyncio.Protocol; who has closed as well is waited for no longer."""
        return not self.lingers and super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        if self._lingering is not None:
            self._lingering.cancel()
        super().connection_lost(exc)
        self._way = self.transport
        for cycle in filter(None, (self.cycle, self._working)):  # which would else keep each other alive
            cycle.transport = self.transport
            cycle.scope.pop(CONNECTION, None)  # type: ignore[misc]

    def on_response_complete(self) -> None:
        """Nothing follows on a connection that is about to end."""
        if not self.lingers:
            super().on_response_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        cycle.transport = self._way
        cast("dict[str, Any]", cycle.scope)[CONNECTION] = cycle
        super()._start_asgi_task(cycle, app)


class _Way:
    """What answers need of their connection; to close it is the protocol's."""

    __slots__ = ("_protocol", "close", "write")

    close: Callable[[], None]
    write: Callable[[bytes], None]

    def __init__(self, protocol: LingeringProtocol) -> None:
        self._protocol = protocol
        self.write = protocol.transport.write
        self.close = protocol.hang_up

    def is_closing(self) -> bool:
        return self._protocol.lingers or self._protocol.transport.is_closing()
