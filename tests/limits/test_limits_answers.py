"""What an answer may take: bytes, items, time. One below each bound, exactly at it, one above, and without end."""

import asyncio
import json
from contextlib import asynccontextmanager

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits_stage import ask, stage
from waiting import eventually, soon

from shim.core.assembler import Assembler, Shape
from shim.core.deltas import (
    CALL_BYTES,
    CITATION_BYTES,
    KEY_BYTES,
    LOGPROB_BYTES,
    LONGEST_NAME,
    MOST_OUTPUT_BYTES,
    ChunkReader,
)
from shim.core.echo import response_template
from shim.core.tools import Toolbox
from shim.core.validation import read_request
from shim.errors import UpstreamFault
from shim.upstream.stream import Allowance, Body
from shim.upstream.transport import Reply

AROUND = [-1, 0, 1]
MOMENT = 0.05
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(finish=None, **delta):
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def call(number, arguments="{}"):
    function = {"name": "f", "arguments": arguments}
    return {"index": number, "id": f"call_{number}", "type": "function", "function": function}


# -- bytes


@pytest.mark.parametrize("more", AROUND)
@pytest.mark.parametrize(
    "said",
    [
        lambda text: {"content": text},
        lambda text: {"content": [{"type": "text", "text": text}]},
        lambda text: {"content": [{"type": "thinking", "thinking": text}]},
        lambda text: {"reasoning_content": text},
        lambda text: {"reasoning": text},
        lambda text: {"refusal": text},
    ],
)
def test_the_bytes_of_an_answer_are_bounded(said, more):
    reader = ChunkReader(room=10)
    reader.read(chunk(**said("é" * 2)))
    last = chunk(**said("x" * (6 + more)))
    if more <= 0:
        reader.read(last)
    else:
        with pytest.raises(UpstreamFault, match="longer than a response may be"):
            reader.read(last)


def cited(url):
    return chunk(annotations=[{"type": "url_citation", "url_citation": {"url": url, "title": "ab"}}])


@pytest.mark.parametrize("more", AROUND)
def test_citations_count_with_what_they_take(more):
    reader = ChunkReader(room=2 * CITATION_BYTES + 10)
    reader.read(cited("x" * 2))
    last = cited("x" * (4 + more))
    if more <= 0:
        reader.read(last)
    else:
        with pytest.raises(UpstreamFault, match="longer than a response may be"):
            reader.read(last)


@pytest.mark.parametrize("more", AROUND)
def test_log_probabilities_count_with_what_they_take(more):
    """Those of the alternatives, too, even if they say nothing."""
    entry = {"token": "é", "logprob": -1, "top_logprobs": [{}, {"bytes": [0] * (5 + more)}]}
    spoken = {"choices": [{"delta": {"content": "é"}, "logprobs": {"content": [entry]}}]}
    reader = ChunkReader(room=2 * (3 * LOGPROB_BYTES + 2 + 5) + 4)
    reader.read(spoken)
    entry["top_logprobs"][1]["bytes"] = [0] * (5 - min(more, 0))
    if more <= 0:
        reader.read(spoken)
    else:
        with pytest.raises(UpstreamFault, match="longer than a response may be"):
            reader.read(spoken)


def test_a_long_token_counts_whatever_its_bytes_are_said_to_be():
    entry = {
        "token": "x" * 1000,
        "logprob": -1,
        "bytes": [],
        "top_logprobs": [{"token": "y" * 1000, "bytes": []}],
    }
    spoken = {"choices": [{"delta": {"content": "x"}, "logprobs": {"content": [entry]}}]}
    reader = ChunkReader(room=10_000)
    reader.read(spoken)
    assert reader.room == 10_000 - 2 * (1000 + LOGPROB_BYTES) - 1


@pytest.mark.parametrize("key", ["id", "index"])
def test_what_a_call_is_known_by_counts(key):
    """One call may be given very many ids, or indexes under its id; and one id may be very long."""
    entries = [
        {"index": 0, "id": "call_0"} | {key: number if key == "index" else f"call_{number}"}
        for number in range(100)
    ]
    reader = ChunkReader(room=100 * KEY_BYTES + CALL_BYTES)
    with pytest.raises(UpstreamFault, match="longer than a response may be"):
        reader.read(chunk(tool_calls=entries))
    with pytest.raises(UpstreamFault, match="longer than a response may be"):
        ChunkReader(room=10_000).read(chunk(tool_calls=[{"index": 0, "id": "x" * 10_000}]))


def test_as_many_tokens_as_an_answer_has_may_each_have_the_20_likeliest_beside_it():
    assert 128_000 * (21 * (LOGPROB_BYTES + 8) + 8) < MOST_OUTPUT_BYTES


