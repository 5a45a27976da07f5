"""Heads, bodies and connections over real sockets: how large, how long, how many, and how each ends."""

import asyncio
import json
from contextlib import suppress

import pytest
from limits_stage import answer, ask, closed, head, stage
from waiting import PATIENCE, eventually, soon
from websockets.asyncio.client import connect
from websockets.http11 import MAX_LINE_LENGTH, MAX_NUM_HEADERS

from shim.limits import DEEPEST_JSON

AROUND = [-1, 0, 1]
MOMENT = 0.05
LONGER = 0.3
"""A time limit within which something is still done: a busy machine may pause in between."""


def alive(*lines, path="/healthz"):
    return head(*lines, method="GET", path=path)


def size_of(request):
    """Bytes of the headers in a request's head, as they were sent."""
    return len(request.partition(b"\r\n")[2]) - 2


def handshake(*lines, path="/v1/responses"):
    key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="
    upgrade = ("upgrade: websocket", "connection: upgrade", key, "sec-websocket-version: 13")
    return head(*upgrade, *lines, method="GET", path=path)


async def asked(here, request):
    """The status and error code that one request gets, and whether its connection ends with it."""
    async with here.raw(request) as (reader, _):
        status, headers, body = await answer(reader)
        assert "content-type: application/json" in headers
        ends = "connection: close" in headers
        if ends:
            assert await closed(reader)
    return status, json.loads(body).get("error", {}).get("code"), ends


@pytest.mark.parametrize("more", AROUND)
async def test_the_bytes_of_headers_are_bounded(more):
    async with stage(max_header_bytes=1000) as here:
        filler = 1000 + more - size_of(alive("x: "))
        refused = await asked(here, alive(f"x: {'v' * filler}"))
        assert refused == ((431, "headers_too_large", True) if more > 0 else (200, None, False))


@pytest.mark.parametrize("more", AROUND)
async def test_the_number_of_headers_is_bounded(more):
    async with stage(max_headers=10) as here:
        refused = await asked(here, alive(*["x: v"] * (9 + more)))
        assert refused == ((431, "headers_too_large", True) if more > 0 else (200, None, False))


@pytest.mark.parametrize("more", AROUND)
@pytest.mark.parametrize("path", ["/healthz?", "/"])
async def test_urls_are_bounded(more, path):
    async with stage(max_url_bytes=100) as here:
        refused = await asked(here, alive(path=path + "u" * (100 + more - len(path))))
        fine = (200, None, False) if "?" in path else (404, None, False)
        assert refused == ((414, "url_too_long", False) if more > 0 else fine)


@pytest.mark.parametrize("beginning", [b"GET /healthz HTTP/1.1\r\nx: ", b"GET /", b"GET / HTTP/1.1\r\n"])
async def test_a_head_without_end_is_cut(beginning):
    piece = b"x: y\r\n" if beginning.endswith(b"\n") else b"y"
    async with (
        stage(max_header_bytes=1000, max_url_bytes=1000) as here,
        here.raw(beginning) as (reader, writer),
    ):
        writer.write(piece * 3000)
        status, _, body = await answer(reader)
        assert (status, json.loads(body)["error"]["code"]) == (431, "headers_too_large")
        assert await closed(reader)


@pytest.mark.parametrize("piece", [b"0\r\n" + b"x: y\r\n" * 1000, b"1;" + b"e" * 6000])
async def test_trailers_and_chunk_extensions_are_no_way_around(piece):
    """The parser gives trailers out as headers, and takes extensions without end."""
    chunked = head("content-type: application/json", "transfer-encoding: chunked")
    async with stage(max_header_bytes=1000, max_url_bytes=1000) as here:
        async with here.raw(chunked) as (reader, writer):
            await eventually(lambda: here.services.slots.busy == 1)
            writer.write(piece)
            status, _, body = await answer(reader)
            assert (status, json.loads(body)["error"]["code"]) == (431, "headers_too_large")
            assert await closed(reader)
        await eventually(lambda: here.services.slots.busy == 0)


async def test_many_requests_on_one_connection_are_not_one_long_head():
    async with stage(max_header_bytes=1000, max_url_bytes=1000) as here, here.raw() as (reader, writer):
        for _ in range(5):
            writer.write(alive("x: " + "y" * 700) * 3)
            for _ in range(3):
                assert (await answer(reader))[0] == 200


async def test_a_large_body_is_no_head():
    body = json.dumps(ask(filler="x" * (1 << 20))).encode()  # more than one read takes
    lines = ("content-type: application/json", f"content-length: {len(body)}")
    async with stage(max_header_bytes=1000, max_url_bytes=1000) as here:
        async with here.raw(head(*lines) + body) as (reader, _):
            assert (await answer(reader))[0] == 200
        chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in json.dumps(ask()).encode())
        async with here.raw(head(lines[0], "transfer-encoding: chunked")) as (reader, writer):
            writer.write(chunks + b"0\r\n\r\n")
            assert (await answer(reader))[0] == 200


