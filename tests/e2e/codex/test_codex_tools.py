"""Tools: what the model asks for is done by Codex, and what comes of it reaches the model."""

import base64
import sys
from pathlib import Path

import pytest

from shim.simulator import Call, Turn

MCP_SERVER = Path(__file__).parent / "mcp_server.py"
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
PATCH = """\
*** Begin Patch
*** Update File: notes.txt
@@
 one
-two
+three
*** End Patch
"""


@pytest.fixture
def mcp():
    return {"mcp_servers": {"demo": {"command": sys.executable, "args": [str(MCP_SERVER)]}}}


def tool_names(chat):
    return [tool["function"]["name"] for tool in chat["tools"]]


def by_role(chat, role):
    return [message for message in chat["messages"] if message["role"] == role]


def test_a_shell_command_runs_and_its_output_reaches_the_model(stack, codex):
    run = codex().exec('call exec_command {"cmd": "echo from-the-shell"}')

    assert run.code == 0
    assert run.outputs == ["from-the-shell\n"]
    [output] = by_role(stack.chats[1], "tool")
    assert output["content"].endswith("Output:\nfrom-the-shell\n")
    assert run.answer.endswith("Output:\nfrom-the-shell\n")


def test_the_first_message_is_the_only_system_message_and_holds_all_instructions(stack, codex):
    user = codex()
    (user.work / "AGENTS.md").write_text("Write British English.")
    user.exec("say hello")

    [chat] = stack.chats
    assert by_role(chat, "system") == chat["messages"][:1]
    assert chat["messages"][0]["content"].startswith("You are a coding agent.")
    assert "Write British English." in by_role(chat, "user")[0]["content"]


def test_a_session_in_a_terminal_can_be_written_to(stack, codex):
    stack.say(
        Turn(
            calls=[
                Call(
                    "exec_command", {"cmd": "read name; echo hello $name", "tty": True, "yield_time_ms": 250}
                )
            ]
        ),
        Turn(
            respond=lambda request: Turn(
                calls=[Call("write_stdin", {"session_id": _session(request), "chars": "Ada\n"})]
            )
        ),
    )
    run = codex().exec("greet me")

    assert run.code == 0
    assert "hello Ada" in by_role(stack.chats[2], "tool")[1]["content"]


def _session(request):
    text = request["messages"][-1]["content"]
    return int(text.partition("session ID ")[2].split()[0])


def test_a_patch_changes_the_file(stack, codex):
    user = codex()
    notes = user.work / "notes.txt"
    notes.write_text("one\ntwo\n")
    stack.say(Turn(calls=[Call("apply_patch", {"input": PATCH})]), Turn(text="Changed."))

    run = user.exec("change it")

    assert notes.read_text() == "one\nthree\n"
    [change] = run.items("file_change")
    assert [(one["path"], one["kind"]) for one in change["changes"]] == [(str(notes), "update")]
    assert by_role(stack.chats[1], "tool")[0]["content"].endswith("M notes.txt\n")
    assert run.answer == "Changed."


@pytest.mark.parametrize(
    "arguments",
    [
        {"input": f"```\n{PATCH}```"},
        {"patch": PATCH},
        PATCH,
    ],
    ids=["a-fence", "another-name", "no-json"],
)
def test_a_patch_that_the_model_wrapped_wrongly_changes_the_file_all_the_same(stack, codex, arguments):
    user = codex()
    notes = user.work / "notes.txt"
    notes.write_text("one\ntwo\n")
    stack.say(Turn(calls=[Call("apply_patch", arguments)]))

    assert user.exec("say done").code == 0
    assert notes.read_text() == "one\nthree\n"


def test_parallel_calls_all_run_and_are_answered_in_their_order(stack, codex):
    run = codex().exec("\n".join(f'call exec_command {{"cmd": "echo {word}"}}' for word in "abc"))

    assert sorted(run.outputs) == ["a\n", "b\n", "c\n"]
    [asked] = by_role(stack.chats[1], "assistant")
    outputs = by_role(stack.chats[1], "tool")
    assert [call["id"] for call in asked["tool_calls"]] == [output["tool_call_id"] for output in outputs]
    assert [output["content"][-2:] for output in outputs] == ["a\n", "b\n", "c\n"]
    assert len(stack.chats) == 2


