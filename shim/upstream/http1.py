"""One HTTP/1.1 connection as a client: a request at a time, and its answer as it arrives.

llhttp (through httptools) reads the answers, strictly; what stands here is when bytes are taken, how much waits, and
what a broken connection means. Whatever goes wrong is one of httpx's exceptions.

Not here: how a connection is made (`shim.upstream.dialing`) and who has it when (`shim.upstream.pool`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import httptools
import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

MAX_HEAD_BYTES = 256 << 10
"""Bytes of an answer before its body; a signed `Location` alone can have 8 KB and more."""

MAX_WAITING_BYTES = 256 << 10
"""Bytes of a body that wait for their reader until the upstream is held back."""

FIRST_FINAL_STATUS = 200
SWITCHING_PROTOCOLS = 101


class Dropped(httpx.ReadError):
    """The connection ended before a byte of the answer."""


class Answer(httpx.AsyncByteStream):
    """One answer: its head, then its body.

    Attributes:
        status: The HTTP status, once `head` is done.
        headers: As they came, names in their own case.
        head: Done when the head is there, or never will be.
    """

    def __init__(self, connection: Connection, silence_seconds: float) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._loop = connection.loop
        self.head: asyncio.Future[None] = self._loop.create_future()
        self._connection = connection
        self._parser: Any = httptools.HttpResponseParser(self)
        self._head_bytes = 0
        self._parts: list[bytes] = []
        self._waiting_bytes = 0
        self._complete = False
        self._trouble: Exception | None = None
        self._reader: asyncio.Future[None] | None = None
        self._silence = silence_seconds
        self._heard = 0.0
        self._watch: asyncio.TimerHandle | None = None

    # -- to the reader ----------------------------------------------------------------------------------------

    async def read(self) -> bytes:
        """All that has come and was not read yet; waits for more if nothing has. Empty at the end.

        Raises:
            httpx.TransportError: The connection broke, or nothing came for too long; after what came before.
        """
        if not (self._parts or self._complete or self._trouble):
            await self._more()
        if self._parts:
            return self._taken()
        if self._trouble and not self._complete:
            raise self._trouble
        return b""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := await self.read():
            yield data

    async def aclose(self) -> None:
        """Nothing more is wanted: an answer that has not ended takes its connection with it."""
        self._unwatch()
        self._trouble = self._trouble or httpx.StreamClosed()
        self._wake()
        self._parser = None  # it refers back here: no cycle is left to the garbage collector
        self._connection.leave(self, whole=self._complete)

    async def _more(self) -> None:
        self._heard = self._loop.time()
        if self._watch is None:
            self._watch = self._loop.call_at(self._heard + self._silence, self._check)
        self._reader = self._loop.create_future()
        try:
            await self._reader
        finally:
            self._reader = None

    def _taken(self) -> bytes:
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        if self._waiting_bytes > MAX_WAITING_BYTES:
            self._connection.resume()
        self._waiting_bytes = 0
        return data

    def _check(self) -> None:
        """One timer watches all reads: it ends the one that has waited too long, or looks again later."""
        self._watch = None
        if self._reader is None:
            return
        due = self._heard + self._silence
        if self._loop.time() >= due:
            self.fail(httpx.ReadTimeout("no answer in time"))
        else:
            self._watch = self._loop.call_at(due, self._check)

    def _unwatch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    # -- from the connection ----------------------------------------------------------------------------------

    @property
    def complete(self) -> bool:
        """Whether the last byte has come."""
        return self._complete

    def feed(self, data: bytes) -> None:
        """Bytes of the answer."""
        self._head_bytes += 0 if self.head.done() else len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.fail(httpx.RemoteProtocolError("it switched to another protocol"))
        except httptools.HttpParserError:
            if not self._complete:  # what follows a whole answer is the next one's trouble
                self.fail(httpx.RemoteProtocolError("the answer is not valid HTTP"))
        if self._parts or self._complete:
            self._wake()
        elif self._head_bytes > MAX_HEAD_BYTES and not self.head.done():
            self.fail(httpx.RemoteProtocolError("its headers are too long"))

    def end(self, error: Exception | None) -> None:
        """The connection has ended; a body without a length ends so."""
        if self._complete:
            return
        if self.head.done() and error is None and not self._has_length():
            self._complete = True
            self._wake()
        elif self._head_bytes:
            self.fail(_caused(httpx.ReadError("the connection ended early"), error))
        else:
            self.fail(_caused(Dropped("it closed the connection"), error))

    def fail(self, trouble: Exception) -> None:
        """Nothing more will come that could be used."""
        self._trouble = self._trouble or trouble
        self._unwatch()
        if not self.head.done():
            self.head.set_exception(self._trouble)
        self._wake()
        self._connection.abort()

    def _has_length(self) -> bool:
        names = {name.lower() for name, _ in self.headers}
        return b"content-length" in names or b"transfer-encoding" in names

    # -- from the parser --------------------------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header or trailer."""
        if not self.head.done():
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is there, if it is no interim one."""
        status = self._parser.get_status_code()
        if status < FIRST_FINAL_STATUS and status != SWITCHING_PROTOCOLS:
            self.headers.clear()
        elif not self.head.done():
            self.status = status
            self.head.set_result(None)

    def on_body(self, data: bytes) -> None:
        """More of the body."""
        if self._complete:
            return
        self._parts.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes > MAX_WAITING_BYTES:
            self._connection.pause()

    def on_message_complete(self) -> None:
        """The answer, or an interim one, is whole."""
        if self.head.done():
            self._complete = True
            self._connection.answered(keep=self._parser.should_keep_alive())


class Connection(asyncio.Protocol):
    """A connection to an upstream or a proxy.

    Attributes:
        closed: Whether it has ended.
        served: Whether it has been asked before.
        idle_since: When its last answer was over, on the loop's clock.
        on_idle: Called when it can take the next request.
        on_closed: Called when it has ended.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.closed = False
        self.idle_since = 0.0
        self.on_idle: Callable[[Connection], None] = _nobody
        self.on_closed: Callable[[Connection], None] = _nobody
        self._transport: asyncio.Transport | None = None
        self._answer: Answer | None = None
        self.served = False
        self._keep = False
        self._held = False

    async def ask(self, request: bytes, body: bytes, silence_seconds: float) -> Answer:
        """Send a request and wait for the head of its answer.

        Args:
            request: Its head.
            body: Its body.
            silence_seconds: The longest silence within the answer's body.

        Raises:
            httpx.TransportError: The connection broke, or what came is no answer.
        """
        answer = self._answer = Answer(self, silence_seconds)
        self.served, self._keep = True, False
        if self.closed or self._transport is None:
            raise Dropped("it closed the connection")
        self._transport.writelines((request, body))
        try:
            await answer.head
        except BaseException:
            self.abort()
            raise
        return answer

    async def secure(self, tls: Callable[[asyncio.Transport], object]) -> None:
        """Go on over TLS, within a tunnel: `tls` makes the new transport of the old one."""
        assert self._transport is not None  # noqa: S101 -- for the type checker: it was asked before
        self._answer = None
        self.served = False
        self._transport = cast(
            "asyncio.Transport", await cast("asyncio.Future[object]", tls(self._transport))
        )

    # -- from the answer --------------------------------------------------------------------------------------

    def answered(self, *, keep: bool) -> None:
        """The last byte of the answer has come; whether the upstream lets the connection live."""
        unsent = self._transport.get_write_buffer_size() if self._transport else 0
        self._keep = keep and not unsent

    def leave(self, answer: Answer, *, whole: bool) -> None:
        """The reader is done with its answer."""
        if self._answer is not answer:
            return
        self._answer = None
        if whole and self._keep and not self.closed:
            self.resume()
            self.idle_since = self.loop.time()
            self.on_idle(self)
        else:
            self.abort()

    def pause(self) -> None:
        """Take no more bytes for the moment; the upstream will notice."""
        if self._transport is not None and not (self.closed or self._held):
            self._held = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Take bytes again."""
        if self._transport is not None and self._held and not self.closed:
            self._held = False
            self._transport.resume_reading()

    def abort(self) -> None:
        """End it at once."""
        if self._transport is not None and not self.closed:
            self._transport.abort()

    # -- from the event loop ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol; what nobody asked for is a reason to go."""
        if self._answer is None or self._answer.complete:
            self.abort()
        else:
            self._answer.feed(data)

    def eof_received(self) -> bool:
        """See asyncio.Protocol: the other side is done, and so are we."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self.closed = True
        if self._answer is not None:
            self._answer.end(exc)
        self.on_closed(self)


def _nobody(_: Connection) -> None:
    """For a connection that no pool has."""


def _caused(error: Exception, cause: Exception | None) -> Exception:
    error.__cause__ = cause
    return error
