"""A problem the user can mend: one sentence, the fix, and an exit code; never a traceback."""

from __future__ import annotations

from typing import IO, Any

import click


class Problem(click.ClickException):
    """Ends the command.

    Attributes:
        message: What is wrong, one sentence.
        fix: What to do about it.
    """

    exit_code = 1

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the sentence and the fix on standard error."""
        click.echo(f"grid-shim: {self.message}\n  Fix: {self.fix}", err=True, file=file)


def warn(message: str) -> None:
    """One warning line on standard error."""
    click.echo(f"grid-shim: warning: {message}", err=True)
