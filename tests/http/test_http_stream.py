"""Streams: when pieces leave, what fills silence, and what happens when somebody goes away."""

import asyncio

import pytest
from http_fakes import FakeTurn, post, raw_request, soon

from shim.http.call import SCOPE_KEY, Call, ClientGone
from shim.http.leaving import Leaving
from shim.http.stream import EventStream

STREAM = {"model": "gpt-5", "stream": True}
STREAM_BYTES = post("/v1/responses", b'{"model":"gpt-5","stream":true}')


async def read_head(reader):
    return (await soon(reader.readuntil(b"\r\n\r\n"))).lower()


async def read_chunk(reader):
    """One chunk of a chunked body, which is one send."""
    size = int(await soon(reader.readline()), 16)
    return (await soon(reader.readexactly(size + 2)))[:-2]


async def test_each_piece_leaves_at_once_and_in_one_send(serve, exchange):
    gate = asyncio.Event()
    exchange.turns.append(FakeTurn(b"data: 0\n\ndata: 1\n\n", gate, b"data: 2\n\n"))
    async with serve() as client, raw_request(client, STREAM_BYTES) as (reader, _):
        await read_head(reader)
        assert await read_chunk(reader) == b"data: 0\n\ndata: 1\n\n"
        gate.set()
        assert await read_chunk(reader) == b"data: 2\n\n"
        assert await read_chunk(reader) == b""


async def test_headers_leave_before_the_first_piece(serve, exchange):
    gate = asyncio.Event()
    exchange.turns.append(FakeTurn(gate, b"data: 0\n\n"))
    async with serve() as client, raw_request(client, STREAM_BYTES) as (reader, _):
        assert (await read_head(reader)).startswith(b"http/1.1 200")
        gate.set()


async def test_a_stream_says_that_it_must_not_be_buffered_or_kept(serve, exchange):
    exchange.turns.append(FakeTurn(b"data: 0\n\n"))
    async with serve() as client:
        reply = await client.post("/v1/responses", json=STREAM)
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert reply.headers["cache-control"] == "no-cache"
    assert reply.headers["x-accel-buffering"] == "no"
    assert reply.headers["connection"] == "keep-alive"
    assert "content-length" not in reply.headers


async def test_silence_is_filled_with_heartbeats_until_the_next_piece(serve, exchange):
    turn = FakeTurn(b"data: 0\n\n")
    turn.script = (b"data: 0\n\n", turn.enough_beats, b"data: 1\n\n")
    exchange.turns.append(turn)
    async with serve(keepalive_seconds=0.001) as client:
        reply = await client.post("/v1/responses", json=STREAM)
    lines = reply.text.split("\n\n")
    assert lines[0] == "data: 0"
    assert lines[1:4] == ["data: beat 1", "data: beat 2", "data: beat 3"]
    assert lines[-2:] == ["data: 1", ""]


async def test_an_empty_heartbeat_is_not_sent(serve, exchange):
    class Mute(FakeTurn):
        def heartbeat(self):
            super().heartbeat()
            return b""

    turn = Mute()
    turn.script = (turn.enough_beats, b"data: 1\n\n")
    exchange.turns.append(turn)
    async with serve(keepalive_seconds=0.001) as client:
        reply = await client.post("/v1/responses", json=STREAM)
    assert reply.text == "data: 1\n\n"


class CountingTurn(FakeTurn):
    """Numbers pieces when they are made and heartbeats when they are asked for, like the real one."""

    def __init__(self, pieces):
        super().__init__(*range(pieces))
        self.number = 0

    def _next(self):
        self.number += 1
        return b"%d " % self.number

    async def read(self):
        for index in self.steps:
            if index % 3 == 0:
                for _ in range(index % 7):
                    await asyncio.sleep(0)
            return self._next()
        return None

    def heartbeat(self):
        self.beats += 1
        return self._next()


async def test_heartbeats_keep_the_order_of_sequence_numbers():
    turn = CountingTurn(300)
    sent, sending = [], 0

    async def slow_send(message):
        nonlocal sending
        assert not sending, "two sends at a time"
        sending += 1
        for _ in range(len(sent) % 5):
            await asyncio.sleep(0)
        sent.append(message.get("body", b""))
        sending -= 1

    await EventStream(turn, 1e-9)({}, None, slow_send)
    assert turn.beats > 10
    assert [int(each) for each in b"".join(sent).split()] == list(range(1, turn.number + 1))


async def test_no_heartbeat_is_sent_where_they_are_off():
    turn = CountingTurn(50)

    async def send(message):
        await asyncio.sleep(0)

    before = asyncio.all_tasks()
    await EventStream(turn, 0)({}, None, send)
    assert turn.beats == 0
    assert asyncio.all_tasks() == before


