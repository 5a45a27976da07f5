"""The endpoint with its own server on loopback, a simulated Grid behind it, and raw connections to it."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn

from shim.cli import server
from shim.settings import Settings
from shim.simulator import DEFAULT_KEY, SimulatorConfig, running

MODEL = "code-prime"
PATIENCE = 20  # seconds until a wait gives up; only a test that has failed anyway gets there


async def soon(awaitable):
    return await asyncio.wait_for(awaitable, PATIENCE)


async def until(holds):
    """Wait for what another task brings about."""
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 -- there is nothing to be woken by
            await asyncio.sleep(0.005)


@dataclass
class Stage:
    """A running endpoint, its upstream and its server."""

    port: int
    grid: Any
    server: uvicorn.Server

    @property
    def services(self):
        return self.server.config.app.state.services

    @property
    def url(self):
        return f"127.0.0.1:{self.port}/v1"

    def http(self, key="somebody"):
        headers = {"authorization": f"Bearer {key}"}
        return httpx.AsyncClient(
            base_url=f"http://{self.url}", headers=headers, timeout=PATIENCE, trust_env=False
        )

    @asynccontextmanager
    async def raw(self, data=b""):
        """A connection on which `data` was sent."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            yield reader, writer
        finally:
            writer.close()


@asynccontextmanager
async def stage(config=None, **settings):
    """Serve both while the context is open."""
    async with running(config or SimulatorConfig()) as grid:
        usual = {"upstream": grid.base_url, "key": DEFAULT_KEY, "seal_key": "limits", "store": "memory"}
        chosen = {**usual, "keepalive_seconds": 0, "retry_attempts": 1, **settings}
        with server.bind("127.0.0.1", 0) as listening:
            prepared = server.prepare(Settings(**chosen))
            prepared.load()
            serving = uvicorn.Server(prepared)
            serving.lifespan = prepared.lifespan_class(prepared)
            await serving.startup(sockets=[listening])
            try:
                yield Stage(listening.getsockname()[1], grid, serving)
            finally:
                await serving.shutdown(sockets=[listening])


def ask(text="say hi", **fields):
    """A request's body."""
    return {"model": MODEL, "input": text, "store": False, **fields}


def head(*lines, method="POST", path="/v1/responses"):
    """The bytes of a request's head."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "host: localhost", *lines, "", ""]).encode()


async def answer(reader):
    """The status and body of one answer, as text."""
    told = (await soon(reader.readuntil(b"\r\n\r\n"))).decode()
    status, _, rest = told.removeprefix("HTTP/1.1 ").partition(" ")
    length = next(line for line in rest.lower().splitlines() if line.startswith("content-length"))
    body = await soon(reader.readexactly(int(length.partition(":")[2])))
    return int(status), rest.lower(), body.decode()


async def closed(reader):
    """Whether the server has closed the connection; a reset is one way to."""
    try:
        return await soon(reader.read()) == b""
    except ConnectionError:
        return True
