"""An answer that is worked out only as long as its client waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shim.http.call import Call

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from starlette.types import Receive, Scope, Send


class WhileConnected:
    """An ASGI application around the work that makes its answer."""

    def __init__(self, work: Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]]) -> None:
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Do the work and watch the client."""
        await Call.of(scope).while_connected(receive, self._work(scope, receive, send))
