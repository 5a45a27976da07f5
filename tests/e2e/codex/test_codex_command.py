"""`grid-shim codex` and `grid-shim setup codex`: from a key and nothing else to a Codex that works."""

import os
import sys

import pytest
from codex_cli import run
from npm import program

from shim.simulator import DEFAULT_KEY, SimulatorConfig, run_in_thread

GRID_SHIM = [sys.executable, "-c", "from shim.cli import main; main()"]


@pytest.fixture
def grid():
    with run_in_thread(SimulatorConfig()) as running:
        yield running


@pytest.fixture
def shell(tmp_path, grid):
    """`shell(*command)`: a user's shell with Codex on its path and The Grid's key in its environment."""
    home, work, temporary = tmp_path / "home", tmp_path / "work", tmp_path / "temporary"
    for folder in (home, work, temporary):
        folder.mkdir()
    environment = {
        "PATH": f"{program('codex').parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "LANG": "C.UTF-8",
        "THEGRID_API_KEY": DEFAULT_KEY,
        "GRID_SHIM_UPSTREAM": grid.base_url,
        "GRID_SHIM_PORT": "0",
    }
    return lambda *command: run(command, cwd=work, env=environment)


UNATTENDED = ["exec", "--skip-git-repo-check", "--sandbox", "danger-full-access"]


def assert_quiet(done):
    for word in ("warn", "metadata", "deprecated"):
        assert word not in done.stderr.lower()


def test_codex_starts_on_the_grid_with_one_command_and_warns_of_nothing(shell, grid, tmp_path):
    done = shell(*GRID_SHIM, "codex", "--", *UNATTENDED, 'call exec_command {"cmd": "echo from-the-shell"}')

    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("Output:\nfrom-the-shell\n\n")
    assert [one.body["model"] for one in grid.journal.served] == ["code-prime", "code-prime"]
    assert_quiet(done)
    assert not (tmp_path / "home" / ".codex" / "config.toml").exists()


def test_an_openai_name_works_with_one_command_and_without_a_warning(shell, grid):
    done = shell(*GRID_SHIM, "codex", "-m", "gpt-5.6-sol", "--", *UNATTENDED, "say hello")

    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr
    assert grid.journal.served[0].body["model"] == "code-prime"
    assert_quiet(done)


def test_codexs_own_exit_code_is_passed_on(shell):
    done = shell(*GRID_SHIM, "codex", "--", *UNATTENDED, "-m", "code-primo", "say hello")

    assert done.returncode == 1
    assert "The model 'code-primo' does not exist." in done.stderr


def test_after_setup_codex_has_a_profile_that_works_and_can_be_taken_back(shell, stack, tmp_path):
    port = stack.base_url.rpartition(":")[2].removesuffix("/v1")
    told = shell(*GRID_SHIM, "setup", "codex", "--port", port)
    assert (told.returncode, told.stderr) == (0, "")

    done = shell("codex", "--profile", "grid", *UNATTENDED, "say set up")
    assert (done.returncode, done.stdout) == (0, "set up\n"), done.stderr
    assert_quiet(done)

    assert shell(*GRID_SHIM, "setup", "codex", "--undo").returncode == 0
    left = [path.name for path in (tmp_path / "home" / ".codex").iterdir() if "grid" in path.name]
    assert left == []
    assert not (tmp_path / "home" / ".codex" / "config.toml").exists()
