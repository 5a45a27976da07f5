"""What storing costs, as ratios to `store: false`.

`python bench/storage.py` serves a simulated upstream and the endpoint on loopback, all in this process, and measures

- a request that is stored against the same request with `store: false`, one at a time and 16 at a time;
- that one with `store: false` against an endpoint whose store is off;
- the last turn of a long chain by `previous_response_id` against the whole conversation sent with `store: false`.

Both sides of a ratio are measured in turn, round by round, each round in another order. Other work on the machine only
ever adds time, so a ratio is that of the lower quartiles; where the ratio of the medians beside it differs much, the
machine was busy. The upstream answers at once and works in the same process: next to a real one, which takes its
time, storing weighs less than it does here. Once all is warm, what lives is taken out of the garbage collector's sight:
a full collection of this process, which is several servers, takes as long as several requests and hits either side.

The chain's turns but the last are written by the store itself, as the endpoint would have written them; that both
ways of sending the last one ask the upstream the same is checked.

PostgreSQL is measured with `--postgres URL`, else on a private server if one is installed. The private one does not
wait for its disk, and neither does SQLite's WAL with `synchronous=NORMAL`; a URL's server does as it is configured.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.metadata
import itertools
import json
import os
import platform
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import postgres_cluster  # noqa: E402

from shim import __version__  # noqa: E402
from shim.cli import server  # noqa: E402
from shim.exchange.owners import Owners  # noqa: E402
from shim.http.call import Call  # noqa: E402
from shim.http.guards import Guard  # noqa: E402
from shim.seal import SealKeys  # noqa: E402
from shim.settings import Settings  # noqa: E402
from shim.simulator import DEFAULT_KEY, RunningSimulator, SimulatorConfig, run_in_thread  # noqa: E402
from shim.store import open_store  # noqa: E402
from shim.store.records import item_of, record_of  # noqa: E402
from shim.upstream.transport import Connections  # noqa: E402

MODEL = "text-max"
SECRET = "bench"
HEADERS = {"authorization": "Bearer bench", "content-type": "application/json"}
PROMPT = "words 60\n" + "Tell me more about it, please. " * 30
SHORT_PROMPT = "words 15\nAnd what came after that, in the story that you are telling?"

CONCURRENCIES = (1, 16)
ROUNDS = 20
SECTION_SECONDS = 15.0
"""Time after which the rounds of one section end, however many there were."""

WARM_UP = 32
CHAIN_ROUNDS = 40
LEAST_ROUNDS = 4

PACKAGES = ("sqlalchemy", "asyncpg", "starlette", "uvicorn", "httpx", "httptools")


@dataclass(frozen=True)
class Endpoint:
    """A running endpoint, by the kind of its store."""

    store: str
    settings: Settings
    url: str


@dataclass(frozen=True)
class Row:
    """One line of the table: seconds of both sides, round by round."""

    what: str
    store: str
    measured: list[float]
    baseline: list[float]

    @property
    def cells(self) -> tuple[str, ...]:
        """The line as it is shown."""
        sides = self.measured, self.baseline
        quiet, quiet_baseline = (statistics.quantiles(side, n=4)[0] for side in sides)
        middle, middle_baseline = (statistics.median(side) for side in sides)
        ratios = f"**{quiet / quiet_baseline:.2f}**", f"{middle / middle_baseline:.2f}"
        return (
            self.what,
            self.store,
            *ratios,
            *(f"{one * 1000:.1f} ms" for one in (middle, middle_baseline)),
        )


class Client:
    """Sends requests; every answer must be a completed response."""

    def __init__(self, session: httpx.AsyncClient) -> None:
        self._session = session

    async def create(self, endpoint: Endpoint, body: bytes) -> dict:
        """One request and its response."""
        response = (await self._session.post(endpoint.url + "/responses", content=body)).json()
        assert response.get("status") == "completed", response
        return response

    async def burst(self, endpoint: Endpoint, body: bytes, count: int, concurrency: int) -> float:
        """Seconds a request, over so many of them at so many a time."""
        left = iter(range(count))

        async def work() -> None:
            for _ in left:
                await self.create(endpoint, body)

        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(concurrency)))
        return (time.perf_counter() - began) / count


def encoded(prompt: object, **fields: object) -> bytes:
    """A request's body."""
    return json.dumps({"model": MODEL, "input": prompt, **fields}).encode()


Side = tuple[str, str]
"""The kind of store, and what is asked of it."""


async def rounds(sides: Mapping[Side, Callable[[], Awaitable[float]]], most: int) -> dict[Side, list[float]]:
    """Measure the sides in turn, each round in another order, until the time is over."""
    took: dict[Side, list[float]] = {side: [] for side in sides}
    names, ends, shuffled = list(sides), time.perf_counter() + SECTION_SECONDS, random.Random(0)
    for number in range(most):
        if number >= LEAST_ROUNDS and time.perf_counter() > ends:
            break
        for name in shuffled.sample(names, len(names)):
            took[name].append(await sides[name]())
    return took


