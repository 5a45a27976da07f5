"""Chat that is passed through, and the process that ends meanwhile: what was cut never looks whole."""

import asyncio
import json

import pytest
from http_fakes import FakeReply
from waiting import eventually

from shim.http.call import SCOPE_KEY, Call
from shim.http.leaving import Leaving
from shim.http.passthrough import Passthrough

EVENT = b'data: {"choices":[]}\n\n'
STREAM = "text/event-stream"


async def cut(leaving, script, content_type=STREAM):
    """What a client is sent of such a reply, which is cut off where it waits; and whether the body has an end."""
    sent = []

    async def send(message):
        sent.append(message)

    reply = FakeReply((*script, asyncio.Event()), content_type=content_type)
    call = Call("POST", "/chat/completions")
    task = asyncio.create_task(Passthrough(reply, leaving)({SCOPE_KEY: call}, None, send))
    await eventually(lambda: len(sent) == 1 + len(script))
    leaving.over = leaving.begun
    task.cancel()
    await asyncio.wait([task])
    body = b"".join(message.get("body", b"") for message in sent)
    ended = sent[-1].get("more_body") is False
    assert ended is not task.cancelled()
    return body, ended, call


@pytest.mark.parametrize(
    "script", [(), (EVENT,), (EVENT[:-1],), (EVENT, b": ping\n"), (EVENT.replace(b"\n", b"\r"),)]
)
@pytest.mark.parametrize("content_type", [STREAM, "Text/Event-Stream; charset=utf-8"])
async def test_a_stream_that_is_cut_off_says_so_and_is_not_done(script, content_type):
    body, ended, call = await cut(Leaving(begun=True), script, content_type)
    before = b"".join(script)
    assert body.startswith(before)
    blank, told, *rest = body.removeprefix(before).split(b"\n")
    error = json.loads(told.removeprefix(b"data: "))["error"]
    assert (blank, error["code"], rest, ended) == (b"", "server_error", [b"", b""], True)
    assert (call.outcome, call.code) == ("failed", "server_error")


@pytest.mark.parametrize(
    ("script", "content_type"),
    [((EVENT, EVENT[:9]), STREAM), ((b'{"id":',), "application/json"), ((b"{\n",), "application/json")],
)
async def test_what_cannot_be_told_so_has_no_end(script, content_type):
    body, ended, _ = await cut(Leaving(begun=True), script, content_type)
    assert (body, ended) == (b"".join(script), False)


async def test_a_client_that_leaves_is_no_end_of_the_process():
    body, ended, _ = await cut(Leaving(), (EVENT,))
    assert (body, ended) == (EVENT, False)
