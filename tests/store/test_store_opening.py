"""How a store is chosen and opened, its schema, and what is said when there is none."""

import asyncio
import logging
import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from pydantic import ValidationError
from samples import DAY, NOW, conversation, events, items, record
from sqlalchemy import inspect, text

from shim.errors import ClientFault, Fault
from shim.settings import Settings, data_directory
from shim.store import StoreFault, StoreOff, open_store, schema, sqlite, upgrade_store
from shim.store.opening import open_database
from shim.store.records import Claim, Lease, Purged, Stats, Window
from shim.store.tables import metadata


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


class TestChoice:
    async def test_the_default_is_a_private_file_in_the_users_data_folder(self, opened, monkeypatch):
        monkeypatch.delenv("GRID_SHIM_STORE", raising=False)
        store = await opened(Settings().store)
        await store.responses.save(record())
        files = sorted(data_directory().iterdir())
        assert [file.name for file in files] == ["store.sqlite3", "store.sqlite3-shm", "store.sqlite3-wal"]
        assert {mode(file) for file in files} == {0o600}
        assert mode(data_directory()) == 0o700
        assert store.kind == "sqlite"

    async def test_a_file_and_a_folder_that_were_open_to_others_are_closed(self, opened):
        data_directory().mkdir(parents=True, mode=0o755)
        (data_directory() / "store.sqlite3").touch(0o644)
        await opened("sqlite")
        assert (mode(data_directory()), mode(data_directory() / "store.sqlite3")) == (0o700, 0o600)

    async def test_a_users_own_folder_keeps_its_mode(self, opened, tmp_path):
        folder = tmp_path / "mine"
        folder.mkdir(mode=0o755)
        await opened(f"sqlite:///{folder}/store.db")
        assert (mode(folder), mode(folder / "store.db")) == (0o755, 0o600)

    async def test_an_odd_file_name_is_no_url(self, opened, tmp_path):
        await opened(f"sqlite:///{tmp_path}/100%25 mine.db")
        assert (tmp_path / "100%25 mine.db").exists() or (tmp_path / "100% mine.db").exists()

    @pytest.mark.parametrize("url", ["memory", "sqlite://", "sqlite:///:memory:"])
    async def test_memory_leaves_no_file(self, opened, url):
        store = await opened(url)
        await store.responses.save(record())
        assert store.kind == "memory"
        assert not data_directory().exists()

    @pytest.mark.parametrize("url", ["disk", "mysql://host/db", "sqlite:/file", ""])
    def test_an_unknown_store_is_a_wrong_setting(self, url):
        with pytest.raises(ValidationError, match="write sqlite, memory, off"):
            Settings(store=url)

    async def test_settings_do_not_show_the_password(self):
        assert "s3cret" not in repr(Settings(store="postgresql://user:s3cret@host/db"))

    @pytest.mark.parametrize("form", ["postgres", "postgresql", "postgresql+asyncpg"])
    async def test_every_form_of_postgresqls_url_is_known(self, opened, make_database, form):
        url = make_database().replace("postgresql", form, 1)
        store = await opened(f"{url}?sslmode=disable")
        assert store.kind == "postgresql"

    async def test_what_is_written_is_there_after_reopening(self, opened, url):
        if url == "memory":
            pytest.skip("memory forgets")
        store = await opened(url)
        await store.responses.save(record())
        await store.aclose()
        assert await (await opened(url)).responses.get("alice", "resp_1") is not None

    @pytest.mark.parametrize("kind", ["file", "memory", "postgresql"])
    async def test_many_may_open_a_new_database_at_once(self, opened, kind, tmp_path, request):
        url = "memory" if kind == "memory" else f"sqlite:///{tmp_path}/new.db"
        if kind == "postgresql":
            url = request.getfixturevalue("make_database")()
        stores = await asyncio.gather(*(opened(url) for _ in range(4)))
        await asyncio.gather(*(one.responses.save(record(f"resp_{at}")) for at, one in enumerate(stores)))
        assert (await stores[0].stats()).responses == (1 if url == "memory" else 4)


