"""What URLs mean to the shim: the base URL as users paste it, origins, loopback, registrable domains.

Pure. Whether a redirect may be followed is decided in `shim.upstream.redirects`.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

import httpx

from shim.core.profile import GRID

_PASTED = re.compile(r"(/chat/completions|/completions|/responses|/models|/+)$")
_DOUBLED = re.compile(r"/v1(/v1)+$")
_WRAPPING = " \t\r\n\f\v\"'`<>"
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?\.?|[0-9a-f:.]*:[0-9a-f:.]*")

_SHARED_SUFFIXES = frozenset(
    {
        "amazonaws.com",
        "appspot.com",
        "azure.com",
        "azurewebsites.net",
        "cloudfront.net",
        "fly.dev",
        "github.io",
        "herokuapp.com",
        "modal.run",
        "netlify.app",
        "ngrok.app",
        "ngrok.io",
        "onrender.com",
        "pages.dev",
        "run.app",
        "trycloudflare.com",
        "vercel.app",
        "workers.dev",
    }
)
"""Domains under which strangers live side by side."""


def normalise_base_url(text: str) -> str:
    """A base URL as it was meant: with scheme and version, without slash, endpoint or doubling at its end.

    Args:
        text: What the user configured, such as `api.thegrid.ai` or `https://host/v1/chat/completions`.

    Raises:
        ValueError: It is empty or no usable HTTP URL; the message is one sentence.
    """
    url = _parse(text.strip(_WRAPPING))
    if url.userinfo:
        raise ValueError("The upstream's base URL must not contain a user name or password.")
    if url.query or url.fragment:
        raise ValueError("The upstream's base URL must not contain a query or fragment.")
    if url.scheme == "http" and registrable_domain(url.host) == GRID_DOMAIN:
        raise ValueError(f"The key would travel in clear: use https:// for {url.host}.")
    return f"{url.scheme}://{url.netloc.decode('ascii')}{_trimmed(url.raw_path.decode('ascii'))}"


def _parse(text: str) -> httpx.URL:
    if not text:
        raise ValueError("The upstream's base URL is empty.")
    scheme = re.match(r"([a-zA-Z][a-zA-Z0-9+.-]*):(?=/|$)", text)
    if scheme and scheme[1].lower() not in {"http", "https"}:
        raise ValueError(f"The upstream's base URL must begin with https:// or http://, not {scheme[1]}:.")
    if scheme and not text[scheme.end() :].startswith("//"):
        raise ValueError("The upstream's base URL lacks the two slashes after its scheme.")
    if scheme:
        text = scheme[1].lower() + text[scheme.end(1) :]  # httpx drops a standard port only then
    try:
        url = httpx.URL(text if scheme else _with_scheme(text.lstrip("/")))
    except (httpx.InvalidURL, ValueError) as error:
        raise ValueError(f"The upstream's base URL is not valid: {error}.") from None
    if not is_plain_host(url):
        raise ValueError("The upstream's base URL names no valid host.")
    return url


def _with_scheme(text: str) -> str:
    loopback = is_loopback(httpx.URL(f"https://{text}").host)
    return f"{'http' if loopback else 'https'}://{text}"


def _trimmed(path: str) -> str:
    """The path without what belongs to a request; a bare host gets `/v1`."""
    while (shorter := _DOUBLED.sub("/v1", _PASTED.sub("", path))) != path:
        path = shorter
    return path or "/v1"


def is_plain_host(url: httpx.URL) -> bool:
    """Whether the host is a name or address that every parser reads alike."""
    host = url.raw_host.decode("ascii", "replace").lower()
    return bool(_HOST.fullmatch(host)) and "\\" not in str(url)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _address(name)
    return address is not None and (address.is_loopback or address.is_unspecified)


def origin(url: httpx.URL) -> tuple[str, str, int]:
    """Scheme, host and port."""
    return url.scheme, url.host.rstrip(".").lower(), port(url)


def port(url: httpx.URL) -> int:
    """The port, also where the URL leaves it to the scheme."""
    return url.port or (443 if url.scheme == "https" else 80)


def registrable_domain(host: str) -> str | None:
    """The domain that belongs to one owner: the last two labels, or three where two are shared.

    Without a public suffix list this errs on the narrow side: under a country's top level domain a short second label
    (`co.uk`, `com.au`) is taken for a registry's, and hosting platforms' domains are known by name.

    Returns:
        None for addresses, single labels, and hosts that are a shared suffix themselves.
    """
    labels = host.rstrip(".").lower().split(".")
    if len(labels) < 2 or not all(labels) or _address(host) is not None:  # noqa: PLR2004 -- name.tld
        return None
    wanted = 3 if _is_shared(labels[-2:]) else 2
    return ".".join(labels[-wanted:]) if len(labels) >= wanted else None


def _is_shared(labels: list[str]) -> bool:
    second, top = labels
    country_registry = len(top) == 2 and len(second) <= 3  # noqa: PLR2004 -- co.uk, com.au
    return country_registry or ".".join(labels) in _SHARED_SUFFIXES


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        return None


GRID_DOMAIN = registrable_domain(httpx.URL(GRID.base_url).host)
