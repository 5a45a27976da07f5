"""Requests to an endpoint on the test's own loop, and raw connections to it."""

import asyncio
from contextlib import asynccontextmanager

from endpoint import MODEL, Endpoint, serving
from waiting import soon


class Stage(Endpoint):
    """An endpoint, and what is not quite HTTP."""

    @property
    def url(self):
        return f"{self.address}/v1"

    def http(self, key="somebody"):
        return super().http(key)

    @asynccontextmanager
    async def raw(self, data=b""):
        """A connection on which `data` was sent."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            yield reader, writer
        finally:
            writer.close()


def stage(config=None, **settings):
    """Serve while the context is open."""
    return serving(Stage, config, **settings)


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
