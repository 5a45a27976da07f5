"""The bytes of an answer that had to be decompressed, although none was asked for, or that came by another transport.

A little goes in at a time and a little comes out, so that whoever reads can stop at a limit of its own: a kilobyte of
gzip can be a megabyte. Other encodings, and several in a chain, are refused: their densest data is a thousand times denser.
"""

from __future__ import annotations

import asyncio
import math
import time
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

import httpx

from shim.upstream.http1 import Overdue, TooLong

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shim.upstream.sse import Taker

PIECE_BYTES = 256 << 10
GZIP_WINDOW = 16 + zlib.MAX_WBITS
DEFLATE_METHOD = 8  # the low nibble of a zlib stream's first byte (RFC 1950, section 2.2); some send it bare
GZIP = frozenset({"gzip", "x-gzip"})
DECLINED = frozenset({"br", "zstd", "compress", "x-compress", "dcb", "dcz"})


class Declined(httpx.DecodingError):
    """The answer is compressed in a way that is not undone here."""


class Decoded:
    """The bytes of an answer, decompressed. Read like a `shim.upstream.http1.Answer`."""

    def __init__(
        self, stream: httpx.AsyncByteStream, headers: Mapping[str, str], silence_seconds: float
    ) -> None:
        self._stream = stream
        self._chunks = aiter(stream)
        self._silence = silence_seconds
        self._until = self._left_bytes = math.inf
        self._headers = headers
        self._decoder: zlib._Decompress | None = None
        self._rest = b""
        self._full = False  # whether a whole piece came out: the decoder may have more, though it took all
        self._piece = b""

    def allow(self, seconds: float, most_bytes: float) -> None:
        """Say how long it may take from now on, and how many bytes it may have."""
        self._until = time.monotonic() + seconds
        self._left_bytes = most_bytes

    def hurry(self, seconds: float) -> None:
        """Say that what is still to come is awaited for so long at most."""
        self._until = min(self._until, time.monotonic() + seconds)

    async def read(self) -> bytes:
        """What came next; empty at the end.

        Raises:
            httpx.HTTPError: As `wait` and `take` do.
        """
        await self.wait()
        return self.take()

    async def wait(self, _: Taker | None = None) -> None:
        """Return as soon as there is something to take, or never will be; nothing is taken ahead before it is decompressed.

        Raises:
            httpx.DecodingError: It is not what its encoding says, is cut short, or was `Declined`.
            TimeoutError: Nothing came for too long.
            Overdue: The time of the whole answer is over.
        """
        left = self._until - time.monotonic()
        if left <= 0:  # an upstream that never lets us wait would not notice a timer
            raise Overdue("it takes too long")
        try:
            async with asyncio.timeout(min(left, self._silence)):
                await self._find()
        except TimeoutError:
            if time.monotonic() >= self._until:
                raise Overdue("it takes too long") from None
            raise

    def take(self) -> bytes:
        """What was found; empty at the end.

        Raises:
            TooLong: It is more than is allowed.
        """
        data, self._piece = self._piece, b""
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            raise TooLong("it has too many bytes")
        return data

    async def aclose(self) -> None:
        """Nothing more is wanted, and whether that can be told does not matter."""
        with suppress(httpx.HTTPError, httpx.StreamError, OSError):
            await self._stream.aclose()

    async def _find(self) -> None:
        """Decompress until something comes out, or the end."""
        while not self._piece:
            if not (self._rest or self._full):
                self._rest = await anext(self._chunks, b"")
                if not self._rest:
                    self._check_end()
                    return
            self._piece = self._next()

    def _next(self) -> bytes:
        """At most a piece of what waits, decompressed; may be empty."""
        encoding = encoding_of(self._headers)
        if encoding is None:
            data, self._rest = self._rest, b""
            return data
        if self._decoder is None or self._decoder.eof:  # gzip may have several members
            self._decoder = zlib.decompressobj(self._window(encoding))
        try:
            data = self._decoder.decompress(self._rest, PIECE_BYTES)
        except zlib.error as error:
            raise httpx.DecodingError(str(error)) from error
        self._rest = self._decoder.unconsumed_tail or self._decoder.unused_data
        self._full = len(data) == PIECE_BYTES and not self._decoder.eof
        return data

    def _window(self, encoding: str) -> int:
        if encoding in GZIP:
            return GZIP_WINDOW
        return zlib.MAX_WBITS if self._rest[0] & 0x0F == DEFLATE_METHOD else -zlib.MAX_WBITS

    def _check_end(self) -> None:
        if self._decoder is not None and not self._decoder.eof:
            raise httpx.DecodingError("it is cut short")


def encoding_of(headers: Mapping[str, str]) -> str | None:
    """The compression of an answer; words that mean none, which some servers send, are passed over.

    Raises:
        Declined: It cannot be undone within bounds.
    """
    words = [word.strip().lower() for word in headers.get("content-encoding", "").split(",")]
    encodings = [word for word in words if word in GZIP | DECLINED | {"deflate"}]
    if len(encodings) > 1 or not DECLINED.isdisjoint(encodings):
        raise Declined(", ".join(encodings))
    return encodings[0] if encodings else None
