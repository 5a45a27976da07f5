"""What the simulator refuses, and that it names the field and the reason."""

from __future__ import annotations

import pytest
from simulator_requests import chat, tool, user

from shim.simulator import SimulatorConfig, running
from shim.simulator.errors import RefusedError
from shim.simulator.instruments import CATALOGUE
from shim.simulator.strictness import FIELD_TYPES, check

SYSTEM = {"role": "system", "content": "Be brief."}
HELLO = user("hello")
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


def called(*ids, arguments="{}", **fields):
    calls = [{"id": i, "type": "function", "function": {"name": "f", "arguments": arguments}} for i in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls, **fields}


def answered(call_id):
    return {"role": "tool", "tool_call_id": call_id, "content": "ok"}


def said(*messages, **fields):
    return {"model": "text-standard", "messages": list(messages), **fields}


def schema_tool(**parameters):
    return {"type": "function", "function": {"name": "f", "parameters": parameters}}


ACCEPTED = {
    "a plain question": chat(),
    "every role in order": said(SYSTEM, HELLO, called("a"), answered("a"), user("more")),
    "parallel calls answered in any order": said(HELLO, called("a", "b"), answered("b"), answered("a")),
    "an id used again in a later turn": said(HELLO, called("a"), answered("a"), called("a"), answered("a")),
    "reasoning in history": said(HELLO, called("a", reasoning_content="hm"), answered("a")),
    "a developer message in front": said({"role": "developer", "content": "Be brief."}, HELLO),
    "text parts": said(user([{"type": "text", "text": "hello"}])),
    "an image for an instrument that takes it": {**said(user([IMAGE])), "model": "claude-opus-latest"},
    "an image where nothing is documented": {**said(user([IMAGE])), "model": "text-max"},
    "a property called encrypted": chat(tools=[tool("f", encrypted={"type": "string"})]),
    "a tool without parameters": chat(tools=[{"type": "function", "function": {"name": "f"}}]),
    "a named choice": chat(tools=[tool("f")], tool_choice={"type": "function", "function": {"name": "f"}}),
    "every sampling field": chat(
        temperature=0.5, top_p=1, seed=1, n=1, stop="x", logprobs=True, top_logprobs=3
    ),
    "an integer temperature": chat(temperature=1),
    "the highest effort of max": {**chat(reasoning_effort="max"), "model": "text-max"},
}