class TestNewFile:
    async def test_who_else_writes_to_a_new_file_is_waited_for(self, opened, tmp_path, monkeypatch):
        other = sqlite3.connect(tmp_path / "new.db", isolation_level=None, check_same_thread=False)
        other.execute("CREATE TABLE one (x)")
        other.execute("BEGIN IMMEDIATE")
        pauses = []
        monkeypatch.setattr(
            sqlite, "_pause", lambda _: pauses.append(len(pauses) and other.execute("COMMIT") is not None)
        )
        store = await opened(f"sqlite:///{tmp_path}/new.db")
        other.close()
        assert await store.responses.save(record())
        assert pauses == [0, True]

    async def test_who_writes_for_too_long_is_not(self, tmp_path, monkeypatch):
        monkeypatch.setattr(sqlite, "_pause", lambda _: None)
        with closing(sqlite3.connect(tmp_path / "new.db", isolation_level=None)) as other:
            other.execute("CREATE TABLE one (x)")
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreFault, match="another process holds its lock"):
                await open_store(Settings(store=f"sqlite:///{tmp_path}/new.db"))


class TestOff:
    async def test_nothing_is_stored(self):
        store = await open_store(Settings(store="off"))
        assert not await store.responses.save(record(), events=events(0, 1))
        assert await store.responses.get("alice", "resp_1") is None
        assert await store.responses.chain("alice", "resp_1", 1) is None
        assert await store.responses.input_items("alice", "resp_1", Window()) is None
        assert await store.responses.items_by_id("alice", ["a"]) == {}
        assert not await store.responses.delete("alice", "resp_1")
        assert await store.events.append("alice", "resp_1", events(0, 1)) == "gone"
        assert await store.events.read("alice", "resp_1", 0, 1) is None
        await store.calibrations.record("code-max", 1, 1)
        assert await store.calibrations.get("code-max") is None
        assert await store.purge(NOW) == Purged()
        assert await store.stats() == Stats("off")
        await store.aclose()

    async def test_what_needs_a_store_says_so(self):
        store = await open_store(Settings(store="off"))
        for call in (
            store.jobs.enqueue(record(), b"{}"),
            store.conversations.create(conversation()),
            store.prompts.put("alice", "greet", b"{}", NOW),
        ):
            with pytest.raises(StoreOff, match="stores nothing") as caught:
                await call
            assert isinstance(caught.value, ClientFault)

    async def test_jobs_conversations_and_prompts_are_unknown(self):
        store = await open_store(Settings(store="off"))
        named, lease = ("alice", "x"), Lease("alice", "x", "w", 1)
        assert (
            await store.jobs.claim(Claim("w", NOW))
            == await store.jobs.claim_abandoned(Claim("w", NOW), NOW)
            == ()
        )
        assert await store.jobs.renew(lease, NOW) == "lost"
        assert not await store.jobs.finish(lease)
        assert not await store.jobs.cancel(*named)
        assert await store.jobs.cancelled(*named)
        assert await store.conversations.get(*named) is None
        assert await store.conversations.update(*named, b"{}", NOW) is None
        assert await store.conversations.items(*named, Window()) is None
        assert await store.conversations.item(*named, "a") is None
        assert not await store.conversations.append(*named, items("a"), NOW)
        assert not await store.conversations.delete_item(*named, "a")
        assert not await store.conversations.delete(*named)
        assert await store.conversations.lock(*named, Claim("w", NOW), NOW) == "missing"
        assert not await store.conversations.unlock(*named, "w")
        assert await store.prompts.get(*named) is None
        assert await store.prompts.list("alice") == ()
        assert await store.prompts.delete(*named) == 0


