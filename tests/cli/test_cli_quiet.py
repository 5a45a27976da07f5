"""Memory goes back to the system once a busy time is over, and not before."""

import subprocess
import sys
import time

import httpx
import pytest
from endpoint import MODEL
from waiting import PATIENCE, until

from shim.cli import quiet, server
from shim.settings import Settings
from shim.simulator import DEFAULT_KEY, Hold, SimulatorConfig, Turn, run_in_thread

SCATTERED = """
import os, random
from shim.cli.quiet import give_back

def resident():
    with open("/proc/self/status") as told:
        return next(int(line.split()[1]) for line in told if line.startswith("VmRSS"))

pieces = [os.urandom(2000) for _ in range(30_000)]
kept = pieces[::100]
del pieces
before = resident()
give_back()
print(before - resident())
"""


def moments(*told):
    """At which of these (requests so far, time, busy) a quiet time begins."""
    watched = quiet.Quiet()
    return [now for asked, now, busy in told if watched.begins(asked, now, busy=busy)]


LONG = quiet.QUIET_SECONDS


def test_who_was_never_asked_has_nothing_to_give_back():
    assert moments((0, 0.0, False), (0, LONG, False), (0, 10 * LONG, False)) == []


def test_a_quiet_time_begins_once_after_the_last_request():
    asked = [(1, 1.0, False), (2, LONG, False), (2, 2 * LONG - 0.1, False), (2, 2 * LONG, False)]
    assert moments(*asked, (2, 9 * LONG, False), (3, 10 * LONG, False), (3, 11 * LONG, False)) == [
        2 * LONG,
        11 * LONG,
    ]


def test_a_long_answer_is_no_quiet_time():
    assert moments((1, 0.0, True), (1, 3 * LONG, True), (1, 3.5 * LONG, False), (1, 4 * LONG, False)) == [
        4 * LONG
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_is_free_between_pieces_in_use_goes_back():
    done = subprocess.run([sys.executable, "-c", SCATTERED], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 20_000  # of some 60,000 KB


def test_the_server_gives_back_after_answers_not_within_one(monkeypatch):
    given = []
    monkeypatch.setattr(quiet, "QUIET_SECONDS", 0.3)
    monkeypatch.setattr(server, "give_back", lambda: given.append(None))
    hold = Hold(after=1)
    turns = [Turn(text="one two three"), Turn(text="one two three", hold=hold)]
    with run_in_thread(SimulatorConfig()) as grid:
        grid.turns.extend(turns)
        settings = Settings(upstream=grid.base_url, key=DEFAULT_KEY, store="memory", retry_attempts=1)
        with (
            server.in_thread(settings, server.bind("127.0.0.1", 0)) as url,
            httpx.Client(timeout=PATIENCE) as client,
        ):
            ask = {"model": MODEL, "input": "hi"}
            assert client.post(f"{url}/responses", json=ask).status_code == 200
            until(lambda: given)
            with client.stream("POST", f"{url}/responses", json={**ask, "stream": True}) as reply:
                lines = reply.iter_lines()
                while "response.created" not in next(lines):
                    pass
                time.sleep(1)
                assert len(given) == 1
                hold.released.set()
                list(lines)
            until(lambda: len(given) == 2)
