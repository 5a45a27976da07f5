"""Input items as chat messages: turns, calls and their outputs, instructions, reasoning, compaction."""

from __future__ import annotations

import json

import pytest
from request_asks import (
    IMAGE,
    assert_accepted,
    assistant,
    call,
    chat_of,
    developer,
    image,
    messages_of,
    notes_of,
    output,
    reasoning,
    seal,
    target,
    text,
    translate,
    user,
)

from shim.core.compaction import COMPACTION_PROMPT
from shim.core.messages import NO_OUTPUT, AssistantTurn
from shim.core.profile import GRID, Instrument
from shim.core.request import CONTINUE, Target, to_chat
from shim.core.validation import read_request
from shim.errors import ClientFault
from shim.seal import SealKeys
from shim.wire.items import Message


def system(content):
    return {"role": "system", "content": content}


def tool(call_id, content="done"):
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def said(*calls, content=None, **fields):
    """An assistant message with calls, each an id or an id, a name and arguments."""
    made = [each if isinstance(each, tuple) else (each, "f", "{}") for each in calls]
    tool_calls = [
        {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}
        for id_, name, arguments in made
    ]
    return {"role": "assistant", "content": content, **fields, "tool_calls": tool_calls}


def tagged(content):
    return user(f"<developer>\n{content}\n</developer>")


# -- instructions ---------------------------------------------------------------------------------------------


def test_everything_that_instructs_in_front_is_one_system_message():
    items = [developer("two"), {"role": "system", "content": [text("three"), text("four")]}, user("hi")]
    assert messages_of(*items, instructions="one") == [system("one\n\ntwo\n\nthree\nfour"), user("hi")]


@pytest.mark.parametrize("empty", ["", None, []])
def test_empty_instructions_are_no_message(empty):
    assert messages_of(developer(""), user("hi"), instructions=empty) == [user("hi")]


def test_later_instructions_stay_in_place_as_tagged_text():
    items = [user("hi"), developer("now this"), {"role": "system", "content": "and that"}]
    assert messages_of(*items) == [user("hi"), tagged("now this"), tagged("and that")]


def test_later_instructions_stay_system_messages_where_the_upstream_takes_them():
    items = [developer("front"), user("hi"), developer("now this")]
    assert messages_of(*items, to=target(midway_system=True)) == [
        system("front"),
        user("hi"),
        system("now this"),
    ]


@pytest.mark.parametrize("midway", [True, False])
def test_instructions_with_an_image_are_tagged_parts_wherever_they_stand(midway):
    messages = messages_of(developer([text("Look:"), image()]), user("hi"), to=target(midway_system=midway))
    assert [part["type"] for part in messages[0]["content"]] == ["text", "text", "image_url", "text"]
    assert messages[0]["content"][0]["text"] == "<developer>"


def test_a_list_of_instructions_is_read_like_input_in_front_of_it():
    instructions = [developer("Be brief."), user("example?"), assistant("answer.")]
    items = [reasoning("thought"), call("a"), output("a")]
    translation = translate(items, instructions=instructions)
    assert translation.chat["messages"] == [
        system("Be brief."),
        user("example?"),
        said("a", content="answer.", reasoning_content="thought"),
        tool("a"),
    ]
    assert translation.items == 6


def test_what_is_wrong_with_the_instructions_is_named_by_their_own_path():
    with pytest.raises(ClientFault) as caught:
        chat_of("hi", instructions=[user([{"type": "input_file", "file_id": "file_1"}])])
    assert caught.value.param == "instructions[0].content[0]"


def test_the_input_keeps_its_paths_behind_the_items_of_earlier_turns():
    request = read_request({"model": "m", "input": [{"type": "newest_item"}]})
    translation = to_chat(request, target(), [Message(role="user", content="earlier")])
    assert translation.notes == ("input[0]: an item of type 'newest_item' was sent as text",)
    assert translation.chat["messages"][0] == user("earlier")


# -- turns ----------------------------------------------------------------------------------------------------


