"""The WebSocket's protocol, with a client that can do wrong: messages, lanes, errors, ends."""

import asyncio
import gc
import json
import logging
import re

import pytest
from endpoint import MODEL
from waiting import soon
from websocket_stage import ENDS, stage
from websockets.exceptions import InvalidStatus

from shim.errors import ClientFault
from shim.exchange import Exchange
from shim.exchange.connection import LocalTurn
from shim.http import websocket
from shim.http.bodies import bounds_of
from shim.http.leaving import Leaving
from shim.http.slots import Slots
from shim.http.websocket import Connection, Terms
from shim.settings import Settings
from shim.simulator import Failure, Hold, Turn
from shim.simulator.journal import wait_until

LIMITS = Settings.model_fields
MOST_STREAMS = LIMITS["websocket_streams"].default
MOST_WAITING = LIMITS["websocket_waiting"].default
MOST_TURNS = LIMITS["websocket_turns"].default
MANY_TURNS = 1_000
SETTLED_TURNS = 200
FEW_OBJECTS = 200  # of 800 turns, each of which makes thousands


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("GRID_SHIM_CONFIG", str(tmp_path / "none.toml"))
    monkeypatch.delenv("THEGRID_API_KEY", raising=False)


@pytest.fixture
def logged():
    """The access log: waiting for a line is waiting for the end of a request."""

    class Lines(logging.Handler):
        queue = asyncio.Queue()

        def emit(self, record):
            self.queue.put_nowait(record.getMessage())

    logger, handler = logging.getLogger("shim.access"), Lines()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler.queue
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def code_of(event):
    return event["error"]["code"]


def shape(events):
    """What two streams of the same answer have in common."""
    return [(event["type"], event["sequence_number"]) for event in events]


# -- turns ----------------------------------------------------------------------------------------------------


async def test_the_events_are_those_of_a_stream_over_http():
    async with stage() as here, here.connect() as client, here.http() as http:
        await client.create("say one two")
        over_socket = await client.events()
        asked = {"model": MODEL, "input": "say one two", "store": False, "stream": True}
        answer = await http.post("/responses", json=asked)
    over_http = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    assert shape(over_socket) == shape(over_http)
    assert over_socket[-1]["response"]["output"][-1]["content"][0]["text"] == "one two"
    assert not any("stream_id" in event for event in over_socket)


@pytest.mark.parametrize("path", ["/v1/responses", "/responses", "/v1/v1/responses", "/v1/responses/"])
async def test_it_is_served_wherever_responses_are(path):
    async with stage() as here, here.connect(path) as client:
        assert (await client.turn())["status"] == "completed"


async def test_a_connection_takes_many_turns_each_numbered_from_zero():
    async with stage() as here, here.connect() as client:
        ids = set()
        for _ in range(3):
            await client.create()
            events = await client.events()
            assert [event["sequence_number"] for event in events] == list(range(len(events)))
            ids.add(events[-1]["response"]["id"])
        assert len(ids) == 3


async def test_json_in_a_binary_message_is_as_good_as_in_text():
    async with stage() as here, here.connect() as client:
        await client.socket.send(
            json.dumps({"type": "response.create", "model": MODEL, "input": "say yes"}).encode()
        )
        assert (await client.events())[-1]["type"] == "response.completed"


async def test_a_second_request_waits_for_the_first():
    async with stage() as here, here.connect() as client:
        hold = Hold(after=1)
        here.grid.turns.extend([Turn(text="first", hold=hold), Turn(text="second")])
        await client.create()
        await client.create()
        await client.until("response.in_progress")
        assert len(here.grid.journal.served) == 1
        hold.released.set()
        texts = [(await client.events())[-1]["response"]["output"][0]["content"][0]["text"] for _ in range(2)]
        assert texts == ["first", "second"]


async def test_a_heartbeat_repeats_in_progress_in_sequence():
    async with stage(keepalive_seconds=0.01) as here, here.connect() as client:
        hold = Hold(after=1)
        here.grid.turns.append(Turn(text="late", hold=hold))
        await client.create()
        for _ in range(4):
            await client.until("response.in_progress")
        hold.released.set()
        events = await client.events()
        numbers = [event["sequence_number"] for event in events]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


# -- lanes ----------------------------------------------------------------------------------------------------


