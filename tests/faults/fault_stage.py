"""A shim as `grid-shim serve` serves it, an upstream that misbehaves byte for byte, and four ways to ask."""

import asyncio
import json
import re
import resource
import socket
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from grammar import TERMINAL, check
from served import Served
from upstream_loopback import HEAD, Server, chunk, reply, reset
from waiting import PATIENCE, until
from websockets.sync.client import connect

MODEL = "code-prime"
KEY = "sk-grid-0123456789"
HELLO = "Hello"
STALLED_SECONDS = 0.5
IMPATIENCE = 15.0  # seconds until a request counts as never answered

# -- what the upstream does, step by step --------------------------------------------------------------------------


@dataclass(frozen=True)
class Hang:
    """Say nothing more, and wait until the shim leaves."""


@dataclass(frozen=True)
class Reset:
    """Break the connection."""


@dataclass(frozen=True)
class Endless:
    """Send a piece again and again until the shim leaves, or so many bytes have been sent."""

    piece: bytes
    most: int = 1 << 40


Step = bytes | Hang | Reset | Endless


def says(*chunks: Any) -> bytes:
    """Chunks of a stream as server-sent events; text and bytes are taken as they are."""
    parts = []
    for each in chunks:
        text = each if isinstance(each, str | bytes) else json.dumps(each)
        parts.append(b"data: " + (text.encode() if isinstance(text, str) else text) + b"\n\n")
    return b"".join(parts)


def delta(finish=None, **fields):
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def call(index, call_id=None, name=None, arguments=""):
    function = {"arguments": arguments} | ({"name": name} if name else {})
    return {"index": index, "function": function} | ({"id": call_id} if call_id else {})


USAGE = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}
DONE = "[DONE]"
OVER = says(delta("stop"), USAGE, DONE)
LAST = b"0\r\n\r\n"
STARTED = HEAD + chunk(says(delta(content=HELLO)))
"""The head of an answer and its first words."""


def streamed(*parts: bytes) -> tuple[bytes, ...]:
    """A whole answer in chunked encoding."""
    return (HEAD, *(chunk(part) for part in parts), LAST)


WELL = streamed(says(delta(content=HELLO)), OVER)
MODELS = reply(200, {"data": [{"id": MODEL}]}, connection="close")


class Upstream:
    """Answers on one port of loopback as it is told next; `peer` remembers what it was asked."""

    def __init__(self, tls=None):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.peer = Server([self._answer], tls=tls)
        self.scripts: list[tuple[Step, ...]] = [WELL]
        self.sent, self.moved = 0, 0.0
        self.asked: list[bytes] = []
        self._run(self.peer.__aenter__())
        self.base_url = self.peer.url()

    @property
    def stalled(self):
        """Whether it has something to send, or nothing left, and nobody has taken any for a while."""
        return self.sent and time.monotonic() - self.moved > STALLED_SECONDS

    def _run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE)

    @property
    def open(self):
        """Connections that have not ended."""
        return self.peer.open

    def plays(self, *scripts):
        """Play these for the next requests, the last one for all others."""
        self.scripts, self.asked, self.sent = list(scripts), [], 0

    async def _answer(self, request, writer):
        if request.path.endswith("/models"):
            writer.write(MODELS)
            writer.close()
            return
        self.asked.append(request.body)
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        for step in script:
            await self._do(step, writer)
            if isinstance(step, Hang):
                return
        writer.close()

    async def _do(self, step, writer):
        match step:
            case bytes():
                await self._send(step, writer)
            case Reset():
                await reset(None, writer)
            case Endless():
                while self.sent < step.most:
                    await self._send(step.piece, writer)

    async def _send(self, data, writer):
        writer.write(data)
        await writer.drain()
        self.sent += len(data)
        self.moved = time.monotonic()
        await asyncio.sleep(0)

    @contextmanager
    def away(self):
        """Nobody listens."""
        self._run(self.peer.__aexit__())
        try:
            yield
        finally:
            self._run(self.peer.listen())

    @contextmanager
    def deaf(self):
        """Somebody listens but takes no connection: the system lets new ones wait in silence."""
        with self.away(), ExitStack() as sockets:
            full = sockets.enter_context(socket.socket())
            full.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            full.bind(("127.0.0.1", self.peer.port))
            full.listen(0)
            for _ in range(4):
                waiting = sockets.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(full.getsockname())
            yield

    @contextmanager
    def beside(self):
        """Another server on loopback, in clear, that answers well."""
        other = Server([b"".join(WELL)])
        self._run(other.__aenter__())
        try:
            yield other
        finally:
            self._run(other.__aexit__())

    def close(self):
        self._run(self.peer.__aexit__())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