def test_a_string_is_one_user_message():
    assert chat_of("hi")["messages"] == [user("hi")]


def test_reasoning_text_and_calls_of_a_turn_are_one_message():
    items = [
        user("q"),
        reasoning("first"),
        assistant("Well."),
        reasoning("then"),
        assistant("So."),
        call("a"),
        call("b"),
        output("b", "B"),
        output("a", "A"),
    ]
    assert messages_of(*items) == [
        user("q"),
        said("a", "b", content="Well.\n\nSo.", reasoning_content="first\n\nthen"),
        tool("a", "A"),
        tool("b", "B"),
    ]


def test_an_answered_turn_is_over():
    items = [call("a"), output("a"), assistant("Then."), call("b"), output("b")]
    assert messages_of(*items) == [said("a"), tool("a"), said("b", content="Then."), tool("b")]


@pytest.mark.parametrize(
    "between", [user("wait"), developer("note"), assistant("aside"), {"type": "newest_item"}]
)
def test_what_stands_between_a_call_and_its_output_is_moved_behind_it(between):
    items = [call("a"), call("b"), output("a", "A"), between, output("b", "B"), user("go on")]
    translation = translate(items)
    assert_accepted(translation.chat)
    assert translation.chat["messages"][:3] == [said("a", "b"), tool("a", "A"), tool("b", "B")]
    assert "input[4]: moved up to its call 'b'" in translation.notes


def test_a_call_without_an_output_is_said_to_have_none():
    translation = translate([call("a"), user("stop")])
    assert translation.chat["messages"] == [said("a"), tool("a", NO_OUTPUT), user("stop")]
    assert translation.notes == ("call 'a' has no output",)


def test_of_two_outputs_the_last_wins():
    translation = translate([call("a"), output("a", "old"), output("a", "new")])
    assert translation.chat["messages"] == [said("a"), tool("a", "new")]
    assert translation.notes == ("input[2]: a second output of call 'a' replaced the first",)


@pytest.mark.parametrize(
    ("orphan", "words"),
    [
        (output("gone", "X"), "<tool_output>\nX\n</tool_output>"),
        (
            {"type": "function_call_output", "name": "goal", "namespace": "agent", "output": "X"},
            "<tool_output name=agent.goal>\nX\n</tool_output>",
        ),
        ({"output": "X", "name": "goal"}, "<tool_output name=goal>\nX\n</tool_output>"),
        ({"type": "custom_tool_call_output", "output": "X"}, "<tool_output>\nX\n</tool_output>"),
    ],
)
def test_an_output_without_its_call_is_text(orphan, words):
    translation = translate([user("hi"), orphan])
    assert translation.chat["messages"] == [user("hi"), user(words)]
    assert translation.notes == ("input[1]: an output without its call was sent as text",)


def test_an_output_that_comes_before_its_call_is_text_and_the_call_has_none():
    translation = translate([output("a", "early"), call("a"), user("hi")])
    assert_accepted(translation.chat)
    assert [message["role"] for message in translation.chat["messages"]] == [
        "user",
        "assistant",
        "tool",
        "user",
    ]


def test_an_image_of_an_orphan_output_stays_between_its_tags():
    (message,) = messages_of({"output": [text("see"), image()]})
    assert [part["type"] for part in message["content"]] == ["text", "text", "image_url", "text"]


def test_equal_ids_within_a_turn_are_told_apart_and_answered_in_order():
    items = [call("a"), call("a"), call("a_1"), output("a", "1"), output("a", "2"), output("a_1", "3")]
    translation = translate(items)
    assert_accepted(translation.chat)
    ids = [each["id"] for each in translation.chat["messages"][0]["tool_calls"]]
    assert ids == ["a", "a_1", "a_1_2"]
    assert [message["content"] for message in translation.chat["messages"][1:]] == ["1", "2", "3"]
    assert translation.notes == (
        "input[1]: a second call 'a' in one turn was renamed",
        "input[2]: a second call 'a_1' in one turn was renamed",
    )


