"""Tools as functions, their names there and back, and every form of tool choice."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from request_asks import (
    assert_accepted,
    call,
    chat_of,
    function,
    messages_of,
    notes_of,
    output,
    target,
    translate,
    user,
)

from shim.core.profile import PRESETS
from shim.core.tools import CUSTOM_PARAMETERS, NAME_LIMIT, Toolbox, choose, flat_name
from shim.core.tools import _find as find
from shim.errors import ClientFault
from shim.simulator.strict_tools import TOOL_NAME
from shim.wire.tools import AllowedTools, NamedChoice

FORMAT = {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}}


def custom(name="edit", **fields):
    return {"type": "custom", "name": name, **fields}


def namespace(name, *tools):
    return {"type": "namespace", "name": name, "description": "", "tools": list(tools)}


SEARCH = {"type": "tool_search", "execution": "client"}
WEB = {"type": "web_search"}


def sent(*tools, **fields):
    """The functions that go upstream."""
    chat = chat_of("hi", tools=list(tools), **fields)
    assert_accepted(chat)
    return [tool["function"] for tool in chat.get("tools", [])]


def names(*tools, **fields):
    return [each["name"] for each in sent(*tools, **fields)]


def toolbox(*tools) -> Toolbox:
    return translate("hi", tools=list(tools)).toolbox


# -- declarations ---------------------------------------------------------------------------------------------


def test_a_function_goes_as_it_is():
    declared = {"description": "Does f.", "parameters": {"type": "object", "properties": {}}, "strict": True}
    assert sent(function(**declared)) == [{"name": "f", **declared}]


@pytest.mark.parametrize("strict", [None, False])
def test_strictness_is_said_only_where_it_was_asked_for(strict):
    assert sent(function(strict=strict)) == [
        {"name": "f", "parameters": {"type": "object", "properties": {}}}
    ]


def test_an_upstream_that_does_not_know_strict_is_not_told_of_it():
    to = target(PRESETS["deepseek"], json_schema=True)
    chat = chat_of(
        "hi",
        to,
        tools=[function(strict=True)],
        text=FORMAT | {"format": {**FORMAT["format"], "strict": True}},
    )
    assert "strict" not in chat["tools"][0]["function"]
    assert "strict" not in chat["response_format"]["json_schema"]


@pytest.mark.parametrize(
    ("how", "shown"),
    [
        ({}, None),
        ({"format": {"type": "text"}}, None),
        (
            {"format": {"type": "grammar", "syntax": "lark", "definition": "start: X"}},
            "this lark grammar:\nstart: X",
        ),
        ({"format": {"type": "grammar", "syntax": "regex", "definition": "a+"}}, "this regex grammar:\na+"),
        ({"format": {"type": "grammar", "definition": "start: X"}}, "this lark grammar:\nstart: X"),
    ],
)
def test_a_custom_tool_is_a_function_of_one_string_that_tells_its_format(how, shown):
    (tool,) = sent(custom(description="Edits files.", **how))
    assert tool["parameters"] == CUSTOM_PARAMETERS
    assert tool["description"].startswith("Edits files.\n\n")
    assert "the string `input`" in tool["description"]
    assert ("grammar" in tool["description"]) is (shown is not None)
    assert shown is None or tool["description"].endswith(shown)


def test_a_custom_tool_without_a_description_says_how_it_is_called():
    (tool,) = sent(custom())
    assert tool["description"].startswith("Here this tool is a function")


@pytest.mark.parametrize(
    ("kind", "required"),
    [("local_shell", ["command"]), ("shell", ["commands"]), ("apply_patch", ["type", "path"])],
)
def test_a_built_in_tool_is_a_function_with_the_arguments_of_its_item(kind, required):
    (tool,) = sent({"type": kind})
    assert tool["name"] == kind
    assert tool["parameters"]["required"] == required


def test_the_environment_of_a_shell_is_kept_for_its_calls():
    declared = toolbox({"type": "shell", "environment": {"type": "local"}}).declared("shell")
    assert declared.environment == {"type": "local"}


def test_a_search_that_the_client_runs_is_a_function():
    (plain,) = sent(SEARCH)
    assert (plain["name"], plain["parameters"]["required"]) == ("tool_search", ["query"])
    (told,) = sent(
        SEARCH | {"description": "Finds.", "parameters": {"type": "object", "properties": {"q": {}}}}
    )
    assert (told["description"], list(told["parameters"]["properties"])) == ("Finds.", ["q"])


@pytest.mark.parametrize(
    "tool",
    [
        WEB,
        {"type": "mcp", "server_label": "x"},
        {"type": "tool_search"},
        {"type": "tool_search", "execution": "server"},
        {"type": "from_the_future"},
    ],
)
def test_a_tool_that_the_apis_servers_run_is_left_out_with_one_note(tool):
    translation = translate("hi", tools=[function(), tool, tool])
    assert [each["function"]["name"] for each in translation.chat["tools"]] == ["f"]
    assert translation.notes == (
        f"tools: {tool['type']!r} would run on the API's own servers and was left out",
    )


@pytest.mark.parametrize("tools", [None, [], [WEB]])
def test_without_functions_nothing_about_tools_is_sent(tools):
    chat = chat_of("hi", tools=tools, tool_choice="auto", parallel_tool_calls=False)
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & chat.keys()


def test_tools_join_from_everywhere_and_a_later_declaration_replaces_an_earlier_one_in_place():
    added = {"type": "additional_tools", "tools": [function("g"), function("f", description="new")]}
    found = {"type": "tool_search_output", "call_id": "s", "tools": [namespace("n", function("h"))]}
    chat = chat_of(
        [added, user("hi"), found],
        tools=[function("f", description="old"), custom("c")],
        instructions=[added],
    )
    assert [(t["function"]["name"], t["function"].get("description", "")[:3]) for t in chat["tools"]] == [
        ("f", "new"),
        ("c", "Her"),
        ("g", ""),
        ("n__h", ""),
    ]


# -- names ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "name", "flat"),
    [
        (None, "f", "f"),
        ("mcp__demo", "echo", "mcp__demo__echo"),
        (None, "x" * 64, "x" * 64),
    ],
)
def test_a_name_that_chat_can_bear_stays(place, name, flat):
    assert flat_name(place, name) == flat


@pytest.mark.parametrize(
    ("place", "name"),
    [(None, "x" * 65), (None, "a.b"), (None, "ü"), ("n" * 40, "m" * 40), (None, ""), (None, "\ud800")],
)
def test_a_name_that_chat_cannot_bear_becomes_one_that_it_can_always_the_same(place, name):
    flat = flat_name(place, name)
    assert TOOL_NAME.fullmatch(flat)
    assert flat == flat_name(place, name)
    assert flat not in (flat_name(place, name + "x"), flat_name("other", name))


@pytest.mark.parametrize("alias", ["functions", ""])
def test_codexs_names_for_no_namespace_are_none(alias):
    assert names(namespace(alias, function())) == ["f"]
    assert toolbox(namespace(alias, function())).declared("f").namespace is None
    spoken = messages_of(call(namespace=alias), output(), tools=[namespace(alias, function())])
    assert spoken[0]["tool_calls"][0]["function"]["name"] == "f"


def test_a_namespaced_tool_is_found_again_by_its_flat_name_and_by_its_bare_name_if_only_one_has_it():
    box = toolbox(namespace("a", function("x"), function("y")), namespace("b", function("y"), custom("z")))
    for chat_name, wanted in {
        "a__x": ("function", "x", "a"),
        "b__y": ("function", "y", "b"),
        "b__z": ("custom", "z", "b"),
        "x": ("function", "x", "a"),
        "z": ("custom", "z", "b"),
        "y": ("function", "y", None),
        "made up": ("function", "made up", None),
    }.items():
        tool = box.declared(chat_name)
        assert (tool.kind, tool.name, tool.namespace) == wanted


KINDS = ("function", "custom", "shell", "local_shell", "apply_patch", "tool_search")


@st.composite
def declarations(draw):
    """Tools whose names are made to collide."""
    name = draw(
        st.sampled_from(
            ["shell", "a__b", "b", "a.b", "a_b", "apply_patch", "tool_search", "x" * 70, "ü", "é"]
        )
    )
    kind = draw(st.sampled_from(KINDS))
    tool = {"type": kind, "name": name} if kind in ("function", "custom") else {"type": kind}
    if kind == "tool_search":
        return SEARCH
    place = draw(st.sampled_from([None, None, "a", "a__b", "functions"]))
    return namespace(place, tool) if place and kind in ("function", "custom") else tool


@given(tools=st.lists(declarations(), max_size=8))
def test_every_declared_tool_has_a_name_of_its_own_that_leads_back_to_it(tools):
    chat_names = names(*tools)
    box = toolbox(*tools)
    assert len(set(chat_names)) == len(chat_names) == len(box.by_key)
    assert all(len(name) <= NAME_LIMIT for name in chat_names)
    for (kind, place, name), tool in box.by_key.items():
        found = box.declared(tool.chat_name)
        assert (found.kind, found.namespace or "", found.name) == (kind, place, name)
        assert box.chat_name(kind, name, place or None) == tool.chat_name


def test_a_function_named_like_a_flattened_tool_and_three_tools_of_one_name_stay_apart():
    chat_names = names(
        namespace("a", function("b")), function("a__b"), function("shell"), custom("shell"), {"type": "shell"}
    )
    assert chat_names[0] == "a__b"
    assert len(set(chat_names)) == 5


def test_a_name_that_looks_like_a_made_one_gets_another():
    made = names(function("shell"), custom("shell"))[1]
    assert len(set(names(function(made), function("shell"), custom("shell")))) == 3


def test_calls_of_tools_that_are_not_declared_now_keep_their_names():
    history = [
        call("a", "old", "{}"),
        call("b", "echo", "{}", namespace="mcp__gone"),
        {"type": "custom_tool_call", "call_id": "c", "name": "edit", "input": "x"},
        output("a"),
        output("b"),
        output("c"),
    ]
    chat = chat_of(history)
    assert_accepted(chat)
    said = [each["function"]["name"] for each in chat["messages"][0]["tool_calls"]]
    assert said == ["old", "mcp__gone__echo", "edit"]


# -- choices --------------------------------------------------------------------------------------------------

TOOLS = [function(), custom(), namespace("n", function("g")), {"type": "shell"}, SEARCH, WEB]
EVERY = ["f", "edit", "n__g", "shell", "tool_search"]


def chosen(choice, to=None, **fields):
    chat = chat_of("hi", to, tools=TOOLS, tool_choice=choice, **fields)
    assert_accepted(chat)
    return chat.get("tool_choice"), [tool["function"]["name"] for tool in chat["tools"]]


def named(name):
    return {"type": "function", "function": {"name": name}}


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        (None, None),
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ({"type": "function", "name": "f"}, named("f")),
        ({"type": "custom", "name": "edit"}, named("edit")),
        ({"type": "function", "name": "g"}, named("n__g")),
        ({"type": "function", "name": "g", "namespace": "n"}, named("n__g")),
        ({"type": "function", "name": "f", "namespace": "functions"}, named("f")),
        ({"type": "shell"}, named("shell")),
        ({"type": "tool_search"}, named("tool_search")),
    ],
)
def test_a_choice_is_said_in_chats_words(choice, wanted):
    assert chosen(choice) == (wanted, EVERY)


def test_an_upstream_that_takes_no_object_gets_only_that_tool_and_must_call_it():
    assert chosen({"type": "custom", "name": "edit"}, target(object_tool_choice=False)) == (
        "required",
        ["edit"],
    )


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_allowed_tools_really_are_the_only_ones(mode):
    allowed = [{"type": "function", "name": "g"}, {"type": "custom", "name": "edit"}, {"type": "web_search"}]
    assert chosen({"type": "allowed_tools", "mode": mode, "tools": allowed}) == (mode, ["edit", "n__g"])


def test_a_choice_that_names_tools_again_and_again_looks_for_each_once(monkeypatch):
    looked = []
    monkeypatch.setattr("shim.core.tools._find", lambda one, box: (looked.append(one), find(one, box))[1])
    allowed = [{"type": "function", "name": "g"}, {"type": "custom", "name": "edit"}, {"type": "web_search"}]
    choice = {"type": "allowed_tools", "tools": allowed * 100}
    assert chosen(choice) == ("auto", ["edit", "n__g"])
    assert len(looked) == 2


class Untouched(dict):
    """A dict that nobody goes through."""

    def __iter__(self):
        raise AssertionError

    keys = values = items = __iter__


def test_a_tool_is_found_by_its_bare_name_without_going_through_all():
    box = toolbox(*[namespace(f"n{number}", function(f"f{number}")) for number in range(3)], WEB)
    box.by_key = Untouched(box.by_key)
    assert box.declared("f2").namespace == "n2"
    named = [NamedChoice(type="function", name="f1"), NamedChoice(type="web_search")]
    only = choose(AllowedTools(type="allowed_tools", tools=named), box, objects=True).only
    assert only == {("function", "n1", "f1")}


def test_if_only_hosted_tools_are_allowed_there_are_none():
    choice = {"type": "allowed_tools", "mode": "auto", "tools": [WEB]}
    chat = chat_of("hi", tools=TOOLS, tool_choice=choice, parallel_tool_calls=True)
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & chat.keys()


REFUSED = {
    "an absent function": (
        {"type": "function", "name": "x"},
        ("Tool choice 'function' not found in 'tools' parameter.", "tool_choice", None),
    ),
    "a function of another namespace": (
        {"type": "function", "name": "g", "namespace": "m"},
        ("Tool choice 'function' not found in 'tools' parameter.", "tool_choice", None),
    ),
    "an absent built-in tool": (
        {"type": "apply_patch"},
        ("Tool choice 'apply_patch' not found in 'tools' parameter.", "tool_choice", None),
    ),
    "an absent tool among the allowed": (
        {"type": "allowed_tools", "tools": [{"type": "custom", "name": "x"}]},
        ("Tool choice 'custom' not found in 'tools' parameter.", "tool_choice", None),
    ),
    "chat's own shape": (
        {"type": "function", "function": {"name": "f"}},
        ("Missing required parameter: 'tool_choice.name'.", "tool_choice.name", "missing_required_parameter"),
    ),
}
FORCED_HOSTED = {
    "a hosted tool": {"type": "web_search"},
    "only hosted tools allowed, one required": {"type": "allowed_tools", "mode": "required", "tools": [WEB]},
    "no tool allowed, one required": {"type": "allowed_tools", "mode": "required", "tools": []},
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_choice_of_what_is_not_there_is_refused(case):
    choice, (message, param, code) = REFUSED[case]
    with pytest.raises(ClientFault) as caught:
        chosen(choice)
    assert (caught.value.message, caught.value.param, caught.value.code) == (message, param, code)


@pytest.mark.parametrize("case", FORCED_HOSTED)
def test_a_tool_that_nobody_can_run_cannot_be_forced(case):
    with pytest.raises(ClientFault) as caught:
        chosen(FORCED_HOSTED[case])
    assert (caught.value.param, caught.value.code) == ("tool_choice", "unsupported_tool")


CANNOT_FORCE = (
    "Tool choice 'web_search' cannot be forced: the upstream has no hosted tools. "
    "Offer the model a function of your own instead."
)


@pytest.mark.parametrize(
    ("tools", "message"),
    [
        ([], "Tool choice 'required' must be specified with 'tools' parameter."),
        ([WEB], CANNOT_FORCE),
    ],
)
def test_a_call_cannot_be_required_where_there_is_nothing_to_call(tools, message):
    with pytest.raises(ClientFault) as caught:
        chat_of("hi", tools=tools, tool_choice="required")
    assert caught.value.message == message


@pytest.mark.parametrize(
    "choice",
    [
        "required",
        {"type": "function", "name": "f"},
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
    ],
)
def test_a_forced_call_wins_over_a_schema(choice):
    translation = translate("hi", tools=TOOLS, tool_choice=choice, text=FORMAT, parallel_tool_calls=False)
    assert "response_format" not in translation.chat
    assert "text.format: left out, since a tool must be called" in translation.notes
    assert translation.chat["parallel_tool_calls"] is False


@pytest.mark.parametrize("choice", ["auto", "none", None])
def test_a_schema_stays_where_no_call_is_forced_or_where_the_upstream_takes_both(choice):
    assert "response_format" in chat_of("hi", tools=TOOLS, tool_choice=choice, text=FORMAT)
    both = target(replace(PRESETS["grid"], format_with_tools=True))
    assert "response_format" in chat_of("hi", both, tools=TOOLS, tool_choice="required", text=FORMAT)


def test_a_shell_in_a_container_of_the_apis_own_is_hosted():
    shell = {"type": "shell", "environment": {"type": "container_auto"}}
    assert "tools" not in chat_of([user("Hi")], tools=[shell])
    assert any("'shell' would run" in note for note in notes_of(user("Hi"), tools=[shell]))


def test_the_skills_of_a_local_shell_stand_in_its_description():
    skill = {"name": "pdf", "description": "Reads PDFs", "path": "/skills/pdf"}
    shell = {"type": "shell", "environment": {"type": "local", "skills": [skill, "junk"]}}
    (tool,) = chat_of([user("Hi")], tools=[shell])["tools"]
    assert tool["function"]["description"].endswith("- pdf (/skills/pdf): Reads PDFs")


def test_what_a_namespace_says_of_itself_is_noted():
    space = {"type": "namespace", "name": "mcp__demo", "description": "Demo", "tools": []}
    assert "tools: the description of namespace 'mcp__demo' was left out" in notes_of(
        user("Hi"), tools=[space]
    )
