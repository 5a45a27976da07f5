"""What the server keeps, as the official SDKs use it: the same demands on Python's and Node's, on SQLite and PostgreSQL.

Vercel's AI SDK comes along with `store` left on, where it replays a conversation as references to stored items.
"""

from __future__ import annotations

import asyncio

import pytest
from postgres_cluster import cluster, needed
from sdk_node import run_node
from sdk_stage import PATIENCE, stage
from stateful_python import Scenarios

from shim.simulator import Hold, Turn

pytestmark = pytest.mark.e2e

NOT_FOUND = {"name": "NotFoundError", "status": 404, "code": None, "param": None}
UNKNOWN_PREVIOUS = {
    "name": "BadRequestError",
    "status": 400,
    "code": "previous_response_not_found",
    "param": "previous_response_id",
}
FIRST_TURN = ["user", "assistant", "tool", "assistant", "tool", "assistant"]
NUMBERS = ["number 0", "number 1", "number 2", "number 3", "number 4"]


@pytest.fixture(scope="module")
def postgresql():
    """The URL of a database on a server of our own; all tests share it."""
    needed()
    with cluster() as url:
        yield url.format(database="postgres")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shim(request, tmp_path_factory):
    """A shim that keeps what it is told, on each kind of database."""
    folder = tmp_path_factory.mktemp("stateful")
    store = f"sqlite:///{folder}/store.sqlite3"
    if request.param == "postgresql":
        store = request.getfixturevalue("postgresql")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("GRID_SHIM_CONFIG", str(folder / "none.toml"))
        with stage(store=store, store_upgrade=True) as opened:
            yield opened


@pytest.fixture
def here(shim):
    """That shim in front of a model that nobody has asked or told anything; the database remembers earlier tests."""
    shim.turns.clear()
    shim.journal.clear()
    return shim


@pytest.fixture(params=["python", "node"])
def run(request, here):
    """`run(scenario)`: what either SDK brought home; `on_line` hears what a scenario tells before."""

    def run(scenario, on_line=lambda line: None):
        if request.param == "node":
            return run_node("stateful.mjs", scenario, here.base_url, on_line=on_line)
        with here.openai() as client:
            return getattr(Scenarios(client, on_line), scenario)()

    return run


def texts(chat):
    return [message["content"] for message in chat["messages"]]


def roles(chat):
    return [message["role"] for message in chat["messages"]]


def test_a_response_is_found_again_as_it_was_answered(run):
    told = run("kept")
    assert told["found"] == told["made"]
    assert (told["text"], told["made"]["store"], told["made"]["metadata"]) == ("hello", True, {"ticket": "7"})


def test_a_streamed_response_is_found_again(run):
    assert run("streamed") == {"text": "hello", "found": "hello"}


def test_what_was_not_to_be_stored_is_neither_found_nor_continued(run):
    assert run("unkept") == {"store": False, "found": NOT_FOUND, "continued": UNKNOWN_PREVIOUS}


def test_input_items_are_listed_page_by_page_in_both_orders(run):
    assert run("items") == {
        "page": {"texts": NUMBERS[:2], "more": True},
        "ascending": NUMBERS,
        "descending": NUMBERS[::-1],
    }


def test_a_chain_gives_the_model_every_turn_and_no_old_instructions(here, run):
    told = run("chain")
    assert told["previous"] == [None, *told["ids"]]
    assert told["text"] == "three"
    assert texts(here.asked) == ["say one", "one", "say two", "two", "say three"]
    assert told["unknown"] == UNKNOWN_PREVIOUS


def test_a_tool_loop_sends_nothing_but_the_outputs(here, run):
    assert run("tools") == "add answered: 7"
    assert roles(here.asked) == ["user", "assistant", "tool", "assistant", "tool"]
    assert [text for text in texts(here.asked) if text in ("3", "7")] == ["3", "7"]


def test_turns_over_a_websocket_are_continued_on_it_and_the_stored_ones_anywhere(here, run):
    told = run("connected")
    assert told["texts"] == ["one", "two", "three", "four", "five"]
    assert told["unknown"] == {"code": "previous_response_not_found", "param": "previous_response_id"}
    assert told["lost"] == UNKNOWN_PREVIOUS
    numbers = ("one", "two", "three", "four", "five")
    assert texts(here.asked) == [text for number in numbers for text in (f"say {number}", number)][:-1]


def test_what_is_deleted_is_gone_for_every_endpoint(run):
    assert run("deleted") == [NOT_FOUND] * 4


def test_another_key_finds_nothing_and_takes_nothing_away(run):
    told = run("foreign")
    assert told["faults"] == [NOT_FOUND] * 6
    assert told["continued"] == UNKNOWN_PREVIOUS
    assert told["kept"] == told["ids"]


