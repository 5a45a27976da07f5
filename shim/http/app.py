"""The application: routes, the edge around them, and what lives as long as the process.

Not here: any behaviour; that is in `edge`, `routes` and the modules they name.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from starlette.applications import Starlette

from shim.exchange import Exchange
from shim.exchange.background import Background
from shim.exchange.upkeep import keep_tidy
from shim.http.bodies import bounds_of
from shim.http.call import stop
from shim.http.deadlines import Deadlines
from shim.http.edge import Edge
from shim.http.guards import Guard
from shim.http.heads import HeadBounds
from shim.http.health import Readiness
from shim.http.leaving import Leaving
from shim.http.pages import PageGuard
from shim.http.routes import ROUTES
from shim.http.services import Services
from shim.http.slots import Slots
from shim.store import ResponseStore, open_store
from shim.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.types import ASGIApp, Lifespan

    from shim.settings import Settings


def create_app(
    settings: Settings,
    *,
    exchange: Exchange | None = None,
    upstream: Upstream | None = None,
    store: ResponseStore | None = None,
    opening: Callable[[Settings], Awaitable[ResponseStore]] = open_store,
) -> Application:
    """The endpoint as an ASGI application.

    An upstream that is not given is built here, so that wrong settings are told before anything listens; the store
    is opened, by `opening`, when the application starts. What is made here is closed when the application stops; what is given
    stays open, for its owner to close.

    Raises:
        ValueError: The settings cannot work; the message is one sentence. `Misconfigured` if clients must
            present a token but there is no key to forward in its place.
    """
    guard = Guard.of(settings)
    grid = upstream or Upstream(settings)
    leaving = Leaving()

    @asynccontextmanager
    async def lifespan(app: Application) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            if upstream is None:
                stack.push_async_callback(grid.aclose)
            kept = store or (exchange.store if exchange else await opening(settings))
            if store is None and exchange is None:
                stack.push_async_callback(kept.aclose)
            made = exchange or Exchange(settings, grid, kept)
            await made.start()
            background = Background(made, settings)
            background.start()
            stack.push_async_callback(background.stop)
            stack.push_async_callback(stop, asyncio.create_task(keep_tidy(kept, made.source)))
            slots = Slots(settings.max_requests, settings.max_client_requests)
            app.services = Services(
                settings=settings,
                guard=guard,
                upstream=grid,
                exchange=made,
                background=background,
                readiness=Readiness(guard, grid, kept, leaving, slots),
                leaving=leaving,
                bounds=bounds_of(settings),
                slots=slots,
                body_deadlines=Deadlines(settings.body_seconds),
            )
            yield

    return Application(PageGuard.of(settings), HeadBounds.of(settings), leaving, lifespan)


class Application(Starlette):
    """The routes with nothing but the edge around them: it does all that Starlette's own layers would.

    Attributes:
        services: What the routes work with, once the application has started.
    """

    services: Services

    def __init__(
        self, pages: PageGuard, heads: HeadBounds, leaving: Leaving, lifespan: Lifespan[Application]
    ) -> None:
        super().__init__(routes=ROUTES, lifespan=lifespan)
        self._pages = pages
        self._heads = heads
        self._leaving = leaving

    def build_middleware_stack(self) -> ASGIApp:
        """See Starlette; called once."""
        return Edge(self.router, self._pages, self._heads, self._leaving)
