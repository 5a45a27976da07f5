"""What an endpoint does without until it is needed: start and memory are paid by everyone."""

import os
import subprocess
import sys
import tempfile

import pytest

LISTED = "import sys; print(*(name for name, module in sys.modules.items() if module), sep='\\n')"

STARTED = """
import asyncio, sys
from shim.cli import process
process.lighten()
import shim.cli.serve
from shim.settings import Settings
from shim.cli import server

async def start():
    endpoint = server._Server(Settings(key="k", store=sys.argv[1]), lambda: None)
    endpoint.config.load()
    endpoint.lifespan = endpoint.config.lifespan_class(endpoint.config)
    await endpoint.startup([])
    await endpoint.shutdown([])

asyncio.run(start())
"""


def modules(script, *arguments):
    """What a process has imported by the end of a script."""
    command = [sys.executable, "-c", f"{script}\n{LISTED}", *arguments]
    with tempfile.TemporaryDirectory() as folder:
        own = {**os.environ, "XDG_DATA_HOME": folder, "XDG_CONFIG_HOME": folder}
        done = subprocess.run(command, env=own, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines())


def test_listening_needs_no_store_and_no_client():
    loaded = modules("import shim.cli.serve")
    assert not loaded & {"sqlalchemy", "httpx", "aiohttp", "starlette", "cryptography", "rich"}


@pytest.fixture(scope="module")
def up_to_date(tmp_path_factory):
    """An SQLite file whose schema needs no upgrade."""
    url = f"sqlite:///{tmp_path_factory.mktemp('store')}/store.db"
    modules(STARTED, url)
    return url


@pytest.mark.parametrize("new", [True, False])
def test_an_endpoint_on_sqlite_loads_what_it_needs(up_to_date, tmp_path, new):
    loaded = modules(STARTED, f"sqlite:///{tmp_path}/store.db" if new else up_to_date)
    assert "sqlalchemy.dialects.sqlite" in loaded
    assert not loaded & {
        "sqlalchemy.orm",
        "sqlalchemy.ext.asyncio",
        "sqlalchemy.dialects.postgresql",
        "alembic",
    }


def test_an_endpoint_that_has_asked_nobody_yet_has_no_connections_to_ask_with(up_to_date):
    loaded = modules(STARTED, up_to_date)
    assert not loaded & {"aiohttp", "httpx_aiohttp", "cryptography", "shim.wire.openapi", "pydantic_settings"}


def test_an_endpoint_without_a_store_loads_no_database():
    assert not modules(STARTED, "off") & {"sqlalchemy", "sqlite3", "asyncpg"}


def test_httpx_comes_without_its_own_program(up_to_date):
    assert not modules(STARTED, up_to_date) & {"rich", "pygments"}


def test_an_endpoint_loads_neither_what_few_requests_need_nor_what_libraries_offer_besides(up_to_date):
    rare = {"brotli", "zstandard", "websockets", "difflib"}
    offered = {"html.entities", "multiprocessing", "logging.handlers", "multipart", "python_multipart"}
    assert not modules(STARTED, up_to_date) & (rare | offered)


def test_what_was_kept_from_a_library_is_there_for_a_body_that_needs_it(up_to_date):
    script = f"""{STARTED}
from shim.http.encodings import decode
import brotli, zstandard
assert decode(zstandard.compress(brotli.compress(b"said")), ("br", "zstd"), 100) == b"said"
"""
    assert {"brotli", "zstandard"} <= modules(script, up_to_date)


@pytest.mark.parametrize("before", [STARTED, "from shim.cli import process; process.lighten()"])
def test_what_is_imported_on_demand_is_there_for_a_page_that_needs_it(up_to_date, before):
    """Also in commands that ask the upstream and serve nobody."""
    script = f"""{before}
import sys
from shim.core.faults import fault_from_error
from starlette.middleware import errors
assert "html.entities" not in sys.modules
fault = fault_from_error("<html><title>Caf&eacute; &amp; bar</title></html>", 503)
assert "Café & bar" in fault.message, fault.message
assert errors.html.escape("&") == "&amp;"
import html
assert html.unescape is errors.html.unescape and errors.html is not html
"""
    assert "html.entities" in modules(script, up_to_date)


def test_the_application_leaves_its_hosts_collector_alone():
    script = "import gc; before = gc.get_threshold(), gc.get_freeze_count()\n"
    script += "from shim.http import create_app; from shim.settings import Settings; create_app(Settings(key='k'))\n"
    script += "assert (gc.get_threshold(), gc.get_freeze_count()) == before"
    modules(script)
