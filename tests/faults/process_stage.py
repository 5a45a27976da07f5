"""Real processes: one `grid-shim serve` each, in front of a simulated Grid, both on loopback."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx

from shim.simulator import DEFAULT_KEY, Hold, Turn

MODEL = "code-prime"
SECONDS = 30  # bound of every wait; only a test that has failed anyway gets there
COMMAND = (sys.executable, "-P", "-c", "from shim.cli import main; main()", "serve", "--quiet", "--port", "0")
DELTA = "response.output_text.delta"
FOUR = "one two three four"


def until(condition, patience=SECONDS):
    """The first true value of a condition that another thread or process brings about."""
    deadline = time.monotonic() + patience
    while not (value := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    return value


def held(after=4):
    """A turn that stops after so many chunks (None: before the headers), and what lets it go on."""
    hold = Hold(after=after)
    return Turn(text=FOUR, hold=hold), hold.released.set


class Process:
    """A running `grid-shim serve`; `settings` are for its environment."""

    def __init__(self, folder, grid, *options, wait=True, errors=None, stderr=None, **settings):
        self.folder = Path(folder)
        self.errors = Path(errors or folder) / f"stderr-{time.monotonic_ns()}"
        own = {
            "upstream": grid.base_url,
            "key": DEFAULT_KEY,
            "seal_key": "faults",
            "store": f"sqlite:///{folder}/store.db",
            "retry_attempts": 1,
            **settings,
        }
        environment = {f"GRID_SHIM_{name.upper()}": str(value) for name, value in own.items()}
        home = {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "PYTHONUNBUFFERED": "1"}
        with self.errors.open("wb") as log:
            self.process = subprocess.Popen(
                [*COMMAND, *options],
                env={**os.environ, **home, **environment},
                stdout=subprocess.DEVNULL,
                stderr=log if stderr is None else stderr,
            )
        self.port = until(self._port) if wait else 1
        self.http = self.client()
        if wait:
            until(lambda: self.alive() == httpx.codes.OK)

    def _port(self):
        """Read from the kernel: the process was told to say nothing."""
        assert self.process.poll() is None, self.said()
        return listening_port(self.process.pid)

    def client(self):
        """Each with connections of its own."""
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}/v1",
            headers={"authorization": "Bearer alice"},
            timeout=SECONDS,
            trust_env=False,
        )

    def alive(self):
        return httpx.get(
            f"http://127.0.0.1:{self.port}/healthz", trust_env=False, timeout=SECONDS
        ).status_code

    def ready(self):
        """The status of `/readyz` and its checks by name, over a new connection."""
        answer = httpx.get(f"http://127.0.0.1:{self.port}/readyz", trust_env=False, timeout=SECONDS)
        return answer.status_code, {check["name"]: check for check in answer.json()["checks"]}

    def unready(self, name):
        """The reason why a part is not ready, once it is not."""

        def told():
            status, checks = self.ready()
            return status == 503 and not checks[name]["ok"] and checks[name]["reason"]

        return until(told)

    def ask(self, **body):
        return self.http.post("/responses", json={"model": MODEL, "input": "hi", **body})

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def ended(self):
        """Its exit code, once it has ended."""
        return self.process.wait(SECONDS)

    def said(self):
        return self.errors.read_text()

    def workers(self):
        pid = self.process.pid
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    @contextlib.contextmanager
    def still(self, worker):
        """A worker that rests, and so holds no lock, stands still."""
        until(lambda: rests(worker))
        os.kill(worker, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(worker, signal.SIGCONT)

    def close(self):
        self.http.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(SECONDS)


def listening_port(pid):
    """The TCP port on which a process listens; None if on none yet."""
    mine = set()
    with contextlib.suppress(OSError):
        for one in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                mine.add(str(one.readlink()))
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and f"socket:[{fields[9]}]" in mine:
            return int(fields[1].rpartition(":")[2], 16)
    return None


class Stream(threading.Thread):
    """A streamed answer, read on a thread of its own to whatever end it has."""

    def __init__(self, process, method="POST", path="/responses", **body):
        super().__init__(daemon=True)
        self._client = process.client()
        self._ask = (method, path)
        self._body = (
            {"json": {"model": MODEL, "input": "hi", "stream": True, **body}} if method == "POST" else {}
        )
        self.events = []
        self.broken = None
        self.status = None
        self.start()

    def run(self):
        try:
            with self._client.stream(*self._ask, **self._body) as answer:
                self.status = answer.status_code
                for line in answer.iter_lines():
                    if line.startswith("data: "):
                        self.events.append(json.loads(line[6:]))
        except httpx.TransportError as error:
            self.broken = error
        finally:
            self._client.close()

    @property
    def kinds(self):
        return [event["type"] for event in list(self.events)]

    def spoke(self):
        """Wait until the model has said something."""
        until(lambda: DELTA in self.kinds)
        return self

    def whole(self):
        """All events, once the body has ended as it should, numbered without a gap."""
        self.join(SECONDS)
        assert not self.is_alive()
        assert self.broken is None, self.broken
        assert [event["sequence_number"] for event in self.events] == list(range(len(self.events)))
        return self.events


class Answer(threading.Thread):
    """An answer that is not streamed, awaited on a thread of its own."""

    def __init__(self, process, path="/responses", **body):
        super().__init__(daemon=True)
        self._client = process.client()
        self._path, self._body = path, {"model": MODEL, "input": "hi", **body}
        self.answer = self.broken = None
        self.start()

    def run(self):
        try:
            self.answer = self._client.post(self._path, json=self._body)
        except httpx.TransportError as error:
            self.broken = error
        finally:
            self._client.close()

    def whole(self):
        self.join(SECONDS)
        assert self.broken is None, self.broken
        return self.answer


@contextlib.contextmanager
def raw_connection(process):
    """A TCP connection that says nothing by itself."""
    with socket.create_connection(("127.0.0.1", process.port), timeout=SECONDS) as sock:
        yield sock


def rests(pid):
    """Whether a process waits for something for a while: one that starts, or holds a lock, has work to do."""
    for _ in range(15):
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
            return False
        time.sleep(0.02)
    return True


def text_of(response):
    return response["output"][-1]["content"][0]["text"]
