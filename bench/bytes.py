"""The floor under every bridge in Python: bytes handed on between two sockets on uvloop, unread, one callback a read.

`python -m bench.bytes PORT UPSTREAM` is what `bench.compare` measures as `bytes`. No HTTP is parsed, no task woken, nothing
translated: what this costs, a bridge pays for its sockets alone.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast
from urllib.parse import urlsplit

import uvloop


class End(asyncio.Protocol):
    """One end: what comes here goes out at the other, as fast as that takes it."""

    def __init__(self, other: End | None = None) -> None:
        self.other = other

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's signature
        if self.other is not None:
            self.other.transport.close()


class Client(End):
    """A client's end; what it says at once waits until there is another one."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__()
        self._upstream = host, port
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._joining = asyncio.ensure_future(self._join())

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self._early.append(data)
        else:
            self.other.transport.write(data)

    async def _join(self) -> None:
        loop = asyncio.get_running_loop()
        _, other = await loop.create_connection(lambda: End(self), *self._upstream)
        other.transport.writelines(self._early)
        self.other = other


async def serve(port: int, upstream: str) -> None:
    """Hand on until the process is ended."""
    place = urlsplit(upstream)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Client(place.hostname or "", place.port or 80), "127.0.0.1", port, backlog=2048
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2]))