def test_a_background_response_is_polled_to_its_end(run):
    assert run("polled") == {"begun": "queued", "status": "completed", "background": True, "text": "hello"}


async def test_a_cancelled_response_stays_so_and_leaves_the_upstream(here, run):
    here.script(Turn(text="hello"), Turn(text="one two three never said", hold=Hold(after=4)))
    told = await asyncio.to_thread(run, "cancelled")
    assert told["statuses"] == ["cancelled"] * 3
    assert (told["foreground"]["name"], told["foreground"]["status"]) == ("BadRequestError", 400)
    await asyncio.wait_for(here.served[-1].wait_ended(), PATIENCE)
    assert here.served[-1].disconnected


def test_a_stream_that_was_left_is_taken_up_where_it_was(here, run):
    hold = Hold(after=4)
    here.script(Turn(text="one two three four five six", hold=hold))
    told = run("resumed", on_line=lambda line: hold.released.set())
    assert told["numbers"] == told["again"] == list(range(len(told["numbers"])))
    assert told["type"] == "response.completed"
    assert told["text"] == told["final"] == "one two three four five six"
    assert told["helper"] == told["numbers"][told["after"] + 1 :]


def test_a_conversation_is_made_changed_filled_and_deleted(run):
    told = run("conversation")
    made = told["made"]
    assert (made["object"], made["metadata"]) == ("conversation", {"topic": "cats"})
    assert told["found"] == made
    assert told["updated"] == told["after"] == {**made, "metadata": {"topic": "dogs"}}
    assert (told["one"], told["texts"]) == ("number 1", ["zero", *NUMBERS[2:]])
    assert told["first"][0] == told["first"][1]
    assert told["last"][0] == told["last"][1]
    assert told["gone"] == {"id": made["id"], "object": "conversation.deleted", "deleted": True}
    assert told["lost"] == [NOT_FOUND] * 4


def test_turns_read_their_conversation_and_are_added_to_it(here, run):
    told = run("turns")
    assert told["told"] == [True, True]
    assert told["texts"] == ["say zero", "zero", "say one", "one", "say two", "two"]
    assert texts(here.asked) == told["texts"][:-1]
    assert told["both"]["code"] == "mutually_exclusive_parameters"


def test_a_compacted_conversation_goes_on_from_its_summary(here, run):
    here.script(Turn(text="one"), Turn(text="They said one."))
    told = run("compacted")
    assert (told["object"], told["text"]) == ("response.compaction", "three")
    assert told["types"] == ["message", "message", "compaction"]
    assert told["tokens"] > 0
    assert "They said one." in str(texts(here.asked))


def test_input_tokens_are_counted_without_asking_the_model(here, run):
    told = run("counted")
    assert told["object"] == "response.input_tokens"
    assert 0 < told["tokens"] < told["longer"]
    assert len(here.served) == 1


def test_the_ai_sdk_replays_a_tool_loop_by_references(here):
    first, second = run_node("stateful_ai.mjs", "references", here.base_url)
    assert (first["errors"], first["results"], first["text"]) == ([], ["3", "7"], "add answered: 7")
    assert (second["errors"], second["results"], second["text"]) == ([], ["11"], "add answered: 11")
    step = ["item_reference", "function_call", "function_call_output"]
    history = ["user", *step, *step, "item_reference", "item_reference", "user"]
    assert second["sent"] == [history, [*history, *step]]
    assert roles(here.asked) == [*FIRST_TURN, "user", "assistant", "tool"]
    thoughts = [message.get("reasoning_content") for message in here.asked["messages"]]
    assert thoughts[1:6] == [None] * 5  # of a loop that has ended
    assert thoughts[7] == "More."
    assert [each.body["messages"][-2].get("reasoning_content") for each in here.served[1:3]] == ["Sums."] * 2


def test_the_ai_sdk_goes_on_from_the_previous_response(here):
    """It then replays a turn's own calls whole, and no reasoning."""
    first, second = run_node("stateful_ai.mjs", "previous", here.base_url)
    assert (first["errors"], first["text"]) == ([], "add answered: 7")
    assert (second["errors"], second["results"], second["text"]) == ([], ["11"], "add answered: 11")
    assert second["sent"] == [["user"], ["user", "function_call", "function_call_output"]]
    assert roles(here.asked) == [*FIRST_TURN, "user", "assistant", "tool"]


def test_the_ai_sdk_takes_part_in_a_conversation(here):
    """Without tools: within a tool loop it sends the question again, which then stands in the conversation twice."""
    told = run_node("stateful_ai.mjs", "conversation", here.base_url)
    assert [(each["errors"], each["text"], each["sent"]) for each in told] == [
        ([], "one", [["user"]]),
        ([], "two", [["user"]]),
    ]
    assert texts(here.asked) == ["say one", "one", "say two"]
