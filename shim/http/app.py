"""The application: routes, the edge around them, and what lives as long as the process.

Not here: any behaviour; that is in `edge`, `routes` and the modules they name.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from shim.exchange import Exchange
from shim.http.edge import Edge
from shim.http.guards import Guard
from shim.http.health import Readiness
from shim.http.replies import routing_reply
from shim.http.routes import ROUTES
from shim.http.services import Services
from shim.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from shim.settings import Settings


def create_app(
    settings: Settings, *, exchange: Exchange | None = None, upstream: Upstream | None = None
) -> Starlette:
    """The endpoint as an ASGI application.

    An upstream that is not given is built here, so that wrong settings are told before anything listens, and
    closed when the application stops; one that is given stays open, for its owner to close.

    Raises:
        ValueError: The settings cannot work; the message is one sentence. `Misconfigured` if clients must
            present a token but there is no key to forward in its place.
    """
    guard = Guard.of(settings)
    grid = upstream or Upstream(settings)
    app = Starlette(
        routes=ROUTES,
        middleware=[Middleware(Edge)],
        exception_handlers={HTTPException: routing_reply},
        lifespan=None if upstream else _closing(grid),
    )
    app.state.services = Services(
        settings=settings,
        guard=guard,
        upstream=grid,
        exchange=exchange or Exchange(settings, grid),
        readiness=Readiness(guard, grid),
    )
    return app


def _closing(upstream: Upstream) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await upstream.aclose()

    return lifespan