# -- who asks ------------------------------------------------------------------------------------------------------


@dataclass
class Told:
    """What a client was told: a refusal (`status`, `error`), or `events`, or only the `response`."""

    status: int = 200
    error: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    events: list[dict[str, Any]] | None = None
    response: dict[str, Any] | None = None
    raw: bytes = b""


@dataclass
class Stage:
    """A running shim and its upstream."""

    shim: Served
    upstream: Upstream
    log: Any
    read: int = 0

    def news(self):
        """What was logged since the last time."""
        said = self.log.read_bytes()
        fresh, self.read = said[self.read :].decode(), len(said)
        return fresh

    def raw(self, *data: bytes, small: bool = False):
        """A connection on which these bytes were sent, and nothing was read; `small` takes little at a time."""
        sock = socket.socket()
        if small:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(PATIENCE)
        sock.connect(("127.0.0.1", self.shim.port))
        sock.sendall(b"".join(data))
        return sock

    @property
    def memory(self):
        """Resident bytes of the shim."""
        pages = Path(f"/proc/{self.shim.process.pid}/statm").read_text().split()[1]
        return int(pages) * resource.getpagesize()

    def begin_peak(self):
        """From here on `peak` counts; whether it does, as not every system can begin anew."""
        try:
            Path(f"/proc/{self.shim.process.pid}/clear_refs").write_text("5")
        except OSError:
            return False
        return True

    @property
    def peak(self):
        """The most resident bytes of the shim since `begin_peak`."""
        said = Path(f"/proc/{self.shim.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s*(\d+) kB", said)[1]) << 10

    def ask(self, kind, **fields):
        return KINDS[kind](self, {"model": MODEL, "input": "hi", **fields})


def events_of(raw: bytes) -> list[dict[str, Any]]:
    """The events of a stream; fails unless every reader of lines sees the same ones."""
    text = raw.decode()
    blocks = text.split("\n\n")
    assert blocks.pop() == "", "the last event is cut"
    assert text.splitlines() == text.split("\n")[:-1], "a line ends where some readers see none"
    events = []
    for block in blocks:
        first, second = block.split("\n")
        event = json.loads(second.removeprefix("data: "))
        assert first == f"event: {event['type']}"
        events.append(event)
    return events


def post(line=b"POST /v1/responses HTTP/1.1", headers=b"", body=None, **fields):
    """The bytes of a request; its length is said unless it is chunked."""
    if body is None:
        body = json.dumps({"model": MODEL, "input": "hi", **fields}).encode()
    length = b"" if b"chunked" in headers else b"content-length: %d\r\n" % len(body)
    common = b"host: localhost\r\nauthorization: Bearer alice\r\ncontent-type: application/json\r\n"
    return line + b"\r\n" + common + length + headers + b"\r\n" + body


def rest_of(sock):
    """All that comes until the connection ends."""
    parts = []
    while data := sock.recv(1 << 16):
        parts.append(data)
    return b"".join(parts)


