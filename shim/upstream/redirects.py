"""Where a redirect may lead: The Grid answers 307 and names the endpoint that serves the request.

The request is repeated there with the same method, body and key, so it goes only where the key may go:

* the base URL's own origin;
* over https, subdomains of its host, and for The Grid its whole domain, at the standard or the base's own port;
* hosts that the setting `trusted_hosts` names (`host`, `host:port` or `*.domain`);
* from loopback to loopback.

Never from https to http. A refusal is an error that says what to configure; nothing is sent without the key instead,
since the body is as private as the key.

Pure. Sending is in `shim.upstream.client`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus

import httpx

from shim.errors import UpstreamFault
from shim.upstream.urls import GRID_DOMAIN, is_loopback, is_plain_host, is_within, origin, port

MOST_HOPS = 5
FOLLOWED = frozenset({HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT})
HTTPS_PORT = 443


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom the key may be shown.

    Attributes:
        base: The base URL.
        hosts: Further hosts, as in the setting `trusted_hosts`.
    """

    base: httpx.URL
    hosts: tuple[str, ...] = ()

    def covers(self, target: httpx.URL) -> bool:
        """Whether the key may go to this URL."""
        return (
            origin(target) == origin(self.base)
            or self._is_kin(target)
            or any(_names(entry, target) for entry in self.hosts)
            or (is_loopback(self.base.host) and is_loopback(target.host))
        )

    def _is_kin(self, target: httpx.URL) -> bool:
        """Whether it is a subdomain of the base's host; neighbours under one domain may be strangers."""
        base = self.base.host.rstrip(".").lower()
        domain = GRID_DOMAIN if is_within(base, GRID_DOMAIN) else base
        return (
            target.scheme == "https"
            and port(target) in {HTTPS_PORT, port(self.base)}
            and is_within(target.host, domain)
        )


def _names(entry: str, target: httpx.URL) -> bool:
    """Whether an entry of `trusted_hosts` means this URL."""
    wanted, host = entry.strip().lower().rstrip("."), target.host.rstrip(".").lower()
    if wanted.startswith(("*.", ".")):
        return host.endswith("." + wanted.lstrip("*."))
    return bool(wanted) and wanted in {host, f"{host}:{port(target)}"}


@dataclass(slots=True)
class Journey:
    """One attempt's way from the original URL through its redirects."""

    trust: Trust
    url: httpx.URL
    seen: set[httpx.URL] = field(default_factory=set)

    def follow(self, status: int, location: str | None) -> httpx.URL:
        """The next URL.

        Args:
            status: The 3xx status.
            location: Its `Location` header.

        Raises:
            UpstreamFault: The redirect must not or cannot be followed.
        """
        if status not in FOLLOWED:
            raise UpstreamFault(
                f"The upstream answered HTTP {status}, a redirect that drops the request's body, "
                f"at {self.url.host}: its base URL looks wrong (http for https, or another host)."
            )
        target = self._target(location)
        self.seen.add(self.url)
        self._check(target)
        self.url = target
        return target

    def _target(self, location: str | None) -> httpx.URL:
        if not location:
            raise UpstreamFault(f"The upstream redirected from {self.url.host} without saying where to.")
        try:
            target = self.url.join(location)
        except (httpx.InvalidURL, ValueError):
            target = httpx.URL()
        if target.scheme not in {"http", "https"} or target.userinfo or not is_plain_host(target):
            raise UpstreamFault("The upstream redirected to an address that is not a plain HTTP URL.")
        return target.copy_with(fragment=None)

    def _check(self, target: httpx.URL) -> None:
        if target in self.seen:
            raise UpstreamFault(f"The upstream redirects in a circle: {target.host} again.")
        if len(self.seen) > MOST_HOPS:
            raise UpstreamFault(f"The upstream redirected more than {MOST_HOPS} times.")
        if target.scheme == "http" and "https" in {self.url.scheme, self.trust.base.scheme}:
            raise UpstreamFault(f"The upstream redirected from https to http ({target.host}): refused.")
        if not self.trust.covers(target):
            raise UpstreamFault(
                f"The upstream redirected to {target.host}, which is not trusted with the key; "
                f"if it is the supplier's, add it to the setting trusted_hosts."
            )
