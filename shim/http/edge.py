"""The outermost layer: every request passes here first, and every answer and every fault last.

It tidies the path, turns away heads that are too large and web pages, parts WebSockets from requests, turns whatever was
raised into OpenAI's error body and writes one line to the access log. Not here: routes and what they do.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import lru_cache
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.routing import Route

from shim.errors import Fault
from shim.http.call import CONNECTION, SCOPE_KEY, Call, ClientGone
from shim.http.leaving import closing, shutting_down
from shim.http.logs import log_call
from shim.http.replies import fault_reply, internal_fault, routing_reply, upgrade_refused, url_fault
from shim.http.services import Services
from shim.http.websocket import serve_websocket

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.routing import BaseRoute, Router
    from starlette.types import ASGIApp, Receive, Scope, Send

    from shim.http.heads import HeadBounds
    from shim.http.leaving import Leaving
    from shim.http.pages import PageGuard

logger = logging.getLogger(__name__)


class Edge:
    """ASGI middleware around the whole application."""

    def __init__(self, router: Router, pages: PageGuard, heads: HeadBounds, leaving: Leaving) -> None:
        self._app = router
        self._direct = direct(router.routes)
        self._heads = heads
        self._pages = pages
        self._leaving = leaving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, whatever comes of it."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        call = Call(
            method=scope.get("method", "GET"),
            path=scope["path"],
            headers=dict(reversed(scope["headers"])),
            connection=scope.pop(CONNECTION, None),
        )
        scope = {**scope, "path": tidy(scope["path"]), SCOPE_KEY: call}
        try:
            await self._serve(scope, receive, call.stamped(send))
        finally:
            log_call(call)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = Call.of(scope)
        try:
            self._heads.check(scope)
            send = self._pages.admit(scope, send)
            if self._leaving.begun:
                send = closing(send)
                self._leaving.refuse(scope["path"])
            await self._dispatch(scope, receive, send)
        except ClientGone:
            call.outcome = "client_gone"
        except Fault as fault:
            await self._refuse(fault, scope, receive, send)
        except HTTPException as unrouted:
            await routing_reply(call, unrouted)(scope, receive, send)
        except asyncio.CancelledError:
            if call.status is None and self._leaving.takes_over():
                await self._refuse(shutting_down(), scope, receive, closing(send))
                return
            call.outcome = "cancelled"
            raise
        except Exception:
            logger.exception("Request %s failed.", call.request_id)
            await self._refuse(internal_fault(call.request_id), scope, receive, send)

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._direct.get((scope.get("method"), scope["path"]))
        if endpoint is not None and not scope.get("root_path"):
            await endpoint(scope, receive, send)
        elif preflight := self._pages.preflight(scope):
            await preflight(scope, receive, send)
        elif serves_websocket(scope):
            await serve_websocket(scope, receive, send)
        elif asks_for_websocket(scope):
            await upgrade_refused()(scope, receive, send)
        elif scope["type"] == "websocket":
            raise url_fault(Call.of(scope))
        else:
            await self._app(scope, receive, send)

    async def _refuse(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with `fault`; once headers are out, leaving the body unfinished is all that can be said."""
        call = Call.of(scope)
        if call.status is not None:
            call.outcome, call.code = "broken", fault.response_code
            return
        with contextlib.suppress(ClientGone):
            await fault_reply(fault)(scope, receive, send)


def direct(routes: Iterable[BaseRoute]) -> dict[tuple[str | None, str], ASGIApp]:
    """What a router would find, by method and path, of routes whose paths say nothing: it tries one after the other."""
    return {
        (method, route.path): route.app
        for route in routes
        if isinstance(route, Route) and not route.param_convertors
        for method in route.methods or ()
    }


@lru_cache(maxsize=64)
def tidy(path: str) -> str:
    """The path as the routes know it: no `/v1` in front, once or doubled, and no empty segments."""
    segments = [segment for segment in path.split("/") if segment]
    while segments[:1] == ["v1"]:
        del segments[0]
    return "/" + "/".join(segments)


def serves_websocket(scope: Scope) -> bool:
    """Whether this is a WebSocket that the settings and the server let us serve."""
    if scope["type"] != "websocket" or scope["path"] != "/responses":
        return False
    return Services.behind(scope).settings.websocket


def asks_for_websocket(scope: Scope) -> bool:
    """Whether this is `GET /responses` asking for an upgrade, recognised as such by the server or not."""
    if scope["path"] != "/responses":
        return False
    if scope["type"] == "websocket":
        return True
    return scope["method"] == "GET" and Headers(scope=scope).get("upgrade", "").lower() == "websocket"