@pytest.mark.parametrize("more", AROUND)
@pytest.mark.parametrize("cut", [0, 3])
def test_arguments_count_whether_or_not_they_are_told(more, cut):
    """A call without a name is held until it has one."""
    arguments = "x" * (10 + more)
    reader = ChunkReader(room=CALL_BYTES + KEY_BYTES + 10)
    first = {"index": 0, "function": {"arguments": arguments[:cut]}}
    rest = {"index": 0, "function": {"arguments": arguments[cut:]}}
    reader.read(chunk(tool_calls=[first]))
    if more <= 0:
        reader.read(chunk(tool_calls=[rest]))
    else:
        with pytest.raises(UpstreamFault, match="longer than a response may be"):
            reader.read(chunk(tool_calls=[rest]))


@pytest.mark.parametrize("more", AROUND)
@pytest.mark.parametrize("piece", [1, 100, LONGEST_NAME + 1])
def test_the_name_of_a_call_is_bounded_however_it_comes(piece, more):
    name = "".join(chr(97 + number % 26) for number in range(LONGEST_NAME + more))
    entries = [{"index": 0, "function": {"name": name[at : at + piece]}} for at in range(0, len(name), piece)]
    reader = ChunkReader()

    def read():
        for entry in entries:
            reader.read(chunk(tool_calls=[entry]))
        return reader.read(chunk("tool_calls"))

    if more <= 0:
        assert read()[0].name == name
    else:
        with pytest.raises(UpstreamFault, match="whose name has more than"):
            read()


def test_calls_that_say_nothing_come_to_an_end():
    reader = ChunkReader(room=5 * (CALL_BYTES + KEY_BYTES))
    calls = [{"index": number} for number in range(6)]
    reader.read(chunk(tool_calls=calls[:5]))
    with pytest.raises(UpstreamFault):
        reader.read(chunk(tool_calls=calls[5:]))


# -- items


class Counting:
    """Ids and times that are numbers."""

    made = 0

    def new_id(self, prefix):
        self.made += 1
        return f"{prefix}_{self.made}"

    def now(self):
        return 1

    def padding(self, _):
        return ""


def telling(most_items):
    body = {"model": "m", "input": "hi"}
    template = response_template(read_request(body), body, "resp_1", 1)
    return Assembler(template, Shape(Toolbox(), most_items=most_items, obfuscation=False), Counting())


def told(most_items, deltas):
    """The items and the status of a response that is told within a bound."""
    assembler, reader = telling(most_items), ChunkReader()
    assembler.start()
    try:
        for one in deltas:
            assembler.feed(reader.read(one))
        events = assembler.finish()
    except UpstreamFault as fault:
        assert assembler.reason is None  # or the calls would be released
        events = assembler.fail(fault)
    assert events[-1]["response"] == assembler.final
    done = [event["item"]["type"] for event in events if event["type"] == "response.output_item.done"]
    return assembler.final, done


@pytest.mark.parametrize("more", AROUND)
@pytest.mark.parametrize("together", [True, False])
def test_the_items_of_an_answer_are_bounded_and_no_call_is_released_beyond(together, more):
    calls = [call(number) for number in range(4 + more)]
    spoken = [chunk(tool_calls=calls)] if together else [chunk(tool_calls=[one]) for one in calls]
    final, _ = told(4, [*spoken, chunk("tool_calls")])
    if more <= 0:
        assert final["status"] == "completed"
        assert len(final["output"]) == 4 + more
    else:
        assert final["status"] == "failed"
        assert final["error"]["code"] == "server_error"
        assert "more than 4 items" in final["error"]["message"]
        assert all(item["status"] != "completed" for item in final["output"])


@pytest.mark.parametrize("more", AROUND)
def test_items_that_are_told_at_once_are_bounded_too(more):
    thoughts = [
        chunk(**({"content": "a"} if odd % 2 else {"reasoning_content": "b"})) for odd in range(4 + more)
    ]
    final, _ = told(4, [*thoughts, chunk("stop")])
    assert final["status"] == ("failed" if more > 0 else "completed")
    assert len(final["output"]) == min(4, 4 + more)


@given(st.integers(1, 5), st.lists(st.sampled_from(["call", "text", "thought", "blank"]), max_size=8))
def test_there_are_never_more_items_than_the_bound(most, kinds):
    spoken = {"text": {"content": "a"}, "thought": {"reasoning_content": "b"}, "blank": {"content": "\n"}}
    chunks = [
        chunk(**(spoken.get(kind) or {"tool_calls": [call(number)]})) for number, kind in enumerate(kinds)
    ]
    final, _ = told(most, [*chunks, chunk("stop")])
    unbounded, _ = told(1000, [*chunks, chunk("stop")])
    if final["status"] == "completed":
        assert [item["type"] for item in final["output"]] == [item["type"] for item in unbounded["output"]]
    assert len(final["output"]) <= most


# -- the upstream's answer as it comes


