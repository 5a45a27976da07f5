"""`grid-shim db`: the store's schema, size and retention."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

from shim.ambient import Ambient
from shim.cli import storing
from shim.cli.options import read_settings, settings_options
from shim.store import ResponseStore, open_store, upgrade_store
from shim.store.schema import HEAD

if TYPE_CHECKING:
    from shim.settings import Settings
    from shim.store.records import Purged, Stats

T = TypeVar("T")

CALLS = 1000
"""Calls of one `purge`, each bounded itself."""


@click.group("db")
def command() -> None:
    """Upgrade, measure or purge the store."""


@command.command("upgrade")
@settings_options("store")
def upgrade(**options: Any) -> None:
    """Bring the store's schema up to date; once a release, before the replicas start."""
    before = storing.run(upgrade_store(read_settings(**options)))
    if before == HEAD:
        click.echo(f"The store's schema is up to date: {HEAD}.")
    else:
        click.echo(
            f"The store's schema is now {HEAD}" + (f"; it was {before}." if before else "; there was none.")
        )


@command.command("stats")
@settings_options("store")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def stats(*, as_json: bool, **options: Any) -> None:
    """Count what is stored, of all keys."""
    found = storing.run(_with_store(read_settings(**options), lambda store: store.stats()))
    if as_json:
        click.echo(json.dumps(asdict(found), indent=2))
    else:
        Console().print(table(found))


@command.command("purge")
@settings_options("store", "retention_days", "store_max_bytes")
def purge(**options: Any) -> None:
    """Delete what is past retention, then above the size bound the oldest of those who keep most. The endpoint does so, too."""
    gone = storing.run(_with_store(read_settings(**options), _purge_all))
    click.echo(f"Deleted {gone.responses:,} responses and {gone.conversations:,} conversations.")


def table(found: Stats) -> Table:
    """The numbers, one a line."""
    drawn = Table(box=None, pad_edge=False, show_header=False)
    drawn.add_column()
    drawn.add_column(justify="right")
    for name, value in asdict(found).items():
        drawn.add_row(name.replace("_", " "), _shown(name, value))
    return drawn


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name == "oldest":
        return datetime.fromtimestamp(value, UTC).isoformat(" ")
    if name in ("size", "file_size"):
        return f"{value:,} bytes"
    return value if isinstance(value, str) else f"{value:,}"


async def _purge_all(store: ResponseStore) -> Purged:
    now = Ambient().now()
    total = await store.purge(now)
    for _ in range(CALLS):
        if not total.more:
            break
        further = await store.purge(now)
        total = type(total)(
            total.responses + further.responses,
            total.conversations + further.conversations,
            more=further.more,
        )
    return total


async def _with_store(settings: Settings, use: Callable[[ResponseStore], Awaitable[T]]) -> T:
    store = await open_store(settings)
    try:
        return await use(store)
    finally:
        await store.aclose()
