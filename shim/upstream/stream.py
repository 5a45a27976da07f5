"""An answer that has begun: its payloads (`ChatStream`) or its bytes (`RawReply`), until it is read or closed.

Who opens one closes it, best with `async with`. Closing before the end closes the connection at once, so that the
upstream stops working (and billing) for a client that has gone; an answer read to its end gives its connection back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from shim.errors import UpstreamFault
from shim.upstream.decoding import Decoded
from shim.upstream.http1 import Answer, Overdue, TooLong
from shim.upstream.sse import DONE, MAX_EVENT_BYTES, PayloadReader
from shim.upstream.troubles import TRANSPORT_ERRORS, broken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from shim.settings import Settings
    from shim.upstream.sse import Around, Taker
    from shim.upstream.transport import Reply

LINGER_SECONDS = 1.0
"""How long the end of the body is awaited after `[DONE]`, to keep the connection; some upstreams never end it."""

USAGE_SECONDS = 5.0
"""How long usage and `[DONE]` are awaited after the finish reason; some upstreams send neither, nor an end."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one answer may take.

    Attributes:
        silence_seconds: The longest wait for its next bytes.
        seconds: Time from its first byte to its last.
        most_bytes: All that it may have.
        event_bytes: What one of its events, or it as a single JSON object, may have.
    """

    silence_seconds: float
    seconds: float = math.inf
    most_bytes: float = math.inf
    event_bytes: int = MAX_EVENT_BYTES

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """What the settings say."""
        return cls(
            settings.read_seconds,
            settings.response_seconds or math.inf,
            settings.max_answer_bytes,
            settings.max_event_bytes,
        )


class Body:
    """The bytes of an answer, within its allowance and with one kind of exception.

    Attributes:
        source: Where they come from.
        closed: Whether nothing more is wanted of it.
    """

    def __init__(self, reply: Reply, allowance: Allowance) -> None:
        self.closed = False
        self._allowance = allowance
        self._url = reply.url
        self.source: Answer | Decoded
        if isinstance(reply.stream, Answer) and "content-encoding" not in reply.headers:
            self.source = reply.stream
        else:
            self.source = Decoded(reply.stream, reply.headers, allowance.silence_seconds)
        self.source.allow(allowance.seconds, allowance.most_bytes)

    async def read(self) -> bytes | None:
        """What came next; None at the end, or once closed.

        Raises:
            UpstreamFault: The connection broke, nothing came in time, or it was too much.
        """
        try:
            return await self.source.read() or None
        except TRANSPORT_ERRORS as error:
            if self.closed:
                return None
            await self.aclose()
            raise self.fault(error) from error

    def fault(self, error: Exception) -> UpstreamFault:
        """What an exception within the answer means."""
        if isinstance(error, TooLong):
            most = f"{self._allowance.most_bytes:,}"
            return UpstreamFault(f"The upstream's answer has more than {most} bytes.", code="server_error")
        if isinstance(error, Overdue):
            message = f"The upstream's answer took longer than {self._allowance.seconds:g} seconds."
            return UpstreamFault(message, status=504, code="server_error")
        return broken(error, self._url)

    async def aclose(self) -> None:
        """Close the connection, unless the answer was read to its end; again does nothing."""
        if self.closed:
            return
        self.closed = True
        await self.source.aclose()


class ChatStream:
    """A chat completion that the upstream is sending.

    Attributes:
        headers: Of the answer.
        attempts: How many requests it took.
    """

    def __init__(self, reply: Reply, allowance: Allowance, *, attempts: int) -> None:
        self.headers: Mapping[str, str] = reply.headers
        self.attempts = attempts
        self._silence = allowance.silence_seconds
        self._body = Body(reply, allowance)
        self._source = self._body.source
        self._reader = PayloadReader(allowance.event_bytes)
        self._over = False
        self._hurried = math.inf

    def settle(self) -> None:
        """Say that nothing more is wanted: the end of the body is awaited for a moment only."""
        self._hurry(LINGER_SECONDS)

    def conclude(self) -> None:
        """Say that the model has finished: what may still belong to the answer is not awaited for long."""
        self._hurry(min(USAGE_SECONDS, self._silence))

    def _hurry(self, seconds: float) -> None:
        if seconds < self._hurried:
            self._hurried = seconds
            self._source.hurry(seconds)

    def around(self, front: str, back: str) -> Around | None:
        """See `shim.upstream.sse.PayloadReader`."""
        return self._reader.around(front, back)

    async def read(self, ahead: Taker | None = None) -> list[str] | None:
        """The next SSE payloads, those of one network read together; None after the last.

        `[DONE]` is passed on as it is. An answer that is no event stream is one payload.

        Args:
            ahead: Takes what comes meanwhile, where it can, as soon as it arrives.

        Raises:
            UpstreamFault: The connection broke, nothing came in time, or an event is too long.
        """
        source = self._source
        try:
            while True:
                waiting = source.wait(ahead if self._reader.between else None)
                if waiting is not None:
                    await waiting
                data = source.take()
                if not data:
                    return self._end()
                payloads = self._reader.feed(data)
                if payloads:
                    if DONE in payloads:
                        self.settle()
                    return payloads
        except UpstreamFault:
            await self.aclose()
            raise
        except TRANSPORT_ERRORS as error:
            matters = not (self._over or self._hurried < math.inf or self._body.closed)
            await self.aclose()
            if matters:  # as none does once the model has finished
                raise self._body.fault(error) from error
            return self._end()

    def _end(self) -> list[str] | None:
        """What the end of the body completes, once."""
        if self._over:
            return None
        self._over = True
        return self._reader.finish() or None

    async def __aiter__(self) -> AsyncIterator[list[str]]:
        while (payloads := await self.read()) is not None:
            yield payloads

    async def aclose(self) -> None:
        """Close the connection to the upstream at once."""
        await self._body.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class RawReply:
    """An answer passed through as it is.

    Attributes:
        status: Its HTTP status, 2xx.
        content_type: Its `Content-Type`.
        headers: All its headers.
        attempts: How many requests it took.
    """

    def __init__(self, reply: Reply, allowance: Allowance, *, attempts: int) -> None:
        self.status = reply.status
        self.headers: Mapping[str, str] = reply.headers
        self.content_type = reply.headers.get("content-type", "application/json")
        self.attempts = attempts
        self._body = Body(reply, allowance)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (data := await self._body.read()) is not None:
            yield data

    async def aclose(self) -> None:
        """Close the connection to the upstream at once."""
        await self._body.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
