"""`grid-shim serve --workers`: several processes on one port and one store."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from processes import children, gone, rests, still
from waiting import PATIENCE, until

from shim.cli import workers
from shim.cli.problem import Problem
from shim.seal_keys import rotate_file, seal_secrets, with_its_secrets
from shim.settings import Settings

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are read from /proc")

COMMAND = [sys.executable, "-c", "from shim.cli import main; main()", "serve", "--port", "0"]


def environment(folder):
    """One in which nothing of the user's is read or written."""
    own = {"GRID_SHIM_KEY": "k", "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    return {**os.environ, **own, "PYTHONUNBUFFERED": "1"}


class Served:
    """A parent with its workers."""

    def __init__(self, process):
        self.process = process
        self.said = process.stdout.readline()
        found = re.search(r"http://\S+/v1", self.said)
        assert found, f"{self.said}{process.stderr.read()}"
        self.url = found.group()

    def workers(self):
        return children(self.process.pid)

    def ask(self, **body):
        """On a connection of its own, so that whichever worker is awake takes it."""
        body = {"model": "code-prime", "input": "hi", **body}
        answer = httpx.post(f"{self.url}/responses", json=body, timeout=PATIENCE)
        assert answer.status_code == 200, answer.text
        return answer.json()


def only(worker, among):
    """The others stand still."""
    return still(*(pid for pid in among if pid != worker))


@pytest.fixture
def serve(grid, tmp_path):
    """`serve(*options)` starts two workers in front of a simulated Grid."""
    started = []

    def start(*options):
        process = subprocess.Popen(
            [*COMMAND, "--workers", "2", "--upstream", grid.base_url, *options],
            env=environment(tmp_path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        served = Served(process)
        until(lambda: len(served.workers()) == 2)
        until(lambda: all(map(rests, served.workers())))
        return served

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=PATIENCE)


def test_a_chain_goes_on_in_whichever_worker_takes_it(serve):
    served = serve()
    one, other = served.workers()
    with only(one, [one, other]):
        first = served.ask()
    with only(other, [one, other]):
        second = served.ask(previous_response_id=first["id"])
    assert second["previous_response_id"] == first["id"]


def test_a_background_response_is_known_to_every_worker(serve):
    served = serve()
    one, other = served.workers()
    with only(one, [one, other]):
        queued = served.ask(background=True)
    assert queued["status"] == "queued"

    def ended():
        return httpx.get(f"{served.url}/responses/{queued['id']}").json()["status"] == "completed"

    until(ended)
    with only(other, [one, other]):
        assert ended()


def test_a_worker_that_is_killed_is_replaced(serve):
    served = serve("--quiet")
    one, other = served.workers()
    os.kill(one, signal.SIGKILL)
    (fresh,) = until(lambda: set(served.workers()) - {one, other})
    with only(fresh, [other, fresh]):
        served.ask()
    served.process.terminate()
    out, err = served.process.communicate(timeout=PATIENCE)
    assert out == ""
    assert f"worker {one} ended (-9); another takes its place" in err
    assert err.count("POST /v1/responses 200") == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 0)])
def test_a_signal_to_the_parent_ends_all(serve, number, code):
    served = serve("--quiet")
    alive = served.workers()
    served.process.send_signal(number)
    assert served.process.wait(timeout=PATIENCE) == code
    assert all(map(gone, alive))
    assert "Traceback" not in served.process.stderr.read()


def test_workers_end_when_their_parent_is_killed(serve):
    served = serve("--quiet")
    alive = served.workers()
    served.process.kill()
    until(lambda: all(map(gone, alive)))


def test_a_store_that_cannot_be_opened_is_told_once(tmp_path):
    command = [*COMMAND, "--workers", "3", "--store", "sqlite:////proc/nope/x.db"]
    done = subprocess.run(
        command, env=environment(tmp_path), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("cannot be opened") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("store", ["memory", "sqlite:///:memory:"])
def test_a_store_in_memory_is_refused(run, store):
    code, out, err = run("serve", "--port", "0", "--workers", "2", "--store", store, "--set", "key=k")
    assert (code, out) == (1, "")
    assert "A store in memory belongs to one process, and there would be 2." in err


def test_a_system_without_fork_is_refused(monkeypatch):
    monkeypatch.delattr(os, "fork")
    with pytest.raises(Problem, match="need fork"):
        workers.check(Settings(workers=2))


def test_a_worker_that_comes_later_has_the_secrets_of_the_others(serve, tmp_path):
    served = serve("--quiet")
    one, other = served.workers()
    (tmp_path / "grid-shim" / "seal.key").unlink()
    os.kill(one, signal.SIGKILL)
    (fresh,) = until(lambda: set(served.workers()) - {one, other})
    with only(fresh, [other, fresh]):
        first = served.ask()
    with only(other, [other, fresh]):
        served.ask(previous_response_id=first["id"])


def test_workers_keep_the_secrets_of_their_start(tmp_path):
    path = tmp_path / "seal.key"
    path.write_bytes(b"\xff" * 32 + b"\n" + b"old" * 20)
    settings = Settings(seal_key_file=str(path), seal_keys_accepted="further")
    before, started = seal_secrets(settings), with_its_secrets(settings)
    assert before == (b"\xff" * 32, b"old" * 20, b"further")
    rotate_file(path)
    assert seal_secrets(started) == before
    path.unlink()
    assert seal_secrets(started) == before
    assert seal_secrets(with_its_secrets(Settings(seal_key="own"))) == (b"own",)


def test_workers_share_a_secret_that_cannot_be_kept(monkeypatch):
    monkeypatch.setattr("platformdirs.user_data_dir", lambda *_: "/proc/nope")
    started = with_its_secrets(Settings())
    assert seal_secrets(started) == seal_secrets(started)
