"""The store's disk full, gone, damaged or locked: requests go on, what is not kept is said, and it is kept again later."""

import resource
import signal
import sqlite3
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import httpx
import pytest
from process_stage import MODEL, Process, Stream, held, text_of
from waiting import PATIENCE, until

from shim.cli import server
from shim.settings import Settings
from shim.simulator import DEFAULT_KEY
from shim.store.sqlite import Threads

UNBOUND = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
PAGE = 4096


def store_of(process):
    return process.folder / "store.db"


class Full:
    """While the context is open, no file of the process can grow, nor be written beyond its first pages.

    The write then fails as on a full disk; Python ignores SIGXFSZ.
    """

    def __init__(self, process):
        self.pid = process.process.pid

    def __enter__(self):
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    def __exit__(self, *_):
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, UNBOUND)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of a few hundred KB, where there is the right to mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=600k,mode=0700", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount")
    if done.returncode:
        pytest.skip(f"no right to mount: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def unstored(answer):
    """A whole answer that says that it is not kept."""
    assert answer.status_code == 200, answer.text
    assert text_of(answer.json())
    assert answer.json()["status"] == "completed"
    assert answer.json()["store"] is False
    return answer.json()


def refused(answer):
    """A clear refusal of what needs the store."""
    assert answer.status_code == 503, answer.text
    error = answer.json()["error"]
    assert (error["code"], error["type"]) == ("store_unavailable", "server_error")
    assert int(answer.headers["retry-after"]) > 0
    assert "/" not in error["message"]


def check_that_requests_go_on(process, stored, conversation):
    """What a store that takes nothing means for each kind of request."""
    lost = unstored(process.ask())
    told = Stream(process).whole()[-1]
    assert (told["type"], told["response"]["store"]) == ("response.completed", False)
    assert process.ask(store=False).status_code == 200
    unstored(process.ask(previous_response_id=stored["id"]))  # what is there can be read
    again = process.ask(previous_response_id=lost["id"])
    assert (again.status_code, again.json()["error"]["code"]) == (400, "previous_response_not_found")
    refused(process.ask(conversation=conversation))
    refused(process.ask(background=True))
    refused(process.http.post("/conversations", json={}))
    assert process.unready("store").startswith("The store's disk")
    assert process.alive() == 200


def check_that_it_is_kept_again(process, conversation):
    kept = until(lambda: (made := process.ask().json())["store"] and made)
    assert process.ask(previous_response_id=kept["id"]).json()["store"] is True
    assert process.ask(conversation=conversation).status_code == 200
    until(lambda: process.ready()[0] == 200)


def test_a_disk_that_takes_nothing_costs_no_answer_and_is_used_again(serve):
    process = serve()
    stored, conversation = process.ask().json(), process.http.post("/conversations", json={}).json()["id"]
    assert process.ready()[0] == 200
    with Full(process):
        process.unready("store")  # before any request has failed
        check_that_requests_go_on(process, stored, conversation)
    check_that_it_is_kept_again(process, conversation)
    said = process.said()  # the log could not grow either
    assert "Traceback" not in said


def test_a_background_response_whose_words_cannot_be_stored_for_a_while_ends_whole(serve, grid):
    process = serve(background_lease_seconds=60)
    turn, release = held()
    grid.turns.append(turn)
    job = process.ask(background=True).json()["id"]
    follower = Stream(process, "GET", f"/responses/{job}?stream=true").spoke()
    with Full(process):
        release()
        until(grid.journal.served[-1].ended.is_set)
        process.unready("store")
        assert follower.is_alive()
    assert follower.whole()[-1]["type"] == "response.completed"
    assert process.http.get(f"/responses/{job}").json() == follower.events[-1]["response"]
    assert len(grid.journal.served) == 1


def test_a_full_file_system_costs_no_answer_and_is_used_again(serve, small_disk):
    process = serve(store=f"sqlite:///{small_disk}/store.db")
    stored, conversation = process.ask().json(), process.http.post("/conversations", json={}).json()["id"]
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(PAGE))
    until(lambda: process.ask(input="x" * 20_000).json()["store"] is False)
    lost = unstored(process.ask(input="x" * 20_000))
    assert process.unready("store") == "The store's disk is full."
    refused(process.ask(background=True, input="x" * 20_000))
    assert f"response {lost['id']} could not be stored: The store's disk is full." in process.said()
    filler.unlink()
    check_that_it_is_kept_again(process, conversation)
    assert process.http.get(f"/responses/{stored['id']}").status_code == 200
    assert "Traceback" not in process.said()


def test_a_file_that_was_deleted_underneath_is_told(serve):
    process = serve()
    for name in ("store.db", "store.db-wal", "store.db-shm"):
        (process.folder / name).unlink()
    assert "deleted or replaced" in process.unready("store")
    assert process.ask().status_code == 200


def not_started(process):
    assert process.ended() == 1
    said = process.said()
    assert "Traceback" not in said
    assert "Fix:" in said
    return said


@pytest.mark.parametrize("content", [b"no database " * 1000, b"SQLite format 3\0" + b"\xff" * 8000])
def test_a_damaged_file_is_told_at_the_start(tmp_path, grid, content):
    (tmp_path / "store.db").write_bytes(content)
    process = Process(tmp_path, grid, wait=False)
    said = not_started(process)
    assert "is not a database" in said or "is damaged" in said
    assert (tmp_path / "store.db").read_bytes() == content


