"""What an answer held goes with it, however it ended: a history or an answer may have megabytes, and the collector, which
counts objects and not bytes, may not come by for a long time.
"""

import gc
import json
from contextlib import suppress

import httpx
import pytest
from limits_stage import ask, head, stage
from waiting import eventually, soon
from websockets.asyncio.client import connect

from shim.core.assembler import Assembler
from shim.core.deltas import ChunkReader
from shim.exchange import keeping
from shim.exchange.exchange import Asked
from shim.exchange.story import Story
from shim.exchange.turn import Turn as Answering
from shim.simulator import Hold, Turn
from shim.upstream.client import Call
from shim.upstream.http1 import Answer
from shim.upstream.stream import ChatStream

HOLDERS = (Answering, Asked, Assembler, ChunkReader, Call, Answer, ChatStream, Story)
"""What holds a request's body, or an answer's."""

WORDS = "one two three four"
FATES = {
    "whole": Turn(text=WORDS),
    "refused": Turn(status=400),
    "failed": Turn(status=500),
    "reset": Turn(reset=True),
    "a web page": Turn(body="<p>", headers={"content-type": "text/html"}),
    "a redirect astray": Turn(status=307, headers={"location": "http://10.0.0.1/v1"}),
    "cut": Turn(text=WORDS, cut_after=4),
    "an error within": Turn(text=WORDS, cut_after=4, error_in_stream={"error": {"message": "no"}}),
    "no JSON within": Turn(text=WORDS, cut_after=4, error_in_stream="{"),
    "too long": Turn(text="x" * 3000),
    "too long an event": Turn(body="data: " + "x" * 9000, headers={"content-type": "text/event-stream"}),
    "silent": Turn(text=WORDS, hold=Hold(after=4)),
    "silent from the start": Turn(text=WORDS, hold=Hold(after=None)),
}
HASTY = {"max_output_bytes": 1000, "max_event_bytes": 8000, "read_seconds": 0.2, "header_seconds": 0.2}


async def plain(here, **fields):
    async with here.http() as client:
        await client.post("/responses", json=ask(**fields))


async def streamed(here):
    await plain(here, stream=True)


async def with_tools(here):
    await plain(here, stream=True, tools=[{"type": "function", "name": "f", "parameters": {}}])


async def background(here):
    async with here.http() as client:
        made = (await client.post("/responses", json=ask(store=True, background=True))).json()

        async def over():
            return (await client.get(f"/responses/{made['id']}")).json()["status"] not in (
                "queued",
                "in_progress",
            )

        await eventually(over)


async def websocket(here):
    async with connect(f"ws://{here.url}/responses", proxy=None) as socket:
        await socket.send(json.dumps({"type": "response.create", **ask()}))
        while "status" not in (event := json.loads(await soon(socket.recv()))):
            if event["type"] in ("response.completed", "response.failed"):
                break


async def passed_through(here):
    async with here.http() as client:
        chat = {"model": "code-prime", "messages": [{"role": "user", "content": "hi"}]}
        with suppress(httpx.TransportError):  # broken off as the upstream's was
            await client.post("/chat/completions", json=chat)


async def leaving(here):
    body = json.dumps(ask(stream=True)).encode()
    lines = ("content-type: application/json", f"content-length: {len(body)}")
    async with here.raw(head(*lines) + body) as (reader, _):
        await soon(reader.readuntil(b"output_text.delta"))


async def leaving_early(here):
    body = json.dumps(ask()).encode()
    lines = ("content-type: application/json", f"content-length: {len(body)}")
    async with here.raw(head(*lines) + body):
        await eventually(lambda: here.grid.journal.served)


def held():
    return [one for one in gc.get_objects() if isinstance(one, HOLDERS)]


async def leaves_nothing(here, ask_once):
    gc.collect()
    gc.disable()
    try:
        await ask_once(here)
        await eventually(lambda: not held())
    finally:
        gc.enable()


@pytest.mark.parametrize("ask_once", [plain, streamed, with_tools, background, websocket, passed_through])
@pytest.mark.parametrize("fate", FATES)
async def test_however_an_answer_ends_nothing_of_it_waits_for_the_collector(fate, ask_once):
    async with stage(**HASTY) as here:
        here.grid.turns.extend([FATES[fate]] * 2)
        await ask_once(here)  # what is made once
        await leaves_nothing(here, ask_once)


@pytest.mark.parametrize("ask_once", [leaving, leaving_early])
async def test_a_client_that_leaves_leaves_nothing_behind(ask_once):
    async with stage() as here:
        hold = Hold(after=4 if ask_once is leaving else None)
        here.grid.turns.extend([Turn(text=WORDS, hold=hold)] * 2)
        await ask_once(here)
        await eventually(lambda: not here.services.slots.busy)
        here.grid.journal.clear()
        await leaves_nothing(here, ask_once)
        hold.released.set()


async def test_a_request_that_is_refused_leaves_nothing_behind():
    async def wrong(here):
        await plain(here, temperature=-1)
        await plain(here, previous_response_id="resp_none")
        await plain(here, tools=[{"type": "web_search"}], tool_choice={"type": "web_search"})

    async with stage() as here:
        await wrong(here)
        await leaves_nothing(here, wrong)


async def test_a_turn_that_fails_as_it_is_made_leaves_nothing_behind(monkeypatch):
    """The upstream has accepted it by then, and the conversation is locked."""

    def fails(*_):
        raise MemoryError

    hold = Hold(after=1)
    async with stage() as here, here.http() as client:
        made = (await client.post("/conversations", json={})).json()
        body = ask(store=True, conversation=made["id"])
        here.grid.turns.extend([Turn(text=WORDS, hold=hold), Turn(text=WORDS)])
        with monkeypatch.context() as patch:
            patch.setattr(keeping, "estimate_tokens", fails)
            assert (await client.post("/responses", json=body)).status_code == 500
        await eventually(lambda: not here.services.upstream._transport._pool._taken)
        assert (await client.post("/responses", json=body)).status_code == 200
        hold.released.set()
