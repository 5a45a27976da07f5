"""How throughput grows with `serve --workers`: one worker and several in turn, on all cores.

`python -m bench.workers --workers 2` takes half a minute. The mock upstream and the load generator run on the same cores, so
that the ratio is less than the machine could do; CPU milliseconds of a request tell what a further worker costs, and those of
each process how evenly connections fall to them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from bench.contenders import CONTENDERS, Contender, Served, serving, shim_command
from bench.load import Scenario, measure
from bench.processes import cpu_seconds, tree, upstream

LOAD = Scenario("nonstream", 64, stream=False, seconds=4)
WARM_UP = replace(LOAD, seconds=1)
ROUNDS = 3


@dataclass(frozen=True)
class Round:
    """One measurement."""

    rate: float
    failed: int
    cpu_each: float
    shares: tuple[float, ...]


def contender(workers: int, *, stored: bool) -> Contender:
    """The shim with so many workers."""
    base = CONTENDERS["shim-stored" if stored else "shim"]
    return replace(
        base, command=lambda port, url, folder: shim_command(port, url, folder, "--workers", str(workers))
    )


def under_load(served: Served) -> Round:
    """Requests for some seconds."""
    assert served.pid is not None
    load = replace(LOAD, store=served.contender.store)
    measure(served.url, replace(WARM_UP, store=load.store), served.contender.dialect)
    processes = tree(served.pid)
    before = {pid: own_cpu(pid) for pid in processes}
    outcome = measure(served.url, load, served.contender.dialect)
    spent = [own_cpu(pid) - before[pid] for pid in processes]
    return Round(
        outcome.rate, outcome.failed, sum(spent) / max(1, outcome.rate * outcome.elapsed), tuple(spent)
    )


def own_cpu(pid: int) -> float:
    """CPU seconds of one process without its children."""
    return cpu_seconds(pid) - sum(cpu_seconds(child) for child in tree(pid)[1:])


def main() -> None:
    """Measure in turn, so that other work meets both alike, and show."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--stored", action="store_true", help="requests that are stored")
    given = parser.parse_args()
    everywhere = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    rates: dict[int, list[float]] = {1: [], given.workers: []}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shim-bench-")))
        port, _ = stack.enter_context(upstream(max(os.sched_getaffinity(0))))
        for count in [1, given.workers] * ROUNDS:
            with serving(contender(count, stored=given.stored), port, everywhere, folder) as served:
                found = under_load(served)
            rates[count].append(found.rate)
            shares = ", ".join(f"{seconds:.2f}" for seconds in found.shares)
            print(
                f"{count} workers: {found.rate:5.0f} requests/s, {found.failed} failed, "
                f"{found.cpu_each * 1000:.2f} ms CPU each; CPU seconds by process: {shares}",
                flush=True,
            )
            time.sleep(0.5)
    ratio = statistics.median(rates[given.workers]) / statistics.median(rates[1])
    print(f"{given.workers} workers to one: {ratio:.2f}")


if __name__ == "__main__":
    main()
