"""Every limit of the table in `docs/limits.md` through a real socket: what is at it is served, what is one beyond is
answered as the table says, with the status, code and field that stand there.
"""

import gzip
import json
import re
from pathlib import Path

import pytest
from limits_stage import ask, head, stage
from waiting import soon
from websockets.asyncio.client import connect

from shim.limits import Limits

TESTS = Path(__file__).parents[1]
JSON = {"content-type": "application/json"}


def told(name):
    """The status and code of the answer that the table promises; None if there is none over HTTP."""
    said = Limits.model_fields[name].json_schema_extra["answer"]
    found = re.match(r"(\d{3}) `(\w+)`", said)
    return (int(found[1]), found[2]) if found else None


def user(*parts):
    return [{"type": "message", "role": "user", "content": list(parts)}]


def tool(**fields):
    return {"type": "function", "name": "f", "parameters": {}, **fields}


def padded(size):
    """A body of exactly so many bytes."""
    bare = len(json.dumps(ask(filler="")))
    return json.dumps(ask(filler="x" * (size - bare))).encode()


def nested(depth):
    """A schema that makes its request so deep: it stands in an object, its tools, and one of them."""
    schema = {}
    for _ in range(depth - 4):
        schema = {"not": schema}
    return schema


def values(count):
    """As many empty arrays as make so many objects, arrays and commas of a request."""
    body = json.dumps(ask(filler=[[]]))
    marks = sum(body.count(mark) for mark in "[{,")
    more, odd = divmod(count - marks, 2)
    return json.dumps(ask("say hi" + "," * odd, filler=[[]] * (1 + more))).encode()


IMAGE = {"type": "input_image", "image_url": "https://images.test/1.png"}
IMAGES = {"model": "claude-opus-latest"}  # takes images
FILE = "data:text/plain;base64,"
INLINE = {"type": "input_file", "filename": "a.txt"}

BODIES = {
    "max_json_depth": (
        12,
        lambda n: {"json": ask(tools=[tool(parameters=nested(n))])},
        "tools[0].parameters.not",
    ),
    "max_json_values": (200, lambda n: {"content": values(n), "headers": JSON}, None),
    "max_input_items": (
        3,
        lambda n: {"json": ask(user({"type": "input_text", "text": "say hi"}) * n)},
        "input",
    ),
    "max_tools": (
        3,
        lambda n: {"json": ask(tools=[tool(name=f"f{number}") for number in range(n)])},
        "tools",
    ),
    "max_tool_name_characters": (70, lambda n: {"json": ask(tools=[tool(name="n" * n)])}, "tools[0].name"),
    "max_schema_bytes": (
        2000,
        lambda n: {
            "json": ask(tools=[tool(parameters={"description": "x" * (n - len('{"description":""}'))})])
        },
        "tools[0].parameters",
    ),
    "max_images": (2, lambda n: {"json": ask(user(*[IMAGE] * n), **IMAGES)}, "input[0].content[2]"),
    "max_inline_bytes": (
        100,
        lambda n: {
            "json": ask(user({"type": "input_image", "image_url": FILE + "x" * (n - len(FILE))}), **IMAGES)
        },
        "input[0].content[0]",
    ),
    "max_body_bytes": (500, lambda n: {"content": padded(n), "headers": JSON}, None),
    "max_decoded_bytes": (
        500,
        lambda n: {"content": gzip.compress(padded(n)), "headers": JSON | {"content-encoding": "gzip"}},
        None,
    ),
}
"""By limit: a value for it, a request that has so much of it, and the field that is named."""


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_at_its_limit_is_served_and_one_beyond_is_answered_as_the_table_says(name):
    most, request, param = BODIES[name]
    async with stage(**{name: most}) as here, here.http() as client:
        served = await client.post("/responses", **request(most))
        assert served.status_code == 200, served.text
        refused = await client.post("/responses", **request(most + 1))
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == told(name)
    assert error["type"] == "invalid_request_error"
    assert (error["param"] or "").startswith(param or "")
    assert bool(error["param"]) is bool(param)
    assert re.search(r"\d", error["message"]), "the bound is named"
    assert len(here.grid.journal.served) == 1


@pytest.mark.parametrize(
    "name", [name for name in BODIES if name not in ("max_body_bytes", "max_decoded_bytes")]
)
async def test_the_same_holds_on_a_websocket(name):
    most, request, param = BODIES[name]
    async with (
        stage(**{name: most + (name == "max_json_values")}) as here,  # a comma before `type`
        connect(f"ws://{here.url}/responses", proxy=None) as socket,
    ):
        for count in (most, most + 1):
            given = request(count)
            body = given["json"] if "json" in given else json.loads(given["content"])
            await socket.send(json.dumps({"type": "response.create", **body}))
            event = json.loads(await soon(socket.recv()))
            if count == most:
                assert event["type"] == "response.created", event
                while json.loads(await soon(socket.recv()))["type"] != "response.completed":
                    pass
    assert (event["status"], event["error"]["code"]) == told(name)
    assert (event["error"]["param"] or "").startswith(param or "")


HEADS = {
    "max_url_bytes": (100, lambda n: head(method="GET", path="/healthz?" + "u" * (n - len("/healthz?")))),
    "max_header_bytes": (200, lambda n: head("x: " + "v" * (n - len("host: localhost\r\nx: \r\n")), method="GET", path="/healthz")),
    "max_headers": (5, lambda n: head(*["x: v"] * (n - 1), method="GET", path="/healthz")),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADS)
