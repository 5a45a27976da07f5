"""An answer that has begun: its payloads (`ChatStream`) or its bytes (`RawReply`), until it is read or closed.

Who opens one closes it, best with `async with`. Closing before the end closes the connection at once, so that the
upstream stops working (and billing) for a client that has gone; an answer read to its end gives its connection back.
"""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, cast

from shim.errors import UpstreamFault
from shim.upstream.decoding import Decoded
from shim.upstream.http1 import Answer
from shim.upstream.sse import DONE, MAX_EVENT_BYTES, PayloadReader
from shim.upstream.troubles import TRANSPORT_ERRORS, broken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import httpx

    from shim.settings import Settings

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
    """The bytes of an answer, within its allowance and with one kind of exception."""

    def __init__(self, response: httpx.Response, allowance: Allowance) -> None:
        self._allowance = allowance
        self._left_bytes = allowance.most_bytes
        self._until = time.monotonic() + allowance.seconds
        self._response = response
        self._closed = False
        plain = isinstance(response.stream, Answer) and "content-encoding" not in response.headers
        self._source = (
            cast("Answer", response.stream) if plain else Decoded(response, allowance.silence_seconds)
        )

    async def read(self, seconds: float | None = None) -> bytes | None:
        """What came next; None at the end, or once closed.

        Args:
            seconds: How long to wait at most, if not as long as silence may last.

        Raises:
            UpstreamFault: The connection broke, nothing came in time, or it was too much.
        """
        left = self._until - time.monotonic()
        try:
            if seconds is None and left > self._allowance.silence_seconds:
                data = await self._source.read()
            else:
                data = await self._within(left if seconds is None else seconds, left)
        except TRANSPORT_ERRORS as error:
            if self._closed:
                return None
            await self.aclose()
            raise self._fault(error) from error
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            await self.aclose()
            raise _too_long(self._allowance.most_bytes)
        return data or None

    async def _within(self, seconds: float, left: float) -> bytes:
        """The next bytes, within so many seconds of those that are left."""
        if left <= 0:  # an upstream that never lets us wait would not notice a timer
            raise TimeoutError
        if self._source.ready:
            return await self._source.read()
        async with asyncio.timeout(seconds):
            return await self._source.read()

    def _fault(self, error: Exception) -> UpstreamFault:
        """What an exception means: time that ran out may be that of the whole answer."""
        if isinstance(error, TimeoutError) and time.monotonic() >= self._until:
            message = f"The upstream's answer took longer than {self._allowance.seconds:g} seconds."
            return UpstreamFault(message, status=504, code="server_error")
        return broken(error, self._response.url)

    async def aclose(self) -> None:
        """Close the connection, unless the answer was read to its end; again does nothing."""
        if self._closed:
            return
        self._closed = True
        with suppress(*TRANSPORT_ERRORS):
            await self._response.aclose()


class ChatStream:
    """A chat completion that the upstream is sending.

    Attributes:
        headers: Of the answer.
        attempts: How many requests it took.
    """

    def __init__(self, response: httpx.Response, allowance: Allowance, *, attempts: int) -> None:
        self.headers: Mapping[str, str] = response.headers
        self.attempts = attempts
        self._allowance = allowance
        self._body = Body(response, allowance)
        self._reader = PayloadReader(allowance.event_bytes)
        self._over = False
        self._until: float | None = None

    def settle(self) -> None:
        """Say that nothing more is wanted: the end of the body is awaited for a moment only."""
        self._hurry(LINGER_SECONDS)

    def conclude(self) -> None:
        """Say that the model has finished: what may still belong to the answer is not awaited for long."""
        self._hurry(min(USAGE_SECONDS, self._allowance.silence_seconds))

    def _hurry(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        self._until = until if self._until is None else min(until, self._until)

    async def read(self) -> list[str] | None:
        """The next SSE payloads, those of one network read together; None after the last.

        `[DONE]` is passed on as it is. An answer that is no event stream is one payload.

        Raises:
            UpstreamFault: The connection broke, nothing came in time, or an event is too long.
        """
        while not self._over:
            data = await (self._body.read() if self._until is None else self._last(self._until))
            self._over = data is None
            try:
                payloads = self._reader.finish() if data is None else self._reader.feed(data)
            except UpstreamFault:
                await self.aclose()
                raise
            if payloads:
                if DONE in payloads:
                    self.settle()
                return payloads
        return None

    async def __aiter__(self) -> AsyncIterator[list[str]]:
        while (payloads := await self.read()) is not None:
            yield payloads

    async def _last(self, until: float) -> bytes | None:
        """What comes until then: once the model has finished no fault matters any more."""
        left = until - time.monotonic()
        with suppress(UpstreamFault):
            return await self._body.read(left) if left > 0 else None
        return None

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

    def __init__(self, response: httpx.Response, allowance: Allowance, *, attempts: int) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.content_type = response.headers.get("content-type", "application/json")
        self.attempts = attempts
        self._body = Body(response, allowance)

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


def _too_long(most_bytes: float) -> UpstreamFault:
    return UpstreamFault(f"The upstream's answer has more than {most_bytes:,} bytes.", code="server_error")
