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
from dataclasses import dataclass
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
from shim.upstream.transport import REUSED, Connections
from shim.upstream.troubles import TRANSPORT_ERRORS, refused
from shim.upstream.urls import normalise_base_url

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shim.settings import Settings

logger = logging.getLogger("shim.upstream")

CATALOG_SECONDS = 10.0
"""Time to fetch the list of instruments."""
CATALOG_BYTES = 16 << 20
ERROR_BYTES = 64 << 10
"""Bytes of an error's body that are read."""
ERROR_SECONDS = 5.0
"""Time after which an error's body is taken as far as it has come."""
STANDING_HEADERS = {"accept-encoding": "identity", "user-agent": "grid-responses-shim"}

_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,200}")


@dataclass(frozen=True, slots=True)
class Call:
    """A request as every attempt and every hop repeats it."""

    method: str
    url: httpx.URL
    headers: dict[str, str]
    body: bytes
    key: str | None

    def to(self, url: httpx.URL) -> httpx.Request:
        """It as a request; complete, since what httpx would add by itself costs it more than all the rest."""
        length = {"content-length": str(len(self.body))} if self.method == "POST" else {}
        headers = {"host": url.netloc.decode("ascii"), **self.headers, **length}
        return httpx.Request(self.method, url, headers=headers, stream=httpx.ByteStream(self.body))


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
        self._settings = settings
        self._allowance = Allowance.of(settings)
        self._is_grid = settings.preset.name == "grid"
        self._trust = Trust(httpx.URL(self.base_url), settings.trusted_hosts)
        self._sleep = sleep
        self._jitter = jitter
        self._transport = transport or Connections(settings)
        self._chat_url = httpx.URL(f"{self.base_url}/chat/completions")
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
        response, attempts = await self._answer(call)
        if "text/html" in response.headers.get("content-type", ""):
            await response.aclose()
            raise web_page(response.url)
        self._shelf.accepted(key)
        return ChatStream(response, self._allowance, attempts=attempts)

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
        response, attempts = await self._answer(self._chat(body, key, wanted, None))
        self._shelf.accepted(key)
        return RawReply(response, self._allowance, attempts=attempts)

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
        headers = {
            **STANDING_HEADERS,
            "content-type": "application/json",
            "accept": accept,
            **authorization(key),
        }
        if request_id and _REQUEST_ID.fullmatch(request_id):
            headers["x-request-id"] = request_id
        return Call("POST", self._chat_url, headers, body, clean_key(key))

    async def _answer(self, call: Call) -> tuple[httpx.Response, int]:
        """The first good answer, and how many attempts it took."""
        settings = self._settings
        patience = Patience(settings.retry_attempts, settings.retry_seconds, self._jitter)
        while True:
            try:
                return await self._attempt(call), patience.made + 1
            except Refused as failure:
                wait = patience.wait(failure)
                if wait is None:
                    raise copy(await self._explain(failure.fault, call)) from failure.__cause__
                _log_retry(failure, patience, wait)
            except UpstreamFault as astray:
                scrub(astray, call.key)
                raise
            await self._sleep(wait)

    async def _attempt(self, call: Call) -> httpx.Response:
        """One request along its redirects.

        Raises:
            Refused: It failed; perhaps another will not.
            UpstreamFault: A redirect led astray.
        """
        journey = Journey(self._trust, call.url)
        while True:
            response = await self._hop(call, journey.url)
            if response.is_success:
                return response
            said = await _read(response, ERROR_BYTES, ERROR_SECONDS)
            if response.status_code >= httpx.codes.BAD_REQUEST:
                raise refusal(response.status_code, response.headers, said)
            journey.follow(response.status_code, response.headers.get("location"))

    async def _hop(self, call: Call, url: httpx.URL) -> httpx.Response:
        """One HTTP request, until the head of its answer."""
        request = call.to(url)
        try:
            async with asyncio.timeout(self._settings.header_seconds):
                response = await self._transport.handle_async_request(request)
        except TRANSPORT_ERRORS as error:
            if isinstance(error, TimeoutError) and REUSED not in request.extensions:
                raise refused(httpx.PoolTimeout("no connection in time"), url, kept=False) from error
            raise refused(error, url, kept=bool(request.extensions.get(REUSED))) from error
        response.request = request
        return response

    async def _explain(self, fault: Fault, call: Call) -> Fault:
        """The fault with what only the shim can add, and without the key."""
        if fault.code in {WRONG_PATH, "model_not_found"}:
            fault = about_model(fault, _model_of(call.body), await self.catalog(call.key), call.url)
        elif fault.code == "invalid_api_key" and self._is_grid:
            fault = about_key(fault)
        return scrub(fault, call.key)

    async def _fetch_catalog(self, key: str | None) -> Catalog:
        """The upstream's own list.

        Raises:
            Fault: It could not be had, or is empty.
        """
        headers = {**STANDING_HEADERS, "accept": "application/json", **authorization(key)}
        call = Call("GET", httpx.URL(f"{self.base_url}/models"), headers, b"", clean_key(key))
        try:
            async with asyncio.timeout(CATALOG_SECONDS):
                response = await self._attempt(call)
                said = await _read(response, CATALOG_BYTES, CATALOG_SECONDS)
            catalog = read_catalog(json.loads(said))
        except Refused as failure:
            raise copy(failure.fault) from failure
        except (ValueError, RecursionError, TimeoutError) as error:
            raise UpstreamFault("The upstream's list of models cannot be read.") from error
        if not catalog.instruments:
            raise UpstreamFault("The upstream's list of models is empty.")
        return catalog


async def _read(response: httpx.Response, limit: int, seconds: float) -> bytes:
    """A short body, as much of it as comes; the connection is given back or closed."""
    body = Body(response, Allowance(seconds))
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
