"""`grid-shim codex`: Codex on the endpoint for one session, by command-line overrides; no file of the user's changes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import httpx

from shim.cli import catalog, server
from shim.cli.codex_link import (
    catalogue,
    choose_model,
    codex_version,
    embedded_mode,
    find_codex,
    overrides,
    provider,
)
from shim.cli.hints import PLACEHOLDER
from shim.cli.options import read_settings, settings_options
from shim.cli.problem import Problem

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence

    from shim.settings import Settings

PROVIDER = "grid_shim"
"""The session's own provider id, so that nothing of a `[model_providers.grid]` in the user's file mixes in."""

TOKEN_VARIABLE = "GRID_SHIM_CODEX_TOKEN"  # noqa: S105 -- a name
"""How the token reaches Codex: its command line is visible to other users, its environment is not."""

PROBE_SECONDS = 2.0

FOR_ONE_SESSION = {"log_level": "error", "ssl_certfile": None, "ssl_keyfile": None, "ssl_ca_certs": None}
"""Codex draws on this terminal, and asks on 127.0.0.1, for which the certificate was not made."""


@click.command(
    "codex",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@settings_options("port", "upstream", "profile", "default_model")
@click.option("--model", "-m", help="Model for this session. [default: the default model]")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(*, model: str | None, arguments: tuple[str, ...], **options: Any) -> None:
    """Launch Codex on The Grid. ARGUMENTS go to Codex as they are; write -- before them if in doubt.

    The endpoint is started for the session, unless one already answers on the port.

    \b
      grid-shim codex
      grid-shim codex -m code-max
      grid-shim codex -- exec "say hello"
    """  # noqa: D301 -- \b is click's mark for lines that stay as they are
    settings = read_settings(**options)
    binary = find_codex()
    with ExitStack() as stack:
        base_url = stack.enter_context(endpoint(settings))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="grid-shim-")))
        instruments = catalog.fetch(settings).instruments
        chosen = choose_model(settings, instruments, model)
        file = folder / "models.json"
        version = codex_version(binary)
        file.write_text(json.dumps(catalogue(instruments, chosen, settings.model, version)), encoding="utf-8")
        session = Session(base_url, chosen, file)
        options_first = [*session.arguments, *embedded_mode(version, arguments)]
        code = launch([binary, *options_first, *arguments], environment(settings))
    raise SystemExit(code)


@dataclass(frozen=True)
class Session:
    """What Codex is told for one session.

    Attributes:
        base_url: The endpoint's.
        model: The model to begin with.
        catalogue: The catalogue file.
    """

    base_url: str
    model: str
    catalogue: Path

    @property
    def arguments(self) -> list[str]:
        """Options that stand before the user's own, so that the user's win."""
        return overrides(
            {
                "model": self.model,
                "model_provider": PROVIDER,
                "web_search": "disabled",
                "model_catalog_json": str(self.catalogue),
                f"model_providers.{PROVIDER}": provider(self.base_url, TOKEN_VARIABLE, PLACEHOLDER),
            }
        )


def environment(settings: Settings) -> dict[str, str]:
    """Codex's environment: the user's, with a token for the endpoint."""
    return {**os.environ, TOKEN_VARIABLE: _token(settings)}


def _token(settings: Settings) -> str:
    return settings.client_tokens[0].get_secret_value() if settings.client_tokens else PLACEHOLDER


@contextmanager
def endpoint(settings: Settings) -> Iterator[str]:
    """The base URL of an endpoint: one that already answers on the port, else one of our own for the session.

    Raises:
        Problem: Ours would have no key to work with.
    """
    running = server.url_of(settings.host, settings.port, settings.scheme)
    if settings.port and answers(running, _token(settings)):
        click.echo(f"grid-shim: using the endpoint on {running}", err=True)
        yield running
        return
    if settings.upstream_key is None and settings.preset.needs_key:
        variable = settings.preset.key_variable
        raise Problem(
            "There is no upstream key.", f"export {variable}=... first; grid-shim demo works without."
        )
    quiet = settings.model_copy(update=FOR_ONE_SESSION)
    with server.in_thread(quiet, _free_socket(settings)) as base_url:
        yield base_url


def _free_socket(settings: Settings) -> socket.socket:
    try:
        return server.bind("127.0.0.1", settings.port)
    except Problem:
        return server.bind("127.0.0.1", 0)


def answers(base_url: str, token: str) -> bool:
    """Whether an endpoint of ours answers there: its model list speaks to Codex, too."""
    headers = {"authorization": f"Bearer {token}"}
    try:
        body = httpx.get(f"{base_url}/models", headers=headers, timeout=PROBE_SECONDS, trust_env=False).json()
    except (httpx.HTTPError, ValueError):
        return False
    return isinstance(body, dict) and "models" in body and body.get("object") == "list"


def launch(arguments: Sequence[str], variables: dict[str, str]) -> int:
    """Run Codex in the foreground; returns its exit code, as a shell would report it.

    Ctrl-C is Codex's to handle: it reaches both processes, and this one lets it pass. (A handler, not `SIG_IGN`,
    which the child would inherit.)
    """
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        code = subprocess.run(arguments, env=variables, check=False).returncode  # noqa: S603 -- the user's Codex
    finally:
        signal.signal(signal.SIGINT, before)
    return code if code >= 0 else 128 - code
