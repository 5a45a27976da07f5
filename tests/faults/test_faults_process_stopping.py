"""A process that is asked to end: what runs may end, what is new is refused, and everyone is told in words."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import time
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from openai import APIError, AsyncOpenAI
from process_stage import (
    DELTA,
    FOUR,
    MODEL,
    Answer,
    Stream,
    held,
    listening_port,
    raw_connection,
    text_of,
)
from processes import gone
from waiting import until
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

LONG = 60  # seconds to drain: nothing here waits for them
SHORT = 0.5

SIGNALS = [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 0), (signal.SIGHUP, -signal.SIGHUP)]


@pytest.fixture(params=[(), ("--workers", "2")], ids=["one-process", "two-workers"])
def options(request):
    return request.param


@pytest.fixture(autouse=True)
def hangup_is_heard():
    """Tests that run under `nohup` ignore SIGHUP, and so would the processes that they start."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def draining(process):
    """Wait until the process says that it ends."""

    def told():
        status, checks = process.ready()
        return status == 503 and not checks["process"]["ok"]

    until(told)


def failed(events):
    """The error of a stream that ended by an `error` event and `response.failed`, exactly one of each."""
    kinds = [event["type"] for event in events]
    assert kinds[-2:] == ["error", "response.failed"]
    assert (kinds.count("error"), kinds.count("response.failed"), kinds.count("response.completed")) == (
        1,
        1,
        0,
    )
    return events[-1]["response"]["error"]


@asynccontextmanager
async def websocket(process):
    headers = {"authorization": "Bearer alice"}
    async with connect(
        f"ws://127.0.0.1:{process.port}/v1/responses", proxy=None, additional_headers=headers
    ) as socket_:
        yield socket_


async def create(socket_, **fields):
    await socket_.send(json.dumps({"type": "response.create", "model": MODEL, "input": "hi", **fields}))


async def event(socket_):
    return json.loads(await asyncio.wait_for(socket_.recv(), LONG))


async def events_until(socket_, kind):
    events = [await event(socket_)]
    while events[-1]["type"] != kind:
        events.append(await event(socket_))
    return events


async def away(condition):
    return await asyncio.to_thread(until, condition)


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_what_runs_ends_whole_and_what_is_new_is_refused(serve, grid, options, number, code):
    process = serve(*options, drain_seconds=LONG)
    turn, release = held()
    grid.turns.extend([turn, turn])
    stream, answer = Stream(process), Answer(process)
    stream.spoke()
    until(lambda: len(grid.journal.served) == 2)
    process.stop(number)
    draining(process)
    assert process.alive() == 200
    refused = httpx.post(
        f"http://127.0.0.1:{process.port}/v1/responses", json={"model": MODEL, "input": "x"}, trust_env=False
    )
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "server_shutting_down"
    assert (int(refused.headers["retry-after"]), refused.headers["connection"]) == (1, "close")
    release()
    assert stream.whole()[-1]["type"] == "response.completed"
    assert text_of(stream.events[-1]["response"]) == FOUR
    assert text_of(answer.whole().json()) == FOUR
    assert process.ended() == code
    assert "Traceback" not in process.said()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_at_the_limit_each_is_told_once_that_it_failed(serve, grid, options, number):
    process = serve(*options, drain_seconds=SHORT)
    turn, _ = held()
    early, _ = held(after=None)
    grid.turns.extend([turn, turn])
    stream, answer = Stream(process).spoke(), Answer(process)
    until(lambda: len(grid.journal.served) == 2)
    grid.turns.append(early)
    waiting = Stream(process)
    until(lambda: len(grid.journal.served) == 3)
    process.stop(number)
    assert failed(stream.whole())["code"] == "server_error"
    assert answer.whole().status_code == 503
    assert answer.answer.json()["error"]["code"] == "server_shutting_down"
    waiting.join()
    assert waiting.status == 503
    process.ended()
    assert "Traceback" not in process.said()
    assert all(received.disconnected for received in grid.journal.served)


def test_at_the_limit_a_passed_through_stream_ends_with_an_error_and_is_not_done(serve, grid, options):
    process = serve(*options, drain_seconds=SHORT)
    turn, _ = held()
    grid.turns.append(turn)
    chat = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "stream": True}
    events, stopped = [], False
    with process.client() as client, client.stream("POST", "/chat/completions", json=chat) as answer:
        for line in filter(None, answer.iter_lines()):
            events.append(line)
            if not stopped:
                process.stop()
                stopped = True
    assert answer.status_code == 200
    assert all(line.startswith("data: ") for line in events)
    assert "[DONE]" not in "".join(events)
    told = [json.loads(line.removeprefix("data: ")) for line in events]
    assert ["error" in one for one in told] == [False] * (len(told) - 1) + [True]
    assert told[-1]["error"]["code"] == "server_error"
    assert "shut down" in told[-1]["error"]["message"]
    process.ended()
    assert "Traceback" not in process.said()


