"""One timer for many time limits behaves as one timer for each would."""

import asyncio

import pytest
from waiting import PATIENCE, eventually, soon

from shim.http.deadlines import Deadlines

MOMENT = 0.02


async def test_what_ends_in_time_is_left_alone_and_leaves_nothing_behind():
    deadlines = Deadlines(PATIENCE)
    for _ in range(3):
        with deadlines.one():
            await asyncio.sleep(0)
    assert deadlines._open == {}
    timer = deadlines._timer
    with deadlines.one():
        assert deadlines._timer is timer


async def test_whatever_takes_longer_is_interrupted_however_many_there_are():
    deadlines, stopped = Deadlines(MOMENT), []

    async def endless(number):
        with pytest.raises(TimeoutError), deadlines.one():
            await asyncio.Event().wait()
        assert asyncio.current_task().cancelling() == 0
        stopped.append(number)

    async def quick():
        with deadlines.one():
            pass

    for _ in range(2):  # and again, once the line was empty
        stopped.clear()
        await soon(asyncio.gather(endless(0), quick(), endless(1), quick(), endless(2)))
        assert stopped == [0, 1, 2]
    await eventually(lambda: deadlines._timer is None)


async def test_later_ones_have_their_whole_time():
    deadlines = Deadlines(PATIENCE)

    async def endless():
        with deadlines.one():
            await asyncio.Event().wait()

    tasks = [asyncio.create_task(endless()) for _ in range(2)]
    await eventually(lambda: len(deadlines._open) == 2)
    first, second = deadlines._open
    first.due = 0
    deadlines._check()
    with pytest.raises(TimeoutError):
        await soon(tasks[0])
    assert list(deadlines._open) == [second]
    assert deadlines._timer.when() == second.due
    tasks[1].cancel()


@pytest.mark.parametrize("expired", [True, False])
async def test_a_cancellation_from_elsewhere_stays_one(expired):
    deadlines, entered = Deadlines(PATIENCE), asyncio.Event()

    async def endless():
        with deadlines.one():
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(endless())
    await soon(entered.wait())
    task.cancel()
    if expired:  # both at one time
        next(iter(deadlines._open)).expire()
    with pytest.raises(asyncio.CancelledError):
        await soon(task)
    assert deadlines._open == {}


async def test_other_exceptions_pass():
    deadlines = Deadlines(PATIENCE)
    with pytest.raises(KeyError), deadlines.one():
        raise KeyError
    assert deadlines._open == {}
