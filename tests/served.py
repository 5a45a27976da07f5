"""One `grid-shim serve` in a process of its own."""

import os
import signal
import socket
import subprocess
import sys

import httpx
from waiting import PATIENCE

from shim.simulator import DEFAULT_KEY

SERVE = (sys.executable, "-P", "-c", "from shim.cli import main; main()", "serve", "--quiet")


class Served:
    """One process, on a port that was free; `settings` are for its environment, and so are `variables` as they are."""

    def __init__(self, base_url, stderr=subprocess.DEVNULL, *options, port=None, variables=None, **settings):
        self.port = free_port() if port is None else port
        settings = {"upstream": base_url, "key": DEFAULT_KEY, **settings}
        own = {f"GRID_SHIM_{name.upper()}": str(value) for name, value in settings.items()}
        self.process = subprocess.Popen(
            [*SERVE, "--port", str(self.port), *options],
            env={**os.environ, **(variables or {}), **own},
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
        self.http = self.client()

    def client(self):
        """Each with connections of its own."""
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}/v1",
            headers={"authorization": "Bearer alice"},
            timeout=PATIENCE,
            trust_env=False,
        )

    def up(self):
        try:
            return self.http.get("/models").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def stop(self, number=signal.SIGTERM):
        """Ask it to end; it may take its time."""
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait(PATIENCE)

    def close(self):
        self.http.close()
        self.kill()


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
