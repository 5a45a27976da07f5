"""The command group: names, one line of help each, and the module that is imported when a command is used."""

from __future__ import annotations

import importlib
import sys
import traceback
from typing import Any

import click

from shim import __version__
from shim.cli.problem import Problem

COMMANDS = {
    "serve": ("shim.cli.serve", "Run the endpoint."),
    "demo": ("shim.cli.demo", "Try it with no key: an embedded upstream behind the endpoint."),
    "codex": ("shim.cli.codex", "Launch Codex on The Grid; changes none of its files."),
    "setup": ("shim.cli.setup", "Write the endpoint into a tool's own configuration."),
    "doctor": ("shim.cli.doctor", "Check key, address, models and one call of each kind."),
    "db": ("shim.cli.db", "Upgrade, measure or purge the store."),
    "models": ("shim.cli.models", "List the upstream's instruments."),
    "prompts": ("shim.cli.prompts", "Store, list, show and delete prompt templates."),
    "seal": ("shim.cli.seal", "Rotate the key that seals reasoning."),
    "schemas": ("shim.cli.schemas", "Write or check the published JSON Schema documents."),
}
"""Each module holds a click command of the name `command`."""

INTERRUPTED = 130


class LazyGroup(click.Group):
    """A group whose help needs none of its commands' modules."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        """Names in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command's module."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list of commands, from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="With no key at hand, start with: grid-shim demo",
)
@click.version_option(__version__, prog_name="grid-shim", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an unexpected error.")
def grid_shim(*, debug: bool) -> None:
    """OpenAI's Responses API in front of The Grid, or of any Chat Completions upstream."""
    del debug  # read in `run`, which sees errors from before the options are parsed, too


def run(arguments: list[str] | None = None) -> None:
    """Run a command line and exit; an unexpected error is one sentence.

    Args:
        arguments: The command line without the program's name; None takes the process's own.
    """
    given = sys.argv[1:] if arguments is None else arguments
    try:
        result: Any = grid_shim.main(given, prog_name="grid-shim", standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except Exception as error:  # noqa: BLE001 -- the outermost frame: nothing above could say it better
        _unexpected(error, debug="--debug" in given).show()
        sys.exit(1)
    sys.exit(result if isinstance(result, int) else 0)


def _unexpected(error: Exception, *, debug: bool) -> Problem:
    if debug:
        traceback.print_exception(error)
    said = " ".join(str(error).split())
    return Problem(
        f"Unexpected {type(error).__name__}: {said}".removesuffix(": ").rstrip(".") + ".",
        "see the traceback with grid-shim --debug ... and report it; the rest of your command line stays as it is.",
    )
