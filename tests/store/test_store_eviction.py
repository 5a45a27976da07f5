"""Above the size bound those give way who keep most: nobody within a fair share loses anything to another's flood."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import NOW, conversation, events, item, record

from shim.exchange.upkeep import purge
from shim.store.eviction import fair_share

SIZES = st.lists(st.integers(0, 1000), max_size=12)


@given(SIZES, st.integers(1, 5000))
def test_a_fair_share_is_the_largest_with_which_all_fit(kept, bound):
    share = fair_share(kept, bound)

    def together(most):
        return sum(min(size, most) for size in kept)

    assert together(share) <= bound
    assert share == bound or together(share + 1) > bound
    assert all(size <= share for size in kept if size * len(kept) <= bound)


class Owner:
    """What one of them keeps, oldest first: (kind, id, bytes)."""

    def __init__(self, name, store):
        self.name, self._store, self.kept = name, store, []
        self._numbers = itertools.count()

    async def response(self, now, size, *, streamed=0, job=False):
        name = f"resp_{next(self._numbers)}"
        made = record(name, self.name, created_at=now, envelope=b"1" * size, input=(), output=())
        if job:
            await self._store.jobs.enqueue(made, b"{}")
            await self._store.events.append(self.name, name, events(1, streamed))
        else:
            await self._store.responses.save(made, events=events(1, streamed))
        told = sum(len(event.body) for event in events(1, streamed))
        self.kept.append(("job" if job else "response", name, size + told))

    async def conversation(self, now, size):
        name = f"conv_{next(self._numbers)}"
        words = item("a", "x" * size)
        await self._store.conversations.create(conversation(name, self.name, created_at=now), [words])
        self.kept.append(("conversation", name, len(b"{}") + len(words.body)))

    async def left(self):
        """What is still there."""
        there = []
        for kept in self.kept:
            part = self._store.conversations if kept[0] == "conversation" else self._store.responses
            if await part.get(self.name, kept[1]):
                there.append(kept)
        return there


def weight(kept):
    return sum(size for _, _, size in kept)


def goes_first(kept):
    """The order in which an owner's things go; what is under way stays."""
    return [one for one in kept if one[0] != "job"]


@pytest.mark.parametrize("seed", range(8))
async def test_only_who_keeps_more_than_a_fair_share_gives_way_and_the_oldest_first(url, opened, seed):
    draw = random.Random(seed)
    bound = draw.choice([3000, 9000, 20_000])
    store = await opened(url, store_max_bytes=bound)
    owners = [Owner(name, store) for name in "abcd"[: draw.randint(2, 4)]]
    for now in range(NOW, NOW + 40):
        owner = draw.choices(owners, [5, 2, 1, 1][: len(owners)])[0]
        size, kind = draw.randint(50, 1500), draw.random()
        if kind < 0.2:
            await owner.conversation(now, size)
        else:
            await owner.response(now, size, streamed=draw.choice([0, 0, 9]), job=kind > 0.9)

    gone = await purge(store, NOW + 40)

    share = fair_share([weight(owner.kept) for owner in owners], bound)
    left = {owner.name: await owner.left() for owner in owners}
    assert gone == sum(len(owner.kept) - len(left[owner.name]) for owner in owners)
    assert await purge(store, NOW + 40) == 0
    for owner in owners:
        remaining = left[owner.name]
        order = goes_first(owner.kept)
        lost = [one for one in order if one not in remaining]
        assert lost == order[: len(lost)]
        if weight(owner.kept) <= share:
            assert not lost
        if lost:
            assert weight(remaining) + lost[-1][2] > share
            for other in owners:
                if any(kind != "job" for kind, _, _ in left[other.name]):
                    assert weight(left[other.name]) <= weight(owner.kept)
    movable = [
        one for remaining in left.values() for one in goes_first(remaining) if weight(remaining) > share
    ]
    assert weight(itertools.chain.from_iterable(left.values())) <= bound or not movable


@pytest.mark.parametrize("kind", ["response", "conversation"])
async def test_a_flood_takes_nothing_from_who_keeps_less(url, opened, kind):
    """However old what the other keeps is, and however long the flood goes on."""
    store = await opened(url, store_max_bytes=10_000)
    quiet, loud = Owner("quiet", store), Owner("loud", store)
    await quiet.response(NOW, 2000)
    await quiet.conversation(NOW, 2000)
    for wave in range(3):
        for _ in range(10):
            await getattr(loud, kind)(NOW + 1 + wave, 1500)
        await purge(store, NOW + 9)
        assert await quiet.left() == quiet.kept
    assert 0 < weight(await loud.left()) <= 10_000 - weight(quiet.kept)


@pytest.mark.parametrize("kind", ["response", "conversation"])
async def test_what_was_just_stored_is_there_whatever_else_its_owner_keeps(url, opened, kind):
    store = await opened(url, store_max_bytes=10_000)
    owner = Owner("alice", store)
    for number in range(4):
        await owner.conversation(NOW + 2 * number, 2000)
        await owner.response(NOW + 2 * number + 1, 2000)
    await getattr(owner, kind)(NOW + 9, 2000)
    await purge(store, NOW + 9)
    left = await owner.left()
    assert left == owner.kept[-len(left) :]
    assert len(left) == 4


@pytest.mark.parametrize(("count", "left"), [(2, 2), (4, 2)])
async def test_who_keeps_most_gives_way_first(url, opened, count, left):
    """No more than is above the share, and of the next one only what is still too much then."""
    store = await opened(url, store_max_bytes=3000)
    more, less = Owner("more", store), Owner("less", store)
    for owner, number in ((less, count), (more, 5)):
        for _ in range(number):
            await owner.response(NOW, 1000)
    await purge(store, NOW)
    assert (await more.left(), await less.left()) == (more.kept[4:], less.kept[-left:])


async def test_what_is_under_way_goes_to_nobodys_cost_and_ends_the_purge(url, opened, monkeypatch):
    monkeypatch.setattr("shim.store.retention.BATCHES", 2)
    store = await opened(url, store_max_bytes=6000)
    owners = [Owner(name, store) for name in "abcde"]
    for owner in owners:
        await owner.response(NOW, 3000, job=True)
    await owners[0].response(NOW, 100)
    await (small := Owner("small", store)).response(NOW, 100)
    gone = await store.purge(NOW)
    assert (gone.responses, gone.more) == (1, False)
    assert await owners[0].left() == owners[0].kept[:1]
    assert await small.left() == small.kept


async def test_an_owner_with_more_rows_than_one_batch_is_cut_batch_by_batch(url, opened, monkeypatch):
    monkeypatch.setattr("shim.store.eviction.BATCH", 3)
    monkeypatch.setattr("shim.store.retention.BATCHES", 2)
    store = await opened(url, store_max_bytes=1000)
    owner = Owner("alice", store)
    for number in range(20):
        await owner.response(NOW + number, 100)
    first = await store.purge(NOW + 20)
    assert (first.responses, first.more) == (6, True)
    assert await purge(store, NOW + 20) == 4
    assert await owner.left() == owner.kept[10:]
