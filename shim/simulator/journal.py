"""What the simulator received, in order, for tests to look at.

Keys never enter it: the `Authorization` header is replaced by a short hash.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shim.simulator.config import Hop


@dataclass(kw_only=True, eq=False)
class Received:
    """One HTTP request, and what became of it.

    Attributes:
        method: The HTTP method.
        path: The URL's path.
        hop: Where it arrived: the front door or the endpoint behind the redirect.
        headers: Names in lower case; `authorization` holds a hash made by `key_hash`.
        raw: The body's bytes.
        body: The body as JSON, or None where it is not JSON.
        status: The status answered, or None while it is open or where the connection was reset.
        served: Whether the model answered.
        chunks_sent: How many events of a stream were sent.
        disconnected: Whether the client left before the end.
        ended: Set when the simulator is done with the request.
    """

    method: str
    path: str
    hop: Hop
    headers: dict[str, str]
    raw: bytes
    body: Any = None
    status: int | None = None
    served: bool = False
    chunks_sent: int = 0
    disconnected: bool = False
    ended: threading.Event = field(default_factory=threading.Event)

    async def wait_ended(self) -> None:
        """Return when the simulator is done with the request."""
        await wait_until(self.ended.is_set)


class Journal(list[Received]):
    """The requests in the order of their arrival."""

    @property
    def served(self) -> list[Received]:
        """Those that the model answered: one for each turn."""
        return [received for received in self if received.served]

    async def wait_for(self, count: int) -> None:
        """Return when so many requests have arrived."""
        await wait_until(lambda: len(self) >= count)


def redacted(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers, with a hash in place of the `Authorization` value."""
    return {name: key_hash(value) if name == "authorization" else value for name, value in headers.items()}


def key_hash(value: str) -> str:
    """What stands for an `Authorization` value, such as `Bearer KEY`."""
    return "sha256:" + hashlib.sha256(value.encode()).hexdigest()[:12]


async def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what any thread may bring about, without blocking the loop."""
    while not condition():  # noqa: ASYNC110 - an asyncio.Event belongs to one loop, this is for any thread
        await asyncio.sleep(0.002)
