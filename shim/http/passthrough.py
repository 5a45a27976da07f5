"""Chat Completions as the upstream gives them, byte for byte, for tools that speak both APIs.

Of its headers only the content type goes on, and none that a browser would render.

Not here: any translation. Its heartbeats, its errors inside a stream and its `[DONE]` are the upstream's own; only the end of
the process is told by the shim, as the upstream would tell an error.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from pydantic_core import to_json

from shim.http.call import Call
from shim.http.leaving import cut_off
from shim.http.replies import raw, safe_headers
from shim.http.stream import SSE_HEADERS

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from shim.http.leaving import Leaving
    from shim.upstream import RawReply

_DATA_TYPE = re.compile(r"(application/([\w.-]+\+)?json|text/event-stream)\s*(;|$)", re.IGNORECASE)


class Passthrough:
    """The upstream's answer, as an ASGI application that is called once. The reply stays the caller's to close."""

    def __init__(self, reply: RawReply, leaving: Leaving) -> None:
        self._reply = reply
        self._leaving = leaving
        self._last = b"\n"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 -- ASGI's signature
        """Send it as it comes; a stream that is cut off as the process ends says so in an event, and has no `[DONE]`.

        Raises:
            ClientGone: Nobody listens any more.
            UpstreamFault: The upstream broke off; the client must see the same, so the body stays unfinished.
        """
        headers = self._headers()
        await send({"type": "http.response.start", "status": self._reply.status, "headers": raw(headers)})
        try:
            await self._relay(send)
        except asyncio.CancelledError:
            # Within a line, or outside a stream, only a body without an end says that something is missing.
            can_be_told = is_stream(headers["content-type"]) and self._last in b"\r\n"
            if not (can_be_told and self._leaving.takes_over()):
                raise
            call, fault = Call.of(scope), cut_off()
            call.outcome, call.code = "failed", fault.response_code
            error = b"\ndata: %s\n\n" % to_json({"error": fault.body})
            await send({"type": "http.response.body", "body": error, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _relay(self, send: Send) -> None:
        async for chunk in self._reply:
            if chunk:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                self._last = chunk[-1:]

    def _headers(self) -> dict[str, str]:
        # `safe_headers` keeps its own name for what it drops, so the type is cleaned under another.
        kind = safe_headers({"type": self._reply.content_type})["type"]
        kind = kind if _DATA_TYPE.match(kind) else "text/plain; charset=utf-8"
        return {**(SSE_HEADERS if is_stream(kind) else {}), "content-type": kind}


def is_stream(kind: str) -> bool:
    """Whether a content type is that of server-sent events."""
    return kind.lower().startswith("text/event-stream")
