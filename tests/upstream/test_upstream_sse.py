import itertools
import re
from types import SimpleNamespace

import pytest
from httpx_sse._decoders import SSEDecoder
from hypothesis import example, given
from hypothesis import strategies as st

from shim.core.deltas import ChunkReader
from shim.core.strides import Stride
from shim.core.text import Pieces
from shim.errors import UpstreamFault
from shim.upstream.sse import EventReader, LineSplitter, PayloadReader


def payloads(*chunks: bytes, limit: int = 1 << 20) -> list[str]:
    reader = PayloadReader(limit)
    found = [payload for chunk in chunks for payload in reader.feed(chunk)]
    return found + reader.finish()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


BODIES = {
    b"data: a\n\ndata: b\n\n": ["a", "b"],
    b"data: a\r\n\r\ndata: b\r\n\r\n": ["a", "b"],
    b"data: a\r\rdata: b\r\r": ["a", "b"],
    b"data:a\n\n": ["a"],
    b"data:  a\n\n": [" a"],
    b"data: a\ndata: b\n\n": ["a\nb"],
    b": comment\n\ndata: a\n\n:\n\n": ["a"],
    b"\xef\xbb\xbfdata: a\n\n": ["a"],
    b"id: 7\ndata: a\n\n: ping\n\n: ping\n\ndata: b\n\n": ["a", "b"],
    b"retry: 100\n\nevent: x\ndata: a\n\nevent: y\n\n": ["a"],
    b"data: a": ["a"],
    b"data: a\n": ["a"],
    b"data: a\r": ["a"],
    b"data: a\n\ndata: b": ["a", "b"],
    b"data\n\ndata:\n\ndata: \n\n": [],
    b"data: \n\n": [],
    b"data: a\nevent: x\n\ndata:b\ndata: c\n\n": ["a", "b\nc"],
    b"data: \ndata: a\n\n": ["\na"],
    b"data: a\rdata: b\n\n": ["a\nb"],
    b"id: 7\n\ndata: a\nid: 8\n\n\n\ndata: b\n\n": ["a", "b"],
    b"": [],
    b"\n\n": [],
    b"\xef\xbb": [],
    "data: \u2028\u0085\x0b\x0c\x1c é 😀\n\n".encode(): ["\u2028\u0085\x0b\x0c\x1c é 😀"],
    b"data: \xff\xfe\n\n": ["\ufffd\ufffd"],
    b"data: [DONE]\n\n": ["[DONE]"],
    b'{"error": {"message": "no"}}\n': ['{"error": {"message": "no"}}'],
    b'\n\n [{"error": 1}]': ['[{"error": 1}]'],
    b'\xef\xbb\xbf {"a":\n\n1}': ['{"a":\n\n1}'],
    b"<html></html>": [],
}


@pytest.mark.parametrize(("body", "expected"), BODIES.items())
def test_a_body_is_read_whole_and_byte_by_byte_alike(body, expected):
    assert payloads(body) == expected
    assert payloads(*(body[place : place + 1] for place in range(len(body)))) == expected


@pytest.mark.parametrize(
    ("before", "expected"),
    [(b"data: a", ["adata: b"]), (b"data: a\n", ["a\nb"]), (b"id: 1\n", ["b"]), (b"data: a\n\n", ["a", "b"])],
)
def test_a_whole_event_in_a_read_of_its_own_may_belong_to_what_came_before(before, expected):
    assert payloads(before, b"data: b\n\n") == expected


@given(st.sampled_from(sorted(BODIES)), st.lists(st.integers(0, 100)))
def test_the_cutting_of_the_bytes_never_matters(body, places):
    assert payloads(*cut(body, places)) == BODIES[body]


@given(
    st.lists(
        st.sampled_from(
            [
                b"data: a",
                b"data: a\n",
                b"data: b\n\n",
                b"data:",
                b"id: 1",
                b":",
                b"\n",
                b"\r",
                b"\r\n",
                b"\xf0\x9f",
                b"\x98\x80",
                b"{",
                b"\xef\xbb\xbf",
            ]
        )
    ).map(b"".join)
    | st.binary(),
    st.lists(st.integers(0, 1000)),
)
@example(b"\xef\xbb\xbf\xef\xbb\xbfdata: a", [1, 2, 3, 4])
def test_any_bytes_give_the_same_payloads_however_they_are_cut(body, places):
    assert payloads(*cut(body, places)) == payloads(body)


@given(st.binary(max_size=300), st.lists(st.integers(0, 300)), st.integers(1, 40))
def test_any_bytes_give_payloads_or_an_upstream_fault(body, places, limit):
    try:
        assert all(isinstance(payload, str) for payload in payloads(*cut(body, places), limit=limit))
    except UpstreamFault:
        assert len(body) > limit


@given(st.binary(), st.lists(st.integers(0, 1000)))
def test_lines_end_where_the_specification_says(data, places):
    splitter = LineSplitter()
    lines = [line for part in cut(data, places) for line in splitter.feed(part)]
    expected = re.split(rb"\r\n|\r|\n", data)
    assert [*lines, splitter.rest() or b""] == expected


@pytest.mark.parametrize(
    "body",
    [
        b"data: " + b"x" * 200,
        b"data: x\n" * 30,
        b"{" + b" " * 200,
        b":" * 101,
        b"data: " + b"x" * 101 + b"\n\n",
    ],
)
def test_what_never_ends_is_bounded(body):
    for chunks in ([body], [body[place : place + 7] for place in range(0, len(body), 7)]):
        with pytest.raises(UpstreamFault, match="more than 100 bytes"):
            payloads(*chunks, limit=100)


