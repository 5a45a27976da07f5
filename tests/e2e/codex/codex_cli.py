"""The real Codex, run without a terminal or inside one, and what it said.

Each `Codex` is a user of their own: a home, a configuration folder and a working folder below one folder of the
test. What it is told is exactly what `grid-shim serve` prints, changed only where a test says so.
"""

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import tomlkit
from npm import program

from shim.cli.hints import Endpoint

SECONDS = 60
"""Longest run of one command; a test that works takes one or two."""

UNATTENDED = {"approval_policy": "never", "sandbox_mode": "danger-full-access"}
STDIN_NOTICE = "Reading additional input from stdin..."
"""Codex says so whenever its standard input is no terminal."""

TERMINAL_ANSWERS = {b"\x1b[6n": b"\x1b[1;1R", b"\x1b[c": b"\x1b[?62;c", b"\x1b[?u": b"\x1b[?0u"}
"""What a terminal answers when it is asked for the cursor, its kind and its keyboard."""


@dataclass(frozen=True)
class Run:
    """One `codex exec`: its exit code, its JSON events and its standard error."""

    code: int
    events: list[dict[str, Any]]
    stderr: str

    def items(self, kind):
        """The completed items of a kind, such as `command_execution`."""
        done = (event["item"] for event in self.events if event["type"] == "item.completed")
        return [item for item in done if item["type"] == kind]

    @property
    def answer(self):
        """The final answer that the user sees."""
        return self.items("agent_message")[-1]["text"]

    @property
    def thoughts(self):
        """The reasoning that the user sees."""
        return [item["text"] for item in self.items("reasoning")]

    @property
    def outputs(self):
        """What the commands printed."""
        return [item["aggregated_output"] for item in self.items("command_execution")]

    @property
    def failure(self):
        """The sentence that the turn failed with, or None."""
        failed = [event["error"]["message"] for event in self.events if event["type"] == "turn.failed"]
        return failed[0] if failed else None

    @property
    def notices(self):
        """Every warning and error shown on the way, the final failure included."""
        errors = [event["message"] for event in self.events if event["type"] == "error"]
        return errors + [item["message"] for item in self.items("error")]


class Codex:
    """A user's Codex, configured for an endpoint.

    Args:
        folder: Where everything of this user lies; made here.
        base_url: The endpoint.
        model: The model to name.
        provider: Changes to the provider's table; None takes a key out.
        config: Further top-level keys and tables.
    """

    def __init__(self, folder, base_url, *, model="code-prime", provider=None, **config):
        self.home = folder / "codex-home"
        self.work = folder / "work"
        for made in (self.home, self.work, folder / "home", folder / "temporary"):
            made.mkdir(parents=True)
        told = tomlkit.parse(Endpoint(base_url, model).codex_toml).unwrap() | UNATTENDED | config
        for key, value in (provider or {}).items():
            told["model_providers"]["grid"][key] = value
        (self.home / "config.toml").write_text(tomlkit.dumps(_without_none(told)))
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "home"),
            "CODEX_HOME": str(self.home),
            "TMPDIR": str(folder / "temporary"),  # Codex warns if its home lies within it
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
        }

    def exec(self, *arguments):
        """Run `codex exec --json` to its end."""
        done = self.command("exec", "--skip-git-repo-check", "--json", *arguments)
        events = [json.loads(line) for line in done.stdout.splitlines()]
        return Run(done.returncode, events, done.stderr)

    def resume(self, *arguments):
        """Go on with the last session, in a process of its own."""
        return self.exec("resume", "--last", *arguments)

    def command(self, *arguments):
        """Run any command of Codex to its end."""
        return run([program("codex"), *arguments], cwd=self.work, env=self.environment)

    @contextmanager
    def terminal(self, *arguments):
        """Codex's own user interface on a terminal; yields a function that waits for a condition.

        Its background service, which would outlive it, is switched off.
        """
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        process = subprocess.Popen(
            [program("codex"), "--no-daemon", *arguments],
            cwd=self.work,
            env=self.environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        try:
            yield lambda condition: _attend(ours, condition)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            os.close(ours)
        assert not (self.home / "app-server-daemon").exists(), "Codex started a service in the background"


def run(arguments, *, cwd, env):
    """A command and everything it started, ended together if it takes too long."""
    with subprocess.Popen(
        arguments,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=SECONDS)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def _attend(terminal, condition):
    """Be the terminal until the condition holds."""
    deadline = time.monotonic() + SECONDS
    screen = b""
    while not condition():
        assert time.monotonic() < deadline, screen[-2000:].decode(errors="replace")
        if select.select([terminal], [], [], 0.05)[0]:
            shown = os.read(terminal, 1 << 16)
            screen += shown
            for asked, answer in TERMINAL_ANSWERS.items():
                if asked in shown:
                    os.write(terminal, answer)


def _without_none(table):
    """The table without its Nones, plain values before tables, as TOML wants them."""
    kept = {key: _without_none(value) for key, value in table.items() if isinstance(value, dict)}
    return {k: v for k, v in table.items() if not isinstance(v, dict) and v is not None} | kept
