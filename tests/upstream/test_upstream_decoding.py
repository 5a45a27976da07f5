"""Compressed answers: undone a little at a time, however they are cut, and only what can be undone within bounds."""

import gzip
import random
import zlib
from contextlib import suppress

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shim.upstream.decoding import PIECE_BYTES, Declined, Decoded, encoding_of


class Pieces(httpx.AsyncByteStream):
    def __init__(self, pieces):
        self.pieces = pieces

    async def __aiter__(self):
        for piece in self.pieces:
            yield piece


async def read(pieces, encoding):
    """What comes, read by read."""
    source, found = Decoded(Pieces(pieces), {"content-encoding": encoding}, 5), []
    while data := await source.read():
        found.append(data)
    return found


def raw_deflate(data):
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKED = {
    "gzip": (gzip.compress, "gzip"),
    "x-gzip": (gzip.compress, "X-GZip"),
    "members": (lambda data: gzip.compress(data[:5]) + gzip.compress(b"") + gzip.compress(data[5:]), "gzip"),
    "deflate": (zlib.compress, "deflate"),
    "raw deflate": (raw_deflate, "deflate"),
    "none": (bytes, "identity"),
    "a charset": (bytes, "utf-8"),
}
DATA = b"data: hello\n\n" * 40 + random.Random(1).randbytes(300)


@pytest.mark.parametrize("name", PACKED)
async def test_it_is_the_same_however_it_is_cut(name):
    pack, encoding = PACKED[name]
    packed = pack(DATA)
    for size in (1, 2, 7, 100, len(packed)):
        pieces = [packed[at : at + size] for at in range(0, len(packed), size)]
        assert b"".join(await read(pieces, encoding)) == DATA


@pytest.mark.parametrize("name", ["gzip", "deflate", "raw deflate"])
async def test_a_bomb_comes_out_in_small_pieces(name):
    pack, encoding = PACKED[name]
    found = await read([pack(bytes(8 << 20))], encoding)
    assert sum(map(len, found)) == 8 << 20
    assert max(map(len, found)) <= PIECE_BYTES


@pytest.mark.parametrize("name", ["gzip", "deflate", "raw deflate"])
@pytest.mark.parametrize("beyond", [0, 21, 100, 257, 258, 259])
async def test_what_the_decoder_still_has_after_its_last_byte_came_is_read(name, beyond):
    pack, encoding = PACKED[name]
    data = b"a" * (PIECE_BYTES + beyond)  # ends within a copy that a full piece interrupts
    packed = pack(data)
    for size in (len(packed), 7, 1):
        pieces = [packed[at : at + size] for at in range(0, len(packed), size)]
        assert b"".join(await read(pieces, encoding)) == data


async def test_many_empty_members_are_nothing():
    assert await read([gzip.compress(b"") * 5000], "gzip") == []


@pytest.mark.parametrize("name", ["gzip", "deflate"])
async def test_what_is_cut_short_is_broken(name):
    pack, encoding = PACKED[name]
    with pytest.raises(httpx.DecodingError):
        await read([pack(DATA)[:-5]], encoding)


@given(data=st.binary(min_size=1, max_size=60), encoding=st.sampled_from(["gzip", "deflate"]))
@settings(max_examples=200)
async def test_any_bytes_are_read_or_broken(data, encoding):
    with suppress(httpx.DecodingError):
        await read([data], encoding)


@pytest.mark.parametrize(
    "said", ["br", "zstd", "compress", "gzip, gzip", "gzip, br", "deflate,deflate", "dcz"]
)
def test_what_has_no_bounds_is_declined(said):
    with pytest.raises(Declined):
        encoding_of({"content-encoding": said})
