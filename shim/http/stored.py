"""`/responses/{id}` and below, and what the API offers around a request: compaction and counting.

A thing of another owner is answered like one that never was. Not here: background work and the resuming of
streams.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from shim.errors import ClientFault
from shim.exchange.compacting import compact, input_tokens
from shim.http.bodies import read_json
from shim.http.call import Call
from shim.http.lists import item_list, window_of
from shim.http.replies import json_reply
from shim.http.services import Services
from shim.http.waiting import WhileConnected
from shim.wire.conversations import Deleted

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send


def unknown_response(response_id: str) -> ClientFault:
    """A 404 for a response that is not there, or not this client's."""
    return ClientFault(f"Response with id '{response_id}' not found.", status=404)


async def stored_response(request: Request) -> Response:
    """`GET /responses/{id}`. What `include` can ask for is stored with the response, or was never made."""
    services, owner = _owner(request)
    response_id = request.path_params["id"]
    found = await services.exchange.store.responses.get(owner, response_id)
    if found is None:
        raise unknown_response(response_id)
    return Response(found.body, media_type="application/json")


async def delete_response(request: Request) -> Response:
    """`DELETE /responses/{id}`; what is still being made is stopped."""
    services, owner = _owner(request)
    response_id = request.path_params["id"]
    if not await services.background.delete(owner, response_id):
        raise unknown_response(response_id)
    return json_reply(Deleted(id=response_id, object="response", deleted=True))


async def response_items(request: Request) -> Response:
    """`GET /responses/{id}/input_items`: the turn's own input, without earlier turns and instructions."""
    services, owner = _owner(request)
    response_id = request.path_params["id"]
    page = await services.exchange.store.responses.input_items(owner, response_id, window_of(request))
    if page is None:
        raise unknown_response(response_id)
    return json_reply(item_list(page.items, has_more=page.has_more))


async def compact_conversation(request: Request) -> ASGIApp:
    """`POST /responses/compact`."""
    services, call = Services.of(request), Call.of(request.scope)
    caller = services.guard.caller(call)
    body = await read_json(request.scope, request.receive, services)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        compacted = await compact(services.exchange, body, caller, call.request_id)
        await json_reply(compacted)(scope, receive, send)

    return WhileConnected(answer)


async def count_tokens(request: Request) -> Response:
    """`POST /responses/input_tokens`: an estimate; nobody knows the tokenizer behind an instrument."""
    services, call = Services.of(request), Call.of(request.scope)
    caller = services.guard.caller(call)
    body = await read_json(request.scope, request.receive, services)
    counted = await input_tokens(services.exchange, body, caller, call.request_id)
    return json_reply(counted, headers={"x-shim-notes": "input_tokens: an estimate"})


def _owner(request: Request) -> tuple[Services, str]:
    """The services, and whose things the client may see."""
    services = Services.of(request)
    return services, services.exchange.owner(services.guard.caller(Call.of(request.scope)))
