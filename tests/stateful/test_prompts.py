"""Prompt templates: put by the command line, filled in by requests."""

import asyncio
import json
from contextlib import aclosing

import openai
import pytest
from stateful_stack import MODEL, said

from shim.cli.commands import run
from shim.exchange.prompts import EVERYONE
from shim.settings import Settings
from shim.store import open_store


@pytest.fixture
def put(stack, store, tmp_path):
    """Stores a template under an id, as the command line does."""
    if store == "memory":
        pytest.skip("the command line cannot reach the memory of another process")

    def putting(prompt_id, **template):
        file = tmp_path / "template.json"
        file.write_text(json.dumps(template))
        assert cli("prompts", "put", str(file), "--id", prompt_id, "--store", store) == 0

    return putting


def cli(*arguments):
    with pytest.raises(SystemExit) as ended:
        run(list(arguments))
    return ended.value.code


def test_a_prompt_gives_what_the_request_leaves_out(stack, client, put):
    put("pmpt_1", model=MODEL, instructions="Speak {{ language }}.", input="Greet {{name}}.", temperature=0.5)
    made = client.responses.create(
        prompt={"id": "pmpt_1", "variables": {"language": "French", "name": "Zoë"}}, input="say hello"
    )
    assert [said(message) for message in stack.messages] == [
        ("system", "Speak French."),
        ("user", "Greet Zoë."),
        ("user", "say hello"),
    ]
    assert (made.temperature, made.model, made.instructions) == (0.5, MODEL, "Speak French.")
    assert made.prompt.model_dump(exclude_none=True) == {
        "id": "pmpt_1",
        "variables": {"language": "French", "name": "Zoë"},
    }
    assert client.responses.retrieve(made.id).prompt == made.prompt


def test_the_request_wins_and_versions_are_kept(stack, client, put):
    put("pmpt_1", model=MODEL, instructions="old", input="x")
    put("pmpt_1", model="none", instructions="new", input="x")
    client.responses.create(prompt={"id": "pmpt_1", "version": "1"})
    assert said(stack.messages[0]) == ("system", "old")
    client.responses.create(prompt={"id": "pmpt_1"}, model=MODEL)
    assert said(stack.messages[0]) == ("system", "new")
    client.responses.create(prompt={"id": "pmpt_1"}, model=MODEL, instructions="mine")
    assert said(stack.messages[0]) == ("system", "mine")


def test_a_variable_may_be_an_input_part(stack, client, put):
    put("pmpt_1", model=MODEL, input=[{"role": "user", "content": "Look: {{what}}!"}])
    part = {"type": "input_text", "text": "a picture"}
    made = client.responses.create(prompt={"id": "pmpt_1", "variables": {"what": part}})
    item = client.responses.input_items.list(made.id).data[0]
    assert [each.text for each in item.content] == ["Look: ", "a picture", "!"]


@pytest.mark.parametrize(
    ("prompt", "status", "param"),
    [
        ({"id": "pmpt_none"}, 404, "prompt"),
        ({"id": "pmpt_1", "version": "9", "variables": {"name": "x"}}, 404, "prompt"),
        ({"id": "pmpt_1", "version": "latest"}, 400, "prompt.version"),
        ({"id": "pmpt_1"}, 400, "prompt.variables.name"),
        ({"id": "pmpt_1", "variables": {"name": {"type": "input_image"}}}, 400, "prompt.variables.name"),
        ({"version": "1"}, 400, "prompt.id"),
        ("pmpt_1", 400, "prompt"),
    ],
)
def test_a_prompt_that_cannot_be_filled_in_is_told(stack, put, prompt, status, param):
    put("pmpt_1", instructions="Call me {{name}}.")
    with stack.http() as http:
        reply = http.post("/responses", json={"model": MODEL, "input": "hi", "prompt": prompt})
    assert (reply.status_code, reply.json()["error"]["param"]) == (status, param)


@pytest.mark.parametrize("given", [5, True, {"a": 1}, 0])
def test_input_of_another_kind_is_refused_beside_that_of_a_prompt(stack, put, given):
    put("pmpt_1", input="Greet me.")
    with stack.http() as http:
        reply = http.post("/responses", json={"model": MODEL, "input": given, "prompt": {"id": "pmpt_1"}})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "input")


