"""Mixed load with faults for half an hour, checked for leaks of memory, sockets, tasks, files and rows.

`python -m bench.soak --minutes 30` serves the shim with a small store, so that purges fall into the run, short patience with
the upstream, and an upstream that does wrong in every way that `bench.faults` knows. Clients do what `bench.mixture` lists, with
pauses. The process is watched from outside and within (`bench.watch`), and its store from beside (`bench.rows`).

It ends with status 1 unless everything in the first table holds. Growth is judged by medians: of the last fifth of the time
beside the second fifth, since the first one fills caches and pools; runs below `GROWTH_MINUTES` are too short for that. What is
left is judged after a rest, beside what there was before the load. The figures go into `bench/RESULTS.md`, unless `--dry`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import uvloop

from bench import rows
from bench.asking import BEFORE, WITHIN, Ledger
from bench.contenders import CONTENDERS, SHIM, Served, serving, shim_command
from bench.mixture import load, warm_up
from bench.processes import cores, cpu_seconds, pin, upstream
from bench.results import Table, drawn, surroundings, write
from bench.watch import Sample, Watcher
from shim.store.sqlite import SQLITE_READERS

PACKAGES = ("uvloop", "uvicorn", "starlette", "httpx", "httptools", "pydantic", "sqlalchemy", "websockets")

STORE_BYTES = 32 << 20
SETTINGS = {
    "store_max_bytes": STORE_BYTES,
    "store_upgrade": True,
    "header_seconds": 3,
    "read_seconds": 3,
    "retry_seconds": 8,
    "keepalive_seconds": 1,
    "background_jobs": 16,
}
WARM_CLIENTS = 16
GROWTH_MINUTES = 2.0
GROWTH = 1.1
"""How much more there may be in the last fifth than in the second."""
A_FEW = 8
"""What may be more without being growth, where there is little."""
LOOP_THREADS = min(32, (os.cpu_count() or 1) + 4)
"""Threads that the event loop keeps for odd jobs, made when first needed: bodies are decompressed in them."""
LAZY = {"threads": LOOP_THREADS, "other descriptors": 2 * SQLITE_READERS}
"""What may be there after the rest and not before: an SQLite connection has the file and its log open."""
REST_SECONDS = 120.0
"""Longest time to come to rest: idle connections to the upstream go after 60 s, purges come every 60 s."""
FILE_SHARE = 1.5
"""The database's file beside the bytes of the bodies in it."""
MINUTE_BYTES = 128 << 20
"""What comes in the minute between two purges, and more: one background response of 5,000 deltas keeps some MB of events."""

_LOG_LINE = re.compile(r"\d\d:\d\d:\d\d (?!WARNING|ERROR|CRITICAL)\S")
_ANNOUNCED = re.compile(r"Responses API on http\S+  ->  http\S+  \(Ctrl-C ends it\)")
_PURGED = re.compile(r"\bpurged (\d+) stored")


@dataclass(frozen=True)
class Check:
    """One thing that must hold."""

    what: str
    measured: str
    bound: str
    held: bool


@dataclass
class Course:
    """Everything that was seen of one run."""

    seconds: float
    before: Sample
    rows_before: Counter[str]
    samples: list[Sample] = field(default_factory=list)
    after: Sample | None = None
    rows_after: Counter[str] = field(default_factory=Counter)
    cpu: float = 0.0
    log: Sequence[str] = ()
    left: Counter[str] = field(default_factory=Counter)
    """The store's files once the process has ended."""

    @property
    def grows(self) -> bool:
        """Whether it took long enough to judge growth."""
        return self.seconds >= GROWTH_MINUTES * 60

    def fifth(self, number: int) -> list[Sample]:
        """The samples of one fifth of the time, 1 to 5."""
        length = self.seconds / 5
        return [each for each in self.samples if length * (number - 1) <= each.at < length * number]

    def is_tidy(self, sample: Sample, counted: Counter[str]) -> bool:
        """Whether nothing is left of the load; after a long one also the last purge has been, and idle connections are gone."""
        left = (
            sample.tasks.total() > self.before.tasks.total()
            or sample.own_descriptors > self.before.own_descriptors
        )
        waits = self.grows and (counted["bytes"] > STORE_BYTES or sample.descriptors["upstream"] > 0)
        return not (left or waits)

    @property
    def has_file(self) -> bool:
        """Whether the store is a file."""
        return self.before.files["database"] > 0

    @property
    def purged(self) -> int:
        """What the log says was purged."""
        return sum(int(found[1]) for line in self.log if (found := _PURGED.search(line)))

    @property
    def strange(self) -> list[str]:
        """Lines of the log that nobody should have written."""
        return [line for line in self.log if not (_LOG_LINE.match(line) or _ANNOUNCED.match(line))]