@pytest.mark.parametrize(
    ("sent", "code"),
    [(b"", None), (b"\r\n", None), (b"GET /healthz HTTP/1.1\r\nhost: local", "request_timeout")],
)
@pytest.mark.parametrize("before", [0, 1])
async def test_a_head_that_does_not_come_ends_its_connection(before, sent, code):
    idle = PATIENCE if sent else MOMENT
    async with (
        stage(request_head_seconds=LONGER, idle_seconds=idle) as here,
        here.raw() as (reader, writer),
    ):
        if before:
            writer.write(alive())
            assert (await answer(reader))[0] == 200
        writer.write(sent)
        if code:
            status, headers, body = await answer(reader)
            assert (status, json.loads(body)["error"]["code"]) == (408, code)
            assert "connection: close" in headers
        assert await closed(reader)


async def test_time_for_a_head_is_no_time_for_an_answer():
    """Once its head is there a request may take its time, and a WebSocket may be silent."""
    async with stage(request_head_seconds=LONGER) as here:  # noqa: SIM117 -- two are read better
        async with connect(f"ws://{here.url}/responses", proxy=None) as socket, here.raw() as (_, writer):
            lines = ("content-type: application/json", "content-length: 9")
            writer.write(head(*lines))
            await eventually(lambda: here.services.slots.busy == 1)
            async with here.raw() as (reader, _):
                assert await closed(reader)  # the time for a head is over, for them as well
            assert here.services.slots.busy == 1
            await soon(await socket.ping())


async def test_what_comes_after_an_answer_does_not_hold_its_connection():
    """An answer may come before the end of a body that nobody reads."""
    lines = ("content-type: text/plain", "content-length: 1000000")
    async with stage(request_head_seconds=LONGER) as here, here.raw(head(*lines)) as (reader, writer):
        assert (await answer(reader))[0] == 415
        writer.write(b"x")
        assert await closed(reader)


@pytest.mark.parametrize("sent", [b"", b'{"model":'])
@pytest.mark.parametrize("path", ["/v1/responses", "/v1/chat/completions", "/v1/conversations"])
async def test_a_body_that_does_not_come_is_408(path, sent):
    lines = ("content-type: application/json", "content-length: 100")
    async with stage(body_seconds=MOMENT) as here:
        assert await asked(here, head(*lines, path=path) + sent) == (408, "request_timeout", True)
        await eventually(lambda: here.services.slots.busy == 0)


DRIPPED = {
    "a head": (b"GET /healthz HTTP/1.1\r\nx: ", b"y"),
    "headers": (b"GET /healthz HTTP/1.1\r\n", b"x: y\r\n"),
    "line ends": (b"", b"\r\n"),
    "a body": (head("content-type: application/json", "content-length: 1000000"), b" "),
    "chunks": (head("content-type: application/json", "transfer-encoding: chunked"), b"1\r\n \r\n"),
    "an extension": (head("content-type: application/json", "transfer-encoding: chunked") + b"1;", b"x"),
}


@pytest.mark.parametrize("name", DRIPPED)
async def test_who_goes_on_dripping_gets_no_more_time_by_it(name):
    """Slowloris: each byte comes soon after the one before."""
    beginning, piece = DRIPPED[name]
    async with (
        stage(request_head_seconds=LONGER, body_seconds=LONGER, linger_seconds=LONGER) as here,
        here.raw(beginning) as (reader, writer),
    ):

        async def drip():
            with suppress(ConnectionError):
                while True:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(LONGER / 30)

        dripping = asyncio.create_task(drip())
        said = b""
        with suppress(ConnectionError):
            while data := await soon(reader.read(1000)):
                said += data
        dripping.cancel()
        await asyncio.wait([dripping])
        assert said.startswith(b"HTTP/1.1 408 ") or (name == "line ends" and not said)
        await eventually(lambda: not here.server.server_state.connections)
        await eventually(lambda: here.services.slots.busy == 0)


async def test_a_body_may_come_piece_by_piece():
    body = json.dumps(ask()).encode()
    lines = ("content-type: application/json", f"content-length: {len(body)}")
    async with stage() as here, here.raw(head(*lines)) as (reader, writer):
        for byte in body:
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert (await answer(reader))[0] == 200


async def test_connections_are_bounded_and_a_place_comes_back():
    async with stage(max_client_connections=2) as here:
        async with here.raw() as (_, _), here.raw(alive()) as (reader, _):
            assert (await answer(reader))[0] == 200
            assert await asked(here, b"") == (503, "too_many_connections", True)
        await eventually(lambda: not here.server.server_state.connections)
        assert await asked(here, alive()) == (200, None, False)