REFUSED = {
    "an unknown field": (chat(input="x"), "input", "unknown field"),
    "a null": (chat(temperature=None), "temperature", "NoneType"),
    "a boolean for a number": (chat(seed=True), "seed", "bool"),
    "a temperature above 2": (chat(temperature=2.1), "temperature", "between 0 and 2"),
    "two choices": (chat(n=2), "n", "between 1 and 1"),
    "more tokens than the instrument gives": (
        chat(max_completion_tokens=65_537),
        "max_completion_tokens",
        "65536",
    ),
    "no tokens": (chat(max_completion_tokens=0), "max_completion_tokens", "between 1"),
    "both token limits": (chat(max_tokens=1, max_completion_tokens=1), "max_tokens", "beside"),
    "top_logprobs alone": (chat(top_logprobs=2), "top_logprobs", "'logprobs'"),
    "stream_options without stream": (chat(stream_options={}), "stream_options", "'stream'"),
    "tool_choice without tools": (chat(tool_choice="auto"), "tool_choice", "'tools'"),
    "parallel_tool_calls without tools": (chat(parallel_tool_calls=True), "parallel_tool_calls", "'tools'"),
    "five stop sequences": (chat(stop=list("abcde")), "stop", "not 5"),
    "an empty stop sequence": (chat(stop=""), "stop", "not empty"),
    "an effort the instrument lacks": (
        chat(reasoning_effort="none"),
        "reasoning_effort",
        "low, medium, high",
    ),
    "temperature on opus": (
        {**chat(temperature=1), "model": "claude-opus-latest"},
        "temperature",
        "not supported",
    ),
    "an unknown verbosity": (chat(verbosity="loud"), "verbosity", "low, medium"),
    "a response format in Responses shape": (
        chat(response_format={"type": "json_schema", "name": "x", "schema": {}}),
        "response_format.json_schema",
        "inside it",
    ),
    "a response format without a name": (
        chat(response_format={"type": "json_schema", "json_schema": {"schema": {}}}),
        "response_format.json_schema.name",
        "must match",
    ),
    "a response format without a schema": (
        chat(response_format={"type": "json_schema", "json_schema": {"name": "x"}}),
        "response_format.json_schema.schema",
        "object",
    ),
    "a grammar as response format": (
        chat(response_format={"type": "grammar"}),
        "response_format.type",
        "must be",
    ),
    "no tools in the list": (chat(tools=[]), "tools", "empty"),
    "a tool in Responses shape": (
        chat(tools=[{"type": "function", "name": "f"}]),
        "tools[0].function",
        "inside it",
    ),
    "a custom tool": (chat(tools=[{"type": "custom", "name": "f"}]), "tools[0].type", "'function'"),
    "a tool name with a dot": (chat(tools=[tool("a.b")]), "tools[0].function.name", "a.b"),
    "a tool name of 65 characters": (chat(tools=[tool("a" * 65)]), "tools[0].function.name", "{1,64}"),
    "one tool twice": (chat(tools=[tool("f"), tool("f")]), "tools[1].function.name", "twice"),
    "a foreign key in a tool": (
        chat(tools=[{"type": "function", "function": {"name": "f", "format": {}}}]),
        "tools[0].function.format",
        "unknown",
    ),
    "parameters that are no object schema": (
        chat(tools=[schema_tool(type="string")]),
        "parameters",
        "type 'object'",
    ),
    "parameters without a type": (
        chat(tools=[schema_tool()]),
        "tools[0].function.parameters",
        "type 'object'",
    ),
    "an encrypted keyword deep in a schema": (
        chat(tools=[tool("f", a={"type": "array", "items": {"type": "string", "encrypted": True}})]),
        "tools[0].function.parameters.properties.a.items.encrypted",
        "keyword",
    ),
    "a property that is no schema": (
        chat(tools=[tool("f", a="string")]),
        "parameters.properties.a",
        "schema",
    ),
    "an unknown choice": (chat(tools=[tool("f")], tool_choice="any"), "tool_choice", "none, auto, required"),
    "a choice in Responses shape": (
        chat(tools=[tool("f")], tool_choice={"type": "function", "name": "f"}),
        "tool_choice.function",
        "holds the name",
    ),
    "a choice of an absent tool": (
        chat(tools=[tool("f")], tool_choice={"type": "function", "function": {"name": "g"}}),
        "tool_choice.function.name",
        "'g'",
    ),
    "a late system message": (said(HELLO, SYSTEM), "messages[1].role", "first message"),
    "two system messages": (said(SYSTEM, SYSTEM, HELLO), "messages[1].role", "only one"),
    "a late developer message": (
        said(HELLO, {"role": "developer", "content": "x"}),
        "messages[1].role",
        "developer",
    ),
    "an unknown role": (said({"role": "function", "content": "x"}), "messages[0].role", "'function'"),
    "a foreign key in a message": (said({**HELLO, "id": "msg_1"}), "messages[0].id", "unknown field"),
    "a type on a message": (said({**HELLO, "type": "message"}), "messages[0].type", "unknown field"),
    "null content": (said(user(None)), "messages[0].content", "null"),
    "null assistant content without calls": (
        said(HELLO, {"role": "assistant", "content": None}, HELLO),
        "messages[1].content",
        "null",
    ),
    "an empty list of parts": (said(user([])), "messages[0].content", "not empty"),
    "input_text": (
        said(user([{"type": "input_text", "text": "x"}])),
        "messages[0].content[0].type",
        "input_text",
    ),
    "output_text": (
        said(HELLO, {"role": "assistant", "content": [{"type": "output_text", "text": "x"}]}, HELLO),
        "messages[1].content[0].type",
        "output_text",
    ),
    "an image in a tool message": (
        said(HELLO, called("a"), {**answered("a"), "content": [IMAGE]}),
        "messages[2].content[0].type",
        "tool message",
    ),
    "an image for an instrument without": (said(user([IMAGE])), "messages[0].content[0].type", "images"),
    "an image url in Responses shape": (
        {**said(user([{"type": "image_url", "image_url": "data:,"}])), "model": "text-max"},
        "messages[0].content[0].image_url",
        "url",
    ),
    "no calls in the list": (said(HELLO, called(content=""), HELLO), "messages[1].tool_calls", "not empty"),
    "a call without an id": (
        said(HELLO, called(""), answered("")),
        "messages[1].tool_calls[0].id",
        "not empty",
    ),
    "arguments that are not JSON": (
        said(HELLO, called("a", arguments="{"), answered("a")),
        ".arguments",
        "JSON object",
    ),
    "arguments that are a list": (
        said(HELLO, called("a", arguments="[]"), answered("a")),
        ".arguments",
        "JSON object",
    ),
    "no arguments": (said(HELLO, called("a", arguments=""), answered("a")), ".arguments", "JSON object"),
    "two calls of one id": (
        said(HELLO, called("a", "a"), answered("a")),
        "messages[1].tool_calls",
        "same id",
    ),
    "an unanswered call": (
        said(HELLO, called("a", "b"), answered("a"), HELLO),
        "messages[3]",
        "b must be answered",
    ),
    "an unanswered call at the end": (
        said(HELLO, called("a", "b"), answered("a")),
        "messages[2]",
        "b must be",
    ),
    "an answer after another message": (
        said(HELLO, called("a"), HELLO, answered("a")),
        "messages[2]",
        "right after",
    ),
    "an orphan answer": (said(HELLO, answered("a")), "messages[1].tool_call_id", "does not follow"),
    "a second answer": (said(HELLO, called("a"), answered("a"), answered("a")), "tool_call_id", "twice"),
    "an assistant message at the end": (
        said(HELLO, {"role": "assistant", "content": "x"}),
        "messages[1].role",
        "last",
    ),
}


