"""`grid-shim schemas`: the published JSON Schema documents, written or compared."""

from __future__ import annotations

import json
from pathlib import Path

import click

from shim.wire.openapi import documents


def texts() -> dict[str, str]:
    """Each document as the text of its file."""
    return {
        name: json.dumps(schema, indent=2, ensure_ascii=False) + "\n" for name, schema in documents().items()
    }


@click.command("schemas")
@click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), default="schemas", show_default=True
)
@click.option("--check", is_flag=True, help="Write nothing; fail if a file differs.")
def command(output: Path, *, check: bool) -> None:
    """Write the JSON Schema documents of every shape, and the OpenAPI document."""
    stale = [name for name, text in texts().items() if not _is_current(output / name, text)]
    if check and stale:
        raise click.ClickException(
            f"Out of date: {', '.join(stale)}. Run 'grid-shim schemas' and commit the result."
        )
    output.mkdir(parents=True, exist_ok=True)
    for name in stale:
        (output / name).write_text(texts()[name], encoding="utf-8")
    click.echo(f"{len(texts())} documents in {output}, {len(stale)} {'out of date' if check else 'written'}")


def _is_current(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text
