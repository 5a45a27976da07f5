"""The head of a request: its URL and headers, bounded while they come and once they are there.

The server's parser keeps whatever a client sends, for as long as it takes. `BoundedProtocol` ends a connection on
which nothing but head comes, or which is silent where a head should come; `HeadBounds` looks at a whole head, with
an answer like any other.

Not here: a request's body (`shim.http.bodies`), and connections that wait for their next request, which the server
closes by itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from shim.errors import ClientFault, Fault
from shim.http.lingering import LingeringProtocol
from shim.http.replies import raw_refusal
from shim.http.unread import Unread

if TYPE_CHECKING:
    import asyncio

    from starlette.types import Scope

    from shim.limits import Limits

HEADER_OVERHEAD = 4
"""Bytes of a header line besides its name and value."""

_CODING = b"transfer-encoding"
_LOOKED_AT = frozenset({_CODING, b"expect"})
_OFFER = re.compile(rb"\r\nupgrade:(?![ \t]*websocket[ \t]*\r\n)", re.IGNORECASE)

MOST_OVER = 100
"""Connections beyond the bound that end gently; each holds a file descriptor while it does."""

MOST_IN_LINE = 64
"""Requests that may wait on one connection: each takes a hundred times the room of the bytes that make it."""


@dataclass(frozen=True, slots=True)
class HeadBounds:
    """What a request's head may have."""

    url_bytes: int
    header_bytes: int
    headers: int

    @classmethod
    def of(cls, limits: Limits) -> HeadBounds:
        """What the settings say."""
        return cls(limits.max_url_bytes, limits.max_header_bytes, limits.max_headers)

    def check(self, scope: Scope) -> None:
        """Refuse a head that is too large.

        Raises:
            ClientFault: 414 or 431.
        """
        path: bytes = scope.get("raw_path") or scope["path"].encode()
        if query := scope.get("query_string"):
            path += b"?" + query
        if len(path) > self.url_bytes:
            message = f"The URL is too long: it may have {self.url_bytes:,} bytes."
            raise ClientFault(message, status=414, code="url_too_long")
        headers = scope["headers"]
        if len(headers) > self.headers:
            raise headers_too_large(f"a request may have {self.headers:,} of them")
        size = HEADER_OVERHEAD * len(headers) + len(b"".join(chain.from_iterable(headers)))
        if size > self.header_bytes:
            raise headers_too_large(f"together they may have {self.header_bytes:,} bytes")


class BoundedProtocol(LingeringProtocol):
    """The server's protocol with an end to heads that have none, and to silence where one should come."""

    __slots__ = ("_bare_bytes", "_handed_over", "_in_head", "_most_bare_bytes", "_unread", "_waiting")

    def __init__(self, *args: Any, limits: Limits, **named: Any) -> None:
        super().__init__(*args, limits=limits, **named)
        self._most_bare_bytes = limits.max_url_bytes + limits.max_header_bytes
        self._bare_bytes = 0
        self._handed_over = False
        self._in_head = False
        self._waiting: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """Whether no answer is under way."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """A client has connected: it may, if not too many have, and should ask soon."""
        super().connection_made(transport)
        self._unread = Unread(transport, self._limits.send_seconds)
        self._unread.watch()
        over = len(self.connections) - self._limits.max_client_connections
        if over > 0:
            self._refuse(_too_many_connections())
            if over > MOST_OVER:
                transport.close()
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._stop_waiting()
        self._unread.end()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        super().pause_writing()
        self._unread.begin()

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self._unread.end()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        """Take bytes; those that are no body may be so many only, and a head must be whole in time."""
        if self.lingers:
            super().data_received(data)
            return
        self._bare_bytes += len(data)
        if (b"pgrade" in data or b"PGRADE" in data) and (self.cycle is None or not self.cycle.more_body):
            data = without_offer(data)
        super().data_received(data)
        if self._handed_over or self.lingers or self.transport.is_closing():
            return
        if self._bare_bytes > self._most_bare_bytes:
            self._refuse(headers_too_large(f"with its URL, a head may have {self._most_bare_bytes:,} bytes"))
        elif self._waiting is None and self.idle:
            self._await_head()

    def linger(self) -> None:
        """See `LingeringProtocol`; no head is awaited any more."""
        self._stop_waiting()
        super().linger()

    def handle_websocket_upgrade(self) -> None:
        """The connection is another protocol's from here on, unless it still owes an answer to a request."""
        if not self.idle or self.flow.write_paused:  # the bytes of both would mix
            self.transport.close()
            return
        self._handed_over = True
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is refused in OpenAI's shape too, but never in the midst of another answer."""
        self._refuse(ClientFault(msg, code="invalid_http"))

    # -- from the parser --------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; the parser tells trailers alike, which must not count as such (RFC 9110, section 6.5.1).

        Raises:
            ValueError: The body comes in a coding that the parser would take for none, upon which the server refuses it.
        """
        if not self._in_head:
            return
        name = name.lower()
        if name in _LOOKED_AT:
            if name == _CODING and value.strip().lower() != b"chunked":
                raise ValueError
            super().on_header(name, value)
        else:
            self.headers.append((name, value))  # all that uvicorn's own would do

    def on_headers_complete(self) -> None:
        """A head is there.

        Raises:
            ValueError: Too many requests wait, upon which the server ends the connection.
        """
        self._in_head = False
        self._bare_bytes = 0
        self._stop_waiting()
        if len(self.pipeline) >= MOST_IN_LINE:
            raise ValueError
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """More of a body."""
        self._bare_bytes = 0
        super().on_body(body)

    # -- time and refusals ------------------------------------------------------------------------------------

    def _await_head(self) -> None:
        self._waiting = self.loop.call_later(self._limits.request_head_seconds, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _too_slow(self) -> None:
        self._waiting = None
        begun = self.scope is not None and (self.cycle is None or self.cycle.scope is not self.scope)
        if begun:
            self._refuse(_head_too_slow(self._limits.request_head_seconds))
        else:
            self.transport.close()

    def _interrupted(self) -> bool:
        """Whether a request is given up within its body, of which nothing was answered yet."""
        working = self._working
        if working is None or working.response_started or not working.more_body:
            return False
        working.leave()
        return True

    def _refuse(self, fault: Fault) -> None:
        """Say why, unless an answer is under way, and end the connection."""
        if self.idle or self._interrupted():
            self.transport.write(raw_refusal(fault))
            self.linger()
        else:
            self.transport.close()


def without_offer(head: bytes) -> bytes:
    """A head without an offer of another protocol than WebSocket: the parser would lose the body behind it.

    Java's own client offers HTTP/2 each time.
    """
    fields, end, rest = head.partition(b"\r\n\r\n")
    return _OFFER.sub(b"\r\nnot-now:", fields + end[:2], count=1) + end[2:] + rest


def headers_too_large(limit: str) -> ClientFault:
    """A 431 that names the limit."""
    return ClientFault(f"The request's headers are too large: {limit}.", status=431, code="headers_too_large")


def _head_too_slow(seconds: float) -> ClientFault:
    message = f"The request's head was not complete after {seconds:g} seconds."
    return ClientFault(message, status=408, code="request_timeout")


def _too_many_connections() -> Fault:
    message = "The server has as many connections as it can; try again soon."
    return Fault(message, status=503, code="too_many_connections", retry_after=1)