class Looked(dict):
    """A dict that counts how often something is looked for in it."""

    looks = 0

    def __contains__(self, key):
        self.looks += 1
        return super().__contains__(key)


def test_names_that_are_taken_are_passed_over_once(monkeypatch):
    """Who takes the names that equal ids would get does not make each of them go through all of these."""
    ids = Looked()

    class Watched(AssistantTurn):
        def __init__(self, where):
            super().__init__(where, ids=ids)

    monkeypatch.setattr("shim.core.messages.AssistantTurn", Watched)
    many = 200
    taken = [call(f"a_{number}") for number in range(many, 2 * many)]
    translation = translate([*taken, *[call("a")] * many])
    assert_accepted(translation.chat)
    told = [each["id"] for each in translation.chat["messages"][0]["tool_calls"]]
    assert len(set(told)) == 2 * many
    assert ids.looks < 5 * many


def test_an_id_used_again_in_a_later_turn_is_answered_there_even_if_the_first_never_was():
    items = [call("a"), user("stop"), call("a"), output("a", "late")]
    assert messages_of(*items) == [
        said("a"),
        tool("a", NO_OUTPUT),
        user("stop"),
        said("a"),
        tool("a", "late"),
    ]


def test_an_empty_call_id_is_one_all_the_same():
    assert messages_of(call(""), output("", "X")) == [said("call_0"), tool("call_0", "X")]


@pytest.mark.parametrize("arguments", ["", "  ", "\n"])
def test_no_arguments_are_an_empty_object(arguments):
    assert messages_of(call(arguments=arguments), output()) == [said("a"), tool("a")]


@pytest.mark.parametrize("arguments", ["{", "[]", "null", '"x"', '{"a": NaN}', '{"a":"\\ud83d"}'])
def test_arguments_that_are_no_object_are_sent_inside_one(arguments):
    translation = translate([call(arguments=arguments), output()])
    (made,) = translation.chat["messages"][0]["tool_calls"]
    assert json.loads(made["function"]["arguments"]) == {"invalid_json": arguments}
    assert translation.notes == ("input[0].arguments: not a JSON object; sent inside one",)


def test_a_conversation_that_ends_with_the_assistant_is_asked_to_go_on():
    translation = translate([user("hi"), assistant("I was cut")])
    assert_accepted(translation.chat)
    assert translation.chat["messages"] == [user("hi"), assistant("I was cut"), user(CONTINUE)]
    assert translation.notes == ("input: ends with the assistant's words; 'Continue.' was added",)


@pytest.mark.parametrize(
    "items", [[], [reasoning("hm")], [assistant("")], [{"type": "additional_tools", "tools": []}]]
)
def test_input_that_says_nothing_is_refused(items):
    with pytest.raises(ClientFault) as caught:
        chat_of(items)
    assert (caught.value.param, caught.value.code) == ("input", "empty_array")


def test_an_empty_assistant_message_is_left_out():
    assert messages_of(user("hi"), assistant(""), user("there")) == [user("hi"), user("there")]
    assert notes_of(user("hi"), assistant([])) == ("input[1]: an empty assistant message was left out",)


def test_an_item_reference_cannot_be_followed():
    for item in ({"type": "item_reference", "id": "msg_1"}, {"id": "msg_1"}):
        with pytest.raises(ClientFault, match="Item with id 'msg_1' not found") as caught:
            chat_of([item])
        assert caught.value.param == "input"


# -- other calls ----------------------------------------------------------------------------------------------

