"""The clock is set, forward or back: nothing is deleted early, taken from whoever works on it, or held for ever."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from process_stage import MODEL, held
from waiting import eventually

import shim
from shim.ambient import Ambient
from shim.errors import ClientFault
from shim.exchange import Caller, Exchange
from shim.exchange.background import ROUNDS_PER_LEASE, Background
from shim.exchange.locking import LOCK_SECONDS, TurnLock
from shim.exchange.steady import Steady
from shim.exchange.upkeep import BELIEVED_SECONDS, keep_tidy
from shim.settings import Settings
from shim.simulator import DEFAULT_KEY
from shim.store import open_store
from shim.store.records import Claim, Conversation, ResponseRecord
from shim.upstream import Upstream

DAY = 24 * 60 * 60
LEASE = 15
START = 1_800_000_000
CALLER = Caller(key=DEFAULT_KEY, identity="alice")
JUMPS = [DAY, -DAY]


class Clock(Ambient):
    """Both clocks: time passes on both, a jump moves one."""

    def __init__(self):
        self.wall, self.steady = START, 0.0

    def now(self):
        return self.wall

    def elapsed(self):
        return self.steady

    def jump(self, seconds):
        self.wall += seconds

    def go_on(self, seconds):
        self.wall += seconds
        self.steady += seconds


class Stage:
    """Processes on one SQLite file and one clock."""

    def __init__(self, grid, folder, running):
        self.settings = Settings(
            store=f"sqlite:///{folder}/store.db",
            upstream=grid.base_url,
            key=DEFAULT_KEY,
            seal_key="clock",
            background_lease_seconds=LEASE,
            background_drain_seconds=0,
            retention_days=1,
        )
        self.clock, self.running = Clock(), running

    async def process(self):
        """One more, which looks for work when it is told to."""
        store = await open_store(self.settings)
        self.running.push_async_callback(store.aclose)
        upstream = Upstream(self.settings)
        self.running.push_async_callback(upstream.aclose)
        background = Background(Exchange(self.settings, upstream, store, self.clock), self.settings)
        self.running.push_async_callback(background.stop)
        return store, background


@pytest.fixture
async def stage(grid, tmp_path):
    async with AsyncExitStack() as running:
        yield Stage(grid, tmp_path, running)


async def begun(background, grid):
    """A background response that has told something, and what lets it end."""
    turn, release = held()
    grid.turns.append(turn)
    body = {"model": MODEL, "input": "hi", "background": True}
    queued = await background.create(body, CALLER, "req_1")
    (key,) = background._running

    async def spoke():
        return background._running[key].story.streamed

    await eventually(spoke)
    return queued["id"], key[0], release


@pytest.mark.parametrize("seconds", JUMPS)
async def test_a_jump_takes_no_job_from_the_process_that_makes_it(stage, grid, seconds):
    store, one = await stage.process()
    _, other = await stage.process()
    response_id, owner, release = await begun(one, grid)
    stage.clock.jump(seconds)
    for second in range(2 * LEASE):
        await other.look()
        assert not other.busy
        if second % (LEASE // ROUNDS_PER_LEASE) == 0:
            await one.look()
        if second % (LEASE // ROUNDS_PER_LEASE) == 1:
            for running in one._running.values():
                await one._hold(running)
        stage.clock.go_on(1)
    release()

    async def ended():
        found = await store.responses.get(owner, response_id)
        return found if found.status != "in_progress" else None

    assert (await eventually(ended)).status == "completed"
    assert len(grid.journal.served) == 1


@pytest.mark.parametrize("seconds", JUMPS)
async def test_after_a_jump_a_job_that_was_left_behind_is_found(stage, grid, seconds):
    store, one = await stage.process()
    _, other = await stage.process()
    response_id, owner, _ = await begun(one, grid)
    for running in one._running.values():  # it dies
        running.task.cancel()
    await asyncio.wait([running.task for running in one._running.values()])
    stage.clock.jump(seconds)
    found = None
    for _ in range(4 * LEASE):
        stage.clock.go_on(1)
        await other.look()
        await asyncio.sleep(0)
        if other.busy:
            break
    assert other.busy

    async def ended():
        nonlocal found
        found = await store.responses.get(owner, response_id)
        return found.status == "failed"

    await eventually(ended)


@pytest.mark.parametrize("seconds", JUMPS)
async def test_a_jump_frees_no_conversation_under_a_turn_and_locks_none_for_ever(stage, seconds):
    store, _ = await stage.process()
    clock = stage.clock
    await store.conversations.create(Conversation("alice", "conv_1", START))
    steady = Steady(clock, LOCK_SECONDS)

    def lock(response_id):
        return TurnLock(store.conversations, steady, "alice", "conv_1", response_id)

    first = lock("resp_1")
    await first.take()
    clock.jump(seconds)
    if seconds < 0:
        await first._lock()  # as it does every few seconds, else it would look as if it lasted for days
    with pytest.raises(ClientFault, match="Another response"):
        await lock("resp_2").take()
    clock.go_on(LOCK_SECONDS + 1)  # its process has died: nothing prolongs it
    release = await lock("resp_2").take()
    await release()


async def test_a_lease_and_a_lock_from_a_far_future_are_free(stage):
    store, _ = await stage.process()
    await store.conversations.create(Conversation("alice", "conv_1", START))
    assert await store.conversations.lock("alice", "conv_1", Claim("dead", START + DAY), START) == "locked"
    assert await store.conversations.lock("alice", "conv_1", Claim("w", START + 30), START) == "locked"
    record = ResponseRecord("alice", "resp_1", START, "queued", MODEL, b"{}")
    await store.jobs.enqueue(record, b"{}", claim=Claim("dead", START + DAY))
    (job,) = await store.jobs.claim_abandoned(Claim("w", START + LEASE), START)
    assert job.worker == "w"


async def test_a_jump_forward_deletes_nothing_until_it_has_lasted(stage, monkeypatch):
    store, _ = await stage.process()
    clock = stage.clock
    monkeypatch.setattr("shim.exchange.upkeep.PURGE_SECONDS", 0)
    await store.responses.save(ResponseRecord("alice", "resp_1", START, "completed", MODEL, b"{}"))
    rounds = 0
    purge = store.purge

    async def counted(now):
        nonlocal rounds
        result = await purge(now)
        rounds += 1
        return result

    monkeypatch.setattr(store, "purge", counted)
    tidying = asyncio.create_task(keep_tidy(store, clock))

    async def is_there():
        seen = rounds

        async def twice():
            return rounds > seen + 1

        await eventually(twice)
        return await store.responses.get("alice", "resp_1") is not None

    assert await is_there()
    clock.jump(2 * DAY)
    assert await is_there()
    clock.go_on(BELIEVED_SECONDS - 1)
    assert await is_there()
    clock.jump(-2 * DAY)
    assert await is_there()
    clock.go_on(BELIEVED_SECONDS + 1)
    assert await is_there()
    clock.jump(2 * DAY)
    assert await is_there()
    clock.go_on(BELIEVED_SECONDS + 1)
    assert not await is_there()
    tidying.cancel()
    await asyncio.wait([tidying])


def test_what_waits_and_keeps_alive_asks_the_clock_that_never_jumps():
    """The wall clock is read in one place only, and there for what clients and the store are told."""
    root = Path(shim.__file__).parent
    reading = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if "time.time()" in path.read_text() or "datetime.now(" in path.read_text()
    }
    assert reading == {"ambient.py", "cli/prompts.py", "upstream/faults.py"}
