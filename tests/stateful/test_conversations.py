"""Conversations: created, changed, listed, and taken part in."""

import threading
from urllib.parse import quote

import openai
import pytest
from stateful_stack import MODEL, said

from shim.simulator import Hold, Turn


def texts(listed):
    return [item.content[0].text for item in listed]


def test_a_conversation_from_its_creation_to_its_deletion(stack, client):
    made = client.conversations.create(
        metadata={"topic": "cats"},
        items=[{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}],
    )
    assert made.id.startswith("conv_")
    assert (made.object, made.metadata) == ("conversation", {"topic": "cats"})
    assert client.conversations.retrieve(made.id) == made
    changed = client.conversations.update(made.id, metadata={"topic": "dogs"})
    assert (changed.id, changed.created_at, changed.metadata) == (made.id, made.created_at, {"topic": "dogs"})
    assert client.conversations.retrieve(made.id) == changed
    gone = client.conversations.delete(made.id)
    assert gone.model_dump() == {"id": made.id, "object": "conversation.deleted", "deleted": True}
    for attempt in (
        client.conversations.retrieve,
        client.conversations.delete,
        client.conversations.items.list,
    ):
        with pytest.raises(openai.NotFoundError) as unknown:
            attempt(made.id)
        assert unknown.value.body["message"] == f"Conversation with id '{made.id}' not found."


def test_items_are_added_listed_retrieved_and_deleted(stack, client):
    made = client.conversations.create()
    added = client.conversations.items.create(
        made.id, items=[{"role": "user", "content": f"number {number}"} for number in range(5)]
    )
    assert (added.object, added.has_more, len(added.data)) == ("list", False, 5)
    assert (added.first_id, added.last_id) == (added.data[0].id, added.data[-1].id)
    assert all(item.id.startswith("msg_") and item.status == "completed" for item in added.data)
    listed = client.conversations.items.list(made.id, limit=2, include=["reasoning.encrypted_content"])
    assert texts(listed) == [f"number {number}" for number in (4, 3, 2, 1, 0)]
    assert texts(client.conversations.items.list(made.id, order="asc", after=added.data[2].id)) == [
        "number 3",
        "number 4",
    ]
    one = client.conversations.items.retrieve(added.data[1].id, conversation_id=made.id)
    assert one == added.data[1]
    assert client.conversations.items.delete(one.id, conversation_id=made.id) == made
    for attempt in (client.conversations.items.retrieve, client.conversations.items.delete):
        with pytest.raises(openai.NotFoundError):
            attempt(one.id, conversation_id=made.id)
    assert len(client.conversations.items.list(made.id).data) == 4


def test_an_item_whose_id_is_taken_is_refused(stack, client):
    made = client.conversations.create()
    (kept,) = client.conversations.items.create(made.id, items=[{"role": "user", "content": "old"}]).data
    items = [{"role": "user", "content": "x"}, {"id": kept.id, "role": "user", "content": "new"}]
    with pytest.raises(openai.BadRequestError) as refused:
        client.conversations.items.create(made.id, items=items)
    assert refused.value.param == "items[1].id"
    assert refused.value.body["message"] == f"Item with id '{kept.id}' already exists in the conversation."
    assert client.conversations.items.list(made.id).data == [kept]


def test_another_key_finds_no_conversation(stack, client):
    made = client.conversations.create(items=[{"role": "user", "content": "hello"}])
    item = client.conversations.items.list(made.id).data[0]
    with stack.http("bob") as http:
        for method, path, body in (
            ("GET", "", None),
            ("POST", "", {"metadata": {}}),
            ("DELETE", "", None),
            ("GET", "/items", None),
            ("POST", "/items", {"items": [{"role": "user", "content": "x"}]}),
            ("GET", f"/items/{item.id}", None),
            ("DELETE", f"/items/{item.id}", None),
        ):
            assert http.request(method, f"/conversations/{made.id}{path}", json=body).status_code == 404
        taken = http.post("/responses", json={"model": MODEL, "input": "x", "conversation": made.id})
    assert taken.status_code == 404
    assert client.conversations.retrieve(made.id) == made


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"items": [{"role": "user", "content": "x"}] * 21}, "items", "array_above_max_length"),
        ({"items": [{"role": "user"}]}, "items[0].content", "missing_required_parameter"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata", "object_above_max_properties"),
        ({"metadata": {"k": "v" * 513}}, "metadata.k", "string_above_max_length"),
        ({"metadata": {"k": 1}}, "metadata.k", "invalid_type"),
    ],
)
def test_a_wrong_conversation_is_told_in_openais_words(start, body, param, code):
    with start("memory").http() as http:
        reply = http.post("/conversations", json=body)
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert (error["param"], error["code"], error["type"]) == (param, code, "invalid_request_error")


