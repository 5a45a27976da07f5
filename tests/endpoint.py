"""The endpoint with its own server, and a simulated Grid behind it, on the test's own loop."""

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn
from waiting import PATIENCE

from shim.cli import server
from shim.settings import Settings
from shim.simulator import DEFAULT_KEY, SimulatorConfig, running

MODEL = "code-prime"


@dataclass
class Endpoint:
    """A running endpoint, its upstream and its server."""

    port: int
    grid: Any
    server: uvicorn.Server

    @property
    def services(self):
        return self.server.config.app.services

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def http(self, key=None):
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return httpx.AsyncClient(
            base_url=f"http://{self.address}/v1", headers=headers, timeout=PATIENCE, trust_env=False
        )


@asynccontextmanager
async def serving(kind=Endpoint, config=None, **settings):
    """Serve both while the context is open; yields a `kind` of endpoint."""
    async with running(config or SimulatorConfig()) as grid:
        usual = {"upstream": grid.base_url, "key": DEFAULT_KEY, "seal_key": "tests", "store": "memory"}
        chosen = {**usual, "keepalive_seconds": 0, "retry_attempts": 1, **settings}
        with server.bind("127.0.0.1", 0) as listening:
            prepared = server.prepare(Settings(**chosen))
            prepared.load()
            started = uvicorn.Server(prepared)
            started.lifespan = prepared.lifespan_class(prepared)
            await started.startup(sockets=[listening])
            try:
                yield kind(listening.getsockname()[1], grid, started)
            finally:
                await started.shutdown(sockets=[listening])
