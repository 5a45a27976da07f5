"""`grid-shim doctor`: one line per check, green or red, with the fix."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from shim.cli.options import read_settings, settings_options

if TYPE_CHECKING:
    from shim.cli.checks import Finding
    from shim.settings import Settings


@click.command("doctor")
@settings_options("upstream", "profile", "default_model")
def command(**options: Any) -> None:
    """Check key, base URL, redirect, models, and one streamed, one tool and one schema call.

    The three calls are real and cost a few tokens. The exit code is 1 if anything is red.
    """
    settings = read_settings(**options)
    raise SystemExit(0 if asyncio.run(_run(settings)) else 1)


async def _run(settings: Settings) -> bool:
    from shim.cli.checks import findings  # noqa: PLC0415 -- the HTTP client is slow to import

    good = True
    async for finding in findings(settings):
        show(finding)
        good = good and finding.good
    return good


def show(finding: Finding) -> None:
    """Print one line, and the fix below it when it is red."""
    mark = click.style("✓", fg="green") if finding.good else click.style("✗", fg="red")
    click.echo(f"{mark} {finding.name:<13} {finding.detail}")
    if not finding.good:
        click.echo(f"{'':<16}Fix: {finding.fix}")
