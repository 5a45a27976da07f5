"""What the routes work with, built once per process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Scope

    from shim.core.bounds import RequestBounds
    from shim.exchange import Exchange
    from shim.exchange.background import Background
    from shim.http.deadlines import Deadlines
    from shim.http.guards import Guard
    from shim.http.health import Readiness
    from shim.http.leaving import Leaving
    from shim.http.slots import Slots
    from shim.settings import Settings
    from shim.upstream import Upstream


@dataclass(frozen=True, slots=True)
class Services:
    """The process's long-lived parts; `create_app` makes them."""

    settings: Settings
    guard: Guard
    upstream: Upstream
    exchange: Exchange
    background: Background
    readiness: Readiness
    bounds: RequestBounds
    slots: Slots
    body_deadlines: Deadlines
    leaving: Leaving

    @classmethod
    def of(cls, request: Request) -> Services:
        """Those of the application that serves `request`."""
        return cls.behind(request.scope)

    @classmethod
    def behind(cls, scope: Scope) -> Services:
        """Those of the application that serves a request or a WebSocket."""
        services: Services = scope["app"].services
        return services
