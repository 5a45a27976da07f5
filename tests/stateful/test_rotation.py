"""Another seal key: nothing that was stored is lost, and what was sealed opens for as long as its key is accepted."""

from functools import partial

import pytest
from stateful_stack import MODEL, running_stack

from shim.seal import Opener
from shim.simulator.model import Turn

ASK = {"model": MODEL, "store": True, "include": ["reasoning.encrypted_content"]}
ROTATED = {"seal_key": "new", "seal_keys_accepted": "stateful"}
CALL = {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "nothing"}


@pytest.fixture
def store(tmp_path):
    return f"sqlite:///{tmp_path}/store.sqlite3"


def answered(http, **fields):
    reply = http.post("/responses", json=ASK | fields)
    assert reply.status_code == 200, reply.text
    return reply


def thought(stack, http):
    """A stored response, and its reasoning as a client keeps it that keeps the seal alone."""
    stack.say(Turn(reasoning="Deep thought.", text="So."))
    response = answered(http, input="why?").json()
    (reasoning,) = [item for item in response["output"] if item["type"] == "reasoning"]
    return response["id"], {
        "type": "reasoning",
        "summary": [],
        "encrypted_content": reasoning["encrypted_content"],
    }


def replayed(stack, http, reasoning):
    """What the model gets of it, and what the client is told."""
    said = [{"role": "user", "content": "why?"}, reasoning, CALL, OUTPUT]
    reply = answered(http, input=said, store=False)
    (turn,) = [message for message in stack.messages if message["role"] == "assistant"]
    return turn.get("reasoning_content"), reply.headers.get("x-shim-notes", "")


def found(http, response_id):
    return http.get(f"/responses/{response_id}").status_code


def test_stored_things_and_seals_outlive_a_rotation_of_the_key(store):
    with running_stack(store) as stack, stack.http() as http:
        response_id, reasoning = thought(stack, http)
    with running_stack(store, **ROTATED) as stack, stack.http() as http:
        assert found(http, response_id) == 200
        assert replayed(stack, http, reasoning) == ("Deep thought.", "")
        assert answered(http, input="and?", previous_response_id=response_id).json()["status"] == "completed"
    with running_stack(store, seal_key="new") as stack, stack.http() as http:
        assert found(http, response_id) == 200
        kept, notes = replayed(stack, http, reasoning)
        assert kept is None
        assert "encrypted_content: made elsewhere, cannot be read" in notes


def test_a_seal_opens_for_the_client_alone_that_it_was_made_for(store):
    with running_stack(store) as stack, stack.http("alice") as alice, stack.http("bob") as bob:
        response_id, reasoning = thought(stack, alice)
        assert replayed(stack, alice, reasoning) == ("Deep thought.", "")
        kept, notes = replayed(stack, bob, reasoning)
        assert kept is None
        assert "encrypted_content: made elsewhere, cannot be read" in notes
        assert found(bob, response_id) == 404


@pytest.mark.parametrize(
    "spoil", [lambda seal: seal[:-5], lambda seal: seal + "AAAA", lambda _: "gs." + "A" * 13_000_000]
)
def test_a_seal_that_was_tampered_with_or_is_huge_is_left_out_with_a_note(store, spoil):
    with running_stack(store) as stack, stack.http() as http:
        _, reasoning = thought(stack, http)
        reasoning["encrypted_content"] = spoil(reasoning["encrypted_content"])
        kept, notes = replayed(stack, http, reasoning)
        assert kept is None
        assert "encrypted_content: made elsewhere, cannot be read" in notes


def test_the_seals_of_one_request_open_until_they_hold_too_much_together(store, monkeypatch):
    monkeypatch.setattr("shim.exchange.exchange.Opener", partial(Opener, left=len("Deep thought.")))
    with running_stack(store) as stack, stack.http() as http:
        _, reasoning = thought(stack, http)
        for _ in range(2):  # of each request anew
            said = [{"role": "user", "content": "why?"}, reasoning, reasoning, CALL, OUTPUT]
            reply = answered(http, input=said, store=False)
            (turn,) = [message for message in stack.messages if message["role"] == "assistant"]
            assert turn["reasoning_content"] == "Deep thought."
            assert (
                "input[2].encrypted_content: made elsewhere, cannot be read" in reply.headers["x-shim-notes"]
            )
            assert "input[1].enc" not in reply.headers["x-shim-notes"]


def test_a_compaction_opens_after_a_rotation_and_for_its_client_alone(store):
    with running_stack(store) as stack, stack.http() as http:
        stack.say(Turn(text="It was about whales."))
        output = http.post("/responses/compact", json={"model": MODEL, "input": "whales!"}).json()["output"]
    with running_stack(store, **ROTATED) as stack, stack.http() as http, stack.http("bob") as bob:
        answered(http, input=[*output, {"role": "user", "content": "go on"}])
        assert "It was about whales." in str(stack.messages)
        reply = answered(bob, input=[*output, {"role": "user", "content": "go on"}])
        assert "It was about whales." not in str(stack.messages)
        assert "a compaction made elsewhere cannot be read" in reply.headers["x-shim-notes"]
