"""Requests in line on one connection, and what stands between them: each answer comes whole, in turn, or not at all."""

import json

import pytest
from limits_stage import answer, ask, closed, head, stage
from waiting import eventually, soon

from shim.http.heads import MOST_IN_LINE
from shim.simulator import Hold, Turn

ALIVE = head(method="GET", path="/healthz")
JSON = "content-type: application/json"
TOKEN = "a-token-of-sixteen"
UPGRADE = head(
    "upgrade: websocket",
    "connection: upgrade",
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-version: 13",
    method="GET",
)


def posted(**fields):
    body = json.dumps(ask(**fields)).encode()
    return head(JSON, f"content-length: {len(body)}") + body


def incomplete():
    """A request that is under way until its body's last byte has come."""
    return head(JSON, "content-length: 2") + b"{"


@pytest.mark.parametrize("before", [b"", ALIVE])
async def test_a_trailer_is_no_header(before):
    """Else it says who asks, past a proxy that looks at headers (RFC 9110, section 6.5.1)."""
    body = json.dumps(ask()).encode()
    trailed = b"%x\r\n%s\r\n0\r\nauthorization: Bearer %s\r\n\r\n" % (len(body), body, TOKEN.encode())
    async with stage(client_tokens=TOKEN) as here:
        request = before + head(JSON, "transfer-encoding: chunked") + trailed + ALIVE
        async with here.raw(request) as (reader, _):
            if before:
                assert (await answer(reader))[0] == 200
            assert (await answer(reader))[0] == 401
            assert (await answer(reader))[0] == 200


@pytest.mark.parametrize("more", [0, 1])
async def test_requests_in_line_are_bounded(more):
    async with stage() as here:
        async with here.raw(incomplete()) as (reader, writer):
            await eventually(lambda: here.services.slots.busy == 1)
            writer.write(b"}" + ALIVE * (MOST_IN_LINE + more))
            if more:
                assert await closed(reader)
            else:
                assert (await answer(reader))[0] == 400
                for _ in range(MOST_IN_LINE):
                    assert (await answer(reader))[0] == 200
        await eventually(lambda: here.services.slots.busy == 0)


@pytest.mark.parametrize("next_", [b"\x00\r\n\r\n", UPGRADE], ids=["no HTTP", "WebSocket"])
async def test_nothing_is_written_into_an_answer_under_way(next_):
    hold = Hold(after=2)
    async with stage() as here:
        here.grid.turns.append(Turn(text="one two three four", hold=hold))
        async with here.raw(posted(stream=True)) as (reader, writer):
            assert b" 200 " in await soon(reader.readline())
            await soon(reader.readuntil(b"output_text.delta"))
            writer.write(next_)
            left = await soon(reader.read())
            assert b"HTTP/1.1" not in left
        await eventually(lambda: here.services.slots.busy == 0)  # though the model is not at its end
        hold.released.set()
