"""What only the owner of a process may set: its garbage collector, its open files, what a library is to leave out.

`grid-shim` owns its process. Not for the application (`shim.http.create_app`), which is a guest in somebody's server.
"""

from __future__ import annotations

import gc
import sys
from contextlib import suppress

if sys.platform != "win32":
    import resource

STARTING = (200_000, 20, 50)
"""Objects more than before after which the collector looks: about never, while modules are imported."""

SERVING = (10_000, 5, 2)
"""With Python's 700 it takes a fifth of the CPU time of short requests. What was imported is frozen and not looked at, so
that even a full collection is short; it must come often enough that memory does not grow (`python -m bench.growth`)."""


MOST_FILES = 65_536
"""Open files that are asked for: connections are files, and many systems begin with 1,024."""


def lighten() -> None:
    """Before anything large is imported."""
    gc.set_threshold(*STARTING)
    for spared in (
        "httpx._main",
        "watchfiles",
    ):  # httpx's own program, and uvicorn's reloader: both do without
        sys.modules.setdefault(spared, None)  # type: ignore[arg-type]


def settle() -> None:
    """Once everything is imported, and clients may come."""
    gc.freeze()  # what is there will stay: the collector need not look at it again
    gc.set_threshold(*SERVING)
    open_many_files()


def open_many_files() -> None:
    """Let this process have as many open files as it may give itself."""
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(MOST_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # some systems have a lower limit of their own
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
