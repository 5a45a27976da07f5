"""Items that the shim made, sent back with their outputs, are the same conversation in chat's words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json
from request_asks import assert_accepted, seal, target, translate, user

from shim.core.assembler import Assembler, Shape
from shim.core.deltas import CallArguments, CallStart, Finish, ReasoningText, RefusalText, Text
from shim.core.echo import response_template
from shim.core.validation import read_request

TOOLS = [
    {"type": "function", "name": "f"},
    {"type": "custom", "name": "edit"},
    {
        "type": "custom",
        "name": "query",
        "format": {"type": "grammar", "syntax": "lark", "definition": "start: /x/"},
    },
    {"type": "namespace", "name": "mcp__demo", "tools": [{"type": "function", "name": "echo"}]},
    {"type": "tool_search", "execution": "client"},
    {"type": "local_shell"},
    {"type": "shell"},
    {"type": "apply_patch"},
]
OUTPUT_TYPES = {
    "function_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
    "local_shell_call": "local_shell_call_output",
    "shell_call": "shell_call_output",
    "apply_patch_call": "apply_patch_call_output",
}


class Counter:
    """A source whose ids count up."""

    def __init__(self):
        self.count = 0

    def now(self):
        return 1_700_000_000

    def new_id(self, prefix):
        self.count += 1
        return f"{prefix}_{self.count:050d}"

    def padding(self, length):
        return ""


words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
ARGUMENTS = {
    "f": st.dictionaries(words, st.one_of(words, st.integers(-9, 9), st.none()), max_size=2),
    "edit": st.fixed_dictionaries({"input": words}),
    "query": st.fixed_dictionaries({"input": words.filter(lambda text: "`" not in text)}),
    "mcp__demo__echo": st.fixed_dictionaries({"value": words}),
    "tool_search": st.fixed_dictionaries({"query": words}),
    "local_shell": st.fixed_dictionaries({"command": st.lists(words, min_size=1, max_size=2)}),
    "shell": st.fixed_dictionaries({"commands": st.lists(words, min_size=1, max_size=2)}),
    "apply_patch": st.fixed_dictionaries({"type": st.just("update_file"), "path": words, "diff": words}),
}


@st.composite
def calls(draw):
    name = draw(st.sampled_from(list(ARGUMENTS)))
    return name, draw(ARGUMENTS[name])


@st.composite
def turns(draw):
    """What a model may say in one turn: perhaps it thinks, perhaps it speaks, perhaps it calls; never nothing."""
    thought, spoken = draw(st.one_of(st.just(""), words)), draw(st.one_of(st.just(""), words))
    made = draw(st.lists(calls(), min_size=0 if spoken else 1, max_size=3))
    return thought, spoken, made


def deltas(turn, *, refused=False):
    thought, spoken, made = turn
    yield from [ReasoningText(thought)] if thought else []
    yield from [RefusalText(spoken) if refused else Text(spoken)] if spoken else []
    for key, (name, arguments) in enumerate(made):
        yield CallStart(key, f"call_{key}", name)
        yield CallArguments(key, json.dumps(arguments, ensure_ascii=False))
    yield Finish("stop")


def answered(turn, *, shown="content", sealed=False, refused=False):
    """The items of a turn as the shim answers it."""
    body = {"model": "m", "input": "hi", "tools": TOOLS}
    request = read_request(body)
    toolbox = translate("hi", tools=TOOLS).toolbox
    shape = Shape(toolbox, reasoning=shown, seal=seal if sealed else None)
    assembler = Assembler(response_template(request, body, "resp_1", 0), shape, Counter())
    assembler.start()
    assembler.feed(list(deltas(turn, refused=refused)))
    assembler.finish()
    return json.loads(to_json(assembler.final["output"]))


def outputs(items):
    """What a client answers to the calls among the items."""
    for item in items:
        if item["type"] == "tool_search_call":
            yield {"type": "tool_search_output", "call_id": item["call_id"], "tools": []}
        elif item["type"] in OUTPUT_TYPES:
            yield {"type": OUTPUT_TYPES[item["type"]], "call_id": item["call_id"], "output": "done"}


def replayed(*turns_, **how):
    items = [user("hi")]
    for turn in turns_:
        made = answered(turn, **how)
        items += [*made, *outputs(made)]
    translation = translate([*items, user("and now?")], target(replay="all"), tools=TOOLS)
    assert_accepted(translation.chat)
    return translation


def assert_says(message, turn):
    thought, spoken, made = turn
    assert message.get("reasoning_content", "") == thought
    assert (message["content"] or "") == spoken
    said = [
        (each["function"]["name"], json.loads(each["function"]["arguments"]))
        for each in message.get("tool_calls", [])
    ]
    assert said == made


@pytest.mark.parametrize(
    "how", [{}, {"sealed": True}, {"shown": "summary"}, {"shown": "summary", "sealed": True}]
)
@given(turn=turns())
def test_a_turn_that_comes_back_says_what_the_model_said(how, turn):
    translation = replayed(turn, **how)
    assert translation.notes == ()
    assert_says(translation.chat["messages"][1], turn)


@given(turn=turns())
def test_sealed_reasoning_is_enough_for_clients_that_drop_its_text(turn):
    made = answered(turn, sealed=True)
    for item in made:
        if item["type"] == "reasoning":
            item["content"] = []
    chat = translate([user("hi"), *made, *outputs(made)], target(replay="all"), tools=TOOLS).chat
    assert_says(chat["messages"][1], turn)


@given(first=turns(), second=turns())
def test_turns_that_reuse_call_ids_stay_apart(first, second):
    messages = replayed(first, second).chat["messages"]
    spoken = [message for message in messages if message["role"] == "assistant"]
    if first[2]:
        assert_says(spoken[0], first)
        assert_says(spoken[1], second)
    else:
        assert len(spoken) == 1
    assert all(message["content"] != "No output of this call was recorded." for message in messages)


@given(spoken=words)
def test_a_refusal_comes_back_as_the_assistants_words(spoken):
    messages = replayed(("", spoken, []), refused=True).chat["messages"]
    assert messages[1] == {"role": "assistant", "content": spoken}
