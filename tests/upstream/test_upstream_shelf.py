"""The catalog is kept and refreshed; what one key costs, it costs nobody else."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from waiting import eventually, soon

from shim.core.profile import Instrument
from shim.errors import Fault, UpstreamFault
from shim.upstream import shelf as shelves
from shim.upstream.catalog import NOTHING, Catalog
from shim.upstream.shelf import ERROR_SECONDS, MOST_AT_ONCE, MOST_FAILURES, Shelf


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Source:
    """An upstream's list: it fails with a status for some keys, and keeps others waiting until its gate is open."""

    def __init__(self):
        self.calls = 0
        self.asked = Counter()
        self.fails = False
        self.refused = {}
        self.held = set()
        self.gate = asyncio.Event()
        self.gate.set()
        self.at_once = self.most_at_once = 0

    async def __call__(self, key: str | None) -> Catalog:
        self.calls += 1
        self.asked[key] += 1
        number = self.calls
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if key in self.held:
                await asyncio.Event().wait()
            await self.gate.wait()
        finally:
            self.at_once -= 1
        if key in self.refused:
            raise Fault("not with this key", status=self.refused[key])
        if self.fails:
            raise UpstreamFault("no")
        return Catalog((Instrument(f"m{number}"),))


def shelf(source: Source, clock: Clock, seconds: float = 300.0) -> Shelf:
    return Shelf(source, seconds=seconds, fallback=NOTHING, clock=clock)


async def test_the_catalog_is_kept_for_its_time():
    source, clock = Source(), Clock()
    kept = shelf(source, clock)
    first = await kept.get(None)
    clock.now = 299
    assert await kept.get(None) is first
    assert await kept.get("another key") is first
    clock.now = 300
    assert (await kept.get(None)).get("m2")


async def test_a_catalog_that_is_not_kept_is_fetched_each_time():
    source = Source()
    kept = shelf(source, Clock(), seconds=0)
    for number in range(1, 4):
        assert (await kept.get("key")).get(f"m{number}")


