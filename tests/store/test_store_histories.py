"""What a turn goes on from is weighed to the byte, and what is too heavy is not read."""

import tracemalloc

import pytest
from samples import conversation, item, items, record

from shim.store.records import Item, TooMuch

LONG = ["m" * 300 + "1", "m" * 300 + "2", "\u00e9" * 300, "nul\0nul", "half \ud83d"]
"""Ids that no index takes as they are."""

MEBI = 1 << 20


def lengths(*added):
    return sum(len(one.body) for one in added)


async def refuses(reading):
    """Whether a history is refused as too much."""
    try:
        await reading
    except TooMuch:
        return True
    return False


class Chain:
    """Three turns, one without items; whose rows have far more bytes than their items."""

    async def fill(self, store):
        turns = [items("a"), items("bb", "bbb"), ()]
        for number, own in enumerate(turns):
            before = f"resp_{number - 1}" if number else None
            envelope = b'"%s"' % (b"x" * 5000)
            made = record(f"resp_{number}", previous_response_id=before, input=own, envelope=envelope)
            await store.responses.save(made)
        outputs = [one for number in range(3) for one in items(f"resp_{number}_out")]
        return lengths(*items("a", "bb", "bbb"), *outputs)

    async def read(self, store, most):
        chain = await store.responses.chain("alice", "resp_2", 10, most)
        return [body for turn in chain.turns for body in (*turn.input, *turn.output)]


class Conversation:
    """One whose metadata are larger than its items."""

    async def fill(self, store):
        made = conversation(metadata=b'{"a": "%s"}' % (b"x" * 5000))
        await store.conversations.create(made, items("a", "b"))
        return lengths(*items("a", "b"))

    async def read(self, store, most):
        return await store.conversations.history("alice", "conv_1", most)


class Before:
    """A conversation up to the turn that has `c`."""

    async def fill(self, store):
        await store.conversations.create(conversation(), items("a", "b", "c", "d"))
        await store.responses.save(record(input=items("c"), output=items("d")))
        return lengths(*items("a", "b"))

    async def read(self, store, most):
        return await store.conversations.history("alice", "conv_1", most, before="resp_1")


class References:
    """Items by id, one of them named three times."""

    async def fill(self, store):
        await store.responses.save(record(input=items("a"), output=items("bb")))
        await store.conversations.create(conversation(), items("ccc"))
        return lengths(*items("a", "bb", "bb", "bb", "ccc"))

    async def read(self, store, most):
        named = ["bb", "a", "bb", "unknown", "ccc", "bb"]
        found = await store.responses.items_by_id("alice", named, most)
        return [found[one] for one in named if one in found]


@pytest.mark.parametrize("kind", [Chain, Conversation, Before, References])
async def test_a_history_may_have_exactly_as_many_bytes_as_are_allowed(store, kind):
    history = kind()
    weight = await history.fill(store)
    assert sum(map(len, await history.read(store, weight))) == weight
    assert await refuses(history.read(store, weight - 1))
    assert await refuses(history.read(store, 0))


@pytest.mark.parametrize("kind", ["chain", "conversation", "before", "references"])
async def test_what_is_too_heavy_is_never_in_memory(store, kind):
    names = [f"large_{number}" for number in range(12)]
    large = [item(name, "x" * MEBI) for name in names]
    last = None
    for number in range(0, len(large), 3):
        made = record(f"resp_{number}", input=tuple(large[number : number + 3]), previous_response_id=last)
        await store.responses.save(made)
        last = made.id
    await store.responses.save(record("turn", input=items("small")))
    await store.conversations.create(conversation(), [*large, *items("small")])

    def read(most):
        if kind == "chain":
            return store.responses.chain("alice", last, 100, most)
        if kind == "references":
            return store.responses.items_by_id("alice", names, most)
        return store.conversations.history(
            "alice", "conv_1", most, before="turn" if kind == "before" else None
        )

    assert await refuses(read(1))  # once before, so that statements are compiled
    tracemalloc.start()
    try:
        assert await refuses(read(10 * MEBI))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MEBI


async def test_an_empty_conversation_is_not_an_unknown_one(store):
    await store.conversations.create(conversation())
    assert await store.conversations.history("alice", "conv_1") == ()
    assert await store.conversations.history("alice", "conv_2") is None
    assert await store.conversations.history("bob", "conv_1") is None


@pytest.mark.parametrize("shared", [0, 1, 2])
async def test_what_a_conversation_held_before_a_turn_ends_at_the_first_item_of_it(store, shared):
    await store.conversations.create(conversation(), items("a", "b", "c"))
    await store.responses.save(record(input=items("x", *"cba"[: 3 - shared]), output=items("b", "y")))
    held = await store.conversations.history("alice", "conv_1", before="resp_1")
    assert held == tuple(one.body for one in items("a", "b", "c")[: min(shared, 1)])


async def test_a_turn_that_shares_nothing_with_a_conversation_has_no_place_in_it(store):
    await store.conversations.create(conversation(), items("a", "b"))
    await store.responses.save(record(input=items("x")))
    await store.responses.save(record("bobs", owner="bob", input=items("b")))
    for before in ("resp_1", "bobs", "unknown"):
        assert await store.conversations.history("alice", "conv_1", before=before) is None


@pytest.mark.parametrize("name", LONG, ids=["long", "like it", "not ascii", "nul", "surrogate"])
async def test_items_with_ids_that_no_index_takes_have_their_place_in_a_conversation(store, name):
    own, others = [Item(name, b"{}")], [Item(other, b'{"other": 1}') for other in LONG if other != name]
    await store.conversations.create(conversation(), [*others, *own])
    await store.responses.save(record(input=tuple(own)))
    held = await store.conversations.history("alice", "conv_1", before="resp_1")
    assert held == (b'{"other": 1}',) * (len(LONG) - 1)