@pytest.mark.parametrize("request_", [b"\x00\r\n\r\n", b"GET foo HTTP/1.1\r\n\r\n", b"GET / HTTP/9\r\n\r\n"])
async def test_what_is_no_http_is_refused_in_the_same_shape(request_):
    async with stage() as here:
        assert await asked(here, request_) == (400, "invalid_http", True)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("x: " + "y" * MAX_LINE_LENGTH, 431),
        ("\r\n".join(["x: y"] * (MAX_NUM_HEADERS - 4)), 431),
        ("content-length: 5", 400),
        ("transfer-encoding: chunked", 400),
    ],
)
async def test_a_handshake_that_cannot_be_read_is_answered(line, status):
    """Uvicorn leaves such a client without an answer, and its connection open for ever."""
    async with stage(max_headers=10_000) as here:
        code = "headers_too_large" if status == 431 else "invalid_http"
        assert await asked(here, handshake(line)) == (status, code, True)


async def test_a_handshake_within_the_bounds_is_accepted():
    async with stage() as here, here.raw(handshake("x: " + "y" * (MAX_LINE_LENGTH - 5))) as (reader, _):
        assert b" 101 " in await soon(reader.readline())


async def test_the_head_of_a_handshake_is_bounded_like_any_other():
    async with stage(max_header_bytes=1000) as here:
        assert await asked(here, handshake("x: " + "y" * 1000)) == (431, "headers_too_large", True)
    async with stage(max_url_bytes=100) as here:
        long = handshake(path="/v1/responses?" + "x" * 100)
        assert await asked(here, long) == (414, "url_too_long", True)


async def test_messages_meet_the_bounds_of_bodies():
    async with (
        stage(max_input_items=2, max_json_depth=12) as here,
        connect(f"ws://{here.url}/responses", proxy=None) as socket,
    ):
        create = {"type": "response.create", "model": "code-prime", "store": False}
        items = [{"role": "user", "content": "hi"}] * 3
        for body, code in (
            ({**create, "input": items}, "array_above_max_length"),
            ({**create, "input": "hi", "metadata": json.loads("[" * 12 + "]" * 12)}, "json_too_deep"),
        ):
            await socket.send(json.dumps(body))
            told = json.loads(await soon(socket.recv()))
            assert (told["status"], told["error"]["code"]) == (400, code)
        await socket.send(json.dumps({**create, "input": items[:2]}))
        assert json.loads(await soon(socket.recv()))["type"] == "response.created"


@pytest.mark.parametrize("path", ["/responses", "/responses/compact", "/responses/input_tokens"])
async def test_every_route_that_takes_items_bounds_them(path):
    async with stage(max_input_items=2) as here, here.http() as client:
        refused = await client.post(path, json=ask([{"role": "user", "content": "hi"}] * 3))
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "input")
        deep = await client.post(
            path, content=b'{"input":' + b"[" * 100_000, headers={"content-type": "application/json"}
        )
        assert deep.json()["error"]["code"] == "json_too_deep"


async def test_conversations_are_bounded_too():
    async with stage(max_images=1) as here, here.http() as client:
        image = {"type": "input_image", "image_url": "https://images.test/1.png"}
        items = [{"type": "message", "role": "user", "content": [image, image]}]
        refused = await client.post("/conversations", json={"items": items})
        assert refused.json()["error"]["param"] == "items[0].content[1]"


@pytest.mark.parametrize("store", ["memory", "off"])
@pytest.mark.parametrize("background", [True, False])
async def test_what_is_nested_as_deep_as_may_be_is_answered_stored_and_read_again(store, background):
    """What is stored wraps a request's parts a few times more, and is read by the same parser."""
    schema = {}
    for _ in range(DEEPEST_JSON - 4):  # within the object, its tools, one of them, and its parameters
        schema = {"not": schema}
    deep = {"type": "function", "name": "f", "parameters": schema}
    async with stage(max_json_depth=DEEPEST_JSON, store=store) as here, here.http() as client:
        wanted = {"tools": [deep], "store": store != "off", "background": background and store != "off"}
        made = await client.post("/responses", json=ask(**wanted))
        assert made.status_code == 200, made.text
        if store == "off":
            return
        url = f"/responses/{made.json()['id']}"
        async with asyncio.timeout(PATIENCE):
            while (found := await client.get(url)).json()["status"] in ("queued", "in_progress"):  # noqa: ASYNC110 -- asked over HTTP
                await asyncio.sleep(0.01)
        assert found.json()["status"] == "completed"
        again = await client.post("/responses", json=ask(previous_response_id=made.json()["id"], **wanted))
        assert again.status_code == 200, again.text
        refused = await client.post("/responses", json=ask(tools=[{**deep, "parameters": {"not": schema}}]))
        assert refused.json()["error"]["code"] == "json_too_deep"
