"""Chains: what a turn that continues another one is answered from."""

import json

import openai
import pytest
from stateful_stack import MODEL, said

from shim.simulator import Call, Turn

TOOL = {
    "type": "function",
    "name": "look",
    "parameters": {"type": "object", "properties": {"at": {"type": "string"}}},
}


def ask(client, text, **fields):
    return client.responses.create(model=MODEL, input=text, **fields)


def test_a_turn_continues_the_one_before_and_inherits_no_instructions(stack, client):
    first = ask(client, "say one", instructions="Speak like a pirate.")
    second = ask(client, "say two", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    assert second.instructions is None
    assert [said(message) for message in stack.messages] == [
        ("user", "say one"),
        ("assistant", "one"),
        ("user", "say two"),
    ]


def test_two_branches_of_one_parent_know_nothing_of_each_other(stack, client):
    parent = ask(client, "say root")
    left = ask(client, "say left", previous_response_id=parent.id)
    ask(client, "say right", previous_response_id=parent.id)
    assert "left" not in str(stack.messages)
    ask(client, "say leaf", previous_response_id=left.id)
    assert [said(message)[1] for message in stack.messages[-3:]] == ["say left", "left", "say leaf"]


def test_a_streamed_and_an_incomplete_turn_are_continued(stack, client):
    with client.responses.stream(model=MODEL, input="say streamed") as stream:
        first = stream.get_final_response()
    second = ask(client, "words 100", previous_response_id=first.id, max_output_tokens=16)
    assert second.status == "incomplete"
    ask(client, "go on", previous_response_id=second.id)
    texts = [said(message)[1] for message in stack.messages]
    assert texts[:2] == ["say streamed", "streamed"]
    assert texts[3].startswith("word1 ")


def test_an_output_alone_without_tools_answers_a_stored_call(stack, client):
    first = ask(client, 'call look {"at": "it"}', tools=[TOOL])
    call = next(item for item in first.output if item.type == "function_call")
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "a cat"}
    second = client.responses.create(model=MODEL, input=[output], previous_response_id=first.id)
    assert second.status == "completed"
    assert [message["role"] for message in stack.messages] == ["user", "assistant", "tool"]
    assert stack.messages[-1]["tool_call_id"] == call.call_id


def test_a_whole_turn_that_is_sent_again_counts_once(stack, client):
    """As semantic-kernel does: the call and its output again, beside the response that holds them."""
    first = ask(client, 'call look {"at": "it"}', tools=[TOOL])
    call = next(item for item in first.output if item.type == "function_call")
    again = {"type": "function_call", "call_id": call.call_id, "name": "look", "arguments": call.arguments}
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "a cat"}
    second = client.responses.create(
        model=MODEL, input=[again, output], previous_response_id=first.id, tools=[TOOL]
    )
    roles = [message["role"] for message in stack.messages]
    assert roles == ["user", "assistant", "tool"]
    question = {"role": "user", "content": "say done"}
    client.responses.create(
        model=MODEL, input=[again, output, question], previous_response_id=second.id, tools=[TOOL]
    )
    tools = [message for message in stack.messages if message["role"] == "tool"]
    calls = [call for message in stack.messages for call in message.get("tool_calls") or ()]
    assert [message["content"] for message in tools] == ["a cat"]
    assert len(calls) == 1


def test_call_ids_that_an_upstream_uses_again_stay_with_their_turns(stack, client):
    call = Call("look", {"at": "it"}, id="call_0")
    stack.say(Turn(calls=[call]), Turn(calls=[call]), Turn(text="done"))
    response = ask(client, "look twice", tools=[TOOL])
    for seen in ("a cat", "a dog"):
        output = {"type": "function_call_output", "call_id": "call_0", "output": seen}
        response = client.responses.create(
            model=MODEL, input=[output], previous_response_id=response.id, tools=[TOOL]
        )
    assert [message["content"] for message in stack.messages if message["role"] == "tool"] == [
        "a cat",
        "a dog",
    ]


def test_references_stand_for_stored_items(stack, client):
    """As the AI SDK replays a conversation."""
    first = ask(client, "think hard\nsay one")
    references = [{"type": "item_reference", "id": item.id} for item in first.output]
    question = {"role": "user", "content": "say two"}
    client.responses.create(
        model=MODEL, input=[{"role": "user", "content": "think hard\nsay one"}, *references, question]
    )
    assert [said(message) for message in stack.messages] == [
        ("user", "think hard\nsay one"),
        ("assistant", "one"),
        ("user", "say two"),
    ]


def test_an_unknown_reference_is_named(stack, client):
    with pytest.raises(openai.NotFoundError) as unknown:
        client.responses.create(
            model=MODEL,
            input=[{"role": "user", "content": "x"}, {"type": "item_reference", "id": "msg_none"}],
        )
    assert unknown.value.body["message"] == "Item with id 'msg_none' not found."
    assert unknown.value.param == "input[1].id"


@pytest.mark.parametrize("lost", ["unknown", "foreign", "deleted", "unstored"])
def test_a_lost_response_cannot_be_continued(stack, client, lost):
    made = ask(client, "hi", store=lost != "unstored").id
    if lost == "unknown":
        made = "resp_none"
    elif lost == "deleted":
        client.responses.delete(made)
    asking = stack.client("bob") if lost == "foreign" else client
    with pytest.raises(openai.BadRequestError) as refused:
        ask(asking, "go on", previous_response_id=made)
    assert refused.value.body == {
        "message": f"Previous response with id '{made}' not found.",
        "type": "invalid_request_error",
        "param": "previous_response_id",
        "code": "previous_response_not_found",
    }


