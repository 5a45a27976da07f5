"""The endpoint and a simulated Grid on the test's own loop, and WebSocket clients for the endpoint."""

import json
from contextlib import asynccontextmanager

from endpoint import MODEL, Endpoint, serving
from waiting import soon
from websockets.asyncio.client import connect

ENDS = {"response.completed", "response.incomplete", "response.failed"}


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


class Stage(Endpoint):
    """An endpoint, and connections to it."""

    @property
    def asked(self):
        """The messages of the last chat request that the model answered."""
        return self.grid.journal.served[-1].body["messages"]

    @asynccontextmanager
    async def connect(self, path="/v1/responses", **options):
        async with connect(f"ws://{self.address}{path}", proxy=None, **options) as socket:
            yield Client(socket)


def stage(config=None, **settings):
    """Serve while the context is open."""
    return serving(Stage, config, **settings)
