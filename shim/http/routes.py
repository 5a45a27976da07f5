"""What is served at which path. Paths have no `/v1` here: `edge` takes it off.

Each route is a short function from a request to an answer; faults are raised. Not here: methods and paths
that are not served, which `replies` words as OpenAI does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import asdict
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shim import __version__
from shim.core.codex import list_entry, models_body
from shim.errors import ClientFault
from shim.http import background, conversations, stored
from shim.http.bodies import read_body, read_json
from shim.http.call import Call
from shim.http.passthrough import Passthrough
from shim.http.replies import json_reply, safe_headers
from shim.http.services import Services
from shim.http.stream import EventStream
from shim.http.waiting import WhileConnected

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


async def responses(request: Request) -> ASGIApp:
    """`POST /responses`; `HEAD` only says that it is there (`codex doctor` asks)."""
    scope = request.scope
    if scope["method"] == "HEAD":
        return Response(headers={"allow": "HEAD, POST"})
    services, call = Services.behind(scope), Call.of(scope)
    caller = services.guard.caller(call)
    body = await read_json(scope, request.receive, services)
    call.model = body["model"] if isinstance(body.get("model"), str) else None
    if body.get("background"):
        return await background.begin(services, call, body, caller)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal body
        turn = await services.exchange.open(body, caller, call.request_id)
        del body  # it may be a megabyte, and the answer may take minutes
        async with aclosing(turn):
            call.summary = turn.summary
            if turn.stream:
                reply: ASGIApp = EventStream(turn, services.settings.keepalive_seconds, services.leaving)
            else:
                reply = json_reply(await turn.response(), headers=safe_headers(turn.headers))
            await reply(scope, receive, send)

    return WhileConnected(answer)


async def chat_completions(request: Request) -> ASGIApp:
    """`POST /chat/completions`, passed through."""
    services = Services.of(request)
    key = services.guard.key(Call.of(request.scope))
    body = await read_body(request.scope, request.receive, services)
    accept = request.headers.get("accept", "*/*")

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal body
        reply = await services.upstream.forward(body, key, accept)
        del body  # as above
        async with aclosing(reply):
            await Passthrough(reply, services.leaving)(scope, receive, send)

    return WhileConnected(answer)


async def models(request: Request) -> Response:
    """`GET /models`: one body for OpenAI's clients and for Codex."""
    services = Services.of(request)
    catalog = await services.upstream.catalog(services.guard.admit(Call.of(request.scope)))
    return json_reply(models_body(catalog.instruments))


async def model(request: Request) -> Response:
    """`GET /models/{id}`."""
    services = Services.of(request)
    catalog = await services.upstream.catalog(services.guard.admit(Call.of(request.scope)))
    name = request.path_params["id"]
    instrument = catalog.get(name)
    if instrument is None:
        message = f"The model '{name}' does not exist"
        raise ClientFault(message, status=404, param="model", code="model_not_found")
    return json_reply(list_entry(instrument))


async def alive(_: Request) -> Response:
    """`GET /healthz`: the process is up."""
    return json_reply({"status": "ok", "version": __version__})


async def ready(request: Request) -> Response:
    """`GET /readyz`: requests can be answered; 503 if not, with the reasons."""
    checks = await Services.of(request).readiness.checks()
    good = all(check.ok for check in checks)
    body = {"status": "ready" if good else "not ready", "checks": [asdict(check) for check in checks]}
    return json_reply(body, 200 if good else 503)


async def openapi(_: Request) -> Response:
    """`GET /openapi.json`: the packaged document."""
    from shim.wire.openapi import document  # noqa: PLC0415 -- large, and few ask for it

    return json_reply(document())


async def welcome(_: Request) -> Response:
    """`GET /`: what this is, for whoever opens it in a browser."""
    return json_reply(
        {
            "name": "grid-responses-shim",
            "version": __version__,
            "description": "OpenAI's Responses API in front of a Chat Completions upstream.",
            "base_url": "/v1",
            "documentation": "/openapi.json",
            "endpoints": [
                "/v1/responses",
                "/v1/conversations",
                "/v1/models",
                "/v1/chat/completions",
                "/healthz",
                "/readyz",
            ],
        }
    )


Handler = Callable[["Request"], Awaitable["ASGIApp"]]
"""From a request to what answers it."""


class Endpoint:
    """A handler as an application: what it raises is for the edge, without a layer between."""

    def __init__(self, *, counted: bool, **by_method: Handler) -> None:
        """Serve these handlers; `counted` ones hold a slot until their answer is out."""
        self._counted = counted
        self._by_method = by_method
        self._only = next(iter(by_method.values())) if len(by_method) == 1 else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; which methods come here is the route's to know."""
        request, method = Request(scope, receive), scope["method"]
        handler = self._only or self._by_method["GET" if method == "HEAD" else method]
        if not self._counted:
            reply = await handler(request)
            await reply(scope, receive, send)
            return
        services, call = Services.behind(scope), Call.of(scope)
        with services.slots.taken(services.guard.identity(call)):
            reply = await handler(request)
            await reply(scope, receive, send)


def serving(path: str, *also: str, counted: bool = True, **by_method: Handler) -> Route:
    """One route for all that a path does by method, so that a 405 names all of them; `also` go to the only handler."""
    return Route(path, Endpoint(counted=counted, **by_method), methods=[*by_method, *also])


ROUTES = [
    serving("/responses", "HEAD", POST=responses),
    serving("/responses/compact", POST=stored.compact_conversation),
    serving("/responses/input_tokens", POST=stored.count_tokens),
    serving("/responses/{id}", GET=background.retrieve, DELETE=stored.delete_response),
    serving("/responses/{id}/cancel", POST=background.cancel),
    serving("/responses/{id}/input_items", GET=stored.response_items),
    serving("/conversations", POST=conversations.create_conversation),
    serving(
        "/conversations/{id}",
        GET=conversations.retrieve_conversation,
        POST=conversations.update_conversation,
        DELETE=conversations.delete_conversation,
    ),
    serving("/conversations/{id}/items", GET=conversations.list_items, POST=conversations.create_items),
    serving(
        "/conversations/{id}/items/{item_id}",
        GET=conversations.retrieve_item,
        DELETE=conversations.delete_item,
    ),
    serving("/models", GET=models),
    serving("/models/{id:path}", GET=model),
    serving("/chat/completions", POST=chat_completions),
    serving("/healthz", counted=False, GET=alive),
    serving("/readyz", counted=False, GET=ready),
    serving("/openapi.json", counted=False, GET=openapi),
    serving("/", counted=False, GET=welcome),
]
