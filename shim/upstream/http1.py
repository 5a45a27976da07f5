"""One HTTP/1.1 connection as a client: a request at a time, and its answer as it arrives.

llhttp (through httptools) reads the answers, strictly; what stands here is when bytes are taken, how much waits, and
what a broken connection means. Whatever goes wrong is one of httpx's exceptions.

Not here: how a connection is made (`shim.upstream.dialing`) and who has it when (`shim.upstream.pool`).
"""

from __future__ import annotations

import asyncio
import select
import sys
from typing import TYPE_CHECKING, Any, cast

import httptools
import httpx

if sys.platform == "linux":
    import fcntl
    import termios

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable

MAX_HEAD_BYTES = 256 << 10
"""Bytes of an answer before its body, or between its parts; a signed `Location` alone can have 8 KB and more."""

MAX_WAITING_BYTES = 256 << 10
"""Bytes of a body that wait for their reader until the upstream is held back."""

FIRST_STATUS = 100
FIRST_FINAL_STATUS = 200
SWITCHING_PROTOCOLS = 101


class Dropped(httpx.ReadError):
    """The connection ended before a byte of the answer."""


class Undelivered(Dropped):
    """And it ended before the other side had received the whole request, which it cannot have begun to answer."""


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
        self._bare_bytes = 0
        self._parts: list[bytes] = []
        self._waiting_bytes = 0
        self._complete = False
        self._trouble: Exception | None = None
        self._reader: asyncio.Future[None] | None = None
        self._silence = silence_seconds
        self._asked = 0.0
        self._watch: asyncio.TimerHandle | None = None

    # -- to the reader ----------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether a read would not wait."""
        return bool(self._parts or self._complete or self._trouble)

    async def read(self) -> bytes:
        """All that has come and was not read yet; waits for more if nothing has. Empty at the end.

        Raises:
            httpx.TransportError: The connection broke, or nothing came for too long; after what came before.
        """
        if not (self._parts or self._complete or self._trouble):
            self._asked = self._loop.time()
            if self._watch is None:
                self._watch = self._loop.call_at(self._asked + self._silence, self._check)
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        if self._parts:
            return self._taken()
        if self._trouble and not self._complete:
            raise _anew(self._trouble)
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
        if self._reader is None or self._reader.done():
            return
        due = self._asked + self._silence
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

    def is_over(self) -> bool:
        """Whether nothing more can come."""
        return self._complete or self._trouble is not None

    def feed(self, data: bytes) -> None:
        """Bytes of the answer."""
        self._bare_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._unfit(error)
        if self._bare_bytes > MAX_HEAD_BYTES and not self.is_over():
            self.fail(httpx.RemoteProtocolError("its headers are too long"))
        if self._parts or self._complete:
            self._wake()

    def end(self, error: Exception | None, *, undelivered: bool = False) -> None:
        """The connection has ended; a body without a length ends so.

        Args:
            error: What broke it, if it broke.
            undelivered: Whether the other side ended it without having received all of the request.
        """
        if self.is_over():
            return
        if self.head.done() and error is None and not self._has_length():
            self._complete = True
            self._wake()
        elif self.head.done() or self._bare_bytes:
            self.fail(_caused(httpx.ReadError("the connection ended early"), error))
        else:
            kind = Undelivered if undelivered else Dropped
            self.fail(_caused(kind("it closed the connection"), error))

    def fail(self, trouble: Exception) -> None:
        """Nothing more will come that could be used."""
        self._trouble = self._trouble or trouble
        self._parser = None
        self._unwatch()
        if not self.head.done():
            self.head.set_exception(self._trouble)
        self._wake()
        self._connection.abort()

    def _unfit(self, error: Exception) -> None:
        """The parser stopped: at what is no answer, or at what follows a whole one."""
        if self._complete:
            self._connection.abort()
            return
        if isinstance(error.__context__, httpx.RemoteProtocolError):
            self.fail(error.__context__)
        else:
            self.fail(httpx.RemoteProtocolError("the answer is not valid HTTP"))

    def _has_length(self) -> bool:
        names = {name.lower() for name, _ in self.headers}
        return b"content-length" in names or b"transfer-encoding" in names

    # -- from the parser --------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """An answer begins; nobody asked for a second one."""
        if self._complete:
            raise httpx.RemoteProtocolError("it answered twice")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header or trailer."""
        if not self.head.done():
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is there, if it is no interim one."""
        status = self._parser.get_status_code()
        if status == SWITCHING_PROTOCOLS:
            raise httpx.RemoteProtocolError("it switched to another protocol")
        if status < FIRST_STATUS:  # its body would be read as that of the next answer
            raise httpx.RemoteProtocolError("the answer is not valid HTTP")
        if sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD_BYTES:
            raise httpx.RemoteProtocolError("its headers are too long")
        if status < FIRST_FINAL_STATUS:
            self.headers.clear()
        elif not self.head.done():
            self.status = status
            self.head.set_result(None)

    def on_body(self, data: bytes) -> None:
        """More of the body; an interim answer has none (RFC 9110, section 15.2), and it would be taken for the answer's."""
        if not self.head.done():
            raise httpx.RemoteProtocolError("the answer is not valid HTTP")
        self._bare_bytes = 0
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
        self._wire: asyncio.Transport | None = None  # what is below TLS
        self._answer: Answer | None = None
        self.served = False
        self._keep = False
        self._held = False
        self._undelivered = False

    async def ask(self, request: bytes, body: bytes, silence_seconds: float) -> Answer:
        """Send a request and wait for the head of its answer.

        Args:
            request: Its head.
            body: Its body.
            silence_seconds: The longest silence within the answer's body.

        Raises:
            httpx.ConnectError: It had ended before; nothing was sent.
            httpx.TransportError: The connection broke, or what came is no answer.
        """
        if self._transport is None or self._is_over():
            raise httpx.ConnectError("it closed the connection")
        answer = self._answer = Answer(self, silence_seconds)
        self.served, self._keep = True, False
        self._transport.writelines((request, body))
        try:
            await answer.head
        except BaseException:
            await answer.aclose()
            del answer  # it keeps what is raised: no cycle is left to the garbage collector
            raise
        return answer

    async def secure(self, tls: ssl.SSLContext, host: str) -> None:
        """Go on over TLS.

        Raises:
            OSError: The handshake failed, and the connection has ended.
        """
        self._answer, self.served = None, False
        below = self._transport
        if below is None or self._is_over():  # which speaks before it is asked, speaks no TLS
            raise ConnectionResetError("it closed the connection")
        try:
            above = await self.loop.start_tls(below, self, tls, server_hostname=host)
        except BaseException:
            self.abort()
            raise
        if above is None:  # it was lost in the very moment
            raise ConnectionResetError("it closed the connection")
        self._transport = above

    # -- from the pool ----------------------------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """Whether it can be asked again: what has come unasked, or its end, may not have been noticed yet."""
        return not (self._is_over() or self._wire is None or _is_readable(self._wire))

    def _is_over(self) -> bool:
        return self.closed or self._transport is None or self._transport.is_closing()

    # -- from the answer --------------------------------------------------------------------------------------

    def answered(self, *, keep: bool) -> None:
        """The last byte of the answer has come; whether the upstream lets the connection live."""
        self._keep = keep and not self._unsent()
        self.resume()  # what else may come is noticed, and ends it

    def _unsent(self) -> int:
        return sum(way.get_write_buffer_size() for way in (self._transport, self._wire) if way is not None)

    def _unacknowledged(self) -> int:
        """Bytes that the other side's system has not acknowledged; 0 where ours does not tell.

        What a connection's end acknowledges is what had arrived before it was sent, so the rest was never read.
        """
        if self._wire is None or sys.platform != "linux":
            return 0
        number = self._wire.get_extra_info("socket").fileno()
        return int.from_bytes(fcntl.ioctl(number, termios.TIOCOUTQ, bytes(4)), sys.byteorder)

    def leave(self, answer: Answer, *, whole: bool) -> None:
        """The reader is done with its answer."""
        if self._answer is not answer:
            return
        self._answer = None
        if whole and self._keep and not self._is_over():
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
        self._transport = self._wire = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol; what nobody asked for is a reason to go."""
        if self._answer is None or self._answer.is_over():
            self.abort()
        else:
            self._answer.feed(data)

    def eof_received(self) -> bool:
        """See asyncio.Protocol: the other side is done, and so are we, whatever is still unsent."""
        self._undelivered = bool(self._unsent() or self._unacknowledged())
        self.abort()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self.closed = True
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.end(exc, undelivered=self._undelivered)
        self.on_closed(self)


def _nobody(_: Connection) -> None:
    """For a connection that no pool has."""


def _caused(error: Exception, cause: BaseException | None) -> Exception:
    error.__cause__ = cause
    return error


def _anew(error: Exception) -> Exception:
    """The same, never raised before: what is raised leads, by its traceback, to whoever would keep it, and all they hold."""
    again = type(error).__new__(type(error), *error.args)
    again.__dict__.update(error.__dict__)
    return _caused(again, error.__cause__)


def _is_readable(wire: asyncio.Transport) -> bool:
    number = wire.get_extra_info("socket").fileno()
    if sys.platform == "win32":
        return bool(select.select([number], [], [], 0)[0])
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return bool(poll.poll(0))