def test_a_call_with_broken_arguments_is_answered_and_the_session_goes_on(stack, codex):
    stack.say(Turn(calls=[Call("exec_command", '{"cmd": "echo never')]))
    run = codex().exec("say recovered")

    assert run.answer == "recovered"
    assert "failed to parse function arguments" in by_role(stack.chats[1], "tool")[0]["content"]


def test_a_tool_of_an_mcp_server_is_called_in_its_namespace(stack, codex, mcp):
    run = codex(**mcp).exec('call mcp__demo__echo {"text": "hey"}')

    [call] = run.items("mcp_tool_call")
    assert (call["server"], call["tool"], call["status"]) == ("demo", "echo", "completed")
    assert call["result"]["content"] == [{"type": "text", "text": "you said hey"}]
    assert by_role(stack.chats[1], "tool")[0]["content"].endswith("you said hey")


def test_an_image_reaches_an_instrument_that_sees(stack, codex):
    user = codex(model="claude-opus-latest")
    (user.work / "a.png").write_bytes(PIXEL)
    run = user.exec("--image", "a.png", "--", "say seen")

    assert run.answer == "seen"
    parts = by_role(stack.chats[0], "user")[-1]["content"]
    [image] = [part for part in parts if part["type"] == "image_url"]
    assert base64.b64decode(image["image_url"]["url"].partition("base64,")[2]).startswith(b"\x89PNG")
    assert parts[-1] == {"type": "text", "text": "say seen"}


def test_an_image_that_a_tool_shows_reaches_the_model_after_the_tools_answer(stack, codex):
    user = codex(model="claude-opus-latest")
    (user.work / "a.png").write_bytes(PIXEL)
    stack.say(Turn(calls=[Call("view_image", {"path": str(user.work / "a.png")})]))
    user.exec("say seen")

    assert [message["role"] for message in stack.chats[1]["messages"][-3:]] == ["assistant", "tool", "user"]
    assert stack.chats[1]["messages"][-1]["content"][-1]["type"] == "image_url"


def test_an_instrument_that_sees_nothing_is_told_that_an_image_was_left_out(stack, codex):
    user = codex(model="code-prime")
    (user.work / "a.png").write_bytes(PIXEL)
    run = user.exec("--image", "a.png", "--", "say unseen")

    assert run.answer == "unseen"
    assert "image content omitted" in by_role(stack.chats[0], "user")[-1]["content"]


# -- models that Codex knows by name, as its users have them: an alias at the endpoint, no catalogue ---------------


@pytest.fixture
def alias(codex):
    return lambda model, **options: codex(model=model, provider={"model_catalog_url": None}, **options)


def test_a_model_in_code_mode_runs_its_script(stack, alias):
    script = 'const done = await tools.exec_command({cmd: "echo from-js"});\ntext(done.output);\n'
    stack.say(Turn(calls=[Call("exec", {"input": script})]), Turn(text="Ran."))

    run = alias("gpt-5.6-sol").exec("go")

    assert (run.code, run.answer, run.outputs) == (0, "Ran.", ["from-js\n"])
    assert stack.chats[0]["model"] == "code-prime"
    assert stack.chats[0]["parallel_tool_calls"] is False
    assert {"exec", "wait", "collaboration__spawn_agent"} <= set(tool_names(stack.chats[0]))
    assert by_role(stack.chats[1], "tool")[0]["content"].endswith("from-js\n")


def test_a_model_with_tool_search_finds_a_tool_calls_it_and_patches(stack, alias, mcp):
    user = alias("gpt-5.5", **mcp)
    notes = user.work / "notes.txt"
    notes.write_text("one\ntwo\n")
    stack.say(
        Turn(calls=[Call("tool_search", {"query": "echo"})]),
        Turn(calls=[Call("mcp__demo__echo", {"text": "found"})]),
        Turn(calls=[Call("apply_patch", {"input": PATCH})]),
    )
    run = user.exec("say all done")

    assert run.answer == "all done"
    assert "mcp__demo__echo" not in tool_names(stack.chats[0])
    assert "mcp__demo__echo" in tool_names(stack.chats[1])
    assert run.items("mcp_tool_call")[0]["status"] == "completed"
    assert notes.read_text() == "one\nthree\n"