async def test_lanes_are_answered_side_by_side_and_every_event_names_its_lane():
    async with stage() as here, here.connect() as client:
        hold = Hold(after=1)
        here.grid.turns.append(Turn(text="slow", hold=hold))
        await client.create(stream_id="a")
        assert (await client.event())["stream_id"] == "a"
        await client.create("say quick", stream_id="b")
        end = await client.until("response.completed")
        assert end["stream_id"] == "b"
        hold.released.set()
        rest = await client.events()
        assert {event["stream_id"] for event in rest} == {"a"}


async def test_a_lane_can_go_on_from_a_response_of_another():
    async with stage() as here, here.connect() as client:
        first = await client.turn("say one", stream_id="a")
        await client.turn("say two", stream_id="b", previous_response_id=first["id"])
        assert [message["content"] for message in here.asked] == ["say one", "one", "say two"]


async def test_an_error_names_its_lane():
    async with stage() as here, here.connect() as client:
        await client.create(stream_id="a", temperature=-1)
        error = await client.event()
        assert (error["stream_id"], error["status"]) == ("a", 400)


async def test_lanes_and_waiting_requests_are_bounded():
    async with stage() as here, here.connect() as client:
        hold = Hold(after=0)
        here.grid.turns.extend([Turn(text="x", hold=hold)] * MOST_STREAMS)
        for lane in range(MOST_STREAMS):
            await client.create(stream_id=str(lane))
        await client.create(stream_id="one too many")
        error = await client.until("error")
        assert (error["status"], code_of(error)) == (429, "websocket_stream_limit_reached")
        assert error["error"]["headers"] == error["headers"] == {"retry-after": "1"}

        for _ in range(MOST_WAITING + 1):
            await client.create(stream_id="0")
        error = await client.until("error")
        assert (error["status"], code_of(error)) == (429, "websocket_queue_limit_reached")
        hold.released.set()
        for _ in range(MOST_STREAMS + MOST_WAITING):
            await client.until("response.completed")


async def test_the_bytes_of_waiting_requests_are_bounded():
    async with stage(max_body_bytes=4_000) as here, here.connect() as client:
        hold = Hold(after=0)
        here.grid.turns.append(Turn(text="x", hold=hold))
        await client.create()
        await client.create("a" * 3_000)
        await client.create("b" * 3_000)
        assert code_of(await client.until("error")) == "websocket_queue_limit_reached"
        hold.released.set()


# -- what a connection remembers --------------------------------------------------------------------------------


async def test_a_chain_without_store_lives_on_its_connection_and_nowhere_else():
    async with stage() as here:
        async with here.connect() as client:
            first = await client.turn("say one")
            second = await client.turn("say two", previous_response_id=first["id"])
            await client.turn("say three", previous_response_id=second["id"])
            assert [message["content"] for message in here.asked] == [
                "say one",
                "one",
                "say two",
                "two",
                "say three",
            ]
        async with here.connect() as client:
            error = await client.turn("say four", previous_response_id=second["id"])
            assert (error["type"], error["status"]) == ("error", 400)
            assert code_of(error) == "previous_response_not_found"
            assert error["error"]["param"] == "previous_response_id"
            assert (await client.turn())["status"] == "completed"


async def test_a_stored_turn_outlives_its_connection():
    async with stage() as here:
        async with here.connect() as client:
            first = await client.turn("say one", store=True)
        async with here.connect() as client:
            await client.turn("say two", previous_response_id=first["id"])
            assert [message["content"] for message in here.asked] == ["say one", "one", "say two"]


async def inputs(http, response):
    """The messages that a response is stored with."""
    page = (await http.get(f"/responses/{response['id']}/input_items?order=asc")).json()
    return [item["content"][0]["text"] for item in page["data"] if item["type"] == "message"]


async def test_a_stored_turn_after_one_that_was_not_can_be_continued_anywhere():
    async with stage() as here:
        async with here.connect() as client:
            first = await client.turn("say one")
            second = await client.turn("say two", store=True, previous_response_id=first["id"])
            third = await client.turn("say three", store=True, previous_response_id=second["id"])
        async with here.http() as http:
            body = {"input": "say four", "previous_response_id": third["id"], "model": MODEL}
            assert (await http.post("/responses", json=body)).status_code == 200
            said = ["say one", "one", "say two", "two", "say three", "three", "say four"]
            assert [message["content"] for message in here.asked] == said
            kept = (await http.get(f"/responses/{second['id']}")).json()
            assert kept["previous_response_id"] == first["id"]
            assert await inputs(http, second) == ["say one", "one", "say two"]
            assert await inputs(http, third) == ["say three"]


