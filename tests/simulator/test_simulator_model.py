"""The model that nobody scripted: its trigger language, its limits, its accounts."""

from __future__ import annotations

import json

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulator_requests import chat, tool, user

from shim.simulator import running
from shim.simulator.instruments import CATALOGUE
from shim.simulator.model import default_turn
from shim.simulator.schema_answer import UnsatisfiableError, answer

WEATHER = tool("get_weather", city={"type": "string"}, days={"type": "integer", "minimum": 3})
SEARCH = tool("search", query={"type": "string"})
STANDARD = CATALOGUE["text-standard"]


def turn(text="hello", instrument="text-standard", **fields):
    return default_turn({**chat(text, **fields), "model": instrument}, CATALOGUE[instrument])


def names(of_turn):
    return [call.name for call in of_turn.calls]


def history(text, *rounds):
    """A user message and rounds of calls, each a list of (name, output)."""
    messages = [user(text)]
    for number, calls in enumerate(rounds):
        made = [
            {"id": f"c{number}{i}", "type": "function", "function": {"name": name, "arguments": "{}"}}
            for i, (name, _) in enumerate(calls)
        ]
        messages.append({"role": "assistant", "content": None, "tool_calls": made})
        outputs = [output for _, output in calls]
        messages += [
            {"role": "tool", "tool_call_id": call["id"], "content": output}
            for call, output in zip(made, outputs, strict=True)
        ]
    return {"model": "text-standard", "messages": messages, "tools": [WEATHER, SEARCH]}


def test_it_answers_with_what_it_was_told():
    assert turn("hello").text == "You said: hello"
    assert turn("some context\nsay exactly this").text == "exactly this"
    assert turn("words 3").text == "word1 word2 word3"
    assert turn("refuse no").refusal == "no"


def test_it_calls_the_tool_it_is_asked_to_call_with_arguments_that_fit():
    called = turn("please\ncall get_weather", tools=[SEARCH, WEATHER])
    assert names(called) == ["get_weather"]
    jsonschema.validate(called.calls[0].arguments, WEATHER["function"]["parameters"])


def test_it_uses_given_arguments_word_for_word():
    assert turn('call search {"query":  "a"}', tools=[SEARCH]).calls[0].arguments == '{"query":  "a"}'


def test_several_calls_are_parallel_unless_the_request_forbids_it():
    text = "call search\ncall get_weather"
    assert names(turn(text, tools=[SEARCH, WEATHER])) == ["search", "get_weather"]
    assert names(turn(text, tools=[SEARCH, WEATHER], parallel_tool_calls=False)) == ["search"]


def test_it_does_not_call_what_is_not_offered_or_not_allowed():
    assert names(turn("call absent", tools=[SEARCH])) == []
    assert names(turn("call search", tools=[SEARCH], tool_choice="none")) == []
    assert names(turn("call search")) == []


def test_a_forced_choice_is_obeyed_without_a_trigger():
    forced = {"type": "function", "function": {"name": "get_weather"}}
    assert names(turn(tools=[SEARCH, WEATHER], tool_choice="required")) == ["search"]
    assert names(turn("call search", tools=[SEARCH, WEATHER], tool_choice=forced)) == ["get_weather"]


def test_after_tool_answers_it_tells_them():
    told = default_turn(history("call search", [("search", "42 results")]), STANDARD)
    assert told.text == "search answered: 42 results"
    assert names(told) == []


def test_later_calls_come_one_round_at_a_time():
    text = "call search\nthen call get_weather\nthen call search\nsay done"
    rounds = [[("search", "a")], [("get_weather", "b")], [("search", "c")]]
    said = [default_turn(history(text, *rounds[:count]), STANDARD) for count in range(4)]
    assert [names(each) for each in said] == [["search"], ["get_weather"], ["search"], []]
    assert said[-1].text == "done"


def test_a_new_user_message_starts_anew():
    request = history("call search", [("search", "a")])
    request["messages"].append(user("say next"))
    assert default_turn(request, STANDARD).text == "next"


@pytest.mark.parametrize(
    ("instrument", "effort", "reasons"),
    [
        ("text-standard", {}, True),
        ("agent-prime", {"reasoning_effort": "low"}, True),
        ("code-max", {}, True),
        ("code-max", {"reasoning_effort": "none"}, False),
    ],
)
def test_it_reasons_unless_reasoning_is_turned_off(instrument, effort, reasons):
    assert bool(turn("hello", instrument, **effort).reasoning) is reasons


def test_it_reasons_as_told():
    assert turn("think of nothing\nsay x").reasoning == "of nothing"


def test_a_schema_shapes_the_answer():
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    shape = {"type": "json_schema", "json_schema": {"name": "shape", "schema": schema}}
    jsonschema.validate(json.loads(turn(response_format=shape).text), schema)
    assert isinstance(json.loads(turn(response_format={"type": "json_object"}).text), dict)


