"""`grid-shim serve`: the endpoint in the foreground."""

from __future__ import annotations

import contextlib
from typing import Any

import click

from shim.cli import server
from shim.cli.hints import Endpoint
from shim.cli.options import read_settings, settings_options, warn_of_risks


@click.command("serve")
@settings_options(
    "host",
    "port",
    "workers",
    "upstream",
    "profile",
    "default_model",
    "store",
    "keepalive_seconds",
    "log_format",
    "log_level",
)
@click.option("--quiet", "-q", is_flag=True, help="Do not print what to paste into Codex and an SDK.")
def command(*, quiet: bool, **options: Any) -> None:
    """Run the endpoint until Ctrl-C.

    Every setting can also be given as GRID_SHIM_NAME in the environment, in the TOML file, or with --set.
    """
    settings = read_settings(**options)
    with server.bind(settings.host, settings.port) as listening:
        server.check_exposure(settings, listening)
        warn_of_risks(settings)
        base_url = server.base_url(listening, settings.scheme)

        def announce() -> None:
            click.echo(f"Responses API on {base_url}  ->  {settings.base_url}  (Ctrl-C ends it)")
            if not quiet:
                click.echo("\n" + Endpoint.of(settings, base_url).text())

        with contextlib.suppress(KeyboardInterrupt):
            if settings.workers == 1:
                server.serve_forever(settings, listening, announce)
            else:
                from shim.cli import workers  # noqa: PLC0415 -- few have several

                workers.serve(settings, listening, announce)
