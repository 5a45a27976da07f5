"""Request bodies: encodings, limits and JSON that is not quite JSON."""

import gzip
import json
import tracemalloc
import zlib

import brotli
import pytest
import zstandard
from http_fakes import raw_request, soon
from hypothesis import given
from hypothesis import strategies as st

from shim.errors import ClientFault
from shim.http.bodies import json_object
from shim.http.encodings import MAX_ENCODINGS, decode, parse_encodings

LIMIT = 1 << 20


def raw_deflate(data):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def streamed_zstd(data):
    """Frames without a content size, as streaming encoders write them."""
    packer = zstandard.ZstdCompressor().compressobj()
    return packer.compress(data) + packer.flush()


ENCODERS = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "zlib": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", zstandard.compress),
    "zstd stream": ("zstd", streamed_zstd),
}
chains = st.lists(st.sampled_from(sorted(ENCODERS)), min_size=1, max_size=MAX_ENCODINGS)
some_data = st.one_of(
    st.binary(max_size=5000),
    st.builds(lambda unit, count: unit * count, st.binary(min_size=1, max_size=9), st.integers(0, 90_000)),
)


def status_of(work):
    """The status of the fault that `work` raises, None if it raises none; anything else fails the test."""
    try:
        work()
    except ClientFault as fault:
        return fault.status
    return None


def encoded(data, chain):
    for name in chain:
        data = ENCODERS[name][1](data)
    return data, tuple(ENCODERS[name][0] for name in chain)


@given(some_data, chains)
def test_any_chain_of_encodings_round_trips(data, chain):
    assert decode(*encoded(data, chain), LIMIT) == data


@given(st.data(), st.binary(min_size=1, max_size=3000), chains)
def test_corrupted_bytes_give_a_client_fault_or_data_and_nothing_else(data, body, chain):
    packed, names = encoded(body, chain)
    at = data.draw(st.integers(0, len(packed) - 1))
    broken = packed[:at] + bytes([packed[at] ^ data.draw(st.integers(1, 255))]) + packed[at + 1 :]
    assert status_of(lambda: decode(broken, names, LIMIT)) in {None, 400, 413}


@given(st.binary(max_size=300), st.sampled_from(["gzip", "deflate", "br", "zstd"]))
def test_arbitrary_bytes_give_a_client_fault_or_data_and_nothing_else(data, name):
    assert status_of(lambda: decode(data, (name,), LIMIT)) in {None, 400, 413}


@given(st.data(), st.binary(max_size=3000), st.sampled_from(sorted(ENCODERS)))
def test_a_truncated_body_is_400_that_names_its_encoding(data, body, encoder):
    packed, names = encoded(body, [encoder])
    cut = data.draw(st.integers(0, len(packed) - 1))
    with pytest.raises(ClientFault) as caught:
        decode(packed[:cut], names, LIMIT)
    assert caught.value.status == 400
    assert names[0] in caught.value.message


@pytest.mark.parametrize("encoder", ["zlib", "raw deflate", "br", "gzip", "zstd"])
def test_what_follows_the_end_of_the_data_is_400(encoder):
    packed, names = encoded(b"hello", [encoder])
    for junk in (b"junk", b"\x01" * 5000):
        with pytest.raises(ClientFault):
            decode(packed + junk, names, LIMIT)


@pytest.mark.parametrize("encoder", ["gzip", "zstd"])
def test_several_members_count_as_one_body(encoder):
    one, names = encoded(b"one ", [encoder])
    two, _ = encoded(b"two", [encoder])
    assert decode(one + two, names, LIMIT) == b"one two"


@pytest.mark.parametrize("encoder", sorted(ENCODERS))
def test_a_body_may_reach_its_limit_and_no_byte_more(encoder):
    packed, names = encoded(b"x" * LIMIT, [encoder])
    assert len(decode(packed, names, LIMIT)) == LIMIT
    with pytest.raises(ClientFault) as caught:
        decode(packed, names, LIMIT - 1)
    assert (caught.value.status, caught.value.code) == (413, "request_too_large")


