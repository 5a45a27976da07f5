"""What passes between Codex and the endpoint beyond words and calls: reasoning, usage, compression, upgrades."""

import json

import httpx
import pytest
import zstandard
from httpx_sse import EventSource
from recorder import recorder

from shim.cli.hints import PLACEHOLDER
from shim.simulator import Call, Dialect, Turn

LOOK = Turn(reasoning="I look at the folder first.", calls=[Call("exec_command", {"cmd": "ls"})])


def assistants(chat):
    return [message for message in chat["messages"] if message["role"] == "assistant"]


def test_reasoning_is_shown_and_goes_back_within_the_tool_loop(stack, codex):
    stack.say(LOOK, Turn(reasoning="Nothing there.", text="Empty."))
    run = codex().exec("look")

    assert run.thoughts == ["I look at the folder first.", "Nothing there."]
    [asked] = assistants(stack.chats[1])
    assert asked["reasoning_content"] == "I look at the folder first."


def test_reasoning_that_is_not_shown_still_goes_back_within_the_tool_loop(stack, codex):
    stack.say(LOOK, Turn(text="Empty."))
    run = codex(model_reasoning_summary="none").exec("look")

    assert run.thoughts == []
    assert assistants(stack.chats[1])[0]["reasoning_content"] == "I look at the folder first."


@pytest.mark.parametrize(
    "dialect",
    [Dialect(reasoning_field="reasoning"), Dialect(reasoning_field="think")],
    ids=["reasoning", "think-tags"],
)
def test_reasoning_is_shown_however_the_supplier_writes_it(stack, codex, dialect):
    stack.say(Turn(reasoning="Let me see.", text="Seen.", dialect=dialect))
    run = codex().exec("look")

    assert [thought.strip() for thought in run.thoughts] == ["Let me see."]
    assert run.answer == "Seen."


def test_reasoning_of_an_earlier_turn_stays_out(stack, codex):
    user = codex()
    stack.say(LOOK, Turn(text="Empty."))
    user.exec("look")
    user.resume("say bye")

    assert len(assistants(stack.chats[2])) == 2
    assert not [message for message in assistants(stack.chats[2]) if "reasoning_content" in message]


def test_reasoning_comes_back_from_its_seal_alone(stack, codex):
    """Older versions of Codex keep nothing but `encrypted_content`."""
    stack.say(LOOK)
    user = codex(model_reasoning_summary="none")
    with recorder() as (base_url, bodies):
        user.exec("look")
        user.resume("-c", f'model_providers.grid.base_url="{base_url}"', "again")
    body = json.loads(bodies[0])
    kinds = [item["type"] for item in body["input"]]
    within_the_loop = body["input"][: kinds.index("function_call_output") + 1]
    reasoning = within_the_loop[kinds.index("reasoning")]
    assert reasoning.pop("content")[0]["text"] == "I look at the folder first."
    assert reasoning["summary"] == []
    httpx.post(
        f"{stack.base_url}/responses",
        headers={"authorization": f"Bearer {PLACEHOLDER}"},  # as Codex: a seal opens for its client alone
        json={**body, "input": within_the_loop, "stream": False},
    )

    assert assistants(stack.chats[-1])[0]["reasoning_content"] == "I look at the folder first."


def test_the_effort_is_fitted_to_what_the_instrument_knows(stack, codex):
    codex(model_reasoning_effort="xhigh").exec("say hard")
    assert stack.chats[0]["reasoning_effort"] == "high"


def test_usage_is_counted(stack, codex):
    usage = {
        "prompt_tokens": 1_000,
        "completion_tokens": 50,
        "total_tokens": 1_050,
        "prompt_tokens_details": {"cached_tokens": 900},
        "completion_tokens_details": {"reasoning_tokens": 40},
    }
    stack.say(Turn(text="Done.", usage=usage))
    run = codex().exec("go")

    told = run.events[-1]["usage"]
    assert (told["input_tokens"], told["cached_input_tokens"]) == (1_000, 900)
    assert (told["output_tokens"], told["reasoning_output_tokens"]) == (50, 40)


def test_a_supplier_that_tells_no_usage_does_not_end_the_turn(stack, codex):
    stack.say(Turn(text="Done.", dialect=Dialect(usage="none")))
    assert codex().exec("go").answer == "Done."


def test_a_request_that_codex_compressed_is_understood(stack, codex):
    """Codex does so only when logged in at OpenAI; the body is a real one, the compression ours."""
    with recorder() as (base_url, bodies):
        codex(base_url, model="gpt-5.6-sol", provider={"model_catalog_url": None}).exec("say compressed")
    headers = {"content-encoding": "zstd", "content-type": "application/json"}
    packed = zstandard.compress(bodies[0])
    answer = httpx.post(f"{stack.base_url}/responses", content=packed, headers=headers)

    events = [json.loads(event.data) for event in EventSource(answer).iter_sse() if event.data != "[DONE]"]
    assert events[-1]["type"] == "response.completed"
    assert events[-1]["response"]["output"][-1]["content"][0]["text"] == "compressed"


def test_what_arrives_together_with_an_error_is_told_before_it(stack):
    error = {"error": {"message": "The GPU is on fire."}}
    stack.say(Turn(text="one two three", error_in_stream=error, dialect=Dialect(bytes_per_write=1 << 20)))
    asked = {"model": "code-prime", "input": "count", "stream": True}
    answer = httpx.post(f"{stack.base_url}/responses", json=asked)

    events = [json.loads(event.data) for event in EventSource(answer).iter_sse()]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert "".join(deltas) == "one two three"
    assert events[-1]["type"] == "response.failed"


def test_where_websockets_are_off_one_is_declined_and_http_goes_on_at_once(start, codex):
    stack = start(websocket=False)
    run = codex(stack.base_url, provider={"supports_websockets": True}).exec("say over http")

    assert (run.code, run.notices, run.answer) == (0, [], "over http")
    assert len(stack.chats) == 1
    assert run.stderr.count("failed to connect to Responses WebSocket") == 1


def test_the_doctor_can_reach_the_endpoint(codex):
    shown = codex().command("doctor")
    assert "reachable" in (shown.stdout + shown.stderr).lower()
