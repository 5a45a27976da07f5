"""A database that says nothing: one call waits for it, the others are refused, and it is asked again later."""

import asyncio
import threading

import pytest

from shim.store import StoreFault, database
from shim.store.database import SILENT, Database
from shim.store.sqlite import sqlite_database


class Hanging:
    """A door that answers only once it is open."""

    def __init__(self, monkeypatch):
        self._open = asyncio.Event()
        self._monkeypatch = monkeypatch
        self.asked = 0
        self._wait(0.01)

    def _wait(self, seconds):
        for name in ("ANSWER_SECONDS", "CHECK_SECONDS"):
            self._monkeypatch.setattr(database, name, seconds)

    def open(self):
        """Answer from now on, and be waited for however busy the machine is."""
        self._wait(30)
        self._open.set()

    async def run(self, work, *, commit):
        self.asked += 1
        await self._open.wait()
        return work(None)

    async def aclose(self):
        pass


def endless(_):
    """Work that takes longer than anybody waits."""


class Answering:
    """A door that answers all but `endless`."""

    async def run(self, work, *, commit):
        if work is endless:
            await asyncio.Event().wait()
        return work(None)


def silent():
    return pytest.raises(StoreFault, match=SILENT)


def one(_):
    return 1


@pytest.fixture
def door(monkeypatch):
    monkeypatch.setattr(database, "CLOSE_SECONDS", 0.01)
    return Hanging(monkeypatch)


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
    door.open()
    assert await kept.read(one) == 1


@pytest.mark.parametrize("doors", [1, 2])
async def test_one_work_that_takes_long_makes_no_other_wait_or_fail(monkeypatch, doors):
    monkeypatch.setattr(database, "ANSWER_SECONDS", 0.1)
    reader, *others = [Answering() for _ in range(doors)]
    kept = Database("postgresql", reader, *others or [reader], one)
    long = asyncio.create_task(kept.read(endless))
    await asyncio.sleep(0)
    assert await kept.read(one) == 1
    with silent():
        await long
    assert await kept.read(one) == 1
    await kept.check()


async def test_what_is_read_says_nothing_of_what_is_written_elsewhere(door):
    kept = Database("sqlite", Answering(), door, one)
    writing = asyncio.create_task(kept.write(one))
    await asyncio.sleep(0)
    assert await kept.read(one) == 1
    with silent():
        await writing
    with silent():
        await kept.read(one)


async def test_a_call_that_may_take_any_time_is_waited_for(door):
    kept = Database("sqlite", door, door, one)
    patient = asyncio.create_task(kept.write(one, patient=True))
    with silent():
        await kept.write(one)
    assert not patient.done()
    door.open()
    assert await patient == 1


async def test_however_many_check_there_is_one_check(door):
    kept = Database("sqlite", door, door, one)
    for _ in range(3):
        with silent():
            await kept.check()
    assert door.asked == 1
    door.open()
    await kept.check()


async def test_a_write_that_failed_counts_until_one_succeeds(door):
    kept = Database("sqlite", door, door, one)
    door.open()

    def full(_):
        raise StoreFault("The store's disk is full.")

    with pytest.raises(StoreFault, match="full"):
        await kept.write(full)
    with pytest.raises(StoreFault, match="full"):
        await kept.check()
    await kept.write(one)
    await kept.check()


async def test_a_write_that_was_given_up_is_not_carried_out_later(tmp_path, monkeypatch):
    kept = sqlite_database(str(tmp_path / "store.sqlite3"))
    await kept.write(lambda connection: connection.exec_driver_sql("CREATE TABLE said (word)"))
    monkeypatch.setattr(database, "ANSWER_SECONDS", 0.01)
    monkeypatch.setattr(database, "SILENT_SECONDS", 0)
    begun, going_on = threading.Event(), threading.Event()

    def late(connection):
        connection.exec_driver_sql("INSERT INTO said VALUES ('late')")
        begun.set()
        going_on.wait(10)

    with silent():
        await kept.write(late)
    assert begun.wait(10)
    with silent():  # it waits behind the other
        await kept.write(lambda connection: connection.exec_driver_sql("INSERT INTO said VALUES ('later')"))
    going_on.set()
    monkeypatch.setattr(database, "ANSWER_SECONDS", 10)
    await kept.write(lambda connection: connection.exec_driver_sql("INSERT INTO said VALUES ('now')"))
    words = await kept.read(
        lambda connection: list(connection.exec_driver_sql("SELECT word FROM said").scalars())
    )
    assert words == ["now"]
    await kept.aclose()