Figure = Callable[[Sample], float]

GROWING: dict[str, Figure] = {
    "resident memory, MB": lambda sample: sample.rss / 1e6,
    "Python's allocated blocks, thousands": lambda sample: sample.blocks / 1e3,
    "descriptors": lambda sample: sample.descriptors.total(),
    "of them clients' sockets": lambda sample: sample.descriptors["client"],
    "of them upstream's sockets": lambda sample: sample.descriptors["upstream"],
    "tasks": lambda sample: sample.tasks.total(),
    "threads": lambda sample: sample.threads,
}
"""What may not grow with time."""

SHOWN: dict[str, Figure] = {**GROWING, "the store's file, MB": lambda sample: sample.files["database"] / 1e6}


# -- the run ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """How much, for how long, on which store."""

    seconds: float
    clients: int
    pause: float
    store: str | None

    @property
    def sample_seconds(self) -> float:
        """Time between two samples: some hundreds of them."""
        return min(5.0, max(0.5, self.seconds / 200))


@contextmanager
def shim(plan: Plan, folder: Path) -> Iterator[tuple[Served, Watcher, Path]]:
    """The endpoint in front of its upstream, ready to be asked and watched; with its log."""
    shim_core, feeding_core = cores()
    pin(feeding_core)
    report, file = folder / "inside.json", folder / "store.sqlite3"
    chosen = [part for name, value in SETTINGS.items() for part in ("--set", f"{name}={value}")]
    store = ["--store", plan.store] if plan.store else []

    def command(port: int, url: str, folder: Path) -> Sequence[str]:
        served = shim_command(port, url, folder, *store, *chosen)[len(SHIM) :]
        return (sys.executable, "-m", "bench.launch", str(report), *served)

    warned = {"PYTHONWARNINGS": "default"}  # what nobody closed is said in the log
    soaked = replace(CONTENDERS["shim-stored"], command=command, environment=warned)
    with ExitStack() as stack:
        port, _ = stack.enter_context(upstream(feeding_core))
        served = stack.enter_context(serving(soaked, port, shim_core, folder))
        assert served.pid is not None
        own_port = int(served.url.rpartition(":")[2])
        watcher = Watcher(served.pid, own_port, port, report, None if plan.store else file)
        yield served, watcher, folder / f"{soaked.name}.log"


def soak(plan: Plan, folder: Path) -> tuple[Ledger, Course]:
    """One run."""
    ledger = Ledger()
    with shim(plan, folder) as (served, watcher, log):
        course = uvloop.run(_under_load(plan, ledger, served, watcher, folder))
        os.kill(watcher.pid, signal.SIGTERM)
    course.log = log.read_text(errors="replace").splitlines()
    course.left = watcher.files()
    return ledger, course


async def _under_load(plan: Plan, ledger: Ledger, served: Served, watcher: Watcher, folder: Path) -> Course:
    base, store = f"{served.url}/v1", plan.store or f"sqlite:///{folder / 'store.sqlite3'}"
    await warm_up(base, Ledger(), WARM_CLIENTS)
    before = await at_rest(watcher, store, lambda _, __: True)
    course = Course(plan.seconds, before, await rows.counted(store))
    spent = cpu_seconds(watcher.pid)
    watcher.began = time.monotonic()
    watching = asyncio.create_task(_watched(watcher, course, plan.sample_seconds))
    await load(base, ledger, plan.clients, plan.seconds, plan.pause)
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    course.cpu = cpu_seconds(watcher.pid) - spent
    course.after = await at_rest(watcher, store, course.is_tidy)
    course.rows_after = await rows.counted(store)
    return course


async def _watched(watcher: Watcher, course: Course, seconds: float) -> None:
    """Sample until cancelled."""
    while True:
        course.samples.append(await asyncio.to_thread(watcher.look))
        sample = course.samples[-1]
        if len(course.samples) % 20 == 0:
            say(
                f"{sample.at:6.0f} s: {sample.rss / 1e6:.1f} MB, {sample.descriptors.total()} descriptors, "
                f"{sample.tasks.total()} tasks, {sample.threads} threads"
            )
        await asyncio.sleep(seconds)