@pytest.mark.parametrize("encoder", sorted(ENCODERS))
def test_a_bomb_is_never_materialised(encoder):
    bomb, names = encoded(bytes(80 << 20), [encoder])
    tracemalloc.start()
    try:
        with pytest.raises(ClientFault):
            decode(bomb, names, LIMIT)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40 << 20


def test_a_bomb_between_two_stages_counts_as_well():
    hollow = gzip.compress(b"") * 100_000  # nothing at all, in two megabytes
    with pytest.raises(ClientFault) as caught:
        decode(gzip.compress(hollow), ("gzip", "gzip"), LIMIT)
    assert caught.value.status == 413


@pytest.mark.parametrize(
    ("header", "encodings"),
    [
        ("", ()),
        ("identity", ()),
        ("GZip", ("gzip",)),
        ("gzip, identity ,zstd", ("gzip", "zstd")),
        (" br,", ("br",)),
    ],
)
def test_the_header_lists_encodings_in_any_spelling(header, encodings):
    assert parse_encodings(header) == encodings


@pytest.mark.parametrize("header", ["compress", "gzip, x", ",".join(["gzip"] * (MAX_ENCODINGS + 1))])
def test_unknown_or_too_many_encodings_are_415(header):
    with pytest.raises(ClientFault) as caught:
        parse_encodings(header)
    assert (caught.value.status, caught.value.code) == (415, "unsupported_content_encoding")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), json_values), st.booleans())
def test_any_object_is_read_as_it_was_written(value, ascii_only):
    assert json_object(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.lists(st.sampled_from(["\ud83d", "\ude00", "\\", "a", "\\ud83d", '"', "😀"])))
def test_lone_surrogates_become_the_replacement_character_and_the_rest_stays(parts):
    text = "".join(parts)
    expected = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    (read,) = json_object(json.dumps({"text": text}).encode()).values()
    assert "�" not in text or "�" in read
    assert read.replace("�", "") == expected.replace("�", "")
    read.encode()


@given(st.binary(max_size=200))
def test_any_bytes_give_an_object_or_a_client_fault(body):
    assert status_of(lambda: json_object(body).keys()) in {None, 400}


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b"", "empty"),
        (b" \r\n", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b'{"a": }', "line 1 column 7"),
        (b'{"a": 1} x', "trailing"),
        (b'{"a": NaN}', "line 1"),
        (b'{"a": Infinity}', "line 1"),
        (b'{"a": -Infinity}', "line 1"),
        (b'{"a": [1e999]}', "number is too large"),
        (b'{"a": {"b": -1E+400}}', "number is too large"),
        (b'{"a": ' + b"9" * 400 + b".0}", "number is too large"),
        (b'{"a": "\xff"}', "UTF-8 at byte 7"),
        ('{"a": 1}'.encode("utf-16"), "UTF-8"),
        (b'{"a": ' * 5000, "nested too deeply"),
        (b'{"a": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"a": "\\ud83d", "b":' + b"[" * 100_000, "nested too deeply"),
        (b'{"a": "\\uZZZZ"}', "escape"),
        (b"[1]", "an array"),
        (b'"text"', "a string"),
        (b"true", "a boolean"),
        (b"1.5", "a number"),
        (b"null", "null"),
    ],
)
def test_what_is_not_a_json_object_is_400_that_says_what_it_is(body, part):
    with pytest.raises(ClientFault) as caught:
        json_object(body)
    assert caught.value.status == 400
    assert part in caught.value.message


def test_text_that_looks_like_a_huge_number_is_only_text():
    assert json_object(b'{"a": "1e999", "b": 1e99}') == {"a": "1e999", "b": 1e99}


def test_of_duplicate_keys_the_last_wins_and_a_mark_in_front_is_ignored():
    assert json_object(b'\xef\xbb\xbf{"a": 1, "a": 2}') == {"a": 2}


