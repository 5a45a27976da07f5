"""The shim beside no bridge, bare ones that translate nothing, a Rust one and LiteLLM: one worker each, on one core.

`python -m bench.compare` takes some minutes, `--quick` less than one; the figures go into `bench/RESULTS.md` as well, unless
`--dry` is given. All contenders run on one core, the mock upstream and the load generator on the other. They are asked in
turn, some rounds of each scenario: a machine that is slower for a while is so for all of them, and ratios are those of a
round. Other work on the machine adds to all times, least to CPU seconds: those are what to compare.

- `nonstream`: short answers, not streamed, 64 clients. `burst`: 200 deltas as fast as they go, 64 clients.
- `paced`: 100 deltas, one every 20 ms, 64 clients; the first token's delay over `direct`. `many`: the same, 1,000 at once.
- Memory after some requests that warm up, what an open stream of the thousand takes, and what is left in the end; the time
  from start to the first answer.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.contenders import CONTENDERS, Contender, Served, Unavailable, serving
from bench.load import Outcome, Scenario, measure, percentile, shown
from bench.processes import cores, cpu_seconds, pin, rss_bytes, upstream
from bench.results import Table, drawn, surroundings, write

SCENARIOS = {
    "nonstream": Scenario("nonstream", 64, stream=False, seconds=2),
    "burst": Scenario("burst", 64, seconds=2),
    "paced": Scenario("paced", 64, each=3, ramp=1),
    "many": Scenario("paced", 1000, each=1, ramp=1.5),
}
ROUNDS = {"nonstream": 5, "burst": 5, "paced": 3, "many": 1}
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
    rounds: dict[str, list[Outcome]] = field(default_factory=lambda: defaultdict(list))

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """All rounds of a scenario as one."""
        return {name: Outcome.of_all(rounds) for name, rounds in self.rounds.items()}


def warm_up(served: Served) -> None:
    """The first requests, which count for nothing."""
    for scenario in WARM_UP:
        measure(served.url, replace(scenario, store=served.contender.store), served.contender.dialect)


def examine(all_served: Sequence[tuple[Served, Figures]], upstream_pid: int, *, quick: bool) -> None:
    """Run every scenario against every contender, round by round."""
    for served, figures in all_served:
        warm_up(served)
        figures.idle = memory(served)
    for name, scenario in SCENARIOS.items():
        for _ in range(1 if quick else ROUNDS[name]):
            for served, figures in all_served:
                outcome = watched(served, replace(scenario, store=served.contender.store), upstream_pid)
                figures.rounds[name].append(outcome)
                say(f"{figures.name}, {name}: {shown(outcome)}; {outcome.cpu_each * 1000:.3f} ms CPU each")
    time.sleep(2)
    for served, figures in all_served:
        figures.after = memory(served)


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
        outcomes = figures.outcomes
        short, burst = outcomes["nonstream"], outcomes["burst"]
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
        outcomes = figures.outcomes
        few, many = outcomes["paced"], outcomes["many"]
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
    """The shim's CPU beside that of the others, one line each: the median of the rounds."""
    by_name = {each.name: each for each in all_figures}
    shim = by_name.get("shim")
    lines = []
    for name in ("bytes", "pass-through", "codex-relay", "litellm"):
        other = by_name.get(name)
        if shim and other:
            parts = (f"{kind} {beside(shim.rounds[kind], other.rounds[kind])}" for kind in SCENARIOS)
            lines.append(f"- The shim's CPU a request, as a multiple of {name}'s: {', '.join(parts)}.")
    return "\n".join(lines)


def beside(ours: Sequence[Outcome], theirs: Sequence[Outcome]) -> str:
    """The ratio of CPU a request, round by round: median, lowest and highest."""
    each = [our.cpu_each / their.cpu_each for our, their in zip(ours, theirs, strict=True) if their.cpu_each]
    if not each:
        return "-"
    spread = f" ({min(each):.2f} to {max(each):.2f})" if len(each) > 1 else ""
    return f"{statistics.median(each):.2f}{spread}"


def report(all_figures: Sequence[Figures], arguments: Sequence[str]) -> str:
    """Everything, as Markdown."""
    tables = [drawn(table(all_figures)) for table in (rates, paces, memories)]
    command = " ".join(("python -m bench.compare", *arguments))
    about = f"{surroundings(command, PACKAGES)} CPU is that of the bridge's process and its children, a request or stream."
    return "\n\n".join(part for part in (about, *tables, ratios(all_figures)) if part)


# -- the whole ----------------------------------------------------------------------------------------------------


def compare(names: Sequence[str], *, quick: bool) -> list[Figures]:
    """Every contender that can be had."""
    contender_core, feeding_core = cores()
    pin(feeding_core)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shim-bench-")))
        port, pid = stack.enter_context(upstream(feeding_core))
        found = []
        for name in names:
            try:
                starts = started(CONTENDERS[name], port, contender_core, folder, times=1 if quick else STARTS)
                served = stack.enter_context(serving(CONTENDERS[name], port, contender_core, folder))
            except Unavailable as reason:
                say(f"{name} is left out: {reason}")
            else:
                found.append((served, Figures(name, starts)))
        examine(found, pid, quick=quick)
    return [figures for _, figures in found]


def started(contender: Contender, port: int, core: int, folder: Path, *, times: int) -> list[float]:
    """Seconds that starts take, nothing else running; the first, which leaves the bytecode, does not count."""
    contender.prepare()
    starts = []
    for _ in range(1 + times if contender.command is not None else 0):
        with serving(contender, port, core, folder) as served:
            starts.append(served.start_seconds)
    return starts[1:]


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
