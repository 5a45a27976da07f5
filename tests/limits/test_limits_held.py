"""What an open stream holds: not its input, which may have megabytes, for the minutes that an answer may take."""

import asyncio
import gc
import json
import tracemalloc
from contextlib import asynccontextmanager
from functools import partial

import pytest
import upstream_loopback as loopback
from endpoint import MODEL
from limits_stage import ask, head, stage
from waiting import eventually, soon
from websockets.asyncio.client import connect

from shim.exchange import keeping

PARTS = 500
PART_BYTES = 2000
REQUEST_BYTES = PARTS * PART_BYTES
TOLD = "said"
"""What the upstream says at first."""


def history():
    """A megabyte of items."""
    return [
        {"type": "message", "role": "user", "content": f"{n} ".ljust(PART_BYTES, "x")} for n in range(PARTS)
    ]


def chunk(**choice):
    said = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return loopback.chunk(f"data: {json.dumps({**said, 'choices': [{'index': 0, **choice}]})}\n\n".encode())


MODELS = loopback.reply(200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})
BEGIN = loopback.HEAD + chunk(delta={"role": "assistant", "content": TOLD}, finish_reason=None)
END = chunk(delta={}, finish_reason="stop") + loopback.chunk(b"data: [DONE]\n\n") + loopback.chunk(b"")


class Speaking:
    """An upstream that says a word, and the rest when it may."""

    def __init__(self):
        self.go_on = asyncio.Event()
        self.server = loopback.serving(self._answer)

    async def _answer(self, request, writer):
        if request.method == "GET":
            writer.write(MODELS)
            return
        request.body = b""  # or this side would hold it
        writer.write(BEGIN)
        await self.go_on.wait()
        writer.write(END)


@asynccontextmanager
async def speaking(**settings):
    """Such an upstream, and an endpoint in front of it."""
    upstream = Speaking()
    async with upstream.server:
        url = upstream.server.url()
        async with stage(upstream=url, profile="openai-compatible", **settings) as here:
            yield here, upstream


@asynccontextmanager
async def streamed(here, body, path="/v1/responses"):
    """A stream of which the first word has come; yields what reads the rest, and holds nothing itself."""
    sent = json.dumps({**body, "stream": True}).encode()
    del body
    async with here.raw() as (reader, writer):
        lines = ("authorization: Bearer somebody", "content-type: application/json")
        writer.write(head(*lines, f"content-length: {len(sent)}", path=path) + sent)
        del sent
        await soon(reader.readuntil(TOLD.encode()))
        yield partial(reader.readuntil, b"\r\n0\r\n\r\n")


@asynccontextmanager
async def over_websocket(here, body):
    """The same on a WebSocket of its own."""
    async with connect(f"ws://{here.url}/responses", proxy=None, compression=None) as socket:

        async def hear(word):
            while word not in await soon(socket.recv()):
                pass

        await socket.send(json.dumps({"type": "response.create", **body}))
        del body
        await hear(TOLD)
        yield partial(hear, "response.completed")


@pytest.fixture
def held_by(monkeypatch):
    """Bytes that Python holds more while a stream is open, each request of which is a lesson for estimates, too."""
    monkeypatch.setattr(keeping, "LESSON_SECONDS", 0)

    async def measured(here, upstream, opening):
        connections, services = here.server.server_state.connections, here.services
        standing = len(connections)

        def at_rest():
            return len(connections) <= standing and not (services.slots.busy or services.background.busy)

        for _ in range(2):  # the first time what is made once is made
            upstream.go_on.clear()
            await eventually(at_rest)
            gc.collect()  # what is left of the time before would else be set off
            before = tracemalloc.get_traced_memory()[0]
            async with opening() as read_the_rest:
                held = tracemalloc.get_traced_memory()[0] - before
                upstream.go_on.set()
                await soon(read_the_rest())
        return held

    tracemalloc.start()
    yield measured
    tracemalloc.stop()


LITTLE = REQUEST_BYTES // 5
ONCE = 1.6 * REQUEST_BYTES
AND_A_FRAME = 2.4 * REQUEST_BYTES
"""A WebSocket's last frame is kept by its library until the next one comes."""

CHAT = {"model": "m", "messages": history()}


@pytest.mark.parametrize(
    ("opening", "store", "most"),
    [
        pytest.param(lambda here: streamed(here, ask(history())), "memory", LITTLE, id="not-stored"),
        pytest.param(lambda here: streamed(here, ask(history(), store=True)), "memory", ONCE, id="stored"),
        pytest.param(
            lambda here: streamed(here, ask(history(), store=True, background=True)),
            "memory",
            ONCE,
            id="background",
        ),
        pytest.param(lambda here: streamed(here, ask(history(), store=None)), "off", LITTLE, id="no-store"),
        pytest.param(
            lambda here: streamed(here, CHAT, "/v1/chat/completions"), "off", LITTLE, id="passed-through"
        ),
        pytest.param(
            lambda here: over_websocket(here, ask(history())), "memory", AND_A_FRAME, id="remembered"
        ),
        pytest.param(
            lambda here: over_websocket(here, ask(history(), store=None)),
            "off",
            AND_A_FRAME,
            id="remembered-no-store",
        ),
        pytest.param(
            lambda here: over_websocket(here, ask(history(), store=True)),
            "memory",
            AND_A_FRAME,
            id="stored-websocket",
        ),
    ],
)
async def test_a_stream_holds_no_more_of_its_input_than_it_must(held_by, opening, store, most):
    async with speaking(store=store) as (here, upstream):
        assert await held_by(here, upstream, lambda: opening(here)) < most


@pytest.mark.parametrize("by", ["previous_response_id", "conversation"])
async def test_a_stream_holds_nothing_that_is_stored_already(held_by, by):
    async with speaking() as (here, upstream), here.http() as client:
        upstream.go_on.set()
        if by == "conversation":
            made = (await client.post("/conversations", json={"items": history()[:20]})).json()
            for _ in range(3):
                added = await client.post(
                    f"/conversations/{made['id']}/items", json={"items": history()[:20]}
                )
                added.raise_for_status()
        else:
            made = (await client.post("/responses", json=ask(history()[:80], store=True))).json()
        body = ask("hi", store=True, **{by: made["id"]})
        assert await held_by(here, upstream, lambda: streamed(here, body)) < 80 * PART_BYTES