@asynccontextmanager
async def upstream(piece, pause=0.0, head=HEAD):
    """An upstream that says one thing again and again, and notices when nobody listens: its address, and that."""
    left = asyncio.Event()

    async def serve(reader, writer):
        try:
            first = await reader.readuntil(b"\r\n\r\n")
            if first.startswith(b"GET"):
                writer.write(b"HTTP/1.1 404 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                return
            writer.write(head)
            while True:
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await writer.drain()
                await asyncio.sleep(pause)
        except (ConnectionError, asyncio.IncompleteReadError):
            left.set()
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", left


def sse(data):
    return b"data: " + json.dumps(data).encode() + b"\n\n"


ENDLESS = [
    ({"max_output_bytes": 1000}, sse(chunk(content="x" * 100)), 502, "longer than a response may be"),
    ({"max_output_bytes": 1000}, sse(chunk(tool_calls=[call(0, "x" * 100)])), 502, "longer than a"),
    ({"max_output_items": 3}, sse(chunk(content="a")) + sse(chunk(reasoning_content="b")), 502, "3 items"),
    ({"max_answer_bytes": 5000}, b": still here\n\n", 502, "more than 5,000 bytes"),
    ({"max_event_bytes": 5000}, b"data: no end ", 502, "event of more than 5,000 bytes"),
    ({"response_seconds": MOMENT}, sse(chunk(content="")), 504, "longer than 0.05 seconds"),
]


@pytest.mark.parametrize(("settings", "piece", "status", "said"), ENDLESS)
@pytest.mark.parametrize("streamed", [True, False])
async def test_an_answer_without_end_is_a_failure_and_its_upstream_is_left(
    settings, piece, status, said, streamed
):
    async with (
        upstream(piece, pause=0.001) as (url, left),
        stage(upstream=url, key="k", **settings) as here,
        here.http() as client,
    ):
        answer = await soon(client.post("/responses", json=ask(stream=streamed)))
        if streamed:
            assert answer.status_code == 200
            failed = json.loads(answer.text.strip().splitlines()[-1].removeprefix("data: "))
            assert failed["type"] == "response.failed"
            error = failed["response"]["error"]
        else:
            assert answer.status_code == status
            error = answer.json()["error"]
        assert error["code"] == "server_error" or not streamed
        assert said in error["message"]
        await soon(left.wait())
        await eventually(lambda: here.services.slots.busy == 0)


async def test_an_answer_that_is_passed_through_is_bounded_too():
    async with (
        upstream(b": still here\n\n") as (url, left),
        stage(upstream=url, key="k", max_answer_bytes=5000) as here,
        here.http() as client,
    ):
        with pytest.raises(httpx.RemoteProtocolError):
            await soon(client.post("/chat/completions", json={}))
        await soon(left.wait())


class Pieces(httpx.AsyncByteStream):
    """An answer's body that never makes anyone wait, or always does."""

    def __init__(self, *pieces, stuck=False):
        self.pieces = pieces
        self.stuck = stuck
        self.closings = 0

    async def __aiter__(self):
        for piece in self.pieces:
            yield piece
        if self.stuck:
            await asyncio.Event().wait()

    async def aclose(self):
        self.closings += 1


async def everything(body):
    parts = []
    while (data := await body.read()) is not None:
        parts.append(data)
    return b"".join(parts)


def body_of(pieces, **allowed):
    return Body(Reply(200, {}, pieces, httpx.URL("http://upstream.test/v1")), Allowance(**allowed))


@pytest.mark.parametrize("more", AROUND)
@pytest.mark.parametrize("cut", [1, 5, 10])
async def test_the_bytes_of_what_the_upstream_sends_are_counted(cut, more):
    data = b"x" * (10 + more)
    pieces = Pieces(data[:cut], data[cut:])
    body = body_of(pieces, silence_seconds=5, most_bytes=10)
    if more <= 0:
        assert await everything(body) == data
    else:
        with pytest.raises(UpstreamFault, match="more than 10 bytes"):
            await everything(body)
        assert pieces.closings == 1


@pytest.mark.parametrize("stuck", [True, False])
async def test_time_runs_out_whether_or_not_the_upstream_makes_anyone_wait(stuck):
    pieces = Pieces(*([b"x"] if stuck else [b"x"] * 10), stuck=stuck)
    body = body_of(pieces, silence_seconds=5, seconds=MOMENT if stuck else 0)
    with pytest.raises(UpstreamFault, match="took longer than") as caught:
        await everything(body)
    assert caught.value.status == 504
    assert pieces.closings == 1
    assert await body.read() is None


async def test_silence_is_told_apart_from_the_time_of_the_whole_answer():
    with pytest.raises(UpstreamFault, match="no answer in time"):
        await everything(body_of(Pieces(b"x", stuck=True), silence_seconds=MOMENT, seconds=100))
