"""What web pages may ask: nothing, unless their origin is allowed, and then with CORS.

Any page in a user's browser can send requests to a port of the user's machine, and can make a name of its own lead
there (DNS rebinding), after which the browser takes both for one origin. But a page cannot choose what the browser
says in `Host`, `Origin` and `Sec-Fetch-Site`, so these tell whether a page asks, and whose. Sources: the Fetch
standard, sections 3.2 and 3.3; RFC 9110, section 7.2; W3C Fetch Metadata, section 2.

Where clients must present a token, any page may try: browsers add no token to a request by themselves. What
`allowed_hosts` and `allowed_origins` name is held to all the same.

Not here: tokens and keys (`shim.http.guards`); content types (`shim.http.bodies`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.responses import Response

from shim.errors import ClientFault
from shim.hosts import address_of, host_of, is_loopback, normalised
from shim.settings import PREFIX

if TYPE_CHECKING:
    from starlette.types import Message, Scope, Send

    from shim.settings import Settings

ANY = "*"
WATCHED = frozenset({b"host", b"origin", b"sec-fetch-site"})
OWN_SITES = frozenset({b"none", b"same-origin"})
"""`Sec-Fetch-Site` of a URL that the user has typed, and of a page of ours. `same-site` is another port."""

PREFLIGHT_SECONDS = b"600"
LONGEST_QUOTE = 200
METHODS = b"GET, HEAD, POST, DELETE"
VARY = (b"vary", b"origin")

Sent = dict[bytes, bytes]
RawHeaders = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class HostRule:
    """The hosts under which we are served.

    Attributes:
        names: Exactly these, besides those of the loopback interface.
        suffixes: All that end so, such as `.example`.
        any_address: All addresses: a page cannot make another site's name of one.
    """

    names: frozenset[str]
    suffixes: tuple[str, ...]
    any_address: bool

    @classmethod
    def of(cls, settings: Settings) -> HostRule:
        """The rule that the settings describe; who listens beyond loopback is asked by any address."""
        allowed = settings.allowed_hosts
        return cls(
            names=frozenset({"localhost", "127.0.0.1", normalised(settings.host), *allowed}),
            suffixes=tuple(host.removeprefix(ANY) for host in allowed if host.startswith(ANY)),
            any_address=not is_loopback(settings.host),
        )

    def allows(self, authority: str) -> bool:
        """Whether a `Host` header's value is one of ours."""
        host = host_of(authority)
        if host in self.names or is_loopback(host):
            return True
        if host and host.endswith(self.suffixes):
            return True
        return self.any_address and address_of(host) is not None


@dataclass(frozen=True, slots=True)
class PageGuard:
    """The rule for requests that may come from web pages.

    Attributes:
        hosts: Under which hosts we are served; None: under any.
        origins: Which origins may ask; None: any.
        shares: Whether answers are shared with the origins that may ask (CORS).
    """

    hosts: HostRule | None
    origins: frozenset[str] | None
    shares: bool

    @classmethod
    def of(cls, settings: Settings) -> PageGuard:
        """The rule that the settings describe."""
        hosts, origins, tokens = settings.allowed_hosts, settings.allowed_origins, settings.client_tokens
        any_host = ANY in hosts or bool(tokens and not hosts)
        any_origin = ANY in origins or bool(tokens and not origins)
        return cls(
            hosts=None if any_host else HostRule.of(settings),
            origins=None if any_origin else frozenset(origins),
            shares=bool(origins),
        )

    def admit(self, scope: Scope, send: Send) -> Send:
        """Let the request in; returns `send`, for answers that its page may read if it is allowed to.

        A request without `Host` comes from no browser: HTTP/1.0 probes send none.

        Raises:
            ClientFault: 403, the request's host or origin is not allowed.
        """
        sent = _watched(scope)
        if self.hosts is not None and b"host" in sent and not self.hosts.allows(_text(sent[b"host"])):
            raise _host_not_allowed(_text(sent[b"host"]))
        if self.origins is not None:
            self._check_origin(sent, self.origins)
        return _sharing(send, sent.get(b"origin")) if self.shares else send

    def preflight(self, scope: Scope) -> Response | None:
        """The answer to a browser that asks what it may send, if `scope` is such a question and any page may ask."""
        if not self.shares or scope["type"] != "http" or scope["method"] != "OPTIONS":
            return None
        asked = dict(scope["headers"])
        if b"access-control-request-method" not in asked:
            return None
        answer = Response(status_code=204)
        answer.raw_headers.extend(_permissions(asked))
        return answer

    def _check_origin(self, sent: Sent, origins: frozenset[str]) -> None:
        origin = sent.get(b"origin")
        if origin is None:
            if (site := sent.get(b"sec-fetch-site")) is not None and site not in OWN_SITES:
                raise _origin_not_allowed("Sec-Fetch-Site", _text(site))
        elif not (_is_own(origin, sent.get(b"host")) or _is_among(_text(origin), origins)):
            raise _origin_not_allowed("Origin", _text(origin))


