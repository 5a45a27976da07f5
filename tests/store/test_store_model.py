"""The store against a plain dictionary, in any order of operations, on SQLite in memory and on PostgreSQL."""

import asyncio
import itertools
from collections import Counter

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from samples import DAY, NOW, item
from sqlalchemy import delete

from shim.settings import Settings
from shim.store import ResponseStore, open_store
from shim.store.records import UNBOUNDED, Claim, ResponseRecord, StoredEvent, Window
from shim.store.tables import metadata

OWNERS = st.sampled_from(["alice", "bob"])
RETENTION_DAYS = 3
LEASE = 60


class StoreMachine(RuleBasedStateMachine):
    """Responses, chains, streams and jobs of two owners; time only goes forward."""

    runner: asyncio.Runner
    store: ResponseStore

    made = Bundle("made")

    def run(self, work):
        return self.runner.run(work)

    @initialize()
    def start(self):
        self.now = NOW
        self.numbers = itertools.count()
        self.model = {}
        self.jobs = {}
        self.run(self.store._database.write(_empty))

    def _new(self, owner, previous, status="completed"):
        name = f"resp_{next(self.numbers)}"
        return ResponseRecord(
            owner=owner,
            id=name,
            created_at=self.now,
            status=status,
            model="gpt-5",
            envelope=b'{"id":"%s"}' % name.encode(),
            input=(item(f"{name}_1"), item(f"{name}_2")),
            output=(item(f"{name}_3"),),
            previous_response_id=previous,
        )

    def _keep(self, record):
        self.model[record.owner, record.id] = {"record": record, "events": {}}
        return record.owner, record.id

    @rule(target=made, owner=OWNERS)
    def create(self, owner):
        record = self._new(owner, None)
        assert self.run(self.store.responses.save(record))
        return self._keep(record)

    @rule(target=made, parent=made)
    def continue_or_branch(self, parent):
        record = self._new(parent[0], parent[1])
        assert self.run(self.store.responses.save(record))
        return self._keep(record)

    @rule(target=made, parent=made, owner=OWNERS)
    def continue_what_may_be_anothers(self, parent, owner):
        record = self._new(owner, parent[1])
        assert self.run(self.store.responses.save(record))
        return self._keep(record)

    @rule(name=made, existing=st.booleans())
    def replace(self, name, existing):
        record = self._new(name[0], None)
        record = ResponseRecord(name[0], name[1], self.now, "incomplete", "o3", b"{}", record.input)
        known = name in self.model
        assert self.run(self.store.responses.save(record, existing=existing)) is (known or not existing)
        if known:
            self.model[name]["record"] = record
        elif not existing:
            self._keep(record)

    @rule(name=made)
    def delete(self, name):
        assert self.run(self.store.responses.delete(*name)) is (name in self.model)
        self._forget(name)

    @rule(name=consumes(made), again=st.booleans())
    def delete_as_another(self, name, again):
        other = ("bob" if name[0] == "alice" else "alice", name[1])
        assert self.run(self.store.responses.delete(*other)) is (other in self.model)
        self._forget(other)

    def _forget(self, name):
        self.model.pop(name, None)
        self.jobs.pop(name, None)

    @rule(days=st.integers(0, 2))
    def days_pass(self, days):
        self.now += days * DAY + 1

    @rule()
    def purge(self):
        old = [
            name
            for name, kept in self.model.items()
            if kept["record"].created_at < self.now - RETENTION_DAYS * DAY
        ]
        assert self.run(self.store.purge(self.now)).responses == len(old)
        for name in old:
            self._forget(name)

    @rule(name=made, count=st.integers(1, 4))
    def stream(self, name, count):
        kept = self.model.get(name)
        first = max(kept["events"], default=-1) + 1 if kept else 0
        batch = [StoredEvent(first + at, b'{"at":%d}' % (first + at)) for at in range(count)]
        said = self.run(self.store.events.append(*name, batch))
        assert said == ("kept" if kept else "gone")
        if kept:
            kept["events"] |= {event.number: event for event in batch}

    @rule(target=made, owner=OWNERS)
    def enqueue(self, owner):
        record = self._new(owner, None, "queued")
        self.run(self.store.jobs.enqueue(record, b"{}"))
        name = self._keep(record)
        self.jobs[name] = {"worker": None, "until": None, "attempt": 0}
        return name

    @rule(
        worker=st.sampled_from(["w1", "w2"]), limit=st.integers(1, 3), most=st.sampled_from([1, 2, UNBOUNDED])
    )
    def claim(self, worker, limit, most):
        had = Counter(owner for (owner, _), job in self.jobs.items() if job["worker"] == worker)
        turns = []
        for name, job in self.jobs.items():
            if job["worker"] is None:
                had[name[0]] += 1
                turns.append((had[name[0]], len(turns), name))
        expected = sorted(turn for turn in sorted(turns)[:limit] if turn[0] <= most)
        expected = [name for _, _, name in sorted(expected, key=lambda turn: turn[1])]
        found = self.run(self.store.jobs.claim(Claim(worker, self.now + LEASE), limit, most))
        self._taken(worker, found, expected)

    @rule(worker=st.sampled_from(["w1", "w2"]), limit=st.integers(1, 3))
    def take_over(self, worker, limit):
        expected = [
            name for name, job in self.jobs.items() if job["until"] is not None and job["until"] <= self.now
        ][:limit]
        found = self.run(self.store.jobs.claim_abandoned(Claim(worker, self.now + LEASE), self.now, limit))
        self._taken(worker, found, expected)

    def _taken(self, worker, found, expected):
        assert [(job.owner, job.response_id) for job in found] == expected
        for job in found:
            known = self.jobs[job.owner, job.response_id]
            known |= {
                "worker": worker,
                "until": self.now + LEASE,
                "attempt": known["attempt"] + 1,
                "job": job,
            }
            assert job.attempt == known["attempt"]
            assert job.last_event == max(self.model[job.owner, job.response_id]["events"], default=None)

    @rule(name=made, status=st.sampled_from(["in_progress", "failed", "completed"]), stale=st.booleans())
    def work(self, name, status, stale):
        known = self.jobs.get(name)
        if not known or "job" not in known:
            return
        lease = known["job"].lease
        if stale:
            lease = type(lease)(lease.owner, lease.response_id, lease.worker, lease.attempt + 1)
        record = ResponseRecord(*name, self.now, status, "gpt-5", b"{}")
        assert self.run(self.store.responses.save(record, lease=lease)) is not stale
        if not stale:
            self.model[name]["record"] = record
            if status != "in_progress":
                del self.jobs[name]

    @rule(name=made)
    def look(self, name):
        kept = self.model.get(name)
        found = self.run(self.store.responses.get(*name))
        if kept is None:
            assert found is None
            assert self.run(self.store.responses.input_items(*name, Window())) is None
            return
        record = kept["record"]
        assert (found.status, found.envelope, found.output) == (record.status, record.envelope, record.output)
        page = self.run(self.store.responses.input_items(*name, Window(order="asc")))
        assert page.items == record.input
        events = self.run(self.store.events.read(*name, -1, 1000))
        assert list(events.events) == [kept["events"][number] for number in sorted(kept["events"])]
        wanted = {one.id: one.body for one in record.input + record.output}
        assert self.run(self.store.responses.items_by_id(name[0], wanted)) == wanted

    @rule(name=made, limit=st.integers(1, 6))
    def follow(self, name, limit):
        expected, at = [], name
        while at in self.model and len(expected) < limit:
            expected.append(at[1])
            at = (name[0], self.model[at]["record"].previous_response_id)
        chain = self.run(self.store.responses.chain(*name, limit))
        if not expected:
            assert chain is None
            return
        assert [turn.id for turn in chain.turns] == expected[::-1]
        assert chain.missing == at[1]
        for turn in chain.turns:
            record = self.model[name[0], turn.id]["record"]
            assert turn.input == tuple(one.body for one in record.input)
            assert turn.output == tuple(one.body for one in record.output)

    @invariant()
    def nothing_is_left_over(self):
        stats = self.run(self.store.stats())
        records = [kept["record"] for kept in self.model.values()]
        assert (stats.responses, stats.jobs) == (len(self.model), len(self.jobs))
        assert stats.items == sum(len(record.input + record.output) for record in records)
        assert stats.events == sum(len(kept["events"]) for kept in self.model.values())
        sizes = [len(event.body) for kept in self.model.values() for event in kept["events"].values()]
        assert stats.size == sum(record.size for record in records) + sum(sizes)


def _empty(connection):
    for table in reversed(metadata.sorted_tables):
        connection.execute(delete(table))


STEPS = settings(
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    derandomize=True,
    database=None,
)


@pytest.mark.parametrize(("kind", "examples"), [("memory", 60), ("postgresql", 30)])
def test_the_store_is_a_dictionary(kind, examples, request):
    url = "memory" if kind == "memory" else request.getfixturevalue("make_database")()
    chosen = Settings(store=url, store_upgrade=True, retention_days=RETENTION_DAYS)
    with asyncio.Runner() as runner:

        class Machine(StoreMachine):
            store = runner.run(open_store(chosen))

        Machine.runner = runner
        try:
            run_state_machine_as_test(Machine, settings=settings(STEPS, max_examples=examples))
        finally:
            runner.run(Machine.store.aclose())
