"""The shim beside no bridge, bare ones that translate nothing, a Rust one and LiteLLM, on one core each.

`python -m bench.compare` takes some minutes, `--quick` less than one; the figures go into `bench/RESULTS.md` as well, unless
`--dry` is given. Each contender in turn gets one core, the mock upstream and the load generator the other. Other work on
the machine adds to all times, least to CPU seconds: those are read from `/proc` and are what to compare.

- `nonstream`: short answers, not streamed, 64 clients. `burst`: 200 deltas as fast as they go, 64 clients.
- `paced`: 100 deltas, one every 20 ms, 64 clients; the first token's delay over `direct`. `many`: the same, 1,000 at once.
- Memory idle, and what an open stream of the thousand takes; the time from start to the first answer.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.contenders import CONTENDERS, Contender, Served, Unavailable, serving
from bench.load import Outcome, Scenario, measure, percentile, shown
from bench.processes import cores, cpu_seconds, pin, rss_bytes, upstream
from bench.results import Table, drawn, surroundings, write

QUICK = {
    "nonstream": Scenario("nonstream", 64, stream=False, seconds=3),
    "burst": Scenario("burst", 64, seconds=3),
    "paced": Scenario("paced", 64, each=1, ramp=1),
    "many": Scenario("paced", 1000, each=1, ramp=1.5),
}
FULL = {
    "nonstream": replace(QUICK["nonstream"], seconds=6),
    "burst": replace(QUICK["burst"], seconds=6),
    "paced": replace(QUICK["paced"], each=3),
    "many": QUICK["many"],
}
WARM_UP = (
    Scenario("nonstream", 8, stream=False, seconds=1),
    Scenario("burst", 4, seconds=0.5),
)
STARTS = 3
PACKAGES = ("uvloop", "uvicorn", "starlette", "httpx", "httptools", "pydantic")


@dataclass
class Figures:
    """What was measured of one contender."""

    name: str
    starts: list[float] = field(default_factory=list)
    idle: int = 0
    after: int = 0
    outcomes: dict[str, Outcome] = field(default_factory=dict)


def examine(served: Served, scenarios: dict[str, Scenario], upstream_pid: int) -> Figures:
    """Run every scenario against one contender."""
    figures = Figures(served.contender.name, [served.start_seconds])
    for scenario in WARM_UP:
        measure(served.url, scenario, served.contender.dialect)
    figures.idle = memory(served)
    for name, scenario in scenarios.items():
        asked = replace(scenario, store=served.contender.store)
        figures.outcomes[name] = outcome = watched(served, asked, upstream_pid)
        say(f"{served.contender.name}, {name}: {shown(outcome)}; {outcome.cpu_each * 1000:.3f} ms CPU each")
    time.sleep(2)
    figures.after = memory(served)
    return figures


def watched(served: Served, scenario: Scenario, upstream_pid: int) -> Outcome:
    """One scenario, with the contender's CPU seconds and memory, and how busy the feeders' core was."""
    before, feeders, peak = spent(served), cpu_seconds(upstream_pid) + time.process_time(), memory(served)
    start, peaks = peak, [peak]
    outcome = measure(served.url, scenario, served.contender.dialect, lambda: peaks.append(memory(served)))
    outcome.cpu = spent(served) - before
    outcome.feeders = (cpu_seconds(upstream_pid) + time.process_time() - feeders) / outcome.elapsed
    outcome.rss_before, outcome.rss_peak = start, max(peaks)
    return outcome


def spent(served: Served) -> float:
    """CPU seconds of the contender so far."""
    return cpu_seconds(served.pid) if served.pid else 0.0


def memory(served: Served) -> int:
    """Resident bytes of the contender."""
    return rss_bytes(served.pid) if served.pid else 0


def say(line: str) -> None:
    """Progress, apart from the result."""
    print(line, file=sys.stderr, flush=True)


# -- what is shown ------------------------------------------------------------------------------------------------


def ms(seconds: float) -> str:
    """Milliseconds."""
    return f"{seconds * 1000:.2f}" if seconds < 0.01 else f"{seconds * 1000:.1f}"


def mb(octets: float) -> str:
    """Megabytes."""
    return f"{octets / 1e6:.0f}"


def cpu_of(outcome: Outcome, figures: Figures) -> str:
    """CPU milliseconds of a request; nothing where there is no bridge."""
    return ms(outcome.cpu_each) if figures.idle else "-"


def rates(all_figures: Sequence[Figures]) -> Table:
    """Short answers and bursts."""
    rows = [
        (
            "64 clients",
            "requests/s",
            "CPU ms",
            "p50 ms",
            "p99 ms",
            "streams/s",
            "events/s",
            "CPU ms",
            "CPU us/delta",
            "failed",
        )
    ]
    for figures in all_figures:
        short, burst = figures.outcomes["nonstream"], figures.outcomes["burst"]
        rows.append(
            (
                figures.name,
                f"{short.rate:.0f}",
                cpu_of(short, figures),
                ms(percentile(short.total, 50)),
                ms(percentile(short.total, 99)),
                f"{burst.rate:.0f}",
                f"{burst.events / burst.elapsed:.0f}",
                cpu_of(burst, figures),
                f"{burst.cpu_each / 200 * 1e6:.1f}" if figures.idle else "-",
                str(short.failed + burst.failed),
            )
        )
    return rows


def paces(all_figures: Sequence[Figures]) -> Table:
    """Paced streams, 64 and 1,000."""
    rows = [
        (
            "paced streams",
            "CPU ms (64)",
            "first token p50, p99 ms",
            "over direct",
            "CPU ms (1,000)",
            "failed, stalled",
            "first token p50, p99 ms",
            "total p50, p99 s",
            "KB a stream",
        )
    ]
    direct = next((each for each in all_figures if not each.idle), None)
    for figures in all_figures:
        few, many = figures.outcomes["paced"], figures.outcomes["many"]
        kilobytes = (many.rss_peak - many.rss_before) / 1000 / max(1, many.most_open)
        rows.append(
            (
                figures.name,
                cpu_of(few, figures),
                first_token(few),
                over(few, direct.outcomes["paced"]) if direct else "-",
                cpu_of(many, figures),
                f"{many.failed}, {many.stalled}",
                first_token(many),
                f"{percentile(many.total, 50):.2f}, {percentile(many.total, 99):.2f}",
                f"{kilobytes:.0f}" if figures.idle else "-",
            )
        )
    return rows


def first_token(outcome: Outcome) -> str:
    """Median and 99th percentile, in milliseconds."""
    return f"{ms(percentile(outcome.first, 50))}, {ms(percentile(outcome.first, 99))}"


def over(outcome: Outcome, direct: Outcome) -> str:
    """What the bridge adds to both, in milliseconds."""
    added = (percentile(outcome.first, at) - percentile(direct.first, at) for at in (50, 99))
    return ", ".join(f"+{ms(each)}" for each in added)


def memories(all_figures: Sequence[Figures]) -> Table:
    """Memory and start."""
    rows = [("process", "idle MB", "after all MB", "start to first answer s", "feeders' core busy")]
    for figures in all_figures:
        busy = ", ".join(f"{name} {each.feeders * 100:.0f} %" for name, each in figures.outcomes.items())
        bridge = bool(figures.idle)
        rows.append(
            (
                figures.name,
                mb(figures.idle) if bridge else "-",
                mb(figures.after) if bridge else "-",
                f"{statistics.median(figures.starts):.2f}" if bridge else "-",
                busy,
            )
        )
    return rows


def ratios(all_figures: Sequence[Figures]) -> str:
    """The shim's CPU beside that of the others, one line each."""
    by_name = {each.name: each for each in all_figures}
    shim = by_name.get("shim")
    lines = []
    for name in ("bytes", "pass-through", "codex-relay", "litellm"):
        other = by_name.get(name)
        if shim and other:
            parts = (
                f"{kind} {shim.outcomes[kind].cpu_each / other.outcomes[kind].cpu_each:.2f}"
                for kind in shim.outcomes
            )
            lines.append(f"- The shim's CPU a request, as a multiple of {name}'s: {', '.join(parts)}.")
    return "\n".join(lines)