def answers_in(data):
    """Status and body of each answer; interim ones are passed over."""
    found = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        status, lower = int(head.split(b" ")[1]), head.lower()
        if status < 200:
            continue
        if b"chunked" in lower:
            parts = []
            while True:
                size, _, data = data.partition(b"\r\n")
                part, data = data[: int(size, 16)], data[int(size, 16) + 2 :]
                if not part:
                    break
                parts.append(part)
            found.append((status, b"".join(parts)))
        else:
            length = int(re.search(rb"content-length: (\d+)", lower)[1])
            found.append((status, data[:length]))
            data = data[length:]
    return found


def _refused(answer):
    return Told(answer.status_code, answer.json()["error"], dict(answer.headers))


def _plain(stage, body):
    answer = stage.shim.http.post("/responses", json=body)
    if answer.status_code != httpx.codes.OK:
        return _refused(answer)
    return Told(headers=dict(answer.headers), response=answer.json(), raw=answer.content)


def _streamed(answer):
    if answer.status_code != httpx.codes.OK:
        return _refused(answer)
    events = events_of(answer.content)
    check(events)
    return Told(headers=dict(answer.headers), events=events, raw=answer.content)


def _stream(stage, body):
    return _streamed(stage.shim.http.post("/responses", json={**body, "stream": True}))


def _background(stage, body):
    answer = stage.shim.http.post("/responses", json={**body, "background": True, "stream": True})
    assert answer.status_code == httpx.codes.OK, answer.text
    events = events_of(answer.content)
    check(events, background=True)
    stored = stage.shim.http.get(f"/responses/{events[0]['response']['id']}").json()
    assert stored == events[-1]["response"]
    return Told(headers=dict(answer.headers), events=events, raw=answer.content)


def _websocket(stage, body):
    url = f"ws://127.0.0.1:{stage.shim.port}/v1/responses"
    with connect(url, proxy=None, max_size=None, additional_headers={"authorization": "Bearer alice"}) as ws:
        ws.send(json.dumps({"type": "response.create", **body}))
        events = [json.loads(ws.recv(PATIENCE))]
        while events[-1]["type"] not in TERMINAL and "status" not in events[-1]:
            events.append(json.loads(ws.recv(PATIENCE)))
        ws.send(json.dumps({"type": "response.create", **body, "previous_response_id": "resp_none"}))
        after = json.loads(ws.recv(PATIENCE))  # whatever still came of the first would come before it
        assert (after["type"], after["error"]["code"]) == ("error", "previous_response_not_found")
    if "status" in events[-1]:
        assert len(events) == 1
        return Told(events[0]["status"], events[0]["error"])
    check(events)
    return Told(events=events)


KINDS = {"plain": _plain, "stream": _stream, "background": _background, "websocket": _websocket}
SETTINGS = {
    "key": KEY,
    "store": "memory",
    "connect_seconds": 0.4,
    "header_seconds": 20,
    "read_seconds": 20,
    "retry_attempts": 2,
    "retry_seconds": 1,
    "keepalive_seconds": 0,
    "catalog_seconds": 3600,
}
BAD_WORDS = ("Traceback", "never retrieved", "never awaited", "unclosed", "was destroyed", "ERROR", KEY)
"""What the log never says, whatever an upstream or a client does."""


@contextmanager
def running(folder, authority=None, **settings):
    """Serve while the context is open; the log must have stayed clean. With an authority the upstream speaks TLS."""
    upstream = Upstream(authority and authority.server())
    trusted = {"SSL_CERT_FILE": str(authority.file)} if authority else {}
    path = folder / "log"
    with path.open("wb") as log:
        shim = Served(upstream.base_url, log, variables=trusted, **{**SETTINGS, **settings})
    shim.http.timeout = IMPATIENCE
    stage = Stage(shim, upstream, path)
    try:
        until(shim.up)
        yield stage
        shim.stop()
        shim.process.wait(PATIENCE)
        assert not [word for word in BAD_WORDS if word in stage.log.read_text()]
    finally:
        shim.close()
        upstream.close()