CALLS = {
    "custom": (
        {"type": "custom_tool_call", "name": "edit", "input": 'a "b"\n'},
        {"type": "custom_tool_call_output", "output": "ok"},
        ("edit", {"input": 'a "b"\n'}, "ok"),
    ),
    "local shell": (
        {
            "type": "local_shell_call",
            "action": {"type": "exec", "command": ["ls"], "env": {}, "timeout_ms": None},
        },
        {"type": "local_shell_call_output", "output": "a.txt"},
        ("local_shell", {"command": ["ls"]}, "a.txt"),
    ),
    "shell": (
        {"type": "shell_call", "action": {"commands": ["ls", "pwd", "x", "y"], "timeout_ms": 5}},
        {
            "type": "shell_call_output",
            "output": [
                {"stdout": "a", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}},
                {"stdout": "", "stderr": "no", "outcome": {"type": "timeout"}},
                {"stdout": None},
            ],
        },
        (
            "shell",
            {"commands": ["ls", "pwd", "x", "y"], "timeout_ms": 5},
            "a\n[exit code 0]\n[stderr]\nno\n[timed out]\n",
        ),
    ),
    "shell with text": (
        {"type": "shell_call", "action": {"commands": ["ls"]}},
        {"type": "shell_call_output", "output": "a"},
        ("shell", {"commands": ["ls"]}, "a"),
    ),
    "apply patch": (
        {"type": "apply_patch_call", "operation": {"type": "delete_file", "path": "a"}},
        {"type": "apply_patch_call_output", "status": "failed", "output": "no such file"},
        ("apply_patch", {"type": "delete_file", "path": "a"}, "failed: no such file"),
    ),
    "apply patch without a word": (
        {"type": "apply_patch_call", "operation": {"type": "update_file", "path": "a", "diff": "+"}},
        {"type": "apply_patch_call_output"},
        ("apply_patch", {"type": "update_file", "path": "a", "diff": "+"}, "completed"),
    ),
    "tool search": (
        {"type": "tool_search_call", "execution": "client", "arguments": {"query": "x"}},
        {
            "type": "tool_search_output",
            "tools": [{"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "g"}]}],
        },
        ("tool_search", {"query": "x"}, '{"tools":["n__g"]}'),
    ),
    "tool search with text": (
        {"type": "tool_search_call", "arguments": '{"query":"x"}'},
        {"type": "tool_search_output"},
        ("tool_search", {"query": "x"}, '{"tools":[]}'),
    ),
}


@pytest.mark.parametrize("case", CALLS)
def test_a_call_of_another_kind_is_a_call_of_the_function_that_stands_for_it(case):
    made, answered, (name, arguments, content) = CALLS[case]
    chat = chat_of([made | {"call_id": "a"}, answered | {"call_id": "a"}])
    assert_accepted(chat)
    spoken, answer = chat["messages"]
    (function,) = [each["function"] for each in spoken["tool_calls"]]
    assert (function["name"], json.loads(function["arguments"])) == (name, arguments)
    assert answer == tool("a", content)


def test_the_output_of_a_local_shell_call_may_name_it_in_its_id():
    made = {"type": "local_shell_call", "call_id": "a", "action": {"command": ["ls"]}}
    assert messages_of(made, {"type": "local_shell_call_output", "id": "a", "output": "x"})[1] == tool(
        "a", "x"
    )


def test_a_search_that_ran_on_a_server_has_no_id_and_no_arguments():
    translation = translate([{"type": "tool_search_call"}, user("hi")])
    assert_accepted(translation.chat)
    assert translation.chat["messages"][0] == said(("call_0", "tool_search", "{}"))


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (
            {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"query": "x"}},
            '<web_search_call>\n{"status":"completed","action":{"query":"x"}}\n</web_search_call>',
        ),
        (
            {"type": "image_generation_call", "result": "iVBORw0KGgo"},
            '<image_generation_call>\n{"result":"[image]"}\n</image_generation_call>',
        ),
        (
            {"type": "computer_call_output", "output": [{"image_url": IMAGE, "n": 1}]},
            '<computer_call_output>\n{"output":[{"image_url":"[image]","n":1}]}\n</computer_call_output>',
        ),
        ({"type": "mcp_list_tools"}, "<mcp_list_tools>\n{}\n</mcp_list_tools>"),
    ],
)
def test_an_item_that_chat_has_no_form_for_is_tagged_json(item, words):
    translation = translate([item])
    assert translation.chat["messages"] == [user(words)]
    assert translation.notes == (f"input[0]: an item of type {item['type']!r} was sent as text",)


