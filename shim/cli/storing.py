"""The command line and the store: what cannot be opened is a problem with a fix.

Not here: the commands on the store (`shim.cli.db`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from shim.cli.problem import Problem
from shim.store import StoreFault, open_store

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from shim.settings import Settings

T = TypeVar("T")

FIX = "see the setting store (--store, GRID_SHIM_STORE); is the database up?"


def run(work: Coroutine[Any, Any, T]) -> T:
    """Do what needs the store, on a loop of its own.

    Raises:
        Problem: The store is away, or not ours to use.
    """
    try:
        return asyncio.run(work)
    except StoreFault as fault:
        raise Problem(fault.message, FIX) from None
    except OSError as error:
        raise Problem(f"The store cannot be opened: {error.strerror or error}.", FIX) from None


def check(settings: Settings) -> None:
    """Open the store once, so that what is wrong with it is told before anything is announced.

    Raises:
        Problem: The store is away, or not ours to use.
    """
    run(_opened(settings))


async def _opened(settings: Settings) -> None:
    store = await open_store(settings)
    await store.aclose()
