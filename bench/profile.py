"""Where the shim's time goes: a scenario under py-spy, and the functions that took most of it.

`python -m bench.profile burst` runs the shim as `bench.compare` does and prints the functions by self and by cumulative
time; `--out burst.svg` draws a flame graph as well. py-spy comes into a virtual environment of its own under `build/`, and
must be allowed to read another process's memory (on some systems: as root, or with `kernel.yama.ptrace_scope=0`). Samples of
idle threads are not counted, nor those of threads that wait for work. C code has no frames of its own: its time is that of the
Python function which calls it; that of the event loop, of its system calls too, stands under `Runner.run`.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
import threading
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.contenders import CONTENDERS, Unavailable, install, serving
from bench.load import Outcome, Scenario, measure, shown
from bench.processes import cores, cpu_seconds, pin, upstream

RATE = 250
"""Samples a second."""

SCENARIOS = {
    "nonstream": Scenario("nonstream", 64, stream=False),
    "burst": Scenario("burst", 64),
    "paced": Scenario("paced", 64, ramp=1),
    "toolcall": Scenario("toolcall", 1),
}
ROWS = 25
_FOLDER = re.compile(r".*/(?:site-packages|lib/python3\.\d+)/")


WAITS = "_worker (concurrent/futures/thread.py"
"""A thread of a pool that waits for work, which py-spy takes for busy."""

OUTERMOST = ("Runner.run (", WAITS)
"""Below these is what a server does; above them is how it was started."""


@dataclass
class Shares:
    """Samples in which a function was running itself, in which it was anywhere in the stack, and by package."""

    own: Counter[str] = field(default_factory=Counter)
    all: Counter[str] = field(default_factory=Counter)
    packages: Counter[str] = field(default_factory=Counter)
    samples: int = 0

    def add(self, frames: list[str], count: int) -> None:
        """Count a stack, outermost frame first."""
        self.samples += count
        self.own[frames[-1]] += count
        self.packages[package(frames[-1])] += count
        for frame in set(frames):
            self.all[frame] += count


def shares(stacks: str) -> Shares:
    """Count py-spy's collapsed stacks: frames separated by semicolons, then the number of samples."""
    found = Shares()
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [_FOLDER.sub("", frame) for frame in stack.split(";")]
        if not frames[-1].startswith(WAITS):
            start = max((at for at, frame in enumerate(frames) if frame.startswith(OUTERMOST)), default=0)
            found.add(frames[start:], int(count))
    return found


def package(frame: str) -> str:
    """The package of a function; of the shim, the part."""
    file = frame.rpartition("(")[2].rpartition(":")[0].removesuffix(".py")
    parts = file.split("/")
    return "/".join(parts[:2]) if parts[0] == "shim" else parts[0]


def listed(found: Shares, counted: Counter[str]) -> str:
    """Those with most samples."""
    return "\n".join(f"{count / found.samples:6.1%}  {frame}" for frame, count in counted.most_common(ROWS))


def record(pid: int, seconds: float, form: str, out: Path) -> None:
    """Let py-spy watch a process.

    Raises:
        Unavailable: It cannot.
    """
    program = install("pyspy", "py-spy") / "py-spy"
    options = ["--rate", str(RATE), "--duration", str(round(seconds)), "--format", form, "--output", str(out)]
    command = [str(program), "record", "--function", *options, "--pid", str(pid)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not out.exists():
        raise Unavailable(f"py-spy could not watch the process: {done.stderr.strip()[-300:]}")


def profile(name: str, seconds: float, out: Path | None) -> tuple[Shares, Outcome, float]:
    """Watch the shim in a scenario; also the load's outcome and the CPU seconds of a request."""
    shim_core, feeding_core = cores()
    pin(feeding_core)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shim-bench-")))
        port, _ = stack.enter_context(upstream(feeding_core))
        shim = stack.enter_context(serving(CONTENDERS["shim"], port, shim_core, folder))
        assert shim.pid is not None
        measure(shim.url, Scenario("nonstream", 8, stream=False, seconds=1), shim.contender.dialect)
        asked = Scenario(**{**vars(SCENARIOS[name]), "seconds": seconds * (2 if out else 1) + 1})
        before, outcomes = cpu_seconds(shim.pid), []
        load = threading.Thread(
            target=lambda: outcomes.append(measure(shim.url, asked, shim.contender.dialect))
        )
        load.start()
        record(shim.pid, seconds, "raw", folder / "stacks")
        if out:
            record(shim.pid, seconds, "flamegraph", out)
        load.join()
        outcome: Outcome = outcomes[0]
        outcome.cpu = cpu_seconds(shim.pid) - before
        return shares((folder / "stacks").read_text()), outcome, outcome.cpu_each


def main() -> None:
    """Profile and show."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--out", type=Path, help="where to draw a flame graph, as SVG")
    given = parser.parse_args()
    try:
        found, outcome, each = profile(given.scenario, given.seconds, given.out)
    except Unavailable as reason:
        parser.error(str(reason))
    print(f"{given.scenario}: {shown(outcome)}; {each * 1000:.2f} ms CPU each, sampling included")
    print(f"{found.samples} samples")
    for title, counted in (("self", found.own), ("cumulative", found.all), ("by package", found.packages)):
        print(f"\n{title}\n{listed(found, counted)}")


if __name__ == "__main__":
    main()