async def test_a_head_at_its_limit_is_served_and_one_beyond_is_answered_as_the_table_says(name):
    most, request = HEADS[name]
    answers = []
    async with stage(**{name: most}) as here:
        for count in (most, most + 1):
            async with here.raw(request(count)) as (reader, writer):
                writer.write_eof()
                first, _, rest = (await soon(reader.read())).partition(b"\r\n")
                answers.append((int(first.split()[1]), json.loads(rest.partition(b"\r\n\r\n")[2])))
    assert answers[0][0] == 200
    assert (answers[1][0], answers[1][1]["error"]["code"]) == told(name)


async def test_what_a_websocket_remembers_is_bounded_in_bytes():
    async with (
        stage(websocket_memory_bytes=10_000) as here,
        connect(f"ws://{here.url}/responses", proxy=None) as socket,
    ):

        async def turn(**fields):
            await socket.send(json.dumps({"type": "response.create", **ask("x" * 6000), **fields}))
            while "status" not in (event := json.loads(await soon(socket.recv()))):
                if event["type"] == "response.completed":
                    return event["response"]["id"]
            return event["status"], event["error"]["code"]

        first, second = await turn(), await turn()
        assert await turn(previous_response_id=first) == (400, "previous_response_not_found")
        third = await turn(previous_response_id=second, input="say so")
        assert isinstance(third, str)


CONNECTIONS, ANSWERS = "limits/test_limits_connections.py", "limits/test_limits_answers.py"
SLOTS, LINGERING = "limits/test_limits_slots.py", "limits/test_limits_lingering.py"
WEBSOCKET, BACKGROUND = "stateful/test_websocket.py", "stateful/test_background.py"
FAULTS = "faults/test_faults_upstream.py"
ELSEWHERE = {
    "request_head_seconds": (CONNECTIONS, "test_a_head_that_does_not_come_ends_its_connection"),
    "idle_seconds": (CONNECTIONS, "test_a_head_that_does_not_come_ends_its_connection"),
    "send_seconds": ("limits/test_limits_unread.py", "test_a_client_that_does_not_read_is_cut_off"),
    "linger_seconds": (LINGERING, "test_a_client_that_goes_on_sending_is_cut_off"),
    "linger_bytes": (LINGERING, "test_a_client_that_goes_on_sending_is_cut_off"),
    "max_client_connections": (CONNECTIONS, "test_connections_are_bounded_and_a_place_comes_back"),
    "body_seconds": (CONNECTIONS, "test_a_body_that_does_not_come_is_408"),
    "max_requests": (SLOTS, "test_requests_in_all_are_bounded_and_health_is_never_refused"),
    "max_client_requests": (SLOTS, "test_those_of_one_client_are_bounded_and_others_go_on"),
    "max_connections": (
        "upstream/test_upstream_client.py",
        "test_time_spent_waiting_for_a_connection_was_not_spent_upstream",
    ),
    "background_jobs": (BACKGROUND, "test_more_jobs_than_places_wait_queued"),
    "background_client_jobs": (BACKGROUND, "test_the_work_of_one_client_leaves_places_to_others"),
    "background_client_queue": (BACKGROUND, "test_a_client_can_only_have_so_much_waiting"),
    "background_client_queue_bytes": (BACKGROUND, "test_a_client_can_only_have_so_much_waiting"),
    "connect_seconds": (FAULTS, "test_an_upstream_that_takes_no_connections_is_not_waited_for_long"),
    "header_seconds": (FAULTS, "it says nothing"),
    "read_seconds": (FAULTS, "silence between chunks"),
    "response_seconds": (ANSWERS, "test_an_answer_without_end_is_a_failure_and_its_upstream_is_left"),
    "max_answer_bytes": (ANSWERS, "test_an_answer_without_end_is_a_failure_and_its_upstream_is_left"),
    "max_event_bytes": (ANSWERS, "test_an_answer_without_end_is_a_failure_and_its_upstream_is_left"),
    "max_output_bytes": (ANSWERS, "test_an_answer_without_end_is_a_failure_and_its_upstream_is_left"),
    "max_output_items": (ANSWERS, "test_an_answer_without_end_is_a_failure_and_its_upstream_is_left"),
    "websocket_seconds": (WEBSOCKET, "test_an_old_connection_says_so_and_closes"),
    "websocket_streams": (WEBSOCKET, "test_lanes_and_waiting_requests_are_bounded"),
    "websocket_waiting": (WEBSOCKET, "test_lanes_and_waiting_requests_are_bounded"),
    "websocket_turns": (WEBSOCKET, "test_a_thousand_turns_leave_nothing_behind_but_the_newest"),
    "max_chained_responses": (
        "stateful/test_chains.py",
        "test_a_chain_that_is_too_long_says_so_and_what_to_do",
    ),
    "max_history_bytes": ("limits/test_limits_history.py", "test_what_a_request_refers_to_is_bounded"),
    "store_max_bytes": (
        "store/test_store_eviction.py",
        "test_only_who_keeps_more_than_a_fair_share_gives_way_and_the_oldest_first",
    ),
    "stream_max_bytes": (BACKGROUND, "test_a_stream_that_outgrew_its_bound_says_so_and_tells_the_end"),
}
"""Limits whose answer is none, or that need a stage of their own: the test of each."""


def test_every_limit_has_a_test():
    here = {*BODIES, *HEADS, "websocket_memory_bytes"}
    assert here | ELSEWHERE.keys() == set(Limits.model_fields)
    for file, test in ELSEWHERE.values():
        text = (TESTS / file).read_text(encoding="utf-8")
        assert f"def {test}(" in text or f'"{test}"' in text, f"{file} has no {test}"
