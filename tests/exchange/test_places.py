"""Places of background jobs: none is taken twice, none is lost, and no owner has more than its share."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from shim.exchange.places import Places


def test_an_owner_has_so_many_places_and_all_together_so_many():
    places = Places(3, 2)
    assert [places.take(owner) for owner in ("a", "a", "a", "b", "b")] == [True, True, False, True, False]
    assert places.free == 0
    places.give("a")
    assert places.free == 1
    assert [places.take(owner) for owner in ("a", "b")] == [True, False]
    places.give("b")
    assert [places.take(owner) for owner in ("a", "b", "b")] == [False, True, False]


async def test_places_are_kept_free_for_what_is_being_claimed():
    places = Places(3, 3)
    places.take("a")

    async def claim(limit):
        assert (limit, places.free, places.take("b")) == (2, 0, False)
        return (SimpleNamespace(owner="b"),)

    assert len(await places.fill(claim)) == 1
    assert places.free == 1
    assert places.take("b")
    assert await places.fill(None) == ()


async def test_a_claim_that_fails_costs_no_place():
    places = Places(2, 1)

    async def claim(_):
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await places.fill(claim)
    assert places.free == 2