async def test_without_a_store_a_connection_still_remembers():
    async with stage(store="off") as here, here.connect() as client:
        first = await client.turn("say one", store=True)
        assert (await client.turn("say two", previous_response_id=first["id"]))["status"] == "completed"


@pytest.mark.parametrize(
    "failing", [Turn(status=500), Turn(text="half of it", cut_after=1)], ids=["refused", "cut"]
)
async def test_a_failed_turn_makes_the_connection_forget_what_it_continued(failing):
    async with stage() as here, here.connect() as client:
        first = await client.turn("say one")
        other = await client.turn("say other")
        here.grid.turns.append(failing)
        failed = await client.turn(previous_response_id=first["id"])
        assert failed.get("status") in ("failed", 500, 502)
        again = await client.turn(previous_response_id=first["id"])
        assert code_of(again) == "previous_response_not_found"
        assert (await client.turn(previous_response_id=other["id"]))["status"] == "completed"


async def test_a_failed_turn_takes_nothing_from_the_store():
    async with stage() as here, here.connect() as client:
        first = await client.turn("say one", store=True)
        here.grid.turns.append(Turn(status=500))
        await client.turn(previous_response_id=first["id"])
        assert (await client.turn(previous_response_id=first["id"]))["status"] == "completed"


async def test_a_turn_without_generation_is_complete_empty_and_there_to_be_continued():
    async with stage() as here, here.connect() as client:
        await client.create("remember this", generate=False)
        events = await client.events()
        assert [event["type"] for event in events] == [
            "response.created",
            "response.in_progress",
            "response.completed",
        ]
        warm = events[-1]["response"]
        assert (warm["output"], warm["usage"]["total_tokens"]) == ([], 0)
        assert here.grid.journal.served == []

        await client.turn("say one", previous_response_id=warm["id"])
        assert [message["content"] for message in here.asked] == ["remember this", "say one"]
        again = await client.turn([], previous_response_id=warm["id"])
        assert again["status"] == "completed"


async def test_a_turn_without_generation_is_stored_if_the_client_wants_it():
    async with stage() as here:
        async with here.connect() as client:
            warm = await client.turn("remember this", generate=False, store=True)
        async with here.http() as http:
            kept = (await http.get(f"/responses/{warm['id']}")).json()
            assert (kept["status"], kept["output"], kept["store"]) == ("completed", [], True)
            body = {"input": "say one", "previous_response_id": warm["id"], "model": MODEL}
            assert (await http.post("/responses", json=body)).status_code == 200
            assert [message["content"] for message in here.asked] == ["remember this", "say one"]


async def test_a_turn_of_a_conversation_remembers_what_another_turn_said_meanwhile(monkeypatch):
    async with stage() as here, here.connect() as client, here.http() as http:
        talk = (await http.post("/conversations", json={})).json()["id"]
        ask, others = Exchange.ask, [{"model": MODEL, "input": "say one", "conversation": talk}]

        async def slow(*given):
            asked = await ask(*given)
            if others:
                assert (await http.post("/responses", json=others.pop())).status_code == 200
            return asked

        monkeypatch.setattr(Exchange, "ask", slow)
        second = await client.turn("say two", conversation=talk)
        await client.turn("say three", previous_response_id=second["id"])
        said = ["say one", "one", "say two", "two", "say three"]
        assert [message["content"] for message in here.asked] == said


async def test_a_turn_without_generation_needs_a_chain_and_no_conversation():
    async with stage() as here, here.connect() as client, here.http() as http:
        conversation = (await http.post("/conversations", json={})).json()
        error = await client.turn(generate=False, conversation=conversation["id"])
        assert (error["error"]["param"], code_of(error)) == ("generate", "unsupported_parameter")
        assert (await client.turn(conversation=conversation["id"], store=True))["status"] == "completed"


