"""`grid-shim prompts`: the templates that requests name in `prompt`.

They belong to the endpoint: every client that it serves may use them. Not here: how a request uses one
(`shim.exchange.prompts`).
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

from shim.ambient import Ambient
from shim.cli.options import read_settings, settings_options
from shim.cli.problem import Problem
from shim.errors import Fault
from shim.exchange.prompts import EVERYONE, LONGEST_VERSION, TEMPLATE_FIELDS, variables_of
from shim.settings import Settings
from shim.store import ResponseStore, open_store

Result = TypeVar("Result")

LARGEST_VERSION = 10**LONGEST_VERSION - 1

VERSION = click.option(
    "--version", "version", type=click.IntRange(1, LARGEST_VERSION), help="A version. [default: the latest]"
)


@click.group("prompts")
def command() -> None:
    """Templates that requests name as `"prompt": {"id": ..., "variables": {...}}`.

    A template is a JSON file of request fields; {{name}} in its texts is a variable.
    """


@command.command("put")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--id", "prompt_id", metavar="ID", help="The prompt's id. [default: a new one, pmpt_...]")
@settings_options("store")
def put(*, file: Path, prompt_id: str | None, **options: Any) -> None:
    """Store FILE as the next version of a prompt and print its id."""
    settings = read_settings(**options)
    template = _template(file)
    name = prompt_id or Ambient().new_id("pmpt")

    async def work(store: ResponseStore) -> int:
        stored = await store.prompts.put(EVERYONE, name, json.dumps(template).encode(), int(time.time()))
        return stored.version

    version = _with_store(settings, work)
    click.echo(f"{name} version {version}")


@command.command("list")
@click.argument("prompt_id", metavar="[ID]", required=False)
@settings_options("store")
def list_prompts(*, prompt_id: str | None, **options: Any) -> None:
    """List the latest version of every prompt, or all versions of ID."""
    found = _with_store(read_settings(**options), lambda store: store.prompts.list(EVERYONE, prompt_id))
    drawn = Table("id", "version", "variables", box=None, pad_edge=False, header_style="bold")
    for prompt in found:
        names = sorted(variables_of(json.loads(prompt.template)))
        drawn.add_row(prompt.id, str(prompt.version), " ".join(names) or "-")
    Console().print(drawn)


@command.command("show")
@click.argument("prompt_id", metavar="ID")
@VERSION
@settings_options("store")
def show(*, prompt_id: str, version: int | None, **options: Any) -> None:
    """Print a prompt's template."""
    found = _with_store(
        read_settings(**options), lambda store: store.prompts.get(EVERYONE, prompt_id, version)
    )
    if found is None:
        raise _unknown(prompt_id, version)
    click.echo(json.dumps(json.loads(found.template), indent=2, ensure_ascii=False))


@command.command("delete")
@click.argument("prompt_id", metavar="ID")
@click.option(
    "--version", "version", type=click.IntRange(1, LARGEST_VERSION), help="A version. [default: all of them]"
)
@settings_options("store")
def delete(*, prompt_id: str, version: int | None, **options: Any) -> None:
    """Delete a prompt, or one version of it."""
    count = _with_store(
        read_settings(**options), lambda store: store.prompts.delete(EVERYONE, prompt_id, version)
    )
    if not count:
        raise _unknown(prompt_id, version)
    click.echo(f"{prompt_id}: {count} deleted")


def _template(file: Path) -> dict[str, Any]:
    try:
        template = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise Problem(f"{file} cannot be read: {error.strerror}.", "name a JSON file.") from None
    except ValueError as error:
        raise Problem(f"{file} is not valid JSON: {error}.", "mend it.") from None
    if not isinstance(template, dict):
        raise Problem(
            f"{file} is no JSON object.", 'write one, such as {"instructions": "Speak {{language}}."}.'
        )
    if unknown := sorted(template.keys() - TEMPLATE_FIELDS):
        raise Problem(
            f"{file} has fields that no template may hold: {', '.join(unknown)}.",
            f"leave them out; a template may hold {', '.join(sorted(TEMPLATE_FIELDS))}.",
        )
    return template


def _unknown(prompt_id: str, version: int | None) -> Problem:
    which = f"{prompt_id} version {version}" if version else prompt_id
    return Problem(f"There is no prompt {which}.", "see grid-shim prompts list.")


def _with_store(settings: Settings, work: Callable[[ResponseStore], Awaitable[Result]]) -> Result:
    """Open the store, do something, close it.

    Raises:
        Problem: There is no store that outlives this command, or it is away.
    """
    if settings.store in ("memory", "off"):
        raise Problem(
            f"The setting store is {settings.store}: prompts would not outlive this command.",
            "set it to sqlite, or to the URL that the endpoint uses.",
        )

    async def run() -> Result:
        async with aclosing(await open_store(settings)) as store:
            return await work(store)

    try:
        return asyncio.run(run())
    except Fault as fault:
        raise Problem(fault.message, "check the setting store.") from None