async def test_the_sdk_hears_of_the_end_of_a_chat_stream(serve, grid):
    process = await asyncio.to_thread(serve, drain_seconds=SHORT)
    turn, _ = held()
    grid.turns.append(turn)
    http = httpx.AsyncClient(trust_env=False)
    base = f"http://127.0.0.1:{process.port}/v1"
    async with AsyncOpenAI(base_url=base, api_key="alice", http_client=http, max_retries=0) as client:
        asked = [{"role": "user", "content": "hi"}]
        stream = await client.chat.completions.create(model=MODEL, messages=asked, stream=True)
        await anext(stream)
        process.stop()
        with pytest.raises(APIError, match="shut down"):
            async for _ in stream:
                pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once(serve, grid, options, number):
    process = serve(*options, drain_seconds=LONG, background_drain_seconds=LONG)
    turn, _ = held()
    grid.turns.extend([turn, turn])
    process.ask(background=True)
    stream = Stream(process).spoke()
    process.stop(number)
    draining(process)
    process.stop(number)
    began = time.monotonic()
    process.ended()
    assert time.monotonic() - began < LONG / 2  # at once, but for what a busy machine takes
    failed(stream.whole())
    assert "Traceback" not in process.said()


def occupied(process, grid):
    """A stream under way in one of two workers, that worker, the other one, and what lets the stream go on."""
    one, other = until(lambda: len(process.workers()) == 2 and process.workers())
    turn, release = held()
    grid.turns.append(turn)
    with process.still(other):
        stream = Stream(process).spoke()
    return stream, one, other, release


def test_a_worker_that_alone_is_asked_to_end_lets_the_others_serve_and_is_replaced(serve, grid):
    process = serve("--workers", "2", drain_seconds=LONG)
    stream, one, other, release = occupied(process, grid)
    os.kill(one, signal.SIGTERM)
    until(lambda: not listens(one))
    for _ in range(10):
        with process.client() as client:
            assert client.post("/responses", json={"model": MODEL, "input": "x"}).status_code == 200
    assert process.workers() == [one, other]
    release()
    assert stream.whole()[-1]["type"] == "response.completed"
    (fresh,) = until(lambda: set(process.workers()) - {one, other})
    with process.still(other):
        assert process.ask().status_code == 200
    assert f"worker {one} ended (-15); another takes its place" in process.said()
    process.stop()
    assert process.ended() == -signal.SIGTERM
    assert fresh
    assert "Traceback" not in process.said()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_all_processes_of_a_group_drains_as_one_to_the_first(serve, grid, number):
    """So do many who supervise services, and terminals that are closed."""
    process = serve("--workers", "2", drain_seconds=LONG)
    stream, one, other, release = occupied(process, grid)
    for worker in (one, other):
        os.kill(worker, number)
    process.stop(number)
    until(lambda: gone(other))
    release()
    assert stream.whole()[-1]["type"] == "response.completed"
    assert process.ended() == -number
    assert "Traceback" not in process.said()


def test_the_port_of_a_parent_that_was_killed_is_free_while_its_workers_drain(serve, grid):
    process = serve("--workers", "2", drain_seconds=LONG)
    stream, one, other, release = occupied(process, grid)
    process.kill()
    until(lambda: bindable(process.port))
    assert not gone(one)
    release()
    assert stream.whole()[-1]["type"] == "response.completed"
    until(lambda: gone(one) and gone(other))


def test_a_signal_that_is_ignored_stays_so(serve, options):
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = serve(*options)
    finally:
        signal.signal(signal.SIGHUP, before)
    if options:
        until(lambda: len(process.workers()) == 2)
    for pid in [process.process.pid, *process.workers()]:
        os.kill(pid, signal.SIGHUP)
        assert ignored_signals(pid) & 1 << signal.SIGHUP - 1
    assert process.ask().status_code == 200
    process.stop()
    assert process.ended() == -signal.SIGTERM


def ignored_signals(pid):
    """The mask of them."""
    (line,) = (
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigIgn:")
    )
    return int(line.split()[1], 16)


def listens(pid):
    with contextlib.suppress(OSError):
        return listening_port(pid) is not None
    return False


def bindable(port):
    with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
        return True
    return False


def test_a_process_with_nothing_to_do_ends_though_clients_are_connected(serve):
    process = serve(drain_seconds=LONG)
    assert process.ask().status_code == 200
    with raw_connection(process):
        process.stop()
        assert process.ended() == -signal.SIGTERM


