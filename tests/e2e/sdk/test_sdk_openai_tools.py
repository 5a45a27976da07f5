"""`openai` for Python: tools of every kind that the shim serves, and their outputs as the next input."""

from __future__ import annotations

import json

import openai
import pytest
from pydantic import BaseModel
from sdk_stage import MODEL, PIXEL, SEEING_MODEL, by_type, replayed

from shim.simulator import Call, Dialect, Turn

pytestmark = pytest.mark.e2e

ADD = {
    "type": "function",
    "name": "add",
    "description": "Adds two numbers.",
    "parameters": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
    "strict": True,
}
PATCH = '*** Begin Patch\n*** Add File: a.txt\n+Grüße, "you" 👋\n*** End Patch\n'
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": 'start: "*** Begin Patch" /(.|\\n)+/'}


class Add(BaseModel):
    """Adds two numbers."""

    a: int
    b: int


def user(text):
    return {"role": "user", "content": text}


def run_tools(client, items, **options):
    """A tool loop as the SDK's guide writes it; returns the last response."""
    while True:
        response = client.responses.create(model=MODEL, input=items, tools=[ADD], **options)
        items += response.output
        calls = by_type(response).get("function_call", ())
        if not calls:
            return response
        for call in calls:
            numbers = json.loads(call.arguments)
            output = str(numbers["a"] + numbers["b"])
            items.append({"type": "function_call_output", "call_id": call.call_id, "output": output})


def test_a_tool_loop_replays_the_output_until_the_model_answers(here, client):
    items = [user('call add {"a": 1, "b": 2}\nthen call add {"a": 3, "b": 4}')]
    response = run_tools(client, items)
    assert response.output_text == "add answered: 7"
    messages = here.asked["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant", "tool"]
    assert [message["content"] for message in messages if message["role"] == "tool"] == ["3", "7"]
    assert all("reasoning_content" in message for message in messages if message["role"] == "assistant")


def test_parallel_calls_come_in_one_response_and_go_back_in_one_turn(here, client):
    items = [user('call add {"a": 1, "b": 2}\ncall add {"a": 3, "b": 4}')]
    response = run_tools(client, items)
    assert response.output_text == "add answered: 3\nadd answered: 7"
    assistant = here.asked["messages"][1]
    assert len(assistant["tool_calls"]) == 2


def test_a_streamed_call_grows_and_is_parsed_into_its_class(client):
    tools = [openai.pydantic_function_tool(Add, name="add")]
    tool = {"type": "function", **tools[0]["function"]}
    with client.responses.stream(model=MODEL, input='call add {"a": 12, "b": 30}', tools=[tool]) as stream:
        snapshots = [
            event.snapshot for event in stream if event.type == "response.function_call_arguments.delta"
        ]
        final = stream.get_final_response()
    [call] = by_type(final)["function_call"]
    assert len(snapshots) > 1
    assert json.loads(snapshots[-1]) == {"a": 12, "b": 30}
    assert call.arguments == snapshots[-1]
    assert call.parsed_arguments == {"a": 12, "b": 30}


def test_interleaved_parallel_calls_are_streamed_one_after_the_other(here, client):
    here.script(
        Turn(
            calls=[Call("add", {"a": 1, "b": 2}, "call_one"), Call("add", {"a": 3, "b": 4}, "call_two")],
            dialect=Dialect(calls_interleaved=True, call_names="blank", call_ids="blank"),
        )
    )
    with client.responses.stream(model=MODEL, input="Add.", tools=[ADD]) as stream:
        order = [
            (event.type.rpartition(".")[2], event.output_index)
            for event in stream
            if event.type in ("response.output_item.added", "response.output_item.done")
        ]
        final = stream.get_final_response()
    assert order == [("added", 0), ("done", 0), ("added", 1), ("done", 1)]
    assert [(call.call_id, json.loads(call.arguments)) for call in final.output] == [
        ("call_one", {"a": 1, "b": 2}),
        ("call_two", {"a": 3, "b": 4}),
    ]


