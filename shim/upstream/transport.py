"""Requests on connections of our own, and answers before their bodies.

httpx's own pool slows down with concurrency, an answer's bytes pass through six generators before they are seen, and what it
makes of the headers of one request costs more than all that is done here. What is asked and what comes of it are therefore
a `Call` and a `Reply`; httpx's interface is spoken to those who bring a transport of theirs, or want ours under it.

It keeps no cookies, follows no redirects and asks for no compression. Proxies come from the environment or the
system (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`); loopback is never proxied. Certificates are checked against
certifi's and the system's authorities (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast
from urllib.request import getproxies, proxy_bypass

import httpx

from shim.errors import UpstreamFault
from shim.upstream.dialing import Dialer, Route, proxy_authorization
from shim.upstream.pool import Pool
from shim.upstream.troubles import TRANSPORT_ERRORS, refused
from shim.upstream.urls import is_loopback, port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shim.settings import Settings
    from shim.upstream.http1 import Connection

REUSED = "reused"
"""The request's extension that says whether its connection had served another before."""


@dataclass(slots=True, eq=False)
class Way:
    """What all requests to one target have in common.

    Attributes:
        route: Where a connection leads that can carry them.
        first: The first lines of their heads.
        last: The last ones, the blank one included.
    """

    route: Route
    first: tuple[str, ...]
    last: tuple[str, ...]


@dataclass(slots=True, eq=False)
class Target:
    """What is asked for, by how many requests it may be.

    Attributes:
        method: Of the requests.
        url: Where they go.
        way: Found once they are made.
    """

    method: str
    url: httpx.URL
    way: Way | None = None


@dataclass(slots=True, eq=False)
class Call:
    """A request as every attempt and every hop repeats it.

    Attributes:
        target: Where the first one goes.
        lines: Its headers, but for the host.
        body: Its body.
        key: The key that is in its headers, as it is sent.
    """

    target: Target
    lines: Sequence[str]
    body: bytes
    key: str | None


@dataclass(slots=True, eq=False)
class Reply:
    """An answer of which nothing but the head was read.

    Attributes:
        status: Its HTTP status.
        headers: By name in lower case.
        stream: Its body, to be closed by whoever has it.
        url: Where it came from.
    """

    status: int
    headers: Mapping[str, str]
    stream: httpx.AsyncByteStream
    url: httpx.URL


class Sender(Protocol):
    """Whatever sends calls."""

    async def send(self, call: Call, target: Target, seconds: float) -> Reply:
        """One HTTP request, until the head of its answer.

        Args:
            call: What is sent.
            target: Where to.
            seconds: How long it may take.

        Raises:
            Refused: There was no answer.
        """

    async def aclose(self) -> None:
        """Close all connections."""


class Connections(httpx.AsyncBaseTransport):
    """Direct connections, and those through proxies, chosen by the URL."""

    def __init__(self, settings: Settings) -> None:
        """Prepare; nothing is connected yet."""
        self._silence = settings.read_seconds
        self._pool = Pool(Dialer(settings.connect_seconds), settings.max_connections)
        self._routes: dict[tuple[str, bytes], Route] = {}

    async def send(self, call: Call, target: Target, seconds: float) -> Reply:
        """See `Sender`.

        Raises:
            UpstreamFault: The environment names a proxy that does not work here.
        """
        kept = False
        try:
            way = target.way or self._way(target)
            head = head_of([*way.first, *call.lines, *way.last])
            until = asyncio.get_running_loop().time() + seconds
            connection = self._pool.kept(way.route) or await self._take(way.route, until)
            kept = connection.served
            answer = await connection.ask(head, call.body, self._silence, until)
        except TRANSPORT_ERRORS as error:
            raise refused(error, target.url, kept=kept) from error
        return Reply(answer.status, fields_of(answer.headers), answer, target.url)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; returns with the head of its answer.

        Raises:
            httpx.TransportError: It failed.
            UpstreamFault: The environment names a proxy that does not work here.
        """
        route = self._route(request.url)
        head, body = head_of_request(request, route), await request.aread()
        connection = await self._pool.take(route)
        request.extensions[REUSED] = connection.served
        answer = await connection.ask(head, body, self._silence)
        return httpx.Response(answer.status, headers=answer.headers, stream=answer, request=request)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()

    async def _take(self, route: Route, until: float) -> Connection:
        try:
            async with asyncio.timeout_at(until):
                return await self._pool.take(route)
        except TimeoutError as error:
            raise httpx.PoolTimeout("no connection in time") from error

    def _way(self, target: Target) -> Way:
        route = self._route(target.url)
        first = request_line(target.method, target.url, route), f"host: {_host(target.url)}"
        way = target.way = Way(route, first, ending(route))
        return way

    def _route(self, url: httpx.URL) -> Route:
        place = (url.scheme, url.netloc)
        if place not in self._routes:
            self._routes[place] = Route.to(url, proxy_for(url))
        return self._routes[place]


class Foreign:
    """Calls sent by another transport of httpx's kind."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def send(self, call: Call, target: Target, seconds: float) -> Reply:
        """See `Sender`."""
        request = request_of(call, target)
        try:
            async with asyncio.timeout(seconds):
                response = await self._transport.handle_async_request(request)
        except TRANSPORT_ERRORS as error:
            if isinstance(error, TimeoutError) and REUSED not in request.extensions:
                raise refused(httpx.PoolTimeout("no connection in time"), target.url, kept=False) from error
            raise refused(error, target.url, kept=bool(request.extensions.get(REUSED))) from error
        stream = cast("httpx.AsyncByteStream", response.stream)
        return Reply(response.status_code, response.headers, stream, target.url)

    async def aclose(self) -> None:
        """See `Sender`."""
        await self._transport.aclose()