@pytest.mark.no_cover  # a tracer that counts objects too makes sqlite3 fail within CPython
async def test_a_thousand_turns_leave_nothing_behind_but_the_newest():
    async with stage() as here, here.connect() as client:

        async def turns(count):
            for number in range(count):
                here.grid.turns.append(Turn(text="ok"))
                assert (await client.turn(f"turn {number}"))["status"] == "completed"
            here.grid.journal.clear()
            gc.collect()
            return len(gc.get_objects())

        settled = await turns(SETTLED_TURNS)
        after = await turns(MANY_TURNS - SETTLED_TURNS)
        assert after - settled < FEW_OBJECTS
        (connection,) = (each for each in gc.get_objects() if isinstance(each, Connection))
        assert len(connection._turns.local) == MOST_TURNS
        async with asyncio.timeout(10):  # the last turn is told before it is put away
            while connection._lanes or connection._running:  # noqa: ASYNC110 -- another task brings it about
                await asyncio.sleep(0.01)


# -- what is wrong with a message -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "param", "code"),
    [
        ("", None, None),
        ("{", None, None),
        ("[]", None, None),
        (b"\x00\xff", None, None),
        ("{}", "type", "missing_required_parameter"),
        ('{"type":"response.cancel"}', "type", "invalid_value"),
        ('{"type":7}', "type", "invalid_value"),
        ('{"type":"response.create"}', "model", "missing_required_parameter"),
        ('{"type":"response.create","model":"code-prime"}', "input", "missing_required_parameter"),
        ('{"type":"response.create","generate":"no"}', "generate", "invalid_type"),
        ('{"type":"response.create","background":true}', "background", "unsupported_parameter"),
        ('{"type":"response.create","stream_id":""}', "stream_id", "invalid_value"),
        ('{"type":"response.create","stream_id":7}', "stream_id", "invalid_value"),
        ('{"type":"response.steer","input":"x"}', "previous_response_id", "missing_required_parameter"),
    ],
)
async def test_a_wrong_message_is_an_error_event_and_the_connection_goes_on(message, param, code):
    async with stage() as here, here.connect() as client:
        await client.socket.send(message)
        error = await client.event()
        assert (error["type"], error["status"]) == ("error", 400)
        assert error["error"]["type"] == "invalid_request_error"
        assert (error["error"]["param"], error["error"]["code"]) == (param, code)
        assert (await client.turn())["status"] == "completed"


async def test_steering_is_refused_with_its_input():
    async with stage() as here, here.connect() as client:
        await client.send({"type": "response.steer", "previous_response_id": "resp_1", "input": "left"})
        failed = await client.event()
        assert (failed["type"], code_of(failed)) == ("response.steer.failed", "steering_not_supported")
        assert failed["steer"] == {"previous_response_id": "resp_1", "input": "left"}


async def test_an_upstreams_refusal_is_an_error_event_with_its_status_and_headers():
    async with stage() as here, here.connect() as client:
        await client.turn()  # the catalogue is known now
        here.grid.config.fail_first.append(Failure(429, retry_after=7))
        error = await client.turn()
        assert (error["type"], error["status"], error["headers"]) == ("error", 429, {"retry-after": "7"})
        assert (await client.turn())["status"] == "completed"


async def test_our_own_failure_is_an_error_event_that_says_nothing(monkeypatch):
    async with stage() as here, here.connect() as client:
        with monkeypatch.context() as broken:
            broken.setattr(Exchange, "ask", lambda *_: 1 / 0)
            error = await client.turn()
        assert (error["status"], error["error"]["type"]) == (500, "server_error")
        assert re.search(r"\(Request ID req_[0-9a-f]{32}\)$", error["error"]["message"])
        assert (await client.turn())["status"] == "completed"


async def test_our_own_failure_within_a_turn_is_an_error_event_as_well(monkeypatch, logged):
    async with stage() as here, here.connect() as client:
        with monkeypatch.context() as broken:
            broken.setattr(LocalTurn, "_settle", lambda *_: 1 / 0)
            await client.create()
            assert (await client.until("error"))["status"] == 500
        assert (await soon(logged.get())).startswith("WS /v1/responses 200 broken")
        assert (await client.turn())["status"] == "completed"


async def test_a_message_that_is_too_large_closes_with_1009():
    async with stage(max_body_bytes=2_000) as here, here.connect() as client:
        await client.create("x" * 2_000)
        assert await client.close_code() == 1009


async def test_text_that_is_not_utf_8_closes_with_1007_and_without_a_traceback(caplog):
    async with stage() as here, here.connect() as client:
        await client.socket.send(b"\xff", text=True)
        assert await client.close_code() == 1007
    assert not [record for record in caplog.records if record.exc_info]


# -- who may connect --------------------------------------------------------------------------------------------