def test_a_forced_function_is_called_and_a_forbidden_one_is_not(here, client):
    forced = client.responses.create(
        model=MODEL, input="Hello", tools=[ADD], tool_choice={"type": "function", "name": "add"}
    )
    assert by_type(forced)["function_call"][0].name == "add"
    forbidden = client.responses.create(
        model=MODEL, input='call add {"a": 1, "b": 2}', tools=[ADD], tool_choice="none"
    )
    assert "function_call" not in by_type(forbidden)


def test_allowed_tools_hide_the_others(here, client):
    other = {**ADD, "name": "subtract"}
    choice = {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "subtract"}],
    }
    response = client.responses.create(model=MODEL, input="Go.", tools=[ADD, other], tool_choice=choice)
    assert by_type(response)["function_call"][0].name == "subtract"
    assert [tool["function"]["name"] for tool in here.asked["tools"]] == ["subtract"]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_custom_tool_gets_plain_text_and_answers_in_plain_text(here, client, streamed):
    tool = {"type": "custom", "name": "patch", "description": "Applies a patch.", "format": GRAMMAR}
    items = [user("call patch " + json.dumps({"input": PATCH}))]
    if streamed:
        with client.responses.stream(model=MODEL, input=items, tools=[tool]) as stream:
            told = [e.delta for e in stream if e.type == "response.custom_tool_call_input.delta"]
            first = stream.get_final_response()
        assert len(told) > 1
        assert "".join(told) == PATCH
    else:
        first = client.responses.create(model=MODEL, input=items, tools=[tool])
    [call] = by_type(first)["custom_tool_call"]
    assert (call.name, call.input) == ("patch", PATCH)
    items += [
        *replayed(first),
        {"type": "custom_tool_call_output", "call_id": call.call_id, "output": "Done!"},
    ]
    second = client.responses.create(model=MODEL, input=items, tools=[tool])
    assert second.output_text == "patch answered: Done!"
    [sent] = here.asked["messages"][1]["tool_calls"]
    assert json.loads(sent["function"]["arguments"]) == {"input": PATCH}


def test_a_shell_call_names_its_commands_and_takes_their_outcome(here, client):
    tools = [{"type": "shell", "environment": {"type": "local"}}]
    arguments = {"commands": ["ls -l", 'echo "hi"'], "timeout_ms": 1000}
    items = [user("call shell " + json.dumps(arguments))]
    with client.responses.stream(model=MODEL, input=items, tools=tools) as stream:
        commands = [e.command for e in stream if e.type == "response.shell_call_command.done"]
        first = stream.get_final_response()
    [call] = by_type(first)["shell_call"]
    assert call.action.commands == commands == arguments["commands"]
    assert call.action.timeout_ms == 1000
    output = [
        {"stdout": "a.txt", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}},
        {"stdout": "", "stderr": "no", "outcome": {"type": "timeout"}},
    ]
    items += [*replayed(first), {"type": "shell_call_output", "call_id": call.call_id, "output": output}]
    second = client.responses.create(model=MODEL, input=items, tools=tools)
    assert second.output_text == "shell answered: a.txt\n[exit code 0]\n[stderr]\nno\n[timed out]"


def test_a_local_shell_call_is_an_argument_vector(here, client):
    tools = [{"type": "local_shell"}]
    arguments = {"command": ["git", "status"], "working_directory": "/tmp", "env": {"A": "b"}}
    items = [user("call local_shell " + json.dumps(arguments))]
    first = client.responses.create(model=MODEL, input=items, tools=tools)
    [call] = by_type(first)["local_shell_call"]
    assert (call.action.type, call.action.command) == ("exec", ["git", "status"])
    assert (call.action.working_directory, call.action.env) == ("/tmp", {"A": "b"})
    output = {"type": "local_shell_call_output", "id": call.call_id, "output": "clean"}
    second = client.responses.create(model=MODEL, input=[*items, *replayed(first), output], tools=tools)
    assert second.output_text == "local_shell answered: clean"


