"""A database that says nothing: one call waits for it, the others are refused, and it is asked again later."""

import asyncio

import pytest

from shim.store import StoreFault, database
from shim.store.database import SILENT, Database


class Hanging:
    """A door that answers only while `open`."""

    def __init__(self):
        self.open = asyncio.Event()
        self.asked = 0

    async def run(self, work, *, commit):
        self.asked += 1
        await self.open.wait()
        return work(None)

    async def aclose(self):
        pass


def silent():
    return pytest.raises(StoreFault, match=SILENT)


def one(_):
    return 1


@pytest.fixture
def door(monkeypatch):
    monkeypatch.setattr(database, "ANSWER_SECONDS", 0.01)
    monkeypatch.setattr(database, "CHECK_SECONDS", 0.01)
    monkeypatch.setattr(database, "CLOSE_SECONDS", 0.01)
    return Hanging()


async def test_only_the_first_call_waits(door):
    kept = Database("sqlite", door, door, one)
    with silent():
        await kept.write(one)
    for call in (kept.read, kept.write):
        with silent():
            await call(one)
    assert door.asked == 1
    await kept.aclose()


async def test_it_is_asked_again_after_a_while(door, monkeypatch):
    monkeypatch.setattr(database, "SILENT_SECONDS", 0)
    kept = Database("sqlite", door, door, one)
    with silent():
        await kept.read(one)
    door.open.set()
    assert await kept.read(one) == 1


async def test_a_call_that_may_take_any_time_is_waited_for(door):
    kept = Database("sqlite", door, door, one)
    patient = asyncio.create_task(kept.write(one, patient=True))
    with silent():
        await kept.write(one)
    assert not patient.done()
    door.open.set()
    assert await patient == 1


async def test_however_many_check_there_is_one_check(door):
    kept = Database("sqlite", door, door, one)
    for _ in range(3):
        with silent():
            await kept.check()
    assert door.asked == 1
    door.open.set()
    await kept.check()


async def test_a_write_that_failed_counts_until_one_succeeds(door):
    kept = Database("sqlite", door, door, one)
    door.open.set()

    def full(_):
        raise StoreFault("The store's disk is full.")

    with pytest.raises(StoreFault, match="full"):
        await kept.write(full)
    with pytest.raises(StoreFault, match="full"):
        await kept.check()
    await kept.write(one)
    await kept.check()