LINKED = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"type": "number"},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["value", "next"],
        }
    },
    "$ref": "#/$defs/node",
}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        True,
        LINKED,
        {"const": {"a": [1]}},
        {"enum": [None, 1]},
        {"type": ["null", "integer"], "minimum": 7},
        {"type": "string", "minLength": 40, "maxLength": 41},
        {"type": "string", "maxLength": 2},
        {"type": "array", "items": {"type": "boolean"}, "minItems": 3},
        {
            "type": "array",
            "prefixItems": [{"type": "integer"}, {"type": "string"}],
            "items": False,
            "minItems": 2,
        },
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        {"type": "integer", "minimum": -9, "maximum": -4, "multipleOf": 5},
        {"type": "integer", "exclusiveMaximum": -3},
        {"oneOf": [{"type": "string"}, {"type": "integer"}]},
        {"anyOf": [False, {"type": "integer"}]},
        {"allOf": [{"required": ["a"]}, {"properties": {"a": {"type": "integer"}}}], "type": "object"},
        {"type": "object", "required": ["undeclared"]},
        {
            "properties": {"a": {"$ref": "#/definitions/b~1c"}},
            "required": ["a"],
            "definitions": {"b/c": {"type": "null"}},
        },
    ],
)
def test_an_answer_satisfies_its_schema(schema):
    jsonschema.validate(answer(schema), schema)


SCALARS = st.one_of(
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"enum": ["a", 2]}, {"const": 0}]),
    st.integers(-50, 50).map(lambda n: {"type": "integer", "minimum": n, "maximum": n + 3}),
    st.floats(-9, 9).map(lambda n: {"type": "number", "minimum": n}),
    st.integers(0, 9).map(lambda n: {"type": "string", "minLength": n, "maxLength": n + 1}),
)


def nested(inner):
    members = st.dictionaries(st.sampled_from("abcd"), inner, max_size=3)
    return st.one_of(
        members.map(
            lambda m: {"type": "object", "properties": m, "required": list(m), "additionalProperties": False}
        ),
        st.tuples(inner, st.integers(0, 2)).map(lambda p: {"type": "array", "items": p[0], "minItems": p[1]}),
        st.lists(inner, min_size=1, max_size=2).map(lambda branches: {"anyOf": branches}),
    )


@settings(max_examples=60, deadline=None)
@given(st.recursive(SCALARS, nested, max_leaves=8))
def test_any_drawn_schema_is_satisfied(schema):
    jsonschema.validate(answer(schema), schema)


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"enum": []},
        {"type": "integer", "minimum": 2, "maximum": 1},
        {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    ],
)
def test_a_schema_without_an_answer_is_said_to_have_none(schema):
    with pytest.raises(UnsatisfiableError):
        answer(schema)


async def test_the_token_limit_cuts_the_answer(post):
    async with running() as simulator:
        body = (await post(simulator, chat("think a b\nwords 9", max_completion_tokens=5))).json()
    choice = body["choices"][0]
    assert choice["finish_reason"] == "length"
    assert choice["message"]["reasoning_content"] == "a b"
    assert choice["message"]["content"].split() == ["word1", "word2", "word3"]
    assert body["usage"]["completion_tokens"] == 5


async def test_the_token_limit_cuts_arguments_and_drops_later_calls(post):
    text = 'think a\ncall search {"query": "a long question"}\ncall get_weather'
    async with running() as simulator:
        body = (await post(simulator, chat(text, tools=[SEARCH, WEATHER], max_completion_tokens=2))).json()
    choice = body["choices"][0]
    assert choice["finish_reason"] == "length"
    assert [call["function"]["arguments"] for call in choice["message"]["tool_calls"]] == ['{"quer']


async def test_a_stop_sequence_ends_the_text(post):
    async with running() as simulator:
        body = (await post(simulator, chat("say one END two", stop=["END", "two"]))).json()
    assert body["choices"][0]["message"]["content"] == "one "


async def test_a_prompt_that_begins_as_an_earlier_one_is_cached(post):
    first = chat("a question of some length")
    longer = {**first, "messages": [*first["messages"], {"role": "assistant", "content": "x"}, user("more")]}
    changed = {**longer, "messages": [user("another beginning"), *longer["messages"][1:]]}
    async with running() as simulator:
        usages = [(await post(simulator, body)).json()["usage"] for body in (first, longer, changed)]
    cached = [usage["prompt_tokens_details"]["cached_tokens"] for usage in usages]
    assert cached == [0, usages[0]["prompt_tokens"], 0]
    assert usages[1]["prompt_tokens"] > usages[0]["prompt_tokens"]


async def test_equal_simulators_answer_equally(post):
    answers = []
    for _ in range(2):
        async with running() as simulator:
            answers.append((await post(simulator, chat("call search", tools=[SEARCH]))).content)
    assert answers[0] == answers[1]
