"""New connections: by name, along a proxy, over TLS.

Names with several addresses are tried as RFC 8305 has it, so that a broken IPv6 costs a moment and not the request. What
fails here was never sent.
"""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from dataclasses import dataclass
from functools import partial
from socket import AF_INET, SOCK_STREAM, gaierror

import httpx
from aiohappyeyeballs import start_connection

from shim.errors import UpstreamFault
from shim.upstream.http1 import Connection
from shim.upstream.urls import port

HAPPY_EYEBALLS_SECONDS = 0.25
"""How long an address is tried alone, as RFC 8305, section 5, recommends."""

MAX_PORT = 65_535


class Untrusted(httpx.ConnectError):
    """The other side's certificate is not to be trusted."""


class HandshakeFailed(httpx.ConnectError):
    """TLS could not be agreed upon."""


class Unresolved(httpx.ConnectError):
    """No address is known for the name."""


class ProxyAway(httpx.ConnectError):
    """The proxy cannot be reached."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a connection leads: an origin, and the proxy on the way to it.

    Connections of one route are alike.
    """

    scheme: str
    host: str
    port: int
    proxy: httpx.URL | None = None

    @classmethod
    def to(cls, url: httpx.URL, proxy: httpx.URL | None) -> Route:
        """The route to a URL."""
        return cls(url.scheme, url.raw_host.decode("ascii"), port(url), proxy)

    @property
    def forwards(self) -> bool:
        """Whether the proxy reads the requests itself: without TLS there is no tunnel."""
        return self.proxy is not None and self.scheme == "http"


class Dialer:
    """Makes connections within a time."""

    def __init__(self, connect_seconds: float) -> None:
        self._seconds = connect_seconds
        self._tls: ssl.SSLContext | None = None

    async def dial(self, route: Route) -> Connection:
        """A connection that leads along a route.

        Raises:
            httpx.ConnectError: There is none to be had; its cause is what the system said.
            httpx.ConnectTimeout: It took too long.
            httpx.ProxyError: The proxy refused.
        """
        try:
            async with asyncio.timeout(self._seconds):
                if route.proxy is None:
                    return await self._direct(route.scheme, route.host, route.port)
                return await self._through(route, route.proxy)
        except TimeoutError:
            raise httpx.ConnectTimeout("connecting took too long") from None

    async def _direct(self, scheme: str, host: str, to_port: int) -> Connection:
        try:
            connection = await _connected(host, to_port)
        except (OSError, ValueError, OverflowError, RuntimeError) as error:
            raise _said(error) from error
        if scheme == "https":
            await self._secured(connection, host)
        return connection

    async def _secured(self, connection: Connection, host: str) -> None:
        try:
            if self._tls is None:
                self._tls = await asyncio.to_thread(tls_context)
            await connection.secure(self._tls, host.rstrip("."))
        except (OSError, TypeError) as error:
            raise _said(error) from error
        except BaseException:
            connection.abort()
            raise

    async def _through(self, route: Route, proxy: httpx.URL) -> Connection:
        try:
            connection = await self._direct(proxy.scheme, proxy.raw_host.decode("ascii"), port(proxy))
            if not route.forwards:
                await self._tunnel(connection, route, proxy)
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            raise ProxyAway(str(error)) from error.__cause__
        if not route.forwards:
            await self._secured(connection, route.host)
        return connection

    async def _tunnel(self, connection: Connection, route: Route, proxy: httpx.URL) -> None:
        """Let the proxy connect to the origin."""
        host = f"[{route.host}]" if ":" in route.host else route.host
        place = f"{host}:{route.port}"
        lines = [f"CONNECT {place} HTTP/1.1", f"host: {place}", *proxy_authorization(proxy)]
        answer = await connection.ask("\r\n".join([*lines, "", ""]).encode("latin-1"), b"", self._seconds)
        if answer.status // 100 != 2:  # noqa: PLR2004 -- a success
            connection.abort()
            raise httpx.ProxyError(f"HTTP {answer.status}")


def tls_context() -> ssl.SSLContext:
    """Certificates are verified against certifi's and the system's authorities, hundreds: it takes a moment.

    Raises:
        UpstreamFault: There are none where the environment says.
    """
    try:
        context = httpx.create_ssl_context()
        context.load_default_certs()
    except OSError as error:
        raise UpstreamFault(
            "The upstream's certificate cannot be checked, "
            f"see SSL_CERT_FILE and SSL_CERT_DIR: {error.strerror or error}."
        ) from None
    return context


async def _connected(host: str, to_port: int) -> Connection:
    if to_port > MAX_PORT:  # getaddrinfo would take another for it
        raise OverflowError(f"there is no port {to_port}")
    loop = asyncio.get_running_loop()
    make = partial(Connection, loop)
    found = await loop.getaddrinfo(host, to_port, type=SOCK_STREAM)
    if len(found) == 1 and found[0][0] == AF_INET:
        # No race, hence no bare socket: who waits for one of uvloop's asks for its result by a name made anew each time, which CPython's
        # method cache then keeps, and with it a page of memory. IPv6 goes the other way: the address alone has lost its scope.
        address = str(found[0][4][0])
        _, connection = await loop.create_connection(make, address, to_port, family=AF_INET)
    else:
        sock = await start_connection(
            found, happy_eyeballs_delay=HAPPY_EYEBALLS_SECONDS, interleave=1, loop=loop
        )
        _, connection = await loop.create_connection(make, sock=sock)
    return connection


def proxy_authorization(proxy: httpx.URL) -> list[str]:
    """The header line with the proxy's user name and password, if its URL has one."""
    if not proxy.userinfo:
        return []
    credentials = f"{proxy.username}:{proxy.password}".encode()
    return [f"proxy-authorization: Basic {b64encode(credentials).decode()}"]


def _said(error: Exception) -> httpx.ConnectError:
    """What a failure to connect is called."""
    if isinstance(error, ssl.CertificateError):
        return Untrusted(error.verify_message or str(error))
    if isinstance(error, ssl.SSLError):
        return HandshakeFailed(str(error))
    if isinstance(error, gaierror | UnicodeError):  # the latter is a name that no DNS could have
        return Unresolved("its name cannot be resolved")
    return httpx.ConnectError(str(error))
