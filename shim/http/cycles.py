"""The server's cycle of one request and its answer, with a short way for what is common.

The head of an answer whose length is known waits for its body, so that both leave in one; its headers are looked at all at
once; a further piece of a chunked body goes straight out. Whatever is rarer is left to uvicorn's own cycle, with its checks and
errors: an answer to HEAD, a status without a body, headers that are repeated, unusual or not allowed, a length that is not kept.

Besides, a cycle calls whoever wants to know that its client has left, for which others wait in a task of their own.
"""

from __future__ import annotations

import asyncio
from string import ascii_lowercase, digits
from types import FunctionType
from typing import TYPE_CHECKING, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Message
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

AT_ONCE = 64 << 10
"""Bytes of a body that leave in one with their head: to copy more takes longer than to send twice."""

TABLED_SIZES = 1024
"""Sizes of pieces of a chunked body whose line is at hand: the event of one delta is smaller."""

_SIZE_LINES = tuple(b"%x\r\n" % size for size in range(TABLED_SIZES))

_IN_NAMES = f"{ascii_lowercase}{digits}-".encode()
_NOT_IN_VALUES = bytes({*range(0x20), 0x7F} - {ord("\t")})
_CONNECTION = (None, b"keep-alive", b"close")
_STATUS_LINES = {
    status: line.removesuffix(b"\r\n") for status, line in STATUS_LINE.items() if status not in (204, 304)
}


class Cycle(RequestResponseCycle):
    """One request and its answer; `making_cycles` has uvicorn make it."""

    _head = b""
    _chunking = False
    _told: Callable[[], None] | None = None

    @classmethod
    def of(cls, cycle: RequestResponseCycle) -> Cycle:
        """`cycle`, of which nothing has begun, as one of ours: it is already, unless uvicorn made it by another name."""
        if not isinstance(cycle, cls):
            cycle.__class__ = cls  # slower: an instance whose class was changed loses the interpreter's fast access to attributes
        return cast("Cycle", cycle)

    # -- the answer -------------------------------------------------------------------------------------------

    async def send(self, message: Message) -> None:  # type: ignore[override]  # as Starlette has it
        """See ASGI."""
        if self.flow.write_paused and not self.disconnected:
            self.flush()
            await self.flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.body":
            if message.get("more_body") and self._chunking:
                if body := message.get("body"):
                    self.transport.write(b"%x\r\n%b\r\n" % (len(body), body))
                return
            sent = self._head and self._ended(message)
        else:
            sent = message["type"] == "http.response.start" and self._begun(message)
        if not sent:
            self._chunking = False
            self.flush()
            await super().send(message)  # type: ignore[arg-type]

    def put(self, piece: bytes) -> bool:
        """See `shim.http.call.Connection`: such a body is chunked."""
        if not self._chunking or self.flow.write_paused or self.disconnected:
            return False
        if size := len(piece):
            line = _SIZE_LINES[size] if size < TABLED_SIZES else b"%x\r\n" % size
            self.transport.write(b"".join((line, piece, b"\r\n")))
        return True

    def flush(self) -> None:
        """Send the head that waits: its body does not come, or not with it."""
        if self._head:
            self.transport.write(self._head)
            self._head = b""

    def _begun(self, start: Message) -> bool:
        """Begin a usual answer; whether it is one."""
        headers = [*self.default_headers, *start.get("headers", ())]
        said, line = dict(headers), _STATUS_LINES.get(start["status"])
        length, connection = said.get(b"content-length"), said.get(b"connection")
        if (
            line is None
            or self.response_started
            or self.access_log
            or self.scope["method"] == "HEAD"
            or len(said) < len(headers)
            or b"transfer-encoding" in said
            or connection not in _CONNECTION
            or not (length is None or length.isdigit())
            or b"".join(said).translate(None, _IN_NAMES)
            or (values := b"".join(said.values())) != values.translate(None, _NOT_IN_VALUES)
        ):
            return False
        self.response_started, self.waiting_for_100_continue = True, False
        lines = [line, *map(b": ".join, headers)]
        if connection == b"close":
            self.keep_alive = False
        elif not self.keep_alive:
            lines.append(b"connection: close")
        if length is None:
            self._chunking = self.chunked_encoding = True
            self.transport.write(b"\r\n".join((*lines, b"transfer-encoding: chunked\r\n\r\n")))
        else:
            self.chunked_encoding, self.expected_content_length = False, int(length)
            self._head = b"\r\n".join((*lines, b"", b""))
        return True

    def _ended(self, message: Message) -> bool:
        """Send a whole body with its head; whether it is one."""
        body = message.get("body", b"")
        if len(body) != self.expected_content_length or len(body) > AT_ONCE or message.get("more_body"):
            return False
        self.transport.write(self._head + body)
        self._head, self.expected_content_length = b"", 0
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
        return True

    # -- the client -------------------------------------------------------------------------------------------

    def watch(self, told: Callable[[], None]) -> Callable[[], None]:
        """Call `told` as soon as the client has left; returns what ends that. The request's body must have been received."""
        self.flow.resume_reading()  # else nothing would be heard of the client
        if self.disconnected:
            asyncio.get_running_loop().call_soon(told)  # who asks has not begun yet
        else:
            self._told = told
        return self._unwatch

    def _unwatch(self) -> None:
        self._told = None

    def leave(self) -> None:
        """The client has left."""
        self.disconnected = True
        self.message_event.set()
        if self._told is not None:
            self._told()


def making_cycles(method: FunctionType) -> Callable[[HttpToolsProtocol], None]:
    """A method of uvicorn's that makes its own cycle of a request, as one that makes a `Cycle`.

    Uvicorn offers no choice of class. So the method gets a copy of its module's globals in which `RequestResponseCycle` is
    `Cycle`. Where another version does not look that name up, `Cycle.of` changes the class afterwards.
    """
    names = {**method.__globals__, RequestResponseCycle.__name__: Cycle}
    return FunctionType(method.__code__, names, method.__name__, method.__defaults__, method.__closure__)
