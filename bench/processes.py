"""Processes: started, pinned to a core, their CPU seconds and memory read (Linux), ended."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
END_SECONDS = 8.0


def cores() -> tuple[int, int]:
    """The core of the contender, and that of the upstream and the load; the same if there is only one."""
    own = sorted(os.sched_getaffinity(0))
    return own[0], own[-1]


def pin(core: int | None) -> None:
    """Keep this process on a core."""
    if core is not None:
        os.sched_setaffinity(0, {core})


def inherited() -> dict[str, str]:
    """The environment without the settings of the user's own endpoint, and with a place for bytecode.

    An installed program has its bytecode; one that must compile all of its modules takes three times as long to start.
    """
    left_out = ("GRID_SHIM_", "THEGRID_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return {**kept, "PYTHONPYCACHEPREFIX": str(ROOT / "build" / "bytecode")}


@contextmanager
def running(
    command: Sequence[str], core: int | str, log: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A command on one core, or several such as `0,1`, ended with the context; what it says goes into `log`."""
    with log.open("ab") as said:
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            cwd=ROOT,
            env={**inherited(), "PYTHONPATH": str(ROOT), **environment},
            stdout=said,
            stderr=said,
        )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, and make it if it does not."""
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def upstream(core: int) -> Iterator[tuple[int, int]]:
    """The mock upstream on a core: its port and its process id."""
    command = [sys.executable, "-m", "bench.upstream", "--core", str(core)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline()), process.pid
    finally:
        end(process)


def tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += children.get(one, ())
    return found


def _stat(pid: int) -> list[str]:
    """The fields of `/proc/PID/stat` after the name: state, parent, ..."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []


def cpu_seconds(pid: int) -> float:
    """CPU seconds of a process and its descendants, user and system, as the scheduler counts them.

    What `/proc/PID/stat` says is sampled, a hundred times a second: whoever wakes with a timer is seen too often, or too seldom.
    """
    spent = 0.0
    for one in tree(pid):
        with suppress(OSError):  # it has ended
            spent += time.clock_gettime(_clock(one))
    return spent


def _clock(pid: int) -> int:
    """The number of a process's CPU clock: what clock_getcpuclockid(3) gives."""
    return (~pid << 3) | 2  # CPUCLOCK_SCHED


def rss_bytes(pid: int) -> int:
    """Resident memory of a process and its descendants."""
    total = 0
    for one in tree(pid):
        with suppress(OSError):
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return total
