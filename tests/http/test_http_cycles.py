"""The server's cycle: what it sends is what uvicorn's own would send, in fewer writes, and it tells when a client leaves."""

import asyncio
import logging
from functools import partial

import hypothesis
import pytest
from http_fakes import raw_request, serving, soon
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from shim.http.call import CONNECTION
from shim.http.cycles import AT_ONCE, TABLED_SIZES, Cycle
from shim.http.heads import BoundedProtocol
from shim.settings import Settings

START, BODY = "http.response.start", "http.response.body"
DATE = (b"date", b"Thu, 01 Jan 1970 00:00:00 GMT")


class Transport:
    """Keeps what is written; when it is closed a head that waits goes out first, as `hang_up` sees to."""

    def __init__(self):
        self.writes = []
        self.closed = False
        self.cycle = None
        self.reading = True

    def write(self, data):
        self.writes.append(bytes(data))

    def close(self):
        if isinstance(self.cycle, Cycle):
            self.cycle.flush()
        self.closed = True

    def is_closing(self):
        return self.closed

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True


class Answering:
    """One cycle, ours or uvicorn's, over a transport that keeps what is written."""

    def __init__(self, *, ours=True, method="GET", keep_alive=True, expects=False, dated=True):
        self.transport = Transport()
        self.flow = FlowControl(self.transport)
        self.ended = 0
        self.cycle = RequestResponseCycle(
            scope={"type": "http", "method": method, "http_version": "1.1"},
            transport=self.transport,
            flow=self.flow,
            logger=logging.getLogger("test"),
            access_logger=logging.getLogger("test"),
            access_log=False,
            default_headers=[DATE] if dated else [],
            message_event=asyncio.Event(),
            expect_100_continue=expects,
            keep_alive=keep_alive,
            on_response=self._count,
        )
        if ours:
            self.cycle = Cycle.of(self.cycle)
        self.transport.cycle = self.cycle

    def _count(self):
        self.ended += 1

    async def send_all(self, messages):
        """Send until one is refused; what then was written and is known."""
        refusal = None
        try:
            for message in messages:
                await self.cycle.send(message)
        except (RuntimeError, KeyError, ValueError) as error:
            refusal = repr(error)
        self.transport.cycle = None if refusal is None and self.cycle.response_complete else self.cycle
        closed = self.transport.closed
        self.transport.close()
        known = (self.cycle.response_started, self.cycle.response_complete, self.cycle.keep_alive, self.ended)
        return b"".join(self.transport.writes), closed, refusal, known


def start(*headers, status=200):
    return {"type": START, "status": status, "headers": list(headers)}


def body(data=b"", more=None):
    return {"type": BODY, "body": data} | ({} if more is None else {"more_body": more})


NAMES = st.sampled_from([b"x-a", b"X-A", b"x a", b"x:a", b"", b"x_a", b"\xe9"])
VALUES = st.sampled_from([b"", b"v", b"a, b", b"\t\xe9", b"a\r\nx-b: c", b"\n", b"\x00", b"\x7f"])
FRAMING = st.one_of(
    st.tuples(
        st.just(b"content-length"), st.sampled_from([b"0", b"1", b"3", b"6", b"1_0", b"-1", b" 3", b"x"])
    ),
    st.tuples(
        st.just(b"connection"), st.sampled_from([b"close", b"Close", b"keep-alive", b"upgrade, close"])
    ),
    st.tuples(st.just(b"transfer-encoding"), st.sampled_from([b"chunked", b"Chunked", b"gzip"])),
)
HEADERS = st.lists(st.one_of(FRAMING, FRAMING, st.tuples(NAMES, VALUES)), max_size=4)
STARTS = st.builds(
    lambda headers, status: start(*headers, status=status),
    HEADERS,
    st.sampled_from([200, 200, 204, 304, 404, 599, 99]),
)
PIECES = st.builds(
    body, st.sampled_from([b"", b"a", b"abc", b"abcdef"]), st.sampled_from([None, False, True])
)
USUAL = st.builds(lambda first, pieces: [first, *pieces], STARTS, st.lists(PIECES, max_size=4))
ANY = st.lists(st.one_of(STARTS, PIECES, st.just({"type": "http.response.trailers"})), max_size=5)