def test_a_version_is_a_number_however_it_is_written(stack, client, put):
    put("pmpt_1", model=MODEL, instructions="old", input="x")
    put("pmpt_1", model=MODEL, instructions="new", input="x")
    for version in ("1", "01", "0" * 30 + "1"):
        client.responses.create(prompt={"id": "pmpt_1", "version": version})
        assert said(stack.messages[0]) == ("system", "old")


ABSENT = ("0", "1" + "0" * 9, "1000000001", "1" * 18, "1" * 19, str(1 << 63), "1" * 40, "1" * 5000)


def test_a_version_that_is_not_there_is_no_other_one(stack, store):
    """Also one that no store could count to, and one whose beginning is a version that is there."""

    async def kept():
        async with aclosing(await open_store(Settings(store=store))) as opened:
            for number in (1, 11, 100_000_000, 111_111_111):
                await opened.prompts.put(EVERYONE, "pmpt_1", b'{"instructions": "x"}', 1, number)

    if store != "memory":
        asyncio.run(kept())
    with stack.http() as http:
        for version in ABSENT:
            prompt = {"id": "pmpt_1", "version": version}
            reply = http.post("/responses", json={"model": MODEL, "input": "hi", "prompt": prompt})
            assert (reply.status_code, reply.json()["error"]["code"]) == (404, "prompt_not_found")
            assert version[:20] in reply.json()["error"]["message"]


def test_a_version_that_is_no_number_is_told(stack):
    with stack.http() as http:
        for version in ("", " 1", "+1", "-1", "1.0", "1_0", "\u0661", "\u00b2", "0x1"):
            prompt = {"id": "pmpt_1", "version": version}
            reply = http.post("/responses", json={"model": MODEL, "input": "hi", "prompt": prompt})
            assert (reply.status_code, reply.json()["error"]["param"]) == (400, "prompt.version")


@pytest.mark.parametrize("command", ["show", "delete"])
def test_the_command_line_counts_no_further_than_a_store(tmp_path, command, capsys):
    store = f"sqlite:///{tmp_path}/store.sqlite3"
    for version, status in (("9" * 18, 1), ("9" * 19, 2), ("9" * 40, 2)):
        assert cli("prompts", command, "pmpt_1", "--version", version, "--store", store) == status
        assert "Traceback" not in capsys.readouterr().err


def test_a_variable_that_the_prompt_lacks_is_noted(stack, put):
    put("pmpt_1", instructions="Hello.")
    with stack.http() as http:
        body = {"model": MODEL, "input": "hi", "prompt": {"id": "pmpt_1", "variables": {"odd": "x"}}}
        reply = http.post("/responses", json=body)
    assert "prompt.variables.odd: not in the prompt" in reply.headers["x-shim-notes"]


def test_the_command_line_lists_shows_and_deletes(store, put, capsys):
    put("pmpt_1", instructions="Call me {{name}}.")
    put("pmpt_1", instructions="Call me {{nick}}.")
    capsys.readouterr()
    assert cli("prompts", "list", "--store", store) == 0
    listed = capsys.readouterr().out
    assert "pmpt_1" in listed
    assert "nick" in listed
    assert "name" not in listed.splitlines()[-1]
    assert cli("prompts", "show", "pmpt_1", "--version", "1", "--store", store) == 0
    assert json.loads(capsys.readouterr().out) == {"instructions": "Call me {{name}}."}
    assert cli("prompts", "delete", "pmpt_1", "--store", store) == 0
    assert cli("prompts", "show", "pmpt_1", "--store", store) == 1
    assert cli("prompts", "delete", "pmpt_1", "--store", store) == 1


def test_wrong_templates_and_stores_are_told_in_a_sentence(tmp_path, capsys):
    store = f"sqlite:///{tmp_path}/store.sqlite3"
    file = tmp_path / "template.json"
    for text, said_of_it in (
        ("{", "not valid JSON"),
        ("[]", "no JSON object"),
        ('{"stream": true}', "stream"),
    ):
        file.write_text(text)
        assert cli("prompts", "put", str(file), "--store", store) == 1
        assert said_of_it in capsys.readouterr().err
    assert cli("prompts", "put", str(tmp_path / "none.json"), "--store", store) == 1
    assert cli("prompts", "list", "--store", "memory") == 1
    assert "would not outlive" in capsys.readouterr().err


def test_a_prompt_needs_no_input_of_its_own_but_some_input(stack, client, put):
    put("pmpt_1", model=MODEL, instructions="Hello.")
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(prompt={"id": "pmpt_1"})
    assert refused.value.code == "missing_required_parameter"
