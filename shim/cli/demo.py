"""`grid-shim demo`: an embedded upstream, the shim, one streamed answer and one tool call, shown on both sides."""

from __future__ import annotations

import json
import os
import secrets
import threading
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
import httpx
from httpx_sse import connect_sse

from shim.cli import demo_view, local_model, server
from shim.cli.hints import PLACEHOLDER, Endpoint
from shim.cli.problem import Problem
from shim.cli.tap import Tap, tap
from shim.settings import CONFIG_FILE_VARIABLE, Settings

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from rich.console import Console

JsonObject = dict[str, Any]

USUAL_PORT = 4000

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


@dataclass(frozen=True)
class Engine:
    """An upstream that needs no account.

    Attributes:
        base_url: Where it answers.
        profile: How the shim talks to it.
        model: What it serves.
        key: Its key.
        words: What it is, for the user.
    """

    base_url: str
    profile: str
    model: str
    key: str
    words: str


@contextmanager
def local() -> Iterator[Engine]:
    """The small language model."""
    with local_model.local_model() as base_url:
        words = "a real language model on this machine (llama.cpp with SmolLM2 135M: quick, real, not clever)"
        yield Engine(base_url, local_model.PROFILE, local_model.MODEL, "none-needed", words)


@contextmanager
def simulator() -> Iterator[Engine]:
    """The simulated Grid, with two turns scripted."""
    from shim.simulator import Call, SimulatorConfig, Turn, run_in_thread  # noqa: PLC0415

    turns = [
        Turn(reasoning="The user wants one colour.", text="Blue, the colour of a clear sky."),
        Turn(reasoning="I need the tool for that.", calls=[Call("get_weather", {"city": "Paris"})]),
    ]
    config = SimulatorConfig(turns=turns, relative_location=True, strict_fields=False, keys=())
    with run_in_thread(config) as grid:
        yield Engine(
            grid.base_url, "grid", "code-prime", PLACEHOLDER, "a simulated Grid, scripted and instant"
        )


ENGINES = {"local": local, "simulator": simulator}


@click.command("demo")
@click.option(
    "--engine", type=click.Choice(list(ENGINES)), help="The upstream. [default: local if installed]"
)
@click.option("--once", is_flag=True, help="End after the two requests; exit code 1 if one failed.")
@click.option("--port", type=click.IntRange(0, 65535), help=f"Port. [default: {USUAL_PORT}, or a free one]")
def command(*, engine: str | None, once: bool, port: int | None) -> None:
    """See a Responses tool work on a Chat Completions upstream: no key, no account."""
    out = demo_view.console()
    with ExitStack() as stack:
        listening = stack.enter_context(_bind(port))
        running = stack.enter_context(ENGINES[engine or _best_engine()]())
        recorder = stack.enter_context(tap(running.base_url))
        base_url = stack.enter_context(server.in_thread(_settings(running, recorder.base_url), listening))
        out.print(f"Upstream: {running.words}\nResponses API: {base_url}\n", soft_wrap=True)
        good = [
            _step(out, base_url, recorder, title, body) for title, body in _requests(running.model).items()
        ]
        if once:
            raise SystemExit(0 if all(good) else 1)
        click.echo(Endpoint(base_url, running.model).text())
        click.echo("It stays up for your own tools; Ctrl-C ends it.")
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


def _best_engine() -> str:
    absent = local_model.missing()
    if absent is None:
        return "local"
    click.echo(f"No local model ({absent} not found), so the simulator answers. For the real one:")
    click.echo(f"  {local_model.INSTALL}\n")
    return "simulator"


def _bind(port: int | None) -> socket.socket:
    if port is not None:
        return server.bind("127.0.0.1", port)
    try:
        return server.bind("127.0.0.1", USUAL_PORT)
    except Problem:
        return server.bind("127.0.0.1", 0)


def _settings(engine: Engine, upstream: str) -> Settings:
    """Settings of the demo's own: nothing of the user's configuration or data takes part."""
    os.environ[CONFIG_FILE_VARIABLE] = os.devnull
    return Settings(
        **Settings.model_construct().model_dump()
        | {
            "upstream": upstream,
            "profile": engine.profile,
            "default_model": engine.model,
            "key": engine.key,
            "seal_key": secrets.token_urlsafe(32),
            "log_level": "error",
        }
    )


def _requests(model: str) -> dict[str, JsonObject]:
    asked = {"model": model, "stream": True, "max_output_tokens": 200}
    return {
        "1. A streamed answer": asked | {"input": "Name a colour.", "reasoning": {"summary": "auto"}},
        "2. A tool call": asked | {"input": "What is the weather in Paris?", "tools": [WEATHER]},
    }


def _step(out: Console, base_url: str, recorder: Tap, title: str, body: JsonObject) -> bool:
    """One request, shown; whether it did what it should."""
    try:
        events = ask(base_url, body)
    except httpx.HTTPError as error:
        events = [{"type": "failed", "delta": f"{type(error).__name__}: {error}"}]
    out.rule(title, align="left")
    out.print(demo_view.exchange(body, events, recorder.request, recorder.payloads))
    for redirect in recorder.redirects:
        out.print(
            f"(The upstream answered {redirect}; the shim followed, body and key included.)", soft_wrap=True
        )
    recorder.redirects.clear()
    problem = verdict(events, calls_tool="tools" in body)
    out.print(f"[red]✗[/] {problem}\n" if problem else "[green]✓[/] as a Responses tool expects it\n")
    return problem is None


def ask(base_url: str, body: JsonObject) -> list[JsonObject]:
    """The events of one streamed response.

    Raises:
        httpx.HTTPError: The endpoint did not answer with a stream.
    """
    headers = {"authorization": f"Bearer {PLACEHOLDER}"}
    with (
        httpx.Client(timeout=300, headers=headers) as client,
        connect_sse(client, "POST", f"{base_url}/responses", json=body) as source,
    ):
        source.response.raise_for_status()
        return [json.loads(event.data) for event in source.iter_sse() if event.data not in {"", "[DONE]"}]


def verdict(events: list[JsonObject], *, calls_tool: bool) -> str | None:
    """What is wrong with a stream, or None: it must complete with a text, or with a call of the tool."""
    if not events or events[-1]["type"] != "response.completed":
        return f"the stream ended with {events[-1]['type'] if events else 'nothing'}, not response.completed"
    kinds = {item["type"]: item for item in events[-1]["response"]["output"]}
    if not calls_tool:
        return None if "message" in kinds else "the response holds no message"
    call = kinds.get("function_call")
    if call is None:
        return "the response holds no function_call"
    return None if "city" in json.loads(call["arguments"]) else "the call lacks its argument"
