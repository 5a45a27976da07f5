"""Bytecodes of one request, by function: where the interpreter's own work is, whatever else the machine does.

`python -m bench.bytecodes nonstream paced` runs the shim under a tracer that counts each bytecode, asks a number of times on one
connection, and shows what one request took: in all, by package, and by function with the number of its calls. Code in C counts for
nothing, so this says where to look, `bench.instructions` what a change has saved, and `bench.compare` whether it matters.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import CodeType, FrameType
from typing import Any
from urllib.parse import urlsplit

from bench.contenders import CONTENDERS, SHIM, Served, Unavailable, serving
from bench.instructions import ask
from bench.processes import ROOT, cores, upstream

WARM = {"nonstream": 20, "burst": 4, "paced": 1, "toolcall": 1}
"""Requests before the first that counts: whatever is done once is done."""
COUNTED = {"nonstream": 50, "burst": 20, "paced": 2, "toolcall": 1}
WAIT_SECONDS = 60.0
QUIET_SECONDS = 1.2
"""Time between the last request that warms up and the first that counts: what is done once a second counts with one of them."""

_FOLDER = re.compile(r".*/(?:site-packages|lib/python3\.\d+)/")


@dataclass
class Counts:
    """What a tracer counts, within the shim's process."""

    bytecodes: Counter[CodeType] = field(default_factory=Counter)
    calls: Counter[CodeType] = field(default_factory=Counter)

    def begin(self) -> None:
        """Count from here on."""
        self.bytecodes.clear()
        self.calls.clear()
        sys.settrace(self._called)

    def _called(self, frame: FrameType, _event: str, _argument: Any) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        self.calls[frame.f_code] += 1
        return self._ran

    def _ran(self, frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "opcode":
            self.bytecodes[frame.f_code] += 1
        return self._ran

    def end(self, place: Path) -> None:
        """Count no more, and write what was counted: whoever reads finds a whole file."""
        sys.settrace(None)
        rows = [(named(code), count, self.calls[code]) for code, count in self.bytecodes.items()]
        written = place.with_suffix(".new")
        written.write_text(json.dumps(rows))
        written.replace(place)


def named(code: CodeType) -> str:
    """A function's file, line and name."""
    file = _FOLDER.sub("", code.co_filename).removeprefix(f"{ROOT}/")
    return f"{file}:{code.co_firstlineno} {code.co_qualname}"


def inside(place: Path) -> None:
    """Be `grid-shim` as it is, counting between SIGUSR1 and SIGUSR2."""
    counts = Counts()
    signal.signal(signal.SIGUSR1, lambda *_: counts.begin())
    signal.signal(signal.SIGUSR2, lambda *_: counts.end(place))
    from shim.cli import main as grid_shim  # noqa: PLC0415 -- the signals may come at once

    grid_shim()


Row = tuple[str, float, float]
"""A function, its bytecodes and its calls, of one request."""


def count(scenario: str, *, store: bool) -> list[Row]:
    """What one request took, by function."""
    plain, times = CONTENDERS["shim"], COUNTED[scenario]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shim-bench-")))
        port, _ = stack.enter_context(upstream(cores()[1]))
        place = folder / "counts.json"

        def command(*given: Any) -> list[str]:
            assert plain.command is not None
            told = plain.command(*given)[len(SHIM) :]
            return [sys.executable, "-m", "bench.bytecodes", "--inside", str(place), *told]

        shim = stack.enter_context(serving(replace(plain, command=command), port, cores()[0], folder))
        assert shim.pid is not None
        rows = counted(shim, shim.pid, scenario, place, store=store)
    return [(name, bytecodes / times, calls / times) for name, bytecodes, calls in rows]


def counted(shim: Served, pid: int, scenario: str, place: Path, *, store: bool) -> list[Row]:
    """Have the requests of a scenario counted."""
    host = urlsplit(shim.url)
    with closing(
        http.client.HTTPConnection(host.hostname or "", host.port, timeout=WAIT_SECONDS)
    ) as connection:
        ask(connection, shim, scenario, WARM[scenario], store=store)
        time.sleep(QUIET_SECONDS)
        os.kill(pid, signal.SIGUSR1)
        ask(connection, shim, scenario, COUNTED[scenario], store=store)
        os.kill(pid, signal.SIGUSR2)
    deadline = time.monotonic() + WAIT_SECONDS
    while not place.exists():
        if time.monotonic() > deadline:
            raise Unavailable("the shim did not tell what it counted")
        time.sleep(0.05)
    return [tuple(row) for row in json.loads(place.read_text())]


def package(name: str) -> str:
    """The package of a function; of the shim, the part."""
    parts = name.partition(":")[0].removesuffix(".py").split("/")
    return "/".join(parts[:2]) if parts[0] == "shim" else parts[0]


def shown(scenario: str, rows: list[Row], most: int) -> str:
    """All of it, as text."""
    packages: defaultdict[str, float] = defaultdict(float)
    for name, bytecodes, _ in rows:
        packages[package(name)] += bytecodes
    total, calls = sum(row[1] for row in rows), sum(row[2] for row in rows)
    lines = [f"{scenario}: {total:,.0f} bytecodes and {calls:,.0f} calls each", ""]
    lines += [
        f"{packages[name]:9,.0f}  {name}" for name in sorted(packages, key=packages.__getitem__)[:-13:-1]
    ]
    largest = sorted(rows, key=lambda row: -row[1])[:most]
    lines += ["", *(f"{bytecodes:9,.0f} {called:8.1f}  {name}" for name, bytecodes, called in largest)]
    return "\n".join(lines)


def main() -> None:
    """Count and show."""
    if sys.argv[1:2] == ["--inside"]:
        place = Path(sys.argv[2])
        del sys.argv[1:3]
        inside(place)
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenario", nargs="*", choices=COUNTED, default=["nonstream"])
    parser.add_argument("--store", action="store_true", help="have the responses stored")
    parser.add_argument("--most", type=int, default=40, help="how many functions are shown")
    given = parser.parse_args()
    for scenario in given.scenario:
        try:
            rows = count(scenario, store=given.store)
        except Unavailable as reason:
            parser.error(str(reason))
        print(shown(scenario, rows, given.most), flush=True)


if __name__ == "__main__":
    main()
