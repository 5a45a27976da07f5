"""What went wrong on the wire: whether the request can have been accepted, and how to say it in one sentence.

The line that matters is `sent`: an exception that does not prove the contrary counts as sent, and what was sent is not
repeated.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from http import HTTPStatus

import httpx

from shim.core.faults import clean
from shim.errors import UpstreamFault
from shim.upstream.decoding import Declined
from shim.upstream.dialing import HandshakeFailed, ProxyAway, Unresolved, Untrusted
from shim.upstream.http1 import Undelivered
from shim.upstream.retry import Refused

TRANSPORT_ERRORS = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError)
"""All that a transport raises; `TimeoutError` and TLS errors are `OSError`s."""

_REASONS = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset",
    errno.EHOSTUNREACH: "no route to the host",
    errno.ENETUNREACH: "network unreachable",
    errno.ETIMEDOUT: "connection timed out",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of trouble.

    Attributes:
        reason: What to say; `{}` is the exception's own text.
        sent: Whether the request may have reached the upstream.
        slow: Whether time ran out.
        lasting: Whether another attempt must fail as well.
    """

    reason: str
    sent: bool = True
    slow: bool = False
    lasting: bool = False


_KINDS: tuple[tuple[type[Exception], Kind], ...] = (
    (Untrusted, Kind("its certificate is not trusted: {}", sent=False, lasting=True)),
    (HandshakeFailed, Kind("the TLS handshake failed: {}", sent=False)),
    (Unresolved, Kind("its name cannot be resolved", sent=False)),
    (ProxyAway, Kind("the proxy cannot be reached: {}", sent=False)),
    (httpx.ConnectError, Kind("{}", sent=False)),
    (Undelivered, Kind("{}", sent=False)),
    (httpx.ConnectTimeout, Kind("connecting took too long", sent=False, slow=True)),
    (httpx.PoolTimeout, Kind("all connections are busy", sent=False, slow=True)),
    (httpx.ProxyError, Kind("the proxy refused: {}", sent=False, lasting=True)),
    (httpx.UnsupportedProtocol, Kind("its URL is not valid", sent=False, lasting=True)),
    (httpx.LocalProtocolError, Kind("{}", sent=False, lasting=True)),
    (httpx.InvalidURL, Kind("its URL is not valid", sent=False, lasting=True)),
    (httpx.TimeoutException, Kind("no answer in time", slow=True)),
    (Declined, Kind("its compression, {}, was declined")),
    (httpx.DecodingError, Kind("the answer's compression is broken")),
    (TimeoutError, Kind("no answer in time", slow=True)),
    (Exception, Kind("{}")),
)
"""First match first: subclasses stand before their bases."""


def refused(error: Exception, url: httpx.URL, *, kept: bool) -> Refused:
    """What an exception before the first byte of the answer means.

    Args:
        error: One of `TRANSPORT_ERRORS`.
        url: Where the request went.
        kept: Whether it went over a connection that had served another.
    """
    kind = _kind_of(error)
    verb = "No answer from" if kind.sent and kind.slow else "Lost" if kind.sent else "Cannot reach"
    return Refused(
        _fault(f"{verb} the upstream at {place(url)}", error, kind),
        again=not (kind.sent or kind.lasting),
        at_once=kept and isinstance(error, Undelivered),
    )


def broken(error: Exception, url: httpx.URL) -> UpstreamFault:
    """What an exception within the answer's body means."""
    return _fault(f"The answer of the upstream at {place(url)} broke off", error, _kind_of(error))


def place(url: httpx.URL) -> str:
    """Scheme, host and port, for people; paths and queries may hold secrets."""
    return f"{url.scheme}://{url.netloc.decode('ascii', 'replace')}"


def _kind_of(error: Exception) -> Kind:
    return next(kind for family, kind in _KINDS if isinstance(error, family))


def _fault(what: str, error: Exception, kind: Kind) -> UpstreamFault:
    status = HTTPStatus.GATEWAY_TIMEOUT if kind.slow else HTTPStatus.BAD_GATEWAY
    return UpstreamFault(
        f"{what}: {kind.reason.format(_detail(error))}.", status=int(status), code="server_error"
    )


def _detail(error: Exception) -> str:
    """The exception's reason, in words where its number, or its cause's, is known."""
    inner = error.__cause__ if isinstance(error.__cause__, OSError) else error
    number = getattr(inner, "errno", None)
    text = str(getattr(inner, "verify_message", "") or getattr(inner, "strerror", "") or inner)
    reason = _REASONS.get(number) if isinstance(number, int) else None
    return reason or _reason_in(text) or clean(text)[:200].rstrip(". ") or type(error).__name__


def _reason_in(text: str) -> str | None:
    """The first of several attempts' reasons (a name with many addresses)."""
    return next((reason for number, reason in _REASONS.items() if f"[Errno {number}]" in text), None)
