"""A process that is asked to end while clients follow its background responses: their streams end in order."""

import threading
import time

import pytest
from background_stage import begin, follow
from served import Served
from waiting import PATIENCE, until

from shim.simulator import Hold, Turn


class Endpoint(Served):
    """One on an SQLite file, and what it says on standard error."""

    def __init__(self, folder, grid, drain_seconds):
        self._log = folder / "stderr"
        with self._log.open("wb") as log:
            super().__init__(
                grid.base_url,
                log,
                store=f"sqlite:///{folder}/store.db",
                background_drain_seconds=drain_seconds,
            )

    def said(self):
        """What it said, once it has ended."""
        self.process.wait(PATIENCE)
        return self._log.read_text()


@pytest.fixture
def start(tmp_path, grid):
    """Starts an endpoint with a time to drain."""
    started = []

    def call(drain_seconds):
        started.append(Endpoint(tmp_path, grid, drain_seconds))
        until(started[0].up)
        return started[0]

    yield call
    for endpoint in started:
        endpoint.close()


def test_a_follower_hears_the_end_of_a_job_that_ends_within_the_time_to_drain(start, grid):
    endpoint, hold = start(drain_seconds=20), Hold(after=4)
    grid.turns.append(Turn(text="one two three four", hold=hold))
    response_id = begin(endpoint.http)["id"]
    with follow(endpoint.http, response_id) as events:
        next(event for event in events if event["type"] == "response.output_text.delta")
        endpoint.stop()
        threading.Timer(7, hold.released.set).start()  # later than other streams are given
        assert list(events)[-1]["type"] == "response.completed"
    assert "Traceback" not in endpoint.said()


def test_a_follower_hears_that_a_job_that_takes_longer_has_failed(start, grid):
    endpoint = start(drain_seconds=1)
    grid.turns.append(Turn(text="one two three four", hold=Hold(after=4)))
    response_id = begin(endpoint.http)["id"]
    with follow(endpoint.http, response_id) as events:
        next(event for event in events if event["type"] == "response.output_text.delta")
        stopped = time.monotonic()
        endpoint.stop()
        assert list(events)[-1]["type"] == "response.failed"
    assert time.monotonic() - stopped < 4
    assert "Traceback" not in endpoint.said()


def test_the_stream_of_a_job_that_is_handed_back_just_ends(start, grid):
    endpoint = start(drain_seconds=1)
    grid.turns.append(Turn(text="never", hold=Hold(after=None)))
    response_id = begin(endpoint.http)["id"]
    with follow(endpoint.http, response_id) as events:
        next(events)
        until(lambda: len(grid.journal.served) == 1)
        endpoint.stop()
        assert "response.failed" not in [event["type"] for event in events]
    assert "Traceback" not in endpoint.said()


def test_a_turn_that_is_cut_off_leaves_no_traceback(start, grid):
    endpoint = start(drain_seconds=1)
    grid.turns.append(Turn(text="one two three four", hold=Hold(after=4)))
    asked = {"model": "code-prime", "input": "hi", "stream": True}
    with endpoint.http.stream("POST", "/responses", json=asked) as answer:
        lines = answer.iter_lines()
        next(line for line in lines if "output_text.delta" in line)
        endpoint.stop()
        assert any('"type":"response.failed"' in line for line in lines)
    said = endpoint.said()
    assert "Traceback" not in said
    assert " 200 failed " in said