async def test_the_turn_is_closed_once_when_the_stream_is_over(serve, exchange):
    turn = FakeTurn(b"data: 0\n\n")
    exchange.turns.append(turn)
    async with serve() as client:
        await client.post("/v1/responses", json=STREAM)
        await soon(turn.closed.wait())
    assert turn.closings == 1


async def test_a_client_that_leaves_amid_a_stream_closes_the_turn_at_once(serve, exchange, logged):
    turn = FakeTurn(b"data: 0\n\n", asyncio.Event())
    exchange.turns.append(turn)
    async with serve(keepalive_seconds=0.001) as client:
        async with raw_request(client, STREAM_BYTES) as (reader, _):
            await read_head(reader)
            await read_chunk(reader)
        await soon(turn.closed.wait())
        assert "200 client_gone" in await soon(logged.get())
    assert turn.closings == 1


async def test_a_client_that_leaves_before_the_upstream_answers_cancels_the_request(serve, exchange):
    exchange.turns.append(asyncio.Event())
    async with serve() as client:
        async with raw_request(client, STREAM_BYTES):
            await soon(exchange.opening.wait())
        await soon(exchange.cancelled.wait())


async def test_a_client_that_leaves_amid_its_own_body_opens_nothing(serve, exchange, logged):
    async with serve() as client:
        async with raw_request(client, STREAM_BYTES[:-4]):
            pass
        assert "client_gone" in await soon(logged.get())
    assert exchange.opened == []


async def test_a_client_that_leaves_while_waiting_for_a_whole_response_closes_the_turn(serve, exchange):
    turn = FakeTurn(asyncio.Event(), stream=False)
    exchange.turns.append(turn)
    async with serve() as client:
        async with raw_request(client, post("/v1/responses", b'{"model":"gpt-5"}')):
            await soon(turn.waiting.wait())
        await soon(turn.closed.wait())
    assert turn.closings == 1


async def test_a_turn_that_breaks_its_promise_ends_the_body_and_is_logged(serve, exchange, caplog):
    turn = FakeTurn(b"data: 0\n\n", RuntimeError("broken promise"))
    exchange.turns.append(turn)
    async with serve() as client:
        reply = await client.post("/v1/responses", json=STREAM)
        await soon(turn.closed.wait())
    assert reply.text == "data: 0\n\n"
    assert "broken promise" in caplog.text
    assert turn.closings == 1


async def test_a_closing_that_takes_its_time_is_not_cut_short_by_the_end_of_the_answer(serve, exchange):
    turn = FakeTurn(b"data: 0\n\n")
    turn.closing_waits_for = asyncio.Event()
    exchange.turns.append(turn)
    async with serve() as client:
        await client.post("/v1/responses", json=STREAM)
        turn.closing_waits_for.set()
        await soon(turn.closed.wait())


def call_with(send):
    call = Call("POST", "/v1/responses")
    return call, call.stamped(send)


async def test_a_send_that_fails_means_that_the_client_is_gone():
    async def send(message):
        if message["type"] == "http.response.body":
            raise OSError("connection lost")

    turn = FakeTurn(b"data: 0\n\n", b"data: 1\n\n")
    _, stamped = call_with(send)
    with pytest.raises(ClientGone):
        await EventStream(turn, 15)({}, None, stamped)


async def test_pieces_go_straight_to_the_server_and_the_call_knows_how_far_the_answer_has_come():
    async def send(message):
        sent.append(message)
        if message.get("body") == b"data: 0\n\n":
            assert not call.complete

    async def between(message):
        passed.append(message["type"])
        await stamped(message)

    sent, passed = [], []
    call, stamped = call_with(send)
    await EventStream(FakeTurn(b"data: 0\n\n"), 0)({SCOPE_KEY: call}, None, between)
    assert [message.get("body") for message in sent] == [None, b"data: 0\n\n", b""]
    assert passed == ["http.response.start", "http.response.body"]
    assert (call.status, call.complete) == (200, True)


@pytest.mark.parametrize("known", [True, False])
async def test_a_server_that_fails_to_send_a_heartbeat_has_lost_the_client(known, caplog):
    async def send(message):
        if message.get("body"):
            raise OSError("connection lost")

    turn = FakeTurn()
    turn.script, turn.beats_wanted = (turn.enough_beats,), 1
    call, stamped = call_with(send)
    await soon(EventStream(turn, 0.001)({SCOPE_KEY: call} if known else {}, None, stamped))
    assert caplog.text == ""


