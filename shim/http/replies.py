"""Whole answers: JSON, faults in OpenAI's error body, and headers made safe to send.

Not here: streams (`shim.http.stream`) and which fault a request deserves.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from pydantic_core import to_json
from starlette.responses import Response

from shim.errors import ClientFault, Fault
from shim.http.call import Call

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.exceptions import HTTPException
    from starlette.types import Receive, Scope, Send

MAX_HEADER_BYTES = 4096  # servers and clients commonly stop at 8 KiB of headers
MAX_QUOTED_PATH = 200
CLOSING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE})
"""Statuses after which the connection ends: what may still come on it is not wanted."""
OWN_HEADERS = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "openai-model",  # Codex tells its user of a flagged account if this differs from the request
        "openai-processing-ms",
        "openai-version",
        "set-cookie",
        "transfer-encoding",
        "x-request-id",
    }
)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def json_reply(
    body: Mapping[str, object], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """`body` as JSON. NaN and infinity, which JSON cannot say, become null."""
    return JsonReply(to_json(body, inf_nan_mode="null"), status, headers or {})


class JsonReply(Response):
    """A whole answer in JSON to a request, as Starlette would give it, in fewer steps."""

    def __init__(self, content: bytes, status: int, headers: Mapping[str, str]) -> None:
        self.status_code, self.body, self.background = status, content, None
        self.raw_headers = raw(headers)
        self.raw_headers += (b"content-length", b"%d" % len(content)), (b"content-type", b"application/json")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 -- ASGI's signature
        """Send it."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body})


def fault_reply(fault: Fault, headers: Mapping[str, str] | None = None) -> FaultReply:
    """`fault` as OpenAI would say it, with `retry-after` where it makes sense."""
    own = {} if fault.retry_after is None else {"retry-after": str(max(0, fault.retry_after))}
    if fault.status in CLOSING:
        own["connection"] = "close"
    return FaultReply(fault, {**own, **(headers or {})})


class FaultReply(Response):
    """An error answer that also tells the call, and so the log, its code."""

    media_type = "application/json"

    def __init__(self, fault: Fault, headers: Mapping[str, str]) -> None:
        super().__init__(to_json({"error": fault.body}), fault.status, headers=headers)
        self._code = fault.code or fault.type

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, also as the refusal of a WebSocket where the server can."""
        Call.of(scope).code = self._code
        if scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close"})  # such a server answers 403 by itself
            return
        await super().__call__(scope, receive, send)


def raw_refusal(fault: Fault) -> bytes:
    """`fault` as the whole of an HTTP answer, for a connection on which there is no request to answer; its last."""
    body = to_json({"error": fault.body})
    head = [
        f"HTTP/1.1 {fault.status} {HTTPStatus(fault.status).phrase}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        "connection: close",
    ]
    if fault.retry_after is not None:
        head.append(f"retry-after: {fault.retry_after}")
    return "\r\n".join([*head, "", ""]).encode() + body


def internal_fault(request_id: str) -> Fault:
    """What a client may know of a failure of ours."""
    return Fault(f"The server had an error while processing your request. (Request ID {request_id})")


def url_fault(call: Call) -> ClientFault:
    """A 404 for a path that is not served, in the words of OpenAI's API."""
    return ClientFault(f"Invalid URL ({call.method} {call.path[:MAX_QUOTED_PATH]})", status=404)


def method_fault(call: Call) -> ClientFault:
    """A 405 for a path that is served, but not so."""
    message = f"Not allowed to {call.method} on {call.path[:MAX_QUOTED_PATH]}."
    return ClientFault(message, status=405, code="method_not_supported")


def routing_reply(call: Call, error: HTTPException) -> Response:
    """What the router's 404 and 405 look like; the latter with `Allow`."""
    allow = (error.headers or {}).get("Allow")
    if allow is None:
        return fault_reply(url_fault(call))
    return fault_reply(method_fault(call), {"allow": ", ".join(sorted(allow.split(", ")))})


def upgrade_refused() -> Response:
    """A 426 for a WebSocket: Codex and the SDKs then use plain HTTP at once, without a word.

    The protocol that RFC 9110, section 15.5.22, wants named is the one to use instead.
    """
    fault = ClientFault(
        "WebSockets are not served here; send POST requests over HTTP.", status=426, code="upgrade_required"
    )
    return fault_reply(fault, {"upgrade": "HTTP/1.1"})


def safe_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """`headers` as they may be sent: valid names, Latin-1 values in one line, bounded, none that are ours."""
    if not headers:
        return {}
    named = {name.lower(): _safe_value(value) for name, value in headers.items() if _TOKEN.fullmatch(name)}
    return {name: value for name, value in named.items() if name not in OWN_HEADERS}


def raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Headers as ASGI wants them; their names are in lower case."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def _safe_value(value: str) -> str:
    latin = value.encode("latin-1", "replace").decode("latin-1")
    return _UNPRINTABLE.sub(" ", latin)[:MAX_HEADER_BYTES].strip()
