"""Stored responses: retrieved, listed, deleted; by nobody but their owner."""

import httpx
import openai
import pytest
from stateful_stack import MODEL

from shim.simulator import Turn


def error_of(reply):
    return reply.status_code, reply.json()["error"]


def test_a_response_is_retrieved_as_it_was_answered(stack, client):
    made = client.responses.create(
        model=MODEL,
        input="say hello",
        metadata={"ticket": "7"},
        user="someone",
        safety_identifier="hash",
        instructions="Be brief.",
    )
    found = client.responses.retrieve(made.id, include=["message.output_text.logprobs"])
    assert found.model_dump() == made.model_dump()
    assert (found.output_text, found.metadata, found.user) == ("hello", {"ticket": "7"}, "someone")
    assert (found.safety_identifier, found.store) == ("hash", True)


def test_a_streamed_response_is_stored_before_its_end_is_told(stack, client):
    with client.responses.stream(model=MODEL, input="say hello") as stream:
        for event in stream:
            if event.type == "response.completed":
                assert client.responses.retrieve(event.response.id).output_text == "hello"
    assert event.type == "response.completed"


def test_an_incomplete_response_is_stored(stack, client):
    made = client.responses.create(model=MODEL, input="words 100", max_output_tokens=16)
    assert client.responses.retrieve(made.id).status == made.status == "incomplete"


def test_a_failed_response_is_not_stored(stack, client):
    stack.say(Turn(text="so", error_in_stream={"error": {"message": "broken", "code": 500}}))
    with pytest.raises(openai.APIError):
        client.responses.create(model=MODEL, input="hi")
    stack.say(Turn(text="so far so good", finish=False, cut_after=2))
    stream = client.responses.create(model=MODEL, input="hi", stream=True)
    begun = next(stream)
    with pytest.raises(openai.APIError):
        list(stream)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(begun.response.id)


def test_a_deletion_is_told_as_the_api_tells_it_and_is_final(stack, client):
    made = client.responses.create(model=MODEL, input="hi")
    with stack.http() as http:
        deleted = http.delete(f"/responses/{made.id}")
        assert (deleted.status_code, deleted.json()) == (
            200,
            {"id": made.id, "object": "response", "deleted": True},
        )
        for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/input_items")):
            assert error_of(http.request(method, f"/responses/{made.id}{path}")) == (
                404,
                {
                    "message": f"Response with id '{made.id}' not found.",
                    "type": "invalid_request_error",
                    "param": None,
                    "code": None,
                },
            )


def test_another_key_finds_nothing(stack, client):
    made = client.responses.create(model=MODEL, input="hi")
    with stack.http("bob") as http:
        for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/input_items")):
            assert http.request(method, f"/responses/{made.id}{path}").status_code == 404
        chained = http.post(
            "/responses", json={"model": MODEL, "input": "x", "previous_response_id": made.id}
        )
        assert error_of(chained)[1]["code"] == "previous_response_not_found"
    assert client.responses.retrieve(made.id).id == made.id


def test_input_items_are_listed_newest_first_and_in_pages(stack, client):
    given = [{"role": "user", "content": f"number {number}"} for number in range(7)]
    made = client.responses.create(model=MODEL, input=given, instructions="not listed")
    with stack.http() as http:
        page = http.get(f"/responses/{made.id}/input_items", params={"limit": 3}).json()
    assert set(page) == {"object", "data", "first_id", "last_id", "has_more"}
    assert (page["object"], page["has_more"], len(page["data"])) == ("list", True, 3)
    assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
    assert page["data"][0] == {
        "role": "user",
        "content": [{"type": "input_text", "text": "number 6"}],
        "id": page["first_id"],
        "type": "message",
        "status": "completed",
    }
    for order, expected in (("desc", [6, 5, 4, 3, 2, 1, 0]), ("asc", list(range(7)))):
        listed = client.responses.input_items.list(made.id, limit=2, order=order)
        assert [item.content[0].text for item in listed] == [f"number {number}" for number in expected]


