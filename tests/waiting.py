"""Waiting for what somebody else brings about, with a bound that only a test which has failed anyway reaches."""

import asyncio
import inspect
import time

PATIENCE = 30.0  # seconds


def until(condition, patience=PATIENCE):
    """The first true value of a condition that another thread or process brings about."""
    deadline = time.monotonic() + patience
    while not (value := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    return value


async def eventually(condition):
    """The same where the loop must go on meanwhile; the condition may be a coroutine function."""
    async with asyncio.timeout(PATIENCE):
        while True:
            value = condition()
            if value := await value if inspect.isawaitable(value) else value:
                return value
            await asyncio.sleep(0.005)


async def soon(awaitable):
    """The result of what should not take long."""
    return await asyncio.wait_for(awaitable, PATIENCE)


async def all_read(readable):
    """Everything that `read` gives up to its None."""
    given = []
    while (one := await readable.read()) is not None:
        given.append(one)
    return given