def test_a_message_between_agents_is_a_user_message():
    item = {
        "type": "agent_message",
        "author": "/root",
        "recipient": "/root/adder",
        "content": [text("Payload:"), {"type": "encrypted_content", "encrypted_content": "compute 2+2"}],
    }
    assert messages_of(item) == [user("Payload:\ncompute 2+2")]


# -- reasoning ------------------------------------------------------------------------------------------------

LOOPS = [
    user("one"),
    reasoning("old"),
    call("a"),
    output("a"),
    user("two"),
    reasoning("new"),
    call("b"),
    output("b"),
]
LEFT_OUT = "reasoning: that of earlier turns was left out"
NOT_TAKEN = "reasoning: not sent back to this upstream"


@pytest.mark.parametrize(
    ("to", "kept", "notes"),
    [
        (target(replay="turn"), [None, "new"], (LEFT_OUT,)),
        (target(replay="all"), ["old", "new"], ()),
        (target(replay="none"), [None, None], (NOT_TAKEN,)),
        (target(replay="all", reasoning_field=None), [None, None], (NOT_TAKEN,)),
    ],
)
def test_reasoning_goes_back_as_far_as_the_setting_says_and_its_loss_is_noted(to, kept, notes):
    translation = translate(LOOPS, to)
    spoken = [message for message in translation.chat["messages"] if message["role"] == "assistant"]
    assert [message.get("reasoning_content") for message in spoken] == kept
    assert translation.notes == notes


def test_reasoning_goes_back_under_the_name_that_the_upstream_reads():
    spoken = messages_of(*LOOPS, to=target(reasoning_field="reasoning"))[-2]
    assert spoken["reasoning"] == "new"
    assert "reasoning_content" not in spoken


PARTS = {"content": [text("raw"), text("text")], "summary": [{"type": "summary_text", "text": "short"}]}


@pytest.mark.parametrize(
    ("item", "sent", "notes"),
    [
        (PARTS, "raw\n\ntext", ("input[0].summary: left out beside the reasoning itself",)),
        (PARTS | {"content": None, "encrypted_content": seal("short")}, "short", ()),
        (PARTS | {"content": []}, "short", ()),
        ({"encrypted_content": seal("thought")}, "thought", ()),
        (
            PARTS | {"content": [], "encrypted_content": "elsewhere"},
            "short",
            ("input[0].encrypted_content: made elsewhere, cannot be read",),
        ),
        (
            {"encrypted_content": "elsewhere"},
            None,
            ("input[0].encrypted_content: made elsewhere, cannot be read",),
        ),
        (
            {"content": [image()]},
            None,
            ("input[0].content: images, files and audio cannot stand here and were left out",),
        ),
        (
            {"content": [{"type": "odd", "text": 3}]},
            None,
            ("input[0].content[0]: a part of type 'odd' was left out",),
        ),
        ({}, None, ()),
    ],
)
def test_reasoning_is_its_raw_text_or_its_seal_or_its_summary(item, sent, notes):
    translation = translate([{"type": "reasoning", **item}, call("a"), output("a")])
    assert translation.chat["messages"][0].get("reasoning_content") == sent
    assert translation.notes == notes


def test_reasoning_without_an_answer_is_left_out_with_a_note():
    translation = translate([user("hi"), reasoning("hm"), user("there")])
    assert translation.chat["messages"] == [user("hi"), user("there")]
    assert translation.notes == ("input[1]: reasoning without an answer was left out",)


# -- compaction -----------------------------------------------------------------------------------------------

TRIGGER = {"type": "compaction_trigger"}


