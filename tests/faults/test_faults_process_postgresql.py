"""PostgreSQL away, back, or silent: requests go on, what needs it is refused in time, and all is well without a restart."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from postgres_cluster import needed, server
from process_stage import MODEL, Process, Stream, held, text_of
from waiting import until

from shim.cli import server as serving
from shim.settings import Settings
from shim.simulator import DEFAULT_KEY

LEASE = 60  # seconds: longer than the database is ever away here


@pytest.fixture(scope="module")
def database():
    """A server of this file's own, as others must not lose theirs."""
    needed()
    with server() as running:
        yield running


@pytest.fixture
def url(database):
    return database.url.format(database="postgres")


@pytest.fixture
def process(database, url, tmp_path, grid):
    running = Process(
        tmp_path, grid, store=url, store_upgrade=True, background_lease_seconds=LEASE, drain_seconds=1
    )
    yield running
    running.close()


def refused(answer):
    assert answer.status_code == 503, answer.text
    assert answer.json()["error"]["code"] == "store_unavailable"
    assert "127.0.0.1" not in answer.text


def test_a_database_that_is_away_costs_no_answer_and_is_used_when_it_is_back(process, database, grid):
    stored = process.ask().json()
    conversation = process.http.post("/conversations", json={}).json()["id"]
    assert process.ready()[0] == 200
    turns = [held() for _ in range(3)]
    grid.turns.extend(turn for turn, _ in turns)
    foreground = Stream(process).spoke()
    talking = Stream(process, conversation=conversation).spoke()
    job = process.ask(background=True).json()["id"]
    follower = Stream(process, "GET", f"/responses/{job}?stream=true").spoke()

    database.stop()
    assert process.unready("store") == "The store cannot be reached."
    for _, release in turns[:2]:
        release()
    for stream in (foreground, talking):
        last = stream.whole()[-1]
        assert (last["type"], last["response"]["store"]) == ("response.completed", False)
    assert process.ask().json()["store"] is False
    assert process.ask(store=False).status_code == 200
    refused(process.ask(previous_response_id=stored["id"]))
    refused(process.ask(conversation=conversation))
    refused(process.ask(background=True))
    refused(process.http.get(f"/responses/{stored['id']}"))
    turns[2][1]()  # what runs in the background waits with its end
    until(lambda: f"response {job} waits for the store" in process.said())

    database.start()
    until(lambda: process.ready()[0] == 200)
    kept = process.ask().json()
    assert kept["store"] is True
    assert process.ask(previous_response_id=kept["id"]).status_code == 200
    assert process.http.get(f"/responses/{stored['id']}").status_code == 200
    assert follower.whole()[-1]["type"] == "response.completed"
    assert process.http.get(f"/responses/{job}").json() == follower.events[-1]["response"]
    assert "Traceback" not in process.said()


def test_a_restart_between_two_requests_is_not_noticed(process, database):
    """Dead connections are found by using them: nothing is asked before each request to find out."""
    first = process.ask().json()
    database.stop()
    database.start()
    second = process.ask(previous_response_id=first["id"])
    assert (second.status_code, second.json()["store"]) == (200, True)


def test_a_process_without_its_database_does_not_start(database, url, tmp_path, grid):
    database.stop()
    try:
        waiting = Process(tmp_path, grid, wait=False, store=url)
        assert waiting.ended() == 1
        said = waiting.said()
        waiting.close()
    finally:
        database.start()
    assert "The store cannot be reached." in said
    assert "Traceback" not in said
    assert "unused" not in said


@pytest.fixture
def impatient(monkeypatch, database, url, grid):
    """In this process, which waits less long for its database."""
    monkeypatch.setattr("shim.store.database.ANSWER_SECONDS", 1.0)
    monkeypatch.setattr("shim.store.database.CHECK_SECONDS", 0.5)
    monkeypatch.setattr("shim.store.database.CLOSE_SECONDS", 0.2)
    settings = Settings(
        upstream=grid.base_url,
        key=DEFAULT_KEY,
        seal_key="faults",
        store=url,
        store_upgrade=True,
        drain_seconds=0.1,
    )
    with (
        serving.in_thread(settings, serving.bind("127.0.0.1", 0)) as base_url,
        httpx.Client(base_url=base_url, timeout=30, trust_env=False) as client,
    ):
        yield client


def ask(client, **body):
    return client.post("/responses", json={"model": MODEL, "input": "hi", **body})


def store_check(client):
    answer = client.get(f"{str(client.base_url).removesuffix('/v1/')}/readyz")
    return answer.status_code, next(each for each in answer.json()["checks"] if each["name"] == "store")


def test_a_database_that_says_nothing_holds_nobody_for_long(impatient, database):
    stored = ask(impatient).json()
    assert stored["store"] is True
    with database.silent():
        first = ask(impatient)
        assert (first.status_code, first.json()["store"]) == (200, False)
        assert text_of(first.json())
        refused(ask(impatient, previous_response_id=stored["id"]))
        assert store_check(impatient) == (
            503,
            {"name": "store", "ok": False, "reason": "The store does not answer."},
        )
        with ThreadPoolExecutor(20) as threads:  # more than there are connections
            answers = list(threads.map(lambda _: ask(impatient), range(20)))
        assert [answer.json()["store"] for answer in answers] == [False] * 20
        assert ask(impatient, store=False).status_code == 200
    kept = until(lambda: (made := ask(impatient).json())["store"] and made)
    assert ask(impatient, previous_response_id=kept["id"]).status_code == 200
    until(lambda: store_check(impatient)[0] == 200)


def test_a_process_can_end_though_its_database_says_nothing(process, database, grid):
    turn, _ = held()
    grid.turns.append(turn)
    stream = Stream(process).spoke()
    with database.silent():
        process.stop()
        process.ended()
        assert stream.whole()[-1]["type"] == "response.failed"
    assert "Traceback" not in process.said()
