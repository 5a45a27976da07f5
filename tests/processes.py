"""What the kernel tells of processes, and processes that stand still."""

import os
import signal
import time
from contextlib import contextmanager
from pathlib import Path


def children(pid):
    """The processes that one has started."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def rests(pid):
    """Whether a process waits for something for a while: one that starts, or holds a lock, has work to do."""
    for _ in range(15):
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
            return False
        time.sleep(0.02)
    return True


def gone(pid):
    """Whether a process has ended, though nobody may have asked for its end yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@contextmanager
def still(*pids):
    """They stand still while the context is open."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
