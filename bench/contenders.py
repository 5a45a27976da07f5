"""What is compared: how each bridge is started, as its own documentation says, and how it is asked."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.load import CHAT, RESPONSES, Dialect
from bench.processes import ROOT, running
from bench.upstream import MODELS

CACHE = ROOT / "build"
LITELLM = "litellm[proxy]"
CODEX_RELAY = "codex-relay"
START_SECONDS = 120.0
SHIM = (sys.executable, "-c", "from shim.cli import main; main()")
"""`grid-shim`, of this tree."""


class Unavailable(Exception):
    """A contender cannot be had here; the message says why."""


Command = Callable[[int, str, Path], Sequence[str]]
"""From a port, the upstream's URL with `/v1` and a folder for files to the command that serves."""


@dataclass(frozen=True)
class Contender:
    """A bridge, or none."""

    name: str
    dialect: Dialect
    command: Command | None = None
    store: bool = False
    prepare: Callable[[], None] = lambda: None
    environment: Mapping[str, str] = field(default_factory=dict)


def shim_command(port: int, upstream: str, folder: Path, *more: str) -> Sequence[str]:
    """One worker with default settings, but for the store's place, which is not to be the user's own."""
    chosen = ("--profile", "openai-compatible", "--store", f"sqlite:///{folder / 'store.sqlite3'}")
    return (*SHIM, "serve", "--quiet", "--port", str(port), "--upstream", upstream, *chosen, *more)


def passthrough_command(port: int, upstream: str, folder: Path) -> Sequence[str]:  # noqa: ARG001 -- a `Command`
    """The bare pass-through."""
    return (sys.executable, "-m", "bench.passthrough", str(port), upstream)


def bytes_command(port: int, upstream: str, folder: Path) -> Sequence[str]:  # noqa: ARG001 -- a `Command`
    """Bytes handed on, unread."""
    return (sys.executable, "-m", "bench.bytes", str(port), upstream)


def litellm_command(port: int, upstream: str, folder: Path) -> Sequence[str]:
    """LiteLLM's proxy with one worker, its Responses endpoint in front of a Chat Completions provider."""
    lines = ["model_list:"]
    for name in MODELS:
        lines += [f"  - model_name: {name}", "    litellm_params:"]
        lines += [f"      model: openai/{name}", f"      api_base: {upstream}", "      api_key: bench"]
        lines += ["      use_chat_completions_api: true"]  # else it asks this provider for Responses, too
    lines += ["general_settings:", "  dangerously_permit_weak_or_unset_master_key: true"]  # no keys to check
    config = folder / "litellm.yaml"
    config.write_text("\n".join(lines) + "\n")
    program = str(CACHE / "bench-litellm" / "bin" / "litellm")
    return (
        program,
        "--config",
        str(config),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--num_workers",
        "1",
    )


def codex_relay_command(port: int, upstream: str, folder: Path) -> Sequence[str]:  # noqa: ARG001 -- a `Command`
    """The Rust bridge, as it starts by default; it keeps its history in memory."""
    program = str(CACHE / "bench-codex-relay" / "bin" / "codex-relay")
    return (program, "--port", str(port), "--upstream", upstream, "--api-key", "bench")


def install(name: str, package: str) -> Path:
    """A virtual environment of its own with a package, made once; its folder of programs.

    Raises:
        Unavailable: It cannot be installed.
    """
    folder = CACHE / f"bench-{name}"
    programs, done = folder / "bin", folder / "installed"
    if not done.exists():
        venv.create(folder, with_pip=True)
        pip = [str(programs / "python"), "-m", "pip", "install", "--quiet", package]
        installed = subprocess.run(pip, capture_output=True, text=True, check=False)
        if installed.returncode:
            said = installed.stderr.strip().splitlines() or ["pip failed"]
            raise Unavailable(f"{package} could not be installed: {said[-1]}")
        done.touch()
    return programs


CONTENDERS = {
    each.name: each
    for each in (
        Contender("direct", CHAT),
        Contender("bytes", CHAT, bytes_command),
        Contender("pass-through", CHAT, passthrough_command),
        Contender("shim", RESPONSES, shim_command),
        Contender("shim-stored", RESPONSES, shim_command, store=True),
        Contender(
            "codex-relay",
            replace(RESPONSES, whole=b'"output_text"'),  # its unstreamed answers have no status
            codex_relay_command,
            prepare=lambda: (install("codex-relay", CODEX_RELAY), None)[1],
        ),
        Contender(
            "litellm",
            RESPONSES,
            litellm_command,
            prepare=lambda: (install("litellm", LITELLM), None)[1],
            environment={"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"},
        ),
    )
}


@dataclass(frozen=True)
class Served:
    """A contender that answers."""

    contender: Contender
    url: str
    pid: int | None
    start_seconds: float


@contextmanager
def serving(contender: Contender, upstream_port: int, core: int | str, folder: Path) -> Iterator[Served]:
    """Start a contender on a core, or several such as `0,1`, and wait for its first answer; it ends with the context.

    Raises:
        Unavailable: It did not answer in time.
    """
    if contender.command is None:
        yield Served(contender, f"http://127.0.0.1:{upstream_port}", None, 0.0)
        return
    port = free_port()
    command = contender.command(port, f"http://127.0.0.1:{upstream_port}/v1", folder)
    log = folder / f"{contender.name}.log"
    began = time.perf_counter()
    own = {
        "XDG_CONFIG_HOME": str(folder),
        "XDG_DATA_HOME": str(folder),
    }  # nothing of the user's is read or written
    with running(command, core, log, {**own, **contender.environment}) as process:
        while not answers(contender, port):
            if process.poll() is not None or time.perf_counter() - began > START_SECONDS:
                said = log.read_text(errors="replace").strip().splitlines() or ["no word"]
                raise Unavailable(f"{contender.name} did not start: {said[-1]}")
            time.sleep(0.02)
        yield Served(contender, f"http://127.0.0.1:{port}", process.pid, time.perf_counter() - began)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def answers(contender: Contender, port: int) -> bool:
    """Whether a short request is answered well."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    body = contender.dialect.body("nonstream", stream=False, store=contender.store)
    headers = {"content-type": "application/json", "authorization": "Bearer bench"}
    with suppress(OSError, http.client.HTTPException):
        connection.request("POST", contender.dialect.path, body, headers)
        answer = connection.getresponse()
        return answer.status == 200 and contender.dialect.whole in answer.read()
    connection.close()
    return False
