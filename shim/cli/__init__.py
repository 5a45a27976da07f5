"""The `grid-shim` command. Commands are imported when they are used, so that `--help` stays quick."""


def main() -> None:
    """Entry point of the console script."""
    from shim.cli.process import lighten  # noqa: PLC0415 -- importing shim.cli alone costs nothing

    lighten()
    from shim.cli.commands import run  # noqa: PLC0415

    run()