async def test_a_turn_that_fails_like_a_lost_connection_is_no_lost_connection(caplog):
    async def send(message):
        pass

    call, stamped = call_with(send)
    await EventStream(FakeTurn(b"data: 0\n\n", OSError("broken promise")), 0)(
        {SCOPE_KEY: call}, None, stamped
    )
    assert call.outcome == "broken"
    assert "broken promise" in caplog.text


async def test_cancelling_the_answer_from_outside_ends_the_work_and_leaks_no_task():
    async def work():
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    started, ended = asyncio.Event(), asyncio.Event()
    before = asyncio.all_tasks()
    call, _ = call_with(None)
    answer = asyncio.create_task(call.while_connected(asyncio.Event().wait, work()))
    await soon(started.wait())
    answer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answer
    assert ended.is_set()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


class OwnServer:
    """What our own server does for a request."""

    def __init__(self, *, more_body=False):
        self.more_body = more_body
        self.told = None
        self.free = True
        self.pieces = []

    def put(self, piece):
        if self.free:
            self.pieces.append(piece)
        return self.free

    def watch(self, told):
        self.told = told
        return self.end

    def end(self):
        self.told = None


async def test_our_own_server_tells_that_the_client_has_left_without_being_asked():
    server = OwnServer(more_body=False)

    async def work():
        server.told()
        await asyncio.Event().wait()

    call = Call("POST", "/v1/responses", connection=server)
    with pytest.raises(ClientGone):
        await soon(call.while_connected(None, work()))
    assert server.told is None


async def test_a_body_that_nobody_wants_is_received_so_that_the_client_s_leaving_is_heard():
    async def receive():
        received.append(None)
        return {"type": "http.request" if len(received) < 3 else "http.disconnect"}

    received = []
    call = Call("GET", "/v1/responses/resp_x", connection=OwnServer(more_body=True))
    with pytest.raises(ClientGone):
        await soon(call.while_connected(receive, asyncio.Event().wait()))
    assert len(received) == 3


async def test_leaving_awaits_the_end_of_the_work_before_anything_else():
    async def work():
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()

    async def receive():
        await started.wait()
        return {"type": "http.disconnect"}

    started, ended = asyncio.Event(), asyncio.Event()
    call, _ = call_with(None)
    with pytest.raises(ClientGone):
        await call.while_connected(receive, work())
    assert ended.is_set()


async def test_a_client_that_leaves_as_the_work_fails_cancels_nothing_later():
    async def work():
        await failing.wait()
        raise RuntimeError("failed by itself")

    async def receive():
        await failing.wait()
        return {"type": "http.disconnect"}

    failing = asyncio.Event()
    call, _ = call_with(None)
    asyncio.get_running_loop().call_soon(failing.set)
    with pytest.raises((RuntimeError, ClientGone)):
        await call.while_connected(receive, work())
    for _ in range(3):
        await asyncio.sleep(0)  # a cancellation that came too late would strike here
    assert asyncio.current_task().cancelling() == 0


async def test_a_failure_during_a_cancelled_closing_is_logged(caplog):
    async def work():
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise RuntimeError("cannot close")

    async def receive():
        await started.wait()
        return {"type": "http.disconnect"}

    started = asyncio.Event()
    call, _ = call_with(None)
    with pytest.raises(ClientGone):
        await call.while_connected(receive, work())
    assert "cannot close" in caplog.text


async def test_nothing_is_sent_for_an_empty_piece():
    async def send(message):
        sent.append(message)

    sent = []
    await EventStream(FakeTurn(b"", b"data: 0\n\n", b""), 0)({}, None, send)
    assert [message.get("body") for message in sent] == [None, b"data: 0\n\n", b""]


def on_our_own_server(turn, server, send, keepalive_seconds=0.0):
    """A stream of `turn`, on its way."""
    call = Call("POST", "/v1/responses", connection=server)
    scope = {SCOPE_KEY: call}
    return asyncio.create_task(EventStream(turn, keepalive_seconds)(scope, None, call.stamped(send)))


async def nothing(_):
    """Send nothing."""


async def test_pieces_are_put_out_without_waiting_where_our_own_server_can():
    server, sent = OwnServer(), []

    async def send(message):
        sent.append(message.get("body", b"-"))

    await soon(on_our_own_server(FakeTurn(b"1 ", b"2 "), server, send))
    assert (server.pieces, sent) == ([b"1 ", b"2 "], [b"-", b""])


async def test_a_piece_for_which_a_slow_client_has_no_room_waits_in_the_ordinary_way():
    server, sent = OwnServer(), []
    server.free = False

    async def send(message):
        sent.append(message.get("body", b"-"))

    await soon(on_our_own_server(FakeTurn(b"1 ", b"2 "), server, send))
    assert (server.pieces, sent) == ([], [b"-", b"1 ", b"2 ", b""])


