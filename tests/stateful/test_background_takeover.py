"""A process that dies leaves its jobs to another one: two of them, one store, a clock that the test moves.

A process dies here by the cancellation of its tasks: nothing is written any more, no lease is given back.
"""

import asyncio
import json
from contextlib import AsyncExitStack

import pytest
from background_stage import LIFECYCLE, check
from stateful_stack import MODEL
from waiting import PATIENCE, all_read, eventually

from shim.ambient import Ambient
from shim.exchange import Caller, Exchange
from shim.exchange.background import MOST_ATTEMPTS, Background
from shim.exchange.places import Places
from shim.settings import Settings
from shim.simulator import DEFAULT_KEY, Hold, Turn, run_in_thread
from shim.store import StoreFault, open_store
from shim.store.faults import QueueFull
from shim.store.records import Claim, Conversation
from shim.upstream import Upstream

LEASE = 1000
CALLER = Caller(key=DEFAULT_KEY, identity="client-token")
BODY = {"model": MODEL, "input": "hi", "background": True, "stream": True}


class Clock(Ambient):
    def __init__(self):
        self.time = 1_000_000

    def now(self):
        return self.time

    def elapsed(self):
        return self.time

    def run_out(self):
        self.time += LEASE + 1


class Fleet:
    """Processes on one store, in front of one simulated Grid."""

    def __init__(self, grid, url, running):
        self.grid, self.url, self.running = grid, url, running
        self.clock = Clock()
        self.shared = None

    async def process(self, **settings):
        """One more process; it looks for work only when it is told to."""
        chosen = {
            "upstream": self.grid.base_url,
            "seal_key": "fleet",
            "background_lease_seconds": LEASE,
            **settings,
        }
        configured = Settings(store=self.url, store_upgrade=True, background_drain_seconds=0, **chosen)
        if self.shared is None or self.url != "memory":
            self.shared = await open_store(configured)
            self.running.push_async_callback(self.shared.aclose)
        upstream = Upstream(configured)
        self.running.push_async_callback(upstream.aclose)
        exchange = Exchange(configured, upstream, self.shared, self.clock)
        await exchange.start()
        background = Background(exchange, configured)
        self.running.push_async_callback(background.stop)
        return background

    @property
    def asked(self):
        return len(self.grid.journal)


@pytest.fixture
async def fleet(store):
    with run_in_thread() as grid:
        async with AsyncExitStack() as running:
            yield Fleet(grid, store, running)


