"""`grid-shim seal`: the key that seals reasoning, where it lies in a file.

Not here: sealing (`shim.seal`) and the file (`shim.seal_keys`).
"""

from __future__ import annotations

from typing import Any

import click

from shim.cli.options import read_settings, settings_options
from shim.cli.problem import Problem
from shim.seal_keys import key_file, rotate_file


@click.group("seal")
def command() -> None:
    """Rotate the key that seals reasoning and the keys of background work."""


@command.command("rotate")
@settings_options("seal_key_file")
def rotate(**options: Any) -> None:
    """Put a new key first in the file. The former ones still open; delete their lines when they need not."""
    settings = read_settings(**options)
    if settings.seal_key is not None:
        raise Problem(
            "The key is the setting seal_key, and in no file.",
            "put the former one into seal_keys_accepted, and a new one into seal_key: openssl rand -hex 32 makes one.",
        )
    path = key_file(settings)
    try:
        count = rotate_file(path)
    except OSError as error:
        raise Problem(f"{path} cannot be rotated: {error.strerror or error}.", "mend that file.") from None
    click.echo(f"{path} holds {count} key{'s'[: count > 1]}; the first one seals from the next start on.")
