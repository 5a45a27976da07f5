"""Each test of the store runs on an SQLite file, in memory and on a private PostgreSQL."""

import asyncio
import itertools
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import pytest
from postgres_cluster import cluster, missing

from shim.settings import Settings
from shim.store import open_store
from shim.store.tables import metadata

EVERY_KIND = ("file", "memory", "postgresql")
_numbers = itertools.count()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("GRID_SHIM_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture(scope="session")
def postgresql():
    """The URL of a running server, with a place for the database's name."""
    if reason := missing():
        pytest.skip(reason)
    with cluster() as url:
        yield url


@pytest.fixture
def make_database(postgresql):
    """Makes an empty database and gives its URL."""

    def make():
        name = f"shim{next(_numbers)}"
        return _elsewhere(_create(postgresql, name))

    return make


def _elsewhere(work):
    """Run it away from the test's own event loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def _create(server, name):
    connection = await asyncpg.connect(server.format(database="postgres"))
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return server.format(database=name)


async def _empty(url):
    tables = ", ".join(table.name for table in metadata.sorted_tables)
    connection = await asyncpg.connect(url)
    if await connection.fetchval("SELECT to_regclass('responses')"):
        await connection.execute(f"TRUNCATE {tables}")
    await connection.close()


@pytest.fixture(scope="session")
def kept_database(postgresql):
    """One database for most tests: making one is slow, emptying it is not."""
    return _elsewhere(_create(postgresql, "kept"))


@pytest.fixture(params=EVERY_KIND)
def url(request, tmp_path):
    """The setting `store` for an empty database of each kind; it may have its schema already."""
    if request.param == "file":
        return f"sqlite:///{tmp_path}/store.sqlite3"
    if request.param == "memory":
        return "memory"
    kept = request.getfixturevalue("kept_database")
    _elsewhere(_empty(kept))
    return kept


@pytest.fixture
async def opened():
    """Opens stores; closes them after the test."""
    stores = []

    async def start(url, **settings):
        store = await open_store(Settings(store=url, store_upgrade=True, **settings))
        stores.append(store)
        return store

    yield start
    for store in stores:
        await store.aclose()


@pytest.fixture
async def store(url, opened):
    """A fresh store of each kind."""
    return await opened(url)
