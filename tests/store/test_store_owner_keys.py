"""Notes on owner keys: those who leave them at once do not leave a mixture."""

import asyncio


async def test_notes_are_added_all_or_none(store):
    keys = store.owner_keys
    assert await keys.add({"b": b"1", "c": b"1"})
    assert not await keys.add({"a": b"2", "b": b"2"})
    assert await keys.get("abc") == {"b": b"1", "c": b"1"}
    await keys.put({"a": b"3", "b": b"3"})
    assert await keys.get("abc") == {"a": b"3", "b": b"3", "c": b"1"}


async def test_of_those_who_add_at_once_one_does(store):
    keys, ids = store.owner_keys, [str(number) for number in range(20)]
    orders = [ids, ids[::-1], ids[10:] + ids[:10]] * 3
    done = await asyncio.gather(
        *(keys.add({key: str(place).encode() for key in order}) for place, order in enumerate(orders))
    )
    assert done.count(True) == 1
    assert set((await keys.get(ids)).values()) == {str(done.index(True)).encode()}
