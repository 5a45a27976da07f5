"""Prompt templates: put by the command line, filled in by requests."""

import json

import openai
import pytest
from stateful_stack import MODEL, said

from shim.cli.commands import run


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