async def _refused(here, path="/v1/responses", **headers):
    with pytest.raises(InvalidStatus) as caught:
        async with here.connect(path, additional_headers=headers):
            pass
    response = caught.value.response
    return response.status_code, json.loads(response.body)["error"]


async def test_a_client_without_the_token_is_refused_before_the_upgrade():
    async with stage(client_tokens=("please-let-me-in",)) as here:
        status, error = await _refused(here, authorization="Bearer wrong")
        assert (status, error["code"]) == (401, "invalid_api_key")
        async with here.connect(additional_headers={"authorization": "Bearer please-let-me-in"}) as client:
            assert (await client.turn())["status"] == "completed"


async def test_a_client_without_any_key_is_refused_before_the_upgrade():
    async with stage(key=None) as here:
        status, _ = await _refused(here)
        assert status == 401


async def test_a_web_page_of_another_origin_is_refused():
    async with stage() as here:
        assert (await _refused(here, origin="https://evil.example"))[0] == 403
        assert (await _refused(here, origin="null"))[0] == 403
        assert (await _refused(here, origin="http://["))[0] == 403
        async with here.connect(additional_headers={"origin": f"http://{here.address}"}) as client:
            assert (await client.turn())["status"] == "completed"


async def test_a_refusal_is_no_error_of_the_server(caplog):
    async with stage() as here:
        for _ in range(2):
            assert (await _refused(here, origin="https://evil.example"))[0] == 403
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


async def test_who_has_a_token_is_no_web_page():
    headers = {"authorization": "Bearer please-let-me-in", "origin": "https://app.example"}
    async with (
        stage(client_tokens=("please-let-me-in",)) as here,
        here.connect(additional_headers=headers) as client,
    ):
        assert (await client.turn())["status"] == "completed"


async def test_no_other_path_takes_a_websocket():
    async with stage() as here:
        assert (await _refused(here, "/v1/models"))[0] == 404


async def test_where_it_is_switched_off_it_is_426_at_once():
    async with stage(websocket=False) as here:
        assert (await _refused(here))[0] == 426


async def test_one_client_cannot_continue_what_another_stored():
    async with stage(client_tokens=("token-number-one", "token-number-two")) as here:
        async with here.connect(additional_headers={"authorization": "Bearer token-number-one"}) as client:
            first = await client.turn(store=True)
        async with here.connect(additional_headers={"authorization": "Bearer token-number-two"}) as client:
            error = await client.turn(previous_response_id=first["id"])
            assert code_of(error) == "previous_response_not_found"


# -- ends -------------------------------------------------------------------------------------------------------


async def test_a_ping_is_answered_in_the_middle_of_a_turn():
    async with stage() as here, here.connect() as client:
        hold = Hold(after=1)
        here.grid.turns.append(Turn(text="x", hold=hold))
        await client.create()
        await client.until("response.in_progress")
        await soon(await client.socket.ping())
        hold.released.set()


async def test_a_client_that_leaves_with_its_answer_is_not_gone(logged, monkeypatch):
    async def slow(turn):
        await left.wait()
        await close(turn)

    close, left = LocalTurn.aclose, asyncio.Event()
    monkeypatch.setattr(LocalTurn, "aclose", slow)
    async with stage() as here:
        async with here.connect() as client:
            assert (await client.turn("say one"))["status"] == "completed"
        lines = [
            await soon(logged.get()) for _ in range(2)
        ]  # of the turn, cut short in its tidying, and of the connection
        left.set()
    assert "client_gone" not in str(lines)
    assert " completed " in lines[0]


async def test_when_the_client_leaves_every_upstream_is_closed(logged):
    async with stage() as here:
        hold = Hold(after=1)
        here.grid.turns.extend([Turn(text="a b c", hold=hold)] * 2)
        async with here.connect() as client:
            await client.create(stream_id="a")
            await client.create(stream_id="b")
            for _ in range(2):
                await client.until("response.in_progress")
        for received in here.grid.journal.served:
            await soon(received.wait_ended())
            assert received.disconnected
        lines = [await soon(logged.get()) for _ in range(3)]
        assert sorted(line.split(" model")[0].split(" total")[0] for line in lines) == [
            "GET /v1/responses 101 client_gone",
            "WS /v1/responses 200 client_gone",
            "WS /v1/responses 200 client_gone",
        ]


