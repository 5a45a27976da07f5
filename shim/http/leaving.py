"""How far the process is with its end, and what clients are told of it.

Whoever owns the process says so (`shim.cli.server`); under another server nobody does, and requests end as that server
ends them.

Not here: the waiting, and the signals.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from shim.errors import Fault

if TYPE_CHECKING:
    from starlette.types import Message, Send

SHUTTING_DOWN = "The server is shutting down; try again in a moment."
CUT_OFF = "The server was shut down before the response was complete."

GOING_AWAY = "shim.going_away"
"""The type of the message that tells a WebSocket's application that the server stops."""

PROBES = frozenset({"/healthz", "/readyz"})
"""What load balancers ask every few seconds; answered to the end."""


@dataclass(slots=True)
class Leaving:
    """How far the process is with its end.

    Attributes:
        begun: It was asked to end: what runs may go on, what is new is refused.
        over: The time for that is over: a request that is cancelled now says so to its client.
    """

    begun: bool = False
    over: bool = False

    def refuse(self, path: str) -> None:
        """Turn away what is new.

        Raises:
            Fault: 503, for all but probes.
        """
        if path not in PROBES:
            raise shutting_down()

    def takes_over(self) -> bool:
        """Whether the running task was cancelled because time is over; then the cancellation counts as heard."""
        if self.over:
            cast("asyncio.Task[None]", asyncio.current_task()).uncancel()
        return self.over


def shutting_down() -> Fault:
    """The answer to a request of which nothing was answered yet."""
    return Fault(SHUTTING_DOWN, status=503, code="server_shutting_down", retry_after=1)


def cut_off() -> Fault:
    """The end of a stream; clients know `server_error`, and try again."""
    return Fault(CUT_OFF, status=503, code="server_error")


def closing(send: Send) -> Send:
    """`send`, with `connection: close` on the answer, so that the client's next request goes elsewhere."""

    async def told(message: Message) -> None:
        if message["type"].endswith("http.response.start"):
            headers = [pair for pair in message.get("headers", ()) if pair[0] != b"connection"]
            message = {**message, "headers": [*headers, (b"connection", b"close")]}
        await send(message)

    return told
