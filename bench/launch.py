"""`python -m bench.launch FILE serve ...`: `grid-shim` as it is, which tells of its inside when asked by a signal.

At each SIGUSR2 the process writes JSON into FILE: its asyncio tasks by the function that they run, its threads, and how many
blocks Python's allocator has given out. Nothing of it is in the shim.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import sys
import threading
from collections import Counter
from pathlib import Path

_numbers = itertools.count(1)


def report(place: Path) -> None:
    """Write what is known at this moment; whoever reads finds a whole file."""
    said = {
        "number": next(_numbers),
        "tasks": tasks(),
        "threads": threading.active_count(),
        "blocks": sys.getallocatedblocks(),
    }
    written = place.with_suffix(".new")
    written.write_text(json.dumps(said))
    written.replace(place)


def tasks() -> dict[str, int]:
    """How many tasks run each function; the signal meets the loop's own thread within the loop."""
    try:
        found = asyncio.all_tasks()
    except RuntimeError:  # no loop yet, or none any more
        return {}
    return dict(Counter(getattr(task.get_coro(), "__qualname__", "unknown") for task in found))


def main() -> None:
    """Be ready for the signal, then be `grid-shim`."""
    place = Path(sys.argv.pop(1))
    signal.signal(signal.SIGUSR2, lambda *_: report(place))
    from shim.cli import main as grid_shim  # noqa: PLC0415 -- the signal may come at once

    grid_shim()


if __name__ == "__main__":
    main()