# -- single requests ------------------------------------------------------------------------------------------


async def measure_requests(
    client: Client, endpoints: list[Endpoint], requests: int, concurrency: int
) -> list[Row]:
    """Stored and not stored, on every endpoint."""
    each = max(concurrency, requests // ROUNDS)
    bodies = {"stored": encoded(PROMPT), "not stored": encoded(PROMPT, store=False)}
    sides = {
        (endpoint.store, kind): burst_of(client, endpoint, body, each, concurrency)
        for endpoint, (kind, body) in itertools.product(endpoints, bodies.items())
        if (endpoint.store, kind) != ("off", "stored")
    }
    took = await rounds(sides, ROUNDS)
    return list(request_rows(took, concurrency))


def burst_of(
    client: Client, endpoint: Endpoint, body: bytes, count: int, concurrency: int
) -> Callable[[], Awaitable[float]]:
    """One side's share of a round."""
    return lambda: client.burst(endpoint, body, count, concurrency)


def request_rows(took: dict[Side, list[float]], concurrency: int) -> Iterator[Row]:
    """Stored to not stored; and not stored to a store that is off."""
    for (store, kind), measured in took.items():
        if kind == "stored":
            baseline = took[store, "not stored"]
            yield Row(f"stored / `store: false`, {concurrency} at a time", store, measured, baseline)
        elif store != "off":
            baseline = took["off", "not stored"]
            yield Row(f"`store: false` / store off, {concurrency} at a time", store, measured, baseline)


# -- a long chain ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chain:
    """The last request of a conversation, by reference and in full."""

    by_reference: bytes
    in_full: bytes


async def told(client: Client, endpoint: Endpoint, turns: int) -> Chain:
    """All turns but the last, of which the first is a real one and the others are like it."""
    first = await client.create(endpoint, encoded(SHORT_PROMPT))
    headers = {name.encode(): value.encode() for name, value in HEADERS.items()}
    caller = Guard.of(endpoint.settings).caller(Call("POST", "/v1/responses", headers))
    owner = Owners(SealKeys.of([SECRET.encode()])).of(caller)
    previous, items = first["id"], [message(1), *first["output"]]
    async with aclosing(await open_store(endpoint.settings)) as store:
        for number in range(2, turns):
            response = like(first, number, previous)
            await store.responses.save(record_of(owner, response, [item_of(message(number))], None))
            previous = response["id"]
            items += [message(number), *response["output"]]
    by_reference = encoded([message(turns)], previous_response_id=previous)
    return Chain(by_reference, encoded([*items, message(turns)], store=False))


def message(number: int) -> dict:
    """What the user says in a turn, as it is stored."""
    content = [{"type": "input_text", "text": SHORT_PROMPT}]
    return {
        "type": "message",
        "id": f"msg_{number:050x}",
        "role": "user",
        "status": "completed",
        "content": content,
    }


def like(response: dict, number: int, previous: str) -> dict:
    """A later response with ids of its own."""
    output = [{**item, "id": f"{item['id'][:-8]}{number:08x}"} for item in response["output"]]
    response_id = f"{response['id'][:-8]}{number:08x}"
    return {**response, "id": response_id, "previous_response_id": previous, "output": output}


async def measure_chain(
    client: Client, grid: RunningSimulator, endpoints: list[Endpoint], turns: int
) -> list[Row]:
    """The last turn of the chain in both ways, again and again."""
    sides = {}
    for endpoint in endpoints:
        chain = await told(client, endpoint, turns)
        grid.journal.clear()  # it keeps every request, and each holds the whole conversation
        await check_same(client, grid, endpoint, chain)
        for kind, body in (("reference", chain.by_reference), ("full", chain.in_full)):
            sides[endpoint.store, kind] = turn_of(client, grid, endpoint, body)
    took = await rounds(sides, CHAIN_ROUNDS)
    what = f"turn {turns} by `previous_response_id` / sent in full with `store: false`"
    return [Row(what, one.store, took[one.store, "reference"], took[one.store, "full"]) for one in endpoints]


def turn_of(
    client: Client, grid: RunningSimulator, endpoint: Endpoint, body: bytes
) -> Callable[[], Awaitable[float]]:
    """One request; what the simulator noted of it does not burden the next."""

    async def turn() -> float:
        took = await client.burst(endpoint, body, 1, 1)
        grid.journal.clear()
        return took

    return turn


async def check_same(client: Client, grid: RunningSimulator, endpoint: Endpoint, chain: Chain) -> None:
    """Both ways ask the upstream the same; they are warm afterwards."""
    await client.create(endpoint, chain.by_reference)
    await client.create(endpoint, chain.in_full)
    one, other = (received.body["messages"] for received in grid.journal.served[-2:])
    assert one == other, "the two requests are not the same conversation"


# -- what is served -------------------------------------------------------------------------------------------


@contextmanager
def served(grid: RunningSimulator, stores: Mapping[str, str]) -> Iterator[list[Endpoint]]:
    """An endpoint for each store."""
    with ExitStack() as stack:
        yield [serving(stack, grid, name, store) for name, store in stores.items()]


def serving(stack: ExitStack, grid: RunningSimulator, name: str, store: str) -> Endpoint:
    """One endpoint, as `grid-shim serve` makes it."""
    settings = Settings(
        upstream=grid.base_url, key=DEFAULT_KEY, seal_key=SECRET, store=store, store_upgrade=True
    )
    url = stack.enter_context(server.in_thread(settings, server.bind("127.0.0.1", 0)))
    return Endpoint(name, settings, url)


@contextmanager
def postgresql(url: str | None) -> Iterator[tuple[str | None, str]]:
    """A PostgreSQL's URL, if there is one, and what to call it."""
    if url:
        yield url, "given by URL"
    elif why := missing():
        yield None, f"PostgreSQL not measured: {why}"
    else:
        with postgres_cluster.cluster() as private:
            yield private.format(database="postgres"), "private, on loopback, fsync off"


def missing() -> str | None:
    """Why there can be no private PostgreSQL, or None."""
    return postgres_cluster.missing() if installed("asyncpg") else "asyncpg is not installed"


async def measure(grid: RunningSimulator, endpoints: list[Endpoint], requests: int, turns: int) -> list[Row]:
    """Everything."""
    connections = Connections(Settings(key="none"))  # httpx's own pool slows down with concurrency
    async with httpx.AsyncClient(transport=connections, headers=HEADERS, timeout=None) as session:
        client, rows = Client(session), []
        for endpoint, store in itertools.product(endpoints, (True, False)):
            await client.burst(endpoint, encoded(PROMPT, store=store), WARM_UP, max(CONCURRENCIES))
        gc.collect()
        gc.freeze()
        for concurrency in CONCURRENCIES:
            rows += await measure_requests(client, endpoints, requests, concurrency)
            grid.journal.clear()
        keeping = [endpoint for endpoint in endpoints if endpoint.store != "off"]
        return rows + await measure_chain(client, grid, keeping, turns)


# -- what is shown --------------------------------------------------------------------------------------------

HEADINGS = ("measured / baseline", "store", "ratio", "of medians", "measured", "baseline")


def table(rows: list[Row]) -> str:
    """Markdown that can be read as it is."""
    lines = [HEADINGS, *(row.cells for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    drawn = [
        " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines
    ]
    drawn.insert(1, " | ".join("-" * width for width in widths))
    return "\n".join(f"| {line} |" for line in drawn)


def surroundings(database: str) -> str:
    """The machine and the versions, without names or paths."""
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES if installed(name))
    return "\n".join(
        (
            f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores; load {load()}",
            f"grid-responses-shim {__version__}, {platform.python_implementation()} {platform.python_version()}",
            f"SQLite {sqlite3.sqlite_version}, a file in a temporary folder; {database}",
            packages,
        )
    )


def installed(name: str) -> bool:
    """Whether there is such a package."""
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def load() -> str:
    """The load average of the last minute, where the system tells it."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


async def postgresql_version(url: str) -> str:
    """What the server calls itself, in short."""
    import asyncpg  # noqa: PLC0415 -- an extra

    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        return "PostgreSQL " + (await connection.fetchval("SHOW server_version")).split()[0]
    finally:
        await connection.close()


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--postgres", metavar="URL", help="a database for nothing else: what is stored stays in it"
    )
    parser.add_argument(
        "--requests", type=int, default=400, metavar="N", help="requests of each kind and concurrency (400)"
    )
    parser.add_argument("--turns", type=int, default=500, metavar="N", help="length of the chain (500)")
    given = parser.parse_args()
    if given.requests < ROUNDS or given.turns < 2:
        parser.error(f"at least {ROUNDS} requests and 2 turns")
    return given


def main() -> None:
    """Serve, measure, show."""
    given, began = arguments(), time.perf_counter()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="shim-bench-"))
        url, database = stack.enter_context(postgresql(given.postgres))
        stores = {"off": "off", "SQLite": f"sqlite:///{folder}/store.sqlite3"}
        if url:
            stores["PostgreSQL"] = url
            database = f"{asyncio.run(postgresql_version(url))}, {database}"
        about = surroundings(database)
        config = SimulatorConfig(redirect="none", context_limit=10**9)
        grid = stack.enter_context(run_in_thread(config))
        endpoints = stack.enter_context(served(grid, stores))
        rows = asyncio.run(measure(grid, endpoints, given.requests, given.turns))
    print(table(rows), about, f"{time.perf_counter() - began:.0f} s in all", sep="\n\n")


if __name__ == "__main__":
    main()
