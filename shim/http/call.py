"""One HTTP request as the edge sees it: its id, its clock, what was sent, and whether the client is there.

A `Call` is made by `edge`, travels in the ASGI scope, and ends as one line of the access log. Not here: what
the request asks for.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol, cast

from shim.ambient import monotonic, token

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from starlette.types import Message, Receive, Scope, Send

    from shim.exchange import Summary

SCOPE_KEY = "shim.call"
CONNECTION = "shim.connection"
"""Where in the scope stands the request's `Connection`, if the server is ours."""
DEFAULT_RETRY_AFTER = b"1"
REQUEST_ID_DIGITS = 32
_TOO_MANY_REQUESTS = HTTPStatus.TOO_MANY_REQUESTS

logger = logging.getLogger(__name__)


class Connection(Protocol):
    """What our own server does for a request besides ASGI."""

    @property
    def more_body(self) -> bool:
        """Whether the request's body is still on its way."""
        ...

    def watch(self, told: Callable[[], None]) -> Callable[[], None]:
        """Call `told` as soon as the client has left; returns what ends that."""
        ...

    def put(self, piece: bytes) -> bool:
        """Put a piece of the answer's body out, after which more comes, if that can be done without waiting; whether it was."""
        ...


class ClientGone(Exception):
    """The client has closed its connection: there is nobody to answer."""


def new_request_id() -> str:
    """An id in the form of OpenAI's `x-request-id`."""
    return f"req_{token()[:REQUEST_ID_DIGITS]}"


@dataclass
class Call:
    """What is known of one request, from its first byte to its line in the log.

    Attributes:
        method: As sent; `GET` for a WebSocket, `WS` for a turn on one.
        path: As sent, without the query.
        headers: The request's, by name in lower case; of those that are repeated the first.
        request_id: Ours, never the client's.
        status: HTTP status of the answer; None until it is sent.
        complete: Whether the last byte of the answer is on its way.
        model: What the client asked for, as soon as its body is read.
        summary: What the turn counted, once there is one.
        outcome: How it ended if the turn cannot know: `client_gone`, `cancelled`, `broken`.
        code: The error code sent to the client.
        client: What tells its client apart, filled by `Guard.identity`, which is how to ask for it.
        connection: What the server does besides; None if it is not ours.
        outlet: The server's `send`, for pieces of a body after which more comes: once the head is out, nothing is done to them.
    """

    method: str
    path: str
    headers: Mapping[bytes, bytes] = field(default_factory=dict, repr=False)
    request_id: str = field(default_factory=new_request_id)
    status: int | None = None
    complete: bool = False
    model: str | None = None
    summary: Summary | None = None
    outcome: str | None = None
    code: str | None = None
    client: str | None = field(default=None, repr=False)
    connection: Connection | None = None
    outlet: Send | None = field(default=None, repr=False)
    _started: float = field(default_factory=monotonic)

    @classmethod
    def of(cls, scope: Scope) -> Call:
        """The call that `edge` has put into this scope."""
        call: Call = scope[SCOPE_KEY]
        return call

    @property
    def received(self) -> bool:
        """Whether the request's body is known to have come: to receive it takes no time."""
        return self.connection is not None and not self.connection.more_body

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds since the request arrived."""
        return (monotonic() - self._started) * 1000

    def stamped(self, send: Send) -> Send:
        """`send`, with our headers on the answer and an eye on how far it has come.

        The result raises `ClientGone` where a server tells a broken connection by an `OSError`.
        """
        self.outlet = send

        async def stamping(message: Message) -> None:
            if message["type"].endswith("http.response.start"):
                self.status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), *self._headers(message)]}
            else:
                self.complete = not message.get("more_body", False)
            try:
                await send(message)
            except OSError as error:
                raise ClientGone from error

        return stamping

    def _headers(self, start: Message) -> list[tuple[bytes, bytes]]:
        headers = [
            (b"x-request-id", self.request_id.encode()),
            (b"openai-processing-ms", str(round(self.elapsed_ms)).encode()),
            (b"openai-version", b"2020-10-01"),
            (b"x-content-type-options", b"nosniff"),
        ]
        if start["status"] == _TOO_MANY_REQUESTS and b"retry-after" not in dict(start.get("headers", ())):
            headers.append((b"retry-after", DEFAULT_RETRY_AFTER))  # without it Codex gives up
        if (
            self.connection is not None
            and not self.received
            and (b"connection", b"close") not in start.get("headers", ())
        ):
            headers.append((b"connection", b"close"))  # nobody will read the rest
        return headers

    async def while_connected(self, receive: Receive, work: Coroutine[Any, Any, None]) -> None:
        """Do `work` as long as the client is there; the request's body must have been read.

        Raises:
            ClientGone: The client left; `work` was cancelled and has ended.
        """
        here = cast("asyncio.Task[None]", asyncio.current_task())
        gone = over = False

        def left() -> None:
            nonlocal gone
            # A server also reports a disconnect after a complete answer: then `work` is only tidying up.
            if not (over or self.complete):
                gone = True
                here.cancel()

        stop_watching = self._watch(receive, left)
        try:
            await work
        except BaseException as error:
            if not gone or here.uncancel():
                raise
            if not isinstance(error, asyncio.CancelledError | ClientGone):
                logger.exception("A cancelled answer failed.")
            raise ClientGone from None
        finally:
            over = True  # a callback may be under way already
            stop_watching()

    def _watch(self, receive: Receive, left: Callable[[], None]) -> Callable[[], object]:
        """Have the client's departure told; returns what ends that."""
        connection = self.connection
        if connection is not None and self.received:
            return connection.watch(left)

        def ended(departure: asyncio.Task[None]) -> None:
            if not departure.cancelled():
                left()

        departure = asyncio.create_task(_departure(receive))
        departure.add_done_callback(ended)
        return departure.cancel


async def _departure(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def stop(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks and wait until they have ended; what they raise is logged, as nobody else will see it."""
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception) and not isinstance(result, ClientGone):
            logger.error("A cancelled task failed.", exc_info=result)
