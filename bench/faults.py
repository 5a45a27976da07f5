"""What an upstream does wrong, by the name of the model that is asked for: bytes, and what becomes of the connection.

`bench.upstream` answers so where a request names one of `FAULTS`:

- before an answer: `refused` (redirected to a port where nobody listens), `dropped`, `mute` (never a word), `noise` (no HTTP),
  `broken` (500), `gateway` (502 with a page), `unknown` (404), `page` (200, but for people);
- once, and then a good answer: `limited` (429), `failing` (500), `busy` (503), and `moved`, a redirect that leads to one;
- within a stream, after some words: `reset` within a chunk, `cut` and `half` (the body ends well, without a finish reason or
  within an event), `silent` for good, `error` (an error object), `garbage` (an event that is no JSON);
- nothing wrong, but unusual: `huge`, one delta of a megabyte.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from functools import cache
from typing import Literal

from bench.chunks import STREAM_HEAD, chunk, ending, event, framed, opening, whole

Then = Literal["keep", "close", "reset", "hang"]
"""What becomes of the connection: kept for the next request, ended, reset, or kept open without another byte."""

REFUSED_ONCE = ("limited", "failing", "busy", "moved")
FAULTS = (
    *("refused", "dropped", "mute", "noise", "broken", "gateway", "unknown", "page"),
    *REFUSED_ONCE,
    *("reset", "cut", "half", "silent", "error", "garbage", "huge"),
)

HUGE_BYTES = 1 << 20
PAGE = b"<!doctype html><html><head><title>Bad gateway</title></head><body>Try again.</body></html>"
MOVED_TO = "/r/v1/chat/completions"


@dataclass(frozen=True)
class Faulty:
    """A faulty answer."""

    data: bytes
    then: Then = "keep"


@cache
def faulty(name: str) -> Faulty:
    """The answer to a model's name."""
    return _before(name) or _within(name)


def _before(name: str) -> Faulty | None:
    failed = {"message": "The supplier's machine is gone.", "type": "server_error", "code": None}
    answers = {
        "refused": Faulty(_redirect(f"http://127.0.0.1:{closed_port()}/v1/chat/completions")),
        "moved": Faulty(_redirect(MOVED_TO)),
        "dropped": Faulty(b"", "close"),
        "mute": Faulty(b"", "hang"),
        "noise": Faulty(b"\x16\x03\x01\x02 this is not HTTP\r\n\r\n", "close"),
        "broken": Faulty(_refusal("500 Internal Server Error", failed)),
        "failing": Faulty(_refusal("500 Internal Server Error", failed)),
        "busy": Faulty(_refusal("503 Service Unavailable", {"message": "Balance is being topped up."})),
        "limited": Faulty(
            _refusal("429 Too Many Requests", {"message": "Too many."}, b"retry-after-ms: 50\r\n")
        ),
        "unknown": Faulty(_refusal("404 Not Found", {"message": "Unknown instrument."})),
        "gateway": Faulty(_page(b"502 Bad Gateway")),
        "page": Faulty(_page(b"200 OK")),
    }
    return answers.get(name)


def _within(name: str) -> Faulty:
    begun = b"".join([opening(name), *(chunk(name, {"content": f" word{number}"}) for number in range(20))])
    data = STREAM_HEAD + framed(begun)
    end = b"0\r\n\r\n"
    error = {"message": "The supplier's machine is gone.", "type": "server_error", "code": None}
    answers = {
        "reset": Faulty(data + b'1000\r\ndata: {"id":"chatcm', "reset"),
        "cut": Faulty(data + end),
        "half": Faulty(data + framed(chunk(name, {"content": " and"})[:-20]) + end),
        "silent": Faulty(data, "hang"),
        "error": Faulty(data + framed(event({"error": error})) + end),
        "garbage": Faulty(data + framed(b"data: {\xff\xfe: [nonsense\n\n") + framed(ending(name)) + end),
        "huge": Faulty(data + framed(chunk(name, {"content": "x" * HUGE_BYTES}) + ending(name)) + end),
    }
    return answers[name]


def _refusal(status: str, error: object, header: bytes = b"") -> bytes:
    """An error in The Grid's envelope or OpenAI's: both are understood."""
    return whole({"error": error}, status.encode(), header)


def _redirect(place: str) -> bytes:
    return f"HTTP/1.1 307 Temporary Redirect\r\nlocation: {place}\r\ncontent-length: 0\r\n\r\n".encode()


def _page(status: bytes) -> bytes:
    head = b"HTTP/1.1 %b\r\ncontent-type: text/html\r\ncontent-length: %d\r\n\r\n"
    return head % (status, len(PAGE)) + PAGE


_held: list[socket.socket] = []


def closed_port() -> int:
    """A port that is taken, and where nobody listens: connections are refused for as long as this process lives."""
    if not _held:
        taken = socket.socket()
        taken.bind(("127.0.0.1", 0))
        _held.append(taken)
    port: int = _held[0].getsockname()[1]
    return port
