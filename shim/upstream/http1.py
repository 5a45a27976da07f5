"""One HTTP/1.1 connection as a client: a request at a time, and its answer as it arrives.

llhttp (through httptools) reads the answers, strictly; what stands here is when bytes are taken, how much waits, and
what a broken connection means. Whatever goes wrong is one of httpx's exceptions.

Not here: how a connection is made (`shim.upstream.dialing`) and who has it when (`shim.upstream.pool`).
"""

from __future__ import annotations

import asyncio
import math
import select
import sys
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

import httptools
import httpx

if sys.platform == "linux":
    import fcntl
    import termios

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable

    from shim.upstream.sse import Taker

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


class Overdue(httpx.ReadTimeout):
    """The time that the whole answer may take is over."""


class TooLong(httpx.ReadError):
    """The answer has more bytes than it may."""


class Answer(httpx.AsyncByteStream):
    """One answer: its head, then its body.

    Attributes:
        status: The HTTP status, once `head` is done.
        headers: As they came, names in their own case.
        head: Done when the head is there, or never will be.
        over: Whether nothing more can come.
    """

    def __init__(self, connection: Connection, silence_seconds: float, until: float = math.inf) -> None:
        """Expect it.

        Args:
            connection: On which it comes.
            silence_seconds: The longest silence within its body.
            until: When its head must be there, on the loop's clock.
        """
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.over = False
        self._loop = loop = connection.loop
        self.head: asyncio.Future[None] = loop.create_future()
        self._connection = connection
        self._parts: list[bytes] = []
        self.on_body = self._parts.append  # the parser's: what a part means is seen to once a read
        self._parser: Any = httptools.HttpResponseParser(self)
        self._bare_bytes = 0
        self._waiting_bytes = 0
        self._counted_parts = 0
        self._left_bytes = math.inf
        self._complete = False
        self._trouble: Exception | None = None
        self._reader: asyncio.Future[None] | None = None
        self._ahead: Taker | None = None
        self._silence = silence_seconds
        self._asked = 0.0
        self._until = until
        self._watch = None if until == math.inf else loop.call_at(until, self._check)

    # -- to the reader ----------------------------------------------------------------------------------------

    def allow(self, seconds: float, most_bytes: float) -> None:
        """Say how long the body may take from now on, and how many bytes it may have."""
        self._until = self._loop.time() + seconds
        self._left_bytes = most_bytes

    def hurry(self, seconds: float) -> None:
        """Say that what is still to come is awaited for so long at most."""
        self._until = min(self._until, self._loop.time() + seconds)
        self._unwatch()
        if self._is_awaited():
            self._watch_on()

    async def read(self) -> bytes:
        """All that has come and was not read yet; waits for more if nothing has. Empty at the end.

        Raises:
            httpx.TransportError: As `wait` and `take` do.
        """
        waiting = self.wait()
        if waiting is not None:
            await waiting
        return self.take()

    def wait(self, ahead: Taker | None = None) -> asyncio.Future[None] | None:
        """What is done as soon as there is something to take; None if there is already, or never will be.

        Args:
            ahead: Takes what comes meanwhile, if it comes alone.

        Raises:
            Overdue: The time of the whole answer is over.
        """
        self._asked = now = self._loop.time()
        if now >= self._until:
            raise Overdue("it takes too long")
        if self._parts or self.over:
            return None
        if self._watch is None:
            self._watch_on()
        self._ahead = ahead
        reader = self._reader = self._loop.create_future()
        return reader

    def take(self) -> bytes:
        """All that has come and was not taken yet; empty at the end.

        Raises:
            httpx.TransportError: The connection broke, or nothing came for too long; after what came before.
            TooLong: It is more than is allowed.
        """
        parts = self._parts
        if not parts:
            if self._trouble is not None:
                raise _anew(self._trouble)
            return b""
        data = parts.pop()
        if parts:
            data = b"".join((*parts, data))
            parts.clear()
        if self._waiting_bytes:
            self._go_on()
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            raise TooLong("it has too many bytes")
        return data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := await self.read():
            yield data

    async def aclose(self) -> None:
        """Nothing more is wanted: an answer that has not ended takes its connection with it."""
        self._unwatch()
        if not self.over:
            self.over, self._trouble = True, httpx.StreamClosed()
            self._wake()
        self._parser = self._ahead = None  # both refer back here: no cycle is left to the garbage collector
        self._connection.leave(self, whole=self._complete)

    def _go_on(self) -> None:
        """All that waited is taken."""
        if self._waiting_bytes > MAX_WAITING_BYTES:
            self._connection.resume()
        self._waiting_bytes = self._counted_parts = 0

    def _check(self) -> None:
        """One timer watches the head, then all reads: it ends what has taken too long, or looks again later."""
        self._watch = None
        if not self.head.done():
            self.fail(httpx.ReadTimeout("no answer in time"))
        elif self._is_awaited():
            now = self._loop.time()
            if now >= self._until:
                self.fail(Overdue("it takes too long"))
            elif now >= self._asked + self._silence:
                self.fail(httpx.ReadTimeout("no answer in time"))
            else:
                self._watch_on()

    def _is_awaited(self) -> bool:
        return self._reader is not None and not self._reader.done()

    def _watch_on(self) -> None:
        self._watch = self._loop.call_at(min(self._asked + self._silence, self._until), self._check)

    def _unwatch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    # -- from the connection ----------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Bytes of the answer: taken ahead, if that can be. Else who waits is woken, and finds them or what is wrong."""
        parts = self._parts
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._unfit(error)
        reader = self._reader
        if not parts or reader is None or reader.done():
            self._count(len(data))
            return
        self._bare_bytes = 0
        ahead = self._ahead
        if ahead is not None:
            part, now = parts.pop(), self._loop.time()
            left = self._left_bytes - len(part)
            if not parts and left >= 0 and now < self._until and ahead(part):
                self._left_bytes, self._asked = left, now
                return
            parts.append(part)
        reader.set_result(None)

    def _count(self, size: int) -> None:
        """Bytes that wake nobody: those of a body hold the upstream back, those between its parts are bounded."""
        if len(self._parts) == self._counted_parts:
            self._bare_bytes += size
            if self._bare_bytes > MAX_HEAD_BYTES and not self.over:
                self.fail(httpx.RemoteProtocolError("its headers are too long"))
        elif not self.head.done():  # an interim answer has no body (RFC 9110, section 15.2)
            self.fail(httpx.RemoteProtocolError("the answer is not valid HTTP"))
        else:
            self._counted_parts = len(self._parts)
            self._bare_bytes = 0
            self._waiting_bytes += size
            if self._waiting_bytes > MAX_WAITING_BYTES and not self.over:
                self._connection.pause()

    def end(self, error: Exception | None, *, undelivered: bool = False) -> None:
        """The connection has ended; a body without a length ends so.

        Args:
            error: What broke it, if it broke.
            undelivered: Whether the other side ended it without having received all of the request.
        """
        if self.over:
            return
        if self.head.done() and error is None and not self._has_length():
            self._complete = self.over = True
            self._wake()
        elif self.head.done() or self._bare_bytes:
            self.fail(_caused(httpx.ReadError("the connection ended early"), error))
        else:
            kind = Undelivered if undelivered else Dropped
            self.fail(_caused(kind("it closed the connection"), error))

    def fail(self, trouble: Exception) -> None:
        """Nothing more will come that could be used."""
        self.over, self._trouble = True, self._trouble or trouble
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
        if not self.status:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is there, if it is no interim one."""
        status = self._parser.get_status_code()
        if status == SWITCHING_PROTOCOLS:
            raise httpx.RemoteProtocolError("it switched to another protocol")
        if status < FIRST_STATUS:  # its body would be read as that of the next answer
            raise httpx.RemoteProtocolError("the answer is not valid HTTP")
        if len(b"".join(chain.from_iterable(self.headers))) > MAX_HEAD_BYTES:
            raise httpx.RemoteProtocolError("its headers are too long")
        if status < FIRST_FINAL_STATUS:
            self.headers.clear()
        elif not self.head.done():
            self.status = status
            self._unwatch()
            self._until = math.inf
            self.head.set_result(None)

    def on_message_complete(self) -> None:
        """The answer, or an interim one, is whole; the body of an interim one would be taken for the answer's."""
        if self.status:
            self._complete = self.over = True
            self._wake()
            self._connection.answered(keep=self._parser.should_keep_alive())
        elif self._parts:
            raise httpx.RemoteProtocolError("the answer is not valid HTTP")


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
        self._arrivals: Callable[[], object] | None = None
        self._answer: Answer | None = None
        self.served = False
        self._keep = False
        self._held = False
        self._undelivered = False

    async def ask(
        self, request: bytes, body: bytes, silence_seconds: float, until: float = math.inf
    ) -> Answer:
        """Send a request and wait for the head of its answer.

        Args:
            request: Its head.
            body: Its body.
            silence_seconds: The longest silence within the answer's body.
            until: When the head must be there, on the loop's clock.

        Raises:
            httpx.ConnectError: It had ended before; nothing was sent.
            httpx.TransportError: The connection broke, or what came is no answer.
        """
        if self._transport is None or self._is_over():
            raise httpx.ConnectError("it closed the connection")
        answer = self._answer = Answer(self, silence_seconds, until)
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
        return not (self._is_over() or self._has_arrived())

    def _has_arrived(self) -> bool:
        if self._arrivals is None:
            self._arrivals = _arrivals(self._wire)
        return bool(self._arrivals())

    def _is_over(self) -> bool:
        return self.closed or self._transport is None or self._transport.is_closing()

    # -- from the answer --------------------------------------------------------------------------------------

    def answered(self, *, keep: bool) -> None:
        """The last byte of the answer has come; whether the upstream lets the connection live."""
        self._keep = keep and not self._unsent()
        self.resume()  # what else may come is noticed, and ends it

    def _unsent(self) -> int:
        if self._transport is None or self._wire is None:
            return 0
        return self._transport.get_write_buffer_size() or self._wire.get_write_buffer_size()

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
        answer = self._answer
        if answer is None or answer.over:
            self.abort()
        else:
            answer.feed(data)

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


def _arrivals(wire: asyncio.Transport | None) -> Callable[[], object]:
    """What tells whether anything waits to be read; made once, and asked before each further request."""
    if wire is None:
        return lambda: True
    number = wire.get_extra_info("socket").fileno()
    if sys.platform == "win32":
        return lambda: select.select([number], [], [], 0)[0]
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return partial(poll.poll, 0)
