"""Real processes: one `grid-shim serve` each, in front of a simulated Grid, both on loopback."""

import contextlib
import json
import socket
import threading
import time
from pathlib import Path

import httpx
import processes
from served import Served
from waiting import PATIENCE, until

from shim.simulator import Hold, Turn

MODEL = "code-prime"
DELTA = "response.output_text.delta"
FOUR = "one two three four"


def held(after=4):
    """A turn that stops after so many chunks (None: before the headers), and what lets it go on."""
    hold = Hold(after=after)
    return Turn(text=FOUR, hold=hold), hold.released.set


class Process(Served):
    """One whose port is read from the kernel, and whose words are kept: `settings` are for its environment."""

    def __init__(self, folder, grid, *options, wait=True, errors=None, stderr=None, **settings):
        self.folder = Path(folder)
        self.errors = Path(errors or folder) / f"stderr-{time.monotonic_ns()}"
        home = {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "PYTHONUNBUFFERED": "1"}
        own = {"seal_key": "faults", "store": f"sqlite:///{folder}/store.db", "retry_attempts": 1}
        with self.errors.open("wb") as log:
            chosen = {**own, **settings}
            super().__init__(grid.base_url, stderr or log, *options, port=0, variables=home, **chosen)
        if wait:
            self.port = until(self._port)
            self.http.close()
            self.http = self.client()
            until(lambda: self.alive() == httpx.codes.OK)

    def _port(self):
        """Read from the kernel: the process was told to say nothing."""
        assert self.process.poll() is None, self.said()
        return listening_port(self.process.pid)

    def alive(self):
        return httpx.get(
            f"http://127.0.0.1:{self.port}/healthz", trust_env=False, timeout=PATIENCE
        ).status_code

    def ready(self):
        """The status of `/readyz` and its checks by name, over a new connection."""
        answer = httpx.get(f"http://127.0.0.1:{self.port}/readyz", trust_env=False, timeout=PATIENCE)
        return answer.status_code, {check["name"]: check for check in answer.json()["checks"]}

    def unready(self, name):
        """The reason why a part is not ready, once it is not."""

        def told():
            status, checks = self.ready()
            return status == 503 and not checks[name]["ok"] and checks[name]["reason"]

        return until(told)

    def ask(self, **body):
        return self.http.post("/responses", json={"model": MODEL, "input": "hi", **body})

    def ended(self):
        """Its exit code, once it has ended."""
        return self.process.wait(PATIENCE)

    def said(self):
        return self.errors.read_text()

    def workers(self):
        return processes.children(self.process.pid)

    @contextlib.contextmanager
    def still(self, worker):
        """A worker that rests, and so holds no lock, stands still."""
        until(lambda: processes.rests(worker))
        with processes.still(worker):
            yield


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
        self.join(PATIENCE)
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
        self.join(PATIENCE)
        assert self.broken is None, self.broken
        return self.answer


@contextlib.contextmanager
def raw_connection(process):
    """A TCP connection that says nothing by itself."""
    with socket.create_connection(("127.0.0.1", process.port), timeout=PATIENCE) as sock:
        yield sock


def text_of(response):
    return response["output"][-1]["content"][0]["text"]
