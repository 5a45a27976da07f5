"""`openai` for Node: the same demands as on the Python side, by the other accumulator."""

from __future__ import annotations

import asyncio

import pytest
from sdk_node import run_node
from sdk_stage import MODEL, PATIENCE, stage

from shim.simulator import Dialect, Failure, Hold, SimulatorConfig, Turn

pytestmark = pytest.mark.e2e

WEATHER = '{"city": "Oslo", "degrees": 4}'


def run(here, scenario, **options):
    return run_node("openai.mjs", scenario, here.base_url, **options)


def test_node_create_gives_the_text_and_counts_tokens(here):
    told = run(here, "create")
    assert (told["text"], told["status"]) == ("Hello", "completed")
    assert told["usage"]["total_tokens"] > 0
    assert told["id"].startswith("req_")


def test_node_iterates_a_stream_to_its_end(here):
    told = run(here, "stream")
    assert told["numbers"] == list(range(len(told["numbers"])))
    assert told["types"][0] == "response.created"
    assert told["types"][-1] == "response.completed"
    assert told["text"] == told["final"]["output"][-1]["content"][0]["text"]


def test_node_stream_helper_has_a_final_response(here):
    told = run(here, "helper")
    assert told["text"] == told["final"]
    assert told["types"] == ["reasoning", "message"]


def test_node_parses_into_a_zod_shape(here):
    here.script(Turn(text=WEATHER), Turn(text=WEATHER))
    assert run(here, "parse") == {
        "whole": {"city": "Oslo", "degrees": 4},
        "streamed": {"city": "Oslo", "degrees": 4},
    }


def test_node_sends_a_plain_json_schema(here):
    assert set(run(here, "schema")) == {"a", "b"}
    assert here.asked["response_format"]["type"] == "json_schema"


def test_node_tool_loop_replays_the_output(here):
    assert run(here, "tools") == {"text": "add answered: 11", "rounds": [2, 1, 0]}
    messages = here.asked["messages"]
    assert [message["role"] for message in messages] == [
        "user",
        "assistant",
        "tool",
        "tool",
        "assistant",
        "tool",
    ]
    assert all("reasoning_content" in message for message in messages if message["role"] == "assistant")


def test_node_takes_calls_of_every_kind(here):
    """The stream helper stops at the real API's events of shell (version 6) and patch calls (also 7): those are iterated."""
    told = run(here, "kinds")
    note, local = (item for item in told["helped"] if item["type"] != "reasoning")
    shell, patch = (item for item in told["iterated"] if item["type"] != "reasoning")
    assert (note["type"], note["input"]) == ("custom_tool_call", "a\nb")
    assert (local["type"], local["action"]["command"]) == ("local_shell_call", ["ls"])
    assert (shell["type"], shell["action"]["commands"]) == ("shell_call", ["ls", "pwd"])
    assert (patch["type"], patch["operation"]["path"]) == ("apply_patch_call", "a.txt")
    assert "response.apply_patch_call_operation_diff.delta" in told["types"]


def test_node_sends_an_image(here):
    assert run(here, "image") == "Seen."
    assert here.asked["messages"][0]["content"][1]["type"] == "image_url"


def test_node_gets_a_summary_and_sealed_reasoning(here):
    told = run(here, "reasoning")
    assert told["summary"] == "One step, then another."
    assert told["item"]["summary"] == [{"type": "summary_text", "text": told["summary"]}]
    assert told["item"]["encrypted_content"]


def test_node_gets_an_incomplete_response_with_its_reason(here):
    """Unlike Python's, this stream helper counts it as a final response."""
    told = run(here, "incomplete")
    reason = {"reason": "max_output_tokens"}
    assert told == {
        "status": "incomplete",
        "details": reason,
        "helper": {"status": "incomplete", "details": reason},
    }


def test_node_errors_name_the_field(here):
    told = run(here, "faults")
    assert {name: (fault["name"], fault["status"], fault["param"]) for name, fault in told.items()} == {
        "model": ("BadRequestError", 400, "model"),
        "temperature": ("BadRequestError", 400, "temperature"),
        "unknown": ("BadRequestError", 400, "model"),
        "streamed": ("BadRequestError", 400, "model"),
    }
    assert told["unknown"]["code"] == "model_not_found"
    assert all(fault["requestID"].startswith("req_") for fault in told.values())


def test_node_waits_as_told_and_tries_again():
    config = SimulatorConfig(fail_first=[Failure(429, retry_after=0), Failure(429, retry_after=0)])
    with stage(config, retry_attempts=1) as here:
        told = run(here, "limited")
    assert (told["refused"]["name"], told["refused"]["status"]) == ("RateLimitError", 429)
    assert told["retried"] == "At last"


def test_node_takes_a_cut_stream_for_an_error(here):
    here.script(*[Turn(text="one two three four", dialect=Dialect(cut_after=3))] * 2)
    told = run(here, "cut")
    assert "response.output_text.delta" in told["types"]
    assert "response.completed" not in told["types"]
    assert told["iterated"]["message"]
    assert told["helper"]["message"]


@pytest.mark.parametrize("scenario", ["abort", "abortHelper"])
async def test_node_leaving_a_stream_closes_the_upstream(here, scenario):
    here.script(Turn(text="one two three four five six", hold=Hold(after=4)))
    told = await asyncio.to_thread(run, here, scenario)
    received = await asyncio.wait_for(here.left(), PATIENCE)
    assert received.disconnected
    assert told == "left" or told["name"] == "APIUserAbortError"


def test_node_stream_helper_survives_heartbeats():
    hold, beats = Hold(after=6), []

    def count(line):
        beats.append(line)
        if beats.count("beat") >= 5:
            hold.released.set()

    with stage(keepalive_seconds=0.01) as here:
        here.script(Turn(reasoning="Well.", text="one two three four five six", hold=hold))
        told = run(here, "heartbeats", on_line=count)
    assert beats.count("beat") >= 5
    assert told == {"text": "one two three four five six", "types": ["reasoning", "message"]}


def test_node_lists_models_and_passes_chat_completions_through(here):
    told = run(here, "elsewhere")
    assert MODEL in told["names"]
    assert told["chat"] == "Through"
