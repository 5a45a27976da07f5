"""Chunks that come one a read and only say more of the same are told in strides: byte for byte what they would be otherwise."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from script import Telling, scripts
from stage import CHAT_NAMES, FakeChat, delta, entry, events_of, run, turn
from test_laws_forms import chunk_of, more_of_it, named, similar_payloads
from wireforms import forms, payloads

from shim.core.deltas import ChunkReader
from shim.core.sse import encode
from shim.core.strides import TABLED_NUMBERS, Stride
from shim.core.text import JOINED_AT
from shim.upstream.sse import PayloadReader

tellings = st.builds(Telling, summary=st.booleans(), obfuscation=st.booleans())
PLAIN = Telling()


def by_bytes(texts, telling=PLAIN, beats=(), **kinds):
    """What `Turn.read` gives of reads of one payload each; heartbeats are asked for after some of them."""

    async def collected():
        played = turn(FakeChat([[text] for text in texts]), telling, **kinds)
        data, at = b"", 0
        while (piece := await played.read()) is not None:
            data += piece
            data += played.heartbeat() if at in beats else b""
            at += 1
        return data

    return run(collected())


def by_events(texts, telling=PLAIN, beats=(), **kinds):
    """The same of `Turn.tell`, event by event."""

    async def collected():
        played = turn(FakeChat([[text] for text in texts]), telling, **kinds)
        data, at = b"", 0
        async for events in played.events():
            data += b"".join(map(encode, events))
            data += played.heartbeat() if at in beats else b""
            at += 1
        return data

    return run(collected())


class AheadChat(FakeChat):
    """Has what comes taken where it arrives, as a `ChatStream` does."""

    def around(self, front, back):
        return PayloadReader().around(front, back)

    async def read(self, ahead=None):
        while (payloads := await super().read()) is not None:
            if not (ahead and len(payloads) == 1 and ahead(f"data: {payloads[0]}\n\n".encode())):
                break
        return payloads


class Outlet:
    """Takes pieces, but for some times."""

    def __init__(self, busy=()):
        self.busy = busy
        self.asked = 0
        self.pieces = []

    def put(self, piece):
        self.asked += 1
        if self.asked not in self.busy:
            self.pieces.append(piece)
        return self.asked not in self.busy


def by_outlet(texts, telling=PLAIN, busy=(), **kinds):
    """What comes out of a turn whose pieces are put out ahead, whenever that can be; and how many were."""
    outlet = Outlet(busy)

    async def collected():
        played = turn(AheadChat([[text] for text in texts]), telling, **kinds)
        played.ahead(outlet.put)
        ordinary = 0
        async for piece in pieces(played):
            outlet.pieces.append(piece)
            ordinary += 1
        return b"".join(outlet.pieces), len(outlet.pieces) - ordinary

    return run(collected())


@given(script=scripts(), form=forms, telling=tellings, busy=st.sets(st.integers(0, 12)))
def test_what_is_told_ahead_is_what_events_tell_whatever_the_wire_form(script, form, telling, busy):
    texts = payloads(script, form, CHAT_NAMES)
    assert by_outlet(texts, telling, busy)[0] == by_events(texts, telling)


@given(texts=similar_payloads(), telling=tellings, busy=st.sets(st.integers(0, 12)))
def test_what_is_told_ahead_is_what_events_tell_however_alike_the_payloads_are(texts, telling, busy):
    assert by_outlet(texts, telling, busy)[0] == by_events(texts, telling)


def test_what_only_goes_on_is_told_ahead():
    assert by_outlet([chunk_of(text) for text in "abcdef"])[1] == 4


def test_what_is_told_ahead_ends_with_its_item_whatever_else_comes_with_the_end():
    no = json.dumps(delta(refusal="no"))
    reads = [*([chunk_of(text)] for text in "abc"), [no, no], [chunk_of("d")], [chunk_of("e")], [FINISH]]
    outlet = Outlet()

    async def collected():
        played = turn(AheadChat(reads))
        played.ahead(outlet.put)
        async for piece in pieces(played):
            outlet.pieces.append(piece)

    run(collected())
    events = events_of(turn(FakeChat(reads)))
    assert b"".join(outlet.pieces) == b"".join(map(encode, events))


def test_a_turn_that_is_closed_amid_a_stride_has_no_way_back_to_its_outlet():
    played, outlet = turn(AheadChat([[chunk_of(text)] for text in "ab"])), Outlet()
    played.ahead(outlet.put)

    async def read():
        for _ in range(3):
            await played.read()
        assert played.passage is not None
        await played.aclose()

    run(read())
    assert (played.outlet, played.passage) == (None, None)


@given(script=scripts(), form=forms, telling=tellings, beats=st.sets(st.integers(0, 12)))
def test_strides_tell_what_events_tell_whatever_the_wire_form(script, form, telling, beats):
    texts = payloads(script, form, CHAT_NAMES)
    assert by_bytes(texts, telling, beats) == by_events(texts, telling, beats)


@given(texts=similar_payloads(), telling=tellings, names=st.booleans())
def test_strides_tell_what_events_tell_however_alike_the_payloads_are(texts, telling, names):
    assert by_bytes(texts, telling, names=names) == by_events(texts, telling, names=names)


REASONS = [json.dumps(delta(reasoning=text)) for text in "abcd"]
FINISH = json.dumps(delta("stop"))


@pytest.mark.parametrize(
    ("texts", "strides"),
    [
        ([chunk_of(text) for text in "abcd"], 2),
        ([chunk_of(text) for text in ("a", "b", "", "c", "d")], 2),
        ([chunk_of(text) for text in ("a", "b", "c<", "d", "e")], 1),
        ([chunk_of(text) for text in ("a", "b", "c", "<tool_call>", "d", "e")], 2),
        ([chunk_of(text) for text in ("a", "b", "\ud83d", "\ude00", "c", "d")], 2),
        ([chunk_of(text) for text in ("a", "b", '"\\\n\x00é\u2028', "d")], 2),
        ([*REASONS, *map(chunk_of, "ab"), *REASONS], 6),
        ([chunk_of("a"), chunk_of("b"), chunk_of("c", model="n"), chunk_of("d", model="n")], 0),
        ([chunk_of("a"), chunk_of("b"), chunk_of("c")[:-1], chunk_of("d")], 0),
        ([chunk_of("a"), chunk_of("b"), chunk_of("c").replace('"c"', '"c'), chunk_of("d")], 0),
        ([named(0), *map(more_of_it, "{abc")], 3),
        ([named(0), *map(more_of_it, "{ab"), named(0, "{ab"), FINISH], 2),
        ([named(0), *map(more_of_it, "{}"), named(0, "{}"), FINISH], 1),
        ([named(0), more_of_it("{"), named(1), *map(more_of_it, "ab")], 1),
        ([json.dumps(delta(tool_calls=[entry(0, "c", CHAT_NAMES["custom", "", "note"])])), *map(more_of_it, "{a")], 0),
    ],
)  # fmt: skip
def test_what_only_goes_on_is_told_in_strides(monkeypatch, texts, strides):
    made, step = [], Stride.step

    def counted(self, payload):
        event = step(self, payload)
        made.extend([event] if event is not None else ())
        return event

    monkeypatch.setattr(Stride, "step", counted)
    assert by_bytes(texts) == by_events(texts)
    assert len(made) == strides


def raw(text):
    """A chunk in which nothing is escaped that need not be."""
    return chunk_of("%").replace("%", text)


@pytest.mark.parametrize("telling", [PLAIN, Telling(obfuscation=True)])
@pytest.mark.parametrize(
    "said",
    ['a","x":"b', "é", "\\u00e9", "é\\u0041", "\x7f", "\u2028", "a\u2029b", "😀", "\\/", "\\n", '\\"', "a b"],
)
def test_a_stride_tells_what_was_said_however_it_was_written(said, telling):
    texts = [*map(raw, "ab"), raw(said), *map(raw, "cd")]
    assert by_bytes(texts, telling) == by_outlet(texts, telling)[0] == by_events(texts, telling)


def test_a_stride_goes_on_whatever_the_number_of_its_events():
    texts = [chunk_of("a") for _ in range(TABLED_NUMBERS + 10)]
    told, ahead = by_outlet(texts)
    assert by_bytes(texts) == told == by_events(texts)
    assert ahead == len(texts) - 2


@pytest.mark.parametrize("room", range(12))
def test_strides_have_no_more_room(room):
    texts = [chunk_of(text) for text in ("a", "b", "c", "é", "ab", "c")]

    async def collected(strides):
        played = turn(FakeChat([[text] for text in texts]))
        played.reader = ChunkReader(played.reader.names, room)
        if not strides:
            return b"".join([encode(event) async for events in played.events() for event in events])
        return b"".join([piece async for piece in pieces(played)])

    assert run(collected(strides=True)) == run(collected(strides=False))


def test_a_stride_ends_with_its_item_whatever_else_comes_with_the_end():
    no = json.dumps(delta(refusal="no"))
    reads = [*([chunk_of(text)] for text in "abc"), [no, no], [chunk_of("d")], [chunk_of("e")], [FINISH]]

    async def by_read():
        played = turn(FakeChat(reads))
        return b"".join([piece async for piece in pieces(played)])

    async def by_event():
        return b"".join(
            [encode(event) async for events in turn(FakeChat(reads)).events() for event in events]
        )

    assert run(by_read()) == run(by_event())


async def pieces(played):
    """What `Turn.read` gives, piece by piece."""
    while (piece := await played.read()) is not None:
        yield piece


def test_pieces_of_arguments_that_are_alike_are_kept_once():
    played = turn(FakeChat([[named(0)], [more_of_it("{")], *[[more_of_it("ab")], [more_of_it("cd")]] * 50]))

    async def read():
        for _ in range(90):
            assert await played.read()
        return played.reader.steady()[2].arguments

    assert len({id(piece) for piece in run(read())[4:]}) == 2


def test_what_strides_told_is_kept_in_few_pieces():
    played = turn(FakeChat([[chunk_of("a")]] * 10 * JOINED_AT))

    async def read():
        for _ in range(9 * JOINED_AT):
            assert await played.read()
        return list(played.assembler.speaking("text", None).text)

    assert len(run(read())) < JOINED_AT + 10
