"""What one process holds, moment by moment, seen from outside (Linux) and, by a signal to `bench.launch`, from within."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.processes import rss_bytes, tree

ANSWER_SECONDS = 10.0
"""Time in which a process must answer the signal."""

STATES = (
    *("unknown", "established", "syn sent", "syn received", "fin wait 1", "fin wait 2", "time wait"),
    *("closed", "close wait", "last ack", "listening", "closing"),
)
"""TCP's states by the kernel's numbers."""


@dataclass(frozen=True)
class Sample:
    """One moment. Memory and files in bytes."""

    at: float
    rss: int
    descriptors: Counter[str]
    """Open descriptors: `client` and `upstream` for the two sides' sockets, `socket`, `file` or `other`."""
    sockets: Counter[tuple[str, str]]
    """TCP sockets by side and state."""
    tasks: Counter[str] = field(default_factory=Counter)
    threads: int = 0
    blocks: int = 0
    children: int = 0
    files: Counter[str] = field(default_factory=Counter)
    """The store's files by name."""

    @property
    def own_descriptors(self) -> int:
        """All but those of the two sides, which come and go with requests."""
        return self.descriptors.total() - self.descriptors["client"] - self.descriptors["upstream"]


@dataclass
class Watcher:
    """Watches one process."""

    pid: int
    port: int
    upstream_port: int
    report: Path
    store: Path | None
    began: float = field(default_factory=time.monotonic)
    _number: int = 0

    def look(self) -> Sample:
        """This moment; waits until the process has answered.

        Raises:
            TimeoutError: It has not.
        """
        inside = self._inside()
        inodes, descriptors = self._descriptors()
        sockets: Counter[tuple[str, str]] = Counter()
        for inode, side, state in self._tcp():
            if inode in inodes:
                sockets[side, state] += 1
                if side != "other" and state != "listening":
                    descriptors["socket"] -= 1
                    descriptors[side] += 1
        return Sample(
            at=time.monotonic() - self.began,
            rss=rss_bytes(self.pid),
            descriptors=descriptors,
            sockets=sockets,
            tasks=Counter(inside["tasks"]),
            threads=inside["threads"],
            blocks=inside["blocks"],
            children=len(tree(self.pid)) - 1,
            files=self.files(),
        )

    def _inside(self) -> dict[str, Any]:
        os.kill(self.pid, signal.SIGUSR2)
        ends = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < ends:
            with suppress(FileNotFoundError):
                said: dict[str, Any] = json.loads(self.report.read_text())
                if said["number"] > self._number:
                    self._number = said["number"]
                    return said
            time.sleep(0.005)
        raise TimeoutError("the process does not answer the signal")

    def _descriptors(self) -> tuple[set[str], Counter[str]]:
        """The inodes of its sockets, and its descriptors by kind."""
        inodes, kinds = set(), Counter[str]()
        for entry in Path(f"/proc/{self.pid}/fd").iterdir():
            with suppress(OSError):
                name = str(entry.readlink())
                if name.startswith("socket:["):
                    inodes.add(name[8:-1])
                kinds[
                    "socket" if name.startswith("socket:") else "file" if name.startswith("/") else "other"
                ] += 1
        return inodes, kinds

    def _tcp(self) -> list[tuple[str, str, str]]:
        """Inode, side and state of every TCP socket on the machine's IPv4."""
        found = []
        for line in Path(f"/proc/{self.pid}/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            local, remote = (int(fields[at].rpartition(":")[2], 16) for at in (1, 2))
            side = "client" if local == self.port else "upstream" if remote == self.upstream_port else "other"
            found.append((fields[9], side, STATES[min(int(fields[3], 16), len(STATES) - 1)]))
        return found

    def files(self) -> Counter[str]:
        sizes = Counter[str]()
        if self.store is not None:
            for name, suffix in (("database", ""), ("log", "-wal")):
                with suppress(OSError):
                    sizes[name] = Path(f"{self.store}{suffix}").stat().st_size
        return sizes
