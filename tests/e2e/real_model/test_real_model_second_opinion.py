"""llama.cpp has a `/v1/responses` of its own: a second opinion on the same prompts by the same model.

Where both agree, neither is alone. Where they differ, the recorded behaviour of OpenAI's API is on our side; each
difference is written down here as a test, so that we hear of it when llama.cpp changes its mind.
"""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.e2e

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": False,
}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
ROUND = [
    {"role": "user", "content": "Weather in Paris, please."},
    {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": '{"city": "Paris"}'},
    {"type": "function_call_output", "call_id": "call_1", "output": "Sunny, 20 degrees."},
]
PROMPTS = {
    "a question": {"input": "What is 2 + 2?"},
    "instructions": {"instructions": "Answer in one word.", "input": "Name a colour."},
    "a conversation": {
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "My name is Ann."}]},
            {
                "role": "assistant",
                "content": [{"type": "output_text", "text": "Hello, Ann.", "annotations": []}],
                "type": "message",
                "id": "msg_1",
                "status": "completed",
            },
            {"role": "user", "content": "What is my name?"},
        ]
    },
    "a forced call": {"input": "Weather in Paris, please.", "tools": [WEATHER], "tool_choice": "required"},
    "a tool's output": {"input": ROUND, "tools": [WEATHER]},
}
ONLY_THEIRS = {"message": set(), "function_call": set(), "reasoning": {"encrypted_content", "status"}}
"""Keys of their items that ours lack: their `encrypted_content` is empty, and reasoning has no status."""


def events(response):
    """The events of a stream."""
    frames = response.text.replace("\r\n", "\n").split("\n\n")
    lines = [line for frame in frames for line in frame.split("\n") if line.startswith("data: ")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def said(items):
    """What items say, without ids: one tuple each."""
    told = []
    for item in items:
        texts = [part["text"] for part in item.get("content", ())]
        told.append((item["type"], *texts, item.get("name"), item.get("arguments")))
    return told


def both(real_model, **request):
    """Our answer and theirs, of a prompt that is already cached for either."""
    real_model.theirs(**{**request, "max_output_tokens": 16})
    return real_model.ours(**request), real_model.theirs(**request)


@pytest.fixture(scope="module", params=PROMPTS.values(), ids=PROMPTS)
def streams(real_model, request):
    """Our stream and theirs of one prompt."""
    return tuple(events(answer) for answer in both(real_model, **request.param, stream=True))


@pytest.fixture(scope="module")
def finals(streams):
    """The responses that end the two streams."""
    return tuple(stream[-1]["response"] for stream in streams)


def test_both_give_the_same_items_with_the_same_text(finals):
    ours, theirs = finals
    assert said(ours["output"]) == said(theirs["output"])
    assert ours["status"] == theirs["status"] == "completed"
    for name in ("input_tokens", "output_tokens", "total_tokens"):
        assert ours["usage"][name] == theirs["usage"][name]


def test_ours_has_every_key_of_theirs(finals):
    ours, theirs = finals
    assert set(theirs) <= set(ours)
    for our_item, their_item in zip(ours["output"], theirs["output"], strict=True):
        common = set(their_item) & set(our_item)
        assert set(their_item) - common <= ONLY_THEIRS[their_item["type"]]
        assert {key: type(their_item[key]) for key in common} == {key: type(our_item[key]) for key in common}


def test_both_streams_tell_the_same_deltas(streams):
    ours, theirs = (deltas(stream) for stream in streams)
    assert ours == theirs


def deltas(stream):
    """What each kind of delta adds up to, in the order of their first."""
    texts = {}
    for event in stream:
        if event["type"].endswith(".delta"):
            texts[event["type"]] = texts.get(event["type"], "") + event["delta"]
    return list(texts.items())


def test_ours_tells_every_kind_of_event_that_theirs_tells_with_every_key(streams):
    ours, theirs = streams
    keys = {}
    for event in ours:
        keys.setdefault(event["type"], set()).update(event)
    for event in theirs:
        assert set(event) - {"timings"} <= keys[event["type"]]


def test_theirs_numbers_nothing(streams):
    ours, theirs = streams
    assert [event["sequence_number"] for event in ours] == list(range(len(ours)))
    assert not any("sequence_number" in event or "output_index" in event for event in theirs)


def test_theirs_opens_a_message_before_reasoning_is_done(streams):
    ours, theirs = (item_order(stream) for stream in streams)
    kinds = [kind.partition(" ")[2] for kind in ours if kind.startswith("added")]
    assert ours == [f"{act} {kind}" for kind in kinds for act in ("added", "done")]
    if kinds == ["reasoning", "message"]:
        assert theirs == ["added reasoning", "added message", "done reasoning", "done message"]


def item_order(stream):
    return [
        f"{event['type'].rpartition('.')[2]} {event['item']['type']}"
        for event in stream
        if event["type"].startswith("response.output_item.")
    ]


def test_theirs_ignores_a_schema(real_model):
    text = {"format": {"type": "json_schema", "name": "person", "schema": PERSON, "strict": True}}
    ours, theirs = (answer.json() for answer in both(real_model, input="Bob is 42 years old.", text=text))
    assert json.loads(ours["output"][-1]["content"][0]["text"]) == {"name": "Bob", "age": 42}
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(theirs["output"][-1]["content"][0]["text"])


def test_theirs_calls_complete_what_a_limit_cut(real_model):
    ours, theirs = (
        answer.json() for answer in both(real_model, input="What is 2 + 2?", max_output_tokens=16)
    )
    assert (ours["status"], theirs["status"]) == ("incomplete", "completed")
    assert said(ours["output"])[0][:2] == said(theirs["output"])[0][:2]
