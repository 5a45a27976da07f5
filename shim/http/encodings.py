"""Request bodies without their `content-encoding`: gzip, deflate, br, zstd, in any chain.

Every stage is a generator over small pieces and is counted as it runs, so a bomb ends at the limit instead of
in memory. Not here: how the body arrives, and what is in it.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from shim.errors import ClientFault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Stage = Callable[[Iterable[bytes]], Iterator[bytes]]

# Input goes in by so little because zstandard cannot be told to stop early: its densest block is 4 bytes for
# 128 KiB, so one slice gives 32 MiB at most. It also keeps cheap what zlib copies back and forth.
SLICE_BYTES = 1024
PIECE_BYTES = 64 << 10
MAX_ENCODINGS = 4  # nobody compresses twice in earnest; each further stage multiplies the work

GZIP_WINDOW = 16 + zlib.MAX_WBITS
ZLIB_WINDOW = zlib.MAX_WBITS
RAW_WINDOW = -zlib.MAX_WBITS
DEFLATE_METHOD = 8  # the low nibble of a zlib stream's first byte (RFC 1950, section 2.2)


class _Broken(Exception):
    """The data ends too early or goes on too long."""


def parse_encodings(header: str) -> tuple[str, ...]:
    """The encodings that a `content-encoding` header lists, in the order in which they were applied.

    Raises:
        ClientFault: 415, one is unknown or there are too many.
    """
    names = [name.strip().lower() for name in header.split(",")]
    encodings = tuple(name for name in names if name not in {"", "identity"})
    for name in encodings:
        if name not in DECODERS:
            raise _unsupported(
                f"Unsupported content-encoding {name[:40]!r}; send {', '.join(DECODERS)} or none."
            )
    if len(encodings) > MAX_ENCODINGS:
        raise _unsupported(f"A request body may have {MAX_ENCODINGS} content-encodings at most.")
    return encodings


def decode(body: bytes, encodings: tuple[str, ...], limit: int) -> bytes:
    """`body` without its encodings, at most `limit` bytes of it, also between two stages.

    Raises:
        ClientFault: 400, the data is not what its encoding says; 413, there is too much of it.
    """
    pieces: Iterable[bytes] = (body,)
    for name in reversed(encodings):
        pieces = _counted(name, pieces, limit)
    return b"".join(pieces)


def too_large(limit: int, what: str) -> ClientFault:
    """A 413 that names the limit."""
    return ClientFault(
        f"The request body is too large: {what} it may have {limit:,} bytes.",
        status=413,
        code="request_too_large",
    )


def _counted(name: str, pieces: Iterable[bytes], limit: int) -> Iterator[bytes]:
    size = 0
    try:
        for piece in DECODERS[name](_sliced(pieces)):
            size += len(piece)
            if size > limit:
                raise too_large(limit, "decompressed")
            yield piece
    except (_Broken, zlib.error) as error:
        message = f"The request body could not be decoded: it is not valid {name}, or incomplete."
        raise ClientFault(message) from error


def _sliced(pieces: Iterable[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        for start in range(0, len(piece), SLICE_BYTES):
            yield piece[start : start + SLICE_BYTES]


def _gunzip(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """One or more gzip members (RFC 1952, section 2.2)."""
    decoder = zlib.decompressobj(GZIP_WINDOW)
    for piece in pieces:
        rest = piece
        while rest:
            if decoder.eof:
                decoder = zlib.decompressobj(GZIP_WINDOW)
            yield decoder.decompress(rest, PIECE_BYTES)
            rest = decoder.unconsumed_tail or decoder.unused_data
    yield from _flushed(decoder)


def _inflate(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """A zlib stream, as RFC 9110 says, or the raw one that some clients send.

    The first byte decides: a zlib header's would be a raw stored block with padding, which nobody writes.
    """
    decoder = None
    for piece in pieces:
        decoder = decoder or zlib.decompressobj(
            ZLIB_WINDOW if piece[0] & 0x0F == DEFLATE_METHOD else RAW_WINDOW
        )
        rest = piece
        while rest:
            if decoder.eof:
                raise _Broken
            yield decoder.decompress(rest, PIECE_BYTES)
            rest = decoder.unconsumed_tail or decoder.unused_data
    if decoder is None:
        raise _Broken
    yield from _flushed(decoder)


def _flushed(decoder: zlib._Decompress) -> Iterator[bytes]:
    yield decoder.flush()
    if not decoder.eof:
        raise _Broken


def _unbrotli(pieces: Iterable[bytes]) -> Iterator[bytes]:
    import brotli  # type: ignore[import-untyped]  # noqa: PLC0415 -- few send it

    decoder = brotli.Decompressor()
    try:
        for piece in pieces:
            output = decoder.process(piece, output_buffer_limit=PIECE_BYTES)
            while output:
                yield output
                output = decoder.process(b"", output_buffer_limit=PIECE_BYTES)
    except brotli.error as error:
        raise _Broken from error
    if not decoder.is_finished():
        raise _Broken


def _unzstd(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """One or more zstd frames (RFC 8878, section 3)."""
    import zstandard  # noqa: PLC0415 -- few send it

    decompressor = zstandard.ZstdDecompressor()
    decoder = decompressor.decompressobj()
    try:
        for piece in pieces:
            rest = piece
            while rest:
                if decoder.eof:
                    decoder = decompressor.decompressobj()
                yield decoder.decompress(rest)
                rest = decoder.unused_data
    except zstandard.ZstdError as error:
        raise _Broken from error
    if not decoder.eof:
        raise _Broken


def _unsupported(message: str) -> ClientFault:
    return ClientFault(message, status=415, code="unsupported_content_encoding")


DECODERS: dict[str, Stage] = {
    "gzip": _gunzip,
    "deflate": _inflate,
    "br": _unbrotli,
    "zstd": _unzstd,
    "x-gzip": _gunzip,  # RFC 9110, section 8.4.1.3: the same as gzip
}
