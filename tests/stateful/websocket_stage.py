"""The endpoint and a simulated Grid on the test's own loop, and WebSocket clients for the endpoint."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn
from websockets.asyncio.client import connect

from shim.cli import server
from shim.settings import Settings
from shim.simulator import DEFAULT_KEY, SimulatorConfig, running

MODEL = "code-prime"
PATIENCE = 20  # seconds until a wait gives up; only a test that has failed anyway gets there
ENDS = {"response.completed", "response.incomplete", "response.failed"}


async def soon(awaitable):
    return await asyncio.wait_for(awaitable, PATIENCE)


class Client:
    """One connection: JSON in, JSON out."""

    def __init__(self, socket):
        self.socket = socket

    async def create(self, text="say hello", **fields):
        fields = {"model": MODEL, "input": text, "store": False, **fields}
        await self.send({"type": "response.create", **fields})

    async def send(self, message):
        await self.socket.send(json.dumps(message))

    async def event(self):
        message = await soon(self.socket.recv())
        assert isinstance(message, str)
        return json.loads(message)

    async def events(self):
        """Everything up to the end of one response, or an error that ends none."""
        events = [await self.event()]
        while events[-1]["type"] not in ENDS and "status" not in events[-1]:
            events.append(await self.event())
        return events

    async def until(self, kind):
        """The next event of a type."""
        while (event := await self.event())["type"] != kind:
            pass
        return event

    async def turn(self, text="say hello", **fields):
        """Ask, and the response that ends the turn."""
        await self.create(text, **fields)
        end = (await self.events())[-1]
        return end.get("response") or end

    async def close_code(self):
        await soon(self.socket.wait_closed())
        return self.socket.close_code


@dataclass
class Stage:
    """A running endpoint, its upstream and its server."""

    url: str
    grid: Any
    server: uvicorn.Server

    @property
    def asked(self):
        """The messages of the last chat request that the model answered."""
        return self.grid.journal.served[-1].body["messages"]

    @asynccontextmanager
    async def connect(self, path="/v1/responses", **options):
        async with connect(f"ws{self.url}{path}", proxy=None, **options) as socket:
            yield Client(socket)

    def http(self):
        return httpx.AsyncClient(base_url=f"http{self.url}/v1", timeout=PATIENCE, trust_env=False)


@asynccontextmanager
async def stage(config=None, **settings):
    """Serve both while the context is open."""
    async with running(config or SimulatorConfig()) as grid:
        chosen = {
            "upstream": grid.base_url,
            "key": DEFAULT_KEY,
            "seal_key": "stateful",
            "store": "memory",
            "keepalive_seconds": 0,
            "retry_attempts": 1,
            **settings,
        }
        with server.bind("127.0.0.1", 0) as listening:
            prepared = server.prepare(Settings(**chosen))
            prepared.load()
            serving = uvicorn.Server(prepared)
            serving.lifespan = prepared.lifespan_class(prepared)
            await serving.startup(sockets=[listening])
            try:
                yield Stage(f"://127.0.0.1:{listening.getsockname()[1]}", grid, serving)
            finally:
                await serving.shutdown(sockets=[listening])