async def test_many_askers_make_one_refresh_and_one_may_leave():
    source = Source()
    source.gate.clear()
    kept = shelf(source, Clock())
    askers = [asyncio.create_task(kept.get("key")) for _ in range(5)]
    await asyncio.sleep(0)
    askers[0].cancel()
    await asyncio.sleep(0)
    source.gate.set()
    results = await asyncio.gather(*askers, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert len(set(map(id, results[1:]))) == 1
    assert source.calls == 1


async def test_a_failed_refresh_keeps_the_old_one_and_is_repeated_soon():
    source, clock = Source(), Clock()
    kept = shelf(source, clock)
    old = await kept.get(None)
    source.fails, clock.now = True, 300
    assert await kept.get(None) == replace(old, stale=True)
    assert await kept.get(None) == replace(old, stale=True)
    assert source.calls == 2
    source.fails, clock.now = False, 315
    assert (await kept.get(None)).get("m3")
    assert not (await kept.get(None)).stale


async def test_an_upstream_that_fails_those_it_knows_is_asked_by_nobody_for_a_while():
    source, clock = Source(), Clock()
    kept = shelf(source, clock)
    old = await kept.get("good")
    kept.accepted("as good")
    source.fails, clock.now = True, 300
    for key in ("good", "as good", "stranger", None):
        assert await kept.get(key) == replace(old, stale=True)
    assert source.calls == 2
    assert kept.failure("good") is None  # it is the upstream's


async def test_closing_ends_a_refresh():
    source = Source()
    source.gate.clear()
    kept = shelf(source, Clock())
    asker = asyncio.create_task(kept.get(None))
    await asyncio.sleep(0)
    await kept.aclose()
    assert await soon(asker) is NOTHING
    await shelf(source, Clock()).aclose()


@pytest.mark.parametrize("status", [401, 402, 403, 429, 400, 431, 502])
@pytest.mark.parametrize("first", [True, False])
async def test_a_strangers_failure_is_its_own(status, first):
    source, clock = Source(), Clock()
    kept = shelf(source, clock)
    if not first:
        await kept.get("good")
        clock.now = 300
    source.refused["junk"] = status
    before = await kept.get("junk")
    assert await kept.get("junk") is before
    assert source.asked["junk"] == 1
    assert (before is NOTHING) is first
    assert not before.stale
    assert kept.failure("junk") == status
    assert not (await kept.get("good")).fallback
    assert source.asked["good"] == 2 - first
    assert await kept.get("junk") is await kept.get("good")
    assert kept.failure("good") is None


@pytest.mark.parametrize("status", [401, 402, 403, 429])
async def test_a_known_key_that_is_refused_holds_up_no_other(status):
    source, clock = Source(), Clock()
    kept = shelf(source, clock)
    await kept.get("once good")
    source.refused["once good"], clock.now = status, 300
    assert not (await kept.get("once good")).stale
    assert (await kept.get("good")).get("m3")


async def test_a_key_that_was_refused_may_try_again_after_a_while():
    source, clock = Source(), Clock()
    kept = shelf(source, clock)
    source.refused["key"] = 401
    await kept.get("key")
    source.refused.clear()
    clock.now = ERROR_SECONDS - 1
    assert (await kept.get("key")).fallback
    clock.now = ERROR_SECONDS
    assert not (await kept.get("key")).fallback
    assert kept.failure("key") is None


@pytest.mark.parametrize("known", [True, False])
async def test_a_refresh_that_hangs_holds_up_no_other_key(known, monkeypatch):
    monkeypatch.setattr(shelves, "WAIT_SECONDS", 3600)
    source = Source()
    kept = shelf(source, Clock())
    if known:
        kept.accepted("slow")
    source.held.add("slow")
    hanging = asyncio.create_task(kept.get("slow"))
    await eventually(lambda: source.asked["slow"])
    assert not (await soon(kept.get("good"))).fallback
    assert not (await soon(hanging)).fallback  # what another key got is for all
    await kept.aclose()


async def test_a_refresh_that_hangs_is_not_awaited_for_long_by_who_has_a_list(monkeypatch):
    monkeypatch.setattr(shelves, "WAIT_SECONDS", 3600)
    monkeypatch.setattr(shelves, "WAIT_WITH_LIST_SECONDS", 0.01)
    source, clock = Source(), Clock()
    kept = shelf(source, clock)
    first = await kept.get("known")
    source.gate.clear()
    clock.now = 300
    assert await soon(kept.get("known")) is first
    source.gate.set()
    await eventually(lambda: source.at_once == 0)
    assert (await kept.get("known")).get("m2")


async def test_a_refresh_that_fails_after_another_came_through_makes_nothing_stale():
    source, clock = Source(), Clock()
    kept = shelf(source, clock)
    kept.accepted("slow")
    source.gate.clear()
    source.fails = True
    slow = asyncio.create_task(kept.get("slow"))
    await eventually(lambda: source.asked["slow"])
    source.gate, gate, source.fails = asyncio.Event(), source.gate, False
    source.gate.set()
    fresh = await kept.get("good")
    source.fails = True
    gate.set()
    await soon(slow)
    await eventually(lambda: source.at_once == 0)
    assert await kept.get("good") is fresh
    assert not fresh.stale


@pytest.mark.parametrize("old", [True, False])
async def test_strangers_that_hang_keep_nobody_out_whom_the_upstream_knows(old, monkeypatch):
    for name in ("WAIT_SECONDS", "WAIT_WITH_LIST_SECONDS"):
        monkeypatch.setattr(shelves, name, 0.02)
    source, clock = Source(), Clock()
    kept = shelf(source, clock)
    if old:
        await kept.get(None)
        clock.now = 300
    junk = [f"junk{number}" for number in range(50)]
    source.held.update(junk)
    waiting = [asyncio.create_task(kept.get(key)) for key in junk]
    await eventually(lambda: source.at_once == MOST_AT_ONCE)
    clock.now += 1
    before = source.calls
    assert (await soon(kept.get("new"))).fallback is not old  # no room: as it is
    assert source.calls == before
    kept.accepted("good")
    assert (await soon(kept.get("good"))).get(f"m{before + 1}")
    await asyncio.gather(*waiting)
    assert source.most_at_once == MOST_AT_ONCE + 1
    await kept.aclose()


async def test_a_flood_of_made_up_keys_is_no_flood_upstream():
    source, clock = Source(), Clock()
    kept = shelf(source, clock)
    junk = [f"junk{number}" for number in range(1000)]
    source.refused = dict.fromkeys(junk, 401)
    kept.accepted("good")
    for seconds in range(3):
        clock.now = seconds * ERROR_SECONDS
        await asyncio.gather(*map(kept.get, junk))
        assert source.calls <= (seconds + 1) * (MOST_FAILURES + MOST_AT_ONCE)
        assert source.most_at_once <= MOST_AT_ONCE
    assert not (await kept.get("good")).fallback


async def test_what_is_remembered_of_keys_is_bounded(monkeypatch):
    monkeypatch.setattr(shelves, "MOST_KNOWN", 5)
    source, clock = Source(), Clock()
    kept = shelf(source, clock)
    source.fails = True
    for number in range(20):
        key = "k" * 100_000 + str(number)
        kept.accepted(key)
        source.refused[key] = 401
        await kept.get(key)
        kept.accepted(key)
    assert len(kept._known) <= 5
    assert len(kept._failed) <= 5
    assert max(map(len, [*kept._known, *kept._failed])) <= 16


KEYS = ["a", "b", "c", None]
asking = st.tuples(st.sampled_from(KEYS), st.sampled_from([0.0, 1.0, 15.0, 300.0]))


@given(
    steps=st.lists(asking, max_size=30),
    refused=st.sets(st.sampled_from(["a", "b"])),
)
def test_who_has_a_good_key_gets_a_fresh_list_whatever_others_present(steps, refused):
    async def law():
        source, clock = Source(), Clock()
        kept = shelf(source, clock)
        source.refused = dict.fromkeys(refused, 401)
        fetched = {}
        for key, seconds in steps:
            clock.now += seconds
            catalog = await kept.get(key)
            fetched.setdefault(catalog, clock.now)
            if key not in refused:
                assert not catalog.fallback
                assert clock.now - fetched[catalog] < 300
            assert not catalog.stale

    asyncio.run(law())