def test_a_page_before_an_item_ends_there(stack, client):
    made = client.responses.create(
        model=MODEL,
        input=[{"role": "user", "content": f"{number}", "id": f"msg_{number}"} for number in range(5)],
    )
    with stack.http() as http:
        page = http.get(
            f"/responses/{made.id}/input_items", params={"before": "msg_3", "order": "asc", "limit": 2}
        ).json()
    assert [item["id"] for item in page["data"]] == ["msg_1", "msg_2"]


@pytest.mark.parametrize(
    ("query", "message", "param", "code"),
    [
        (
            {"limit": 0},
            "Invalid 'limit': integer below minimum value. Expected a value >= 1, but got 0 instead.",
            "limit",
            "integer_below_min_value",
        ),
        (
            {"limit": 101},
            "Invalid 'limit': integer above maximum value. Expected a value <= 100, but got 101 instead.",
            "limit",
            "integer_above_max_value",
        ),
        (
            {"limit": "x"},
            "Invalid type for 'limit': expected an integer, but got a string instead.",
            "limit",
            "invalid_type",
        ),
        (
            {"order": "up"},
            "Invalid value: 'up'. Supported values are: 'asc' and 'desc'.",
            "order",
            "invalid_value",
        ),
        ({"after": "msg_none"}, "No item with id 'msg_none' found.", "after", None),
    ],
)
def test_a_wrong_page_is_told_in_openais_words(start, query, message, param, code):
    stack = start("memory")
    made = stack.client().responses.create(model=MODEL, input="hi")
    with stack.http() as http:
        assert error_of(http.get(f"/responses/{made.id}/input_items", params=query)) == (
            400,
            {"message": message, "type": "invalid_request_error", "param": param, "code": code},
        )


def test_a_wrong_method_names_the_right_ones(start):
    with start("memory").http() as http:
        reply = http.put("/responses/resp_x")
        assert (reply.status_code, reply.headers["allow"]) == (405, "DELETE, GET, HEAD")


def test_where_nothing_is_stored_the_answer_says_so(start):
    stack = start("off")
    client = stack.client()
    made = client.responses.create(model=MODEL, input="hi", store=True)
    assert made.store is False
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)
    with pytest.raises(openai.BadRequestError) as refused:
        client.conversations.create()
    assert refused.value.code == "store_off"
    with pytest.raises(openai.BadRequestError) as lost:
        client.responses.create(model=MODEL, input="hi", previous_response_id=made.id)
    assert lost.value.code == "previous_response_not_found"


def test_a_store_that_is_away_takes_no_answer_from_the_client(start, tmp_path):
    path = tmp_path / "store.sqlite3"
    stack = start(f"sqlite:///{path}")
    client = stack.client()
    first = client.responses.create(model=MODEL, input="say one")
    path.write_bytes(b"no database any more" * 1000)
    for side in ("-wal", "-shm"):
        (tmp_path / f"store.sqlite3{side}").unlink(missing_ok=True)
    answered = client.responses.create(model=MODEL, input="say two")
    assert answered.output_text == "two"
    with stack.http() as http:
        reply = http.get(f"/responses/{first.id}")
    assert isinstance(reply, httpx.Response)
    assert reply.status_code in (200, 503)


def test_store_false_leaves_nothing_behind(start, tmp_path):
    path = tmp_path / "store.sqlite3"
    stack = start(f"sqlite:///{path}")
    client = stack.client()
    made = client.responses.create(model=MODEL, input="say the secret word", store=False)
    assert made.store is False
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)
    conversation = client.conversations.create()
    client.responses.create(
        model=MODEL, input="say the secret word", store=False, conversation=conversation.id
    )
    assert client.conversations.items.list(conversation.id).data == []
    kept = b"".join(each.read_bytes() for each in tmp_path.glob("store.sqlite3*"))
    assert b"secret" not in kept
    assert made.id.encode() not in kept


def test_an_empty_text_is_an_input(stack, client):
    made = client.responses.create(model=MODEL, input="")
    assert made.status == "completed"
    again = client.responses.create(model=MODEL, input="", previous_response_id=made.id)
    assert [item.content[0].text for item in client.responses.input_items.list(again.id)] == [""]
