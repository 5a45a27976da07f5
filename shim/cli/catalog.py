"""The upstream's instruments, fetched once for a command that lists or writes them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from shim.cli.problem import Problem

if TYPE_CHECKING:
    from shim.settings import Settings
    from shim.upstream import Catalog, Upstream


def fetch(settings: Settings) -> Catalog:
    """The instruments; the built-in list, marked `fallback`, when the upstream cannot be asked."""
    return asyncio.run(_fetch(settings))


async def _fetch(settings: Settings) -> Catalog:
    upstream = connect(settings)
    key = settings.upstream_key
    try:
        return await upstream.catalog(key.get_secret_value() if key else None)
    finally:
        await upstream.aclose()


def connect(settings: Settings) -> Upstream:
    """The upstream's client.

    Raises:
        Problem: The base URL cannot be used.
    """
    from shim.upstream import Upstream  # noqa: PLC0415 -- the HTTP client is slow to import

    try:
        return Upstream(settings)
    except ValueError as error:
        raise bad_base_url(error) from None


def bad_base_url(error: ValueError) -> Problem:
    """What is wrong with the configured base URL."""
    return Problem(
        str(error), "give a URL such as https://api.thegrid.ai/v1 with --upstream or GRID_SHIM_UPSTREAM."
    )