async def test_each_turn_has_a_line_in_the_log_and_so_has_the_connection(logged):
    async with stage() as here:
        async with here.connect() as client:
            await client.turn()
            await client.turn(temperature=-1)
        lines = [await soon(logged.get()) for _ in range(3)]
    assert lines[0].startswith(f"WS /v1/responses 200 completed model={MODEL} served_model=")
    assert lines[1].startswith(f"WS /v1/responses 400 model={MODEL} ")
    assert "code=decimal_below_min_value" in lines[1]
    assert lines[2].startswith("GET /v1/responses 101 closed ")


async def test_when_the_server_stops_a_running_turn_ends_and_the_connection_closes_with_1001():
    async with stage() as here, here.connect() as idle, here.connect() as client:
        hold = Hold(after=1)
        here.grid.turns.append(Turn(text="to the end", hold=hold))
        await client.create()
        await client.create("say this is dropped")
        await client.until("response.in_progress")
        stopping = asyncio.create_task(here.server.shutdown())
        assert await idle.close_code() == 1001
        await client.create("say this is dropped as well")
        await soon(await client.socket.ping())
        hold.released.set()
        assert (await client.events())[-1]["type"] == "response.completed"
        assert await client.close_code() == 1001
        await soon(stopping)


async def test_when_the_time_to_drain_is_over_the_connection_is_closed_anyway(logged):
    async with stage() as here, here.connect() as client:
        hold = Hold(after=1)
        here.grid.turns.append(Turn(text="never", hold=hold))
        await client.create()
        await client.until("response.in_progress")
        here.server.config.timeout_graceful_shutdown = 0
        await soon(here.server.shutdown())
        assert await client.close_code() == 1001
        assert (await soon(logged.get())).startswith("WS /v1/responses 200 cancelled")


async def test_an_old_connection_says_so_and_closes():
    async with stage(websocket_seconds=1e-9) as here, here.connect() as client:
        error = await client.event()
        assert (error["status"], code_of(error)) == (400, "websocket_connection_limit_reached")
        assert await client.close_code() == 1001


async def test_a_slow_reader_holds_the_upstream_back():
    """The connection asks for the next events only when those before it have been taken."""
    taken, told = asyncio.Semaphore(0), []

    class Summary:
        outcome = "completed"

    class EndlessTurn:
        summary = Summary()
        closed = told = False
        made = 0

        async def events(self):
            while True:
                self.made += 1
                yield [{"type": "response.in_progress", "sequence_number": self.made}]

        async def aclose(self):
            self.closed = True

    class Turns:
        turn = EndlessTurn()

        async def open(self, body, request_id, *, generate):
            return self.turn

    async def send(message):
        await taken.acquire()
        told.append(message)

    settings = Settings(keepalive_seconds=0, max_body_bytes=1_000)
    terms = Terms(settings, bounds_of(settings), Slots(1, 1), "")
    messages = asyncio.Queue()
    messages.put_nowait({"type": "websocket.receive", "text": '{"type":"response.create"}'})
    serving = asyncio.create_task(Connection(Turns(), "/", send, terms, Leaving()).serve(messages.get))
    for count in range(1, 4):
        await soon(wait_until(lambda: Turns.turn.made == len(told) + 1))
        taken.release()
        await soon(wait_until(lambda count=count: len(told) == count))
    assert Turns.turn.made <= len(told) + 1
    messages.put_nowait({"type": "websocket.disconnect"})
    with pytest.raises(websocket.ClientGone):
        await soon(serving)
    assert Turns.turn.closed
    assert ENDS.isdisjoint(json.loads(message["text"])["type"] for message in told)


async def test_a_client_that_never_reads_does_not_hold_the_end_up(monkeypatch):
    """One cancellation is enough, though nothing can be sent any more."""
    monkeypatch.setattr(websocket, "CLOSE_SECONDS", 0.01)
    stuck = asyncio.Event()

    class Turns:
        async def open(self, body, request_id, *, generate):
            raise ClientFault("Not today.")

    async def send(message):
        stuck.set()
        await asyncio.Event().wait()

    messages = asyncio.Queue()
    messages.put_nowait({"type": "websocket.receive", "text": '{"type":"response.create"}'})
    settings = Settings(keepalive_seconds=0)
    terms = Terms(settings, bounds_of(settings), Slots(1, 1), "")
    serving = asyncio.create_task(
        Connection(Turns(), "/", send, terms, Leaving(begun=True, over=True)).serve(messages.get)
    )
    await soon(stuck.wait())
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await soon(serving)
