"""Law 7, in single sentences: what a turn that comes back must still say."""

import pytest

from shim.core.profile import PRESETS, Instrument
from shim.core.request import Target, to_chat
from shim.core.validation import read_request

IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}


def messages(*items, replay="turn"):
    request = read_request({"model": "code-prime", "input": list(items)})
    target = Target(PRESETS["grid"], Instrument("code-prime"), lambda _: None, replay)
    return to_chat(request, target).chat["messages"]


def call(call_id="a", arguments="{}"):
    return {"type": "function_call", "call_id": call_id, "name": "look", "arguments": arguments}


def output(call_id="a", content="seen"):
    return {"type": "function_call_output", "call_id": call_id, "output": content}


def thought(text):
    return {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": text}]}


USER = {"role": "user", "content": "Look."}


@pytest.mark.parametrize("blank", ["", " ", "\n"])
def test_a_call_without_arguments_goes_back_with_an_empty_object(blank):
    assistant = messages(USER, call(arguments=blank), output())[1]
    assert assistant["tool_calls"][0]["function"]["arguments"] == "{}"


@pytest.mark.parametrize(
    ("replay", "kept"), [("turn", [False, True]), ("all", [True, True]), ("none", [False, False])]
)
def test_reasoning_goes_back_for_the_current_tool_loop_or_as_configured(replay, kept):
    said = messages(
        USER,
        thought("old"),
        call("a"),
        output("a"),
        USER,
        thought("new"),
        call("b"),
        output("b"),
        replay=replay,
    )
    assistants = [message for message in said if message["role"] == "assistant"]
    assert ["reasoning_content" in message for message in assistants] == kept


def test_images_of_outputs_follow_in_one_user_message_after_all_tool_messages():
    seen = [{"type": "input_text", "text": "Here."}, IMAGE]
    said = messages(USER, call("a"), call("b"), output("a", seen), output("b", [IMAGE]))
    assert [message["role"] for message in said] == ["user", "assistant", "tool", "tool", "user"]
    assert [part["type"] for part in said[-1]["content"]].count("image_url") == 2
    assert "Here." in said[2]["content"]


def test_an_output_whose_call_is_nowhere_is_told_as_text():
    said = messages(USER, output("nobody", "seen"))
    assert [message["role"] for message in said] == ["user", "user"]
    assert "seen" in said[-1]["content"]
