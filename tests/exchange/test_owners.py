"""Whose things are: the same owner under every key that a store has seen together, whatever their order."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shim.exchange.caller import Caller
from shim.exchange.owners import Owners
from shim.seal import SealKeys
from shim.settings import Settings
from shim.store import open_store

ALICE, BOB = Caller("key", "alice"), Caller("key", "bob")


@pytest.fixture(params=["memory", "off"])
async def any_store(request):
    async with aclosing(await open_store(Settings(store=request.param))) as store:
        yield store


@pytest.fixture
async def store():
    async with aclosing(await open_store(Settings(store="memory"))) as store:
        yield store


async def settled(store, *secrets):
    """A process that starts with these secrets; whose alice's things are to it."""
    owners = Owners(SealKeys.of(secrets))
    await owners.settle(store)
    return owners.of(ALICE)


async def test_clients_are_told_apart_and_the_same_in_every_process(any_store):
    owners = Owners(SealKeys.of([b"a"]))
    before = owners.of(ALICE)
    await owners.settle(any_store)
    assert owners.of(ALICE) == before == await settled(any_store, b"a")
    assert owners.of(BOB) != before
    assert await settled(any_store, b"b") != before
    assert "alice" not in before


@pytest.mark.parametrize(
    "starts",
    [
        [b"a", b"ba", b"b"],  # one process: the new key first, then alone
        [b"a", b"ab", b"ba", b"b"],  # a fleet: accepted everywhere before it seals anywhere
        [b"a", b"ba", b"cb", b"c"],
        [b"a", b"ba", b"cba", b"a"],  # and back
        [b"ba", b"a"],
        [b"ba", b"b"],
    ],
)
async def test_owners_stay_when_keys_are_rotated(store, starts):
    found = [await settled(store, *(bytes([key]) for key in keys)) for keys in starts]
    assert len(set(found)) == 1


class AtOnce:
    """A store in which the first two to ask for notes hear that there are none before either leaves any."""

    def __init__(self, store):
        self._kept, self.owner_keys, self._asking = store.owner_keys, self, asyncio.Barrier(2)
        self._asked = 0

    async def get(self, key_ids):
        self._asked += 1
        found = await self._kept.get(key_ids)
        if self._asked <= 2:
            await self._asking.wait()
        return found

    def __getattr__(self, name):
        return getattr(self._kept, name)


@pytest.mark.parametrize("other", [b"a", b"ab", b"ba", b"ca", b"ac", b"cab"])
@pytest.mark.parametrize("one", [b"a", b"ab", b"ba"])
async def test_processes_that_start_at_once_on_a_new_store_agree(store, one, other):
    shared = AtOnce(store)
    one, other = [[bytes([key]) for key in keys] for keys in (one, other)]
    first, second = await asyncio.gather(settled(shared, *one), settled(shared, *other))
    assert first == second == await settled(store, *one) == await settled(store, *other)


async def test_a_key_that_came_alone_and_its_former_one_accepted_later_give_back_what_was_before(
    store, caplog
):
    before = await settled(store, b"old")
    assert await settled(store, b"new") != before
    assert await settled(store, b"new", b"old") == before
    assert "is seen no more" in caplog.text
    assert await settled(store, b"new") == before


async def test_a_key_of_another_store_changes_no_owner(store):
    before = await settled(store, b"ours")
    assert await settled(store, b"ours", b"elsewhere") == before


async def test_a_dropped_key_that_never_met_the_new_one_leaves_nothing_to_be_seen(store):
    before = await settled(store, b"old")
    assert await settled(store, b"new", b"another") != before


@pytest.mark.parametrize("spoilt", [b"spoilt", b"\xff", b"gs.AAAA"])
async def test_a_note_that_does_not_open_is_as_none(store, spoilt):
    before = await settled(store, b"old")
    await settled(store, b"new", b"old")
    keys = SealKeys.of([b"new"])
    await store.owner_keys.put({keys.all[0].id.hex(): spoilt})
    assert await settled(store, b"new", b"old") == before
    assert await settled(store, b"new") == before


async def test_notes_hold_no_owner_key_in_clear_and_open_for_no_other_key(store):
    await settled(store, b"old")
    await settled(store, b"new", b"old")
    old, new = SealKeys.of([b"old", b"new"]).all
    notes = await store.owner_keys.get([old.id.hex(), new.id.hex(), "unknown"])
    assert set(notes) == {old.id.hex(), new.id.hex()}
    assert notes[old.id.hex()] == b""
    assert old.owner_key.hex().encode() not in notes[new.id.hex()]
    await store.owner_keys.put({SealKeys.of([b"third"]).all[0].id.hex(): notes[new.id.hex()]})
    assert await settled(store, b"third") == Owners(SealKeys.of([b"third"])).of(ALICE)


@given(st.lists(st.permutations([b"a", b"b", b"c", b"d"]), min_size=1, max_size=4), st.data())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_as_long_as_each_start_shares_a_key_with_all_before_it_owners_stay(orders, data):
    async with aclosing(await open_store(Settings(store="memory"))) as store:
        seen = set()
        found = set()
        for order in orders:
            count = data.draw(st.integers(1, len(order)))
            keys = list(order[:count])
            if seen and not seen & set(keys):
                keys.append(data.draw(st.sampled_from(sorted(seen))))
            found.add(await settled(store, *keys))
            seen |= set(keys)
        assert len(found) == 1