def example(*messages):
    return hypothesis.example(messages=messages, method="POST", keep_alive=True, dated=True)


@example(start((b"x-a", b"a\r\nx-b: c")), body(b"abc"))
@example(start((b"x a", b"v")), body(b"abc"))
@example(start((b"content-length", b"3")), body(b"abcdef"))
@example(start((b"content-length", b"6")), body(b"abc"))
@example(start((b"content-length", b"6")), body(b"abc", more=True), body(b"def"))
@example(start((b"content-length", b"3")), body(b"abc"), body(b"abc"))
@example(start(), body(b"abc", more=True), body(b"def"), body(b"ghi", more=True))
@given(
    messages=st.one_of(USUAL, USUAL, ANY),
    method=st.sampled_from(["GET", "POST", "HEAD"]),
    keep_alive=st.booleans(),
    dated=st.booleans(),
)
def test_whatever_is_sent_is_answered_as_uvicorn_would(messages, method, keep_alive, dated):
    async def both():
        how = {"method": method, "keep_alive": keep_alive, "dated": dated}
        return [await Answering(ours=ours, **how).send_all(messages) for ours in (True, False)]

    ours, theirs = asyncio.run(both())
    assert ours == theirs


async def test_a_whole_answer_leaves_in_one_write():
    answering = Answering()
    await answering.cycle.send(start((b"content-length", b"3")))
    assert answering.transport.writes == []
    await answering.cycle.send(body(b"abc"))
    (written,) = answering.transport.writes
    assert written.endswith(b"\r\ncontent-length: 3\r\n\r\nabc")


async def test_the_head_of_a_stream_and_each_piece_leave_at_once():
    answering = Answering()
    await answering.cycle.send(start())
    assert answering.transport.writes[0].endswith(b"\r\ntransfer-encoding: chunked\r\n\r\n")
    await answering.cycle.send(body(b"x" * 20, more=True))
    await answering.cycle.send(body(more=True))
    await answering.cycle.send(body())
    assert answering.transport.writes[1:] == [b"14\r\n" + b"x" * 20 + b"\r\n", b"0\r\n\r\n"]


@pytest.mark.parametrize("size", [1, 15, 16, TABLED_SIZES - 1, TABLED_SIZES, 70_000])
async def test_a_piece_says_its_size_whatever_that_is(size):
    answering = Answering()
    await answering.cycle.send(start())
    await answering.cycle.send(body(b"x" * size, more=True))
    line, _, rest = answering.transport.writes[1].partition(b"\r\n")
    assert (int(line, 16), rest) == (size, b"x" * size + b"\r\n")


@pytest.mark.parametrize("size", [1, 15, 16, TABLED_SIZES - 1, TABLED_SIZES, 70_000])
async def test_a_piece_that_is_put_out_is_what_would_be_sent(size):
    sent, put = Answering(), Answering()
    for answering in (sent, put):
        await answering.cycle.send(start())
    await sent.cycle.send(body(b"x" * size, more=True))
    assert put.cycle.put(b"x" * size)
    assert put.cycle.put(b"")  # a piece of nothing would end the body
    assert put.transport.writes == sent.transport.writes


@pytest.mark.parametrize(
    "hinder",
    [
        lambda answering: answering.flow.pause_writing(),
        lambda answering: answering.cycle.leave(),
    ],
)
async def test_nothing_is_put_out_to_a_slow_client_nor_to_none(hinder):
    answering = Answering()
    await answering.cycle.send(start())
    hinder(answering)
    assert not answering.cycle.put(b"x")
    assert len(answering.transport.writes) == 1


async def test_nothing_is_put_out_before_the_head_nor_into_a_body_of_known_length():
    answering = Answering()
    assert not answering.cycle.put(b"x")
    await answering.cycle.send(start((b"content-length", b"1")))
    assert not answering.cycle.put(b"x")
    assert not answering.transport.writes