def test_a_client_that_never_reads_does_not_hold_the_end_up(serve, grid):
    process = serve(drain_seconds=SHORT, background_drain_seconds=SHORT)
    turn, _ = held(after=None)
    grid.turns.append(turn)
    with raw_connection(process) as sock:
        body = json.dumps({"model": MODEL, "input": "hi", "stream": True}).encode()
        head = f"POST /v1/responses HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        sock.sendall(head.encode() + body)
        until(lambda: grid.journal.served)
        process.stop()
        process.ended()


async def test_websocket_turns_end_whole_and_no_further_ones_begin(serve, grid):
    process = await asyncio.to_thread(serve, drain_seconds=LONG)
    turn, release = held()
    grid.turns.append(turn)
    async with websocket(process) as busy, websocket(process) as idle:
        await create(busy)
        await events_until(busy, DELTA)
        process.stop()
        with pytest.raises(ConnectionClosed):
            await event(idle)
        assert idle.close_code == 1001
        await asyncio.to_thread(draining, process)
        with pytest.raises(InvalidStatus) as refused:
            async with websocket(process):
                pass
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["retry-after"] == "1"
        release()
        assert (await events_until(busy, "response.completed"))[-1]["response"]["status"] == "completed"
        with pytest.raises(ConnectionClosed):
            await event(busy)
        assert busy.close_code == 1001
    assert await asyncio.to_thread(process.ended) == -signal.SIGTERM
    assert "Traceback" not in process.said()


async def test_at_the_limit_every_lane_of_a_websocket_is_told_before_it_closes(serve, grid):
    process = await asyncio.to_thread(serve, drain_seconds=SHORT)
    turn, _ = held()
    early, _ = held(after=None)
    grid.turns.extend([turn, turn])
    async with websocket(process) as client:
        for lane in ("a", "b"):
            await create(client, stream_id=lane)
        seen = [await event(client)]
        while {e["stream_id"] for e in seen if e["type"] == DELTA} != {"a", "b"}:
            seen.append(await event(client))
        grid.turns.append(early)
        await create(client, stream_id="c")
        await away(lambda: len(grid.journal.served) == 3)
        process.stop()
        with contextlib.suppress(ConnectionClosed):
            while True:
                seen.append(await event(client))
        assert client.close_code == 1001
    for lane in ("a", "b"):
        assert failed([e for e in seen if e["stream_id"] == lane])["code"] == "server_error"
    (told,) = [e for e in seen if e["stream_id"] == "c"]
    assert (told["type"], told["status"]) == ("error", 503)
    assert told["error"]["code"] == "server_shutting_down"
    await asyncio.to_thread(process.ended)
    assert "Traceback" not in process.said()


def test_a_follower_of_a_background_response_hears_its_end(serve, grid):
    process = serve(drain_seconds=SHORT, background_drain_seconds=LONG)
    turn, release = held()
    grid.turns.append(turn)
    queued = process.ask(background=True).json()
    stream = Stream(process, "GET", f"/responses/{queued['id']}?stream=true").spoke()
    process.stop()
    draining(process)
    release()
    assert stream.whole()[-1]["type"] == "response.completed"
    assert process.ended() == -signal.SIGTERM


def test_a_process_that_drains_ends_as_soon_as_its_background_work_has(serve, grid):
    process = serve(drain_seconds=SHORT, background_drain_seconds=LONG)
    turn, release = held()
    grid.turns.append(turn)
    queued = process.ask(background=True).json()
    until(lambda: grid.journal.served)
    process.stop()
    draining(process)
    release()
    assert process.ended() == -signal.SIGTERM
    again = serve()
    assert again.http.get(f"/responses/{queued['id']}").json()["status"] == "completed"


async def test_a_websocket_goes_on_with_what_another_worker_stored(serve, grid):
    """Each of two connections to a worker of its own: the other one stands still while it is made."""
    process = await asyncio.to_thread(serve, "--workers", "2")
    one, other = await asyncio.to_thread(until, lambda: len(process.workers()) == 2 and process.workers())
    answered = []
    for stopped, previous in ((one, None), (other, 0)):
        signalled = process.still(stopped)
        with signalled:
            async with websocket(process) as client:
                continued = {} if previous is None else {"previous_response_id": answered[previous]["id"]}
                await create(client, input="say so", store=True, **continued)
                answered.append((await events_until(client, "response.completed"))[-1]["response"])
    assert answered[1]["previous_response_id"] == answered[0]["id"]
    assert len(grid.journal.served[1].body["messages"]) == 3


def test_the_port_is_free_again_at_once(serve, grid):
    process = serve(drain_seconds=LONG)
    process.stop()
    process.ended()
    with socket.create_server(("127.0.0.1", process.port)):
        pass
