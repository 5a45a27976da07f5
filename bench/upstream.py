"""A Chat Completions upstream that costs next to nothing: bytes made beforehand, written by a bare protocol on uvloop.

`python -m bench.upstream` listens on a free port of loopback and prints it. The model's name says what is answered:

- `nonstream`: a short answer, as JSON, or as one write of events if the request says `stream: true`;
- `burst`: 200 deltas as fast as they go, 20 events a write;
- `paced`: 100 deltas, one every 20 ms, the first at once. All streams share one timer, a wheel with a slot a millisecond;
- `toolcall`: one call with 1 MB of arguments in deltas of four characters.

Just enough HTTP/1.1: keep-alive, bodies by length or chunked, one request at a time on a connection. Nothing is checked:
`shim/simulator` is the upstream that does.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import re
from collections.abc import Sequence
from typing import cast

import uvloop

from bench.processes import pin

MODELS = ("nonstream", "burst", "paced", "toolcall")

BURST_DELTAS = 200
PACED_DELTAS = 100
PACE_SECONDS = 0.02
TOOL_BYTES = 1 << 20
TOOL_DELTA = 4
"""Characters of one delta of tool arguments."""
EVENTS_A_WRITE = 20
TOOL_EVENTS_A_WRITE = 256

TOOL_NAME = "write_file"
ANSWER = ("Hello", "!", " How", " can", " I", " help", " you", " today", "?")
USAGE = {"prompt_tokens": 12, "completion_tokens": 9, "total_tokens": 21}

# -- bytes, made once ---------------------------------------------------------------------------------------------

STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


def whole(value: object) -> bytes:
    """A complete HTTP answer of JSON."""
    body = json.dumps(value).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )


def chunk(model: str, delta: object, finish: str | None = None) -> bytes:
    """One event of a chat completion stream."""
    return event(
        {
            "id": "chatcmpl-0123456789abcdef",
            "object": "chat.completion.chunk",
            "created": 1_760_000_000,
            "model": model,
            "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
        }
    )


def event(value: object) -> bytes:
    """One server-sent event."""
    return b"data: %b\n\n" % json.dumps(value, separators=(",", ":")).encode()


def opening(model: str) -> bytes:
    """The event that names the role."""
    return chunk(model, {"role": "assistant", "content": ""})


def ending(model: str, finish: str = "stop") -> bytes:
    """The finish reason, the usage and `[DONE]`."""
    usage = {"id": "chatcmpl-0123456789abcdef", "object": "chat.completion.chunk", "created": 1_760_000_000}
    last = event({**usage, "model": model, "choices": [], "usage": USAGE})
    return chunk(model, {}, finish) + last + b"data: [DONE]\n\n"


def framed(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def words(count: int) -> Sequence[str]:
    """Deltas of text."""
    return [f" word{number % 100:02d}" for number in range(count)]


def short_stream() -> bytes:
    """The short answer as a whole streamed HTTP answer."""
    events = [opening("nonstream"), *(chunk("nonstream", {"content": word}) for word in ANSWER)]
    return STREAM_HEAD + framed(b"".join(events) + ending("nonstream")) + b"0\r\n\r\n"


def short_json() -> bytes:
    """The short answer as JSON."""
    message = {"role": "assistant", "content": "".join(ANSWER)}
    return whole(
        {
            "id": "chatcmpl-0123456789abcdef",
            "object": "chat.completion",
            "created": 1_760_000_000,
            "model": "nonstream",
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
            "usage": USAGE,
        }
    )


def burst() -> list[bytes]:
    """The writes of a burst."""
    deltas = [chunk("burst", {"content": word}) for word in words(BURST_DELTAS)]
    deltas[0] = opening("burst") + deltas[0]
    deltas[-1] += ending("burst")
    return framed_writes(deltas, EVENTS_A_WRITE)


def paced() -> list[bytes]:
    """The writes of a paced stream, one each 20 ms."""
    deltas = [chunk("paced", {"content": word}) for word in words(PACED_DELTAS)]
    deltas[0] = opening("paced") + deltas[0]
    deltas[-1] += ending("paced")
    return framed_writes(deltas, 1)


def toolcall(size: int = TOOL_BYTES) -> list[bytes]:
    """The writes of a call with so many bytes of arguments."""
    function = {"name": TOOL_NAME, "arguments": ""}
    start = {"index": 0, "id": "call_0123456789", "type": "function", "function": function}
    deltas = [chunk("toolcall", {"tool_calls": [start]})]
    deltas += [
        chunk("toolcall", {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
        for piece in pieces(size)
    ]
    deltas[0] = opening("toolcall") + deltas[0]
    deltas[-1] += ending("toolcall", "tool_calls")
    return framed_writes(deltas, TOOL_EVENTS_A_WRITE)


def pieces(size: int) -> list[str]:
    """JSON arguments of about so many bytes, cut into deltas."""
    line = "    total = total + row[3]  # what was sold\n"
    text = json.dumps({"input": line * (size // (len(line) + 1))})
    return [text[start : start + TOOL_DELTA] for start in range(0, len(text), TOOL_DELTA)]


def framed_writes(events: Sequence[bytes], each: int) -> list[bytes]:
    """Writes of so many events each; the first brings the head of the answer, the last the end of its body."""
    writes = [framed(b"".join(events[start : start + each])) for start in range(0, len(events), each)]
    writes[0] = STREAM_HEAD + writes[0]
    writes[-1] += b"0\r\n\r\n"
    return writes


class Answers:
    """Every answer, ready to write."""

    def __init__(self) -> None:
        self.models = whole({"object": "list", "data": [{"id": name, "object": "model"} for name in MODELS]})
        self.short_json, self.short_stream = short_json(), short_stream()
        self.burst, self.paced = burst(), paced()
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
        elif name == b"burst":
            self._feed(self._answers.burst)
        elif name == b"paced":
            self._writes, self._written = self._answers.paced, 0
            self.advance()
            self._wheel.add(self)
        elif name == b"toolcall":
            self._feed(self._answers.toolcall)
        else:
            stream = _STREAM.search(request)
            self._transport.write(self._answers.short_stream if stream else self._answers.short_json)

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
