"""The endpoint in front of a simulated Grid, both on loopback, for real clients of any language."""

from contextlib import contextmanager
from dataclasses import dataclass

from shim.cli import server
from shim.settings import Settings
from shim.simulator import DEFAULT_KEY, SimulatorConfig, run_in_thread


@dataclass(frozen=True)
class Stack:
    """A running endpoint.

    Attributes:
        base_url: What clients configure, such as `http://127.0.0.1:1234/v1`.
        grid: The simulated Grid behind it; `grid.turns` and `grid.config` may be changed at any time.
    """

    base_url: str
    grid: object

    @property
    def turns(self):
        """The turns still to be said by the model."""
        return self.grid.turns

    def say(self, *turns):
        """Let the model say these turns next, one to each request; later requests it answers by itself."""
        self.grid.turns.extend(turns)

    @property
    def journal(self):
        """Every request that the simulated Grid received."""
        return self.grid.journal

    @property
    def chats(self):
        """The chat completion requests that the model answered, as JSON."""
        return [received.body for received in self.journal.served]


@contextmanager
def running_stack(config=None, **settings):
    """Serve both while the context is open.

    Args:
        config: The simulator's `SimulatorConfig`.
        settings: The endpoint's settings; by default it holds the simulator's key and serves every client.
    """
    with run_in_thread(config or SimulatorConfig()) as grid:
        chosen = {"upstream": grid.base_url, "key": DEFAULT_KEY, "seal_key": "e2e", **settings}
        with server.in_thread(Settings(**chosen), server.bind("127.0.0.1", 0)) as base_url:
            yield Stack(base_url, grid)