class TestSchema:
    @pytest.mark.parametrize("first", ["0001", "head"])
    async def test_migrations_make_exactly_the_tables(self, url, first):
        database = open_database(Settings(store=url))
        await database.write(lambda connection: schema.step_by_step(connection, first))
        await database.write(schema.upgrade)
        assert await database.read(_differences) == []
        await database.aclose()

    @pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
    async def test_a_new_database_is_what_the_steps_would_make_of_it(self, kind, tmp_path, request):
        made = []
        for name, make in (("at-once", schema.upgrade), ("in-steps", schema.step_by_step)):
            url = f"sqlite:///{tmp_path}/{name}.db" if kind != "postgresql" else None
            database = open_database(Settings(store=url or request.getfixturevalue("make_database")()))
            await database.write(make)
            assert await database.read(_differences) == []
            assert await database.read(schema.current_version) == schema.HEAD
            made.append(await database.read(_described))
            await database.aclose()
        assert made[0] == made[1]
        assert len(made[0]) == len(metadata.tables) + 1

    def test_the_newest_step_is_the_one_that_is_named(self):
        scripts = ScriptDirectory.from_config(schema.alembic_config())
        assert scripts.get_heads() == [schema.HEAD]

    async def test_postgresql_without_a_schema_names_the_command(self, make_database):
        with pytest.raises(StoreFault, match=r"no schema yet: run `grid-shim db upgrade`"):
            await open_store(Settings(store=make_database()))

    async def test_db_upgrade_makes_the_schema_once(self, make_database, opened):
        settings = Settings(store=make_database())
        assert await upgrade_store(settings) is None
        assert await upgrade_store(settings) == schema.HEAD
        store = await open_store(settings)
        await store.aclose()

    @pytest.mark.parametrize(
        ("version", "said"), [("0000", "older than"), ("9999", "newer than this version")]
    )
    async def test_another_schema_is_refused(self, make_database, version, said):
        settings = Settings(store=make_database())
        await upgrade_store(settings)
        database = open_database(settings)
        change = text("UPDATE alembic_version SET version_num = :version")
        await database.write(lambda connection: connection.execute(change, {"version": version}))
        await database.aclose()
        with pytest.raises(StoreFault, match=said):
            await open_store(settings)

    async def test_a_newer_sqlite_file_is_refused_and_left_alone(self, tmp_path, opened):
        settings = Settings(store=f"sqlite:///{tmp_path}/store.db")
        await (await open_store(settings)).aclose()
        database = open_database(settings)
        change = text("UPDATE alembic_version SET version_num = '9999'")
        await database.write(lambda connection: connection.execute(change))
        await database.aclose()
        for attempt in (open_store, upgrade_store):
            with pytest.raises(StoreFault, match="newer than this version"):
                await attempt(settings)

    async def test_upgrades_at_once_run_one_after_the_other(self, make_database):
        settings = Settings(store=make_database())
        found = await asyncio.gather(*(upgrade_store(settings) for _ in range(4)))
        assert sorted(found, key=str) == [schema.HEAD, schema.HEAD, schema.HEAD, None]


def _described(connection):
    """Everything that the database tells of each of its tables."""
    seen = inspect(connection)
    asked = (
        seen.get_columns,
        seen.get_pk_constraint,
        seen.get_foreign_keys,
        seen.get_unique_constraints,
        seen.get_check_constraints,
        seen.get_indexes,
    )
    return {name: [_told(ask(name)) for ask in asked] for name in seen.get_table_names()}


def _told(described):
    """The same as text; conditions as they are written."""
    for one in described:
        if isinstance(one, dict) and "dialect_options" in one:
            one["dialect_options"] = {key: str(value) for key, value in one["dialect_options"].items()}
    return str(described)


def _differences(connection):
    return compare_metadata(MigrationContext.configure(connection), metadata)


