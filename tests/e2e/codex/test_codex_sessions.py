"""Whole sessions: answers by schema, reviews, resumption, compaction, titles, and a quiet screen."""

import json
import subprocess

import jsonschema
import pytest
from codex_cli import STDIN_NOTICE

from shim.simulator import Call, Turn

FULL = {"prompt_tokens": 5_000, "completion_tokens": 10, "total_tokens": 5_010}
LITTLE = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
COMPACT_AT = 3_000
NAMES = {"local": "The Grid", "remote": "OpenAI"}
"""Codex compacts by itself with any provider, and by a request of its own with one of OpenAI's name."""


def texts(chat, role="user"):
    return [message["content"] for message in chat["messages"] if message["role"] == role]


def test_our_configuration_makes_codex_warn_of_nothing(codex):
    user = codex()
    run = user.exec('call exec_command {"cmd": "true"}')
    assert run.notices == []
    assert run.stderr.strip() in {"", STDIN_NOTICE}

    shown = user.command("exec", "--skip-git-repo-check", "say hello")
    assert shown.stdout == "hello\n"
    for word in ("warn", "error", "metadata", "deprecated", "unsupported", "reconnecting"):
        assert word not in shown.stderr.lower()


def test_the_catalogue_gives_codex_its_editing_tool_and_no_tool_that_nobody_can_run(stack, codex):
    codex().exec("say hello")

    names = {tool["function"]["name"] for tool in stack.chats[0]["tools"]}
    assert {"exec_command", "write_stdin", "apply_patch"} <= names
    assert not {name for name in names if "web_search" in name or "agent" in name or name == "tool_search"}
    assert stack.chats[0]["reasoning_effort"] == "medium"


def test_an_answer_satisfies_the_output_schema(stack, codex):
    schema = {
        "type": "object",
        "properties": {"count": {"type": "integer"}, "name": {"type": "string"}},
        "required": ["count", "name"],
        "additionalProperties": False,
    }
    user = codex()
    (user.work / "schema.json").write_text(json.dumps(schema))
    run = user.exec("--output-schema", "schema.json", "count them")

    jsonschema.validate(json.loads(run.answer), schema)
    assert stack.chats[0]["response_format"]["json_schema"]["schema"] == schema


def test_a_review_shows_its_findings(stack, codex):
    user = codex()
    commit = "git init -q && git -c user.name=a -c user.email=a@example.org commit -q --allow-empty -m start"
    subprocess.run(commit, shell=True, cwd=user.work, check=True)
    (user.work / "new.py").write_text("print(1 / 0)\n")
    finding = {
        "title": "Division by zero",
        "body": "This line always fails.",
        "confidence_score": 0.9,
        "priority": 1,
        "code_location": {
            "absolute_file_path": str(user.work / "new.py"),
            "line_range": {"start": 1, "end": 1},
        },
    }
    verdict = {
        "findings": [finding],
        "overall_correctness": "patch is incorrect",
        "overall_explanation": "It fails at once.",
        "overall_confidence_score": 0.9,
    }
    stack.say(Turn(calls=[Call("exec_command", {"cmd": "cat new.py"})]), Turn(text=json.dumps(verdict)))

    run = user.exec("review", "--uncommitted")

    assert run.code == 0
    assert run.answer.startswith("It fails at once.")
    assert f"- Division by zero — {user.work / 'new.py'}:1-1\n  This line always fails." in run.answer


def test_a_resumed_session_remembers(stack, codex):
    user = codex()
    user.exec("say first")
    run = user.resume("say second")

    assert run.answer == "second"
    assert texts(stack.chats[1])[-2:] == ["say first", "say second"]
    assert texts(stack.chats[1], "assistant") == ["first"]


def test_a_session_resumes_with_another_instrument(stack, codex):
    user = codex()
    user.exec('call exec_command {"cmd": "echo kept"}')
    run = user.resume("--model", "claude-opus-latest", "say changed")

    assert run.answer == "changed"
    assert stack.chats[-1]["model"] == "claude-opus-latest"
    assert texts(stack.chats[-1], "tool")[0].endswith("kept\n")


@pytest.mark.parametrize("kind", NAMES)
def test_a_full_session_is_compacted_before_its_next_turn(stack, codex, kind):
    user = codex(provider={"name": NAMES[kind]}, model_auto_compact_token_limit=COMPACT_AT)
    stack.say(Turn(text="A long story.", usage=FULL))
    user.exec("say one")
    stack.say(Turn(text="SUMMARY", usage=LITTLE))
    run = user.resume("say two")

    assert (run.code, run.notices, run.answer) == (0, [], "two")
    compaction, after = stack.chats[1:]
    assert "A long story." in texts(compaction, "assistant")
    assert texts(after, "assistant") == []
    assert texts(after)[-3] == "say one"
    assert "SUMMARY" in texts(after)[-2]
    assert texts(after)[-1] == "say two"


@pytest.mark.parametrize("kind", NAMES)
def test_a_session_that_fills_up_within_a_turn_is_compacted_there(stack, codex, kind):
    user = codex(provider={"name": NAMES[kind]}, model_auto_compact_token_limit=COMPACT_AT)
    stack.say(
        Turn(reasoning="Look first.", calls=[Call("exec_command", {"cmd": "echo looked"})], usage=FULL),
        Turn(reasoning="Sum up.", text="SUMMARY", usage=LITTLE),
        Turn(text="Finished.", usage=LITTLE),
    )
    run = user.exec("work")

    assert (run.code, run.notices, run.answer) == (0, [], "Finished.")
    assert run.outputs == ["looked\n"]
    assert texts(stack.chats[1], "tool")[0].endswith("looked\n")
    assert any("SUMMARY" in text for text in texts(stack.chats[2]))
    assert texts(stack.chats[2], "tool") == []


def test_a_compacted_session_outlives_the_endpoint_that_compacted_it(start, codex):
    first = start()
    first.say(Turn(text="A long story.", usage=FULL))
    user = codex(first.base_url, provider={"name": "OpenAI"}, model_auto_compact_token_limit=COMPACT_AT)
    user.exec("say one")
    first.say(Turn(text="SUMMARY", usage=LITTLE))
    user.resume("say two")

    second = start()
    run = user.resume("-c", f'model_providers.grid.base_url="{second.base_url}"', "say three")

    assert run.answer == "three"
    assert any("SUMMARY" in text for text in texts(second.chats[0]))


def test_the_compaction_that_a_model_refuses_ends_the_turn_with_its_reason(stack, codex):
    user = codex(
        provider={"name": "OpenAI", "stream_max_retries": 0}, model_auto_compact_token_limit=COMPACT_AT
    )
    stack.say(Turn(text="A long story.", usage=FULL))
    user.exec("say one")
    stack.say(Turn(text="", usage=LITTLE))
    run = user.resume("say two")

    assert run.code == 1
    assert "The model wrote no summary to compact the conversation into." in run.failure


def test_a_session_in_the_terminal_gets_its_title(stack, codex):
    user = codex()
    trust = f'projects."{user.work}".trust_level="trusted"'
    with user.terminal("-c", trust, "say hello") as wait:
        wait((user.home / "session_index.jsonl").exists)

    asked = [chat for chat in stack.chats if "response_format" in chat]
    assert len(asked) == 1
    schema = asked[0]["response_format"]["json_schema"]["schema"]
    [thread] = (user.home / "session_index.jsonl").read_text().splitlines()
    jsonschema.validate({"title": json.loads(thread)["thread_name"]}, schema)