def test_a_first_line_of_data_counts_for_the_bound_while_the_next_is_awaited():
    reader = PayloadReader(100)
    with pytest.raises(UpstreamFault, match="more than 100 bytes"):
        reader.feed(b"data: " + b"x" * 60 + b"\ndata: " + b"y" * 60)


@given(
    st.lists(
        st.sampled_from(
            [b"data: a", b"data:b", b"data: ", b"id: 1", b":", b"", b"", b"event: x", b"data: \xff"]
        )
    ),
)
def test_events_are_those_of_httpx_sse(lines):
    decoder = SSEDecoder()
    events = [decoder.decode(line.decode("utf-8", "replace")) for line in [*lines, b""]]
    expected = [event.data for event in events if event and event.data]
    assert payloads(b":\n", *(line + b"\n" for line in lines)) == expected


def test_the_bound_is_on_one_event_and_not_on_the_body():
    assert len(payloads(b"data: x\n\n" * 100, limit=20)) == 100


@pytest.mark.parametrize("limit", range(16, 20))
def test_the_bound_is_on_the_last_of_several_events_too(limit):
    assert payloads(b"data: x\n\n" * 3, limit=limit) == ["x"] * 3
    with pytest.raises(UpstreamFault, match="more than"):
        payloads(b"data: x\n\n" * 2 + b"data: " + b"y" * 20 + b"\n\n", limit=limit)


def test_a_long_line_in_small_reads_takes_linear_time(monkeypatch):
    joined = 0
    real = LineSplitter._whole

    def counting(self):
        nonlocal joined
        joined += self.pending
        return real(self)

    monkeypatch.setattr(LineSplitter, "_whole", counting)
    line = b"data: " + b"x" * (1 << 20) + b"\n\n"
    assert payloads(*(line[place : place + 16] for place in range(0, len(line), 16)), limit=2 << 20)
    assert joined <= len(line)


def test_each_read_gives_its_own_list():
    reader = PayloadReader()
    assert reader.feed(b"data: a\n\ndata: b\n\ndata: c") == ["a", "b"]
    assert reader.feed(b"c\n\n") == ["cc"]
    assert reader.finish() == []


@pytest.mark.parametrize("size", [4096, 4097])
def test_of_many_events_only_those_that_a_read_cuts_are_read_by_lines(monkeypatch, size):
    by_lines, real = [], EventReader.feed
    monkeypatch.setattr(
        EventReader, "feed", lambda self, data: (by_lines.append(len(data)), real(self, data))[1]
    )
    event = b"data: {}\n\n"
    body = event * 5000
    reads = [body[place : place + size] for place in range(0, len(body), size)]
    assert payloads(*reads) == ["{}"] * 5000
    assert sum(by_lines) <= len(event) * len(reads)


lines = st.sampled_from(
    [
        'data: ["a"]',
        'data: ["é😀"]',
        'data: ["',
        'data: ["',
        '"]',
        'data: [""]',
        'data: ["]',
        'data:["b"]',
        ": c",
        "\r",
        "",
        "",
    ]
)


def taking(reader):
    """What is taken of JSON strings, and what takes it."""
    taken = []
    parts = ChunkReader(), SimpleNamespace(number=0), '["', '"]', None, taken, Pieces()
    stride = Stride(*parts, before=b"", middle=b"", after=b"", end=b"", noise=None)
    return taken, stride.taker(*reader.around('["', '"]'), lambda _: True)


@given(
    said=st.lists(lines, max_size=12),
    places=st.lists(st.integers(0, 1000), max_size=6),
    ends=st.sampled_from(["\n", "\r\n"]),
    limit=st.sampled_from([14, 1 << 20]),
)
@example(['data: ["a"]', "", 'data: ["é😀"]', ""], [13], "\n", 1 << 20)
@example(['data: ["a"]', "", 'data: ["é😀"]', ""], [13], "\n", 14)
@example(['data: ["a"]', "", 'data: ["', '"]', ""], [13], "\n", 1 << 20)
@example(['data: ["a"]', "", 'data: ["ab"]', ""], [13, 22], "\n", 1 << 20)
@example(['data: ["a"]', "", 'data: ["\r"]', ""], [13], "\n", 1 << 20)
@example(['data: ["a"]', "", 'data: ["]', ""], [13], "\n", 1 << 20)
@example(['data: ["a"]', "", 'data: ["a"]', "", 'data: ["a"]', ""], [13], "\n", 1 << 20)
def test_what_is_taken_ahead_is_what_would_be_read(said, places, ends, limit):
    reader = PayloadReader(limit)
    taken, take = taking(reader)
    for data in cut("".join(f"{line}{ends}" for line in said).encode(), places):
        took = reader.between and take(data)
        try:
            read = reader.feed(data)
        except UpstreamFault:
            assert not took
            return
        assert not took or read == [f'["{taken[-1]}"]']


def test_a_whole_event_that_comes_alone_is_taken_ahead():
    reader = PayloadReader()
    taken, take = taking(reader)
    assert not reader.between  # a byte order mark might come
    reader.feed(b'data: ["a"]\n\n')
    assert reader.between
    assert take(b'data: ["b"]\n\n')
    assert not take(b'data: ["c"]\n\ndata: ["d"]\n\n')
    assert taken == ["b"]


@pytest.mark.parametrize(("front", "back"), [('[\n"', '"]'), ('["', '"\n]')])
def test_payloads_of_several_lines_are_not_taken_ahead(front, back):
    assert PayloadReader().around(front, back) is None