def offer(turn, piece):
    """Offer a piece to the turn's stream."""
    return turn.outlet(piece)


async def test_nothing_is_put_out_past_a_heartbeat_that_waits_for_a_slow_client():
    server, sending, go_on = OwnServer(), asyncio.Event(), asyncio.Event()
    sent = server.pieces

    async def send(message):
        if message.get("body"):
            sending.set()
            await go_on.wait()
            sent.append(message["body"])

    class Beating(FakeTurn):
        def heartbeat(self):
            return b"1 "

    gate = asyncio.Event()
    turn = Beating(gate, b"2 ")
    stream = on_our_own_server(turn, server, send, keepalive_seconds=0.001)
    await soon(sending.wait())
    assert not offer(turn, b"2 ")
    gate.set()
    for _ in range(3):
        await asyncio.sleep(0)
    go_on.set()
    await soon(stream)
    assert b"".join(sent).startswith(b"1 2 ")


async def test_silence_is_watched_by_no_task_and_no_longer_than_the_stream():
    server, gate = OwnServer(), asyncio.Event()
    turn = FakeTurn(gate)
    before = asyncio.all_tasks()
    stream = on_our_own_server(turn, server, nothing, keepalive_seconds=15)
    await soon(turn.waiting.wait())
    assert len(asyncio.all_tasks() - before) == 2  # the answer and its relay
    assert not turn.events._timer.cancelled()
    gate.set()
    await soon(stream)
    assert turn.events._timer.cancelled()


async def test_a_heartbeat_is_sent_after_so_much_silence_and_no_sooner():
    server, gate = OwnServer(), asyncio.Event()
    turn = FakeTurn(gate)
    stream = on_our_own_server(turn, server, nothing, keepalive_seconds=15)
    await soon(turn.waiting.wait())
    for seconds, beats in ((14, 0), (15, 1)):
        turn.events._clock = lambda seconds=seconds: turn.events._last_sent + seconds
        turn.events._look()
        assert turn.beats == beats
    gate.set()
    await soon(stream)


async def test_nothing_is_put_out_between_a_heartbeat_s_making_and_its_sending():
    server, gate, offered = OwnServer(), asyncio.Event(), []

    class Beating(FakeTurn):
        def heartbeat(self):
            asyncio.get_running_loop().call_soon(try_to_offer)
            return b"1 "

    def try_to_offer():
        offered.append(offer(turn, b"2 "))
        gate.set()

    turn = Beating(gate)
    await soon(on_our_own_server(turn, server, nothing, keepalive_seconds=0.001))
    assert offered[0] is False


@pytest.mark.parametrize("steps", range(3))
async def test_nothing_is_told_after_a_heartbeat_that_was_made_and_not_sent(steps):
    async def send(message):
        if message.get("body"):
            await asyncio.Event().wait()

    turn = FakeTurn(asyncio.Event())
    call = Call("POST", "/v1/responses", connection=OwnServer())
    events = EventStream(turn, 15, Leaving(over=True))
    stream = asyncio.create_task(events({SCOPE_KEY: call}, None, call.stamped(send)))
    await soon(turn.waiting.wait())
    events._last_sent -= 15
    events._look()
    for _ in range(steps):
        await asyncio.sleep(0)
    stream.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stream


async def test_nothing_is_put_out_for_a_client_that_has_no_room():
    server, gate = OwnServer(), asyncio.Event()
    turn = FakeTurn(gate)
    stream = on_our_own_server(turn, server, nothing)
    await soon(turn.waiting.wait())
    events, server.free = turn.events, False
    events._last_sent = 0.0
    assert not offer(turn, b"1 ")
    assert events._last_sent == 0.0
    server.free = True
    assert offer(turn, b"2 ")
    assert server.pieces == [b"2 "]
    gate.set()
    await soon(stream)


async def test_what_is_put_out_ahead_is_no_silence():
    server, gate, beats = OwnServer(), asyncio.Event(), []

    class Beating(FakeTurn):
        def heartbeat(self):
            beats.append(None)
            return b""

    turn = Beating(gate, b"2 ")
    stream = on_our_own_server(turn, server, nothing, keepalive_seconds=0.2)
    await soon(turn.waiting.wait())
    events, now = turn.events, turn.events._last_sent + 0.01
    before, events._clock = events._clock, lambda: now
    assert offer(turn, b"1 ")
    assert events._last_sent == now
    events._clock = before
    gate.set()
    await soon(stream)
    assert (server.pieces, beats) == ([b"1 ", b"2 "], [])
