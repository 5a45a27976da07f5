"""Answers of a chat completion upstream, as the bytes that go over the wire: made once, written many times."""

from __future__ import annotations

import json
from collections.abc import Sequence

BURST_DELTAS = 200
PACED_DELTAS = 100
FLOOD_DELTAS = 5000
PACE_SECONDS = 0.02
TOOL_BYTES = 1 << 20
TOOL_DELTA = 4
"""Characters of one delta of tool arguments."""
EVENTS_A_WRITE = 20
TOOL_EVENTS_A_WRITE = 256
SHORT_CALL_BYTES = 2 << 10

TOOL_NAME = "write_file"
ANSWER = ("Hello", "!", " How", " can", " I", " help", " you", " today", "?")
USAGE = {"prompt_tokens": 12, "completion_tokens": 9, "total_tokens": 21}

STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


def whole(value: object, status: bytes = b"200 OK", header: bytes = b"") -> bytes:
    """A complete HTTP answer of JSON; `header` is a further line with its end."""
    body = json.dumps(value).encode()
    head = b"HTTP/1.1 %b\r\n%bcontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % (status, header, len(body)) + body


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


def flood() -> list[bytes]:
    """The writes of a long answer, more than what the sockets on the way take in."""
    deltas = [chunk("flood", {"content": f" {'word ' * 20}"}) for _ in range(FLOOD_DELTAS)]
    deltas[0] = opening("flood") + deltas[0]
    deltas[-1] += ending("flood")
    return framed_writes(deltas, EVENTS_A_WRITE)


def thoughts() -> list[bytes]:
    """The writes of an answer after some reasoning."""
    deltas = [chunk("thoughts", {"reasoning_content": word}) for word in words(40)]
    deltas += [chunk("thoughts", {"content": word}) for word in words(20)]
    deltas[-1] += ending("thoughts")
    return framed_writes(deltas, EVENTS_A_WRITE)


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
