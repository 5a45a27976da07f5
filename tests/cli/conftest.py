"""Shared by the command line's tests: a clean environment, a simulated Grid, and the user's Codex if there is one."""

import logging
import os
import shutil
import subprocess

import pytest

from shim.cli.commands import run as run_command_line
from shim.simulator import SimulatorConfig, run_in_thread


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    """No setting, key or file of the person who runs the tests takes part."""
    for name in list(os.environ):
        if name.startswith(("GRID_SHIM_", "THEGRID_", "CODEX_", "OPENAI_")) and name != "CODEX_BIN":
            monkeypatch.delenv(name)
    monkeypatch.setenv("GRID_SHIM_CONFIG", os.devnull)
    monkeypatch.setattr("platformdirs.user_config_dir", lambda *_: str(tmp_path / "config"))
    monkeypatch.setattr("platformdirs.user_data_dir", lambda *_: str(tmp_path / "data"))
    monkeypatch.delenv("GRID_SHIM_CONFIG")


@pytest.fixture(autouse=True)
def own_logging():
    """What a command does to the process's logging ends with its test, as it would with its process."""
    loggers = [logging.getLogger(name) for name in ("shim", "uvicorn", "uvicorn.access")]
    before = [(log.handlers[:], log.level, log.propagate, log.disabled) for log in loggers]
    yield
    for log, (handlers, level, propagate, disabled) in zip(loggers, before, strict=True):
        log.handlers[:], log.propagate, log.disabled = handlers, propagate, disabled
        log.setLevel(level)


@pytest.fixture
def grid():
    """A simulated Grid that takes any key and does not mind unknown fields."""
    with run_in_thread(SimulatorConfig(keys=(), strict_fields=False)) as running:
        yield running


@pytest.fixture
def run(capfd):
    """Run a command line in this process; returns exit code, standard output and standard error."""

    def call(*arguments):
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            run_command_line([str(argument) for argument in arguments])
        said = capfd.readouterr()
        return ended.value.code or 0, said.out, said.err

    return call


@pytest.fixture(scope="session")
def codex_binary():
    """The real Codex: `CODEX_BIN`, else `codex` on the PATH, else skip."""
    binary = os.environ.get("CODEX_BIN") or shutil.which("codex")
    if binary is None:
        pytest.skip("no Codex: npm install @openai/codex, then set CODEX_BIN to its codex")
    return binary


@pytest.fixture
def codex_home(tmp_path, monkeypatch):
    """A fresh CODEX_HOME outside the temporary folder that Codex sees, as Codex wants it."""
    home, temporary, work = (tmp_path / name for name in ("home", "tmp", "work"))
    for folder in (home, temporary, work):
        folder.mkdir()
    monkeypatch.setenv("CODEX_HOME", str(home))
    monkeypatch.setenv("TMPDIR", str(temporary))
    return home


@pytest.fixture
def codex(codex_binary, codex_home, tmp_path):
    """Run the real Codex; `arguments` stand before `exec`."""

    def call(*arguments, prompt="say done"):
        freedom = ["-c", 'approval_policy="never"', "-c", 'sandbox_mode="danger-full-access"']
        command = [codex_binary, *arguments, *freedom, "exec", "--skip-git-repo-check", "--json", prompt]
        return subprocess.run(
            command,
            cwd=tmp_path / "work",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return call