def report(all_figures: Sequence[Figures], arguments: Sequence[str]) -> str:
    """Everything, as Markdown."""
    tables = [drawn(table(all_figures)) for table in (rates, paces, memories)]
    command = " ".join(("python -m bench.compare", *arguments))
    about = f"{surroundings(command, PACKAGES)} CPU is that of the bridge's process and its children, a request or stream."
    return "\n\n".join(part for part in (about, *tables, ratios(all_figures)) if part)


# -- the whole ----------------------------------------------------------------------------------------------------


def compare(names: Sequence[str], *, quick: bool) -> list[Figures]:
    """Every contender, one after the other."""
    contender_core, feeding_core = cores()
    pin(feeding_core)
    found = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shim-bench-")))
        port, pid = stack.enter_context(upstream(feeding_core))
        for name in names:
            try:
                found.append(one(CONTENDERS[name], (port, pid), contender_core, folder, quick=quick))
            except Unavailable as reason:
                say(f"{name} is left out: {reason}")
    return found


def one(contender: Contender, feeding: tuple[int, int], core: int, folder: Path, *, quick: bool) -> Figures:
    """One contender, started once to warm up, which leaves its bytecode, then as often as its start is measured."""
    contender.prepare()
    starts = []
    with serving(contender, feeding[0], core, folder):
        pass
    for _ in range(0 if quick or contender.command is None else STARTS - 1):
        with serving(contender, feeding[0], core, folder) as served:
            starts.append(served.start_seconds)
    with serving(contender, feeding[0], core, folder) as served:
        figures = examine(served, QUICK if quick else FULL, feeding[1])
    figures.starts += starts
    return figures


def main() -> None:
    """Compare, show, write down."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="shorter, and only direct and shim")
    parser.add_argument("--only", metavar="NAMES", help=f"some of: {','.join(CONTENDERS)}")
    parser.add_argument("--dry", action="store_true", help="leave bench/RESULTS.md as it is")
    given = parser.parse_args()
    names = ["direct", "shim"] if given.quick else list(CONTENDERS)
    if given.only:
        names = [name.strip() for name in given.only.split(",")]
    if unknown := set(names) - set(CONTENDERS):
        parser.error(f"unknown: {', '.join(unknown)}")
    text = report(compare(names, quick=given.quick), sys.argv[1:])
    print(text)
    if not given.dry:
        write("compare", "Bridges compared", text)


if __name__ == "__main__":
    main()
