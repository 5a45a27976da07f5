"""A web page in a real browser gets nothing out of the endpoint and nothing into it, unless its origin is allowed."""

import sqlite3
from contextlib import closing, contextmanager

import pytest
from browser import document, find_browser, foreign_site

from shim import __version__
from shim.cli import server
from shim.settings import Settings
from shim.simulator import DEFAULT_KEY, SimulatorConfig, run_in_thread

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no Chromium: apt-get install chromium")

ORIGIN = "the page's origin"
SENT_AS_JSON = {
    "fetch, JSON",
    "fetch, JSON and key",
    "fetch, stream",
    "XHR, JSON",
    "socket",
}


class Victim:
    """A running endpoint that holds a key and keeps what it answers."""

    def __init__(self, base_url, grid, store):
        self.base_url = base_url
        self.port = int(base_url.rpartition(":")[2].partition("/")[0])
        self._grid, self._store = grid, store

    @property
    def asked(self):
        """What arrived at the upstream."""
        return [(each.method, each.path) for each in self._grid.journal]

    @property
    def kept(self):
        """Rows in the store, by table; but for the one that the endpoint itself writes when it starts."""
        with closing(sqlite3.connect(self._store)) as opened:
            tables = opened.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN ('alembic_version', 'owner_keys')"
            )
            counts = {
                name: opened.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for (name,) in tables
            }
        assert "responses" in counts
        return {name: count for name, count in counts.items() if count}


@pytest.fixture
def profile(tmp_path):
    folder = tmp_path / "browser"
    folder.mkdir()
    return folder


@pytest.fixture
def victim(tmp_path):
    """`victim(**settings)`: the endpoint in front of a simulated Grid, and a site of somebody else's."""

    @contextmanager
    def start(**settings):
        store = tmp_path / "store.sqlite3"
        fixed = {"key": DEFAULT_KEY, "seal_key": "secret", "store": f"sqlite:///{store}"}
        with run_in_thread(SimulatorConfig()) as grid, server.bind("127.0.0.1", 0) as listening:
            port = listening.getsockname()[1]
            with foreign_site(port) as site:
                chosen = {name: value.format(site=site.port) for name, value in settings.items()}
                configured = Settings(upstream=grid.base_url, **fixed, **chosen)
                with server.in_thread(configured, listening) as base_url:
                    yield Victim(base_url, grid, store), site

    return start


@pytest.mark.parametrize(
    ("place", "target"),
    [
        pytest.param("127.0.0.1", "127.0.0.1", id="same site, another port"),
        pytest.param("evil.example", "localhost", id="another site"),
    ],
)
def test_a_foreign_page_asks_nothing_and_reads_nothing(victim, profile, place, target):
    with victim() as (endpoint, site):
        heard = site.visit(profile, f"http://{target}:{endpoint.port}/v1", name=place)
        assert heard.pop(ORIGIN) == f"http://{place}:{site.port}"
        assert len(heard) > 30
        assert {name: said for name, said in heard.items() if said} == {}
        assert endpoint.asked == []
        assert endpoint.kept == {}


def test_a_page_whose_name_is_made_to_lead_here_reads_only_that_it_is_refused(victim, profile):
    with victim() as (endpoint, site):
        heard = site.visit(profile, endpoint.base_url, name="evil.example", rebind=True)
        assert heard.pop(ORIGIN).startswith("http://evil.example:")
        read = {name: said for name, said in heard.items() if said}
        assert {"fetch, JSON", "fetch, models", "frame"} <= set(read)
        assert all("host_not_allowed" in said for said in read.values()), read
        assert endpoint.asked == []
        assert endpoint.kept == {}


def test_the_same_attempts_succeed_where_any_host_is_allowed(victim, profile):
    with victim(allowed_hosts="*") as (endpoint, site):
        heard = site.visit(profile, endpoint.base_url, name="evil.example", rebind=True)
        assert {name for name in SENT_AS_JSON if "stolen" not in heard[name]} == set()
        assert "code-prime" in heard["frame"]


def test_an_allowed_page_asks_and_reads_streams_and_headers_too(victim, profile):
    with victim(allowed_origins="http://evil.example:{site}") as (endpoint, site):
        heard = site.visit(profile, endpoint.base_url, name="evil.example")
        assert {name for name in SENT_AS_JSON if "stolen" not in heard[name]} == set()
        assert heard["fetch, stream"].startswith("req_")
        assert heard["fetch, stream"].count("\nevent: ") > 5
        assert "code-prime" in heard["fetch, models"]
        assert "unsupported_content_type" in heard["fetch, text"]
        assert {name for name, said in heard.items() if name.startswith("sandbox") and said} == set()
        assert {path for _, path in endpoint.asked if "models" not in path} != set()


def test_a_page_without_a_token_gets_nothing_where_tokens_are_asked_for(victim, profile):
    with victim(client_tokens="a-token-of-24-characters") as (endpoint, site):
        heard = site.visit(profile, endpoint.base_url, name="evil.example")
        heard.pop(ORIGIN)
        assert {name: said for name, said in heard.items() if said} == {}
        assert endpoint.asked == []
        assert endpoint.kept == {}


def test_who_types_the_address_is_answered(victim, profile):
    with victim() as (endpoint, _):
        assert __version__ in document(f"http://127.0.0.1:{endpoint.port}/healthz", profile)
