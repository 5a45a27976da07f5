"""Who is refused while it still sends hears why, and its connection ends soon after."""

import asyncio
import gzip
import json
import socket

import pytest
from endpoint import MODEL
from limits_stage import answer, ask, closed, head, stage
from waiting import PATIENCE, eventually, soon

LONG = 3600
MOMENT = 0.1
JSON = "content-type: application/json"
PIECE = b"x" * (64 << 10)
LARGE = 8 << 20
"""More than the system takes for a client whose server does not read."""

TOKENS = ("a-token-of-a-client",)
KEY = f"authorization: Bearer {TOKENS[0]}"

REFUSALS = [
    ((KEY, "content-type: text/plain"), "/v1/responses", 415),
    ((KEY, JSON, "content-encoding: rot13"), "/v1/chat/completions", 415),
    ((JSON,), "/v1/responses", 401),
    ((KEY, JSON), "/v1/nothing", 404),
    ((KEY, JSON), "/v1/models", 405),
    ((KEY, JSON), "/v1/responses?" + "x" * 9000, 414),
    ((KEY, JSON, "x: " + "y" * 40_000, "z: " + "y" * 40_000), "/v1/responses", 431),
    ((KEY, JSON), "/v1/responses", 413),
]


class Sender:
    """A client that sends all that it has before it reads, as most do; on a thread, with a socket that blocks."""

    def __init__(self, here):
        self._socket = socket.create_connection(("127.0.0.1", here.port), timeout=PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    async def sends(self, *pieces):
        """Whether all of it could be sent."""
        return await asyncio.to_thread(self._send, pieces)

    def _send(self, pieces):
        try:
            for piece in pieces:
                self._socket.sendall(piece)
        except ConnectionError:
            return False
        return True

    async def reads(self):
        """Everything up to the end; a reset is an error."""
        return await asyncio.to_thread(self._read)

    def _read(self):
        said = b""
        while data := self._socket.recv(65536):
            said += data
        return said


async def sends_for_ever(writer):
    while True:
        writer.write(PIECE)
        await writer.drain()
        await asyncio.sleep(0)


def told(said):
    """The status, headers and error code of one answer that is all there is."""
    lines, _, body = said.decode().partition("\r\n\r\n")
    assert lines.lower().count("connection:") <= 1
    return int(lines.split()[1]), lines.lower(), json.loads(body)["error"]["code"]


def sized(lines, path, length=LARGE):
    return head(*lines, f"content-length: {length}", path=path)


@pytest.mark.parametrize(("lines", "path", "status"), REFUSALS)
async def test_a_refusal_reaches_a_client_that_sends_all_before_it_reads(lines, path, status):
    async with stage(client_tokens=TOKENS, max_body_bytes=1 << 20, linger_seconds=LONG) as here:
        with Sender(here) as client:
            assert await client.sends(sized(lines, path), *[PIECE] * (LARGE // len(PIECE)))
            got, headers, _ = told(await client.reads())
        assert got == status
        assert "connection: close" in headers
        await eventually(lambda: not here.server.server_state.connections)


async def test_a_body_that_grows_too_large_on_its_way_is_told_so():
    async with stage(max_body_bytes=1 << 20, linger_seconds=LONG) as here:
        with Sender(here) as client:
            chunk = b"%x\r\n%s\r\n" % (len(PIECE), PIECE)
            sent = head(JSON, "transfer-encoding: chunked")
            assert await client.sends(sent, *[chunk] * (LARGE // len(PIECE)), b"0\r\n\r\n")
            assert told(await client.reads())[0] == 413


@pytest.mark.parametrize("sent", [b"\x00\r\n\r\n", b"POST / HTTP/9\r\n\r\n"])
async def test_what_is_no_http_is_told_so_while_more_comes(sent):
    async with stage(linger_seconds=LONG) as here:
        with Sender(here) as client:
            assert await client.sends(sent, *[PIECE] * (LARGE // len(PIECE)))
            assert told(await client.reads())[2] == "invalid_http"


@pytest.mark.parametrize("sent", [b"zz\r\n", b"-1\r\n", b"2\n{}\n", b"2\r\n{}}", b"11111111111111111\r\n"])
@pytest.mark.parametrize("more", [0, LARGE // len(PIECE)])
async def test_a_body_that_is_no_http_is_told_so(sent, more):
    """Its request is under way by then, and is given up."""
    async with stage(linger_seconds=LONG) as here:
        with Sender(here) as client:
            assert await client.sends(head(JSON, "transfer-encoding: chunked"))
            await eventually(lambda: here.services.slots.busy == 1)
            assert await client.sends(sent, *[PIECE] * more)
            assert told(await client.reads())[::2] == (400, "invalid_http")
        await eventually(lambda: here.services.slots.busy == 0)


async def test_a_process_that_drains_says_so_to_clients_that_send():
    async with stage(linger_seconds=LONG) as here:
        here.services.leaving.begun = True
        with Sender(here) as client:
            assert await client.sends(sized((JSON,), "/v1/responses"), *[PIECE] * (LARGE // len(PIECE)))
            assert told(await client.reads())[2] == "server_shutting_down"


@pytest.mark.parametrize("bound", ["linger_seconds", "linger_bytes"])
async def test_a_client_that_goes_on_sending_is_cut_off(bound):
    wide = {"linger_seconds": LONG, "linger_bytes": 1 << 40, "request_head_seconds": LONG}
    narrow = {"linger_seconds": MOMENT, "linger_bytes": 1 << 20}
    async with stage(**{**wide, bound: narrow[bound]}) as here:
        endless = sized(("content-type: text/plain",), "/v1/responses", 1 << 40)
        async with here.raw(endless) as (reader, writer):
            assert (await answer(reader))[0] == 415
            with pytest.raises(ConnectionError):
                await soon(sends_for_ever(writer))
        await eventually(lambda: not here.server.server_state.connections)


async def test_a_client_that_sends_no_more_is_closed_within_the_time():
    unread = sized(("content-type: text/plain",), "/v1/responses")
    async with (
        stage(linger_seconds=MOMENT, request_head_seconds=LONG) as here,
        here.raw(unread) as (reader, _),
    ):
        assert (await answer(reader))[0] == 415
        assert await closed(reader)
        await eventually(lambda: not here.server.server_state.connections)


@pytest.mark.parametrize("status", [415, 200])
async def test_an_answer_to_a_whole_request_leaves_the_connection_open(status):
    kind = "text/plain" if status == 415 else "application/json"
    body = json.dumps(ask()).encode()
    request = head(f"content-type: {kind}", f"content-length: {len(body)}") + body
    async with stage(linger_seconds=MOMENT) as here, here.raw() as (reader, writer):
        for _ in range(2):
            writer.write(request)
            got, headers, _ = await answer(reader)
            assert got == status
            assert "connection: close" not in headers
            await asyncio.sleep(2 * MOMENT)


async def test_nothing_is_served_on_a_connection_that_is_about_to_end():
    """What looks like a request there is the rest of a body."""
    async with stage(linger_seconds=LONG) as here:
        with Sender(here) as client:
            first = sized(("content-type: text/plain",), "/v1/responses", 10)
            assert await client.sends(first)
            await eventually(lambda: any(one.lingers for one in here.server.server_state.connections))
            assert await client.sends(b"x" * 10 + head(method="GET", path="/healthz"))
            assert told(await client.reads())[0] == 415


async def test_connections_beyond_the_bound_are_told_so_and_do_not_stay(monkeypatch):
    monkeypatch.setattr("shim.http.heads.MOST_OVER", 1)
    async with stage(max_client_connections=1, linger_seconds=LONG) as here:
        async with here.raw() as _, here.raw() as (over, _), here.raw() as (further, _):
            for reader in (over, further):
                assert (await answer(reader))[0] == 503
            await eventually(lambda: len(here.server.server_state.connections) == 2)
        await eventually(lambda: not here.server.server_state.connections)


async def test_large_bodies_are_served_as_ever():
    """Also one that arrives in pieces, compressed, on a connection that goes on."""
    body = gzip.compress(json.dumps(ask(filler="x" * (4 << 20))).encode(), 0)
    lines = (JSON, f"content-length: {len(body)}", "content-encoding: gzip")
    async with stage(linger_seconds=MOMENT) as here, here.raw() as (reader, writer):
        for _ in range(2):
            writer.write(head(*lines) + body)
            await soon(writer.drain())
            got, headers, said = await answer(reader)
            assert (got, json.loads(said)["model"]) == (200, MODEL)
            assert "connection: close" not in headers
