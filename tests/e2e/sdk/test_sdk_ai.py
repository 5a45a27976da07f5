"""Vercel's AI SDK: it checks every event with zod, so what it reads without an `error` part is well formed.

With `store: false`: as long as nothing is stored it must replay items whole, not as references.
"""

from __future__ import annotations

import asyncio

import pytest
from sdk_node import run_node
from sdk_stage import PATIENCE, stage

from shim.simulator import Dialect, Hold, Turn

pytestmark = pytest.mark.e2e

WEATHER = '{"city": "Oslo", "degrees": 4}'
OSLO = {"city": "Oslo", "degrees": 4}


def run(here, scenario, **options):
    return run_node("ai.mjs", scenario, here.base_url, **options)


def test_ai_sdk_generates_text_with_a_summary_of_reasoning(here):
    told = run(here, "text")
    assert (told["text"], told["reasoningText"], told["finishReason"]) == ("Hello", "Hm.", "stop")
    assert told["usage"]["totalTokens"] > 0


def test_ai_sdk_streams_a_tool_loop(here):
    told = run(here, "tools")
    assert told["errors"] == []
    assert told["steps"] == [["3", "7"], ["11"], []]
    assert (told["text"], told["finishReason"]) == ("add answered: 11", "stop")
    assert {"reasoning-delta", "tool-input-delta", "tool-call", "tool-result", "text-delta"} <= set(
        told["parts"]
    )
    roles = [message["role"] for message in here.asked["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "tool", "assistant", "tool"]


def test_ai_sdk_makes_objects(here):
    here.script(*[Turn(text=WEATHER)] * 3)
    assert run(here, "object") == {"object": OSLO, "streamed": OSLO, "output": OSLO}
    assert all(request.body["response_format"]["type"] == "json_schema" for request in here.served)


def test_ai_sdk_sends_an_image(here):
    assert run(here, "image") == "Seen."
    assert here.asked["messages"][0]["content"][1]["image_url"]["url"].startswith("data:image/png;base64,")


def test_ai_sdk_runs_the_built_in_tools(here):
    told = run(here, "kinds")
    assert told["errors"] == []
    answers = ["local_shell answered: ls -l", "shell answered: pwd", "[exit code 0]", "date", "[exit code 0]"]
    assert told["text"].splitlines() == [*answers, "apply_patch answered: completed: +a"]


def test_ai_sdk_survives_heartbeats():
    hold, beats = Hold(after=4), []

    def count(line):
        beats.append(line)
        if beats.count("beat") >= 5:
            hold.released.set()

    with stage(keepalive_seconds=0.01) as here:
        here.script(Turn(text="one two three four five six", hold=hold))
        told = run(here, "heartbeats", on_line=count)
    assert beats.count("beat") >= 5
    assert told["errors"] == []
    assert told["text"] == "one two three four five six"


def test_ai_sdk_ends_by_length_where_a_limit_cut(here):
    told = run(here, "limit")
    assert (told["errors"], told["finishReason"]) == ([], "length")


def test_ai_sdk_sees_an_error_where_the_stream_was_cut(here):
    here.script(Turn(text="one two three four", dialect=Dialect(cut_after=3)))
    told = run(here, "cut")
    assert "text-delta" in told["parts"]
    assert len(told["errors"]) >= 1


def test_ai_sdk_reads_the_code_of_an_error(here):
    told = run(here, "fault")
    assert (told["name"], told["status"], told["code"]) == ("AI_APICallError", 400, "model_not_found")


async def test_ai_sdk_leaving_a_stream_closes_the_upstream(here):
    here.script(Turn(text="one two three four five six", hold=Hold(after=4)))
    parts = await asyncio.to_thread(run, here, "abort")
    received = await asyncio.wait_for(here.left(), PATIENCE)
    assert received.disconnected
    assert parts[-1] == "abort"