class TestTrouble:
    @pytest.mark.parametrize(
        "url",
        [
            "postgresql://user:s3cret@127.0.0.1:1/db",
            "postgresql://user:s3cret@nowhere.invalid/db",
            "postgresql://user:s3cret@127.0.0.1:port/db",
        ],
    )
    async def test_a_database_that_is_away_is_a_503_without_its_url(self, url, caplog):
        caplog.set_level(logging.DEBUG)
        with pytest.raises(StoreFault) as caught:
            await open_store(Settings(store=url))
        fault = caught.value
        assert isinstance(fault, Fault)
        assert (fault.status, fault.code, fault.retry_after) == (503, "store_unavailable", 2)
        assert "s3cret" not in str(fault) + repr(fault) + caplog.text
        assert fault.__suppress_context__

    async def test_a_database_that_goes_away_and_comes_back_is_used_again(
        self, make_database, postgresql, opened
    ):
        url = make_database()
        store = await opened(url)
        await store.responses.save(record("a"))
        for kind in ("read", "write"):
            await _disconnect_everybody(postgresql, url)
            if kind == "read":
                assert await store.responses.get("alice", "a") is not None
            else:
                assert await store.responses.save(record("b"))

    async def test_a_missing_driver_is_named(self, monkeypatch):
        monkeypatch.setattr("shim.store.opening.find_spec", lambda _name: None)
        with pytest.raises(StoreFault, match=r"install grid-responses-shim\[postgres\]"):
            await open_store(Settings(store="postgresql://host/db"))

    async def test_a_file_that_is_no_database_is_said_to_be_none(self, tmp_path):
        (tmp_path / "store.db").write_bytes(b"not a database at all" * 100)
        with pytest.raises(StoreFault, match="not a database"):
            await open_store(Settings(store=f"sqlite:///{tmp_path}/store.db"))

    async def test_a_folder_that_cannot_be_made_is_said(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(StoreFault, match="cannot be opened"):
            await open_store(Settings(store=f"sqlite:///{tmp_path}/file/store.db"))

    async def test_a_locked_file_is_busy(self, tmp_path, monkeypatch, opened):
        monkeypatch.setattr("shim.store.sqlite.BUSY_SECONDS", 0)
        url = f"sqlite:///{tmp_path}/store.db"
        store = await opened(url)
        other = open_database(Settings(store=url))
        with ThreadPoolExecutor(1) as thread:

            def held(connection):
                connection.execute(text("SELECT 1"))
                with pytest.raises(StoreFault, match="busy"):
                    thread.submit(asyncio.run, _save(url)).result()
                return True

            assert await other.write(held)
        await other.aclose()
        assert await store.responses.save(record())

    async def test_a_broken_constraint_is_our_own_bug(self, store):
        await store.conversations.create(conversation())
        with pytest.raises(Exception, match=r"(?i)unique") as caught:
            await store.conversations.create(conversation())
        assert not isinstance(caught.value, Fault)


async def _save(url):
    store = await open_store(Settings(store=url))
    try:
        await store.responses.save(record())
    finally:
        await store.aclose()


async def _disconnect_everybody(postgresql, url):
    connection = await asyncpg.connect(postgresql.format(database="postgres"))
    name = url.rsplit("/", 1)[1]
    await connection.fetch("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
    await connection.close()


class TestGivingBack:
    async def test_a_purge_gives_all_free_pages_back_to_the_file_system(self, tmp_path):
        store = await open_store(Settings(store=f"sqlite:///{tmp_path / 'store.db'}", retention_days=1))
        empty = (await store.stats()).file_size
        page = b'{"text": "%s"}' % (b"x" * 100_000)
        for number in range(60):
            old = record(f"resp_{number}", envelope=page, created_at=NOW - 10 * DAY)
            await store.responses.save(old)
        assert (await store.stats()).file_size > empty + 5_000_000  # more than one batch of pages
        assert (await store.purge(NOW)).responses == 60
        assert (await store.stats()).file_size <= empty + 64 * 1024
        assert (tmp_path / "store.db").stat().st_size == (await store.stats()).file_size
        await store.aclose()


class TestPrivacy:
    async def test_deleted_text_is_gone_from_the_file_after_a_purge(self, tmp_path):
        path = tmp_path / "store.db"
        store = await open_store(Settings(store=f"sqlite:///{path}", retention_days=1))
        secret = b'{"text": "%s"}' % (b"open sesame " * 2000)
        await store.responses.save(record(envelope=secret, created_at=NOW - 10 * 86400))
        before = (await store.stats()).file_size
        assert (await store.purge(NOW)).responses == 1
        assert (await store.stats()).file_size < before
        assert b"open sesame" not in path.read_bytes() + (tmp_path / "store.db-wal").read_bytes()
        await store.aclose()

    async def test_what_a_client_deleted_is_gone_after_a_purge_that_finds_nothing(self, tmp_path):
        path = tmp_path / "store.db"
        store = await open_store(Settings(store=f"sqlite:///{path}"))
        await store.responses.save(record(envelope=b'{"text": "%s"}' % (b"open sesame " * 2000)))
        await store.responses.delete("alice", "resp_1")
        assert (await store.purge(NOW)).responses == 0
        assert b"open sesame" not in path.read_bytes() + (tmp_path / "store.db-wal").read_bytes()
        await store.aclose()

    async def test_rows_do_not_show_keys_or_requests(self, store):
        job = await store.jobs.enqueue(record(), b"request body", sealed_key=b"sealed key")
        assert "sealed" not in repr(job)
        assert "request body" not in repr(job)