async def test_uvicorn_makes_our_cycles_itself(monkeypatch):
    monkeypatch.setattr(Cycle, "of", lambda cycle: cycle)  # does nothing about others
    made = []

    async def app(scope, receive, send):
        made.append(type(scope[CONNECTION]))
        await send(start((b"content-length", b"0")))
        await send(body())

    http = partial(BoundedProtocol, limits=Settings())
    async with serving(app, http=http, lifespan="off") as client:
        assert (await client.get("/")).status_code == 200
    assert made == [Cycle]


async def test_a_connection_has_no_more_attributes_than_can_share_their_keys():
    protocols = []

    async def app(scope, receive, send):
        protocols.append(scope[CONNECTION].on_response.__self__)
        await send(start((b"content-length", b"0")))
        await send(body())

    http = partial(BoundedProtocol, limits=Settings())
    async with serving(app, http=http, lifespan="off") as client:
        await client.get("/")
    (protocol,) = protocols
    assert type(protocol) is BoundedProtocol
    assert len(vars(protocol)) <= 30


async def test_a_large_body_is_not_copied_to_its_head():
    answering, large = Answering(), b"x" * (AT_ONCE + 1)
    await answering.cycle.send(start((b"content-length", b"%d" % len(large))))
    await answering.cycle.send(body(large))
    assert answering.transport.writes[1:] == [large]


async def test_a_head_does_not_wait_for_a_client_that_reads_slowly():
    answering = Answering()
    await answering.cycle.send(start((b"content-length", b"3")))
    answering.flow.pause_writing()
    sending = asyncio.create_task(answering.cycle.send(body(b"abc")))
    await asyncio.sleep(0)
    assert len(answering.transport.writes) == 1
    answering.flow.resume_writing()
    await soon(sending)
    assert b"".join(answering.transport.writes).endswith(b"\r\n\r\nabc")
    assert answering.ended == 1


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_slow_reader_is_waited_for_before_each_piece(chunked):
    answering = Answering()
    await answering.cycle.send(start(*[] if chunked else [(b"content-length", b"6")]))
    for _ in range(2):
        answering.flow.pause_writing()
        sending = asyncio.create_task(answering.cycle.send(body(b"abc", more=True)))
        await asyncio.sleep(0)
        assert not sending.done()
        answering.flow.resume_writing()
        await soon(sending)
    assert b"".join(answering.transport.writes).count(b"abc") == 2


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"3")]])
async def test_nothing_is_written_to_who_has_left(headers):
    answering = Answering()
    await answering.cycle.send(start(*headers))
    before = list(answering.transport.writes)
    answering.flow.pause_writing()
    answering.cycle.leave()
    await answering.cycle.send(body(b"abc", more=True))
    await answering.cycle.send(body(b"abc"))
    assert answering.transport.writes == before
    assert answering.ended == 0


async def test_who_watches_is_told_once_that_the_client_has_left():
    answering, told = Answering(), []
    answering.flow.pause_reading()
    answering.cycle.watch(lambda: told.append("left"))
    assert answering.transport.reading  # else its leaving would not be heard
    assert told == []
    answering.cycle.leave()
    assert told == ["left"]
    assert (await soon(answering.cycle.receive()))["type"] == "http.disconnect"


async def test_who_watches_no_more_is_not_told():
    answering, told = Answering(), []
    answering.cycle.watch(lambda: told.append("left"))()
    answering.cycle.leave()
    assert told == []


async def test_who_watches_too_late_is_told_soon_and_not_before_it_can_begin():
    answering, told = Answering(), []
    answering.cycle.leave()
    answering.cycle.watch(lambda: told.append("left"))
    assert told == []
    await asyncio.sleep(0)
    assert told == ["left"]


async def test_who_breaks_off_before_the_body_has_sent_the_head():
    async def breaking(scope, _, send):
        if scope["type"] == "http":
            await send(start((b"content-length", b"3")))
            raise RuntimeError("no body")

    http = partial(BoundedProtocol, limits=Settings())
    request = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"
    async with (
        serving(breaking, http=http, lifespan="off") as client,
        raw_request(client, request) as (reader, _),
    ):
        answer = await soon(reader.read())
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\ncontent-length: 3\r\n\r\n")
