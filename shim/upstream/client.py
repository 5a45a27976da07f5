"""One request to the upstream, from the first attempt to the first byte of a good answer.

An attempt follows redirects (`shim.upstream.redirects`); a failed one is repeated from the original URL if that is
safe and worth the wait (`shim.upstream.retry`). Every way to fail ends in a `shim.errors.Fault`.

Not here: reading the answer (`shim.upstream.stream`), wording of faults (`shim.upstream.faults`, `shim.core.faults`).
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import re
from copy import copy
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx

from shim.core.faults import WRONG_PATH
from shim.errors import Fault, UpstreamFault
from shim.upstream.catalog import GRID_FALLBACK, NOTHING, Catalog, read_catalog
from shim.upstream.faults import about_key, about_model, refusal, web_page
from shim.upstream.keys import authorization, clean_key, scrub
from shim.upstream.redirects import Journey, Trust
from shim.upstream.retry import Patience, Refused
from shim.upstream.shelf import Shelf
from shim.upstream.stream import Allowance, Body, ChatStream, RawReply
from shim.upstream.transport import Call, Connections, Foreign, Target
from shim.upstream.urls import normalise_base_url

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shim.settings import Settings
    from shim.upstream.transport import Reply, Sender

logger = logging.getLogger("shim.upstream")

CATALOG_SECONDS = 10.0
"""Time to fetch the list of instruments."""
CATALOG_BYTES = 16 << 20
ERROR_BYTES = 64 << 10
"""Bytes of an error's body that are read."""
ERROR_SECONDS = 5.0
"""Time after which an error's body is taken as far as it has come."""
STANDING_LINES = ("accept-encoding: identity", "user-agent: grid-responses-shim")

_GOOD = range(HTTPStatus.OK, HTTPStatus.MULTIPLE_CHOICES)
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,200}")


