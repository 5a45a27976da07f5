"""What URLs mean to the shim: the base URL as users paste it, origins, loopback, kinship of hosts.

Pure. Whether a redirect may be followed is decided in `shim.upstream.redirects`.
"""

from __future__ import annotations

import re

import httpx

from shim import hosts

_PASTED = re.compile(r"(/chat/completions|/completions|/responses|/models|/+)$")
_DOUBLED = re.compile(r"/v1(/v1)+$")
_WRAPPING = " \t\r\n\f\v\"'`<>"
GRID_DOMAIN = "thegrid.ai"
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?\.?|[0-9a-f:.]*:[0-9a-f:.]*")


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
    if url.scheme == "http" and is_within(url.host, GRID_DOMAIN):
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
    address = hosts.address_of(host)
    return hosts.is_loopback(host) or (address is not None and address.is_unspecified)


def origin(url: httpx.URL) -> tuple[str, str, int]:
    """Scheme, host and port."""
    return url.scheme, url.host.rstrip(".").lower(), port(url)


def port(url: httpx.URL) -> int:
    """The port, also where the URL leaves it to the scheme."""
    return url.port or (443 if url.scheme == "https" else 80)


def is_within(host: str, domain: str) -> bool:
    """Whether a host is a domain or one of its subdomains."""
    name = host.rstrip(".").lower()
    return name == domain or name.endswith(f".{domain}")
