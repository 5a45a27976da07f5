"""The store is kept tidy by the process itself."""

from __future__ import annotations

import asyncio

from shim.exchange.upkeep import keep_tidy, purge
from shim.store import StoreFault
from shim.store.records import Purged


class Purging:
    """A store that only purges: each call answers the next of what was prepared."""

    def __init__(self, *prepared):
        self.prepared = list(prepared)
        self.done = asyncio.Event()

    async def purge(self, now):
        self.now = now
        answer = self.prepared.pop(0)
        if not self.prepared:
            self.done.set()
        if isinstance(answer, Exception):
            raise answer
        return answer


class Clock:
    def now(self):
        return 7

    def elapsed(self):
        return 7


async def test_a_purge_goes_on_until_nothing_is_left():
    store = Purging(Purged(3, 1, more=True), Purged(2, 0, more=True), Purged())
    assert await purge(store, 9) == 6
    assert store.now == 9


async def test_the_store_is_purged_at_the_start_and_a_store_that_is_away_is_survived(caplog):
    for store in (Purging(Purged(1, 0)), Purging(StoreFault("The store is away."))):
        tidying = asyncio.create_task(keep_tidy(store, Clock()))
        await store.done.wait()
        await asyncio.sleep(0)
        assert not tidying.done()
        tidying.cancel()
        assert store.now == 7
    assert "The store is away." in caplog.text
