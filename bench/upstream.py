"""A Chat Completions upstream that costs next to nothing: bytes made beforehand, written by a bare protocol on uvloop.

`python -m bench.upstream` listens on a free port of loopback and prints it. The model's name says what is answered:

- `nonstream`: a short answer, as JSON, or as one write of events if the request says `stream: true`;
- `burst`: 200 deltas as fast as they go, 20 events a write;
- `paced`: 100 deltas, one every 20 ms, the first at once. All streams share one timer, a wheel with a slot a millisecond;
- `toolcall`: one call with 1 MB of arguments in deltas of four characters, and `call`, one with 2 KB;
- `thoughts`: reasoning, then text; `flood`: 5,000 deltas of a hundred characters;
- a name of `bench.faults`: what an upstream does wrong.

Just enough HTTP/1.1: keep-alive, bodies by length or chunked, one request at a time on a connection. Nothing is checked:
`shim/simulator` is the upstream that does.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import re
import socket
import struct
from collections.abc import Sequence
from typing import cast

import uvloop

from bench.chunks import (
    PACE_SECONDS,
    SHORT_CALL_BYTES,
    burst,
    flood,
    paced,
    short_json,
    short_stream,
    thoughts,
    toolcall,
    whole,
)
from bench.faults import FAULTS, MOVED_TO, REFUSED_ONCE, Then, faulty
from bench.processes import pin

MODELS = ("nonstream", "burst", "paced", "toolcall")
FURTHER_MODELS = ("call", "thoughts", "flood")

RESET_SECONDS = 0.05
"""Time that what was written before a reset has to arrive: a reset overtakes it otherwise."""


class Answers:
    """Every answer, ready to write."""

    def __init__(self) -> None:
        served = [*MODELS, *FURTHER_MODELS, *(name for name in FAULTS if name != "unknown")]
        self.models = whole({"object": "list", "data": [{"id": name, "object": "model"} for name in served]})
        self.short_json, self.short_stream = short_json(), short_stream()
        self.burst, self.paced = burst(), paced()
        self.fed = {
            b"burst": self.burst,
            b"call": toolcall(SHORT_CALL_BYTES),
            b"thoughts": thoughts(),
            b"flood": flood(),
        }
        self.refused_once: set[int] = set()
        """Requests, by the hash of their body, whose next attempt is answered well."""
        self._toolcall: list[bytes] = []

    @property
    def toolcall(self) -> list[bytes]:
        """Some 50 MB, and so made when first asked for."""
        self._toolcall = self._toolcall or toolcall()
        return self._toolcall


# -- time ---------------------------------------------------------------------------------------------------------


class Wheel:
    """One timer for all paced streams: a stream stands in the slot of its first delta, and moves once a turn."""

    SLOT_SECONDS = 0.001

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: list[list[Connection]] = [[] for _ in range(round(PACE_SECONDS / self.SLOT_SECONDS))]
        self._place = 0
        self._streams = 0
        self._due = 0.0

    def add(self, stream: Connection) -> None:
        """Its next delta goes out in 20 ms."""
        if not self._streams:
            self._due = self._loop.time() + self.SLOT_SECONDS
            self._loop.call_later(self.SLOT_SECONDS, self._turn)
        self._streams += 1
        self._slots[self._place].append(stream)

    def _turn(self) -> None:
        now = self._loop.time()
        while self._due <= now:
            self._due += self.SLOT_SECONDS
            self._place = (self._place + 1) % len(self._slots)
            if slot := self._slots[self._place]:
                left = [stream for stream in slot if stream.advance()]
                self._streams -= len(slot) - len(left)
                self._slots[self._place] = left
        if self._streams:
            self._loop.call_later(self.SLOT_SECONDS, self._turn)


# -- connections --------------------------------------------------------------------------------------------------

_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:\s*chunked", re.IGNORECASE)
_MODEL = re.compile(rb'"model"\s*:\s*"(?:[^"/]*/)?([a-z]+)"')
_STREAM = re.compile(rb'"stream"\s*:\s*true')


class Connection(asyncio.Protocol):
    """One connection: a request, its answer, the next."""

    def __init__(self, answers: Answers, wheel: Wheel) -> None:
        self._answers = answers
        self._wheel = wheel
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._needed = 0
        self._writes: Sequence[bytes] = ()
        self._written = 0
        self._paused = False
        self._feeding = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's signature
        self._writes = ()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) < self._needed:
            return
        head = self._received.find(b"\r\n\r\n")
        if head >= 0 and self._is_whole(head):
            request, self._received, self._needed = bytes(self._received), bytearray(), 0
            self._answer(request)

    def _is_whole(self, head: int) -> bool:
        """Whether the request's body has come."""
        if length := _LENGTH.search(self._received, 0, head):
            self._needed = head + 4 + int(length[1])
            return len(self._received) >= self._needed
        if _CHUNKED.search(self._received, 0, head):
            return self._received.endswith(b"0\r\n\r\n")
        return True

    def _answer(self, request: bytes) -> None:
        model = _MODEL.search(request)
        name = model[1] if model else b""
        if request.startswith(b"GET"):
            self._transport.write(self._answers.models)
        elif name.decode() in FAULTS and not self._is_repeated(name.decode(), request):
            answer = faulty(name.decode())
            self._transport.write(answer.data)
            self._then(answer.then)
        elif writes := self._answers.fed.get(name):
            self._feed(writes)
        elif name == b"paced":
            self._writes, self._written = self._answers.paced, 0
            self.advance()
            self._wheel.add(self)
        elif name == b"toolcall":
            self._feed(self._answers.toolcall)
        else:
            stream = _STREAM.search(request)
            self._transport.write(self._answers.short_stream if stream else self._answers.short_json)

    def _is_repeated(self, name: str, request: bytes) -> bool:
        """Whether this is the second attempt of a request that is refused once only."""
        if name not in REFUSED_ONCE:
            return False
        head, _, body = request.partition(b"\r\n\r\n")
        if name == "moved":
            return MOVED_TO.encode() in head[:100]
        one = hash(body)
        if one in self._answers.refused_once:
            self._answers.refused_once.discard(one)
            return True
        self._answers.refused_once.add(one)
        return False

    def _then(self, then: Then) -> None:
        """What becomes of the connection after a faulty answer."""
        if then == "close":
            self._transport.close()
        elif then == "reset":
            self._loop.call_later(RESET_SECONDS, self._reset)

    def _reset(self) -> None:
        """End the connection with a reset: that is what closing means to a socket that may not linger."""
        if self._transport.is_closing():
            return
        with socket.socket(fileno=os.dup(self._transport.get_extra_info("socket").fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def advance(self) -> bool:
        """Write the next piece, if there is one; whether there are more."""
        if self._written < len(self._writes):
            self._transport.write(self._writes[self._written])
            self._written += 1
        return self._written < len(self._writes)

    def _feed(self, writes: Sequence[bytes]) -> None:
        self._writes, self._written = writes, 0
        self._step()

    def _step(self) -> None:
        """One write in each turn of the loop, as long as they are taken."""
        self._feeding = not self._paused and self.advance()
        if self._feeding:
            self._loop.call_soon(self._step)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if not self._feeding:
            self._step()


async def serve(port: int) -> None:
    """Answer until the process is ended."""
    answers, loop = Answers(), asyncio.get_running_loop()
    wheel = Wheel(loop)
    server = await loop.create_server(lambda: Connection(answers, wheel), "127.0.0.1", port, backlog=4096)
    gc.freeze()
    gc.disable()
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--core", type=int, help="the core to stay on")
    given = parser.parse_args()
    pin(given.core)
    uvloop.run(serve(given.port))


if __name__ == "__main__":
    main()