def _watched(scope: Scope) -> Sent:
    """The headers by name, at least those that are looked at; one that is repeated is joined by commas, and so allowed by no rule."""
    headers: RawHeaders = scope["headers"]
    sent: Sent = dict(headers)
    if len(sent) < len(headers):
        sent = {}
        for name, value in headers:
            if name in WATCHED:
                sent[name] = sent[name] + b"," + value if name in sent else value
    return sent


def _is_own(origin: bytes, host: bytes | None) -> bool:
    """Whether a page that was served under `host`, which is allowed, asks."""
    scheme, _, authority = origin.partition(b"://")
    return scheme in (b"http", b"https") and authority == host


def _is_among(origin: str, origins: frozenset[str]) -> bool:
    scheme, separator, _ = origin.partition("://")
    return origin in origins or (separator != "" and f"{scheme}://{ANY}" in origins)


def _sharing(send: Send, origin: bytes | None) -> Send:
    """`send`, with what lets a page of `origin` read the answer; credentials of the browser's own are not asked for."""
    headers: RawHeaders = [VARY]
    if origin is not None:
        headers += [(b"access-control-allow-origin", origin), (b"access-control-expose-headers", b"*")]

    async def sharing(message: Message) -> None:
        if message["type"].endswith("http.response.start"):
            message = {**message, "headers": [*message.get("headers", ()), *headers]}
        await send(message)

    return sharing


def _permissions(asked: Sent) -> RawHeaders:
    """Every method that we serve, and all headers that the page wants to send."""
    headers: RawHeaders = [
        (b"access-control-allow-methods", METHODS),
        (b"access-control-max-age", PREFLIGHT_SECONDS),
    ]
    if wanted := asked.get(b"access-control-request-headers"):
        headers.append((b"access-control-allow-headers", wanted))
    if asked.get(b"access-control-request-private-network") == b"true":
        headers.append((b"access-control-allow-private-network", b"true"))
    return headers


def _host_not_allowed(host: str) -> ClientFault:
    message = (
        f"Host {host[:LONGEST_QUOTE]!r} is not served here. If this name is meant to lead here, add it to the setting "
        f"allowed_hosts ({PREFIX}ALLOWED_HOSTS)."
    )
    return ClientFault(message, status=403, code="host_not_allowed")


def _origin_not_allowed(header: str, value: str) -> ClientFault:
    message = (
        f"{header} {value[:LONGEST_QUOTE]!r} is not allowed: web pages and apps made of them are answered only if their "
        f"origin is in the setting allowed_origins ({PREFIX}ALLOWED_ORIGINS)."
    )
    return ClientFault(message, status=403, code="origin_not_allowed")


def _text(value: bytes) -> str:
    return value.decode("latin-1")