def test_a_turn_reads_its_conversation_and_is_appended_to_it(stack, client):
    made = client.conversations.create(
        items=[{"role": "user", "content": "say zero"}, {"role": "assistant", "content": "zero"}]
    )
    first = client.responses.create(model=MODEL, input="say one", conversation=made.id)
    assert first.conversation.id == made.id
    client.responses.create(model=MODEL, input="say two", conversation={"id": made.id})
    assert [said(message)[1] for message in stack.messages] == [
        "say zero",
        "zero",
        "say one",
        "one",
        "say two",
    ]
    kept = [item for item in client.conversations.items.list(made.id, order="asc") if item.type == "message"]
    assert texts(kept) == ["say zero", "zero", "say one", "one", "say two", "two"]
    assert [item.role for item in kept] == ["user", "assistant"] * 3


LONG_IDS = ["m" * 300, "\u00e9" * 300, "nul\0nul"]


@pytest.mark.parametrize("name", LONG_IDS, ids=["long", "not ascii", "nul"])
def test_a_branch_has_once_what_was_said_before_it_however_items_are_named(stack, name):
    said_once = [{"role": "user", "content": "before"}]
    own = [{"type": "message", "id": name, "role": "user", "content": "say one"}]
    with stack.http() as http:
        made = http.post("/conversations", json={"items": said_once}).json()["id"]
        turn = http.post("/responses", json={"model": MODEL, "input": own, "conversation": made}).json()
        branch = {"model": MODEL, "input": "say two", "previous_response_id": turn["id"]}
        assert http.post("/responses", json=branch).status_code == 200
        page = http.get(f"/conversations/{made}/items?order=asc").json()
        after = http.get(f"/conversations/{made}/items", params={"order": "asc", "after": name}).json()
    assert [said(message)[1] for message in stack.messages] == ["before", "say one", "one", "say two"]
    assert [page["first_id"], page["last_id"]] == [page["data"][0]["id"], page["data"][-1]["id"]]
    assert (page["data"][1]["id"], after["first_id"]) == (name, page["data"][2]["id"])


@pytest.mark.parametrize("name", LONG_IDS, ids=["long", "not ascii", "nul"])
def test_a_page_begins_and_ends_with_the_ids_of_its_items(stack, name):
    item = {"type": "message", "id": name, "role": "user", "content": "x"}
    with stack.http() as http:
        made = http.post("/conversations", json={"items": [item]}).json()["id"]
        page = http.get(f"/conversations/{made}/items").json()
        one = http.get(f"/conversations/{made}/items/{quote(name, safe='')}").json()
    assert (page["first_id"], page["last_id"], one["id"]) == (name, name, name)


def test_an_answer_alone_continues_a_conversation(stack, client):
    made = client.conversations.create(items=[{"role": "user", "content": "say it"}])
    assert client.responses.create(model=MODEL, conversation=made.id).output_text == "it"


def test_a_conversation_and_a_previous_response_exclude_each_other(stack, client):
    made = client.conversations.create()
    first = client.responses.create(model=MODEL, input="hi")
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model=MODEL, input="x", conversation=made.id, previous_response_id=first.id)
    assert refused.value.code == "mutually_exclusive_parameters"


def test_one_turn_at_a_time(stack, client):
    made = client.conversations.create()
    hold = Hold(after=1)
    stack.say(Turn(text="slow answer", hold=hold))
    begun = threading.Event()
    ended = []

    def slow():
        with client.responses.stream(model=MODEL, input="first", conversation=made.id) as stream:
            for event in stream:
                begun.set()
                last = event.type
            ended.append(last)

    thread = threading.Thread(target=slow)
    thread.start()
    assert begun.wait(30)
    with pytest.raises(openai.ConflictError) as locked:
        client.responses.create(model=MODEL, input="second", conversation=made.id)
    assert locked.value.code == "conversation_locked"
    hold.released.set()
    thread.join()
    assert ended == ["response.completed"]


def test_a_refused_turn_leaves_the_conversation_free(stack, client):
    made = client.conversations.create()
    stack.say(Turn(status=400, body={"error": {"message": "no", "type": "invalid_request_error"}}))
    with pytest.raises(openai.APIStatusError):
        client.responses.create(model=MODEL, input="first", conversation=made.id)
    assert client.responses.create(model=MODEL, input="say yes", conversation=made.id).output_text == "yes"