def refusal(request, **config):
    with pytest.raises(RefusedError) as caught:
        check(request, CATALOGUE[request["model"]], SimulatorConfig(**config))
    return caught.value


@pytest.mark.parametrize("request_body", ACCEPTED.values(), ids=ACCEPTED)
def test_a_sound_request_is_accepted(request_body):
    check(request_body, CATALOGUE[request_body["model"]], SimulatorConfig())


@pytest.mark.parametrize(("request_body", "field", "reason"), REFUSED.values(), ids=REFUSED)
def test_an_unsound_request_is_refused_by_field_and_reason(request_body, field, reason):
    refused = refusal(request_body)
    assert field in refused.param
    assert refused.detail.startswith(refused.param)
    assert reason in refused.detail


def test_values_out_of_range_get_422_and_structural_faults_400():
    assert refusal(chat(temperature=3)).status == 422
    assert refusal(chat(input="x")).status == 400


@pytest.mark.parametrize(
    ("request_body", "switch"),
    [
        (chat(cache_prompt=True), {"strict_fields": False}),
        (said({**HELLO, "id": "msg_1"}), {"strict_fields": False}),
        (said(HELLO, {"role": "developer", "content": "x"}), {"developer_role": True}),
        (said(HELLO, {"role": "assistant", "content": "x"}), {"trailing_assistant": True}),
    ],
)
def test_a_switch_makes_one_rule_lenient(request_body, switch):
    refusal(request_body)
    check(request_body, CATALOGUE[request_body["model"]], SimulatorConfig(**switch))


def test_the_documented_fields_are_the_known_fields():
    documented = """model messages max_tokens max_completion_tokens temperature top_p n stream stream_options stop
    logprobs top_logprobs response_format tools tool_choice parallel_tool_calls frequency_penalty presence_penalty
    seed service_tier reasoning_effort store verbosity prompt_cache_key prompt_cache_retention safety_identifier
    web_search_options route provider user"""
    assert set(documented.split()) == set(FIELD_TYPES)


async def test_a_refusal_reaches_the_client_and_costs_no_turn(post):
    config = SimulatorConfig(envelope="openai")
    async with running(config) as simulator:
        response = await post(simulator, chat(temperature=3))
    assert response.status_code == 422
    assert response.json()["error"]["param"] == "temperature"
    assert simulator.journal.served == []


async def test_a_lenient_simulator_takes_what_a_strict_one_refuses(post):
    async with running(SimulatorConfig(strict=False)) as simulator:
        assert (await post(simulator, said(HELLO, SYSTEM, temperature=3))).status_code == 200
