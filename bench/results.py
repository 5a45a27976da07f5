"""How figures are shown and kept: tables of Markdown, the surroundings, and the place between markers in `RESULTS.md`."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime

from bench.processes import ROOT

RESULTS = ROOT / "bench" / "RESULTS.md"

Table = Sequence[Sequence[str]]


def drawn(table: Table) -> str:
    """Markdown that can be read as it is."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table]
    lines.insert(1, " | ".join("-" * width for width in widths))
    return "\n".join(f"| {line} |" for line in lines)


def surroundings(command: str, packages: Sequence[str]) -> str:
    """The command, the machine and the versions, without names or paths."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    return (
        f"`{command}` on {datetime.now(UTC):%Y-%m-%d}: "
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end; "
        f"{platform.python_implementation()} {platform.python_version()}, {versions}."
    )


def write(name: str, title: str, text: str) -> None:
    """Put a report into its place in the results, between the markers with its name, or at their end."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    held = RESULTS.read_text()
    before, _, rest = held.partition(begin)
    after = rest.partition(end)[2]
    if not rest:
        before = held.rstrip("\n") + f"\n\n## {title}\n\n"
    RESULTS.write_text(f"{before}{begin}\n{text}\n{end}{after or chr(10)}")
