"""What an open stream holds: not its request, which may have megabytes, for the minutes that an answer may take."""

import asyncio
import json
import tracemalloc
from contextlib import asynccontextmanager

import pytest
import upstream_loopback as loopback
from limits_stage import ask, head, stage
from waiting import soon
from websockets.asyncio.client import connect

from shim.exchange import keeping

PARTS = 500
PART_BYTES = 2000
REQUEST_BYTES = PARTS * PART_BYTES
LITTLE = REQUEST_BYTES // 5
TOLD = "said"


def history():
    """A megabyte of items."""
    return [
        {"type": "message", "role": "user", "content": f"{n} ".ljust(PART_BYTES, "x")} for n in range(PARTS)
    ]


def chunk(**choice):
    said = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return loopback.chunk(f"data: {json.dumps({**said, 'choices': [{'index': 0, **choice}]})}\n\n".encode())


BEGIN = loopback.HEAD + chunk(delta={"role": "assistant", "content": TOLD}, finish_reason=None)
END = chunk(delta={}, finish_reason="stop") + loopback.chunk(b"data: [DONE]\n\n") + loopback.chunk(b"")


class Speaking:
    """An upstream that says a word, and the rest when it may."""

    def __init__(self):
        self.go_on = asyncio.Event()
        self.server = loopback.serving(self._answer)

    async def _answer(self, request, writer):
        request.body = b""
        writer.write(BEGIN)
        await self.go_on.wait()
        writer.write(END)


@asynccontextmanager
async def speaking():
    """An endpoint with such an upstream, and what is made once made."""
    upstream = Speaking()
    async with upstream.server, stage(upstream=upstream.server.url(), profile="openai-compatible") as here:
        yield here, upstream


@asynccontextmanager
async def asked(here, body):
    """A stream of which the first words have come; nothing of the request is held on this side."""
    sent = json.dumps(body).encode()
    del body
    async with here.raw() as (reader, writer):
        lines = (
            "authorization: Bearer somebody",
            "content-type: application/json",
            f"content-length: {len(sent)}",
        )
        writer.write(head(*lines) + sent)
        del sent
        await soon(reader.readuntil(TOLD.encode()))
        yield reader


async def over(reader):
    while b"response.completed" not in await soon(reader.readline()):
        pass
    await soon(reader.readuntil(b"\r\n0\r\n\r\n"))


@pytest.fixture
def traced(monkeypatch):
    """What Python has taken of memory; each request is a lesson for estimates, too."""
    monkeypatch.setattr(keeping, "LESSON_SECONDS", 0)
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()


async def warm(here, upstream, **fields):
    upstream.go_on.set()
    async with asked(here, ask(history(), stream=True, **fields)) as reader:
        await over(reader)
    upstream.go_on.clear()


async def test_a_stream_that_is_not_stored_does_not_hold_its_request(traced):
    async with speaking() as (here, upstream):
        await warm(here, upstream)
        before = traced()
        async with asked(here, ask(history(), stream=True)) as reader:
            assert traced() - before < LITTLE
            upstream.go_on.set()
            await over(reader)


async def test_a_stream_that_is_stored_holds_nothing_that_is_stored_already(traced):
    async with speaking() as (here, upstream), here.http() as client:
        upstream.go_on.set()
        first = (await client.post("/responses", json=ask(history(), store=True))).json()
        body = ask("hi", store=True, stream=True, previous_response_id=first["id"])
        for times in range(2):
            upstream.go_on.clear()
            before = traced()
            async with asked(here, body) as reader:
                assert times == 0 or traced() - before < LITTLE
                upstream.go_on.set()
                await over(reader)


async def test_a_websocket_holds_no_more_of_a_request_than_its_items_and_one_frame(traced):
    """Its items are there to be continued; the last frame is kept by the library's parser until the next one comes."""
    async with speaking() as (here, upstream):
        for times in range(2):
            upstream.go_on.clear()
            async with connect(f"ws://{here.url}/responses", proxy=None, compression=None) as socket:
                before = traced()
                await socket.send(json.dumps({"type": "response.create", **ask(history())}))
                while TOLD not in await soon(socket.recv()):
                    pass
                assert times == 0 or traced() - before < 2.4 * REQUEST_BYTES
                upstream.go_on.set()
                while "response.completed" not in await soon(socket.recv()):
                    pass
