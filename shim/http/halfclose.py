"""The server's HTTP protocol, for clients that say that they will send no more: they may be waiting, or gone.

A client that closed its connection and one that only shut down its own side look alike until something is sent to
them: the system of the former answers that nobody is there. So a few bytes are sent that mean nothing: an interim
answer before the answer has begun, zeros before the size of the next chunk within it (RFC 9110, section 15.2; RFC 9112,
section 7.1). Whoever hears them gets the answer; uvicorn's own takes both for gone. Where nothing can be sent so, under
TLS and HTTP/1.0, it does the same.

Besides, with several requests in line uvicorn tells only the last one that its client is gone; here the one at work learns it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from shim.http.cycles import Cycle, making_cycles

if TYPE_CHECKING:
    import asyncio
    from types import FunctionType

    from uvicorn._types import ASGI3Application
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

PROBES = 4
PROBE_SECONDS = 0.2
"""Time between two probes: the second one after a round trip finds that nobody is there."""

INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
ZERO = b"0"


class HalfCloseProtocol(HttpToolsProtocol):
    """Uvicorn's protocol, which answers also those that have shut down their own side."""

    # CPython lets instances share the keys of their dictionaries up to 30 attributes; beyond, each has its own, of 1 KB. Uvicorn
    # has 28, so ours, here and in what derives from it, stand in slots.
    __slots__ = ("_probes", "_probing", "_working")

    on_headers_complete = making_cycles(cast("FunctionType", HttpToolsProtocol.on_headers_complete))

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._working: Cycle | None = None
        self._probing: asyncio.TimerHandle | None = None
        self._probes = PROBES

    def eof_received(self) -> bool:  # type: ignore[override]  # as asyncio.Protocol has it
        """The client sends no more; whether it may still be there to read."""
        working = self._working
        if (
            working is None
            or working.response_complete
            or self.cycle.more_body
            or self.scheme == "https"
            or working.scope["http_version"] != "1.1"
        ):
            return False
        self.cycle.keep_alive = False  # the last one in line
        self._probe()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        if self._probing is not None:
            self._probing.cancel()
        working = self._working
        super().connection_lost(exc)
        if working is not None and not working.response_complete:
            working.leave()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._working = Cycle.of(cycle)
        super()._start_asgi_task(cycle, app)

    def _probe(self) -> None:
        working = self._working
        if working is None or self.transport.is_closing():
            return
        if not working.response_started:
            self.transport.write(INTERIM)
        elif working.chunked_encoding and not working.response_complete:
            self.transport.write(ZERO)
        self._probes -= 1
        if self._probes:
            self._probing = self.loop.call_later(PROBE_SECONDS, self._probe)
