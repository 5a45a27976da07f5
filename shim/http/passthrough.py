"""Chat Completions as the upstream gives them, byte for byte, for tools that speak both APIs.

Of its headers only the content type goes on, and none that a browser would render.

Not here: any translation. Its heartbeats, its errors inside a stream and its `[DONE]` are the upstream's own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from shim.http.replies import safe_headers
from shim.http.stream import SSE_HEADERS, raw

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from shim.upstream import RawReply

_DATA_TYPE = re.compile(r"(application/([\w.-]+\+)?json|text/event-stream)\s*(;|$)", re.IGNORECASE)


class Passthrough:
    """The upstream's answer, as an ASGI application that is called once. The reply stays the caller's to close."""

    def __init__(self, reply: RawReply) -> None:
        self._reply = reply

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 -- ASGI's signature
        """Send it as it comes.

        Raises:
            ClientGone: Nobody listens any more.
            UpstreamFault: The upstream broke off; the client must see the same, so the body stays unfinished.
        """
        start = {"type": "http.response.start", "status": self._reply.status, "headers": raw(self._headers())}
        await send(start)
        async for chunk in self._reply:
            if chunk:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _headers(self) -> dict[str, str]:
        # `safe_headers` keeps its own name for what it drops, so the type is cleaned under another.
        kind = safe_headers({"type": self._reply.content_type})["type"]
        kind = kind if _DATA_TYPE.match(kind) else "text/plain; charset=utf-8"
        streaming = kind.startswith("text/event-stream")
        return {**(SSE_HEADERS if streaming else {}), "content-type": kind}
