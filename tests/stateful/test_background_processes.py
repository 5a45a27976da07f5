"""Two real processes on one database: one is killed in the middle of a job."""

from contextlib import ExitStack

import pytest
from background_stage import begin, check, ended, events_of, follow, retrieve, stream
from served import Served
from waiting import until

from shim.simulator import Hold, Turn


@pytest.fixture
def replicas(store, grid):
    """Two replicas; a database in memory is not shared."""
    if store == "memory":
        pytest.skip("processes share no memory")
    with ExitStack() as running:
        started = []
        for _ in range(2):
            replica = Served(
                grid.base_url,
                store=store,
                store_upgrade=True,
                seal_key="replicas",
                background_lease_seconds=2,
            )
            running.callback(replica.close)
            until(replica.up)
            started.append(replica)
        yield started


def test_a_job_is_run_again_by_the_other_process_if_nothing_was_said(replicas, grid):
    grid.turns.extend([Turn(text="lost", hold=Hold(after=None)), Turn(text="found")])
    first, second = replicas
    response_id = begin(first.http)["id"]
    until(lambda: len(grid.journal.served) == 1)
    first.kill()
    done = ended(second.http, response_id)
    assert (done["status"], done["output"][0]["content"][0]["text"]) == ("completed", "found")
    check(events_of(stream(second.http, response_id)))
    assert len(grid.journal.served) == 2


def test_a_job_fails_honestly_if_something_was_said(replicas, grid):
    grid.turns.append(Turn(text="one two three four", hold=Hold(after=4)))
    first, second = replicas
    response_id = begin(first.http)["id"]
    with follow(second.http, response_id) as events:
        seen = [next(events)]
        while seen[-1]["type"] != "response.output_text.delta":
            seen.append(next(events))
        first.kill()
        seen += events
    check(seen)
    assert [event["type"] for event in seen[-2:]] == ["error", "response.failed"]
    assert seen[-1]["response"] == retrieve(second.http, response_id)
    assert len(grid.journal.served) == 1


def test_a_stream_is_followed_and_cancelled_through_the_other_process(replicas, grid):
    grid.turns.append(Turn(text="one two three four", hold=Hold(after=4)))
    first, second = replicas
    response_id = begin(first.http)["id"]
    with follow(second.http, response_id) as events:
        next(event for event in events if event["type"] == "response.output_text.delta")
        assert second.http.post(f"/responses/{response_id}/cancel").json()["status"] == "cancelled"
        assert "response.completed" not in [event["type"] for event in events]
    assert stream(first.http, response_id) == stream(second.http, response_id)