def test_a_place_that_cannot_be_written_is_told_at_the_start(tmp_path, grid):
    (tmp_path / "store.db").mkdir()
    assert "cannot be opened" in not_started(Process(tmp_path, grid, wait=False))


def test_a_file_system_that_is_read_only_is_told_at_the_start(small_disk, grid):
    process = Process(small_disk, grid)
    process.ask()
    process.close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    try:
        said = not_started(Process(small_disk, grid, wait=False, errors=small_disk.parent))
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert "Read-only file system" in said


def test_a_store_that_becomes_read_only_costs_no_answer_and_is_used_again(tmp_path, grid, monkeypatch):
    """In this process, where SQLite itself is told to write no more: a file system in use is not made read-only by asking."""
    begin, read_only = Threads._begin, threading.Event()

    def begun(self, connection):
        connection.exec_driver_sql(f"PRAGMA query_only = {read_only.is_set():d}")
        begin(self, connection)

    monkeypatch.setattr(Threads, "_begin", begun)
    settings = Settings(
        upstream=grid.base_url, key=DEFAULT_KEY, seal_key="faults", store=f"sqlite:///{tmp_path}/store.db"
    )
    with (
        server.in_thread(settings, server.bind("127.0.0.1", 0)) as base_url,
        httpx.Client(base_url=base_url, timeout=PATIENCE, trust_env=False) as client,
    ):

        def ask(**body):
            return client.post("/responses", json={"model": MODEL, "input": "hi", **body})

        def ready():
            return client.get(f"{base_url.removesuffix('/v1')}/readyz")

        stored, conversation = ask().json(), client.post("/conversations", json={}).json()["id"]
        assert ready().status_code == 200
        read_only.set()
        unstored(ask())
        unstored(ask(previous_response_id=stored["id"]))
        assert ask(store=False).status_code == 200
        refused(ask(conversation=conversation))
        refused(ask(background=True))
        refused(client.post("/conversations", json={}))
        until(lambda: ready().status_code == 503)
        assert "The store cannot be written: its file is read-only." in ready().text
        read_only.clear()
        kept = until(lambda: (made := ask().json())["store"] and made)
        assert ask(previous_response_id=kept["id"]).json()["store"] is True
        until(lambda: ready().status_code == 200)


def test_a_lock_that_another_process_holds_costs_all_answers_together_one_wait(tmp_path, grid, monkeypatch):
    """In this process, which waits less long; if each waited in turn, the last client would have given up."""
    monkeypatch.setattr("shim.store.sqlite.BUSY_SECONDS", 4)
    monkeypatch.setattr("shim.store.sqlite.BUSY_AGAIN_SECONDS", 0.05)
    settings = Settings(
        upstream=grid.base_url, key=DEFAULT_KEY, seal_key="faults", store=f"sqlite:///{tmp_path}/store.db"
    )
    with (
        server.in_thread(settings, server.bind("127.0.0.1", 0)) as base_url,
        httpx.Client(base_url=base_url, timeout=PATIENCE, trust_env=False) as client,
        closing(sqlite3.connect(tmp_path / "store.db", isolation_level=None)) as other,
    ):

        def ask(_=None, **body):
            return client.post("/responses", json={"model": MODEL, "input": "hi", **body})

        other.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(12) as threads:
            for answer in threads.map(ask, range(12)):
                unstored(answer)
        assert ask(store=False).status_code == 200
        ready = client.get(f"{base_url.removesuffix('/v1')}/readyz")
        assert ready.status_code == 503
        assert "The store is busy: another process holds its lock." in ready.text
        other.execute("ROLLBACK")
        until(lambda: ask().json()["store"] is True)


def test_a_killed_process_leaves_no_half_of_anything(serve, grid):
    process = serve(background_lease_seconds=1)
    stored = process.ask().json()
    conversation = process.http.post("/conversations", json={}).json()["id"]
    turns = [held() for _ in range(3)]
    grid.turns.extend(turn for turn, _ in turns)
    Stream(process).spoke()
    Stream(process, conversation=conversation).spoke()
    job = process.ask(background=True).json()["id"]
    Stream(process, "GET", f"/responses/{job}?stream=true").spoke()
    process.stop(signal.SIGKILL)
    process.ended()

    kept = sqlite3.connect(store_of(process))
    assert kept.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert kept.execute("PRAGMA foreign_key_check").fetchall() == []
    assert sorted(kept.execute("SELECT status FROM responses")) == [("completed",), ("in_progress",)]
    assert kept.execute("SELECT count(*) FROM conversation_items").fetchone() == (0,)
    (until_then,) = kept.execute("SELECT lock_until FROM conversations").fetchone()
    assert until_then <= time.time() + 30
    kept.execute("UPDATE conversations SET lock_until = ?", (int(time.time()) - 1,))
    kept.commit()
    kept.close()

    again = serve(background_lease_seconds=1)
    ended = until(lambda: (it := again.http.get(f"/responses/{job}").json())["status"] == "failed" and it)
    assert ended["error"]["message"].startswith("The process that was making this response ended")
    assert again.ask(conversation=conversation).status_code == 200
    assert again.ask(previous_response_id=stored["id"]).status_code == 200