def request_line(method: str, url: httpx.URL, route: Route) -> str:
    """The first line of a request; a proxy that forwards wants the whole URL."""
    path = url.raw_path.decode("ascii")
    return f"{method} {f'http://{_host(url)}{path}' if route.forwards else path} HTTP/1.1"


def ending(route: Route) -> tuple[str, ...]:
    """The last lines of a head; a proxy that forwards may want to know who asks."""
    told = proxy_authorization(route.proxy) if route.forwards and route.proxy is not None else ()
    return (*told, "", "")


def request_of(call: Call, target: Target) -> httpx.Request:
    """A call as httpx has it; complete, so that nothing is added."""
    headers = [("host", _host(target.url))]
    headers += [(name, value) for name, _, value in (line.partition(": ") for line in call.lines)]
    return httpx.Request(target.method, target.url, headers=headers, stream=httpx.ByteStream(call.body))


def head_of(lines: Sequence[str]) -> bytes:
    """A request's head as it is sent.

    Raises:
        httpx.LocalProtocolError: A header would end its line.
    """
    head = "\r\n".join(lines)
    if not (head.count("\n") == head.count("\r") == len(lines) - 1) or "\0" in head:
        raise httpx.LocalProtocolError("a header holds a line break or NUL")
    return head.encode("latin-1")


def head_of_request(request: httpx.Request, route: Route) -> bytes:
    """The same of a request of httpx's.

    Raises:
        httpx.LocalProtocolError: A header would end its line.
    """
    first = request_line(request.method, request.url, route)
    lines = [f"{name.decode('latin-1')}: {value.decode('latin-1')}" for name, value in request.headers.raw]
    return head_of([first, *lines, *ending(route)])


def fields_of(headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by name in lower case; what has one name is one, as RFC 9110, section 5.2, has it."""
    try:
        fields = {name.decode().lower(): value.decode() for name, value in headers}
    except UnicodeDecodeError:
        return _joined(headers, "latin-1")
    return fields if len(fields) == len(headers) else _joined(headers, "utf-8")


def _joined(headers: Sequence[tuple[bytes, bytes]], encoding: str) -> dict[str, str]:
    fields: dict[str, list[str]] = {}
    for name, value in headers:
        fields.setdefault(name.decode(encoding).lower(), []).append(value.decode(encoding))
    return {name: ", ".join(values) for name, values in fields.items()}


def _host(url: httpx.URL) -> str:
    return url.netloc.decode("ascii")


def proxy_for(url: httpx.URL) -> httpx.URL | None:
    """The proxy that the environment or the system names for a URL.

    Raises:
        UpstreamFault: It is a SOCKS proxy, which is not supported.
    """
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or is_loopback(url.host) or proxy_bypass(f"{url.host}:{port(url)}"):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if not proxy.startswith(("http://", "https://")):
        raise UpstreamFault("The environment names a SOCKS proxy for the upstream; only HTTP proxies work.")
    return httpx.URL(proxy)