@pytest.mark.parametrize("encoder", sorted(ENCODERS))
async def test_an_encoded_body_arrives_decoded(serve, exchange, encoder):
    body = {"model": "gpt-5", "input": "hi" * 1000}
    packed, (name,) = encoded(json.dumps(body).encode(), [encoder])
    async with serve() as client:
        reply = await client.post("/v1/responses", content=packed, headers={"content-encoding": name})
    assert reply.status_code == 200
    assert exchange.opened[0][0] == body


async def test_a_chat_body_is_forwarded_without_its_encoding(serve, upstream):
    async with serve() as client:
        await client.post(
            "/chat/completions", content=gzip.compress(b"{ }"), headers={"content-encoding": "gzip"}
        )
    assert upstream.forwarded[0][0] == b"{ }"


async def test_encodings_in_several_headers_are_undone_in_their_order(serve, upstream):
    packed = zlib.compress(gzip.compress(b"{ }"))
    said = [("content-encoding", "gzip"), ("content-encoding", "deflate")]
    async with serve() as client:
        assert (await client.post("/chat/completions", content=packed, headers=said)).status_code == 200
    assert upstream.forwarded[0][0] == b"{ }"


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/json;odata=verbose",
        "application/vnd.api+json",
    ],
)
async def test_a_body_that_is_said_to_be_json_is_taken(serve, kind):
    async with serve() as client:
        reply = await client.post("/v1/responses", content=b'{"model":"m"}', headers={"content-type": kind})
    assert reply.status_code == 200


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/chat/completions", "/v1/responses/input_tokens"])
@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "text/plain;charset=UTF-8, application/json",
        "text/plain; application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "text/json",
        "",
        None,
    ],
)
async def test_a_body_of_another_type_is_415_that_says_what_to_send(serve, exchange, upstream, path, kind):
    said = b"" if kind is None else f"content-type: {kind}\r\n".encode()
    head = b"POST %s HTTP/1.1\r\nhost: localhost\r\n%scontent-length: 13\r\n\r\n" % (path.encode(), said)
    async with serve() as client, raw_request(client, head + b'{"model":"m"}') as (reader, writer):
        status = await soon(reader.readline())
        writer.write_eof()
        rest = await soon(reader.read())
    assert status.startswith(b"HTTP/1.1 415")
    assert b"content-type: application/json" in rest.partition(b"\r\n\r\n")[2]
    assert b"unsupported_content_type" in rest
    assert exchange.opened == []
    assert upstream.forwarded == []


async def test_a_chunked_body_needs_a_type_too(serve, exchange):
    head = b"POST /v1/responses HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
    async with serve() as client, raw_request(client, head) as (reader, _):
        assert (await soon(reader.readline())).startswith(b"HTTP/1.1 415")
    assert exchange.opened == []


async def test_a_request_without_a_body_needs_no_type(serve):
    head = b"POST /v1/conversations HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n"
    async with serve() as client, raw_request(client, head) as (reader, _):
        assert not (await soon(reader.readline())).startswith(b"HTTP/1.1 415")


async def pieces(count, size):
    for _ in range(count):
        yield b" " * size


@pytest.mark.parametrize("content", [b" " * 3000, pieces(30, 100)], ids=["announced", "chunked"])
async def test_a_body_over_the_limit_is_413_announced_or_not(serve, exchange, content):
    async with serve(max_body_bytes=2000) as client:
        reply = await client.post("/v1/responses", content=content)
        again = await client.post("/v1/responses", content=b'{"model":"m"}')
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "request_too_large")
    assert "2,000" in reply.json()["error"]["message"]
    assert again.status_code == 200


async def test_a_body_that_grows_over_the_limit_is_413(serve):
    async with serve(max_decoded_bytes=1000) as client:
        packed = gzip.compress(b" " * 1001)
        reply = await client.post("/v1/responses", content=packed, headers={"content-encoding": "gzip"})
    assert reply.status_code == 413


async def test_a_body_announced_as_too_large_is_refused_before_it_arrives(serve):
    head = b"POST /v1/responses HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 2001\r\n\r\n"
    async with serve(max_body_bytes=2000) as client, raw_request(client, head) as (reader, _):
        assert (await soon(reader.readline())).startswith(b"HTTP/1.1 413")
