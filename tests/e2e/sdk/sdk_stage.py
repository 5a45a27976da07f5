"""The shim in front of a simulated Grid, both on loopback: what the SDK tests talk to."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass

from openai import AsyncOpenAI, OpenAI
from stack import Stack, running_stack

from shim.simulator.journal import wait_until

MODEL = "code-prime"
SEEING_MODEL = "claude-opus-latest"
PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PATIENCE = 20  # seconds until a wait for an event gives up; only a test that has failed anyway gets there


@dataclass(frozen=True)
class Stage(Stack):
    """One shim, its upstream, and clients for it."""

    def openai(self, **options):
        return OpenAI(
            **{"base_url": self.base_url, "api_key": "any", "max_retries": 0, "timeout": PATIENCE, **options}
        )

    def async_openai(self, **options):
        return AsyncOpenAI(
            **{"base_url": self.base_url, "api_key": "any", "max_retries": 0, "timeout": PATIENCE, **options}
        )

    def script(self, *turns):
        """What the model says next."""
        self.grid.turns.extend(turns)

    @property
    def served(self):
        """The requests that the model answered."""
        return self.grid.journal.served

    @property
    def asked(self):
        """The last chat request that the model answered."""
        return self.served[-1].body

    async def serving(self):
        """Return when the model has begun to answer."""
        await wait_until(lambda: bool(self.served))

    async def left(self):
        """The request that a client abandoned, once the upstream has noticed."""
        await wait_until(lambda: any(each.served and each.ended.is_set() for each in list(self.grid.journal)))
        return self.served[-1]


@contextmanager
def stage(config=None, **settings):
    """A shim in front of a simulator, each on a thread of its own."""
    with running_stack(config, **{"keepalive_seconds": 0, **settings}) as running:
        yield Stage(running.base_url, running.grid)


def by_type(response):
    """The output's items, grouped by their type."""
    items = {}
    for item in response.output:
        items.setdefault(item.type, []).append(item)
    return items


def replayed(response):
    """The output as input for the next turn, as the SDKs' guides do it."""
    return [item.model_dump(exclude_none=True) for item in response.output]
