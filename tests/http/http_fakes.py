"""Fakes with the exchange's and the upstream's signatures, and a server to put them behind."""

import asyncio
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import httpx
import uvicorn

from shim.ambient import Ambient
from shim.core.profile import Instrument
from shim.exchange import Summary
from shim.store.off import OffStore

PATIENCE = 10  # seconds until a test that waits for an event gives up


async def soon(awaitable):
    """The result of something that must happen; a timeout only ends a test that has failed anyway."""
    return await asyncio.wait_for(awaitable, PATIENCE)


class FakeTurn:
    """A turn that follows a script: bytes are sent, events are waited for, exceptions are raised."""

    def __init__(self, *script, stream=True, headers=None, body=None, summary=None):
        self.script = script
        self.stream = stream
        self.headers = headers or {}
        self.body = body if body is not None else {"id": "resp_1", "object": "response"}
        self.summary = summary or Summary(model="gpt-5")
        self.beats = 0
        self.enough_beats = asyncio.Event()
        self.beats_wanted = 3
        self.closings = 0
        self.closed = asyncio.Event()
        self.closing_waits_for = None
        self.waiting = asyncio.Event()
        self.outlet = None

    def ahead(self, outlet):
        self.outlet = outlet

    @property
    def events(self):
        """The stream that has it told ahead."""
        return self.outlet.__self__

    async def _follow(self, step):
        if isinstance(step, asyncio.Event):
            self.waiting.set()
            await step.wait()
        elif isinstance(step, BaseException):
            raise step

    async def read(self):
        for step in self.steps:
            await self._follow(step)
            if isinstance(step, bytes):
                return step
        return None

    @cached_property
    def steps(self):
        return iter(self.script)

    async def response(self):
        for step in self.script:
            await self._follow(step)
        return self.body

    def heartbeat(self):
        self.beats += 1
        if self.beats >= self.beats_wanted:
            self.enough_beats.set()
        return b"data: beat %d\n\n" % self.beats

    async def aclose(self):
        self.closings += 1
        if self.closing_waits_for:
            await self.closing_waits_for.wait()
        self.closed.set()


@dataclass
class FakeExchange:
    """Opens the turns it was given, one after the other."""

    turns: list[Any] = field(default_factory=list)
    opened: list[tuple[dict, str | None, str]] = field(default_factory=list)
    opening: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    store: OffStore = field(default_factory=OffStore)
    source: Ambient = field(default_factory=Ambient)

    async def start(self):
        pass

    def owner(self, caller):
        return caller.identity

    async def open(self, body, caller, request_id):
        self.opened.append((body, caller.key, request_id))
        turn = self.turns.pop(0) if self.turns else FakeTurn(stream=bool(body.get("stream")))
        if isinstance(turn, BaseException):
            raise turn
        if isinstance(turn, asyncio.Event):
            self.opening.set()
            try:
                await turn.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        return turn


@dataclass
class FakeReply:
    """What `Upstream.forward` gives back."""

    script: tuple = ()
    status: int = 200
    content_type: str = "application/json"
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    closings: int = 0

    async def __aiter__(self):
        for step in self.script:
            if isinstance(step, asyncio.Event):
                self.waiting.set()
                await step.wait()
            elif isinstance(step, BaseException):
                raise step
            else:
                yield step

    async def aclose(self):
        self.closings += 1
        self.closed.set()


@dataclass
class FakeCatalog:
    instruments: tuple[Instrument, ...]
    fallback: bool = False
    stale: bool = False

    def get(self, name):
        return next((each for each in self.instruments if each.id == name), None)


@dataclass
class FakeUpstream:
    """A catalog of two instruments and a chat endpoint that answers as told."""

    base_url: str = "http://upstream.test/v1"
    fallback: bool = False
    stale: bool = False
    refused: dict[str | None, int] = field(default_factory=dict)
    failure: Exception | None = None
    reply: FakeReply = field(default_factory=lambda: FakeReply((b'{"chat":true}',)))
    forwarded: list[tuple[bytes, str | None, str]] = field(default_factory=list)
    catalogs: list[str | None] = field(default_factory=list)
    closings: int = 0

    async def catalog(self, key):
        self.catalogs.append(key)
        if self.failure:
            raise self.failure
        instruments = (Instrument("code-prime", context_window=128_000), Instrument("lab/agent", created=7))
        return FakeCatalog(instruments, self.fallback, self.stale)

    def catalog_failure(self, key):
        return self.refused.get(key)

    async def forward(self, body, key, accept):
        self.forwarded.append((body, key, accept))
        if self.failure:
            raise self.failure
        return self.reply

    async def aclose(self):
        self.closings += 1


def _client(url):
    """A client whose bodies, however they are made, are said to be JSON."""
    json = {"content-type": "application/json"}
    return httpx.AsyncClient(base_url=url, headers=json, timeout=PATIENCE, trust_env=False)


@asynccontextmanager
async def serving(app, **how):
    """`app` behind uvicorn on a free port, and a client for it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, **{"lifespan": "on", "log_config": None, "access_log": False, **how})
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.startup(sockets=[listener])
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            async with _client(url) as client:
                yield client
        finally:
            await server.shutdown(sockets=[listener])


@asynccontextmanager
async def raw_request(client, text):
    """The socket after sending `text`, for what an HTTP client hides."""
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    try:
        writer.write(text)
        await writer.drain()
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


def post(path, body):
    """The bytes of a POST request."""
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