def test_a_trigger_at_the_end_asks_the_model_for_a_summary_without_calls_or_schema():
    schema = {"format": {"type": "json_object"}}
    declared = [{"type": "function", "name": "f"}]
    translation = translate(
        [user("hi"), assistant("ho"), TRIGGER],
        tools=declared,
        tool_choice={"type": "function", "name": "f"},
        text=schema,
    )
    assert_accepted(translation.chat)
    assert translation.compaction
    assert translation.chat["messages"] == [user("hi"), assistant("ho"), user(COMPACTION_PROMPT)]
    assert translation.chat["tool_choice"] == "none"
    assert "response_format" not in translation.chat
    assert translation.notes == ("text.format: left out, since a compaction is plain text",)


def test_a_trigger_elsewhere_asks_for_nothing():
    translation = translate([TRIGGER, user("hi")])
    assert not translation.compaction
    assert translation.chat["messages"] == [user("hi")]
    assert translation.notes == ("input[0]: only a compaction_trigger at the end asks for a compaction",)


@pytest.mark.parametrize("kind", ["compaction", "context_compaction", "compaction_summary"])
def test_a_compaction_of_our_own_is_opened(kind):
    messages = messages_of({"type": kind, "encrypted_content": seal("so far")}, user("go on"))
    assert messages == [user("<conversation_summary>\nso far\n</conversation_summary>"), user("go on")]


@pytest.mark.parametrize("sealed", ["elsewhere", None, ""])
def test_a_compaction_made_elsewhere_is_left_out_with_a_note(sealed):
    translation = translate([{"type": "compaction", "encrypted_content": sealed}, user("go on")])
    assert translation.chat["messages"] == [user("go on")]
    assert translation.notes == ("input[0]: a compaction made elsewhere cannot be read and was left out",)


def test_reasoning_and_compaction_that_the_real_sealer_sealed_are_opened_again():
    ours, other = (SealKeys.of([secret]).sealer("content", "alice") for secret in (b"secret", b"another"))
    to = Target(GRID, Instrument("m"), ours.unseal)
    items = [
        {"type": "compaction", "encrypted_content": ours.seal("so far")},
        reasoning(encrypted_content=ours.seal("thought")),
        reasoning(encrypted_content=other.seal("not ours")),
        call("a"),
        output("a"),
    ]
    translation = translate(items, to)
    assert translation.chat["messages"][0] == user("<conversation_summary>\nso far\n</conversation_summary>")
    assert translation.chat["messages"][1]["reasoning_content"] == "thought"
    assert translation.notes == ("input[2].encrypted_content: made elsewhere, cannot be read",)


def test_a_local_shells_output_may_name_its_call_by_the_items_id():
    call = {"type": "local_shell_call", "id": "lsh_1", "call_id": "c", "action": {"command": ["ls"]}}
    messages = messages_of(
        user("Hi"), call, {"type": "local_shell_call_output", "id": "lsh_1", "output": "a.txt"}
    )
    assert messages[-1] == {"role": "tool", "tool_call_id": "c", "content": "a.txt"}


@pytest.mark.parametrize(
    "aside", [{"type": "web_search_call", "id": "ws_1", "status": "completed"}, user("And hurry")]
)
def test_reasoning_of_the_running_tool_loop_goes_back_whatever_stands_within(aside):
    reasoning = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm"}]}
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c", "output": "ok"}
    within = [reasoning, call, aside] if "role" in aside else [reasoning, aside, call]
    messages = messages_of(user("Hi"), *within, output)
    (assistant,) = [message for message in messages if message["role"] == "assistant"]
    assert assistant["reasoning_content"] == "Hm"
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "user"]


def test_who_speaks_among_agents_is_noted():
    said = {"type": "agent_message", "author": "/root", "recipient": "/root/a", "content": "Add 2 and 2"}
    assert any("author and recipient" in note for note in notes_of(said))


def test_an_agent_message_without_names_needs_no_note():
    said = {"type": "agent_message", "content": "Add 2 and 2"}
    assert notes_of(said) == ()
    assert messages_of(said) == [user("Add 2 and 2")]