def test_a_chain_with_a_hole_is_refused_and_never_shortened_silently(stack, client):
    first = ask(client, "say one")
    second = ask(client, "say two", previous_response_id=first.id)
    client.responses.delete(first.id)
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, "say three", previous_response_id=second.id)
    assert refused.value.code == "previous_response_not_found"
    assert client.responses.retrieve(second.id).output_text == "two"


def test_a_chain_of_500_turns(start, tmp_path):
    stack = start(f"sqlite:///{tmp_path}/store.sqlite3")
    with stack.http() as http:
        previous = None
        for number in range(500):
            body = {"model": MODEL, "input": f"say {number}", "previous_response_id": previous}
            previous = http.post("/responses", json=body).json()["id"]
    assert len(stack.messages) == 999
    assert [said(message)[1] for message in stack.messages[-3:]] == ["say 498", "498", "say 499"]


def test_a_call_id_that_the_model_uses_again_is_another_call(stack, client):
    """Some suppliers number the calls of each turn from 0."""
    stack.say(Turn(calls=[Call("look", {"at": "1"}, id="call_0")]))
    first = ask(client, "Look", tools=[TOOL])
    again = {"type": "function_call", "call_id": "call_0", "name": "look", "arguments": '{"at": "2"}'}
    outputs = [
        {"type": "function_call_output", "call_id": "call_0", "output": text} for text in ("ONE", "TWO")
    ]
    ask(client, [outputs[0], again, outputs[1]], previous_response_id=first.id, tools=[TOOL])
    calls = [
        call["function"]["arguments"] for message in stack.messages for call in message.get("tool_calls", [])
    ]
    answers = [message["content"] for message in stack.messages if message["role"] == "tool"]
    assert [json.loads(arguments) for arguments in calls] == [{"at": "1"}, {"at": "2"}]
    assert answers == ["ONE", "TWO"]


def test_an_item_is_left_out_as_a_repeat_only_if_it_says_the_same(stack, client):
    first = ask(client, [{"type": "message", "id": "msg_1", "role": "user", "content": "FIRST"}])
    same = {"type": "message", "id": "msg_1", "role": "user", "content": "FIRST"}
    other = {**same, "content": "SECOND"}
    second = ask(client, [same, other], previous_response_id=first.id)
    texts = [text for role, text in map(said, stack.messages) if role == "user"]
    assert texts == ["FIRST", "SECOND"]
    assert [item.id for item in client.responses.input_items.list(second.id)] != ["msg_1"]


def test_items_of_one_turn_have_ids_of_their_own_so_that_paging_ends(client):
    given = [
        {"type": "message", "id": name, "role": "user", "content": name} for name in ("a", "b", "a", "c")
    ]
    response = ask(client, given)
    listed = [item.id for item in client.responses.input_items.list(response.id, limit=1, order="asc")]
    assert len(listed) == len(set(listed)) == 4


def test_an_empty_previous_id_is_no_new_beginning(client):
    with pytest.raises(openai.BadRequestError, match="previous_response_id"):
        ask(client, "Hi", previous_response_id="")


def test_a_chain_that_leaves_a_conversation_knows_what_was_said_there_before_and_nothing_later(stack, client):
    talk = client.conversations.create(items=[{"type": "message", "role": "user", "content": "I am Bob"}])
    ask(client, "say one", conversation=talk.id)
    turn = ask(client, "say two", conversation=talk.id)
    ask(client, "say three", conversation=talk.id)
    branch = ask(client, "say four", previous_response_id=turn.id)
    ask(client, "say five", previous_response_id=branch.id)
    assert [said(message)[1] for message in stack.messages] == [
        "I am Bob",
        "say one",
        "one",
        "say two",
        "two",
        "say four",
        "four",
        "say five",
    ]
    kept = client.conversations.items.list(talk.id, limit=100)
    assert "say four" not in str(list(kept)), "a branch is no part of the conversation"


def test_a_chain_whose_conversation_is_gone_says_what_it_does_not_know(stack, client):
    talk = client.conversations.create(items=[{"type": "message", "role": "user", "content": "I am Bob"}])
    turn = ask(client, "say hi", conversation=talk.id)
    client.conversations.delete(talk.id)
    with stack.http() as http:
        body = {"model": MODEL, "input": "say bye", "previous_response_id": turn.id}
        answer = http.post("/responses", json=body)
    assert f"what conversation '{talk.id}' held before it is not stored" in answer.headers["x-shim-notes"]
    assert [said(message)[1] for message in stack.messages] == ["say hi", "hi", "say bye"]


def test_a_chain_that_is_too_long_says_so_and_what_to_do(start, store):
    last = None
    with start(store, max_chained_responses=3).client() as client:
        for _ in range(4):
            last = ask(client, "hi", previous_response_id=last and last.id)
        with pytest.raises(openai.BadRequestError, match="more than 3 responses") as refused:
            ask(client, "hi", previous_response_id=last.id)
    assert refused.value.code == "previous_response_chain_too_long"
