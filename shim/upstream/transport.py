"""Requests on connections of our own, under httpx's interface.

httpx's own pool slows down with concurrency, and an answer's bytes pass through six generators before they are seen.

It keeps no cookies, follows no redirects and asks for no compression. Proxies come from the environment or the
system (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`); loopback is never proxied. Certificates are checked against
certifi's and the system's authorities (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.request import getproxies, proxy_bypass

import httpx

from shim.errors import UpstreamFault
from shim.upstream.dialing import Dialer, Route, proxy_authorization
from shim.upstream.pool import Pool
from shim.upstream.urls import is_loopback, port

if TYPE_CHECKING:
    from shim.settings import Settings

REUSED = "reused"
"""The request's extension that says whether its connection had served another before."""


class Connections(httpx.AsyncBaseTransport):
    """Direct connections, and those through proxies, chosen by the URL."""

    def __init__(self, settings: Settings) -> None:
        """Prepare; nothing is connected yet."""
        self._silence = settings.read_seconds
        self._pool = Pool(Dialer(settings.connect_seconds), settings.max_connections)
        self._routes: dict[tuple[str, bytes], Route] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; returns with the head of its answer.

        Raises:
            httpx.TransportError: It failed.
            UpstreamFault: The environment names a proxy that does not work here.
        """
        route = self._route(request.url)
        head, body = head_of(request, route), await request.aread()
        connection = await self._pool.take(route)
        request.extensions[REUSED] = connection.served
        answer = await connection.ask(head, body, self._silence)
        return httpx.Response(answer.status, headers=answer.headers, stream=answer, request=request)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()

    def _route(self, url: httpx.URL) -> Route:
        place = (url.scheme, url.netloc)
        if place not in self._routes:
            self._routes[place] = Route.to(url, proxy_for(url))
        return self._routes[place]


def head_of(request: httpx.Request, route: Route) -> bytes:
    """A request's head as it is sent; a proxy that forwards wants the whole URL and may want to know who asks.

    Raises:
        httpx.LocalProtocolError: A header would end its line.
    """
    target = request.url.raw_path
    extra: list[str] = []
    if route.forwards and route.proxy is not None:
        target = b"http://%b%b" % (request.url.netloc, target)
        extra = proxy_authorization(route.proxy)
    lines = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), target)]
    lines += [b"%b: %b" % header for header in request.headers.raw]
    lines += [line.encode("latin-1") for line in extra]
    head = b"\r\n".join([*lines, b"", b""])
    if head.count(b"\n") != len(lines) + 1 or head.count(b"\r") != len(lines) + 1 or b"\0" in head:
        raise httpx.LocalProtocolError("a header holds a line break or NUL")
    return head


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
