"""Processes that tests start: one that is killed while it writes, one that claims jobs until none is left."""

import asyncio
import os
import sys

from samples import NOW, events, item, record

from shim.settings import Settings
from shim.store import open_store
from shim.store.records import Claim

ITEMS = 40
"""Items of each response: so many rows make a transaction that a signal can meet."""


def big(name):
    """A response that tells by itself whether it is whole: its status says which of two forms it has."""
    return record(
        name,
        input=tuple(item(f"{name}_in{at}", "x" * 500) for at in range(ITEMS)),
        output=tuple(item(f"{name}_out{at}", "y" * 500) for at in range(ITEMS)),
    )


async def write(url, prefix):
    """Save responses and events as long as the parent lives; a line on standard output follows each durable write."""
    store = await open_store(Settings(store=url))
    number, parent = 0, os.getppid()
    while os.getppid() == parent:
        name = f"{prefix}_{number}"
        await store.responses.save(record(name, status="in_progress", output=()), events=events(0, 3))
        await store.responses.save(big(name), events=events(4, 20))
        os.write(1, f"{name}\n".encode())
        number += 1


async def claim(url, worker):
    """Claim jobs, a few at a time, until none is left; write their ids to standard output."""
    store = await open_store(Settings(store=url))
    idle = 0
    while idle < 5:  # what the other process holds locked is passed over, so one empty answer proves little
        jobs = await store.jobs.claim(Claim(worker, NOW), limit=3)
        idle = 0 if jobs else idle + 1
        for job in jobs:
            os.write(1, f"{job.response_id}\n".encode())
    await store.aclose()


def nursery(url):
    """For each line on standard input fork a writer with this prefix, and print its process id first.

    Forking from a process that has imported everything makes a hundred rounds take seconds.
    """
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os.write(1, f"{os.getpid()}\n".encode())
            asyncio.run(write(url, line.strip()))
            os._exit(0)
        os.waitpid(child, 0)
        os.write(1, b"dead\n")


if __name__ == "__main__":
    task, url, *more = sys.argv[1:]
    if task == "nursery":
        nursery(url)
    else:
        asyncio.run(claim(url, *more))
