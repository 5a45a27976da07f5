"""The endpoint with its store, in front of a simulated Grid, both on loopback."""

import json
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import openai
from waiting import PATIENCE

from shim.cli import server
from shim.settings import Settings
from shim.simulator import DEFAULT_KEY, SimulatorConfig, run_in_thread

KEY = "alice"
MODEL = "code-prime"


@dataclass(frozen=True)
class Stack:
    """A running endpoint; `grid` is the simulated Grid behind it."""

    base_url: str
    grid: object

    def client(self, key=KEY):
        """The official SDK; two keys are two owners."""
        return openai.OpenAI(base_url=self.base_url, api_key=key, max_retries=0, timeout=PATIENCE)

    def http(self, key=KEY):
        """Plain HTTP, on the same paths."""
        headers = {"authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.base_url, headers=headers, timeout=PATIENCE, trust_env=False)

    def say(self, *turns):
        """Let the model say these turns next."""
        self.grid.turns.extend(turns)

    @property
    def chats(self):
        """The chat completion requests that the model answered."""
        return [received.body for received in self.grid.journal.served]

    @property
    def messages(self):
        """The messages of the last one."""
        return self.chats[-1]["messages"]


@contextmanager
def running_stack(store, config=None, **settings):
    """Serve both while the context is open. Clients' own keys tell them apart; upstream sees ours."""
    with run_in_thread(config or SimulatorConfig()) as grid:
        chosen = {"upstream": grid.base_url, "key": DEFAULT_KEY, "seal_key": "stateful", **settings}
        configured = Settings(store=store, store_upgrade=True, **chosen)
        with server.in_thread(configured, server.bind("127.0.0.1", 0)) as base_url:
            yield Stack(base_url, grid)


def said(message):
    """A chat message's role and text."""
    content = message["content"]
    return message["role"], content if isinstance(content, str) else json.dumps(content)
