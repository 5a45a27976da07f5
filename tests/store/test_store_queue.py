"""Very many jobs may wait: to claim some of them takes no longer."""

import pytest
from samples import NOW, record

from shim.settings import Settings
from shim.store import open_store
from shim.store.records import Claim


@pytest.fixture
async def store(tmp_path):
    store = await open_store(Settings(store=f"sqlite:///{tmp_path}/queue.sqlite"))
    yield store
    await store.aclose()


async def effort(store, work):
    """SQLite's own steps, a thousand as one: a clock that does not depend on the machine."""
    count = 0

    def counted():
        nonlocal count
        count += 1

    def counting(handler):
        return lambda connection: connection.connection.driver_connection.set_progress_handler(handler, 1000)

    await store._database.write(counting(counted))
    await work()
    await store._database.write(counting(None))
    return count


@pytest.mark.parametrize("owners", [1, 3])
async def test_a_claim_takes_as_long_however_many_jobs_wait(store, owners):
    efforts = []
    for first, last in ((0, 300), (300, 2400)):
        for number in range(first, last):
            owner = f"owner{number % owners}"
            await store.jobs.enqueue(record(f"resp_{number}", owner=owner, status="queued"), b"{}")

        async def claims():
            assert len(await store.jobs.claim(Claim("w", NOW), 2, most_of_one=48)) == 2
            assert await store.jobs.claim_abandoned(Claim("v", NOW + 30), NOW - 1) == ()

        efforts.append(await effort(store, claims))
    assert efforts[1] <= efforts[0] + 2


async def test_who_claims_much_gets_it_in_turns(store):
    for number in range(200):
        await store.jobs.enqueue(record(f"a{number}", owner="alice", status="queued"), b"{}")
    for number in range(30):
        await store.jobs.enqueue(record(f"b{number}", owner="bob", status="queued"), b"{}")
    claimed = await store.jobs.claim(Claim("w", NOW), 100, most_of_one=60)
    assert {job.response_id for job in claimed} == {
        *(f"a{number}" for number in range(60)),
        *(f"b{number}" for number in range(30)),
    }
