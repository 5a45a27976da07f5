"""A load generator as lean as the upstream: clients are bare protocols on uvloop that look for a few markers in the bytes.

`python -m bench.load http://127.0.0.1:4000 burst --clients 64 --seconds 5` shows one run. Every client sends one request
after the other on a connection of its own. Times are seconds from the write of the request.

A request failed if its status is not 200, if its answer ends without its terminal event (or, not streamed, is not
completed), or if the connection breaks. A stream stalled if it was silent for longer than `STALL_SECONDS`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import re
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import cast
from urllib.parse import urlsplit

import uvloop

STALL_SECONDS = 1.0
SAMPLE_SECONDS = 0.1
TAIL = 40
"""Bytes kept of the last read: markers may be cut in two."""

_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)

TOOLS = [
    {
        "type": "function",
        "name": "write_file",
        "description": "Write a file.",
        "parameters": {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]},
    }
]


@dataclass(frozen=True)
class Dialect:
    """How one kind of endpoint is asked, and what its answers are known by."""

    path: str
    first: bytes
    last: bytes
    whole: bytes

    def body(self, model: str, *, stream: bool, store: bool) -> bytes:
        """The request."""
        raise NotImplementedError


class Responses(Dialect):
    """`POST /v1/responses`."""

    def body(self, model: str, *, stream: bool, store: bool) -> bytes:
        """The request, which lets the model think of a tool only where one is to be called."""
        asked = {"model": model, "input": "Say hello, please.", "stream": stream, "store": store}
        return json.dumps({**asked, "tools": TOOLS} if model == "toolcall" else asked).encode()


class Chat(Dialect):
    """`POST /v1/chat/completions`."""

    def body(self, model: str, *, stream: bool, store: bool) -> bytes:  # noqa: ARG002 -- nothing is stored
        """The request."""
        messages = [{"role": "user", "content": "Say hello, please."}]
        return json.dumps({"model": model, "messages": messages, "stream": stream}).encode()


RESPONSES = Responses(
    path="/v1/responses", first=b".delta", last=b'"response.completed"', whole=b'"completed"'
)
CHAT = Chat(
    path="/v1/chat/completions", first=b'"delta":{"', last=b"data: [DONE]", whole=b'"finish_reason": "stop"'
)
DIALECTS = {"responses": RESPONSES, "chat": CHAT}


@dataclass(frozen=True)
class Scenario:
    """What is asked, by how many clients, for how long.

    `ramp` spreads the clients' starts over so many seconds. It ends after `seconds`, or after `each` requests of every
    client; requests under way are awaited.
    """

    model: str
    clients: int
    stream: bool = True
    store: bool = False
    seconds: float | None = None
    each: int | None = None
    ramp: float = 0.0
    patience: float = 60.0
    """Seconds after which whatever is still open has failed."""


@dataclass
class Outcome:
    """What was measured. Times in seconds, memory in bytes."""

    elapsed: float = 0.0
    first: list[float] = field(default_factory=list)
    total: list[float] = field(default_factory=list)
    events: int = 0
    failed: int = 0
    stalled: int = 0
    longest_gap: float = 0.0
    most_open: int = 0
    rss_before: int = 0
    rss_peak: int = 0
    cpu: float = 0.0
    feeders: float = 0.0
    """Share of their core that the load and the upstream used."""

    @classmethod
    def of_all(cls, rounds: Sequence[Outcome]) -> Outcome:
        """Several runs of a scenario as one."""
        return cls(
            elapsed=sum(each.elapsed for each in rounds),
            first=[*chain.from_iterable(each.first for each in rounds)],
            total=[*chain.from_iterable(each.total for each in rounds)],
            events=sum(each.events for each in rounds),
            failed=sum(each.failed for each in rounds),
            stalled=sum(each.stalled for each in rounds),
            longest_gap=max(each.longest_gap for each in rounds),
            most_open=max(each.most_open for each in rounds),
            rss_before=rounds[0].rss_before,
            rss_peak=max(each.rss_peak for each in rounds),
            cpu=sum(each.cpu for each in rounds),
            feeders=statistics.fmean(each.feeders for each in rounds),
        )

    @property
    def done(self) -> int:
        """Requests that succeeded."""
        return len(self.total)

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.done / self.elapsed

    @property
    def cpu_each(self) -> float:
        """CPU seconds of a request."""
        return self.cpu / max(1, self.done + self.failed)


def percentile(values: list[float], percent: int) -> float:
    """The value below which so many percent lie; NaN of nothing."""
    if not values:
        return float("nan")
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


class Run:
    """One scenario under way."""

    def __init__(self, scenario: Scenario, dialect: Dialect, host: str, port: int) -> None:
        self.scenario = scenario
        self.host, self.port = host, port
        self.dialect = dialect
        self.outcome = Outcome()
        self.open = 0
        self.last = dialect.last if scenario.stream else dialect.whole
        self.request = _request(dialect, scenario, f"{host}:{port}")
        self.ends = float("inf")
        self.finished = asyncio.Event()
        self._clients = scenario.clients

    async def __call__(self, sample: Callable[[], None]) -> Outcome:
        """Let the clients begin, and wait for the last."""
        loop, began = asyncio.get_running_loop(), time.perf_counter()
        if self.scenario.seconds is not None:
            self.ends = began + self.scenario.seconds
        clients = [Client(self, self.scenario.each) for _ in range(self.scenario.clients)]
        for number, client in enumerate(clients):
            loop.call_later(self.scenario.ramp * number / len(clients), client.begin)
        deadline = began + self.scenario.ramp + (self.scenario.seconds or 0) + self.scenario.patience
        while not self.finished.is_set() and time.perf_counter() < deadline:
            sample()
            self.outcome.most_open = max(self.outcome.most_open, self.open)
            try:
                async with asyncio.timeout(SAMPLE_SECONDS):
                    await self.finished.wait()
            except TimeoutError:
                continue
        self.outcome.elapsed = time.perf_counter() - began
        for client in clients:
            client.leave()
        return self.outcome

    def over(self) -> None:
        """One client has done its share."""
        self._clients -= 1
        if not self._clients:
            self.finished.set()


def _request(dialect: Dialect, scenario: Scenario, host: str) -> bytes:
    body = dialect.body(scenario.model, stream=scenario.stream, store=scenario.store)
    head = (
        f"POST {dialect.path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer bench\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Client(asyncio.Protocol):
    """One client: a connection, and one request after the other on it."""

    def __init__(self, run: Run, each: int | None) -> None:
        self._run = run
        self._left = each
        self._transport: asyncio.Transport | None = None
        self._busy = False
        self._gone = False

    def begin(self) -> None:
        """Connect, then ask."""
        loop = asyncio.get_running_loop()
        self._connecting = loop.create_task(self._connect(loop))

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            await loop.create_connection(lambda: self, self._run.host, self._run.port)
        except OSError:
            self._run.outcome.failed += 1
            self._next()

    def leave(self) -> None:
        """Close the connection; a request that is under way has failed."""
        self._gone = True
        self._run.outcome.failed += self._busy
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's signature
        self._transport = None
        if self._gone:
            return
        if self._busy:
            self._end(good=self._ended and self._until_close)
        elif not self._over:
            self.begin()

    _over = False

    def _ask(self) -> None:
        assert self._transport is not None
        self._busy, self._ended, self._stalled, self._until_close = True, False, False, False
        self._head: bytes | None = b""
        self._length: int | None = None
        self._tail = b""
        self._first: float | None = None
        self._asked = self._read = time.perf_counter()
        self._run.open += 1
        self._transport.write(self._run.request)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        if self._head is not None:
            found = self._take_head(data)
            if found is None:
                return
            data = found
        else:
            self._watch(now - self._read)
        self._read = now
        self._take(data, now)

    def _take_head(self, data: bytes) -> bytes | None:
        """The first bytes of the body once the head has come."""
        assert self._head is not None
        head, found, body = (self._head + data).partition(b"\r\n\r\n")
        if not found:
            self._head = head
            return None
        self._head = None
        self._status = head[9:12]
        if length := _LENGTH.search(head):
            self._length = int(length[1])
        self._until_close = self._length is None and b"chunked" not in head.lower()
        return body

    def _watch(self, gap: float) -> None:
        outcome = self._run.outcome
        outcome.longest_gap = max(outcome.longest_gap, gap)
        if gap > STALL_SECONDS and not self._stalled:
            self._stalled = True
            outcome.stalled += 1

    def _take(self, data: bytes, now: float) -> None:
        window = self._tail + data
        run = self._run
        run.outcome.events += window.count(b"data: ") - self._tail.count(b"data: ")
        if self._first is None and run.dialect.first in window:
            self._first = now
        self._ended = self._ended or run.last in window
        self._tail = window[-TAIL:]
        if self._length is not None:
            self._length -= len(data)
        if self._length == 0 or (self._length is None and window.endswith(b"0\r\n\r\n")):
            self._end(good=self._ended and self._status == b"200", now=now)

    def _end(self, *, good: bool, now: float | None = None) -> None:
        outcome, now = self._run.outcome, now or time.perf_counter()
        self._busy = False
        self._run.open -= 1
        if good:
            outcome.total.append(now - self._asked)
            outcome.first.append((self._first or now) - self._asked)
        else:
            outcome.failed += 1
        self._next()

    def _next(self) -> None:
        """The next request, if there is one."""
        if self._left is not None:
            self._left -= 1
        if self._left == 0 or time.perf_counter() >= self._run.ends:
            self._over = True
            self._run.over()
        elif self._transport is None or self._transport.is_closing():
            asyncio.get_running_loop().call_later(0.01, self.begin)
        else:
            self._ask()


def no_sample() -> None:
    """Nobody is watched."""


def measure(
    url: str, scenario: Scenario, dialect: Dialect, sample: Callable[[], None] = no_sample
) -> Outcome:
    """Run a scenario; `sample` is called ten times a second."""
    place = urlsplit(url)
    assert place.hostname
    assert place.port

    async def go() -> Outcome:
        return await Run(scenario, dialect, str(place.hostname), place.port or 80)(sample)

    gc.collect()
    gc.disable()
    try:
        return uvloop.run(go())
    finally:
        gc.enable()


def shown(outcome: Outcome) -> str:
    """An outcome for people."""
    median = statistics.median(outcome.first) if outcome.first else float("nan")
    return (
        f"{outcome.done} done, {outcome.failed} failed, {outcome.stalled} stalled in {outcome.elapsed:.1f} s; "
        f"{outcome.rate:.0f} requests/s, {outcome.events / outcome.elapsed:.0f} events/s; first p50 "
        f"{median * 1000:.1f} ms, p99 {percentile(outcome.first, 99) * 1000:.1f} ms; total p50 "
        f"{percentile(outcome.total, 50) * 1000:.1f} ms, p99 {percentile(outcome.total, 99) * 1000:.1f} ms; "
        f"longest gap {outcome.longest_gap * 1000:.0f} ms; at most {outcome.most_open} open"
    )


def main() -> None:
    """One run, from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url", help="such as http://127.0.0.1:4000, without /v1")
    parser.add_argument("model", help="the mock upstream's: nonstream, burst, paced, toolcall")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--ramp", type=float, default=0.0, help="seconds over which the clients begin")
    parser.add_argument("--dialect", choices=DIALECTS, default="responses")
    given = parser.parse_args()
    stream = given.model != "nonstream"
    scenario = Scenario(given.model, given.clients, stream, seconds=given.seconds, ramp=given.ramp)
    print(shown(measure(given.url, scenario, DIALECTS[given.dialect])))


if __name__ == "__main__":
    main()