class Upstream:
    """The Grid, or any other Chat Completions API.

    Attributes:
        base_url: Normalised, without a slash at its end.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            settings: Where the upstream is, whom to trust, how long to wait.
            transport: In place of real connections.
            sleep: How to wait between attempts.
            jitter: A number from 0 to 1, anew at each call.

        Raises:
            ValueError: The base URL cannot be used; the message is one sentence.
        """
        self.base_url = normalise_base_url(settings.base_url)
        self._patience = partial(Patience, settings.retry_attempts, settings.retry_seconds, jitter)
        self._head_seconds = settings.header_seconds
        self._allowance = Allowance.of(settings)
        self._is_grid = settings.preset.name == "grid"
        self._trust = Trust(httpx.URL(self.base_url), settings.trusted_hosts)
        self._sleep = sleep
        self._transport: Sender = Connections(settings) if transport is None else Foreign(transport)
        self._chat_target = Target("POST", httpx.URL(f"{self.base_url}/chat/completions"))
        self._models_target = Target("GET", httpx.URL(f"{self.base_url}/models"))
        self._shelf = Shelf(
            self._fetch_catalog,
            seconds=settings.catalog_seconds,
            fallback=GRID_FALLBACK if self._is_grid else NOTHING,
        )

    async def open(self, body: bytes, key: str | None, *, request_id: str | None = None) -> ChatStream:
        """Ask for a chat completion; returns when the upstream has begun to answer with 2xx.

        Args:
            body: The serialised request.
            key: The upstream's key, as pasted.
            request_id: Sent along as `x-request-id`.

        Raises:
            Fault: Whatever else happened.
        """
        call = self._chat(body, key, "text/event-stream, application/json", request_id)
        reply, attempts = await self._answer(call)
        if "text/html" in reply.headers.get("content-type", ""):
            await reply.stream.aclose()
            raise web_page(reply.url)
        self._shelf.accepted(key)
        return ChatStream(reply, self._allowance, attempts=attempts)

    async def forward(self, body: bytes, key: str | None, accept: str | None) -> RawReply:
        """Pass a chat completion request through.

        Args:
            body: The request, as the client sent it.
            key: The upstream's key, as pasted.
            accept: The client's `Accept`.

        Raises:
            Fault: The upstream did not answer with 2xx.
        """
        wanted = accept if accept and accept.isascii() else "*/*"
        reply, attempts = await self._answer(self._chat(body, key, wanted, None))
        self._shelf.accepted(key)
        return RawReply(reply, self._allowance, attempts=attempts)

    async def catalog(self, key: str | None = None) -> Catalog:
        """What the upstream serves, at most `catalog_seconds` old if it can be reached; it never fails."""
        return await self._shelf.get(key)

    def catalog_failure(self, key: str | None) -> int | None:
        """The status of the fault for which this key, or none, got no news of the catalog when it was last asked for."""
        return self._shelf.failure(key)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._shelf.aclose()
        await self._transport.aclose()

    def _chat(self, body: bytes, key: str | None, accept: str, request_id: str | None) -> Call:
        key = clean_key(key)
        lines = [*STANDING_LINES, "content-type: application/json", f"accept: {accept}", *authorization(key)]
        if request_id and _REQUEST_ID.fullmatch(request_id):
            lines.append(f"x-request-id: {request_id}")
        lines.append(f"content-length: {len(body)}")
        return Call(self._chat_target, lines, body, key)

    async def _answer(self, call: Call) -> tuple[Reply, int]:
        """The first good answer, and how many attempts it took."""
        patience: Patience | None = None
        while True:
            try:
                return await self._attempt(call), patience.made + 1 if patience else 1
            except Refused as failure:
                patience = patience or self._patience()
                wait = patience.wait(failure)
                if wait is None:
                    raise copy(await self._explain(failure.fault, call)) from failure.__cause__
                _log_retry(failure, patience, wait)
            except UpstreamFault as astray:
                scrub(astray, call.key)
                raise
            await self._sleep(wait)

    async def _attempt(self, call: Call) -> Reply:
        """One request along its redirects.

        Raises:
            Refused: It failed; perhaps another will not.
            UpstreamFault: A redirect led astray.
        """
        reply = await self._transport.send(call, call.target, self._head_seconds)
        return reply if _is_good(reply) else await self._further(call, reply)

    async def _further(self, call: Call, reply: Reply) -> Reply:
        """The same from its first answer on, which is no good one."""
        journey = Journey(self._trust, call.target.url)
        while not _is_good(reply):
            said = await _read(reply, ERROR_BYTES, ERROR_SECONDS)
            if reply.status >= HTTPStatus.BAD_REQUEST:
                raise refusal(reply.status, reply.headers, said)
            url = journey.follow(reply.status, reply.headers.get("location"))
            target = Target(call.target.method, url)
            reply = await self._transport.send(call, target, self._head_seconds)
        return reply

    async def _explain(self, fault: Fault, call: Call) -> Fault:
        """The fault with what only the shim can add, and without the key."""
        if fault.code in {WRONG_PATH, "model_not_found"}:
            fault = about_model(fault, _model_of(call.body), await self.catalog(call.key), call.target.url)
        elif fault.code == "invalid_api_key" and self._is_grid:
            fault = about_key(fault)
        return scrub(fault, call.key)

    async def _fetch_catalog(self, key: str | None) -> Catalog:
        """The upstream's own list.

        Raises:
            Fault: It could not be had, or is empty.
        """
        bare = clean_key(key)
        lines = [*STANDING_LINES, "accept: application/json", *authorization(bare)]
        call = Call(self._models_target, lines, b"", bare)
        try:
            async with asyncio.timeout(CATALOG_SECONDS):
                reply = await self._attempt(call)
                said = await _read(reply, CATALOG_BYTES, CATALOG_SECONDS)
            catalog = read_catalog(json.loads(said))
        except Refused as failure:
            raise copy(failure.fault) from failure
        except (ValueError, RecursionError, TimeoutError) as error:
            raise UpstreamFault("The upstream's list of models cannot be read.") from error
        if not catalog.instruments:
            raise UpstreamFault("The upstream's list of models is empty.")
        return catalog


def _is_good(reply: Reply) -> bool:
    return reply.status in _GOOD


async def _read(reply: Reply, limit: int, seconds: float) -> bytes:
    """A short body, as much of it as comes; the connection is given back or closed."""
    body = Body(reply, Allowance(seconds))
    parts: list[bytes] = []
    try:
        async with asyncio.timeout(seconds):
            while limit > 0 and (data := await body.read()) is not None:
                parts.append(data[:limit])
                limit -= len(data)
    except (UpstreamFault, TimeoutError):
        logger.debug("an answer's body broke off")
    finally:
        await body.aclose()
    return b"".join(parts)


def _model_of(body: bytes) -> str | None:
    """The model that a request asks for, to tell the client about it."""
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        return None
    model = request.get("model") if isinstance(request, dict) else None
    return model if isinstance(model, str) else None


def _log_retry(failure: Refused, patience: Patience, wait: float) -> None:
    what = f"HTTP {failure.status}" if failure.status else failure.fault.message
    logger.info("attempt %d of %d: %s; again in %.2f s", patience.made, patience.attempts, what, wait)
