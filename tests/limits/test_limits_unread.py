"""Clients that do not read what they asked for: those that take nothing are cut off, those that take little are not."""

import asyncio
import json

import pytest
from limits_stage import head, stage
from waiting import eventually, soon

from shim.http.unread import Unread

LARGE = head(method="GET", path="/openapi.json")
HANDSHAKE = head(
    "upgrade: websocket",
    "connection: upgrade",
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-version: 13",
    method="GET",
)
STEER = json.dumps(
    {"type": "response.steer", "previous_response_id": "resp_1", "input": "x" * 50_000}
).encode()
MESSAGE = b"\x81\xfe" + len(STEER).to_bytes(2, "big") + b"\0\0\0\0" + STEER
MOMENT = 0.1


def waiting(here):
    return [one.transport.get_write_buffer_size() for one in here.server.server_state.connections]


async def flooded(here, writer, request):
    """Ask until answers wait: the system takes some MB of them first."""
    writer.transport.pause_reading()
    while not any(waiting(here)):
        writer.write(request)
        await soon(writer.drain())
        await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    ("first", "request_"), [(b"", LARGE), (HANDSHAKE, MESSAGE)], ids=["HTTP", "WebSocket"]
)
async def test_a_client_that_does_not_read_is_cut_off(first, request_):
    async with stage(send_seconds=MOMENT) as here, here.raw(first) as (reader, writer):
        if first:
            await soon(reader.readuntil(b"\r\n\r\n"))
        await flooded(here, writer, request_)
        await eventually(lambda: not here.server.server_state.connections)
        await eventually(lambda: not here.server.server_state.tasks)


class Transport:
    """One on which a client takes so many bytes between two looks."""

    def __init__(self, taken):
        self.left, self.taken, self.aborted, self.looks = 1 << 20, taken, False, 0

    def set_write_buffer_limits(self, *, high):
        self.high = high

    def get_write_buffer_size(self):
        self.looks += 1
        self.left -= self.taken
        return self.left

    def abort(self):
        self.aborted = True


@pytest.mark.parametrize("taken", [0, 1])
async def test_a_client_that_reads_little_may(taken):
    transport = Transport(taken)
    unread = Unread(transport, 0)
    unread.begin()
    await eventually(lambda: transport.aborted or transport.looks > 10)
    assert transport.aborted == (taken == 0)
    unread.end()


async def test_a_connection_that_is_closing_is_not_held_open():
    """The last answer may be on its way when the server closes: a little of it that waits holds the connection."""
    async with stage(send_seconds=MOMENT) as here, here.raw() as (_, writer):
        await eventually(lambda: here.server.server_state.connections)
        (server,) = here.server.server_state.connections
        writer.transport.pause_reading()
        while not server.transport.get_write_buffer_size():
            server.transport.write(b"x" * 4096)
        server.transport.close()
        await eventually(lambda: not here.server.server_state.connections)
