"""The bytes of an answer that had to be decompressed, although none was asked for, or that came by another transport.

A little goes in at a time and a little comes out, so that whoever reads can stop at a limit of its own: a kilobyte of
gzip can be a megabyte. Other encodings, and several in a chain, are refused: their densest data is a thousand times denser.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING, cast

import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping

PIECE_BYTES = 256 << 10
GZIP_WINDOW = 16 + zlib.MAX_WBITS
DEFLATE_METHOD = 8  # the low nibble of a zlib stream's first byte (RFC 1950, section 2.2); some send it bare
GZIP = frozenset({"gzip", "x-gzip"})
DECLINED = frozenset({"br", "zstd", "compress", "x-compress", "dcb", "dcz"})


class Declined(httpx.DecodingError):
    """The answer is compressed in a way that is not undone here."""


class Decoded:
    """The bytes of an answer, decompressed. Read like a `shim.upstream.http1.Answer`."""

    def __init__(self, response: httpx.Response, silence_seconds: float) -> None:
        self._chunks = aiter(cast("httpx.AsyncByteStream", response.stream))
        self._silence = silence_seconds
        self._headers = response.headers
        self._decoder: zlib._Decompress | None = None
        self._rest = b""
        self._full = False  # whether a whole piece came out: the decoder may have more, though it took all

    @property
    def ready(self) -> bool:
        """Whether a read would not wait."""
        return bool(self._rest or self._full)

    async def read(self) -> bytes:
        """What came next; empty at the end.

        Raises:
            httpx.DecodingError: It is not what its encoding says, is cut short, or was `Declined`.
        """
        async with asyncio.timeout(self._silence):
            while True:
                if not self.ready:
                    self._rest = await anext(self._chunks, b"")
                    if not self._rest:
                        self._check_end()
                        return b""
                if data := self._next():
                    return data

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
