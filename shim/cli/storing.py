"""The command line and the store: what cannot be opened is a problem with a fix.

Not here: the commands on the store (`shim.cli.db`).
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from shim.cli.problem import Problem
from shim.store import ResponseStore, StoreFault, open_store

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from shim.settings import Settings

T = TypeVar("T")

FIX = "see the setting store (--store, GRID_SHIM_STORE); is the database up?"


def run(work: Coroutine[Any, Any, T]) -> T:
    """Do what needs the store, on a loop of its own.

    Raises:
        Problem: The store is away, or not ours to use.
    """
    with _problems():
        return asyncio.run(work)


async def opened(settings: Settings) -> ResponseStore:
    """The open store, for its endpoint to close.

    Raises:
        Problem: The store is away, or not ours to use.
    """
    with _problems():
        return await open_store(settings)


@contextmanager
def _problems() -> Iterator[None]:
    """What is wrong with the store is told once, as a problem, and not logged before."""
    log = logging.getLogger("shim.store")
    log.disabled = True
    try:
        yield
    except StoreFault as fault:
        cause = f" It was {fault.cause}." if fault.cause else ""
        raise Problem(fault.message + cause, FIX) from None
    except OSError as error:
        raise Problem(f"The store cannot be opened: {error.strerror or error}.", FIX) from None
    finally:
        log.disabled = False
