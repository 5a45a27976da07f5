"""One `grid-shim serve` in a process of its own, and waiting that is bounded."""

import os
import signal
import socket
import subprocess
import sys
import time

import httpx

from shim.simulator import DEFAULT_KEY

PATIENCE = 30.0  # seconds until a test that waits for something gives up
SERVE = (sys.executable, "-P", "-c", "from shim.cli import main; main()", "serve", "--quiet", "--port")


def until(condition, patience=PATIENCE):
    """The first true value of a condition that another thread or process brings about."""
    deadline = time.monotonic() + patience
    while not (value := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    return value


class Served:
    """One process; `settings` are for its environment."""

    def __init__(self, base_url, stderr=subprocess.DEVNULL, **settings):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        settings = {"upstream": base_url, "key": DEFAULT_KEY, **settings}
        own = {f"GRID_SHIM_{name.upper()}": str(value) for name, value in settings.items()}
        self.process = subprocess.Popen([*SERVE, str(self.port)], env={**os.environ, **own}, stderr=stderr)
        self.http = httpx.Client(
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

    def stop(self):
        """Ask it to end; it may take its time."""
        self.process.send_signal(signal.SIGTERM)

    def kill(self):
        self.process.kill()
        self.process.wait(PATIENCE)

    def close(self):
        self.http.close()
        self.kill()
