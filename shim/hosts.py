"""Names and addresses of machines, as URLs and `Host` headers hold them.

Nothing is resolved: what a name leads to is for its owner to change at any time.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]*)?")


def normalised(host: str) -> str:
    """A host in the one form in which hosts are compared: lower case, no brackets, no dot at the end."""
    return host.strip("[]").rstrip(".").lower()


@lru_cache(maxsize=16)
def host_of(authority: str) -> str:
    """The host of `host:port`, normalised; empty if there is none that every parser reads alike."""
    found = _AUTHORITY.fullmatch(authority)
    return normalised(found["host"]) if found else ""


def address_of(host: str) -> IPv4Address | IPv6Address | None:
    """The address that a host is, None for a name; of an IPv4 address within IPv6 the former."""
    try:
        address = ip_address(normalised(host))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_loopback(host: str) -> bool:
    """Whether a host is this machine and nothing else: 127.0.0.0/8, ::1, `localhost` and below (RFC 6761, 6.3)."""
    name = normalised(host)
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = address_of(name)
    return address is not None and address.is_loopback
