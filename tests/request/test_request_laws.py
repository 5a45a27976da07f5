"""Laws of the request side: whatever comes in, history that strict suppliers accept goes out, and nothing is lost."""

from __future__ import annotations

import copy
import re
import sys

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic_core import to_json
from request_asks import (
    TEXT_ONLY,
    assert_accepted,
    assistant,
    call,
    developer,
    function,
    messages_of,
    output,
    reasoning,
    seal,
    target,
    translate,
    user,
)
from request_strategies import MAKERS, OUTPUT_TYPES, Author, conversations, spoiled

from shim.core.request import CONTINUE
from shim.errors import ClientFault


def outcome(items, to=None):
    """The translation, or the fault that refuses the request."""
    try:
        return translate(items, to)
    except ClientFault as fault:
        return fault


REPLAYS = st.sampled_from(["turn", "all", "none"])


def mentions(note, item, index):
    """Whether a note speaks of an item: by its path, its call, or, for reasoning, in general."""
    called = item.get("call_id") or item.get("id")
    return (
        f"input[{index}]" in note
        or (item.get("type") == "reasoning" and note.startswith("reasoning:"))
        or (f"output of call {called!r} replaced" in note)
        or (not called and "replaced the first" in note)
    )


SAYS_NOTHING = ("additional_tools", "reasoning", "compaction", "context_compaction", "compaction_summary")
SAYS_NOTHING += ("compaction_trigger",)


def is_empty(item):
    """Whether it is a message without a word: chat has no place for one, in front or of the assistant."""
    said = item.get("content")
    parts = [part for part in said if part["type"] != "hologram"] if isinstance(said, list) else said
    return item.get("role") in ("system", "developer", "assistant") and not parts


@given(conversation=conversations(), replay=REPLAYS)
def test_any_conversation_becomes_one_that_a_strict_supplier_accepts_and_nothing_is_lost_silently(
    conversation, replay
):
    translation = outcome(conversation.items, target(replay=replay))
    if isinstance(translation, ClientFault):
        assert translation.code == "empty_array"
        assert all(item.get("type") in SAYS_NOTHING or is_empty(item) for item in conversation.items)
        return
    assert_accepted(translation.chat)
    said = to_json(translation.chat["messages"]).decode()
    lost = {token: index for token, index in conversation.tokens.items() if token not in said}
    for token, index in lost.items():
        item = conversation.items[index]
        assert any(mentions(note, item, index) for note in translation.notes), (token, item)


@given(data=st.data(), conversation=conversations(most=4))
def test_a_wrong_value_anywhere_is_answered_with_its_path_or_does_no_harm(data, conversation):
    items = data.draw(spoiled(conversation))
    result = outcome(items)
    if isinstance(result, ClientFault):
        assert result.status == 400
        assert result.param.startswith("input")
    else:
        assert_accepted(result.chat)


@given(conversation=conversations())
def test_an_instrument_without_image_input_is_never_sent_an_image(conversation):
    result = outcome(conversation.items, target(instrument=TEXT_ONLY))
    if isinstance(result, ClientFault):
        assert result.code in ("unsupported_image_input", "empty_array")
        assert result.param.startswith("input")
    else:
        assert b'"image_url"' not in to_json(result.chat)


@given(conversation=conversations(), replay=REPLAYS)
def test_the_same_input_gives_the_same_bytes(conversation, replay):
    to = target(replay=replay)
    first = outcome(conversation.items, to)
    assume(not isinstance(first, ClientFault))
    again = translate(copy.deepcopy(conversation.items), to)
    assert to_json(first.chat) == to_json(again.chat)
    assert first.notes == again.notes


def settled(translation):
    """The messages before the open assistant turn, if there is one; items sent as text may stand behind it.

    A turn is open as well while its reasoning waits for an answer.
    """
    messages = translation.chat["messages"]
    if messages[-1] == user(CONTINUE):
        messages = messages[:-1]
    spoken = list(messages)
    while spoken and is_aside(spoken[-1]):
        spoken.pop()
    ends = [index for index, message in enumerate(spoken) if message["role"] == "assistant"]
    last = spoken[-1] if spoken else {"role": "user"}
    if any("reasoning without an answer" in note for note in translation.notes):
        messages = spoken
    is_open = last["role"] == "assistant" or (
        last["role"] == "tool" and last["content"].startswith("No output of this call")
    )
    return messages[: ends[-1]] if is_open else messages


