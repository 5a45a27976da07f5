"""The HTTP client: httpx on top, aiohttp's connections below, since httpx's own pool slows down with concurrency.

It keeps no cookies, follows no redirects and asks for no compression. Proxies come from the environment or the
system (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`); loopback is never proxied. Certificates are checked against
certifi's and the system's authorities (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured).
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from shim.errors import UpstreamFault
from shim.upstream.urls import is_loopback, port

if TYPE_CHECKING:
    import ssl

KEEPALIVE_SECONDS = 30.0
"""How long an idle connection is kept: less than the common balancers' 60 s, so that few go stale."""
MAX_HEADER_BYTES = 64 << 10
"""A signed `Location` can be longer than aiohttp's 8 KB."""


@dataclass(slots=True)
class Passage:
    """What is known about one request's connection: whether it had served another before."""

    reused: bool = False


_passage: ContextVar[Passage | None] = ContextVar("passage", default=None)


def watch() -> Passage:
    """Watch the next request of this task."""
    passage = Passage()
    _passage.set(passage)
    return passage


async def _note_reuse(*_: Any) -> None:
    passage = _passage.get()
    if passage is not None:
        passage.reused = True


def make_client(
    *, connect_seconds: float, max_connections: int, transport: httpx.AsyncBaseTransport | None = None
) -> httpx.AsyncClient:
    """The client, with time limits for connecting only: `shim.upstream.client` bounds the rest by phase."""
    return httpx.AsyncClient(
        transport=transport or ProxyRoutes(max_connections),
        timeout=httpx.Timeout(None, connect=connect_seconds),
        headers={"accept-encoding": "identity", "user-agent": "grid-responses-shim"},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        follow_redirects=False,
        trust_env=False,
    )


class ProxyRoutes(httpx.AsyncBaseTransport):
    """One transport for direct connections and one for each proxy, chosen by the URL."""

    def __init__(self, max_connections: int) -> None:
        self._limit = max_connections
        self._tls = tls_context()
        self._routes: dict[tuple[str, bytes], AiohttpTransport] = {}
        self._transports: dict[str | None, AiohttpTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request along its route."""
        place = (request.url.scheme, request.url.netloc)
        if place not in self._routes:
            self._routes[place] = self._through(proxy_for(request.url))
        return await self._routes[place].handle_async_request(request)

    async def aclose(self) -> None:
        """Close all connections."""
        for transport in self._transports.values():
            await transport.aclose()

    def _through(self, proxy: str | None) -> AiohttpTransport:
        if proxy not in self._transports:
            self._transports[proxy] = AiohttpTransport(
                verify=self._tls, client=self._session, proxy=httpx.Proxy(proxy) if proxy else None
            )
        return self._transports[proxy]

    def _session(self) -> aiohttp.ClientSession:
        reuse = aiohttp.TraceConfig()
        reuse.on_connection_reuseconn.append(_note_reuse)
        connector = aiohttp.TCPConnector(
            limit=self._limit, keepalive_timeout=KEEPALIVE_SECONDS, ssl=self._tls
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            max_field_size=MAX_HEADER_BYTES,
            max_line_size=MAX_HEADER_BYTES,
            trace_configs=[reuse],
        )


def tls_context() -> ssl.SSLContext:
    """Certificates are verified against certifi's and the system's authorities."""
    context = httpx.create_ssl_context()
    context.load_default_certs()
    return context


def proxy_for(url: httpx.URL) -> str | None:
    """The proxy that the environment or the system names for a URL.

    Raises:
        UpstreamFault: It is a SOCKS proxy, for which aiohttp has no support.
    """
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or is_loopback(url.host) or proxy_bypass(f"{url.host}:{port(url)}"):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if not proxy.startswith(("http://", "https://")):
        raise UpstreamFault("The environment names a SOCKS proxy for the upstream; only HTTP proxies work.")
    return proxy
