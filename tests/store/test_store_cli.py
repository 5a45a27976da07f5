"""`grid-shim db` upgrades, measures and purges."""

import asyncio
import json
import time

import pytest
from click.testing import CliRunner
from samples import conversation, record

from shim.cli.commands import grid_shim
from shim.settings import Settings
from shim.store import open_store

LONG_AGO = 1_000_000_000


def run(*arguments):
    result = CliRunner().invoke(grid_shim, ["db", *arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def filled(tmp_path):
    """A file with an old and a new response."""
    url = f"sqlite:///{tmp_path}/store.db"

    async def fill():
        store = await open_store(Settings(store=url))
        await store.responses.save(record("old", created_at=LONG_AGO))
        await store.responses.save(record("new", created_at=int(time.time())))
        await store.conversations.create(conversation(created_at=LONG_AGO))
        await store.aclose()

    asyncio.run(fill())
    return url


def test_stats_are_a_table_or_json(filled):
    shown = run("stats", "--store", filled)
    assert shown.exit_code == 0
    assert "2001-09-09 01:46:40+00:00" in shown.output
    assert "sqlite" in shown.output
    counts = json.loads(run("stats", "--store", filled, "--json").output)
    assert (counts["responses"], counts["conversations"], counts["oldest"]) == (2, 1, LONG_AGO)


def test_purge_deletes_what_is_old_and_says_how_much(filled, monkeypatch):
    monkeypatch.setattr("shim.store.retention.BATCH", 1)
    monkeypatch.setattr("shim.store.retention.BATCHES", 2)  # so that one call is not enough
    said = run("purge", "--store", filled)
    assert said.output == "Deleted 1 responses and 1 conversations.\n"
    assert run("purge", "--store", filled, "--retention-days", "0").output.startswith("Deleted 0")


def test_stats_of_nothing_have_dashes():
    assert "-" in run("stats", "--store", "off").output


def test_upgrade_makes_postgresqls_schema_and_says_so(make_database):
    url = make_database()
    refused = run("stats", "--store", url)
    assert refused.exit_code == 1
    assert "run `grid-shim db upgrade` once" in refused.output
    assert run("upgrade", "--store", url).output == "The store's schema is now 0004; there was none.\n"
    assert run("upgrade", "--store", url).output == "The store's schema is up to date: 0004.\n"
    assert run("stats", "--store", url).exit_code == 0


def test_a_database_that_is_away_is_one_sentence_without_its_password():
    refused = run("stats", "--store", "postgresql://user:s3cret@127.0.0.1:1/db")
    assert refused.exit_code == 1
    assert refused.output.startswith("grid-shim: The store cannot be reached.")
    assert "s3cret" not in refused.output
