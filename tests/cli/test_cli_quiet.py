"""Memory goes back to the system once a busy time is over, and not before."""

import platform
import subprocess
import sys
from types import ModuleType

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
    return [now for asked, now, busy in told if watched.notice(asked, now, busy=busy)]


QUIET = quiet.QUIET_SECONDS


def test_who_was_never_asked_has_nothing_to_give_back():
    assert moments((0, 0.0, False), (0, QUIET, False), (0, 10 * QUIET, False)) == []


def test_a_quiet_time_begins_once_after_the_last_request():
    asked = [(1, 1.0, False), (2, QUIET, False), (2, 2 * QUIET - 0.1, False), (2, 2 * QUIET, False)]
    assert moments(*asked, (2, 9 * QUIET, False), (3, 10 * QUIET, False), (3, 11 * QUIET, False)) == [
        2 * QUIET,
        11 * QUIET,
    ]


def test_a_long_answer_is_no_quiet_time():
    assert moments((1, 0.0, True), (1, 3 * QUIET, True), (1, 3.5 * QUIET, False), (1, 4 * QUIET, False)) == [
        4 * QUIET
    ]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="no other C library is asked to")
def test_what_is_free_between_pieces_in_use_goes_back():
    done = subprocess.run([sys.executable, "-c", SCATTERED], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 20_000  # of some 60,000 KB


@pytest.mark.parametrize("error", [AttributeError, ImportError, OSError])
def test_where_nothing_can_be_given_back_nothing_is(monkeypatch, error):
    """Another C library, an interpreter without ctypes, or no file descriptor left to import it with."""

    class Failing(ModuleType):
        def __getattr__(self, name):
            raise error

    monkeypatch.setitem(sys.modules, "ctypes", Failing("ctypes"))
    quiet.give_back()


TICKS = 10
"""Longer than a quiet time of these tests."""


def test_the_server_gives_back_after_answers_not_within_one(monkeypatch):
    given, noticed = [], []

    class Watched(quiet.Quiet):
        def notice(self, *moment, busy):
            noticed.append(busy)
            return super().notice(*moment, busy=busy)

    def gives_nothing_back_within(answer):
        before, ticks = len(given), len(noticed)
        until(lambda: len(noticed) > ticks + TICKS and all(noticed[-TICKS:]))
        assert len(given) == before
        answer.released.set()
        until(lambda: len(given) > before)

    monkeypatch.setattr(quiet, "QUIET_SECONDS", 0.3)
    monkeypatch.setattr(server, "Quiet", Watched)
    monkeypatch.setattr(server, "give_back", lambda: given.append(None))
    streamed, made_in_background = Hold(after=1), Hold(after=1)
    with run_in_thread(SimulatorConfig()) as grid:
        grid.turns.extend(Turn(text="one two three", hold=hold) for hold in (streamed, made_in_background))
        settings = Settings(upstream=grid.base_url, key=DEFAULT_KEY, store="memory", retry_attempts=1)
        with (
            server.in_thread(settings, server.bind("127.0.0.1", 0)) as url,
            httpx.Client(timeout=PATIENCE) as client,
        ):
            ask = {"model": MODEL, "input": "hi"}
            with client.stream("POST", f"{url}/responses", json={**ask, "stream": True}):
                gives_nothing_back_within(streamed)
            client.post(f"{url}/responses", json={**ask, "background": True}).raise_for_status()
            gives_nothing_back_within(made_in_background)
