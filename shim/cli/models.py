"""`grid-shim models`: the upstream's instruments as a table or as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from shim.cli import catalog
from shim.cli.options import read_settings, settings_options
from shim.cli.problem import warn
from shim.core.codex import list_entry

if TYPE_CHECKING:
    from shim.core.profile import Instrument

UNKNOWN = "?"


@click.command("models")
@settings_options("upstream", "profile")
@click.option("--json", "as_json", is_flag=True, help="Print OpenAI's list as JSON.")
def command(*, as_json: bool, **options: Any) -> None:
    """List the upstream's instruments with their limits."""
    settings = read_settings(**options)
    found = catalog.fetch(settings)
    if found.fallback:
        warn(f"{settings.base_url} did not list its models; this is the built-in list.")
    if as_json:
        click.echo(
            json.dumps({"object": "list", "data": [list_entry(one) for one in found.instruments]}, indent=2)
        )
    else:
        Console().print(table(found.instruments, default=settings.model))


def table(instruments: tuple[Instrument, ...] | list[Instrument], default: str | None) -> Table:
    """A table that is readable at 80 columns; the default instrument is marked."""
    drawn = Table("instrument", box=None, pad_edge=False, header_style="bold")
    drawn.add_column("context", justify="right")
    drawn.add_column("output", justify="right")
    drawn.add_column("efforts")
    drawn.add_column("images")
    for one in instruments:
        drawn.add_row(
            one.id + (" *" if one.id == default else ""),
            _count(one.context_window),
            _count(one.max_output_tokens),
            UNKNOWN if one.efforts is None else " ".join(one.efforts) or "-",
            {True: "yes", False: "no", None: UNKNOWN}[one.images],
        )
    if default is not None:
        drawn.caption = "* default: what aliases such as gpt-* stand for"
        drawn.caption_justify = "left"
    return drawn


def _count(tokens: int | None) -> str:
    return UNKNOWN if tokens is None else f"{tokens:,}"
