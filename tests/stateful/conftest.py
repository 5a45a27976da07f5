"""Every test of what the server keeps runs on SQLite, as a file and in memory, and on a private PostgreSQL.

`GRID_SHIM_TEST_STORES` chooses among them, separated by commas.
"""

import asyncio
import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from postgres_cluster import cluster, needed
from stateful_stack import running_stack

from shim.simulator import run_in_thread

KINDS = ("memory", "file", "postgresql")
CHOSEN = tuple(kind for kind in os.environ.get("GRID_SHIM_TEST_STORES", ",".join(KINDS)).split(",") if kind)
_numbers = itertools.count()


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch, tmp_path):
    for name in (
        "THEGRID_API_KEY",
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    (tmp_path / "empty.toml").touch()
    monkeypatch.setenv("GRID_SHIM_CONFIG", str(tmp_path / "empty.toml"))


@pytest.fixture
def grid():
    with run_in_thread() as running:
        yield running


@pytest.fixture(scope="session")
def postgresql():
    """The URL of a running server, with a place for the database's name."""
    needed()
    with cluster() as url:
        yield url


@pytest.fixture
def new_database(postgresql):
    """Makes an empty PostgreSQL database and gives its URL."""

    def make():
        name = f"stateful{next(_numbers)}"
        with ThreadPoolExecutor(1) as thread:  # away from the test's own event loop
            thread.submit(asyncio.run, _create(postgresql.format(database="postgres"), name)).result()
        return postgresql.format(database=name)

    return make


async def _create(url, name):
    import asyncpg  # noqa: PLC0415 -- only where there is a PostgreSQL

    connection = await asyncpg.connect(url)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()


@pytest.fixture(params=CHOSEN)
def store(request, tmp_path):
    """The setting `store` for a fresh database of each kind."""
    if request.param == "file":
        return f"sqlite:///{tmp_path}/store.sqlite3"
    return "memory" if request.param == "memory" else request.getfixturevalue("new_database")()


@pytest.fixture
def start():
    """`start(store, SimulatorConfig(...), **settings)`: a running `Stack`, stopped after the test."""
    with ExitStack() as running:
        yield lambda *given, **settings: running.enter_context(running_stack(*given, **settings))


@pytest.fixture
def stack(start, store):
    """A running `Stack` on each kind of store."""
    return start(store)


@pytest.fixture
def client(stack):
    """The official SDK."""
    with stack.client() as client:
        yield client
