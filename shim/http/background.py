"""Background responses over HTTP: begun, followed from any event, cancelled.

A client that follows may leave at any time: only its own stream ends. In silence followers get SSE comments, never
a further event, since a sequence number means one event for ever (readers of event streams pass comments over, the
official SDKs among them).

Not here: retrieving a response without its stream, which is the same for every stored response.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from shim.errors import invalid
from shim.exchange.background import is_background
from shim.http.call import Call
from shim.http.replies import json_reply
from shim.http.services import Services
from shim.http.stored import stored_response
from shim.http.stream import EventStream
from shim.http.waiting import WhileConnected

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from shim.exchange import Caller
    from shim.wire.base import Json


async def begin(services: Services, call: Call, body: Json, caller: Caller) -> ASGIApp:
    """`POST /responses` with `background`: the queued response, or its stream."""
    queued = await services.background.create(body, caller, call.request_id)
    if not body.get("stream"):
        return json_reply(queued)
    return _followed(services, services.exchange.owner(caller), queued["id"], after=-1)


async def retrieve(request: Request) -> ASGIApp:
    """`GET /responses/{id}`: the response, or its stream."""
    # Events are no headers: HEAD would say nothing until the last one.
    wants_stream = request.method == "GET" and request.query_params.get("stream", "").lower() in ("true", "1")
    return await (resume(request) if wants_stream else stored_response(request))


async def resume(request: Request) -> ASGIApp:
    """`GET /responses/{id}?stream=true&starting_after=N`: the events after N, stored ones first, then live."""
    services = Services.of(request)
    owner = services.exchange.owner(services.guard.caller(Call.of(request.scope)))
    after = _starting_after(request.query_params.get("starting_after"))
    stored = await services.background.get(owner, request.path_params["id"])
    if not is_background(stored):
        raise invalid("Only responses created with background=true can be streamed again.", "stream")
    return _followed(services, owner, stored.id, after)


async def cancel(request: Request) -> Response:
    """`POST /responses/{id}/cancel`."""
    services = Services.of(request)
    owner = services.exchange.owner(services.guard.caller(Call.of(request.scope)))
    stored = await services.background.cancel(owner, request.path_params["id"])
    return Response(stored.body, media_type="application/json")


def _followed(services: Services, owner: str, response_id: str, after: int) -> ASGIApp:
    following = services.background.follow(owner, response_id, after)
    return WhileConnected(EventStream(following, services.settings.keepalive_seconds, services.leaving))


def _starting_after(given: str | None) -> int:
    """The number in the query; -1, for the whole stream, if there is none."""
    if given is None:
        return -1
    if not (given.isascii() and given.isdigit()):
        message = f"Invalid 'starting_after': expected a sequence number, but got {given[:20]!r} instead."
        raise invalid(message, "starting_after", "invalid_type")
    return int(given.lstrip("0")[:18] or 0)