def is_aside(message):
    """Whether a message is an item that chat has no form for, as tagged JSON."""
    content = message["content"]
    return message["role"] == "user" and isinstance(content, str) and re.match(r"<\w+>\n\{", content)


@given(conversation=conversations(), replay=st.sampled_from(["all", "none"]), data=st.data())
def test_an_appended_item_leaves_the_bytes_before_the_open_turn_as_they_were(conversation, replay, data):
    by = Author(data.draw)
    item = by.one_of(*MAKERS)(by)
    assume(item.get("type") not in OUTPUT_TYPES or "role" in item)
    assume(conversation.items[-1] != {"type": "compaction_trigger"})
    to = target(replay=replay)
    first = outcome(conversation.items, to)
    assume(not isinstance(first, ClientFault))
    before = settled(first)
    assume(any(message["role"] != "system" for message in before))
    after = messages_of(*conversation.items, item, to=to)
    assert to_json(after[: len(before)]) == to_json(before)


@st.composite
def tool_loops(draw):
    """What an agent sends, request after request: each is the one before and one more step."""
    steps, number = [[developer("Be brief."), user("Go.")]], 0
    for _ in range(draw(st.integers(1, 4))):
        thought = [reasoning(f"thought {number}")] if draw(st.booleans()) else []
        words = [assistant("Well.")] if draw(st.booleans()) else []
        ids = [f"call_{number + index}" for index in range(draw(st.integers(1, 3)))]
        number += len(ids)
        made = [call(call_id) for call_id in ids]
        steps.append([*thought, *words, *made, *(output(call_id, f"out {call_id}") for call_id in ids)])
    return steps


@given(steps=tool_loops(), replay=REPLAYS)
def test_every_request_of_a_tool_loop_begins_with_the_bytes_of_the_one_before(steps, replay):
    items, before = [], []
    for step in steps:
        items += step
        after = messages_of(*items, to=target(replay=replay))
        assert to_json(after[: len(before)]) == to_json(before)
        before = after


SHAPES = {
    "user messages": lambda n: [user("hi")] * n,
    "assistant messages": lambda n: [assistant("hi")] * n,
    "developer messages": lambda n: [developer("hi")] * n,
    "reasoning": lambda n: [reasoning("hm")] * n,
    "sealed reasoning": lambda n: [reasoning(encrypted_content=seal("hm"))] * n,
    "parallel calls": lambda n: [call(f"c{i}") for i in range(n)],
    "calls of one id": lambda n: [call("c")] * n,
    "calls of one id, answered": lambda n: [call("c")] * n + [output("c")] * n,
    "outputs in reverse": lambda n: (
        [call(f"c{i}") for i in range(n)] + [output(f"c{n - i}") for i in range(n)]
    ),
    "one call a turn": lambda n: [item for i in range(n) for item in (call(f"c{i}"), output(f"c{i}"))],
    "the same call every turn": lambda n: [item for _ in range(n) for item in (call(), output())],
    "orphans": lambda n: [output(f"c{i}") for i in range(n)],
    "unknown items": lambda n: [{"type": "newest", "value": "x"}] * n,
    "parts": lambda n: [user([{"type": "input_text", "text": "x"}] * n)],
    "tools added": lambda n: [{"type": "additional_tools", "tools": [function(f"f{i}")]} for i in range(n)],
}


def effort(work):
    """How many Python and C functions are called: a clock that does not depend on the machine."""
    count = 0

    def counted(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("shape", SHAPES)
def test_translation_takes_time_in_proportion_to_its_input(shape):
    small, large = (effort(lambda n=n: translate([*SHAPES[shape](n), user("q")])) for n in (200, 800))
    assert large < 4.5 * small


def test_ten_thousand_items_are_translated():
    items = [
        item
        for index in range(2_500)
        for item in (user("q"), call(f"c{index}"), output(f"c{index}"), assistant("a"))
    ]
    messages = messages_of(*items)
    assert len(messages) == 10_001
    assert messages[-1] == user(CONTINUE)
