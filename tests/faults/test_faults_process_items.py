"""A process that ends, with or without a warning, while items and turns are added to conversations: whole ones or none.

What a client was answered is there; of what nobody was told, all or nothing.
"""

import signal
import threading
from itertools import pairwise

import httpx
import pytest
from postgres_cluster import cluster, needed
from process_stage import MODEL
from waiting import PATIENCE, until

BATCH = 5
CLIENTS = 4
ANSWERED = 12
"""Writes of each kind that are answered before the process is asked to end."""


@pytest.fixture(scope="module")
def database():
    needed()
    with cluster() as url:
        yield url.format(database="postgres")


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request):
    """No time to drain, on each kind of store."""
    kept = {"drain_seconds": 0, "background_drain_seconds": 0}
    if request.param == "postgresql":
        kept |= {"store": request.getfixturevalue("database"), "store_upgrade": True}
    return kept


class Writer(threading.Thread):
    """A client that writes to a conversation of its own until the process is gone."""

    def __init__(self, process, name):
        super().__init__(daemon=True)
        self.client, self.name = process.client(), name
        self.id = self.client.post("/conversations", json={}).json()["id"]
        self.sent, self.answered = [], {}
        self.start()

    def run(self):
        try:
            while True:
                number = len(self.sent)
                self.sent.append(number)
                answer = self.write(number)
                if answer.status_code == httpx.codes.OK:
                    self.answered[number] = answer.json()
        except httpx.TransportError:
            return
        finally:
            self.client.close()

    def named(self, number, place=0):
        return f"{self.name}_{number}_{place}"

    def message(self, number, place=0):
        return {"type": "message", "id": self.named(number, place), "role": "user", "content": f"say {place}"}


class Items(Writer):
    """Several items at a time."""

    def write(self, number):
        batch = [self.message(number, place) for place in range(BATCH)]
        return self.client.post(f"/conversations/{self.id}/items", json={"items": batch})

    def check(self, process):
        there = [item["id"] for item in everything(process, self.id)]
        for number in self.sent:
            whole = [self.named(number, place) for place in range(BATCH)]
            mine = [one for one in there if one in whole]
            assert mine in ([], whole)
            assert mine or number not in self.answered
        assert len(there) % BATCH == 0


class Turns(Writer):
    """Turns of a model, streamed or not."""

    def write(self, number):
        body = {"model": MODEL, "input": [self.message(number)], "conversation": self.id}
        return self.client.post("/responses", json=body)

    def check(self, process):
        there = everything(process, self.id)
        starts = [place for place, item in enumerate(there) if item.get("role") == "user"]
        turns = [there[start:end] for start, end in pairwise([*starts, len(there)])]
        assert {tuple(item["type"] for item in turn) for turn in turns} == {
            ("message", "reasoning", "message")
        }
        made = {turn[0]["id"]: [item["id"] for item in turn[1:]] for turn in turns}
        for number, response in self.answered.items():
            assert response["store"] is True
            assert made[self.named(number)] == [item["id"] for item in response["output"]]
            assert process.http.get(f"/responses/{response['id']}").json() == response


def everything(process, conversation):
    """All items of a conversation, the oldest first."""
    found, more = [], True
    while more:
        after = {"after": found[-1]["id"]} if found else {}
        page = process.http.get(
            f"/conversations/{conversation}/items", params={"order": "asc", "limit": 100, **after}
        ).json()
        found, more = found + page["data"], page["has_more"]
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["asked to end", "killed"])
def test_what_was_answered_is_there_and_the_rest_is_whole_or_not_there(serve, settings, number):
    process = serve(**settings)
    writers = [kind(process, f"{kind.__name__}_{one}") for kind in (Items, Turns) for one in range(CLIENTS)]
    for kind in (Items, Turns):
        until(lambda kind=kind: sum(len(w.answered) for w in writers if isinstance(w, kind)) >= ANSWERED)
    process.stop(number)
    process.ended()
    for writer in writers:
        writer.join(PATIENCE)
    again = serve(**settings)
    for writer in writers:
        writer.check(again)
    assert "Traceback" not in process.said()
