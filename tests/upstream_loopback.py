"""A scripted HTTP server on loopback: every request gets the next answer, bytes for bytes."""

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self

from shim.settings import Settings
from shim.upstream import Upstream

KEY = "sk-grid-0123456789"


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int


Answer = bytes | Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


def reply(status: int, body: bytes | str | dict | list = b"", **headers: str) -> bytes:
    data = json.dumps(body).encode() if isinstance(body, dict | list) else body
    data = data.encode() if isinstance(data, str) else data
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(data)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + data


def sse(*payloads: str) -> bytes:
    body = "".join(f"data: {payload}\n\n" for payload in payloads)
    return reply(200, body, content_type="text/event-stream")


def redirect(location: str, status: int = 307) -> bytes:
    return reply(status, b"", location=location)


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


async def hang_up(_request: Request, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def reset(_request: Request, writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def silent(_request: Request, _writer: asyncio.StreamWriter) -> None:
    """Never answers."""


@dataclass
class Server:
    answers: list[Answer]
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    client_left: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    tls: ssl.SSLContext | None = None

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def listen(self) -> None:
        """Take connections, on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]

    def url(self, path: str = "/v1", host: str = "127.0.0.1") -> str:
        return f"http{'s' * bool(self.tls)}://{host}:{self.port}{path}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        number = self.connections
        try:
            while True:
                request = await self._read(reader, number)
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                self.requests.append(request)
                self.arrived.set()
                if isinstance(answer, bytes):
                    writer.write(answer)
                    await writer.drain()
                else:
                    await answer(request, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.client_left.set()
        finally:
            self.open -= 1
            writer.close()

    async def _read(self, reader: asyncio.StreamReader, number: int) -> Request:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        return Request(method, path, headers, body, number)


def serving(*answers: Answer) -> Server:
    return Server(list(answers))


@dataclass
class Naps:
    """Stands in for asyncio.sleep and remembers."""

    taken: list[float] = field(default_factory=list)

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)
        await asyncio.sleep(0)


def upstream(url: str, naps: Naps | None = None, **settings: object) -> Upstream:
    return Upstream(
        Settings(upstream=url, **settings),
        sleep=naps or Naps(),
        jitter=lambda: 1.0,  # type: ignore[arg-type]
    )
