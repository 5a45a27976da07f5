"""Golden transcripts: what a client sends, what goes upstream, what comes back, and what the client gets.

Each folder holds `request.json` and `upstream.sse` (given), and `chat.json`, `events.sse` and `response.json`
(compared). `GOLDEN_UPDATE=1` writes the compared files anew: read the difference before it is committed.
"""

from __future__ import annotations

import json
import os
import zlib
from contextlib import aclosing
from pathlib import Path

import pytest
from pydantic_core import to_json
from waiting import all_read

from shim.core.profile import Instrument
from shim.errors import Fault
from shim.exchange import Caller, Exchange
from shim.settings import Settings
from shim.simulator.config import SimulatorConfig
from shim.simulator.instruments import CATALOGUE
from shim.simulator.strictness import check
from shim.store import open_store
from shim.upstream import Catalog
from shim.upstream.sse import PayloadReader

FOLDER = Path(__file__).parent
CASES = sorted(path.parent.name for path in FOLDER.glob("*/request.json"))
UPDATE = os.environ.get("GOLDEN_UPDATE") == "1"
EFFORTS = ("none", "low", "medium", "high", "xhigh", "max")
INSTRUMENTS = (
    Instrument("code-prime", context_window=196_608, efforts=("low", "medium", "high"), images=False),
    Instrument("text-max", efforts=EFFORTS, max_output_tokens=128_000),
)


class ReadableSealer:
    """Seals that a reader of the transcripts can read."""

    def __init__(self, keys, bound):
        pass

    def seal(self, text):
        return f"sealed({text})"

    def packed(self, sealed):
        return zlib.compress(sealed[7:-1].encode()) if sealed.startswith("sealed(") else None


class CountingSource:
    """Ids count up, time stands still, padding is dots."""

    def __init__(self):
        self.count = 0

    def now(self):
        return 1_767_225_600

    def elapsed(self):
        return 0.0

    def new_id(self, prefix):
        self.count += 1
        return f"{prefix}_{self.count:050d}"

    def padding(self, length):
        return "." * (16 - length % 16)


class RecordedStream:
    """An upstream's answer, one event a read."""

    def __init__(self, data):
        self.events = iter([*(event + b"\n\n" for event in data.split(b"\n\n")), None])
        self.reader = PayloadReader()
        self.headers = {}
        self.attempts = 1

    def settle(self) -> None:
        """Nothing more is wanted."""

    def conclude(self) -> None:
        """The model has finished."""

    async def read(self, _ahead=None):
        for event in self.events:
            if payloads := self.reader.finish() if event is None else self.reader.feed(event):
                return payloads
        return None

    async def aclose(self):
        pass


class RecordedUpstream:
    """Answers with the recording and keeps the request."""

    def __init__(self, data):
        self.data = data
        self.chat = b""

    async def catalog(self, key):
        return Catalog(INSTRUMENTS)

    async def open(self, body, key, *, request_id=None):
        self.chat = body
        return RecordedStream(self.data)


@pytest.fixture(params=CASES)
def case(request):
    return FOLDER / request.param


@pytest.fixture
async def store():
    async with aclosing(await open_store(Settings(store="memory"))) as store:
        yield store


@pytest.fixture
def opened(case, monkeypatch, store):
    """Opens the case's request on the recording; a fresh exchange each time."""
    monkeypatch.setattr("shim.seal.Sealer", ReadableSealer)
    data = (case / "upstream.sse").read_bytes()

    async def _opened(**fields):
        upstream = RecordedUpstream(data)
        exchange = Exchange(Settings(seal_key="golden"), upstream, store, CountingSource())
        body = json.loads((case / "request.json").read_text("utf-8")) | fields
        return await exchange.open(body, Caller(), "req_1"), upstream

    return _opened


def compare(path, text):
    """Compare with the file, or write it."""
    if UPDATE:
        path.write_text(text, "utf-8", newline="\n")
    assert text == path.read_text("utf-8")


def readable(value):
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


async def test_the_chat_request_is_the_recorded_one_and_a_strict_supplier_takes_it(case, opened):
    turn, upstream = await opened()
    chat = json.loads(upstream.chat)
    check(chat, CATALOGUE[chat["model"]], SimulatorConfig())
    compare(case / "chat.json", readable({"chat": chat, "notes": turn.summary.notes}))


async def test_the_events_are_the_recorded_ones(case, opened):
    turn, _ = await opened(stream=True)
    compare(case / "events.sse", b"".join(await all_read(turn)).decode())


async def test_the_response_is_the_recorded_one_and_the_same_without_a_stream(case, opened):
    turn, _ = await opened(stream=False)
    try:
        response = json.loads(to_json(await turn.response()))
    except Fault as fault:
        response = {"status": fault.status, "error": fault.body}
    compare(case / "response.json", readable(response))
    streamed, _ = await opened(stream=True)
    async for _ in streamed.events():
        pass
    final = json.loads(to_json(streamed.final))
    assert (
        final == response if "id" in response else final["error"]["message"] == response["error"]["message"]
    )


@pytest.mark.parametrize("name", ["codex_first_request", "codex_first_request_lite"])
def test_the_recorded_requests_of_codex_are_cut_short_and_come_from_a_neutral_folder(name):
    text = (FOLDER / name / "request.json").read_text("utf-8")
    assert "<cwd>/home/user/project</cwd>" in text
    assert all(len(string) <= 200 for string in strings(json.loads(text)))


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from strings(inner)
