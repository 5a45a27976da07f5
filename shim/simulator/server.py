"""The simulator on loopback: uvicorn in this process, on the running loop or on a thread of its own.

Two sockets serve one application, so that a redirect can lead to another origin. No signal handlers, no logs,
and no wait at the end: open connections are dropped.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from shim.simulator.app import Grid, create_simulator
from shim.simulator.config import SimulatorConfig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from starlette.applications import Starlette

    from shim.simulator.config import Turn
    from shim.simulator.journal import Journal


@dataclass(frozen=True)
class RunningSimulator:
    """A simulated Grid that answers on loopback.

    Attributes:
        base_url: What clients configure, such as `http://127.0.0.1:1234/v1`.
        supplier_base_url: The second port, where the `port` redirect leads.
        config: Its configuration; `turns` and `fail_first` may be appended to.
        journal: The requests received.
    """

    base_url: str
    supplier_base_url: str
    config: SimulatorConfig
    journal: Journal

    @property
    def turns(self) -> list[Turn]:
        """The turns still to be said; append at any time."""
        return self.config.turns


@asynccontextmanager
async def running(
    config: SimulatorConfig | None = None, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[RunningSimulator]:
    """Serve a simulated Grid on the running loop while the context is open.

    Args:
        config: What it is told; None takes the defaults.
        host: Address to listen at.
        port: Port to listen at; 0 takes a free one.
    """
    app = create_simulator(config)
    sockets = [_listen(host, port), _listen(host, 0)]
    server = _Server(app)
    serving = asyncio.create_task(server.serve(sockets))
    try:
        await server.ready.wait()
        yield _described(app, sockets)
    finally:
        server.stop.set()
        await serving


@contextmanager
def run_in_thread(
    config: SimulatorConfig | None = None, host: str = "127.0.0.1", port: int = 0
) -> Iterator[RunningSimulator]:
    """Serve a simulated Grid on a thread of its own while the context is open; arguments as for `running`."""
    thread = _ServingThread(config, host, port)
    thread.start()
    thread.settled.wait()
    try:
        if thread.simulator is None:
            raise RuntimeError(f"The simulator cannot listen at {host}:{port}.") from thread.failure
        yield thread.simulator
    finally:
        thread.stop()
        thread.join()


class _ServingThread(threading.Thread):
    """A thread with a loop that does nothing but serve."""

    def __init__(self, config: SimulatorConfig | None, host: str, port: int) -> None:
        super().__init__(name="grid-simulator", daemon=True)
        self.settled = threading.Event()
        self.simulator: RunningSimulator | None = None
        self.failure: OSError | None = None
        self._arguments = (config, host, port)
        self._stopping: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self) -> None:
        try:
            asyncio.run(self._serve())
        except OSError as error:
            self.failure = error
        finally:
            self.settled.set()

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        async with running(*self._arguments) as simulator:
            self.simulator = simulator
            self.settled.set()
            await self._stopping.wait()

    def stop(self) -> None:
        if self._loop is not None and self._stopping is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket whose connections send small writes at once.

    asyncio sets TCP_NODELAY only on sockets made with an explicit protocol; without it every second write of an
    answer waits for a delayed acknowledgement, some 40 ms.
    """
    listening = socket.create_server((host, port))
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _described(app: Starlette, sockets: list[socket.socket]) -> RunningSimulator:
    grid: Grid = app.state.grid
    front, supplier = (_origin(listening) for listening in sockets)
    grid.supplier_url = supplier
    return RunningSimulator(f"{front}/v1", f"{supplier}/v1", grid.config, grid.journal)


def _origin(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Protocol(HttpToolsProtocol):
    """Uvicorn's protocol, with the connection in the scope for those who want to cut it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}
        self.access_log = False


class _Server(uvicorn.Server):
    """Uvicorn's server, started and stopped by events instead of signals and ticks."""

    def __init__(self, app: Starlette) -> None:
        super().__init__(
            uvicorn.Config(
                app, http=_Protocol, ws="none", lifespan="off", log_config=None, server_header=False
            )
        )
        self.ready = asyncio.Event()
        self.stop = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        await self.stop.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in tuple(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        await asyncio.gather(*self.server_state.tasks, return_exceptions=True)
        for listening in sockets or ():
            listening.close()
