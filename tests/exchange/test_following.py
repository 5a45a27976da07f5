"""Followers of a stream that the store no longer has whole, while the store itself is away."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from waiting import all_read

from shim.exchange import following
from shim.exchange.following import Following, Here
from shim.store import StoreFault
from shim.store.records import EventPage, StoredEvent

TOLD = StoredEvent(0, b'{"type":"response.created"}')
RESPONSE = {"id": "resp_1", "status": "completed"}


class Store:
    """A response that has ended, with a stream that was cut; each call fails as often as it is told to."""

    def __init__(self, failing):
        self.events = self.responses = self
        self.failing = failing

    def _fail(self):
        if self.failing:
            self.failing -= 1
            raise StoreFault("away")

    async def read(self, owner, response_id, after, limit):
        return EventPage((TOLD,) if after < 0 else (), "completed", cut=True)

    async def get(self, owner, response_id):
        self._fail()
        return SimpleNamespace(body=json.dumps(RESPONSE).encode())


async def read(failing, *, left=False):
    store = Store(failing)
    return b"".join(await all_read(Following(store, "o", "r", -1, Here(lambda: None, lambda: left))))


@pytest.mark.parametrize("failing", [1, 3])
async def test_the_end_of_a_cut_stream_is_told_when_the_store_is_back(failing, monkeypatch):
    monkeypatch.setattr(following, "POLL_SECONDS", 0)
    whole = await read(0)
    assert b"event: response.completed" in whole
    assert await read(failing) == whole


async def test_a_process_that_ends_does_not_wait_for_the_store(monkeypatch):
    monkeypatch.setattr(following, "POLL_SECONDS", 0)
    assert await read(10**9, left=True) == b"event: response.created\ndata: " + TOLD.body + b"\n\n"
