"""What only the owner of a process may set: its garbage collector, and what a library is to leave out.

`grid-shim` owns its process. Not for the application (`shim.http.create_app`), which is a guest in somebody's server.
"""

from __future__ import annotations

import gc
import sys

STARTING = (200_000, 20, 50)
"""Objects more than before after which the collector looks: about never, while modules are imported."""

SERVING = (10_000, 5, 2)
"""With Python's 700 it takes a fifth of the CPU time of short requests. What was imported is frozen and not looked at, so
that even a full collection is short; it must come often enough that memory does not grow (`python -m bench.growth`)."""


def lighten() -> None:
    """Before anything large is imported."""
    gc.set_threshold(*STARTING)
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # its own program; httpx does without


def settle() -> None:
    """Once everything is imported: what is there will stay, so the collector need not look at it again."""
    gc.freeze()
    gc.set_threshold(*SERVING)
