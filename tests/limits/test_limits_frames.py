"""WebSocket frames that cost their sender next to nothing: none makes the server hold more and more."""

import json

from limits_stage import ask, head, stage
from waiting import eventually, soon
from websockets.frames import Frame, Opcode

from shim.http.draining import MOST_FRAGMENTS, DrainingProtocol

HANDSHAKE = head(
    "upgrade: websocket",
    "connection: upgrade",
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-version: 13",
    method="GET",
)
MESSAGE = json.dumps({"type": "response.create", **ask()}).encode()
PING = b"\x89\xfd\0\0\0\0" + b"p" * 125
ANSWERED = b'"response.completed"'


def frame(data, *, opcode, fin=True):
    return Frame(opcode, data, fin=fin).serialize(mask=True)


def only(here):
    """The server's side of the only WebSocket."""
    (found,) = (one for one in here.server.server_state.connections if isinstance(one, DrainingProtocol))
    return found


async def accepted(reader):
    assert b" 101 " in await soon(reader.readuntil(b"\r\n\r\n"))


async def test_pings_of_a_client_that_does_not_read_are_not_kept():
    """Each pong would else wait in memory, as many as a client cares to ask for."""
    flood = PING * 2000
    async with stage() as here, here.raw(HANDSHAKE) as (reader, writer):
        await accepted(reader)
        server = only(here)
        writer.transport.pause_reading()
        while server.writable.is_set():
            writer.write(flood)
            await soon(writer.drain())
        for _ in range(40):
            writer.write(flood)
            await soon(writer.drain())
        writer.write(frame(MESSAGE, opcode=Opcode.TEXT))
        await eventually(lambda: here.services.slots.busy == 1)  # what came before it was heard
        assert server.transport.get_write_buffer_size() < 1 << 20
        writer.transport.resume_reading()
        told = b""
        while ANSWERED not in told[-10_000:]:
            told += await soon(reader.read(1 << 20))
        writer.write(b"\x89\x84\0\0\0\0last")
        while b"\x8a\x04last" not in told[-10_000:]:
            told += await soon(reader.read(1 << 20))


async def test_the_newest_pings_are_answered_once_the_client_reads():
    async with stage() as here, here.raw(HANDSHAKE) as (reader, writer):
        await accepted(reader)
        server = only(here)
        server.pause_writing()
        for name in (b"first", b"last!"):
            writer.write(frame(name, opcode=Opcode.PING))
            await eventually(lambda name=name: name in server._pongs)
        assert not server.transport.get_write_buffer_size()
        server.resume_writing()
        assert await soon(reader.readexactly(7)) == b"\x8a\x05last!"


async def test_a_message_in_very_many_fragments_is_held_in_few():
    half = len(MESSAGE) // 2
    empty = frame(b"", opcode=Opcode.CONT, fin=False)
    async with stage() as here, here.raw(HANDSHAKE) as (reader, writer):
        await accepted(reader)
        writer.write(frame(MESSAGE[:half], opcode=Opcode.TEXT, fin=False) + empty * (2 * MOST_FRAGMENTS))
        writer.write(b"\x89\x84\0\0\0\0here")
        await soon(reader.readuntil(b"here"))  # what came before it was heard
        assert len(only(here).frames) <= MOST_FRAGMENTS
        writer.write(frame(MESSAGE[half:], opcode=Opcode.CONT))
        await soon(reader.readuntil(ANSWERED))