@pytest.mark.parametrize("kind", ["create_file", "update_file", "delete_file"])
def test_an_apply_patch_call_is_an_operation_on_one_file(here, client, kind):
    tools = [{"type": "apply_patch"}]
    operation = {"type": kind, "path": "a/b.py"} | ({} if kind == "delete_file" else {"diff": "@@\n-a\n+b\n"})
    items = [user("call apply_patch " + json.dumps(operation))]
    with client.responses.stream(model=MODEL, input=items, tools=tools) as stream:
        told = [e.delta for e in stream if e.type == "response.apply_patch_call_operation_diff.delta"]
        first = stream.get_final_response()
    [call] = by_type(first)["apply_patch_call"]
    assert call.operation.model_dump() == operation
    assert "".join(told) == operation.get("diff", "")
    output = {
        "type": "apply_patch_call_output",
        "call_id": call.call_id,
        "status": "completed",
        "output": "ok",
    }
    second = client.responses.create(model=MODEL, input=[*items, *replayed(first), output], tools=tools)
    assert second.output_text == "apply_patch answered: completed: ok"
    [sent] = here.asked["messages"][1]["tool_calls"]
    assert json.loads(sent["function"]["arguments"]) == operation


def test_a_tool_in_a_namespace_is_called_by_both_names(here, client):
    tools = [{"type": "namespace", "name": "calc", "description": "Sums.", "tools": [ADD]}]
    here.script(
        Turn(
            respond=lambda asked: Turn(calls=[Call(asked["tools"][0]["function"]["name"], {"a": 1, "b": 1})])
        )
    )
    first = client.responses.create(model=MODEL, input="Add.", tools=tools)
    [call] = by_type(first)["function_call"]
    assert (call.namespace, call.name) == ("calc", "add")
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "2"}
    client.responses.create(model=MODEL, input=[user("Add."), *replayed(first), output], tools=tools)
    [sent] = here.asked["messages"][1]["tool_calls"]
    assert sent["function"]["name"] == here.asked["tools"][0]["function"]["name"]


def test_client_side_tool_search_brings_new_tools_into_the_conversation(here, client):
    search = {
        "type": "tool_search",
        "execution": "client",
        "description": "Finds tools.",
        "parameters": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
    }
    items = [user('call tool_search {"query": "sums"}\nthen call add {"a": 2, "b": 2}')]
    first = client.responses.create(model=MODEL, input=items, tools=[search])
    [call] = by_type(first)["tool_search_call"]
    assert (call.execution, call.arguments) == ("client", {"query": "sums"})
    found = {
        "type": "tool_search_output",
        "call_id": call.call_id,
        "execution": "client",
        "status": "completed",
        "tools": [ADD],
    }
    second = client.responses.create(model=MODEL, input=[*items, *replayed(first), found], tools=[search])
    assert by_type(second)["function_call"][0].name == "add"


def test_a_hosted_tool_is_left_out_and_told_in_a_header(client):
    raw = client.responses.with_raw_response.create(
        model=MODEL, input="say Hi", tools=[{"type": "web_search"}, ADD]
    )
    assert "web_search" in raw.headers["x-shim-notes"]
    assert raw.parse().output_text == "Hi"


def test_an_image_in_a_tool_output_reaches_a_model_that_sees(here, client):
    tool = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
    items = [user("call look {}")]
    first = client.responses.create(model=SEEING_MODEL, input=items, tools=[tool])
    [call] = by_type(first)["function_call"]
    parts = [
        {"type": "input_text", "text": "a pixel"},
        {"type": "input_image", "image_url": PIXEL, "detail": "auto"},
    ]
    output = {"type": "function_call_output", "call_id": call.call_id, "output": parts}
    response = client.responses.create(
        model=SEEING_MODEL, input=[*items, *replayed(first), output], tools=[tool]
    )
    assert response.status == "completed"
    told, shown = here.asked["messages"][-2:]
    assert (told["role"], told["content"]) == ("tool", "a pixel\n[image]")
    assert shown["role"] == "user"
    assert shown["content"][-1]["image_url"]["url"] == PIXEL