async def die(background):
    """What kill -9 leaves: nothing more is written."""
    background._places = Places(-1000, 0)  # it begins nothing any more
    tasks = [one.task for one in background._running.values()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def told(background, response_id, owner=None):
    owner = owner or background._exchange.owner(CALLER)
    page = await background._store.events.read(owner, response_id, -1, 10_000)
    return [json.loads(event.body) for event in page.events]


def said(background, response_id, least):
    async def condition():
        return len(await told(background, response_id)) >= least

    return eventually(condition)


async def ended(background, response_id):
    async def condition():
        stored = await background.get(background._exchange.owner(CALLER), response_id)
        return stored if stored.status not in ("queued", "in_progress") else None

    return json.loads((await eventually(condition)).body)


async def begun(background, **fields):
    return (await background.create({**BODY, **fields}, CALLER, "req_1"))["id"]


@pytest.mark.parametrize("after", [None, 0])
async def test_a_job_of_which_nothing_was_said_is_run_again_once(fleet, after):
    again = Hold(after=None)
    fleet.grid.turns.extend([Turn(text="lost", hold=Hold(after=after)), Turn(text="found", hold=again)])
    first, second, third = [await fleet.process() for _ in range(3)]
    response_id = await begun(first)
    await said(first, response_id, 2 if after is None else 3)
    await until_served(fleet, 1)
    await die(first)
    await asyncio.gather(second.look(), third.look())
    assert not second._running
    assert not third._running
    fleet.clock.run_out()
    await asyncio.gather(second.look(), third.look())
    assert len(second._running) + len(third._running) == 1
    again.released.set()
    response = await ended(second, response_id)
    assert response["output"][0]["content"][0]["text"] == "found"
    events = await told(second, response_id)
    check(events)
    assert [event["type"] for event in events[:3]] == LIFECYCLE
    assert len(fleet.grid.journal.served) == 2


async def until_served(fleet, count):
    async def condition():
        return len(fleet.grid.journal.served) >= count

    await eventually(condition)


async def test_a_job_of_which_something_was_said_ends_as_failed(fleet):
    fleet.grid.turns.append(Turn(reasoning="well", text="one two three four", hold=Hold(after=4)))
    first, second = await fleet.process(), await fleet.process()
    response_id = await begun(first)
    await said(first, response_id, 5)
    await die(first)
    before = await told(first, response_id)
    fleet.clock.run_out()
    await second.look()
    response = await ended(second, response_id)
    assert (response["status"], response["error"]["code"]) == ("failed", "server_error")
    assert "ended before the response was complete" in response["error"]["message"]
    events = await told(second, response_id)
    check(events)
    assert events[: len(before)] == before
    assert [event["type"] for event in events[len(before) :]] == ["error", "response.failed"]
    assert events[-1]["response"] == response
    assert [item["type"] for item in response["output"]] == ["reasoning"]  # the message was not whole
    assert len(fleet.grid.journal.served) == 1


async def test_a_worker_that_was_only_slow_writes_nothing_once_it_is_replaced(fleet):
    hold = Hold(after=None)
    fleet.grid.turns.extend([Turn(text="slow", hold=hold), Turn(text="quick")])
    first, second = await fleet.process(), await fleet.process()
    response_id = await begun(first)
    await until_served(fleet, 1)
    fleet.clock.run_out()
    await second.look()
    response = await ended(second, response_id)
    hold.released.set()
    await asyncio.gather(*(one.task for one in first._running.values()))
    assert await ended(first, response_id) == response
    assert response["output"][0]["content"][0]["text"] == "quick"
    check(await told(first, response_id))


async def test_a_job_cancelled_while_nobody_ran_it_ends_as_cancelled(fleet):
    fleet.grid.turns.append(Turn(text="one two three four", hold=Hold(after=4)))
    first, second = await fleet.process(), await fleet.process()
    response_id = await begun(first)
    await said(first, response_id, 5)
    await die(first)
    assert await second._store.jobs.cancel(second._exchange.owner(CALLER), response_id)
    fleet.clock.run_out()
    await second.look()
    assert (await ended(second, response_id))["status"] == "cancelled"
    check(await told(second, response_id))


async def test_a_cancellation_through_another_process_is_noticed_at_renewal(fleet):
    fleet.grid.turns.append(Turn(text="never", hold=Hold(after=None)))
    first, second = (
        await fleet.process(background_lease_seconds=1),
        await fleet.process(background_lease_seconds=20),
    )
    response_id = await begun(first)
    owner = second._exchange.owner(CALLER)
    assert (await second.cancel(owner, response_id)).status == "cancelled"
    assert (await second.cancel(owner, response_id)).status == "cancelled"


async def test_a_job_is_not_begun_again_for_ever(fleet):
    fleet.grid.turns.extend(Turn(text="never", hold=Hold(after=None)) for _ in range(MOST_ATTEMPTS))
    processes = [await fleet.process() for _ in range(MOST_ATTEMPTS + 1)]
    response_id = await begun(processes[0])
    for number, process in enumerate(processes[:-1], 1):
        await until_served(fleet, number)
        await die(process)
        fleet.clock.run_out()
        await processes[number].look()
    assert (await ended(processes[-1], response_id))["status"] == "failed"
    check(await told(processes[-1], response_id))
    assert len(fleet.grid.journal.served) == MOST_ATTEMPTS


async def test_the_callers_key_is_stored_sealed_and_opened_by_whoever_takes_over(fleet):
    fleet.grid.turns.extend([Turn(text="lost", hold=Hold(after=None)), Turn(text="found")])
    first, second = await fleet.process(), await fleet.process()
    response_id = await begun(first)
    await until_served(fleet, 1)
    await die(first)
    fleet.clock.run_out()
    (job,) = await first._store.jobs.claim_abandoned(Claim("onlooker", fleet.clock.now()), fleet.clock.now())
    assert job.sealed_key.startswith(b"gs.")
    assert DEFAULT_KEY.encode() not in job.sealed_key + job.request
    assert CALLER.identity.encode() not in job.sealed_key + job.request
    await second.look()
    assert (await ended(second, response_id))["status"] == "completed"
    keys = [received.headers["authorization"] for received in fleet.grid.journal.served]
    assert keys[0] == keys[1]


async def test_whoever_takes_over_answers_the_client_as_its_own_kind(fleet):
    codex = Caller(DEFAULT_KEY, "client-token", refusals_as_text=True)
    fleet.grid.turns.append(Turn(refusal="No."))
    first, second = await fleet.process(), await fleet.process()
    first._places = Places(0, 0)
    response_id = (await first.create(BODY, codex, "req_1"))["id"]
    await second.look()
    (message,) = (await ended(second, response_id))["output"]
    assert message["content"][0]["type"] == "output_text"


async def test_a_job_whose_client_was_told_that_the_process_ends_is_never_run(fleet, monkeypatch):
    first, second = await fleet.process(), await fleet.process()
    enqueue, under_way = first._store.jobs.enqueue, asyncio.Event()

    async def carried_through(*order, **terms):
        writing = asyncio.create_task(enqueue(*order, **terms))
        under_way.set()
        return await asyncio.shield(writing)

    monkeypatch.setattr(first._store.jobs, "enqueue", carried_through)
    creating = asyncio.create_task(first.create(BODY, CALLER, "req_1"))
    await under_way.wait()
    creating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creating
    await second._store.conversations.get("nobody", "none")  # the write has come to its end
    fleet.clock.run_out()
    await second.look()
    assert not second._running
    assert (await second._store.stats()).responses == 0


async def test_who_leaves_a_full_queue_has_left(fleet, monkeypatch):
    process, under_way = await fleet.process(), asyncio.Event()

    async def full(*_, **__):
        under_way.set()
        await asyncio.sleep(0)
        raise QueueFull("as many as a client may")

    monkeypatch.setattr(process._store.jobs, "enqueue", full)
    creating = asyncio.create_task(process.create(BODY, CALLER, "req_1"))
    await under_way.wait()
    creating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creating


AWAY = StoreFault("The store cannot be reached.")


def breaking(write, times, *, committed):
    """A write whose connection breaks while it commits, so many times."""
    left = iter(range(times))

    async def broken(*order, **terms):
        breaks = next(left, None) is not None
        made = await write(*order, **terms) if committed or not breaks else None
        if breaks:
            raise AWAY
        return made

    return broken


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("places", [1, 0])
async def test_a_job_whose_client_was_told_that_the_store_is_away_is_never_run(
    fleet, monkeypatch, places, committed
):
    first, second = await fleet.process(), await fleet.process()
    first._places = Places(places, places)
    jobs = first._store.jobs
    monkeypatch.setattr(jobs, "enqueue", breaking(jobs.enqueue, 1, committed=committed))
    with pytest.raises(StoreFault):
        await first.create(BODY, CALLER, "req_1")
    assert first._places.free == places
    await second.look()
    assert not second._running
    for _ in range(MOST_ATTEMPTS):
        fleet.clock.run_out()
        await second.look()
        await asyncio.gather(*(one.task for one in second._running.values()))
    stats = await second._store.stats()
    assert (stats.jobs, stats.responses, fleet.asked) == (0, int(committed), 0)


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("places", [1, 0])
async def test_a_job_that_is_stored_is_run_once_though_the_store_broke_then(
    fleet, monkeypatch, places, committed
):
    """Its client was told of it."""
    fleet.grid.turns.append(Turn(text="found"))
    first, second = await fleet.process(), await fleet.process()
    first._places = Places(places, places)
    jobs = first._store.jobs
    monkeypatch.setattr(jobs, "confirm", breaking(jobs.confirm, 2, committed=committed))
    response_id = await begun(first)
    if not places:

        async def taken():
            await second.look()
            return second._running

        await eventually(taken)
    response = await ended(first, response_id)
    assert response["output"][0]["content"][0]["text"] == "found"
    check(await told(first, response_id))
    await eventually(lambda: first._places.free == places and not first._running)
    assert len(fleet.grid.journal.served) == 1


@pytest.mark.parametrize("places", [1, 0])
async def test_a_job_whose_process_died_before_it_could_let_it_be_run_ends_as_failed(
    fleet, monkeypatch, places
):
    first, second = await fleet.process(), await fleet.process()
    first._places = Places(places, places)
    jobs = first._store.jobs
    monkeypatch.setattr(jobs, "confirm", breaking(jobs.confirm, 10**6, committed=False))
    response_id = await begun(first)
    await first.stop()
    await die(first)
    fleet.clock.run_out()
    await second.look()
    response = await ended(second, response_id)
    assert (response["status"], response["error"]["code"]) == ("failed", "server_error")
    assert fleet.asked == 0


async def test_a_job_that_was_deleted_before_it_could_be_run_leaves_its_place(fleet, monkeypatch):
    first = await fleet.process()
    first._places = Places(1, 1)
    jobs, confirming = first._store.jobs, asyncio.Event()
    confirm = jobs.confirm

    async def late(*order):
        await confirming.wait()
        return await confirm(*order)

    monkeypatch.setattr(jobs, "confirm", late)
    creating = asyncio.create_task(first.create(BODY, CALLER, "req_1"))

    async def stored():
        return (await first._store.stats()).jobs

    await eventually(stored)
    assert first._places.free == 0
    (job,) = await jobs.claim_abandoned(Claim("onlooker", fleet.clock.now()), fleet.clock.now() + LEASE)
    await first._store.responses.delete(job.owner, job.response_id)
    confirming.set()
    await creating
    await eventually(lambda: (first._places.free, len(first._running)) == (1, 0))


async def test_a_process_with_another_secret_says_so(fleet):
    fleet.grid.turns.append(Turn(text="lost", hold=Hold(after=None)))
    first, second = await fleet.process(), await fleet.process(seal_key="another")
    response_id = await begun(first)
    await until_served(fleet, 1)
    await die(first)
    fleet.clock.run_out()
    await second.look()
    response = await ended(first, response_id)
    assert response["status"] == "failed"
    assert "seal_key" in response["error"]["message"]


async def test_a_process_that_accepts_the_former_key_takes_over(fleet):
    fleet.grid.turns.extend([Turn(text="lost", hold=Hold(after=None)), Turn(text="found")])
    first = await fleet.process()
    response_id = await begun(first)
    await until_served(fleet, 1)
    await die(first)
    fleet.clock.run_out()
    second = await fleet.process(seal_key="new", seal_keys_accepted="fleet")
    await second.look()
    assert (await ended(second, response_id))["output"][0]["content"][0]["text"] == "found"
    assert (await ended(first, response_id))["status"] == "completed"  # both know whose it is


@pytest.mark.parametrize(
    ("tokens", "status"), [("tökens-may-be-odd", "completed"), ("another-of-16-characters", "failed")]
)
async def test_a_job_of_a_client_that_is_not_let_in_any_more_is_not_begun(fleet, monkeypatch, tokens, status):
    sent = "tökens-may-be-odd".encode().decode("latin-1")  # as the server gives headers
    monkeypatch.setattr(f"{__name__}.CALLER", Caller(DEFAULT_KEY, sent))
    first, second = await fleet.process(), await fleet.process(client_tokens=tokens)
    first._places = Places(0, 0)
    response_id = await begun(first)
    await second.look()
    response = await ended(second, response_id)
    assert response["status"] == status
    assert len(fleet.grid.journal.served) == (status == "completed")
    if status == "failed":
        assert response["error"]["code"] == "invalid_api_key"
        assert "not accepted any more" in response["error"]["message"]


async def test_the_key_of_a_job_opens_in_no_other_job_and_for_no_client(fleet):
    fleet.grid.turns.extend([Turn(text="lost", hold=Hold(after=None))] * 2)
    process = await fleet.process()
    responses = [await begun(process), await begun(process)]
    await until_served(fleet, 2)
    await die(process)
    fleet.clock.run_out()
    jobs = await process._store.jobs.claim_abandoned(Claim("onlooker", 0), fleet.clock.now(), 2)
    assert sorted(job.response_id for job in jobs) == sorted(responses)
    sealed = [job.sealed_key.decode() for job in jobs]
    opened = [[process._sealer(job.owner, job.response_id).unseal(one) for job in jobs] for one in sealed]
    assert [[bool(one) for one in row] for row in opened] == [[True, False], [False, True]]
    assert process._exchange._sealer(CALLER).unseal(sealed[0]) is None


async def test_a_process_that_stops_leaves_what_was_not_begun_at_once(fleet):
    fleet.grid.turns.extend([Turn(text="lost", hold=Hold(after=None)), Turn(text="found")])
    first, second = await fleet.process(), await fleet.process()
    response_id = await begun(first)
    await until_served(fleet, 1)
    await first.stop()
    await second.look()  # the lease was given back: no time has passed
    assert (await ended(second, response_id))["output"][0]["content"][0]["text"] == "found"
    check(await told(second, response_id))


async def test_a_process_that_stops_fails_what_it_cannot_finish(fleet):
    fleet.grid.turns.append(Turn(text="one two three four", hold=Hold(after=4)))
    first = await fleet.process()
    response_id = await begun(first)
    await said(first, response_id, 5)
    await first.stop()
    response = await ended(first, response_id)
    assert (response["status"], response["output"][0]["status"]) == ("failed", "incomplete")
    check(await told(first, response_id))


async def test_a_process_that_stops_lets_what_runs_come_to_its_end(fleet):
    hold = Hold(after=4)
    fleet.grid.turns.append(Turn(text="one two three four", hold=hold))
    first = await fleet.process()
    first._drain = PATIENCE
    response_id = await begun(first)
    await said(first, response_id, 5)
    stopping = asyncio.create_task(first.stop())
    hold.released.set()
    await stopping
    assert (await ended(first, response_id))["status"] == "completed"


async def test_a_follower_elsewhere_reads_the_same_stream(fleet):
    hold = Hold(after=4)
    fleet.grid.turns.append(Turn(text="one two three four", hold=hold))
    first, second = await fleet.process(), await fleet.process()
    response_id = await begun(first)
    owner = first._exchange.owner(CALLER)

    async def read(background, after):
        return b"".join(await all_read(background.follow(owner, response_id, after)))

    readers = [asyncio.create_task(read(one, -1)) for one in (first, second)]
    await said(first, response_id, 5)
    hold.released.set()
    here, there = await asyncio.gather(*readers)
    assert here == there == await read(second, -1)
    assert here.endswith(await read(second, 4))


async def test_a_conversation_that_a_dead_process_had_locked_is_free_again(fleet):
    fleet.grid.turns.extend([Turn(text="one two three four", hold=Hold(after=4)), Turn(text="next")])
    first, second = await fleet.process(), await fleet.process()
    owner = first._exchange.owner(CALLER)
    await first._store.conversations.create(Conversation(owner, "conv_1", fleet.clock.now()))
    response_id = await begun(first, conversation="conv_1")
    await said(first, response_id, 5)
    await die(first)
    # the lock's own time is longer than a lease: it must be given back by whoever ends the job
    await first._store.conversations.lock(
        owner, "conv_1", Claim(response_id, fleet.clock.now() + 10 * LEASE), 0
    )
    fleet.clock.run_out()
    await second.look()
    assert (await ended(second, response_id))["status"] == "failed"
    again = await begun(second, conversation="conv_1")
    assert (await ended(second, again))["status"] == "completed"


async def test_deleting_a_dead_process_response_frees_its_conversation(fleet):
    fleet.grid.turns.extend([Turn(text="one two three four", hold=Hold(after=4)), Turn(text="next")])
    first, second = await fleet.process(), await fleet.process()
    owner = first._exchange.owner(CALLER)
    await first._store.conversations.create(Conversation(owner, "conv_1", fleet.clock.now()))
    response_id = await begun(first, conversation="conv_1")
    await said(first, response_id, 5)
    await die(first)
    claim = Claim(response_id, fleet.clock.now() + 10 * LEASE)  # as the process left it
    await first._store.conversations.lock(owner, "conv_1", claim, 0)
    assert await second.delete(owner, response_id)
    again = await begun(second, conversation="conv_1")
    assert (await ended(second, again))["status"] == "completed"
