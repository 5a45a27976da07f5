"""Several processes on one database, and processes that die in mid-write."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from samples import events, record
from sqlalchemy import text
from store_child import big

from shim.settings import Settings
from shim.store import open_store
from shim.store.opening import open_database
from shim.store.records import Window

CHILD = Path(__file__).with_name("store_child.py")
KILLS = {"file": 100, "postgresql": 40}
SECONDS = 120
"""How long a child may take for all of its work."""


@pytest.fixture
def child():
    """`child(*arguments)`: a process; killed at the end if it still runs."""
    started = []

    def start(*arguments):
        root = str(CHILD.parents[2])
        process = subprocess.Popen(
            [sys.executable, CHILD, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": root},
            text=True,
            bufsize=1,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=SECONDS)


async def _served(store, name):
    """0, 1 or 2: nothing, the first form or the second one, and nothing else."""
    found = await store.responses.get("alice", name)
    if found is None:
        assert await store.events.read("alice", name, -1, 100) is None
        return 0
    page = await store.events.read("alice", name, -1, 100)
    inputs = (await store.responses.input_items("alice", name, Window(limit=None, order="asc"))).items
    if found.status == "in_progress":
        assert (found.output, inputs) == ((), record(name).input)
        assert list(page.events) == events(0, 3)
        return 1
    assert (found.output, inputs) == (big(name).output, big(name).input)
    assert list(page.events) == events(0, 20)
    return 2


@pytest.mark.parametrize("kind", ["file", "postgresql"])
async def test_a_writer_killed_time_and_again_leaves_nothing_half_written(kind, tmp_path, child, request):
    url = f"sqlite:///{tmp_path}/store.db" if kind == "file" else request.getfixturevalue("make_database")()
    chosen = Settings(store=url, store_upgrade=True)
    await (await open_store(chosen)).aclose()
    nursery, chance = child("nursery", url), random.Random(7)
    reached = {0: 0, 1: 0, 2: 0}
    for kill in range(KILLS[kind]):
        nursery.stdin.write(f"kill{kill}\n")
        written = _killed(nursery, chance)
        store = await open_store(chosen)
        for number in range(written):
            assert await _served(store, f"kill{kill}_{number}") == 2
        reached[await _served(store, f"kill{kill}_{written}")] += 1
        assert await _served(store, f"kill{kill}_{written + 1}") == 0
        await store.aclose()
    if kind == "file":
        database = open_database(chosen)
        assert await database.read(lambda it: it.scalar(text("PRAGMA integrity_check"))) == "ok"
        assert await database.read(lambda it: it.execute(text("PRAGMA foreign_key_check")).all()) == []
        await database.aclose()
    assert reached[0] + reached[1] > KILLS[kind] / 10, f"the signals met too few transactions: {reached}"


def _killed(nursery, chance):
    """Kill the nursery's next child at some moment; how many writes it had promised."""
    pid = int(nursery.stdout.readline())
    written = chance.randrange(3)
    for _ in range(written):
        assert nursery.stdout.readline().startswith("kill")
    for _ in range(chance.randrange(2000)):
        pass  # a moment, not a measure
    os.kill(pid, signal.SIGKILL)
    while nursery.stdout.readline() != "dead\n":
        written += 1
    return written


async def test_two_processes_claim_every_job_once(child, make_database, opened):
    url = make_database()
    store = await opened(url)
    names = [f"resp_{number}" for number in range(120)]
    for name in names:
        await store.jobs.enqueue(record(name, status="queued"), b"{}")
    workers = [child("claim", url, worker) for worker in ("w1", "w2")]
    printed = await asyncio.gather(*(asyncio.to_thread(one.communicate, timeout=SECONDS) for one in workers))
    claimed = [out.split() for out, _ in printed]
    assert sorted(claimed[0] + claimed[1]) == sorted(names)
