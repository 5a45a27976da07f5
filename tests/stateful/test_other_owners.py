"""To another owner a thing is as unknown as one that never was: the same answers, word for word, on every path."""

import re

import pytest
from background_stage import ended
from stateful_stack import MODEL

ASK = {"model": MODEL, "input": "x"}
NEVER = {"response": "resp_" + "0" * 50, "conversation": "conv_" + "0" * 50, "item": "msg_" + "0" * 50}

ATTEMPTS = [
    ("GET", "/responses/{response}", None),
    ("GET", "/responses/{response}?stream=true&starting_after=0", None),
    ("GET", "/responses/{response}/input_items?after={item}", None),
    ("POST", "/responses/{response}/cancel", None),
    ("POST", "/responses", {"previous_response_id": "{response}"}),
    ("POST", "/responses", {"previous_response_id": "{response}", "background": True}),
    ("POST", "/responses", {"conversation": "{conversation}"}),
    ("POST", "/responses", {"conversation": "{conversation}", "background": True}),
    ("POST", "/responses", {"input": [{"type": "item_reference", "id": "{item}"}]}),
    ("POST", "/responses", {"input": [{"id": "{item}"}]}),
    ("POST", "/responses/compact", {"previous_response_id": "{response}"}),
    ("POST", "/responses/input_tokens", {"conversation": "{conversation}"}),
    ("POST", "/conversations", {"items": [{"type": "item_reference", "id": "{item}"}]}),
    ("GET", "/conversations/{conversation}", None),
    ("POST", "/conversations/{conversation}", {"metadata": {}}),
    ("GET", "/conversations/{conversation}/items?after={item}", None),
    ("POST", "/conversations/{conversation}/items", {"items": [{"role": "user", "content": "x"}]}),
    ("GET", "/conversations/{conversation}/items/{item}", None),
    ("DELETE", "/conversations/{conversation}/items/{item}", None),
    ("DELETE", "/conversations/{conversation}", None),
    ("DELETE", "/responses/{response}", None),
]


def named(value, ids):
    """The same with ids in their places."""
    if isinstance(value, dict):
        return {name: named(entry, ids) for name, entry in value.items()}
    if isinstance(value, list):
        return [named(entry, ids) for entry in value]
    return re.sub(r"{(\w+)}", lambda found: ids[found[1]], value) if isinstance(value, str) else value


def answer(http, attempt, ids):
    """Status, headers and words, with the ids taken out."""
    method, path, body = attempt
    reply = http.request(method, named(path, ids), json=body and ASK | named(body, ids))
    words = reply.text
    for name, one in ids.items():
        words = words.replace(one, name)
    return reply.status_code, sorted(reply.headers.keys()), words


@pytest.fixture
def theirs(stack):
    """What Alice has stored: ids of a background response, a conversation and an item of it."""
    with stack.http("alice") as http:
        begun = http.post("/responses", json={**ASK, "background": True}).json()["id"]
        ended(http, begun)
        made = http.post("/conversations", json={"items": [{"role": "user", "content": "secret"}]}).json()[
            "id"
        ]
        (item,) = http.get(f"/conversations/{made}/items").json()["data"]
        yield {"response": begun, "conversation": made, "item": item["id"]}
        assert http.get(f"/responses/{begun}").status_code == 200
        assert http.get(f"/conversations/{made}/items").json()["data"] == [item]


def test_what_is_anothers_is_answered_as_what_never_was(stack, theirs):
    with stack.http("bob") as bob:
        for attempt in ATTEMPTS:
            met = answer(bob, attempt, theirs)
            assert met == answer(bob, attempt, NEVER), attempt
            assert met[0] in (400, 404), attempt
            assert "secret" not in met[2]
