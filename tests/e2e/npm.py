"""Node clients for the end-to-end tests: what `package-lock.json` names, installed once beside it.

Not here: what the clients do.
"""

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
INSTALL_SECONDS = 300


def node_modules() -> Path:
    """The folder of installed packages; installs them first if they are not those of the lock file.

    The test is skipped where there is no npm; an installation that fails is a failure.
    """
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed: it brings the real Codex and the Node SDK")
    wanted = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    with (HERE / ".npmrc").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = MODULES / ".installed"
        if not stamp.is_file() or stamp.read_text() != wanted:
            _install(npm)
            stamp.write_text(wanted)
    return MODULES


def program(name: str) -> Path:
    """A program of the installed packages, such as `codex`."""
    return node_modules() / ".bin" / name


def _install(npm: str) -> None:
    done = subprocess.run(
        [npm, "ci", "--no-progress"],
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"npm ci failed in {HERE.name}:\n{done.stderr}")