async def at_rest(watcher: Watcher, store: str, also: Callable[[Sample, Counter[str]], bool]) -> Sample:
    """Wait until nobody is connected, nothing is being made and `also` holds, or for `REST_SECONDS`; what there is then."""
    ends = time.monotonic() + REST_SECONDS
    while True:
        sample = await asyncio.to_thread(watcher.look)
        counted = await rows.counted(store)
        quiet = not (sample.descriptors["client"] or counted["jobs"])
        if (quiet and also(sample, counted)) or time.monotonic() > ends:
            return sample
        await asyncio.sleep(0.5)


def say(line: str) -> None:
    """Progress, apart from the result."""
    print(line, file=sys.stderr, flush=True)


# -- what must hold -----------------------------------------------------------------------------------------------


def checks(ledger: Ledger, course: Course) -> list[Check]:
    """Everything that must hold, with what was measured."""
    found = [
        nothing("requests that ended otherwise than they may", ledger.wrong.total()),
        nothing("lines of the log that are a warning, an error or a traceback", len(course.strange)),
        *(growth(course) if course.grows else ()),
        *left_over(course),
        *(nothing(what, course.rows_after[what]) for what in rows.NONE_AT_REST),
        accounted(ledger, course),
        *(bounded(course) if course.grows else ()),
    ]
    if course.has_file:
        found.append(nothing("bytes of the store's log when the process has ended", course.left["log"]))
    return [Check("requests", f"{ledger.requests:,}", "some", ledger.requests > 0), *found]


def nothing(what: str, count: int) -> Check:
    """Something of which there must be none."""
    return Check(what, f"{count:,}", "0", count == 0)


def growth(course: Course) -> Iterator[Check]:
    """The last fifth beside the second."""
    for what, figure in GROWING.items():
        early, late = (statistics.median(map(figure, course.fifth(number))) for number in (2, 5))
        few = 0 if what.endswith(("MB", "thousands")) else A_FEW
        most = early * GROWTH + few
        yield Check(
            f"{what}: second fifth, last fifth", f"{early:,.1f}, {late:,.1f}", f"{most:,.1f}", late <= most
        )


def left_over(course: Course) -> Iterator[Check]:
    """After the rest, beside before the load."""
    before, after = course.before, course.after
    assert after is not None
    sides = ("client", "upstream") if course.grows else ("client",)
    for side in sides:
        yield nothing(f"{side} sockets left after the rest", after.descriptors[side])
    for what, figure in {
        "other descriptors": lambda sample: sample.own_descriptors,
        "tasks": lambda sample: sample.tasks.total(),
        "threads": lambda sample: sample.threads,
        "children": lambda sample: sample.children,
    }.items():
        most = figure(before) + LAZY.get(what, 0)
        yield Check(f"{what} after the rest", f"{figure(after)}", f"{most}", figure(after) <= most)


def accounted(ledger: Ledger, course: Course) -> Check:
    """Every response and conversation is there, or was deleted or purged; those whose clients left may or may not be."""
    kept = sum(course.rows_after[name] - course.rows_before[name] for name in ("responses", "conversations"))
    found = kept + course.purged + ledger.deleted
    least, most = ledger.stored, ledger.stored + ledger.uncertain
    return Check(
        f"responses and conversations: {kept:,} more in the store, {course.purged:,} purged, {ledger.deleted:,} deleted",
        f"{found:,}",
        f"{least:,} to {most:,}",
        least <= found <= most,
    )


def bounded(course: Course) -> Iterator[Check]:
    """The store's size."""
    kept = course.rows_after["bytes"]
    yield Check("bytes kept after the last purge", f"{kept:,}", f"{STORE_BYTES:,}", kept <= STORE_BYTES)
    if course.has_file:
        least = min(sample.files["database"] for sample in course.fifth(5))
        share = int(STORE_BYTES * FILE_SHARE)
        yield Check(
            "bytes of the store's file, at least, in the last fifth",
            f"{least:,}",
            f"{share:,}",
            least <= share,
        )
        most = max(sample.files["database"] for sample in course.samples)
        bound = int(STORE_BYTES * FILE_SHARE + MINUTE_BYTES)
        yield Check("bytes of the store's file, at most", f"{most:,}", f"{bound:,}", most <= bound)
        log = max(sample.files["log"] for sample in course.samples)
        yield Check("bytes of its write-ahead log, at most", f"{log:,}", f"{bound:,}", log <= bound)
        size, share = course.left["database"], int(kept * FILE_SHARE)
        yield Check("bytes of the store's file at the end", f"{size:,}", f"{share:,}", size <= share)


