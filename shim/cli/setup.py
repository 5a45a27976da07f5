"""`grid-shim setup codex`: the endpoint in Codex's own configuration, to be shown, written and taken back."""

from __future__ import annotations

import difflib
import os
import shutil
import tomllib
from typing import TYPE_CHECKING, Any

import click

from shim.cli import catalog, server
from shim.cli.codex_config import BACKUP_SUFFIX, CATALOGUE_FILE, CONFIG, PROFILE, Folder, Wanted, codex_home
from shim.cli.codex_link import PROFILE_FILES_SINCE, catalogue, choose_model, codex_version, provider
from shim.cli.hints import PLACEHOLDER, Endpoint
from shim.cli.options import read_settings, settings_options
from shim.cli.problem import warn
from shim.cli.traps import traps

if TYPE_CHECKING:
    from shim.cli.codex_config import Plan
    from shim.settings import Settings


@click.group("setup", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Write the endpoint into a tool's own configuration."""


@command.command("codex")
@settings_options("port", "upstream", "profile", "default_model")
@click.option("--model", "-m", help="Model of the profile. [default: the default model]")
@click.option(
    "--default",
    "as_default",
    is_flag=True,
    help="Also make it what plain codex uses (and its IDE extension).",
)
@click.option("--print", "only_print", is_flag=True, help="Show what would change; write nothing.")
@click.option("--undo", is_flag=True, help="Take back what setup wrote; your own later edits stay.")
def codex(*, model: str | None, as_default: bool, only_print: bool, undo: bool, **options: Any) -> None:
    """Add a provider, a profile and the model catalogue to Codex's configuration.

    Afterwards `codex --profile grid` runs on the endpoint, while grid-shim serve runs. Repeat it whenever models
    or addresses change. The folder is CODEX_HOME, else ~/.codex.
    """
    folder = Folder(codex_home(os.environ))
    if undo:
        _finish(
            folder, folder.undo(), only_print=only_print, done="Codex's configuration is as it was before."
        )
        return
    settings = read_settings(**options)
    endpoint = Endpoint.of(settings, server.url_of(settings.host, settings.port, settings.scheme))
    clean = folder.undo().texts
    before = (clean[CONFIG] if CONFIG in clean else folder.read(CONFIG)) or ""
    plan = folder.set_up(_wanted(settings, endpoint, model, as_default=as_default))
    _finish(folder, plan, only_print=only_print, done=_done(as_default=as_default))
    for trap in traps(tomllib.loads(before), endpoint.base_url, endpoint.variable, os.environ):
        warn(trap)
    _warn_of_old_codex(as_default=as_default)


def _warn_of_old_codex(*, as_default: bool) -> None:
    version = codex_version(shutil.which("codex"))
    if version is not None and version < PROFILE_FILES_SINCE and not as_default:
        shown = ".".join(map(str, version))
        warn(f"Codex {shown} knows no profile files: a newer one does; or use --default.")


def _wanted(settings: Settings, endpoint: Endpoint, model: str | None, *, as_default: bool) -> Wanted:
    found = catalog.fetch(settings)
    if found.fallback:
        warn(f"{settings.base_url} did not list its models; the catalogue holds the built-in list.")
    chosen = choose_model(settings, found.instruments, model)
    return Wanted(
        provider(endpoint.base_url, endpoint.variable, PLACEHOLDER),
        chosen,
        catalogue(found.instruments, chosen, settings.model, codex_version(shutil.which("codex"))),
        default=as_default,
    )


def _done(*, as_default: bool) -> str:
    start = "codex" if as_default else f"codex --profile {PROFILE}"
    return f"Start the endpoint with grid-shim serve, then: {start}    (undo: grid-shim setup codex --undo)"


def _finish(folder: Folder, plan: Plan, *, only_print: bool, done: str) -> None:
    if only_print:
        show(folder, plan)
        return
    changed = [name for name in folder.write(plan) if not name.endswith(BACKUP_SUFFIX)]
    for name in changed:
        click.echo(f"{'wrote' if (folder.home / name).exists() else 'removed'} {folder.home / name}")
    if not changed:
        click.echo("Nothing to change.")
    for path in plan.kept:
        warn(f"{path} was changed since setup and stays as it is.")
    click.echo(done)


def show(folder: Folder, plan: Plan) -> None:
    """Print a plan as a diff; the catalogue, which is long, only by name."""
    for name, text in plan.texts.items():
        before = folder.read(name)
        if name == CATALOGUE_FILE and text is not None:
            click.echo(f"{folder.home / name}: {len(text):,} bytes of model catalogue\n")
        elif before != text and not name.endswith((BACKUP_SUFFIX, ".json")):
            lines = difflib.unified_diff(
                (before or "").splitlines(), (text or "").splitlines(), name, name, lineterm="", n=1
            )
            click.echo("\n".join(lines) + "\n")
