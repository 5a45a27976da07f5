"""What only the owner of a process may set: its garbage collector, its open files, what a library is to leave out.

`grid-shim` owns its process. Not for the application (`shim.http.create_app`), which is a guest in somebody's server.
"""

from __future__ import annotations

import gc
import sys
from contextlib import suppress
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any, cast

if sys.platform != "win32":
    import resource

STARTING = (200_000, 20, 50)
"""Objects more than before after which the collector looks: about never, while modules are imported."""

SERVING = (10_000, 5, 2)
"""With Python's 700 it takes a fifth of the CPU time of short requests. What was imported is frozen and not looked at, so
that even a full collection is short; it must come often enough that memory does not grow (`python -m bench.growth`)."""


SPARED = ("httpx._main", "multipart", "python_multipart", "watchfiles")
"""httpx's own program, Starlette's parser of forms under both of its names, and uvicorn's reloader."""

LATER = ("brotli", "zstandard")
"""httpx would decode answers with them, which `shim.upstream.decoding` declines; `shim.http.encodings` imports them once a
request's body is so encoded."""

ON_DEMAND = ("html",)
"""What is imported by many and asked by few: for the page of a traceback, and for the title of an upstream's page."""

STOOD_IN_FOR = {"logging.config": (), "uvicorn.supervisors": ("ChangeReload", "Multiprocess")}
"""What uvicorn imports, and the names that it takes from it: for its own configuration of logs, and its own workers."""

MOST_FILES = 65_536
"""Open files that are asked for: connections are files, and many systems begin with 1,024."""


class OnDemand(ModuleType):
    """Stands for a module until something is taken from it."""

    def __getattr__(self, name: str) -> Any:
        """Take it from the module itself, which is imported for it."""
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


def lighten() -> None:
    """Before anything large is imported: libraries do without what nothing here asks of them."""
    gc.set_threshold(*STARTING)
    for name in (*SPARED, *LATER):
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
    for name in ON_DEMAND:
        sys.modules.setdefault(name, OnDemand(name))
    for name, wanted in STOOD_IN_FOR.items():
        sys.modules.setdefault(name, cast("ModuleType", SimpleNamespace(**dict.fromkeys(wanted))))


def admit() -> None:
    """Once the libraries are imported: what they were to do without, and is wanted by others."""
    for name in (*LATER, *STOOD_IN_FOR):
        if not isinstance(sys.modules.get(name, sys), ModuleType):
            del sys.modules[name]


def settle() -> None:
    """Once everything is imported, and clients may come."""
    gc.collect()  # or what is garbage by now would be frozen, too
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