# -- what is shown ------------------------------------------------------------------------------------------------


def checked(found: Sequence[Check]) -> Table:
    """The checks."""
    lines = [(each.what, each.measured, each.bound, "yes" if each.held else "**no**") for each in found]
    return [("what", "measured", "may be", "held"), *lines]


def times(course: Course) -> Table:
    """How it went."""
    names = [name for name in SHOWN if course.has_file or name in GROWING]
    heads = ("median of", *names)

    def line(title: str, samples: Sequence[Sample]) -> tuple[str, ...]:
        values = (statistics.median(map(SHOWN[name], samples)) if samples else float("nan") for name in names)
        return (title, *(f"{value:,.1f}" for value in values))

    after = [course.after] if course.after else []
    fifths = [line(f"fifth {number}", course.fifth(number)) for number in range(1, 6)]
    return [heads, line("before", [course.before]), *fifths, line("after the rest", after)]


def most_sockets(course: Course) -> str:
    """The most TCP sockets that there were at one time, by side and state."""
    most: Counter[tuple[str, str]] = Counter()
    for sample in course.samples:
        most |= sample.sockets
    return ", ".join(f"{side} {state} {count}" for (side, state), count in sorted(most.items()))


def ends(ledger: Ledger) -> Table:
    """How requests were asked, and how they ended."""
    lines = []
    for how in sorted({how for how, _, _ in ledger.ended}):
        words: Counter[str] = Counter()
        faults = 0
        for (one, model, word), count in ledger.ended.items():
            if one == how:
                words[word] += count
                faults += count * (model in BEFORE or model in WITHIN)
        said = ", ".join(f"{word} {count:,}" for word, count in words.most_common())
        lines.append((how, f"{words.total():,}", f"{faults:,}", said))
    return [("requests", "all", "met a fault that lasts", "ended as"), *lines]


def report(command: str, plan: Plan, ledger: Ledger, course: Course, found: Sequence[Check]) -> str:
    """Everything, as Markdown."""
    failed = [each.what for each in found if not each.held]
    about = (
        f"{surroundings(command, PACKAGES)} {plan.clients} clients for {plan.seconds / 60:.4g} minutes, "
        f"{ledger.requests / course.seconds:.0f} requests a second, {course.cpu / course.seconds:.2f} of a core; a store of at most "
        f"{STORE_BYTES >> 20} MiB, {'given by URL' if plan.store else 'SQLite'}."
    )
    tables = ", ".join(f"{name} {course.rows_after[name]:,}" for name in rows.TABLES)
    about += f" Rows at the end: {tables}. Sockets at most: {most_sockets(course)}."
    verdict = f"**Not held**: {'; '.join(failed)}." if failed else "All of it held."
    return "\n\n".join((about, verdict, *map(drawn, (checked(found), times(course), ends(ledger)))))


def main() -> None:
    """Soak, show, keep."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--clients", type=int, default=48)
    parser.add_argument("--pause", type=float, default=1.5, help="mean seconds between a client's acts")
    parser.add_argument(
        "--store", metavar="URL", help="in place of an SQLite file; `postgresql` starts a private server"
    )
    parser.add_argument("--dry", action="store_true", help="leave bench/RESULTS.md as it is")
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shim-soak-")))
        store = given.store
        if store == "postgresql":
            from bench.storage import postgresql  # noqa: PLC0415 -- an extra

            store, _ = stack.enter_context(postgresql(None))
        plan = Plan(given.minutes * 60, given.clients, given.pause, store)
        ledger, course = soak(plan, folder)
    found = checks(ledger, course)
    said = ("URL" if "://" in each else each for each in sys.argv[1:])  # it may hold a password
    command = " ".join(("python -m bench.soak", *said))
    text = report(command, plan, ledger, course, found)
    print(text)
    for what, count in [*ledger.wrong.most_common(40), *Counter(course.strange).most_common(40)]:
        say(f"{count} x {what}")
    if not given.dry:
        write(
            *("soak-postgresql", "The same on PostgreSQL")
            if store
            else ("soak", "Half an hour of mixed load with faults"),
            text,
        )
    sys.exit(not all(each.held for each in found))


if __name__ == "__main__":
    main()
